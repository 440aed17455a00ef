//! `waldur-okd-simulator`: a simulated Waldur, its event broker and a simulated OKD on loopback ports, until the process is stopped.
//!
//! The first line on standard output is one JSON object with URLs, tokens and file names. One more port serves the record
//! of requests, faults, the clock, tokens and the event broker ([`simulator::control`]), and opens further sites
//! ([`simulator::sites`]).

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use simulator::okd::{self, Flavour, OkdOptions};
use simulator::simulation::{Simulation, SimulationOptions};
use simulator::sites::{self, Sites};
use simulator::waldur::{Generation, Seed};

/// A simulated Waldur and a simulated OKD.
#[derive(Debug, Parser)]
#[command(name = "waldur-okd-simulator", version)]
struct Cli {
    /// Port of Waldur; 0 for any
    #[arg(long, default_value_t = 0)]
    waldur_port: u16,
    /// Port of the cluster's API; 0 for any
    #[arg(long, default_value_t = 0)]
    okd_port: u16,
    /// People, offerings and resources as JSON; without it those of the demo
    #[arg(long)]
    seed_file: Option<PathBuf>,
    /// Start of everything that is drawn
    #[arg(long, default_value_t = 1)]
    random_seed: u64,
    /// Which Waldur server to play
    #[arg(long, value_enum, default_value_t = Server::Current)]
    generation: Server,
    /// What kind of cluster to play
    #[arg(long, value_enum, default_value_t = Cluster::Openshift)]
    flavour: Cluster,
    /// Give the agent only the rights of the Python agent's documentation
    #[arg(long)]
    documented_role: bool,
    /// Milliseconds added to each answer
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Milliseconds that an empty namespace takes to go away
    #[arg(long, default_value_t = 5000)]
    termination_ms: u64,
    /// Folder for the CA certificate, a kubeconfig and `site.json`
    #[arg(long)]
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Server {
    Current,
    October2024,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cluster {
    Openshift,
    Kubernetes,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let seed = match &cli.seed_file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} is no seed", path.display()))?
        }
        None => Seed::demo(),
    };
    let flavour = match cli.flavour {
        Cluster::Openshift => Flavour::OpenShift,
        Cluster::Kubernetes => Flavour::Kubernetes,
    };
    let options = SimulationOptions {
        generation: match cli.generation {
            Server::Current => Generation::Current,
            Server::October2024 => Generation::October2024,
        },
        okd: OkdOptions {
            flavour,
            termination_delay: Duration::from_millis(cli.termination_ms),
            ..OkdOptions::default()
        },
        agent_rules: if cli.documented_role {
            okd::documented_agent_rules()
        } else {
            okd::extended_agent_rules()
        },
        seed,
        random_seed: cli.random_seed,
        latency: Duration::from_millis(cli.latency_ms),
        ports: (cli.waldur_port, cli.okd_port),
        record: false,
    };
    let simulation = Arc::new(Simulation::start(options).await?);
    let further = sites::routes(Sites::default());
    let (site, _control) = sites::serve_control(&simulation, &cli.folder, further).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{site}").and_then(|()| out.flush()).context("cannot print where the servers are")?;
    drop(out);
    stopped().await;
    Ok(())
}

async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => {
            // Without a handler the default action of the signal ends the process.
            std::future::pending::<()>().await;
        }
    }
}
