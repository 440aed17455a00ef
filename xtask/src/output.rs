//! How figures are given: a table for people or one JSON object for machines, and whether they are good enough.

use std::io::Write as _;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

/// What every measurement can be asked for.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Output {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Fail if a target is not reached
    #[arg(long)]
    check: bool,
}

impl Output {
    /// Prints the figures, and ends well or badly by their targets.
    ///
    /// # Errors
    /// They cannot be printed; where targets are checked, one that is not reached.
    pub(crate) fn give(self, figures: &impl Serialize, text: &str, targets_reached: bool) -> Result<()> {
        print(self.json, figures, text)?;
        ensure!(!self.check || targets_reached, "a target is not reached");
        Ok(())
    }
}

/// Prints the figures as one JSON object, or as this text.
///
/// # Errors
/// They cannot be printed.
pub(crate) fn print(json: bool, figures: &impl Serialize, text: &str) -> Result<()> {
    let mut printed = std::io::stdout().lock();
    let result = if json {
        let json = serde_json::to_string_pretty(figures).context("cannot print the figures")?;
        writeln!(printed, "{json}")
    } else {
        printed.write_all(text.as_bytes())
    };
    result.context("cannot print the figures")
}
