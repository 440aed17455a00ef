//! Invariant: secrets have no `Debug` and no `Display`. What holds one is a `SecretString`, or says by hand what it
//! shows.

use crate::none;
use crate::source::{Source, Token, rust};

/// Ends of names, in lower case, of what must not be shown.
const SECRET: [&str; 8] =
    ["token", "password", "passwd", "passcode", "secret", "api_key", "apikey", "credentials"];

/// Types that show what they hold.
const PLAIN: [&str; 4] = ["String", "str", "u8", "Value"];

/// Derives that show every field.
const SHOWS: [&str; 2] = ["Debug", "Display"];

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET.iter().any(|end| name.ends_with(end))
}

fn faults(source: &Source) -> Vec<String> {
    let tokens = source.tokens();
    let starts = tokens.windows(2).enumerate();
    let starts = starts.filter(|(_, pair)| pair[0].text == "derive" && pair[1].text == "(");
    starts
        .filter_map(|(place, _)| {
            let (derived, after) = bracketed(&tokens[place + 1..]);
            derived.iter().any(|token| SHOWS.contains(&token.text)).then_some(after)
        })
        .flat_map(shown)
        .map(|token| {
            source.fault(token.line, &format!("`{}` would be shown; make it a SecretString", token.text))
        })
        .collect()
}

/// Names of the secrets in the type that is defined next.
fn shown<'a>(rest: &'a [Token<'a>]) -> Vec<Token<'a>> {
    let Some(start) = rest.iter().position(|token| matches!(token.text, "struct" | "enum")) else {
        return Vec::new();
    };
    let Some(name) = rest.get(start + 1) else {
        return Vec::new();
    };
    let Some(open) = rest[start..].iter().position(|token| matches!(token.text, "{" | "(" | ";")) else {
        return Vec::new();
    };
    let (body, _) = bracketed(&rest[start + open..]);
    if rest[start + open].text == "(" {
        let plain = body.iter().any(|token| PLAIN.contains(&token.text));
        return if plain && is_secret(name.text) { vec![*name] } else { Vec::new() };
    }
    let fields = body.windows(3).enumerate();
    let fields = fields.filter(|(place, field)| {
        let before = place.checked_sub(1).and_then(|before| body.get(before));
        field[1].text == ":" && field[2].text != ":" && before.is_none_or(|before| before.text != ":")
    });
    fields
        .filter(|(place, field)| is_secret(field[0].text) && is_plain(&body[place + 2..]))
        .map(|(_, field)| field[0])
        .collect()
}

/// True if a type that shows what it holds stands here, before the next field.
fn is_plain(rest: &[Token<'_>]) -> bool {
    let mut depth = 0_i32;
    let kind = rest.iter().take_while(|token| {
        match token.text {
            "<" | "(" | "[" => depth += 1,
            ">" | ")" | "]" => depth -= 1,
            _ => {}
        }
        !(token.text == "," && depth == 0) && token.text != "}"
    });
    kind.into_iter().any(|token| PLAIN.contains(&token.text))
}

/// What stands between the bracket at the beginning and the one that closes it, and what comes after.
fn bracketed<'a>(tokens: &'a [Token<'a>]) -> (&'a [Token<'a>], &'a [Token<'a>]) {
    let mut depth = 0_i32;
    for (place, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "{" | "[" => depth += 1,
            ")" | "}" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (tokens.get(1..place).unwrap_or_default(), &tokens[place..]);
        }
    }
    (&[], &[])
}

#[test]
fn no_secret_is_shown() {
    let folders = ["crates/agent/src/", "crates/planner/src/", "crates/stomp/src/"];
    none(&folders.into_iter().flat_map(rust).flat_map(|source| faults(&source)).collect::<Vec<_>>());
}

#[test]
fn a_secret_that_would_be_shown_is_found() {
    for shown in [
        "#[derive(Debug)] struct Login { name: String, password: String }",
        "#[derive(Clone, Debug)]\n#[serde(default)]\npub struct A { pub(crate) api_token: Option<String>, }",
        "#[derive(Debug)] enum Source { Static { client_secret: Vec<u8> }, None }",
        "#[derive(Debug)] pub struct AccessToken(String);",
        "#[derive(Display)] struct A<'a> { token: &'a str }",
    ] {
        assert_eq!(faults(&Source::sample("x.rs", shown)).len(), 1, "{shown}");
    }
    for hidden in [
        "#[derive(Debug)] struct Login { name: String, password: SecretString }",
        "#[derive(Debug)] struct A { token: Option<Arc<SecretString>>, path: String }",
        "#[derive(Clone)] struct Passcode(String);",
        "#[derive(Debug)] struct A { name: String } fn f(token: &str) {}",
        "#[derive(Debug)] enum Token { Static(SecretString), File { token_file: PathBuf } }",
    ] {
        none(&faults(&Source::sample("x.rs", hidden)));
    }
}
