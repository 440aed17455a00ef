//! Bad input and refusals: each leaves all other resources and users served.

use std::time::Duration;

use serde_json::json;
use simulator::faults::{Fault, Rule, When};
use simulator::okd::{OkdOptions, documented_agent_rules};
use simulator::simulation::SimulationOptions;
use simulator::traffic::Traffic;
use simulator::waldur::{OrderState, ResourceState};

use crate::members::{Keeping, Log, access, keeper, pass};
use crate::site::{Site, limits, options, within};

const PERMISSIONS: &str = "/api/marketplace-service-providers/*/project_permissions/";

/// Lets teams be read one by one.
fn by_teams(site: &Site) {
    site.sim.waldur_server.faults.add(Rule::path(PERMISSIONS, Fault::Status(403)));
}

#[tokio::test]
async fn a_team_that_cannot_be_read_leaves_its_members_and_all_others_served() {
    for fault in [Fault::Status(500), Fault::TruncatedBody, Fault::Html(502), Fault::Status(403)] {
        let site = Site::start().await;
        by_teams(&site);
        let bad = site.planted("bad");
        let other = site.another_project("blog");
        site.planted_in(other, "blog");
        site.member_of(other, "bob", "PROJECT.MEMBER");
        assert!(site.pass().await);
        let before = site.access("bad");
        site.sim.waldur.remove_member(site.project, site.user("mia.member"), "PROJECT.MEMBER");
        site.member_of(other, "bea", "PROJECT.MEMBER");
        let team = format!("/api/marketplace-provider-resources/{}/team/", bad.simple());
        site.sim.waldur_server.faults.add(Rule::path(&team, fault.clone()));
        assert!(!site.pass().await, "{fault:?}");
        assert_eq!(site.access("bad"), before, "{fault:?}");
        assert_eq!(site.access("blog"), access(&[("view", &["bea", "bob"])]), "{fault:?}");
        assert_eq!(site.resource_state(bad), ResourceState::Ok, "{fault:?}");
    }
}

#[tokio::test]
async fn owners_that_cannot_be_read_for_the_moment_lose_nothing() {
    let site = Site::start().await;
    site.planted("shop");
    site.owners_are_readable();
    assert!(site.pass().await);
    let before = site.access("shop");
    assert_eq!(before["admin"], ["olivia.owner"]);
    site.sim.waldur_server.faults.add(Rule::path("/api/customers/*/list_users/", Fault::Status(500)));
    assert!(!site.pass().await);
    assert_eq!(site.access("shop"), before);
}

