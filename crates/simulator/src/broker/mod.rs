//! A STOMP broker that answers as RabbitMQ 3.10 does, over TCP, TLS and WebSocket, on loopback ports.
//!
//! # Using it
//!
//! [`Broker::start`] opens the ports; [`crate::simulation::Simulation`] does that and has simulated Waldur feed it,
//! so that `register_queue` and `create_queue` there make virtual host, user and queue here.
//!
//! | Question | Answer |
//! | --- | --- |
//! | Where is it? | [`Broker::ports`]; WebSocket at [`BrokerOptions::path`], subprotocols `v12.stomp` and `v11.stomp` |
//! | Who may log in? | [`Broker::add_user`], [`Broker::allow`]; virtual host `/` exists from the start |
//! | Which destinations? | `/amq/queue/NAME` (must exist), `/queue/NAME` (made when named), `/topic/KEY` (`*`, `#`) |
//! | What is in a queue? | [`Broker::queue`], [`Broker::queues`]; [`Broker::wait_until`] waits for it |
//! | Who is connected? | [`Broker::connections`] |
//! | What can go wrong? | [`Broker::close_connections`] (ERROR, then closed; over WebSocket closed alone), [`Broker::reset_connections`] (RST), [`Broker::freeze`] and [`Broker::thaw`] (open and silent), [`Broker::stop`] and [`Broker::restart`] (queues are kept), [`Broker::remove_queue`], [`Broker::remove_user`] |
//!
//! A message that was out for delivery when its subscription or connection ends, or that a client gives back by
//! NACK, is delivered again with `redelivered:true`, at its old place. `ack:auto`, `client` and
//! `client-individual`, `prefetch-count`, receipts, transactions and heart-beats work as on RabbitMQ. Queues have
//! `x-max-length`, `x-overflow` and `x-message-ttl`; there is no dead-letter queue, only counts.
//!
//! Over WebSocket, like RabbitMQ's adapter, it closes without a word where over TCP a frame comes first: after a
//! DISCONNECT that asked for a receipt, when a queue is missing or may not be read, when an administrator closes.
//!
//! Stricter than RabbitMQ in one place: an acknowledgement that names a delivery of another connection is refused,
//! where RabbitMQ takes it for the delivery of the same number on this one.

mod access;
mod connection;
mod control;
mod destination;
mod listen;
mod queue;
mod session;
mod state;
mod transport;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustls::ServerConfig;
use serde::Serialize;
use stomp::{Escaping, HeartBeat, ServerOptions};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::access::Access;
pub use self::control::control_routes;
use self::destination::Destination;
use self::listen::Running;
pub use self::queue::{Overflow, QueueOptions, QueueStatus, Settled};
pub use self::session::ConnectionStatus;
use self::state::State;
use crate::clock::Clock;

/// The virtual host of clients that name none, and the only one of a plain broker.
pub const DEFAULT_VHOST: &str = "/";

/// How a broker is made.
#[derive(Clone)]
pub struct BrokerOptions {
    /// For the age of messages.
    pub clock: Clock,
    /// With a certificate it listens with TLS as well.
    pub tls: Option<Arc<ServerConfig>>,
    /// Ports to listen on; 0 for any.
    pub ports: BrokerPorts,
    /// Path of the WebSocket.
    pub path: String,
    /// The shortest heart-beat intervals it agrees to, so that the client's wishes decide.
    pub heart_beat: HeartBeat,
    /// Which frames have escapes in their headers.
    pub escaping: Escaping,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            clock: Clock::new(),
            tls: None,
            ports: BrokerPorts::default(),
            path: "/rmqws-stomp".to_owned(),
            heart_beat: HeartBeat::every_ms(50),
            escaping: Escaping::EveryFrame,
        }
    }
}

/// Ports on 127.0.0.1; those with TLS are 0 where the broker has no certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BrokerPorts {
    /// Plain STOMP.
    pub tcp: u16,
    /// STOMP over TLS, for the host name `localhost`.
    pub tls: u16,
    /// WebSocket.
    pub ws: u16,
    /// WebSocket over TLS, for the host name `localhost`.
    pub wss: u16,
}

/// Counts over the whole life of a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BrokerCounts {
    /// Sessions that were let in.
    pub logins: u64,
    /// Clients that were not: wrong user, passcode or virtual host.
    pub refused_logins: u64,
    /// Clients that stopped sending the heart-beats they had promised.
    pub silent_clients: u64,
}

