//! The Waldur server of October 2024: what it lacks is missed once and done without, its traps are known.

use serde_json::{Value, json};
use simulator::simulation::SimulationOptions;
use simulator::waldur::{Generation, OrderState, ResourceState};

use crate::site::{Site, limits, options};

async fn site() -> Site {
    Site::with(SimulationOptions { generation: Generation::October2024, ..options() }).await
}

#[tokio::test]
async fn every_kind_of_order_ends_well() {
    let site = site().await;
    let agent = site.agent();
    let (create, resource) = site.order("Shop", limits());
    site.ends(create, OrderState::Done).await;
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
    assert_eq!(site.hard("waldur-alloc-shop-1")["requests.cpu"], "4");
    // Organization and project are told in orders only; updates have to keep them on the project.
    for cpu in [8, 2] {
        let update = site.update(resource, json!({"cpu": cpu}));
        site.ends(update, OrderState::Done).await;
        assert_eq!(site.hard("waldur-alloc-shop-1")["requests.cpu"], cpu.to_string());
        assert_eq!(site.hard("waldur-alloc-shop-1")["requests.memory"], "16Gi");
    }
    let annotations = &site.namespace("waldur-alloc-shop-1").unwrap()["metadata"]["annotations"];
    assert_eq!(annotations["waldur/organization"], "waldur-org-acme");
    assert_eq!(annotations["waldur/parent"], "waldur-proj-web");
    let terminate = site.terminate(resource);
    site.ends(terminate, OrderState::Done).await;
    agent.stop().await;
    assert_eq!(site.resource_state(resource), ResourceState::Terminated);
    assert!(site.managed().is_empty());
}

#[tokio::test]
async fn a_missing_endpoint_is_asked_for_at_the_start_only() {
    let site = site().await;
    let agent = site.agent();
    let mut resource = None;
    for name in ["Shop", "Blog", "Wiki"] {
        let (order, made) = site.order(name, limits());
        site.ends(order, OrderState::Done).await;
        resource = Some(made);
    }
    let update = site.update(resource.unwrap(), json!({"cpu": 8}));
    site.ends(update, OrderState::Done).await;
    agent.stop().await;
    let requests = site.sim.waldur_server.traffic.requests();
    let missed: Vec<_> = requests.iter().filter(|request| request.status == Some(404)).collect();
    // Asked again beside an answer of Waldur's own, since a proxy says the same while Waldur is away; then no more.
    assert_eq!(missed.len(), 2, "{missed:#?}");
    assert!(missed.iter().all(|request| request.path == "/api/marketplace-site-agent-identities/"));
    assert!(missed.iter().all(|request| request.sequence < 5), "at the start only: {missed:#?}");
    let allocation = requests.iter().filter(|request| request.path.contains("marketplace-slurm-remote"));
    assert_eq!(allocation.count(), 1, "before the update, and not elsewhere");
}

#[tokio::test]
async fn a_current_server_gets_no_calls_of_2024() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    site.update(resource, json!({"cpu": 8}));
    assert!(site.once().await);
    assert!(site.waldur_requests().iter().all(|line| !line.contains("slurm-remote")));
}

/// The server errs the order itself in answer to its approval, with status 200.
#[tokio::test]
async fn an_order_that_the_server_errs_when_it_is_approved_changes_nothing() {
    let site = site().await;
    let resource = site.made("Shop", limits()).await;
    let before = site.whole("waldur-alloc-shop-1");
    let order = site.update(resource, json!({"cpu": 8}));
    // The call that would prevent it has no effect.
    let rule = simulator::faults::Rule::path(
        "/api/marketplace-slurm-remote/**",
        simulator::faults::Fault::Html(404),
    );
    let sim = &site.sim;
    sim.waldur_server.faults.add(rule);
    site.once().await;
    assert_eq!(site.order_state(order), OrderState::Erred);
    let message = site.order_text(order, "error_message");
    assert!(message.contains("schedule_updating"), "{message}");
    assert_eq!(site.whole("waldur-alloc-shop-1"), before);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_order_because_a_rejection_has_no_reason_there() {
    let site = site().await;
    let (order, _) = site.order("Shop", json!({"cpu": -1}));
    site.once().await;
    assert_eq!(site.order_state(order), OrderState::Erred);
    assert_eq!(site.order_text(order, "error_message"), "the limit of `cpu` is -1; it must not be negative");
    let order: Value = site.sim.waldur.order(order).unwrap();
    assert!(order.get("error_traceback").is_some(), "{order:#}");
    assert_eq!(site.projects("shop"), 0);
}
