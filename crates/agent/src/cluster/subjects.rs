//! Groups, service accounts, users and identities to and from the planner's values. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::DynamicObject;
use planner::names;
use planner::observed::Owned;
use planner::subjects::identity_name;
use serde_json::{Value, json};
use uuid::Uuid;

use super::kinds::{self, Kind};

/// API group of users, groups and identities.
pub(crate) const USER: &str = "user.openshift.io";

/// Which kinds of objects the configuration needs besides those that every project has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Limit ranges beside quotas.
    pub limit_ranges: bool,
    /// Role bindings for members.
    pub access: bool,
    /// Groups of our own.
    pub groups: bool,
    /// Service accounts in projects.
    pub service_accounts: bool,
    /// Users who are known to an identity provider before their first login.
    pub identities: bool,
    /// Workloads of tenants, which are stopped and started.
    pub workloads: bool,
}

impl Needs {
    /// All kinds that have to be read.
    pub(crate) fn kinds(self) -> Vec<Kind> {
        let more = [
            (self.groups, Kind::Group),
            (self.service_accounts, Kind::ServiceAccount),
            (self.identities, Kind::Identity),
        ];
        let more = more.into_iter().filter(|(needed, _)| *needed).map(|(_, kind)| kind);
        Kind::ALWAYS.into_iter().chain(more).collect()
    }
}

/// One of our groups. Its users are one list, so that the apply replaces them all.
pub(crate) fn group(name: &str, uid: Option<&str>, resource: Uuid, users: &BTreeSet<String>) -> Value {
    let mut body = json!({
        "apiVersion": "user.openshift.io/v1",
        "kind": "Group",
        "metadata": {"name": name, "labels": kinds::labels(resource)},
        "users": users,
    });
    kinds::set_uid(&mut body, uid);
    body
}

/// Users of a group.
pub(crate) fn read_group(object: &DynamicObject) -> Owned<BTreeSet<String>> {
    let users = object.data["users"].as_array().into_iter().flatten();
    Owned {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        value: users.filter_map(|user| user.as_str().map(str::to_owned)).collect(),
        edited_by: BTreeMap::new(),
    }
}

/// One of our service accounts.
pub(crate) fn service_account((namespace, name): (&str, &str), uid: Option<&str>, resource: Uuid) -> Value {
    let mut body = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace, "labels": kinds::labels(resource)},
    });
    kinds::set_uid(&mut body, uid);
    body
}

/// Label of users and identities that we make. They belong to no resource: all of a user's projects share them.
fn shared() -> Value {
    json!({names::MANAGED_BY: names::MANAGED_BY_VALUE})
}

/// A user who has not logged in yet (OpenShift: User).
pub(crate) fn user(name: &str) -> Value {
    json!({
        "apiVersion": "user.openshift.io/v1",
        "kind": "User",
        "metadata": {"name": name, "labels": shared()},
    })
}

/// A user as the provider knows them (OpenShift: Identity). Whose it is, the mapping says.
pub(crate) fn identity(provider: &str, username: &str) -> Value {
    json!({
        "apiVersion": "user.openshift.io/v1",
        "kind": "Identity",
        "metadata": {"name": identity_name(provider, username), "labels": shared()},
        "providerName": provider,
        "providerUserName": username,
    })
}

/// Ties an identity to its user (OpenShift: UserIdentityMapping, which is kept in both of them).
pub(crate) fn mapping(provider: &str, username: &str) -> Value {
    let name = identity_name(provider, username);
    json!({
        "apiVersion": "user.openshift.io/v1",
        "kind": "UserIdentityMapping",
        "metadata": {"name": name},
        "identity": {"name": name},
        "user": {"name": username},
    })
}

/// True if an identity is mapped to the user of its name.
pub(crate) fn is_mapped(object: &DynamicObject) -> bool {
    let user = object.data.pointer("/user/name").and_then(Value::as_str);
    user.is_some() && object.data["providerUserName"].as_str() == user
}

/// The user of another name to whom an identity is mapped.
pub(crate) fn mapped_elsewhere(object: &DynamicObject) -> Option<String> {
    let user = object.data.pointer("/user/name").and_then(Value::as_str)?;
    (object.data["providerUserName"].as_str() != Some(user)).then(|| user.to_owned())
}

/// A name as part of a path.
pub(crate) fn path_segment(name: &str) -> String {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    // In a path a blank is not a plus.
    name.replace('+', "%20")
}
