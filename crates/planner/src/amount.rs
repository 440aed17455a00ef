//! Exact amounts: Kubernetes quantities and Waldur's decimals as one integer type.
//!
//! An amount is a whole number of nano units (10⁻⁹) in an `i128`. Nothing here goes through floating point, and
//! two amounts are compared by value, never by their text: the API server answers `1Ti` where `1024Gi` was
//! written (Kubernetes: resource.Quantity).

use std::fmt;
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;

/// Why a text is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not of the form `[+-]digits[.digits][suffix]`.
    #[error("`{0}` is not a number or a Kubernetes quantity")]
    Malformed(String),
    /// Beyond what the API server can hold, which is a signed 64-bit number of units.
    #[error("`{0}` is larger than the largest quantity that Kubernetes holds (2^63-1)")]
    TooLarge(String),
}

/// An exact amount in nano units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

/// How a quantity is written: by powers of 1000 or of 1024 (Kubernetes: `DecimalSI`, `BinarySI`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// `m`, none, `k`, `M`, `G` …
    Decimal,
    /// `Ki`, `Mi`, `Gi` …
    Binary,
}

/// Suffixes with what one unit of each is in nano units.
const SUFFIXES: [(&str, i128); 16] = [
    ("n", 1),
    ("u", 1_000),
    ("m", 1_000_000),
    ("", NANO),
    ("k", 1_000 * NANO),
    ("M", 1_000_000 * NANO),
    ("G", 1_000_000_000 * NANO),
    ("T", 1_000_000_000_000 * NANO),
    ("P", 1_000_000_000_000_000 * NANO),
    ("E", 1_000_000_000_000_000_000 * NANO),
    ("Ki", (1 << 10) * NANO),
    ("Mi", (1 << 20) * NANO),
    ("Gi", (1 << 30) * NANO),
    ("Ti", (1 << 40) * NANO),
    ("Pi", (1 << 50) * NANO),
    ("Ei", (1 << 60) * NANO),
];

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One unit.
    pub const ONE: Self = Self(NANO);
    /// The largest quantity that the API server holds.
    pub const MAX: Self = Self(i64::MAX as i128 * NANO);

    /// A whole number of units.
    #[must_use]
    pub const fn whole(units: i64) -> Self {
        Self(units as i128 * NANO)
    }

    /// The value of one unit with this suffix, for example 2³⁰ for `Gi`; `None` for an unknown suffix.
    #[must_use]
    pub fn of_suffix(suffix: &str) -> Option<Self> {
        SUFFIXES.iter().find(|(text, _)| *text == suffix).map(|(_, nano)| Self(*nano))
    }

    /// The nano units that it is made of.
    #[must_use]
    pub const fn nano(self) -> i128 {
        self.0
    }

    /// True if it is below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// True if it is a whole number of units.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.0 % NANO == 0
    }

    /// The largest whole number of units that is not larger.
    #[must_use]
    pub const fn rounded_down(self) -> Self {
        Self(self.0 - self.0.rem_euclid(NANO))
    }

    /// The units as an integer, if it is a whole number of them.
    #[must_use]
    pub fn as_whole(self) -> Option<i64> {
        if self.is_whole() { i64::try_from(self.0 / NANO).ok() } else { None }
    }

    /// The sum; `None` beyond [`Amount::MAX`].
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self).filter(|sum| sum.in_range())
    }

    /// The difference; `None` beyond [`Amount::MAX`].
    #[must_use]
    pub fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self(-other.0))
    }

    /// The product with a factor, rounded up to whole nano units as Kubernetes does; `None` beyond
    /// [`Amount::MAX`].
    #[must_use]
    pub fn times(self, factor: Self) -> Option<Self> {
        let (whole, rest) = (self.0 / NANO, self.0 % NANO);
        let product = whole.checked_mul(factor.0)?;
        let fraction = rest.checked_mul(factor.0)?;
        let rounded = fraction.div_euclid(NANO) + i128::from(fraction.rem_euclid(NANO) > 0);
        product.checked_add(rounded).map(Self).filter(|value| value.in_range())
    }

    /// The other factor of a product: `self = factor × other`; `None` where there is none that is exact.
    #[must_use]
    pub fn over(self, factor: Self) -> Option<Self> {
        let dividend = self.0.checked_mul(NANO)?;
        let exact = factor.0 != 0 && dividend % factor.0 == 0;
        exact.then(|| Self(dividend / factor.0)).filter(|value| value.in_range())
    }

    const fn in_range(self) -> bool {
        self.0 <= Self::MAX.0 && self.0 >= -Self::MAX.0
    }

    /// As a Kubernetes quantity in canonical form: the largest suffix that leaves an integer.
    #[must_use]
    pub fn quantity(self, notation: Notation) -> String {
        let binary = notation == Notation::Binary && self.is_whole();
        let suffixes =
            SUFFIXES.iter().filter(|(suffix, _)| suffix.ends_with('i') == binary || suffix.is_empty());
        let (suffix, unit) = suffixes
            .filter(|(_, unit)| self.0 % unit == 0 && self.0.abs() >= *unit)
            .max_by_key(|(_, unit)| *unit)
            .copied()
            .unwrap_or(("", NANO));
        format!("{}{suffix}", self.0 / unit)
    }

    /// As a JSON number for Waldur: an integer where it is one.
    #[must_use]
    pub fn to_json(self) -> serde_json::Value {
        match self.as_whole() {
            Some(whole) => whole.into(),
            None => self.to_string().parse::<f64>().map_or(serde_json::Value::Null, Into::into),
        }
    }
}

