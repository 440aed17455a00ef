//! A site to measure at: the simulators, and everybody's view of them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::record::Traffic;
use crate::site::{self, Api, Binaries, Place, Server, text};

/// How often the record of requests is read; the control port is apart from both servers.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// No request, and nothing computed, for this long: the worker has nothing left to do.
const QUIET: Duration = Duration::from_millis(500);
/// What a process that waits may compute in that time.
const IDLE: Duration = Duration::from_millis(20);

/// The quotas that the agent keeps, in pages.
const OUR_QUOTAS: &str = "/api/v1/resourcequotas\
    ?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dwaldur-site-agent&limit=500";

/// Simulators with nobody at work yet.
#[derive(Debug)]
pub(crate) struct Stage {
    simulators: Server,
    pub(crate) place: Place,
    pub(crate) control: Api,
    pub(crate) customer: Api,
    pub(crate) cluster: Api,
    patience: Duration,
}

impl Stage {
    /// Starts simulators. Nothing on this stage may take longer than `patience`.
    ///
    /// # Errors
    /// They do not start.
    pub(crate) async fn new(
        binaries: &Binaries,
        folder: &Path,
        options: &[&str],
        patience: Duration,
    ) -> Result<Self> {
        let (simulators, place) = site::start_simulators(binaries, folder, options).await?;
        let control = Api::waldur(&place.control_url, "")?;
        let customer = Api::waldur(&place.waldur_url, &place.waldur_customer_token)?;
        let cluster = Api::cluster(&place.okd_url, &place.okd_admin_token, &place.ca_file)?;
        Ok(Self { simulators, place, control, customer, cluster, patience })
    }

    /// Requests so far.
    ///
    /// # Errors
    /// The simulators do not answer.
    pub(crate) async fn traffic(&self) -> Result<Traffic> {
        Traffic::read(&self.control).await
    }

    /// Begins a new record of requests. One that is in flight is in the new record, with the time it arrived.
    ///
    /// # Errors
    /// The simulators do not answer.
    pub(crate) async fn forget_traffic(&self) -> Result<()> {
        self.control.delete("/traffic").await.map(drop)
    }

    /// When whatever begins now has taken too long.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// Waits until the record of requests says so.
    ///
    /// # Errors
    /// It takes too long, or a process has ended.
    pub(crate) async fn wait(&mut self, worker: &mut Server, done: impl Fn(&Traffic) -> bool) -> Result<()> {
        let deadline = self.deadline();
        while !done(&self.traffic().await?) {
            self.pause(worker, LOOK_EVERY, deadline).await?;
        }
        Ok(())
    }

    /// The record when the worker sends no more requests and computes no more.
    ///
    /// # Errors
    /// As [`Stage::wait`].
    pub(crate) async fn settle(&mut self, worker: &mut Server) -> Result<Traffic> {
        let deadline = self.deadline();
        let mut last = (self.traffic().await?, worker.cpu_time()?);
        loop {
            self.pause(worker, QUIET, deadline).await?;
            let now = (self.traffic().await?, worker.cpu_time()?);
            let sent = (now.0.waldur.total, now.0.okd.total) != (last.0.waldur.total, last.0.okd.total);
            if !sent && now.1 - last.1 <= IDLE {
                return Ok(now.0);
            }
            last = now;
        }
    }

    /// Numbers of the event broker: of its queues and of who is connected.
    ///
    /// # Errors
    /// The simulators do not answer.
    pub(crate) async fn broker(&self) -> Result<Value> {
        self.control.get("/broker").await
    }

    /// Waits until the broker's numbers say so.
    ///
    /// # Errors
    /// As [`Stage::wait`].
    pub(crate) async fn broker_until(
        &mut self,
        worker: &mut Server,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let deadline = self.deadline();
        while !holds(&self.broker().await?) {
            self.pause(worker, LOOK_EVERY, deadline).await?;
        }
        Ok(())
    }

    /// Waits until the agent has subscribed.
    ///
    /// # Errors
    /// As [`Stage::wait`].
    pub(crate) async fn listens(&mut self, agent: &mut Server) -> Result<()> {
        let listens = |broker: &Value| broker.pointer("/connections/0/destinations/0").is_some();
        self.broker_until(agent, listens).await.context("the agent does not listen")
    }

    /// Waits until every message has been acknowledged.
    ///
    /// # Errors
    /// As [`Stage::wait`].
    pub(crate) async fn is_drained(&mut self, agent: &mut Server) -> Result<()> {
        let none = |broker: &Value| messages(broker, "ready") + messages(broker, "unacked") == 0;
        self.broker_until(agent, none).await.context("messages are left")
    }

    /// Projects whose quota of the agent allows so many CPUs.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub(crate) async fn quotas_of(&self, cpu: u64) -> Result<usize> {
        let cpu = cpu.to_string();
        let mut right = 0;
        let mut path = OUR_QUOTAS.to_owned();
        loop {
            let list = self.cluster.get(&path).await?;
            let quotas = list.get("items").and_then(Value::as_array).context("no list of quotas")?;
            right += quotas.iter().filter(|quota| quota["spec"]["hard"]["requests.cpu"] == cpu).count();
            match text(&list, "/metadata/continue") {
                "" => return Ok(right),
                next => path = format!("{OUR_QUOTAS}&continue={next}"),
            }
        }
    }

    /// What the simulators have computed so far.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(crate) fn simulators_cpu_time(&self) -> Result<Duration> {
        self.simulators.cpu_time()
    }

    /// Lets time pass, unless it is up.
    ///
    /// # Errors
    /// As [`Stage::wait`].
    pub(crate) async fn pause(
        &mut self,
        worker: &mut Server,
        pause: Duration,
        deadline: Instant,
    ) -> Result<()> {
        worker.still_runs()?;
        self.simulators.still_runs()?;
        ensure!(Instant::now() < deadline, "not finished in time{}", worker.tail());
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// A number of all queues of the broker together.
pub(crate) fn messages(broker: &Value, name: &str) -> u64 {
    broker["total"][name].as_u64().unwrap_or_default()
}
