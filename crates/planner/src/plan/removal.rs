//! Terminating: delete and watch until it is gone, or lock and delete later, or lock and keep.
//!
//! A project is only taken away if it carries this resource's labels, or was made for it in a create that was cut
//! short. All deletions of namespaces begin in [`Plan::delete_namespace`].

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::marks::{Marks, Running};
use super::{LookInto, Plan, namespace};
use crate::action::{Action, Expect, Target};
use crate::desired::{Desired, Removal, TERMINATION};
use crate::finding::Finding;
use crate::lifecycle::{self, DELETE_AFTER, HELD, TERMINATED, Termination, WORKLOADS, mark};
use crate::names;
use crate::observed::{Lookup, Namespace, Observed, Ownership};

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

impl Plan {
    pub(super) fn for_removal(
        &mut self,
        desired: &Desired,
        removal: &Removal,
        observed: &Observed,
        now: Timestamp,
    ) {
        if let Some(namespace) = observed.primary(&removal.backend_id) {
            return self.remove(desired, removal, namespace, observed, now);
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
                        self.remove(desired, removal, namespace, observed, now);
                    }
                    Ownership::OtherResource => self.refuse(desired, &namespace::other_resource(namespace)),
                    Ownership::Claimed | Ownership::Foreign => {
                        self.refuse(desired, &namespace::not_ours(namespace))
                    }
                }
            }
        }
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
                        return self.remove(desired, removal, namespace, observed, now);
                    }
                }
            }
        }
        self.nothing_left(desired, removal, observed);
    }

    fn remove(
        &mut self,
        desired: &Desired,
        removal: &Removal,
        namespace: &Namespace,
        observed: &Observed,
        now: Timestamp,
    ) {
        if let Err(error) = names::check_namespace(&namespace.name) {
            return self.refuse(desired, &error.to_string());
        }
        let ours = namespace.ownership(removal.resource, &desired.requester) == Ownership::Ours;
        match removal.termination {
            // What was never handed over, or is going away already, cannot be brought back.
            Termination::Grace(_) | Termination::Keep if ours && !namespace.terminating => {
                self.lock(desired, removal, namespace, observed, now);
            }
            Termination::Async => {
                self.approve(desired);
                self.report_usage(desired, removal, namespace, now);
                self.delete_namespace(removal, namespace);
                self.delete_groups(removal.resource, observed);
                self.done(desired);
            }
            Termination::Wait | Termination::Grace(_) | Termination::Keep => {
                self.approve(desired);
                self.report_usage(desired, removal, namespace, now);
                self.delete_namespace(removal, namespace);
                self.delete_groups(removal.resource, observed);
                self.wait(removal, namespace, now);
            }
        }
    }

    /// What was used up to now: afterwards there is nothing to measure, and Waldur takes no usage of what is terminated.
    fn report_usage(&mut self, desired: &Desired, removal: &Removal, namespace: &Namespace, now: Timestamp) {
        let ours = namespace.ownership(removal.resource, &desired.requester) == Ownership::Ours;
        if !removal.reports_usage || !ours || namespace.terminating {
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

    /// Says what a namespace waits for, in the log and in Waldur, and when to look again.
    fn wait(&mut self, removal: &Removal, namespace: &Namespace, now: Timestamp) {
        let blocked = &namespace.blocked_by;
        if namespace.terminating && !blocked.is_empty() {
            let (name, blocked) = (&namespace.name, blocked.join("; "));
            self.findings
                .push(Finding::warning(format!("namespace `{name}` is being deleted, but {blocked}")));
        }
        if namespace.terminating && !blocked.is_empty() && waited(namespace, now) >= HANGS {
            let since = namespace.terminating_since.map(|since| since.to_string());
            let state = json!({"namespace": namespace.name, "deleting_since": since, "waits_for": blocked});
            self.tell_termination(removal, state);
        }
        self.look_again_at = now.checked_add(pause_while_terminating(namespace, now)).ok();
    }

    fn tell_termination(&mut self, removal: &Removal, state: Value) {
        if removal.backend_metadata.get(TERMINATION) != Some(&state) {
            let mut metadata: Map<String, Value> = removal.backend_metadata.clone();
            metadata.insert(TERMINATION.to_owned(), state);
            self.actions.push(Action::SetBackendMetadata { resource: removal.resource, metadata });
        }
    }

    /// Takes access and quota away and leaves everything else, so that a Restore order can bring it back. The marks
    /// come first: they say what a later look has to finish.
    fn lock(
        &mut self,
        desired: &Desired,
        removal: &Removal,
        namespace: &Namespace,
        observed: &Observed,
        now: Timestamp,
    ) {
        let running = match removal.stop_workloads {
            true => Running::of(true, namespace),
            // Those that a pause has stopped stay so.
            false => Running::AsTheyAre,
        };
        if running.changes() && observed.workloads.is_none() {
            self.look_into = Some(LookInto::Workloads(namespace.name.clone()));
            return;
        }
        self.approve(desired);
        self.report_usage(desired, removal, namespace, now);
        let before = desired.order.filter(|order| !order.pending).and_then(|_| deadline_before(namespace));
        let until = match removal.termination {
            Termination::Grace(grace) => {
                let deadline = lifecycle::deadline(now, observed, grace);
                Some(before.map_or(deadline, |before| before.min(deadline)))
            }
            Termination::Wait | Termination::Async | Termination::Keep => None,
        };
        let marks = locked(running, namespace, now, until);
        let target = Target { name: namespace.name.clone(), uid: Some(namespace.uid.clone()) };
        self.mark((&target, removal.resource), Some(namespace), marks);
        let place = (&target, removal.resource);
        self.apply_quotas(place, (&observed.quotas, &BTreeMap::new()), &Expect::Absent, &removal.quotas);
        for (name, binding) in &observed.bindings {
            self.actions.push(Action::DeleteRoleBinding {
                namespace: namespace.name.clone(),
                resource: removal.resource,
                name: name.clone(),
                uid: binding.uid.clone(),
            });
        }
        self.delete_groups(removal.resource, observed);
        self.change_workloads(running, (&target, removal.resource), observed);
        let state = match until {
            Some(deadline) => json!({"namespace": namespace.name, "deleted_after": deadline}),
            None => json!({"namespace": namespace.name, "kept": true}),
        };
        self.tell_termination(removal, state);
        self.done(desired);
    }

    /// A project of a resource that was terminated before: deleted when its time has come, and not by a clock that
    /// jumped. Without a deadline it is kept.
    pub(super) fn for_left(&mut self, removal: &Removal, observed: &Observed, now: Timestamp) {
        let Some(namespace) = observed.primary(&removal.backend_id) else {
            return;
        };
        let name = &namespace.name;
        if names::check_namespace(name).is_err() {
            return;
        }
        let deadline = match lifecycle::time_mark(namespace, DELETE_AFTER) {
            Ok(None) => return,
            Ok(Some(deadline)) => deadline,
            Err(text) => {
                return self.findings.push(Finding::error(format!(
                    "namespace `{name}` of a terminated resource is not deleted: its annotation `{DELETE_AFTER}` is \
                     no time (`{}`); correct it, or delete the namespace",
                    names::clipped(&names::one_line(&text), 80)
                )));
            }
        };
        if namespace.terminating || lifecycle::has_passed(deadline, now, observed) {
            self.delete_namespace(removal, namespace);
            self.delete_groups(removal.resource, observed);
            self.wait(removal, namespace, now);
        } else if let Some(server) = observed.server_time.filter(|_| deadline <= now) {
            self.findings.push(Finding::error(format!(
                "namespace `{name}` is not deleted: by this machine's clock ({now}) its time has come, by the cluster's \
                 ({server}) it has not; correct the clock that is wrong"
            )));
        }
    }

    fn nothing_left(&mut self, desired: &Desired, removal: &Removal, observed: &Observed) {
        self.approve(desired);
        self.delete_groups(removal.resource, observed);
        self.done(desired);
    }
}

/// The deadline that this very order has set before the agent was interrupted. One that is on a project whose order
/// has not begun is somebody else's word.
fn deadline_before(namespace: &Namespace) -> Option<Timestamp> {
    lifecycle::time_mark(namespace, DELETE_AFTER).ok().flatten()
}

/// Marks of a locked project.
fn locked(running: Running, namespace: &Namespace, now: Timestamp, until: Option<Timestamp>) -> Marks {
    let kept = [HELD, WORKLOADS, TERMINATED].into_iter();
    let mut marks: Marks = kept.filter_map(|key| Some((key, mark(namespace, key)?.to_owned()))).collect();
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    marks.entry(TERMINATED).or_insert_with(|| now.to_string());
    if let Some(value) = running.mark() {
        marks.insert(WORKLOADS, value.to_owned());
    }
    marks.extend(until.map(|until| (DELETE_AFTER, until.to_string())));
    marks
}
