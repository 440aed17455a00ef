//! Filters that several lists share: states, UUIDs, times and texts of the query.

use jiff::Timestamp;
use uuid::Uuid;

use super::answer::Answer;
use super::request::Query;

/// The numbers of the states asked for; an unknown name is 400, as Django's choice filters answer.
pub(crate) fn states(
    query: &Query,
    name: &str,
    number: impl Fn(&str) -> Option<u8>,
) -> Result<Vec<u8>, Answer> {
    query
        .all(name)
        .map(|text| {
            number(text).ok_or_else(|| {
                let message = format!("Select a valid choice. {text} is not one of the available choices.");
                Answer::bad_field(name, &message)
            })
        })
        .collect()
}

/// A row passes when nothing is asked for, or its UUID is.
pub(crate) fn among(asked: &[Uuid], uuid: Uuid) -> bool {
    asked.is_empty() || asked.contains(&uuid)
}

/// A half-open stretch of time: `{name}` and after, before `{name}_before`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    from: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Span {
    pub(crate) fn of(query: &Query, name: &str) -> Result<Self, Answer> {
        let before = format!("{name}_before");
        Ok(Self { from: instant(query, name)?, before: instant(query, &before)? })
    }

    pub(crate) fn holds(self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.before.is_none_or(|before| at < before)
    }
}

fn instant(query: &Query, name: &str) -> Result<Option<Timestamp>, Answer> {
    let Some(text) = query.get(name) else { return Ok(None) };
    parse_instant(text).map(Some).ok_or_else(|| Answer::bad_field(name, "Enter a valid date/time."))
}

/// A time with an offset, or without one and then in UTC, or a date.
pub(crate) fn parse_instant(text: &str) -> Option<Timestamp> {
    let utc = |at: jiff::civil::DateTime| at.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp());
    // A `+` that was not percent-encoded arrives as a space.
    let text = text.replace(' ', "+");
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse::<jiff::civil::DateTime>().ok().and_then(utc))
        .or_else(|| text.parse::<jiff::civil::Date>().ok().and_then(|date| utc(date.at(0, 0, 0, 0))))
}
