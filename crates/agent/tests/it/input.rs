//! Whatever Waldur may hold: each order ends with a clear text or stays open, and nothing is lost.

use serde_json::{Value, json};
use simulator::faults::{Fault, Rule};
use simulator::waldur::{CreateOrder, OrderState, ResourceState};
use uuid::Uuid;

use crate::site::{Agent, Site, limits, within};

#[tokio::test]
async fn limits_that_cannot_be_a_quota_are_rejected_before_anything_is_made() {
    let site = Site::start().await;
    for (limits, message) in [
        (json!({"cpu": -1}), "the limit of `cpu` is -1; it must not be negative"),
        (json!({"pods": 1.5}), "the limit of `pods` is 1.5, but `pods` counts whole objects"),
        (json!({"cpu": "many"}), "the limit of `cpu` cannot be used: "),
        (json!({"cpu": true}), "the limit of `cpu` cannot be used: `true` is not a number"),
        (json!({"cpu": {"amount": 1}}), "the limit of `cpu` cannot be used: "),
        (json!({"storage": 1e30}), "the limit of `storage` "),
        (json!({"memory": 9_000_000_000_000_000_000_u64}), "which is more than Kubernetes can hold as `"),
        (
            json!({"gpu": 2}),
            "the order names `gpu`, which this offering does not have; it has cpu, memory, pods, storage",
        ),
    ] {
        let (order, resource) = site.order("Shop", limits.clone());
        assert!(site.once().await);
        assert_eq!(site.order_state(order), OrderState::Rejected, "{limits}");
        let comment = site.order_text(order, "provider_rejection_comment");
        assert!(comment.contains(message), "{limits}: {comment}");
        assert_eq!(site.resource_state(resource), ResourceState::Terminated);
        assert!(site.waldur_requests().iter().all(|line| !line.contains("approve")), "{limits}");
        assert_eq!(site.projects("shop"), 0);
    }
}

#[tokio::test]
async fn a_bad_update_is_rejected_and_the_resource_stays_healthy() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    let before = site.whole("waldur-alloc-shop-1");
    for limits in [json!({"cpu": -1}), json!({"gpu": 1}), json!({"pods": 0.5})] {
        let order = site.update(resource, limits);
        assert!(site.once().await);
        assert_eq!(site.order_state(order), OrderState::Rejected);
        assert_eq!(site.resource_state(resource), ResourceState::Ok);
    }
    assert_eq!(site.whole("waldur-alloc-shop-1"), before);
}

#[tokio::test]
async fn limits_that_say_nothing_are_no_limits() {
    let site = Site::start().await;
    for nothing in [Value::Null, json!({}), json!([]), json!({"cpu": null}), json!({"cpu": ""})] {
        let (order, resource) = site.order("Shop", nothing.clone());
        assert!(site.once().await);
        assert_eq!(site.order_state(order), OrderState::Done, "{nothing}");
        let hard = site.hard(&site.backend_id(resource));
        assert!(hard.as_object().is_none_or(serde_json::Map::is_empty), "{nothing}: {hard}");
    }
}

