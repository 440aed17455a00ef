//! The command line: what is asked, and the exit code that answers it.
//!
//! Exit codes: 0 as asked; 1 it failed; 2 the command line or the configuration cannot be used. `plan` exits with 2
//! where something would be changed, and with 1 for everything that failed.

mod adopt;
mod config;
mod plan;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::settings::{self, Environment, Loaded, Mode, Severity, Strictness};

/// It failed.
pub(crate) const FAILED: u8 = 1;
/// The command line or the configuration cannot be used.
pub(crate) const UNUSABLE: u8 = 2;

/// Keeps OKD and OpenShift projects equal to what a Waldur marketplace sold.
#[derive(Debug, Parser)]
#[command(name = "waldur_site_agent", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// What to do, for ever [default: `agent_mode` of the configuration, else order_process]
    #[arg(short, long, value_enum)]
    mode: Option<ModeArg>,
    /// Configuration file
    #[arg(short, long, default_value = "waldur-site-agent-config.yaml", value_name = "FILE")]
    config_file: PathBuf,
    /// Do what there is to do now and exit: 0 if all of it could be done
    #[arg(long)]
    once: bool,
    /// Log what would be done, and change nothing, in Waldur or on the cluster
    #[arg(long)]
    dry_run: bool,
    /// Remove access also where so much is removed at once that it looks like an accident
    #[arg(long)]
    force: bool,
    /// Take unknown keys of the configuration as errors
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum ModeArg {
    OrderProcess,
    Report,
    MembershipSync,
    EventProcess,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::OrderProcess => Self::OrderProcess,
            ModeArg::Report => Self::Report,
            ModeArg::MembershipSync => Self::MembershipSync,
            ModeArg::EventProcess => Self::EventProcess,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration, or print what one may look like
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Show what would be changed, per resource; exit 0 if nothing, 2 if something, 1 if that could not be found out
    Plan(plan::PlanArgs),
    /// Do what `plan` shows, for resources and their open orders
    Apply(plan::ApplyArgs),
    /// List projects that Waldur knows but that carry no labels, with what is wrong with them; take over those named
    Adopt(adopt::AdoptArgs),
    /// Give up projects: labels are removed, everything else stays
    Abandon(adopt::AbandonArgs),
}

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let code = match cli.command {
        Some(Command::Config(command)) => config::run(&command),
        Some(Command::Plan(args)) => plan::plan(&args),
        Some(Command::Apply(args)) => plan::apply(&args),
        Some(Command::Adopt(args)) => adopt::adopt(&args),
        Some(Command::Abandon(args)) => adopt::abandon(&args),
        None => run::run(&cli.run),
    };
    ExitCode::from(code)
}

/// Loads the configuration; warnings and faults go to standard error.
fn load(path: &std::path::Path, strict: bool) -> Option<Loaded> {
    let strictness = if strict { Strictness::Strict } else { Strictness::Lenient };
    match settings::load(path, &Environment::process(), strictness) {
        Ok(loaded) => {
            let worth_saying = loaded.warnings.iter().filter(|finding| finding.severity < Severity::Note);
            for finding in worth_saying {
                anstream::eprintln!("{finding}");
            }
            Some(loaded)
        }
        Err(report) => {
            anstream::eprint!("{report}");
            None
        }
    }
}
