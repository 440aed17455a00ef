//! The client role: connect, subscribe, receive, acknowledge, disconnect.
//!
//! One value per connection. It sends nothing by itself: requests become bytes that the caller takes with
//! [`ClientSession::poll_transmit`], and what the server says comes out of [`ClientSession::poll_event`].

mod event;
mod options;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use event::{AckToken, ClientError, ClientEvent, Connected, ErrorFrame, Message};
pub use options::{ConnectOptions, Subscription};

use crate::dialect::Version;
use crate::frame::{AckMode, Command, Frame, Headers, ReceiptId};
use crate::heart_beat::HeartBeat;
use crate::wire::Wire;
use event::AckReference;

enum State {
    Connecting { deadline: Duration },
    Connected { version: Version },
    Disconnecting { receipt: ReceiptId, version: Version },
    Closed,
}

/// The client's side of one connection.
pub struct ClientSession {
    wire: Wire,
    state: State,
    versions: Vec<Version>,
    heart_beat: HeartBeat,
    connect_timeout: Duration,
    timed_out: bool,
    subscriptions: BTreeMap<String, AckMode>,
    receipts: u64,
    /// Tells the tokens of this connection from those of another: an acknowledgement is void, and on some
    /// brokers names another message, once the connection that delivered it is gone.
    identity: Arc<()>,
}

impl ClientSession {
    /// A session whose first bytes to send are the STOMP or CONNECT frame.
    ///
    /// # Errors
    /// [`ClientError::Encode`] when login, passcode or host cannot be written by the chosen escape rule.
    pub fn new(options: ConnectOptions, now: Duration) -> Result<Self, ClientError> {
        let mut wire = Wire::new(options.escaping, options.limits, options.tolerance_percent, now);
        wire.queue(&options.frame())?;
        Ok(Self {
            wire,
            state: State::Connecting { deadline: now.saturating_add(options.connect_timeout) },
            versions: options.versions,
            heart_beat: options.heart_beat,
            connect_timeout: options.connect_timeout,
            timed_out: false,
            subscriptions: BTreeMap::new(),
            receipts: 0,
            identity: Arc::new(()),
        })
    }

    /// Takes bytes that arrived. Follow with [`Self::poll_event`] until it gives `Ok(None)`.
    pub fn receive(&mut self, now: Duration, bytes: &[u8]) {
        self.wire.receive(now, bytes);
    }

