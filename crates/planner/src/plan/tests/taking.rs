//! How the simulated world takes each action.

use std::collections::{BTreeMap, BTreeSet};

use super::project::{Group, Project, labels};
use super::world::{AGENT, RESOURCE, World};
use crate::access::Subject;
use crate::action::{Action, Expect, OwnedKind, Target};
use crate::model::{OrderKind, OrderState, Resource, ResourceState};
use crate::names;
use crate::observed::{Applied, Furnished, Owned, Ownership, RoleBinding};
use crate::subjects::identity_name;

impl World {
    /// `false` if the action failed such that the plan ends.
    pub(super) fn take(&mut self, action: &Action) -> bool {
        if let Action::ApplyRoleBinding { target, subjects, .. } = action {
            self.check_subjects(&target.name, subjects);
        }
        match action {
            Action::Approve { .. } => self.facts.orders[0].state = OrderState::Executing,
            Action::Reject { comment, .. } => self.end_order(comment),
            Action::MarkErred { message, .. } => {
                assert_eq!(self.order_state(), OrderState::Executing, "only an executing order can be erred");
                self.end_order(message);
            }
            Action::MarkDone { .. } => self.mark_done(),
            Action::SetAllocationOk { .. } => {}
            Action::RequestProject { name, description, .. } => {
                if self.cluster.contains_key(name) {
                    self.refused_requests = true;
                    self.look_up(name);
                    return false;
                }
                let mut project = Project::cut_short(name, AGENT);
                project.namespace.annotations.insert(names::DESCRIPTION.to_owned(), description.clone());
                self.insert_made(project);
            }
            Action::CreateNamespace { name, resource, annotations } => {
                let mut project = Project::labelled(name, *resource);
                project.namespace.annotations = annotations.clone();
                self.insert_made(project);
            }
            Action::ApplyNamespace { target, resource, annotations, labels: more } => {
                let project = self.target(target);
                project.namespace.labels = labels(*resource);
                project.namespace.labels.extend(more.clone());
                project.namespace.annotations.remove(names::TEMPLATE_RECORD);
                for key in project.namespace.applied.take().unwrap_or_default().annotations {
                    project.namespace.annotations.remove(&key);
                }
                let of_template =
                    |key: &&String| !key.starts_with("waldur/") && !key.starts_with("openshift.io/d");
                let keys = |map: &BTreeMap<String, String>| map.keys().filter(of_template).cloned().collect();
                let applied = Applied { labels: keys(more), annotations: keys(annotations) };
                project.namespace.applied = (applied != Applied::default()).then(|| Box::new(applied));
                project.namespace.annotations.extend(annotations.clone());
            }
            Action::MarkNamespace { target, marks, .. } => {
                let annotations = &mut self.target(target).namespace.annotations;
                for (key, value) in marks {
                    match value {
                        Some(value) => drop(annotations.insert((*key).to_owned(), value.clone())),
                        None => drop(annotations.remove(*key)),
                    }
                }
            }
            Action::ChangeWorkload { target, change, .. } => {
                let owners = &mut self.target(target).workloads.owners;
                let owner = owners.iter_mut().find(|owner| owner.uid == change.uid).unwrap();
                assert_eq!(owner.state, change.before);
                (owner.state, owner.remembered) = (change.after, change.remember.clone());
            }
            Action::AdoptNamespace { target, resource, resource_version, annotations, environment } => {
                assert_eq!(resource_version, "7");
                let project = self.target(target);
                project.namespace.labels = labels(*resource);
                let of = environment.clone().map(|environment| (names::ENVIRONMENT.to_owned(), environment));
                project.namespace.labels.extend(of);
                project.namespace.annotations.extend(annotations.clone());
            }
            Action::DeletePythonBinding { namespace, binding, .. } => {
                let project = self.cluster.get_mut(namespace).unwrap();
                assert_eq!(project.namespace.ownership(RESOURCE, AGENT), Ownership::Ours);
                project.left.python.retain(|known| known != binding);
            }
            Action::Furnish { target, expect, object, .. } => {
                let project = self.target(target);
                let id = (object.api.token(), object.name.clone());
                check_expectation(expect, project.furnished.get(&id).map(|seen| seen.uid.as_str()));
                let (api, uid, body) =
                    (object.api.clone(), format!("uid-{}", object.name), object.body.clone());
                let mut body = body;
                body["metadata"]["labels"][names::TEMPLATE] = object.digest().into();
                project
                    .furnished
                    .insert(id, Furnished { api, uid, body, taken: BTreeSet::new(), settled: false });
            }
            Action::Unfurnish { namespace, api, name, uid, .. } => {
                let project = self.cluster.get_mut(namespace).unwrap();
                let removed = project.furnished.remove(&(api.token(), name.clone()));
                assert_eq!(removed.map(|seen| seen.uid).as_ref(), Some(uid));
            }
            Action::Release { kind, namespace, name, .. } => self.release(*kind, namespace, name),
            Action::ApplyQuota { target, expect, name, value, .. } => {
                let project = self.target(target);
                let taken = project.left.quotas.remove(name);
                let known = project.quotas.get(name).or(taken.as_ref());
                check_expectation(expect, known.map(|quota| quota.uid.as_str()));
                if let Some(known) = known {
                    assert_eq!(known.value.scopes, value.scopes, "scopes cannot be changed");
                }
                project.quotas.insert(name.clone(), Owned::new(format!("uid-{name}"), value.clone()));
            }
            Action::DeleteQuota { namespace, name, uid, .. } => {
                let removed = self.cluster.get_mut(namespace).unwrap().quotas.remove(name);
                assert_eq!(removed.map(|quota| quota.uid).as_ref(), Some(uid));
            }
            Action::ApplyClusterQuota { resource, expect, name, value, .. } => {
                assert_eq!(*resource, RESOURCE);
                let known = self.cluster_quotas.get(name);
                check_expectation(expect, known.map(|quota| quota.uid.as_str()));
                if let Some(known) = known {
                    assert_eq!(known.value.scopes, value.scopes, "scopes cannot be changed");
                }
                self.cluster_quotas.insert(name.clone(), Owned::new(format!("uid-{name}"), value.clone()));
            }
            Action::DeleteClusterQuota { name, uid, .. } => {
                let removed = self.cluster_quotas.remove(name);
                assert_eq!(removed.map(|quota| quota.uid).as_ref(), Some(uid));
            }
            Action::ApplyLimitRange { target, expect, value, .. } => {
                let project = self.target(target);
                let taken = project.left.limit_range.take();
                let known = project.limit_range.as_ref().or(taken.as_ref());
                check_expectation(expect, known.map(|range| range.uid.as_str()));
                project.limit_range = Some(Owned::new("range".to_owned(), value.clone()));
            }
            Action::ApplyRoleBinding { target, expect, name, role, subjects, .. } => {
                let project = self.target(target);
                let taken = project.left.bindings.remove(name);
                let known = project.bindings.get(name).or(taken.as_ref());
                check_expectation(expect, known.map(|binding| binding.uid.as_str()));
                if let Some(binding) = project.bindings.get(name) {
                    assert_eq!(binding.value.role, *role, "a role cannot be changed");
                }
                let value = RoleBinding { role: role.clone(), subjects: subjects.clone() };
                project.bindings.insert(name.clone(), Owned::new(format!("uid-{name}"), value));
            }
            Action::ApplyGroup { resource, expect, name, users } => {
                let known = self.groups.get(name);
                if known.is_some_and(|group| group.resource != Some(*resource)) {
                    return self.refuse(Subject::Group(name.clone()));
                }
                check_expectation(expect, known.map(|group| group.uid.as_str()));
                let (uid, users) = (format!("uid-{name}"), users.clone());
                self.groups.insert(name.clone(), Group { resource: Some(*resource), uid, users });
            }
            Action::DeleteGroup { resource, name, uid } => {
                let removed = self.groups.remove(name).unwrap();
                assert_eq!((removed.resource, &removed.uid), (Some(*resource), uid));
            }
            Action::ApplyServiceAccount { target, expect, name, .. } => {
                let project = self.target(target);
                if project.foreign_accounts.contains(name) {
                    return self.refuse(Subject::ServiceAccount(name.clone()));
                }
                check_expectation(expect, project.service_accounts.get(name).map(String::as_str));
                project.service_accounts.insert(name.clone(), format!("uid-{name}"));
            }
            Action::DeleteServiceAccount { namespace, name, uid, .. } => {
                let removed = self.cluster.get_mut(namespace).unwrap().service_accounts.remove(name);
                assert_eq!(removed.as_ref(), Some(uid));
            }
            Action::EnsureIdentity { provider, username } => {
                self.identities.insert(identity_name(provider, username));
            }
            Action::DeleteRoleBinding { namespace, name, uid, .. } => {
                let removed = self.cluster.get_mut(namespace).unwrap().bindings.remove(name);
                assert_eq!(removed.map(|binding| binding.uid).as_ref(), Some(uid));
            }
            Action::SetMembershipStatuses { statuses, .. } => {
                self.facts.told_statuses = Some(statuses.clone())
            }
            Action::SetResourceOk { .. } => self.resource_mut().state = ResourceState::Ok,
            Action::SetResourceErred { message, .. } => {
                self.resource_mut().state = ResourceState::Erred;
                self.resource_mut().error_message = message.clone();
            }
            Action::RefreshLastSync { .. } => {}
            Action::ReportUsage { .. } => {
                assert_eq!(
                    self.order_state(),
                    OrderState::Executing,
                    "Waldur takes usage of what is going away"
                );
            }
            Action::DeleteNamespace { name, uid, .. } => {
                let namespace = &mut self.cluster.get_mut(name).unwrap().namespace;
                assert_eq!(namespace.uid, *uid);
                namespace.terminating = true;
            }
            Action::SetBackendId { backend_id, .. } => self.resource_mut().backend_id = backend_id.clone(),
            Action::SetBackendMetadata { metadata, .. } => {
                self.resource_mut().backend_metadata = metadata.clone()
            }
        }
        true
    }

