//! What is kept of days that are settled: one line for each instead of one for each hour, in objects of one month each.
//!
//! ```text
//! 7f6e….3d2c…: |
//!   namespace waldur-alloc-shop-1
//!   from 2026-11-03T09:30:12Z
//!   2026-11-03 p cpu=52200000000/870 memory=…/870
//!   2026-11-04 p cpu=86400000000/1440 memory=…/1440
//! ```
//!
//! A line is about the part of a day of UTC that is in one day of the billing zone, which is named behind a slash where
//! it is another. Day by day counts what knows more minutes, this or the hours that there still are: an object of hours
//! may thus go any time after its days are here, or stay beside them, and come back.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

use super::ledger::Day;
use super::month::{Month, Stretch, Window, windows};
pub use super::object::merge;
use super::object::{self, Closed, Entry, LedgerError, Life, Source};
use super::series::Counted;

/// How long after its end a day is settled: a day longer than hours are measured without being asked to.
pub const SETTLED_AFTER: SignedDuration = SignedDuration::from_hours(96);

/// What one object holds of a month: what was counted in each part of a day.
pub type MonthObject = BTreeMap<Life, Entry<Stretch>>;

/// The texts of an object, with their checksum.
#[must_use]
pub fn write(month: &MonthObject) -> BTreeMap<String, String> {
    object::write(
        month,
        |Stretch { utc, local }| {
            if utc == local { utc.to_string() } else { format!("{utc}/{local}") }
        },
    )
}

/// Reads the texts of an object.
///
/// # Errors
/// [`LedgerError`] if somebody else has written to it.
pub fn read(texts: &BTreeMap<String, String>) -> Result<MonthObject, LedgerError> {
    object::read(texts, stretch)
}

/// Whether the hours of a day of UTC may be added up: no more will be measured without being asked for. In a month
/// that goes on, only a day in which nothing is missing is settled.
#[must_use]
pub fn is_settled(date: Date, day: &Day, components: &[&str], zone: &TimeZone, now: Timestamp) -> bool {
    let windows = windows_of(date, zone);
    let Some(last) = windows.last() else { return false };
    let is_long_past = |end: Timestamp| end.checked_add(SETTLED_AFTER).is_ok_and(|settled| settled <= now);
    let month = Month::of(last.begin, zone);
    is_long_past(last.end) && (is_long_past(month.end(zone)) || is_complete(day, &windows, components))
}

fn windows_of(date: Date, zone: &TimeZone) -> Vec<Window> {
    let midnight = |date: Date| TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0));
    let end = date.checked_add(1.day()).and_then(midnight);
    match (midnight(date), end) {
        (Ok(begin), Ok(end)) => windows(begin, end, zone),
        _ => Vec::new(),
    }
}

fn is_complete(day: &Day, windows: &[Window], components: &[&str]) -> bool {
    day.values().all(|entry| {
        let mut alive = windows.iter().filter(|window| entry.lived.minutes_of(**window) > 0);
        alive.all(|window| {
            let hour = entry.closed.get(&window.begin);
            hour.is_some_and(|hour| components.iter().all(|component| hour.counted.contains_key(*component)))
        })
    })
}

/// The hours of a day added up, by the month that they are in.
#[must_use]
pub fn compacted(day: &Day, zone: &TimeZone) -> BTreeMap<Month, MonthObject> {
    let mut months: BTreeMap<Month, MonthObject> = BTreeMap::new();
    for (life, entry) in day {
        for (begin, hour) in &entry.closed {
            let stretch = Stretch::of(Window { begin: *begin, end: *begin }, zone);
            let month = months.entry(Month::with(stretch.local)).or_default();
            let known = month.entry(life.clone()).or_default();
            known.lived.learn(&entry.lived);
            let sum = known.closed.entry(stretch);
            let sum = sum.or_insert_with(|| Closed { source: Source::Prometheus, counted: BTreeMap::new() });
            if hour.source == Source::Sampled {
                sum.source = Source::Sampled;
            }
            for (component, counted) in &hour.counted {
                let total: &mut Counted = sum.counted.entry(component.clone()).or_default();
                total.total += counted.total;
                total.minutes += counted.minutes;
            }
        }
        if entry.closed.is_empty() {
            // That it has ended is kept with the month in which that was.
            let ended = entry.lived.until.map(|until| Month::of(until, zone));
            if let Some(month) = ended {
                months.entry(month).or_default().entry(life.clone()).or_default().lived.learn(&entry.lived);
            }
        }
    }
    months
}

