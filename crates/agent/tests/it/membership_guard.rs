//! What looks like an accident takes nobody's access: incomplete answers, and too much at once.

use std::sync::Arc;
use std::time::Duration;

use agent::engine::{Engine, EngineOptions};
use agent::settings::{Environment, Mode, Strictness, check_text};
use agent::setup;
use serde_json::json;
use simulator::faults::{Fault, PathMatch, Rule, When};
use simulator::traffic::Traffic;
use simulator::waldur::{ResourceState, SeedOffering, SeedResource};
use uuid::Uuid;

use crate::members::{Keeping, Log, access, keeper, keeper_with, pass};
use crate::site::{Config, Site, within};

const PERMISSIONS: &str = "/api/marketplace-service-providers/*/project_permissions/";

impl Site {
    /// So many members of a project in the role that gives `view`.
    fn crowd(&self, project: Uuid, size: usize) -> Vec<Uuid> {
        (0..size)
            .map(|number| {
                self.member_of(project, &format!("user{number:03}-{}", project.simple()), "PROJECT.MEMBER")
            })
            .collect()
    }

    fn take_all(&self, project: Uuid, users: &[Uuid]) {
        for user in users {
            assert!(self.sim.waldur.remove_member(project, *user, "PROJECT.MEMBER"));
        }
    }
}

#[tokio::test]
async fn too_many_at_once_are_held_shown_and_let_go_by_the_second_pass() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    let project = site.project;
    let crowd = site.crowd(project, 6);
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    assert_eq!(site.access("shop")["view"].len(), 7);
    site.take_all(project, &crowd);
    site.member("nina", "PROJECT.MANAGER");
    let log = Log::start();
    assert!(pass(&engine).await);
    // Nobody is let out, somebody is let in, and it is said who it is about.
    assert_eq!(site.access("shop")["view"].len(), 7);
    assert_eq!(site.access("shop")["edit"], ["max.manager", "nina"]);
    log.has("6 of 8 users would lose access at once; held back until the next pass confirms it: user000-");
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
    assert!(pass(&engine).await);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager", "nina"]), ("view", &["mia.member"])]));
}

#[tokio::test]
async fn a_team_that_was_empty_for_a_moment_loses_nobody() {
    let site = Site::start().await;
    site.planted("shop");
    let crowd = site.crowd(site.project, 5);
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    let before = site.access("shop");
    let roles = [("max.manager", "PROJECT.MANAGER"), ("mia.member", "PROJECT.MEMBER")];
    site.take_all(site.project, &crowd);
    for (name, role) in roles {
        assert!(site.sim.waldur.remove_member(site.project, site.user(name), role));
    }
    assert!(pass(&engine).await);
    assert_eq!(site.access("shop"), before);
    for user in &crowd {
        site.sim.waldur.add_member(site.project, *user, "PROJECT.MEMBER");
    }
    for (name, role) in roles {
        site.sim.waldur.add_member(site.project, site.user(name), role);
    }
    assert!(pass(&engine).await);
    assert_eq!(site.access("shop"), before);
    // The confirmation was for what was held back then: the same again is held back again.
    site.take_all(site.project, &crowd);
    assert!(pass(&engine).await);
    assert_eq!(site.access("shop"), before);
}

#[tokio::test]
async fn four_users_or_half_of_them_go_at_once() {
    let site = Site::start().await;
    site.planted("shop");
    let few = site.crowd(site.project, 4);
    assert!(site.pass().await);
    site.take_all(site.project, &few);
    assert!(site.pass().await);
    assert_eq!(site.access("shop")["view"], ["mia.member"]);
    let half: Vec<Uuid> = (0..8).map(|number| site.member(&format!("h{number}"), "PROJECT.MEMBER")).collect();
    assert!(site.pass().await);
    // Five of ten are not more than half.
    site.take_all(site.project, &half[..5]);
    assert!(site.pass().await);
    assert_eq!(site.access("shop")["view"].len(), 4);
}

#[tokio::test]
async fn with_force_they_go_at_once() {
    let site = Site::start().await;
    site.planted("shop");
    let crowd = site.crowd(site.project, 6);
    assert!(site.pass().await);
    site.take_all(site.project, &crowd);
    let options = EngineOptions { force_removal: true, ..EngineOptions::default() };
    assert!(pass(&keeper_with(&site.with_members(), options)).await);
    assert_eq!(site.access("shop")["view"], ["mia.member"]);
}

#[tokio::test]
async fn the_share_can_be_configured() {
    let site = Site::start().await;
    site.planted("shop");
    let crowd = site.crowd(site.project, 5);
    assert!(site.pass().await);
    site.take_all(site.project, &crowd);
    assert!(site.pass_with("removal_guard: 90%\n").await);
    assert_eq!(site.access("shop")["view"], ["mia.member"]);
}