    fn release(&mut self, kind: OwnedKind, namespace: &str, name: &str) {
        if kind == OwnedKind::ClusterQuota {
            let (quota, resource) = names::of_cluster_quota(name).unwrap();
            assert_eq!(resource, RESOURCE);
            self.cluster_quotas.remove(quota).unwrap();
            return;
        }
        let place = if kind == OwnedKind::Namespace { name } else { namespace };
        let project = self.cluster.get_mut(place).unwrap();
        match kind {
            OwnedKind::Namespace => project.namespace.labels.clear(),
            OwnedKind::Quota => {
                let quota = project.quotas.remove(name).unwrap();
                project.left.quotas.insert(name.to_owned(), quota);
            }
            OwnedKind::LimitRange => project.left.limit_range = project.limit_range.take(),
            OwnedKind::RoleBinding => {
                let binding = project.bindings.remove(name).unwrap();
                project.left.bindings.insert(name.to_owned(), binding);
            }
            OwnedKind::Group | OwnedKind::ServiceAccount | OwnedKind::ClusterQuota => {
                panic!("not in this world: {name}")
            }
        }
    }

    fn refuse(&mut self, subject: Subject) -> bool {
        self.refused.insert(subject, "somebody else has the name".to_owned());
        false
    }

    /// Groups and service accounts that are bound are there, and are ours.
    fn check_subjects(&self, namespace: &str, subjects: &BTreeSet<Subject>) {
        for subject in subjects {
            match subject {
                Subject::User(_) => {}
                Subject::Group(name) => assert_eq!(self.groups[name].resource, Some(RESOURCE), "{name}"),
                Subject::ServiceAccount(name) => {
                    assert!(self.cluster[namespace].service_accounts.contains_key(name), "{name}");
                }
            }
        }
    }

