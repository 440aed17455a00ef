//! What holds for every file: modules say what they are for, none grows too long, and nothing tells on what machine
//! or how the product was written.

use crate::none;
use crate::source::{Source, files, rust, text};

/// Lines; a file that nears it is two.
const LONGEST: usize = 500;

/// Put together here, so that this file does not hold them.
const TELLTALE: [&str; 14] = [
    concat!("/", "work/"),
    concat!("/", "root/"),
    concat!("house", " rules"),
    concat!("house", "-rules"),
    concat!("work", "tree"),
    concat!("integr", "ator"),
    concat!("sub", "agent"),
    concat!("coding", " agent"),
    concat!("language", " model"),
    concat!("co-authored", "-by"),
    concat!("issue", " #"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("HA", "CK:"),
];

fn telltales(path: &str, text: &str) -> Vec<String> {
    let is_marker = |word: &str| word.chars().all(|c| c.is_uppercase() || c == ':');
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let lower = line.to_lowercase();
        let found = TELLTALE
            .iter()
            .filter(|word| if is_marker(word) { line.contains(**word) } else { lower.contains(**word) });
        faults.extend(found.map(|word| format!("{path}:{}: `{word}`", number + 1)));
    }
    faults
}

#[test]
fn nothing_tells_of_machines_or_of_how_this_was_written() {
    let texts = files().into_iter().filter_map(|path| text(&path).map(|text| (path, text)));
    none(&texts.flat_map(|(path, text)| telltales(&path, &text)).collect::<Vec<_>>());
}

#[test]
fn a_telltale_is_found() {
    let folder = format!("see {}notes, and the {}", TELLTALE[0], TELLTALE[4].to_uppercase());
    assert_eq!(telltales("a.md", &folder).len(), 2);
    assert_eq!(telltales("a.rs", &format!("// {} later", TELLTALE[11])).len(), 1);
    none(&telltales("a.md", "networking/ of the todo list"));
}

fn all_rust() -> Vec<Source> {
    ["crates/", "fuzz/", "xtask/"].into_iter().flat_map(rust).collect()
}

#[test]
fn every_module_says_what_it_is_for() {
    let without = all_rust().into_iter().filter(|source| !source.text.starts_with("//! "));
    none(&without.map(|source| source.fault(1, "does not open with a `//!` line")).collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long() {
    let lengths = all_rust().into_iter().map(|source| (source.text.lines().count(), source));
    let long = lengths.filter(|(lines, _)| *lines > LONGEST);
    none(&long.map(|(lines, source)| source.fault(lines, "too long; split it")).collect::<Vec<_>>());
}
