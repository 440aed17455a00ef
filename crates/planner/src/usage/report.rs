//! What of a resource's month is sent to Waldur, given what Waldur has (contract §5.3).

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::fraction::Hundredths;
use super::month::Month;
use super::rule::Rule;
use super::sums::Total;

/// What is known of one component in a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The component's type.
    pub component: String,
    /// The month's value.
    pub value: Hundredths,
    /// It adds up over the month, and so cannot go down.
    pub is_hours: bool,
}

/// What is done about a resource's month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What is sent, all at once: servers of 2024 show only what the last report named. Empty if nothing is to be sent.
    pub send: BTreeMap<String, Hundredths>,
    /// Components that would go down although they cannot: what Waldur has, and what was measured.
    pub anomalies: BTreeMap<String, (Hundredths, Hundredths)>,
}

/// Compares. `known` holds what Waldur has of the month, `doubtful` components of which it has more than one row.
#[must_use]
pub fn decide(
    readings: &[Reading],
    known: &BTreeMap<String, Hundredths>,
    doubtful: &BTreeSet<String>,
    omit_anomalous: bool,
) -> Decision {
    let mut decision = Decision::default();
    for reading in readings {
        let before = known.get(&reading.component).copied();
        match before.filter(|before| reading.is_hours && *before > reading.value) {
            Some(before) => {
                decision.anomalies.insert(reading.component.clone(), (before, reading.value));
            }
            None => {
                decision.send.insert(reading.component.clone(), reading.value);
            }
        }
    }
    let held = !decision.anomalies.is_empty() && !omit_anomalous;
    let same = |(component, value): (&String, &Hundredths)| {
        known.get(component) == Some(value) && !doubtful.contains(component)
    };
    if held || decision.send.iter().all(same) {
        decision.send.clear();
    }
    decision
}

/// What is told of each day, where the server takes days (contract §5.3): all of the month up to today, with zeros, since
/// it keeps what is left out. Each is the rounded total up to its end without the rounded total up to its begin, so that
/// the days add up to what would be told of the month. `None` where a total is too large, or the month has not begun by
/// the calendar of UTC, in which the server counts.
#[must_use]
pub fn days(
    rule: &Rule,
    totals: &BTreeMap<Date, Total>,
    month: Month,
    today: Date,
) -> Option<BTreeMap<Date, Hundredths>> {
    let last = month.last_day().min(today);
    let (mut day, mut total, mut told) = (month.first_day(), 0_i128, 0_i128);
    let mut days = BTreeMap::new();
    while day <= last {
        total = total.checked_add(totals.get(&day).map_or(0, |day| day.total))?;
        let Hundredths(rounded) = rule.hours(total)?;
        days.insert(day, Hundredths(rounded - told));
        told = rounded;
        day = day.tomorrow().ok()?;
    }
    (!days.is_empty()).then_some(days)
}

/// Components that a server names as those it does not take, in its refusal of a report (contract §5.3).
#[must_use]
pub fn refused_components(message: &str) -> BTreeSet<String> {
    let Some((_, names)) = message.split_once("These components are invalid:") else {
        return BTreeSet::new();
    };
    let names = names.split(';').next().unwrap_or_default().trim().trim_end_matches('.');
    names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Whether a refusal says that a month is closed to this token (contract §5.5).
#[must_use]
pub fn refuses_past(message: &str) -> bool {
    message.contains("backfilling past billing periods")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(component: &str, value: i128, is_hours: bool) -> Reading {
        Reading { component: component.to_owned(), value: Hundredths(value), is_hours }
    }

    fn known(rows: &[(&str, i128)]) -> BTreeMap<String, Hundredths> {
        rows.iter().map(|(component, value)| ((*component).to_owned(), Hundredths(*value))).collect()
    }

    #[track_caller]
    fn check(readings: &[Reading], rows: &[(&str, i128)], omit: bool, sent: &[(&str, i128)], odd: &[&str]) {
        let decision = decide(readings, &known(rows), &BTreeSet::new(), omit);
        assert_eq!(decision.send, known(sent));
        assert_eq!(decision.anomalies.keys().map(String::as_str).collect::<Vec<_>>(), odd);
    }

    #[test]
    fn unchanged_values_are_not_sent_and_a_change_sends_all() {
        let readings = [reading("cpu", 150, false), reading("memory", 0, false)];
        check(&readings, &[], false, &[("cpu", 150), ("memory", 0)], &[]);
        check(&readings, &[("cpu", 150), ("memory", 0)], false, &[], &[]);
        check(&readings, &[("cpu", 150), ("memory", 0), ("other", 7)], false, &[], &[]);
        check(&readings, &[("cpu", 100), ("memory", 0)], false, &[("cpu", 150), ("memory", 0)], &[]);
        check(&[], &[("cpu", 100)], false, &[], &[]);
    }

    #[test]
    fn days_add_up_to_the_rounded_month() {
        let rule = Rule {
            component: "cpu".to_owned(),
            measure: crate::usage::rule::Measure::Requests,
            thing: Some(crate::usage::rule::Thing::Cpu),
            quota: "waldur-quota".to_owned(),
            quota_key: None,
            ratio: crate::amount::Amount::ONE,
            unit: crate::amount::Amount::ONE,
            factor: crate::amount::Amount::ONE,
        };
        let date = |text: &str| -> Date { text.parse().unwrap() };
        let day =
            |text: &str, seconds: i128| (date(text), Total { total: seconds * 1_000_000, minutes: 1440 });
        // 0.004 core-hours each day: by itself each would be rounded to nothing.
        let totals = BTreeMap::from([day("2026-07-01", 14), day("2026-07-02", 14), day("2026-07-04", 14)]);
        let july = Month::parse("2026-07").unwrap();
        let told = |today: &str| {
            let days = days(&rule, &totals, july, date(today))?;
            Some(days.values().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(told("2026-07-05").unwrap(), ["0.00", "0.01", "0.00", "0.00", "0.00"]);
        let sum = |days: &BTreeMap<Date, Hundredths>| days.values().map(|day| day.0).sum::<i128>();
        let whole = days(&rule, &totals, july, date("2026-08-20")).unwrap();
        assert_eq!((whole.len(), Hundredths(sum(&whole))), (31, rule.hours(42_000_000).unwrap()));
        assert_eq!(told("2026-06-30"), None, "for the server the month has not begun");
    }

    #[test]
    fn gauges_go_down_and_hours_do_not() {
        check(&[reading("cpu", 50, false)], &[("cpu", 100)], false, &[("cpu", 50)], &[]);
        let readings = [reading("hours", 50, true), reading("cpu", 50, false)];
        check(&readings, &[("hours", 100), ("cpu", 100)], false, &[], &["hours"]);
        check(&readings, &[("hours", 100), ("cpu", 100)], true, &[("cpu", 50)], &["hours"]);
    }

    #[test]
    fn a_component_with_two_rows_is_sent_again() {
        let readings = [reading("cpu", 50, false)];
        let decision = decide(&readings, &known(&[("cpu", 50)]), &BTreeSet::from(["cpu".to_owned()]), false);
        assert_eq!(decision.send, known(&[("cpu", 50)]));
    }

    #[test]
    fn a_refusal_names_components() {
        let names = |text| refused_components(text).into_iter().collect::<Vec<_>>();
        assert_eq!(names("These components are invalid: gpu, setup."), ["gpu", "setup"]);
        assert_eq!(names("non_field_errors: These components are invalid: gpu.; other: no"), ["gpu"]);
        assert!(names("Resource is not in valid state.").is_empty());
    }
}
