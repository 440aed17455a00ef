//! `cargo xtask crash`: every kind of work of the agent, interrupted at every single request that it makes.
//!
//! The agent is a real process, started with `--once`. At one of its requests it is killed before the request has its effect or
//! after it has, or the request meets a fault, or a second agent does all that it can while the first one waits. Then an
//! agent that nothing befalls finishes, and both servers are held against what was bought ([`crate::market`]).
//!
//! Works follow each other as in a resource's life ([`step`]), so that where one ends the next can begin. Several sites
//! are lived through side by side; a site where something is not as it has to be is left, and another one is opened.

mod point;
mod report;
mod step;
mod strike;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum as _;
use futures::future::try_join_all;
use serde_json::json;

use self::point::{Kind, Point};
use self::report::Report;
use self::step::{Setup, Step, Tenancy};
use self::strike::{Outcome, Striker};
use crate::output;
use crate::site::{self, Binaries, Profile, Simulators};

/// What to interrupt, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// These kinds of interruptions alone
    #[arg(long, value_enum, num_args = 1..)]
    only: Vec<Kind>,
    /// These works alone
    #[arg(long, value_enum, num_args = 1..)]
    works: Vec<Step>,
    /// As many points of each work, spread over all that there are
    #[arg(long, value_name = "POINTS")]
    sample: Option<usize>,
    /// This point alone, as a violation names it: STEP:BLOW:SERVER:NUMBER
    #[arg(long, conflicts_with_all = ["only", "works", "sample"])]
    point: Option<Point>,
    /// Sites that are lived through at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    sites: u32,
    /// Run release builds
    #[arg(long)]
    release: bool,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// What fits into every check: a point of each work and kind.
    pub(crate) const fn short() -> Self {
        Self {
            only: Vec::new(),
            works: Vec::new(),
            sample: Some(1),
            point: None,
            sites: 4,
            release: false,
            json: false,
        }
    }
}

/// Runs the sweep and prints what came of it.
///
/// # Errors
/// Something could not be started or a server does not answer; or there are violations.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let profile = if arguments.release { Profile::Release } else { Profile::Dev };
    let binaries = Binaries::with_chores(profile)?;
    let report = site::run_until_stopped(sweep(&binaries, arguments))?;
    output::print(arguments.json, &report.json(), &report.text())?;
    ensure!(report.violations() == 0, "{} violations", report.violations());
    Ok(())
}

/// The points that are still to be tried, by work.
type Queues = BTreeMap<Step, VecDeque<Point>>;

/// What the sites share. Everything here runs on one thread, and no borrow lives across a wait.
struct Sweep<'a> {
    binaries: &'a Binaries,
    simulators: &'a Simulators,
    queues: RefCell<Queues>,
    report: RefCell<Report>,
    opened: Cell<u32>,
}

async fn sweep(binaries: &Binaries, arguments: &Arguments) -> Result<Report> {
    let began = Instant::now();
    let folder = binaries.new_folder()?;
    let mut simulators = Simulators::start(binaries, folder.path()).await?;
    let sweep = Sweep {
        binaries,
        simulators: &simulators,
        queues: RefCell::default(),
        report: RefCell::default(),
        opened: Cell::default(),
    };
    let queues = match arguments.point {
        Some(point) => BTreeMap::from([(point.step, VecDeque::from([point]))]),
        None => sweep.all_points(arguments).await?,
    };
    let total: usize = queues.values().map(VecDeque::len).sum();
    eprintln!("{total} points of {} works", queues.len());
    for setup in Setup::ALL {
        let mine = queues.iter().filter(|(step, _)| step.setup() == setup);
        *sweep.queues.borrow_mut() = mine.map(|(step, points)| (*step, points.clone())).collect();
        try_join_all((0..arguments.sites).map(|_| sweep.lives(setup))).await?;
    }
    let report = sweep.report.into_inner();
    simulators.still_run()?;
    Ok(report.took(began.elapsed()))
}

