//! Nothing that is not ours is touched, and no project is made twice.

use std::time::Duration;

use serde_json::json;
use simulator::waldur::{OrderState, ResourceState};

use crate::site::{Agent, Site, limits, within};

#[tokio::test]
async fn a_hand_made_namespace_of_the_wanted_name_stays_and_the_project_gets_a_suffix() {
    let site = Site::start().await;
    let before = site.somebody_elses("waldur-alloc-shop-1");
    let (order, resource) = site.order("Shop", limits());
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    let suffixed = format!("waldur-alloc-shop-1-{}", &resource.simple().to_string()[..8]);
    assert_eq!(site.backend_id(resource), suffixed);
    assert_eq!(site.managed(), std::slice::from_ref(&suffixed));
    assert_eq!(site.whole("waldur-alloc-shop-1"), before);
    let order = site.terminate(resource);
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert!(site.namespace(&suffixed).is_none());
    assert_eq!(site.whole("waldur-alloc-shop-1"), before);
}

#[tokio::test]
async fn when_both_names_are_taken_the_order_says_which() {
    let site = Site::start().await;
    let (order, resource) = site.order("Shop", limits());
    let suffixed = format!("waldur-alloc-shop-1-{}", &resource.simple().to_string()[..8]);
    let before = [site.somebody_elses("waldur-alloc-shop-1"), site.somebody_elses(&suffixed)];
    site.once().await;
    assert_eq!(site.order_state(order), OrderState::Erred);
    let message = site.order_text(order, "error_message");
    assert!(message.contains("`waldur-alloc-shop-1`") && message.contains(&suffixed), "{message}");
    assert_eq!([site.whole("waldur-alloc-shop-1"), site.whole(&suffixed)], before);
}

#[tokio::test]
async fn terminate_of_a_project_that_is_not_ours_errs_with_an_explanation_and_touches_nothing() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    let before = site.somebody_elses("payments");
    site.sim.waldur.set_backend_id(resource, "payments");
    // The agent's own project is not what Waldur names; it must not go in place of the other.
    site.sim.okd.delete("namespaces", "", "waldur-alloc-shop-1");
    let order = site.terminate(resource);
    site.once().await;
    assert_eq!(site.order_state(order), OrderState::Erred);
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
    let message = site.order_text(order, "error_message");
    assert!(message.contains("`payments`") && message.contains("it was not touched"), "{message}");
    assert_eq!(site.whole("payments"), before);
}

#[tokio::test]
async fn terminate_of_another_resources_project_errs_and_touches_nothing() {
    let site = Site::start().await;
    let shop = site.made("Shop", limits()).await;
    let blog = site.made("Blog", limits()).await;
    let before = site.whole("waldur-alloc-blog-1");
    site.sim.okd.delete("namespaces", "", "waldur-alloc-shop-1");
    site.sim.waldur.set_backend_id(shop, "waldur-alloc-blog-1");
    let order = site.terminate(shop);
    site.once().await;
    assert_eq!(site.order_state(order), OrderState::Erred);
    let message = site.order_text(order, "error_message");
    assert!(message.contains(&format!("belongs to another resource ({})", blog.simple())), "{message}");
    assert_eq!(site.whole("waldur-alloc-blog-1"), before);
}

#[tokio::test]
async fn reserved_namespaces_are_never_touched_whatever_waldur_names() {
    for name in ["openshift-apiserver", "kube-system", "default", "openshift"] {
        let site = Site::start().await;
        let resource = site.made("Shop", limits()).await;
        site.sim.okd.delete("namespaces", "", "waldur-alloc-shop-1");
        site.sim.waldur.set_backend_id(resource, name);
        // Even with labels that say it were this resource's.
        let labels = json!({
            "app.kubernetes.io/managed-by": "waldur-site-agent",
            "waldur/resource-uuid": resource.simple().to_string(),
        });
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        site.sim.okd.put(namespace).unwrap();
        let before = site.whole(name);
        for kind in ["update", "terminate", "restore"] {
            let order = match kind {
                "update" => site.update(resource, json!({"cpu": 1})),
                "terminate" => site.terminate(resource),
                _ => site.restore(resource),
            };
            site.once().await;
            let refused = [OrderState::Erred, OrderState::Rejected].contains(&site.order_state(order));
            assert!(refused, "{name} {kind} {}", site.order_state(order));
            assert_eq!(site.whole(name), before, "{kind}");
        }
    }
}

