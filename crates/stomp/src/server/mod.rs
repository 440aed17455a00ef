//! The server role: negotiate, report what the client asks, deliver.
//!
//! One value per connection. It holds no queues and no users: whether a login is good, where a message comes
//! from and when a receipt is due is decided by the broker around it.

mod event;
mod request;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

pub use event::{
    AckTarget, ConnectRequest, Delivery, ErrorReply, Request, ServerError, ServerEvent, ServerOptions,
};

use crate::dialect::Version;
use crate::frame::{AckMode, Command, Frame, ReceiptId};
use crate::heart_beat::HeartBeat;
use crate::wire::Wire;

#[derive(Clone, Copy)]
enum State {
    /// Nothing but STOMP or CONNECT may come.
    Waiting,
    /// It came; what follows stays undecoded until the broker accepts.
    Asked {
        version: Version,
        theirs: HeartBeat,
    },
    Connected {
        version: Version,
    },
    /// DISCONNECT came: its receipt may go out, nothing else comes in.
    Leaving,
    Closed,
}

/// The server's side of one connection.
pub struct ServerSession {
    wire: Wire,
    state: State,
    options: ServerOptions,
    subscriptions: BTreeMap<String, AckMode>,
}

impl ServerSession {
    /// A session that waits for STOMP or CONNECT.
    #[must_use]
    pub fn new(options: ServerOptions, now: Duration) -> Self {
        Self {
            wire: Wire::new(options.escaping, options.limits, options.tolerance_percent, now),
            state: State::Waiting,
            options,
            subscriptions: BTreeMap::new(),
        }
    }

    /// Takes bytes that arrived. Follow with [`Self::poll_event`] until it gives `Ok(None)`.
    pub fn receive(&mut self, now: Duration, bytes: &[u8]) {
        self.wire.receive(now, bytes);
    }

    /// What the client asked next; `Ok(None)` when there is nothing more for now, or while an
    /// [`ServerEvent::Connect`] is not yet answered.
    ///
    /// # Errors
    /// [`ServerError`] when the client breaks the protocol. An ERROR frame that says so is then queued and
    /// the session closed; later calls give `Ok(None)`.
    pub fn poll_event(&mut self) -> Result<Option<ServerEvent>, ServerError> {
        if matches!(self.state, State::Asked { .. } | State::Leaving | State::Closed) {
            return Ok(None);
        }
        let event = match self.wire.next_frame() {
            Ok(Some(frame)) => self.on_frame(frame).map(Some),
            Ok(None) => {
                Ok(self.wire.silent_for().map(|silent_for| ServerEvent::HeartBeatLost { silent_for }))
            }
            Err(error) => Err(error.into()),
        };
        match &event {
            Err(error) => self.refuse(error),
            Ok(Some(ServerEvent::HeartBeatLost { .. })) => self.state = State::Closed,
            Ok(_) => {}
        }
        event
    }

