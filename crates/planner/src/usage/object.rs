//! What all objects of the ledger have in common: lives with what was counted in them, as text that people can read, with
//! a checksum.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
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
    const fn letter(self) -> &'static str {
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
    fn learn(&mut self, other: Self) -> bool {
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

/// What an object holds of one life: closed stretches of time, by what names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<At> {
    /// The life.
    pub lived: Lived,
    /// What was counted in each.
    pub closed: BTreeMap<At, Closed>,
}

impl<At> Default for Entry<At> {
    fn default() -> Self {
        Self { lived: Lived::default(), closed: BTreeMap::new() }
    }
}

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

/// The texts of an object, with their checksum. `named` is how a stretch of time is called in it.
pub(super) fn write<At>(
    object: &BTreeMap<Life, Entry<At>>,
    named: impl Fn(&At) -> String,
) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> =
        object.iter().map(|(life, entry)| (key(life), text(entry, &named))).collect();
    texts.insert(CHECKSUM.to_owned(), checksum(&texts));
    texts
}

/// The other way round.
pub(super) fn read<At: Ord>(
    texts: &BTreeMap<String, String>,
    at: impl Fn(&str) -> Option<At>,
) -> Result<BTreeMap<Life, Entry<At>>, LedgerError> {
    if texts.get(CHECKSUM).map(String::as_str) != Some(checksum(texts).as_str()) {
        return Err(LedgerError::Checksum);
    }
    let entries = texts.iter().filter(|(key, _)| *key != CHECKSUM);
    entries.map(|(key, text)| Ok((life(key)?, entry(text, &at)?))).collect()
}

/// Merges what another has found out about the same time; whether something changed.
pub fn merge<At: Ord>(object: &mut BTreeMap<Life, Entry<At>>, other: BTreeMap<Life, Entry<At>>) -> bool {
    let mut changed = false;
    for (life, entry) in other {
        let known = object.entry(life).or_default();
        changed |= known.lived.learn(&entry.lived);
        for (at, closed) in entry.closed {
            changed |= match known.closed.get_mut(&at) {
                Some(known) => known.learn(closed),
                None => {
                    known.closed.insert(at, closed);
                    true
                }
            };
        }
    }
    changed
}

fn checksum(texts: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    for (key, text) in texts.iter().filter(|(key, _)| *key != CHECKSUM) {
        digest.update(format!("{key}\n{text}\n"));
    }
    digest.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn key(life: &Life) -> String {
    format!("{}.{}", life.resource.simple(), life.uid)
}

fn life(key: &str) -> Result<Life, LedgerError> {
    let parts = key.split_once('.').and_then(|(resource, uid)| Some((Uuid::parse_str(resource).ok()?, uid)));
    let (resource, uid) = parts.ok_or_else(|| LedgerError::Unreadable(key.to_owned()))?;
    Ok(Life { resource, uid: uid.to_owned() })
}

fn text<At>(entry: &Entry<At>, named: impl Fn(&At) -> String) -> String {
    let mut text = lived_text(&entry.lived);
    for (at, closed) in &entry.closed {
        let _ = writeln!(text, "{} {}", named(at), closed_text(closed));
    }
    text
}

fn lived_text(lived: &Lived) -> String {
    let mut text = format!("namespace {}\n", lived.namespace);
    for (word, at) in [("from", lived.from), ("until", lived.until)] {
        if let Some(at) = at {
            let _ = writeln!(text, "{word} {at}");
        }
    }
    text
}

/// Reads a line about the life itself; `None` for a line about something else.
fn read_lived(lived: &mut Lived, word: &str, rest: &str) -> Option<Result<(), LedgerError>> {
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
fn closed_text(closed: &Closed) -> String {
    closed.counted.iter().fold(closed.source.letter().to_owned(), |mut text, (component, counted)| {
        let _ = write!(text, " {}={}/{}", escaped(component), counted.total, counted.minutes);
        text
    })
}

pub(super) fn entry<At: Ord>(text: &str, at: impl Fn(&str) -> Option<At>) -> Result<Entry<At>, LedgerError> {
    let mut entry = Entry::default();
    for line in text.lines() {
        let unreadable = || LedgerError::Unreadable(line.to_owned());
        let (word, rest) = line.split_once(' ').ok_or_else(unreadable)?;
        match read_lived(&mut entry.lived, word, rest) {
            Some(read) => read?,
            None => {
                let (at, closed) = at(word).zip(closed(rest)).ok_or_else(unreadable)?;
                entry.closed.insert(at, closed);
            }
        }
    }
    Ok(entry)
}

/// The other way round of [`closed_text`].
fn closed(rest: &str) -> Option<Closed> {
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
