//! All servers together, as a site has them: one Waldur with the demo's people and offering, its event broker, one
//! cluster with the agent's service account, on loopback ports.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::broker::{self, Broker, BrokerOptions};
use crate::clock::Clock;
use crate::faults::{Fault, Faults, Rule};
use crate::okd::{self, Okd, OkdOptions};
use crate::server::{self, ServeOptions, Server};
use crate::tls::Tls;
use crate::traffic::Traffic;
use crate::waldur::{self, Generation, Waldur, WaldurOptions};

/// Name of the user who may do everything in the virtual host `/` of the broker.
pub const PLAIN_USER: &str = "plain";
/// Passcode of [`PLAIN_USER`].
pub const PLAIN_PASSCODE: &str = "plain-passcode";

/// What kind of site is simulated.
#[derive(Clone, Debug)]
pub struct SimulationOptions {
    /// Which Waldur is played.
    pub generation: Generation,
    /// What the cluster is like; its clock and seed are replaced by the simulation's.
    pub okd: OkdOptions,
    /// Rights of the agent on the cluster: rules of a ClusterRole.
    pub agent_rules: Value,
    /// Who is on the Waldur server and what it sells. Resources with a UUID and a backend id have their project on
    /// the cluster.
    pub seed: waldur::Seed,
    /// Start of everything that is drawn.
    pub random_seed: u64,
    /// Added to each answer of each server.
    pub latency: Duration,
    /// Ports of Waldur and of the cluster; 0 for any.
    pub ports: (u16, u16),
    /// Keep a record of each request, not only counts.
    pub record: bool,
}

impl Default for SimulationOptions {
    fn default() -> Self {
        Self {
            generation: Generation::Current,
            okd: OkdOptions::default(),
            agent_rules: okd::extended_agent_rules(),
            seed: waldur::Seed::demo(),
            random_seed: 1,
            latency: Duration::ZERO,
            ports: (0, 0),
            record: false,
        }
    }
}

/// A running site.
pub struct Simulation {
    started: Instant,
    /// The clock of both servers.
    pub clock: Clock,
    /// The marketplace.
    pub waldur: Waldur,
    /// The cluster.
    pub okd: Okd,
    /// Where the marketplace is served, plain.
    pub waldur_server: Server,
    /// Where the cluster is served, with TLS.
    pub okd_server: Server,
    /// Where Waldur's messages are.
    pub broker: Broker,
    /// Certificate that those of the cluster and of the broker are signed by.
    pub ca_pem: String,
    /// The agent's token for the cluster.
    pub okd_token: String,
    /// A cluster administrator's token.
    pub okd_admin_token: String,
}

impl Simulation {
    /// Starts all servers.
    ///
    /// # Errors
    /// A port that is taken, or a seed that contradicts itself.
    pub async fn start(options: SimulationOptions) -> anyhow::Result<Self> {
        let clock = options.okd.clock.clone();
        let waldur = Waldur::new(WaldurOptions {
            clock: clock.clone(),
            generation: options.generation,
            seed: options.random_seed,
            base_url: None,
        });
        waldur.load(&options.seed)?;
        let okd = Okd::new(OkdOptions { seed: options.random_seed, ..options.okd });
        let okd_token = okd.add_agent(options.agent_rules);
        for resource in options.seed.resources.iter().filter(|resource| !resource.backend_id.is_empty()) {
            put_project(&okd, resource);
        }
        add_offering_users(&waldur, &options.seed);
        let okd_admin_token = okd.admin_token();
        let tls = Tls::generate()?;
        let serve = |base: ServeOptions| {
            let faults = Faults::seeded(options.random_seed);
            if !options.latency.is_zero() {
                faults.add(Rule::all(Fault::Latency { fixed: options.latency, jitter: Duration::ZERO }));
            }
            let traffic = if options.record { Traffic::recording() } else { Traffic::counting() };
            ServeOptions { faults, traffic, clock: clock.clone(), ..base }
        };
        let waldur_server =
            server::serve(waldur.router(), listener(options.ports.0).await?, serve(Waldur::serve_options()));
        waldur.set_base_url(&waldur_server.url);
        let broker_tls = Some(tls.server_config());
        let broker = Broker::start(BrokerOptions {
            clock: clock.clone(),
            tls: broker_tls,
            ..BrokerOptions::default()
        });
        let broker = broker.await?;
        // One who may do everything, as on a broker that knows nothing of Waldur.
        broker.add_user(PLAIN_USER, [PLAIN_PASSCODE]);
        broker.allow(PLAIN_USER, broker::DEFAULT_VHOST, broker::Access::Full);
        waldur.attach_broker(&broker);
        let okd_options = ServeOptions { tls: Some(tls.server_config()), ..serve(Okd::serve_options()) };
        let okd_server = server::serve(okd.router(), listener(options.ports.1).await?, okd_options);
        let ca_pem = tls.ca_pem().to_owned();
        let started = Instant::now();
        Ok(Self {
            started,
            clock,
            waldur,
            okd,
            waldur_server,
            okd_server,
            broker,
            ca_pem,
            okd_token,
            okd_admin_token,
        })
    }

