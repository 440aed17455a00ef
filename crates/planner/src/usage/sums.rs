//! What months come to: objects of the ledger added up, each window once, with what is missing in them.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::ledger::{Day, Life, Lived, Source, day_of};
use super::month::{Month, Window, windows};
use super::series::Counted;

/// Windows of one month, and which is which.
#[derive(Clone, Debug)]
pub struct MonthWindows {
    /// The month.
    pub month: Month,
    /// Its windows that are closed, in order.
    pub windows: Vec<Window>,
}

impl MonthWindows {
    /// The windows of a month that have ended by `closed`.
    #[must_use]
    pub fn new(month: Month, zone: &TimeZone, closed: Timestamp) -> Self {
        Self { month, windows: windows(month.begin(zone), month.end(zone).min(closed), zone) }
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
    total: Total,
    /// By day of the billing zone.
    days: BTreeMap<Date, Total>,
    /// Which windows are recorded, as bits.
    recorded: Vec<u64>,
}

/// A month of all lives, added up from objects.
#[derive(Clone, Debug)]
pub struct Sums {
    /// The windows that count.
    pub of: MonthWindows,
    zone: TimeZone,
    /// By life.
    pub lives: BTreeMap<Life, MonthOfLife>,
}

impl Sums {
    /// Nothing so far.
    #[must_use]
    pub const fn new(of: MonthWindows, zone: TimeZone) -> Self {
        Self { of, zone, lives: BTreeMap::new() }
    }

    /// Takes in an object's content. A window counts once, whatever object it comes from.
    pub fn add(&mut self, day: &Day) {
        for (life, entry) in day {
            let known = self.lives.entry(life.clone()).or_default();
            if known.lived.namespace.is_empty() {
                known.lived.namespace.clone_from(&entry.lived.namespace);
            }
            known.lived.from = known.lived.from.or(entry.lived.from);
            known.lived.until = match (known.lived.until, entry.lived.until) {
                (Some(one), Some(other)) => Some(one.max(other)),
                (one, other) => one.or(other),
            };
            for (begin, closed) in &entry.hours {
                let Some(place) = self.of.place(*begin) else { continue };
                known.sampled |= closed.source == Source::Sampled;
                for (component, counted) in &closed.counted {
                    let per = known.totals.entry(component.clone()).or_default();
                    if per.record(place) {
                        per.total.add(*counted);
                        let day = self.zone.to_datetime(*begin).date();
                        per.days.entry(day).or_default().add(*counted);
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
            known.and_then(|known| known.totals.get(*component)).is_some_and(|per| per.is_recorded(place))
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
        lives.map(|per| per.total).reduce(|one, other| Total {
            total: one.total + other.total,
            minutes: one.minutes + other.minutes,
        })
    }

    /// The same by day of the billing zone.
    #[must_use]
    pub fn by_day(&self, resource: Uuid, component: &str) -> BTreeMap<Date, Total> {
        let mut days: BTreeMap<Date, Total> = BTreeMap::new();
        for per in self.lives_of(resource).filter_map(|(_, month)| month.totals.get(component)) {
            for (day, total) in &per.days {
                let sum = days.entry(*day).or_default();
                sum.total += total.total;
                sum.minutes += total.minutes;
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

    fn is_recorded(&self, place: usize) -> bool {
        self.recorded.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
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
        Sums::new(month, TimeZone::UTC)
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
}
