//! What a request asks for: the resource, name and verb in its path, and its query.
//!
//! Paths are percent-decoded once and then split, as kube-apiserver does, so that `%2F` in a name starts a subresource.

use http::{HeaderMap, Method, Uri, header};

use super::status::{ApiError, Result};

/// A request's target, in the terms of the authoriser.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// The decoded path.
    pub(crate) path: String,
    /// False for `/healthz`, discovery and the like.
    pub(crate) is_resource: bool,
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) version: String,
    /// Empty for cluster resources; the name itself for namespaces and projects.
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
}

impl Target {
    pub(crate) fn parse(method: &Method, uri: &Uri, query: &Query) -> Self {
        let path = decode(uri.path());
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => return Self { verb: plain_verb(method), path, ..Self::default() },
        };
        let mut target = Self {
            is_resource: true,
            group: group.to_owned(),
            version: version.to_owned(),
            ..Self::default()
        };
        let rest = match rest {
            // `namespaces/x/status` is the namespace's own subresource; `namespaces/x/pods` is not.
            ["namespaces", namespace, resource, ..] if !["status", "finalize"].contains(resource) => {
                target.namespace = (*namespace).to_owned();
                &rest[2..]
            }
            _ => rest,
        };
        let part = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
        (target.resource, target.name, target.subresource) = (part(0), part(1), part(2));
        let scope = matches!(target.resource.as_str(), "namespaces" | "projects");
        if scope && target.namespace.is_empty() {
            target.namespace.clone_from(&target.name);
        }
        target.verb = match *method {
            Method::GET | Method::HEAD if query.flag("watch") => "watch",
            Method::GET | Method::HEAD if target.name.is_empty() => "list",
            Method::GET | Method::HEAD => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if target.name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            _ => "",
        };
        target.path = path;
        target
    }

    /// `pods`, or `pods/log`.
    pub(crate) fn resource_path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

fn plain_verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// Percent-decodes; what is not valid stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The query parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(uri: &Uri) -> Self {
        let text = uri.query().unwrap_or_default();
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// `watch`, `watch=1` and `watch=true` are all true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|(key, value)| key == name && !matches!(value.as_str(), "false" | "0"))
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::bad_request(format!(
                        "invalid {name}: strconv.ParseInt: parsing \"{text}\": invalid syntax"
                    ))
                })
            })
            .transpose()
    }

    pub(crate) fn dry_run(&self) -> bool {
        self.get("dryRun") == Some("All")
    }
}

/// In which form an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Object,
    Table,
    Metadata,
}

/// Reads `Accept`.
///
/// # Errors
/// 406 if nothing offered is wanted.
pub(crate) fn accepted(headers: &HeaderMap) -> Result<Form> {
    let Some(accept) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()) else {
        return Ok(Form::Object);
    };
    for wanted in accept.split(',') {
        let mut parts = wanted.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !matches!(media, "application/json" | "*/*" | "application/*" | "text/plain" | "text/*") {
            continue;
        }
        return Ok(match parts.find_map(|part| part.strip_prefix("as=")) {
            Some("Table") => Form::Table,
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Form::Metadata,
            _ => Form::Object,
        });
    }
    Err(ApiError::not_acceptable())
}

/// The path shape by which requests are counted: names and namespaces become `{}`.
#[must_use]
pub fn shape(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    let resources = match parts.get(1).copied() {
        Some("api") => 3,
        Some("apis") => 4,
        _ => return path.to_owned(),
    };
    let mut at = resources;
    if parts.get(at) == Some(&"namespaces")
        && parts.len() > at + 2
        && !["status", "finalize"].contains(&parts[at + 2])
    {
        parts[at + 1] = "{}";
        at += 2;
    }
    if let Some(name) = parts.get_mut(at + 1) {
        *name = "{}";
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: Method, uri: &str) -> Target {
        let uri: Uri = uri.parse().unwrap();
        Target::parse(&method, &uri, &Query::parse(&uri))
    }

    #[test]
    fn an_encoded_slash_starts_a_subresource() {
        let target =
            target(Method::GET, "/apis/rbac.authorization.k8s.io/v1/namespaces/p/rolebindings/a%2Fb");
        assert_eq!((target.name.as_str(), target.resource_path().as_str()), ("a", "rolebindings/b"));
    }

    #[test]
    fn a_namespace_is_in_its_own_namespace() {
        let ns = target(Method::PATCH, "/api/v1/namespaces/a");
        assert_eq!(
            (ns.verb, ns.resource.as_str(), ns.name.as_str(), ns.namespace.as_str()),
            ("patch", "namespaces", "a", "a")
        );
        let finalize = target(Method::PUT, "/api/v1/namespaces/a/finalize");
        assert_eq!(finalize.subresource, "finalize");
    }

    #[test]
    fn shapes_leave_out_names() {
        assert_eq!(shape("/api/v1/namespaces/a/resourcequotas/q"), "/api/v1/namespaces/{}/resourcequotas/{}");
        assert_eq!(shape("/api/v1/namespaces/a"), "/api/v1/namespaces/{}");
        assert_eq!(shape("/apis/project.openshift.io/v1/projects"), "/apis/project.openshift.io/v1/projects");
    }
}
