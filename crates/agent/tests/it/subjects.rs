//! Who is bound, and as what: groups of our own, service accounts, users who are known to an identity provider.

use std::collections::BTreeSet;
use std::time::Duration;

use agent::engine::EngineOptions;
use agent::settings::Mode;
use serde_json::{Value, json};
use simulator::faults::{Fault, Rule};
use simulator::okd::{Flavour, OkdOptions};
use simulator::simulation::SimulationOptions;
use simulator::waldur::{OrderState, SeedUser};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::site::{Config, Site, limits, options, within};

const NAME: &str = "waldur-alloc-shop-1";
const EDIT: &str = "waldur-waldur-alloc-shop-1-edit";
const VIEW: &str = "waldur-waldur-alloc-shop-1-view";

/// Rights on everything that subjects can be made of.
fn able() -> SimulationOptions {
    let mut options = options();
    let all = json!(["get", "list", "watch", "create", "update", "patch", "delete"]);
    options.agent_rules.as_array_mut().unwrap().extend([
        json!({"apiGroups": ["user.openshift.io"], "resources": ["groups"], "verbs": all}),
        json!({"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": all}),
        json!({"apiGroups": ["user.openshift.io"], "resources": ["identities"], "verbs": ["list", "watch", "create"]}),
        json!({"apiGroups": ["user.openshift.io"], "resources": ["users", "useridentitymappings"], "verbs": ["create"]}),
    ]);
    options
}

fn with(site: &Site, backend: &str) -> Config {
    site.config().with_members().with_backend(backend)
}

fn grouped(site: &Site) -> Config {
    with(site, "subjects: {kind: group}\n")
}

