//! Waldur and a cluster as plain values, which take actions as the real ones do.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::access::Subject;
use crate::action::{Action, Expect, OwnedKind, Target};
use crate::desired::{self, Command, Facts};
use crate::finding::Finding;
use crate::model::{Offering, Order, OrderKind, OrderState, Resource, ResourceState};
use crate::names;
use crate::observed::{
    Applied, Furnished, Lookup, Namespace, Observed, Owned, Ownership, RoleBinding, Survey,
};
use crate::plan::{LookInto, Plan, plan};
use crate::policy::{LimitRangePolicy, Policy};
use crate::quota::{Hard, Hards, Quota};
use crate::subjects::identity_name;
use crate::workloads::Workloads;

pub(super) use super::facts::{amount, limits, order, person, policy, resource};

pub(super) const RESOURCE: Uuid = Uuid::from_u128(0x7f6e_5d4c_3b2a_1908_0706_0504_0302_0100);
pub(super) const OTHER: Uuid = Uuid::from_u128(1);
pub(super) const AGENT: &str = "system:serviceaccount:waldur:agent";

/// A namespace with what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Project {
    pub(super) namespace: Namespace,
    pub(super) quotas: BTreeMap<String, Owned<Quota>>,
    pub(super) limit_range: Option<Owned<LimitRangePolicy>>,
    pub(super) bindings: BTreeMap<String, Owned<RoleBinding>>,
    /// Uids of our service accounts.
    pub(super) service_accounts: BTreeMap<String, String>,
    /// Service accounts that somebody else made.
    pub(super) foreign_accounts: BTreeSet<String>,
    /// Objects of the template.
    pub(super) furnished: BTreeMap<(String, String), Furnished>,
    pub(super) workloads: Workloads,
    /// What is in use.
    pub(super) used: Hards,
    /// What carries no labels.
    pub(super) left: Survey,
}

/// A group of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The resource of its labels; `None` for a group without ours.
    pub(super) resource: Option<Uuid>,
    pub(super) uid: String,
    pub(super) users: BTreeSet<String>,
}

impl Project {
    pub(super) fn foreign(name: &str) -> Self {
        let namespace = Namespace {
            name: name.to_owned(),
            uid: format!("foreign-{name}"),
            created: Some(World::START),
            ..Namespace::default()
        };
        Self {
            namespace,
            quotas: BTreeMap::new(),
            limit_range: None,
            bindings: BTreeMap::new(),
            service_accounts: BTreeMap::new(),
            foreign_accounts: BTreeSet::new(),
            furnished: BTreeMap::new(),
            workloads: Workloads::default(),
            used: Hards::new(),
            left: Survey { resource_version: "7".to_owned(), ..Survey::default() },
        }
    }

    /// What its quota says.
    pub(super) fn hard(&self) -> &Hard {
        &self.quotas[names::QUOTA].value.hard
    }

    /// Its quota.
    pub(super) fn quota(&mut self) -> &mut Owned<Quota> {
        self.quotas.get_mut(names::QUOTA).unwrap()
    }

    pub(super) fn labelled(name: &str, resource: Uuid) -> Self {
        let mut project = Self::foreign(name);
        project.namespace.labels = labels(resource);
        project
    }

    /// As a create leaves it that was cut short after the ProjectRequest.
    pub(super) fn cut_short(name: &str, requester: &str) -> Self {
        let mut project = Self::foreign(name);
        let texts =
            [(names::DESCRIPTION, names::create_marker(RESOURCE)), (names::REQUESTER, requester.to_owned())];
        project.namespace.annotations = texts.into_iter().map(|(key, text)| (key.to_owned(), text)).collect();
        project
    }
}

fn labels(resource: Uuid) -> BTreeMap<String, String> {
    BTreeMap::from([
        (names::MANAGED_BY.to_owned(), names::MANAGED_BY_VALUE.to_owned()),
        (names::RESOURCE_UUID.to_owned(), resource.simple().to_string()),
    ])
}

/// Waldur and the cluster.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) facts: Facts,
    pub(super) cluster: BTreeMap<String, Project>,
    pub(super) groups: BTreeMap<String, Group>,
    /// Our quotas over several namespaces.
    pub(super) cluster_quotas: BTreeMap<String, Owned<Quota>>,
    /// `provider:username`.
    pub(super) identities: BTreeSet<String>,
    refused: BTreeMap<Subject, String>,
    pub(super) now: Timestamp,
    pub(super) messages: Vec<String>,
    /// By the cluster's clock.
    pub(super) server_time: Option<Timestamp>,
    /// What was found that is worth telling.
    pub(super) findings: Vec<Finding>,
    looked_up: BTreeMap<String, Lookup>,
    made: u32,
    refused_requests: bool,
}

impl World {
    pub(super) const START: Timestamp = Timestamp::UNIX_EPOCH;

    pub(super) fn new(resource: Resource, order: Option<Order>) -> Self {
        Self {
            policy: policy(),
            facts: Facts {
                resource: Some(resource),
                orders: order.into_iter().collect(),
                orders_read: true,
                ..Facts::default()
            },
            cluster: BTreeMap::new(),
            groups: BTreeMap::new(),
            cluster_quotas: BTreeMap::new(),
            identities: BTreeSet::new(),
            refused: BTreeMap::new(),
            now: Self::START,
            messages: Vec::new(),
            server_time: None,
            findings: Vec::new(),
            looked_up: BTreeMap::new(),
            made: 0,
            refused_requests: false,
        }
    }

    pub(super) fn with(mut self, project: Project) -> Self {
        self.cluster.insert(project.namespace.name.clone(), project);
        self
    }

    pub(super) fn resource(&self) -> &Resource {
        self.facts.resource.as_ref().unwrap()
    }

