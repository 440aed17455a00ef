//! Messages that are acknowledged when the work is done that they asked for.
//!
//! A message wakes keys and is pledged to each of them. It is acknowledged when each has been worked to the end by a
//! look that began after the message came. Until then the broker keeps it, and delivers it again if this process dies or
//! its connection breaks.
//!
//! A key that fails, or waits for something, stays in the queue and keeps one message, the newest: that is enough to be
//! woken again after a crash. So that keys which fail for good cannot stop the stream, only so many messages are kept for
//! such keys, and none for longer than a few minutes; what is acknowledged then is still in the queue, and the pass at the
//! next start finds it anyway.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Key;

/// Messages kept for keys of one offering that fail or wait: less than a broker hands out at once.
const MOST_KEPT: usize = 64;
/// Brokers take a consumer that does not acknowledge for half an hour for broken (RabbitMQ: `consumer_timeout`).
const LONGEST_KEPT: Duration = Duration::from_secs(300);

/// A message, until all that it asked for is done.
pub(crate) struct Pledge {
    left: AtomicUsize,
    done: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Pledge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pledge").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Pledge {
    /// A message that one party holds: who reads it, and releases it when all keys are woken.
    pub(crate) fn new(done: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(1), done: Mutex::new(Some(Box::new(done))) })
    }

    /// One more party holds it.
    pub(crate) fn hold(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// One party is done with it; after the last one it is acknowledged.
    pub(crate) fn release(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(done) = self.done.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            done();
        }
    }
}

/// Pledges by key.
#[derive(Debug, Default)]
pub(crate) struct Pledges {
    waiting: HashMap<Key, Vec<Arc<Pledge>>>,
    working: HashMap<Key, Vec<Arc<Pledge>>>,
    /// Of keys that failed or wait, with the time since when they do.
    kept: HashMap<Key, (Instant, Arc<Pledge>)>,
}

impl Pledges {
    /// A message asks for a key to be worked. One that `failed` waits for its next try, which may be minutes away, and
    /// keeps no more than this message.
    pub(crate) fn pledge(&mut self, key: Key, pledge: &Arc<Pledge>, failed: bool) {
        pledge.hold();
        let waiting = self.waiting.entry(key).or_default();
        if failed {
            waiting.drain(..).for_each(|older| older.release());
        }
        waiting.push(Arc::clone(pledge));
    }

    /// Work on the key begins: it covers what has been pledged so far.
    pub(crate) fn begin(&mut self, key: Key) {
        if let Some(waiting) = self.waiting.remove(&key) {
            self.working.insert(key, waiting);
        }
    }

    /// Work on the key has ended, `settled` if nothing is left to do.
    pub(crate) fn end(&mut self, key: Key, settled: bool, now: Instant) {
        let mut pledges = self.working.remove(&key).unwrap_or_default();
        if settled {
            let kept = self.kept.remove(&key).map(|(_, pledge)| pledge);
            pledges.into_iter().chain(kept).for_each(|pledge| pledge.release());
            return;
        }
        if let Some(newest) = pledges.pop() {
            let since = self.kept.get(&key).map_or(now, |(since, _)| *since);
            if let Some((_, older)) = self.kept.insert(key, (since, newest)) {
                older.release();
            }
            pledges.into_iter().for_each(|pledge| pledge.release());
        }
        self.let_go(key.offering, now);
    }

    /// Keeps no more than allowed for an offering.
    fn let_go(&mut self, offering: usize, now: Instant) {
        self.kept.retain(|key, (since, pledge)| {
            let stays = key.offering != offering || now.duration_since(*since) < LONGEST_KEPT;
            if !stays {
                pledge.release();
            }
            stays
        });
        while self.kept.keys().filter(|key| key.offering == offering).count() > MOST_KEPT {
            let of_offering = self.kept.iter().filter(|(key, _)| key.offering == offering);
            let Some(oldest) = of_offering.min_by_key(|(_, (since, _))| *since).map(|(key, _)| *key) else {
                return;
            };
            if let Some((_, pledge)) = self.kept.remove(&oldest) {
                pledge.release();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(number: u128) -> Key {
        Key { offering: 0, resource: Uuid::from_u128(number) }
    }

    /// A pledge and whether it has been acknowledged.
    fn message() -> (Arc<Pledge>, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        (
            Pledge::new(move || {
                counted.fetch_add(1, Ordering::Relaxed);
            }),
            count,
        )
    }

    fn acked(count: &AtomicUsize) -> bool {
        count.load(Ordering::Relaxed) == 1
    }

    #[test]
    fn a_message_is_acknowledged_once_after_the_last_of_its_keys() {
        let mut pledges = Pledges::default();
        let (pledge, count) = message();
        pledges.pledge(key(1), &pledge, false);
        pledges.pledge(key(2), &pledge, false);
        pledge.release();
        pledges.begin(key(1));
        pledges.end(key(1), true, Instant::now());
        assert!(!acked(&count));
        pledges.begin(key(2));
        pledges.end(key(2), true, Instant::now());
        assert!(acked(&count));
    }

    #[test]
    fn work_that_had_begun_before_a_message_came_does_not_answer_it() {
        let mut pledges = Pledges::default();
        let (pledge, count) = message();
        pledges.begin(key(1));
        pledges.pledge(key(1), &pledge, false);
        pledge.release();
        pledges.end(key(1), true, Instant::now());
        assert!(!acked(&count));
        pledges.begin(key(1));
        pledges.end(key(1), true, Instant::now());
        assert!(acked(&count));
    }

    #[test]
    fn a_failing_key_keeps_the_newest_message_until_it_is_worked() {
        let mut pledges = Pledges::default();
        let messages: Vec<_> = (0..3).map(|_| message()).collect();
        for (pledge, _) in &messages {
            pledges.pledge(key(1), pledge, false);
            pledge.release();
            pledges.begin(key(1));
            pledges.end(key(1), false, Instant::now());
        }
        let state: Vec<bool> = messages.iter().map(|(_, count)| acked(count)).collect();
        assert_eq!(state, [true, true, false]);
        pledges.begin(key(1));
        pledges.end(key(1), true, Instant::now());
        assert!(acked(&messages[2].1));
    }

    #[test]
    fn a_burst_about_a_failing_key_does_not_wait_for_its_next_try() {
        let mut pledges = Pledges::default();
        let messages: Vec<_> = (0..3).map(|_| message()).collect();
        for (pledge, _) in &messages {
            pledges.pledge(key(1), pledge, true);
            pledge.release();
        }
        let state: Vec<bool> = messages.iter().map(|(_, count)| acked(count)).collect();
        assert_eq!(state, [true, true, false]);
    }

    #[test]
    fn keys_that_fail_for_good_do_not_stop_the_stream() {
        let mut pledges = Pledges::default();
        let start = Instant::now();
        let fail = |pledges: &mut Pledges, number: u128, at: Instant| {
            let (pledge, count) = message();
            pledges.pledge(key(number), &pledge, false);
            pledge.release();
            pledges.begin(key(number));
            pledges.end(key(number), false, at);
            count
        };
        let counts: Vec<_> = (0..2 * MOST_KEPT)
            .map(|number| fail(&mut pledges, number as u128, start + Duration::from_millis(number as u64)))
            .collect();
        assert_eq!(counts.iter().filter(|count| !acked(count)).count(), MOST_KEPT);
        assert!(acked(&counts[0]), "the oldest are let go");
        let late = fail(&mut pledges, 9999, start + 2 * LONGEST_KEPT);
        assert!(counts.iter().all(|count| acked(count)) && !acked(&late), "none is kept for long");
    }
}
