//! From what should be and what is to what has to be done.
//!
//! [`plan`] is total, deterministic and pure. Planning again after its actions were applied gives no actions.

mod access;
mod adoption;
mod edits;
mod marks;
mod namespace;
mod quotas;
mod removal;
mod shrink;
mod subjects;
mod template;
#[cfg(test)]
mod tests;
mod workloads;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::access::DesiredAccess;
use crate::action::{Action, Expect, Target};
use crate::desired::{Desired, Goal, OpenOrder, Project};
use crate::finding::Finding;
use crate::model::OrderKind;
use crate::names;
use crate::observed::{Namespace, Observed, Ownership};
use crate::policy::Flavour;
use crate::quota::DesiredQuotas;
use marks::Held;
use namespace::Site;
use shrink::Unfit;

pub use access::losses;
pub(crate) use adoption::NO_ROLE;
pub use template::recorded_kinds;

/// How soon to look for usernames after an order is done.
const WHEN_DONE: SignedDuration = SignedDuration::from_secs(1);

/// What to do for one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order; the first that fails ends the plan.
    pub actions: Vec<Action>,
    /// For the operator.
    pub findings: Vec<Finding>,
    /// When to look again although nothing may wake the key.
    pub look_again_at: Option<Timestamp>,
    /// A namespace whose existence has to be known first; then plan again.
    pub look_up: Option<String>,
    /// What has to be looked into first; then plan again.
    pub look_into: Option<LookInto>,
    /// Users who would lose access were left in, since they are too many at once.
    pub removal_held: bool,
}

/// What is read only where a decision depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookInto {
    /// What is in use in this namespace, for [`Observed::used`].
    Used(String),
    /// What runs in this namespace, for [`Observed::workloads`].
    Workloads(String),
}

/// What has to be done.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    match &desired.goal {
        Goal::Nothing => {}
        Goal::Refused(reason) => plan.refuse(desired, reason),
        Goal::Acknowledged => {
            plan.approve(desired);
            plan.done(desired);
        }
        Goal::Project(project) => plan.for_project(desired, project, observed, now),
        Goal::Removed(removal) => plan.for_removal(desired, removal, observed, now),
        Goal::Left(removal) => plan.for_left(removal, observed, now),
        Goal::Abandoned { resource, backend_id } => plan.for_abandoned(*resource, backend_id, observed),
    }
    plan
}

impl Plan {
    fn for_project(&mut self, desired: &Desired, project: &Project, observed: &Observed, now: Timestamp) {
        let site = namespace::site(project, &desired.requester, observed, now, &mut self.findings);
        match site {
            Site::LookUp(name) => self.look_up = Some(name),
            Site::Leaving(namespace) => self.for_leaving(desired, namespace, now),
            Site::Wait { until, why } => {
                self.findings.push(Finding::info(why));
                // Without an order nobody waits, and the next pass is soon enough.
                self.look_again_at = desired.order.map(|_| until);
            }
            Site::Fail(reason) => self.refuse(desired, &reason),
            Site::Create(name) => {
                if let Err(reason) = project.check_template(&name) {
                    return self.refuse(desired, &reason);
                }
                let held = Held::in_new(project);
                self.approve(desired);
                self.create(desired, project, &name);
                let target = Target { name: name.clone(), uid: None };
                self.mark((&target, project.resource), None, held.marks());
                self.fill(project, &target, None, observed, &project.quotas);
                // Nobody is let in before the project is kept apart from others.
                // That it can be was looked at above.
                drop(self.furnish(project, &target, None, observed));
                self.bind(project, &target, true, observed);
                self.write_back(desired, project, &name, None, None);
                self.done(desired);
                self.look_for_usernames(project, now);
            }
            Site::Use(namespace) => {
                let held = Held::of(project, namespace);
                let overuse = match shrink::check(project, &held, namespace, observed) {
                    Ok(overuse) => overuse,
                    Err(Unfit::Unknown) => return self.look_into(LookInto::Used(namespace.name.clone())),
                    Err(Unfit::Refused(reason)) => return self.refuse(desired, &reason),
                };
                if held.running.changes() && observed.workloads.is_none() {
                    return self.look_into(LookInto::Workloads(namespace.name.clone()));
                }
                self.approve(desired);
                let target = Target { name: namespace.name.clone(), uid: Some(namespace.uid.clone()) };
                if !self.adopt(project, &target, namespace, observed) {
                    self.label(project, &target, Some(namespace), &desired.requester);
                }
                self.mark((&target, project.resource), Some(namespace), held.marks());
                self.fill(project, &target, Some(namespace), observed, held.quotas(project));
                self.change_workloads(held.running, (&target, project.resource), observed);
                self.bind(project, &target, false, observed);
                self.replace_python_bindings(project, &target, observed);
                let unfurnished = self.furnish(project, &target, Some(namespace), observed).err();
                self.name_editors(observed);
                self.tell_overuse(&namespace.name, overuse.as_ref());
                self.write_back(desired, project, &namespace.name, overuse, unfurnished);
                self.done(desired);
                if desired.order.is_some() {
                    self.look_for_usernames(project, now);
                }
            }
        }
    }

