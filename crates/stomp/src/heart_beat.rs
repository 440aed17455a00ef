//! Heart-beats: the header, what two peers agree on, and when something is due.
//!
//! A state machine fed with time as an argument; it reads no clock and sends nothing.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The `heart-beat` header of CONNECT and CONNECTED, in milliseconds; 0 means not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeartBeat {
    /// How often the writer of the header can send something.
    pub send_ms: u64,
    /// How often the writer of the header would like to receive something.
    pub receive_ms: u64,
}

/// A `heart-beat` header that is not two numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("heart-beat is not two numbers of milliseconds separated by a comma: `{value}`")]
pub struct HeartBeatError {
    /// The value, cut and made printable.
    pub value: String,
}

impl HeartBeat {
    /// No heart-beats in either direction; also what a missing header means.
    pub const NONE: Self = Self { send_ms: 0, receive_ms: 0 };

    /// The same interval in both directions, in milliseconds.
    #[must_use]
    pub const fn every_ms(interval: u64) -> Self {
        Self { send_ms: interval, receive_ms: interval }
    }

    /// What the writer of `self` does once it has read the peer's header: in each direction the longer of
    /// what one side can send and the other wants, and nothing if either is 0.
    #[must_use]
    pub fn agree(self, peer: Self) -> AgreedHeartBeat {
        let longer =
            |can: u64, wants: u64| (can > 0 && wants > 0).then(|| Duration::from_millis(can.max(wants)));
        AgreedHeartBeat {
            send: longer(self.send_ms, peer.receive_ms),
            receive: longer(peer.send_ms, self.receive_ms),
        }
    }
}

impl fmt::Display for HeartBeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.send_ms, self.receive_ms)
    }
}

impl FromStr for HeartBeat {
    type Err = HeartBeatError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let digits = text.trim_matches(' ');
            if digits.bytes().all(|octet| octet.is_ascii_digit()) { digits.parse().ok() } else { None }
        };
        value
            .split_once(',')
            .and_then(|(send, receive)| Some(Self { send_ms: number(send)?, receive_ms: number(receive)? }))
            .ok_or_else(|| HeartBeatError {
                value: value.chars().take(32).flat_map(char::escape_default).collect(),
            })
    }
}

/// What two peers agreed on, seen from one of them. `None`: no heart-beats in that direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgreedHeartBeat {
    /// This side sends something at least so often.
    pub send: Option<Duration>,
    /// This side hears something at least so often.
    pub receive: Option<Duration>,
}

/// Says when a heart-beat is due and when the peer is to be taken for dead.
///
/// Times are durations since any fixed origin; one that lies before an earlier one counts as that earlier one.
#[derive(Debug, Clone)]
pub struct HeartBeatTimer {
    agreed: AgreedHeartBeat,
    tolerance_percent: u32,
    last_sent: Duration,
    last_received: Duration,
}

impl HeartBeatTimer {
    /// A peer is dead after one and a half intervals of silence, unless said otherwise.
    pub const TOLERANCE_PERCENT: u32 = 150;

    /// A timer without agreement, for which nothing is ever due. `tolerance_percent` is how much of an
    /// interval the peer may be silent, at least 100.
    #[must_use]
    pub fn new(tolerance_percent: u32, now: Duration) -> Self {
        Self {
            agreed: AgreedHeartBeat::default(),
            tolerance_percent: tolerance_percent.max(100),
            last_sent: now,
            last_received: now,
        }
    }

    /// From here on this is due.
    pub fn agree(&mut self, agreed: AgreedHeartBeat) {
        self.agreed = agreed;
    }

    /// What is agreed.
    #[must_use]
    pub const fn agreed(&self) -> AgreedHeartBeat {
        self.agreed
    }

    /// Something was sent; any octet counts.
    pub fn sent(&mut self, now: Duration) {
        self.last_sent = self.last_sent.max(now);
    }

    /// Something arrived; any octet counts.
    pub fn received(&mut self, now: Duration) {
        self.last_received = self.last_received.max(now);
    }

    /// When a heart-beat is to be sent if nothing else is: after three quarters of the interval, so that a
    /// late timer or a slow network does not make us look dead.
    #[must_use]
    pub fn send_at(&self) -> Option<Duration> {
        self.agreed.send.map(|interval| self.last_sent.saturating_add(interval.saturating_mul(3) / 4))
    }

    /// When the peer is to be taken for dead if nothing arrives before.
    #[must_use]
    pub fn dead_at(&self) -> Option<Duration> {
        let tolerated = |interval: Duration| interval.saturating_mul(self.tolerance_percent) / 100;
        self.agreed.receive.map(|interval| self.last_received.saturating_add(tolerated(interval)))
    }

    /// Whether a heart-beat is to be sent now.
    #[must_use]
    pub fn send_due(&self, now: Duration) -> bool {
        self.send_at().is_some_and(|at| at <= now)
    }

    /// For how long nothing was heard, if that is longer than tolerated.
    #[must_use]
    pub fn silent_for(&self, now: Duration) -> Option<Duration> {
        self.dead_at().filter(|at| *at <= now).map(|_| now.saturating_sub(self.last_received))
    }
}
