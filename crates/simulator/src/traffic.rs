//! What clients asked of a simulated server: counts for benchmarks, an optional record for tests.
//!
//! Only observes. It never changes an answer, and its memory is bounded: counts are kept per path shape, the record
//! holds at most [`RECORD_LIMIT`] entries, the oldest go first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::Method;
use tokio::sync::Notify;

/// The most requests that are remembered one by one.
pub const RECORD_LIMIT: usize = 100_000;

/// One answered (or deliberately unanswered) request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Position among all requests of this server, from 1.
    pub sequence: u64,
    /// HTTP method.
    pub method: Method,
    /// Path as sent, percent-encoded.
    pub path: String,
    /// Query as sent, without `?`; empty if there was none.
    pub query: String,
    /// Status of the answer; `None` if the connection was dropped or left waiting.
    pub status: Option<u16>,
    /// `User-Agent` header.
    pub user_agent: String,
    /// Bytes of its body, as its `Content-Length` says.
    pub body_bytes: u64,
}

/// Requests of one method and path shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many there were.
    pub count: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// When the first of them arrived.
    pub first_arrived: Instant,
    /// When the last of them was answered.
    pub last_answered: Instant,
}

#[derive(Debug, Default)]
struct State {
    total: u64,
    tallies: BTreeMap<(String, String), Tally>,
    record: Option<VecDeque<Request>>,
}

/// Shared view of a server's requests; clones see the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Traffic {
    /// Counts only: memory does not grow with the number of requests.
    #[must_use]
    pub fn counting() -> Self {
        Self::default()
    }

    /// Counts and remembers each request.
    #[must_use]
    pub fn recording() -> Self {
        let traffic = Self::default();
        traffic.lock().record = Some(VecDeque::new());
        traffic
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request that arrived at this time and is answered now.
    pub(crate) fn add(&self, mut request: Request, shape: String, arrived: Instant) {
        {
            let mut state = self.lock();
            state.total += 1;
            request.sequence = state.total;
            let now = Instant::now();
            let new = Tally { count: 0, body_bytes: 0, first_arrived: arrived, last_answered: now };
            let tally = state.tallies.entry((request.method.to_string(), shape)).or_insert(new);
            tally.count += 1;
            tally.body_bytes += request.body_bytes;
            tally.first_arrived = tally.first_arrived.min(arrived);
            tally.last_answered = now;
            if let Some(record) = &mut state.record {
                if record.len() == RECORD_LIMIT {
                    record.pop_front();
                }
                record.push_back(request);
            }
        }
        self.changed.notify_waiters();
    }

    /// Requests since the start or the last [`Traffic::reset`].
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lock().total
    }

    /// Requests by (method, path shape), where a shape has `{}` for each name.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(String, String), u64> {
        self.lock().tallies.iter().map(|(key, tally)| (key.clone(), tally.count)).collect()
    }

    /// Requests by (method, path shape), with their times.
    #[must_use]
    pub fn tallies(&self) -> BTreeMap<(String, String), Tally> {
        self.lock().tallies.clone()
    }

    /// Requests of one method and path shape.
    #[must_use]
    pub fn count(&self, method: &str, shape: &str) -> u64 {
        self.lock().tallies.get(&(method.to_owned(), shape.to_owned())).map_or(0, |tally| tally.count)
    }

    /// The requests remembered; empty if this only counts.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.lock().record.iter().flatten().cloned().collect()
    }

    /// Forgets everything seen so far.
    pub fn reset(&self) {
        let mut state = self.lock();
        state.total = 0;
        state.tallies.clear();
        if let Some(record) = &mut state.record {
            record.clear();
        }
    }

    /// Waits until `done` holds; it is asked again after each request.
    pub async fn wait_for(&self, mut done: impl FnMut(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the question, so that a request between question and wait is not missed.
            changed.as_mut().enable();
            if done(self) {
                return;
            }
            changed.await;
        }
    }
}

/// The default path shape: segments that hold a digit run, a UUID or an upper-case letter become `{}`.
#[must_use]
pub fn generic_shape(path: &str) -> String {
    path.split('/').map(|part| if is_identifier(part) { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

fn is_identifier(part: &str) -> bool {
    let hex = part.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    !part.is_empty() && (part.chars().all(|c| c.is_ascii_digit()) || (hex && part.len() >= 32))
}
