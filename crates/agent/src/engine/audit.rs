//! What was done, by whose wish: one line of the log for each change, and an Event in the namespace (Kubernetes: Event).
//!
//! Decides nothing. An Event that the cluster does not take costs nothing but itself.

use planner::action::Action;
use planner::change::{Change, change};
use planner::desired::Desired;
use planner::names;
use planner::observed::Observed;

use super::Scope;
use crate::cluster::apply::{Note, Writes};
use crate::error::ApiError;

/// The longest message of an Event (Kubernetes: 1024 bytes); most characters take one byte.
const LONGEST: usize = 500;

/// Who asked for a plan, and what was there before.
pub(super) struct Audit<'a> {
    asked_by: String,
    desired: &'a Desired,
    observed: &'a Observed,
}

impl<'a> Audit<'a> {
    pub(super) fn new(command: &str, scope: Scope, desired: &'a Desired, observed: &'a Observed) -> Self {
        let asked_by = match (&desired.order, command, scope) {
            (Some(order), _, _) => format!("order {}", order.uuid.simple()),
            (None, "", Scope::Orders) => "order_process".to_owned(),
            (None, "", Scope::Resources) => "membership_sync".to_owned(),
            (None, command, _) => command.to_owned(),
        };
        Self { asked_by, desired, observed }
    }

    pub(super) async fn done(&self, writes: &Writes<'_>, action: &Action) {
        let Change { object, .. } = &self.log(action, "done", None);
        if let Some(namespace) = self.place_of(action) {
            let message = format!("{action} (asked for by {})", self.asked_by);
            self.note(writes, namespace, (object, "Normal", "WaldurApplied"), &message).await;
        }
    }

    /// For what is not tried again as it is.
    pub(super) async fn failed(&self, writes: &Writes<'_>, action: &Action, error: &ApiError) {
        let Change { object, .. } = &self.log(action, "failed", Some(error));
        if let Some(namespace) = self.place_of(action) {
            let message = format!("{action} failed: {error} (asked for by {})", self.asked_by);
            self.note(writes, namespace, (object, "Warning", "WaldurFailed"), &message).await;
        }
    }

    /// The namespace that an action is about; a quota over several is told of in the one that Waldur names.
    fn place_of<'b>(&'b self, action: &'b Action) -> Option<&'b str> {
        let place = || match action {
            Action::ApplyClusterQuota { .. } => self.observed.place.as_deref(),
            _ => None,
        };
        action.within().or_else(place)
    }

    fn log(&self, action: &Action, outcome: &str, error: Option<&ApiError>) -> Change {
        let change = change(action, self.desired, self.observed);
        let before = change.values(|field| field.before.as_ref());
        let after = change.values(|field| field.after.as_ref());
        let (asked_by, object) = (&self.asked_by, &change.object);
        let error = error.map(tracing::field::display);
        tracing::info!(target: "audit", asked_by, object, before, after, outcome, error, "{action}");
        change
    }

    async fn note(
        &self,
        writes: &Writes<'_>,
        namespace: &str,
        (object, kind, reason): (&str, &str, &str),
        message: &str,
    ) {
        let message = names::clipped(&names::one_line(message), LONGEST);
        let note = Note { namespace, kind, reason, message: &message };
        if let Err(error) = writes.note(&note).await {
            tracing::debug!(error = %error, object, "no Event was left on the cluster");
        }
    }
}
