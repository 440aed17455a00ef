//! Long lists, page by page: each page is of the list as it is when it is asked for.

use jiff::{SignedDuration, Timestamp};
use simulator::clock::Clock;
use simulator::waldur::{ResourceState, Scope, Seed, SeedProject, SeedResource, SeedUser, WaldurOptions};
use uuid::Uuid;

use crate::waldur_support::{Caller, Served};

/// More than a page.
const MANY: usize = 310;

struct Lists {
    clock: Clock,
    served: Served,
    agent: Caller,
    offering: Uuid,
    project: Uuid,
    members: Vec<Uuid>,
}

impl Lists {
    /// A project with many resources and many members.
    async fn new() -> Self {
        let clock = Clock::new();
        let served = Served::new(WaldurOptions { clock: clock.clone(), ..WaldurOptions::default() }).await;
        served.waldur.load(&Seed::demo()).unwrap();
        let (offering, project) =
            (served.waldur.offering("okd-projects").unwrap(), served.waldur.project("web").unwrap());
        for number in 0..MANY {
            let resource = SeedResource { name: format!("site {number}"), ..SeedResource::default() };
            served.waldur.add_resource(offering, project, &resource, ResourceState::Ok);
        }
        let agent = served.caller("agent-token");
        let mut lists = Self { clock, served, agent, offering, project, members: Vec::new() };
        lists.members = (0..MANY).map(|number| lists.joins(&format!("member{number}"), None)).collect();
        lists
    }

    fn joins(&self, name: &str, until: Option<Timestamp>) -> Uuid {
        let user = self.served.waldur.add_user(&SeedUser::new(name, &format!("{name}-token")));
        self.served.waldur.add_role(Scope::Project(self.project), user, "PROJECT.MEMBER", until);
        user
    }

    /// Length of a list as its second page tells it, and the length of that page.
    async fn second(&self, list: &str) -> (usize, usize) {
        let page = self.agent.get(&format!("{list}page_size=300&page=2&field=uuid&field=user_uuid")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        (page.count.unwrap(), page.json.as_array().unwrap().len())
    }

    async fn roles(&self) -> (usize, usize) {
        let providers = self.agent.get("/api/marketplace-service-providers/").await;
        let provider = providers.json[0]["uuid"].as_str().unwrap();
        self.second(&format!("/api/marketplace-service-providers/{provider}/project_permissions/?")).await
    }

    async fn accounts(&self) -> (usize, usize) {
        self.second(&format!("/api/marketplace-offering-users/?offering_uuid={}&", self.offering)).await
    }

    async fn running(&self) -> (usize, usize) {
        let list = "/api/marketplace-provider-resources/?state=OK&paused=false&";
        self.second(&format!("{list}offering_uuid={}&", self.offering)).await
    }
}

#[tokio::test]
async fn who_comes_and_goes_between_two_pages_shows_on_the_second() {
    let lists = Lists::new().await;
    let waldur = &lists.served.waldur;
    // Two of the demo's people have roles here as well.
    assert_eq!(lists.roles().await, (MANY + 2, 12));
    assert_eq!(lists.roles().await, (MANY + 2, 12));
    assert!(waldur.remove_member(lists.project, lists.members[0], "PROJECT.MEMBER"));
    assert_eq!(lists.roles().await, (MANY + 1, 11));
    lists.joins("newcomer", None);
    assert_eq!(lists.roles().await, (MANY + 2, 12));
    // Another project has used the provider from its first resource on.
    let customer = SeedProject { name: "Blog".to_owned(), slug: "blog".to_owned(), ..SeedProject::default() };
    let blog = waldur.add_project(waldur.customer("acme").unwrap(), &customer);
    waldur.add_member(blog, lists.members[1], "PROJECT.MEMBER");
    assert_eq!(lists.roles().await, (MANY + 2, 12));
    waldur.add_resource(lists.offering, blog, &SeedResource::default(), ResourceState::Ok);
    assert_eq!(lists.roles().await, (MANY + 3, 13));
}

#[tokio::test]
async fn a_role_ends_at_its_time_and_is_back_when_the_clock_is() {
    let lists = Lists::new().await;
    let hour = SignedDuration::from_hours(1);
    lists.joins("guest", Some(lists.clock.now() + hour));
    assert_eq!(lists.roles().await, (MANY + 3, 13));
    lists.clock.step(2 * hour);
    assert_eq!(lists.roles().await, (MANY + 2, 12));
    lists.clock.step(-2 * hour);
    assert_eq!(lists.roles().await, (MANY + 3, 13));
}

#[tokio::test]
async fn accounts_and_resources_are_those_of_the_moment() {
    let lists = Lists::new().await;
    let waldur = &lists.served.waldur;
    let (accounts, _) = lists.accounts().await;
    lists.joins("newcomer", None);
    assert_eq!(lists.accounts().await.0, accounts + 1);
    assert_eq!(lists.running().await, (MANY, 10));
    let blog = SeedResource { name: "blog".to_owned(), ..SeedResource::default() };
    let blog = waldur.add_resource(lists.offering, lists.project, &blog, ResourceState::Ok);
    assert_eq!(lists.running().await, (MANY + 1, 11));
    waldur.set_flags(blog, true, false, false);
    assert_eq!(lists.running().await, (MANY, 10));
}

#[tokio::test]
async fn what_one_caller_sees_is_not_shown_to_another() {
    let lists = Lists::new().await;
    assert_eq!(lists.running().await.0, MANY);
    let list = format!(
        "/api/marketplace-provider-resources/?state=OK&paused=false&offering_uuid={}",
        lists.offering
    );
    let stranger = lists.served.caller("member1-token").get(&list).await;
    assert_eq!((stranger.status, stranger.count), (200, Some(0)));
}
