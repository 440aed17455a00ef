//! From what should be and what is to what has to be done.
//!
//! [`plan`] is total, deterministic and pure. Planning again after its actions were applied gives no actions.

mod access;
mod adoption;
mod edits;
mod marks;
mod namespace;
mod places;
mod proof;
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
use crate::action::{Action, Expect};
use crate::desired::{Desired, Goal, OpenOrder, Project};
use crate::finding::Finding;
use crate::model::OrderKind;
use crate::names;
use crate::observed::{Namespace, Observed, Ownership};
use crate::policy::Flavour;
use crate::quota::DesiredQuotas;
use marks::Held;
use namespace::Site;
use places::{Place, Places};
use quotas::QuotaPlace;
use shrink::Unfit;
use workloads::Closing;

pub use access::losses;
pub(crate) use adoption::NO_ROLE;
pub use removal::hangs;
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
    /// What is in use in all namespaces of the resource together, for [`Observed::used`].
    UsedTogether,
    /// What runs in this namespace, for [`Observed::workloads`].
    Workloads(String),
    /// What an adoption would take over in this namespace, for [`Observed::surveys`].
    Survey(String),
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
    /// True if nothing is to be done, nothing to be found out and nothing to be looked at again. What was found may be
    /// worth saying all the same.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let Self { actions, findings: _, look_again_at, look_up, look_into, removal_held } = self;
        let knows_all = look_up.is_none() && look_into.is_none();
        actions.is_empty() && look_again_at.is_none() && knows_all && !removal_held
    }

    fn for_project(&mut self, desired: &Desired, project: &Project, observed: &Observed, now: Timestamp) {
        let places = match places::places(project, &desired.requester, observed, now, &mut self.findings) {
            Ok(places) => places,
            Err(Site::LookUp(name)) => return self.look_up = Some(name),
            Err(Site::Survey(name)) => return self.look_into(LookInto::Survey(name)),
            Err(Site::Leaving(namespace)) => return self.for_leaving(desired, namespace, now),
            Err(Site::Wait { until, why }) => {
                self.findings.push(Finding::info(why));
                // Without an order nobody waits, and the next pass is soon enough.
                return self.look_again_at = desired.order.map(|_| until);
            }
            Err(Site::Fail(reason)) => return self.refuse(desired, &reason),
            Err(Site::Use(_) | Site::Create(_)) => return,
        };
        let made = |place: &&Place<'_>| place.namespace.is_none();
        for place in places.all.iter().filter(made) {
            if let Err(reason) = project.check_template(&place.target.name) {
                return self.refuse(desired, &reason);
            }
        }
        let held = Held::of(project, places.all.iter().find_map(|place| place.namespace));
        let overuse = match shrink::check(project, &held, &places, observed) {
            Ok(overuse) => overuse,
            Err(Unfit::Unknown(what)) => return self.look_into(what),
            Err(Unfit::Refused(reason)) => return self.refuse(desired, &reason),
        };
        for place in &places.all {
            let running = held.within(project, place.namespace).running;
            if place.namespace.is_some() && running.changes() && place.seen.workloads.is_none() {
                return self.look_into(LookInto::Workloads(place.target.name.clone()));
            }
        }
        self.approve(desired);
        for place in &places.all {
            self.establish(desired, project, place);
            if places.several && place.target.name == places.primary {
                // From here on there is something that Waldur has to know of, whatever becomes of the others.
                self.name_in_waldur(project, &places.primary);
            }
        }
        if places.several {
            let wanted = held.quotas(project);
            self.adopt_cluster_quotas(project, wanted, observed);
            self.prune_cluster_quotas(project.resource, wanted, observed);
        }
        for place in &places.all {
            self.keep(project, place, (&places, observed), &held);
        }
        self.bind(project, &places, observed);
        let mut trouble = None;
        for place in &places.all {
            trouble = trouble.or(self.finish(project, place).err());
        }
        self.name_editors(observed);
        self.tell_overuse(&places.primary, overuse.as_ref());
        self.write_back(desired, project, &places, overuse, trouble);
        self.done(desired);
        if desired.order.is_some() {
            self.look_for_usernames(project, now);
        }
    }

    /// Makes a namespace, or takes it for this resource.
    fn establish(&mut self, desired: &Desired, project: &Project, place: &Place<'_>) {
        match place.namespace {
            None => self.create(desired, project, place),
            Some(namespace) if self.adopt(project, place, namespace) => {}
            Some(_) => self.label(project, place, &desired.requester),
        }
    }

    /// What is in a namespace besides who has access.
    fn keep(
        &mut self,
        project: &Project,
        place: &Place<'_>,
        (places, observed): (&Places<'_>, &Observed),
        held: &Held,
    ) {
        let held = held.within(project, place.namespace);
        self.mark((&place.target, project.resource), place.namespace, held.marks());
        let nothing = DesiredQuotas::new();
        let quotas = if places.several { &nothing } else { held.quotas(project) };
        self.fill(project, place, quotas);
        if !observed.limit_range_refused {
            self.apply_limit_range(project, place);
        }
        if place.namespace.is_some() {
            let target = (&place.target, project.resource);
            self.change_workloads(held.running, target, place.seen, Closing::new());
        } else {
            // Nobody is let in before the project is kept apart from others.
            // That it can be was looked at above.
            drop(self.furnish(project, place));
        }
    }

    /// What comes after access was given; `Err` says why the template is left out.
    fn finish(&mut self, project: &Project, place: &Place<'_>) -> Result<(), String> {
        if place.namespace.is_none() {
            return Ok(());
        }
        self.replace_python_bindings(project, place);
        self.furnish(project, place)
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
            && !standing.terminated
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

    fn create(&mut self, desired: &Desired, project: &Project, place: &Place<'_>) {
        let name = place.target.name.clone();
        match desired.flavour {
            Flavour::OpenShift => {
                let display_name = project.display_name_of(place.environment.as_deref());
                let description = names::create_marker(project.resource);
                self.actions.push(Action::RequestProject { name, display_name, description });
                self.label(project, place, &desired.requester);
            }
            Flavour::Kubernetes => self.actions.push(Action::CreateNamespace {
                name,
                resource: project.resource,
                annotations: project.annotations(&Default::default()),
            }),
        }
    }

    fn label(&mut self, project: &Project, place: &Place<'_>, requester: &str) {
        let Place { namespace, target, .. } = place;
        let nothing = Default::default();
        let present = namespace.map_or(&nothing, |namespace| &namespace.annotations);
        let (annotations, labels) = project.namespace_metadata(present, place);
        let no_labels = Default::default();
        let carried = namespace.map_or(&no_labels, |namespace| &namespace.labels);
        let labelled = namespace
            .is_some_and(|namespace| namespace.ownership(project.resource, requester) == Ownership::Ours);
        let has =
            |map: &BTreeMap<String, String>, (key, value): (&String, &String)| map.get(key) == Some(value);
        if labelled
            && !namespace.is_some_and(|namespace| project.has_left_marks(namespace, &annotations, &labels))
            && annotations.iter().all(|pair| has(present, pair))
            && labels.iter().all(|pair| has(carried, pair))
        {
            return;
        }
        let (target, resource) = (target.clone(), project.resource);
        self.actions.push(Action::ApplyNamespace { target, resource, annotations, labels });
    }

    /// Quotas of one namespace.
    fn fill(&mut self, project: &Project, place: &Place<'_>, wanted: &DesiredQuotas) {
        let Place { namespace, target, seen, .. } = place;
        let none = if namespace.is_some() { Expect::Absent } else { Expect::Fresh };
        let survey = place.survey.filter(|_| project.adopt);
        let nothing = BTreeMap::new();
        let present = if namespace.is_some() { &seen.quotas } else { &nothing };
        let unlabelled = survey.map_or(&nothing, |survey| &survey.quotas);
        let inside = (QuotaPlace::Namespace(target), project.resource);
        self.apply_quotas(inside, (present, unlabelled), &none, wanted);
        if place.environment.is_some() {
            self.name_unlabelled_quotas(target, unlabelled, project);
        }
        self.prune_quotas(inside, present, wanted);
    }

    fn apply_limit_range(&mut self, project: &Project, place: &Place<'_>) {
        let Some(wanted) = &project.limit_range else {
            return;
        };
        let Place { namespace, target, seen, .. } = place;
        let none = if namespace.is_some() { Expect::Absent } else { Expect::Fresh };
        let survey = place.survey.filter(|_| project.adopt);
        let range = seen.limit_range.as_ref().filter(|_| namespace.is_some());
        let taken_range = survey.and_then(|survey| survey.limit_range.as_ref()).filter(|_| range.is_none());
        let range = range.or(taken_range);
        if range.map(|range| &range.value) != Some(wanted) || taken_range.is_some() {
            let expect = range.map_or(none, |range| Expect::Uid(range.uid.clone()));
            let (target, resource, value) = (target.clone(), project.resource, wanted.clone());
            self.actions.push(Action::ApplyLimitRange { target, resource, expect, value });
        }
    }

    fn name_in_waldur(&mut self, project: &Project, name: &str) {
        if project.backend_id != name {
            let (resource, backend_id) = (project.resource, name.to_owned());
            self.actions.push(Action::SetBackendId { resource, backend_id });
        }
    }

    fn write_back(
        &mut self,
        desired: &Desired,
        project: &Project,
        places: &Places<'_>,
        overuse: Option<Map<String, Value>>,
        trouble: Option<String>,
    ) {
        let resource = project.resource;
        if !places.several {
            self.name_in_waldur(project, &places.primary);
        }
        let metadata = project.metadata(&places.names(), overuse);
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
