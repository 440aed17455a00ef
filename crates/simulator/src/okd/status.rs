//! Errors as the API server answers them: a `Status` object, or plain text where the real server says so.
//!
//! Wording is that of kube-apiserver 1.36 and openshift-apiserver, measured; clients match on it.

use http::StatusCode;
use serde_json::{Value, json};

use super::kinds::Kind;

/// One fault of a field, for `details.causes`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cause {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) field: String,
}

impl Cause {
    /// `Invalid value: <shown>: <why>`.
    pub(crate) fn invalid(field: impl Into<String>, shown: &Value, why: &str) -> Self {
        Self {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {shown}: {why}"),
            field: field.into(),
        }
    }

    /// `Required value: <why>`, or `Required value` if there is nothing to add.
    pub(crate) fn required(field: impl Into<String>, why: &str) -> Self {
        let message =
            if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        Self { reason: "FieldValueRequired", message, field: field.into() }
    }

    fn value(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

/// An error answer.
#[derive(Debug, Clone)]
pub(crate) enum ApiError {
    /// A Status object.
    Status { code: u16, reason: &'static str, message: String, details: Option<Value> },
    /// A plain text body.
    Text(u16, String),
}

pub(crate) type Result<T> = std::result::Result<T, Box<ApiError>>;

/// `details` of an error about one object: name and group are left out when empty.
fn about(name: &str, group: &str, kind: &str) -> Value {
    let mut details = json!({"kind": kind});
    if !name.is_empty() {
        details["name"] = name.into();
    }
    if !group.is_empty() {
        details["group"] = group.into();
    }
    details
}

fn status(code: u16, reason: &'static str, message: String, details: Option<Value>) -> Box<ApiError> {
    Box::new(ApiError::Status { code, reason, message, details })
}

impl ApiError {
    pub(crate) fn not_found(kind: &Kind, name: &str) -> Box<Self> {
        let message = format!("{} \"{name}\" not found", kind.qualified());
        status(404, "NotFound", message, Some(about(name, kind.group, kind.plural)))
    }

    /// A resource that an aggregated API does not have.
    pub(crate) fn no_resource() -> Box<Self> {
        let message = "the server could not find the requested resource".to_owned();
        status(404, "NotFound", message, Some(json!({})))
    }

    /// A path that leads nowhere.
    pub(crate) fn no_page() -> Box<Self> {
        Box::new(Self::Text(404, "404 page not found\n".to_owned()))
    }

    pub(crate) fn already_exists(group: &str, plural: &str, name: &str) -> Box<Self> {
        let message = format!("{} \"{name}\" already exists", super::kinds::qualified(group, plural));
        status(409, "AlreadyExists", message, Some(about(name, group, plural)))
    }

    /// A create over a namespace that is going away.
    pub(crate) fn being_deleted(kind: &Kind, name: &str) -> Box<Self> {
        let message = format!("object is being deleted: {} \"{name}\" already exists", kind.qualified());
        status(409, "AlreadyExists", message, Some(about(name, kind.group, kind.plural)))
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Box<Self> {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        status(409, "Conflict", message, Some(about(name, kind.group, kind.plural)))
    }

    pub(crate) fn modified(kind: &Kind, name: &str) -> Box<Self> {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    pub(crate) fn apply_conflicts(causes: &[(String, String)]) -> Box<Self> {
        let count = causes.len();
        let plural = if count == 1 { "conflict" } else { "conflicts" };
        let mut message = format!("Apply failed with {count} {plural}:");
        if let [(manager, field)] = causes {
            message.push_str(&format!(" conflict with {manager}: {field}"));
        } else {
            let mut by_manager: Vec<(&str, Vec<&str>)> = Vec::new();
            for (manager, field) in causes {
                match by_manager.iter_mut().find(|(name, _)| name == manager) {
                    Some((_, fields)) => fields.push(field),
                    None => by_manager.push((manager, vec![field])),
                }
            }
            for (manager, fields) in by_manager {
                message.push_str(&format!(" conflicts with {manager}:"));
                for field in fields {
                    message.push_str(&format!("\n- {field}"));
                }
            }
        }
        let causes: Vec<Value> = causes
            .iter()
            .map(|(manager, field)| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": field})
            })
            .collect();
        status(409, "Conflict", message, Some(json!({"causes": causes})))
    }

    pub(crate) fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Box<Self> {
        let subject = super::kinds::qualified(group, plural);
        let message = if name.is_empty() {
            format!("{subject} is forbidden: {why}")
        } else {
            format!("{subject} \"{name}\" is forbidden: {why}")
        };
        status(403, "Forbidden", message, Some(about(name, group, plural)))
    }

    /// A path outside the resources that the user may not get.
    pub(crate) fn forbidden_path(user: &str, verb: &str, path: &str) -> Box<Self> {
        let message = format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\"");
        status(403, "Forbidden", message, Some(json!({})))
    }

    pub(crate) fn namespace_terminating(kind: &Kind, name: &str, namespace: &str) -> Box<Self> {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut error = Self::forbidden(kind.group, kind.plural, name, &why);
        if let Self::Status { details: Some(details), .. } = &mut *error {
            let message = format!("namespace {namespace} is being terminated");
            details["causes"] = json!([
                {"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}
            ]);
        }
        error
    }

    /// openshift-apiserver's own refusal of ProjectRequests.
    pub(crate) fn no_project_requests() -> Box<Self> {
        let message = "You may not request a new project via this API.".to_owned();
        status(
            403,
            "Forbidden",
            message,
            Some(json!({"group": super::kinds::PROJECT, "kind": "projectrequest"})),
        )
    }

    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Box<Self> {
        let faults: Vec<String> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let faults =
            if let [only] = faults.as_slice() { only.clone() } else { format!("[{}]", faults.join(", ")) };
        let message = format!("{} \"{name}\" is invalid: {faults}", super::kinds::qualified(group, kind));
        let mut details = about(name, group, kind);
        details["causes"] = causes.iter().map(Cause::value).collect();
        status(422, "Invalid", message, Some(details))
    }

    pub(crate) fn patch_rejected() -> Box<Self> {
        let message = "the server rejected our request due to an error in our request".to_owned();
        status(422, "Invalid", message, Some(json!({})))
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Box<Self> {
        status(400, "BadRequest", message.into(), None)
    }

    pub(crate) fn unauthorized() -> Box<Self> {
        status(401, "Unauthorized", "Unauthorized".to_owned(), None)
    }

    pub(crate) fn unsupported_patch() -> Box<Self> {
        status(415, "UnsupportedMediaType", "415: Unsupported Media Type".to_owned(), Some(json!({})))
    }

    pub(crate) fn unknown_format() -> Box<Self> {
        let message = "the body of the request was in an unknown format - accepted media types include: \
                       application/json, application/yaml, application/vnd.kubernetes.protobuf";
        status(415, "UnsupportedMediaType", message.to_owned(), None)
    }

    pub(crate) fn not_acceptable() -> Box<Self> {
        let message = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                       application/vnd.kubernetes.protobuf";
        status(406, "NotAcceptable", message.to_owned(), Some(json!({})))
    }

    pub(crate) fn method_not_allowed() -> Box<Self> {
        let message = "the server does not allow this method on the requested resource".to_owned();
        status(405, "MethodNotAllowed", message, Some(json!({})))
    }

    pub(crate) fn expired(message: String) -> Box<Self> {
        status(410, "Expired", message, None)
    }

    pub(crate) fn internal(message: &str) -> Box<Self> {
        let details = json!({"causes": [{"message": message}]});
        status(500, "InternalError", format!("Internal error occurred: {message}"), Some(details))
    }

    /// The aggregated API server is away: the proxy's own words.
    pub(crate) fn aggregated_down() -> Box<Self> {
        let message = "error trying to reach service: dial tcp 127.0.0.1:18443: connect: connection refused";
        Box::new(Self::Text(503, message.to_owned()))
    }

    pub(crate) fn code(&self) -> StatusCode {
        let (Self::Status { code, .. } | Self::Text(code, _)) = self;
        StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The Status object, for answers and for ERROR events of watches.
    pub(crate) fn body(&self) -> Value {
        match self {
            Self::Status { code, reason, message, details } => {
                let mut body = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": message, "reason": reason, "code": code,
                });
                if let Some(details) = details {
                    body["details"] = details.clone();
                }
                body
            }
            Self::Text(_, text) => Value::String(text.clone()),
        }
    }
}

/// The Status body of an injected fault.
pub(crate) fn injected(code: u16, retry_after: Option<u64>) -> Value {
    let (reason, message) = match code {
        400 => ("BadRequest", "the server rejected our request for an unknown reason"),
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden: an injected fault"),
        404 => ("NotFound", "the server could not find the requested resource"),
        409 => (
            "Conflict",
            "Operation cannot be fulfilled: the object has been modified; please apply your changes",
        ),
        429 => ("TooManyRequests", "too many requests, please try again later"),
        500 => ("InternalError", "Internal error occurred: etcdserver: request timed out"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => ("Timeout", "Timeout: request did not complete within the allotted timeout"),
        _ => ("", "an injected fault"),
    };
    let mut body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    if let Some(seconds) = retry_after {
        body["details"] = json!({"retryAfterSeconds": seconds});
    }
    body
}
