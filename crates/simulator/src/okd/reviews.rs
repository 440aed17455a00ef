//! Reviews: questions about access and identity, answered by the same authoriser that guards every request.
//!
//! Nothing is stored.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::State;
use super::rbac::{self, Access, User};
use super::status::{ApiError, Cause, Result};

/// Answers a review created by `user`; `None` if the resource is no review.
pub(crate) fn answer(
    state: &State,
    user: &User,
    group: &str,
    resource: &str,
    mut body: Value,
    now: Timestamp,
) -> Option<Value> {
    let (kind, status) = match (group, resource) {
        ("authorization.k8s.io", "selfsubjectaccessreviews") => {
            ("SelfSubjectAccessReview", access(state, user, &body))
        }
        ("authorization.k8s.io", "subjectaccessreviews") => {
            let subject = subject(&body);
            ("SubjectAccessReview", access(state, &subject, &body))
        }
        ("authorization.k8s.io", "selfsubjectrulesreviews") => {
            let namespace = body["spec"]["namespace"].as_str().unwrap_or_default();
            ("SelfSubjectRulesReview", rbac::rules_review(&state.store, user, namespace))
        }
        ("authentication.k8s.io", "selfsubjectreviews") => {
            ("SelfSubjectReview", json!({"userInfo": user_info(user)}))
        }
        ("authentication.k8s.io", "tokenreviews") => ("TokenReview", token(state, &body, now)),
        _ => return None,
    };
    if !body.is_object() {
        body = json!({});
    }
    body["kind"] = kind.into();
    body["apiVersion"] = format!("{group}/v1").into();
    if !body["metadata"].is_object() {
        body["metadata"] = json!({});
    }
    for attributes in ["resourceAttributes", "nonResourceAttributes"] {
        if let Some(members) = body["spec"].get_mut(attributes).and_then(Value::as_object_mut) {
            members.retain(|_, value| value != "");
        }
    }
    body["status"] = status;
    Some(body)
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.clone().into();
    }
    info
}

fn subject(body: &Value) -> User {
    let spec = &body["spec"];
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    let groups = spec["groups"].as_array().into_iter().flatten();
    User {
        name: text("user"),
        groups: groups.filter_map(|group| group.as_str().map(str::to_owned)).collect(),
        uid: text("uid"),
    }
}

fn access(state: &State, user: &User, body: &Value) -> Value {
    let spec = &body["spec"];
    let path = &spec["nonResourceAttributes"];
    if path.is_object() {
        let text = |field: &str| path[field].as_str().unwrap_or_default();
        return json!({"allowed": rbac::path_allowed(&state.store, user, text("verb"), text("path"))});
    }
    let attributes = &spec["resourceAttributes"];
    let text = |field: &str| attributes[field].as_str().unwrap_or_default();
    let resource = match text("subresource") {
        "" => text("resource").to_owned(),
        part => format!("{}/{part}", text("resource")),
    };
    let access = Access {
        verb: text("verb"),
        group: text("group"),
        resource: &resource,
        name: text("name"),
        namespace: text("namespace"),
    };
    match rbac::explain(&state.store, user, &access) {
        Some(why) if why.is_empty() => json!({"allowed": true}),
        Some(why) => json!({"allowed": true, "reason": why}),
        None => json!({"allowed": false}),
    }
}

fn token(state: &State, body: &Value, now: Timestamp) -> Value {
    let token = body["spec"]["token"].as_str().unwrap_or_default();
    match state.user_of(token, now) {
        Some(user) => json!({"authenticated": true, "user": user_info(user)}),
        None => json!({"authenticated": false, "error": "invalid bearer token"}),
    }
}

/// How long a requested token lasts, in seconds.
///
/// # Errors
/// 422 for less than ten minutes.
pub(crate) fn token_seconds(body: &Value) -> Result<i64> {
    let seconds = body["spec"]["expirationSeconds"].as_i64().unwrap_or(3600);
    if seconds < 600 {
        let shown = json!(seconds);
        let cause = Cause::invalid(
            "spec.expirationSeconds",
            &shown,
            "may not specify a duration less than 10 minutes",
        );
        return Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", &[cause]));
    }
    Ok(seconds)
}
