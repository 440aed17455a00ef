//! A look into a token that may be a JWT: when it expires and for whom it is. Pure.
//!
//! Nothing is verified: that is the server's business. What cannot be read counts as not said.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;

/// No token is longer than this; larger ones are not looked into.
const LONGEST: usize = 64 * 1024;

/// What a token says of itself (RFC 7519 §4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `exp`, to the millisecond; some issuers write it as a float.
    pub expires: Option<Timestamp>,
    /// `aud`, as one text or a list.
    pub audience: Vec<String>,
}

/// The claims of a JWT; `None` if it is none.
#[must_use]
pub fn peek(token: &str) -> Option<Claims> {
    if token.len() > LONGEST {
        return None;
    }
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let payload: Value = serde_json::from_slice(&payload).ok()?;
    let payload = payload.as_object()?;
    let audience = match payload.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    Some(Claims { expires: payload.get("exp").and_then(numeric_date), audience })
}

/// Seconds since 1970, whole or not (RFC 7519 §2, NumericDate), also where they are written as text.
fn numeric_date(value: &Value) -> Option<Timestamp> {
    if let Some(seconds) = value.as_i64() {
        return Timestamp::from_second(seconds).ok();
    }
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    // A cast saturates, and what is out of range is refused by `Timestamp`; NaN would become 0.
    let milliseconds = seconds.is_finite().then_some(seconds * 1000.0)?;
    Timestamp::from_millisecond(milliseconds as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expires(payload: &str) -> Option<Timestamp> {
        peek(&format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload))).and_then(|claims| claims.expires)
    }

    #[test]
    fn expiry_is_read_in_every_spelling() {
        let at = |milliseconds| Some(Timestamp::from_millisecond(milliseconds).unwrap());
        for (payload, expected) in [
            (r#"{"exp":1700000000}"#, at(1_700_000_000_000)),
            (r#"{"exp":1700000000.25}"#, at(1_700_000_000_250)),
            (r#"{"exp":1.7e9}"#, at(1_700_000_000_000)),
            (r#"{"exp":"1700000000"}"#, at(1_700_000_000_000)),
            (r#"{"exp":-5}"#, at(-5000)),
            (r#"{"exp":0}"#, at(0)),
            (r#"{"exp":1e300}"#, None),
            (r#"{"exp":99999999999999}"#, None),
            (r#"{"exp":null}"#, None),
            (r#"{"exp":"soon"}"#, None),
            (r#"{"exp":"NaN"}"#, None),
            ("{}", None),
            ("[]", None),
            ("not json", None),
        ] {
            assert_eq!(expires(payload), expected, "{payload}");
        }
    }

    #[test]
    fn only_a_jwt_is_looked_into() {
        for token in ["", "sha256~abc", "a.b", "a.b.c", "a.!.c", "e30.e30.x.y", "..", &"a.".repeat(40_000)] {
            assert_eq!(peek(token), None, "{token:.20}");
        }
        assert_eq!(peek("e30.e30.x"), Some(Claims::default()));
    }

    #[test]
    fn the_audience_is_one_or_many() {
        let audience = |payload: &str| {
            peek(&format!("e30.{}.s", URL_SAFE_NO_PAD.encode(payload))).unwrap_or_default().audience
        };
        assert_eq!(audience(r#"{"aud":"a"}"#), ["a"]);
        assert_eq!(audience(r#"{"aud":["a","b",3]}"#), ["a", "b"]);
        assert!(audience(r#"{"aud":7}"#).is_empty());
    }
}
