//! What is counted of an offering, for those who watch the agent (Prometheus: text format).
//!
//! Counters stand where things happen; [`page`] adds what is true at the moment when somebody asks. A label holds a name
//! from the configuration or a word from a fixed list, and never a resource, a user, a path or a message: so the number of
//! series is bounded, and none can hold a secret.

mod page;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use planner::model::OrderKind;
use planner::outcome::Failure;
use planner::queue::Ended;
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
};

pub(crate) use self::page::Page;

use crate::error::{ApiError, Peer};

/// What all names begin with.
const PREFIX: &str = "waldur_site_agent";

/// Seconds, from an answer of a server nearby to the deadline of a request.
const REQUEST_BUCKETS: [f64; 9] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// Seconds, from a look that finds nothing to do to a large offering.
const WORK_BUCKETS: [f64; 9] = [0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0];

/// Who is asked.
const PEERS: [Peer; 3] = [Peer::Waldur, Peer::Cluster, Peer::Prometheus];
/// How requests end.
const REQUEST_OUTCOMES: [&str; 9] = [
    "ok",
    "not_found",
    "conflict",
    "unauthorized",
    "forbidden",
    "invalid",
    "throttled",
    "unavailable",
    "no_answer",
];
const ORDER_KINDS: [OrderKind; 4] =
    [OrderKind::Create, OrderKind::Update, OrderKind::Terminate, OrderKind::Restore];

/// How an order was ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OrderOutcome {
    Done,
    Rejected,
    Erred,
}

impl OrderOutcome {
    const ALL: [Self; 3] = [Self::Done, Self::Rejected, Self::Erred];

    const fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Erred => "erred",
        }
    }
}

/// What became of a message of the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    Received,
    /// Received, and not for the first time.
    Redelivered,
    Unreadable,
    Acknowledged,
}

/// What is counted of one offering; clones are the same.
#[derive(Clone)]
pub struct Metrics(Arc<Counts>);

struct Counts {
    offering: String,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    orders: IntCounterVec,
    changes: IntCounterVec,
    looks: IntCounterVec,
    look_seconds: Histogram,
    passes: IntCounterVec,
    pass_seconds: HistogramVec,
    pass_success: GaugeVec,
    watch_failures: IntCounterVec,
    broker_connected: IntGaugeVec,
    broker_failures: IntCounter,
    received: IntCounter,
    redelivered: IntCounter,
    unreadable: IntCounter,
    acknowledged: IntCounter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.0.offering).finish()
    }
}

/// How metrics of one offering are made.
struct Maker<'a>(&'a str);

