//! Billing months, and the hours that are counted in them.
//!
//! A month is one of the operator's time zone; an hour is one of the clock of the world. Where a zone's offset is not
//! whole hours, a month begins inside an hour, and that hour is cut in two.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// Length of the hour that is counted, unless a month's edge cuts it.
const HOUR: i64 = 3600;

/// A billing month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    /// Its first day, by which Waldur calls it.
    first: Date,
}

impl Month {
    /// The month in which an instant is.
    #[must_use]
    pub fn of(at: Timestamp, zone: &TimeZone) -> Self {
        Self { first: zone.to_datetime(at).date().first_of_month() }
    }

    /// Whether it is over where it is billed, or for servers, which reckon by UTC.
    #[must_use]
    pub fn is_past(self, zone: &TimeZone, now: Timestamp) -> bool {
        self < Self::of(now, zone) || self < Self::of(now, &TimeZone::UTC)
    }

    /// Reads `2026-11`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let first: Date = format!("{text}-01").parse().ok()?;
        (text.len() == 7).then_some(Self { first })
    }

    /// The month that a day is in.
    #[must_use]
    pub fn with(day: Date) -> Self {
        Self { first: day.first_of_month() }
    }

    /// Its first day.
    #[must_use]
    pub const fn first_day(self) -> Date {
        self.first
    }

    /// Its last day.
    #[must_use]
    pub fn last_day(self) -> Date {
        self.first.last_of_month()
    }

    /// The month before.
    #[must_use]
    pub fn before(self) -> Self {
        Self { first: self.first.checked_sub(1.month()).unwrap_or(self.first) }
    }

    /// The month after.
    #[must_use]
    pub fn after(self) -> Self {
        Self { first: self.first.checked_add(1.month()).unwrap_or(self.first) }
    }

    /// As Waldur names a billing period: `2026-11-01`.
    #[must_use]
    pub fn billing_period(self) -> String {
        self.first.to_string()
    }

    /// When it begins in a zone.
    #[must_use]
    pub fn begin(self, zone: &TimeZone) -> Timestamp {
        zone.to_timestamp(self.first.at(0, 0, 0, 0)).unwrap_or(Timestamp::MAX)
    }

    /// When it ends, which is when the next one begins.
    #[must_use]
    pub fn end(self, zone: &TimeZone) -> Timestamp {
        self.after().begin(zone)
    }

    /// What a report of this month carries as its date: the first instant that is in this month both in the zone and
    /// in UTC, by which servers reckon (contract §5.2).
    #[must_use]
    pub fn report_date(self, zone: &TimeZone) -> Timestamp {
        self.begin(zone).max(self.begin(&TimeZone::UTC))
    }
}

/// `2026-11`.
impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{:04}-{:02}", self.first.year(), self.first.month()))
    }
}

/// The months to report, oldest first: so many, ending with the one in which `now` is.
#[must_use]
pub fn reported(now: Timestamp, zone: &TimeZone, periods: u8) -> Vec<Month> {
    let mut months = vec![Month::of(now, zone)];
    while months.len() < usize::from(periods.max(1)) {
        let last = months[months.len() - 1];
        months.push(last.before());
    }
    months.reverse();
    months
}

/// A stretch of time that is counted as one: an hour, or a part of one at a month's edge. Whole minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Its begin, which belongs to it.
    pub begin: Timestamp,
    /// Its end, which does not.
    pub end: Timestamp,
}

impl Window {
    /// The window in which an instant is.
    #[must_use]
    pub fn around(at: Timestamp, zone: &TimeZone) -> Self {
        let begin = floor(at, HOUR);
        let end = later(begin, HOUR);
        let edge = Month::of(end, zone).begin(zone);
        if edge <= begin || edge >= end {
            return Self { begin, end };
        }
        if at < edge { Self { begin, end: edge } } else { Self { begin: edge, end } }
    }

    /// The part of it before an instant, in whole minutes; `None` if that is nothing.
    #[must_use]
    pub fn up_to(self, at: Timestamp) -> Option<Self> {
        let end = floor(at, 60).min(self.end);
        (end > self.begin).then_some(Self { begin: self.begin, end })
    }

    /// Its length in minutes.
    #[must_use]
    pub fn minutes(self) -> u32 {
        let seconds = self.end.as_second() - self.begin.as_second();
        u32::try_from(seconds / 60).unwrap_or(0)
    }

    /// The part of it that lies in a stretch of time, in whole minutes that begin in it.
    #[must_use]
    pub fn minutes_within(self, from: Timestamp, until: Option<Timestamp>) -> u32 {
        let first = ceil(from.max(self.begin), 60);
        let last = ceil(until.map_or(self.end, |until| until.min(self.end)), 60);
        u32::try_from((last.as_second() - first.as_second()) / 60).unwrap_or(0)
    }
}

/// The part of a day of UTC that is in one day of the billing zone: servers count days by UTC, people by their own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stretch {
    /// The day of UTC.
    pub utc: Date,
    /// The day of the billing zone.
    pub local: Date,
}

impl Stretch {
    /// The one in which a window begins.
    #[must_use]
    pub fn of(window: Window, zone: &TimeZone) -> Self {
        let utc = TimeZone::UTC.to_datetime(window.begin).date();
        Self { utc, local: zone.to_datetime(window.begin).date() }
    }
}

