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
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::month::Window;
use super::series::Counted;

/// Key of the checksum among the texts of an object.
pub const CHECKSUM: &str = "checksum";

/// One namespace in which a resource lived: the same name made again is another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life {
    /// Waldur's id of the resource.
    pub resource: Uuid,
    /// Kubernetes' uid of the namespace.
    pub uid: String,
}

/// What is known of a life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lived {
    /// Name of the namespace.
    pub namespace: String,
    /// When it was made; `None` if the cluster did not say.
    pub from: Option<Timestamp>,
    /// When it was found to be gone.
    pub until: Option<Timestamp>,
}

impl Lived {
    /// Whether an instant lies in it.
    #[must_use]
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at < until)
    }

    /// How many minutes of a window lie in it.
    #[must_use]
    pub fn minutes_of(&self, window: Window) -> u32 {
        window.minutes_within(self.from.unwrap_or(window.begin), self.until)
    }
}

impl Lived {
    /// Takes in what another knows of the same life; whether something is new.
    pub(super) fn learn(&mut self, other: &Self) -> bool {
        let before = self.clone();
        if self.namespace.is_empty() {
            self.namespace.clone_from(&other.namespace);
        }
        self.from = self.from.or(other.from);
        self.until = self.until.max(other.until);
        before != *self
    }
}

/// Where the numbers of an hour come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Prometheus, each minute.
    Prometheus,
    /// The quota's use, looked at by the agent each minute.
    Sampled,
}

impl Source {
    pub(super) const fn letter(self) -> &'static str {
        match self {
            Self::Prometheus => "p",
            Self::Sampled => "s",
        }
    }
}

/// A closed window: what was counted, by component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// See [`Source`].
    pub source: Source,
    /// By component type.
    pub counted: BTreeMap<String, Counted>,
}

impl Closed {
    /// Takes in what another knows of the same window, where it knows more minutes; whether it does.
    pub(super) fn learn(&mut self, other: Self) -> bool {
        let mut changed = false;
        for (component, counted) in other.counted {
            let better = self.counted.get(&component).is_none_or(|known| counted.minutes > known.minutes);
            if better {
                self.counted.insert(component, counted);
                self.source = other.source;
                changed = true;
            }
        }
        changed
    }
}

/// What an object holds of one life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The life.
    pub lived: Lived,
    /// Closed windows by their begin.
    pub hours: BTreeMap<Timestamp, Closed>,
}

/// What one object holds: one day of UTC.
pub type Day = BTreeMap<Life, Entry>;

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Somebody else has written to it.
    #[error("its checksum does not fit: it was changed by hand")]
    Checksum,
    /// This agent does not write such a thing.
    #[error("`{0}` in it cannot be read")]
    Unreadable(String),
}

/// The texts of an object, with their checksum.
#[must_use]
pub fn write(day: &Day) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> =
        day.iter().map(|(life, entry)| (key(life), text(entry))).collect();
    texts.insert(CHECKSUM.to_owned(), checksum(&texts));
    texts
}

/// Reads the texts of an object of this date.
///
/// # Errors
/// [`LedgerError`] if somebody else has written to it.
pub fn read(date: Date, texts: &BTreeMap<String, String>) -> Result<Day, LedgerError> {
    if texts.get(CHECKSUM).map(String::as_str) != Some(checksum(texts).as_str()) {
        return Err(LedgerError::Checksum);
    }
    let entries = texts.iter().filter(|(key, _)| *key != CHECKSUM);
    entries.map(|(key, text)| Ok((life(key)?, entry(date, text)?))).collect()
}

/// Merges what another has found out about the same day; whether something changed.
pub fn merge(day: &mut Day, other: Day) -> bool {
    let mut changed = false;
    for (life, entry) in other {
        let known = day.entry(life).or_default();
        changed |= known.lived.learn(&entry.lived);
        for (begin, closed) in entry.hours {
            changed |= match known.hours.get_mut(&begin) {
                Some(hour) => hour.learn(closed),
                None => {
                    known.hours.insert(begin, closed);
                    true
                }
            };
        }
    }
    changed
}

/// The day of UTC in whose object a window is kept.
#[must_use]
pub fn day_of(window: Window) -> Date {
    TimeZone::UTC.to_datetime(window.begin).date()
}

