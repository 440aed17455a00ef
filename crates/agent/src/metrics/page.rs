//! The page with all metrics. Asks nobody anything: who looks at it often costs the servers nothing.

use std::sync::Arc;

use jiff::Timestamp;
use planner::queue::Standing;
use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};

use super::{Metrics, PREFIX, label, seconds};
use crate::credentials::CredentialStatus;
use crate::engine::{Engine, Offering};
use crate::error::Peer;

/// What a page is made of.
#[derive(Debug)]
pub(crate) struct Page {
    engine: Arc<Engine>,
    /// Those of the engine, and those that are only reported.
    offerings: Vec<Arc<Offering>>,
    started: Timestamp,
}

/// What is known of tokens.
struct Tokens {
    renewals: IntCounterVec,
    failures: IntCounterVec,
    failing: GaugeVec,
    expires_in: GaugeVec,
}

impl Page {
    /// Pages of an engine and of these further offerings.
    pub(crate) fn new(engine: Arc<Engine>, further: impl IntoIterator<Item = Arc<Offering>>) -> Self {
        let mut offerings = engine.offerings().to_vec();
        for offering in further {
            if !offerings.iter().any(|known| Arc::ptr_eq(known, &offering)) {
                offerings.push(offering);
            }
        }
        Self { engine, offerings, started: Timestamp::now() }
    }

    /// The page as of now, in Prometheus' text format.
    ///
    /// # Errors
    /// Two metrics that contradict each other: a fault of this code.
    pub(crate) fn text(&self) -> prometheus::Result<String> {
        let registry = Registry::new();
        let now = Timestamp::now();
        for offering in &self.offerings {
            for collector in offering.options.metrics.collectors() {
                registry.register(collector)?;
            }
        }
        for collector in self.process()?.into_iter().chain(self.tokens(now)?).chain(self.work()?) {
            registry.register(collector)?;
        }
        TextEncoder::new().encode_to_string(&registry.gather())
    }

    fn process(&self) -> prometheus::Result<Vec<Box<dyn Collector>>> {
        let build = GaugeVec::new(opts("build_info", "1; the version that runs."), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let started = Gauge::new("process_start_time_seconds", "When the process started.")?;
        started.set(seconds(self.started));
        let stuck = Gauge::with_opts(opts("stuck_loops", "Loops that are late; /healthz names them."))?;
        stuck.set(count(self.engine.health().stuck().len()));
        Ok(vec![Box::new(build), Box::new(started), Box::new(stuck)])
    }

    fn tokens(&self, now: Timestamp) -> prometheus::Result<Vec<Box<dyn Collector>>> {
        let labels = ["offering", "peer"];
        let tokens = Tokens {
            renewals: IntCounterVec::new(
                opts("token_renewals_total", "Tokens that came, the first one included."),
                &labels,
            )?,
            failures: IntCounterVec::new(
                opts("token_renewal_failures_total", "Renewals of a token that failed."),
                &labels,
            )?,
            failing: GaugeVec::new(
                opts(
                    "token_renewal_failing",
                    "1 while the last renewal of the token failed; the log says why.",
                ),
                &labels,
            )?,
            expires_in: GaugeVec::new(
                opts("token_expires_in_seconds", "Time until the token expires, where that is known."),
                &labels,
            )?,
        };
        for offering in &self.offerings {
            let name = offering.options.metrics.offering();
            tokens.note([name, label(Peer::Waldur)], &offering.waldur.token_status(), now);
            tokens.note([name, label(Peer::Cluster)], &offering.cluster.http.token_status(), now);
        }
        let Tokens { renewals, failures, failing, expires_in } = tokens;
        Ok(vec![Box::new(renewals), Box::new(failures), Box::new(failing), Box::new(expires_in)])
    }

    /// What the engine has before it.
    fn work(&self) -> prometheus::Result<Vec<Box<dyn Collector>>> {
        let keys = GaugeVec::new(
            opts(
                "queue_resources",
                "Resources in the queue: waiting for their time, being worked, or failing, which are tried again.",
            ),
            &["offering", "state"],
        )?;
        let held = GaugeVec::new(
            opts(
                "removals_held",
                "1 while removals of access are held back because they look like an accident.",
            ),
            &["offering"],
        )?;
        let standings = self.engine.standings();
        for (index, offering) in self.engine.offerings().iter().enumerate() {
            let name = offering.options.metrics.offering();
            for state in [Standing::Waiting, Standing::Working, Standing::Failing] {
                let there = standings.get(&(index, state)).copied().unwrap_or_default();
                keys.with_label_values(&[name, state_label(state)]).set(count(there));
            }
            held.with_label_values(&[name]).set(f64::from(u8::from(self.engine.holds_anything(index))));
        }
        let overdue = Gauge::with_opts(opts(
            "queue_overdue_seconds",
            "How long the resource that has waited longest is due and nobody works on it.",
        ))?;
        overdue.set(self.engine.overdue().as_secs_f64());
        Ok(vec![Box::new(keys), Box::new(held), Box::new(overdue)])
    }
}

impl Tokens {
    fn note(&self, labels: [&str; 2], status: &CredentialStatus, now: Timestamp) {
        self.renewals.with_label_values(&labels).inc_by(status.renewals);
        self.failures.with_label_values(&labels).inc_by(status.failures);
        let failing = f64::from(u8::from(status.last_error.is_some()));
        self.failing.with_label_values(&labels).set(failing);
        if let Some(expires) = status.expires_at {
            let left = expires.as_millisecond().saturating_sub(now.as_millisecond());
            self.expires_in.with_label_values(&labels).set(left as f64 / 1000.0);
        }
    }
}

impl Metrics {
    /// The value of the label `offering`.
    fn offering(&self) -> &str {
        &self.0.offering
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("{PREFIX}_{name}"), help)
}

const fn state_label(state: Standing) -> &'static str {
    match state {
        Standing::Waiting => "waiting",
        Standing::Working => "working",
        Standing::Failing => "failing",
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