impl Maker<'_> {
    fn opts(&self, name: &str, help: &str) -> Opts {
        Opts::new(format!("{PREFIX}_{name}"), help).const_label("offering", self.0)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        IntCounter::with_opts(self.opts(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        IntCounterVec::new(self.opts(name, help), labels)
    }

    fn seconds(&self, name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
        HistogramOpts { common_opts: self.opts(name, help), buckets: buckets.to_vec() }
    }
}

impl Metrics {
    /// Counters of the offering that is called so; no two of a process may have the same name.
    ///
    /// # Errors
    /// A name of a metric that is none: a fault of this code.
    pub fn new(offering: &str) -> prometheus::Result<Self> {
        let make = Maker(offering);
        let request_seconds = make.seconds(
            "request_duration_seconds",
            "Time until a request was answered or given up, by whom was asked.",
            &REQUEST_BUCKETS,
        );
        let look_seconds = make.seconds(
            "work_duration_seconds",
            "Time for one look at a resource with all that followed from it.",
            &WORK_BUCKETS,
        );
        let pass_seconds =
            make.seconds("pass_duration_seconds", "Time for reading what a pass reads.", &WORK_BUCKETS);
        let counts = Counts {
            offering: offering.to_owned(),
            requests: make.counters(
                "requests_total",
                "Requests sent, by whom was asked and how it ended; a repetition counts again.",
                &["peer", "outcome"],
            )?,
            request_seconds: HistogramVec::new(request_seconds, &["peer"])?,
            orders: make.counters(
                "orders_total",
                "Orders ended in Waldur, by type and outcome.",
                &["type", "outcome"],
            )?,
            changes: make.counters(
                "changes_total",
                "Changes made in Waldur and on the cluster, by outcome; the same as the lines of the audit log.",
                &["outcome"],
            )?,
            looks: make.counters(
                "work_total",
                "Looks at resources: settled, to be looked at again later, or failed and tried again.",
                &["outcome"],
            )?,
            look_seconds: Histogram::with_opts(look_seconds)?,
            passes: make.counters(
                "passes_total",
                "Passes over the offering, by what they look at and how they ended.",
                &["pass", "outcome"],
            )?,
            pass_seconds: HistogramVec::new(pass_seconds, &["pass"])?,
            pass_success: GaugeVec::new(
                make.opts("pass_last_success_timestamp_seconds", "When a pass last came to its end."),
                &["pass"],
            )?,
            watch_failures: make.counters(
                "watch_failures_total",
                "Watches of the cluster that broke off, by kind; they begin again by themselves.",
                &["kind"],
            )?,
            broker_connected: IntGaugeVec::new(
                make.opts("broker_connected", "1 while messages of the broker come, by number of the connection."),
                &["connection"],
            )?,
            broker_failures: make.counter(
                "broker_connection_failures_total",
                "Connections to the broker that broke, were refused or could not be made.",
            )?,
            received: make.counter("messages_received_total", "Messages that the broker has delivered.")?,
            redelivered: make.counter(
                "messages_redelivered_total",
                "Messages among those received that the broker had delivered before.",
            )?,
            unreadable: make
                .counter("messages_unreadable_total", "Messages that could not be read and were dropped.")?,
            acknowledged: make.counter(
                "messages_acknowledged_total",
                "Messages acknowledged after the work that they asked for.",
            )?,
        };
        let metrics = Self(Arc::new(counts));
        metrics.begin_at_zero();
        Ok(metrics)
    }

    /// Makes the series whose first increase somebody is to be woken by: one that begins with 1 has not increased.
    fn begin_at_zero(&self) {
        let counts = &self.0;
        for peer in PEERS.into_iter().filter(|peer| *peer != Peer::Prometheus) {
            for outcome in REQUEST_OUTCOMES {
                counts.requests.with_label_values(&[label(peer), outcome]);
            }
        }
        for kind in ORDER_KINDS {
            for outcome in OrderOutcome::ALL {
                counts.orders.with_label_values(&[order_label(kind), outcome.label()]);
            }
        }
        for outcome in ["done", "failed"] {
            counts.changes.with_label_values(&[outcome]);
        }
        for outcome in ["settled", "again", "failed"] {
            counts.looks.with_label_values(&[outcome]);
        }
    }

    /// A request has ended.
    pub(crate) fn requested<T>(&self, peer: Peer, result: &Result<T, ApiError>, took: Duration) {
        let outcome = result.as_ref().err().map_or("ok", outcome);
        self.0.requests.with_label_values(&[label(peer), outcome]).inc();
        self.0.request_seconds.with_label_values(&[label(peer)]).observe(took.as_secs_f64());
    }

    /// An order was ended in Waldur.
    pub(crate) fn ordered(&self, kind: OrderKind, outcome: OrderOutcome) {
        self.0.orders.with_label_values(&[order_label(kind), outcome.label()]).inc();
    }

    /// A change was made, or failed.
    pub(crate) fn changed(&self, done: bool) {
        self.0.changes.with_label_values(&[if done { "done" } else { "failed" }]).inc();
    }

    /// A look at a resource has ended.
    pub(crate) fn looked(&self, ended: &Ended, took: Duration) {
        let outcome = match ended {
            Ended::Settled => "settled",
            Ended::LookAgain(_) => "again",
            Ended::Failed(_) => "failed",
        };
        self.0.looks.with_label_values(&[outcome]).inc();
        self.0.look_seconds.observe(took.as_secs_f64());
    }

    /// A pass has ended; `pass` is `orders`, `resources` or `report`.
    pub(crate) fn passed(&self, pass: &'static str, good: bool, took: Duration) {
        self.0.passes.with_label_values(&[pass, if good { "ok" } else { "failed" }]).inc();
        // The counterpart has to be there before it is needed.
        self.0.passes.with_label_values(&[pass, if good { "failed" } else { "ok" }]);
        self.0.pass_seconds.with_label_values(&[pass]).observe(took.as_secs_f64());
        if good {
            self.0.pass_success.with_label_values(&[pass]).set(seconds(Timestamp::now()));
        }
    }

    /// A kind is watched: what breaks off later is to be seen as an increase.
    pub(crate) fn watches(&self, kind: &str) {
        self.0.watch_failures.with_label_values(&[kind]);
    }

    /// A watch broke off.
    pub(crate) fn watch_broke(&self, kind: &str) {
        self.0.watch_failures.with_label_values(&[kind]).inc();
    }

    /// Messages come by a connection, or do not any more.
    pub(crate) fn broker(&self, connection: usize, connected: bool) {
        let gauge = self.0.broker_connected.with_label_values(&[connection.to_string()]);
        gauge.set(i64::from(connected));
        if !connected {
            self.0.broker_failures.inc();
        }
    }

    /// A message came, or something became of one.
    pub(crate) fn message(&self, what: Message) {
        let counts = &self.0;
        let counter = match what {
            Message::Received => &counts.received,
            Message::Redelivered => &counts.redelivered,
            Message::Unreadable => &counts.unreadable,
            Message::Acknowledged => &counts.acknowledged,
        };
        counter.inc();
    }

    /// All of it, for a page.
    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let Counts {
            offering: _,
            requests,
            request_seconds,
            orders,
            changes,
            looks,
            look_seconds,
            passes,
            pass_seconds,
            pass_success,
            watch_failures,
            broker_connected,
            broker_failures,
            received,
            redelivered,
            unreadable,
            acknowledged,
        } = &*self.0;
        vec![
            Box::new(requests.clone()),
            Box::new(request_seconds.clone()),
            Box::new(orders.clone()),
            Box::new(changes.clone()),
            Box::new(looks.clone()),
            Box::new(look_seconds.clone()),
            Box::new(passes.clone()),
            Box::new(pass_seconds.clone()),
            Box::new(pass_success.clone()),
            Box::new(watch_failures.clone()),
            Box::new(broker_connected.clone()),
            Box::new(broker_failures.clone()),
            Box::new(received.clone()),
            Box::new(redelivered.clone()),
            Box::new(unreadable.clone()),
            Box::new(acknowledged.clone()),
        ]
    }
}

