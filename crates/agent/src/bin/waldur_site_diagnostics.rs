//! `waldur_site_diagnostics`: the diagnostics, under the name of the Python agent's command.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent::main_as("waldur_site_diagnostics")
}
