//! Messages of Waldur's event broker: they wake keys, and are acknowledged after the work.
//!
//! ```text
//! subscribe: where are the messages? → transport: TCP, TLS, WebSocket → session: STOMP
//!     → intake: which keys does it wake? → engine works → acknowledged
//! ```
//!
//! A connection that breaks is made again for ever, with growing pauses; after each, a pass catches up with what was
//! missed. Messages carry no truth: nothing here changes anything on the cluster.

mod import;
mod intake;
mod proxy;
mod session;
mod subscribe;
mod tls;
mod transport;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::intake::Intake;
use self::session::{End, Parties};
use self::subscribe::{Connection, Found};
pub use self::transport::{Transport, TransportOptions};
use crate::engine::{Engine, Offering};

/// Processor that agents with events are registered with (contract §6.2).
const PROCESSOR: &str = "OfferingOrderProcessor";
/// Pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A connection that was good for so long has not failed.
const GOOD_AFTER: Duration = Duration::from_secs(5);
/// A loop that is not heard of for so long is stuck: connecting and every pause take less.
const STUCK_AFTER: Duration = Duration::from_secs(300);

/// How messages reach an offering.
#[derive(Clone, Debug)]
pub struct EventOptions {
    /// Who makes the queue.
    pub way: Way,
    /// Where the broker is.
    pub transport: Transport,
    /// Types of objects to hear of, in Waldur's words.
    pub object_types: Vec<&'static str>,
    /// Heart-beats in both directions, in milliseconds; 0: none.
    pub heart_beat_ms: u64,
    /// Prefix of `waldur/parent` on namespaces that may be offered for import; the project's slug follows.
    pub parent_prefix: String,
}

/// Whose queue it is.
#[derive(Clone)]
pub enum Way {
    /// Waldur's, which makes it on request.
    Waldur,
    /// One that is there already.
    Broker {
        /// Login.
        username: Option<String>,
        /// Passcode.
        password: Option<SecretString>,
        /// As the broker calls it.
        destination: String,
    },
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Waldur => f.write_str("Waldur"),
            Self::Broker { destination, .. } => write!(f, "Broker({destination})"),
        }
    }
}

/// Listens for an offering until `stop`; then waits until `drained` says that the work has ended, to acknowledge it.
pub(crate) async fn listen(
    engine: Arc<Engine>,
    index: usize,
    options: EventOptions,
    stop: CancellationToken,
    drained: CancellationToken,
) {
    let name = engine.offering(index).options.name.clone();
    let span = tracing::info_span!("events", offering = %name);
    async {
        let up = Mutex::default();
        let listener =
            Listener { engine: &engine, index, options: &options, up: &up, stop: &stop, drained: &drained };
        let connections = tokio::select! {
            () = stop.cancelled() => return,
            connections = listener.first() => connections,
        };
        let intake = Intake::start(Arc::clone(&engine), index, options.clone(), stop.clone());
        let all = connections.len();
        let runs = connections.into_iter().enumerate();
        let runs = runs.map(|(number, connection)| listener.keep_up((number, all), connection, &intake));
        futures::future::join_all(runs).await;
    }
    .instrument(span)
    .await;
}

struct Listener<'a> {
    engine: &'a Arc<Engine>,
    index: usize,
    options: &'a EventOptions,
    /// Connections over which messages come.
    up: &'a Mutex<HashSet<usize>>,
    stop: &'a CancellationToken,
    drained: &'a CancellationToken,
}

