//! The one clock that both simulated servers read.
//!
//! It runs with real time and can be stepped by tests, so that expiry and ageing are reached without waiting.
//! Nothing else in this crate may ask the system for the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// A shared clock: real time plus an offset that tests move.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that shows real time.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The simulated time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_millis(self.offset_ms.load(Ordering::Relaxed));
        Timestamp::now().saturating_add(offset).unwrap_or(Timestamp::MAX)
    }

    /// Moves the clock; a negative step moves it back.
    pub fn step(&self, by: SignedDuration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(ms, Ordering::Relaxed);
    }
}
