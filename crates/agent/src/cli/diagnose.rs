//! `waldur_site_agent diagnose` and `waldur_site_diagnostics`.

use std::path::PathBuf;

use super::{FAILED, ModeArg, UNUSABLE, load};
use crate::diagnose::{self, DiagnoseOptions};
use crate::settings::Severity;

/// Part of the help.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 no check failed; 1 a check failed; 2 the command line or the configuration cannot be used.
Signs: ✓ as it should be; ! works, but look at it; ✗ failed; – not tried. Nothing is changed without --write-test.";

#[derive(Debug, clap::Args)]
pub(super) struct DiagnoseArgs {
    /// Configuration file
    #[arg(short, long, default_value = "waldur-site-agent-config.yaml", value_name = "FILE")]
    config_file: PathBuf,
    /// Only this offering
    #[arg(long, value_name = "NAME")]
    offering: Option<String>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    /// Make a project on the cluster, set quota and access, verify them, and remove the project; where events are
    /// configured, register the agent's queue and log in at the broker
    #[arg(long)]
    write_test: bool,
    /// Ignored; the Python agent's command takes it
    #[arg(short, long, value_enum, hide = true)]
    mode: Option<ModeArg>,
}

pub(super) fn run(args: &DiagnoseArgs) -> u8 {
    let Some(loaded) = load(&args.config_file, false) else {
        return UNUSABLE;
    };
    let _ = args.mode;
    let warnings = loaded.warnings.iter().filter(|finding| finding.severity < Severity::Note);
    let warnings = warnings.map(ToString::to_string).collect();
    let options = DiagnoseOptions { offering: args.offering.clone(), warnings, write_test: args.write_test };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("cannot start: {error}");
            return FAILED;
        }
    };
    match runtime.block_on(diagnose::diagnose(&loaded.settings, &options)) {
        Ok(found) => {
            if args.json {
                anstream::println!("{:#}", found.json());
            } else {
                anstream::print!("{}", found.table(width()));
            }
            if found.ok() { 0 } else { FAILED }
        }
        Err(error) => {
            anstream::eprintln!("{error:#}");
            UNUSABLE
        }
    }
}

/// Columns of the terminal; `None` for a pipe or file.
fn width() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0))
}
