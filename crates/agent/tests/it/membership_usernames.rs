//! Who is called what on the cluster: offering users, their states, and who makes their names.

use serde_json::{Value, json};
use simulator::faults::{Fault, Rule};
use simulator::waldur::SeedUser;
use uuid::Uuid;

use crate::members::{Log, access};
use crate::site::{Site, options};

impl Site {
    fn policy(&self, policy: &str) {
        self.sim.waldur.set_plugin_option(self.offering, "username_generation_policy", json!(policy));
    }

    /// State and username of a user's account.
    fn account(&self, user: Uuid) -> (String, String) {
        let users = self.sim.waldur.offering_users(self.offering);
        let account = users.iter().find(|account| account["user_uuid"] == user.simple().to_string()).unwrap();
        let text = |field: &str| account[field].as_str().unwrap().to_owned();
        (text("state"), text("username"))
    }

    /// Lets an account take a step as another agent would.
    async fn account_step(&self, user: Uuid, action: &str) {
        let users = self.sim.waldur.offering_users(self.offering);
        let account = users.iter().find(|account| account["user_uuid"] == user.simple().to_string()).unwrap();
        let id = account["uuid"].as_str().unwrap();
        let url = format!("{}/api/marketplace-offering-users/{id}/{action}/", self.sim.waldur_server.url);
        let request = reqwest::Client::new().post(url).header("authorization", "Token staff-token");
        let body = json!({"comment": "please sign in once", "is_restricted": true}).to_string();
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{action}: {}", answer.status());
    }
}

#[tokio::test]
async fn usernames_that_are_the_providers_task_are_given_and_bound_in_the_same_pass() {
    let site = Site::start().await;
    site.policy("service_provider");
    site.planted("shop");
    let twin = SeedUser { username: "MIA.Member".to_owned(), ..SeedUser::new("x", "twin-token") };
    let twin = site.sim.waldur.add_user(&twin);
    site.sim.waldur.add_member(site.project, twin, "PROJECT.MEMBER");
    let broken = site.member("bruno", "PROJECT.MEMBER");
    let slow = site.member("sara", "PROJECT.MEMBER");
    site.account_step(broken, "set_error_creating").await;
    site.account_step(slow, "begin_creating").await;
    assert_eq!(site.account(site.user("mia.member")), ("Requested".to_owned(), String::new()));
    assert!(site.pass().await);
    let bound = site.access("shop");
    assert_eq!(bound["edit"], ["max.manager"]);
    // Two whose names differ in case alone do not share an account.
    assert_eq!(bound["view"].len(), 4, "{bound:?}");
    for name in ["bruno", "mia.member", "mia.member-2", "sara"] {
        assert!(bound["view"].contains(&name.to_owned()), "{bound:?}");
    }
    for user in [broken, slow, twin, site.user("mia.member")] {
        assert_eq!(site.account(user).0, "OK");
    }
    // Names that were given stay.
    let before = (site.account(twin), site.account(broken));
    site.sim.reset_traffic();
    assert!(site.pass().await);
    assert_eq!((site.account(twin), site.account(broken)), before);
    assert_eq!((site.waldur_writes(), site.cluster_writes()), (vec![], vec![]));
}

#[tokio::test]
async fn usernames_are_made_of_what_is_configured() {
    let site = Site::start().await;
    site.policy("service_provider");
    site.planted("shop");
    assert!(site.pass_with("usernames: {attribute: email}\n").await);
    assert_eq!(site.access("shop")["view"], ["mia.member@example.org"]);
}

#[tokio::test]
async fn a_username_that_waldur_refuses_costs_only_its_user() {
    let site = Site::start().await;
    site.policy("service_provider");
    site.planted("shop");
    let users = site.sim.waldur.offering_users(site.offering);
    let mia = site.user("mia.member").simple().to_string();
    let account = users.iter().find(|account| account["user_uuid"] == mia).unwrap();
    let account = Uuid::parse_str(account["uuid"].as_str().unwrap()).unwrap();
    let path = format!("/api/marketplace-offering-users/{}/", account.simple());
    site.sim.waldur_server.faults.add(Rule::path(&path, Fault::Status(400)));
    let log = Log::start();
    assert!(site.pass().await);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"])]));
    log.has("Waldur does not take the username");
    log.has("member `mia.member` has no access");
}

#[tokio::test]
async fn names_that_waldur_makes_are_taken_as_they_are() {
    for (policy, name) in [
        ("waldur_username", "mia.member"),
        ("identity_claim", "mia.member"),
        ("freeipa", "mia.member"),
        ("full_name", "mia_member"),
        ("anonymized", "walduruser_00001"),
    ] {
        let site = Site::start().await;
        site.policy(policy);
        site.planted("shop");
        assert!(site.pass().await);
        assert_eq!(site.access("shop")["view"], [name], "{policy}");
        let writes = site.waldur_writes();
        assert!(!writes.iter().any(|write| write.contains("offering-users")), "{policy}: {writes:?}");
    }
}

