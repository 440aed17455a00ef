//! `cargo xtask soak`: a marketplace in use for some minutes, in bad weather, and then everything has to be right.
//!
//! People act at random ([`mod@walk`]) while the real agent, driven by events, meets faults, tokens that end, a broker that goes
//! away, clocks that jump and its own death ([`weather`]). A model that shares nothing with the agent ([`crate::market`])
//! notes what was bought and who was let in. From time to time everybody rests; when the agent has come to rest as
//! well, every difference between the model and the two servers is a violation.

mod dice;
mod seed;
mod walk;
mod weather;

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use self::dice::Dice;
use self::walk::Walk;
use self::weather::Weather;
use crate::output;
use crate::site::{self, Binaries, Profile, Simulators};

/// Steps between two rests.
const STEPS: usize = 80;
/// Pauses between two steps, milliseconds.
const PAUSES: [u64; 4] = [0, 20, 80, 250];
/// In how many steps the weather changes once.
const TURNS_EVERY: u64 = 6;
/// Steps that are shown with a violation.
const SHOWN: usize = 60;

/// How long to walk, and which way.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Seconds after which the last round begins
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Start of everything that is drawn; without it, another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// Run release builds
    #[arg(long)]
    release: bool,
    /// Tell each step
    #[arg(long)]
    verbose: bool,
    /// Print one JSON object instead of a sentence
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// What fits into every check: the same walk each time, so that what it finds is news.
    pub(crate) const fn short() -> Self {
        Self { seconds: 20, seed: Some(1), release: false, verbose: false, json: false }
    }
}

/// What came of a walk.
#[derive(Debug, Default)]
struct Report {
    steps: usize,
    rounds: usize,
    resources: usize,
    violations: Vec<String>,
}

/// Walks and prints what came of it.
///
/// # Errors
/// Something could not be started, a server does not answer, the agent ends by itself; or there are violations.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let profile = if arguments.release { Profile::Release } else { Profile::Dev };
    let binaries = Binaries::with_chores(profile)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let seed = arguments.seed.unwrap_or(now);
    let again = format!("cargo xtask soak --seed {seed} --seconds {}", arguments.seconds);
    eprintln!("seed {seed}; the same acts again with: {again}");
    let began = Instant::now();
    let report = site::run_until_stopped(walk(&binaries, arguments, seed));
    let report = report.with_context(|| format!("seed {seed}; again with: {again}"))?;
    let (steps, rounds, resources) = (report.steps, report.rounds, report.resources);
    let violations = report.violations.len();
    let seconds = began.elapsed().as_secs_f64();
    let object = json!({
        "points": steps, "violations": violations, "seed": seed, "rounds": rounds, "resources": resources,
        "found": report.violations, "seconds": seconds, "again": again,
    });
    let found: String = report.violations.iter().map(|line| format!("  {line}\n")).collect();
    let text = format!(
        "{steps} steps in {rounds} rounds over {resources} resources in {seconds:.0} s, {violations} violations \
         (seed {seed})\n{found}"
    );
    output::print(arguments.json, &object, &text)?;
    ensure!(violations == 0, "{violations} violations; the same acts again with: {again}");
    Ok(())
}

async fn walk(binaries: &Binaries, arguments: &Arguments, seed: u64) -> Result<Report> {
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let folder = binaries.new_folder()?;
    let mut simulators = Simulators::start(binaries, folder.path()).await?;
    let mut random = fastrand::Rng::with_seed(seed);
    // Half of all walks are at a site that keeps terminated projects and stops what is paused.
    let careful = random.bool();
    let wanted = json!({
        "seed": seed::seed(), "random_seed": seed, "termination_ms": 300, "settle_ms": 20,
    });
    let site = simulators.open("soak", wanted).await?;
    let lifecycle = if careful { "{stop_workloads: true, terminate_grace: 7d}" } else { "" };
    let mut walk = Walk::new(site.clone(), careful).await?;
    let mut weather = Weather::new(binaries, site, lifecycle).await?;
    let mut report = Report::default();
    let mut told = VecDeque::new();
    while report.rounds == 0 || Instant::now() < end {
        for _ in 0..STEPS {
            let dice = Dice::draw(&mut random);
            step(&mut walk, &mut weather, &dice, &mut told, arguments.verbose).await?;
            report.steps += 1;
            if Instant::now() > end {
                break;
            }
        }
        weather.calm().await?;
        report.violations = walk.settled().await?;
        report.rounds += 1;
        if !report.violations.is_empty() {
            eprintln!("the last steps:\n  {}", told.make_contiguous().join("\n  "));
            eprintln!("the agent{}", weather.tail());
            eprintln!("all logs are in `{}`", folder.keep().display());
            report.resources = walk.model.resources.len();
            return Ok(report);
        }
        eprintln!(
            "{} steps, {} resources, everything as it has to be",
            report.steps,
            walk.model.resources.len()
        );
        walk.move_in().await?;
    }
    report.resources = walk.model.resources.len();
    weather.end().await?;
    simulators.still_run()?;
    Ok(report)
}

/// Somebody acts, and now and then the weather changes.
async fn step(
    walk: &mut Walk,
    weather: &mut Weather<'_>,
    dice: &Dice,
    told: &mut VecDeque<String>,
    verbose: bool,
) -> Result<()> {
    weather.pass().await?;
    let what = if dice.of(TURNS_EVERY, 7) == 0 { weather.turn(dice).await? } else { walk.act(dice).await? };
    if verbose {
        eprintln!("{what}");
    }
    if told.len() == SHOWN {
        told.pop_front();
    }
    told.push_back(what);
    let pause = PAUSES[dice.index(PAUSES.len(), 6)];
    // Several things then happen while the agent is still at one of them.
    tokio::time::sleep(Duration::from_millis(pause)).await;
    Ok(())
}
