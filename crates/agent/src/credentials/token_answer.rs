//! What token endpoints answer (RFC 6749 §5, and OpenShift's challenge flow), read without I/O.
//!
//! Answers hold secrets: nothing of a body is repeated here but the error fields that the standard names, clipped.

use std::time::Duration;

use planner::names::clipped;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

/// The longest lifetime that is believed: ten years.
const LONGEST: f64 = 315_360_000.0;
/// Longest part of an error's description that is shown.
const MAX_WORDS: usize = 200;

/// A token with what came with it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) access: SecretString,
    pub(super) lifetime: Option<Duration>,
    /// A refresh token in place of the one that was used.
    pub(super) refresh: Option<SecretString>,
}

/// Why an answer holds no token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// `error` of the answer, such as `invalid_grant`; empty if it says none.
    pub(super) code: String,
    /// What happened and what to do, as the end of a sentence that begins with the URL.
    pub(super) text: String,
}

#[derive(Deserialize)]
struct Body {
    access_token: Option<SecretString>,
    refresh_token: Option<SecretString>,
    expires_in: Option<Value>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Seconds as a number or as text.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    (0.0..=LONGEST).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// What can be done about a code of RFC 6749 §5.2.
fn advice(code: &str) -> &'static str {
    match code {
        "invalid_grant" => {
            "; what was shown has expired, was revoked or was used before: get a new one and put it into the configuration"
        }
        "invalid_client" => "; check the client's id and secret",
        "unauthorized_client" | "unsupported_grant_type" => {
            "; allow this grant to the client at the identity provider, or choose another"
        }
        "invalid_scope" => "; correct `scope`",
        "access_denied" => "; the identity provider does not let this client or user in",
        _ => "",
    }
}

fn told(status: u16, code: &str, description: &str) -> Refusal {
    let description = if description.is_empty() {
        String::new()
    } else {
        format!(" ({})", clipped(description, MAX_WORDS))
    };
    let text = format!("answered {status} `{}`{description}{}", clipped(code, 60), advice(code));
    Refusal { code: code.to_owned(), text }
}

fn refusal(text: String) -> Refusal {
    Refusal { code: String::new(), text }
}

/// The answer of a token endpoint.
pub(super) fn of_token(status: u16, body: &[u8]) -> Result<Answer, Refusal> {
    let parsed: Option<Body> = serde_json::from_slice(body).ok();
    let is_success = (200..300).contains(&status);
    match parsed {
        Some(Body { access_token: Some(access), refresh_token, expires_in, .. }) if is_success => {
            use secrecy::ExposeSecret as _;
            let access = super::file::word(access.expose_secret())
                .map_err(|_| refusal("gave an `access_token` that is no token".to_owned()))?;
            let refresh = refresh_token.filter(|token| !token.expose_secret().is_empty());
            Ok(Answer { access, lifetime: expires_in.as_ref().and_then(lifetime), refresh })
        }
        Some(Body { error: Some(code), error_description, .. }) => {
            Err(told(status, &code, &error_description.unwrap_or_default()))
        }
        Some(_) if is_success => {
            Err(refusal("answered without an `access_token`; is it a token endpoint?".to_owned()))
        }
        _ => Err(no_json(status, body)),
    }
}

/// An answer that is not what was asked for.
pub(super) fn no_json(status: u16, body: &[u8]) -> Refusal {
    let html = body.trim_ascii_start().starts_with(b"<");
    refusal(match status {
        407 => "is behind a proxy that asks for credentials; put them into the proxy's URL".to_owned(),
        300..400 => format!("answered {status}, a redirect, which is not followed; correct the URL"),
        404 => "answered 404, there is no such endpoint; correct the URL".to_owned(),
        500.. | 429 | 408 => format!("answered {status}; it will be asked again"),
        _ if html => format!(
            "answered {status} with an HTML page instead of JSON with an `access_token`; correct the URL, \
             or is a proxy in between?"
        ),
        _ => {
            format!("answered {status} with something else than JSON with an `access_token`; correct the URL")
        }
    })
}