#[tokio::test]
async fn without_the_right_to_name_users_the_agent_names_nobody() {
    let mut options = options();
    let offering = &mut options.seed.offerings[0];
    offering.secret_options.clear();
    offering.plugin_options.insert("service_provider_can_create_offering_user".to_owned(), json!(false));
    offering.plugin_options.insert("username_generation_policy".to_owned(), json!("service_provider"));
    let site = Site::with(options).await;
    site.planted("shop");
    let mia = site.user("mia.member");
    site.sim.waldur.add_offering_user(site.offering, mia, "");
    let log = Log::start();
    assert!(site.pass().await);
    assert_eq!(site.account(mia), ("Requested".to_owned(), String::new()));
    assert_eq!(site.access("shop"), access(&[]));
    log.has("member `max.manager` has no access: no username in this offering yet");
}

#[tokio::test]
async fn members_whose_account_does_not_allow_access_are_reported_and_lose_it() {
    let site = Site::start().await;
    site.sim.waldur.set_plugin_option(site.offering, "enable_membership_sync_status", json!(true));
    let resource = site.planted("shop");
    let (leaving, linking, locked) = (
        site.member("leo", "PROJECT.MEMBER"),
        site.member("lina", "PROJECT.MEMBER"),
        site.member("lars", "PROJECT.MEMBER"),
    );
    assert!(site.pass().await);
    assert_eq!(site.access("shop")["view"], ["lars", "leo", "lina", "mia.member"]);
    site.account_step(leaving, "request_deletion").await;
    site.account_step(linking, "request_deletion").await;
    site.account_step(linking, "set_deleting").await;
    site.account_step(locked, "update_restricted").await;
    let log = Log::start();
    assert!(site.pass().await);
    assert_eq!(site.access("shop")["view"], ["mia.member"]);
    log.has("member `leo` has no access: the account in this offering is in state `Requested deletion`");
    log.has("member `lina` has no access: the account in this offering is in state `Deleting`");
    log.has("member `lars` has no access: the account in this offering is in state `restricted`");
    let statuses = site.sim.waldur.membership_sync_statuses(resource);
    let failed: Vec<&Value> = statuses.iter().filter(|status| status["state"] == "error").collect();
    assert_eq!(failed.len(), 3, "{statuses:#?}");
}

#[tokio::test]
async fn both_ways_to_read_a_team_give_the_same_answer() {
    let mut answers = Vec::new();
    for by_team in [false, true] {
        let site = Site::start().await;
        site.planted("shop");
        site.owners_are_readable();
        let other = site.another_project("blog");
        site.planted_in(other, "blog");
        site.member_of(other, "bob", "PROJECT.MANAGER");
        site.member("carl", "PROJECT.AUDITOR");
        let locked = site.member("lars", "PROJECT.MEMBER");
        let leaving = site.member("leo", "PROJECT.MEMBER");
        let unnamed = site.member("una", "PROJECT.MEMBER");
        site.account_step(locked, "update_restricted").await;
        site.account_step(leaving, "request_deletion").await;
        site.sim.waldur.add_offering_user(site.offering, unnamed, "");
        let twin = site.member("twin", "PROJECT.MEMBER");
        site.sim.waldur.add_offering_user(site.offering, twin, "mia.member");
        if by_team {
            let refused =
                Rule::path("/api/marketplace-service-providers/*/project_permissions/", Fault::Status(403));
            site.sim.waldur_server.faults.add(refused);
        }
        let log = Log::start();
        assert!(site.pass().await);
        let asked_teams = site.waldur_requests().iter().any(|request| request.ends_with("team/"));
        assert_eq!(asked_teams, by_team);
        let mut said: Vec<String> =
            log.text().lines().filter_map(|line| Some(line[line.find("member `")?..].to_owned())).collect();
        said.sort();
        answers.push((site.access("shop"), site.access("blog"), said));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0["view"], ["mia.member"]);
    assert_eq!(answers[0].0["edit"], ["carl", "max.manager"]);
    assert_eq!(answers[0].2.len(), 4, "{:#?}", answers[0].2);
}

#[tokio::test]
async fn two_users_of_one_name_and_one_without_a_name_leave_all_others_served() {
    let site = Site::start().await;
    site.planted("shop");
    let twin = site.member("twin", "PROJECT.MANAGER");
    site.sim.waldur.add_offering_user(site.offering, twin, "mia.member");
    let unnamed = site.member("una", "PROJECT.MEMBER");
    site.sim.waldur.add_offering_user(site.offering, unnamed, "");
    let evil = site.member("evil", "PROJECT.MEMBER");
    site.sim.waldur.add_offering_user(site.offering, evil, "system:masters");
    let log = Log::start();
    assert!(site.pass().await);
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    log.has("member `twin` has no access: another member already has the username `mia.member`");
    log.has("member `una` has no access: the account in this offering is in state `Requested`");
    log.has("member `evil` has no access: `system:masters` is a name that belongs to the cluster");
    assert!(!log.text().contains("ERROR"), "{}", log.text());
}
