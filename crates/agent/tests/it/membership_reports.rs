//! What goes back to Waldur, what a pass costs, and limits, pause and downscaling, which it keeps as well.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::faults::{Fault, Rule};
use simulator::simulation::SimulationOptions;
use simulator::traffic::Traffic;
use simulator::waldur::{Generation, ResourceState};

use crate::members::{Keeping, Log, access, keeper, pass};
use crate::site::{Site, limits, options, within};

#[tokio::test]
async fn results_go_back_to_waldur_once() {
    let site = Site::start().await;
    site.sim.waldur.set_plugin_option(site.offering, "enable_membership_sync_status", json!(true));
    let resource = site.planted("shop");
    let una = site.member("una", "PROJECT.MEMBER");
    site.sim.waldur.add_offering_user(site.offering, una, "");
    site.sim.waldur.override_resource(resource, "last_sync", None);
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    let mut statuses = site.sim.waldur.membership_sync_statuses(resource);
    statuses.sort_by_key(|status| status["user_uuid"] != site.user("max.manager").simple().to_string());
    assert_eq!(statuses.len(), 3);
    assert_eq!(
        statuses[0],
        json!({
            "user_uuid": site.user("max.manager").simple().to_string(), "scope_type": "resource",
            "role_name": "PROJECT.MANAGER", "state": "synced",
        })
    );
    let failed = statuses.iter().find(|status| status["state"] == "error").unwrap();
    assert_eq!(failed["user_uuid"], una.simple().to_string());
    assert_eq!(failed["message"], "the account in this offering is in state `Requested`");
    // The keys of the Python plugin.
    let metadata = &site.resource(resource)["backend_metadata"];
    let keys: Vec<&String> = metadata.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["description", "name", "organization", "quotas", "users"]);
    assert_eq!(metadata["users"], json!(["max.manager", "mia.member"]));
    assert_eq!((&metadata["name"], &metadata["quotas"]), (&json!("shop"), &limits()));
    let synced = |site: &Site| {
        site.waldur_writes().iter().filter(|write| write.ends_with("refresh_last_sync/")).count()
    };
    assert_eq!(synced(&site), 1);
    // What did not change is not written again.
    site.sim.reset_traffic();
    assert!(pass(&engine).await);
    assert_eq!((site.waldur_writes(), site.cluster_writes()), (vec![], vec![]));
    // A change is told, and nothing else.
    site.sim.waldur.add_offering_user(site.offering, una, "una");
    assert!(pass(&engine).await);
    let mut writes = site.waldur_writes();
    writes.sort();
    let path = "POST /api/marketplace-provider-resources/{}";
    let told = ["refresh_last_sync", "set_backend_metadata", "set_membership_sync_statuses"];
    assert_eq!(writes, told.map(|action| format!("{path}/{action}/")));
}

#[tokio::test]
async fn an_erred_resource_that_is_as_it_should_be_is_ok_again() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    site.sim.waldur.force_resource(resource, ResourceState::Erred);
    assert!(site.pass().await);
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
}

#[tokio::test]
async fn a_failed_create_without_a_project_is_left_alone() {
    let site = Site::start().await;
    let (_, resource) = site.order("Shop", limits());
    site.sim.waldur.force_resource(resource, ResourceState::Erred);
    let before = site.resource(resource);
    assert!(site.pass().await);
    assert_eq!(site.resource(resource), before);
    assert_eq!((site.waldur_writes(), site.cluster_writes()), (vec![], vec![]));
}

#[tokio::test]
async fn a_project_that_vanished_errs_its_resource_once_and_leaves_the_others_served() {
    let site = Site::start().await;
    let (gone, _) = (site.planted("gone"), site.planted("shop"));
    assert!(site.sim.okd.delete("namespaces", "", "gone"));
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    assert_eq!(site.resource_state(gone), ResourceState::Erred);
    let message = site.resource(gone)["error_message"].as_str().unwrap().to_owned();
    assert!(message.contains("namespace `gone` is not on the cluster any more"), "{message}");
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    site.sim.reset_traffic();
    assert!(pass(&engine).await);
    assert_eq!(site.waldur_writes(), Vec::<String>::new());
    // Somebody puts it back.
    site.label("gone", gone);
    assert!(pass(&engine).await);
    assert_eq!(site.resource_state(gone), ResourceState::Ok);
}

