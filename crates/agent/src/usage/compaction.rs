//! Adds up the hours of settled days: one object of each month takes the place of one for each day.
//!
//! First the month is written, then the days are deleted, each in the version in which it was read. Whatever happens in
//! between, and whoever does the same at the same time, what is there twice counts once (`planner::usage::compact`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use planner::outcome::Failure;
use planner::usage::compact::{self, MonthObject};
use planner::usage::month::Month;
use planner::usage::rule::Rule;

use super::ledger::{self, Ledger};
use super::{Reported, Reports, hours};
use crate::cluster::{apply, kinds};
use crate::error::ApiError;

/// The day on which the hours of an offering were looked through last.
#[derive(Debug, Default)]
pub struct Compacted(Mutex<Option<Date>>);

/// Adds up what is settled, once a day. That it cannot be done costs space on the cluster and nothing else.
pub(super) async fn daily(reports: &Reports, reported: &Reported, rules: &[Rule], now: Timestamp) {
    let today = TimeZone::UTC.to_datetime(now).date();
    let last = |compacted: &Compacted| *compacted.0.lock().unwrap_or_else(PoisonError::into_inner);
    if rules.is_empty() || reports.options.dry_run || last(&reported.compacted) == Some(today) {
        return;
    }
    match compact(reported, rules, &reports.options.zone, now).await {
        Ok(objects) => {
            if objects > 0 {
                tracing::info!(objects, "hours of settled days were added up");
            }
            *reported.compacted.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(today);
        }
        Err(error) if error.failure == Failure::Forbidden => {
            reports.say_once(format!("hours of settled days are kept one by one: {error}"));
        }
        Err(error) => {
            tracing::warn!(error = %error, "hours of settled days cannot be added up; will try again");
        }
    }
}

/// Adds up what is settled; how many objects of days have gone.
async fn compact(
    reported: &Reported,
    rules: &[Rule],
    zone: &TimeZone,
    now: Timestamp,
) -> Result<usize, ApiError> {
    let ledger = hours::ledger(reported).await?;
    let components: Vec<&str> = rules.iter().map(|rule| rule.component.as_str()).collect();
    let mut months: BTreeMap<(Month, String), MonthObject> = BTreeMap::new();
    let mut done: Vec<(String, String, String)> = Vec::new();
    let selected = format!("{0},{0} notin ({1})", kinds::LEDGER_DAY, recent(now).join(","));
    ledger
        .each(&selected, |object| {
            let Some((date, day)) = ledger.day(object).filter(|_| ledger::is_ours(object, ledger.offering))
            else {
                return;
            };
            if !compact::is_settled(date, &day, &components, zone, now) {
                return;
            }
            for (month, days) in compact::compacted(&day, zone) {
                let part = part(ledger::name(object)).to_owned();
                compact::merge(months.entry((month, part)).or_default(), days);
            }
            let (uid, version) = ledger::version(object);
            done.push((ledger::name(object).to_owned(), uid.to_owned(), version.to_owned()));
        })
        .await?;
    for ((month, part), days) in &months {
        ledger.write_month(*month, part, days).await?;
    }
    for (name, uid, version) in &done {
        delete(&ledger, name, (uid, version)).await?;
    }
    Ok(done.len())
}

/// One that is gone or was changed is another agent's work, and is looked at again tomorrow.
async fn delete(ledger: &Ledger<'_>, name: &str, seen: (&str, &str)) -> Result<(), ApiError> {
    match apply::delete_ledger(ledger.cluster, &ledger.namespace, name, seen).await {
        Err(error) if !matches!(error.failure, Failure::NotFound | Failure::Conflict) => Err(error),
        _ => Ok(()),
    }
}

/// Which of several objects of a day it is: `-3-of-16`.
fn part(name: &str) -> &str {
    name.find("-of-").and_then(|of| name[..of].rfind('-')).map_or("", |begin| &name[begin..])
}

/// Days that are not settled, whatever is known of them.
fn recent(now: Timestamp) -> Vec<String> {
    let today = TimeZone::UTC.to_datetime(now).date();
    let days = compact::SETTLED_AFTER.as_hours() / 24;
    (0..=days).filter_map(|days| today.checked_sub(days.days()).ok()).map(|day| day.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_named_as_its_day_is() {
        assert_eq!(part("waldur-usage-7f6e-20260701"), "");
        assert_eq!(part("waldur-usage-7f6e-20260701-3-of-16"), "-3-of-16");
    }

    #[test]
    fn days_that_have_just_ended_are_not_looked_at() {
        let recent = recent("2026-07-06T00:00:00Z".parse().unwrap());
        assert_eq!(recent, ["2026-07-06", "2026-07-05", "2026-07-04", "2026-07-03", "2026-07-02"]);
    }
}
