//! A whole site on this machine: the simulators as one process, the real agent as another, and clients that look
//! at both from outside.
//!
//! Knows the product by its binaries, configuration file and HTTP APIs alone, as an operator does.

mod agent;
mod client;
mod server;
mod sites;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

pub(crate) use agent::{Agent, Configuration};
pub(crate) use client::{Api, USER_AGENT, text};
pub(crate) use server::Server;
pub(crate) use sites::{Simulators, Site};

use crate::process::cargo;
use crate::workspace::Metadata;

/// Name of the agent's binary.
pub(crate) const AGENT: &str = "waldur_site_agent";
/// Name of the simulators' binary.
const SIMULATOR: &str = "waldur-okd-simulator";
/// The simulators answer within milliseconds; this is for a machine that does many other things.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// How binaries are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build.
    Dev,
    /// As shipped.
    Release,
    /// With the features of dependencies that `cargo test --workspace` has, so that what it built is good here.
    OfTests,
}

/// The built binaries, and where files may be made.
#[derive(Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
    scratch: PathBuf,
}

impl Binaries {
    /// Builds the agent and the simulators with the package of this chore: all that measure and sweep do, since other
    /// packages would have other features, and so be another build.
    ///
    /// # Errors
    /// The compiler's.
    pub(crate) fn with_chores(profile: Profile) -> Result<Self> {
        Self::build(profile, &[env!("CARGO_PKG_NAME")])
    }

    /// Builds the agent, the simulators and `more` packages.
    ///
    /// # Errors
    /// The compiler's.
    pub(crate) fn build(profile: Profile, more: &[&str]) -> Result<Self> {
        let target = Metadata::read()?.target_directory;
        let mut arguments = vec!["build", "--locked"];
        match profile {
            // Choosing a test makes cargo choose those features.
            Profile::OfTests => arguments.extend(["--workspace", "--bins", "--test", "it"]),
            Profile::Dev | Profile::Release => {
                arguments.extend(["--package", "agent", "--package", "simulator"]);
                arguments.extend(more.iter().flat_map(|package| ["--package", package]));
            }
        }
        let folder = match profile {
            Profile::Dev | Profile::OfTests => "debug",
            Profile::Release => {
                arguments.push("--release");
                "release"
            }
        };
        cargo(arguments).run()?;
        Ok(Self { folder: target.join(folder), scratch: target.join("sites") })
    }

    /// Path of a binary.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A new folder below the target directory; it is removed when dropped.
    pub(crate) fn new_folder(&self) -> Result<TempDir> {
        let failed = || format!("cannot make a folder in `{}`", self.scratch.display());
        fs::create_dir_all(&self.scratch).with_context(failed)?;
        tempfile::Builder::new().prefix("site-").tempdir_in(&self.scratch).with_context(failed)
    }
}

/// What the simulators print when they are up: where they are and how to get in.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Place {
    /// Root of the marketplace, without `/api/`.
    pub(crate) waldur_url: String,
    /// Token of the agent's user.
    pub(crate) waldur_agent_token: String,
    /// Token of an owner of the customer organisation.
    pub(crate) waldur_customer_token: String,
    /// Token of a member of staff.
    pub(crate) waldur_staff_token: String,
    /// Root of the cluster's API.
    pub(crate) okd_url: String,
    /// Token of the agent's service account.
    pub(crate) okd_token: String,
    /// Token of a cluster administrator.
    pub(crate) okd_admin_token: String,
    /// PEM file with the certificate that the cluster's is signed by.
    pub(crate) ca_file: PathBuf,
    /// For `kubectl`, as a cluster administrator.
    pub(crate) kubeconfig: PathBuf,
    /// The offering that the agent serves.
    pub(crate) offering_uuid: String,
    /// Serves the record of requests, and the event broker's numbers and faults.
    pub(crate) control_url: String,
    /// Where the event broker has its plain WebSocket.
    pub(crate) stomp_ws_port: u16,
}

/// Starts the simulators and waits until they answer.
///
/// # Errors
/// They do not start, with what they said.
pub(crate) async fn start_simulators(
    binaries: &Binaries,
    folder: &Path,
    options: &[&str],
) -> Result<(Server, Place)> {
    let arguments = ["--folder".as_ref(), folder.as_os_str()].into_iter();
    let arguments = arguments.chain(options.iter().map(OsStr::new));
    let program = binaries.path(SIMULATOR);
    let (server, line) =
        Server::start_with_first_line(&program, arguments, &folder.join("simulators.log"), STARTS_WITHIN)
            .await?;
    let place = serde_json::from_str(&line).context("the simulators' first line is not what was expected")?;
    Ok((server, place))
}