/// A project whose members have been let in.
async fn furnished(site: &Site, config: &Config) -> Uuid {
    let (order, resource) = site.order("Shop", limits());
    assert!(site.once_with(config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    keep(config).await;
    resource
}

/// One pass over all resources by a fresh agent.
async fn keep(config: &Config) {
    let engine = config.engine_for(Mode::MembershipSync, EngineOptions::default());
    assert!(within("the pass ends", engine.keep_resources_once()).await);
}

fn group(site: &Site, name: &str) -> Option<Value> {
    site.sim.okd.get("groups", "", name)
}

/// Users of a group.
fn users(site: &Site, name: &str) -> Vec<String> {
    let group = group(site, name).unwrap_or_else(|| panic!("no group {name}"));
    group["users"].as_array().unwrap().iter().map(|user| user.as_str().unwrap().to_owned()).collect()
}

fn binding(site: &Site, role: &str) -> Option<Value> {
    site.sim.okd.get("rolebindings", NAME, &format!("waldur-users-{role}"))
}

/// `Kind name` of all who are bound to a role.
fn subjects(site: &Site, role: &str) -> Vec<String> {
    let binding = binding(site, role).unwrap_or_else(|| panic!("nobody has {role}"));
    let text = |subject: &Value, field: &str| subject[field].as_str().unwrap().to_owned();
    let subjects = binding["subjects"].as_array().unwrap().iter();
    let mut shown: Vec<_> =
        subjects.map(|subject| format!("{} {}", text(subject, "kind"), text(subject, "name"))).collect();
    shown.sort();
    shown
}

/// Another member, whose username in the offering is this.
fn member(site: &Site, login: &str, username: &str) -> Uuid {
    let user = site.sim.waldur.add_user(&SeedUser::new(login, &format!("{login}-token")));
    site.sim.waldur.add_member(site.project, user, "PROJECT.MANAGER");
    site.sim.waldur.add_offering_user(site.offering, user, username);
    user
}

/// Requests that change something, about these resources.
fn writes(site: &Site, plurals: &[&str]) -> Vec<String> {
    let requests = site.okd_requests().into_iter();
    requests
        .filter(|line| !line.starts_with("GET") && plurals.iter().any(|plural| line.contains(plural)))
        .collect()
}

#[tokio::test]
async fn a_group_for_each_role_stands_in_its_binding_and_goes_with_the_project() {
    let site = Site::with(able()).await;
    let theirs = json!({
        "apiVersion": "user.openshift.io/v1", "kind": "Group",
        "metadata": {"name": "waldur-team"}, "users": ["max.manager"],
    });
    let theirs = site.sim.okd.put(theirs).unwrap();
    let config = grouped(&site);
    let resource = furnished(&site, &config).await;
    for (role, name, user) in [("edit", EDIT, "max.manager"), ("view", VIEW, "mia.member")] {
        assert_eq!(subjects(&site, role), [format!("Group {name}")]);
        assert_eq!(users(&site, name), [user]);
        let labels = &group(&site, name).unwrap()["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/managed-by"], "waldur-site-agent");
        assert_eq!(labels["waldur/resource-uuid"], resource.simple().to_string());
    }
    let order = site.terminate(resource);
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert!(site.namespace(NAME).is_none());
    assert_eq!(site.sim.okd.list("groups", None), [theirs]);
}

#[tokio::test]
async fn a_change_of_role_changes_the_groups_and_not_the_bindings() {
    let site = Site::with(able()).await;
    let config = grouped(&site);
    furnished(&site, &config).await;
    let bindings = ["edit", "view"].map(|role| binding(&site, role));
    let waldur = &site.sim.waldur;
    let (max, mia) = (waldur.user("max.manager").unwrap(), waldur.user("mia.member").unwrap());
    waldur.remove_member(site.project, max, "PROJECT.MANAGER");
    waldur.add_member(site.project, max, "PROJECT.MEMBER");
    waldur.add_member(site.project, mia, "PROJECT.MANAGER");
    keep(&config).await;
    assert_eq!(users(&site, EDIT), ["mia.member"]);
    assert_eq!(users(&site, VIEW), ["max.manager", "mia.member"]);
    assert_eq!(["edit", "view"].map(|role| binding(&site, role)), bindings);
    waldur.remove_member(site.project, mia, "PROJECT.MANAGER");
    keep(&config).await;
    assert!(group(&site, EDIT).is_none() && binding(&site, "edit").is_none());
    // Nothing is left to do.
    site.sim.reset_traffic();
    keep(&config).await;
    assert_eq!(writes(&site, &["groups", "rolebindings"]), [] as [String; 0]);
}

#[tokio::test]
async fn what_somebody_did_to_a_group_by_hand_is_put_right() {
    let site = Site::with(able()).await;
    let config = grouped(&site);
    furnished(&site, &config).await;
    let mut edited = group(&site, EDIT).unwrap();
    edited["users"] = json!(["mallory"]);
    (edited["kind"], edited["apiVersion"]) = (json!("Group"), json!("user.openshift.io/v1"));
    site.sim.okd.put(edited).unwrap();
    assert!(site.sim.okd.delete("groups", "", VIEW));
    keep(&config).await;
    assert_eq!(
        (users(&site, EDIT), users(&site, VIEW)),
        (vec!["max.manager".to_owned()], vec!["mia.member".to_owned()])
    );
}

#[tokio::test]
async fn a_group_of_somebody_else_is_neither_changed_nor_bound() {
    let site = Site::with(able()).await;
    let theirs = json!({
        "apiVersion": "user.openshift.io/v1", "kind": "Group", "metadata": {"name": EDIT}, "users": ["mallory"],
    });
    let theirs = site.sim.okd.put(theirs).unwrap();
    let config = grouped(&site);
    let resource = furnished(&site, &config).await;
    assert_eq!(subjects(&site, "edit"), ["User max.manager"]);
    assert_eq!(subjects(&site, "view"), [format!("Group {VIEW}")]);
    site.terminate(resource);
    assert!(site.once_with(&config).await);
    assert_eq!(site.sim.okd.list("groups", None), [theirs]);
}

#[tokio::test]
async fn unusual_usernames_work_beside_the_usual_ones() {
    let odd = ["John.Doe+x_y@ACME.org", "oidc:Jane_D@acme.org", "a/b%c"];
    for backend in ["subjects: {kind: user}\n", "subjects: {kind: group}\n"] {
        let site = Site::with(able()).await;
        for (number, username) in odd.iter().enumerate() {
            member(&site, &format!("odd-{number}"), username);
        }
        member(&site, "sys", "system:admin");
        let config = with(&site, backend);
        furnished(&site, &config).await;
        let mut bound: BTreeSet<String> = subjects(&site, "edit")
            .iter()
            .filter_map(|subject| subject.strip_prefix("User ").map(str::to_owned))
            .collect();
        if backend.contains("group") {
            assert_eq!(bound.len(), 2, "{bound:?}");
            bound.extend(users(&site, EDIT));
        }
        let expected = odd.iter().chain(&["max.manager"]).map(|name| (*name).to_owned());
        assert_eq!(bound, expected.collect(), "{backend}");
    }
}

#[tokio::test]
async fn without_groups_users_are_bound_themselves() {
    let kubernetes = OkdOptions { flavour: Flavour::Kubernetes, ..OkdOptions::immediate() };
    for options in [SimulationOptions { okd: kubernetes, ..able() }, options()] {
        let flavour = options.okd.flavour;
        let site = Site::with(options).await;
        let config = with(
            &site,
            "subjects: {kind: group, identity_provider: sso}\nservice_accounts: service_account\n",
        );
        furnished(&site, &config).await;
        assert_eq!(subjects(&site, "edit"), ["User max.manager"], "{flavour:?}");
        assert_eq!(subjects(&site, "view"), ["User mia.member"], "{flavour:?}");
        let asked = site.okd_requests();
        assert!(
            !asked.iter().any(|line| line.contains("/groups") || line.contains("/identities")),
            "{asked:#?}"
        );
    }
}

#[tokio::test]
async fn what_is_not_configured_is_not_asked_for() {
    let site = Site::with(able()).await;
    site.sim.waldur.add_service_account(site.project, "svc-web");
    furnished(&site, &with(&site, "")).await;
    assert_eq!(subjects(&site, "edit"), ["User max.manager", "User svc-web"]);
    let asked = site.okd_requests();
    let about = ["/groups", "/identities", "/useridentitymappings", "/users", "/serviceaccounts"];
    assert!(!asked.iter().any(|line| about.iter().any(|word| line.contains(word))), "{asked:#?}");
    let reviews = asked.iter().filter(|line| line.contains("selfsubjectaccessreviews")).count();
    // Two agents, each with watch of four kinds, what limit ranges need, bind on three ClusterRoles, and events.
    assert_eq!(reviews, 2 * (4 + 4 + 3 + 1));
}

#[tokio::test]
async fn users_are_known_to_the_identity_provider_before_they_log_in() {
    let site = Site::with(able()).await;
    let mia = json!({
        "apiVersion": "user.openshift.io/v1", "kind": "User",
        "metadata": {"name": "mia.member", "labels": {"team": "web"}}, "fullName": "Mia",
    });
    site.sim.okd.put(mia).unwrap();
    let config = with(&site, "subjects: {kind: group, identity_provider: sso}\n");
    let resource = furnished(&site, &config).await;
    let okd = &site.sim.okd;
    for name in ["max.manager", "mia.member"] {
        let identity = okd.get("identities", "", &format!("sso:{name}")).unwrap();
        assert_eq!((&identity["providerName"], &identity["providerUserName"]), (&json!("sso"), &json!(name)));
        assert_eq!(identity["user"]["name"], name);
        let user = okd.get("users", "", name).unwrap();
        assert_eq!(user["identities"], json!([format!("sso:{name}")]));
    }
    let labels = |name: &str| okd.get("users", "", name).unwrap()["metadata"]["labels"].clone();
    assert_eq!(labels("max.manager"), json!({"app.kubernetes.io/managed-by": "waldur-site-agent"}));
    assert_eq!(labels("mia.member"), json!({"team": "web"}));
    // A later agent sees that they are there, and nothing of them ever goes.
    site.sim.reset_traffic();
    keep(&config).await;
    assert_eq!(writes(&site, &["/users", "/identities", "/useridentitymappings"]), [] as [String; 0]);
    site.terminate(resource);
    assert!(site.once_with(&config).await);
    assert_eq!((okd.count("users"), okd.count("identities")), (2, 2));
    assert_eq!(okd.count("groups"), 0);
}

#[tokio::test]
async fn an_identity_of_somebody_else_is_used_as_it_is() {
    let site = Site::with(able()).await;
    let okd = &site.sim.okd;
    let theirs = [
        json!({"kind": "User", "metadata": {"name": "max.manager"}, "identities": ["sso:max.manager"]}),
        json!({
            "kind": "Identity", "metadata": {"name": "sso:max.manager"}, "providerName": "sso",
            "providerUserName": "max.manager", "user": {"name": "max.manager", "uid": "1"},
        }),
    ];
    let theirs = theirs.map(|mut object| {
        object["apiVersion"] = json!("user.openshift.io/v1");
        okd.put(object).unwrap()
    });
    furnished(&site, &with(&site, "subjects: {identity_provider: sso}\n")).await;
    assert_eq!(okd.get("users", "", "max.manager").unwrap(), theirs[0]);
    assert_eq!(okd.get("identities", "", "sso:max.manager").unwrap(), theirs[1]);
    assert_eq!(subjects(&site, "edit"), ["User max.manager"]);
}

#[tokio::test]
async fn an_identity_that_is_somebody_elses_user_is_named_and_left() {
    let site = Site::with(able()).await;
    let okd = &site.sim.okd;
    let theirs = json!({
        "apiVersion": "user.openshift.io/v1", "kind": "Identity",
        "metadata": {"name": "sso:max.manager", "labels": {"app.kubernetes.io/managed-by": "waldur-site-agent"}},
        "providerName": "sso", "providerUserName": "max.manager", "user": {"name": "maximilian", "uid": "1"},
    });
    let theirs = okd.put(theirs).unwrap();
    let log = crate::members::Log::start();
    furnished(&site, &with(&site, "subjects: {identity_provider: sso}\n")).await;
    log.has("who logs in at `sso` as `max.manager` is user `maximilian` on the cluster");
    assert_eq!(okd.get("identities", "", "sso:max.manager").unwrap(), theirs);
    assert!(okd.get("users", "", "max.manager").is_none());
}

#[tokio::test]
async fn groups_that_outlive_their_project_are_deleted_by_the_next_pass() {
    let site = Site::with(able()).await;
    let config = grouped(&site);
    let resource = furnished(&site, &config).await;
    assert_eq!(users(&site, VIEW), ["mia.member"]);
    let refused = Rule::path("/apis/user.openshift.io/v1/groups/*", Fault::Status(403));
    site.sim.okd_server.faults.add(refused.method(http::Method::DELETE));
    let order = site.terminate(resource);
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert!(site.namespace(NAME).is_none() && group(&site, VIEW).is_some());
    site.sim.okd_server.faults.clear();
    let engine = config.engine_for(Mode::All, EngineOptions::default());
    assert!(within("the passes end", engine.run_once(&CancellationToken::new())).await);
    assert_eq!(site.sim.okd.list("groups", None), [] as [Value; 0]);
}

#[tokio::test]
async fn groups_that_nobody_looks_after_any_more_are_named() {
    let site = Site::with(able()).await;
    furnished(&site, &grouped(&site)).await;
    let log = crate::members::Log::start();
    keep(&site.with_members()).await;
    assert_eq!(subjects(&site, "edit"), ["User max.manager"]);
    log.has("oc delete group waldur-");
}

#[tokio::test]
async fn service_accounts_of_waldur_become_objects_in_the_project_and_go_when_they_are_closed() {
    let site = Site::with(able()).await;
    let waldur = &site.sim.waldur;
    let web = waldur.add_service_account(site.project, "svc-web");
    waldur.add_service_account(site.project, "Svc.CI@acme");
    waldur.add_course_account(site.project, "course-1");
    let config = with(&site, "service_accounts: service_account\n");
    let (_, resource) = site.order("Shop", limits());
    assert!(site.once_with(&config).await);
    let theirs = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "builder-of-somebody", "namespace": NAME},
    });
    let theirs = site.sim.okd.put(theirs).unwrap();
    keep(&config).await;
    let edit = subjects(&site, "edit");
    let ci = edit.iter().find_map(|subject| subject.strip_prefix("ServiceAccount svc-ci-acme-")).unwrap();
    let ci = format!("svc-ci-acme-{ci}");
    for name in ["svc-web", &ci] {
        let account = site.sim.okd.get("serviceaccounts", NAME, name).unwrap();
        assert_eq!(account["metadata"]["labels"]["waldur/resource-uuid"], resource.simple().to_string());
        assert!(edit.contains(&format!("ServiceAccount {name}")), "{edit:?}");
    }
    assert!(edit.contains(&"User course-1".to_owned()), "{edit:?}");
    let namespaces = binding(&site, "edit").unwrap()["subjects"].clone();
    let of_accounts =
        namespaces.as_array().unwrap().iter().filter(|subject| subject["kind"] == "ServiceAccount");
    assert!(of_accounts.into_iter().all(|subject| subject["namespace"] == NAME));
    waldur.close_service_account(web);
    keep(&config).await;
    assert!(site.sim.okd.get("serviceaccounts", NAME, "svc-web").is_none());
    assert!(!subjects(&site, "edit").contains(&"ServiceAccount svc-web".to_owned()));
    assert_eq!(site.sim.okd.get("serviceaccounts", NAME, "builder-of-somebody").unwrap(), theirs);
}

