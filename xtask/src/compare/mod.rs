//! `cargo xtask compare`: this agent and the published Python agent with its OKD plugin, side by side.
//!
//! Both do the same work from the same start, each on simulators of its own, with the same configuration file but for
//! what the Python agent needs to do its best. Everything is seen from outside: requests by the simulators' record,
//! time and memory by the kernel, and what is true afterwards by asking Waldur and the cluster.

mod agents;
mod figures;
mod report;
mod truth;
mod work;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use self::agents::Agent;
use self::figures::{Figures, JUDGED_MS, Side};
use self::work::Sizes;
use crate::output;
use crate::site::{self, Binaries, Profile};
use crate::workspace;

/// Where the figures are kept.
const DOCUMENT: &str = "docs/comparison.md";

/// What to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Milliseconds that each request takes on each side, one comparison for each
    #[arg(long, value_delimiter = ',', default_values_t = [0, JUDGED_MS, 20])]
    latency_ms: Vec<u64>,
    /// Create orders, and as many Terminate orders after them
    #[arg(long, default_value_t = Sizes::FULL.orders, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    orders: u32,
    /// Resources of the passes and of the report, each with a project on the cluster
    #[arg(long, default_value_t = Sizes::FULL.resources, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    resources: u32,
    /// Leave out the newest pre-release of the Python agent
    #[arg(long)]
    no_pre_release: bool,
    /// Print one JSON object instead of tables: `ratios` are the Python agent's figures divided by this agent's, `orders`
    /// the other way round, so that more is better everywhere; `wrong` counts what is not as it should be afterwards
    #[arg(long)]
    json: bool,
    /// Fail if a target is missed at 5 ms
    #[arg(long)]
    check: bool,
    /// Measure nothing, and take what runs of some of the latencies have printed with `--json`: all of it takes a quarter
    /// of an hour, for which few machines are idle
    #[arg(long, value_name = "FILE", num_args = 1..)]
    join: Vec<PathBuf>,
}

impl Arguments {
    const fn sizes(&self) -> Sizes {
        Sizes { orders: self.orders, resources: self.resources }
    }
}

/// Less than all of it is for trying things out; the document holds whole comparisons only.
fn is_whole(figures: &Figures) -> bool {
    let latencies = [0, JUDGED_MS, 20];
    let all = latencies.iter().all(|latency| (0..2).all(|agent| figures.side(agent, *latency).is_some()));
    let pre_release = figures.absent.is_some() || figures.side(2, JUDGED_MS).is_some();
    all && pre_release && figures.sizes == Sizes::FULL
}

/// Compares, prints the figures and writes the document.
///
/// # Errors
/// Something could not be installed, be started or come to its end; with `--check`, a target that is missed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let figures = if arguments.join.is_empty() { compare(arguments)? } else { join(&arguments.join)? };
    output::print(arguments.json, &figures.json(), &report::text(&figures))?;
    if is_whole(&figures) {
        let text = report::document(&figures, &report::Machine::this()?);
        let path = workspace::root().join(DOCUMENT);
        fs::write(&path, text).with_context(|| format!("cannot write `{DOCUMENT}`"))?;
        eprintln!("wrote {DOCUMENT}");
    } else {
        eprintln!("{DOCUMENT} is left as it is: this was a part of the comparison only");
    }
    if arguments.check {
        let missed = figures.missed().context("the targets are for a latency of 5 ms, which was left out")?;
        ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    }
    Ok(())
}

fn join(files: &[PathBuf]) -> Result<Figures> {
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
        Figures::read(&text).with_context(|| format!("`{}` cannot be used", file.display()))
    };
    Figures::join(files.iter().map(read).collect::<Result<_>>()?)
}

fn compare(arguments: &Arguments) -> Result<Figures> {
    let binaries = Binaries::with_chores(Profile::Release)?;
    let mut agents = vec![Agent::ours(&binaries)?, Agent::python()?];
    let mut absent = None;
    if !arguments.no_pre_release {
        match Agent::python_pre_release() {
            Ok(agent) => agents.push(agent),
            Err(error) => absent = Some(format!("it cannot be installed: {error:#}")),
        }
    }
    let (sides, failed) = site::run_until_stopped(measure(&binaries, &agents, arguments))?;
    if failed.is_some() {
        agents.retain(|agent| !agent.is_pre_release());
        absent = failed;
    }
    let agents = agents.iter().map(Agent::facts).collect();
    Ok(Figures { sizes: arguments.sizes(), agents, absent, sides })
}

/// All agents at all latencies. The pre-release is run at the judged latency alone: it is there to show what is coming,
/// and takes minutes. That it does not work is told and ends nothing.
async fn measure(
    binaries: &Binaries,
    agents: &[Agent],
    arguments: &Arguments,
) -> Result<(Vec<Side>, Option<String>)> {
    let (mut sides, mut failed) = (Vec::new(), None);
    for latency_ms in &arguments.latency_ms {
        for (number, agent) in agents.iter().enumerate() {
            if agent.is_pre_release() && *latency_ms != JUDGED_MS {
                continue;
            }
            let name = agent.facts().name;
            eprintln!("{name}, {latency_ms} ms");
            let measured = work::measure(binaries, agent, arguments.sizes(), *latency_ms).await;
            match measured.with_context(|| format!("{name} at {latency_ms} ms")) {
                Ok(measured) => sides.push(Side { agent: number, latency_ms: *latency_ms, measured }),
                Err(error) if agent.is_pre_release() => {
                    eprintln!("{error:#}");
                    failed = Some(format!("it does not work: {error:#}"));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok((sides, failed))
}