#[tokio::test]
async fn a_little_in_many_projects_is_held_by_the_pass_as_a_whole() {
    let site = Site::start().await;
    let projects: Vec<(Uuid, Vec<Uuid>)> = (0..4)
        .map(|number| {
            let project = site.another_project(&format!("p{number}"));
            site.planted_in(project, &format!("ns{number}"));
            (project, site.crowd(project, 2))
        })
        .collect();
    let engine = keeper(&site.with_members());
    assert!(pass(&engine).await);
    for (project, crowd) in &projects {
        site.take_all(*project, crowd);
    }
    let all = || (0..4).map(|number| site.access(&format!("ns{number}")).len()).sum::<usize>();
    let log = Log::start();
    assert!(pass(&engine).await);
    assert_eq!(all(), 4);
    log.has("this pass would take access from too many at once");
    assert!(pass(&engine).await);
    assert_eq!(all(), 0);
}

/// Two offerings in one file, with the same cluster; members of the second may edit.
fn two_offerings(config: &Config, offerings: [Uuid; 2]) -> Arc<Engine> {
    let one = config.clone().with_members();
    let two = one.clone().with_backend("role_map: {member: edit}\n");
    let offering = |config: &Config, uuid: Uuid| {
        let text = Config { offering: uuid.simple().to_string(), ..config.clone() }.text();
        let text = text.lines().filter(|line| !line.is_empty());
        let text: String = text.map(|line| format!("    {line}\n")).collect();
        let works = ["order_processing_backend", "membership_sync_backend"];
        let works: String = works.iter().map(|work| format!("    {work}: okd\n")).collect();
        format!("  - name: '{}'\n{works}{text}", uuid.simple())
    };
    let text = format!("offerings:\n{}{}", offering(&one, offerings[0]), offering(&two, offerings[1]));
    agent::install_crypto();
    let loaded = check_text("config.yaml", &text, &Environment::process(), Strictness::Strict);
    let settings = loaded.unwrap_or_else(|report| panic!("{report}\n{text}")).settings;
    setup::engine(&settings, Mode::MembershipSync, EngineOptions::default()).unwrap()
}

/// A resource of another offering of the same provider.
fn second_offering(site: &Site) -> (Uuid, Uuid) {
    let provider = site.sim.waldur.customer("cloud-provider").unwrap();
    let second = site.sim.waldur.add_offering(provider, &SeedOffering::okd("Two", "two", "cloud-provider"));
    let seed = SeedResource {
        name: "blog".to_owned(),
        backend_id: "blog".to_owned(),
        limits: json!({"cpu": 1}).as_object().unwrap().clone(),
        ..SeedResource::default()
    };
    let blog = site.sim.waldur.add_resource(second, site.project, &seed, ResourceState::Ok);
    site.label("blog", blog);
    (second, blog)
}

#[tokio::test]
async fn two_offerings_count_their_passes_apart() {
    let site = Site::start().await;
    site.planted("shop");
    let (second, _) = second_offering(&site);
    let crowd = site.crowd(site.project, 6);
    let engine = two_offerings(&site.config(), [site.offering, second]);
    let sizes = || (site.access("shop")["view"].len(), site.access("blog")["edit"].len());
    assert!(pass(&engine).await);
    assert_eq!(sizes(), (7, 8));
    site.take_all(site.project, &crowd);
    assert!(pass(&engine).await);
    assert_eq!(sizes(), (7, 8));
    assert!(pass(&engine).await);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    assert_eq!(site.access("blog"), access(&[("edit", &["max.manager", "mia.member"])]));
}

#[tokio::test]
async fn what_the_cluster_tells_of_another_offering_is_left_to_that() {
    let site = Site::start().await;
    site.planted("shop");
    let (second, blog) = second_offering(&site);
    let agent =
        Keeping::start(two_offerings(&site.config(), [site.offering, second]), Duration::from_secs(300));
    let (waldur, okd) = (&site.sim.waldur_server.traffic, &site.sim.okd_server.traffic);
    site.watched(8).await;
    let kept = "/api/marketplace-provider-resources/{}/refresh_last_sync/";
    within("both resources are kept", waldur.wait_for(|traffic| traffic.count("POST", kept) >= 2)).await;
    waldur.reset();
    assert!(site.sim.okd.delete("rolebindings", "blog", "waldur-users-edit"));
    // Both offerings see it, and ask Waldur whose it is.
    let path = format!("/api/marketplace-provider-resources/{}/", blog.simple());
    let asked = |traffic: &Traffic| {
        traffic.requests().iter().filter(|request| request.method == "GET" && request.path == path).count()
            >= 2
    };
    within("both ask", waldur.wait_for(asked)).await;
    let back = |_: &Traffic| site.sim.okd.get("rolebindings", "blog", "waldur-users-edit").is_some();
    within("the binding is back", okd.wait_for(back)).await;
    agent.stop().await;
    assert_eq!(site.access("blog"), access(&[("edit", &["max.manager", "mia.member"])]));
}

