//! The command line: what is asked, and the exit code that answers it.
//!
//! Exit codes: 0 as asked; 1 it failed; 2 the command line or the configuration cannot be used. `plan` exits with 2
//! where something would be changed, and with 1 for everything that failed.

mod adopt;
mod chart;
mod commands;
mod config;
mod diagnose;
mod plan;
mod program;
mod rbac;
mod run;
mod usage;

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
    All,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::OrderProcess => Self::OrderProcess,
            ModeArg::Report => Self::Report,
            ModeArg::MembershipSync => Self::MembershipSync,
            ModeArg::EventProcess => Self::EventProcess,
            ModeArg::All => Self::All,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration, or print what one may look like
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the manifests that give the agent the rights on the cluster which this configuration needs
    Rbac(rbac::RbacArgs),
    /// Look at everything that the agent depends on, and say what to do about what is wrong
    #[command(visible_alias = "waldur_site_diagnostics", after_help = diagnose::EXIT_CODES)]
    Diagnose(diagnose::DiagnoseArgs),
    /// Bring the components of the offerings in Waldur to what the configuration says
    #[command(name = "load_components", visible_alias = "waldur_site_load_components", after_help = commands::EXIT_CODES)]
    LoadComponents(commands::CommonArgs),
    /// Bring the quotas on the cluster to the limits in Waldur
    #[command(name = "sync_resource_limits", visible_alias = "waldur_sync_resource_limits", after_help = commands::EXIT_CODES)]
    SyncResourceLimits(commands::LimitsArgs),
    /// Give usernames to the offering users who wait for one
    #[command(name = "sync_offering_users", visible_alias = "waldur_sync_offering_users", after_help = commands::EXIT_CODES)]
    SyncOfferingUsers(commands::CommonArgs),
    /// Say whether the agent on this machine is alive and Waldur answers
    #[command(name = "healthz", visible_alias = "waldur_site_healthz", after_help = commands::HEALTH_EXIT_CODES)]
    Healthz(commands::HealthArgs),
    /// Do nothing: projects have no home directories
    #[command(name = "create_homedirs", visible_alias = "waldur_site_create_homedirs")]
    CreateHomedirs(commands::IgnoredArgs),
    /// Measure months of the past as far as Prometheus keeps them, and tell them to Waldur with a token of staff
    #[command(name = "load_historical_usage", visible_alias = "waldur_site_load_historical_usage", after_help = commands::HISTORICAL_EXIT_CODES)]
    LoadHistoricalUsage(commands::HistoricalArgs),
    /// Do nothing: orders are not simulated
    #[command(name = "test_order", visible_alias = "waldur_site_test_order")]
    TestOrder(commands::IgnoredArgs),
    /// Show what would be changed, per resource; exit 0 if nothing, 2 if something, 1 if that could not be found out
    Plan(plan::PlanArgs),
    /// Do what `plan` shows, for resources and their open orders
    Apply(plan::ApplyArgs),
    /// List projects that Waldur knows but that carry no labels, with what is wrong with them; take over those named
    Adopt(adopt::AdoptArgs),
    /// Give up projects: labels are removed, everything else stays
    Abandon(adopt::AbandonArgs),
    /// Show what was measured of a month, with what Waldur has of it
    Usage(usage::UsageArgs),
}

impl Command {
    fn run(&self) -> u8 {
        match self {
            Self::Config(command) => config::run(command),
            Self::Rbac(args) => rbac::run(args),
            Self::Plan(args) => plan::plan(args),
            Self::Apply(args) => plan::apply(args),
            Self::Adopt(args) => adopt::adopt(args),
            Self::Abandon(args) => adopt::abandon(args),
            Self::Usage(args) => usage::run(args),
            Self::Diagnose(args) => diagnose::run(args),
            Self::LoadComponents(args) => commands::load_components(args),
            Self::SyncResourceLimits(args) => commands::sync_resource_limits(args),
            Self::SyncOfferingUsers(args) => commands::sync_offering_users(args),
            Self::Healthz(args) => commands::health(args),
            Self::CreateHomedirs(args) => commands::nothing(args, commands::NO_HOMEDIRS),
            Self::LoadHistoricalUsage(args) => commands::load_historical_usage(args),
            Self::TestOrder(args) => commands::nothing(args, commands::NO_TEST_ORDER),
        }
    }
}

/// Runs what the command line asks for. `program` is the name under which the process was started: the commands of the
/// Python agent are also names of this program.
pub fn run(program: &str) -> ExitCode {
    let cli = program::parse(program);
    let code = match cli.command {
        Some(command) => command.run(),
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
