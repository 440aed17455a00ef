//! What a server is asked, what it answers, and what can go wrong between them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::decode::{DecodeError, Limits};
use crate::dialect::{Escaping, Version};
use crate::encode::EncodeError;
use crate::frame::{AckMode, Command, Frame, Headers, Passcode, ReceiptId};
use crate::heart_beat::{HeartBeat, HeartBeatError, HeartBeatTimer};

/// How a server behaves towards one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// The versions it speaks; both unless said otherwise.
    pub versions: Vec<Version>,
    /// The heart-beats it offers; 10 s both ways unless said otherwise.
    pub heart_beat: HeartBeat,
    /// How much of a heart-beat interval the client may be silent, in percent, at least 100.
    /// What it comes to must exceed a round trip, since the client learns from CONNECTED what it owes.
    pub tolerance_percent: u32,
    /// Which frames have escapes; [`Escaping::EveryFrame`] to be like RabbitMQ.
    pub escaping: Escaping,
    /// What the client may ask of our memory.
    pub limits: Limits,
    /// The `server` header of CONNECTED, such as `RabbitMQ/3.10.8`.
    pub server: Option<String>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            versions: Version::ALL.to_vec(),
            heart_beat: HeartBeat::every_ms(10_000),
            tolerance_percent: HeartBeatTimer::TOLERANCE_PERCENT,
            escaping: Escaping::default(),
            limits: Limits::default(),
            server: None,
        }
    }
}

/// What the client asked, or no longer says.
#[derive(Debug)]
pub enum ServerEvent {
    /// The client wants in: answer with [`crate::ServerSession::accept`] or [`crate::ServerSession::error`].
    Connect(ConnectRequest),
    /// A request within the session.
    Request {
        /// What is asked.
        request: Request,
        /// To be confirmed with [`crate::ServerSession::receipt`] once done.
        receipt: Option<ReceiptId>,
    },
    /// The client is silent for longer than tolerated. Final.
    HeartBeatLost {
        /// How long nothing was heard.
        silent_for: Duration,
    },
}

/// A STOMP or CONNECT frame. `Debug` does not show the passcode.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    /// Which of the two commands it was.
    pub command: Command,
    /// The virtual host; the standard requires it, RabbitMQ has a default.
    pub host: Option<String>,
    /// The user.
    pub login: Option<String>,
    /// The password.
    pub passcode: Option<Passcode>,
    /// The version that will be in force: the highest that both speak.
    pub version: Version,
    /// The heart-beats the client offers.
    pub heart_beat: HeartBeat,
}

impl ConnectRequest {
    pub(super) fn from_frame(frame: &Frame, version: Version, heart_beat: HeartBeat) -> Self {
        let text = |name| frame.get(name).map(str::to_owned);
        Self {
            command: frame.command,
            host: text("host"),
            login: text("login"),
            passcode: text("passcode").map(Passcode::new),
            version,
            heart_beat,
        }
    }
}

impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, host, login, passcode, version, heart_beat } = self;
        f.debug_struct("ConnectRequest")
            .field("command", command)
            .field("host", host)
            .field("login", login)
            .field("passcode", &passcode.as_ref().map(|_| "(not shown)"))
            .field("version", version)
            .field("heart_beat", heart_beat)
            .finish()
    }
}

/// A request within a session. Headers that have no field of their own are in `headers`, with all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Deliver the messages of a destination.
    Subscribe {
        /// Names the subscription; unique within the session.
        id: String,
        /// Where the messages are.
        destination: String,
        /// How they will be acknowledged.
        ack: AckMode,
        /// At most so many without acknowledgement (RabbitMQ's `prefetch-count`).
        prefetch: Option<u16>,
        /// All headers.
        headers: Headers,
    },
    /// Deliver no more; what is not acknowledged goes back.
    Unsubscribe {
        /// The subscription.
        id: String,
    },
    /// Publish a message.
    Send {
        /// Where to.
        destination: String,
        /// As part of this transaction.
        transaction: Option<String>,
        /// All headers.
        headers: Headers,
        /// The body.
        body: Bytes,
    },
    /// A message has been dealt with.
    Ack {
        /// Which one.
        target: AckTarget,
        /// As part of this transaction.
        transaction: Option<String>,
    },
    /// A message will not be dealt with.
    Nack {
        /// Which one.
        target: AckTarget,
        /// As part of this transaction.
        transaction: Option<String>,
    },
    /// Start a transaction.
    Begin {
        /// Its name.
        transaction: String,
    },
    /// Commit a transaction.
    Commit {
        /// Its name.
        transaction: String,
    },
    /// Drop a transaction.
    Abort {
        /// Its name.
        transaction: String,
    },
    /// End the session, after the receipt if one is asked for.
    Disconnect,
}

/// Which message an ACK or NACK means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AckTarget {
    /// 1.2: the [`Delivery::ack_id`].
    Id(String),
    /// 1.1: the [`Delivery::message_id`] within its subscription.
    Message {
        /// The subscription.
        subscription: String,
        /// The message.
        message_id: String,
    },
}

/// A message on its way to a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The subscription it goes to.
    pub subscription: String,
    /// Where it was published.
    pub destination: String,
    /// Names the delivery.
    pub message_id: String,
    /// What a 1.2 client has to name to acknowledge it; left out for [`AckMode::Auto`] and in 1.1.
    pub ack_id: String,
    /// Further headers, such as `redelivered` and `content-type`.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

/// What an ERROR frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReply {
    /// A short text, for the `message` header.
    pub message: String,
    /// A longer one, for the body.
    pub detail: String,
    /// The receipt of the request that failed.
    pub receipt: Option<ReceiptId>,
}

/// Why a session ended, or an answer could not be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// What arrived is not STOMP.
    #[error("the client sent something that is not STOMP")]
    Decode(#[from] DecodeError),
    /// The answer has no wire form.
    #[error("the answer cannot be written")]
    Encode(#[from] EncodeError),
    /// The client's `heart-beat` header is malformed.
    #[error("the client's CONNECT frame is malformed")]
    HeartBeat(#[from] HeartBeatError),
    /// No version that both speak.
    #[error("the client speaks STOMP {offered}, supported are {supported}")]
    NoCommonVersion {
        /// The `accept-version` of the client; 1.0 if it has none.
        offered: String,
        /// The versions of [`ServerOptions::versions`].
        supported: String,
    },
    /// A header that the standard requires is missing.
    #[error("the client's {command} frame has no `{header}` header")]
    MissingHeader {
        /// The frame.
        command: Command,
        /// The header.
        header: &'static str,
    },
    /// A header has a value that it cannot have.
    #[error("the client's {command} frame has an invalid `{header}` header")]
    InvalidHeader {
        /// The frame.
        command: Command,
        /// The header.
        header: &'static str,
    },
    /// A frame that a client may not send, or not now.
    #[error("the client sent an unexpected {command} frame")]
    Unexpected {
        /// The frame.
        command: Command,
    },
    /// The client names two subscriptions the same.
    #[error("subscription `{id}` exists already")]
    DuplicateSubscription {
        /// The identifier.
        id: String,
    },
    /// No subscription of that identifier exists (any more).
    #[error("there is no subscription `{id}`")]
    NoSubscription {
        /// The identifier.
        id: String,
    },
    /// Accepted without having been asked.
    #[error("no client waits to be accepted")]
    NotAsked,
    /// Asked to send before the session was accepted, or after its end.
    #[error("the session is not connected")]
    NotConnected,
}