fn stretch(word: &str) -> Option<Stretch> {
    let (utc, local) = word.split_once('/').unwrap_or((word, word));
    Some(Stretch { utc: utc.parse().ok()?, local: local.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ledger::tests::{at, check_merging, day, facts, hour, life};
    use super::super::month::Month;
    use super::super::sums::{MonthWindows, Sums};
    use super::*;

    fn july() -> Month {
        Month::parse("2026-07").unwrap()
    }

    /// Nepal: a day begins at 18:15 UTC.
    fn kathmandu() -> TimeZone {
        TimeZone::posix("<+0545>-5:45").unwrap()
    }

    fn sums_of(hours: &[Day], months: &[MonthObject]) -> Sums {
        let windows = MonthWindows::new(july(), &TimeZone::UTC, at("2026-08-01T00:00:00Z"));
        let mut sums = Sums::new(windows);
        hours.iter().for_each(|day| sums.add(day));
        months.iter().for_each(|month| sums.add_month(month));
        sums
    }

    fn total(sums: &Sums) -> (i128, u64) {
        let total = sums.total(life("").resource, "cpu").unwrap_or_default();
        (total.total, total.minutes)
    }

    #[test]
    fn a_day_is_one_line_for_each_day_of_the_zone() {
        let day = day(&[("17:00", hour(10, 60)), ("18:00", hour(20, 60)), ("19:00", hour(40, 30))]);
        let months = compacted(&day, &kathmandu());
        let texts = write(&months[&july()]);
        insta::assert_snapshot!(texts["00000000000000000000000000000007.u-1"], @r"
        namespace waldur-alloc-shop-1
        from 2026-07-01T09:30:00Z
        2026-07-01 p cpu=30/120
        2026-07-01/2026-07-02 p cpu=40/30
        ");
        assert_eq!(read(&texts).as_ref(), Ok(&months[&july()]));
        let mut edited = texts.clone();
        edited.values_mut().for_each(|text| *text = text.replace("=30", "=99"));
        assert_eq!(read(&edited), Err(LedgerError::Checksum));
    }

    #[test]
    fn hours_at_a_months_edge_go_to_their_months() {
        let zone = TimeZone::posix("EET-2EEST,M3.5.0/3,M10.5.0/4").unwrap();
        let mut edge = day(&[]);
        let entry = edge.get_mut(&life("u-1")).unwrap();
        entry.closed.insert(at("2026-07-31T20:00:00Z"), hour(1, 60));
        entry.closed.insert(at("2026-07-31T21:00:00Z"), hour(2, 60));
        let months = compacted(&edge, &zone);
        let sums: Vec<i128> = months
            .values()
            .map(|month| {
                month
                    .values()
                    .flat_map(|entry| entry.closed.values())
                    .map(|day| day.counted["cpu"].total)
                    .sum()
            })
            .collect();
        assert_eq!((months.len(), sums), (2, vec![1, 2]));
    }

    #[test]
    fn only_what_is_complete_and_past_is_settled() {
        let date = "2026-07-01".parse().unwrap();
        let times: Vec<String> = (9..24).map(|hour| format!("{hour:02}:00")).collect();
        let whole: Vec<(&str, Closed)> = times.iter().map(|time| (time.as_str(), hour(1, 60))).collect();
        // Made at 09:30, so that the hours from nine on are all there can be.
        let (whole, part) = (day(&whole), day(&whole[1..]));
        let settled = |day: &Day, components: &[&str], now: &str| {
            is_settled(date, day, components, &TimeZone::UTC, at(now))
        };
        assert!(settled(&whole, &["cpu"], "2026-07-06T00:00:00Z"));
        assert!(!settled(&whole, &["cpu"], "2026-07-05T23:59:59Z"));
        assert!(
            !settled(&whole, &["cpu", "memory"], "2026-07-06T00:00:00Z"),
            "a new component is measured first"
        );
        assert!(!settled(&part, &["cpu"], "2026-07-06T00:00:00Z"));
        assert!(!settled(&part, &["cpu"], "2026-08-04T23:59:59Z"));
        assert!(settled(&part, &["cpu"], "2026-08-05T00:00:00Z"), "the month is over");
    }

    #[test]
    fn what_is_there_twice_counts_once_and_what_knows_more_wins() {
        let hours = day(&[("10:00", hour(100, 60)), ("11:00", hour(50, 60))]);
        let month = compacted(&hours, &TimeZone::UTC).remove(&july()).unwrap();
        let before = total(&sums_of(std::slice::from_ref(&hours), &[]));
        assert_eq!(before, (150, 120));
        // Written and not yet deleted; deleted; and deleted twice by two agents that each wrote an object.
        assert_eq!(total(&sums_of(std::slice::from_ref(&hours), std::slice::from_ref(&month))), before);
        assert_eq!(total(&sums_of(&[], std::slice::from_ref(&month))), before);
        assert_eq!(total(&sums_of(&[], &[month.clone(), month.clone()])), before);
        // An agent that was late writes one hour again, and one that measured all of the day finds more.
        let late = day(&[("10:00", hour(100, 60))]);
        assert_eq!(total(&sums_of(&[late], std::slice::from_ref(&month))), before);
        let more = day(&[("10:00", hour(100, 60)), ("11:00", hour(50, 60)), ("12:00", hour(7, 60))]);
        assert_eq!(total(&sums_of(&[more], &[month])), (157, 180));
    }

    #[test]
    fn a_compacted_day_is_not_missing_unless_for_a_new_component() {
        let hours = day(&[("10:00", hour(100, 60))]);
        let month = compacted(&hours, &TimeZone::UTC).remove(&july()).unwrap();
        let sums = sums_of(&[], &[month]);
        let lived = sums.lives[&life("u-1")].lived.clone();
        let missing = |component| sums.missing(&life("u-1"), &lived, &[component]);
        let first = "2026-07-02T00:00:00Z";
        assert_eq!(missing("cpu")[0].begin, at(first));
        assert_eq!(missing("memory")[0].begin, at("2026-07-01T09:00:00Z"));
    }

    fn of(facts: &[(usize, u32)]) -> MonthObject {
        let mut all = MonthObject::new();
        for (place, minutes) in facts {
            let time = ["09:00", "10:00", "18:30"][*place];
            let day = day(&[(time, hour(i128::from(*minutes) * 10, *minutes))]);
            for month in compacted(&day, &kathmandu()).into_values() {
                merge(&mut all, month);
            }
        }
        all
    }

    proptest! {
        #[test]
        fn merging_does_not_depend_on_order_or_repetition(one in facts(), other in facts()) {
            check_merging(of(&one), of(&other));
        }

        #[test]
        fn any_text_is_answered_without_panic(text in "\\PC{0,80}") {
            let _ = object::entry(&text, stretch);
        }
    }
}
