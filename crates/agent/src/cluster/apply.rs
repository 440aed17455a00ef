//! Carries out the planner's actions on the cluster. The only place that writes to it.
//!
//! Every write is tied to an object that is ours: by the uid that it was seen with, by having been made a moment
//! ago, or by a look that there is nothing of anybody else. Answers feed the store, so that the next look at the
//! same key sees what was written.

use kube::api::DynamicObject;
use planner::action::{Action, Expect, Target};
use planner::names;
use planner::observed::Ownership;
use planner::outcome::Failure;
use planner::policy::Flavour;
use serde_json::Value;
use uuid::Uuid;

use super::connect::Cluster;
use super::kinds::{self, Kind};
use super::observe::object;
use crate::error::{ApiError, Peer};

/// Writes of one plan; remembers the namespace that the plan has made.
#[derive(Debug)]
pub(crate) struct Writes<'a> {
    cluster: &'a Cluster,
    flavour: Flavour,
    requester: &'a str,
    made: Option<String>,
}

impl<'a> Writes<'a> {
    pub(crate) const fn new(cluster: &'a Cluster, flavour: Flavour, requester: &'a str) -> Self {
        Self { cluster, flavour, requester, made: None }
    }

    /// Carries out an action on the cluster; `false` if the action is none for the cluster.
    pub(crate) async fn carry_out(&mut self, action: &Action) -> Result<bool, ApiError> {
        match action {
            Action::RequestProject { name, display_name, description } => {
                let body = kinds::project_request(name, display_name, description);
                let made =
                    self.cluster.http.post("/apis/project.openshift.io/v1/projectrequests", &body).await?;
                self.remember(&made);
            }
            Action::CreateNamespace { name, resource, annotations } => {
                let body = kinds::namespace(name, None, *resource, annotations);
                let path = format!("/api/v1/namespaces?fieldManager={}", super::http::FIELD_MANAGER);
                let made = self.cluster.http.post(&path, &body).await?;
                self.remember(&made);
                self.saw(Kind::Namespace, made);
            }
            Action::ApplyNamespace { target, resource, annotations } => {
                let uid = self.uid(target)?;
                let body = kinds::namespace(&target.name, Some(&uid), *resource, annotations);
                let seen = self.cluster.http.apply(&kinds::namespace_path(&target.name), &body).await?;
                self.saw(Kind::Namespace, seen);
            }
            Action::ApplyQuota { target, resource, expect, hard, .. } => {
                let path = Kind::Quota.object_path(&target.name, names::QUOTA);
                let uid = self.checked(&path, *resource, expect).await?;
                let body = kinds::quota(&target.name, uid.as_deref(), *resource, hard);
                self.write(Kind::Quota, &path, &body).await?;
            }
            Action::ApplyLimitRange { target, resource, expect, value } => {
                let path = Kind::LimitRange.object_path(&target.name, names::LIMIT_RANGE);
                let uid = self.checked(&path, *resource, expect).await?;
                let body = kinds::limit_range(&target.name, uid.as_deref(), *resource, value);
                self.write(Kind::LimitRange, &path, &body).await?;
            }
            Action::ApplyRoleBinding { target, resource, expect, name, role, subjects } => {
                let path = Kind::RoleBinding.object_path(&target.name, name);
                let uid = self.checked(&path, *resource, expect).await?;
                let place = (target.name.as_str(), name.as_str());
                let body = kinds::role_binding(place, uid.as_deref(), *resource, role, subjects);
                let written = self.write(Kind::RoleBinding, &path, &body).await;
                written.map_err(|error| without_role(error, role))?;
            }
            Action::DeleteRoleBinding { namespace, resource, name, uid } => {
                self.delete_binding(namespace, *resource, name, uid).await?;
            }
            Action::DeleteNamespace { name, uid, resource } => self.delete(name, uid, *resource).await?,
            Action::Approve { .. }
            | Action::Reject { .. }
            | Action::SetAllocationOk { .. }
            | Action::SetBackendId { .. }
            | Action::SetBackendMetadata { .. }
            | Action::SetMembershipStatuses { .. }
            | Action::SetResourceOk { .. }
            | Action::SetResourceErred { .. }
            | Action::RefreshLastSync { .. }
            | Action::MarkDone { .. }
            | Action::MarkErred { .. } => return Ok(false),
        }
        Ok(true)
    }

