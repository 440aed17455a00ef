//! What months come to: objects of the ledger added up, each window once, with what is missing in them.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::compact::MonthObject;
use super::ledger::{Day, Life, Lived, Source, day_of};
use super::month::{Month, Stretch, Window, windows};
use super::series::Counted;

/// Windows of one month, and which is which.
#[derive(Clone, Debug)]
pub struct MonthWindows {
    /// The month.
    pub month: Month,
    /// Its windows that are closed, in order.
    pub windows: Vec<Window>,
    /// In which part of a day each is.
    stretches: Vec<Stretch>,
}

impl MonthWindows {
    /// The windows of a month that have ended by `closed`.
    #[must_use]
    pub fn new(month: Month, zone: &TimeZone, closed: Timestamp) -> Self {
        let mut all = Self { month, windows: Vec::new(), stretches: Vec::new() };
        all.extend(windows(month.begin(zone), month.end(zone).min(closed), zone), zone);
        all
    }

    /// Takes in windows that come after those that it has.
    pub fn extend(&mut self, windows: impl IntoIterator<Item = Window>, zone: &TimeZone) {
        for window in windows {
            self.windows.push(window);
            self.stretches.push(Stretch::of(window, zone));
        }
    }

    /// Leaves out those that end later.
    pub fn end_by(&mut self, closed: Timestamp) {
        let count = self.windows.partition_point(|window| window.end <= closed);
        self.windows.truncate(count);
        self.stretches.truncate(count);
    }

    /// Place of the window that begins then.
    fn place(&self, begin: Timestamp) -> Option<usize> {
        self.windows.binary_search_by_key(&begin, |window| window.begin).ok()
    }

    /// When the last closed window ended.
    #[must_use]
    pub fn end(&self) -> Option<Timestamp> {
        self.windows.last().map(|window| window.end)
    }

    /// Days of UTC whose objects hold windows of it.
    #[must_use]
    pub fn days(&self) -> Vec<Date> {
        let mut days: Vec<Date> = self.windows.iter().map(|window| day_of(*window)).collect();
        days.dedup();
        days
    }
}

/// What a component came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Integers of the ledger times seconds.
    pub total: i128,
    /// Minutes with data.
    pub minutes: u64,
}

impl Total {
    fn add(&mut self, counted: Counted) {
        self.total += counted.total;
        self.minutes += u64::from(counted.minutes);
    }

    fn plus(self, other: Self) -> Self {
        Self { total: self.total + other.total, minutes: self.minutes + other.minutes }
    }
}

/// What one life came to in a month.
#[derive(Clone, Debug, Default)]
pub struct MonthOfLife {
    /// The life.
    pub lived: Lived,
    /// By component.
    totals: BTreeMap<String, PerComponent>,
    /// Some of it was sampled.
    pub sampled: bool,
}

#[derive(Clone, Debug, Default)]
struct PerComponent {
    /// From objects of hours.
    hours: Days,
    /// From objects of months.
    compacted: Days,
    /// Which windows are recorded, as bits.
    recorded: Vec<u64>,
}

/// Totals by part of a day, in order.
#[derive(Clone, Debug, Default)]
struct Days(Vec<(Stretch, Total)>);

impl Days {
    fn get(&self, stretch: Stretch) -> Option<Total> {
        let place = self.0.binary_search_by_key(&stretch, |(stretch, _)| *stretch).ok()?;
        Some(self.0[place].1)
    }

    fn entry(&mut self, stretch: Stretch) -> &mut Total {
        let place = match self.0.binary_search_by_key(&stretch, |(stretch, _)| *stretch) {
            Ok(place) => place,
            Err(place) => {
                self.0.insert(place, (stretch, Total::default()));
                place
            }
        };
        &mut self.0[place].1
    }
}

/// A month of all lives, added up from objects.
#[derive(Clone, Debug)]
pub struct Sums {
    /// The windows that count.
    pub of: MonthWindows,
    /// By life.
    pub lives: BTreeMap<Life, MonthOfLife>,
}

impl Sums {
    /// Nothing so far.
    #[must_use]
    pub const fn new(of: MonthWindows) -> Self {
        Self { of, lives: BTreeMap::new() }
    }

