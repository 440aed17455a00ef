//! `cargo xtask bench events`: from a message at the broker to finished work, and what disturbances lose.
//!
//! The agent listens to the simulated broker over WebSocket; its passes are an hour apart, so that between connections
//! all it does follows from messages. Customers change the limits of each resource and one role in each of its
//! projects, which makes four messages for each resource. A first round is calm: one change after another. In a second
//! one the broker drops the agent's connection and the agent is killed, again and again. After each round all orders,
//! quotas and role bindings are held against what was asked for.

mod figures;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::interval;

use self::figures::{Figures, Round, milliseconds};
use super::membership::people::{self, People, Size};
use super::membership::run::access;
use super::stage::{Stage, messages};
use crate::output::Output;
use crate::site::{self, Binaries, Mode, Profile, Server, text};

/// A round that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two passes of the agent: none within a round, other than at its start and after a reconnect.
const PERIOD: Duration = Duration::from_secs(3600);
/// Name of the agent's session, in the broker's numbers.
const SESSION: &str = "/connections/0/session";
/// Orders that are not done.
const OPEN_ORDERS: &str = "/api/marketplace-orders/\
    ?state=pending-provider&state=executing&state=pending-consumer&state=erred&state=rejected&page_size=300&field=uuid";

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Resources, each with a project of its own; four messages for each
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(4..=10_000))]
    resources: u32,
    /// Milliseconds that each request takes on each side
    #[arg(long, default_value_t = 5)]
    latency_ms: u64,
    /// Milliseconds between two changes
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pace_ms: u64,
    /// How often the broker drops the connection
    #[arg(long, default_value_t = 20)]
    disconnects: u32,
    /// How often the agent is killed
    #[arg(long, default_value_t = 5)]
    kills: u32,
    #[command(flatten)]
    output: Output,
}

/// Runs both rounds and prints the figures.
///
/// # Errors
/// Something could not be started or did not come to its end; with `--check`, a target that is not reached.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binaries = Binaries::with_chores(Profile::Release)?;
    let (calm, disturbed) = site::run_until_stopped(measure(&binaries, arguments))?;
    let faults = (arguments.disconnects, arguments.kills);
    let figures = Figures::new(calm, disturbed, faults, arguments.resources as usize, arguments.latency_ms);
    arguments.output.give(&figures, &figures.text(), figures.targets_reached())
}

async fn measure(binaries: &Binaries, arguments: &Arguments) -> Result<(Round, Round)> {
    let folder = binaries.new_folder()?;
    let folder = folder.path();
    let people = People::new(Size { resources: arguments.resources as usize, members: 3, per_project: 1 });
    let stage = new_stage(folder, binaries, arguments, &people).await?;
    let configuration = site::write_configuration(folder, &stage.place, Mode::EventProcess)?;
    let start = Start { binaries, folder, configuration };
    let agent = start.agent()?;
    let pace = Duration::from_millis(arguments.pace_ms);
    let mut run = Run { stage, agent, start, people, cpu: 4, resources: arguments.resources as usize, pace };
    run.stage.listens(&mut run.agent).await?;
    run.stage.settle(&mut run.agent).await.context("the first pass")?;

    let calm = run.round(&[]).await.context("the calm round")?;
    eprintln!("calm: {} changes, {} messages, {} looks", calm.changes, calm.messages, calm.looks);
    let disturbed = run.round(&faults(arguments)).await.context("the disturbed round")?;
    eprintln!("disturbed: {} messages, {} delivered again", disturbed.messages, disturbed.redelivered);
    Ok((calm, disturbed))
}

async fn new_stage(
    folder: &Path,
    binaries: &Binaries,
    arguments: &Arguments,
    people: &People,
) -> Result<Stage> {
    let seed = folder.join("seed.json");
    let json = serde_json::to_string(&people.seed(true)).context("cannot describe the site")?;
    std::fs::write(&seed, json).context("cannot describe the site")?;
    let seed = seed.to_str().context("the target directory's name is not UTF-8")?;
    let latency = arguments.latency_ms.to_string();
    let options = ["--latency-ms", &latency, "--seed-file", seed];
    Stage::new(binaries, folder, &options, PATIENCE).await
}

/// What befalls the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The broker ends the connection in order.
    Closed,
    /// The connection is reset.
    Reset,
    /// The agent is killed, and started anew.
    Killed,
}

/// The faults in the order in which they come, kills evenly among disconnects.
fn faults(arguments: &Arguments) -> Vec<Fault> {
    let total = arguments.disconnects + arguments.kills;
    let mut disconnects = 0;
    let kind = |number: u32| {
        if (number + 1) * arguments.kills / total > number * arguments.kills / total {
            return Fault::Killed;
        }
        disconnects += 1;
        if disconnects % 2 == 0 { Fault::Closed } else { Fault::Reset }
    };
    (0..total).map(kind).collect()
}

/// How the agent is started.
struct Start<'a> {
    binaries: &'a Binaries,
    folder: &'a Path,
    configuration: PathBuf,
}

impl Start<'_> {
    fn agent(&self) -> Result<Server> {
        site::start_agent(self.binaries, self.folder, &self.configuration, Mode::EventProcess, PERIOD)
    }
}

