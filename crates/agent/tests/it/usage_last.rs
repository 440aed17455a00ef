//! A Terminate order tells Waldur the last usage before anything is taken away, and no failure of that holds it up for
//! ever.

use jiff::SignedDuration;
use serde_json::json;
use simulator::faults::{Fault, Rule};
use simulator::simulation::SimulationOptions;
use simulator::waldur::{OrderState, Seed, SeedComponent};
use uuid::Uuid;

use crate::members::Log;
use crate::site::{Config, NOBODY, Site, limits, options};

const USED: [&str; 4] = ["cpu 1.50", "memory 1.00", "pods 1.00", "storage 0.00"];

fn config(site: &Site, lifecycle: &str) -> Config {
    let mut config = site.config().with_backend(&format!("lifecycle: {{{lifecycle}}}\n"));
    config.services = "order_processing_backend: okd\nreporting_backend: okd\n".to_owned();
    config
}

/// A project in which a pod runs, of which Waldur has no usage, and a Terminate order for it.
async fn terminated(site: &Site) -> (Uuid, Uuid) {
    let resource = site.made("Shop", limits()).await;
    site.pod(&site.backend_id(resource), "web", "1500m", "1Gi");
    assert!(site.reported(resource).is_empty());
    site.sim.reset_traffic();
    (resource, site.terminate(resource))
}

#[tokio::test]
async fn usage_is_told_before_a_project_goes_or_is_locked() {
    for lifecycle in ["terminate: wait", "terminate: async", "terminate_grace: 7d", "soft_delete: true"] {
        let site = Site::start().await;
        let (resource, order) = terminated(&site).await;
        assert!(site.once_with(&config(&site, lifecycle)).await, "{lifecycle}");
        assert_eq!(site.order_state(order), OrderState::Done, "{lifecycle}");
        assert_eq!(site.reported(resource), USED, "{lifecycle}");
        let requests = site.waldur_requests();
        let place = |end: &str| requests.iter().position(|request| request.ends_with(end));
        assert!(place("/approve_by_provider/") < place("/set_usage/"), "{lifecycle} {requests:#?}");
        assert!(place("/set_usage/") < place("/set_state_done/"), "{lifecycle} {requests:#?}");
    }
}

#[tokio::test]
async fn an_offering_that_reports_nothing_is_terminated_without_it() {
    let site = Site::start().await;
    let (resource, order) = terminated(&site).await;
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert!(site.reported(resource).is_empty());
    assert!(!site.waldur_requests().iter().any(|request| request.contains("component-usages")));
}

#[tokio::test]
async fn while_waldur_takes_no_usage_an_order_waits_a_quarter_of_an_hour_and_no_longer() {
    let site = Site::start().await;
    let log = Log::start();
    let config = config(&site, "");
    let faults = &site.sim.waldur_server.faults;
    faults.add(Rule::path("/api/marketplace-component-usages/set_usage/", Fault::Status(503)));
    // The order begins twenty minutes ago, by Waldur's clock.
    site.sim.clock.step(SignedDuration::from_mins(-20));
    let (resource, order) = terminated(&site).await;
    let name = site.backend_id(resource);
    assert!(!site.once_with(&config).await, "it was approved a moment ago, as far as the agent knows");
    assert_eq!(site.order_state(order), OrderState::Executing);
    assert!(site.namespace(&name).unwrap()["metadata"]["deletionTimestamp"].is_null());
    assert!(site.once_with(&config).await);
    assert_eq!((site.order_state(order), site.namespace(&name)), (OrderState::Done, None));
    assert!(site.reported(resource).is_empty());
    log.has("left out: tell Waldur the last usage");
}

#[tokio::test]
async fn an_order_that_waited_for_its_report_goes_on_when_waldur_takes_usage_again() {
    let site = Site::start().await;
    let config = config(&site, "");
    let faults = &site.sim.waldur_server.faults;
    faults.add(Rule::path("/api/marketplace-component-usages/**", Fault::Status(503)));
    let (resource, order) = terminated(&site).await;
    for _ in 0..2 {
        assert!(!site.once_with(&config).await);
        assert_eq!(site.order_state(order), OrderState::Executing);
        assert!(site.namespace(&site.backend_id(resource)).is_some());
    }
    faults.clear();
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.reported(resource), USED);
}

#[tokio::test]
async fn what_will_be_refused_again_holds_up_nothing() {
    let site = Site::start().await;
    let config = config(&site, "");
    let faults = &site.sim.waldur_server.faults;
    faults.add(Rule::path("/api/marketplace-component-usages/**", Fault::Status(403)));
    let (_, order) = terminated(&site).await;
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
}

#[tokio::test]
async fn without_prometheus_what_the_quota_shows_is_told_and_the_project_goes() {
    let mut seed = Seed::demo();
    seed.offerings[0].components.push(SeedComponent::new("cpu_hours", "Cores", "core-hours", "usage"));
    let mut agent_rules = simulator::okd::extended_agent_rules();
    let verbs = ["get", "list", "create", "patch", "delete"];
    let configmaps = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs});
    agent_rules.as_array_mut().unwrap().push(configmaps);
    let site = Site::with(SimulationOptions { seed, agent_rules, ..options() }).await;
    let mut config = config(&site, "").with_components(
        "cpu_hours: {measured_unit: core-hours, accounting_type: usage, quota: [], usage: {resource: cpu}}\n",
    );
    config = config.with_global(&format!(
        "monitoring: {{prometheus_url: 'http://{NOBODY}', prometheus_query_interval: 0}}\n"
    ));
    site.sim.clock.step(SignedDuration::from_mins(-20));
    let (resource, order) = terminated(&site).await;
    assert!(!site.once_with(&config).await);
    assert_eq!(site.reported(resource), USED);
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
}
