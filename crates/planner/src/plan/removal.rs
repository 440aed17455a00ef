//! Terminating: delete and watch until it is gone, or lock and delete later, or lock and keep.
//!
//! A project is only taken away if it carries this resource's labels, or was made for it in a create that was cut
//! short. All deletions of namespaces begin in [`Plan::delete_namespace`].

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::marks::{Marks, Running};
use super::places::{environment_of, has_several};
use super::quotas::QuotaPlace;
use super::{LookInto, Plan, namespace};
use crate::action::{Action, Expect, Target};
use crate::desired::{Desired, Environment, Removal, TERMINATION};
use crate::finding::Finding;
use crate::lifecycle::{
    self, DELETE_AFTER, HELD, LOCKING, TERMINATED, TERMINATED_BY, Termination, WORKLOADS, mark,
};
use crate::names;
use crate::observed::{Lookup, Namespace, Observed, Ownership};
use crate::quota::DesiredQuotas;

/// How soon to look at a namespace that has just begun to go away.
const FIRST_LOOK: SignedDuration = SignedDuration::from_secs(2);
/// How seldom to look at one that does not go away.
const LAST_LOOK: SignedDuration = SignedDuration::from_mins(1);
/// When a namespace that is not gone counts as hanging: an ordinary one is gone in seconds, and waits for its own
/// content until then.
const HANGS: SignedDuration = SignedDuration::from_secs(30);
/// How long an order waits for its last usage to be reported; then the project goes without.
const FOR_THE_REPORT: SignedDuration = SignedDuration::from_mins(15);

/// How soon to look again at a namespace that is going away, where nothing tells of its end: the longer it takes, the
/// less often.
pub(super) fn pause_while_terminating(namespace: &Namespace, now: Timestamp) -> SignedDuration {
    (waited(namespace, now) / 2).clamp(FIRST_LOOK, LAST_LOOK)
}

/// How long it has been going away. The cluster's clock may differ.
fn waited(namespace: &Namespace, now: Timestamp) -> SignedDuration {
    namespace.terminating_since.map_or(SignedDuration::ZERO, |since| now.duration_since(since))
}

/// Whether a namespace is being deleted for longer than that takes.
#[must_use]
pub fn hangs(namespace: &Namespace, now: Timestamp) -> bool {
    namespace.terminating && waited(namespace, now) >= HANGS
}

impl Plan {
    pub(super) fn for_removal(
        &mut self,
        desired: &Desired,
        removal: &Removal,
        observed: &Observed,
        now: Timestamp,
    ) {
        let cut_short = match self.further_cut_short(desired, removal, observed) {
            Ok(namespaces) => namespaces,
            Err(name) => return self.look_up = Some(name),
        };
        if !observed.owned.is_empty() || !cut_short.is_empty() {
            let all = in_order(removal, observed, cut_short);
            return self.remove(desired, removal, &all, observed, now);
        }
        if removal.backend_id.is_empty() {
            return self.remove_cut_short(desired, removal, observed, now);
        }
        match observed.by_name.get(&removal.backend_id) {
            None => self.look_up = Some(removal.backend_id.clone()),
            Some(Lookup::Absent) => self.nothing_left(desired, removal, observed),
            Some(Lookup::Present(namespace)) => {
                match namespace.ownership(removal.resource, &desired.requester) {
                    Ownership::Ours | Ownership::CutShort => {
                        self.remove(desired, removal, &[namespace], observed, now);
                    }
                    Ownership::OtherResource => self.refuse(desired, &namespace::other_resource(namespace)),
                    Ownership::Claimed | Ownership::Foreign => {
                        self.refuse(desired, &namespace::not_ours(namespace))
                    }
                }
            }
        }
    }