    /// An order waits until the namespace is gone. Without one nobody has asked for that, and the customer is to know.
    fn for_leaving(&mut self, desired: &Desired, namespace: &Namespace, now: Timestamp) {
        let name = &namespace.name;
        if desired.order.is_some() {
            self.findings.push(Finding::info(format!("namespace `{name}` is still being deleted")));
            self.look_again_at = now.checked_add(removal::pause_while_terminating(namespace, now)).ok();
            return;
        }
        if !namespace.blocked_by.is_empty() {
            let blocked = namespace.blocked_by.join("; ");
            self.findings
                .push(Finding::warning(format!("namespace `{name}` is being deleted, but {blocked}")));
        }
        self.refuse(
            desired,
            &format!(
                "namespace `{name}` is being deleted, and no order of this resource asks for that; nothing was changed in \
                 it. When it is gone, terminate the resource, or restore it"
            ),
        );
    }

    /// Waldur gives members their usernames in an offering when a resource has become OK, which it does when the
    /// order is done: one more look binds them without waiting for the next pass.
    fn look_for_usernames(&mut self, project: &Project, now: Timestamp) {
        let missing = |access: &DesiredAccess| access.statuses.iter().any(|status| status.problem.is_some());
        if project.may_create && project.access.as_ref().is_some_and(missing) {
            self.look_again_at = now.checked_add(WHEN_DONE).ok();
        }
    }

    fn look_into(&mut self, what: LookInto) {
        self.look_into = Some(what);
    }

    fn approve(&mut self, desired: &Desired) {
        let Some(order) = desired.order.filter(|order| order.pending) else {
            return;
        };
        if let (true, OrderKind::Update, Some(resource)) = (desired.legacy_waldur, order.kind, order.resource)
        {
            self.actions.push(Action::SetAllocationOk { resource });
        }
        self.actions.push(Action::Approve { order: order.uuid });
    }

    fn done(&mut self, desired: &Desired) {
        if let Some(order) = desired.order {
            self.actions.push(Action::MarkDone { order: order.uuid });
        }
    }

    /// Ends the order with a reason. A pending one that asks for something new is rejected, which leaves the
    /// resource as it is; where a rejection cannot carry a reason, or the resource is not what Waldur believes,
    /// it is erred.
    fn refuse(&mut self, desired: &Desired, reason: &str) {
        let Some(order) = desired.order else {
            self.findings.push(Finding::error(reason));
            return self.resource_erred(desired, reason);
        };
        self.actions.clear();
        let asks_for_something = order.kind != OrderKind::Terminate;
        if order.pending && asks_for_something && !desired.legacy_waldur {
            self.actions.push(Action::Reject { order: order.uuid, comment: reason.to_owned() });
            return;
        }
        self.approve(desired);
        self.erred(order, reason);
    }

    /// Without an order the resource itself says what is wrong; once.
    fn resource_erred(&mut self, desired: &Desired, reason: &str) {
        if let (Some(standing), false) = (&desired.standing, desired.legacy_waldur)
            && (!standing.erred || standing.error_message != reason)
        {
            let message = reason.to_owned();
            self.actions.push(Action::SetResourceErred {
                resource: standing.resource,
                message,
                traceback: String::new(),
            });
        }
    }

    fn erred(&mut self, order: OpenOrder, reason: &str) {
        self.actions.push(Action::MarkErred {
            order: order.uuid,
            message: reason.to_owned(),
            traceback: String::new(),
        });
    }

