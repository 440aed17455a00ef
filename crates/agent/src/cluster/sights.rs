//! How far the watches of kinds have come. No requests are made here.
//!
//! A watch begins with a list of everything. Who needs that list at the same time waits for the watch's, in place of reading
//! it a second time; where the watch breaks off or gets no further, they read it themselves.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How far the watch of a kind has come.
#[derive(Clone, Copy, Debug)]
enum Sight {
    /// It lists what there is; the last object came at this moment.
    Lists(Instant),
    /// It has listed everything and is running.
    Runs,
}

#[derive(Debug)]
struct Kinds<K> {
    watched: HashMap<K, Sight>,
    /// Listed as a whole before, by a pass or by a watch.
    known: HashSet<K>,
}

/// Which kinds have been seen, and how they are watched.
#[derive(Debug)]
pub(crate) struct Sights<K> {
    kinds: Mutex<Kinds<K>>,
    changed: Notify,
}

impl<K> Default for Sights<K> {
    fn default() -> Self {
        let kinds = Kinds { watched: HashMap::new(), known: HashSet::new() };
        Self { kinds: Mutex::new(kinds), changed: Notify::new() }
    }
}

impl<K: Eq + Hash + Clone> Sights<K> {
    /// A watch begins, maybe anew, or its list goes on.
    pub(super) fn lists(&self, kind: &K) {
        self.kinds().watched.insert(kind.clone(), Sight::Lists(Instant::now()));
    }

    /// A watch has listed everything. Whether the kind was known before.
    pub(super) fn runs(&self, kind: &K) -> bool {
        let was_known = self.listed(kind);
        self.kinds().watched.insert(kind.clone(), Sight::Runs);
        self.changed.notify_waiters();
        was_known
    }

    /// Somebody has listed everything. Whether the kind was known before.
    pub(super) fn listed(&self, kind: &K) -> bool {
        !self.kinds().known.insert(kind.clone())
    }

    /// Whether a kind has been listed as a whole before, by a pass or by a watch.
    pub(super) fn is_known(&self, kind: &K) -> bool {
        self.kinds().known.contains(kind)
    }

    /// A watch broke off. One that was running goes on from where it was, or begins anew.
    pub(super) fn breaks(&self, kind: &K) {
        let mut kinds = self.kinds();
        if matches!(kinds.watched.get(kind), Some(Sight::Lists(_))) {
            kinds.watched.remove(kind);
            self.changed.notify_waiters();
        }
    }

    /// Whether what is kept of a kind is as on the cluster, but for a moment.
    pub(super) fn is_live(&self, kind: &K) -> bool {
        matches!(self.kinds().watched.get(kind), Some(Sight::Runs))
    }

    /// The same, after waiting for a list that has begun as long as it gets on: nothing comes for `patience` at most.
    pub(super) async fn becomes_live(&self, kind: &K, patience: Duration) -> bool {
        loop {
            let changed = self.changed.notified();
            let seen = self.kinds().watched.get(kind).copied();
            match until(seen, Instant::now(), patience) {
                Until::Known(live) => return live,
                Until::Later(end) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(end) => {}
                },
            }
        }
    }

    fn kinds(&self) -> MutexGuard<'_, Kinds<K>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until when it is not known whether a kind is live.
#[derive(Debug, PartialEq, Eq)]
enum Until {
    Known(bool),
    Later(Instant),
}

fn until(seen: Option<Sight>, now: Instant, patience: Duration) -> Until {
    match seen {
        None => Until::Known(false),
        Some(Sight::Runs) => Until::Known(true),
        Some(Sight::Lists(last)) if now.saturating_duration_since(last) >= patience => Until::Known(false),
        Some(Sight::Lists(last)) => Until::Later(last + patience),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_list_is_waited_for_as_long_as_it_gets_on() {
        let now = Instant::now();
        let seconds = |seconds| now + Duration::from_secs(seconds);
        let lists = Some(Sight::Lists(seconds(20)));
        assert_eq!(until(lists, seconds(49), PATIENCE), Until::Later(seconds(50)));
        assert_eq!(until(lists, seconds(50), PATIENCE), Until::Known(false));
        assert_eq!(until(Some(Sight::Runs), seconds(50), PATIENCE), Until::Known(true));
        assert_eq!(until(None, now, PATIENCE), Until::Known(false), "nobody watches it");
    }

    #[tokio::test]
    async fn who_waits_hears_of_the_end_of_a_list() {
        let sights = Sights::default();
        sights.lists(&"pods");
        let mut first = Box::pin(sights.becomes_live(&"pods", PATIENCE));
        assert!(first.as_mut().now_or_never().is_none());
        sights.breaks(&"pods");
        assert!(!first.await, "it broke off");
        sights.lists(&"pods");
        let mut second = Box::pin(sights.becomes_live(&"pods", PATIENCE));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(!sights.runs(&"pods") && sights.is_known(&"pods"));
        assert!(second.await);
        sights.breaks(&"pods");
        assert!(sights.is_live(&"pods"), "one that was running goes on from where it was");
    }
}
