//! The queue of keys as a value: due times, one worker per key, growing pauses after failures.
//!
//! Time is what the caller says it is: a duration since some fixed start. The queue holds no clock and starts
//! nothing; the shell asks it what to do next.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

/// Pause after the first failure of a key.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How the work on a key ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing more to do until somebody wakes the key.
    Settled,
    /// To be looked at again after this pause.
    LookAgain(Duration),
    /// Failed; again after a growing pause, or after the one that the server asked for if that is longer.
    Failed(Option<Duration>),
}

/// How a key of the queue stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Waits for its time, or for somebody to work on it.
    Waiting,
    /// Is being worked.
    Working,
    /// Failed the last time, and is tried again or waits for that.
    Failing,
}

#[derive(Debug, Default)]
struct Entry {
    due: Option<Duration>,
    working: bool,
    failures: u32,
}

/// Keys with the times at which they are due.
#[derive(Debug)]
pub struct Queue<K> {
    entries: HashMap<K, Entry>,
    by_due: BTreeSet<(Duration, K)>,
    working: usize,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self { entries: HashMap::new(), by_due: BTreeSet::new(), working: 0 }
    }
}

impl<K: Clone + Eq + Ord + Hash> Queue<K> {
    /// Makes a key due now. A key that is being worked is due again when that work ends, since what it saw may
    /// be older than what woke it. The pause after a failure is not shortened: a burst of events must not hammer
    /// a server that is in trouble.
    pub fn wake(&mut self, key: &K, now: Duration) {
        self.wake_at(key, now);
    }

    /// The same with another time than now, unless the key is due before it.
    pub fn wake_at(&mut self, key: &K, due: Duration) {
        let pausing = self.entries.get(key).is_some_and(|entry| entry.failures > 0 && entry.due.is_some());
        if !pausing {
            self.set_due(key, due);
        }
    }

    /// The next key that is due and that nobody works on; it counts as being worked from now on.
    pub fn poll(&mut self, now: Duration) -> Option<K> {
        let (due, key) = self.by_due.first()?.clone();
        if due > now {
            return None;
        }
        self.by_due.remove(&(due, key.clone()));
        let entry = self.entries.entry(key.clone()).or_default();
        entry.due = None;
        entry.working = true;
        self.working += 1;
        Some(key)
    }

    /// The work on a key has ended. `jitter` in 0..1 spreads keys that failed together.
    pub fn ended(&mut self, key: &K, ended: &Ended, now: Duration, jitter: f64) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.working) else {
            return;
        };
        entry.working = false;
        self.working -= 1;
        let woken = entry.due.take();
        let next = match ended {
            Ended::Settled => {
                entry.failures = 0;
                None
            }
            Ended::LookAgain(pause) => {
                entry.failures = 0;
                Some(now + *pause)
            }
            Ended::Failed(asked) => {
                let pause = pause(entry.failures, jitter).max(asked.unwrap_or_default());
                entry.failures = entry.failures.saturating_add(1);
                Some(now + pause)
            }
        };
        let failed = matches!(ended, Ended::Failed(_));
        match (woken, next) {
            (Some(woken), Some(next)) if failed => self.set_due(key, woken.max(next)),
            (Some(woken), _) => self.set_due(key, woken),
            (None, Some(next)) => self.set_due(key, next),
            (None, None) => {
                self.entries.remove(key);
            }
        }
    }

    /// When the next key is due; `None` if nothing waits.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// True if the key is being worked.
    #[must_use]
    pub fn is_working(&self, key: &K) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.working)
    }

    /// True if the key failed the last time it was worked.
    #[must_use]
    pub fn has_failed(&self, key: &K) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.failures > 0)
    }

    /// True if the key waits for its time.
    #[must_use]
    pub fn is_waiting(&self, key: &K) -> bool {
        self.entries.get(key).is_some_and(|entry| !entry.working)
    }

    /// Keys being worked now.
    #[must_use]
    pub const fn working(&self) -> usize {
        self.working
    }

    /// Keys known to the queue: waiting or being worked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if no key waits and none is being worked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys that failed the last time they were worked.
    #[must_use]
    pub fn failing(&self) -> usize {
        self.entries.values().filter(|entry| entry.failures > 0).count()
    }

    /// All keys, with how they stand.
    pub fn standings(&self) -> impl Iterator<Item = (&K, Standing)> {
        self.entries.iter().map(|(key, entry)| {
            let standing = match entry {
                Entry { failures: 1.., .. } => Standing::Failing,
                Entry { working: true, .. } => Standing::Working,
                Entry { .. } => Standing::Waiting,
            };
            (key, standing)
        })
    }

    /// For how long the key that has waited longest is due; zero if none is.
    #[must_use]
    pub fn overdue(&self, now: Duration) -> Duration {
        self.next_due().map_or(Duration::ZERO, |due| now.saturating_sub(due))
    }

    fn set_due(&mut self, key: &K, due: Duration) {
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.due.is_some_and(|earlier| earlier <= due) {
            return;
        }
        if let Some(later) = entry.due.replace(due) {
            self.by_due.remove(&(later, key.clone()));
        }
        if !entry.working {
            self.by_due.insert((due, key.clone()));
        }
    }
}

