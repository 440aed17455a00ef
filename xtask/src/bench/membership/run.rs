//! An agent at a seeded site, pass after pass, measured from outside.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::figures::{Measured, Pass};
use super::people::{Access, People, Requests, Size};
use crate::bench::stage::Stage;
use crate::site::{self, Api, Binaries, Mode, Server, text};

/// Customers who change something at the same time.
const CHANGED_AT_ONCE: usize = 32;
/// Resources on a page of Waldur's list.
const PAGE: usize = 300;
/// Differences between cluster and teams that are shown.
const SHOWN: usize = 5;
/// Between two passes of an agent of which one pass is wanted.
pub(crate) const FAR_APART: Duration = Duration::from_secs(24 * 3600);
/// Our role bindings, in pages.
const OUR_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/rolebindings\
    ?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dwaldur-site-agent&limit=500";

/// A site with nobody at work, and agents for it.
pub(crate) struct Run<'a> {
    binaries: &'a Binaries,
    /// Removed when this is dropped.
    folder: TempDir,
    pub(crate) stage: Stage,
    pub(crate) people: People,
    size: Size,
}

impl<'a> Run<'a> {
    /// Starts simulators with these resources. `one_list` says that Waldur has one list of all roles in the provider's
    /// projects.
    ///
    /// # Errors
    /// They do not start.
    pub(crate) async fn new(
        binaries: &'a Binaries,
        size: Size,
        one_list: bool,
        latency_ms: u64,
    ) -> Result<Self> {
        let folder = binaries.new_folder()?;
        let people = People::new(size);
        let seed = folder.path().join("seed.json");
        let json = serde_json::to_string(&people.seed(one_list)).context("cannot describe the site")?;
        std::fs::write(&seed, json).context("cannot describe the site")?;
        let seed = seed.to_str().context("the target directory's name is not UTF-8")?;
        let latency = latency_ms.to_string();
        let options = ["--latency-ms", &latency, "--seed-file", seed];
        // A site that takes longer is stuck.
        let patience = Duration::from_secs(180) + Duration::from_millis(60) * size.resources as u32;
        let stage = Stage::new(binaries, folder.path(), &options, patience).await?;
        Ok(Self { binaries, folder, stage, people, size })
    }

    /// Starts an agent that makes passes so far apart.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn agent(&self, mode: Mode, period: Duration) -> Result<Server> {
        let folder = self.folder.path();
        let configuration: PathBuf = site::write_configuration(folder, &self.stage.place, mode)?;
        site::start_agent(self.binaries, folder, &configuration, mode, period)
    }

    /// The first pass of one agent; then that of another, which finds everything done, and its passes when nothing has
    /// changed and when customers have changed 1 % of the memberships.
    ///
    /// # Errors
    /// A pass does not come to its end, or what is on the cluster afterwards is wrong.
    pub(crate) async fn passes(&mut self) -> Result<Measured> {
        let mut agent = self.agent(Mode::MembershipSync, FAR_APART)?;
        let first = self.pass(&mut agent, "first pass").await.context("the first pass")?;
        self.check(&agent).await.context("after the first pass")?;
        let first_peak_rss_mb = agent.peak_memory_mb()?;
        drop(agent);

        self.stage.forget_traffic().await?;
        // Long enough for customers to make their changes between two passes.
        let period = Duration::from_secs(5) + Duration::from_millis(2) * self.size.resources as u32;
        let mut agent = self.agent(Mode::MembershipSync, period)?;
        let restart = self.pass(&mut agent, "restarted").await.context("the first pass after a restart")?;
        let restart_peak_rss_mb = agent.peak_memory_mb()?;
        self.stage.forget_traffic().await?;
        let unchanged = self.pass(&mut agent, "nothing changed").await.context("the pass without changes")?;
        ensure!(self.is_one_pass().await?, "there was more than one pass to measure");
        self.stage.forget_traffic().await?;
        let changes = self.people.change();
        send(&self.stage.customer, changes).await.context("cannot change members")?;
        ensure!(self.stage.traffic().await?.resource_pages() == 0, "a pass came while members were changed");
        self.stage.forget_traffic().await?;
        let changed = self.pass(&mut agent, "members changed").await.context("the pass after changes")?;
        self.check(&agent).await.context("after members were changed")?;
        let peak_rss_mb = first_peak_rss_mb.max(agent.peak_memory_mb()?);
        Ok(Measured { first, unchanged, changed, peak_rss_mb, restart, restart_peak_rss_mb })
    }

    /// The pass of which the record of requests holds nothing yet.
    async fn pass(&mut self, agent: &mut Server, name: &str) -> Result<Pass> {
        let cpu = agent.cpu_time()?;
        let simulators = self.stage.simulators_cpu_time()?;
        let pages = self.pages();
        self.stage.wait(agent, |traffic| traffic.resource_pages() >= pages).await?;
        let traffic = self.stage.settle(agent).await?;
        let cpu_seconds = (agent.cpu_time()? - cpu).as_secs_f64();
        let servers = (self.stage.simulators_cpu_time()? - simulators).as_secs_f64();
        let (waldur_requests, okd_requests) = (traffic.waldur.total, traffic.okd.total);
        let pass = Pass { seconds: traffic.all_seconds()?, waldur_requests, okd_requests, cpu_seconds };
        eprintln!(
            "{name}: {:.2} s, {waldur_requests} requests to Waldur, {okd_requests} to OKD, {:.1} MB, computing: agent \
             {cpu_seconds:.2} s, servers {servers:.2} s",
            pass.seconds,
            agent.peak_memory_mb()?
        );
        Ok(pass)
    }

    /// Pages of resources that a pass lists.
    fn pages(&self) -> u64 {
        self.size.resources.div_ceil(PAGE) as u64
    }

    /// True if the record holds exactly one whole pass.
    async fn is_one_pass(&self) -> Result<bool> {
        Ok(self.stage.traffic().await?.resource_pages() == self.pages())
    }

    /// Holds the role bindings on the cluster against the teams.
    ///
    /// # Errors
    /// They differ, or the cluster does not answer.
    pub(crate) async fn check(&self, agent: &Server) -> Result<()> {
        let (wanted, found) = (self.people.access(), access(&self.stage.cluster).await?);
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
        bail!("{} namespaces have other role bindings than their teams:{shown}{}", wrong.len(), agent.tail())
    }
}

/// Sends what customers do, many at a time.
///
/// # Errors
/// Waldur refuses something.
pub(crate) async fn send(customer: &Api, changes: Vec<Requests>) -> Result<()> {
    let mut sending = JoinSet::new();
    for requests in changes {
        if sending.len() == CHANGED_AT_ONCE {
            sent(sending.join_next().await)?;
        }
        let customer = customer.clone();
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
    Ok(())
}

fn sent(change: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    change.context("no change")?.context("changing a member broke down")?
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
