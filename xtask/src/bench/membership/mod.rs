//! `cargo xtask bench membership`: passes of the agent over all resources and their members.
//!
//! The agent runs in its normal loop. Measured are its first pass over resources that have a project and nothing
//! else, a pass when nothing has changed, one after customers have changed 1 % of the memberships, and the first one
//! of an agent that is started anew. After each the role bindings on the cluster are held against the teams.

mod figures;
pub(crate) mod people;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

use self::figures::{Figures, Measured, Pass};
use self::people::{Access, People, Requests, Size};
use super::stage::Stage;
use crate::site::{self, Api, Binaries, Mode, Profile, Server, text};

/// Customers who change something at the same time.
const CHANGED_AT_ONCE: usize = 32;
/// Resources on a page of Waldur's list.
const PAGE: usize = 300;
/// Differences between cluster and teams that are shown.
const SHOWN: usize = 5;
/// Our role bindings, in pages.
const OUR_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/rolebindings\
    ?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dwaldur-site-agent&limit=500";

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Resources, each with a project on the cluster
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    resources: u32,
    /// Members of each project in Waldur; nobody is in two
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    members: u32,
    /// Resources in each project in Waldur
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    resources_per_project: u32,
    /// Waldur has no list of all roles in the provider's projects: teams are read one by one
    #[arg(long)]
    teams: bool,
    /// Milliseconds that each request takes on each side
    #[arg(long, default_value_t = 5)]
    latency_ms: u64,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Fail if a target is not reached
    #[arg(long)]
    check: bool,
}

impl Arguments {
    fn size(&self) -> Size {
        let [resources, members, per_project] =
            [self.resources, self.members, self.resources_per_project].map(|number| number as usize);
        Size { resources, members, per_project }
    }

    /// Between two passes: long enough for the first one's work, and for all changes.
    fn period(&self) -> Duration {
        Duration::from_secs(8) + Duration::from_millis(12) * self.resources
    }

    /// A site that takes longer is stuck.
    fn patience(&self) -> Duration {
        Duration::from_secs(120) + 5 * self.period()
    }
}

/// Runs the passes and prints the figures.
///
/// # Errors
/// Something could not be started or did not come to its end, or the cluster is not as the teams are; with
/// `--check`, a target that is not reached.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // The same packages as for the other benchmarks: others would be compiled with other features, and so anew.
    let binaries = Binaries::build(Profile::Release, &[env!("CARGO_PKG_NAME")])?;
    let measured = site::run_until_stopped(measure(&binaries, arguments))?;
    let figures = Figures::new(arguments.size(), !arguments.teams, arguments.latency_ms, &measured);
    let printed = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&figures).context("cannot print the figures")?)
    } else {
        figures.text()
    };
    std::io::stdout().write_all(printed.as_bytes()).context("cannot print the figures")?;
    ensure!(!arguments.check || figures.targets_reached(), "a target is not reached");
    Ok(())
}

async fn measure(binaries: &Binaries, arguments: &Arguments) -> Result<Measured> {
    let folder = binaries.new_folder()?;
    let folder = folder.path();
    let size = arguments.size();
    let mut people = People::new(size);
    let stage = new_stage(binaries, folder, arguments, &people).await?;
    let configuration = site::write_configuration(folder, &stage.place, Mode::MembershipSync)?;
    let start =
        || site::start_agent(binaries, folder, &configuration, Mode::MembershipSync, arguments.period());
    let mut run = Run { stage, agent: start()?, pages: size.resources.div_ceil(PAGE) as u64 };

    let first = run.pass("first pass").await.context("the first pass")?;
    run.check(&people).await.context("after the first pass")?;
    let unchanged = run.next_pass("nothing changed").await.context("the pass without changes")?;
    run.send(people.change()).await.context("cannot change members")?;
    let changed = run.pass("members changed").await.context("the pass after changes")?;
    ensure!(run.is_one_pass().await?, "a pass came before all members were changed");
    run.check(&people).await.context("after members were changed")?;
    let peak_rss_mb = run.agent.peak_memory_mb()?;

    let Run { stage, agent, pages } = run;
    drop(agent);
    stage.forget_traffic().await?;
    let mut run = Run { stage, agent: start()?, pages };
    let restart = run.pass("restarted").await.context("the first pass after a restart")?;
    let restart_peak_rss_mb = run.agent.peak_memory_mb()?;
    Ok(Measured { first, unchanged, changed, peak_rss_mb, restart, restart_peak_rss_mb })
}

