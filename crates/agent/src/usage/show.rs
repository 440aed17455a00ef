//! What the ledger holds, beside what Waldur has: for `waldur_site_agent usage`. Reads only, but for [`backfill`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use planner::usage::fraction::Hundredths;
use planner::usage::ledger::{Life, Lived};
use planner::usage::month::Month;
use planner::usage::rule::Rule;
use planner::usage::sums::{self, MonthWindows, Sums};
use serde::Serialize;
use uuid::Uuid;

use super::ledger::Ledger;
use super::{KINDS, Reported, Reports, collect, hours, pass};
use crate::error::ApiError;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// The month; the current one if none is given.
    pub month: Option<Month>,
    /// One resource alone.
    pub resource: Option<Uuid>,
}

/// One component of a resource in a month.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The offering, as the operator calls it.
    pub offering: String,
    /// The resource.
    pub resource: Uuid,
    /// Its namespaces, one after the other.
    pub namespaces: Vec<String>,
    /// `2026-11`.
    pub month: String,
    /// The component's type.
    pub component: String,
    /// Unit in Waldur.
    pub measure: &'static str,
    /// What was measured; `None` if nothing is known.
    pub hours: Option<String>,
    /// Minutes with data.
    pub minutes: u64,
    /// Minutes of closed hours in which the resource had a namespace.
    pub expected: u64,
    /// Share of minutes with data, in thousandths.
    pub coverage: u64,
    /// Less than what is told to Waldur has to have.
    pub held: bool,
    /// Some of it comes from samples of the quota.
    pub sampled: bool,
    /// What Waldur has.
    pub waldur: Option<String>,
    /// What was measured without what Waldur has.
    pub difference: Option<String>,
    /// By day of the billing zone.
    pub days: BTreeMap<Date, String>,
}

/// The month of all offerings, or of one resource.
///
/// # Errors
/// Waldur or the cluster cannot be read.
pub async fn show(reports: &Reports, selection: Selection, now: Timestamp) -> Result<Vec<Row>, ApiError> {
    let zone = &reports.options.zone;
    let month = selection.month.unwrap_or_else(|| Month::of(now, zone));
    let mut rows = Vec::new();
    for reported in &reports.offerings {
        let rules: Vec<&Rule> = reported.rules.iter().filter(|rule| rule.measure.is_hours()).collect();
        if rules.is_empty() {
            continue;
        }
        let (sums, _) = month_of(reports, reported, month, now).await?;
        let known = pass::known(&reported.offering, selection.resource, month).await?;
        let mut resources: Vec<Uuid> = sums.lives.keys().map(|life| life.resource).collect();
        resources.dedup();
        resources.retain(|resource| selection.resource.is_none_or(|wanted| wanted == *resource));
        for resource in resources {
            let told = known.get(&resource);
            for rule in &rules {
                let told = told.and_then(|told| told.values.get(&rule.component)).copied();
                rows.push(row(reported, rule, resource, &sums, told));
            }
        }
    }
    Ok(rows)
}

fn row(reported: &Reported, rule: &Rule, resource: Uuid, sums: &Sums, told: Option<Hundredths>) -> Row {
    let total = sums.total(resource, &rule.component).filter(|total| total.minutes > 0);
    let expected = sums.expected(resource);
    let minutes = total.map_or(0, |total| total.minutes);
    let coverage = sums::coverage(minutes, expected);
    let hours = total.and_then(|total| rule.hours(total.total));
    // A day of which nothing is known is left out: it is no day on which nothing was used.
    let by_day = sums.by_day(resource, &rule.component).into_iter().filter(|(_, total)| total.minutes > 0);
    let text = |value: Hundredths| value.to_string();
    Row {
        offering: reported.offering.options.name.clone(),
        resource,
        namespaces: sums.lives_of(resource).map(|(_, month)| month.lived.namespace.clone()).collect(),
        month: sums.of.month.to_string(),
        component: rule.component.clone(),
        measure: rule.measure.as_str(),
        hours: hours.map(text),
        minutes,
        expected,
        coverage,
        held: hours.is_none() || coverage < reported.minimum_coverage,
        sampled: sums.lives_of(resource).any(|(_, month)| month.sampled),
        waldur: told.map(text),
        difference: hours.zip(told).map(|(hours, told)| Hundredths(hours.0 - told.0)).map(text),
        days: by_day.filter_map(|(day, total)| Some((day, rule.hours(total.total)?.to_string()))).collect(),
    }
}

/// A month of an offering as the ledger has it, with the lives in it.
pub(super) async fn month_of(
    reports: &Reports,
    reported: &Reported,
    month: Month,
    now: Timestamp,
) -> Result<(Sums, BTreeMap<Life, Lived>), ApiError> {
    let zone = &reports.options.zone;
    let offering = &reported.offering;
    let mut ledger = hours::ledger(reported).await?;
    let (resources, ()) = futures::try_join!(
        offering.waldur.resources_with_usage(offering.options.uuid, None),
        offering.cluster.refresh_kinds(&KINDS)
    )?;
    let mut sums = Sums::new(MonthWindows::new(month, zone, sums::closed_by(now)));
    ledger.read(&mut sums, None).await?;
    let here = hours::lives(reported, &resources);
    let lives = hours::settle(&mut sums, &here, now);
    Ok((sums, lives.into_iter().map(|(life, known)| (life, known.lived)).collect()))
}

/// What [`backfill`] came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backfilled {
    /// Minutes that the ledger had before, of all components and resources.
    pub before: u64,
    /// Those that it has now.
    pub after: u64,
}

/// Measures a month again, as far as Prometheus keeps it. What becomes known by that is added; what is known stays.
///
/// # Errors
/// Waldur, the cluster or Prometheus does not answer, or there is no Prometheus.
pub async fn backfill(
    reports: &Reports,
    selection: Selection,
    now: Timestamp,
) -> Result<Backfilled, ApiError> {
    let month = selection.month.unwrap_or_else(|| Month::of(now, &reports.options.zone));
    let mut result = Backfilled::default();
    for reported in &reports.offerings {
        let rules: Vec<Rule> =
            reported.rules.iter().filter(|rule| rule.measure.is_hours()).cloned().collect();
        let Some(prometheus) = reported.prometheus.as_ref().filter(|_| !rules.is_empty()) else { continue };
        let (mut sums, mut lives) = month_of(reports, reported, month, now).await?;
        let all = lives.len();
        lives.retain(|life, _| selection.resource.is_none_or(|wanted| wanted == life.resource));
        result.before += minutes(&sums, &lives, &rules);
        let ledger = Ledger { lives: all, ..hours::ledger(reported).await? };
        let wanted = (!reports.options.dry_run).then_some(&ledger);
        // What is measured is merged into the ledger, which is then read as it is.
        let asking = collect::Asking { prometheus, rules: &rules, lives: &lives, now };
        collect::collect(asking, wanted, &mut sums, collect::Extent::All).await?;
        let (sums, _) = if reports.options.dry_run {
            (sums, lives.clone())
        } else {
            month_of(reports, reported, month, now).await?
        };
        result.after += minutes(&sums, &lives, &rules);
    }
    Ok(result)
}

fn minutes(sums: &Sums, lives: &BTreeMap<Life, Lived>, rules: &[Rule]) -> u64 {
    let mut resources: Vec<Uuid> = lives.keys().map(|life| life.resource).collect();
    resources.dedup();
    let totals = resources.iter().flat_map(|resource| {
        rules.iter().filter_map(|rule| sums.total(*resource, &rule.component)).map(|total| total.minutes)
    });
    totals.sum()
}
