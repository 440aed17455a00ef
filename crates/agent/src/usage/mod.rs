//! Reports of usage: what the cluster gave is read, kept, and told to Waldur.
//!
//! ```text
//! quotas of the cluster ─▶ what is used now ──────────────┐
//!                                                         ├─▶ decide (pure) ─▶ set_usage
//! what Waldur has of the month (one list per offering) ───┘
//! ```
//!
//! [`pass`] is one look at an offering. What is decided is decided in `planner::usage`.

mod pass;
mod send;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use planner::usage::month::Month;
use planner::usage::rule::Rule;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::cluster::kinds::Kind;
use crate::cluster::watch;
use crate::engine::Offering;
use crate::error::ApiError;
use crate::heartbeat;

/// Pause after the first pass that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// What is seen of the cluster.
const KINDS: [Kind; 2] = [Kind::Namespace, Kind::Quota];

/// What holds for all offerings.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// The zone whose months are the billing months.
    pub zone: TimeZone,
    /// How many months are reported, the current one included.
    pub periods: u8,
    /// Log what would be sent, and send nothing.
    pub dry_run: bool,
}

/// An offering whose usage is reported.
#[derive(Debug)]
pub struct Reported {
    /// The offering.
    pub offering: Offering,
    /// How its components are measured.
    pub rules: Vec<Rule>,
    /// A component that would go down is left out, instead of holding back the resource's whole report.
    pub omit_anomalous: bool,
}

/// What reports usage.
#[derive(Debug)]
pub struct Reports {
    offerings: Vec<Reported>,
    options: ReportOptions,
    /// What was said already, so that it is not said each period.
    said: Mutex<BTreeSet<String>>,
    /// Months that Waldur does not take any more, by offering.
    closed: Mutex<BTreeSet<(Uuid, Month)>>,
}

impl Reports {
    /// Reports of these offerings; nothing is sent yet.
    #[must_use]
    pub fn new(offerings: Vec<Reported>, options: ReportOptions) -> Self {
        for reported in &offerings {
            reported.offering.cluster.write_store(crate::cluster::store::Store::keep_used);
        }
        Self { offerings, options, said: Mutex::default(), closed: Mutex::default() }
    }

    /// Logs a warning the first time.
    fn say_once(&self, message: String) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.contains(&message) {
            tracing::warn!("{message}");
            said.insert(message);
        }
    }

    fn is_closed(&self, offering: Uuid, month: Month) -> bool {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).contains(&(offering, month))
    }

    fn note_closed(&self, offering: Uuid, month: Month) -> bool {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).insert((offering, month))
    }
}

/// Reports, period after period, until `stop`. An offering whose Waldur does not answer delays no other.
pub async fn run(reports: &Reports, period: Duration, stop: &CancellationToken) {
    let watches = TaskTracker::new();
    let loops =
        reports.offerings.iter().map(|reported| offering_loop(reports, reported, period, &watches, stop));
    let beats = heartbeat::beat_until(stop);
    futures::join!(futures::future::join_all(loops), beats);
    watches.close();
    watches.wait().await;
}

/// Reports once; whether all that there was to say could be said.
pub async fn report_once(reports: &Reports) -> bool {
    let passes = reports.offerings.iter().map(|reported| pass::pass(reports, reported, Timestamp::now()));
    futures::future::join_all(passes).await.into_iter().all(|passed| passed.is_ok())
}

async fn offering_loop(
    reports: &Reports,
    reported: &Reported,
    period: Duration,
    watches: &TaskTracker,
    stop: &CancellationToken,
) {
    let span = tracing::info_span!("report", offering = %reported.offering.options.name);
    async {
        let (mut failures, mut watching) = (0_u32, false);
        loop {
            let passed = tokio::select! {
                () = stop.cancelled() => return,
                passed = pass::pass(reports, reported, Timestamp::now()) => passed,
            };
            if !watching && passed.is_ok() {
                watching = watch(reported, watches, stop).await.is_ok();
            }
            failures = if passed.is_ok() { 0 } else { failures.saturating_add(1) };
            let pause = match failures {
                0 => period,
                _ => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures - 1)).min(period),
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
    .instrument(span)
    .await;
}

/// Watches what is reported, where the role grants it: a report then costs the cluster nothing.
async fn watch(reported: &Reported, tasks: &TaskTracker, stop: &CancellationToken) -> Result<(), ApiError> {
    let cluster = &reported.offering.cluster;
    let surroundings = cluster.surroundings().await?;
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|kind| surroundings.watchable.contains(kind)).collect();
    let nobody: watch::Wake = std::sync::Arc::new(|_| {});
    watch::start(cluster, &kinds, &nobody, tasks, stop);
    Ok(())
}