#[tokio::test]
async fn without_prefixes_a_reserved_name_is_refused_before_approval() {
    let site = Site::start().await;
    let (order, resource) = site.order("Shop", limits());
    site.sim.waldur.set_slug(resource, "openshift-shop");
    let config = site.config().with_backend("namespace_prefix: ''\nallocation_prefix: ''\n");
    site.once_with(&config).await;
    assert_eq!(site.order_state(order), OrderState::Rejected);
    let comment = site.order_text(order, "provider_rejection_comment");
    assert!(comment.contains("`openshift-shop` is reserved for the cluster"), "{comment}");
    assert_eq!(site.projects("shop"), 0);
}

/// Starts two agents with one token each and lets both work on the same orders.
async fn two_agents(site: &Site, second_token: &str) {
    let orders: Vec<_> = (0..8).map(|number| site.order(&format!("shop {number}"), limits())).collect();
    let mut other = site.config();
    other.okd_token = format!("token: {second_token}\n");
    let agents = [Agent::start(site.config().engine()), Agent::start(other.engine())];
    for (order, resource) in &orders {
        site.ends(*order, OrderState::Done).await;
        let name = site.backend_id(*resource);
        assert_eq!(site.hard(&name)["requests.cpu"], "4");
    }
    for agent in agents {
        agent.stop().await;
    }
    assert_eq!(site.managed().len(), orders.len());
    assert_eq!(site.projects("waldur-alloc"), orders.len());
}

#[tokio::test]
async fn two_agents_with_one_service_account_make_one_project_per_order() {
    let site = Site::start().await;
    let token = site.sim.okd_token.clone();
    two_agents(&site, &token).await;
}

#[tokio::test]
async fn two_agents_with_service_accounts_of_their_own_make_one_project_per_order() {
    let site = Site::start().await;
    let token = site.sim.okd.add_service_account("waldur-system", "second-agent");
    let subject = json!({"kind": "ServiceAccount", "name": "second-agent", "namespace": "waldur-system"});
    site.sim.okd.bind_cluster_role("second-agent", "waldur-site-agent", &subject);
    two_agents(&site, &token).await;
}

#[tokio::test]
async fn a_project_that_somebody_else_claims_is_not_taken_over() {
    let site = Site::start().await;
    let (order, resource) = site.order("Shop", limits());
    let description =
        format!("waldur-site-agent is creating this project for resource {}", resource.simple());
    let annotations = json!({"openshift.io/description": description, "openshift.io/requester": "mallory"});
    let claimed = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "waldur-alloc-shop-1", "annotations": annotations},
    });
    site.sim.okd.put(claimed).unwrap();
    let before = site.whole("waldur-alloc-shop-1");
    let agent = site.agent();
    // For two minutes it may be another agent's work, which is waited for.
    let looks = site.sim.okd_server.traffic.wait_for(|traffic| {
        let requests = traffic.requests();
        requests.iter().filter(|request| request.path.ends_with("/namespaces/waldur-alloc-shop-1")).count()
            > 1
    });
    within("the agent looks again", looks).await;
    assert_eq!(site.order_state(order), OrderState::Executing);
    agent.stop().await;
    assert_eq!(site.whole("waldur-alloc-shop-1"), before);
}

#[tokio::test]
async fn orders_that_come_twice_and_out_of_order_end_once() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    // Two updates and a terminate are open at once, which only a broken server allows.
    let first = site.update(resource, json!({"cpu": 8}));
    let second = site.update(resource, json!({"cpu": 2}));
    let agent = Agent::start_with(site.config().engine(), Duration::from_millis(50));
    site.ends(first, OrderState::Done).await;
    site.ends(second, OrderState::Done).await;
    assert_eq!(site.hard("waldur-alloc-shop-1")["requests.cpu"], "2", "the order placed last counts");
    let terminate = site.terminate(resource);
    let update = site.update(resource, json!({"cpu": 16}));
    site.ends(terminate, OrderState::Done).await;
    within(
        "the late update ends",
        site.sim.waldur.wait_until(|waldur| !waldur.order_state(update).is_some_and(OrderState::is_open)),
    )
    .await;
    agent.stop().await;
    assert_eq!(site.projects("shop"), 0);
}
