//! `waldur_site_agent -m MODE -c FILE`: runs a mode until it is told to stop.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{FAILED, RunArgs, UNUSABLE, load};
use crate::engine::{Engine, EngineOptions};
use crate::health::{self, Health};
use crate::settings::{Mode, Settings};
use crate::telemetry::Console;
use crate::{heartbeat, setup, telemetry, usage};

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
    let version = env!("CARGO_PKG_VERSION");
    let dry_run = args.dry_run || settings.dry_run;
    tracing::info!(mode = mode.as_str(), version, dry_run, "starting");
    // Without events in `--once`: it does what there is now.
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
    let stop = CancellationToken::new();
    stop_on_signals(&stop);
    let reports = match reports_too(settings, mode, options) {
        Ok(reports) => reports,
        Err(error) => {
            tracing::error!("{error:#}");
            return UNUSABLE;
        }
    };
    if args.once {
        let worked = engine.run_once(&stop).await;
        let reported = match &reports {
            Some(reports) if !stop.is_cancelled() => usage::report_once(reports).await,
            _ => true,
        };
        return if worked && reported { 0 } else { FAILED };
    }
    let health = match health(settings, &engine, &stop).await {
        Ok(health) => health,
        Err(error) => {
            tracing::error!("{error:#}");
            return UNUSABLE;
        }
    };
    let reports = async {
        if let Some(reports) = &reports {
            usage::run(reports, settings.periods.report, &stop).await;
        }
    };
    tokio::join!(engine.run(&stop), reports, health);
    tracing::info!("stopped");
    0
}

/// Mode `all` reports usage as well, where an offering wants it.
fn reports_too(
    settings: &Settings,
    mode: Mode,
    options: EngineOptions,
) -> anyhow::Result<Option<usage::Reports>> {
    let wanted = mode == Mode::All && settings.offerings.iter().any(|offering| offering.reporting);
    wanted.then(|| setup::usage(settings, options)).transpose()
}

/// Mode `report` by itself.
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
    let health = Health::default();
    let beats = heartbeat::beat_until(&health, &stop);
    tokio::join!(usage::run(&reports, settings.periods.report, &stop), beats);
    tracing::info!("stopped");
    0
}

/// Tells health where the configuration asks for it.
async fn health(
    settings: &Settings,
    engine: &Arc<Engine>,
    stop: &CancellationToken,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let served = match settings.monitoring.health_listen {
        Some(address) => Some(health::serve(address, Arc::clone(engine), stop.clone()).await?),
        None => None,
    };
    Ok(async move {
        if let Some(served) = served {
            served.await;
        }
    })
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
