//! The diagnostics: what is as it should be at a site, what is not, and what to do about it.
//!
//! ```text
//! gather, connection, broker (I/O) → facts → evaluate (pure) → report → table or JSON
//! ```
//!
//! Changes nothing, in Waldur or on the cluster, but for the write test where it is asked for.

mod broker;
mod connection;
mod evaluate;
mod facts;
mod gather;
mod report;
mod table;
mod write_test;

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use self::report::{Check, Diagnosis, Section};
use crate::engine::{Bounds, EngineOptions};
use crate::settings::{OfferingSettings, Settings};
use crate::setup;

/// Deadline of one attempt of a request: somebody is waiting.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is to be looked at, and how.
#[derive(Clone, Debug, Default)]
pub struct DiagnoseOptions {
    /// Only the offering of this name.
    pub offering: Option<String>,
    /// Warnings about the configuration file.
    pub warnings: Vec<String>,
    /// Make a project, set everything, verify it, and remove it.
    pub write_test: bool,
}

/// What was found, for printing.
#[derive(Debug)]
pub struct Diagnoses(Vec<Diagnosis>);

impl Diagnoses {
    /// False if a check failed.
    #[must_use]
    pub fn ok(&self) -> bool {
        report::counts(&self.0).2 == 0
    }

    /// As a table; see [`table::render`].
    #[must_use]
    pub fn table(&self, width: Option<usize>) -> String {
        table::render(&self.0, width)
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        report::json(&self.0)
    }
}

/// Looks at every offering, one after the other.
///
/// # Errors
/// An offering was named that the configuration does not have.
pub async fn diagnose(settings: &Settings, options: &DiagnoseOptions) -> anyhow::Result<Diagnoses> {
    let wanted =
        |offering: &&OfferingSettings| options.offering.as_ref().is_none_or(|name| *name == offering.name);
    let offerings: Vec<&OfferingSettings> = settings.offerings.iter().filter(wanted).collect();
    if offerings.is_empty() {
        let name = options.offering.as_deref().unwrap_or_default();
        anyhow::bail!("the configuration has no offering `{name}`");
    }
    let mut diagnoses = Vec::new();
    for offering in offerings {
        diagnoses.push(of_offering(settings, offering, options).await);
    }
    Ok(Diagnoses(diagnoses))
}

async fn of_offering(
    settings: &Settings,
    offering: &OfferingSettings,
    options: &DiagnoseOptions,
) -> Diagnosis {
    let bounds = Bounds { request: PATIENCE, ..Bounds::default() };
    let engine = EngineOptions { bounds, ..EngineOptions::default() };
    let built = setup::tool(settings, offering, "diagnostics", engine)
        .with_context(|| "the offering cannot be served");
    match built {
        Ok(built) => {
            let may_register = options.write_test && !settings.dry_run;
            let servers = (&built.waldur, &*built.cluster);
            let facts =
                gather::facts(settings, offering, servers, options.warnings.clone(), may_register).await;
            let mut diagnosis = evaluate::diagnosis(&facts);
            if options.write_test {
                let checks = if settings.dry_run {
                    vec![Check::not_tried("project", "the configuration says `dry_run: true`")]
                } else {
                    write_test::run(&built).await
                };
                diagnosis.sections.push(Section { title: "Write test".to_owned(), checks });
            }
            diagnosis
        }
        Err(error) => {
            let check = Check::failed("settings", format!("{error:#}"), "correct the configuration");
            let sections = vec![Section { title: "Configuration".to_owned(), checks: vec![check] }];
            Diagnosis { offering: offering.name.clone(), uuid: offering.offering_uuid_text.clone(), sections }
        }
    }
}