pub(super) fn checksum(texts: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    for (key, text) in texts.iter().filter(|(key, _)| *key != CHECKSUM) {
        digest.update(format!("{key}\n{text}\n"));
    }
    digest.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

pub(super) fn key(life: &Life) -> String {
    format!("{}.{}", life.resource.simple(), life.uid)
}

pub(super) fn life(key: &str) -> Result<Life, LedgerError> {
    let parts = key.split_once('.').and_then(|(resource, uid)| Some((Uuid::parse_str(resource).ok()?, uid)));
    let (resource, uid) = parts.ok_or_else(|| LedgerError::Unreadable(key.to_owned()))?;
    Ok(Life { resource, uid: uid.to_owned() })
}

fn text(entry: &Entry) -> String {
    let mut text = lived_text(&entry.lived);
    for (begin, closed) in &entry.hours {
        let time = TimeZone::UTC.to_datetime(*begin);
        let _ = writeln!(text, "{:02}:{:02} {}", time.hour(), time.minute(), closed_text(closed));
    }
    text
}

pub(super) fn lived_text(lived: &Lived) -> String {
    let mut text = format!("namespace {}\n", lived.namespace);
    for (word, at) in [("from", lived.from), ("until", lived.until)] {
        if let Some(at) = at {
            let _ = writeln!(text, "{word} {at}");
        }
    }
    text
}

/// Reads a line about the life itself; `None` for a line about something else.
pub(super) fn read_lived(lived: &mut Lived, word: &str, rest: &str) -> Option<Result<(), LedgerError>> {
    let time = || rest.parse().map_err(|_| LedgerError::Unreadable(format!("{word} {rest}")));
    match word {
        "namespace" => rest.clone_into(&mut lived.namespace),
        "from" => match time() {
            Ok(at) => lived.from = Some(at),
            Err(error) => return Some(Err(error)),
        },
        "until" => match time() {
            Ok(at) => lived.until = Some(at),
            Err(error) => return Some(Err(error)),
        },
        _ => return None,
    }
    Some(Ok(()))
}

/// `p cpu=3600000000/60`.
pub(super) fn closed_text(closed: &Closed) -> String {
    closed.counted.iter().fold(closed.source.letter().to_owned(), |mut text, (component, counted)| {
        let _ = write!(text, " {}={}/{}", escaped(component), counted.total, counted.minutes);
        text
    })
}

fn entry(date: Date, text: &str) -> Result<Entry, LedgerError> {
    let mut entry = Entry::default();
    for line in text.lines() {
        let unreadable = || LedgerError::Unreadable(line.to_owned());
        let (word, rest) = line.split_once(' ').ok_or_else(unreadable)?;
        match read_lived(&mut entry.lived, word, rest) {
            Some(read) => read?,
            None => {
                let (begin, closed) = hour(date, word, rest).ok_or_else(unreadable)?;
                entry.hours.insert(begin, closed);
            }
        }
    }
    Ok(entry)
}

fn hour(date: Date, time: &str, rest: &str) -> Option<(Timestamp, Closed)> {
    let (hour, minute) = time.split_once(':')?;
    let at = date.at(hour.parse().ok()?, minute.parse().ok()?, 0, 0);
    Some((TimeZone::UTC.to_timestamp(at).ok()?, closed(rest)?))
}

/// The other way round of [`closed_text`].
pub(super) fn closed(rest: &str) -> Option<Closed> {
    let mut words = rest.split(' ');
    let source = match words.next()? {
        "p" => Source::Prometheus,
        "s" => Source::Sampled,
        _ => return None,
    };
    let counted = words.map(|word| {
        let (component, numbers) = word.rsplit_once('=')?;
        let (total, minutes) = numbers.split_once('/')?;
        Some((unescaped(component)?, Counted { total: total.parse().ok()?, minutes: minutes.parse().ok()? }))
    });
    Some(Closed { source, counted: counted.collect::<Option<_>>()? })
}

/// A component's type as a word without spaces and signs.
fn escaped(component: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    component.bytes().fold(String::new(), |mut word, byte| {
        if is_plain(byte) {
            word.push(char::from(byte));
        } else {
            let _ = write!(word, "%{byte:02x}");
        }
        word
    })
}

fn unescaped(word: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        if *first == b'%' {
            let code = std::str::from_utf8(more.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(code, 16).ok()?);
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

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
        Day::from([(life("u-1"), Entry { lived, hours: hours.collect() })])
    }

    #[test]
    fn objects_are_text_that_reads_back() {
        let mut day = day(&[("10:00", hour(3_600_000_000, 60)), ("11:00", hour(0, 0))]);
        let odd = BTreeMap::from([("gpu hours=é%".to_owned(), Counted { total: -1, minutes: 1 })]);
        let entry = day.get_mut(&life("u-1")).unwrap();
        entry.hours.insert(at("2026-07-01T18:15:00Z"), Closed { source: Source::Sampled, counted: odd });
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

    fn facts() -> impl Strategy<Value = Vec<(usize, u32)>> {
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

    proptest! {
        #[test]
        fn merging_does_not_depend_on_order_or_repetition(one in facts(), other in facts()) {
            let (one, other) = (of(&one), of(&other));
            let mut there = one.clone();
            merge(&mut there, other.clone());
            let mut back = other.clone();
            merge(&mut back, one);
            prop_assert_eq!(&there, &back);
            let again = there.clone();
            prop_assert!(!merge(&mut there, other));
            prop_assert_eq!(there, again);
        }

        #[test]
        fn any_text_is_answered_without_panic(text in "\\PC{0,80}") {
            let texts = BTreeMap::from([("a.b".to_owned(), text)]);
            let _ = read("2026-07-01".parse().unwrap(), &texts);
            let _ = entry("2026-07-01".parse().unwrap(), &texts["a.b"]);
        }
    }
}
