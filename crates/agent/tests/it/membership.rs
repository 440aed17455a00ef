//! Who has access: after each pass the role bindings are the team in Waldur.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use simulator::waldur::{OrderState, Scope};

use crate::members::{Log, access};
use crate::site::{Site, limits, options};

#[tokio::test]
async fn a_create_order_ends_with_the_team_bound() {
    let site = Site::start().await;
    // As on a site in use: Waldur makes the accounts of a project's first resource when that is OK.
    for name in ["max.manager", "mia.member"] {
        site.sim.waldur.add_offering_user(site.offering, site.user(name), name);
    }
    let (order, resource) = site.order("Shop", limits());
    assert!(site.once_with(&site.with_members()).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    let name = site.backend_id(resource);
    assert_eq!(site.access(&name), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    let requests = site.waldur_requests();
    let done = requests.iter().position(|request| request.ends_with("set_state_done/")).unwrap();
    assert!(done > 0);
    // One binding for each ClusterRole, with our labels, written by server-side apply.
    let binding = site.binding(&name, "edit");
    assert_eq!(binding["metadata"]["labels"]["waldur/resource-uuid"], resource.simple().to_string());
    let fields = &binding["metadata"]["managedFields"][0];
    assert_eq!((&fields["manager"], &fields["operation"]), (&json!("waldur-site-agent"), &json!("Apply")));
    assert_eq!(site.resource(resource)["backend_metadata"]["users"], json!(["max.manager", "mia.member"]));
}

#[tokio::test]
async fn the_first_resource_of_a_project_binds_the_team_as_soon_as_waldur_has_named_it() {
    let site = Site::start().await;
    let (_, resource) = site.order("Shop", limits());
    assert!(site.once_with(&site.with_members()).await);
    let access_now = site.access(&site.backend_id(resource));
    assert_eq!(access_now, access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
}

#[tokio::test]
async fn a_create_order_gives_a_member_all_of_its_roles() {
    let site = Site::start().await;
    site.sim.waldur.add_member(site.project, site.user("mia.member"), "PROJECT.MANAGER");
    let (_, resource) = site.order("Shop", limits());
    assert!(site.once_with(&site.with_members()).await);
    let access_now = site.access(&site.backend_id(resource));
    let expected = [("edit", &["max.manager", "mia.member"][..]), ("view", &["mia.member"])];
    assert_eq!(access_now, access(&expected));
}

#[tokio::test]
async fn an_update_order_leaves_access_to_the_passes() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    site.sim.waldur.add_member(site.project, site.user("mia.member"), "PROJECT.MANAGER");
    assert!(site.pass().await);
    let before = site.access("shop");
    assert_eq!(before["edit"], ["max.manager", "mia.member"]);
    let order = site.update(resource, json!({"cpu": 8}));
    site.sim.reset_traffic();
    assert!(site.once_with(&site.with_members()).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.access("shop"), before);
    assert!(!site.waldur_requests().iter().any(|request| request.ends_with("team/")));
}

#[tokio::test]
async fn the_documented_table_serves_all_spellings_and_reports_roles_that_nobody_mapped() {
    let site = Site::start().await;
    site.planted("shop");
    site.member("oscar", "PROJECT.OWNER");
    site.member("anna", "PROJECT.ADMIN");
    site.member("carl", "auditor");
    let log = Log::start();
    assert!(site.pass().await);
    assert_eq!(
        site.access("shop"),
        access(&[
            ("admin", &["oscar"]),
            ("edit", &["anna", "carl", "max.manager"]),
            ("view", &["mia.member"])
        ])
    );
    log.has("role `auditor` is not in `role_map`; it gets edit");
    log.has("role `PROJECT.ADMIN` is not in `role_map`; it gets edit");
}

#[tokio::test]
async fn a_configured_table_maps_custom_roles_and_null_is_no_access() {
    let site = Site::start().await;
    site.planted("shop");
    site.member("carl", "Auditor");
    site.member("nora", "PROJECT.GUEST");
    let table = "role_map: {manager: admin, PROJECT.MEMBER: null, auditor: view}\ndefault_role: ''\n";
    assert!(site.pass_with(table).await);
    assert_eq!(site.access("shop"), access(&[("admin", &["max.manager"]), ("view", &["carl"])]));
    // And another default for roles that are not named.
    let table = "role_map: {manager: admin, PROJECT.MEMBER: null, auditor: view}\ndefault_role: view\n";
    assert!(site.pass_with(table).await);
    assert_eq!(site.access("shop"), access(&[("admin", &["max.manager"]), ("view", &["carl", "nora"])]));
}

#[tokio::test]
async fn owners_of_the_organization_get_access_where_the_agent_may_read_them() {
    let site = Site::start().await;
    site.planted("shop");
    site.owners_are_readable();
    assert!(site.pass().await);
    assert_eq!(
        site.access("shop"),
        access(&[("admin", &["olivia.owner"]), ("edit", &["max.manager"]), ("view", &["mia.member"])])
    );
    // Switched off, they lose it again, and nobody asks for them.
    site.sim.reset_traffic();
    assert!(site.pass_with("grant_organization_owners: false\n").await);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    assert!(!site.waldur_requests().iter().any(|request| request.contains("customers")));
}

#[tokio::test]
async fn owners_that_the_agent_may_not_read_are_a_finding_and_no_error() {
    let site = Site::start().await;
    site.planted("shop");
    site.planted("blog");
    let log = Log::start();
    assert!(site.pass().await);
    assert_eq!(log.count("Waldur does not let this agent read the owners"), 1, "{}", log.text());
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    assert!(!log.text().contains("ERROR"), "{}", log.text());
}

#[tokio::test]
async fn several_roles_are_a_union_and_losing_one_keeps_the_other() {
    let site = Site::start().await;
    site.planted("shop");
    let mia = site.user("mia.member");
    site.sim.waldur.add_member(site.project, mia, "PROJECT.MANAGER");
    assert!(site.pass().await);
    let both = [("edit", &["max.manager", "mia.member"][..]), ("view", &["mia.member"])];
    assert_eq!(site.access("shop"), access(&both));
    assert!(site.sim.waldur.remove_member(site.project, mia, "PROJECT.MEMBER"));
    assert!(site.pass().await);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager", "mia.member"])]));
}

#[tokio::test]
async fn a_role_change_grants_before_it_revokes() {
    let site = Site::start().await;
    site.planted("shop");
    site.member("vera", "PROJECT.MEMBER");
    assert!(site.pass().await);
    let uids = ["edit", "view"].map(|role| site.binding("shop", role)["metadata"]["uid"].clone());
    let (mia, max) = (site.user("mia.member"), site.user("max.manager"));
    for (user, from, to) in
        [(mia, "PROJECT.MEMBER", "PROJECT.MANAGER"), (max, "PROJECT.MANAGER", "PROJECT.MEMBER")]
    {
        site.sim.waldur.add_member(site.project, user, to);
        assert!(site.sim.waldur.remove_member(site.project, user, from));
    }
    site.sim.reset_traffic();
    assert!(site.pass().await);
    assert_eq!(site.access("shop"), access(&[("edit", &["mia.member"]), ("view", &["max.manager", "vera"])]));
    // Two swapped their roles: both bindings are widened first and narrowed afterwards, and neither is made anew.
    let paths = site.cluster_writes();
    let bindings: Vec<&str> =
        paths.iter().filter_map(|request| request.strip_prefix("PATCH ")?.rsplit('/').next()).collect();
    let bindings: Vec<&str> = bindings.into_iter().filter(|name| name.starts_with("waldur-users")).collect();
    let (edit, view) = ("waldur-users-edit", "waldur-users-view");
    assert_eq!(bindings, [edit, view, edit, view]);
    assert_eq!(uids, ["edit", "view"].map(|role| site.binding("shop", role)["metadata"]["uid"].clone()));
}

#[tokio::test]
async fn a_role_that_has_ended_gives_nothing() {
    let site = Site::start().await;
    site.planted("shop");
    let project = Scope::Project(site.project);
    let end = Timestamp::now() + SignedDuration::from_hours(1);
    site.sim.waldur.add_role(project, site.user("max.manager"), "PROJECT.MANAGER", Some(end));
    assert!(site.pass().await);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    // The server's clock goes on, and with it the list of those who have a role.
    site.sim.clock.step(SignedDuration::from_hours(2));
    assert!(site.pass().await);
    assert_eq!(site.access("shop"), access(&[("view", &["mia.member"])]));
    // A server whose clock is behind still lists a role that has ended by the agent's.
    site.sim.clock.step(SignedDuration::from_hours(-5));
    let end = Timestamp::now() - SignedDuration::from_hours(1);
    site.sim.waldur.add_role(project, site.user("mia.member"), "PROJECT.MEMBER", Some(end));
    assert!(site.pass().await);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"])]));
}

#[tokio::test]
async fn what_others_have_bound_stays_untouched() {
    let site = Site::start().await;
    let (_, resource) = site.order("Shop", limits());
    assert!(site.once_with(&site.with_members()).await);
    let name = site.backend_id(resource);
    site.somebody_binds(&name, "friends", "edit", "fred");
    site.somebody_binds(&name, "mia-too", "admin", "mia.member");
    let others = || {
        let ours = |binding: &serde_json::Value| {
            binding["metadata"]["name"].as_str().unwrap().starts_with("waldur-users")
        };
        let mut all = site.sim.okd.list("rolebindings", Some(&name));
        all.retain(|binding| !ours(binding));
        all
    };
    let before = others();
    // The requester's own, those of the platform and the two.
    assert!(before.len() >= 3, "{before:#?}");
    for user in ["max.manager", "mia.member"] {
        for role in ["PROJECT.MANAGER", "PROJECT.MEMBER"] {
            site.sim.waldur.remove_member(site.project, site.user(user), role);
        }
    }
    assert!(site.pass().await);
    assert_eq!(site.access(&name), access(&[]));
    assert_eq!(others(), before);
}

#[tokio::test]
async fn a_binding_of_somebody_else_in_the_way_is_left_alone_and_the_others_are_served() {
    let site = Site::start().await;
    site.planted("shop");
    let before = site.somebody_binds("shop", "waldur-users-edit", "edit", "fred");
    let log = Log::start();
    site.pass().await;
    assert_eq!(site.sim.okd.get("rolebindings", "shop", "waldur-users-edit").unwrap(), before);
    assert_eq!(site.access("shop"), access(&[("view", &["mia.member"])]));
    log.has("does not carry this agent's labels");
}

#[tokio::test]
async fn restricted_access_leaves_the_accounts_and_nothing_flaps() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    let service = site.sim.waldur.add_service_account(site.project, "svc-web");
    site.sim.waldur.add_course_account(site.project, "course-1");
    assert!(site.pass().await);
    let everybody = [("edit", &["course-1", "max.manager", "svc-web"][..]), ("view", &["mia.member"])];
    assert_eq!(site.access("shop"), access(&everybody));
    site.sim.reset_traffic();
    assert!(site.pass().await);
    assert_eq!((site.cluster_writes(), site.waldur_writes()), (vec![], vec![]));
    site.sim.waldur.set_flags(resource, false, false, true);
    assert!(site.pass().await);
    assert_eq!(site.access("shop"), access(&[("edit", &["course-1", "svc-web"])]));
    site.sim.waldur.close_service_account(service);
    assert!(site.pass().await);
    assert_eq!(site.access("shop"), access(&[("edit", &["course-1"])]));
    site.sim.waldur.set_flags(resource, false, false, false);
    assert!(site.pass().await);
    assert_eq!(
        site.access("shop"),
        access(&[("edit", &["course-1", "max.manager"]), ("view", &["mia.member"])])
    );
}

#[tokio::test]
async fn the_documented_role_is_enough_in_projects_that_the_agent_has_requested() {
    let site = Site::with(simulator::simulation::SimulationOptions {
        agent_rules: simulator::okd::documented_agent_rules(),
        ..options()
    })
    .await;
    let (_, resource) = site.order("Shop", limits());
    assert!(site.once_with(&site.with_members()).await);
    let name = site.backend_id(resource);
    let mia = site.user("mia.member");
    site.sim.waldur.add_member(site.project, mia, "PROJECT.OWNER");
    assert!(site.sim.waldur.remove_member(site.project, mia, "PROJECT.MEMBER"));
    site.sim.waldur.set_limits(resource, json!({"cpu": 6}));
    assert!(site.pass().await);
    assert_eq!(site.access(&name), access(&[("admin", &["mia.member"]), ("edit", &["max.manager"])]));
    assert_eq!(site.hard(&name)["requests.cpu"], "6");
    site.sim.reset_traffic();
    assert!(site.pass().await);
    assert_eq!(site.cluster_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn only_owners_of_the_organization_count_as_owners() {
    let site = Site::start().await;
    site.planted("shop");
    site.owners_are_readable();
    let sam = site.sim.waldur.add_user(&simulator::waldur::SeedUser::new("sam.support", "sam-token"));
    let acme = Scope::Customer(site.sim.waldur.customer("acme").unwrap());
    site.sim.waldur.add_role(acme, sam, "CUSTOMER.SUPPORT", None);
    site.sim.waldur.add_offering_user(site.offering, sam, "sam.support");
    assert!(site.pass().await);
    assert_eq!(site.access("shop")["admin"], ["olivia.owner"]);
}
