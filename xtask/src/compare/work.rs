//! The work that each agent does, in order, and what it takes.
//!
//! Two sites. The first has ten projects of ten members; its customer orders, then terminates. The second has as many
//! projects as resources, ten members each, with pods and volumes: two passes over members, one member who leaves, one
//! report. Each piece of work is found waiting by an agent that starts; this agent's passes after the first are its
//! own next ones.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::agents::Agent;
use super::truth::{self, Check, Ordered};
use crate::bench::membership::people::{self, People, Size};
use crate::bench::record::Traffic;
use crate::bench::stage::Stage;
use crate::site::{Api, Binaries, Mode, Server};

/// Members of each project in Waldur.
pub(super) const MEMBERS: usize = 10;
/// Projects that are ordered in; each has a resource already, so that its members have accounts.
pub(super) const PROJECTS: usize = 10;
/// Requests of customers and tenants at the same time.
const AT_ONCE: usize = 32;
/// How often the record of requests is read while an agent starts; it says when computing for the work begins.
const WATCH_EVERY: Duration = Duration::from_millis(10);
/// A piece of work that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(1200);
/// Between two passes of this agent, where there is to be one only.
const ONCE: Duration = Duration::from_secs(24 * 3600);
/// The project whose last member leaves.
const CHANGED: usize = 7;
/// How long projects may take to go away after their orders are done.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// Requests that end an order without success.
const ERRED: &str = "POST /api/marketplace-orders/{}/set_state_erred/";
/// The Python agent's last request about a resource in a pass, either of them.
const SYNCED: [&str; 2] = [
    "POST /api/marketplace-provider-resources/{}/refresh_last_sync/",
    "POST /api/marketplace-provider-resources/{}/set_as_erred/",
];
/// The Python agent's question about a resource in a report, before it sends what has changed.
const USAGE_KNOWN: &str = "GET /api/marketplace-component-usages/";

/// How much work there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Sizes {
    pub(super) orders: u32,
    pub(super) resources: u32,
}

impl Sizes {
    pub(super) const FULL: Self = Self { orders: 100, resources: 200 };
}

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Task {
    Create,
    Terminate,
    FirstPass,
    UnchangedPass,
    ChangedPass,
    Report,
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Work {
    pub(super) task: Task,
    /// From the first request; to the end of the last order, or of the last request.
    pub(super) seconds: f64,
    /// Computed from the first request on.
    pub(super) cpu_seconds: f64,
    pub(super) waldur_requests: u64,
    pub(super) okd_requests: u64,
}

/// All that was measured of an agent at one latency.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Measured {
    /// From the start of the process to its first request; the middle one of all starts.
    pub(super) start_seconds: f64,
    /// The most of all its processes, in megabytes of 1,000,000 bytes.
    pub(super) peak_rss_mb: f64,
    pub(super) works: Vec<Work>,
    pub(super) checks: Vec<Check>,
}

/// Has an agent do everything.
///
/// # Errors
/// Something does not start or does not come to an end.
pub(super) async fn measure(
    binaries: &Binaries,
    agent: &Agent,
    sizes: Sizes,
    latency_ms: u64,
) -> Result<Measured> {
    let mut measured =
        Measured { start_seconds: 0.0, peak_rss_mb: 0.0, works: Vec::new(), checks: Vec::new() };
    let mut starts = Vec::new();
    let orders = Size { resources: PROJECTS, members: MEMBERS, per_project: 1 };
    let mut site = Site::new(binaries, agent, orders, latency_ms).await?;
    site.orders(sizes.orders, &mut measured.checks).await.context("orders")?;
    site.give(&mut measured, &mut starts);
    let resources = Size { resources: sizes.resources as usize, members: MEMBERS, per_project: 1 };
    let mut site = Site::new(binaries, agent, resources, latency_ms).await?;
    site.passes(&mut measured.checks).await.context("passes")?;
    site.give(&mut measured, &mut starts);
    starts.sort_by(f64::total_cmp);
    measured.start_seconds = *starts.get(starts.len() / 2).context("nothing was started")?;
    Ok(measured)
}

/// Simulators, and what an agent has done on them so far.
struct Site<'a> {
    binaries: &'a Binaries,
    agent: &'a Agent,
    folder: TempDir,
    stage: Stage,
    size: Size,
    people: People,
    latency_ms: u64,
    works: Vec<Work>,
    starts: Vec<f64>,
    peak_rss_mb: f64,
}

/// An agent that has sent its first request.
struct Running {
    process: Server,
    /// What it had computed until then.
    cpu: Duration,
}

