//! `cargo xtask bench membership`: passes of the agent over all resources and their members.
//!
//! The agent runs in its normal loop. Measured are its first pass over resources that have a project and nothing
//! else, the first one of an agent that is started anew, and of that one a pass when nothing has changed and one after
//! customers have changed 1 % of the memberships. The role bindings on the cluster are held against the teams.

pub(crate) mod figures;
pub(crate) mod people;
pub(crate) mod run;

use anyhow::Result;

use self::figures::{Figures, Measured};
use self::people::Size;
use self::run::Run;
use crate::output::Output;
use crate::site::{self, Binaries, Profile};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Resources, each with a project on the cluster
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    resources: u32,
    /// Members of each project in Waldur; nobody is in two
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    members: u32,
    /// Resources in each project in Waldur
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    resources_per_project: u32,
    /// Waldur has no list of all roles in the provider's projects: teams are read one by one
    #[arg(long)]
    teams: bool,
    /// Milliseconds that each request takes on each side
    #[arg(long, default_value_t = 5)]
    latency_ms: u64,
    #[command(flatten)]
    output: Output,
}

impl Arguments {
    fn size(&self) -> Size {
        let [resources, members, per_project] =
            [self.resources, self.members, self.resources_per_project].map(|number| number as usize);
        Size { resources, members, per_project }
    }
}

/// Runs the passes and prints the figures.
///
/// # Errors
/// Something could not be started or did not come to its end, or the cluster is not as the teams are; with
/// `--check`, a target that is not reached.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binaries = Binaries::with_chores(Profile::Release)?;
    let measured = site::run_until_stopped(measure(&binaries, arguments))?;
    let figures = Figures::new(arguments.size(), !arguments.teams, arguments.latency_ms, &measured);
    arguments.output.give(&figures, &figures.text(), figures.targets_reached())
}

async fn measure(binaries: &Binaries, arguments: &Arguments) -> Result<Measured> {
    let (size, one_list) = (arguments.size(), !arguments.teams);
    Run::new(binaries, size, one_list, arguments.latency_ms).await?.passes().await
}