#[tokio::test]
async fn a_refusal_for_good_errs_the_resource_and_a_passing_failure_does_not() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    let other = site.planted("blog");
    let quota = |namespace: &str| format!("/api/v1/namespaces/{namespace}/resourcequotas/waldur-quota");
    let passing = site.sim.okd_server.faults.add(Rule::path(&quota("shop"), Fault::Status(503)));
    assert!(!site.pass().await);
    assert_eq!(
        (site.resource_state(resource), site.resource_state(other)),
        (ResourceState::Ok, ResourceState::Ok)
    );
    assert!(!site.hard("blog").is_null());
    site.sim.okd_server.faults.remove(passing);
    site.sim
        .okd_server
        .faults
        .add(Rule::path(&quota("shop"), Fault::Status(403)).method("PATCH".parse().unwrap()));
    assert!(!site.pass().await);
    assert_eq!(site.resource_state(resource), ResourceState::Erred);
    let message = site.resource(resource)["error_message"].as_str().unwrap().to_owned();
    assert!(message.contains("resourcequotas/waldur-quota"), "{message}");
    site.sim.reset_traffic();
    assert!(!site.pass().await);
    assert!(site.okd_requests().iter().any(|request| request.starts_with("PATCH")));
    assert_eq!(site.waldur_writes(), Vec::<String>::new());
    site.sim.okd_server.faults.clear();
    assert!(site.pass().await);
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
}

#[tokio::test]
async fn limits_pause_and_downscaling_are_kept_and_never_written_to_waldur() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    let log = Log::start();
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    assert_eq!(site.hard("shop")["requests.cpu"], "4");
    for (flags, limit, expected) in [
        ((true, false), 4, ("0", "0")),
        ((false, true), 4, ("1", "2")),
        ((true, true), 4, ("0", "0")),
        ((false, false), 6, ("6", "12")),
    ] {
        site.sim.waldur.set_flags(resource, flags.0, flags.1, false);
        site.sim.waldur.set_limits(resource, json!({"cpu": limit, "memory": 16, "storage": 100, "pods": 50}));
        assert!(pass(&engine).await);
        let hard = site.hard("shop");
        assert_eq!((&hard["requests.cpu"], &hard["limits.cpu"]), (&json!(expected.0), &json!(expected.1)));
    }
    // By hand; a change of the limits in Waldur is nobody's edit.
    assert!(!log.text().contains("was changed by"), "{}", log.text());
    site.edit("shop", "ResourceQuota", "waldur-quota", |quota| {
        quota["spec"]["hard"]["requests.cpu"] = json!("99");
    });
    assert_eq!(site.hard("shop")["requests.cpu"], "99");
    assert!(pass(&engine).await);
    assert_eq!(site.hard("shop")["requests.cpu"], "6");
    log.has("quota shop/waldur-quota was changed by `cluster-admin`; it is put back to what Waldur says");
    assert_eq!(site.resource(resource)["limits"]["cpu"], 6);
    assert!(!site.waldur_requests().iter().any(|request| request.contains("set_limits")));
}