    /// Writes what clients need into a folder: `ca.pem`, `kubeconfig` (a cluster administrator's) and
    /// `site.json`, which is also returned.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn describe(&self, folder: &Path) -> anyhow::Result<Value> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(path)
        };
        let ca_file = write("ca.pem", &self.ca_pem)?;
        let config = okd::kubeconfig(&self.okd_server.url, &self.ca_pem, &self.okd_admin_token);
        let kubeconfig = write("kubeconfig", &config)?;
        let offering = self.waldur.offering("okd-projects").map(|uuid| uuid.to_string());
        let ports = self.broker.ports();
        let site = json!({
            "waldur_url": self.waldur_server.url,
            "waldur_agent_token": "agent-token",
            "waldur_customer_token": "owner-token",
            "waldur_staff_token": "staff-token",
            "offering_uuid": offering,
            "okd_url": self.okd_server.url,
            "okd_token": self.okd_token,
            "okd_admin_token": self.okd_admin_token,
            "stomp_host": "localhost",
            "stomp_port": ports.tcp,
            "stomp_tls_port": ports.tls,
            "stomp_ws_port": ports.ws,
            "stomp_wss_port": ports.wss,
            "stomp_ws_path": self.broker.path(),
            "stomp_username": PLAIN_USER,
            "stomp_password": PLAIN_PASSCODE,
            "ca_file": ca_file,
            "kubeconfig": kubeconfig,
        });
        write("site.json", &serde_json::to_string_pretty(&site)?)?;
        Ok(site)
    }

    /// Requests by method and path shape, per server, with totals, and the time `now`. Times are in seconds since the
    /// simulation started, by a clock that both servers share.
    #[must_use]
    pub fn traffic(&self) -> Value {
        let seconds = |at: Instant| at.saturating_duration_since(self.started).as_secs_f64();
        let counts = |traffic: &Traffic| {
            let tallies = traffic.tallies();
            let by_shape: serde_json::Map<String, Value> = tallies
                .iter()
                .map(|((method, path), tally)| {
                    let tally = json!({
                        "count": tally.count,
                        "body_bytes": tally.body_bytes,
                        "first_arrived": seconds(tally.first_arrived),
                        "last_answered": seconds(tally.last_answered),
                    });
                    (format!("{method} {path}"), tally)
                })
                .collect();
            json!({"total": traffic.total(), "by_path": by_shape})
        };
        let (waldur, okd) = (counts(&self.waldur_server.traffic), counts(&self.okd_server.traffic));
        json!({"now": seconds(Instant::now()), "waldur": waldur, "okd": okd})
    }

    /// Forgets the requests seen so far.
    pub fn reset_traffic(&self) {
        self.waldur_server.traffic.reset();
        self.okd_server.traffic.reset();
    }
}

/// The project of a resource that was there before the simulation began, as the agent labels it.
fn put_project(okd: &Okd, resource: &waldur::SeedResource) {
    let Some(uuid) = resource.uuid else {
        return;
    };
    let labels = json!({
        "app.kubernetes.io/managed-by": "waldur-site-agent",
        "waldur/resource-uuid": uuid.simple().to_string(),
    });
    let metadata = json!({"name": resource.backend_id, "labels": labels});
    okd.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
}

/// Accounts of the members of projects in which a seeded resource is, as the server makes them for an order.
fn add_offering_users(waldur: &Waldur, seed: &waldur::Seed) {
    let mut sold: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for resource in &seed.resources {
        sold.entry(&resource.project).or_default().insert(&resource.offering);
    }
    // A search through all users for each member would take minutes for a large seed.
    let known = seed.users.iter().filter_map(|user| Some((user.username.as_str(), user.uuid?)));
    let known: HashMap<&str, Uuid> = known.collect();
    let mut made = HashSet::new();
    for member in &seed.members {
        let project = member.project.as_deref().unwrap_or_default();
        for offering in sold.get(project).into_iter().flatten() {
            let user = known.get(member.user.as_str()).copied().or_else(|| waldur.user(&member.user));
            let ids = waldur.offering(offering).zip(user);
            if let Some((offering, user)) = ids.filter(|ids| made.insert(*ids)) {
                waldur.add_offering_user(offering, user, &member.user);
            }
        }
    }
}

async fn listener(port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("port {port} cannot be used"))
}