    /// Takes in an object's content. A window counts once, whatever object it comes from.
    pub fn add(&mut self, day: &Day) {
        for (life, entry) in day {
            let known = self.lives.entry(life.clone()).or_default();
            known.lived.learn(&entry.lived);
            for (begin, closed) in &entry.closed {
                let Some(place) = self.of.place(*begin) else { continue };
                known.sampled |= closed.source == Source::Sampled;
                for (component, counted) in &closed.counted {
                    let per = known.totals.entry(component.clone()).or_default();
                    if per.record(place) {
                        per.hours.entry(self.of.stretches[place]).add(*counted);
                    }
                }
            }
        }
    }

    /// Takes in an object of the month. A part of a day counts once, whatever object it comes from: as it is known best.
    pub fn add_month(&mut self, month: &MonthObject) {
        for (life, entry) in month {
            let known = self.lives.entry(life.clone()).or_default();
            known.lived.learn(&entry.lived);
            for (stretch, closed) in &entry.closed {
                known.sampled |= closed.source == Source::Sampled;
                for (component, counted) in &closed.counted {
                    let per = known.totals.entry(component.clone()).or_default();
                    let day = per.compacted.entry(*stretch);
                    if u64::from(counted.minutes) >= day.minutes {
                        *day = Total { total: counted.total, minutes: u64::from(counted.minutes) };
                    }
                }
            }
        }
    }

    /// Windows of a life in which one of these components is not recorded.
    #[must_use]
    pub fn missing(&self, life: &Life, lived: &Lived, components: &[&str]) -> Vec<Window> {
        let known = self.lives.get(life);
        let recorded = |component: &&str, place: usize| {
            known
                .and_then(|known| known.totals.get(*component))
                .is_some_and(|per| per.is_recorded(place, self.of.stretches[place]))
        };
        let alive = self.of.windows.iter().enumerate().filter(|(_, window)| lived.minutes_of(**window) > 0);
        let missing =
            alive.filter(|(place, _)| !components.iter().all(|component| recorded(component, *place)));
        missing.map(|(_, window)| *window).collect()
    }

    /// What a component of a resource came to, in all its lives; `None` if nothing is recorded.
    #[must_use]
    pub fn total(&self, resource: Uuid, component: &str) -> Option<Total> {
        let lives = self.lives_of(resource).filter_map(|(_, month)| month.totals.get(component));
        lives.map(PerComponent::total).reduce(Total::plus)
    }

    /// The same by day of the billing zone.
    #[must_use]
    pub fn by_day(&self, resource: Uuid, component: &str) -> BTreeMap<Date, Total> {
        self.by(resource, component, |stretch| stretch.local)
    }

    /// The same by day of UTC, those of another month of UTC counting as the next or last one of this month.
    #[must_use]
    pub fn by_utc_day(&self, resource: Uuid, component: &str) -> BTreeMap<Date, Total> {
        let month = self.of.month;
        self.by(resource, component, |stretch| stretch.utc.clamp(month.first_day(), month.last_day()))
    }

    fn by(&self, resource: Uuid, component: &str, day: impl Fn(Stretch) -> Date) -> BTreeMap<Date, Total> {
        let mut days: BTreeMap<Date, Total> = BTreeMap::new();
        for per in self.lives_of(resource).filter_map(|(_, month)| month.totals.get(component)) {
            for (stretch, total) in per.best() {
                let sum = days.entry(day(stretch)).or_default();
                *sum = sum.plus(total);
            }
        }
        days
    }

    /// Minutes of closed windows in which a resource had a namespace.
    #[must_use]
    pub fn expected(&self, resource: Uuid) -> u64 {
        let lives = self.lives_of(resource);
        let minutes = lives.flat_map(|(_, month)| {
            self.of.windows.iter().map(|window| u64::from(month.lived.minutes_of(*window)))
        });
        minutes.sum()
    }

    /// The last window of which something is recorded as an hour of a life.
    #[must_use]
    pub fn last_recorded(&self, life: &Life) -> Option<Window> {
        let known = self.lives.get(life)?;
        let is_recorded = |place: &usize| known.totals.values().any(|per| per.is_hour_recorded(*place));
        let last = (0..self.of.windows.len()).rev().find(is_recorded)?;
        Some(self.of.windows[last])
    }

    /// Whether of a minute of a life anything is known.
    #[must_use]
    pub fn has_data(&self, life: &Life) -> bool {
        let known = self.lives.get(life);
        known.is_some_and(|known| known.totals.values().any(|per| per.total().minutes > 0))
    }

    /// Lives of a resource.
    pub fn lives_of(&self, resource: Uuid) -> impl Iterator<Item = (&Life, &MonthOfLife)> {
        let from = Life { resource, uid: String::new() };
        self.lives.range(from..).take_while(move |(life, _)| life.resource == resource)
    }
}

