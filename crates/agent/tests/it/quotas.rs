//! From components to quota keys: the documented mapping, and what `quota:` makes of the others.

use serde_json::{Value, json};
use simulator::simulation::SimulationOptions;
use simulator::waldur::{OrderState, Seed, SeedComponent};

use crate::site::{Config, Site, options};

/// A site whose offering sells these components as well.
async fn selling(more: &[&str]) -> Site {
    let mut seed = Seed::demo();
    for name in more {
        seed.offerings[0].components.push(SeedComponent::new(name, name, "pieces", "limit"));
    }
    Site::with(SimulationOptions { seed, ..options() }).await
}

/// The hard values that a Create order with these limits leads to.
async fn hard(site: &Site, config: &Config, limits: Value) -> Value {
    let (order, resource) = site.order("Shop", limits);
    assert!(site.once_with(config).await);
    let comment = site.order_text(order, "provider_rejection_comment");
    assert_eq!(site.order_state(order), OrderState::Done, "{comment}");
    site.hard(&site.backend_id(resource))
}

#[tokio::test]
async fn gpus_and_other_extended_resources_are_limited_as_requests() {
    let site = selling(&["gpu", "fpga"]).await;
    let config = site.config().with_components(
        "gpu: {measured_unit: GPU, accounting_type: limit, quota: requests.nvidia.com/gpu}\n\
         fpga: {measured_unit: FPGA, accounting_type: limit, quota: [requests.intel.com/fpga]}\n",
    );
    let hard = hard(&site, &config, json!({"cpu": 1, "gpu": 2, "fpga": 1})).await;
    assert_eq!(hard["requests.nvidia.com/gpu"], "2");
    assert_eq!(hard["requests.intel.com/fpga"], "1");
    assert!(hard.as_object().unwrap().keys().all(|key| !key.starts_with("limits.nvidia")), "{hard}");
}

#[tokio::test]
async fn storage_classes_and_object_counts_are_quota_keys_too() {
    let site = selling(&["fast", "volumes", "databases", "balancers"]).await;
    let config = site.config().with_components(
        "fast: {measured_unit: GB, accounting_type: limit, quota: [{key: \
         ssd.storageclass.storage.k8s.io/requests.storage, unit: Gi}]}\n\
         volumes: {measured_unit: Volume, accounting_type: limit, quota: persistentvolumeclaims}\n\
         databases: {measured_unit: DB, accounting_type: limit, quota: count/postgresqls.acid.zalan.do}\n\
         balancers: {measured_unit: LB, accounting_type: limit, quota: services.loadbalancers}\n",
    );
    let hard = hard(&site, &config, json!({"fast": 20, "volumes": 3, "databases": 2, "balancers": 1})).await;
    assert_eq!(
        hard,
        json!({
            "ssd.storageclass.storage.k8s.io/requests.storage": "20Gi", "persistentvolumeclaims": "3",
            "count/postgresqls.acid.zalan.do": "2", "services.loadbalancers": "1",
        })
    );
}

#[tokio::test]
async fn a_component_says_its_own_keys_ratio_unit_and_static_part() {
    let site = Site::start().await;
    let mut config = site.config();
    config.components = "\
        cpu: {measured_unit: Core, accounting_type: limit, quota: [requests.cpu, {key: limits.cpu, ratio: 1.5}]}\n\
        memory: {measured_unit: GB, accounting_type: limit, unit_factor: 0.5, quota: [{key: requests.memory, unit: \
        G}, {key: limits.memory, unit: Gi}]}\n\
        storage: {measured_unit: TB, accounting_type: limit, quota: [{key: requests.storage, unit: Ti, static: 10Gi}]}\n\
        pods: {measured_unit: Pods, accounting_type: limit, quota: [{key: pods, ratio: 2, static: 3}]}\n"
        .to_owned();
    let hard = hard(&site, &config, json!({"cpu": 3, "memory": 5, "storage": 1, "pods": 10})).await;
    assert_eq!(
        hard,
        json!({
            "requests.cpu": "3", "limits.cpu": "4500m", "requests.memory": "2500000000", "limits.memory": "2560Mi",
            "requests.storage": "1034Gi", "pods": "23",
        })
    );
}

#[tokio::test]
async fn fractions_zero_and_large_amounts_are_exact() {
    let site = Site::start().await;
    let config = site.config();
    let limits = json!({"cpu": 0.1, "memory": "1.50", "storage": 4_000_000_000_u64, "pods": 0});
    let hard = hard(&site, &config, limits).await;
    assert_eq!((&hard["requests.cpu"], &hard["limits.cpu"]), (&json!("100m"), &json!("200m")));
    assert_eq!(hard["requests.memory"], "1536Mi");
    assert_eq!(hard["requests.storage"], "3906250Ti", "the same, as Kubernetes writes it");
    assert_eq!(hard["pods"], "0");
}

#[tokio::test]
async fn only_components_that_the_offering_has_become_quota() {
    let mut seed = Seed::demo();
    seed.offerings[0].components.retain(|component| component.kind == "cpu");
    let site = Site::with(SimulationOptions { seed, ..options() }).await;
    let config = site.config().with_global("default_quotas: {cpu: 2, memory: 8, storage: 1, pods: 5}\n");
    let hard = hard(&site, &config, json!({})).await;
    assert_eq!(hard, json!({"requests.cpu": "2", "limits.cpu": "4"}));
}

#[tokio::test]
async fn the_limit_range_is_configurable_and_can_be_switched_off() {
    let site = Site::start().await;
    let config = site.config().with_backend(
        "limit_range: {default: {cpu: 300m, memory: 1Gi}, default_request: {cpu: 100m}, max: {cpu: '2'}}\n",
    );
    hard(&site, &config, json!({"cpu": 8, "memory": 32})).await;
    let range = site.sim.okd.get("limitranges", "waldur-alloc-shop-1", "waldur-limits").unwrap();
    let item = &range["spec"]["limits"][0];
    assert_eq!(item["default"], json!({"cpu": "300m", "memory": "1Gi"}));
    assert_eq!(item["defaultRequest"]["cpu"], "100m");
    assert_eq!(item["max"], json!({"cpu": "2"}));
    // What the server fills in is no difference.
    let site = Site::start().await;
    let config = site.config().with_backend(
        "limit_range: {default: {}, default_request: {}, max: {cpu: '2', memory: 4Gi}, min: {cpu: 10m}}\n",
    );
    hard(&site, &config, json!({"cpu": 8, "memory": 32})).await;
    let range = site.sim.okd.get("limitranges", "waldur-alloc-shop-1", "waldur-limits").unwrap();
    let item = &range["spec"]["limits"][0];
    assert_eq!(
        (&item["default"], &item["defaultRequest"]["cpu"]),
        (&json!({"cpu": "2", "memory": "4Gi"}), &json!("2"))
    );
    assert!(crate::lifecycle::kept(&config).await);
    site.sim.reset_traffic();
    assert!(crate::lifecycle::kept(&config).await);
    assert_eq!(site.cluster_writes(), Vec::<String>::new());
    let site = Site::start().await;
    let config = site.config().with_backend("limit_range: {enabled: false}\n");
    hard(&site, &config, json!({"cpu": 8, "memory": 32})).await;
    assert_eq!(site.sim.okd.list("limitranges", Some("waldur-alloc-shop-1")), Vec::<Value>::new());
}