    fn insert_made(&mut self, mut project: Project) {
        self.made += 1;
        project.namespace.uid = format!("made-{}", self.made);
        project.namespace.created = Some(self.now);
        self.cluster.insert(project.namespace.name.clone(), project);
    }

    fn target(&mut self, target: &Target) -> &mut Project {
        let project = self.cluster.get_mut(&target.name).unwrap();
        if let Some(uid) = &target.uid {
            assert_eq!(*uid, project.namespace.uid);
        }
        project
    }

    fn end_order(&mut self, message: &str) {
        self.facts.orders[0].state = OrderState::Settled;
        self.messages.push(message.to_owned());
    }

    /// Contract §3.8.
    fn mark_done(&mut self) {
        let order = &mut self.facts.orders[0];
        assert_eq!(order.state, OrderState::Executing);
        order.state = OrderState::Settled;
        let (kind, ordered) = (order.kind, order.limits.clone());
        let resource = self.resource_mut();
        resource.state =
            if kind == OrderKind::Terminate { ResourceState::Terminated } else { ResourceState::Ok };
        if kind == OrderKind::Update && !ordered.is_empty() {
            resource.limits = ordered;
        }
    }

    pub(super) fn resource_mut(&mut self) -> &mut Resource {
        self.facts.resource.as_mut().unwrap()
    }
}

fn check_expectation(expect: &Expect, uid: Option<&str>) {
    match expect {
        Expect::Fresh | Expect::Absent => assert_eq!(uid, None),
        Expect::Uid(expected) => assert_eq!(uid, Some(expected.as_str())),
    }
}