/// A running broker. Clones are handles to the same one; it stops when the last is dropped.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
    _stops_when_dropped: Arc<DropGuard>,
}

/// What the tasks have; unlike a [`Broker`] it does not keep the broker running.
struct Shared {
    options: BrokerOptions,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    frozen: watch::Sender<bool>,
    running: tokio::sync::Mutex<Option<Running>>,
    ports: Mutex<BrokerPorts>,
    /// Kept bound for as long as the broker lives, so that nobody takes a port while it is down.
    reserved: Mutex<Vec<(u16, TcpSocket)>>,
    sessions: AtomicU64,
    stop: CancellationToken,
}

impl Shared {
    fn look<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As `look`, and wakes everybody who waits for a change.
    fn change<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let result = self.look(work);
        self.changes.send_modify(|version| *version += 1);
        result
    }

    fn number_of_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn session_options(&self) -> ServerOptions {
        ServerOptions {
            heart_beat: self.options.heart_beat,
            // What a very short interval comes to must exceed a round trip on a busy machine.
            tolerance_percent: 200,
            escaping: self.options.escaping,
            server: Some("RabbitMQ/3.10.8".to_owned()),
            ..ServerOptions::default()
        }
    }
}

impl Broker {
    /// Opens the ports.
    ///
    /// # Errors
    /// A port that is taken.
    pub async fn start(options: BrokerOptions) -> anyhow::Result<Self> {
        let mut state = State::new(options.clock.clone());
        state.vhosts.insert(DEFAULT_VHOST.to_owned(), BTreeMap::new());
        let (changes, _) = watch::channel(0);
        let (frozen, _) = watch::channel(false);
        let stop = CancellationToken::new();
        let wanted = options.ports;
        let shared = Arc::new(Shared {
            options,
            state: Mutex::new(state),
            changes,
            frozen,
            running: tokio::sync::Mutex::new(None),
            ports: Mutex::new(wanted),
            reserved: Mutex::default(),
            sessions: AtomicU64::new(0),
            stop: stop.clone(),
        });
        let broker = Self { shared, _stops_when_dropped: Arc::new(stop.drop_guard()) };
        broker.restart().await?;
        Ok(broker)
    }

    /// Where it listens, or did before it was stopped.
    #[must_use]
    pub fn ports(&self) -> BrokerPorts {
        *self.shared.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Path of the WebSocket.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.shared.options.path
    }

    /// Goes down: connections are reset, new ones refused, queues and users kept. What is published meanwhile is lost.
    pub async fn stop(&self) {
        if let Some(running) = self.shared.running.lock().await.take() {
            self.shared.change(|state| state.is_down = true);
            running.stop().await;
        }
    }

