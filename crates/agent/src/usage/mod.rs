//! Reports of usage: what the cluster gave is read, kept, and told to Waldur.
//!
//! ```text
//! quotas of the cluster ─▶ what is used now ──────────────┐
//!                                                         ├─▶ decide (pure) ─▶ set_usage
//! what Waldur has of the month (one list per offering) ───┘
//! ```
//!
//! [`pass`] is one look at an offering. What is decided is decided in `planner::usage`.

mod collect;
mod compaction;
mod gone;
pub mod historical;
mod hours;
mod ledger;
mod pass;
pub mod prometheus;
mod sampler;
mod send;
pub mod show;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use compaction::Compacted;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use planner::usage::month::Month;
use planner::usage::rule::Rule;
use prometheus::Prometheus;
pub use sampler::Samples;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::cluster::kinds::Kind;
use crate::cluster::watch::{Wake, Watches};
use crate::engine::Offering;
use crate::error::ApiError;
use crate::health::Health;

/// Pause after the first pass that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// A pass takes less time.
const LONGEST_PASS: Duration = Duration::from_secs(3600);
/// How late a pass may be before it counts as stuck.
const LATE: Duration = Duration::from_secs(120);
/// What is seen of the cluster.
const KINDS: [Kind; 3] = [Kind::Namespace, Kind::Quota, Kind::ClusterQuota];

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
    pub offering: Arc<Offering>,
    /// An engine watches its cluster.
    pub is_watched: bool,
    /// How its components are measured.
    pub rules: Vec<Rule>,
    /// A component that would go down is left out, instead of holding back the resource's whole report.
    pub omit_anomalous: bool,
    /// Where hours are measured.
    pub prometheus: Option<Prometheus>,
    /// Where hours are kept; the namespace of the agent's service account if none is given.
    pub agent_namespace: Option<String>,
    /// Share of minutes with data below which a month's hours are held back, in thousandths.
    pub minimum_coverage: u64,
    /// What is sampled where there is no Prometheus.
    pub samples: Samples,
    /// The day on which settled days were added up last.
    pub compacted: Compacted,
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

    /// What is reported.
    pub(crate) fn offerings(&self) -> impl Iterator<Item = Arc<Offering>> {
        self.offerings.iter().map(|reported| Arc::clone(&reported.offering))
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
pub(crate) async fn run(reports: &Reports, period: Duration, health: &Health, stop: &CancellationToken) {
    let tasks = TaskTracker::new();
    // A report then costs the cluster nothing.
    for reported in reports.offerings.iter().filter(|reported| !reported.is_watched) {
        let nobody: Wake = Arc::new(|_, _| {});
        let watches = Watches { kinds: Some(&KINDS), wake: nobody, tasks: tasks.clone(), stop: stop.clone() };
        reported.offering.cluster.want_watches(watches);
    }
    let loops =
        reports.offerings.iter().map(|reported| offering_loop(reports, reported, (period, health), stop));
    let samples = reports.offerings.iter().map(|reported| sampler::run(reports, reported, stop));
    futures::join!(futures::future::join_all(loops), futures::future::join_all(samples));
    tasks.close();
    tasks.wait().await;
}

/// Reports once; whether all that there was to say could be said.
pub async fn report_once(reports: &Reports) -> bool {
    report_at(reports, Timestamp::now()).await
}

/// The same as of an instant, which decides on the months and on the hours that are closed.
pub async fn report_at(reports: &Reports, now: Timestamp) -> bool {
    let passes = reports.offerings.iter().map(|reported| pass::pass(reports, reported, now, None));
    futures::future::join_all(passes).await.into_iter().all(|passed| passed.is_ok())
}

/// Looks at the quotas of offerings whose hours are sampled, for the minute in which `now` is; whether all could be seen.
pub async fn sample_at(reports: &Reports, now: Timestamp) -> bool {
    let sampled = reports.offerings.iter().filter(|reported| sampler::samples(reported));
    let looks = sampled.map(|reported| sampler::sample(reports, reported, now));
    futures::future::join_all(looks).await.into_iter().all(|looked| looked.is_ok())
}

/// Reports one month, whether or not it is among those that are reported each period.
pub async fn report_month(reports: &Reports, month: Month, now: Timestamp) -> bool {
    let passes = reports.offerings.iter().map(|reported| pass::pass(reports, reported, now, Some(month)));
    futures::future::join_all(passes).await.into_iter().all(|passed| passed.is_ok())
}

/// Reports a resource whose namespace is about to be deleted: what was used up to now. Nothing is reported where usage
/// of the offering is not.
///
/// # Errors
/// Not everything could be said. Whether that is a reason to wait is the caller's to decide.
pub async fn report_last(reports: &Reports, offering: Uuid, resource: Uuid) -> Result<(), ApiError> {
    report_last_at(reports, offering, resource, Timestamp::now()).await
}

/// The same as of an instant.
///
/// # Errors
/// As [`report_last`].
pub async fn report_last_at(
    reports: &Reports,
    offering: Uuid,
    resource: Uuid,
    now: Timestamp,
) -> Result<(), ApiError> {
    let reported = reports.offerings.iter().find(|reported| reported.offering.options.uuid == offering);
    match reported {
        Some(reported) => pass::last(reports, reported, resource, now).await,
        None => Ok(()),
    }
}

async fn offering_loop(
    reports: &Reports,
    reported: &Reported,
    (period, health): (Duration, &Health),
    stop: &CancellationToken,
) {
    let span = tracing::info_span!("report", offering = %reported.offering.options.name);
    async {
        let name = format!("reports of {}", reported.offering.options.name);
        let mut failures = 0_u32;
        loop {
            health.progress(&name, LONGEST_PASS);
            let passed = tokio::select! {
                () = stop.cancelled() => return,
                passed = pass::pass(reports, reported, Timestamp::now(), None) => passed,
            };
            failures = if passed.is_ok() { 0 } else { failures.saturating_add(1) };
            let pause = match failures {
                0 => period,
                _ => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures - 1)).min(period),
            };
            health.progress(&name, pause + LATE);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
    .instrument(span)
    .await;
}
