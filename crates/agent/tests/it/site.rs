//! A site: both servers, the files that an agent needs, and the agent itself.

use std::sync::Arc;
use std::time::Duration;

use agent::engine::{Engine, EngineOptions};
use agent::settings::{Environment, Mode, Settings, Strictness, check_text};
use agent::setup;
use serde_json::{Value, json};
use simulator::okd::OkdOptions;
use simulator::simulation::{Simulation, SimulationOptions};
use simulator::traffic::Request;
use simulator::waldur::{CreateOrder, OrderState, ResourceState};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Nothing that a test waits for takes this long, on any machine.
const TOO_LONG: Duration = Duration::from_secs(180);

/// Where nothing listens: a free port above 1023 may be somebody's by the time that it is called.
pub(crate) const NOBODY: &str = "127.0.0.1:1";

/// A site whose servers answer at once and record every request.
pub(crate) fn options() -> SimulationOptions {
    SimulationOptions { okd: OkdOptions::immediate(), record: true, ..SimulationOptions::default() }
}

/// What customers order where a test does not care.
pub(crate) fn limits() -> Value {
    json!({"cpu": 4, "memory": 16, "storage": 100, "pods": 50})
}

/// Both servers and a folder for the agent's files.
pub(crate) struct Site {
    pub(crate) sim: Simulation,
    pub(crate) folder: TempDir,
    pub(crate) offering: Uuid,
    pub(crate) project: Uuid,
    pub(crate) owner: Uuid,
}

/// The configuration of an agent: the parts that tests change.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) waldur_url: String,
    pub(crate) offering: String,
    /// The lines that say what the token for Waldur is.
    pub(crate) waldur_token: String,
    pub(crate) okd_url: String,
    /// The lines of `backend_settings` that say what the token for the cluster is.
    pub(crate) okd_token: String,
    /// The lines of `backend_settings` that say how the cluster's certificate is verified.
    pub(crate) okd_tls: String,
    /// Further lines of `backend_settings`.
    pub(crate) backend: String,
    pub(crate) components: String,
    /// The lines that switch services on; without any all are on.
    pub(crate) services: String,
    /// Further lines at the top.
    pub(crate) global: String,
}

pub(crate) const COMPONENTS: &str = "\
cpu: {measured_unit: Core, accounting_type: limit}
memory: {measured_unit: GB, accounting_type: limit}
storage: {measured_unit: GB, accounting_type: limit}
pods: {measured_unit: Pods, accounting_type: limit}
";

impl Config {
    /// The file as an operator writes it.
    pub(crate) fn text(&self) -> String {
        let indented = |lines: &str| lines.lines().map(|line| format!("  {line}\n")).collect::<String>();
        format!(
            "waldur_api_url: {}/api/\nwaldur_offering_uuid: {}\n{}\nbackend_type: okd\n{}{}\nbackend_settings:\n  \
             api_url: {}\n{}{}{}backend_components:\n{}",
            self.waldur_url,
            self.offering,
            self.waldur_token,
            self.services,
            self.global,
            self.okd_url,
            indented(&self.okd_token),
            indented(&self.okd_tls),
            indented(&self.backend),
            indented(&self.components),
        )
    }

    /// The settings that the file makes; a warning is a fault of the test.
    pub(crate) fn settings(&self) -> Settings {
        let text = self.text();
        match check_text("config.yaml", &text, &Environment::process(), Strictness::Strict) {
            Ok(loaded) => loaded.settings,
            Err(report) => panic!("{report}\n{text}"),
        }
    }

    /// An engine with these settings.
    pub(crate) fn engine(&self) -> Arc<Engine> {
        self.engine_with(EngineOptions::default())
    }

    pub(crate) fn engine_with(&self, options: EngineOptions) -> Arc<Engine> {
        self.engine_for(Mode::OrderProcess, options)
    }

    pub(crate) fn engine_for(&self, mode: Mode, options: EngineOptions) -> Arc<Engine> {
        agent::install_crypto();
        setup::engine(&self.settings(), mode, options).unwrap()
    }

    /// The same with members, who get access to new projects.
    pub(crate) fn with_members(mut self) -> Self {
        self.services.clear();
        self
    }