/// A site with the agent at work.
struct Run<'a> {
    stage: Stage,
    agent: Server,
    start: Start<'a>,
    people: People,
    /// Limit of every resource for this component; each round raises it.
    cpu: u64,
    resources: usize,
    pace: Duration,
}

impl Run<'_> {
    /// Makes all changes, with the faults spread evenly among them, and waits until nothing is left to do.
    async fn round(&mut self, faults: &[Fault]) -> Result<Round> {
        self.take_settled().await?;
        self.stage.forget_traffic().await?;
        let before = self.stage.broker().await?;
        self.cpu += 1;
        let changes = self.changes();
        let every = changes.len() / (faults.len() + 1);
        let mut faults = faults.iter();
        let mut ticks = interval(self.pace);
        let mut sending = JoinSet::new();
        for (number, (path, body)) in changes.iter().cloned().enumerate() {
            ticks.tick().await;
            if number > 0
                && number % every == 0
                && let Some(fault) = faults.next()
            {
                self.strike(*fault).await?;
            }
            let customer = self.stage.customer.clone();
            sending.spawn(async move { customer.post(&path, &body).await.map(drop) });
            self.agent.still_runs()?;
        }
        while let Some(sent) = sending.join_next().await {
            sent.context("changing something broke down")??;
        }
        self.stage.is_drained(&mut self.agent).await?;
        let traffic = self.stage.settle(&mut self.agent).await?;
        let settled = self.take_settled().await?;
        let after = self.stage.broker().await?;
        let more = |name: &str| messages(&after, name) - messages(&before, name);
        let vanished = more("published") - more("acknowledged");
        Ok(Round {
            changes: changes.len(),
            messages: more("published"),
            redelivered: more("redelivered"),
            looks: traffic.looks(),
            milliseconds: milliseconds(&settled),
            lost: self.not_done().await? + vanished + more("dropped") + more("expired"),
        })
    }

    /// For each resource new limits, and for each project somebody who leaves or returns; what is of one resource lies
    /// far apart.
    fn changes(&mut self) -> Vec<(String, Value)> {
        let limits = json!({"limits": {"cpu": self.cpu, "memory": 16, "storage": 100, "pods": 50}});
        let mut changes = Vec::new();
        for number in 0..self.resources {
            let path = format!("/api/marketplace-resources/{}/update_limits/", people::resource(number));
            changes.push((path, limits.clone()));
            changes.push(self.people.leave_or_return((number + self.resources / 2) % self.resources));
        }
        changes
    }

    /// Strikes an agent that listens: one that does not would not notice.
    async fn strike(&mut self, fault: Fault) -> Result<()> {
        self.stage.listens(&mut self.agent).await?;
        let session = text(&self.stage.broker().await?, SESSION).to_owned();
        let what = match fault {
            Fault::Closed => "close",
            Fault::Reset => "reset",
            Fault::Killed => {
                self.agent.kill()?;
                self.agent = self.start.agent()?;
                let is_gone = |broker: &Value| text(broker, SESSION) != session;
                return self
                    .stage
                    .broker_until(&mut self.agent, is_gone)
                    .await
                    .context("the dead agent's connection does not end");
            }
        };
        let struck = self.stage.control.post(&format!("/broker/{what}"), &Value::Null).await?;
        ensure!(struck.as_u64() == Some(1), "{struck} connections were ended in place of one");
        // The next fault must not strike what is on its way out.
        let is_another = |broker: &Value| text(broker, SESSION) != session;
        self.stage.broker_until(&mut self.agent, is_another).await.context("the connection does not end")
    }

    async fn take_settled(&self) -> Result<Vec<Value>> {
        let settled = self.stage.control.post("/broker/settled", &Value::Null).await?;
        settled.as_array().cloned().context("no list of messages")
    }

    /// Orders that have not been done, and projects that are not as they should be.
    async fn not_done(&self) -> Result<u64> {
        let open = self.stage.customer.get(OPEN_ORDERS).await?;
        let open = open.as_array().context("no list of orders")?.len();
        let (wanted, found) = (self.people.access(), access(&self.stage.cluster).await?);
        let astray = wanted.iter().filter(|(namespace, roles)| found.get(*namespace) != Some(roles)).count();
        let right = self.stage.quotas_of(self.cpu).await?;
        let not_done = open + astray + (self.resources - right);
        if not_done > 0 {
            eprintln!("{open} orders open, {astray} teams and {} quotas wrong", self.resources - right);
        }
        Ok(not_done as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_lie_evenly_among_disconnects_of_both_kinds() {
        let arguments = Arguments {
            resources: 500,
            latency_ms: 5,
            pace_ms: 50,
            disconnects: 20,
            kills: 5,
            output: Output::default(),
        };
        let faults = faults(&arguments);
        let at: Vec<usize> = (0..faults.len()).filter(|number| faults[*number] == Fault::Killed).collect();
        assert_eq!(at, [4, 9, 14, 19, 24]);
        assert_eq!(faults.iter().filter(|fault| **fault == Fault::Reset).count(), 10);
        assert_eq!(faults.iter().filter(|fault| **fault == Fault::Closed).count(), 10);
    }
}
