//! Carries out the planner's actions on the cluster. The only place that writes to it.
//!
//! Every write is tied to an object that is ours: by the uid that it was seen with, by having been made a moment
//! ago, or by a look that there is nothing of anybody else. Answers feed the store, so that the next look at the
//! same key sees what was written.

mod ledger;
mod remove;
mod subjects;

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use planner::access::Subject;
use planner::action::{Action, Expect, OwnedKind, Target};
use planner::names;
use planner::observed::Ownership;
use planner::outcome::Failure;
use planner::policy::Flavour;
use planner::template::Furnishing;
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) use self::ledger::{delete_ledger, write_ledger};
use super::connect::Cluster;
use super::kinds::{self, Kind};
use super::observe::object;
use super::{quotas, template, workloads};
use crate::error::{ApiError, Peer};

/// Writes of one plan; remembers the namespaces that the plan has made.
#[derive(Debug)]
pub(crate) struct Writes<'a> {
    cluster: &'a Cluster,
    flavour: Flavour,
    requester: &'a str,
    /// Uids by name.
    made: BTreeMap<String, String>,
    /// Uid of the namespace that was found to be ours a moment ago.
    ours: Option<String>,
}

/// An Event in a namespace, about the namespace (Kubernetes: Event).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note<'a> {
    pub(crate) namespace: &'a str,
    /// `Normal` or `Warning`.
    pub(crate) kind: &'a str,
    /// One word.
    pub(crate) reason: &'a str,
    /// For people; at most 1024 bytes.
    pub(crate) message: &'a str,
}

impl<'a> Writes<'a> {
    pub(crate) const fn new(cluster: &'a Cluster, flavour: Flavour, requester: &'a str) -> Self {
        Self { cluster, flavour, requester, made: BTreeMap::new(), ours: None }
    }