    /// Lines with the value of a component's `quota` replaced or added.
    pub(crate) fn with_components(mut self, lines: &str) -> Self {
        self.components.push_str(lines);
        self
    }

    pub(crate) fn with_backend(mut self, lines: &str) -> Self {
        self.backend.push_str(lines);
        self
    }

    pub(crate) fn with_global(mut self, lines: &str) -> Self {
        self.global.push_str(lines);
        self
    }
}

/// An agent that processes orders until it is stopped.
pub(crate) struct Agent {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Agent {
    pub(crate) fn start(engine: Arc<Engine>) -> Self {
        Self::start_with(engine, Duration::from_millis(100))
    }

    pub(crate) fn start_with(engine: Arc<Engine>, period: Duration) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { engine.process_orders(period, &stopped).await });
        Self { stop, task }
    }

    /// Stops it and waits for its end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        within("the agent stops", self.task).await.unwrap();
    }
}

/// Waits for something that has to happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TOO_LONG, future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

impl Site {
    /// Waits until so many watches have begun.
    pub(crate) async fn watched(&self, count: usize) {
        let begun = self.sim.okd_server.traffic.wait_for(|traffic| {
            traffic.requests().iter().filter(|request| request.query.contains("watch=")).count() >= count
        });
        within("the watches run", begun).await;
    }

    /// The demo's people and offering, an OpenShift, and all rights that the agent can use.
    pub(crate) async fn start() -> Self {
        Self::with(options()).await
    }

    pub(crate) async fn with(options: SimulationOptions) -> Self {
        agent::install_crypto();
        let sim = Simulation::start(options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), &sim.ca_pem).unwrap();
        let offering = sim.waldur.offering("okd-projects").unwrap();
        let project = sim.waldur.project("web").unwrap();
        let owner = sim.waldur.user("olivia.owner").unwrap();
        Self { sim, folder, offering, project, owner }
    }

    /// The configuration of an agent that processes orders and does nothing else.
    pub(crate) fn config(&self) -> Config {
        Config {
            waldur_url: self.sim.waldur_server.url.clone(),
            offering: self.offering.simple().to_string(),
            waldur_token: "waldur_api_token: agent-token\n".to_owned(),
            okd_url: self.sim.okd_server.url.clone(),
            okd_token: format!("token: {}\n", self.sim.okd_token),
            okd_tls: format!("ca_file: {}\n", self.folder.path().join("ca.pem").display()),
            backend: String::new(),
            components: COMPONENTS.to_owned(),
            services: "order_processing_backend: okd\n".to_owned(),
            // Spares the system's certificates, which take longer to read than most tests.
            global: format!("verify_ssl: {}\n", self.folder.path().join("ca.pem").display()),
        }
    }

    /// Starts an agent with the usual configuration.
    pub(crate) fn agent(&self) -> Agent {
        Agent::start(self.config().engine())
    }

    /// Lets a fresh agent do what there is to do; whether it could do all of it.
    pub(crate) async fn once(&self) -> bool {
        self.once_with(&self.config()).await
    }

    pub(crate) async fn once_with(&self, config: &Config) -> bool {
        let engine = config.engine();
        within("the agent has done what there is", engine.process_orders_once()).await
    }
}

/// Waldur's side.
impl Site {
    /// Places a Create order; gives the order and its resource.
    pub(crate) fn order(&self, name: &str, limits: Value) -> (Uuid, Uuid) {
        let (offering, project, user) = (self.offering, self.project, self.owner);
        let name = name.to_owned();
        self.sim.waldur.place_create_order(CreateOrder { offering, project, user, name, limits })
    }

    /// A resource with its project, made by an agent that is gone again.
    pub(crate) async fn made(&self, name: &str, limits: Value) -> Uuid {
        let (order, resource) = self.order(name, limits);
        assert!(self.once().await);
        assert_eq!(self.sim.waldur.order_state(order), Some(OrderState::Done));
        resource
    }

    pub(crate) fn update(&self, resource: Uuid, limits: Value) -> Uuid {
        self.sim.waldur.place_update_order(resource, self.owner, limits)
    }

