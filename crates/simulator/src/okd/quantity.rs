//! Quantities as kube-apiserver reads and prints them, measured value by value.
//!
//! Its own implementation on purpose: the agent's arithmetic is judged by this one and must not share it.

/// Nano units: 1 = 10⁻⁹.
type Nano = i128;

const NANO: Nano = 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `k`, `M`, `m`, …
    Decimal,
    /// `Ki`, `Mi`, …
    Binary,
    /// `e3`
    Exponent,
}

/// A parsed quantity: its value, how it was written, and the text if that is kept.
#[derive(Debug, Clone)]
pub(crate) struct Quantity {
    nano: Nano,
    form: Form,
    verbatim: Option<String>,
}

/// Why a text is no quantity; also the message of the server.
pub(crate) const MALFORMED: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

const BINARY: [(&str, u32); 6] = [("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

impl Quantity {
    pub(crate) fn from_nano(nano: Nano, like: &Self) -> Self {
        Self { nano, form: like.form, verbatim: None }
    }

    pub(crate) fn whole(count: i128) -> Self {
        Self { nano: count.saturating_mul(NANO), form: Form::Decimal, verbatim: None }
    }

    pub(crate) fn nano(&self) -> Nano {
        self.nano
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.nano % NANO == 0
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (digits, suffix) = unsigned.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return None;
        }
        let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
        let (form, numerator, denominator) = scale(suffix)?;
        let denominator =
            denominator.checked_mul(10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
        let scaled = mantissa.checked_mul(numerator)?.checked_mul(NANO)?;
        // What is finer than a nano unit is rounded up, away from zero.
        let nano = scaled.div_euclid(denominator) + i128::from(scaled % denominator != 0);
        let nano = if negative { -nano } else { nano };
        // Whole numbers without a scale to reduce are given back as they were written.
        let kept = fraction.is_empty() && suffix.is_empty();
        Some(Self { nano, form, verbatim: kept.then(|| text.to_owned()) })
    }

    /// As the server stores it. Finer than a thousandth is rounded up.
    pub(crate) fn canonical(&self) -> String {
        if let Some(text) = &self.verbatim {
            return text.clone();
        }
        let milli = self.nano.div_euclid(1_000_000) + i128::from(self.nano.rem_euclid(1_000_000) != 0);
        if milli == 0 {
            return "0".to_owned();
        }
        if milli % 1000 != 0 {
            return format!("{milli}m");
        }
        let value = milli / 1000;
        match self.form {
            Form::Binary if value.abs() >= 1024 => {
                let (suffix, power) = BINARY
                    .iter()
                    .rev()
                    .find(|(_, power)| value % (1_i128 << (10 * power)) == 0)
                    .copied()
                    .unwrap_or(("", 0));
                format!("{}{suffix}", value / (1_i128 << (10 * power)))
            }
            Form::Binary => value.to_string(),
            Form::Decimal | Form::Exponent => {
                let scales = DECIMAL.iter().rev().filter(|(_, power)| *power >= 0);
                let exact = |power: &i32| value % 10_i128.pow(power.unsigned_abs()) == 0;
                let (suffix, power) = scales.copied().find(|(_, power)| exact(power)).unwrap_or(("", 0));
                let mantissa = value / 10_i128.pow(power.unsigned_abs());
                match self.form {
                    Form::Exponent if power > 0 => format!("{mantissa}e{power}"),
                    _ => format!("{mantissa}{suffix}"),
                }
            }
        }
    }
}

fn scale(suffix: &str) -> Option<(Form, i128, i128)> {
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((Form::Binary, 1 << (10 * power), 1));
    }
    let (form, power) = match DECIMAL.iter().find(|(name, _)| *name == suffix) {
        Some((_, power)) => (Form::Decimal, *power),
        None => (Form::Exponent, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let factor = 10_i128.checked_pow(i32::unsigned_abs(power))?;
    Some(if power < 0 { (form, 1, factor) } else { (form, factor, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written and returned, as measured on a real server.
    #[test]
    fn quantities_are_canonicalised_as_measured() {
        for (written, returned) in [
            ("8", "8"),
            ("1500m", "1500m"),
            ("16Gi", "16Gi"),
            ("17179869184", "17179869184"),
            ("0", "0"),
            ("1k", "1k"),
            ("1e3", "1e3"),
            ("500M", "500M"),
            ("1Ki", "1Ki"),
            ("1500", "1500"),
            ("1024Mi", "1Gi"),
            ("1024Gi", "1Ti"),
            ("1.5Gi", "1536Mi"),
            ("1000m", "1"),
            ("2000m", "2"),
            ("0.5", "500m"),
            ("0.1Gi", "107374182400m"),
            ("0Gi", "0"),
            ("8.5", "8500m"),
            ("100n", "1m"),
            ("08", "08"),
            ("+3", "+3"),
        ] {
            let canonical = Quantity::parse(written).map(|quantity| quantity.canonical());
            assert_eq!(canonical.as_deref(), Some(returned), "{written}");
        }
        for malformed in ["16GiB", "abc", "", "1.2.3", "Gi", "--1"] {
            assert!(Quantity::parse(malformed).is_none(), "{malformed}");
        }
    }

    #[test]
    fn sums_keep_the_form_of_their_parts() {
        let memory = Quantity::parse("1.5Gi").unwrap();
        let sum = memory.nano() + Quantity::parse("512Mi").unwrap().nano();
        assert_eq!(Quantity::from_nano(sum, &memory).canonical(), "2Gi");
    }
}
