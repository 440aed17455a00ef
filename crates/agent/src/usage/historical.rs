//! Months of the past, measured anew and told to Waldur by somebody's order: `waldur_site_load_historical_usage`.
//!
//! Unlike a report it also tells less than Waldur has, since that is what somebody asked for. What is not known is not
//! told here either.

use std::collections::BTreeMap;

use jiff::Timestamp;
use planner::usage::fraction::Hundredths;
use planner::usage::ledger::{Life, Lived};
use planner::usage::month::Month;
use planner::usage::report::{self, Reading};
use planner::usage::rule::Rule;
use planner::usage::sums::Sums;
use uuid::Uuid;

use super::ledger::Ledger;
use super::pass::KnownMonth;
use super::{Reported, Reports, collect, hours, pass, send, show};
use crate::error::ApiError;
use crate::waldur::dto;

/// What is loaded.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Months, oldest first.
    pub months: Vec<Month>,
    /// Namespaces of the resources; without any all.
    pub backend_ids: Vec<String>,
    /// Zero what Waldur has of months in which a resource had no namespace.
    pub reconcile_stale: bool,
}

/// What became of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The month.
    pub month: Month,
    /// Resources that Waldur was told of.
    pub told: usize,
    /// Resources of which it had the same.
    pub unchanged: usize,
    /// Resources and components of which too little is known.
    pub held: Vec<String>,
    /// Resources of which nothing was or could be told, with the reason.
    pub failed: Vec<String>,
}

/// Names among `backend_ids` that no resource has.
///
/// # Errors
/// Waldur does not answer.
pub async fn unknown(reports: &Reports, wanted: &Wanted) -> Result<Vec<String>, ApiError> {
    let mut unknown = wanted.backend_ids.clone();
    for reported in &reports.offerings {
        let uuid = reported.offering.options.uuid;
        for resource in reported.offering.waldur.resources_with_usage(uuid, None).await? {
            unknown.retain(|name| name != resource.backend_id.trim());
        }
    }
    Ok(unknown)
}

/// Loads one month of all offerings.
///
/// # Errors
/// Waldur, the cluster or Prometheus does not answer.
pub async fn load(
    reports: &Reports,
    wanted: &Wanted,
    month: Month,
    now: Timestamp,
) -> Result<Loaded, ApiError> {
    let mut loaded = Loaded { month, told: 0, unchanged: 0, held: Vec::new(), failed: Vec::new() };
    for reported in &reports.offerings {
        of_offering(reports, reported, wanted, now, &mut loaded).await?;
    }
    Ok(loaded)
}

async fn of_offering(
    reports: &Reports,
    reported: &Reported,
    wanted: &Wanted,
    now: Timestamp,
    loaded: &mut Loaded,
) -> Result<(), ApiError> {
    let offering = &reported.offering;
    let components = offering.read_offering().await?.components;
    let rules = pass::taken(reports, reported, &components);
    let rules: Vec<Rule> = rules.into_iter().filter(|rule| rule.measure.is_hours()).collect();
    if rules.is_empty() {
        return Ok(());
    }
    let mut resources = offering.waldur.resources_with_usage(offering.options.uuid, None).await?;
    if !wanted.backend_ids.is_empty() {
        resources.retain(|resource| wanted.backend_ids.iter().any(|name| name == resource.backend_id.trim()));
    }
    let sums = measured(reports, reported, &rules, &resources, (loaded.month, now)).await?;
    let known = pass::known(offering, None, loaded.month).await?;
    let by_days = pass::told_by_day(&components);
    for resource in resources {
        let nothing = KnownMonth::default();
        let known = known.get(&resource.uuid).unwrap_or(&nothing);
        let mut held = Vec::new();
        let minimum = reported.minimum_coverage;
        let mut readings = hours::readings(&rules, resource.uuid, &sums, minimum, &mut held);
        if !held.is_empty() {
            loaded.held.push(format!("{}: {}", resource.backend_id.trim(), held.join(", ")));
        }
        if wanted.reconcile_stale && sums.expected(resource.uuid) == 0 {
            readings = stale(&rules, known);
        }
        let days = pass::by_day(&rules, &by_days, &mut readings, (resource.uuid, &sums), now);
        // Somebody wants what was measured, be it less than before.
        readings.iter_mut().for_each(|reading| reading.is_hours = false);
        let decision = report::decide(&readings, &known.values, &known.doubtful, true);
        if decision.send.is_empty() {
            loaded.unchanged += usize::from(!readings.is_empty());
            continue;
        }
        match send::send(reports, reported, &resource, loaded.month, decision.send, days, now).await {
            Ok(true) => loaded.told += 1,
            Ok(false) if reports.options.dry_run => loaded.told += 1,
            Ok(false) => loaded.failed.push(format!(
                "{}: {}",
                resource.backend_id.trim(),
                refusal(reports, &resource, loaded.month, reported)
            )),
            Err(error) => loaded.failed.push(format!("{}: {error}", resource.backend_id.trim())),
        }
    }
    Ok(())
}

/// Zeros for what Waldur has of a month in which there was nothing.
fn stale(rules: &[Rule], known: &KnownMonth) -> Vec<Reading> {
    let has = |rule: &&Rule| known.values.get(&rule.component).is_some_and(|value| value.0 != 0);
    let zero = |rule: &Rule| Reading {
        component: rule.component.clone(),
        value: Hundredths::default(),
        is_hours: true,
    };
    rules.iter().filter(has).map(zero).collect()
}

fn refusal(reports: &Reports, resource: &dto::ReportedResource, month: Month, reported: &Reported) -> String {
    if reports.is_closed(reported.offering.options.uuid, month) {
        "Waldur takes usage of past months from staff only; run it with a token of staff".to_owned()
    } else if resource.takes_usage() {
        "Waldur takes none of its components".to_owned()
    } else {
        format!("Waldur takes no usage of a resource that is {}", resource.state)
    }
}

/// The month with what Prometheus knows of it, for these resources; where there is no Prometheus, as the ledger has it.
async fn measured(
    reports: &Reports,
    reported: &Reported,
    rules: &[Rule],
    resources: &[dto::ReportedResource],
    (month, now): (Month, Timestamp),
) -> Result<Sums, ApiError> {
    let (mut sums, lives) = show::month_of(reports, reported, month, now).await?;
    let Some(prometheus) = &reported.prometheus else { return Ok(sums) };
    let ledger = Ledger { lives: lives.len(), ..hours::ledger(reported).await? };
    let chosen: Vec<Uuid> = resources.iter().map(|resource| resource.uuid).collect();
    let lives: BTreeMap<Life, Lived> =
        lives.into_iter().filter(|(life, _)| chosen.contains(&life.resource)).collect();
    let kept = (!reports.options.dry_run).then_some(&ledger);
    let asking = collect::Asking { prometheus, rules, lives: &lives, now };
    collect::collect(asking, kept, &mut sums, collect::Extent::All).await?;
    if reports.options.dry_run {
        return Ok(sums);
    }
    // What was measured is merged into the ledger, which is then read as it is.
    Ok(show::month_of(reports, reported, month, now).await?.0)
}