    /// Carries out an action on the cluster; `false` if the action is none for the cluster.
    pub(crate) async fn carry_out(&mut self, action: &Action) -> Result<bool, ApiError> {
        match action {
            Action::RequestProject { name, display_name, description } => {
                let body = kinds::project_request(name, display_name, description);
                let made =
                    self.cluster.http.post("/apis/project.openshift.io/v1/projectrequests", &body).await?;
                self.remember(name, &made);
            }
            Action::CreateNamespace { name, resource, annotations } => {
                let body = kinds::namespace(name, None, *resource, annotations);
                let path = format!("/api/v1/namespaces?fieldManager={}", super::http::FIELD_MANAGER);
                let made = self.cluster.http.post(&path, &body).await?;
                self.remember(name, &made);
                self.saw(Kind::Namespace, made);
            }
            Action::ApplyNamespace { target, resource, annotations, labels } => {
                let uid = self.uid(target)?;
                let mut body = kinds::namespace(&target.name, Some(&uid), *resource, annotations);
                for (key, value) in labels {
                    body["metadata"]["labels"][key] = Value::from(value.as_str());
                }
                let seen = self.cluster.http.apply(&kinds::namespace_path(&target.name), &body).await?;
                self.saw(Kind::Namespace, seen);
            }
            Action::MarkNamespace { target, marks, .. } => {
                let body = json!({"metadata": {"uid": self.uid(target)?, "annotations": marks}});
                let seen = self.cluster.http.patch(&kinds::namespace_path(&target.name), &body).await?;
                self.saw(Kind::Namespace, seen);
            }
            Action::ChangeWorkload { target, resource, change } => {
                self.check_ours(target, *resource).await?;
                let path = workloads::path(change.kind, &target.name, &change.name);
                self.cluster.http.patch(&path, &workloads::body(change)).await?;
            }
            Action::AdoptNamespace { target, resource, resource_version, annotations, environment } => {
                let uid = self.uid(target)?;
                let mut body = kinds::namespace(&target.name, Some(&uid), *resource, annotations);
                body["metadata"]["resourceVersion"] = Value::from(resource_version.as_str());
                if let Some(environment) = environment {
                    body["metadata"]["labels"][names::ENVIRONMENT] = Value::from(environment.as_str());
                }
                self.adopt(&target.name, &body).await?;
            }
            Action::Furnish { target, resource, expect, object } => {
                self.furnish(target, *resource, expect, object).await?;
            }
            Action::Unfurnish { namespace, resource, api, name, uid } => {
                self.unfurnish(namespace, api, (*resource, name, uid)).await?;
            }
            Action::DeletePythonBinding { namespace, resource, binding } => {
                self.delete_python_binding(namespace, *resource, binding).await?;
            }
            Action::Release { kind, namespace, resource, name, uid } => {
                self.release(*kind, namespace, (*resource, name, uid)).await?;
            }
            Action::ApplyQuota { target, resource, expect, name, value, .. } => {
                let path = Kind::Quota.object_path(&target.name, name);
                let uid = self.checked(&path, *resource, expect).await?;
                let body = quotas::quota((&target.name, name), uid.as_deref(), *resource, value);
                self.write(Kind::Quota, &path, &body).await?;
            }
            Action::DeleteQuota { namespace, resource, name, uid } => {
                let path = Kind::Quota.object_path(namespace, name);
                self.delete_object(Kind::Quota, &path, namespace, (*resource, name, uid)).await?;
            }
            Action::ApplyClusterQuota { resource, expect, name, value, .. } => {
                let name = names::cluster_quota(name, *resource);
                let path = Kind::ClusterQuota.cluster_path(&name);
                let uid = self.checked(&path, *resource, expect).await?;
                let body = quotas::cluster_quota(&name, uid.as_deref(), *resource, value);
                self.write(Kind::ClusterQuota, &path, &body).await?;
            }
            Action::DeleteClusterQuota { resource, name, uid } => {
                let name = names::cluster_quota(name, *resource);
                let (path, place) = (Kind::ClusterQuota.cluster_path(&name), resource.simple().to_string());
                self.delete_object(Kind::ClusterQuota, &path, &place, (*resource, &name, uid)).await?;
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
                let path = Kind::RoleBinding.object_path(namespace, name);
                self.delete_object(Kind::RoleBinding, &path, namespace, (*resource, name, uid)).await?;
            }
            Action::ApplyGroup { resource, expect, name, users } => {
                let written = self.write_group(*resource, expect, name, users).await;
                self.note_refusal(*resource, Subject::Group(name.clone()), &written);
                written?;
            }
            Action::DeleteGroup { resource, name, uid } => {
                let (path, place) = (Kind::Group.cluster_path(name), resource.simple().to_string());
                self.delete_object(Kind::Group, &path, &place, (*resource, name, uid)).await?;
            }
            Action::ApplyServiceAccount { target, resource, expect, name } => {
                let written = self.write_service_account(target, *resource, expect, name).await;
                self.note_refusal(*resource, Subject::ServiceAccount(name.clone()), &written);
                written?;
            }
            Action::DeleteServiceAccount { namespace, resource, name, uid } => {
                let path = Kind::ServiceAccount.object_path(namespace, name);
                self.delete_object(Kind::ServiceAccount, &path, namespace, (*resource, name, uid)).await?;
            }
            Action::EnsureIdentity { provider, username } => self.ensure_identity(provider, username).await?,
            Action::DeleteNamespace { name, uid, resource } => self.delete(name, uid, *resource).await?,
            Action::Approve { .. }
            | Action::Reject { .. }
            | Action::SetAllocationOk { .. }
            | Action::ReportUsage { .. }
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

    /// Looks once more whether a namespace is the one that was seen, and ours: what is written next has no labels of
    /// ours that could say so.
    async fn check_ours(&mut self, target: &Target, resource: Uuid) -> Result<(), ApiError> {
        let uid = self.uid(target)?;
        if self.ours.as_ref() == Some(&uid) {
            return Ok(());
        }
        let found = self.cluster.namespace(&target.name).await?;
        let ours = found.is_some_and(|namespace| {
            namespace.uid == uid
                && !namespace.terminating
                && namespace.ownership(resource, self.requester) == Ownership::Ours
        });
        if !ours {
            let request = format!("PATCH workloads in {}", target.name);
            return Err(not_ours(
                &request,
                "the namespace is not the one whose workloads were to be changed",
            ));
        }
        self.ours = Some(uid);
        Ok(())
    }

    /// Leaves an Event where the agent may.
    pub(crate) async fn note(&self, note: &Note<'_>) -> Result<(), ApiError> {
        let may =
            self.cluster.read_state(|state| state.surroundings.as_ref().is_some_and(|known| known.events));
        if !may {
            return Ok(());
        }
        let path = format!("/api/v1/namespaces/{}/events", note.namespace);
        let body = kinds::event(note, jiff::Timestamp::now());
        self.cluster.http.post(&path, &body).await.map(drop)
    }

    /// Labels a namespace of somebody else in the state in which the operator has seen it.
    async fn adopt(&self, name: &str, body: &Value) -> Result<(), ApiError> {
        let path = kinds::namespace_path(name);
        let request = format!("PATCH {path}");
        names::check_namespace(name).map_err(|error| not_ours(&request, &error.to_string()))?;
        let seen = self.cluster.http.apply(&path, body).await?;
        self.saw(Kind::Namespace, seen);
        Ok(())
    }

    /// Makes or changes an object of the template. Where a field cannot be changed and the template says so, it is made anew.
    async fn furnish(
        &self,
        target: &Target,
        resource: Uuid,
        expect: &Expect,
        object: &Furnishing,
    ) -> Result<(), ApiError> {
        let path = template::object_path(&object.api, &target.name, &object.name);
        let uid = self.checked(&path, resource, expect).await?;
        let body = kinds::furnishing(object, &target.name, uid.as_deref(), resource);
        let written = match (self.cluster.http.apply(&path, &body).await, &uid) {
            (Err(error), Some(uid)) if is_immutable(&error) && object.recreate => {
                self.cluster.http.delete(&path, &kinds::delete_options(uid)).await?;
                let body = kinds::furnishing(object, &target.name, None, resource);
                self.cluster.http.apply(&path, &body).await
            }
            (written, _) => written,
        };
        let answer = written.map_err(|error| match is_immutable(&error) {
            true => error.with_hint("`recreate: true` lets the agent delete the object and make it anew"),
            false => error,
        })?;
        self.cluster.furnished.wrote(&object.api, &answer);
        Ok(())
    }

    async fn look(&self, path: &str) -> Result<Option<DynamicObject>, ApiError> {
        match self.cluster.http.get(path).await {
            Ok(found) => Ok(object(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
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
            Expect::Absent => match self.look(path).await? {
                None => Ok(None),
                Some(found) if kinds::resource_of(&found) == Some(resource) => Ok(found.metadata.uid),
                Some(_) => Err(not_ours(
                    &format!("PATCH {path}"),
                    "an object of that name exists and does not carry this agent's labels; remove or adopt it",
                )),
            },
        }
    }

    fn uid(&self, target: &Target) -> Result<String, ApiError> {
        let uid = target.uid.as_ref().or_else(|| self.made.get(&target.name)).cloned();
        uid.ok_or_else(|| not_ours(&format!("PATCH namespace {}", target.name), "its uid is not known"))
    }

    fn remember(&mut self, name: &str, made: &Value) {
        let uid = made.pointer("/metadata/uid").and_then(Value::as_str);
        self.made.extend(uid.map(|uid| (name.to_owned(), uid.to_owned())));
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

/// The API server refuses to change the field (Kubernetes: validation of updates).
fn is_immutable(error: &ApiError) -> bool {
    error.failure == Failure::Invalid
        && ["immutable", "cannot change", "may not be changed", "Forbidden: updates to"]
            .iter()
            .any(|words| error.message.contains(words))
}

const fn kind_of(kind: OwnedKind) -> Kind {
    match kind {
        OwnedKind::Namespace => Kind::Namespace,
        OwnedKind::Quota => Kind::Quota,
        OwnedKind::LimitRange => Kind::LimitRange,
        OwnedKind::RoleBinding => Kind::RoleBinding,
        OwnedKind::Group => Kind::Group,
        OwnedKind::ServiceAccount => Kind::ServiceAccount,
        OwnedKind::ClusterQuota => Kind::ClusterQuota,
    }
}

fn not_ours(request: &str, message: &str) -> ApiError {
    ApiError { failure: Failure::NotOurs, ..ApiError::unexpected(Peer::Cluster, request, message) }
}