    /// Goes down, if it was up, and comes back on the same ports.
    ///
    /// # Errors
    /// A port that somebody else has taken at the first start.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop().await;
        let mut running = self.shared.running.lock().await;
        let started = Running::start(&self.shared, self.ports()).await?;
        *self.shared.ports.lock().unwrap_or_else(PoisonError::into_inner) = started.ports;
        *running = Some(started);
        drop(running);
        self.shared.change(|state| state.is_down = false);
        Ok(())
    }

    /// From now on it neither reads nor sends nor greets, with all connections open, as a stopped process does.
    pub fn freeze(&self) {
        self.shared.frozen.send_replace(true);
    }

    /// Goes on after [`Self::freeze`].
    pub fn thaw(&self) {
        self.shared.frozen.send_replace(false);
    }

    /// Ends all connections with an ERROR frame that gives the reason, as `rabbitmqctl close_all_connections` does.
    /// How many there were.
    pub fn close_connections(&self, reason: &str) -> usize {
        self.shared.change(|state| {
            for session in state.sessions.values_mut() {
                session.closing = Some(reason.to_owned());
                session.wake.notify_one();
            }
            state.sessions.len()
        })
    }

    /// Resets all connections, with nothing said. How many there were.
    pub fn reset_connections(&self) -> usize {
        self.shared.look(|state| {
            for session in state.sessions.values() {
                session.reset.cancel();
            }
            state.sessions.len()
        })
    }

    /// Makes a virtual host; one that is there stays.
    pub fn add_vhost(&self, vhost: &str) {
        self.shared.change(|state| {
            state.vhosts.entry(vhost.to_owned()).or_default();
        });
    }

    /// Makes a user, or gives one that is there these passcodes in place of its own.
    pub fn add_user(&self, login: &str, passcodes: impl IntoIterator<Item = impl Into<String>>) {
        let passcodes = passcodes.into_iter().map(Into::into).collect();
        self.shared.change(|state| state.users.entry(login.to_owned()).or_default().passcodes = passcodes);
    }

    /// Adds to what a user may do in a virtual host.
    pub fn allow(&self, login: &str, vhost: &str, access: Access) {
        self.shared.change(|state| state.users.entry(login.to_owned()).or_default().allow(vhost, access));
    }

    /// Nobody can log in with this name any more; open connections stay, as on RabbitMQ.
    pub fn remove_user(&self, login: &str) {
        self.shared.change(|state| state.users.remove(login));
    }

    /// Makes a queue, or gives one that is there these options.
    pub fn declare_queue(&self, vhost: &str, queue: &str, options: QueueOptions) {
        self.shared.change(|state| state.declare(vhost, queue, options));
    }

    /// Removes a queue with what is in it. Its subscribers hear no more.
    pub fn remove_queue(&self, vhost: &str, queue: &str) {
        self.shared.change(|state| state.vhosts.get_mut(vhost).and_then(|queues| queues.remove(queue)));
    }

    /// Forgets what waits in a queue; how many messages that were.
    pub fn purge_queue(&self, vhost: &str, queue: &str) -> usize {
        self.shared.change(|state| {
            let queue = state.vhosts.get_mut(vhost).and_then(|queues| queues.get_mut(queue));
            queue.map_or(0, queue::Queue::purge)
        })
    }

    /// Publishes to a destination such as `/amq/queue/NAME`, with `content-type: application/json`. How many queues
    /// took it: 0 when there is no such queue, nobody listens to the topic, or the broker is down.
    pub fn publish(&self, vhost: &str, destination: &str, body: impl Into<Bytes>) -> usize {
        let Some(destination) = Destination::parse(destination) else { return 0 };
        let headers = [("persistent", "true"), ("content-type", "application/json")].into_iter().collect();
        self.shared.change(|state| {
            if state.is_down { 0 } else { state.publish(vhost, &destination, headers, body.into()) }
        })
    }

    /// The queue's numbers; `None` when there is no such queue.
    #[must_use]
    pub fn queue(&self, vhost: &str, queue: &str) -> Option<QueueStatus> {
        self.shared.look(|state| state.status(vhost, queue))
    }

    /// The numbers of all queues, by virtual host and name.
    #[must_use]
    pub fn queues(&self) -> BTreeMap<(String, String), QueueStatus> {
        self.shared.look(|state| {
            let names = state.vhosts.iter();
            let names: Vec<(String, String)> = names
                .flat_map(|(vhost, queues)| queues.keys().map(|name| (vhost.clone(), name.clone())))
                .collect();
            let status = |key: (String, String)| Some((key.clone(), state.status(&key.0, &key.1)?));
            names.into_iter().filter_map(status).collect()
        })
    }

    /// The sum over all queues.
    #[must_use]
    pub fn total(&self) -> QueueStatus {
        self.queues().into_values().fold(QueueStatus::default(), QueueStatus::plus)
    }

    /// Who is connected.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionStatus> {
        self.shared.look(|state| state.sessions.values().map(session::Session::status).collect())
    }

    /// Counts since the broker was made.
    #[must_use]
    pub fn counts(&self) -> BrokerCounts {
        self.shared.look(|state| BrokerCounts {
            logins: state.logins,
            refused_logins: state.refused_logins,
            silent_clients: state.silent_clients,
        })
    }

    /// The messages that were acknowledged since the last call, in that order; at most 20,000.
    #[must_use]
    pub fn take_settled(&self) -> Vec<Settled> {
        self.shared.look(|state| std::mem::take(&mut state.settled))
    }

    /// Until the condition holds, which is looked at after every change. Wrap it into a timeout.
    pub async fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        while !holds(self) {
            // The sender lives as long as `self`, so there is always a next change to wait for.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("ports", &self.ports()).finish_non_exhaustive()
    }
}