    /// Deletes after one more look: what the store says may be a moment old.
    async fn delete(&self, name: &str, uid: &str, resource: Uuid) -> Result<(), ApiError> {
        let path = match self.flavour {
            Flavour::OpenShift => format!("/apis/project.openshift.io/v1/projects/{name}"),
            Flavour::Kubernetes => kinds::namespace_path(name),
        };
        names::check_namespace(name)
            .map_err(|error| not_ours(&format!("DELETE {path}"), &error.to_string()))?;
        let Some(namespace) = self.cluster.namespace(name).await? else {
            return Ok(());
        };
        let ours =
            matches!(namespace.ownership(resource, self.requester), Ownership::Ours | Ownership::CutShort);
        if !ours || namespace.uid != uid {
            return Err(not_ours(
                &format!("DELETE {path}"),
                "the namespace is not the one that was to be deleted",
            ));
        }
        if namespace.terminating {
            return Ok(());
        }
        match self.cluster.http.delete(&path, &kinds::delete_options(uid)).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Deletes one of our bindings. Whoever is in it is let out; the binding itself says whose it is.
    async fn delete_binding(
        &self,
        namespace: &str,
        resource: Uuid,
        name: &str,
        uid: &str,
    ) -> Result<(), ApiError> {
        let path = Kind::RoleBinding.object_path(namespace, name);
        let found = match self.cluster.http.get(&path).await {
            Ok(found) => object(found),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let Some(found) = found else {
            self.cluster.write_store(|store| store.binding_gone(namespace, name));
            return Ok(());
        };
        if kinds::resource_of(&found) != Some(resource) || found.metadata.uid.as_deref() != Some(uid) {
            return Err(not_ours(
                &format!("DELETE {path}"),
                "the binding is not the one that was to be deleted",
            ));
        }
        match self.cluster.http.delete(&path, &kinds::delete_options(uid)).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => {
                self.cluster.write_store(|store| store.binding_gone(namespace, name));
                Ok(())
            }
        }
    }

    async fn write(&self, kind: Kind, path: &str, body: &Value) -> Result<(), ApiError> {
        let seen = self.cluster.http.apply(path, body).await?;
        self.saw(kind, seen);
        Ok(())
    }

    /// The uid to write with; `None` for an object that does not exist yet.
    async fn checked(&self, path: &str, resource: Uuid, expect: &Expect) -> Result<Option<String>, ApiError> {
        match expect {
            Expect::Fresh => Ok(None),
            Expect::Uid(uid) => Ok(Some(uid.clone())),
            Expect::Absent => {
                let found = match self.cluster.http.get(path).await {
                    Ok(found) => object(found),
                    Err(error) if error.is_not_found() => None,
                    Err(error) => return Err(error),
                };
                match found {
                    None => Ok(None),
                    Some(found) if kinds::resource_of(&found) == Some(resource) => Ok(found.metadata.uid),
                    Some(_) => Err(not_ours(
                        &format!("PATCH {path}"),
                        "an object of that name exists and does not carry this agent's labels; remove or adopt it",
                    )),
                }
            }
        }
    }

    fn uid(&self, target: &Target) -> Result<String, ApiError> {
        let uid = target.uid.as_ref().or(self.made.as_ref()).cloned();
        uid.ok_or_else(|| not_ours(&format!("PATCH namespace {}", target.name), "its uid is not known"))
    }

    fn remember(&mut self, made: &Value) {
        self.made = made.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned);
    }

    fn saw(&self, kind: Kind, value: Value) {
        if let Some(object) = object(value) {
            let object: DynamicObject = object;
            self.cluster.write_store(|store| store.apply(kind, &object));
        }
    }
}

/// A binding to a role that the cluster does not have is answered like one in a namespace that it does not have
/// (Kubernetes: the error names the role, and role bindings as its kind). Trying again does not help the former.
fn without_role(error: ApiError, role: &str) -> ApiError {
    let names_it =
        error.message.contains("rolebindings") && error.message.contains(&format!("\"{role}\" not found"));
    if !error.is_not_found() || !names_it {
        return error;
    }
    let message =
        format!("the cluster has no ClusterRole `{role}`; correct `role_map` or `default_role`, or make it");
    ApiError { failure: Failure::Invalid, message, ..error }
}

fn not_ours(request: &str, message: &str) -> ApiError {
    ApiError { failure: Failure::NotOurs, ..ApiError::unexpected(Peer::Cluster, request, message) }
}