#[tokio::test]
async fn a_service_account_that_somebody_else_made_is_neither_changed_nor_bound() {
    let site = Site::with(able()).await;
    let config = with(&site, "service_accounts: service_account\n");
    furnished(&site, &config).await;
    let theirs = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "svc-web", "namespace": NAME},
    });
    let theirs = site.sim.okd.put(theirs).unwrap();
    site.sim.waldur.add_service_account(site.project, "svc-web");
    site.sim.waldur.add_service_account(site.project, "default");
    keep(&config).await;
    let edit = subjects(&site, "edit");
    assert_eq!(edit.len(), 2, "{edit:?}");
    assert!(edit[0].starts_with("ServiceAccount default-") && edit[1] == "User max.manager", "{edit:?}");
    assert_eq!(site.sim.okd.get("serviceaccounts", NAME, "svc-web").unwrap(), theirs);
}

#[tokio::test]
async fn while_groups_are_watched_a_change_by_hand_is_put_right_without_a_pass() {
    let site = Site::with(able()).await;
    let config = grouped(&site);
    furnished(&site, &config).await;
    site.sim.reset_traffic();
    let (engine, stop) =
        (config.engine_for(Mode::MembershipSync, EngineOptions::default()), CancellationToken::new());
    let stopped = stop.clone();
    let running =
        tokio::spawn(async move { engine.keep_resources(Duration::from_secs(86_400), &stopped).await });
    let traffic = &site.sim.okd_server.traffic;
    let watched = traffic.wait_for(|traffic| {
        let requests = traffic.requests();
        requests.iter().any(|request| request.path.ends_with("/groups") && request.query.contains("watch"))
    });
    within("groups are watched", watched).await;
    let mut edited = group(&site, EDIT).unwrap();
    edited["users"] = json!(["mallory"]);
    (edited["kind"], edited["apiVersion"]) = (json!("Group"), json!("user.openshift.io/v1"));
    site.sim.okd.put(edited).unwrap();
    within("the group is put right", traffic.wait_for(|_| users(&site, EDIT) == ["max.manager"])).await;
    stop.cancel();
    within("the agent stops", running).await.unwrap();
}

#[tokio::test]
async fn a_group_that_somebody_has_made_theirs_is_left_to_them() {
    let site = Site::with(able()).await;
    let config = grouped(&site);
    furnished(&site, &config).await;
    let mut theirs = group(&site, VIEW).unwrap();
    theirs["metadata"]["labels"] = json!({"team": "web"});
    (theirs["kind"], theirs["apiVersion"]) = (json!("Group"), json!("user.openshift.io/v1"));
    let theirs = site.sim.okd.put(theirs).unwrap();
    keep(&config).await;
    assert_eq!(subjects(&site, "view"), ["User mia.member"]);
    assert_eq!(group(&site, VIEW).unwrap(), theirs);
}
