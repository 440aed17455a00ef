//! `waldur_site_agent -m MODE -c FILE`: runs a mode until it is told to stop.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{FAILED, RunArgs, UNUSABLE, load};
use crate::engine::{Engine, EngineOptions, Offering};
use crate::metrics::Page;
use crate::settings::{Mode, Settings};
use crate::telemetry::Console;
use crate::{health, setup, telemetry, usage};

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
    let options = EngineOptions { dry_run, force_removal: args.force, ..EngineOptions::default() };
    let stop = CancellationToken::new();
    stop_on_signals(&stop);
    match start(args, settings, mode, options, &stop).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            UNUSABLE
        }
    }
}

/// Runs to the end; an error is one of the configuration.
async fn start(
    args: &RunArgs,
    settings: &Settings,
    mode: Mode,
    options: EngineOptions,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let engine = setup::engine(settings, mode, options)?;
    let alone = match mode {
        Mode::Report => Some(setup::usage(settings, options, Some(&engine))?),
        Mode::All | Mode::OrderProcess | Mode::MembershipSync | Mode::EventProcess => None,
    };
    // Reports are only made here, while those of an engine that works orders are for what goes.
    let reports = alone.as_ref().or_else(|| engine.reports().filter(|_| mode == Mode::All));
    if args.once {
        let mut done = engine.run_once(stop).await;
        if let Some(reports) = reports {
            done &= tokio::select! {
                done = usage::report_once(reports) => done,
                () = stop.cancelled() => false,
            };
        }
        return Ok(if done { 0 } else { FAILED });
    }
    let further = reports.map(|reports| reports.offerings().collect()).unwrap_or_default();
    let health = health(settings, &engine, further, stop).await?;
    let report = async {
        if let Some(reports) = reports {
            usage::run(reports, settings.periods.report, engine.health(), stop).await;
        }
    };
    tokio::join!(engine.run(stop), report, health);
    tracing::info!("stopped");
    Ok(0)
}

/// Tells health and metrics where the configuration asks for it.
async fn health(
    settings: &Settings,
    engine: &Arc<Engine>,
    further: Vec<Arc<Offering>>,
    stop: &CancellationToken,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let page = Arc::new(Page::new(Arc::clone(engine), further));
    let mut served = Vec::new();
    for address in settings.monitoring.listens() {
        served.push(health::serve(address, Arc::clone(engine), Arc::clone(&page), stop.clone()).await?);
    }
    Ok(async move {
        futures::future::join_all(served).await;
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