impl Listener<'_> {
    fn offering(&self) -> &Offering {
        self.engine.offering(self.index)
    }

    /// What the connection is called where health is told.
    fn name(&self, number: usize) -> String {
        let name = &self.offering().options.name;
        if number == 0 { format!("events of {name}") } else { format!("events of {name} ({number})") }
    }

    /// The connections to make; none where the server has no events.
    async fn first(&self) -> Vec<Connection> {
        let mut failures = 0;
        loop {
            self.alive(0);
            match subscribe::find(self.offering(), self.options).await {
                Ok(Found::Connections(connections)) => return connections,
                Ok(Found::NoEvents) => {
                    self.engine.health().gone(&self.name(0));
                    // A pass that did not wait so long has not taken up the polling yet.
                    self.offering().want_passes();
                    self.offering().subscribed.send_replace(true);
                    return Vec::new();
                }
                Err(error) => {
                    tracing::error!(error = %error, "cannot subscribe to messages; will try again");
                    self.trouble(0, format!("cannot subscribe to messages: {error}"));
                }
            }
            failures += 1;
            tokio::time::sleep(pause(failures)).await;
        }
    }

    fn alive(&self, number: usize) {
        self.engine.health().progress(&self.name(number), STUCK_AFTER);
    }

    fn trouble(&self, number: usize, trouble: String) {
        self.offering().options.metrics.broker(number, false);
        self.engine.health().broker(&self.name(number), Some(trouble));
    }

    /// Notes whether messages come over one of `all` connections.
    fn hears(&self, (number, all): (usize, usize), comes: bool) {
        let mut up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = if comes { up.insert(number) } else { up.remove(&number) };
        if is_new {
            self.offering().note_hears(up.len() == all);
        }
    }

    /// Connects and connects again.
    async fn keep_up(&self, (number, all): (usize, usize), first: Connection, intake: &Intake) {
        let mut connection = Some(first);
        let mut failures = 0_u32;
        while !self.stop.is_cancelled() {
            self.alive(number);
            let begun = Instant::now();
            let good = AtomicBool::new(false);
            let end = self.one((number, all), &mut connection, intake, &good).await;
            self.hears((number, all), false);
            if good.into_inner() && begun.elapsed() >= GOOD_AFTER {
                failures = 0;
            }
            failures = failures.saturating_add(1);
            let pause = pause(failures);
            let pause_ms = pause.as_millis() as u64;
            match end {
                End::Stopped => return,
                End::Refused(reason) => {
                    // The token may be another by now, or the queue gone.
                    connection = None;
                    self.trouble(number, format!("the broker refuses: {reason}"));
                    tracing::error!(reason, pause_ms, "the broker refuses; registering again");
                }
                End::Lost(reason) => {
                    self.trouble(number, format!("no connection to the broker: {reason}"));
                    tracing::warn!(reason, pause_ms, "no connection to the broker; trying again");
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One connection, from its registration to its end.
    async fn one(
        &self,
        (number, all): (usize, usize),
        known: &mut Option<Connection>,
        intake: &Intake,
        good: &AtomicBool,
    ) -> End {
        let transport = &self.options.transport;
        let address = transport.address();
        let connect = async {
            let is_current = match known.as_ref() {
                Some(known) => subscribe::is_current(self.offering(), self.options, known).await,
                None => false,
            };
            if !is_current {
                *known = self.again(number).await?;
            }
            transport.connect().await.map_err(|error| format!("{address}: {error:#}"))
        };
        let connected = tokio::select! {
            () = self.stop.cancelled() => return End::Stopped,
            connected = connect => connected,
        };
        let (pipe, connection) = match (connected, &*known) {
            (Ok(pipe), Some(connection)) => (pipe, connection),
            (Ok(_), None) => return End::Refused("there is no queue any more".to_owned()),
            (Err(reason), _) => return End::Lost(reason),
        };
        let subscribed = || {
            good.store(true, Ordering::Relaxed);
            self.engine.health().broker(&self.name(number), None);
            self.offering().options.metrics.broker(number, true);
            tracing::info!(address, "messages come");
            self.hears((number, all), true);
            self.offering().subscribed.send_replace(true);
            // What was told before nobody was there to hear.
            self.offering().want_passes();
        };
        let parties = Parties {
            take: &|incoming| intake.take(incoming),
            subscribed: &subscribed,
            alive: &|| self.alive(number),
            stop: self.stop,
            drained: self.drained,
        };
        session::run(pipe, &connection.login, &connection.queues, &parties).await
    }

    async fn again(&self, number: usize) -> Result<Option<Connection>, String> {
        match subscribe::find(self.offering(), self.options).await {
            Ok(Found::Connections(mut connections)) if number < connections.len() => {
                Ok(Some(connections.swap_remove(number)))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(format!("cannot register the queue: {error}")),
        }
    }
}

/// Whether messages from there come through this proxy: `NO_PROXY` may say otherwise.
pub(crate) fn goes_by(proxy: &url::Url, broker: &url::Url) -> bool {
    let (host, port) = (broker.host_str().unwrap_or_default(), broker.port_or_known_default().unwrap_or(443));
    let is_tls = matches!(broker.scheme(), "https" | "wss" | "ssl");
    matches!(proxy::Proxy::find(Some(proxy), is_tls, host, port), Ok(Some(_)))
}

/// Doubles with each failure; between half and all of it, by chance.
fn pause(failures: u32) -> Duration {
    let full =
        FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_PAUSE);
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}
