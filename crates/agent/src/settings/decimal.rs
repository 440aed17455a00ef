//! Decimal numbers as written in the file, exact: factors and ratios never pass through a float.

use std::cmp::Ordering;
use std::fmt;

/// The largest number of digits after the point that is kept.
const MAX_SCALE: u32 = 18;

/// A decimal number, exact to 18 places: `units / 10^scale`, without trailing zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExactDecimal {
    units: i128,
    scale: u32,
}

impl ExactDecimal {
    /// Zero.
    pub const ZERO: Self = Self { units: 0, scale: 0 };
    /// One.
    pub const ONE: Self = Self { units: 1, scale: 0 };
    /// Two.
    pub const TWO: Self = Self { units: 2, scale: 0 };

    /// Reads `12`, `-0.5`, `.5`, `1e3`, `1_000`; none if it is no number or needs more than 18 places.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let mut units: i128 = 0;
        let mut seen = 0;
        for digit in whole.chars().chain(fraction.chars()).filter(|character| *character != '_') {
            units = units.checked_mul(10)?.checked_add(i128::from(digit.to_digit(10)?))?;
            seen += 1;
        }
        if seen == 0 || exponent.abs() > 30 {
            return None;
        }
        let places = i32::try_from(fraction.chars().filter(|character| *character != '_').count()).ok()?;
        let mut scale = places - exponent;
        while scale < 0 {
            units = units.checked_mul(10)?;
            scale += 1;
        }
        let number = Self { units: if negative { -units } else { units }, scale: u32::try_from(scale).ok()? };
        Some(number.reduced()).filter(|number| number.scale <= MAX_SCALE)
    }

    /// The digits without the point; the value is `units() / 10^scale()`.
    pub fn units(self) -> i128 {
        self.units
    }

    /// How many digits stand after the point.
    pub fn scale(self) -> u32 {
        self.scale
    }

    /// Whether there is no fraction.
    pub fn is_whole(self) -> bool {
        self.scale == 0
    }

    /// Whether it is greater than zero.
    pub fn is_positive(self) -> bool {
        self.units > 0
    }

    /// The product, or none on overflow.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        Some(Self { units: self.units.checked_mul(other.units)?, scale: self.scale + other.scale }.reduced())
    }

    /// The sum, or none on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let units = self.units_at(scale)?.checked_add(other.units_at(scale)?)?;
        Some(Self { units, scale }.reduced())
    }

    fn units_at(self, scale: u32) -> Option<i128> {
        self.units.checked_mul(10_i128.checked_pow(scale.checked_sub(self.scale)?)?)
    }

    fn reduced(mut self) -> Self {
        while self.scale > 0 && self.units % 10 == 0 {
            self.units /= 10;
            self.scale -= 1;
        }
        self
    }
}

impl PartialOrd for ExactDecimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ExactDecimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        match (self.units_at(scale), other.units_at(scale)) {
            (Some(one), Some(two)) => one.cmp(&two),
            // Only a number too large for the finer scale overflows, and then its size alone decides.
            (None, _) => self.units.cmp(&0).then(Ordering::Greater),
            (_, None) => 0.cmp(&other.units).then(Ordering::Less),
        }
    }
}

impl From<u32> for ExactDecimal {
    fn from(number: u32) -> Self {
        Self { units: i128::from(number), scale: 0 }
    }
}

/// The shortest plain form: `1.5`, `1000`, `-0.25`; never an exponent.
impl fmt::Display for ExactDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = self.units.unsigned_abs().to_string();
        let scale = self.scale as usize;
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = ExactDecimal::parse(text).map_or_else(|| "none".to_owned(), |number| number.to_string());
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn numbers_are_read_exactly_and_shown_plainly() {
        for (text, expected) in [
            ("1", "1"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-0.25", "-0.25"),
            ("1e3", "1000"),
            ("1.5e-3", "0.0015"),
            ("1_000", "1000"),
            ("0.1", "0.1"),
            ("9007199254740993", "9007199254740993"),
            ("", "none"),
            (".", "none"),
            ("abc", "none"),
            ("1e99", "none"),
            ("0x10", "none"),
            ("inf", "none"),
            ("0.0000000000000000001", "none"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn order_is_by_value_even_where_scales_cannot_be_levelled() {
        let read = |text: &str| ExactDecimal::parse(text).unwrap();
        assert!(read("0.5") < read("1"));
        assert!(read("2") > read("1.999999999999999999"));
        assert!(read("100000000000000000000000000000000000000") > read("0.000000000000000001"));
        assert!(read("0.000000000000000001") < read("100000000000000000000000000000000000000"));
        assert!(read("-100000000000000000000000000000000000000") < read("-0.000000000000000001"));
        assert_eq!(read("0.5").checked_mul(ExactDecimal::TWO), Some(ExactDecimal::ONE));
        assert_eq!(read("0.5").checked_add(read("0.75")), Some(read("1.25")));
    }
}
