//! What a client learns from the server, and what can go wrong between them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::decode::DecodeError;
use crate::dialect::Version;
use crate::encode::EncodeError;
use crate::frame::{Command, Frame, Headers, ReceiptId};
use crate::heart_beat::{AgreedHeartBeat, HeartBeatError};

/// What the server said, or no longer says.
#[derive(Debug)]
pub enum ClientEvent {
    /// The session is open; subscribe now.
    Connected(Connected),
    /// A message of a subscription.
    Message(Message),
    /// The server has processed the request that asked for this receipt.
    Receipt(ReceiptId),
    /// The server refuses and closes. Final.
    Error(ErrorFrame),
    /// The server is silent for longer than tolerated; the connection is dead. Final.
    HeartBeatLost {
        /// How long nothing was heard.
        silent_for: Duration,
    },
    /// The server has processed everything including DISCONNECT. Final.
    Disconnected,
}

/// What was agreed when the session opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The version in force.
    pub version: Version,
    /// The heart-beats in force.
    pub heart_beat: AgreedHeartBeat,
    /// The server's name and version, such as `RabbitMQ/3.10.8`.
    pub server: Option<String>,
    /// The server's name for the session.
    pub session: Option<String>,
}

/// A message. `Debug` shows the size of the body, not the body.
pub struct Message {
    /// The subscription it came by.
    pub subscription: String,
    /// Where it was published, in the server's words.
    pub destination: String,
    /// The server's name for this delivery.
    pub message_id: String,
    /// With what to acknowledge it; `None` with [`crate::AckMode::Auto`] and after an unsubscribe.
    pub ack: Option<AckToken>,
    /// All headers.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription: _, destination: _, message_id: _, ack, headers, body } = self;
        let can = if ack.is_some() { "to be acknowledged" } else { "not to be acknowledged" };
        write!(f, "MESSAGE {headers:?} +{} body bytes, {can}", body.len())
    }
}

/// The right to acknowledge one message, once, on the connection that delivered it.
#[derive(Debug)]
#[must_use = "a message that is never acknowledged is delivered again after a reconnect"]
pub struct AckToken {
    pub(super) identity: Arc<()>,
    pub(super) subscription: String,
    pub(super) reference: AckReference,
}

#[derive(Debug)]
pub(super) enum AckReference {
    /// 1.2: the `ack` header of the message.
    Id(String),
    /// 1.1: its `message-id`, together with the subscription.
    MessageId(String),
}

/// An ERROR frame. `Display` gives one line with what the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorFrame {
    /// The short text of the `message` header.
    pub message: String,
    /// The body: what a person should read, if the server said more.
    pub detail: String,
    /// The receipt of the request that failed.
    pub receipt: Option<ReceiptId>,
    /// Whether it answers STOMP or CONNECT: login, passcode, host or version were refused.
    pub before_connected: bool,
}

impl ErrorFrame {
    pub(super) fn from_frame(frame: &Frame, before_connected: bool) -> Self {
        Self {
            message: frame.get("message").unwrap_or_default().to_owned(),
            detail: String::from_utf8_lossy(&frame.body).trim().to_owned(),
            receipt: frame.get("receipt-id").map(|id| ReceiptId(id.to_owned())),
            before_connected,
        }
    }
}

impl fmt::Display for ErrorFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused =
            if self.before_connected { "connection refused by the server" } else { "error from the server" };
        f.write_str(refused)?;
        let said = [&self.message, &self.detail];
        for (index, text) in said.into_iter().filter(|text| !text.is_empty()).enumerate() {
            f.write_str(if index == 0 { ": " } else { " – " })?;
            f.write_str(&text.replace(char::is_control, " "))?;
        }
        Ok(())
    }
}

/// Why a session ended, or a request could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// What arrived is not STOMP.
    #[error("the server sent something that is not STOMP")]
    Decode(#[from] DecodeError),
    /// What was asked for has no wire form. The session goes on.
    #[error("the request cannot be written")]
    Encode(#[from] EncodeError),
    /// The server's `heart-beat` header is malformed.
    #[error("the server's CONNECTED frame is malformed")]
    HeartBeat(#[from] HeartBeatError),
    /// A header that the standard requires is missing.
    #[error("the server's {command} frame has no `{header}` header")]
    MissingHeader {
        /// The frame.
        command: Command,
        /// The header.
        header: &'static str,
    },
    /// The server chose a version that was not offered; none at all means 1.0.
    #[error("the server speaks STOMP {offered}, which was not offered")]
    Version {
        /// The server's word for it.
        offered: String,
    },
    /// A frame that a server may not send, or not now.
    #[error("the server sent an unexpected {command} frame")]
    Unexpected {
        /// The frame.
        command: Command,
    },
    /// Neither CONNECTED nor ERROR in time.
    #[error("the server did not answer STOMP or CONNECT within {waited:?}")]
    NoAnswer {
        /// [`crate::ConnectOptions::connect_timeout`].
        waited: Duration,
    },
    /// The server closed the connection although the session had not ended.
    #[error("the server closed the connection{}", if *.inside_frame { " inside a frame" } else { "" })]
    ConnectionClosed {
        /// Whether a frame had begun to arrive.
        inside_frame: bool,
    },
    /// Asked before CONNECTED, or after the end. The session goes on.
    #[error("the session is not connected")]
    NotConnected,
    /// A subscription of that identifier exists. The session goes on.
    #[error("subscription `{id}` exists already")]
    DuplicateSubscription {
        /// The identifier.
        id: String,
    },
    /// No subscription of that identifier exists any more. The session goes on.
    #[error("there is no subscription `{id}`")]
    NoSubscription {
        /// The identifier.
        id: String,
    },
    /// The message was delivered by another connection, which will deliver it again. The session goes on.
    #[error("the message was delivered by an earlier connection and cannot be acknowledged by this one")]
    ForeignToken,
}