/// What the agent is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Orders.
    OrderProcess,
    /// Members' access.
    MembershipSync,
    /// Both, by events.
    EventProcess,
    /// Usage.
    Report,
}

impl Mode {
    /// As on the agent's command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OrderProcess => "order_process",
            Self::MembershipSync => "membership_sync",
            Self::EventProcess => "event_process",
            Self::Report => "report",
        }
    }

    /// The environment variable with the minutes between two of its passes.
    pub(crate) fn period_variable(self) -> String {
        let name = match self {
            Self::OrderProcess => "ORDER_PROCESS",
            Self::MembershipSync => "MEMBERSHIP_SYNC",
            Self::EventProcess => "RECONCILIATION",
            Self::Report => "REPORT",
        };
        format!("WALDUR_SITE_AGENT_{name}_PERIOD_MINUTES")
    }

    /// Keys of the configuration that switch it on.
    fn keys(self, place: &Place) -> Vec<String> {
        const ORDERS: &str = "order_processing_backend: okd";
        const MEMBERS: &str = "membership_sync_backend: okd";
        match self {
            Self::OrderProcess => vec![ORDERS.to_owned()],
            Self::MembershipSync => vec![MEMBERS.to_owned()],
            Self::Report => vec!["reporting_backend: okd".to_owned()],
            Self::EventProcess => {
                let port = format!("stomp_ws_port: {}", place.stomp_ws_port);
                let stomp = ["stomp_enabled: true", "websocket_use_tls: false", "stomp_ws_host: localhost"];
                [ORDERS, MEMBERS].iter().chain(&stomp).map(|key| (*key).to_owned()).chain([port]).collect()
            }
        }
    }
}

/// Starts the agent on a configuration file.
///
/// # Errors
/// It cannot be started.
pub(crate) fn start_agent(
    binaries: &Binaries,
    folder: &Path,
    configuration: &Path,
    mode: Mode,
    period: Duration,
) -> Result<Server> {
    let arguments = ["-m".as_ref(), mode.name().as_ref(), "-c".as_ref(), configuration.as_os_str()];
    let minutes = (period.as_secs_f64() / 60.0).to_string();
    let variable = mode.period_variable();
    let variables = [(variable.as_str(), minutes)];
    Server::start(&binaries.path(AGENT), arguments, &variables, &folder.join("agent.log"))
}

/// Writes the agent's configuration as an operator would for this site, for one mode.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn write_configuration(folder: &Path, place: &Place, mode: Mode) -> Result<PathBuf> {
    write_configuration_for(folder, place, &[mode], &[])
}

/// The same for several modes, with more `backend_settings`, each a key with its value.
///
/// # Errors
/// As [`write_configuration`].
pub(crate) fn write_configuration_for(
    folder: &Path,
    place: &Place,
    modes: &[Mode],
    settings: &[&str],
) -> Result<PathBuf> {
    let path = folder.join("waldur-site-agent-config.yaml");
    let text = configuration(place, modes, settings);
    fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

fn configuration(place: &Place, modes: &[Mode], settings: &[&str]) -> String {
    let settings: String = settings.iter().map(|setting| format!("\n      {setting}")).collect();
    let Place { waldur_url, waldur_agent_token, offering_uuid, okd_url, okd_token, .. } = place;
    let (ca_file, keys) = (place.ca_file.display(), modes.iter().flat_map(|mode| mode.keys(place)));
    let keys = keys.collect::<Vec<_>>().join("\n    ");
    format!(
        r#"offerings:
  - name: OKD projects
    waldur_api_url: {waldur_url}/api/
    waldur_api_token: {waldur_agent_token}
    waldur_offering_uuid: {offering_uuid}
    backend_type: okd
    {keys}
    backend_settings:
      api_url: {okd_url}
      token: "{okd_token}"
      verify_cert: "{ca_file}"{settings}
    backend_components:
      cpu: {{measured_unit: cores, accounting_type: limit, label: CPU}}
      memory: {{measured_unit: GB, accounting_type: limit, label: Memory}}
      storage: {{measured_unit: GB, accounting_type: limit, label: Storage}}
      pods: {{measured_unit: pods, accounting_type: limit, label: Pods}}
"#
    )
}

/// Runs a chore that starts servers: SIGINT, SIGTERM and SIGHUP end it in order, so that everything it holds is
/// dropped and with it every process it started.
///
/// # Errors
/// The chore's, or that it was stopped.
pub(crate) fn run_until_stopped<T>(chore: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start")?.block_on(async {
        tokio::select! {
            result = chore => result,
            stopped = stopped() => stopped,
        }
    })
}

async fn stopped<T>() -> Result<T> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    tokio::select! {
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
        _ = hang_up.recv() => bail!("the terminal is gone"),
    }
}