/// The windows of a stretch of time that have ended by `until`, from the one in which `from` is.
#[must_use]
pub fn windows(from: Timestamp, until: Timestamp, zone: &TimeZone) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut window = Window::around(from, zone);
    while window.end <= until {
        windows.push(window);
        window = Window::around(window.end, zone);
    }
    windows
}

fn floor(at: Timestamp, step: i64) -> Timestamp {
    Timestamp::from_second(at.as_second().div_euclid(step) * step).unwrap_or(at)
}

fn ceil(at: Timestamp, step: i64) -> Timestamp {
    let floor = floor(at, step);
    if floor == at { at } else { later(floor, step) }
}

fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Zones by their rules, since the planner does not read the system's.
    fn zone(name: &str) -> TimeZone {
        let rules = match name {
            "Europe/Tallinn" => "EET-2EEST,M3.5.0/3,M10.5.0/4",
            "Asia/Kathmandu" => "<+0545>-5:45",
            "America/New_York" => "EST5EDT,M3.2.0,M11.1.0",
            _ => "UTC0",
        };
        TimeZone::posix(rules).unwrap()
    }

    #[test]
    fn a_month_is_past_when_it_is_over_for_the_one_or_for_the_other() {
        let month = Month::parse("2026-10").unwrap();
        // Midnight is two hours earlier in Tallinn than for servers, and four later in New York.
        for (name, now, is_past) in [
            ("Europe/Tallinn", "2026-10-31T21:59:59Z", false),
            ("Europe/Tallinn", "2026-10-31T22:00:00Z", true),
            ("America/New_York", "2026-10-31T23:59:59Z", false),
            ("America/New_York", "2026-11-01T00:00:00Z", true),
        ] {
            assert_eq!(month.is_past(&zone(name), at(now)), is_past, "{name} {now}");
        }
    }

    #[test]
    fn a_report_is_dated_in_its_month_for_a_server_in_utc_too() {
        for (name, expected) in [
            ("UTC", "2026-08-01T00:00:00Z"),
            // Local midnight is still in July for the server.
            ("Europe/Tallinn", "2026-08-01T00:00:00Z"),
            ("Asia/Kathmandu", "2026-08-01T00:00:00Z"),
            ("America/New_York", "2026-08-01T04:00:00Z"),
        ] {
            let month = Month::parse("2026-08").unwrap();
            assert_eq!(month.report_date(&zone(name)).to_string(), expected, "{name}");
        }
    }

    #[test]
    fn months_are_those_of_the_zone() {
        let last_evening = at("2026-07-31T21:30:00Z");
        assert_eq!(Month::of(last_evening, &zone("UTC")).to_string(), "2026-07");
        assert_eq!(Month::of(last_evening, &zone("Europe/Tallinn")).to_string(), "2026-08");
        let months: Vec<_> = reported(at("2026-01-15T00:00:00Z"), &TimeZone::UTC, 3);
        assert_eq!(
            months.iter().map(Month::to_string).collect::<Vec<_>>(),
            ["2025-11", "2025-12", "2026-01"]
        );
        assert_eq!(Month::parse("2026-13"), None);
        assert_eq!(Month::parse("26-11"), None);
    }

    #[test]
    fn a_month_that_begins_inside_an_hour_cuts_it() {
        let kathmandu = zone("Asia/Kathmandu");
        let around = |text: &str| {
            let window = Window::around(at(text), &kathmandu);
            (window.begin.to_string(), window.minutes())
        };
        // UTC+05:45: August begins at 18:15 UTC.
        assert_eq!(around("2026-07-31T18:14:59Z"), ("2026-07-31T18:00:00Z".to_owned(), 15));
        assert_eq!(around("2026-07-31T18:15:00Z"), ("2026-07-31T18:15:00Z".to_owned(), 45));
        assert_eq!(around("2026-07-31T17:59:59Z"), ("2026-07-31T17:00:00Z".to_owned(), 60));
        let windows = windows(at("2026-07-31T17:30:00Z"), at("2026-07-31T19:00:00Z"), &kathmandu);
        assert_eq!(windows.iter().map(|window| window.minutes()).collect::<Vec<_>>(), [60, 15, 45]);
    }

    #[test]
    fn months_in_which_clocks_change_have_all_their_hours() {
        let tallinn = zone("Europe/Tallinn");
        let hours = |name: &str| {
            let month = Month::parse(name).unwrap();
            windows(month.begin(&tallinn), month.end(&tallinn), &tallinn).len()
        };
        assert_eq!(
            (hours("2026-03"), hours("2026-10"), hours("2026-11")),
            (31 * 24 - 1, 31 * 24 + 1, 30 * 24)
        );
    }

    #[test]
    fn what_was_not_there_for_the_whole_window_is_expected_for_its_part() {
        let window = Window::around(at("2026-07-01T10:00:00Z"), &TimeZone::UTC);
        let part = |from: &str, until: Option<&str>| window.minutes_within(at(from), until.map(at));
        assert_eq!(part("2026-07-01T00:00:00Z", None), 60);
        assert_eq!(part("2026-07-01T10:20:30Z", None), 39);
        assert_eq!(part("2026-07-01T10:20:00Z", Some("2026-07-01T10:40:00Z")), 20);
        assert_eq!(part("2026-07-01T11:00:00Z", None), 0);
        assert_eq!(part("2026-07-01T00:00:00Z", Some("2026-07-01T09:00:00Z")), 0);
    }
}