    /// Of a resource with several namespaces, those that a create which was cut short has left without labels; `Err` with
    /// a name that is to be looked up.
    fn further_cut_short<'a>(
        &self,
        desired: &Desired,
        removal: &Removal,
        observed: &'a Observed,
    ) -> Result<Vec<&'a Namespace>, String> {
        let is_there = |environment: &&Environment| {
            let mut owned = observed.owned.iter();
            owned.any(|namespace| environment_of(&removal.environments, namespace) == Some(&environment.name))
        };
        let mut found = Vec::new();
        for environment in removal.environments.iter().filter(|environment| !is_there(environment)) {
            for name in [&environment.candidates.suffixed, &environment.candidates.regular] {
                match observed.by_name.get(name) {
                    None => return Err(name.clone()),
                    Some(Lookup::Present(namespace))
                        if namespace.ownership(removal.resource, &desired.requester)
                            == Ownership::CutShort =>
                    {
                        found.push(namespace);
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(found)
    }

    /// Waldur has no name, but a create that was cut short may have left a project.
    fn remove_cut_short(
        &mut self,
        desired: &Desired,
        removal: &Removal,
        observed: &Observed,
        now: Timestamp,
    ) {
        let names = removal.candidates.iter().flat_map(|names| [&names.regular, &names.suffixed]);
        for name in names {
            match observed.by_name.get(name) {
                None => {
                    self.look_up = Some(name.clone());
                    return;
                }
                Some(Lookup::Absent) => {}
                Some(Lookup::Present(namespace)) => {
                    let ownership = namespace.ownership(removal.resource, &desired.requester);
                    if matches!(ownership, Ownership::Ours | Ownership::CutShort) {
                        return self.remove(desired, removal, &[namespace], observed, now);
                    }
                }
            }
        }
        self.nothing_left(desired, removal, observed);
    }

    /// Takes the namespaces of a resource away: one by each plan, so that each deletion is decided by a look of its own.
    fn remove(
        &mut self,
        desired: &Desired,
        removal: &Removal,
        namespaces: &[&Namespace],
        observed: &Observed,
        now: Timestamp,
    ) {
        let checked = namespaces.iter().try_for_each(|namespace| names::check_namespace(&namespace.name));
        if let Err(error) = checked {
            return self.refuse(desired, &error.to_string());
        }
        let is_ours = |namespace: &&Namespace| {
            namespace.ownership(removal.resource, &desired.requester) == Ownership::Ours
        };
        let (standing, leaving): (Vec<&Namespace>, Vec<&Namespace>) =
            namespaces.iter().copied().partition(|namespace| !namespace.terminating);
        let (ours, cut_short): (Vec<&Namespace>, Vec<&Namespace>) =
            standing.iter().copied().partition(is_ours);
        // What was never handed over, or is going away already, cannot be brought back.
        let locks = matches!(removal.termination, Termination::Grace(_) | Termination::Keep);
        if locks && !ours.is_empty() {
            return self.lock(desired, removal, (&ours, &cut_short), observed, now);
        }
        self.approve(desired);
        self.report_usage(desired, removal, namespaces, now);
        let going = standing.first().copied();
        if let Some(namespace) = going {
            self.delete_namespace(removal, namespace);
        }
        if standing.len() > 1 {
            self.look_again_at = Some(now);
            return;
        }
        self.delete_what_is_in_no_namespace(removal.resource, observed);
        if removal.termination == Termination::Async {
            return self.done(desired);
        }
        let waiting: Vec<&Namespace> = going.into_iter().chain(leaving).collect();
        self.wait(removal, &waiting, now);
    }

    /// Groups, and quotas over several namespaces: the last namespace does not take them along.
    fn delete_what_is_in_no_namespace(&mut self, resource: Uuid, observed: &Observed) {
        self.delete_groups(resource, observed);
        self.prune_cluster_quotas(resource, &DesiredQuotas::new(), observed);
    }

    /// What was used up to now: afterwards there is nothing to measure, and Waldur takes no usage of what is terminated.
    /// Of several namespaces, before the first goes.
    fn report_usage(
        &mut self,
        desired: &Desired,
        removal: &Removal,
        namespaces: &[&Namespace],
        now: Timestamp,
    ) {
        let mut ours = namespaces
            .iter()
            .map(|namespace| namespace.ownership(removal.resource, &desired.requester) == Ownership::Ours);
        let begun = namespaces.iter().any(|namespace| namespace.terminating);
        if !removal.reports_usage || begun || !ours.any(|ours| ours) {
            return;
        }
        let insist = desired.order.is_some_and(|order| {
            order.pending || order.since.is_some_and(|since| now.duration_since(since) < FOR_THE_REPORT)
        });
        self.actions.push(Action::ReportUsage { resource: removal.resource, insist });
    }

    /// The one place from which a namespace is deleted. What has to be known of it before goes in front.
    fn delete_namespace(&mut self, removal: &Removal, namespace: &Namespace) {
        if !namespace.terminating {
            let (name, uid, resource) = (namespace.name.clone(), namespace.uid.clone(), removal.resource);
            self.actions.push(Action::DeleteNamespace { name, uid, resource });
        }
    }

    /// Says what namespaces wait for, in the log and in Waldur, and when to look again.
    fn wait(&mut self, removal: &Removal, namespaces: &[&Namespace], now: Timestamp) {
        let blocked =
            namespaces.iter().filter(|namespace| namespace.terminating && !namespace.blocked_by.is_empty());
        let blocked: Vec<&Namespace> = blocked.copied().collect();
        for Namespace { name, blocked_by, .. } in &blocked {
            let blocked = blocked_by.join("; ");
            self.findings
                .push(Finding::warning(format!("namespace `{name}` is being deleted, but {blocked}")));
        }
        let hanging = blocked.iter().find(|namespace| hangs(namespace, now));
        if let Some(Namespace { name, terminating_since, blocked_by, .. }) = hanging {
            let since = terminating_since.map(|since| since.to_string());
            let state = json!({"namespace": name, "deleting_since": since, "waits_for": blocked_by});
            self.tell_termination(removal, state);
        }
        let pause = namespaces.iter().map(|namespace| pause_while_terminating(namespace, now)).min();
        self.look_again_at = now.checked_add(pause.unwrap_or(FIRST_LOOK)).ok();
    }

    fn tell_termination(&mut self, removal: &Removal, state: Value) {
        if removal.backend_metadata.get(TERMINATION) != Some(&state) {
            let mut metadata: Map<String, Value> = removal.backend_metadata.clone();
            metadata.insert(TERMINATION.to_owned(), state);
            self.actions.push(Action::SetBackendMetadata { resource: removal.resource, metadata });
        }
    }

    /// Locks a project for an order. What was never handed over is deleted.
    fn lock(
        &mut self,
        desired: &Desired,
        removal: &Removal,
        (namespaces, cut_short): (&[&Namespace], &[&Namespace]),
        observed: &Observed,
        now: Timestamp,
    ) {
        self.look_into = workloads_to_read(removal, namespaces, observed);
        if self.look_into.is_some() {
            return;
        }
        self.approve(desired);
        self.report_usage(desired, removal, namespaces, now);
        if let Some(namespace) = cut_short.first() {
            self.delete_namespace(removal, namespace);
        }
        let order = desired.order.map(|order| order.uuid.simple().to_string());
        let was_locked = desired.standing.as_ref().is_some_and(|standing| standing.terminated);
        let is_known = |namespace: &&&Namespace| {
            was_locked || order.is_some() && mark(namespace, TERMINATED_BY) == order.as_deref()
        };
        let before = namespaces.iter().filter(is_known).filter_map(|namespace| deadline_before(namespace));
        let until = match removal.termination {
            Termination::Grace(grace) => {
                let deadline = lifecycle::deadline(now, observed, grace);
                Some(before.min().map_or(deadline, |before| before.min(deadline)))
            }
            Termination::Wait | Termination::Async | Termination::Keep => None,
        };
        let until = until.map(|until| until.to_string());
        self.shut((removal, order.as_deref()), namespaces, observed, now, |_| until.clone());
        self.done(desired);
    }

    /// Takes access and quota away and leaves everything else, so that a Restore order can bring it back. The marks
    /// come first: they say what a later look has to finish, and for which order. `until` is when a namespace is to be
    /// deleted.
    fn shut(
        &mut self,
        (removal, order): (&Removal, Option<&str>),
        namespaces: &[&Namespace],
        observed: &Observed,
        now: Timestamp,
        until: impl Fn(&Namespace) -> Option<String>,
    ) {
        let resource = removal.resource;
        let several = has_several(&removal.environments, observed);
        for namespace in namespaces {
            let marks = locked((running(removal, namespace), order), namespace, now, until(namespace));
            self.mark((&target(namespace), resource), Some(namespace), marks);
        }
        if several {
            self.apply_cluster_quotas(resource, &removal.quotas, observed);
        }
        for namespace in namespaces {
            let (target, seen) = (target(namespace), observed.within(&namespace.name));
            if !several {
                let place = (QuotaPlace::Namespace(&target), resource);
                self.apply_quotas(place, (&seen.quotas, &BTreeMap::new()), &Expect::Absent, &removal.quotas);
            }
            for (name, binding) in &seen.bindings {
                self.actions.push(Action::DeleteRoleBinding {
                    namespace: namespace.name.clone(),
                    resource,
                    name: name.clone(),
                    uid: binding.uid.clone(),
                });
            }
        }
        self.delete_groups(resource, observed);
        if let Some(namespace) = namespaces.last() {
            let name = &namespace.name;
            let state = match until(namespace) {
                Some(deadline) => json!({"namespace": name, "deleted_after": deadline}),
                None => json!({"namespace": name, "kept": true}),
            };
            self.tell_termination(removal, state);
        }
        let shut = BTreeMap::from([(LOCKING, None)]);
        for namespace in namespaces {
            let (target, seen) = (target(namespace), observed.within(&namespace.name));
            self.change_workloads(running(removal, namespace), (&target, resource), seen, shut.clone());
        }
    }

    /// A project of a resource that was terminated before: deleted when its time has come, and not by a clock that
    /// jumped. Without a deadline it is kept.
    pub(super) fn for_left(&mut self, removal: &Removal, observed: &Observed, now: Timestamp) {
        if observed.owned.is_empty() {
            // The last deletion was not followed by these.
            return self.delete_what_is_in_no_namespace(removal.resource, observed);
        }
        let all = in_order(removal, observed, Vec::new());
        let due: Vec<&Namespace> =
            all.iter().copied().filter(|namespace| self.is_due(namespace, observed, now)).collect();
        if due.is_empty() {
            return self.shut_what_is_open(removal, &all, observed, now);
        }
        let mut standing = due.iter().filter(|namespace| !namespace.terminating);
        if let Some(namespace) = standing.next() {
            self.delete_namespace(removal, namespace);
        }
        if standing.next().is_some() {
            self.look_again_at = Some(now);
            return;
        }
        if all.iter().all(|namespace| due.contains(namespace)) {
            self.delete_what_is_in_no_namespace(removal.resource, observed);
        }
        self.wait(removal, &due, now);
    }

    /// Finishes the lock of a project whose order has ended though something was not done then.
    fn shut_what_is_open(
        &mut self,
        removal: &Removal,
        namespaces: &[&Namespace],
        observed: &Observed,
        now: Timestamp,
    ) {
        let is_ours = |namespace: &&Namespace| names::check_namespace(&namespace.name).is_ok();
        if !namespaces.iter().any(|namespace| is_open(namespace, observed)) || !namespaces.iter().all(is_ours)
        {
            return;
        }
        self.look_into = workloads_to_read(removal, namespaces, observed);
        if self.look_into.is_none() {
            let until = |namespace: &Namespace| mark(namespace, DELETE_AFTER).map(str::to_owned);
            self.shut((removal, None), namespaces, observed, now, until);
        }
    }

    /// Whether the time of a namespace has come, or it is going away already.
    fn is_due(&mut self, namespace: &Namespace, observed: &Observed, now: Timestamp) -> bool {
        let name = &namespace.name;
        if names::check_namespace(name).is_err() {
            return false;
        }
        if namespace.terminating {
            return true;
        }
        let deadline = match lifecycle::time_mark(namespace, DELETE_AFTER) {
            Ok(None) => return false,
            Ok(Some(deadline)) => deadline,
            Err(text) => {
                self.findings.push(Finding::error(format!(
                    "namespace `{name}` of a terminated resource is not deleted: its annotation `{DELETE_AFTER}` is \
                     no time (`{}`); correct it, or delete the namespace",
                    names::clipped(&names::one_line(&text), 80)
                )));
                return false;
            }
        };
        if lifecycle::has_passed(deadline, now, observed) {
            return true;
        }
        if let Some(server) = observed.server_time.filter(|_| deadline <= now) {
            self.findings.push(Finding::error(format!(
                "namespace `{name}` is not deleted: by this machine's clock ({now}) its time has come, by the cluster's \
                 ({server}) it has not; correct the clock that is wrong"
            )));
        }
        false
    }

    fn nothing_left(&mut self, desired: &Desired, removal: &Removal, observed: &Observed) {
        self.approve(desired);
        self.delete_what_is_in_no_namespace(removal.resource, observed);
        self.done(desired);
    }
}

/// All namespaces of a resource, the one that Waldur knows last: as long as it is there, so is what it says.
fn in_order<'a>(
    removal: &Removal,
    observed: &'a Observed,
    cut_short: Vec<&'a Namespace>,
) -> Vec<&'a Namespace> {
    let mut all: Vec<&Namespace> = observed.owned.iter().chain(cut_short).collect();
    let primary = observed.primary(&removal.backend_id).map(|namespace| namespace.name.as_str());
    all.sort_by_key(|namespace| primary == Some(namespace.name.as_str()));
    all
}

