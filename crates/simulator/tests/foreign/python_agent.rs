//! The published Python agent with its OKD plugin runs a Create order against both simulators, by its own command line
//! and with its own form of configuration.
//!
//! What it leaves behind is what it leaves behind on a real site, its known defects included: a simulator that only its
//! own agent can use would prove nothing.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use simulator::okd::{OkdOptions, documented_agent_rules};
use simulator::simulation::{Simulation, SimulationOptions};
use simulator::waldur::{CreateOrder, OrderState, ResourceState};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::waldur_api_client::python;

/// The agent starts within seconds; nothing of this takes as long on any machine.
const TOO_LONG: Duration = Duration::from_secs(120);

/// Both servers, and the agent's process, which is killed however the test ends.
struct Site {
    sim: Simulation,
    folder: TempDir,
    agent: Child,
}

impl Site {
    async fn start(backend: &str) -> Self {
        let options = SimulationOptions {
            okd: OkdOptions::immediate(),
            agent_rules: documented_agent_rules(),
            record: true,
            ..SimulationOptions::default()
        };
        let sim = Simulation::start(options).await.unwrap();
        // As on a site that is in use: it reads the accounts once, before the order is done, which is when Waldur makes
        // those of a project's first resource.
        let offering = sim.waldur.offering("okd-projects").unwrap();
        for member in ["max.manager", "mia.member"] {
            sim.waldur.add_offering_user(offering, sim.waldur.user(member).unwrap(), member);
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), &sim.ca_pem).unwrap();
        let config = folder.path().join("config.yaml");
        std::fs::write(&config, text(&sim, folder.path(), backend)).unwrap();
        let log = std::fs::File::create(folder.path().join("agent.log")).unwrap();
        let mut command = Command::new(script());
        command.args(["-m", "order_process", "-c"]).arg(config).env("HOME", folder.path()).kill_on_drop(true);
        for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let agent = command.spawn().unwrap();
        Self { sim, folder, agent }
    }

    /// Waits for what the agent is to do; its log says why if it does not.
    async fn within(&mut self, what: &str, happens: impl AsyncFn(&Simulation)) {
        let log = self.folder.path().join("agent.log");
        let log = || std::fs::read_to_string(&log).unwrap();
        tokio::select! {
            happened = tokio::time::timeout(TOO_LONG, happens(&self.sim)) => {
                assert!(happened.is_ok(), "not in time: {what}\n{}", log());
            }
            ended = self.agent.wait() => panic!("the agent ended ({ended:?}) before: {what}\n{}", log()),
        }
    }
}

/// The command that its package installs beside the interpreter.
fn script() -> PathBuf {
    python().with_file_name("waldur_site_agent")
}

/// The file as the Python agent's documentation has it.
fn text(sim: &Simulation, folder: &Path, backend: &str) -> String {
    let offering = sim.waldur.offering("okd-projects").unwrap();
    let (waldur, okd, token) = (&sim.waldur_server.url, &sim.okd_server.url, &sim.okd_token);
    let ca = folder.join("ca.pem");
    let ca = ca.display();
    format!(
        "\
offerings:
  - name: OKD projects
    waldur_api_url: {waldur}/api/
    waldur_api_token: agent-token
    waldur_offering_uuid: {offering}
    backend_type: okd
    order_processing_backend: okd
    membership_sync_backend: okd
    reporting_backend: okd
    backend_settings:
      api_url: {okd}
      token: {token}
      verify_cert: {ca}
{backend}
    backend_components:
      cpu: {{measured_unit: Core, accounting_type: limit, label: CPU}}
      memory: {{measured_unit: GB, accounting_type: limit, label: Memory}}
      storage: {{measured_unit: GB, accounting_type: limit, label: Storage}}
      pods: {{measured_unit: Pods, accounting_type: limit, label: Pods}}
"
    )
}

/// Path of requests about role bindings of a namespace, as the cluster counts them.
const ROLE_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_published_agent_makes_a_project_without_a_quota_and_binds_nobody() {
    let mut site = Site::start("      allocation_prefix: alloc-").await;
    let waldur = site.sim.waldur.clone();
    let (offering, project) = (waldur.offering("okd-projects").unwrap(), waldur.project("web").unwrap());
    let user = waldur.user("olivia.owner").unwrap();
    let limits = json!({"cpu": 4, "memory": 16, "storage": 100, "pods": 50});
    let (order, resource) = waldur.place_create_order(CreateOrder {
        offering,
        project,
        user,
        name: "Shop".to_owned(),
        limits: limits.clone(),
    });
    site.within("the order is done", async |sim| sim.waldur.wait_for_order(order, OrderState::Done).await)
        .await;
    // Members get access after the order is done: one attempt for each of the two.
    let attempts = async |sim: &Simulation| {
        sim.okd_server.traffic.wait_for(|traffic| traffic.count("POST", ROLE_BINDINGS) >= 2).await;
    };
    site.within("both members were to be bound", attempts).await;
    assert_eq!(waldur.resource_state(resource), Some(ResourceState::Ok));
    let told = waldur.resource(resource).unwrap();
    assert_eq!(told["backend_id"], "alloc-shop-1");
    assert_eq!(told["limits"], limits);
    let okd = &site.sim.okd;
    let namespace = okd.get("namespaces", "", "alloc-shop-1").unwrap();
    // Annotations of a ProjectRequest are dropped, and it sends neither display name nor description as fields.
    assert!(namespace["metadata"]["annotations"].get("waldur/organization").is_none(), "{namespace:#}");
    assert!(okd.list("resourcequotas", Some("alloc-shop-1")).is_empty());
    // It binds members to a ClusterRole `root`, which no cluster has.
    let bindings = okd.list("rolebindings", Some("alloc-shop-1"));
    let names: Vec<&str> =
        bindings.iter().map(|binding| binding["metadata"]["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"admin") && !names.iter().any(|name| name.starts_with("waldur-")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_published_agent_binds_members_to_the_role_of_the_workaround() {
    let mut site = Site::start("      default_account: edit").await;
    let waldur = site.sim.waldur.clone();
    let (offering, project) = (waldur.offering("okd-projects").unwrap(), waldur.project("web").unwrap());
    let user = waldur.user("olivia.owner").unwrap();
    let limits = json!({"cpu": 4});
    let order = CreateOrder { offering, project, user, name: "Shop".to_owned(), limits };
    let (order, _) = waldur.place_create_order(order);
    site.within("the order is done", async |sim| sim.waldur.wait_for_order(order, OrderState::Done).await)
        .await;
    let bound = async |sim: &Simulation| {
        let exists = |name| sim.okd.get("rolebindings", "shop-1", name).is_some();
        let both = |_: &_| exists("waldur-max.manager") && exists("waldur-mia.member");
        sim.okd_server.traffic.wait_for(both).await;
    };
    site.within("both members are bound", bound).await;
    let binding = site.sim.okd.get("rolebindings", "shop-1", "waldur-mia.member").unwrap();
    assert_eq!(binding["roleRef"]["name"], "edit");
    assert_eq!(binding["subjects"][0]["name"], "mia.member");
}
