//! Configuration files: they load, or are refused with errors that say what is wrong.

use std::io;

use agent::settings::{Environment, Strictness, check_text};

/// The input is the file.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let nothing = Environment::new(|_| None, |_| Err(io::Error::from(io::ErrorKind::NotFound)));
    if let Err(report) = check_text("config.yaml", text, &nothing, Strictness::Lenient) {
        assert!(report.errors() > 0, "refused without a reason");
        assert!(report.findings.iter().all(|finding| !finding.message.is_empty()), "a finding without words");
        assert!(!report.to_string().contains("this is a bug"), "{report}");
    }
}
