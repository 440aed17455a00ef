//! Stopping and starting what runs in a project that is ours.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Plan;
use super::marks::Running;
use crate::action::{Action, Target};
use crate::lifecycle::WORKLOADS;
use crate::observed::Observed;
use crate::workloads::{start, stop};

/// Marks that say that something is done; one without a value goes.
pub(super) type Closing = BTreeMap<&'static str, Option<String>>;

impl Plan {
    /// Changes of workloads, and the marks that say that they are done, with `closing`. The mark that some may be stopped
    /// is on the namespace before the first of them. Where not everything could be read, the next look goes on.
    pub(super) fn change_workloads(
        &mut self,
        running: Running,
        (target, resource): (&Target, Uuid),
        observed: &Observed,
        mut closing: Closing,
    ) {
        if !running.changes() {
            return self.close(target, resource, closing);
        }
        let Some(workloads) = &observed.workloads else { return };
        let (changes, findings) =
            if running == Running::Stopping { stop(workloads) } else { start(workloads) };
        self.findings.extend(findings);
        for change in changes {
            self.actions.push(Action::ChangeWorkload { target: target.clone(), resource, change });
        }
        if workloads.unreadable.is_empty() {
            closing.insert(WORKLOADS, running.mark_afterwards().map(str::to_owned));
            self.close(target, resource, closing);
        }
    }

    fn close(&mut self, target: &Target, resource: Uuid, marks: Closing) {
        if !marks.is_empty() {
            let target = target.clone();
            self.actions.push(Action::MarkNamespace { target, resource, marks, closing: true });
        }
    }
}