#[tokio::test]
async fn half_an_answer_takes_nobodys_access() {
    let faults = [Fault::TruncatedBody, Fault::Status(500), Fault::Html(200), Fault::ResetAfter];
    let paths = [
        PERMISSIONS,
        "/api/marketplace-offering-users/",
        "/api/marketplace-provider-resources/",
        "/api/marketplace-provider-offerings/*/list_project_service_accounts/",
    ];
    let cases = faults.iter().flat_map(|fault| paths.map(|path| half_an_answer(fault, path)));
    futures::future::join_all(cases).await;
}

async fn half_an_answer(fault: &Fault, path: &str) {
    let site = Site::start().await;
    site.planted("shop");
    site.sim.waldur.add_service_account(site.project, "svc");
    let mia = site.user("mia.member");
    assert!(site.pass().await);
    let before = site.access("shop");
    assert!(site.sim.waldur.remove_member(site.project, mia, "PROJECT.MEMBER"));
    site.sim.waldur_server.faults.add(Rule::path(path, fault.clone()));
    assert!(!site.pass().await, "{fault:?} {path}");
    assert_eq!(site.access("shop"), before, "{fault:?} {path}");
    site.sim.waldur_server.faults.clear();
    assert!(site.pass().await);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager", "svc"])]), "{fault:?} {path}");
}

#[tokio::test]
async fn a_second_page_that_fails_takes_nobodys_access() {
    let site = Site::start().await;
    site.planted("shop");
    // Two pages of roles and of accounts.
    site.crowd(site.project, 310);
    assert!(site.pass().await);
    let before = site.access("shop");
    assert_eq!(before["view"].len(), 311);
    for path in [PERMISSIONS, "/api/marketplace-offering-users/"] {
        // Every request but the first page.
        let rules: Vec<_> = (2..=8)
            .map(|number| {
                let rule = Rule::path(path, Fault::Status(500)).when(When::Nth(number));
                site.sim.waldur_server.faults.add(rule)
            })
            .collect();
        assert!(!site.pass().await, "{path}");
        assert!(rules.iter().any(|rule| site.sim.waldur_server.faults.struck(*rule) > 0));
        assert_eq!(site.access("shop"), before, "{path}");
        site.sim.waldur_server.faults.clear();
    }
}

#[tokio::test]
async fn the_pages_of_a_long_list_do_not_wait_for_one_another() {
    let site = Site::start().await;
    site.planted("shop");
    site.crowd(site.project, 1250);
    // Whichever comes second is never answered; five pages are asked for all the same.
    let rule = Rule::path(PERMISSIONS, Fault::Stall).when(When::Nth(2));
    site.sim.waldur_server.faults.add(rule);
    let asked = site.sim.waldur_server.traffic.wait_for(|traffic| {
        let requests = traffic.requests();
        let pages = requests.iter().filter(|request| request.path.ends_with("/project_permissions/"));
        pages.count() >= 5
    });
    let pass = async {
        tokio::select! {
            () = asked => {}
            _ = site.pass() => panic!("the pass has ended without a page"),
        }
    };
    within("all pages are asked for", pass).await;
    assert!(site.access("shop").is_empty());
}

#[tokio::test]
async fn a_list_that_shifts_while_it_is_read_loses_nobody() {
    let site = Arc::new(Site::start().await);
    site.planted("shop");
    let crowd = site.crowd(site.project, 310);
    assert!(site.pass().await);
    let mut expected = site.access("shop");
    assert_eq!(expected["view"].len(), 311);
    expected.get_mut("view").unwrap().retain(|name| !name.starts_with("user000"));
    // Between the pages somebody on the first one leaves, and who was first on the second one is now on the first.
    let rule = Rule { path: PathMatch::Glob(PERMISSIONS.to_owned()), ..Rule::all(Fault::Status(503)) };
    let failed = site.sim.waldur_server.faults.add(rule.when(When::Nth(2)));
    let shifting = async {
        let traffic = site.sim.waldur_server.traffic.clone();
        traffic.wait_for(|_| site.sim.waldur_server.faults.struck(failed) > 0).await;
        site.take_all(site.project, &crowd[..1]);
    };
    let ((), passed) = within("the pass ends", async { tokio::join!(shifting, site.pass()) }).await;
    assert!(passed);
    assert_eq!(site.access("shop"), expected);
}
