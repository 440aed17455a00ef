//! `waldur_site_agent plan` and `apply`: what would be done, and doing just that.

use std::path::PathBuf;
use std::sync::Arc;

use planner::desired::Command;
use planner::render;

use super::{FAILED, load};
use crate::engine::{Considered, Engine, EngineOptions, Named};
use crate::settings::Settings;
use crate::setup::{self, CommandScope};
use crate::telemetry::{self, Console};

/// Something would be changed.
const CHANGES: u8 = 2;

/// Which configuration and which resources.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// Configuration file
    #[arg(short, long, default_value = "waldur-site-agent-config.yaml", value_name = "FILE")]
    pub(super) config_file: PathBuf,
    /// Remove access also where so much is removed at once that it looks like an accident
    #[arg(long)]
    pub(super) force: bool,
    /// Take unknown keys of the configuration as errors
    #[arg(long)]
    pub(super) strict: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    common: Common,
    /// Only this resource, by UUID, slug or namespace; may be repeated
    #[arg(long, value_name = "RESOURCE")]
    resource: Vec<String>,
    /// Print JSON, which `apply --plan` takes
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    common: Common,
    /// Only this resource, by UUID, slug or namespace; may be repeated
    #[arg(long, value_name = "RESOURCE")]
    resource: Vec<String>,
    /// Do what this output of `plan --json` says, and nothing if the world has moved since
    #[arg(long, value_name = "PLAN", conflicts_with = "resource")]
    plan: Option<PathBuf>,
}

pub(super) fn plan(args: &PlanArgs) -> u8 {
    let named = Named(&args.resource);
    run(&args.common, "plan", async |settings, options| {
        let parts = Parts::consider(settings, options, named).await?;
        let all = parts.together();
        if args.json {
            anstream::println!("{:#}", render::json(&all.plans));
        } else {
            anstream::print!("{}", render::text(&all.plans));
        }
        Ok(match (complain(&all), all.plans.iter().any(|planned| !planned.changes.is_empty())) {
            (true, _) => FAILED,
            (false, true) => CHANGES,
            (false, false) => 0,
        })
    })
}

pub(super) fn apply(args: &ApplyArgs) -> u8 {
    let named = Named(&args.resource);
    run(&args.common, "apply", async |settings, options| {
        let kept = match &args.plan {
            None => None,
            Some(path) => Some(read_plan(path)?),
        };
        let mut parts = Parts::consider(settings, options, named).await?;
        let all = parts.together();
        if complain(&all) {
            return Ok(FAILED);
        }
        if let Some(kept) = &kept {
            let moved = moved(kept, &all);
            if !moved.is_empty() {
                anstream::eprintln!("the world has moved since that plan was made; nothing was done:");
                moved.iter().for_each(|line| anstream::eprintln!("  {line}"));
                return Ok(FAILED);
            }
            parts.retain(|resource| kept.iter().any(|(known, _)| known == resource));
        }
        anstream::print!("{}", render::text(&parts.together().plans));
        Ok(if parts.carry_out().await { 0 } else { FAILED })
    })
}

fn read_plan(path: &std::path::Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("cannot read the plan `{}`: {error}", path.display()))?;
    render::kept(&text).map_err(|error| anyhow::anyhow!("the plan `{}` {error}", path.display()))
}

/// What of a kept plan is not so any more.
fn moved(kept: &[(String, String)], now: &Considered) -> Vec<String> {
    let line = |(resource, fingerprint): &(String, String)| match now
        .plans
        .iter()
        .find(|planned| planned.resource == *resource)
    {
        None => Some(format!("resource {resource}: there is nothing to plan for it any more")),
        Some(planned) if planned.fingerprint != *fingerprint => {
            Some(format!("resource {resource} ({}): there is something else to do", planned.name))
        }
        Some(_) => None,
    };
    kept.iter().filter_map(line).collect()
}

/// The two halves of the work: what orders ask for, and resources as they are to be kept.
struct Parts(Vec<(Arc<Engine>, Considered)>);

impl Parts {
    async fn consider(settings: &Settings, options: EngineOptions, named: Named<'_>) -> anyhow::Result<Self> {
        let mut parts = Vec::new();
        for scope in [CommandScope::Orders, CommandScope::Members] {
            if let Some(engine) = setup::commanded(settings, scope, options)? {
                let considered = engine.consider(named, None).await;
                parts.push((engine, considered));
            }
        }
        Ok(Self(parts))
    }

    fn together(&self) -> Considered {
        let mut all = self.0.iter().map(|(_, considered)| considered.clone());
        let first = all.next().unwrap_or_default();
        all.fold(first, |mut all, more| {
            all.merge(more);
            all
        })
    }

    fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        for (_, considered) in &mut self.0 {
            considered.plans.retain(|planned| keep(&planned.resource));
        }
    }

    async fn carry_out(&self) -> bool {
        let mut done = true;
        for (engine, considered) in &self.0 {
            done &= engine.carry_out(considered).await;
        }
        done
    }
}

/// Says what could not be looked at; true if there is any.
pub(super) fn complain(considered: &Considered) -> bool {
    considered.failed.iter().for_each(|line| anstream::eprintln!("cannot plan: {line}"));
    for name in &considered.unknown {
        anstream::eprintln!(
            "`{name}` is no resource in use of the offerings of this configuration, nor its namespace"
        );
    }
    !(considered.failed.is_empty() && considered.unknown.is_empty())
}

/// Loads the configuration, sets up logging and runs a command; everything that goes wrong is exit code 1.
pub(super) fn run<F>(common: &Common, asked_by: &'static str, command: F) -> u8
where
    F: AsyncFnOnce(&Settings, EngineOptions) -> anyhow::Result<u8>,
{
    let Some(loaded) = load(&common.config_file, common.strict) else {
        return FAILED;
    };
    let settings = loaded.settings;
    let options = EngineOptions { force_removal: common.force, asked_by, ..EngineOptions::default() };
    let run = || -> anyhow::Result<u8> {
        telemetry::init(settings.log_level, settings.log_file.as_deref(), Console::Error)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(command(&settings, options))
    };
    run().unwrap_or_else(|error| {
        anstream::eprintln!("{error:#}");
        FAILED
    })
}

/// The one engine of a command about projects, with what it would do.
pub(super) async fn consider_all(
    settings: &Settings,
    options: EngineOptions,
    named: Named<'_>,
    command: Command,
) -> anyhow::Result<(Arc<Engine>, Considered)> {
    let engine = setup::commanded(settings, CommandScope::All, options)?;
    let engine =
        engine.ok_or_else(|| anyhow::anyhow!("no offering of the configuration is worked by this agent"))?;
    let considered = engine.consider(named, Some(command)).await;
    Ok((engine, considered))
}
