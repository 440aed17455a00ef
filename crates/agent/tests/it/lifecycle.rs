//! Pause and downscale by amounts and shares, what a resource goes back to, and limits below what is in use.

use agent::engine::EngineOptions;
use agent::settings::Mode;
use serde_json::{Value, json};
use simulator::simulation::SimulationOptions;
use simulator::waldur::{OrderState, ResourceState, Seed, SeedComponent};

use crate::members::Log;
use crate::site::{Config, Site, limits, options, within};

/// Lets a fresh agent of the mode that keeps resources look at all of them.
pub(crate) async fn kept(config: &Config) -> bool {
    let engine = config.clone().with_members().engine_for(Mode::MembershipSync, EngineOptions::default());
    within("the pass", engine.keep_resources_once()).await
}

/// A pod that uses this much.
pub(crate) fn pod(namespace: &str, name: &str, cpu: &str) -> Value {
    let amounts = json!({"cpu": cpu, "memory": "1Gi"});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": amounts, "limits": amounts}}]},
        "status": {"phase": "Running"},
    })
}

fn hard(site: &Site, namespace: &str) -> [String; 4] {
    let hard = site.hard(namespace);
    ["requests.cpu", "requests.memory", "requests.storage", "pods"]
        .map(|key| hard[key].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn held_amounts_are_absolute_or_shares_of_what_was_bought() {
    let site = Site::start().await;
    let config = site.config().with_backend(
        "lifecycle: {pause_quotas: {cpu: 25%, pods: 1%}, downscale_quotas: {cpu: 1.5, memory: 50%, storage: 100%}}\n",
    );
    let resource = site.planted("shop");
    assert!(kept(&config).await);
    for ((paused, downscaled), expected) in [
        ((true, false), ["1", "0", "0", "0"]),
        ((false, true), ["1500m", "8Gi", "100Gi", "1"]),
        // Paused wins.
        ((true, true), ["1", "0", "0", "0"]),
        ((false, false), ["4", "16Gi", "100Gi", "50"]),
    ] {
        site.sim.waldur.set_flags(resource, paused, downscaled, false);
        assert!(kept(&config).await);
        assert_eq!(hard(&site, "shop"), expected, "{paused} {downscaled}");
    }
    assert_eq!(site.resource(resource)["limits"], limits());
}

#[tokio::test]
async fn every_component_is_held_whether_it_is_named_or_not() {
    let mut seed = Seed::demo();
    seed.offerings[0].components.push(SeedComponent::new("gpu", "gpu", "pieces", "limit"));
    let site = Site::with(SimulationOptions { seed, ..options() }).await;
    let config = site
        .config()
        .with_components(
            "gpu: {measured_unit: GPU, accounting_type: limit, quota: requests.nvidia.com/gpu}\n",
        )
        .with_backend("lifecycle: {downscale_quotas: {cpu: 2}}\n");
    let resource = site.planted("shop");
    site.sim
        .waldur
        .set_limits(resource, json!({"cpu": 4, "memory": 16, "storage": 100, "pods": 50, "gpu": 8}));
    for ((paused, downscaled), cpu, gpu) in
        [((true, false), "0", "0"), ((false, true), "2", "1"), ((false, false), "4", "8")]
    {
        site.sim.waldur.set_flags(resource, paused, downscaled, false);
        assert!(kept(&config).await);
        let hard = site.hard("shop");
        assert_eq!((&hard["requests.cpu"], &hard["requests.nvidia.com/gpu"]), (&json!(cpu), &json!(gpu)));
    }
}

#[tokio::test]
async fn a_transition_by_flag_costs_one_request_to_the_cluster_or_two() {
    for (settings, requests) in [("", 1), ("lifecycle: {restore: defaults}\n", 2)] {
        let site = Site::start().await;
        let config = site.config().with_backend(settings).with_members();
        let resource = site.planted("shop");
        assert!(kept(&config).await);
        for paused in [true, false] {
            site.sim.waldur.set_flags(resource, paused, false, false);
            site.sim.reset_traffic();
            assert!(kept(&config).await);
            let patches: Vec<String> =
                site.okd_requests().into_iter().filter(|line| line.starts_with("PATCH")).collect();
            assert_eq!(patches.len(), requests, "{patches:#?}");
            assert_eq!(
                hard(&site, "shop")[0],
                if paused {
                    "0"
                } else if requests == 1 {
                    "4"
                } else {
                    "10"
                }
            );
        }
    }
}

#[tokio::test]
async fn restore_gives_the_documented_amounts_until_an_order_sets_others() {
    let site = Site::start().await;
    let config = site.config().with_backend("lifecycle: {restore: defaults}\n");
    let resource = site.made("Shop", limits()).await;
    let name = site.backend_id(resource);
    assert!(kept(&config).await);
    // What was never held is on its limits.
    assert_eq!(hard(&site, &name), ["4", "16Gi", "100Gi", "50"]);
    site.sim.waldur.set_flags(resource, false, true, false);
    assert!(kept(&config).await);
    assert_eq!(hard(&site, &name), ["1", "1Gi", "1Gi", "1"]);
    site.sim.waldur.set_flags(resource, false, false, false);
    for _ in 0..2 {
        assert!(kept(&config).await);
        assert_eq!(hard(&site, &name), ["10", "32Gi", "100Gi", "50"]);
    }
    assert_eq!(site.resource(resource)["limits"], limits());
    let order = site.update(resource, json!({"cpu": 6, "memory": 16, "storage": 100, "pods": 50}));
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert!(kept(&config).await);
    assert_eq!(hard(&site, &name), ["6", "16Gi", "100Gi", "50"]);
    // An operator who changes the mind.
    site.sim.waldur.set_flags(resource, true, false, false);
    assert!(kept(&config).await);
    site.sim.waldur.set_flags(resource, false, false, false);
    assert!(kept(&site.config()).await);
    assert_eq!(hard(&site, &name)[0], "6");
    assert_eq!(site.namespace(&name).unwrap()["metadata"]["annotations"]["waldur/held"], Value::Null);
}

#[tokio::test]
async fn an_order_that_goes_below_what_is_in_use_is_refused_with_the_numbers() {
    let site = Site::start().await;
    let mut config = site.config();
    config.components = config.components.replace(
        "cpu: {measured_unit: Core, accounting_type: limit}",
        "cpu: {measured_unit: Core, accounting_type: limit, shrink: refuse}",
    );
    let resource = site.made("Shop", limits()).await;
    let name = site.backend_id(resource);
    site.sim.okd.put(pod(&name, "web", "3")).unwrap();
    let order = site.update(resource, json!({"cpu": 2, "memory": 16, "storage": 100, "pods": 50}));
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Rejected);
    let comment = site.order_text(order, "provider_rejection_comment");
    assert!(comment.contains("`cpu`: requests.cpu would be 2, 3 is in use"), "{comment}");
    assert_eq!(hard(&site, &name)[0], "4");
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
    // Another component may shrink, and so may this one down to what is in use.
    let order = site.update(resource, json!({"cpu": 3, "memory": 8, "storage": 100, "pods": 50}));
    assert!(site.once_with(&config).await);
    site.ends(order, OrderState::Done).await;
    assert_eq!(hard(&site, &name)[..2], ["3", "8Gi"]);
}

#[tokio::test]
async fn an_order_that_goes_below_what_is_in_use_is_done_and_the_overuse_is_told() {
    let site = Site::start().await;
    let log = Log::start();
    let resource = site.made("Shop", limits()).await;
    let name = site.backend_id(resource);
    site.sim.okd.put(pod(&name, "web", "3")).unwrap();
    let order = site.update(resource, json!({"cpu": 2, "memory": 16, "storage": 100, "pods": 50}));
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(hard(&site, &name)[0], "2");
    let told = |site: &Site| site.resource(resource)["backend_metadata"]["overuse"].clone();
    assert_eq!(told(&site), json!({"requests.cpu": {"used": "3", "limit": "2"}}));
    log.has(&format!("more is in use in `{name}` than its quota allows: requests.cpu 3 of 2"));
    // It stays until it is over, and a paused project is meant to be below what is in use.
    assert!(kept(&site.config()).await);
    assert_eq!(told(&site)["requests.cpu"]["used"], "3");
    assert!(site.sim.okd.delete("pods", &name, "web"));
    assert!(kept(&site.config()).await);
    assert_eq!(told(&site), Value::Null);
    site.sim.okd.put(pod(&name, "web", "1")).unwrap();
    site.sim.waldur.set_flags(resource, true, false, false);
    assert!(kept(&site.config()).await);
    assert_eq!((hard(&site, &name)[0].as_str(), told(&site)), ("0", Value::Null));
}
