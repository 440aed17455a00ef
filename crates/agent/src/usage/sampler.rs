//! Hours without Prometheus: what quotas show as used, looked at each minute and added up until the hour is closed.
//!
//! A look stands for its minute. A minute without a look is unknown: nothing is drawn out over gaps. What is not in the
//! ledger yet is in memory only, so that a restart costs the minutes of the hour that had begun.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use planner::quota::Hards;
use planner::usage::ledger::{self, Closed, Day, Entry, Life, Source};
use planner::usage::month::Window;
use planner::usage::rule::{Measure, Rule};
use planner::usage::series::STEP;
use planner::usage::sums::Sums;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ledger::Ledger;
use super::{KINDS, Reported, Reports, hours};
use crate::error::ApiError;
use crate::waldur::dto;

/// What was sampled and is not in the ledger.
#[derive(Debug, Default)]
pub struct Samples {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    resources: Option<Vec<dto::ReportedResource>>,
    /// Unix time of the minute that was looked at last.
    last: Option<i64>,
    hours: Day,
}

impl Samples {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose use is sampled from now on.
    pub(super) fn note_resources(&self, resources: &[dto::ReportedResource]) {
        self.kept().resources = Some(resources.to_vec());
    }
}

impl Samples {
    /// What was sampled of a resource and is not in the ledger.
    pub(super) fn of(&self, resource: Uuid) -> Day {
        let kept = self.kept();
        let own = kept.hours.iter().filter(|(life, _)| life.resource == resource);
        own.map(|(life, entry)| (life.clone(), entry.clone())).collect()
    }
}

/// Whether hours of an offering are sampled.
pub(super) fn samples(reported: &Reported) -> bool {
    reported.prometheus.is_none() && reported.rules.iter().any(|rule| rule.measure.is_hours())
}

/// Samples each minute, until `stop`.
pub(super) async fn run(reports: &Reports, reported: &Reported, stop: &CancellationToken) {
    if !samples(reported) {
        return;
    }
    loop {
        let now = Timestamp::now();
        let rest = STEP - now.as_second().rem_euclid(STEP);
        let pause = Duration::from_secs(u64::try_from(rest).unwrap_or(60));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        if let Err(error) = sample(reports, reported, Timestamp::now()).await {
            tracing::warn!(error = %error, "quotas cannot be looked at; this minute counts as unknown");
        }
    }
}

/// Looks at the quotas, for the minute in which `now` is; once for each minute.
pub(super) async fn sample(reports: &Reports, reported: &Reported, now: Timestamp) -> Result<(), ApiError> {
    let offering = &reported.offering;
    let minute = now.as_second().div_euclid(STEP);
    if reported.samples.kept().last == Some(minute) {
        return Ok(());
    }
    let known = reported.samples.kept().resources.clone();
    let resources = match known {
        Some(resources) => resources,
        None => {
            let resources = offering.waldur.resources_with_usage(offering.options.uuid, None).await?;
            reported.samples.note_resources(&resources);
            resources
        }
    };
    offering.cluster.refresh_kinds(&KINDS).await?;
    let window = Window::around(now, &reports.options.zone);
    let uses = resources.iter().flat_map(|resource| {
        let uses = offering.cluster.uses_of(resource.uuid, resource.backend_id.trim());
        uses.into_iter().map(|seen| (resource.uuid, seen))
    });
    let mut kept = reported.samples.kept();
    kept.last = Some(minute);
    for (resource, seen) in uses {
        let (life, lived) = hours::life(resource, &seen);
        let entry = kept.hours.entry(life).or_insert_with(|| Entry { lived, ..Entry::default() });
        let closed = entry.closed.entry(window.begin);
        let closed = closed.or_insert_with(|| Closed { source: Source::Sampled, counted: BTreeMap::new() });
        for rule in reported.rules.iter().filter(|rule| rule.measure.is_hours()) {
            let counted = closed.counted.entry(rule.component.clone()).or_default();
            if let Some(value) = value(rule, &seen.hard, &seen.used) {
                counted.total += value * i128::from(STEP);
                counted.minutes += 1;
            }
        }
    }
    Ok(())
}

/// What the quota says of a rule. Of what containers really use it says nothing.
fn value(rule: &Rule, hard: &Hards, used: &Hards) -> Option<i128> {
    let amounts = match rule.measure {
        Measure::Requests => used,
        Measure::Allocation => hard,
        Measure::QuotaUsed | Measure::Usage | Measure::MaxRequestsUsage => return None,
    };
    rule.integer_allowed(rule.of(amounts)?)
}

/// Moves hours that are closed into the ledger, and adds them to the sums. Without a ledger (in a dry run) they stay.
pub(super) async fn settle(
    reported: &Reported,
    ledger: Option<&Ledger<'_>>,
    sums: &mut Sums,
) -> Result<(), ApiError> {
    let closed = take_closed(reported, sums);
    let mut failure = None;
    for (date, day) in closed {
        let written = match ledger {
            Some(ledger) => ledger.write(date, day.clone()).await,
            None => Ok(()),
        };
        sums.add(&day);
        if ledger.is_none() || written.is_err() {
            ledger::merge(&mut reported.samples.kept().hours, day);
        }
        failure = failure.or(written.err());
    }
    failure.map_or(Ok(()), Err)
}

fn take_closed(reported: &Reported, sums: &Sums) -> BTreeMap<jiff::civil::Date, Day> {
    let mut kept = reported.samples.kept();
    let mut closed: BTreeMap<jiff::civil::Date, Day> = BTreeMap::new();
    let windows: BTreeMap<Timestamp, Window> =
        sums.of.windows.iter().map(|window| (window.begin, *window)).collect();
    for (life, entry) in &mut kept.hours {
        let (done, open): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut entry.closed).into_iter().partition(|(begin, _)| windows.contains_key(begin));
        entry.closed = open;
        for (begin, hour) in done {
            let day = closed.entry(ledger::day_of(windows[&begin])).or_default();
            let into: &mut Entry<Timestamp> = day.entry(Life::clone(life)).or_default();
            into.lived = entry.lived.clone();
            into.closed.insert(begin, hour);
        }
    }
    kept.hours.retain(|_, entry| !entry.closed.is_empty());
    closed
}
