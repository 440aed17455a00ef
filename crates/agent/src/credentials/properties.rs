//! Whatever comes as a token, an answer or a file is read or refused in one line; nothing panics.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::exec::Exec;
use super::{file, jwt, kubeconfig, token_answer};

/// JSON of any shape, with the names that are looked for.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let names = prop_oneof![
        Just("exp"),
        Just("aud"),
        Just("access_token"),
        Just("expires_in"),
        Just("refresh_token"),
        Just("error"),
        Just("kind"),
        Just("apiVersion"),
        Just("status"),
        Just("token"),
        Just("expirationTimestamp"),
        Just("contexts"),
        Just("context"),
        Just("clusters"),
        Just("cluster"),
        Just("users"),
        Just("user"),
        Just("name"),
        Just("server"),
        Just("exec"),
        Just("command"),
        Just("current-context"),
        Just("client-key-data"),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..6).prop_map(|entries| {
                Value::Object(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

fn exec() -> Exec {
    Exec {
        command: PathBuf::from("login"),
        arguments: Vec::new(),
        environment: Vec::new(),
        api_version: "client.authentication.k8s.io/v1".to_owned(),
        cluster: None,
        install_hint: None,
    }
}

proptest! {
    #[test]
    fn any_text_is_a_token_or_not(text in "\\PC*|[a-zA-Z0-9._=-]*|(.|\n)*") {
        let _claims = jwt::peek(&text);
        if let Ok(token) = file::word(&text) {
            let word = token.expose_secret();
            let value = http::HeaderValue::try_from(["Bearer ", word].concat());
            prop_assert!(value.is_ok());
            prop_assert!(!word.is_empty() && !word.contains(char::is_whitespace));
        }
    }

    #[test]
    fn any_claims_are_looked_into(claims in json(), exp in prop_oneof![any::<f64>().prop_map(Value::from), json()]) {
        let token = |claims: &Value| format!("e30.{}.s", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let _claims = jwt::peek(&token(&claims));
        let whole = jwt::peek(&token(&serde_json::json!({"exp": exp, "aud": claims})));
        prop_assert!(whole.is_some());
    }

    #[test]
    fn any_whole_expiry_is_read_exactly(seconds in -62_135_596_800_i64..253_402_300_800) {
        let token = format!("e30.{}.s", URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{seconds}}}")));
        let read = jwt::peek(&token).and_then(|claims| claims.expires).map(|expires| expires.as_second());
        let possible = jiff::Timestamp::from_second(seconds).is_ok();
        prop_assert_eq!(read, possible.then_some(seconds));
    }

    #[test]
    fn any_answer_is_a_token_or_refused_in_one_line(status in 100_u16..600, body in json(), location in ".{0,40}") {
        let bytes = body.to_string();
        let at = format!("https://oauth/implicit#{location}");
        for answer in [
            token_answer::of_token(status, bytes.as_bytes()),
            token_answer::of_challenge(status, Some(&at), bytes.as_bytes()),
            token_answer::of_challenge(status, Some(&location), b""),
        ] {
            if let Err(refusal) = answer {
                prop_assert!(!refusal.text.is_empty() && !refusal.text.contains('\n'), "{}", refusal.text);
            }
        }
    }

    #[test]
    fn any_output_of_a_program_is_read_or_refused(output in json(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for printed in [output.to_string().into_bytes(), bytes] {
            if let Err(problem) = exec().read(&printed) {
                prop_assert!(problem.starts_with("printed "), "{}", problem);
            }
        }
    }

    #[test]
    fn any_file_is_a_kubeconfig_or_refused(content in json(), text in "(.|\n)*") {
        for text in [content.to_string(), text] {
            if let Err(problem) = kubeconfig::resolve(&text, Path::new("config"), None) {
                prop_assert!(problem.starts_with("the kubeconfig `config` "), "{}", problem);
            }
        }
    }
}