impl<'a> Site<'a> {
    async fn new(binaries: &'a Binaries, agent: &'a Agent, size: Size, latency_ms: u64) -> Result<Self> {
        let folder = binaries.new_folder()?;
        let people = People::new(size);
        let seed = folder.path().join("seed.json");
        let json = serde_json::to_string(&people.seed(true)).context("cannot describe the site")?;
        std::fs::write(&seed, json).context("cannot describe the site")?;
        let seed = seed.to_str().context("the target directory's name is not UTF-8")?;
        let latency = latency_ms.to_string();
        let options = ["--latency-ms", &latency, "--seed-file", seed];
        let stage = Stage::new(binaries, folder.path(), &options, PATIENCE).await?;
        let (works, starts) = (Vec::new(), Vec::new());
        Ok(Self { binaries, agent, folder, stage, size, people, latency_ms, works, starts, peak_rss_mb: 0.0 })
    }

    fn give(self, measured: &mut Measured, starts: &mut Vec<f64>) {
        measured.works.extend(self.works);
        measured.peak_rss_mb = measured.peak_rss_mb.max(self.peak_rss_mb);
        starts.extend(self.starts);
    }

    /// Customers order, and the agent fulfils; then they terminate what they have ordered.
    async fn orders(&mut self, orders: u32, checks: &mut Vec<Check>) -> Result<()> {
        self.place_creates(orders).await.context("cannot place orders")?;
        self.finish_orders(Task::Create, orders).await?;
        let made = Ordered::read(&self.stage).await?;
        checks.extend(truth::after_create(&self.stage, &self.people, &made, orders as usize).await?);
        let terminate = made
            .iter()
            .map(|ordered| (format!("/api/marketplace-resources/{}/terminate/", ordered.uuid), json!({})));
        self.customers_send(terminate.collect()).await.context("cannot terminate")?;
        self.finish_orders(Task::Terminate, orders).await?;
        checks.extend(truth::after_terminate(&self.stage, &made, GONE_WITHIN).await?);
        Ok(())
    }

    async fn place_creates(&self, orders: u32) -> Result<()> {
        let offering = &self.stage.place.offering_uuid;
        let waldur = &self.stage.place.waldur_url;
        let order = |number: u32| {
            let project = people::project(number as usize % PROJECTS);
            let order = json!({
                "offering": format!("{waldur}/api/marketplace-public-offerings/{offering}/"),
                "project": format!("{waldur}/api/projects/{project}/"),
                "limits": truth::bought(),
                "attributes": {"name": format!("{} {number:05}", truth::ORDERED)},
            });
            ("/api/marketplace-orders/".to_owned(), order)
        };
        self.customers_send((0..orders).map(order).collect()).await
    }

    /// Starts the agent on orders that wait, and ends it when it has done what it can.
    async fn finish_orders(&mut self, task: Task, orders: u32) -> Result<()> {
        let mut running = self.begin(Mode::OrderProcess, ONCE).await?;
        let all = u64::from(orders);
        let ended = |traffic: &Traffic| traffic.finished() + traffic.waldur.count(ERRED) >= all;
        self.stage.wait(&mut running.process, ended).await?;
        let traffic = self.stage.settle(&mut running.process).await?;
        let seconds = traffic.seconds()?;
        self.note(task, &mut running, &traffic, seconds)?;
        self.end(running)
    }

    /// Members get access, nothing changes, one leaves; then usage is reported.
    async fn passes(&mut self, checks: &mut Vec<Check>) -> Result<()> {
        self.start_workloads().await.context("cannot start workloads")?;
        let period =
            Duration::from_secs(8) + Duration::from_millis(12 + 2 * self.latency_ms) * self.resources();
        let mut running = self.begin(Mode::MembershipSync, period).await?;
        self.pass(Task::FirstPass, &mut running).await?;
        running = self.next_pass(running, period).await?;
        self.pass(Task::UnchangedPass, &mut running).await?;
        checks.extend(truth::after_passes(&self.stage, &self.people, self.size).await?);
        let (path, body) = self.people.leave_or_return(CHANGED);
        self.stage.customer.post(&path, &body).await.context("nobody can leave")?;
        running = self.next_pass(running, period).await?;
        self.pass(Task::ChangedPass, &mut running).await?;
        checks.push(truth::after_change(&self.stage, &self.people).await?);
        self.end(running)?;
        let mut running = self.begin(Mode::Report, ONCE).await?;
        self.pass(Task::Report, &mut running).await?;
        checks.push(truth::after_report(&self.stage, self.size).await?);
        self.end(running)
    }

    fn resources(&self) -> u32 {
        u32::try_from(self.size.resources).unwrap_or(u32::MAX)
    }

