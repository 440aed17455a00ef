//! `waldur_site_agent -m MODE -c FILE`: runs a mode until it is told to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{FAILED, RunArgs, UNUSABLE, load};
use crate::engine::EngineOptions;
use crate::settings::{Mode, Settings};
use crate::telemetry::Console;
use crate::{setup, telemetry, usage};

pub(super) fn run(args: &RunArgs) -> u8 {
    let Some(loaded) = load(&args.config_file, args.strict) else {
        return UNUSABLE;
    };
    let settings = loaded.settings;
    if let Err(error) = telemetry::init(settings.log_level, settings.log_file.as_deref(), Console::Output) {
        anstream::eprintln!("{error:#}");
        return UNUSABLE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return FAILED;
        }
    };
    runtime.block_on(run_mode(args, &settings))
}

async fn run_mode(args: &RunArgs, settings: &Settings) -> u8 {
    let mode = args.mode.map(Mode::from).or(settings.agent_mode).unwrap_or(Mode::OrderProcess);
    if matches!(mode, Mode::EventProcess) {
        tracing::error!(mode = mode.as_str(), "this mode is not available yet");
        return UNUSABLE;
    }
    let version = env!("CARGO_PKG_VERSION");
    let dry_run = args.dry_run || settings.dry_run;
    tracing::info!(mode = mode.as_str(), version, dry_run, "starting");
    let options = EngineOptions { dry_run, force_removal: args.force, ..EngineOptions::default() };
    if mode == Mode::Report {
        return report(args, settings, options).await;
    }
    let engine = match setup::engine(settings, mode, options) {
        Ok(engine) => engine,
        Err(error) => {
            tracing::error!("{error:#}");
            return UNUSABLE;
        }
    };
    if args.once {
        let done = match mode {
            Mode::MembershipSync => engine.keep_resources_once().await,
            Mode::OrderProcess | Mode::Report | Mode::EventProcess => engine.process_orders_once().await,
        };
        return if done { 0 } else { FAILED };
    }
    let stop = CancellationToken::new();
    stop_on_signals(&stop);
    match mode {
        Mode::MembershipSync => engine.keep_resources(settings.periods.membership_sync, &stop).await,
        Mode::OrderProcess | Mode::Report | Mode::EventProcess => {
            engine.process_orders(settings.periods.order_process, &stop).await;
        }
    }
    tracing::info!("stopped");
    0
}

async fn report(args: &RunArgs, settings: &Settings, options: EngineOptions) -> u8 {
    let reports = match setup::usage(settings, options) {
        Ok(reports) => reports,
        Err(error) => {
            tracing::error!("{error:#}");
            return UNUSABLE;
        }
    };
    if args.once {
        return if usage::report_once(&reports).await { 0 } else { FAILED };
    }
    let stop = CancellationToken::new();
    stop_on_signals(&stop);
    usage::run(&reports, settings.periods.report, &stop).await;
    tracing::info!("stopped");
    0
}

/// The first SIGTERM or SIGINT stops taking work; the second ends the process at once.
fn stop_on_signals(stop: &CancellationToken) {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let stop = stop.clone();
        match signal(kind) {
            Ok(mut signals) => {
                tokio::spawn(async move {
                    while signals.recv().await.is_some() {
                        if stop.is_cancelled() {
                            std::process::exit(i32::from(FAILED));
                        }
                        tracing::info!("stopping: finishing what is in flight");
                        stop.cancel();
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "cannot listen for signals"),
        }
    }
}
