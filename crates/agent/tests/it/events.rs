//! Orders and members by events.

use std::time::Instant;

use agent::settings::Mode;
use serde_json::json;
use simulator::faults::{Fault, Rule};
use simulator::waldur::OrderState;

use crate::listening::Listening;
use crate::members::access;
use crate::site::{Site, limits, within};

/// Waldur's list of an offering's resources.
const RESOURCES: &str = "/api/marketplace-provider-resources/";
/// Milliseconds from one look at a resource to the next one that messages ask for.
const BETWEEN_EVENTS_MS: u128 = 200;

#[tokio::test]
async fn an_order_is_done_when_its_message_comes_and_the_message_acknowledged() {
    let site = Site::start().await;
    let agent = site.listening(&site.by_events()).await;
    let (order, resource) = site.order("Shop", limits());
    site.ends(order, OrderState::Done).await;
    assert_eq!(site.hard(&site.backend_id(resource))["requests.cpu"], "4");
    site.all_acknowledged().await;
    site.is_quiet().await;
    // One look for the order, and one for the usernames that Waldur gives when it is done.
    let path = format!("/api/marketplace-provider-resources/{}/", resource.simple());
    let requests = site.sim.waldur_server.traffic.requests();
    let looks = requests.iter().filter(|request| request.method == "GET" && request.path == path).count();
    assert!((1..=2).contains(&looks), "{looks}");
    agent.stop().await;
    assert!(site.broker().connections().is_empty());
}

#[tokio::test]
async fn a_role_given_or_taken_is_on_the_cluster_when_its_message_comes() {
    let site = Site::start().await;
    site.planted("shop");
    site.planted("blog");
    let agent = site.listening(&site.by_events()).await;
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    let mia = site.user("mia.member");
    site.sim.waldur.add_member(site.project, mia, "PROJECT.MANAGER");
    let both = access(&[("edit", &["max.manager", "mia.member"]), ("view", &["mia.member"])]);
    site.comes("the role is given", || ["shop", "blog"].iter().all(|name| site.access(name) == both)).await;
    site.sim.waldur.remove_member(site.project, mia, "PROJECT.MEMBER");
    let one = access(&[("edit", &["max.manager", "mia.member"])]);
    site.comes("the role is taken", || ["shop", "blog"].iter().all(|name| site.access(name) == one)).await;
    site.all_acknowledged().await;
    agent.stop().await;
}

#[tokio::test]
async fn what_a_start_finds_done_is_not_looked_at_one_by_one() {
    let site = Site::start().await;
    site.planted("shop");
    site.planted("blog");
    site.listening(&site.by_events()).await.stop().await;
    site.sim.reset_traffic();
    // The watches have listed everything before the pass knows what there is to be.
    let held = site.sim.waldur_server.faults.add(Rule::path(RESOURCES, Fault::Hold));
    let agent = Listening::start(&site.by_events(), Mode::EventProcess);
    site.watched(4).await;
    site.is_quiet().await;
    assert!(site.sim.waldur_server.faults.release(held));
    site.settles().await;
    let requests = site.sim.waldur_server.traffic.requests();
    let looks = requests.iter().filter(|request| request.path.starts_with(RESOURCES));
    let paths: Vec<&str> = looks.map(|request| request.path.as_str()).collect();
    assert_eq!(paths, [RESOURCES]);
    agent.stop().await;
}

#[tokio::test]
async fn flags_of_a_resource_reach_its_quota() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    let agent = site.listening(&site.by_events()).await;
    assert_eq!(site.hard("shop")["pods"], "50");
    site.sim.waldur.set_flags(resource, true, false, false);
    site.comes("the quota is shut", || site.hard("shop")["pods"] == "0").await;
    site.sim.waldur.set_flags(resource, false, false, false);
    site.comes("the quota is back", || site.hard("shop")["pods"] == "50").await;
    agent.stop().await;
}

#[tokio::test]
async fn orders_of_all_kinds_follow_each_other() {
    let site = Site::start().await;
    let agent = site.listening(&site.by_events()).await;
    let (order, resource) = site.order("Shop", limits());
    site.ends(order, OrderState::Done).await;
    let name = site.backend_id(resource);
    let order = site.update(resource, json!({"cpu": 8}));
    site.ends(order, OrderState::Done).await;
    assert_eq!(site.hard(&name)["requests.cpu"], "8");
    let order = site.terminate(resource);
    site.ends(order, OrderState::Done).await;
    assert!(site.namespace(&name).is_none());
    site.all_acknowledged().await;
    agent.stop().await;
}

#[tokio::test]
async fn a_burst_about_one_resource_is_one_or_two_reconciles() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    let agent = site.listening(&site.by_events()).await;
    site.sim.reset_traffic();
    let body = json!({
        "object_type": "resource", "offering_uuid": site.offering.simple().to_string(),
        "resource_uuid": resource.simple().to_string(),
    });
    let begun = Instant::now();
    for _ in 0..1000 {
        site.publish(body.to_string());
    }
    site.all_acknowledged().await;
    // Two looks, and where the machine takes longer over the burst than an agent over a look, one for each such time.
    let most = 2 + (begun.elapsed().as_millis() / BETWEEN_EVENTS_MS) as usize;
    let shape = format!("/api/marketplace-provider-resources/{}/", resource.simple());
    let requests = site.sim.waldur_server.traffic.requests();
    let looks = requests.iter().filter(|request| request.path == shape).count();
    assert!((1..=most).contains(&looks), "{looks} of {most}");
    agent.stop().await;
}

#[tokio::test]
async fn the_list_of_accounts_is_read_again_when_a_message_tells_of_a_change() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    let agent = site.listening(&site.by_events()).await;
    let waldur = &site.sim.waldur_server.traffic;
    let lists = |path: &str| waldur.count("GET", path);
    let (users, accounts) =
        ("/api/marketplace-offering-users/", "/api/marketplace-provider-offerings/{}/list_course_accounts/");
    let before = lists(users);
    let id = |uuid: uuid::Uuid| uuid.simple().to_string();
    let resource =
        json!({"object_type": "resource", "offering_uuid": id(site.offering), "resource_uuid": id(resource)});
    // Everything else that the people are made of is read again when it is some seconds old.
    let read = lists(accounts);
    while lists(accounts) == read {
        site.publish(resource.to_string());
        site.all_acknowledged().await;
    }
    assert_eq!(lists(users), before);
    let changed = json!({
        "object_type": "offering_user", "offering_uuid": id(site.offering), "action": "update",
        "resource_backend_ids": ["shop"], "changed_fields": ["is_restricted"],
    });
    site.publish(changed.to_string());
    site.comes("the list is read again", || lists(users) == before + 1).await;
    agent.stop().await;
}

#[tokio::test]
async fn all_modes_run_in_one_process_over_one_set_of_connections() {
    let site = Site::start().await;
    site.planted("shop");
    let agent = Listening::start(&site.by_events(), Mode::All);
    site.settles().await;
    let (order, _) = site.order("Blog", limits());
    site.ends(order, OrderState::Done).await;
    site.comes("members are kept", || !site.access("shop").is_empty()).await;
    assert_eq!(site.broker().connections().len(), 1);
    agent.stop().await;
    // Without events it polls.
    let agent = Listening::start(&site.with_members().with_global("polling_interval: 1\n"), Mode::All);
    let (order, _) = site.order("Wiki", limits());
    site.ends(order, OrderState::Done).await;
    within("the agent stops", agent.stop()).await;
}
