//! Invariant: the planner has no I/O, clock, randomness or environment, and waits for nothing.
//!
//! The lint settings in `crates/planner/clippy.toml` refuse the same by the meaning of a name, whatever it is
//! imported as; this refuses by its spelling, and knows what is no function or type. Tests of the stomp crate measure
//! time, so for that crate the spelling alone is refused, in its source.

use crate::none;
use crate::source::{Source, find, rust, text};

/// Words that a pure crate has no use for.
const WORDS: [&str; 14] = [
    "Instant",
    "SystemTime",
    "async",
    "await",
    "dbg",
    "env",
    "eprintln",
    "fastrand",
    "fs",
    "getrandom",
    "net",
    "println",
    "rand",
    "tokio",
];

fn faults(source: &Source) -> Vec<String> {
    let tokens = source.tokens();
    let words = tokens.iter().filter(|token| WORDS.contains(&token.text));
    let mut faults: Vec<String> =
        words.map(|token| source.fault(token.line, &format!("`{}`", token.text))).collect();
    for name in ["now", "new_v4"] {
        let calls = find(&tokens, &[":", ":", name]);
        faults
            .extend(calls.into_iter().map(|place| source.fault(tokens[place].line, &format!("`::{name}`"))));
    }
    faults
}

#[test]
fn the_planner_is_pure() {
    none(&rust("crates/planner/src/").iter().flat_map(faults).collect::<Vec<_>>());
}

#[test]
fn stomp_is_pure() {
    none(&rust("crates/stomp/src/").iter().flat_map(faults).collect::<Vec<_>>());
}

#[test]
fn a_look_at_the_world_is_found() {
    for impure in [
        "use std::{fs, path::Path};",
        "let home = std::env::var(\"HOME\");",
        "let start = time::Instant::now();",
        "let now = jiff::Timestamp\n    ::now();",
        "let id = Uuid::new_v4();",
        "pub async fn plan() {}",
        "let jitter = fastrand::u32(..);",
    ] {
        assert!(!faults(&Source::sample("x.rs", impure)).is_empty(), "{impure}");
    }
    let pure =
        "/// Reads no std::env; `now` is an argument.\nfn plan(now: Timestamp) -> &'static str { \"tokio\" }";
    none(&faults(&Source::sample("x.rs", pure)));
}

#[test]
fn lints_guard_the_same() {
    let settings = text("crates/planner/clippy.toml").expect("lint settings are text");
    for refused in ["std::env::var", "std::fs::File", "std::time::SystemTime", "jiff::Timestamp::now"] {
        assert!(settings.contains(&format!("\"{refused}\"")), "{refused} is not refused");
    }
}
