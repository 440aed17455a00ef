//! What the cluster is and what the agent may do there.

use serde_json::json;
use simulator::faults::{Fault, Rule};
use simulator::okd::{Flavour, OkdOptions, documented_agent_rules};
use simulator::simulation::SimulationOptions;
use simulator::waldur::{OrderState, ResourceState};

use crate::site::{Site, limits, options};

/// A site whose agent has the documented ClusterRole, less what `keep` refuses: (resource, verb).
async fn with_rules(keep: fn(&str, &str) -> bool) -> Site {
    let mut rules = documented_agent_rules();
    for rule in rules.as_array_mut().unwrap() {
        let resources = rule["resources"].clone();
        let verbs = rule["verbs"].as_array_mut().unwrap();
        let first = resources[0].as_str().unwrap();
        verbs.retain(|verb| keep(first, verb.as_str().unwrap()));
    }
    Site::with(SimulationOptions { agent_rules: rules, ..options() }).await
}

#[tokio::test]
async fn the_documented_role_is_enough_for_every_order() {
    let site = with_rules(|_, _| true).await;
    let agent = site.agent();
    let (create, resource) = site.order("Shop", limits());
    site.ends(create, OrderState::Done).await;
    let update = site.update(resource, json!({"cpu": 8}));
    site.ends(update, OrderState::Done).await;
    assert_eq!(site.hard("waldur-alloc-shop-1")["requests.cpu"], "8");
    let terminate = site.terminate(resource);
    site.ends(terminate, OrderState::Done).await;
    let restore = site.restore(resource);
    site.ends(restore, OrderState::Done).await;
    agent.stop().await;
    assert_eq!(site.managed(), ["waldur-alloc-shop-1"]);
    // Nothing is tried that the role does not allow.
    let okd = &site.sim.okd_server.traffic.requests();
    assert!(okd.iter().all(|request| request.status != Some(403)), "{:?}", site.okd_requests());
    assert!(okd.iter().all(|request| !request.query.contains("watch=")), "no watch is granted");
    assert_eq!(site.sim.okd.count("limitranges"), 0);
}

#[tokio::test]
async fn where_watches_are_granted_a_pass_with_work_lists_nothing() {
    let site = Site::start().await;
    let agent = site.agent();
    site.watched(3).await;
    site.sim.reset_traffic();
    let (order, _) = site.order("Shop", limits());
    site.ends(order, OrderState::Done).await;
    agent.stop().await;
    let lists = site
        .okd_requests()
        .into_iter()
        .filter(|line| line.starts_with("GET /api/v1/namespaces?") || line == "GET /api/v1/namespaces");
    assert_eq!(lists.count(), 0, "{:?}", site.okd_requests());
}

#[tokio::test]
async fn without_projects_plain_namespaces_are_made() {
    let okd = OkdOptions { flavour: Flavour::Kubernetes, ..OkdOptions::immediate() };
    let site = Site::with(SimulationOptions { okd, ..options() }).await;
    let resource = site.made("Shop", limits()).await;
    let namespace = site.namespace("waldur-alloc-shop-1").unwrap();
    assert_eq!(namespace["metadata"]["annotations"]["openshift.io/display-name"], "Shop");
    assert_eq!(site.hard("waldur-alloc-shop-1")["pods"], "50");
    assert!(site.okd_requests().iter().all(|line| !line.contains("projectrequests")));
    let order = site.terminate(resource);
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert!(site.namespace("waldur-alloc-shop-1").is_none());
}

#[tokio::test]
async fn a_missing_right_is_named_with_verb_and_resource_in_the_order() {
    for (keep, verb, resource) in [
        (
            (|kind, verb| kind != "projects" || verb != "create") as fn(&str, &str) -> bool,
            "create",
            "projectrequests",
        ),
        (|kind, verb| kind != "resourcequotas" || verb != "patch", "patch", "resourcequotas"),
        (|kind, verb| kind != "namespaces" || verb != "patch", "patch", "namespaces"),
    ] {
        let site = with_rules(keep).await;
        let (order, uuid) = site.order("Shop", limits());
        site.once().await;
        assert_eq!(site.order_state(order), OrderState::Erred, "{verb} {resource}");
        let message = site.order_text(order, "error_message");
        assert!(message.starts_with("OKD forbids it: "), "{message}");
        let said = message.contains(&format!("cannot {verb} resource \"{resource}\""));
        assert!(
            said && message.contains("system:serviceaccount:waldur-system:waldur-site-agent"),
            "{message}"
        );
        assert!(site.order_text(order, "error_traceback").contains("while carrying out"));
        if resource != "projectrequests" {
            assert_eq!(site.resource_state(uuid), ResourceState::Erred);
            assert_eq!(site.backend_id(uuid), "waldur-alloc-shop-1");
        }
    }
}

