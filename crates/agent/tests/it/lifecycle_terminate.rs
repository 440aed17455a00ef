//! Terminating: at once, later, or never; what hangs; and what brings a project back.

use std::time::Duration;

use agent::engine::EngineOptions;
use agent::settings::Mode;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::faults::{Fault, Rule};
use simulator::simulation::SimulationOptions;
use simulator::waldur::{OrderState, ResourceState};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::lifecycle::kept;
use crate::members::{Log, access};
use crate::site::{Agent, Config, Site, limits, options, within};

/// A resource whose project is full: quota, access, and something of the tenant's.
pub(crate) async fn furnished(site: &Site, config: &Config) -> (Uuid, String) {
    let (order, resource) = site.order("Shop", limits());
    assert!(site.once_with(config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    let name = site.backend_id(resource);
    assert_eq!(site.access(&name), everybody());
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    site.sim.okd.put(volume).unwrap();
    (resource, name)
}

fn everybody() -> crate::members::Access {
    access(&[("edit", &["max.manager"]), ("view", &["mia.member"])])
}

pub(crate) fn with(site: &Site, lifecycle: &str) -> Config {
    site.config().with_members().with_backend(&format!("lifecycle: {{{lifecycle}}}\n"))
}

fn mark(site: &Site, name: &str, key: &str) -> Value {
    site.namespace(name).unwrap()["metadata"]["annotations"][key].clone()
}

pub(crate) async fn terminated(site: &Site, config: &Config, resource: Uuid) {
    let order = site.terminate(resource);
    assert!(site.once_with(config).await);
    assert_eq!(site.order_state(order), OrderState::Done, "{}", site.order_text(order, "error_message"));
    assert_eq!(site.resource_state(resource), ResourceState::Terminated);
}

/// Locked: there, ours, without access and room, and with all that the tenant has.
fn assert_locked(site: &Site, resource: Uuid, name: &str) {
    let namespace = site.namespace(name).unwrap();
    assert_eq!(namespace["metadata"]["labels"]["waldur/resource-uuid"], resource.simple().to_string());
    assert!(site.access(name).is_empty());
    assert_eq!(site.hard(name)["pods"], "0");
    assert!(site.sim.okd.get("persistentvolumeclaims", name, "data").is_some());
}

#[tokio::test]
async fn an_order_is_done_at_once_where_nobody_is_to_wait() {
    let site = Site::with(options()).await;
    let config = with(&site, "terminate: async");
    let (resource, name) = furnished(&site, &config).await;
    site.sim.okd.hold_termination(&name, "example.com/slow");
    terminated(&site, &config, resource).await;
    assert!(site.namespace(&name).unwrap()["metadata"]["deletionTimestamp"].is_string());
}

#[tokio::test]
async fn a_soft_delete_locks_the_project_and_a_restore_order_brings_it_back() {
    let site = Site::start().await;
    let config = with(&site, "soft_delete: true");
    let (resource, name) = furnished(&site, &config).await;
    let uid = site.namespace(&name).unwrap()["metadata"]["uid"].clone();
    terminated(&site, &config, resource).await;
    assert_locked(&site, resource, &name);
    assert!(mark(&site, &name, "waldur/terminated").is_string());
    assert_eq!(mark(&site, &name, "waldur/delete-after"), Value::Null);
    assert_eq!(site.resource(resource)["backend_metadata"]["termination"]["kept"], true);
    // Nothing ever deletes it, and nobody gets in again by a pass.
    site.sim.clock.step(SignedDuration::from_hours(24 * 365));
    assert!(site.once_with(&config).await && kept(&config).await);
    assert_locked(&site, resource, &name);
    let order = site.restore(resource);
    assert!(site.once_with(&config).await);
    site.ends(order, OrderState::Done).await;
    assert_back(&site, resource, &name, &uid);
}

fn assert_back(site: &Site, resource: Uuid, name: &str, uid: &Value) {
    assert_eq!(site.backend_id(resource), name);
    assert_eq!(site.namespace(name).unwrap()["metadata"]["uid"], *uid);
    assert_eq!(site.access(name), everybody());
    assert_eq!(site.hard(name)["requests.cpu"], "4");
    assert!(site.sim.okd.get("persistentvolumeclaims", name, "data").is_some());
    for key in ["waldur/terminated", "waldur/delete-after", "waldur/workloads", "waldur/held"] {
        assert_eq!(mark(site, name, key), Value::Null, "{key}");
    }
    assert_eq!(site.resource(resource)["backend_metadata"]["termination"], Value::Null);
}

#[tokio::test]
async fn a_restore_order_inside_the_window_brings_everything_back() {
    let site = Site::start().await;
    let config = with(&site, "terminate_grace: 7d");
    let (resource, name) = furnished(&site, &config).await;
    let uid = site.namespace(&name).unwrap()["metadata"]["uid"].clone();
    terminated(&site, &config, resource).await;
    assert_locked(&site, resource, &name);
    let deadline: jiff::Timestamp =
        mark(&site, &name, "waldur/delete-after").as_str().unwrap().parse().unwrap();
    let left = deadline.duration_since(jiff::Timestamp::now());
    assert!((6..=7).contains(&(left.as_hours() / 24)), "{left}");
    assert_eq!(
        site.resource(resource)["backend_metadata"]["termination"],
        json!({"namespace": name, "deleted_after": deadline.to_string()})
    );
    // An agent that is started anew leaves it.
    assert!(site.once_with(&config).await && kept(&config).await);
    assert_locked(&site, resource, &name);
    let order = site.restore(resource);
    assert!(site.once_with(&config).await);
    site.ends(order, OrderState::Done).await;
    assert_back(&site, resource, &name, &uid);
    assert!(site.once_with(&config).await);
    assert_back(&site, resource, &name, &uid);
}

#[tokio::test]
async fn another_terminate_order_for_a_locked_project_changes_neither_the_lock_nor_its_end() {
    let site = Site::start().await;
    let config = with(&site, "terminate_grace: 7d");
    let (resource, name) = furnished(&site, &config).await;
    terminated(&site, &config, resource).await;
    let deadline = mark(&site, &name, "waldur/delete-after");
    assert!(deadline.is_string());
    terminated(&site, &config, resource).await;
    assert_locked(&site, resource, &name);
    assert_eq!(mark(&site, &name, "waldur/delete-after"), deadline);
}

#[tokio::test]
async fn a_locked_project_is_deleted_when_its_time_has_come() {
    for watching in [true, false] {
        let mut options = options();
        if !watching {
            options.agent_rules = simulator::okd::documented_agent_rules();
        }
        let site = Site::with(options).await;
        let config = with(&site, "terminate_grace: 2");
        let (order, resource) = site.order("Shop", limits());
        assert!(site.once_with(&config).await);
        site.ends(order, OrderState::Done).await;
        let name = site.backend_id(resource);
        let others = site.somebody_elses("waldur-alloc-other-1");
        let agent = Agent::start_with(config.engine(), Duration::from_millis(100));
        let order = site.terminate(resource);
        site.ends(order, OrderState::Done).await;
        let okd = &site.sim.okd_server.traffic;
        let deletes = |traffic: &simulator::traffic::Traffic| {
            traffic.requests().iter().any(|request| {
                request.method == "DELETE" && request.path.ends_with(&format!("projects/{name}"))
            })
        };
        within("the project is deleted", okd.wait_for(deletes)).await;
        agent.stop().await;
        assert_eq!(site.namespace(&name), None);
        assert_eq!(site.whole("waldur-alloc-other-1"), others);
        assert_eq!(site.resource_state(resource), ResourceState::Terminated);
    }
}

/// Locked long ago, by the annotation.
async fn overdue(site: &Site, config: &Config) -> (Uuid, String) {
    let (resource, name) = furnished(site, config).await;
    terminated(site, config, resource).await;
    set_deadline(site, &name, "2020-01-01T00:00:00Z");
    (resource, name)
}

fn set_deadline(site: &Site, name: &str, text: &str) {
    let mut namespace = site.namespace(name).unwrap();
    namespace["apiVersion"] = json!("v1");
    namespace["kind"] = json!("Namespace");
    namespace["metadata"]["annotations"]["waldur/delete-after"] = json!(text);
    site.sim.okd.put(namespace).unwrap();
}

#[tokio::test]
async fn the_mode_that_does_everything_deletes_a_project_that_is_due() {
    let site = Site::start().await;
    let config = with(&site, "terminate_grace: 7d");
    let (resource, name) = overdue(&site, &config).await;
    let engine = config.engine_for(Mode::All, EngineOptions::default());
    assert!(within("the passes end", engine.run_once(&CancellationToken::new())).await);
    assert_eq!(site.namespace(&name), None);
    assert_eq!(site.resource_state(resource), ResourceState::Terminated);
}

#[tokio::test]
async fn what_a_lock_left_out_is_done_by_the_next_pass() {
    const BINDING: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/*/rolebindings/*";
    for (method, fault) in [("DELETE", Fault::Status(403)), ("GET", Fault::Status(404))] {
        for watching in [true, false] {
            eprintln!("{method} {watching}");
            let mut options = options();
            if !watching {
                options.agent_rules = simulator::okd::documented_agent_rules();
            }
            let site = Site::with(options).await;
            let config = with(&site, "soft_delete: true");
            let (resource, name) = furnished(&site, &config).await;
            let refused = Rule::path(BINDING, fault.clone()).method(method.parse().unwrap());
            let refused = site.sim.okd_server.faults.add(refused);
            terminated(&site, &config, resource).await;
            assert_eq!((site.access(&name), site.sim.okd_server.faults.struck(refused)), (everybody(), 2));
            site.sim.okd_server.faults.clear();
            let engine = config.engine_for(Mode::All, EngineOptions::default());
            assert!(within("the passes end", engine.run_once(&CancellationToken::new())).await);
            assert_locked(&site, resource, &name);
            assert_eq!(mark(&site, &name, "waldur/locking"), Value::Null);
            assert_eq!(site.resource(resource)["backend_metadata"]["termination"]["kept"], true);
            assert_eq!(site.resource_state(resource), ResourceState::Terminated);
        }
    }
}

#[tokio::test]
async fn a_deletion_that_is_refused_leaves_the_resource_terminated() {
    const PROJECT: &str = "/apis/project.openshift.io/v1/projects/*";
    let site = Site::start().await;
    let config = with(&site, "terminate_grace: 7d");
    let (resource, name) = overdue(&site, &config).await;
    let refused = Rule::path(PROJECT, Fault::Status(403)).method(http::Method::DELETE);
    let refused = site.sim.okd_server.faults.add(refused);
    site.once_with(&config).await;
    assert!(site.sim.okd_server.faults.struck(refused) > 0);
    assert_eq!(site.resource_state(resource), ResourceState::Terminated);
    site.sim.okd_server.faults.clear();
    assert!(site.once_with(&config).await);
    assert_eq!(site.namespace(&name), None);
}

#[tokio::test]
async fn nothing_is_deleted_by_one_clock_that_jumps() {
    let site = Site::start().await;
    let config = with(&site, "terminate_grace: 7d");
    let (_, name) = overdue(&site, &config).await;
    let log = Log::start();
    // By this machine's clock the time has come years ago; by the cluster's it has not.
    let years = SignedDuration::from_hours(24 * 366 * 30);
    site.sim.clock.step(-years);
    assert!(site.once_with(&config).await);
    assert!(site.namespace(&name).unwrap()["metadata"]["deletionTimestamp"].is_null());
    log.has("correct the clock that is wrong");
    site.sim.clock.step(years);
    assert!(site.once_with(&config).await);
    assert_eq!(site.namespace(&name), None);
}

#[tokio::test]
async fn a_deadline_alone_deletes_nothing() {
    let site = Site::start().await;
    let config = with(&site, "terminate_grace: 7d");
    // The resource is in use; the annotation was put there by the tenant, and is taken off again.
    let (resource, name) = furnished(&site, &config).await;
    set_deadline(&site, &name, "2020-01-01T00:00:00Z");
    assert!(site.once_with(&config).await);
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
    assert_eq!(site.access(&name), everybody());
    assert!(kept(&config).await);
    assert_eq!(mark(&site, &name, "waldur/delete-after"), Value::Null);
    // It shortens nothing either.
    set_deadline(&site, &name, "2020-01-01T00:00:00Z");
    terminated(&site, &config, resource).await;
    assert!(site.once_with(&config).await);
    assert_locked(&site, resource, &name);
    // One that is no time is said, and deletes nothing.
    let log = Log::start();
    set_deadline(&site, &name, "soon");
    assert!(site.once_with(&config).await);
    log.has("its annotation `waldur/delete-after` is no time (`soon`)");
    assert_locked(&site, resource, &name);
    // A Restore order that is open beats a deadline that has passed.
    set_deadline(&site, &name, "2020-01-01T00:00:00Z");
    let order = site.restore(resource);
    assert!(site.once_with(&config).await);
    site.ends(order, OrderState::Done).await;
    assert_eq!(site.access(&name), everybody());
}

#[tokio::test]
async fn a_paused_resource_is_terminated_and_comes_back_paused() {
    let site = Site::start().await;
    let config = with(&site, "soft_delete: true");
    let (resource, name) = furnished(&site, &config).await;
    site.sim.waldur.set_flags(resource, true, false, false);
    assert!(kept(&config).await);
    terminated(&site, &config, resource).await;
    assert_locked(&site, resource, &name);
    site.restore(resource);
    assert!(site.once_with(&config).await);
    assert_eq!((site.access(&name), &site.hard(&name)["pods"]), (everybody(), &json!("0")));
    // Without the setting, a project is deleted, locked before or not.
    terminated(&site, &site.config(), resource).await;
    assert_eq!(site.namespace(&name), None);
}

#[tokio::test]
async fn a_project_that_lost_its_labels_is_not_locked() {
    let site = Site::start().await;
    let config = with(&site, "terminate_grace: 7d");
    let (resource, name) = furnished(&site, &config).await;
    let mut namespace = site.namespace(&name).unwrap();
    namespace["apiVersion"] = json!("v1");
    namespace["kind"] = json!("Namespace");
    namespace["metadata"]["labels"] = json!({});
    site.sim.okd.put(namespace).unwrap();
    let before = site.whole(&name);
    let order = site.terminate(resource);
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Erred);
    let message = site.order_text(order, "error_message");
    assert!(message.contains("was not made by this agent"), "{message}");
    assert_eq!(site.whole(&name), before);
}

#[tokio::test]
async fn a_project_that_hangs_says_why_in_waldur_and_goes_on_after_a_restart() {
    let site = Site::start().await;
    let config = site.config().with_members();
    let (resource, name) = furnished(&site, &config).await;
    site.sim.okd.hold_termination(&name, "example.com/slow");
    // It has been going away for a while, by the cluster's clock.
    site.sim.clock.step(SignedDuration::from_mins(-5));
    let order = site.terminate(resource);
    let told = |waldur: &simulator::waldur::Waldur| {
        let metadata = waldur.resource(resource).unwrap()["backend_metadata"]["termination"].clone();
        metadata["waits_for"].to_string().contains("example.com/slow in 1 resource instances")
    };
    for _ in 0..2 {
        let agent = Agent::start_with(config.engine(), Duration::from_millis(100));
        within("Waldur is told", site.sim.waldur.wait_until(told)).await;
        agent.stop().await;
        assert_eq!(site.order_state(order), OrderState::Executing);
    }
    site.sim.okd.release_termination(&name);
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
}

#[tokio::test]
async fn a_dead_api_group_is_named() {
    let site = Site::start().await;
    let log = Log::start();
    let config = site.config().with_members();
    let (resource, name) = furnished(&site, &config).await;
    site.sim.clock.step(SignedDuration::from_mins(-5));
    site.sim.okd.hold_termination(&name, "example.com/slow");
    let order = site.terminate(resource);
    let agent = Agent::start_with(config.engine(), Duration::from_millis(100));
    let okd = &site.sim.okd_server.traffic;
    let deletes = |traffic: &simulator::traffic::Traffic| {
        traffic.requests().iter().any(|request| request.method == "DELETE")
    };
    within("the project is deleted", okd.wait_for(deletes)).await;
    site.sim.okd.set_aggregated_down(true);
    site.sim.okd.release_termination(&name);
    let told = |waldur: &simulator::waldur::Waldur| {
        let metadata = waldur.resource(resource).unwrap()["backend_metadata"]["termination"].clone();
        metadata["waits_for"].to_string().contains("project.openshift.io/v1")
    };
    within("Waldur is told", site.sim.waldur.wait_until(told)).await;
    log.has("Discovery failed for some groups");
    site.sim.okd.set_aggregated_down(false);
    site.ends(order, OrderState::Done).await;
    agent.stop().await;
}

#[tokio::test]
async fn waiting_without_a_watch_is_one_look_at_the_namespace() {
    let rules = simulator::okd::documented_agent_rules();
    let site = Site::with(SimulationOptions { agent_rules: rules, ..options() }).await;
    let (_, resource) = site.order("Shop", limits());
    assert!(site.once().await);
    let name = site.backend_id(resource);
    site.sim.okd.hold_termination(&name, "example.com/slow");
    let order = site.terminate(resource);
    // One pass, and nothing but the wait afterwards.
    let agent = Agent::start_with(site.config().engine(), Duration::from_secs(3600));
    let path = format!("/api/v1/namespaces/{name}");
    let looks = |traffic: &simulator::traffic::Traffic| {
        let requests = traffic.requests();
        let after = requests.iter().skip_while(|request| request.method != "DELETE");
        after.filter(|request| request.method == "GET" && request.path == path).count() >= 2
    };
    within("it is looked at", site.sim.okd_server.traffic.wait_for(looks)).await;
    let requests = site.sim.okd_server.traffic.requests();
    let waiting: Vec<String> = requests
        .iter()
        .skip_while(|request| request.method != "DELETE")
        .skip(1)
        .map(|request| format!("{} {}", request.method, request.path))
        .collect();
    assert!(waiting.iter().all(|line| *line == format!("GET {path}")), "{waiting:#?}");
    site.sim.okd.release_termination(&name);
    site.ends(order, OrderState::Done).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_lock_is_finished_by_the_next_run_when_waldur_does_not_answer() {
    let site = Site::start().await;
    let config = with(&site, "terminate_grace: 7d");
    let (resource, name) = furnished(&site, &config).await;
    let order = site.terminate(resource);
    let id = site.sim.waldur_server.faults.add(Rule::path("**/set_state_done/", Fault::Status(503)));
    assert!(!site.once_with(&config).await);
    assert!(site.sim.waldur_server.faults.struck(id) > 0);
    assert_locked(&site, resource, &name);
    let deadline = mark(&site, &name, "waldur/delete-after");
    site.sim.waldur_server.faults.clear();
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(mark(&site, &name, "waldur/delete-after"), deadline);
}
