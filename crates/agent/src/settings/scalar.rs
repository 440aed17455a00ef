//! Values from text, as generous as YAML 1.1 and the Python agent's model are.

use std::time::Duration;

use uuid::Uuid;

use super::ExactDecimal;

/// A truth value in any spelling of YAML 1.1 and of pydantic.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "t" | "1" => Some(true),
        "false" | "no" | "off" | "n" | "f" | "0" => Some(false),
        _ => None,
    }
}

/// A whole number: `5`, `+5`, `5.0`, `1_000`, `0x1f`.
pub(crate) fn whole(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return i64::from_str_radix(&digits.replace('_', ""), 16).ok();
    }
    if octal_looking(text) {
        return None;
    }
    ExactDecimal::parse(text)
        .filter(|number| number.is_whole())
        .and_then(|number| number.units().try_into().ok())
}

/// Whether YAML 1.1 and YAML 1.2 read this as different numbers: `010`, `0o10`, `1:30`.
pub(crate) fn octal_looking(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    let zero_first =
        digits.len() > 1 && digits.starts_with('0') && !digits.contains(['.', 'x', 'X', 'e', 'E']);
    zero_first || (digits.contains(':') && digits.chars().all(|one| one.is_ascii_digit() || one == ':'))
}

/// An exact decimal number.
pub(crate) fn decimal(text: &str) -> Option<ExactDecimal> {
    let text = text.trim();
    if octal_looking(text) { None } else { ExactDecimal::parse(text) }
}

/// A share between 0 and 1, as `0.5` or `50%`.
pub(crate) fn share(text: &str) -> Option<ExactDecimal> {
    let share = match text.strip_suffix('%') {
        Some(percent) => decimal(percent)?.checked_mul(ExactDecimal::parse("0.01")?)?,
        None => decimal(text)?,
    };
    (ExactDecimal::ZERO..=ExactDecimal::ONE).contains(&share).then_some(share)
}

/// A time: a number of seconds, or a whole number with `s`, `m`, `h` or `d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, factor) = match text.as_bytes().last()? {
        b's' => (&text[..text.len() - 1], 1),
        b'm' => (&text[..text.len() - 1], 60),
        b'h' => (&text[..text.len() - 1], 3600),
        b'd' => (&text[..text.len() - 1], 86_400),
        _ => (text, 1),
    };
    let seconds = u64::try_from(whole(number)?).ok()?.checked_mul(factor)?;
    Some(Duration::from_secs(seconds))
}

/// A UUID with or without dashes; no other form.
pub(crate) fn uuid(text: &str) -> Option<Uuid> {
    let dashes = text.matches('-').count();
    let plain = text.len() - dashes == 32 && (dashes == 0 || dashes == 4);
    plain.then(|| Uuid::try_parse(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_has_the_spellings_of_yaml_1_1() {
        for (text, expected) in [
            ("yes", Some(true)),
            ("On", Some(true)),
            ("TRUE", Some(true)),
            ("1", Some(true)),
            ("no", Some(false)),
            ("OFF", Some(false)),
            ("f", Some(false)),
            ("maybe", None),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(truth(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_that_yaml_versions_disagree_on_are_refused() {
        for (text, expected) in [
            ("5", Some(5)),
            ("-5", Some(-5)),
            ("5.0", Some(5)),
            ("1e3", Some(1000)),
            ("1_000", Some(1000)),
            ("0x1F", Some(31)),
            ("0", Some(0)),
            ("010", None),
            ("0o10", None),
            ("1:30", None),
            ("5.5", None),
            ("five", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(whole(text), expected, "{text}");
        }
        assert_eq!(decimal("0.50"), ExactDecimal::parse("0.5"));
        assert_eq!(decimal("010"), None);
    }

    #[test]
    fn shares_and_times() {
        let shown = |text: &str| share(text).map(|share| share.to_string());
        assert_eq!(shown("50%"), Some("0.5".to_owned()));
        assert_eq!(shown("0.25"), Some("0.25".to_owned()));
        assert_eq!(shown("1"), Some("1".to_owned()));
        assert_eq!(shown("101%"), None);
        assert_eq!(shown("-1%"), None);
        for (text, expected) in
            [("90", Some(90)), ("30m", Some(1800)), ("12h", Some(43_200)), ("7d", Some(604_800))]
        {
            assert_eq!(duration(text).map(|time| time.as_secs()), expected, "{text}");
        }
        assert_eq!(duration("7w"), None);
        assert_eq!(duration("-1"), None);
    }

    #[test]
    fn uuids_have_two_spellings() {
        assert!(uuid("123e4567e89b12d3a456426614174000").is_some());
        assert!(uuid("123e4567-e89b-12d3-a456-426614174000").is_some());
        assert_eq!(uuid("123E4567e89b12d3a456426614174000"), uuid("123e4567-e89b-12d3-a456-426614174000"));
        for text in [
            "",
            "123",
            "{123e4567-e89b-12d3-a456-426614174000}",
            "urn:uuid:123e4567-e89b-12d3-a456-426614174000",
        ] {
            assert_eq!(uuid(text), None, "{text}");
        }
    }
}