    pub(crate) fn terminate(&self, resource: Uuid) -> Uuid {
        self.sim.waldur.place_terminate_order(resource, self.owner)
    }

    pub(crate) fn restore(&self, resource: Uuid) -> Uuid {
        self.sim.waldur.place_restore_order(resource, self.owner)
    }

    /// Waits for an order's end and checks which it is.
    pub(crate) async fn ends(&self, order: Uuid, state: OrderState) {
        self.ends_so(order, state, "").await;
    }

    pub(crate) async fn ends_so(&self, order: Uuid, state: OrderState, what: &str) {
        let waldur = &self.sim.waldur;
        let ended = waldur.wait_until(|waldur| !waldur.order_state(order).is_some_and(OrderState::is_open));
        within(&format!("the order ends: {what}"), ended).await;
        let message = self.order_text(order, "error_message");
        let comment = self.order_text(order, "provider_rejection_comment");
        assert_eq!(waldur.order_state(order), Some(state), "{what} {message}{comment}");
    }

    pub(crate) fn order_state(&self, order: Uuid) -> OrderState {
        self.sim.waldur.order_state(order).unwrap()
    }

    pub(crate) fn resource_state(&self, resource: Uuid) -> ResourceState {
        self.sim.waldur.resource_state(resource).unwrap()
    }

    /// A text of an order, such as `error_message`.
    pub(crate) fn order_text(&self, order: Uuid, field: &str) -> String {
        self.sim.waldur.order(order).unwrap()[field].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn resource(&self, resource: Uuid) -> Value {
        self.sim.waldur.resource(resource).unwrap()
    }

    pub(crate) fn backend_id(&self, resource: Uuid) -> String {
        self.resource(resource)["backend_id"].as_str().unwrap().to_owned()
    }
}

/// The cluster's side.
impl Site {
    pub(crate) fn namespace(&self, name: &str) -> Option<Value> {
        self.sim.okd.get("namespaces", "", name)
    }

    /// Names of the namespaces with the agent's label.
    pub(crate) fn managed(&self) -> Vec<String> {
        let all = self.sim.okd.list("namespaces", None);
        let ours = all.iter().filter(|namespace| {
            namespace["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "waldur-site-agent"
        });
        ours.map(|namespace| namespace["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// How many namespaces have this in their name.
    pub(crate) fn projects(&self, part: &str) -> usize {
        let all = self.sim.okd.list("namespaces", None);
        all.iter().filter(|namespace| namespace["metadata"]["name"].as_str().unwrap().contains(part)).count()
    }

    /// `spec.hard` of the agent's quota.
    pub(crate) fn hard(&self, namespace: &str) -> Value {
        let quota = self.sim.okd.get("resourcequotas", namespace, "waldur-quota");
        quota.map_or(Value::Null, |quota| quota["spec"]["hard"].clone())
    }

    /// A namespace as somebody else makes it.
    pub(crate) fn somebody_elses(&self, name: &str) -> Value {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"team": "payments"}},
        });
        self.sim.okd.put(namespace).unwrap();
        let quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "waldur-quota", "namespace": name},
            "spec": {"hard": {"pods": "7"}},
        });
        self.sim.okd.put(quota).unwrap();
        self.whole(name)
    }

    /// A namespace with everything that the agent could have touched in it.
    pub(crate) fn whole(&self, name: &str) -> Value {
        let okd = &self.sim.okd;
        json!({
            "namespace": okd.get("namespaces", "", name),
            "quotas": okd.list("resourcequotas", Some(name)),
            "limit ranges": okd.list("limitranges", Some(name)),
            "role bindings": okd.list("rolebindings", Some(name)),
        })
    }
}

/// What was asked of the servers.
impl Site {
    /// `METHOD path`, with UUIDs left out, in order.
    pub(crate) fn waldur_requests(&self) -> Vec<String> {
        lines(&self.sim.waldur_server.traffic.requests())
    }

    pub(crate) fn okd_requests(&self) -> Vec<String> {
        lines(&self.sim.okd_server.traffic.requests())
    }
}

fn lines(requests: &[Request]) -> Vec<String> {
    requests
        .iter()
        .map(|request| format!("{} {}", request.method, simulator::traffic::generic_shape(&request.path)))
        .collect()
}
