//! `cargo xtask bench orders`: Create orders through the agent, and through the bare client that is its floor.
//!
//! Each measurement has a site of its own. The agent runs as it does for months: it has looked for orders once,
//! found none and watches the cluster; then all orders are placed, and its next look finds them. The floor looks in
//! the same way. Both are timed from the first request of that look to the end of the last order.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::figures::{Figures, Round};
use super::record::Traffic;
use super::stage::Stage;
use crate::output::Output;
use crate::site::{self, Api, Binaries, Mode, Place, Profile, Server, text};

/// Orders placed at the same time.
const PLACED_AT_ONCE: usize = 32;
/// A site that takes longer is stuck.
const DEADLINE: Duration = Duration::from_secs(300);

/// The quotas that were made.
const OUR_QUOTAS: &str =
    "/api/v1/resourcequotas?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dwaldur-site-agent";

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
    #[command(flatten)]
    output: Output,
}

/// Runs all rounds and prints the figures.
///
/// # Errors
/// Something could not be started or did not come to its end; with `--check`, a target that is not reached.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binaries = Binaries::with_chores(Profile::Release)?;
    let rounds = site::run_until_stopped(measure(&binaries, arguments))?;
    let figures = Figures::new(arguments.orders, arguments.latency_ms, rounds);
    arguments.output.give(&figures, &figures.text(), figures.targets_reached())
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
    let mut stage = new_stage(binaries, folder.path(), arguments).await?;
    let configuration = site::write_configuration(folder.path(), &stage.place, Mode::OrderProcess)?;
    let period = period(arguments);
    let mut agent = site::start_agent(binaries, folder.path(), &configuration, Mode::OrderProcess, period)?;
    stage.wait(&mut agent, Traffic::is_watched).await?;
    let traffic = time(&mut stage, &mut agent, arguments.orders).await?;
    Ok((traffic, agent.peak_memory_mb()?))
}

/// The floor's requests.
async fn measure_floor(binaries: &Binaries, arguments: &Arguments) -> Result<Traffic> {
    let folder = binaries.new_folder()?;
    let mut stage = new_stage(binaries, folder.path(), arguments).await?;
    let place = folder.path().join("place.json");
    let json = serde_json::to_string(&stage.place).context("cannot describe the site")?;
    std::fs::write(&place, json).context("cannot describe the site")?;
    let period = period(arguments).as_millis().to_string();
    let command = ["bench", "floor", "--period-ms", &period, "--place"].map(OsStr::new);
    let command = command.into_iter().chain([place.as_os_str()]);
    let log = folder.path().join("floor.log");
    let mut floor = Server::start(&binaries.path(env!("CARGO_PKG_NAME")), command, &[], &log)?;
    stage.wait(&mut floor, Traffic::is_looked_at).await?;
    time(&mut stage, &mut floor, arguments.orders).await
}

async fn new_stage(binaries: &Binaries, folder: &Path, arguments: &Arguments) -> Result<Stage> {
    let latency = arguments.latency_ms.to_string();
    Stage::new(binaries, folder, &["--latency-ms", &latency], DEADLINE).await
}

/// Between two looks for orders: long enough to place all of them.
fn period(arguments: &Arguments) -> Duration {
    Duration::from_secs(2) + Duration::from_millis(3) * arguments.orders
}

/// Places orders, and gives the requests from the look that finds them to the last one.
async fn time(stage: &mut Stage, worker: &mut Server, orders: u32) -> Result<Traffic> {
    place_orders(&stage.customer, &stage.place, orders).await?;
    stage.forget_traffic().await?;
    let orders = u64::from(orders);
    stage.wait(worker, |traffic| traffic.finished() >= orders).await?;
    let traffic = stage.settle(worker).await?;
    ensure!(traffic.approved() == orders, "orders were found before all were placed");
    let quotas = stage.cluster.get(OUR_QUOTAS).await?;
    let made = quotas.pointer("/items").and_then(Value::as_array).map_or(0, Vec::len);
    ensure!(made as u64 == orders, "{made} quotas were made for {orders} orders");
    Ok(traffic)
}

/// Places Create orders, all alike but for their names.
///
/// # Errors
/// Waldur refuses one.
pub(crate) async fn place_orders(customer: &Api, place: &Place, orders: u32) -> Result<()> {
    let projects = customer.get("/api/projects/").await?;
    let offering = &place.offering_uuid;
    let order = json!({
        "offering": format!("{}/api/marketplace-public-offerings/{offering}/", place.waldur_url),
        "project": text(&projects, "/0/url"),
        "limits": {"cpu": 4, "memory": 16, "storage": 100, "pods": 50},
    });
    let mut placing = JoinSet::new();
    for number in 0..orders {
        if placing.len() == PLACED_AT_ONCE {
            placed(placing.join_next().await)?;
        }
        let (customer, mut order) = (customer.clone(), order.clone());
        order["attributes"] = json!({"name": format!("Bench {number:05}")});
        placing.spawn(async move { customer.post("/api/marketplace-orders/", &order).await });
    }
    while let Some(order) = placing.join_next().await {
        placed(Some(order))?;
    }
    Ok(())
}

fn placed(order: Option<Result<Result<Value>, tokio::task::JoinError>>) -> Result<()> {
    order.context("no order")?.context("placing an order broke down")?.context("cannot place an order")?;
    Ok(())
}