const fn label(peer: Peer) -> &'static str {
    match peer {
        Peer::Waldur => "waldur",
        Peer::Cluster => "okd",
        Peer::Prometheus => "prometheus",
    }
}

const fn order_label(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::Create => "create",
        OrderKind::Update => "update",
        OrderKind::Terminate => "terminate",
        OrderKind::Restore => "restore",
    }
}

/// One of [`REQUEST_OUTCOMES`].
const fn outcome(error: &ApiError) -> &'static str {
    match (&error.failure, error.status) {
        (Failure::NotFound, _) => "not_found",
        (Failure::AlreadyExists | Failure::Conflict | Failure::NotOurs, _) => "conflict",
        (Failure::Unauthorized, _) => "unauthorized",
        (Failure::Forbidden, _) => "forbidden",
        (Failure::Invalid, _) => "invalid",
        (Failure::Unavailable { .. }, Some(429)) => "throttled",
        (Failure::Unavailable { .. }, Some(_)) => "unavailable",
        (Failure::Unavailable { .. }, None) => "no_answer",
    }
}

/// Seconds since 1970.
fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_in_which_a_request_ends_has_its_word() {
        let answered = |status, failure| ApiError::answered(Peer::Waldur, "GET /", status, failure, "");
        let unavailable = || Failure::Unavailable { retry_after: None };
        for (error, expected) in [
            (answered(404, Failure::NotFound), "not_found"),
            (answered(409, Failure::AlreadyExists), "conflict"),
            (answered(401, Failure::Unauthorized), "unauthorized"),
            (answered(403, Failure::Forbidden), "forbidden"),
            (answered(400, Failure::Invalid), "invalid"),
            (answered(429, unavailable()), "throttled"),
            (answered(503, unavailable()), "unavailable"),
            (ApiError::unavailable(Peer::Waldur, "GET /", "timeout"), "no_answer"),
        ] {
            assert_eq!(outcome(&error), expected);
            assert!(REQUEST_OUTCOMES.contains(&expected));
        }
    }
}