/// Doubles with each failure; between half and all of it, by jitter.
fn pause(failures: u32, jitter: f64) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE);
    full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_thousand_wake_ups_are_one_or_two_runs() {
        let mut queue = Queue::default();
        for _ in 0..500 {
            queue.wake(&'a', at(0));
        }
        assert_eq!(queue.poll(at(0)), Some('a'));
        for _ in 0..500 {
            queue.wake(&'a', at(1));
        }
        assert_eq!(queue.poll(at(1)), None, "one worker per key");
        queue.ended(&'a', &Ended::Settled, at(2), 0.0);
        assert_eq!(queue.poll(at(2)), Some('a'));
        queue.ended(&'a', &Ended::Settled, at(2), 0.0);
        assert_eq!(queue.poll(at(9)), None);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_failing_key_waits_longer_each_time_and_delays_no_other() {
        let mut queue = Queue::default();
        queue.wake(&'a', at(0));
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            assert_eq!(queue.poll(now), Some('a'));
            queue.wake(&'b', now);
            assert_eq!(queue.poll(now), Some('b'));
            queue.ended(&'b', &Ended::Settled, now, 0.0);
            queue.ended(&'a', &Ended::Failed(None), now, 1.0);
            let due = queue.next_due().unwrap();
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn success_forgets_failures() {
        let mut queue = Queue::default();
        queue.wake(&'a', at(0));
        queue.poll(at(0));
        queue.ended(&'a', &Ended::Failed(None), at(0), 1.0);
        assert_eq!(queue.failing(), 1);
        queue.poll(at(1));
        queue.ended(&'a', &Ended::LookAgain(at(5)), at(1), 1.0);
        assert_eq!((queue.failing(), queue.next_due()), (0, Some(at(6))));
    }

    #[test]
    fn the_pause_that_a_server_asks_for_is_kept_even_when_woken() {
        let mut queue = Queue::default();
        queue.wake(&'a', at(0));
        queue.poll(at(0));
        queue.wake(&'a', at(1));
        queue.ended(&'a', &Ended::Failed(Some(at(30))), at(1), 0.0);
        assert_eq!(queue.next_due(), Some(at(31)));
    }

    #[test]
    fn a_wake_up_brings_a_waiting_key_forward() {
        let mut queue = Queue::default();
        queue.wake(&'a', at(0));
        queue.poll(at(0));
        queue.ended(&'a', &Ended::LookAgain(at(60)), at(0), 0.0);
        queue.wake(&'a', at(3));
        assert_eq!(queue.poll(at(3)), Some('a'));
        queue.ended(&'a', &Ended::Settled, at(3), 0.0);
        assert_eq!(queue.next_due(), None, "the old due time is forgotten");
    }

    #[test]
    fn what_is_due_and_what_fails_can_be_counted() {
        let mut queue = Queue::default();
        for key in ['a', 'b', 'c'] {
            queue.wake(&key, at(0));
        }
        assert_eq!((queue.poll(at(5)), queue.overdue(at(5))), (Some('a'), at(5)));
        queue.ended(&'a', &Ended::Failed(None), at(5), 0.0);
        assert_eq!(queue.poll(at(5)), Some('b'));
        let mut standings: Vec<_> = queue.standings().map(|(key, standing)| (*key, standing)).collect();
        standings.sort_unstable();
        let expected = [('a', Standing::Failing), ('b', Standing::Working), ('c', Standing::Waiting)];
        assert_eq!(standings, expected);
        assert_eq!(queue.poll(at(5)), Some('c'));
        assert_eq!(queue.overdue(at(5)), Duration::ZERO, "what waits for its next try is not late");
    }
}
