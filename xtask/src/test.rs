//! `cargo xtask test`: all checks in order, what is quick and often wrong first.
//!
//! The steps share one target directory, one profile and, where cargo lets them, one choice of packages, so that
//! a dependency is compiled once for checking and once for running.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::process::{Program, cargo};
use crate::{crash, fuzz, generate, install, links, profile, soak};

/// Private items are documented too: who reads these pages works on the code, and may follow links to them.
const RUSTDOC: &str = "-D warnings -A rustdoc::private_intra_doc_links";

/// Seconds for which each place takes made-up input.
const FUZZED: u32 = 8;

/// Tests mostly wait, for simulated servers and for pauses to pass.
const TESTS_AT_ONCE: &str = "4";

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run these steps alone
    #[arg(long, value_name = "STEP", num_args = 1..)]
    only: Vec<Step>,
    /// Leave these steps out
    #[arg(long, value_name = "STEP", num_args = 1..)]
    skip: Vec<Step>,
    /// Go on after a step that fails
    #[arg(long)]
    keep_going: bool,
    /// Print the steps and do nothing
    #[arg(long)]
    list: bool,
}

/// The steps, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    /// The source is formatted
    Fmt,
    /// Links between documents lead somewhere, and chores that they name exist
    Links,
    /// Tools and packages that later steps need are there; missing ones are installed
    Install,
    /// Dependencies keep the rules of deny.toml: bans, licences, sources
    Deny,
    /// No lint fires, with and without the features of the tests
    Clippy,
    /// Documentation is complete and its links lead somewhere
    Docs,
    /// Generated files are what `cargo xtask generate` would write
    Drift,
    /// All tests that need nothing but this repository
    Tests,
    /// Orders and passes compute no more than docs/profile.txt says
    Profile,
    /// Made-up input breaks nothing, for a moment
    Fuzz,
    /// The agent is interrupted at some of its requests, and another one finishes: `cargo xtask crash`
    Crash,
    /// A short walk through a marketplace in bad weather: `cargo xtask soak`
    Soak,
    /// Tests with clients and a broker that nobody here wrote, from Debian and PyPI
    Foreign,
}

impl Step {
    fn run(self) -> Result<()> {
        match self {
            Self::Fmt => cargo(["fmt", "--all", "--check"]).run(),
            Self::Links => links::check(),
            Self::Install => install::everything(),
            Self::Deny => install::cargo_deny()?.run(),
            Self::Clippy => {
                clippy(&[]).run()?;
                clippy(&["--all-features"]).run()
            }
            Self::Docs => cargo(["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"])
                .env("RUSTDOCFLAGS", RUSTDOC)
                .run(),
            Self::Drift => generate::check(),
            Self::Tests => tests(&[]).env("RUST_TEST_THREADS", TESTS_AT_ONCE).run(),
            Self::Profile => profile::check(),
            Self::Fuzz => fuzz::briefly(FUZZED),
            Self::Crash => crash::run(&crash::Arguments::short()),
            Self::Soak => soak::run(&soak::Arguments::short()),
            // The whole workspace with one test picked, and not `--package simulator`: the packages chosen
            // decide on the features of the dependencies, and other features are another build of all of them.
            Self::Foreign => {
                let python = install::foreign_clients()?;
                let with = ["--features", "agent/foreign-clients", "--test"];
                tests(&[&with[..], &["foreign"]].concat()).env("FOREIGN_PYTHON", python).run()?;
                tests(&[&with[..], &["it", "rabbitmq::"]].concat()).run()
            }
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn help(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }
}

fn clippy(more: &[&str]) -> Program {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked"];
    cargo(arguments.iter().chain(more).chain(&["--", "-D", "warnings"]))
}

/// One failing test program does not hide the next. Snapshots are compared and never written: what checks must not
/// change what is checked.
fn tests(more: &[&str]) -> Program {
    cargo(["test", "--workspace", "--locked", "--no-fail-fast"].iter().chain(more)).env("INSTA_UPDATE", "no")
}

/// Runs the chosen steps.
///
/// # Errors
/// A step failed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let steps = chosen(&arguments.only, &arguments.skip);
    if arguments.list {
        for step in steps {
            eprintln!("{:9}{}", step.name(), step.help());
        }
        return Ok(());
    }
    let mut finished = Vec::new();
    for step in &steps {
        eprintln!("\n== {}: {}", step.name(), step.help());
        let start = Instant::now();
        let result = step.run();
        if let Err(error) = &result {
            eprintln!("error: {error:#}");
        }
        let failed = result.is_err();
        finished.push((*step, !failed, start.elapsed()));
        if failed && !arguments.keep_going {
            break;
        }
    }
    conclude(&steps, &finished)
}

fn chosen(only: &[Step], skip: &[Step]) -> Vec<Step> {
    let all = Step::value_variants().iter().copied();
    all.filter(|step| (only.is_empty() || only.contains(step)) && !skip.contains(step)).collect()
}

/// Prints what each step came to.
fn conclude(steps: &[Step], finished: &[(Step, bool, Duration)]) -> Result<()> {
    eprintln!();
    for step in steps {
        match finished.iter().find(|(done, ..)| done == step) {
            Some((_, passed, took)) => {
                let result = if *passed { "ok" } else { "FAILED" };
                eprintln!("{:9}{result:8}{:7.1} s", step.name(), took.as_secs_f64());
            }
            None => eprintln!("{:9}not run", step.name()),
        }
    }
    let total: Duration = finished.iter().map(|(.., took)| *took).sum();
    eprintln!("{:17}{:7.1} s", "total", total.as_secs_f64());
    let failed = finished.iter().filter(|(_, passed, _)| !passed).map(|(step, ..)| step.name());
    let failed: Vec<String> = failed.collect();
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failed: {0}; again with: cargo xtask test --only {0}", failed.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_in_their_own_order_whatever_was_typed() {
        assert_eq!(chosen(&[Step::Tests, Step::Fmt], &[]), [Step::Fmt, Step::Tests]);
        assert_eq!(chosen(&[Step::Fmt, Step::Docs], &[Step::Fmt]), [Step::Docs]);
        assert_eq!(chosen(&[], &[]), Step::value_variants());
    }

    #[test]
    fn one_failed_step_fails_the_whole() {
        let second = Duration::from_secs(1);
        let steps = [Step::Fmt, Step::Docs];
        assert!(conclude(&steps, &[(Step::Fmt, true, second), (Step::Docs, true, second)]).is_ok());
        let error = conclude(&steps, &[(Step::Fmt, true, second), (Step::Docs, false, second)]).unwrap_err();
        assert!(error.to_string().ends_with("--only docs"), "{error}");
    }
}
