//! One connection to a broker, from STOMP to DISCONNECT.
//!
//! Drives the session of the `stomp` crate over a [`Pipe`]. Messages are handed on as they come; they are acknowledged
//! when whoever works them says so. Knows nothing of what they mean.

use std::time::{Duration, Instant};

use planner::names::clipped;
use secrecy::{ExposeSecret as _, SecretString};
use stomp::{
    AckMode, AckToken, ClientEvent, ClientSession, ConnectOptions, Escaping, HeartBeat, Message, Passcode,
    Subscription,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::transport::Pipe;

/// Messages that a broker hands out before the first is acknowledged: a burst about one thing is then one look.
const PREFETCH: u16 = 1024;
/// How long a broker may take to confirm the end.
const GOODBYE: Duration = Duration::from_secs(3);
/// Longest part of a reason that is shown.
const SHOWN: usize = 300;

/// Who logs in, and how.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) vhost: String,
    pub(super) user: Option<String>,
    pub(super) passcode: Option<SecretString>,
    /// Both ways, in milliseconds; 0: none.
    pub(super) heart_beat_ms: u64,
}

/// A queue to read.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) destination: String,
    /// Where it is for one type of objects only.
    pub(super) object_type: Option<&'static str>,
}

/// A message on its way to be worked.
pub(super) struct Incoming {
    pub(super) message: Message,
    pub(super) object_type: Option<&'static str>,
    /// Where to send its token when it has been worked.
    pub(super) acks: mpsc::UnboundedSender<AckToken>,
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// As asked.
    Stopped,
    /// The broker does not let us in, or not at these queues.
    Refused(String),
    /// The connection broke.
    Lost(String),
}

/// Who takes part in a session.
pub(super) struct Parties<'a> {
    /// Takes a message; must not block.
    pub(super) take: &'a (dyn Fn(Incoming) + Sync),
    /// The broker has confirmed all subscriptions.
    pub(super) subscribed: &'a (dyn Fn() + Sync),
    /// The session is alive.
    pub(super) alive: &'a (dyn Fn() + Sync),
    /// No further messages are to be taken.
    pub(super) stop: &'a CancellationToken,
    /// All work has ended: acknowledge what is done and leave.
    pub(super) drained: &'a CancellationToken,
}

/// Runs a session to its end.
pub(super) async fn run(pipe: Pipe, login: &Login, queues: &[Queue], parties: &Parties<'_>) -> End {
    let mut options = ConnectOptions::new(login.vhost.clone());
    options.login = login.user.clone();
    options.passcode = login.passcode.as_ref().map(|passcode| Passcode::new(passcode.expose_secret()));
    options.heart_beat = HeartBeat::every_ms(login.heart_beat_ms);
    options.escaping = Escaping::EveryFrame;
    let started = Instant::now();
    let session = match ClientSession::new(options, Duration::ZERO) {
        Ok(session) => session,
        Err(error) => return End::Refused(reasons(&error)),
    };
    let (acks, acked) = mpsc::unbounded_channel();
    let mut conversation = Conversation {
        session,
        pipe,
        started,
        queues,
        parties,
        acks,
        unconfirmed: queues.len(),
        leaving: None,
    };
    conversation.run(acked).await
}

struct Conversation<'a> {
    session: ClientSession,
    pipe: Pipe,
    started: Instant,
    queues: &'a [Queue],
    parties: &'a Parties<'a>,
    acks: mpsc::UnboundedSender<AckToken>,
    /// Subscriptions that the broker has not confirmed yet.
    unconfirmed: usize,
    /// When to leave without the broker's goodbye.
    leaving: Option<Instant>,
}

