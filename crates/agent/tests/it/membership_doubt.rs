//! Answers that could mean that nobody is there any more, and faults of one part that must not stop the others.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::faults::{Fault, Rule};
use simulator::traffic::Traffic;
use simulator::waldur::ResourceState;

use crate::members::{Keeping, Log, access, keeper, pass};
use crate::site::{Site, within};

const OWNERS: &str = "/api/customers/*/list_users/";
const SERVICE_ACCOUNTS: &str = "/api/marketplace-provider-offerings/*/list_project_service_accounts/";

#[tokio::test]
async fn a_list_that_waldur_has_given_before_holds_when_it_is_refused() {
    let site = Site::start().await;
    site.planted("shop");
    site.owners_are_readable();
    let service = site.sim.waldur.add_service_account(site.project, "svc");
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    let before = site.access("shop");
    assert_eq!((&before["admin"][0][..], &before["edit"][1][..]), ("olivia.owner", "svc"));
    for list in [OWNERS, SERVICE_ACCOUNTS] {
        site.sim.waldur_server.faults.add(Rule::path(list, Fault::Status(403)));
    }
    site.member("nina", "PROJECT.MEMBER");
    let log = Log::start();
    assert!(pass(&engine).await);
    assert_eq!(
        (&site.access("shop")["admin"], &site.access("shop")["edit"]),
        (&before["admin"], &before["edit"])
    );
    assert_eq!(site.access("shop")["view"], ["mia.member", "nina"], "others are served");
    for list in ["list_users", "list_project_service_accounts"] {
        log.has(&format!("{list}/ answered 403"));
    }
    site.sim.waldur_server.faults.clear();
    site.sim.waldur.close_service_account(service);
    assert!(pass(&engine).await);
    assert_eq!(site.access("shop")["edit"], ["max.manager"]);
}

#[tokio::test]
async fn what_a_proxy_says_about_a_list_takes_nobodys_access() {
    let faults = [Fault::Status(404), Fault::Html(403), Fault::Html(404)];
    let cases = faults.iter().flat_map(|fault| [OWNERS, SERVICE_ACCOUNTS].map(|list| proxied(list, fault)));
    futures::future::join_all(cases).await;
}

async fn proxied(list: &str, fault: &Fault) {
    let site = Site::start().await;
    site.planted("shop");
    site.owners_are_readable();
    site.sim.waldur.add_service_account(site.project, "svc");
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    let before = site.access("shop");
    site.sim.waldur_server.faults.add(Rule::path(list, fault.clone()));
    pass(&engine).await;
    assert_eq!(site.access("shop"), before, "{list} {fault:?}");
}

#[tokio::test]
async fn a_quota_that_cannot_be_kept_does_not_keep_former_members_in() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    site.edit("shop", "ResourceQuota", "waldur-quota", |quota| {
        quota["metadata"]["labels"] = json!({});
        quota["spec"]["hard"] = json!({"pods": "7"});
    });
    let mia = site.user("mia.member");
    assert!(site.sim.waldur.remove_member(site.project, mia, "PROJECT.MEMBER"));
    assert!(!pass(&engine).await);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"])]));
    assert_eq!(site.hard("shop"), json!({"pods": "7"}));
    assert_eq!(site.resource_state(resource), ResourceState::Erred);
    let message = site.resource(resource)["error_message"].as_str().unwrap().to_owned();
    assert!(message.contains("does not carry this agent's labels"), "{message}");
}

#[tokio::test]
async fn a_team_that_cannot_be_read_does_not_keep_a_paused_project_running() {
    let site = Site::start().await;
    site.sim
        .waldur_server
        .faults
        .add(Rule::path("/api/marketplace-service-providers/*/project_permissions/", Fault::Status(403)));
    let resource = site.planted("shop");
    let engine = keeper(&site.with_members());
    let log = Log::start();
    assert!(pass(&engine).await, "{}", log.text());
    let before = site.access("shop");
    site.sim.waldur.set_flags(resource, true, false, false);
    let team = format!("/api/marketplace-provider-resources/{}/team/", resource.simple());
    site.sim.waldur_server.faults.add(Rule::path(&team, Fault::Status(500)));
    assert!(!pass(&engine).await, "the team is still to be read");
    assert_eq!(site.access("shop"), before);
    let hard = site.hard("shop");
    assert!(hard.as_object().unwrap().values().all(is_zero), "{hard}");
}

fn is_zero(quantity: &Value) -> bool {
    quantity.as_str().is_some_and(|text| text.trim_end_matches(char::is_alphabetic) == "0")
}

#[tokio::test]
async fn a_confirmed_removal_that_the_cluster_could_not_take_needs_no_new_confirmation() {
    let site = Site::start().await;
    site.planted("shop");
    let crowd: Vec<_> =
        (0..6).map(|number| site.member(&format!("user{number}"), "PROJECT.MEMBER")).collect();
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    for user in &crowd {
        assert!(site.sim.waldur.remove_member(site.project, *user, "PROJECT.MEMBER"));
    }
    assert!(pass(&engine).await);
    assert_eq!(site.access("shop")["view"].len(), 7, "held back");
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/*";
    site.sim.okd_server.faults.add(Rule::path(bindings, Fault::Status(503)));
    assert!(!pass(&engine).await);
    assert_eq!(site.access("shop")["view"].len(), 7, "the cluster is down");
    site.sim.okd_server.faults.clear();
    let agent = Keeping::start(engine, Duration::from_secs(3600));
    let let_go = |_: &Traffic| site.access("shop")["view"] == ["mia.member"];
    within("they lose access", site.sim.okd_server.traffic.wait_for(let_go)).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_project_that_the_list_of_roles_does_not_have_is_asked_for_its_team() {
    let site = Site::start().await;
    let empty = site.another_project("empty");
    site.planted_in(empty, "empty");
    assert!(site.pass().await);
    let team = "GET /api/marketplace-provider-resources/{}/team/";
    assert!(site.waldur_requests().iter().any(|request| request == team), "{:?}", site.waldur_requests());
}
