//! OpenShift's users, groups and identities: what their names may be, and the mapping between a user and an identity.
//!
//! Source: the API reference of `user.openshift.io/v1`, and the rules that `oc create user`, `oc create identity` and
//! `oc create useridentitymapping` run into.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::{GROUPS, IDENTITIES, Kind, USER, USER_IDENTITY_MAPPINGS, USERS};
use super::names::path_segment_fault;
use super::objects::{self, Writer};
use super::status::{ApiError, Cause, Result};
use super::store::{Store, Stored};

/// Faults of the name of a user or a group.
fn user_name_fault(name: &str) -> Option<String> {
    path_segment_fault(name).or_else(|| match name {
        "~" => Some("may not equal \"~\"".to_owned()),
        _ => name.contains(':').then(|| "may not contain \":\"".to_owned()),
    })
}

/// Faults of an object's own name.
pub(crate) fn name_fault(kind: &Kind, name: &str) -> Option<String> {
    if kind == USERS || kind == GROUPS {
        return user_name_fault(name);
    }
    let whole = name
        .split_once(':')
        .is_some_and(|(provider, user)| !provider.is_empty() && !user.is_empty() && !user.contains(':'));
    let shape = || "must be in the format <providerName>:<providerUserName>".to_owned();
    path_segment_fault(name).or_else(|| (!whole).then(shape))
}

/// Faults of what an object says.
pub(crate) fn faults(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    if kind == GROUPS {
        for (at, user) in object["users"].as_array().into_iter().flatten().enumerate() {
            let name = user.as_str().unwrap_or_default();
            let empty = || name.is_empty().then(|| "must not be empty".to_owned());
            if let Some(why) = user_name_fault(name).or_else(empty) {
                causes.push(Cause::invalid(format!("user[{at}]"), user, &why));
            }
        }
    } else if kind == IDENTITIES {
        let part = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let expected = format!("{}:{}", part("providerName"), part("providerUserName"));
        if object["metadata"]["name"].as_str() != Some(&expected) {
            let why = format!("must be {expected}");
            causes.push(Cause::invalid("metadata.name", &object["metadata"]["name"], &why));
        }
    }
}

/// POST useridentitymappings: ties an identity to a user, in both of them.
pub(crate) fn map(store: &mut Store, mut body: Value, writer: &mut Writer<'_>) -> Result<Arc<Stored>> {
    objects::take_type(USER_IDENTITY_MAPPINGS, &mut body)?;
    let named = |field: &str| body[field]["name"].as_str().unwrap_or_default().to_owned();
    let (identity_name, user_name) = (named("identity"), named("user"));
    let missing = |field: &str, name: &str, plural: &str| {
        let why = format!("{plural}.{USER} \"{name}\" not found");
        let cause = Cause::invalid(field, &json!(name), &why);
        ApiError::invalid(USER, USER_IDENTITY_MAPPINGS.kind, &identity_name, &[cause])
    };
    let value = |kind: &Kind, name: &str| store.get(kind, "", name).map(|stored| stored.value());
    let mut identity = value(IDENTITIES, &identity_name)
        .ok_or_else(|| missing("identity.name", &identity_name, IDENTITIES.plural))?;
    if identity["user"]["name"].is_string() {
        return Err(ApiError::already_exists(USER, USER_IDENTITY_MAPPINGS.plural, &identity_name));
    }
    let mut user = value(USERS, &user_name).ok_or_else(|| missing("user.name", &user_name, USERS.plural))?;
    body["metadata"]["name"] = identity_name.clone().into();
    let mapping = objects::create(store, USER_IDENTITY_MAPPINGS, "", body, writer)?;
    if !writer.dry_run {
        identity["user"] = json!({"name": user_name, "uid": user["metadata"]["uid"]});
        let mut identities = user["identities"].as_array().cloned().unwrap_or_default();
        identities.push(identity_name.into());
        user["identities"] = identities.into();
        store.put(IDENTITIES, identity);
        store.put(USERS, user);
    }
    Ok(mapping)
}
