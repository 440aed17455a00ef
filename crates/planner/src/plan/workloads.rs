//! Stopping and starting what runs in a project that is ours.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Plan;
use super::marks::Running;
use crate::action::{Action, Target};
use crate::lifecycle::WORKLOADS;
use crate::observed::Observed;
use crate::workloads::{start, stop};

impl Plan {
    /// Changes of workloads, and the mark that says that they are done. The mark that some may be stopped is on
    /// the namespace before the first of them. Where not everything could be read, the next look goes on.
    pub(super) fn change_workloads(
        &mut self,
        running: Running,
        (target, resource): (&Target, Uuid),
        observed: &Observed,
    ) {
        let Some(workloads) = observed.workloads.as_ref().filter(|_| running.changes()) else {
            return;
        };
        let (changes, findings) =
            if running == Running::Stopping { stop(workloads) } else { start(workloads) };
        self.findings.extend(findings);
        for change in changes {
            self.actions.push(Action::ChangeWorkload { target: target.clone(), resource, change });
        }
        if workloads.unreadable.is_empty() {
            let marks = BTreeMap::from([(WORKLOADS, running.mark_afterwards().map(str::to_owned))]);
            let target = target.clone();
            self.actions.push(Action::MarkNamespace { target, resource, marks, closing: true });
        }
    }
}