impl Conversation<'_> {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn run(&mut self, mut acked: mpsc::UnboundedReceiver<AckToken>) -> End {
        loop {
            // What was worked meanwhile is acknowledged also while messages keep coming.
            while let Ok(token) = acked.try_recv() {
                self.acknowledge(token);
            }
            if let Err(error) = self.transmit().await {
                return End::Lost(format!("{error:#}"));
            }
            (self.parties.alive)();
            let timeout = self.timeout();
            tokio::select! {
                // What has arrived counts before the time that has passed.
                biased;
                received = self.pipe.receive() => {
                    let ended = match received {
                        Ok(Some(bytes)) => {
                            self.session.receive(self.now(), &bytes);
                            self.events()
                        }
                        Ok(None) => Some(self.end_of_input()),
                        Err(error) => Some(End::Lost(format!("{error:#}"))),
                    };
                    if let Some(end) = ended {
                        return end;
                    }
                }
                Some(token) = acked.recv() => self.acknowledge(token),
                () = self.parties.drained.cancelled(), if self.leaving.is_none() => {
                    while let Ok(token) = acked.try_recv() {
                        self.acknowledge(token);
                    }
                    if !self.leave() {
                        return End::Stopped;
                    }
                }
                () = tokio::time::sleep(timeout) => {
                    if self.leaving.is_some_and(|at| at <= Instant::now()) {
                        return End::Stopped;
                    }
                    self.session.handle_timeout(self.now());
                    if let Some(end) = self.events() {
                        return end;
                    }
                }
            }
        }
    }

    /// How long nothing has to be done if nothing happens.
    fn timeout(&self) -> Duration {
        let session = self.session.poll_timeout().map(|at| at.saturating_sub(self.now()));
        let leaving = self.leaving.map(|at| at.saturating_duration_since(Instant::now()));
        let longest = Duration::from_secs(30);
        session.into_iter().chain(leaving).min().unwrap_or(longest).min(longest)
    }

    async fn transmit(&mut self) -> anyhow::Result<()> {
        let now = self.now();
        let chunks: Vec<_> = std::iter::from_fn(|| self.session.poll_transmit(now)).collect();
        if chunks.is_empty() { Ok(()) } else { self.pipe.send(chunks).await }
    }

    fn acknowledge(&mut self, token: AckToken) {
        // Of a message that an earlier connection has delivered; the broker delivers it again.
        if let Err(error) = self.session.ack(token, None) {
            tracing::debug!(%error, "not acknowledged");
        }
    }

    /// Leaves in order; `false` where there is nothing to leave.
    fn leave(&mut self) -> bool {
        for number in 0..self.queues.len() {
            // One that the broker has not confirmed is none.
            let _ = self.session.unsubscribe(&subscription_id(number), None);
        }
        self.leaving = Some(Instant::now() + GOODBYE);
        self.session.disconnect().is_ok()
    }

    fn end_of_input(&mut self) -> End {
        let error = self.session.end_of_input().err();
        match (self.leaving, error) {
            (None, Some(error)) if self.unconfirmed > 0 => End::Refused(reasons(&error)),
            (None, Some(error)) => End::Lost(reasons(&error)),
            _ => End::Stopped,
        }
    }

    /// Works all events that have come; the session's end, if one of them is that.
    fn events(&mut self) -> Option<End> {
        loop {
            match self.session.poll_event() {
                Ok(None) => return None,
                Ok(Some(event)) => {
                    if let Some(end) = self.event(event) {
                        return Some(end);
                    }
                }
                Err(error) => return Some(End::Lost(reasons(&error))),
            }
        }
    }

    fn event(&mut self, event: ClientEvent) -> Option<End> {
        match event {
            ClientEvent::Connected(connected) => {
                let server = connected.server.unwrap_or_default();
                tracing::debug!(server, version = %connected.version, "logged in");
                return self.subscribe().err();
            }
            ClientEvent::Message(message) => self.take(message),
            ClientEvent::Receipt(_) => {
                self.unconfirmed = self.unconfirmed.saturating_sub(1);
                if self.unconfirmed == 0 && self.leaving.is_none() {
                    (self.parties.subscribed)();
                }
            }
            ClientEvent::Error(error) => {
                let text = clipped(&error.to_string(), SHOWN);
                let refused = error.before_connected || self.unconfirmed > 0;
                return Some(if refused { End::Refused(text) } else { End::Lost(text) });
            }
            ClientEvent::HeartBeatLost { silent_for } => {
                return Some(End::Lost(format!("the broker has been silent for {silent_for:.1?}")));
            }
            ClientEvent::Disconnected => return Some(End::Stopped),
        }
        None
    }

    fn subscribe(&mut self) -> Result<(), End> {
        for (number, queue) in self.queues.iter().enumerate() {
            let receipt = self.session.new_receipt();
            let subscription = Subscription {
                ack: AckMode::ClientIndividual,
                prefetch: Some(PREFETCH),
                receipt: Some(receipt),
                ..Subscription::new(subscription_id(number), queue.destination.clone())
            };
            self.session.subscribe(subscription).map_err(|error| End::Refused(reasons(&error)))?;
        }
        Ok(())
    }

    /// Hands a message on. While the agent stops it stays unacknowledged, and is delivered again to the next one.
    fn take(&self, message: Message) {
        if self.parties.stop.is_cancelled() {
            return;
        }
        let number = (0..self.queues.len()).find(|number| subscription_id(*number) == message.subscription);
        let object_type = number.and_then(|number| self.queues[number].object_type);
        (self.parties.take)(Incoming { message, object_type, acks: self.acks.clone() });
    }
}

fn subscription_id(number: usize) -> String {
    format!("waldur-{number}")
}

fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        text = format!("{text}: {reason}");
        source = reason.source();
    }
    clipped(&text, SHOWN)
}