impl PerComponent {
    /// Notes a window; false if it was noted before.
    fn record(&mut self, place: usize) -> bool {
        let (word, bit) = (place / 64, 1 << (place % 64));
        if self.recorded.len() <= word {
            self.recorded.resize(word + 1, 0);
        }
        let fresh = self.recorded[word] & bit == 0;
        self.recorded[word] |= bit;
        fresh
    }

    fn is_recorded(&self, place: usize, stretch: Stretch) -> bool {
        self.is_hour_recorded(place) || self.compacted.get(stretch).is_some()
    }

    fn is_hour_recorded(&self, place: usize) -> bool {
        self.recorded.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    /// Each part of a day from where more of its minutes are known.
    fn best(&self) -> impl Iterator<Item = (Stretch, Total)> {
        let more =
            |total: &Total, other: Option<Total>| other.is_none_or(|other| total.minutes > other.minutes);
        let hours = self.hours.0.iter().filter(move |(at, total)| more(total, self.compacted.get(*at)));
        let same =
            |total: &Total, other: Option<Total>| other.is_none_or(|other| total.minutes >= other.minutes);
        let days = self.compacted.0.iter().filter(move |(at, total)| same(total, self.hours.get(*at)));
        hours.chain(days).copied()
    }

    fn total(&self) -> Total {
        self.best().map(|(_, total)| total).fold(Total::default(), Total::plus)
    }
}

/// When windows count as closed: what was scraped at their end has arrived by then, and clocks may differ a little.
#[must_use]
pub fn closed_by(now: Timestamp) -> Timestamp {
    now.checked_sub(SignedDuration::from_mins(5)).unwrap_or(now)
}

/// Share of minutes with data, in thousandths; all of them where none were to be expected.
#[must_use]
pub fn coverage(minutes: u64, expected: u64) -> u64 {
    minutes.saturating_mul(1000).checked_div(expected).map_or(1000, |share| share.min(1000))
}

#[cfg(test)]
mod tests {
    use super::super::ledger::tests::{at, day, hour, life};
    use super::*;

    fn sums() -> Sums {
        let month =
            MonthWindows::new(Month::parse("2026-07").unwrap(), &TimeZone::UTC, at("2026-07-01T12:00:00Z"));
        Sums::new(month)
    }

    #[test]
    fn a_window_counts_once_whatever_object_it_comes_from() {
        let mut sums = sums();
        sums.add(&day(&[("10:00", hour(100, 60))]));
        sums.add(&day(&[("10:00", hour(100, 60)), ("11:00", hour(50, 30))]));
        let resource = life("").resource;
        assert_eq!(sums.total(resource, "cpu"), Some(Total { total: 150, minutes: 90 }));
        // From 09:30 to 12:00.
        assert_eq!(sums.expected(resource), 150);
        assert_eq!(coverage(90, 150), 600);
        assert_eq!(sums.total(resource, "memory"), None);
        let lived = sums.lives[&life("u-1")].lived.clone();
        let missing = |component| {
            let missing = sums.missing(&life("u-1"), &lived, &[component]);
            missing.iter().map(|window| window.begin.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(missing("cpu"), ["2026-07-01T09:00:00Z"]);
        assert_eq!(missing("memory").len(), 3);
    }

    #[test]
    fn a_namespace_that_was_made_again_is_another_life_of_the_resource() {
        let mut sums = sums();
        let mut again = day(&[("11:00", hour(7, 60))]);
        let entry = again.remove(&life("u-1")).unwrap();
        again.insert(life("u-2"), entry);
        sums.add(&day(&[("10:00", hour(100, 60))]));
        sums.add(&again);
        assert_eq!(sums.total(life("").resource, "cpu").unwrap().total, 107);
        assert_eq!(sums.lives_of(life("").resource).count(), 2);
        assert_eq!(sums.total(Uuid::from_u128(8), "cpu"), None);
    }

    #[test]
    fn namespaces_of_one_resource_at_the_same_time_add_up() {
        let mut sums = sums();
        for uid in ["u-1", "u-2"] {
            let mut of = day(&[("10:00", hour(100, 60))]);
            let entry = of.remove(&life("u-1")).unwrap();
            of.insert(life(uid), entry);
            sums.add(&of);
        }
        let resource = life("").resource;
        assert_eq!(sums.total(resource, "cpu"), Some(Total { total: 200, minutes: 120 }));
        // Of both, so that half a gap is half of what is missing.
        assert_eq!(sums.expected(resource), 300);
    }
}