#[tokio::test]
async fn a_project_that_is_being_deleted_is_not_waited_for() {
    let site = Site::start().await;
    let resource = site.planted("gone");
    site.planted("shop");
    assert!(site.pass().await);
    site.sim.okd.hold_termination("gone", "example.org/held");
    assert!(site.sim.okd.delete("namespaces", "", "gone"));
    site.member("nina", "PROJECT.MANAGER");
    let log = Log::start();
    assert!(site.pass().await);
    log.has("namespace `gone` is being deleted, and no order of this resource asks for that");
    log.has("example.org/held");
    assert_eq!(site.access("shop")["edit"], ["max.manager", "nina"]);
    // Waldur says so as well, once, also of one whose flags cannot be followed any more.
    assert_eq!(site.resource_state(resource), ResourceState::Erred);
    let message = site.resource(resource)["error_message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("namespace `gone` is being deleted"), "{message}");
    site.sim.waldur.set_flags(resource, true, false, false);
    site.sim.reset_traffic();
    assert!(site.pass().await);
    assert_eq!(site.cluster_writes(), [] as [String; 0]);
    assert!(!site.waldur_requests().iter().any(|request| request.contains("set_as_erred")));
}

#[tokio::test]
async fn a_grant_that_the_cluster_refuses_names_the_missing_right_and_leaves_the_rest_served() {
    // Projects that the agent has not requested, and the documented role, which may not bind there.
    let site = Site::with(SimulationOptions {
        okd: OkdOptions { bind_requester: false, ..OkdOptions::immediate() },
        agent_rules: documented_agent_rules(),
        ..options()
    })
    .await;
    site.sim.waldur.set_plugin_option(site.offering, "enable_membership_sync_status", json!(true));
    let resource = site.planted("shop");
    let log = Log::start();
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    assert_eq!(site.access("shop"), access(&[]));
    assert_eq!(site.hard("shop")["requests.cpu"], "4");
    log.has("allow it the verb `bind` on clusterroles (rbac.authorization.k8s.io) with resourceNames [view]");
    log.has("is attempting to grant RBAC permissions not currently held");
    // Waldur hears of it, once, and is not told that all is well.
    let statuses = site.sim.waldur.membership_sync_statuses(resource);
    assert!(statuses.len() == 2 && statuses.iter().all(|status| status["state"] == "error"), "{statuses:#?}");
    assert!(site.resource(resource)["backend_metadata"].get("users").is_none());
    site.sim.reset_traffic();
    assert!(pass(&engine).await);
    assert_eq!(site.waldur_writes(), Vec::<String>::new());
    // The operator does what the log says.
    site.sim.okd.put_cluster_role("waldur-site-agent", simulator::okd::extended_agent_rules());
    assert!(pass(&engine).await);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    let statuses = site.sim.waldur.membership_sync_statuses(resource);
    assert!(statuses.iter().all(|status| status["state"] == "synced"), "{statuses:#?}");
}

#[tokio::test]
async fn a_role_that_the_cluster_does_not_have_costs_only_its_members() {
    let site = Site::with(SimulationOptions { agent_rules: documented_agent_rules(), ..options() }).await;
    let (_, resource) = site.order("Shop", limits());
    let config = site.with_members().with_backend("role_map: {manager: nosuchrole}\n");
    let log = Log::start();
    assert!(site.once_with(&config).await);
    log.has("the cluster has no ClusterRole `nosuchrole`; correct `role_map` or `default_role`");
    assert_eq!(site.access(&site.backend_id(resource)), access(&[("view", &["mia.member"])]));
}

#[tokio::test]
async fn bindings_that_the_python_agent_has_left_are_named_once_and_left_alone() {
    let site = Site::start().await;
    site.planted("shop");
    site.somebody_binds("shop", "waldur-mia.member", "root", "mia.member");
    site.somebody_binds("shop", "waldur-max.manager", "edit", "max.manager");
    site.somebody_binds("shop", "waldur-team", "edit", "fred");
    site.somebody_binds("elsewhere", "waldur-mia.member", "root", "mia.member");
    let left = || {
        ["waldur-mia.member", "waldur-max.manager"].map(|name| site.sim.okd.get("rolebindings", "shop", name))
    };
    let before = left();
    let log = Log::start();
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    assert!(pass(&engine).await);
    let line = "the Python agent has left 2 role bindings";
    assert_eq!(log.count(line), 1, "{}", log.text());
    log.has("shop/waldur-max.manager (ClusterRole `edit`), shop/waldur-mia.member (ClusterRole `root`)");
    assert_eq!(left(), before);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    let all = "GET /apis/rbac.authorization.k8s.io/v1/rolebindings".to_owned();
    let lists = site.sim.okd_server.traffic.requests();
    let unlabelled = lists.iter().filter(|request| {
        format!("{} {}", request.method, request.path) == all && !request.query.contains("labelSelector")
    });
    assert_eq!(unlabelled.count(), 1);
}

#[tokio::test]
async fn an_order_that_is_done_while_a_pass_reads_is_not_undone_by_it() {
    let site = Site::start().await;
    by_teams(&site);
    let resource = site.planted("shop");
    let agent = Keeping::start(keeper(&site.with_members()), Duration::from_millis(100));
    let (waldur, okd) = (&site.sim.waldur_server, &site.sim.okd_server);
    site.watched(4).await;
    // A pass that has read the limits waits for the team, and the watch tells it of the order's quota meanwhile.
    let team = "/api/marketplace-provider-resources/*/team/";
    let late = Fault::Latency { fixed: Duration::from_secs(3), jitter: Duration::ZERO };
    let held = waldur.faults.add(Rule::path(team, late).when(When::Nth(1)));
    let begun = async {
        while waldur.faults.struck(held) == 0 {
            tokio::task::yield_now().await;
        }
    };
    within("a pass has begun", begun).await;
    okd.traffic.reset();
    let order = site.update(resource, json!({"cpu": 8, "memory": 16, "storage": 100, "pods": 50}));
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    let asked = waldur.traffic.count("GET", "/api/marketplace-provider-resources/");
    let passed =
        |traffic: &Traffic| traffic.count("GET", "/api/marketplace-provider-resources/") >= asked + 3;
    within("further passes", waldur.traffic.wait_for(passed)).await;
    agent.stop().await;
    assert_eq!(site.hard("shop")["requests.cpu"], "8");
    let requests = site.okd_requests();
    let quota = "PATCH /api/v1/namespaces/shop/resourcequotas/waldur-quota";
    assert_eq!(requests.iter().filter(|request| *request == quota).count(), 1, "{requests:#?}");
}

#[tokio::test]
async fn without_membership_nobodys_access_is_changed() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    assert!(site.pass().await);
    let before = site.access("shop");
    site.member("nina", "PROJECT.MANAGER");
    let order = site.update(resource, json!({"cpu": 8}));
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.access("shop"), before);
}
