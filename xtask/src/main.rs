//! Repository chores behind one door: `cargo xtask`.
//!
//! Builds in seconds and links none of the product's crates: what it needs of them it gets by running their
//! binaries. Chores read and write files of this repository and below `target/`, nothing else, except that the
//! `install` step adds Debian packages where they are missing.

#![expect(clippy::print_stderr, reason = "a command-line tool talks to its user")]

mod bench;
mod compare;
mod crash;
mod demo;
mod fuzz;
mod generate;
mod install;
mod links;
mod market;
mod output;
mod process;
mod profile;
mod scale;
mod site;
mod soak;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Repository chores
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start Waldur and OKD as simulators and the real agent, place orders, and show what became of them
    Demo(demo::Arguments),
    /// Measure the agent against the simulators: seconds, requests, memory
    Bench(bench::Arguments),
    /// Compare this agent with the published Python agent: seconds, requests, memory, size, and what is true afterwards
    Compare(compare::Arguments),
    /// Measure how the agent's work grows with the number of resources, and write a page with plots
    Scale(scale::Arguments),
    /// Count the instructions of an order and of a resource at which nothing has changed
    Profile(profile::Arguments),
    /// Interrupt the agent at every request that it makes, and see that another one finishes the work
    Crash(crash::Arguments),
    /// Walk at random through a marketplace in bad weather, and see that everything is right in the end
    Soak(soak::Arguments),
    /// Check everything: format, lints, documents, dependencies, all tests
    Test(test::Arguments),
    /// Make up input for everything that reads what comes from elsewhere, until something breaks or the time is over
    Fuzz(fuzz::Arguments),
    /// Write the files that are made from the binaries: configuration schema and example, CLI reference
    Generate,
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<()> {
    match command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Compare(arguments) => compare::run(arguments),
        Command::Scale(arguments) => scale::run(arguments),
        Command::Profile(arguments) => profile::run(arguments),
        Command::Crash(arguments) => crash::run(arguments),
        Command::Soak(arguments) => soak::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Fuzz(arguments) => fuzz::run(arguments),
        Command::Generate => generate::write(),
    }
}
