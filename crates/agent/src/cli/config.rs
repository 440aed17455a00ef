//! `waldur_site_agent config …`: check a configuration, print its schema and a documented example.

use std::path::PathBuf;

use clap::Subcommand;

use super::{FAILED, UNUSABLE};
use crate::settings::{self, Environment, Report, Strictness};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Name every fault of a configuration file; exit 0 if it can be used, 2 if not
    Check {
        /// Configuration file
        file: PathBuf,
        /// Take unknown keys as errors
        #[arg(long)]
        strict: bool,
        /// Print the findings as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of the configuration
    Schema,
    /// Print a complete example with each key, its meaning and its default
    Default,
}

pub(super) fn run(command: &ConfigCommand) -> u8 {
    match command {
        ConfigCommand::Check { file, strict, json } => {
            let strictness = if *strict { Strictness::Strict } else { Strictness::Lenient };
            let (findings, usable) = match settings::load(file, &Environment::process(), strictness) {
                Ok(loaded) => (loaded.warnings, true),
                Err(Report { findings }) => (findings, false),
            };
            if *json {
                anstream::println!("{:#}", settings::render_json(&findings));
            } else {
                anstream::print!("{}", settings::render(&findings));
                let verdict = if usable { "can be used" } else { "cannot be used" };
                anstream::println!("{}: {verdict}", file.display());
            }
            if usable { 0 } else { UNUSABLE }
        }
        ConfigCommand::Schema => match serde_json::to_string_pretty(&settings::schema()) {
            Ok(text) => {
                anstream::println!("{text}");
                0
            }
            Err(_) => FAILED,
        },
        ConfigCommand::Default => {
            anstream::print!("{}", settings::default_file());
            0
        }
    }
}