    fn create(&mut self, desired: &Desired, project: &Project, name: &str) {
        let target = Target { name: name.to_owned(), uid: None };
        match desired.flavour {
            Flavour::OpenShift => {
                self.actions.push(Action::RequestProject {
                    name: name.to_owned(),
                    display_name: project.display_name.clone(),
                    description: names::create_marker(project.resource),
                });
                self.label(project, &target, None, &desired.requester);
            }
            Flavour::Kubernetes => self.actions.push(Action::CreateNamespace {
                name: name.to_owned(),
                resource: project.resource,
                annotations: project.annotations(&Default::default()),
            }),
        }
    }

    fn label(&mut self, project: &Project, target: &Target, namespace: Option<&Namespace>, requester: &str) {
        let nothing = Default::default();
        let present = namespace.map_or(&nothing, |namespace| &namespace.annotations);
        let (annotations, labels) = project.namespace_metadata(present, &target.name);
        let no_labels = Default::default();
        let carried = namespace.map_or(&no_labels, |namespace| &namespace.labels);
        let labelled = namespace
            .is_some_and(|namespace| namespace.ownership(project.resource, requester) == Ownership::Ours);
        let has =
            |map: &BTreeMap<String, String>, (key, value): (&String, &String)| map.get(key) == Some(value);
        if labelled
            && annotations.iter().all(|pair| has(present, pair))
            && labels.iter().all(|pair| has(carried, pair))
        {
            return;
        }
        let (target, resource) = (target.clone(), project.resource);
        self.actions.push(Action::ApplyNamespace { target, resource, annotations, labels });
    }

    /// Quotas and limit range.
    fn fill(
        &mut self,
        project: &Project,
        target: &Target,
        namespace: Option<&Namespace>,
        observed: &Observed,
        wanted: &DesiredQuotas,
    ) {
        let resource = project.resource;
        let none = if namespace.is_some() { Expect::Absent } else { Expect::Fresh };
        let survey = observed.survey.as_ref().filter(|_| project.adopt);
        let nothing = BTreeMap::new();
        let present = if namespace.is_some() { &observed.quotas } else { &nothing };
        let unlabelled = survey.map_or(&nothing, |survey| &survey.quotas);
        self.apply_quotas((target, resource), (present, unlabelled), &none, wanted);
        self.prune_quotas((target, resource), present, wanted);
        let Some(wanted) = project.limit_range.as_ref().filter(|_| !observed.limit_range_refused) else {
            return;
        };
        let range = observed.limit_range.as_ref().filter(|_| namespace.is_some());
        let taken_range = survey.and_then(|survey| survey.limit_range.as_ref()).filter(|_| range.is_none());
        let range = range.or(taken_range);
        if range.map(|range| &range.value) != Some(wanted) || taken_range.is_some() {
            let expect = range.map_or(none, |range| Expect::Uid(range.uid.clone()));
            let (target, value) = (target.clone(), wanted.clone());
            self.actions.push(Action::ApplyLimitRange { target, resource, expect, value });
        }
    }

    fn write_back(
        &mut self,
        desired: &Desired,
        project: &Project,
        name: &str,
        overuse: Option<Map<String, Value>>,
        trouble: Option<String>,
    ) {
        let resource = project.resource;
        if project.backend_id != name {
            self.actions.push(Action::SetBackendId { resource, backend_id: name.to_owned() });
        }
        let metadata = project.metadata(name, overuse);
        if metadata != project.backend_metadata {
            self.actions.push(Action::SetBackendMetadata { resource, metadata });
        }
        if let Some(statuses) = project.unreported() {
            self.actions.push(Action::SetMembershipStatuses { resource, statuses: statuses.to_vec() });
        }
        if desired.order.is_some() || desired.legacy_waldur {
            return;
        }
        if let Some(trouble) = trouble {
            return self.resource_erred(desired, &trouble);
        }
        if project.erred {
            self.actions.push(Action::SetResourceOk { resource });
        }
        if !self.actions.is_empty() {
            self.actions.push(Action::RefreshLastSync { resource });
        }
    }
}

impl Observed {
    /// The namespace that is this resource's: of several with its labels the one that Waldur names, else the
    /// oldest.
    #[must_use]
    pub fn primary(&self, backend_id: &str) -> Option<&Namespace> {
        let order = |namespace: &&Namespace| {
            (
                namespace.name != backend_id,
                namespace.created.is_none(),
                namespace.created,
                namespace.name.clone(),
            )
        };
        self.owned.iter().min_by_key(order)
    }
}
