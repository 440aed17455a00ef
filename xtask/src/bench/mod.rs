//! `cargo xtask bench`: how fast the agent is, and what it costs the others.
//!
//! Everything is measured from outside, by the simulators' record of requests, on the optimised build.

mod events;
mod figures;
mod floor;
mod lifecycle;
pub(crate) mod membership;
mod orders;
pub(crate) mod record;
pub(crate) mod stage;
mod usage;

use anyhow::Result;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, clap::Subcommand)]
enum Benchmark {
    /// Orders per second, requests per order and memory, for Create orders
    Orders(orders::Arguments),
    /// Passes over all resources and their members: seconds, requests and memory
    Membership(membership::Arguments),
    /// All resources paused by flag and restored: seconds, requests per transition and memory
    Lifecycle(lifecycle::Arguments),
    /// Messages of orders and roles: milliseconds to finished work, looks per change, losses through disconnects and kills
    Events(events::Arguments),
    /// A day of many pods in a real Prometheus, measured and reported: seconds, queries, requests and memory
    Usage(usage::Arguments),
    /// The bare client that `orders` is compared with, as a process of its own
    #[command(hide = true)]
    Floor(floor::Arguments),
}

/// Runs a benchmark.
///
/// # Errors
/// Something could not be started, or did not come to its end.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.benchmark {
        Benchmark::Orders(arguments) => orders::run(arguments),
        Benchmark::Membership(arguments) => membership::run(arguments),
        Benchmark::Lifecycle(arguments) => lifecycle::run(arguments),
        Benchmark::Events(arguments) => events::run(arguments),
        Benchmark::Usage(arguments) => usage::run(arguments),
        Benchmark::Floor(arguments) => floor::run(arguments),
    }
}
