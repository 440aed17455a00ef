//! What samples come to: one value each minute, added up over windows.
//!
//! A minute counts if its value is known. One without a value is unknown and never zero, and what had no data is told
//! as coverage.

use crate::amount::Amount;

use super::month::Window;

/// Seconds between two samples, which each stand for the minute that they begin.
pub const STEP: i64 = 60;

/// Values of one thing in one namespace, by minute since the begin of what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minutes(Vec<Sample>);

/// What is known of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sample {
    /// The source has no value: there was nothing, or it was not looked at.
    #[default]
    None,
    /// A value.
    Value(Amount),
    /// Something that no amount can be: not a number, infinite, below zero.
    Bad,
}

impl Sample {
    /// Reads a value as Prometheus writes it: `0.25`, `1.7179869184e+10`, `NaN`, `+Inf`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.parse::<Amount>() {
            Ok(amount) if !amount.is_negative() && text.ends_with(|end: char| end.is_ascii_digit()) => {
                Self::Value(amount)
            }
            _ => Self::Bad,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, one) | (one, Self::None) => one,
            (Self::Value(one), Self::Value(other)) => one.plus(other).map_or(Self::Bad, Self::Value),
            (Self::Bad, _) | (_, Self::Bad) => Self::Bad,
        }
    }

    /// This without the other, which is a part of it.
    #[must_use]
    pub fn minus(self, part: Self) -> Self {
        match (self, part) {
            (one, Self::None) => one,
            (Self::Value(one), Self::Value(part)) => match one.minus(part) {
                Some(rest) if !rest.is_negative() => Self::Value(rest),
                _ => Self::Bad,
            },
            (Self::None | Self::Bad, _) | (_, Self::Bad) => Self::Bad,
        }
    }

    fn value(self) -> Option<Amount> {
        match self {
            Self::Value(amount) => Some(amount),
            Self::None | Self::Bad => None,
        }
    }
}

impl Minutes {
    /// Nothing known.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes in the value of a minute; values of several series for one minute add up.
    pub fn add(&mut self, minute: usize, sample: Sample) {
        if self.0.len() <= minute {
            self.0.resize(minute + 1, Sample::None);
        }
        self.0[minute] = self.0[minute].plus(sample);
    }

    /// What is known of a minute.
    #[must_use]
    pub fn at(&self, minute: usize) -> Sample {
        self.0.get(minute).copied().unwrap_or_default()
    }

    /// How many minutes there are, up to the last one with a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if nothing was taken in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a namespace showed, as far as it was asked for. What was not asked for has no minutes.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Minutes in which the source knew the namespace.
    pub present: &'a Minutes,
    /// Running pods; to tell nothing used from nothing known.
    pub running: &'a Minutes,
    /// What is requested, or allowed.
    pub requested: &'a Minutes,
    /// What is used.
    pub used: &'a Minutes,
}

impl Shown<'_> {
    /// What pods request in a minute: nothing where there are none.
    #[must_use]
    pub fn requests(&self, minute: usize) -> Option<Amount> {
        self.in_presence(minute, self.requested.at(minute))
    }

    /// What containers use. Where pods run and no use is shown, it is not known.
    #[must_use]
    pub fn usage(&self, minute: usize) -> Option<Amount> {
        let used = self.used.at(minute);
        if used == Sample::None && self.running.at(minute) != Sample::None {
            let running = self.running.at(minute).value()?;
            if running > Amount::ZERO {
                return None;
            }
        }
        self.in_presence(minute, used)
    }

    /// The greater of both.
    #[must_use]
    pub fn greater(&self, minute: usize) -> Option<Amount> {
        Some(self.requests(minute)?.max(self.usage(minute)?))
    }

    /// What the quota allows: without a quota that is not known.
    #[must_use]
    pub fn allocation(&self, minute: usize) -> Option<Amount> {
        self.present.at(minute).value()?;
        self.requested.at(minute).value()
    }

    fn in_presence(&self, minute: usize, sample: Sample) -> Option<Amount> {
        self.present.at(minute).value()?;
        match sample {
            Sample::None => Some(Amount::ZERO),
            Sample::Value(amount) => Some(amount),
            Sample::Bad => None,
        }
    }
}

