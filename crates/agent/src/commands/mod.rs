//! The smaller commands of the Python agent, under their names (Waldur contract §1.9). Each looks at every offering of
//! the configuration, says what it has done on lines of its own, and goes on with the next where one fails.

pub(crate) mod health;
pub(crate) mod historical;
pub(crate) mod limits;
pub(crate) mod load_components;
pub(crate) mod usernames;

use std::time::Duration;

use crate::engine::{Bounds, EngineOptions, Offering};
use crate::settings::{OfferingSettings, Settings};
use crate::setup;

/// Deadline of one attempt of a request: somebody is waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a command behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// Say what would be done, and do nothing.
    pub(crate) dry_run: bool,
}

impl Manner {
    fn engine(self) -> EngineOptions {
        let bounds = Bounds { request: PATIENCE, ..Bounds::default() };
        EngineOptions { bounds, dry_run: self.dry_run, ..EngineOptions::default() }
    }
}

/// An offering with its servers, for a command.
fn offering(
    settings: &Settings,
    offering: &OfferingSettings,
    label: &str,
    manner: Manner,
) -> anyhow::Result<Offering> {
    setup::tool(settings, offering, label, manner.engine())
}

/// One line about an offering, with nothing in it that a terminal would obey.
fn say(offering: &str, text: &str) {
    anstream::println!("{}: {}", planner::names::one_line(offering), planner::names::one_line(text));
}

/// One line about a failure.
fn complain(offering: &str, text: &str) {
    anstream::eprintln!("{}: {}", planner::names::one_line(offering), planner::names::one_line(text));
}