impl Sweep<'_> {
    async fn open(&self, setup: Setup) -> Result<Tenancy> {
        let number = self.opened.get() + 1;
        self.opened.set(number);
        let site = self.simulators.open(&format!("{number:04}"), json!({ "random_seed": number })).await?;
        Tenancy::begin(site, setup).await
    }

    fn striker(&self, setup: Setup) -> Striker<'_> {
        Striker { binaries: self.binaries, lifecycle: setup.lifecycle() }
    }

    /// Lives through each setup once without interruption, to find out which requests there are to interrupt.
    async fn all_points(&self, arguments: &Arguments) -> Result<Queues> {
        let kinds = if arguments.only.is_empty() { Kind::value_variants() } else { &arguments.only };
        let mut queues = Queues::new();
        let mut read = BTreeSet::new();
        let is_wanted = |step: Step| arguments.works.is_empty() || arguments.works.contains(&step);
        for setup in Setup::ALL {
            if !setup.life().iter().any(|step| step.setup() == setup && is_wanted(*step)) {
                continue;
            }
            let mut tenancy = self.open(setup).await?;
            for step in setup.life() {
                tenancy.site.control.delete("/traffic").await?;
                let found = self.striker(setup).undisturbed(&mut tenancy, *step).await?;
                let step_name = step.name();
                ensure!(found.is_empty(), "{step_name} without interruption:\n  {}", found.join("\n  "));
                if step.setup() != setup || !is_wanted(*step) || queues.contains_key(step) {
                    continue;
                }
                let requests = tenancy.site.control.get("/requests").await?;
                let mut chosen = VecDeque::new();
                for kind in kinds {
                    let points = point::points(*step, &requests, &[*kind], &mut read);
                    chosen.extend(point::sample(&points, arguments.sample));
                }
                queues.insert(*step, chosen);
            }
            self.simulators.close(&tenancy.site).await?;
        }
        Ok(queues)
    }

    /// Lives through one life after the other until no point is left.
    async fn lives(&self, setup: Setup) -> Result<()> {
        let mut tenancy = None;
        while self.queues.borrow().values().any(|points| !points.is_empty()) {
            let mut current = match tenancy.take() {
                Some(current) => current,
                None => self.open(setup).await?,
            };
            if self.life(setup, &mut current).await? {
                tenancy = Some(current);
            } else {
                self.simulators.close(&current.site).await?;
            }
        }
        match tenancy {
            Some(current) => self.simulators.close(&current.site).await,
            None => Ok(()),
        }
    }

    /// One life; false if the site is no longer as it has to be.
    async fn life(&self, setup: Setup, tenancy: &mut Tenancy) -> Result<bool> {
        let striker = self.striker(setup);
        for step in setup.life() {
            let point = self.queues.borrow_mut().get_mut(step).and_then(VecDeque::pop_front);
            let Some(point) = point else {
                if self.queues.borrow().values().all(VecDeque::is_empty) {
                    return Ok(false);
                }
                let found = striker.undisturbed(tenancy, *step).await?;
                if !found.is_empty() {
                    self.report.borrow_mut().undisturbed(*step, &found);
                    return Ok(false);
                }
                continue;
            };
            let outcome = striker.strike(tenancy, &point).await;
            let outcome = outcome.with_context(|| format!("at the point {point}"))?;
            let (violated, refused) =
                (matches!(outcome, Outcome::Violated(_)), matches!(outcome, Outcome::Refused));
            self.report.borrow_mut().note(&point, outcome);
            if violated {
                return Ok(false);
            }
            if refused {
                // The resource of this life is terminated; the site is as good as before.
                return Ok(!self.has_guest(tenancy));
            }
        }
        Ok(true)
    }

    /// A member has joined who is to leave again in the same life.
    fn has_guest(&self, tenancy: &Tenancy) -> bool {
        tenancy.model.teams.values().any(|team| team.contains_key(step::GUEST))
    }
}
