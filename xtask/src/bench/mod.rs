//! `cargo xtask bench`: how fast the agent is, beside how fast it could be.
//!
//! Everything is measured from outside, by the simulators' record of requests, on the optimised build.

mod figures;
mod floor;
mod orders;
mod record;

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
        Benchmark::Floor(arguments) => floor::run(arguments),
    }
}
