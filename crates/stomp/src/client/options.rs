//! What a client asks for when it connects and subscribes.

use std::fmt;
use std::time::Duration;

use crate::decode::Limits;
use crate::dialect::{Escaping, Version};
use crate::frame::{AckMode, Command, Frame, Headers, Passcode, ReceiptId};
use crate::heart_beat::{HeartBeat, HeartBeatTimer};

/// How to open a session. `Debug` does not show the passcode.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The virtual host.
    pub host: String,
    /// The user.
    pub login: Option<String>,
    /// The password.
    pub passcode: Option<Passcode>,
    /// Whether to open with STOMP (the default) or CONNECT, which servers take as the same.
    pub legacy_connect: bool,
    /// The versions to offer, in any order; both unless said otherwise.
    pub versions: Vec<Version>,
    /// The heart-beats to offer; 10 s both ways unless said otherwise.
    pub heart_beat: HeartBeat,
    /// How much of a heart-beat interval the server may be silent, in percent, at least 100.
    pub tolerance_percent: u32,
    /// Which frames have escapes; [`Escaping::EveryFrame`] for RabbitMQ.
    pub escaping: Escaping,
    /// What the server may ask of our memory.
    pub limits: Limits,
    /// How long the server may take to answer; 30 s unless said otherwise.
    pub connect_timeout: Duration,
}

impl ConnectOptions {
    /// No login, and the defaults named at the fields.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            login: None,
            passcode: None,
            legacy_connect: false,
            versions: Version::ALL.to_vec(),
            heart_beat: HeartBeat::every_ms(10_000),
            tolerance_percent: HeartBeatTimer::TOLERANCE_PERCENT,
            escaping: Escaping::default(),
            limits: Limits::default(),
            connect_timeout: Duration::from_secs(30),
        }
    }

    pub(super) fn frame(&self) -> Frame {
        Frame::new(if self.legacy_connect { Command::Connect } else { Command::Stomp })
            .header("accept-version", Version::list(&self.versions))
            .header("host", self.host.as_str())
            .header_if("login", self.login.as_deref())
            .header_if("passcode", self.passcode.as_ref().map(Passcode::expose))
            .header("heart-beat", self.heart_beat.to_string())
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            login,
            passcode,
            legacy_connect,
            versions,
            heart_beat,
            tolerance_percent,
            escaping,
            limits,
            connect_timeout,
        } = self;
        f.debug_struct("ConnectOptions")
            .field("host", host)
            .field("login", login)
            .field("passcode", &passcode.as_ref().map(|_| "(not shown)"))
            .field("legacy_connect", legacy_connect)
            .field("versions", versions)
            .field("heart_beat", heart_beat)
            .field("tolerance_percent", tolerance_percent)
            .field("escaping", escaping)
            .field("limits", limits)
            .field("connect_timeout", connect_timeout)
            .finish()
    }
}

/// A SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Names the subscription in messages; unique within the session.
    pub id: String,
    /// Where the messages are; `/amq/queue/<name>` for a RabbitMQ queue that is not to be declared.
    pub destination: String,
    /// How messages are acknowledged.
    pub ack: AckMode,
    /// RabbitMQ: at most so many messages that are not acknowledged.
    pub prefetch: Option<u16>,
    /// Whether and under which identifier to have it confirmed.
    pub receipt: Option<ReceiptId>,
    /// Further headers.
    pub headers: Headers,
}

impl Subscription {
    /// Without acknowledgements, prefetch limit or receipt.
    #[must_use]
    pub fn new(id: impl Into<String>, destination: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            destination: destination.into(),
            ack: AckMode::Auto,
            prefetch: None,
            receipt: None,
            headers: Headers::new(),
        }
    }
}
