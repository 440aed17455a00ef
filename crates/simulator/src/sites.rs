//! Further sites in one process, made and closed over HTTP: a chore that needs a fresh one a thousand times does not
//! start a thousand processes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{Path, State};
use axum::routing::{delete, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::control;
use crate::okd::{self, OkdOptions};
use crate::server::{self, ServeOptions, Server};
use crate::simulation::{Simulation, SimulationOptions};
use crate::waldur::Seed;

/// The sites that are open.
#[derive(Clone, Default)]
pub struct Sites {
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    last: u64,
    sites: HashMap<u64, Site>,
}

struct Site {
    simulation: Arc<Simulation>,
    /// Serves the control port as long as the site is open.
    _control: Server,
}

/// What a site is to be like.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Where its files are put.
    folder: PathBuf,
    /// The demo's without it.
    seed: Option<Seed>,
    #[serde(default)]
    random_seed: u64,
    /// How long an empty namespace takes to go away, milliseconds.
    #[serde(default)]
    termination_ms: u64,
    /// How late controllers act, milliseconds.
    #[serde(default)]
    settle_ms: u64,
}

/// `POST /sites` opens a site and describes it as the first line of the process does, with its `site`; `DELETE
/// /sites/{site}` closes it.
pub fn routes(sites: Sites) -> Router {
    Router::new().route("/sites", post(open)).route("/sites/{site}", delete(close)).with_state(sites)
}

impl Sites {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, wanted: Wanted) -> anyhow::Result<Value> {
        let okd = OkdOptions {
            termination_delay: Duration::from_millis(wanted.termination_ms),
            settle_delay: Duration::from_millis(wanted.settle_ms),
            ..OkdOptions::immediate()
        };
        let options = SimulationOptions {
            okd,
            agent_rules: okd::extended_agent_rules(),
            seed: wanted.seed.unwrap_or_else(Seed::demo),
            random_seed: wanted.random_seed,
            record: true,
            ..SimulationOptions::default()
        };
        let simulation = Arc::new(Simulation::start(options).await?);
        let (description, control) = serve_control(&simulation, &wanted.folder, Router::new()).await?;
        let mut open = self.lock();
        open.last += 1;
        let number = open.last;
        open.sites.insert(number, Site { simulation, _control: control });
        let mut description = description;
        description["site"] = json!(number);
        Ok(description)
    }
}

/// Describes a site in `folder` and serves its control port, with `more` routes.
///
/// # Errors
/// A folder that cannot be written to, or no port.
pub async fn serve_control(
    simulation: &Arc<Simulation>,
    folder: &std::path::Path,
    more: Router,
) -> anyhow::Result<(Value, Server)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port for the control of a site")?;
    let control = server::serve(control::routes(simulation).merge(more), listener, ServeOptions::default());
    let mut description = simulation.describe(folder)?;
    description["control_url"] = json!(control.url);
    Ok((description, control))
}

async fn open(
    State(sites): State<Sites>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Value>, (StatusCode, String)> {
    let opened = sites.open(wanted).await;
    opened.map(Json).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")))
}

async fn close(State(sites): State<Sites>, Path(number): Path<u64>) -> StatusCode {
    let closed = sites.lock().sites.remove(&number);
    match closed {
        Some(site) => {
            site.simulation.broker.stop().await;
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}