fn is_open(namespace: &Namespace, observed: &Observed) -> bool {
    let access = || !observed.groups.is_empty() || !observed.within(&namespace.name).bindings.is_empty();
    lifecycle::is_open(|key| mark(namespace, key).is_some(), access)
}

/// What is to become of the workloads of a project that is locked.
fn running(removal: &Removal, namespace: &Namespace) -> Running {
    match removal.stop_workloads {
        true => Running::of(true, namespace),
        // Those that a pause has stopped stay so.
        false => Running::AsTheyAre,
    }
}

/// Workloads that a lock changes and that have not been looked at.
fn workloads_to_read(removal: &Removal, namespaces: &[&Namespace], observed: &Observed) -> Option<LookInto> {
    let unread = namespaces.iter().find(|namespace| {
        running(removal, namespace).changes() && observed.within(&namespace.name).workloads.is_none()
    });
    unread.map(|namespace| LookInto::Workloads(namespace.name.clone()))
}

fn target(namespace: &Namespace) -> Target {
    Target { name: namespace.name.clone(), uid: Some(namespace.uid.clone()) }
}

/// The deadline of a project that this very order, or one before it, has begun to lock. One on a project in use is somebody
/// else's word.
fn deadline_before(namespace: &Namespace) -> Option<Timestamp> {
    lifecycle::time_mark(namespace, DELETE_AFTER).ok().flatten()
}

/// Marks of a project that is being locked.
fn locked(
    (running, order): (Running, Option<&str>),
    namespace: &Namespace,
    now: Timestamp,
    until: Option<String>,
) -> Marks {
    let kept = [HELD, WORKLOADS, TERMINATED, TERMINATED_BY].into_iter();
    let mut marks: Marks = kept.filter_map(|key| Some((key, mark(namespace, key)?.to_owned()))).collect();
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    marks.entry(TERMINATED).or_insert_with(|| now.to_string());
    if let Some(value) = running.mark() {
        marks.insert(WORKLOADS, value.to_owned());
    }
    marks.insert(LOCKING, "true".to_owned());
    marks.extend(order.map(|order| (TERMINATED_BY, order.to_owned())));
    marks.extend(until.map(|until| (DELETE_AFTER, until)));
    marks
}
