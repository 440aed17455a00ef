//! Kubernetes quantities as text with their exact value, to refuse what the API server would refuse and to compare.

use std::fmt;

use super::ExactDecimal;

/// Suffixes of Kubernetes quantities with the exponent of 10 or of 1024.
const SUFFIXES: [(&str, Multiplier); 16] = [
    ("n", Multiplier::Ten(-9)),
    ("u", Multiplier::Ten(-6)),
    ("m", Multiplier::Ten(-3)),
    ("", Multiplier::Ten(0)),
    ("k", Multiplier::Ten(3)),
    ("M", Multiplier::Ten(6)),
    ("G", Multiplier::Ten(9)),
    ("T", Multiplier::Ten(12)),
    ("P", Multiplier::Ten(15)),
    ("E", Multiplier::Ten(18)),
    ("Ki", Multiplier::Kibi(1)),
    ("Mi", Multiplier::Kibi(2)),
    ("Gi", Multiplier::Kibi(3)),
    ("Ti", Multiplier::Kibi(4)),
    ("Pi", Multiplier::Kibi(5)),
    ("Ei", Multiplier::Kibi(6)),
];

#[derive(Clone, Copy)]
enum Multiplier {
    Ten(i32),
    Kibi(u32),
}

/// A quantity such as `500m`, `16Gi`, `1e3`: the text as written and its value in the base unit.
#[derive(Clone, Debug)]
pub struct Quantity {
    text: String,
    value: ExactDecimal,
}

impl Quantity {
    /// Reads a quantity that is not negative; none if the API server would not take it.
    pub fn parse(text: &str) -> Option<Self> {
        let value = value_of(text)?;
        (value >= ExactDecimal::ZERO).then(|| Self { text: text.to_owned(), value })
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value in cores, bytes or pieces.
    pub fn value(&self) -> ExactDecimal {
        self.value
    }
}

/// Equal by value, as the API server compares: `1024Mi` is `1Gi`.
impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Quantity {}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The value of one of a unit suffix (`Gi` → 1073741824), none for what is no suffix.
pub(crate) fn unit_value(suffix: &str) -> Option<ExactDecimal> {
    let (_, multiplier) = SUFFIXES.iter().find(|(name, _)| *name == suffix)?;
    match multiplier {
        Multiplier::Ten(exponent) => ExactDecimal::parse(&format!("1e{exponent}")),
        Multiplier::Kibi(power) => ExactDecimal::parse(&1024_u64.pow(*power).to_string()),
    }
}

/// The suffixes that a unit may be, for messages.
pub(crate) fn unit_names() -> Vec<&'static str> {
    SUFFIXES.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect()
}

fn value_of(text: &str) -> Option<ExactDecimal> {
    let digits =
        text.find(|character: char| !matches!(character, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    number_with_suffix(&text[..digits], &text[digits..])
        .or_else(|| text[digits..].starts_with(['e', 'E']).then(|| plain_number(text)).flatten())
}

fn number_with_suffix(number: &str, suffix: &str) -> Option<ExactDecimal> {
    plain_number(number)?.checked_mul(unit_value(suffix)?)
}

fn plain_number(text: &str) -> Option<ExactDecimal> {
    (!text.contains('_')).then(|| ExactDecimal::parse(text)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = Quantity::parse(text).map_or_else(|| "none".to_owned(), |it| it.value().to_string());
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn quantities_are_read_as_the_api_server_reads_them() {
        for (text, expected) in [
            ("8", "8"),
            ("500m", "0.5"),
            ("1.5Gi", "1610612736"),
            ("1e3", "1000"),
            ("1E3", "1000"),
            ("2E", "2000000000000000000"),
            ("1Ei", "1152921504606846976"),
            ("100n", "0.0000001"),
            (".5", "0.5"),
            ("1k", "1000"),
            ("0", "0"),
            ("16GiB", "none"),
            ("16GB", "none"),
            ("1K", "none"),
            ("", "none"),
            ("Gi", "none"),
            ("-1", "none"),
            ("1 Gi", "none"),
            ("1_000", "none"),
            ("abc", "none"),
        ] {
            check(text, expected);
        }
        assert_eq!(Quantity::parse("1024Mi"), Quantity::parse("1Gi"));
    }
}
