//! The four kinds of orders, from their placing to their end.

use serde_json::{Value, json};
use simulator::simulation::SimulationOptions;
use simulator::waldur::{OrderState, ResourceState, Seed, SeedPlan};
use uuid::Uuid;

use crate::site::{Site, limits, options};

#[tokio::test]
async fn a_create_order_becomes_a_project_with_everything_in_it() {
    let site = Site::start().await;
    let (order, resource) = site.order("Shop", limits());
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
    let name = site.backend_id(resource);
    assert_eq!(name, "waldur-alloc-shop-1");
    let namespace = site.namespace(&name).unwrap();
    let metadata = &namespace["metadata"];
    assert_eq!(metadata["labels"]["waldur/resource-uuid"], resource.simple().to_string());
    assert_eq!(metadata["annotations"]["openshift.io/display-name"], "Shop");
    assert_eq!(metadata["annotations"]["waldur/organization"], "waldur-org-acme");
    assert_eq!(metadata["annotations"]["waldur/parent"], "waldur-proj-web");
    assert_eq!(
        site.hard(&name),
        json!({
            "requests.cpu": "4", "limits.cpu": "8", "requests.memory": "16Gi", "limits.memory": "32Gi",
            "requests.storage": "100Gi", "pods": "50",
        })
    );
    let range = site.sim.okd.get("limitranges", &name, "waldur-limits").unwrap();
    assert_eq!(range["spec"]["limits"][0]["type"], "Container");
    let written = &site.resource(resource)["backend_metadata"];
    assert_eq!(written["name"], name);
    assert_eq!(written["quotas"], limits());
    assert_eq!(site.managed(), [name]);
}

#[tokio::test]
async fn an_update_that_names_some_components_merges() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    let order = site.update(resource, json!({"cpu": 8}));
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    let hard = site.hard("waldur-alloc-shop-1");
    assert_eq!((&hard["requests.cpu"], &hard["limits.cpu"]), (&json!("8"), &json!("16")));
    assert_eq!((&hard["requests.memory"], &hard["pods"]), (&json!("16Gi"), &json!("50")));
    // The server has thrown the rest of the limits away; the next partial update still keeps them.
    assert_eq!(site.resource(resource)["limits"], json!({"cpu": 8}));
    site.update(resource, json!({"memory": 32}));
    assert!(site.once().await);
    let hard = site.hard("waldur-alloc-shop-1");
    assert_eq!((&hard["requests.cpu"], &hard["requests.memory"]), (&json!("8"), &json!("32Gi")));
    assert_eq!(hard["requests.storage"], "100Gi");
}

#[tokio::test]
async fn an_update_with_neither_limits_nor_plan_quotas_is_acknowledged() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    let before = site.whole("waldur-alloc-shop-1");
    for nothing in [json!({}), Value::Null] {
        let order = site.update(resource, nothing);
        assert!(site.once().await);
        assert_eq!(site.order_state(order), OrderState::Done);
    }
    assert_eq!(site.whole("waldur-alloc-shop-1"), before);
}

/// A site whose offering has a second plan, which includes these quotas.
async fn site_with_plan(quotas: Value) -> (Site, Uuid) {
    let mut seed = Seed::demo();
    let uuid = Uuid::from_u128(0x9a);
    let quotas = quotas.as_object().unwrap().clone();
    let plan = SeedPlan { name: "Large".to_owned(), quotas, uuid: Some(uuid), ..SeedPlan::default() };
    seed.offerings[0].plans.push(plan);
    (Site::with(SimulationOptions { seed, ..options() }).await, uuid)
}

#[tokio::test]
async fn a_plan_switch_takes_the_quotas_of_the_plan() {
    let (site, plan) = site_with_plan(json!({"cpu": 32, "memory": 64, "storage": 0})).await;
    let resource = site.made("Shop", limits()).await;
    let order = site.update(resource, json!({}));
    site.sim.waldur.override_order(order, "plan_uuid", Some(json!(plan.simple().to_string())));
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    let hard = site.hard("waldur-alloc-shop-1");
    assert_eq!((&hard["requests.cpu"], &hard["requests.memory"]), (&json!("32"), &json!("64Gi")));
    assert_eq!(
        (&hard["requests.storage"], &hard["pods"]),
        (&json!("100Gi"), &json!("50")),
        "the plan does not say"
    );
}

#[tokio::test]
async fn terminate_deletes_the_project_and_is_done_when_it_is_gone() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    let order = site.terminate(resource);
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.resource_state(resource), ResourceState::Terminated);
    assert!(site.namespace("waldur-alloc-shop-1").is_none());
}

#[tokio::test]
async fn terminate_of_a_project_that_is_gone_already_succeeds() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    assert!(site.sim.okd.delete("namespaces", "", "waldur-alloc-shop-1"));
    let order = site.terminate(resource);
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.resource_state(resource), ResourceState::Terminated);
}

#[tokio::test]
async fn restore_makes_the_project_again_with_what_was_bought() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    site.terminate(resource);
    assert!(site.once().await);
    assert!(site.managed().is_empty());
    let order = site.restore(resource);
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
    assert_eq!(site.managed(), ["waldur-alloc-shop-1"]);
    assert_eq!(site.hard("waldur-alloc-shop-1")["requests.cpu"], "4");
}
