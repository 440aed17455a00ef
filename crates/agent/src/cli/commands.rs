//! The command lines of the smaller commands of the Python agent.

use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::Date;
use secrecy::SecretString;
use uuid::Uuid;

use super::{FAILED, ModeArg, UNUSABLE, load};
use crate::commands::{Manner, health, historical, limits, load_components, usernames};
use crate::settings::Settings;
use crate::telemetry::{self, Console};

/// Ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Part of the help of those that change something.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 all done; 1 something failed; 2 the command line or the configuration cannot be used.";
/// Part of the help of the command that loads usage of the past.
pub(super) const HISTORICAL_EXIT_CODES: &str = "\
Exit codes: 0 all done; 1 something failed; 2 the command line or the configuration cannot be used; 130 interrupted.";
/// Part of the help of the health check.
pub(super) const HEALTH_EXIT_CODES: &str = "Exit codes: 0 healthy; 1 not.";

#[derive(Debug, clap::Args)]
pub(super) struct CommonArgs {
    /// Configuration file
    #[arg(short, long, default_value = "waldur-site-agent-config.yaml", value_name = "FILE")]
    config_file: PathBuf,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Ignored; the Python agent's command takes it
    #[arg(short, long, value_enum, hide = true)]
    mode: Option<ModeArg>,
}

#[derive(Debug, clap::Args)]
pub(super) struct LimitsArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The other way: write the limits that the quotas on the cluster stand for into Waldur, as the Python agent did.
    /// This replaces what customers have bought
    #[arg(long)]
    from_cluster: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    /// Configuration file
    #[arg(short, long, default_value = "/etc/waldur-site-agent/config.yaml", value_name = "FILE")]
    config_file: PathBuf,
    /// How old the last heartbeat may be, in seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    max_age: u64,
    /// Look at the heartbeat only, not whether Waldur answers
    #[arg(long)]
    liveness_only: bool,
}

/// As the Python agent's command takes it.
#[derive(Debug, clap::Args)]
pub(super) struct HistoricalArgs {
    /// Configuration file
    #[arg(short, long = "config", alias = "config-file", value_name = "FILE")]
    config_file: PathBuf,
    /// The offering
    #[arg(short, long, value_name = "UUID")]
    offering_uuid: Uuid,
    /// Waldur API token of staff, used instead of that of the configuration
    #[arg(short = 't', long, value_name = "TOKEN", value_parser = secret)]
    user_token: SecretString,
    /// Load from the month of this day on
    #[arg(short, long, value_name = "YYYY-MM-DD", value_parser = date)]
    start_date: Date,
    /// Up to the month of this day
    #[arg(short, long, value_name = "YYYY-MM-DD", value_parser = date)]
    end_date: Date,
    /// Ignored: usage is that of projects, never of single users
    #[arg(long)]
    skip_user_usage: bool,
    /// Do not ask first whether the token is one of staff
    #[arg(long)]
    no_staff_check: bool,
    /// Measure, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Set what Waldur has to zero for months in which a resource had no project on the cluster
    #[arg(long)]
    reconcile_stale: bool,
    /// The resource with this backend id alone; may be given several times
    #[arg(long, value_name = "ID")]
    resource_backend_id: Vec<String>,
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

fn date(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| "expected a date such as 2026-11-30".to_owned())
}

/// Whatever a command takes that does nothing here.
#[derive(Debug, clap::Args)]
pub(super) struct IgnoredArgs {
    /// Ignored
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    ignored: Vec<String>,
}

pub(super) fn load_components(args: &CommonArgs) -> u8 {
    with(args, async |settings, manner| Ok(load_components::run(settings, manner).await))
}

pub(super) fn sync_offering_users(args: &CommonArgs) -> u8 {
    with(args, async |settings, manner| Ok(usernames::run(settings, manner).await))
}

pub(super) fn sync_resource_limits(args: &LimitsArgs) -> u8 {
    with(&args.common, async |settings, manner| {
        if args.from_cluster {
            Ok(limits::to_waldur(settings, manner).await)
        } else {
            limits::to_cluster(settings, manner).await
        }
    })
}

pub(super) fn load_historical_usage(args: &HistoricalArgs) -> u8 {
    let _ = args.skip_user_usage;
    let order = historical::Order {
        offering: args.offering_uuid,
        token: args.user_token.clone(),
        from: args.start_date,
        until: args.end_date,
        needs_staff: !args.no_staff_check,
        reconcile_stale: args.reconcile_stale,
        backend_ids: args.resource_backend_id.clone(),
    };
    let mut interrupted = false;
    let code = with_file(&args.config_file, args.dry_run, async |settings, manner| {
        tokio::select! {
            done = historical::run(settings, order, manner) => done,
            _ = tokio::signal::ctrl_c() => {
                interrupted = true;
                Ok(false)
            }
        }
    });
    if interrupted { INTERRUPTED } else { code }
}

fn with(args: &CommonArgs, run: impl AsyncFnOnce(&Settings, Manner) -> anyhow::Result<bool>) -> u8 {
    let _ = args.mode;
    with_file(&args.config_file, args.dry_run, run)
}

fn with_file(
    file: &std::path::Path,
    dry_run: bool,
    run: impl AsyncFnOnce(&Settings, Manner) -> anyhow::Result<bool>,
) -> u8 {
    let Some(loaded) = load(file, false) else {
        return UNUSABLE;
    };
    let settings = loaded.settings;
    if let Err(error) = telemetry::init(settings.log_level, settings.log_file.as_deref(), Console::Error) {
        anstream::eprintln!("{error:#}");
        return UNUSABLE;
    }
    let manner = Manner { dry_run: dry_run || settings.dry_run };
    match block_on(run(&settings, manner)) {
        Some(Ok(true)) => 0,
        Some(Ok(false)) | None => FAILED,
        Some(Err(error)) => {
            anstream::eprintln!("{error:#}");
            UNUSABLE
        }
    }
}

/// Liveness, and unless that is all, whether Waldur answers. Anything that is wrong is exit 1: probes know no other.
pub(super) fn health(args: &HealthArgs) -> u8 {
    let (beats, text) = health::beats(Duration::from_secs(args.max_age));
    let mut healthy = report(beats, &text);
    if healthy && !args.liveness_only {
        let Some(loaded) = load(&args.config_file, false) else {
            return FAILED;
        };
        let answered = block_on(health::answers(&loaded.settings));
        let (answers, text) = answered.unwrap_or((false, "cannot ask Waldur".to_owned()));
        healthy = report(answers, &text);
    }
    if healthy { 0 } else { FAILED }
}

fn report(well: bool, text: &str) -> bool {
    for line in text.lines().map(planner::names::one_line) {
        if well {
            anstream::println!("{line}");
        } else {
            anstream::eprintln!("{line}");
        }
    }
    well
}

/// Says why a command does nothing here.
pub(super) fn nothing(_: &IgnoredArgs, why: &str) -> u8 {
    anstream::println!("{why}");
    0
}

pub(super) const NO_HOMEDIRS: &str =
    "Nothing to do: projects on OKD have no home directories, so none are created.";
pub(super) const NO_TEST_ORDER: &str = "Nothing to do: orders are not simulated here; `waldur_site_agent -m \
    order_process --once --dry-run` shows what real ones would do, and `waldur_site_diagnostics --write-test` tries \
    everything on the cluster.";

fn block_on<T>(work: impl Future<Output = T>) -> Option<T> {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => Some(runtime.block_on(work)),
        Err(error) => {
            anstream::eprintln!("cannot start: {error}");
            None
        }
    }
}
