//! Damaged files: whatever is done to a configuration, it loads or is refused with an error that has a message.

use super::super::{Strictness, check_text, default_file};
use super::{OFFERING, environment, loaded};

const FLAT: &str = include_str!("../../../../../examples/okd-config.yaml");

/// Returns whether it loads.
fn survives(text: &str) -> bool {
    match check_text("config.yaml", text, &environment(&[]), Strictness::Strict) {
        Ok(_) => true,
        Err(report) => {
            assert!(report.errors() > 0, "{text}");
            assert!(report.findings.iter().all(|finding| !finding.message.is_empty()), "{text}");
            assert!(!report.to_string().contains("this is a bug"), "{report}\n{text}");
            false
        }
    }
}

/// All lines of the default file switched on, where a key stands in them, to damage everything there is.
fn everything() -> String {
    let on = |line: &str| {
        let bare = line.trim_start().trim_start_matches('#');
        let indent = line.len() - line.trim_start().len();
        let is_comment = bare.trim_start().starts_with('#') || line.trim_start().starts_with("# ");
        if is_comment { String::new() } else { format!("{:indent$}{}\n", "", bare.replace('#', "")) }
    };
    default_file().lines().map(on).collect()
}

#[test]
fn a_file_without_one_of_its_lines() {
    for text in [OFFERING, FLAT, &default_file(), &everything()] {
        let lines: Vec<&str> = text.lines().collect();
        for left_out in 0..lines.len() {
            let rest: Vec<&str> = lines
                .iter()
                .enumerate()
                .filter(|(index, _)| *index != left_out)
                .map(|(_, line)| *line)
                .collect();
            survives(&rest.join("\n"));
        }
    }
}

#[test]
fn a_file_that_ends_early() {
    for text in [OFFERING, FLAT] {
        for (end, _) in text.char_indices() {
            survives(&text[..end]);
        }
    }
}

#[test]
fn a_file_with_a_value_of_another_type() {
    let everything = everything();
    for text in [OFFERING, FLAT, &everything] {
        for (index, line) in text.lines().enumerate() {
            let Some((key, _)) = line.split_once(": ") else { continue };
            for value in [
                "[]",
                "{}",
                "[[]]",
                "{a: {b: c}}",
                "null",
                "''",
                "-1",
                "1e400",
                "\u{1F980}",
                "0x",
                "|\n\n",
                "${A}",
            ] {
                let replaced: Vec<String> = text
                    .lines()
                    .enumerate()
                    .map(|(at, line)| if at == index { format!("{key}: {value}") } else { line.to_owned() })
                    .collect();
                survives(&replaced.join("\n"));
            }
        }
    }
}

#[test]
fn byte_order_marks_and_windows_lines_do_not_matter() {
    assert!(survives(&format!("\u{feff}{OFFERING}")));
    let windows = OFFERING.replace('\n', "\r\n");
    assert!(survives(&windows));
    assert_eq!(loaded(&windows).settings.offerings[0].name, "OKD");
}

#[test]
fn all_keys_together_are_known() {
    let report = check_text("config.yaml", &everything(), &environment(&[]), Strictness::Strict).unwrap_err();
    assert!(!report.findings.iter().any(|finding| finding.message == "unknown key"), "{report}");
    assert!(!report.findings.iter().any(|finding| finding.message.contains("YAML")), "{report}");
}
