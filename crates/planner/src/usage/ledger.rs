//! What is kept of closed hours: objects of one day of UTC each, as text that people can read, with a checksum.
//!
//! ```text
//! 7f6e….3d2c…: |
//!   namespace waldur-alloc-shop-1
//!   from 2026-11-03T09:30:12Z
//!   10:00 p cpu=3600000000/60 memory=61847529062400/60
//! ```
//!
//! An hour that is closed stays as it is, unless more of its minutes become known: merging the same facts again, in any
//! order and from any number of agents, changes nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::month::Window;
use super::object;
pub use super::object::{CHECKSUM, Closed, Entry, LedgerError, Life, Lived, Source, merge};

/// What one object holds: one day of UTC.
pub type Day = BTreeMap<Life, Entry<Timestamp>>;

/// The texts of an object, with their checksum.
#[must_use]
pub fn write(day: &Day) -> BTreeMap<String, String> {
    object::write(day, |begin| {
        let time = TimeZone::UTC.to_datetime(*begin);
        format!("{:02}:{:02}", time.hour(), time.minute())
    })
}

/// Reads the texts of an object of this date.
///
/// # Errors
/// [`LedgerError`] if somebody else has written to it.
pub fn read(date: Date, texts: &BTreeMap<String, String>) -> Result<Day, LedgerError> {
    object::read(texts, |time| begin(date, time))
}

/// The day of UTC in whose object a window is kept.
#[must_use]
pub fn day_of(window: Window) -> Date {
    TimeZone::UTC.to_datetime(window.begin).date()
}

fn begin(date: Date, time: &str) -> Option<Timestamp> {
    let (hour, minute) = time.split_once(':')?;
    let at = date.at(hour.parse().ok()?, minute.parse().ok()?, 0, 0);
    TimeZone::UTC.to_timestamp(at).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::series::Counted;
    use super::*;

    pub(crate) fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    pub(crate) fn life(uid: &str) -> Life {
        Life { resource: Uuid::from_u128(7), uid: uid.to_owned() }
    }

    pub(crate) fn hour(total: i128, minutes: u32) -> Closed {
        let counted = BTreeMap::from([("cpu".to_owned(), Counted { total, minutes })]);
        Closed { source: Source::Prometheus, counted }
    }

    pub(crate) fn day(hours: &[(&str, Closed)]) -> Day {
        let lived = Lived {
            namespace: "waldur-alloc-shop-1".to_owned(),
            from: Some(at("2026-07-01T09:30:00Z")),
            until: None,
        };
        let hours =
            hours.iter().map(|(time, closed)| (at(&format!("2026-07-01T{time}:00Z")), closed.clone()));
        Day::from([(life("u-1"), Entry { lived, closed: hours.collect() })])
    }

    #[test]
    fn objects_are_text_that_reads_back() {
        let mut day = day(&[("10:00", hour(3_600_000_000, 60)), ("11:00", hour(0, 0))]);
        let odd = BTreeMap::from([("gpu hours=é%".to_owned(), Counted { total: -1, minutes: 1 })]);
        let entry = day.get_mut(&life("u-1")).unwrap();
        entry.closed.insert(at("2026-07-01T18:15:00Z"), Closed { source: Source::Sampled, counted: odd });
        entry.lived.until = Some(at("2026-07-01T20:00:00.5Z"));
        let texts = write(&day);
        insta::assert_snapshot!(texts["00000000000000000000000000000007.u-1"], @r"
        namespace waldur-alloc-shop-1
        from 2026-07-01T09:30:00Z
        until 2026-07-01T20:00:00.5Z
        10:00 p cpu=3600000000/60
        11:00 p cpu=0/0
        18:15 s gpu%20hours%3d%c3%a9%25=-1/1
        ");
        assert_eq!(read("2026-07-01".parse().unwrap(), &texts), Ok(day));
    }

    #[test]
    fn an_edit_by_hand_is_found() {
        let date = "2026-07-01".parse().unwrap();
        let texts = write(&day(&[("10:00", hour(3_600_000_000, 60))]));
        let key = texts.keys().next().unwrap().clone();
        let mut edited = texts.clone();
        edited.insert(key.clone(), texts[&key].replace("3600000000", "9600000000"));
        assert_eq!(read(date, &edited), Err(LedgerError::Checksum));
        let mut removed = texts.clone();
        removed.remove(&key);
        assert_eq!(read(date, &removed), Err(LedgerError::Checksum));
        let mut without = texts;
        without.remove(CHECKSUM);
        assert_eq!(read(date, &without), Err(LedgerError::Checksum));
    }

    #[test]
    fn more_minutes_win_and_the_same_change_nothing() {
        let mut known = day(&[("10:00", hour(100, 30))]);
        assert!(!merge(&mut known, day(&[("10:00", hour(999, 30))])), "a closed hour stays");
        assert!(!merge(&mut known, day(&[("10:00", hour(999, 29))])));
        assert!(merge(&mut known, day(&[("10:00", hour(200, 60)), ("11:00", hour(5, 60))])));
        assert_eq!(known, day(&[("10:00", hour(200, 60)), ("11:00", hour(5, 60))]));
    }

    pub(crate) fn facts() -> impl Strategy<Value = Vec<(usize, u32)>> {
        proptest::collection::vec((0_usize..3, 0_u32..4), 0..6)
    }

    fn of(facts: &[(usize, u32)]) -> Day {
        let mut all = Day::new();
        for (place, minutes) in facts {
            // The same minutes always hold the same total, as they do at one source.
            let time = ["09:00", "10:00", "11:00"][*place];
            merge(&mut all, day(&[(time, hour(i128::from(*minutes) * 10, *minutes))]));
        }
        all
    }

    /// Order and repetition do not matter.
    pub(crate) fn check_merging<At: Ord + Clone + std::fmt::Debug>(
        one: BTreeMap<Life, Entry<At>>,
        other: BTreeMap<Life, Entry<At>>,
    ) {
        let mut there = one.clone();
        merge(&mut there, other.clone());
        let mut back = other.clone();
        merge(&mut back, one);
        assert_eq!(there, back);
        let again = there.clone();
        assert!(!merge(&mut there, other));
        assert_eq!(there, again);
    }

    proptest! {
        #[test]
        fn merging_does_not_depend_on_order_or_repetition(one in facts(), other in facts()) {
            check_merging(of(&one), of(&other));
        }

        #[test]
        fn any_text_is_answered_without_panic(text in "\\PC{0,80}") {
            let texts = BTreeMap::from([("a.b".to_owned(), text)]);
            let _ = read("2026-07-01".parse().unwrap(), &texts);
            let _ = object::entry(&texts["a.b"], |time| begin("2026-07-01".parse().unwrap(), time));
        }
    }
}
