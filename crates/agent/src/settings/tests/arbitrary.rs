//! Any text, and any damage to a good file: it loads, or it is refused with findings that have a place and a message.

use proptest::prelude::*;

use super::super::{Strictness, check_text, default_file};
use super::{OFFERING, environment};

const FLAT: &str = include_str!("../../../../../examples/okd-config-with-token-refresh.yaml");

fn survives(text: &str) {
    for strictness in [Strictness::Strict, Strictness::Lenient] {
        if let Err(report) = check_text("config.yaml", text, &environment(&[("A", "b: [c")]), strictness) {
            assert!(report.errors() > 0, "{text}");
            assert!(report.findings.iter().all(|finding| !finding.message.is_empty()), "{text}");
            assert!(!report.to_string().contains("this is a bug"), "{report}\n{text}");
        }
    }
}

/// What YAML and the placeholders of variables are made of.
const PIECES: [&str; 20] = [
    ":", "- ", "{", "}", "[", "]", "&a ", "*a", "!!str ", "|\n", ">\n", "'", "\"", "#", "${A}", "${A:-",
    "\t", "\u{0}", "? ", "---\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text(text in "(.|\n)*") {
        survives(&text);
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40)) {
        survives(&pieces.concat());
    }

    #[test]
    fn any_damage(which in 0_usize..3, at in any::<prop::sample::Index>(), length in 0_usize..30,
                  with in prop_oneof!["(.|\n){0,20}", prop::sample::select(&PIECES[..]).prop_map(str::to_owned)]) {
        let text = match which { 0 => OFFERING.to_owned(), 1 => FLAT.to_owned(), _ => default_file() };
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        let start = at.index(places.len());
        let end = places.get(start + length).copied().unwrap_or(text.len());
        survives(&format!("{}{with}{}", &text[..places[start]], &text[end..]));
    }
}