    /// A pod and a volume in each project, before any quota is there.
    async fn start_workloads(&self) -> Result<()> {
        let mut requests = Vec::new();
        for number in 0..self.size.resources {
            let path = format!("/api/v1/namespaces/{}", people::namespace(number));
            let memory = truth::memory(number);
            let resources = json!({"cpu": "500m", "memory": memory});
            requests.push((format!("{path}/pods"), json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
                "spec": {"containers": [{"name": "web", "image": "web", "resources": {"requests": resources, "limits": resources}}]},
            })));
            requests.push((format!("{path}/persistentvolumeclaims"), json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}},
            })));
        }
        send(&self.stage.cluster, requests).await
    }

    async fn customers_send(&self, requests: Vec<(String, Value)>) -> Result<()> {
        send(&self.stage.customer, requests).await
    }

    /// Starts the agent and waits for its first request.
    async fn begin(&mut self, mode: Mode, period: Duration) -> Result<Running> {
        self.stage.forget_traffic().await?;
        let asked = Instant::now();
        let clock = self.stage.traffic().await?.now;
        let middle = asked + asked.elapsed() / 2;
        let spawned = Instant::now();
        let (folder, place) = (self.folder.path(), &self.stage.place);
        let mut process = self.agent.start(self.binaries, folder, place, mode, period)?;
        let deadline = self.stage.deadline();
        let first = loop {
            if let Some(first) = self.stage.traffic().await?.first() {
                break first;
            }
            self.stage.pause(&mut process, WATCH_EVERY, deadline).await?;
        };
        let cpu = process.cpu_time()?;
        self.starts.push(first - clock - spawned.duration_since(middle).as_secs_f64());
        Ok(Running { process, cpu })
    }

    /// What follows is another pass. The Python agent keeps nothing from one to the next and sleeps for a minute in
    /// between; starting it anew spares that, and costs nothing that is counted.
    async fn next_pass(&mut self, mut running: Running, period: Duration) -> Result<Running> {
        if self.agent.is_ours() {
            self.stage.forget_traffic().await?;
            running.cpu = running.process.cpu_time()?;
            return Ok(running);
        }
        self.end(running)?;
        self.begin(Mode::MembershipSync, period).await
    }

    /// The pass or report that has begun, or that begins next.
    async fn pass(&mut self, task: Task, running: &mut Running) -> Result<()> {
        let all = u64::from(self.resources());
        let (is_ours, is_report) = (self.agent.is_ours(), task == Task::Report);
        let done = |traffic: &Traffic| match (is_ours, is_report) {
            (true, _) => traffic.resource_pages() > 0,
            (false, true) => traffic.waldur.count(USAGE_KNOWN) >= all,
            (false, false) => SYNCED.iter().map(|shape| traffic.waldur.count(shape)).sum::<u64>() >= all,
        };
        self.stage.wait(&mut running.process, done).await?;
        let traffic = self.stage.settle(&mut running.process).await?;
        let pages = traffic.resource_pages();
        ensure!(!is_ours || pages == all.div_ceil(300), "there was more than one pass to measure");
        let seconds = traffic.all_seconds()?;
        self.note(task, running, &traffic, seconds)
    }

    fn note(&mut self, task: Task, running: &mut Running, traffic: &Traffic, seconds: f64) -> Result<()> {
        let cpu_seconds = running.process.cpu_time()?.saturating_sub(running.cpu).as_secs_f64();
        let (waldur_requests, okd_requests) = (traffic.waldur.total, traffic.okd.total);
        eprintln!(
            "  {task:?}: {seconds:.2} s, {cpu_seconds:.2} s of CPU, {waldur_requests} requests to Waldur, \
             {okd_requests} to OKD"
        );
        self.works.push(Work { task, seconds, cpu_seconds, waldur_requests, okd_requests });
        Ok(())
    }

    fn end(&mut self, mut running: Running) -> Result<()> {
        self.peak_rss_mb = self.peak_rss_mb.max(running.process.peak_memory_mb()?);
        running.process.kill()
    }
}

/// Sends requests that do not depend on each other.
async fn send(api: &Api, requests: Vec<(String, Value)>) -> Result<()> {
    let mut sending: JoinSet<Result<Value>> = JoinSet::new();
    for (path, body) in requests {
        if sending.len() == AT_ONCE {
            sending.join_next().await.context("nothing was sent")?.context("sending broke down")??;
        }
        let api = api.clone();
        sending.spawn(async move { api.post(&path, &body).await });
    }
    while let Some(sent) = sending.join_next().await {
        sent.context("sending broke down")??;
    }
    Ok(())
}
