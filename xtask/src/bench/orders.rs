//! `cargo xtask bench orders`: Create orders through the agent, and through the bare client that is its floor.
//!
//! Each measurement has a site of its own. The agent runs as it does for months: it has looked for orders once,
//! found none and watches the cluster; then all orders are placed, and its next look finds them. The floor is
//! started when they have been placed. Both are timed from their first request to the end of the last order.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::figures::{Figures, Round};
use super::record::Traffic;
use crate::site::{self, Api, Binaries, Place, Profile, Server, text};

/// Orders placed at the same time.
const PLACED_AT_ONCE: usize = 32;
/// How often the record of requests is read; the control port is apart from both servers.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// No request for this long after the last order: the agent has nothing left to do.
const QUIET: Duration = Duration::from_millis(500);
/// A site that takes longer is stuck.
const DEADLINE: Duration = Duration::from_secs(300);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Create orders in each measurement
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    orders: u32,
    /// Milliseconds that each request takes on each side
    #[arg(long, default_value_t = 5)]
    latency_ms: u64,
    /// Measurements of the agent and of the floor, in turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Fail if a target is not reached
    #[arg(long)]
    check: bool,
}

/// Runs all rounds and prints the figures.
///
/// # Errors
/// Something could not be started or did not come to its end; with `--check`, a target that is not reached.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binaries = Binaries::build(Profile::Release, &[env!("CARGO_PKG_NAME")])?;
    let rounds = site::run_until_stopped(measure(&binaries, arguments))?;
    let figures = Figures::new(arguments.orders, arguments.latency_ms, rounds);
    let printed = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&figures).context("cannot print the figures")?)
    } else {
        figures.text()
    };
    std::io::stdout().write_all(printed.as_bytes()).context("cannot print the figures")?;
    ensure!(!arguments.check || figures.targets_reached(), "a target is not reached");
    Ok(())
}

async fn measure(binaries: &Binaries, arguments: &Arguments) -> Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for number in 1..=arguments.rounds {
        let (agent, peak_rss_mb) = measure_agent(binaries, arguments).await.context("the agent")?;
        let floor = measure_floor(binaries, arguments).await.context("the floor")?;
        agent.check_floor(&floor, arguments.orders.into())?;
        let orders = f64::from(arguments.orders);
        let round = Round {
            orders_per_second: orders / agent.seconds()?,
            floor_orders_per_second: orders / floor.seconds()?,
            waldur_requests_per_order: agent.waldur.total as f64 / orders,
            okd_requests_per_order: agent.okd.total as f64 / orders,
            peak_rss_mb,
        };
        eprintln!(
            "round {number} of {}: agent {:.1} orders/s, floor {:.1} orders/s, {peak_rss_mb:.1} MB",
            arguments.rounds, round.orders_per_second, round.floor_orders_per_second
        );
        rounds.push(round);
    }
    Ok(rounds)
}

/// The agent's requests, and its peak memory.
async fn measure_agent(binaries: &Binaries, arguments: &Arguments) -> Result<(Traffic, f64)> {
    let folder = binaries.new_folder()?;
    let mut stage = Stage::new(binaries, folder.path(), arguments).await?;
    let configuration = site::write_configuration(folder.path(), &stage.place)?;
    // Long enough for placing the orders between the first look and the second.
    let period = Duration::from_secs(2) + Duration::from_millis(5) * arguments.orders;
    let mut agent = site::start_agent(binaries, folder.path(), &configuration, period)?;
    stage.wait(&mut agent, Traffic::is_watched).await?;
    stage.place_orders(arguments.orders).await?;
    stage.control.delete("/traffic").await?;
    let orders = u64::from(arguments.orders);
    stage.wait(&mut agent, |traffic| traffic.finished() >= orders).await?;
    let traffic = stage.settle().await?;
    if traffic.approved() != orders {
        bail!("the agent found orders before all were placed");
    }
    Ok((traffic, agent.peak_memory_mb()?))
}

/// The floor's requests.
async fn measure_floor(binaries: &Binaries, arguments: &Arguments) -> Result<Traffic> {
    let folder = binaries.new_folder()?;
    let mut stage = Stage::new(binaries, folder.path(), arguments).await?;
    stage.place_orders(arguments.orders).await?;
    stage.control.delete("/traffic").await?;
    let place = folder.path().join("place.json");
    let json = serde_json::to_string(&stage.place).context("cannot describe the site")?;
    std::fs::write(&place, json).context("cannot describe the site")?;
    let command = ["bench".as_ref(), "floor".as_ref(), "--place".as_ref(), place.as_os_str()];
    let log = folder.path().join("floor.log");
    let mut floor = Server::start(&binaries.path(env!("CARGO_PKG_NAME")), command, &[], &log)?;
    stage.wait(&mut floor, |traffic| traffic.finished() >= arguments.orders.into()).await?;
    stage.settle().await
}

/// Simulators with nobody at work yet.
struct Stage {
    simulators: Server,
    place: Place,
    control: Api,
    customer: Api,
}

impl Stage {
    async fn new(binaries: &Binaries, folder: &std::path::Path, arguments: &Arguments) -> Result<Self> {
        let latency = arguments.latency_ms.to_string();
        let (simulators, place) =
            site::start_simulators(binaries, folder, &["--latency-ms", &latency]).await?;
        let control = Api::waldur(&place.control_url, "")?;
        let customer = Api::waldur(&place.waldur_url, &place.waldur_customer_token)?;
        Ok(Self { simulators, place, control, customer })
    }

    /// Places Create orders, all alike but for their names.
    async fn place_orders(&self, orders: u32) -> Result<()> {
        let projects = self.customer.get("/api/projects/").await?;
        let offering = &self.place.offering_uuid;
        let order = json!({
            "offering": format!("{}/api/marketplace-public-offerings/{offering}/", self.place.waldur_url),
            "project": text(&projects, "/0/url"),
            "limits": {"cpu": 4, "memory": 16, "storage": 100, "pods": 50},
        });
        let mut placing = JoinSet::new();
        for number in 0..orders {
            if placing.len() == PLACED_AT_ONCE {
                placed(placing.join_next().await)?;
            }
            let (customer, mut order) = (self.customer.clone(), order.clone());
            order["attributes"] = json!({"name": format!("Bench {number:05}")});
            placing.spawn(async move { customer.post("/api/marketplace-orders/", &order).await });
        }
        while let Some(order) = placing.join_next().await {
            placed(Some(order))?;
        }
        Ok(())
    }

    /// Waits until the record of requests says so.
    async fn wait(&mut self, worker: &mut Server, done: impl Fn(&Traffic) -> bool) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if done(&Traffic::read(&self.control).await?) {
                return Ok(());
            }
            worker.still_runs()?;
            self.simulators.still_runs()?;
            ensure!(Instant::now() < deadline, "not finished in time{}", worker.tail());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The record when no more requests come.
    async fn settle(&self) -> Result<Traffic> {
        let mut last = Traffic::read(&self.control).await?;
        loop {
            tokio::time::sleep(QUIET).await;
            let now = Traffic::read(&self.control).await?;
            if (now.waldur.total, now.okd.total) == (last.waldur.total, last.okd.total) {
                return Ok(now);
            }
            last = now;
        }
    }
}

fn placed(order: Option<Result<Result<Value>, tokio::task::JoinError>>) -> Result<()> {
    order.context("no order")?.context("placing an order broke down")?.context("cannot place an order")?;
    Ok(())
}