    pub(super) fn order_state(&self) -> OrderState {
        self.facts.orders[0].state
    }

    pub(super) fn offering() -> Offering {
        Offering {
            components: ["cpu", "memory", "storage", "pods"].map(str::to_owned).to_vec(),
            wants_statuses: true,
        }
    }

    pub(super) fn observed(&self) -> Observed {
        let ours = |project: &&Project| project.namespace.ownership(RESOURCE, AGENT) == Ownership::Ours;
        let owned: Vec<_> =
            self.cluster.values().filter(ours).map(|project| project.namespace.clone()).collect();
        let groups = self.groups.iter().filter(|(_, group)| group.resource == Some(RESOURCE));
        let mut observed = Observed {
            owned,
            by_name: self.looked_up.clone(),
            groups: groups
                .map(|(name, group)| {
                    (
                        name.clone(),
                        Owned {
                            uid: group.uid.clone(),
                            value: group.users.clone(),
                            edited_by: BTreeMap::new(),
                        },
                    )
                })
                .collect(),
            identities: self.identities.clone().into(),
            refused: self.refused.clone(),
            server_time: self.server_time,
            ..Observed::default()
        };
        if self.facts.command == Some(Command::Adopt) {
            let name = &self.resource().backend_id;
            let named = self.cluster.get(name).map(|project| (name.clone(), project.left.clone()));
            observed.surveys.extend(named);
        }
        observed.cluster_quotas = self.cluster_quotas.clone();
        let primary = observed.primary(&self.resource().backend_id).map(|namespace| namespace.name.clone());
        observed.place = primary;
        for name in observed.owned.iter().map(|namespace| namespace.name.clone()).collect::<Vec<_>>() {
            let project = &self.cluster[&name];
            let seen = observed.within_mut(&name);
            seen.quotas = project.quotas.clone();
            seen.limit_range = project.limit_range.clone();
            seen.bindings = project.bindings.clone();
            seen.furnished = project.furnished.clone();
            seen.service_accounts = project.service_accounts.clone();
        }
        observed
    }

    /// Looks and plans, with the lookups that the plan asks for.
    pub(super) fn plan(&mut self) -> Plan {
        let desired = desired::desired(&self.policy, &Self::offering(), &self.facts, self.now);
        let (mut used, mut workloads) = (None, BTreeMap::<String, Workloads>::new());
        let mut surveys = BTreeMap::<String, Survey>::new();
        for _ in 0..20 {
            let mut observed = Observed { used: used.clone(), ..self.observed() };
            for (name, workloads) in &workloads {
                observed.within_mut(name).workloads = Some(workloads.clone());
            }
            observed.surveys.extend(surveys.clone());
            let plan = plan(&desired, &observed, self.now);
            match (&plan.look_up, &plan.look_into) {
                (Some(name), _) => self.look_up(&name.clone()),
                (None, Some(LookInto::Used(name))) => used = Some(self.cluster[name].used.clone()),
                (None, Some(LookInto::UsedTogether)) => used = Some(self.used_together()),
                (None, Some(LookInto::Workloads(name))) => {
                    workloads.insert(name.clone(), self.cluster[name].workloads.clone());
                }
                (None, Some(LookInto::Survey(name))) => {
                    surveys.insert(name.clone(), self.cluster[name].left.clone());
                }
                (None, None) => return plan,
            }
        }
        panic!("the plan keeps asking for names")
    }

    fn look_up(&mut self, name: &str) {
        let found = self.cluster.get(name).map(|project| Lookup::Present(project.namespace.clone()));
        self.looked_up.insert(name.to_owned(), found.unwrap_or(Lookup::Absent));
    }

    /// Runs until there is nothing to do and nothing to wait for; returns all that was done.
    pub(super) fn run(&mut self) -> Vec<Action> {
        let mut done = Vec::new();
        for _ in 0..20 {
            self.looked_up.retain(|name, _| self.refused_requests && !name.is_empty());
            let plan = self.plan();
            self.findings.extend(plan.findings);
            if plan.actions.is_empty() && plan.look_again_at.is_none() {
                return done;
            }
            for action in plan.actions {
                let went = self.take(&action);
                done.push(action);
                if !went {
                    break;
                }
            }
            self.settle();
        }
        panic!("no end after {done:#?}")
    }

    /// Time goes by: what was being deleted is gone.
    pub(super) fn settle(&mut self) {
        self.now = self.now.checked_add(SignedDuration::from_secs(60)).unwrap();
        self.cluster.retain(|_, project| !project.namespace.terminating);
        for name in self.looked_up.keys().cloned().collect::<Vec<_>>() {
            self.look_up(&name);
        }
    }

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

    /// The ClusterRoles that each user has in a namespace, through groups or without.
    pub(super) fn roles(&self, namespace: &str) -> BTreeSet<(String, String)> {
        let bindings = self.cluster.get(namespace).into_iter().flat_map(|project| project.bindings.values());
        let mut roles = BTreeSet::new();
        for binding in bindings {
            for subject in &binding.value.subjects {
                let role = binding.value.role.clone();
                match subject {
                    Subject::Group(name) => {
                        roles.extend(self.groups[name].users.iter().map(|user| (user.clone(), role.clone())));
                    }
                    Subject::User(_) | Subject::ServiceAccount(_) => {
                        roles.insert((subject.label(), role));
                    }
                }
            }
        }
        roles
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

    fn resource_mut(&mut self) -> &mut Resource {
        self.facts.resource.as_mut().unwrap()
    }
}

fn check_expectation(expect: &Expect, uid: Option<&str>) {
    match expect {
        Expect::Fresh | Expect::Absent => assert_eq!(uid, None),
        Expect::Uid(expected) => assert_eq!(uid, Some(expected.as_str())),
    }
}