    /// What happened next, in the order in which it arrived; `Ok(None)` when there is nothing more for now.
    ///
    /// # Errors
    /// [`ClientError`] when the server breaks the protocol or does not answer. The session is closed then,
    /// and later calls give `Ok(None)`.
    pub fn poll_event(&mut self) -> Result<Option<ClientEvent>, ClientError> {
        if self.is_closed() {
            return Ok(None);
        }
        let event = self.next_event();
        if matches!(
            event,
            Err(_)
                | Ok(Some(
                    ClientEvent::Error(_) | ClientEvent::HeartBeatLost { .. } | ClientEvent::Disconnected
                ))
        ) {
            self.state = State::Closed;
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
        match self.state {
            State::Connecting { deadline } => (!self.timed_out).then_some(deadline),
            State::Connected { .. } | State::Disconnecting { .. } => self.wire.poll_timeout(),
            State::Closed => None,
        }
    }

    /// Queues a heart-beat that is due and notices a silent server. Harmless when called early.
    ///
    /// Hand over what has already arrived first, or a process that was held up takes its own delay for the
    /// server's silence.
    pub fn handle_timeout(&mut self, now: Duration) {
        match self.state {
            State::Connecting { deadline } => self.timed_out |= now >= deadline,
            State::Connected { .. } | State::Disconnecting { .. } => self.wire.handle_timeout(now),
            State::Closed => {}
        }
    }

    /// Says that the server closed the connection, after the last [`Self::poll_event`].
    ///
    /// # Errors
    /// [`ClientError::ConnectionClosed`] unless the session had ended by DISCONNECT or error.
    pub fn end_of_input(&mut self) -> Result<(), ClientError> {
        if self.is_closed() {
            return Ok(());
        }
        self.state = State::Closed;
        Err(ClientError::ConnectionClosed { inside_frame: self.wire.is_inside_frame() })
    }

    /// Whether nothing more can be received or asked; the connection is to be closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// An identifier to hand to the next request; the server answers with a [`ClientEvent::Receipt`] of it.
    pub fn new_receipt(&mut self) -> ReceiptId {
        self.receipts += 1;
        ReceiptId(format!("receipt-{}", self.receipts))
    }

    /// Asks for the messages of a destination.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`], [`ClientError::DuplicateSubscription`], [`ClientError::Encode`].
    pub fn subscribe(&mut self, subscription: Subscription) -> Result<(), ClientError> {
        self.require_connected()?;
        let Subscription { id, destination, ack, prefetch, receipt, headers } = subscription;
        if self.subscriptions.contains_key(&id) {
            return Err(ClientError::DuplicateSubscription { id });
        }
        let frame = Frame::new(Command::Subscribe)
            .header("id", id.as_str())
            .header("destination", destination)
            .header("ack", ack.as_str())
            .header_if("prefetch-count", prefetch.map(|count| count.to_string()));
        self.queue(frame.with_headers(headers), receipt)?;
        self.subscriptions.insert(id, ack);
        Ok(())
    }

    /// Ends a subscription. Its messages that are not acknowledged go back to the queue; some may still be
    /// on their way and come out without a token.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`], [`ClientError::NoSubscription`].
    pub fn unsubscribe(&mut self, id: &str, receipt: Option<ReceiptId>) -> Result<(), ClientError> {
        self.require_connected()?;
        self.require_subscription(id)?;
        self.queue(Frame::new(Command::Unsubscribe).header("id", id), receipt)?;
        self.subscriptions.remove(id);
        Ok(())
    }

    /// Says that a message has been dealt with; with [`AckMode::Client`] all earlier ones too.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`]; [`ClientError::ForeignToken`] and [`ClientError::NoSubscription`] when
    /// the message was delivered by another connection or its subscription has ended. The server then
    /// delivers it again, and has not been told anything.
    pub fn ack(&mut self, token: AckToken, receipt: Option<ReceiptId>) -> Result<(), ClientError> {
        self.acknowledge(Command::Ack, token, receipt)
    }

    /// Gives a message back. What the server does with it is up to the server; RabbitMQ delivers it again.
    ///
    /// # Errors
    /// As [`Self::ack`].
    pub fn nack(&mut self, token: AckToken, receipt: Option<ReceiptId>) -> Result<(), ClientError> {
        self.acknowledge(Command::Nack, token, receipt)
    }

    /// Publishes a message. `headers` follow the destination.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`], [`ClientError::Encode`].
    pub fn send(
        &mut self,
        destination: &str,
        headers: Headers,
        body: Bytes,
        receipt: Option<ReceiptId>,
    ) -> Result<(), ClientError> {
        self.require_connected()?;
        let frame = Frame::new(Command::Send).header("destination", destination).with_headers(headers);
        self.queue(frame.with_body(body), receipt)
    }

    /// Ends the session in order. [`ClientEvent::Disconnected`] follows once the server has processed all
    /// that was sent before; until then messages may still arrive, which can no longer be acknowledged.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`].
    pub fn disconnect(&mut self) -> Result<(), ClientError> {
        let version = self.require_connected()?;
        let receipt = self.new_receipt();
        self.queue(Frame::new(Command::Disconnect), Some(receipt.clone()))?;
        self.state = State::Disconnecting { receipt, version };
        Ok(())
    }

    fn acknowledge(
        &mut self,
        command: Command,
        token: AckToken,
        receipt: Option<ReceiptId>,
    ) -> Result<(), ClientError> {
        self.require_connected()?;
        let AckToken { identity, subscription, reference } = token;
        if !Arc::ptr_eq(&identity, &self.identity) {
            return Err(ClientError::ForeignToken);
        }
        self.require_subscription(&subscription)?;
        let frame = match reference {
            AckReference::Id(id) => Frame::new(command).header("id", id),
            AckReference::MessageId(message_id) => {
                Frame::new(command).header("message-id", message_id).header("subscription", subscription)
            }
        };
        self.queue(frame, receipt)
    }

    fn queue(&mut self, frame: Frame, receipt: Option<ReceiptId>) -> Result<(), ClientError> {
        self.wire.queue(&frame.header_if("receipt", receipt.map(|id| id.0)))?;
        Ok(())
    }

    const fn require_connected(&self) -> Result<Version, ClientError> {
        match self.state {
            State::Connected { version } => Ok(version),
            _ => Err(ClientError::NotConnected),
        }
    }

    fn require_subscription(&self, id: &str) -> Result<(), ClientError> {
        if self.subscriptions.contains_key(id) {
            Ok(())
        } else {
            Err(ClientError::NoSubscription { id: id.to_owned() })
        }
    }

    fn next_event(&mut self) -> Result<Option<ClientEvent>, ClientError> {
        if let Some(frame) = self.wire.next_frame()? {
            return self.on_frame(frame).map(Some);
        }
        if self.timed_out {
            return Err(ClientError::NoAnswer { waited: self.connect_timeout });
        }
        Ok(self.wire.silent_for().map(|silent_for| ClientEvent::HeartBeatLost { silent_for }))
    }

    fn on_frame(&mut self, frame: Frame) -> Result<ClientEvent, ClientError> {
        match (&self.state, frame.command) {
            (_, Command::Error) => {
                let before_connected = matches!(self.state, State::Connecting { .. });
                Ok(ClientEvent::Error(ErrorFrame::from_frame(&frame, before_connected)))
            }
            (State::Connecting { .. }, Command::Connected) => self.on_connected(frame),
            (State::Connected { version } | State::Disconnecting { version, .. }, Command::Message) => {
                self.on_message(*version, frame)
            }
            (State::Connected { .. } | State::Disconnecting { .. }, Command::Receipt) => {
                self.on_receipt(&frame)
            }
            (_, command) => Err(ClientError::Unexpected { command }),
        }
    }

    fn on_connected(&mut self, frame: Frame) -> Result<ClientEvent, ClientError> {
        let version = frame.get("version").unwrap_or("1.0");
        let version = Version::from_header(version)
            .filter(|version| self.versions.contains(version))
            .ok_or_else(|| ClientError::Version { offered: version.escape_default().to_string() })?;
        let theirs = frame.get("heart-beat").map_or(Ok(HeartBeat::NONE), str::parse)?;
        self.wire.agree(version, self.heart_beat.agree(theirs));
        self.timed_out = false;
        self.state = State::Connected { version };
        Ok(ClientEvent::Connected(Connected {
            version,
            heart_beat: self.wire.agreed(),
            server: frame.get("server").map(str::to_owned),
            session: frame.get("session").map(str::to_owned),
        }))
    }

    fn on_message(&self, version: Version, frame: Frame) -> Result<ClientEvent, ClientError> {
        let subscription = required(&frame, "subscription")?;
        let message_id = required(&frame, "message-id")?;
        let ack = match self.subscriptions.get(&subscription) {
            None | Some(AckMode::Auto) => None,
            Some(AckMode::Client | AckMode::ClientIndividual) => Some(AckToken {
                identity: Arc::clone(&self.identity),
                subscription: subscription.clone(),
                reference: match version {
                    Version::V1_1 => AckReference::MessageId(message_id.clone()),
                    Version::V1_2 => AckReference::Id(required(&frame, "ack")?),
                },
            }),
        };
        let destination = required(&frame, "destination")?;
        let Frame { headers, body, .. } = frame;
        Ok(ClientEvent::Message(Message { subscription, destination, message_id, ack, headers, body }))
    }

    fn on_receipt(&self, frame: &Frame) -> Result<ClientEvent, ClientError> {
        let id = ReceiptId(required(frame, "receipt-id")?);
        Ok(match &self.state {
            State::Disconnecting { receipt, .. } if *receipt == id => ClientEvent::Disconnected,
            _ => ClientEvent::Receipt(id),
        })
    }
}

fn required(frame: &Frame, header: &'static str) -> Result<String, ClientError> {
    let missing = ClientError::MissingHeader { command: frame.command, header };
    frame.get(header).map(str::to_owned).ok_or(missing)
}