/// The plain decimal, for people and for Waldur: `1.5`, `100`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.unsigned_abs() / NANO as u128, self.0.unsigned_abs() % NANO as u128);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{fraction:09}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// Reads a Kubernetes quantity or a plain decimal. Digits finer than nano are rounded up, as Kubernetes does.
impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let malformed = || AmountError::Malformed(text.chars().take(40).collect());
        let too_large = || AmountError::TooLarge(text.chars().take(40).collect());
        let trimmed = text.trim();
        let (negative, unsigned) = match trimmed.as_bytes().first() {
            Some(b'-') => (true, &trimmed[1..]),
            Some(b'+') => (false, &trimmed[1..]),
            _ => (false, trimmed),
        };
        let split = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(split);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(malformed());
        }
        let scale = Scale::parse(suffix).ok_or_else(malformed)?;
        let nano = scale.apply(whole, fraction).ok_or_else(too_large)?;
        let amount = Self(if negative { -nano } else { nano });
        if amount.in_range() { Ok(amount) } else { Err(too_large()) }
    }
}

/// What a suffix multiplies by: `unit` nano units × 10^`exponent`.
struct Scale {
    unit: i128,
    exponent: i32,
}

/// Digits behind the point that are kept; what comes after them only rounds the last one up.
const FRACTION_DIGITS: usize = 18;

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        if let Some((_, unit)) = SUFFIXES.iter().find(|(text, _)| *text == suffix) {
            return Some(Self { unit: *unit, exponent: 0 });
        }
        let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        Some(Self { unit: NANO, exponent })
    }

    /// `whole.fraction` in this scale as nano units, rounded up; `None` when it is beyond any quantity.
    fn apply(&self, whole: &str, fraction: &str) -> Option<i128> {
        if whole.bytes().chain(fraction.bytes()).all(|digit| digit == b'0') {
            return Some(0);
        }
        let (whole, fraction) = self.shifted(whole, fraction)?;
        let units: i128 = match whole.trim_start_matches('0') {
            "" => 0,
            digits => digits.parse().ok()?,
        };
        let kept = &fraction[..fraction.len().min(FRACTION_DIGITS)];
        let lost = fraction[kept.len()..].bytes().any(|digit| digit != b'0');
        let parts: i128 = format!("{kept:0<FRACTION_DIGITS$}").parse().ok()?;
        let parts = parts + i128::from(lost);
        // parts / 10^18 × unit, with a factor of 10^9 taken out of both where the unit has it: fits 128 bits.
        let (unit, divisor) =
            if self.unit % NANO == 0 { (self.unit / NANO, NANO) } else { (self.unit, NANO * NANO) };
        let scaled = parts.checked_mul(unit)?;
        let rounded = scaled / divisor + i128::from(scaled % divisor != 0);
        units.checked_mul(self.unit)?.checked_add(rounded)
    }

    /// The digits with the point moved by the exponent; `None` when that leads beyond any quantity.
    fn shifted(&self, whole: &str, fraction: &str) -> Option<(String, String)> {
        // More digits than this in front are out of range in every scale; that many zeros behind are nothing.
        const FAR: i32 = 64;
        let digits = format!("{whole}{fraction}");
        let leading_zeros = digits.len() - digits.trim_start_matches('0').len();
        let point = i32::try_from(whole.len()).ok()?.saturating_add(self.exponent);
        if point.saturating_sub(i32::try_from(leading_zeros).ok()?) > FAR {
            return None;
        }
        let point = point.max(-FAR);
        let Ok(split) = usize::try_from(point) else {
            let zeros = "0".repeat(usize::try_from(-point).ok()?);
            return Some((String::new(), format!("{zeros}{digits}")));
        };
        let padded = format!("{digits:0<split$}");
        let (whole, fraction) = padded.split_at(split);
        Some((whole.to_owned(), fraction.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn forms_that_the_api_server_answers_with_are_equal_by_value() {
        for (left, right) in [
            ("1Ti", "1024Gi"),
            ("1536Mi", "1.5Gi"),
            ("1500m", "1.5"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("10G", "10000M"),
            ("512Ki", "524288"),
            ("0Gi", "0"),
            ("107374182400m", "0.1Gi"),
            ("+3", "3"),
            ("08", "8"),
            ("1000000u", "1"),
            (".5", "500m"),
            ("5.", "5"),
            ("1e-3", "1m"),
            ("8E", "8000000000000000000"),
        ] {
            assert_eq!(amount(left), amount(right), "{left} = {right}");
        }
    }

    #[test]
    fn canonical_quantities() {
        for (text, notation, expected) in [
            ("1024Gi", Notation::Binary, "1Ti"),
            ("1.5Gi", Notation::Binary, "1536Mi"),
            ("0.1Gi", Notation::Binary, "107374182400m"),
            ("16", Notation::Decimal, "16"),
            ("1.5", Notation::Decimal, "1500m"),
            ("2000", Notation::Decimal, "2k"),
            ("1500", Notation::Decimal, "1500"),
            ("0", Notation::Binary, "0"),
            ("-2Gi", Notation::Binary, "-2Gi"),
            ("1000", Notation::Binary, "1000"),
            ("1n", Notation::Decimal, "1n"),
        ] {
            assert_eq!(amount(text).quantity(notation), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_says_so() {
        for text in
            ["", "abc", "16GiB", "1.2.3", "-", "1 Gi", "e3", "1e", "0x10", "NaN", "Gi", "1ee3", "1_000"]
        {
            assert_eq!(text.parse::<Amount>(), Err(AmountError::Malformed(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_kubernetes_cannot_hold_is_refused() {
        let digits = "9".repeat(60);
        for text in
            ["1e300", "9223372036854775808", "8Ei", "10E", &digits, "99999999999999999999Ti", "1e2147483647"]
        {
            assert!(matches!(text.parse::<Amount>(), Err(AmountError::TooLarge(_))), "{text}");
        }
        assert_eq!(amount("9223372036854775807"), Amount::MAX);
    }

    #[test]
    fn what_is_finer_than_nano_is_rounded_up() {
        assert_eq!(amount("0.1n"), amount("1n"));
        assert_eq!(amount("1.0000000001"), amount("1000000001n"));
        assert_eq!(amount("1e-40"), amount("1n"));
        assert_eq!(amount(&format!("1.{}1", "0".repeat(60))), amount("1000000001n"));
    }

    #[test]
    fn products_are_exact() {
        assert_eq!(amount("3").times(amount("0.1")), Some(amount("300m")));
        assert_eq!(amount("9007199254740993").times(Amount::ONE), Some(amount("9007199254740993")));
        assert_eq!(amount("1.5").times(Amount::of_suffix("Gi").unwrap()), Some(amount("1536Mi")));
        assert_eq!(Amount::MAX.times(amount("2")), None);
        assert_eq!(amount("1n").times(amount("0.5")), Some(amount("1n")));
        assert_eq!(amount("-1.5").times(amount("3")), Some(amount("-4.5")));
    }

    proptest! {
        #[test]
        fn every_form_reads_back_as_the_same_amount(nano in -(1_i128 << 92)..(1_i128 << 92)) {
            let value = Amount(nano);
            prop_assume!(value.in_range());
            prop_assert_eq!(amount(&value.quantity(Notation::Decimal)), value);
            prop_assert_eq!(amount(&value.quantity(Notation::Binary)), value);
            prop_assert_eq!(amount(&value.to_string()), value);
        }

        #[test]
        fn suffixes_scale_exactly(units in 0_i64..8_000_000, suffix in 0_usize..SUFFIXES.len()) {
            let (text, nano) = SUFFIXES[suffix];
            let expected = Amount(i128::from(units) * nano);
            match format!("{units}{text}").parse::<Amount>() {
                Ok(value) => prop_assert_eq!(value, expected),
                Err(_) => prop_assert!(!expected.in_range()),
            }
        }

        #[test]
        fn any_text_is_answered_without_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Amount>();
        }

        #[test]
        fn any_number_is_answered_without_panic(text in "[+-]?[0-9]{0,50}(\\.[0-9]{0,50})?([eE]-?[0-9]{1,12}|Ki|Ei|n|m)?") {
            let _ = text.parse::<Amount>();
        }
    }
}