    /// The next chunk to send, one frame or one heart-beat; it counts as sent at `now`.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Bytes> {
        self.wire.poll_transmit(now)
    }

    /// When [`Self::handle_timeout`] is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if matches!(self.state, State::Connected { .. }) { self.wire.poll_timeout() } else { None }
    }

    /// Queues a heart-beat that is due and notices a silent client. Harmless when called early; hand over
    /// what has already arrived first.
    pub fn handle_timeout(&mut self, now: Duration) {
        if matches!(self.state, State::Connected { .. }) {
            self.wire.handle_timeout(now);
        }
    }

    /// Whether the connection is to be closed once [`Self::poll_transmit`] is empty. After a DISCONNECT that
    /// asked for a receipt, send the receipt first.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Leaving | State::Closed)
    }

    /// The version in force, once accepted.
    #[must_use]
    pub const fn version(&self) -> Option<Version> {
        match self.state {
            State::Connected { version } => Some(version),
            _ => None,
        }
    }

    /// Answers [`ServerEvent::Connect`] with CONNECTED. To refuse, see [`Self::error`].
    ///
    /// # Errors
    /// [`ServerError::NotAsked`], [`ServerError::Encode`].
    pub fn accept(&mut self, session: &str, now: Duration) -> Result<(), ServerError> {
        let State::Asked { version, theirs } = self.state else {
            return Err(ServerError::NotAsked);
        };
        let frame = Frame::new(Command::Connected)
            .header_if("server", self.options.server.as_deref())
            .header("session", session)
            .header("heart-beat", self.options.heart_beat.to_string())
            .header("version", version.as_str());
        self.wire.agree(version, self.options.heart_beat.agree(theirs));
        self.wire.queue(&frame)?;
        self.wire.expect_from(now);
        self.state = State::Connected { version };
        Ok(())
    }

    /// Delivers a message to a subscription.
    ///
    /// # Errors
    /// [`ServerError::NotConnected`], [`ServerError::NoSubscription`], [`ServerError::Encode`].
    pub fn message(&mut self, delivery: Delivery) -> Result<(), ServerError> {
        let State::Connected { version } = self.state else {
            return Err(ServerError::NotConnected);
        };
        let Delivery { subscription, destination, message_id, ack_id, headers, body } = delivery;
        let Some(mode) = self.subscriptions.get(&subscription) else {
            return Err(ServerError::NoSubscription { id: subscription });
        };
        let with_ack = version == Version::V1_2 && *mode != AckMode::Auto;
        let frame = Frame::new(Command::Message)
            .header("subscription", subscription)
            .header("destination", destination)
            .header("message-id", message_id)
            .header_if("ack", with_ack.then_some(ack_id))
            .with_headers(headers)
            .with_body(body);
        Ok(self.wire.queue(&frame)?)
    }

    /// Confirms the request that asked for this receipt, and with it all before it.
    ///
    /// # Errors
    /// [`ServerError::NotConnected`]; a receipt for DISCONNECT can still be sent.
    pub fn receipt(&mut self, receipt: &ReceiptId) -> Result<(), ServerError> {
        if !matches!(self.state, State::Connected { .. } | State::Leaving) {
            return Err(ServerError::NotConnected);
        }
        Ok(self.wire.queue(&Frame::new(Command::Receipt).header("receipt-id", receipt.as_str()))?)
    }

    /// Refuses with an ERROR frame and closes the session.
    ///
    /// # Errors
    /// [`ServerError::NotConnected`] when the session has ended, [`ServerError::Encode`].
    pub fn error(&mut self, reply: ErrorReply) -> Result<(), ServerError> {
        if matches!(self.state, State::Closed) {
            return Err(ServerError::NotConnected);
        }
        self.state = State::Closed;
        let ErrorReply { message, detail, receipt } = reply;
        let frame = Frame::new(Command::Error)
            .header("message", message)
            .header_if("receipt-id", receipt.map(|id| id.0))
            .header("content-type", "text/plain")
            .header("version", Version::list(&self.options.versions))
            .with_body(detail);
        Ok(self.wire.queue(&frame)?)
    }

    /// Tells the client what it did wrong; the error itself goes to the caller.
    fn refuse(&mut self, error: &ServerError) {
        let detail = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
        let reply =
            ErrorReply { message: error.to_string().replace(['\r', '\0'], " "), detail, receipt: None };
        if self.error(reply).is_err() {
            // Without an ERROR frame the client sees the connection close, as it does from a broker that dies.
            self.state = State::Closed;
        }
    }

    fn on_frame(&mut self, frame: Frame) -> Result<ServerEvent, ServerError> {
        match (self.state, frame.command) {
            (State::Waiting, Command::Stomp | Command::Connect) => self.on_connect(&frame),
            (State::Waiting, command) => Err(ServerError::Unexpected { command }),
            (State::Connected { version }, _) => self.on_request(version, frame),
            (_, command) => Err(ServerError::Unexpected { command }),
        }
    }

    fn on_connect(&mut self, frame: &Frame) -> Result<ServerEvent, ServerError> {
        let offered = frame.get("accept-version").unwrap_or("1.0");
        let version = offered
            .split(',')
            .filter_map(Version::from_header)
            .filter(|version| self.options.versions.contains(version))
            .max()
            .ok_or_else(|| ServerError::NoCommonVersion {
                offered: offered.escape_default().to_string(),
                supported: Version::list(&self.options.versions),
            })?;
        let theirs = frame.get("heart-beat").map_or(Ok(HeartBeat::NONE), str::parse)?;
        self.state = State::Asked { version, theirs };
        Ok(ServerEvent::Connect(ConnectRequest::from_frame(frame, version, theirs)))
    }

    fn on_request(&mut self, version: Version, frame: Frame) -> Result<ServerEvent, ServerError> {
        let receipt = frame.get("receipt").map(|id| ReceiptId(id.to_owned()));
        let request = Request::from_frame(frame, version)?;
        match &request {
            Request::Subscribe { id, ack, .. } => {
                if self.subscriptions.insert(id.clone(), *ack).is_some() {
                    return Err(ServerError::DuplicateSubscription { id: id.clone() });
                }
            }
            Request::Unsubscribe { id } => {
                if self.subscriptions.remove(id).is_none() {
                    return Err(ServerError::NoSubscription { id: id.clone() });
                }
            }
            Request::Disconnect => self.state = State::Leaving,
            Request::Send { .. }
            | Request::Ack { .. }
            | Request::Nack { .. }
            | Request::Begin { .. }
            | Request::Commit { .. }
            | Request::Abort { .. } => {}
        }
        Ok(ServerEvent::Request { request, receipt })
    }
}
