//! STOMP 1.2 and 1.1 without I/O, async or clocks.
//!
//! Bytes that arrived go in, events come out; requests go in, bytes to send come out; time is an argument.
//! The socket, WebSocket or pipe between two sessions, and the clock, belong to the caller, so that a test
//! can play both ends of a connection in virtual time.
//!
//! # Layers
//!
//! | Layer | Types | Does |
//! | --- | --- | --- |
//! | Frames | [`Frame`], [`Headers`], [`Command`] | what is said |
//! | Wire form | [`Decoder`], [`Encoder`], [`Dialect`], [`Limits`] | how it is written, per version and escape rule |
//! | Liveness | [`HeartBeat`], [`HeartBeatTimer`] | when to send an end of line, when the peer is dead |
//! | Roles | [`ClientSession`], [`ServerSession`] | a conversation: negotiation, subscriptions, acknowledgements, receipts |
//!
//! # Driving a session
//!
//! Both roles are driven in the same way. `now` is the time since any fixed origin, never going back.
//!
//! 1. Bytes arrived: `receive(now, bytes)`, then `poll_event()` until it gives `Ok(None)`.
//! 2. After anything: send what `poll_transmit(now)` gives until it gives `None`. Each chunk is one whole
//!    frame or one end of line, which is what a WebSocket message should hold; a byte stream may join them.
//! 3. Sleep until `poll_timeout()`, then read what has already arrived, then `handle_timeout(now)` and
//!    `poll_event()`.
//! 4. An `Err` from `poll_event`, a lost heart-beat and an ERROR frame are final: send what `poll_transmit`
//!    still has, close the connection and start a new session. `is_closed()` says so too.
//!
//! ```
//! use std::time::Duration;
//! use stomp::{AckMode, ClientEvent, ClientSession, ConnectOptions, Subscription};
//!
//! let at = Duration::from_secs;
//! let mut session = ClientSession::new(ConnectOptions::new("a-virtual-host"), at(0))?;
//! let connect = session.poll_transmit(at(0)).expect("the STOMP frame");
//! assert!(connect.starts_with(b"STOMP\n"));
//!
//! session.receive(at(1), b"CONNECTED\nversion:1.2\n\n\0");
//! assert!(matches!(session.poll_event()?, Some(ClientEvent::Connected(_))));
//!
//! let orders = Subscription { ack: AckMode::ClientIndividual, ..Subscription::new("orders", "/amq/queue/orders") };
//! session.subscribe(orders)?;
//! session.poll_transmit(at(1)).expect("the SUBSCRIBE frame");
//!
//! session.receive(at(2), b"MESSAGE\nsubscription:orders\nmessage-id:7\nack:a7\ndestination:/q\n\n{}\0");
//! if let Some(ClientEvent::Message(message)) = session.poll_event()? {
//!     session.ack(message.ack.expect("asked for by the subscription"), None)?;
//! }
//! let ack = session.poll_transmit(at(2)).expect("the ACK frame");
//! assert_eq!(&ack[..], b"ACK\nid:a7\n\n\0");
//! # Ok::<(), stomp::ClientError>(())
//! ```
//!
//! # Where it is liberal, where strict
//!
//! Accepted although a strict reading forbids it: CRLF line ends in 1.1, a raw colon inside a header value,
//! a body on a frame that should have none, spaces around the number of `content-length`.
//!
//! Refused, each with its own [`DecodeError`]: unknown commands, unknown escape sequences, header lines
//! without a colon or name, NUL inside the headers, headers that are not UTF-8, a `content-length` that is no
//! number or does not end at a NUL, and whatever exceeds the [`Limits`]. Every decoding error is final, since
//! nothing says where the next frame begins.
//!
//! CONNECT, STOMP and CONNECTED are written without escapes by the standard, while RabbitMQ escapes and
//! unescapes every frame: see [`Escaping`]. STOMP 1.0 is refused by both roles.

mod client;
mod decode;
mod dialect;
mod encode;
mod frame;
mod heart_beat;
mod server;
mod wire;

pub use client::{
    AckToken, ClientError, ClientEvent, ClientSession, ConnectOptions, Connected, ErrorFrame, Message,
    Subscription,
};
pub use decode::{DecodeError, Decoder, HeaderFault, Input, Limits};
pub use dialect::{Dialect, Escaping, Version};
pub use encode::{EncodeError, EncodeFault, Encoder};
pub use frame::{AckMode, Command, Frame, Headers, Passcode, ReceiptId};
pub use heart_beat::{AgreedHeartBeat, HeartBeat, HeartBeatError, HeartBeatTimer};
pub use server::{
    AckTarget, ConnectRequest, Delivery, ErrorReply, Request, ServerError, ServerEvent, ServerOptions,
    ServerSession,
};