#[tokio::test]
async fn customers_see_no_details_where_the_operator_does_not_want_it() {
    let site = with_rules(|kind, verb| kind != "projects" || verb != "create").await;
    let (order, _) = site.order("Shop", limits());
    site.once_with(&site.config().with_global("expose_backend_error_details: false\n")).await;
    assert_eq!(site.order_state(order), OrderState::Erred);
    assert_eq!(
        site.order_text(order, "error_message"),
        "Internal backend error. Please contact the service provider."
    );
    assert_eq!(site.order_text(order, "error_traceback"), "");
}

#[tokio::test]
async fn without_the_right_to_list_the_order_stays_open() {
    let site = with_rules(|kind, verb| kind != "namespaces" || verb != "list").await;
    let (order, _) = site.order("Shop", limits());
    assert!(!site.once().await);
    assert_eq!(site.order_state(order), OrderState::PendingProvider);
}

#[tokio::test]
async fn an_update_of_a_project_that_vanished_says_what_to_do() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    site.sim.okd.delete("namespaces", "", "waldur-alloc-shop-1");
    let order = site.update(resource, json!({"cpu": 8}));
    site.once().await;
    assert_eq!(site.order_state(order), OrderState::Rejected);
    let comment = site.order_text(order, "provider_rejection_comment");
    assert!(
        comment.contains("is not on the cluster any more; terminate the resource, or restore it"),
        "{comment}"
    );
}

#[tokio::test]
async fn a_quota_that_somebody_else_made_in_our_project_is_not_overwritten() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    site.sim.okd.delete("resourcequotas", "waldur-alloc-shop-1", "waldur-quota");
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "waldur-quota", "namespace": "waldur-alloc-shop-1"},
        "spec": {"hard": {"pods": "7"}},
    });
    site.sim.okd.put(quota).unwrap();
    let order = site.update(resource, json!({"cpu": 8}));
    site.once().await;
    assert_eq!(site.order_state(order), OrderState::Erred);
    let message = site.order_text(order, "error_message");
    assert!(message.contains("does not carry this agent's labels"), "{message}");
    assert_eq!(site.hard("waldur-alloc-shop-1"), json!({"pods": "7"}));
}

#[tokio::test]
async fn terminate_waits_for_finalizers_without_blocking_other_orders() {
    let site = Site::start().await;
    let shop = site.made("Shop", limits()).await;
    site.sim.okd.hold_termination("waldur-alloc-shop-1", "example.org/backup");
    let terminate = site.terminate(shop);
    let agent = site.agent();
    site.sim.waldur.wait_for_resource(shop, ResourceState::Terminating).await;
    let (create, _) = site.order("Blog", limits());
    site.ends(create, OrderState::Done).await;
    assert_eq!(site.order_state(terminate), OrderState::Executing);
    site.sim.okd.release_termination("waldur-alloc-shop-1");
    site.ends(terminate, OrderState::Done).await;
    agent.stop().await;
    assert_eq!(site.managed(), ["waldur-alloc-blog-1"]);
}

#[tokio::test]
async fn while_the_project_api_is_down_orders_wait() {
    let site = Site::start().await;
    let agent = site.agent();
    let (first, _) = site.order("Shop", limits());
    site.ends(first, OrderState::Done).await;
    site.sim.okd.set_aggregated_down(true);
    let (order, _) = site.order("Blog", limits());
    let tried = site
        .sim
        .okd_server
        .traffic
        .wait_for(|traffic| traffic.requests().iter().any(|request| request.status == Some(503)));
    crate::site::within("the agent meets the outage", tried).await;
    assert!(site.order_state(order).is_open());
    site.sim.okd.set_aggregated_down(false);
    site.ends(order, OrderState::Done).await;
    agent.stop().await;
    assert_eq!(site.managed().len(), 2);
}

/// Without its own name the agent could not tell its own cut-short creates from those of others.
#[tokio::test]
async fn an_agent_that_cannot_learn_its_name_now_asks_again() {
    let site = Site::start().await;
    let faults = &site.sim.okd_server.faults;
    faults.add(Rule::path("/apis/authentication.k8s.io/**", Fault::Status(404)));
    let outage = faults.add(Rule::path("/apis/user.openshift.io/v1/users/~", Fault::Status(503)));
    let (order, _) = site.order("Shop", limits());
    assert!(!site.once().await);
    assert_eq!(site.order_state(order), OrderState::PendingProvider);
    faults.remove(outage);
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
}
