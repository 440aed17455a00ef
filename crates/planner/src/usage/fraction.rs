//! Exact fractions: an amount is divided by its units once, and rounded once.

use crate::amount::Amount;

/// A fraction in lowest terms with a positive denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    numerator: i128,
    denominator: i128,
}

impl Fraction {
    /// `numerator / denominator`; `None` for a denominator that is not positive.
    #[must_use]
    pub fn new(numerator: i128, denominator: i128) -> Option<Self> {
        if denominator <= 0 {
            return None;
        }
        let divisor = gcd(numerator.unsigned_abs(), denominator.unsigned_abs());
        let divisor = i128::try_from(divisor.max(1)).ok()?;
        Some(Self { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// An amount as a fraction of units.
    #[must_use]
    pub fn of(amount: Amount) -> Option<Self> {
        Self::new(amount.nano(), Amount::ONE.nano())
    }

    /// The product; `None` beyond 128 bits.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        // Reduced crosswise first, so that what fits in the end fits on the way.
        let one = Self::new(self.numerator, other.denominator)?;
        let two = Self::new(other.numerator, self.denominator)?;
        let numerator = one.numerator.checked_mul(two.numerator)?;
        let denominator = one.denominator.checked_mul(two.denominator)?;
        Some(Self { numerator, denominator })
    }

    /// The quotient; `None` beyond 128 bits, and for a divisor that is not positive.
    #[must_use]
    pub fn per(self, other: Self) -> Option<Self> {
        self.times(Self::new(other.denominator, other.numerator)?)
    }

    /// In hundredths, half a hundredth and more rounded up, away from zero; `None` beyond 128 bits.
    #[must_use]
    pub fn hundredths(self) -> Option<Hundredths> {
        self.times(Self { numerator: 100, denominator: 1 })?.rounded().map(Hundredths)
    }

    /// The nearest whole number, a half rounded up, away from zero; `None` beyond 128 bits.
    #[must_use]
    pub fn rounded(self) -> Option<i128> {
        let (whole, rest) = (self.numerator / self.denominator, self.numerator % self.denominator);
        let up = rest.unsigned_abs() >= self.denominator.unsigned_abs() - rest.unsigned_abs();
        let step = if up && rest != 0 { rest.signum() } else { 0 };
        whole.checked_add(step)
    }
}

const fn gcd(mut one: u128, mut two: u128) -> u128 {
    while two != 0 {
        (one, two) = (two, one % two);
    }
    one
}

/// A decimal with two places, as Waldur keeps usage (contract §5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hundredths(pub i128);

impl Hundredths {
    /// Reads what a server says: `"1.50"`, `2`. More places than two are cut off; `None` for what is no number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let amount: Amount = text.trim().parse().ok()?;
        Some(Self(amount.nano() / (Amount::ONE.nano() / 100)))
    }
}

/// With both places, as it is sent: `1.50`.
impl std::fmt::Display for Hundredths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        f.pad(&format!("{sign}{}.{:02}", units / 100, units % 100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_half_away_from_zero_and_once() {
        for (numerator, denominator, expected) in [
            (1, 3, "0.33"),
            (2, 3, "0.67"),
            (1, 200, "0.01"),
            (999, 200_000, "0.00"),
            (-1, 200, "-0.01"),
            (-1, 3, "-0.33"),
            (0, 7, "0.00"),
            (1005, 1000, "1.01"),
            (i128::MAX, i128::MAX, "1.00"),
        ] {
            let fraction = Fraction::new(numerator, denominator).unwrap();
            assert_eq!(fraction.hundredths().unwrap().to_string(), expected, "{numerator}/{denominator}");
        }
    }

    #[test]
    fn large_amounts_in_small_units_stay_exact() {
        let bytes: Amount = "16Gi".parse().unwrap();
        let unit = Amount::of_suffix("Gi").unwrap();
        let value = Fraction::of(bytes).unwrap().per(Fraction::of(unit).unwrap()).unwrap();
        assert_eq!(value.hundredths().unwrap(), Hundredths(1600));
        let odd: Amount = "123456789123".parse().unwrap();
        let value = Fraction::of(odd).unwrap().per(Fraction::of(unit).unwrap()).unwrap();
        assert_eq!(value.hundredths().unwrap(), Hundredths(11498));
        assert_eq!(Fraction::new(1, 0), None);
        assert_eq!(Fraction::of(odd).unwrap().per(Fraction::of(Amount::ZERO).unwrap()), None);
    }

    #[test]
    fn what_servers_say_is_read() {
        let read = |text| Hundredths::parse(text).map(|value| value.to_string());
        assert_eq!(read("1.50").as_deref(), Some("1.50"));
        assert_eq!(read("2").as_deref(), Some("2.00"));
        assert_eq!(read("-0.5").as_deref(), Some("-0.50"));
        assert_eq!(read("none"), None);
    }
}