/// The answer of OpenShift's authorization endpoint to a challenge: the token is in the fragment of a redirect.
pub(super) fn of_challenge(status: u16, location: Option<&str>, body: &[u8]) -> Result<Answer, Refusal> {
    if status == 401 {
        return Err(Refusal {
            code: "access_denied".to_owned(),
            text:
                "answered 401: it does not accept the user and password; correct `username` and `password`, \
                   and make sure that the identity provider allows challenges"
                    .to_owned(),
        });
    }
    let location = location.filter(|_| (300..400).contains(&status)).and_then(|to| Url::parse(to).ok());
    let Some(location) = location else { return Err(no_json(status, body)) };
    let fragment = location.fragment().unwrap_or_default();
    let (mut access, mut lifetime_text, mut code, mut description) = (None, None, None, String::new());
    for (key, value) in url::form_urlencoded::parse(fragment.as_bytes()).chain(location.query_pairs()) {
        match key.as_ref() {
            "access_token" => access = Some(SecretString::from(value.into_owned())),
            "expires_in" => lifetime_text = Some(Value::String(value.into_owned())),
            "error" => code = Some(value.into_owned()),
            "error_description" => description = value.into_owned(),
            _ => {}
        }
    }
    match (access, code) {
        (Some(access), None) => {
            Ok(Answer { access, lifetime: lifetime_text.as_ref().and_then(lifetime), refresh: None })
        }
        (_, Some(code)) => Err(told(status, &code, &description)),
        (None, None) => Err(refusal(
            "redirected without a token; is it the authorization endpoint of OpenShift, and does its identity provider \
             allow challenges?"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn shown(answer: Result<Answer, Refusal>) -> String {
        match answer {
            Ok(Answer { access, lifetime, refresh }) => format!(
                "{} {:?} {:?}",
                access.expose_secret(),
                lifetime.map(|lifetime| lifetime.as_secs()),
                refresh.map(|token| token.expose_secret().to_owned())
            ),
            Err(refusal) => refusal.text,
        }
    }

    #[test]
    fn answers_of_token_endpoints() {
        for (status, body, expected) in [
            (
                200,
                r#"{"access_token":"a","expires_in":3600,"refresh_token":"r"}"#,
                "a Some(3600) Some(\"r\")",
            ),
            (200, r#"{"access_token":"a","expires_in":"60"}"#, "a Some(60) None"),
            (200, r#"{"access_token":"a","expires_in":-1,"refresh_token":""}"#, "a None None"),
            (200, r#"{"access_token":"a","expires_in":1e99}"#, "a None None"),
            (200, r#"{"access_token":""}"#, "gave an `access_token` that is no token"),
            (
                200,
                r#"{"access_token":7}"#,
                "answered 200 with something else than JSON with an `access_token`; correct the URL",
            ),
            (200, "{}", "answered without an `access_token`; is it a token endpoint?"),
            (
                200,
                "<html>log in</html>",
                "answered 200 with an HTML page instead of JSON with an `access_token`; correct the URL, or is a proxy in between?",
            ),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"Token is not active"}"#,
                "answered 400 `invalid_grant` (Token is not active); what was shown has expired, was revoked or was used \
                 before: get a new one and put it into the configuration",
            ),
            (
                401,
                r#"{"error":"invalid_client"}"#,
                "answered 401 `invalid_client`; check the client's id and secret",
            ),
            (500, "oops", "answered 500; it will be asked again"),
            (404, "", "answered 404, there is no such endpoint; correct the URL"),
            (302, "", "answered 302, a redirect, which is not followed; correct the URL"),
        ] {
            assert_eq!(shown(of_token(status, body.as_bytes())), expected, "{status} {body}");
        }
    }

    #[test]
    fn answers_to_challenges() {
        let at = |end: &str| format!("https://oauth.example/oauth/token/implicit{end}");
        for (status, location, expected) in [
            (
                302,
                Some(at("#access_token=sha256~a&expires_in=86400&token_type=Bearer")),
                "sha256~a Some(86400) None",
            ),
            (
                302,
                Some(at("#error=access_denied")),
                "answered 302 `access_denied`; the identity provider does not let this client or user in",
            ),
            (302, Some(at("?error=invalid_scope#x")), "answered 302 `invalid_scope`; correct `scope`"),
            (302, None, "answered 302, a redirect, which is not followed; correct the URL"),
            (503, None, "answered 503; it will be asked again"),
        ] {
            assert_eq!(
                shown(of_challenge(status, location.as_deref(), b"")),
                expected,
                "{status} {location:?}"
            );
        }
        assert!(shown(of_challenge(302, Some(&at("")), b"")).starts_with("redirected without a token"));
        assert!(shown(of_challenge(401, None, b"")).contains("does not accept the user and password"));
    }
}