#[tokio::test]
async fn every_slug_becomes_a_valid_name() {
    let site = Site::start().await;
    let long = "x".repeat(200);
    for slug in ["", "Prod_Env", "1st", "openshift-logging", "--", "a/../b", "übung", "kube system", &long] {
        let (order, resource) = site.order("Shop", limits());
        site.sim.waldur.set_slug(resource, slug);
        assert!(site.once().await, "{slug}");
        assert_eq!(site.order_state(order), OrderState::Done, "{slug}");
        let name = site.backend_id(resource);
        assert!(name.len() <= 63 && name.starts_with("waldur-alloc-"), "{slug}: {name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
        assert_eq!(site.namespace(&name).unwrap()["metadata"]["name"], name);
    }
}

#[tokio::test]
async fn two_resources_whose_slugs_become_one_name_get_a_project_each() {
    let site = Site::start().await;
    let orders = [site.order("Shop", limits()), site.order("Shop", limits())];
    for ((_, resource), slug) in orders.iter().zip(["Shop_1", "shop.1"]) {
        site.sim.waldur.set_slug(*resource, slug);
    }
    assert!(site.once().await);
    let names: Vec<_> = orders.iter().map(|(_, resource)| site.backend_id(*resource)).collect();
    assert_ne!(names[0], names[1]);
    assert_eq!(site.managed().len(), 2);
    for (name, (_, resource)) in names.iter().zip(&orders) {
        let labels = &site.namespace(name).unwrap()["metadata"]["labels"];
        assert_eq!(labels["waldur/resource-uuid"], resource.simple().to_string());
    }
}

#[tokio::test]
async fn texts_of_customers_do_no_harm() {
    let site = Site::start().await;
    let name = format!("Shop\n\u{1b}[31mred\u{0} \"quoted\" ${{HOME}} {} ü日本", "x".repeat(2000));
    let (order, resource) = site.order(&name, limits());
    site.sim.waldur.override_resource(resource, "description", Some(json!("a\nb\u{7}\t{{c}}")));
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    let namespace = site.namespace(&site.backend_id(resource)).unwrap();
    let annotations = &namespace["metadata"]["annotations"];
    assert_eq!(annotations["openshift.io/description"], "a b {{c}}");
    let shown = annotations["openshift.io/display-name"].as_str().unwrap();
    assert!(
        shown.starts_with("Shop [31mred \"quoted\" ${HOME} xxx") && shown.chars().count() <= 1001,
        "{shown}"
    );
}

#[tokio::test]
async fn an_order_for_an_unknown_resource_is_refused_with_the_reason() {
    let site = Site::start().await;
    let (order, _) = site.order("Shop", limits());
    let nobody = json!(Uuid::from_u128(7).simple().to_string());
    site.sim.waldur.override_order(order, "marketplace_resource_uuid", Some(nobody));
    site.once().await;
    assert_eq!(site.order_state(order), OrderState::Rejected);
    let comment = site.order_text(order, "provider_rejection_comment");
    assert!(comment.contains("does not exist in Waldur, or this agent may not see it"), "{comment}");
    assert_eq!(site.projects("shop"), 0);
}

#[tokio::test]
async fn orders_that_cannot_be_understood_stay_open_and_delay_no_other() {
    let site = Site::start().await;
    let (nameless, _) = site.order("Shop", limits());
    site.sim.waldur.override_order(nameless, "marketplace_resource_uuid", None);
    let (unknown, _) = site.order("Shop", limits());
    site.sim.waldur.override_order(unknown, "type", Some(json!("Transmogrify")));
    let (fine, _) = site.order("Blog", limits());
    site.once().await;
    assert_eq!(site.order_state(fine), OrderState::Done);
    for order in [nameless, unknown] {
        assert_eq!(site.order_state(order), OrderState::PendingProvider);
    }
    assert_eq!(site.managed(), ["waldur-alloc-blog-1"]);
}

#[tokio::test]
async fn one_order_of_the_wrong_shape_does_not_hide_the_others() {
    let site = Site::start().await;
    let (broken, _) = site.order("Shop", limits());
    site.sim.waldur.override_order(broken, "marketplace_resource_uuid", Some(json!({"not": "a uuid"})));
    let (fine, _) = site.order("Blog", limits());
    site.once().await;
    assert_eq!(site.order_state(fine), OrderState::Done);
    assert_eq!(site.order_state(broken), OrderState::PendingProvider);
}

#[tokio::test]
async fn a_resource_of_the_wrong_shape_keeps_its_order_open_and_delays_no_other() {
    let site = Site::start().await;
    let (broken, resource) = site.order("Shop", limits());
    site.sim.waldur.override_resource(resource, "backend_id", Some(json!(["a", "b"])));
    let (fine, _) = site.order("Blog", limits());
    assert!(!site.once().await);
    assert_eq!(site.order_state(fine), OrderState::Done);
    assert_eq!(site.order_state(broken), OrderState::PendingProvider);
    site.sim.waldur.override_resource(resource, "backend_id", Some(json!("")));
    assert!(site.once().await);
    assert_eq!(site.order_state(broken), OrderState::Done);
}

#[tokio::test]
async fn fields_that_are_missing_or_null_are_done_without() {
    let site = Site::start().await;
    for value in [None, Some(Value::Null)] {
        let (order, resource) = site.order("Shop", limits());
        for field in ["description", "offering_plugin_options", "backend_metadata", "paused", "customer_slug"]
        {
            site.sim.waldur.override_resource(resource, field, value.clone());
        }
        for field in ["created", "plan_uuid", "project_slug", "customer_slug", "error_message"] {
            site.sim.waldur.override_order(order, field, value.clone());
        }
        assert!(site.once().await);
        assert_eq!(site.order_state(order), OrderState::Done);
    }
}

#[tokio::test]
async fn pages_of_a_proxy_and_broken_json_lose_nothing() {
    for fault in [Fault::Html(200), Fault::Html(502), Fault::Html(404), Fault::TruncatedBody] {
        let site = Site::start().await;
        let (order, _) = site.order("Shop", limits());
        site.sim
            .waldur_server
            .faults
            .add(Rule::path("/api/marketplace-provider-resources/**", fault.clone()));
        assert!(!site.once().await, "{fault:?}");
        assert_eq!(site.order_state(order), OrderState::PendingProvider, "{fault:?}");
        site.sim.waldur_server.faults.clear();
        site.sim.okd_server.faults.add(Rule::path("/api/v1/namespaces/**", fault.clone()));
        assert!(!site.once().await, "{fault:?}");
        assert!(site.order_state(order).is_open(), "{fault:?}");
        site.sim.okd_server.faults.clear();
        assert!(site.once().await, "{fault:?}");
        assert_eq!(site.order_state(order), OrderState::Done, "{fault:?}");
        assert_eq!(site.projects("shop"), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn more_than_one_page_of_orders_is_read() {
    let site = Site::start().await;
    let name = |number: usize| CreateOrder {
        offering: site.offering,
        project: site.project,
        user: site.owner,
        name: format!("shop {number}"),
        limits: json!({"gpu": 1}),
    };
    let orders: Vec<_> = (0..650).map(|number| site.sim.waldur.place_create_order(name(number)).0).collect();
    let agent = Agent::start(site.config().engine());
    let all = site.sim.waldur.wait_until(|waldur| {
        orders.iter().all(|order| waldur.order_state(*order) == Some(OrderState::Rejected))
    });
    within("all orders are rejected", all).await;
    agent.stop().await;
}