/// How often each path was asked for.
fn counts(lines: Vec<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_pass_at_which_nothing_changed_costs_a_page_of_300_resources_and_a_team_per_project() {
    let (resources, projects) = (310, 4);
    for by_team in [false, true] {
        let site = Site::start().await;
        for project in 0..projects {
            let uuid = site.another_project(&format!("p{project}"));
            site.member_of(uuid, &format!("member{project}"), "PROJECT.MEMBER");
            for number in (project..resources).step_by(projects) {
                site.planted_in(uuid, &format!("r{number}"));
            }
        }
        if by_team {
            let list = "/api/marketplace-service-providers/*/project_permissions/";
            site.sim.waldur_server.faults.add(Rule::path(list, Fault::Status(403)));
        }
        // Owners cost one more request for each organization, not for each project.
        let engine = keeper(&site.with_members().with_backend("grant_organization_owners: false\n"));
        assert!(pass(&engine).await);
        site.sim.reset_traffic();
        assert!(pass(&engine).await);
        assert_eq!((site.waldur_writes(), site.cluster_writes()), (vec![], vec![]));
        let waldur = counts(site.waldur_requests());
        let expected = [
            ("GET /api/marketplace-provider-resources/", 2),
            ("GET /api/marketplace-provider-resources/{}/team/", if by_team { projects } else { 0 }),
            ("GET /api/marketplace-service-providers/{}/project_permissions/", 1),
            ("GET /api/marketplace-service-providers/", 1),
            ("GET /api/marketplace-offering-terms-of-service/", 1),
            ("GET /api/marketplace-offering-users/", 1),
            ("GET /api/marketplace-provider-offerings/{}/", 1),
            ("GET /api/marketplace-provider-offerings/{}/list_course_accounts/", 1),
            ("GET /api/marketplace-provider-offerings/{}/list_project_service_accounts/", 1),
        ];
        let expected = expected.into_iter().filter(|(_, count)| *count > 0);
        let expected: BTreeMap<String, usize> =
            expected.map(|(path, count)| (path.to_owned(), count)).collect();
        assert_eq!(waldur, expected);
        // Without a running watch: one list of each kind.
        let okd = counts(site.okd_requests());
        assert!(okd.len() <= 4 && okd.values().all(|count| *count == 1), "{okd:#?}");
    }
}

/// Waits until the agent has made so many more passes.
async fn passes(site: &Site, count: u64) {
    let path = "/api/marketplace-provider-resources/";
    let before = site.sim.waldur_server.traffic.count("GET", path);
    let more =
        site.sim.waldur_server.traffic.wait_for(|traffic| traffic.count("GET", path) >= before + count);
    within("the passes", more).await;
}

#[tokio::test]
async fn watching_a_pass_costs_the_cluster_nothing() {
    let site = Site::start().await;
    site.planted("shop");
    let agent = Keeping::start(keeper(&site.with_members()), Duration::from_millis(100));
    site.watched(4).await;
    passes(&site, 2).await;
    site.sim.okd_server.traffic.reset();
    passes(&site, 4).await;
    assert_eq!(site.okd_requests(), Vec::<String>::new());
    agent.stop().await;
}

#[tokio::test]
async fn a_change_by_hand_is_healed_at_once_and_says_whose_it_was() {
    let site = Site::start().await;
    site.planted("shop");
    site.planted("blog");
    let log = Log::start();
    // With the default period: no further pass is near.
    let agent = Keeping::start(keeper(&site.with_members()), Duration::from_secs(300));
    site.watched(4).await;
    let done = |traffic: &Traffic| {
        let path = "/api/marketplace-provider-resources/{}/refresh_last_sync/";
        traffic.count("POST", path) >= 2
    };
    within("both resources are kept", site.sim.waldur_server.traffic.wait_for(done)).await;
    let whole = site.binding("shop", "view")["subjects"].clone();
    site.edit("shop", "RoleBinding", "waldur-users-view", |binding| {
        binding["subjects"][0]["name"] = json!("intruder");
    });
    let healed = site.sim.okd_server.traffic.wait_for(|_| site.binding("shop", "view")["subjects"] == whole);
    within("the binding is healed", healed).await;
    assert!(site.sim.okd.delete("rolebindings", "blog", "waldur-users-edit"));
    let exists = |_: &_| site.sim.okd.get("rolebindings", "blog", "waldur-users-edit").is_some();
    within("the binding is made again", site.sim.okd_server.traffic.wait_for(exists)).await;
    agent.stop().await;
    log.has("role binding shop/waldur-users-view was changed by `cluster-admin`");
}

#[tokio::test]
async fn a_server_of_2024_is_served_in_the_same_way() {
    let site = Site::with(SimulationOptions { generation: Generation::October2024, ..options() }).await;
    let resource = site.planted("shop");
    site.member("carl", "PROJECT.AUDITOR");
    site.sim.waldur.set_limits(resource, json!({"cpu": 6, "memory": 16, "storage": 100, "pods": 50}));
    site.owners_are_readable();
    let engine = keeper(&site.with_members());
    let log = Log::start();
    assert!(pass(&engine).await);
    let everybody =
        [("admin", &["olivia.owner"][..]), ("edit", &["carl", "max.manager"]), ("view", &["mia.member"])];
    assert_eq!(site.access("shop"), access(&everybody));
    assert_eq!(site.hard("shop")["requests.cpu"], "6");
    assert_eq!(site.resource(resource)["backend_metadata"]["users"].as_array().map(Vec::len), Some(4));
    site.sim.reset_traffic();
    assert!(pass(&engine).await);
    assert_eq!((site.waldur_writes(), site.cluster_writes()), (vec![], vec![]));
    // By teams, whose roles have the names of before.
    let list = "/api/marketplace-service-providers/*/project_permissions/";
    site.sim.waldur_server.faults.add(Rule::path(list, Fault::Status(403)));
    assert!(pass(&engine).await);
    assert_eq!((site.waldur_writes(), site.cluster_writes()), (vec![], vec![]));
    // An Erred resource and a vanished project: nothing that this server does not have is called for.
    site.sim.waldur.force_resource(resource, ResourceState::Erred);
    site.planted("gone");
    assert!(site.sim.okd.delete("namespaces", "", "gone"));
    pass(&engine).await;
    assert_eq!(site.waldur_writes(), Vec::<String>::new());
    let flags: Value = site.resource(resource)["paused"].clone();
    assert_eq!(flags, json!(false));
    site.sim.waldur.set_flags(resource, true, false, true);
    site.sim.waldur.force_resource(resource, ResourceState::Ok);
    assert!(pass(&engine).await);
    assert_eq!(site.hard("shop")["requests.cpu"], "0");
    assert_eq!(site.access("shop"), access(&[]));
    assert!(!log.text().contains("terms-of-service"), "{}", log.text());
}