async fn new_stage(
    binaries: &Binaries,
    folder: &Path,
    arguments: &Arguments,
    people: &People,
) -> Result<Stage> {
    let seed = folder.join("seed.json");
    let json = serde_json::to_string(&people.seed(!arguments.teams)).context("cannot describe the site")?;
    std::fs::write(&seed, json).context("cannot describe the site")?;
    let seed = seed.to_str().context("the target directory's name is not UTF-8")?;
    let latency = arguments.latency_ms.to_string();
    let options = ["--latency-ms", &latency, "--seed-file", seed];
    Stage::new(binaries, folder, &options, arguments.patience()).await
}

/// A site with the agent at work.
struct Run {
    stage: Stage,
    agent: Server,
    /// Pages of resources that a pass lists.
    pages: u64,
}

impl Run {
    /// The pass that begins next, after what is still going on.
    async fn next_pass(&mut self, name: &str) -> Result<Pass> {
        self.stage.settle(&mut self.agent).await?;
        self.stage.forget_traffic().await?;
        let pass = self.pass(name).await?;
        ensure!(self.is_one_pass().await?, "there was more than one pass to measure");
        Ok(pass)
    }

    /// The pass of which the record of requests holds nothing yet.
    async fn pass(&mut self, name: &str) -> Result<Pass> {
        let cpu = self.agent.cpu_time()?;
        let pages = self.pages;
        self.stage.wait(&mut self.agent, |traffic| traffic.resource_pages() >= pages).await?;
        let traffic = self.stage.settle(&mut self.agent).await?;
        let cpu_seconds = (self.agent.cpu_time()? - cpu).as_secs_f64();
        let (waldur_requests, okd_requests) = (traffic.waldur.total, traffic.okd.total);
        let pass = Pass { seconds: traffic.all_seconds()?, waldur_requests, okd_requests, cpu_seconds };
        eprintln!(
            "{name}: {:.2} s, {waldur_requests} requests to Waldur, {okd_requests} to OKD, {:.1} MB",
            pass.seconds,
            self.agent.peak_memory_mb()?
        );
        Ok(pass)
    }

    /// True if the record holds exactly one whole pass.
    async fn is_one_pass(&self) -> Result<bool> {
        Ok(self.stage.traffic().await?.resource_pages() == self.pages)
    }

    /// Changes members as customers do, between two passes.
    async fn send(&self, changes: Vec<Requests>) -> Result<()> {
        let mut sending = JoinSet::new();
        for requests in changes {
            if sending.len() == CHANGED_AT_ONCE {
                sent(sending.join_next().await)?;
            }
            let customer = self.stage.customer.clone();
            sending.spawn(async move {
                for (path, body) in requests {
                    customer.post(&path, &body).await?;
                }
                Ok(())
            });
        }
        while let Some(change) = sending.join_next().await {
            sent(Some(change))?;
        }
        ensure!(self.is_one_pass().await?, "a pass came while members were changed");
        self.stage.forget_traffic().await
    }

    /// Holds the role bindings on the cluster against the teams.
    async fn check(&self, people: &People) -> Result<()> {
        let (wanted, found) = (people.access(), access(&self.stage.cluster).await?);
        if wanted == found {
            return Ok(());
        }
        let namespaces = wanted.keys().chain(found.keys().filter(|name| !wanted.contains_key(*name)));
        let wrong: Vec<&String> = namespaces.filter(|name| wanted.get(*name) != found.get(*name)).collect();
        let shown = wrong
            .iter()
            .take(SHOWN)
            .map(|name| format!("\n  {name}: {:?} instead of {:?}", found.get(*name), wanted.get(*name)));
        let shown: String = shown.collect();
        bail!(
            "{} namespaces have other role bindings than their teams:{shown}{}",
            wrong.len(),
            self.agent.tail()
        )
    }
}

/// Who has which role where, by our role bindings.
pub(crate) async fn access(cluster: &Api) -> Result<Access> {
    let mut access = Access::new();
    let mut path = OUR_BINDINGS.to_owned();
    loop {
        let list = cluster.get(&path).await?;
        let bindings = list.get("items").and_then(Value::as_array).context("no list of role bindings")?;
        for binding in bindings {
            let users = binding.get("subjects").and_then(Value::as_array).into_iter().flatten();
            let users = users.map(|user| text(user, "/name").to_owned());
            let roles = access.entry(text(binding, "/metadata/namespace").to_owned()).or_default();
            roles.entry(text(binding, "/roleRef/name").to_owned()).or_default().extend(users);
        }
        match text(&list, "/metadata/continue") {
            "" => return Ok(access),
            next => path = format!("{OUR_BINDINGS}&continue={next}"),
        }
    }
}

fn sent(change: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    change.context("no change")?.context("changing a member broke down")?
}