/// What was counted of a component in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Integers of the ledger times seconds; see [`super::rule::Rule::integer`].
    pub total: i128,
    /// Minutes whose value is known.
    pub minutes: u32,
}

/// Adds up a window. `value` gives the integer of a minute since `begin`, which is where the minutes are counted from.
#[must_use]
pub fn integrate(
    window: Window,
    begin: jiff::Timestamp,
    within: impl Fn(jiff::Timestamp) -> bool,
    value: impl Fn(usize) -> Option<i128>,
) -> Counted {
    let mut counted = Counted::default();
    for minute in 0..i64::from(window.minutes()) {
        let second = window.begin.as_second() + minute * STEP;
        let Ok(index) = usize::try_from((second - begin.as_second()) / STEP) else { continue };
        let is_within = jiff::Timestamp::from_second(second).is_ok_and(&within);
        if let Some(value) = value(index).filter(|_| is_within) {
            counted.total += value * i128::from(STEP);
            counted.minutes += 1;
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn minutes(values: &[Option<&str>]) -> Minutes {
        let mut minutes = Minutes::new();
        for (minute, value) in values.iter().enumerate() {
            if let Some(value) = value {
                minutes.add(minute, Sample::parse(value));
            }
        }
        minutes
    }

    fn amount(text: &str) -> Option<Amount> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn values_are_read_as_prometheus_writes_them() {
        for (text, expected) in [
            ("0.25", Some("250m")),
            ("1.7179869184e+10", Some("16Gi")),
            ("1e-05", Some("10u")),
            ("0", Some("0")),
            ("NaN", None),
            ("+Inf", None),
            ("-Inf", None),
            ("-1", None),
            ("", None),
            ("5Gi", None),
            ("1e300", None),
        ] {
            let expected = expected.map_or(Sample::Bad, |text| Sample::Value(text.parse().unwrap()));
            assert_eq!(Sample::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_requested_is_zero_only_where_the_source_looked() {
        let present = minutes(&[Some("1"), Some("1"), None, Some("1")]);
        let requested = minutes(&[Some("2"), None, None, Some("NaN")]);
        let nothing = Minutes::new();
        let shown = Shown { present: &present, running: &nothing, requested: &requested, used: &nothing };
        let requests: Vec<_> = (0..4).map(|minute| shown.requests(minute)).collect();
        assert_eq!(requests, [amount("2"), amount("0"), None, None]);
        assert_eq!((shown.allocation(0), shown.allocation(1)), (amount("2"), None));
    }

    #[test]
    fn use_is_unknown_where_pods_run_and_none_is_shown() {
        let present = minutes(&[Some("1"), Some("1"), Some("1")]);
        let running = minutes(&[Some("1"), Some("1"), Some("0")]);
        let requested = minutes(&[Some("2"), Some("2"), None]);
        let used = minutes(&[Some("3"), None, None]);
        let shown = Shown { present: &present, running: &running, requested: &requested, used: &used };
        let both: Vec<_> = (0..3).map(|minute| (shown.usage(minute), shown.greater(minute))).collect();
        assert_eq!(both, [(amount("3"), amount("3")), (None, None), (amount("0"), amount("0"))]);
    }

    #[test]
    fn series_of_one_minute_add_up_and_a_bad_one_spoils_it() {
        let mut minutes = minutes(&[Some("1"), Some("1")]);
        minutes.add(0, Sample::parse("0.5"));
        minutes.add(1, Sample::Bad);
        assert_eq!((minutes.at(0), minutes.at(1)), (Sample::Value("1.5".parse().unwrap()), Sample::Bad));
    }

    #[test]
    fn a_window_is_the_sum_of_its_known_minutes() {
        let begin: jiff::Timestamp = "2026-07-01T09:00:00Z".parse().unwrap();
        let window = Window::around("2026-07-01T10:00:00Z".parse().unwrap(), &TimeZone::UTC);
        // The first ten minutes of the second hour are not known.
        let counted = integrate(window, begin, |_| true, |minute| (minute >= 70).then_some(5));
        assert_eq!(counted, Counted { total: 50 * 60 * 5, minutes: 50 });
        let until = "2026-07-01T10:20:00Z".parse().unwrap();
        assert_eq!(
            integrate(window, begin, |at| at < until, |_| Some(1)),
            Counted { total: 1200, minutes: 20 }
        );
    }
}
