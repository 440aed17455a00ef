//! What clients asked of a simulated server: counts for benchmarks, an optional record for tests.
//!
//! Only observes. It never changes an answer, and its memory is bounded: counts are kept per path shape, the record
//! holds at most [`RECORD_LIMIT`] entries, the oldest go first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
}

#[derive(Debug, Default)]
struct State {
    total: u64,
    counts: BTreeMap<(String, String), u64>,
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

    pub(crate) fn add(&self, mut request: Request, shape: String) {
        {
            let mut state = self.lock();
            state.total += 1;
            request.sequence = state.total;
            *state.counts.entry((request.method.to_string(), shape)).or_default() += 1;
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
        self.lock().counts.clone()
    }

    /// Requests of one method and path shape.
    #[must_use]
    pub fn count(&self, method: &str, shape: &str) -> u64 {
        self.lock().counts.get(&(method.to_owned(), shape.to_owned())).copied().unwrap_or(0)
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
        state.counts.clear();
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
