//! Projects of terminated resources: those that were locked are deleted when their time has come, a lock of which something
//! was left out is finished, and of those that do not go away it is said why.
//!
//! When a time has come stands on the namespace, so that a restarted agent knows it. Here keys are only woken: the plan looks
//! at Waldur and at both clocks once more.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use planner::lifecycle::Termination;

use super::{Engine, Key, Offering, Scope};
use crate::cluster::kinds::Kind;
use crate::error::ApiError;

/// How often namespaces are listed for it where they cannot be watched, at most and at least.
const LISTED_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// The same where only those are looked for that do not go away.
const LISTED_FOR_HANGING: Duration = Duration::from_secs(60);

impl Engine {
    /// Wakes the keys whose project is due.
    pub(super) async fn wake_due(&self, index: usize, offering: &Offering) -> Result<(), ApiError> {
        let every = match offering.options.policy.lifecycle.termination {
            Termination::Grace(grace) => Some(Duration::try_from(grace).unwrap_or_default() / 10),
            // No order waits for a project that hangs.
            Termination::Async => Some(LISTED_FOR_HANGING),
            Termination::Keep => Some(LISTED_EVERY.1),
            Termination::Wait => None,
        };
        if every.is_some_and(|every| offering.is_listing_due(every)) {
            offering.cluster.surroundings().await?;
            offering.cluster.refresh_kinds(&[Kind::Namespace]).await?;
        }
        self.wake_seen_due(index, offering);
        Ok(())
    }

    /// Wakes those that are known to be due, where orders are this agent's business.
    pub(super) fn wake_seen_due(&self, index: usize, offering: &Offering) {
        if offering.options.scope == Scope::Resources {
            return;
        }
        for resource in offering.cluster.due(Timestamp::now()) {
            self.wake(Key { offering: index, resource });
        }
    }
}

impl Offering {
    /// True if namespaces are to be listed for their deadlines, which then counts as done.
    fn is_listing_due(&self, every: Duration) -> bool {
        let every = every.clamp(LISTED_EVERY.0, LISTED_EVERY.1);
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let due = listed.is_none_or(|at| at.elapsed() >= every);
        if due {
            *listed = Some(Instant::now());
        }
        due
    }
}
