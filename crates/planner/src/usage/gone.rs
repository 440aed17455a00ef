//! Since when a namespace that is gone has not been there: found out later, by what a source shows of it and of others.
//!
//! A source that shows others and not this one says that nothing was used. One that shows nothing says nothing.

use jiff::Timestamp;

/// What the minutes of a namespace that is gone come to, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    was_seen: bool,
    since: Option<Timestamp>,
}

impl Gone {
    /// No minute so far. `was_seen` says whether the source is known to show this namespace when it is there.
    #[must_use]
    pub const fn new(was_seen: bool) -> Self {
        Self { was_seen, since: None }
    }

    /// Takes in the next minute: whether the source shows the namespace, and others.
    pub fn minute(&mut self, at: Timestamp, is_shown: bool, are_others: bool) {
        self.was_seen |= is_shown;
        self.since = if is_shown || !are_others { None } else { self.since.or(Some(at)) };
    }

    /// The first of the minutes, up to the last one, in which others were there and it was not. `None` if there is no
    /// such minute, or the source never showed it: it may not be a namespace that it knows of.
    #[must_use]
    pub fn since(self) -> Option<Timestamp> {
        self.since.filter(|_| self.was_seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x` for a minute with the namespace, `.` for one with others alone, ` ` for one with nothing.
    fn since(was_seen: bool, minutes: &str) -> Option<i64> {
        let mut gone = Gone::new(was_seen);
        for (minute, shown) in (0..).zip(minutes.chars()) {
            gone.minute(Timestamp::from_second(minute * 60).unwrap(), shown == 'x', shown != ' ');
        }
        gone.since().map(|since| since.as_second() / 60)
    }

    #[test]
    fn a_namespace_is_gone_from_where_others_are_shown_to_the_end_without_it() {
        for (was_seen, minutes, expected) in [
            (false, "xxx...", Some(3)),
            (true, "......", Some(0)),
            // It came back; what was before is unknown.
            (false, "x..x..", Some(4)),
            (false, "x..x", None),
            // Nothing is known of a while, in which it may have been there.
            (false, "xx.  ..", Some(5)),
            (false, "xx...  ", None),
            (false, "xx     ", None),
            // It was never shown: perhaps others are looked at.
            (false, "......", None),
            (true, "", None),
        ] {
            assert_eq!(since(was_seen, minutes), expected, "{minutes:?}");
        }
    }
}
