//! What tests and demonstrations do beside HTTP: malformed rows, forced states, expiry, and listening.

use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::clock::Clock;
use simulator::waldur::{
    CreateOrder, Generation, OrderState, ResourceState, Scope, Seed, SeedResource, SeedUser, Waldur,
    WaldurOptions,
};
use uuid::Uuid;

use crate::waldur_support::Served;

struct Demo {
    served: Served,
    clock: Clock,
    offering: Uuid,
    project: Uuid,
    owner: Uuid,
}

async fn demo() -> Demo {
    let clock = Clock::new();
    let served = Served::new(WaldurOptions { clock: clock.clone(), ..WaldurOptions::default() }).await;
    served.waldur.load(&Seed::demo()).unwrap();
    let waldur = &served.waldur;
    let (offering, project) = (waldur.offering("okd-projects").unwrap(), waldur.project("web").unwrap());
    let owner = waldur.user("olivia.owner").unwrap();
    Demo { served, clock, offering, project, owner }
}

impl Demo {
    fn order(&self, limits: Value) -> (Uuid, Uuid) {
        let (offering, project, user) = (self.offering, self.project, self.owner);
        let order = CreateOrder { offering, project, user, name: "shop".to_owned(), limits };
        self.served.waldur.place_create_order(order)
    }

    fn resource(&self) -> Uuid {
        let seed = SeedResource { name: "shop".into(), backend_id: "ns".into(), ..SeedResource::default() };
        self.served.waldur.add_resource(self.offering, self.project, &seed, ResourceState::Ok)
    }

    async fn shown(&self, resource: Uuid) -> Value {
        let path = format!("/api/marketplace-provider-resources/{resource}/");
        self.served.caller("agent-token").get(&path).await.json
    }
}

#[tokio::test]
async fn rows_can_be_malformed() {
    let demo = demo().await;
    let (waldur, resource) = (&demo.served.waldur, demo.resource());
    for limits in [json!(null), json!({ "cpu": 1.5 }), json!({ "cpu": -1, "gpu": 9e15 }), json!([])] {
        waldur.set_limits(resource, limits.clone());
        assert_eq!(demo.shown(resource).await["limits"], limits);
    }
    for slug in ["", "UPPER_case", "9lives", "openshift-config", &"x".repeat(300)] {
        waldur.set_slug(resource, slug);
        waldur.set_project_slug(demo.project, slug);
        let shown = demo.shown(resource).await;
        assert_eq!((&shown["slug"], &shown["project_slug"]), (&json!(slug), &json!(slug)));
    }
    waldur.override_resource(resource, "limits", None);
    waldur.override_resource(resource, "state", Some(json!("Frozen")));
    let shown = demo.shown(resource).await;
    assert!(shown.get("limits").is_none());
    assert_eq!(shown["state"], "Frozen");
    let (order, _) = demo.order(json!({ "cpu": "many" }));
    assert_eq!(waldur.order(order).unwrap()["limits"], json!({ "cpu": "many" }));
    waldur.override_order(order, "plan_uuid", None);
    assert!(waldur.order(order).unwrap().get("plan_uuid").is_none());
}

#[tokio::test]
async fn orders_and_resources_are_forced_and_deleted() {
    let demo = demo().await;
    let waldur = &demo.served.waldur;
    let (order, resource) = demo.order(json!({ "cpu": 1 }));
    for state in OrderState::ALL {
        waldur.force_order(order, *state);
        assert_eq!(waldur.order_state(order), Some(*state));
    }
    waldur.force_resource(resource, ResourceState::Terminated);
    assert_eq!(demo.shown(resource).await["state"], "Terminated");
    assert!(waldur.delete_resource(resource));
    assert!(!waldur.delete_resource(resource));
    assert_eq!(demo.shown(resource).await["detail"], "No Resource matches the given query.");
    assert_eq!(waldur.order(order), None);
}

#[tokio::test]
async fn changes_are_told_once_and_in_their_order() {
    let demo = demo().await;
    let mut events = demo.served.waldur.events();
    let agent = demo.served.caller("agent-token");
    let (order, resource) = demo.order(json!({ "cpu": 1 }));
    agent.order_action(&order.to_string(), "approve_by_provider").await;
    agent.order_action(&order.to_string(), "set_state_done").await;
    let erin = demo.served.waldur.add_user(&SeedUser::new("erin", "erin-token"));
    demo.served.waldur.add_member(demo.project, erin, "PROJECT.MEMBER");
    demo.served.waldur.set_flags(resource, true, false, false);
    demo.served.waldur.remove_member(demo.project, erin, "PROJECT.MEMBER");
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        assert_eq!(event.body["object_type"], event.object_type);
        assert_eq!(event.body["offering_uuid"], demo.offering.simple().to_string());
        let detail = ["order_state", "action", "granted", "paused"].map(|field| &event.body[field]);
        told.push(format!("{} {}", event.object_type, detail.into_iter().find(|v| !v.is_null()).unwrap()));
    }
    let expected = [
        r#"order "pending-provider""#,
        r#"order "executing""#,
        r#"order "done""#,
        r#"offering_user "create""#,
        r#"offering_user "create""#,
        "user_role true",
        r#"offering_user "create""#,
        "resource true",
        "user_role false",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn roles_end_by_the_clock() {
    let demo = demo().await;
    let resource = demo.resource();
    let erin = demo.served.waldur.add_user(&SeedUser::new("erin", "erin-token"));
    let end = demo.clock.now() + SignedDuration::from_hours(1);
    demo.served.waldur.add_role(Scope::Project(demo.project), erin, "PROJECT.MEMBER", Some(end));
    let team = || async {
        let path = format!("/api/marketplace-provider-resources/{resource}/team/");
        demo.served.caller("agent-token").get(&path).await.json.as_array().unwrap().len()
    };
    assert_eq!(team().await, 3);
    demo.clock.step(SignedDuration::from_hours(2));
    assert_eq!(team().await, 2);
}

#[tokio::test]
async fn tokens_expire_when_they_are_not_used() {
    let demo = demo().await;
    let seed = SeedUser { token_lifetime: Some(600), ..SeedUser::new("brief", "brief-token") };
    let brief = demo.served.waldur.add_user(&seed);
    let caller = demo.served.caller("brief-token");
    demo.clock.step(SignedDuration::from_secs(500));
    assert_eq!(caller.get("/api/users/me/").await.status, 200);
    demo.clock.step(SignedDuration::from_secs(500));
    assert_eq!(caller.get("/api/users/me/").await.status, 200);
    demo.clock.step(SignedDuration::from_secs(601));
    let late = caller.get("/api/users/me/").await;
    assert_eq!((late.status, late.str("detail")), (401, "Token has expired."));
    demo.served.waldur.set_token(brief, "new-token");
    assert_eq!(demo.served.caller("new-token").get("/api/users/me/").await.status, 200);
    assert_eq!(caller.get("/api/users/me/").await.str("detail"), "Invalid token.");
}

#[tokio::test]
async fn a_resource_asks_for_its_team_once_in_half_a_minute() {
    let demo = demo().await;
    let resource = demo.resource();
    let path = format!("/api/marketplace-provider-resources/{resource}/sync_user_roles/");
    let agent = demo.served.caller("agent-token");
    let mut events = demo.served.waldur.events();
    assert_eq!(agent.post(&path, json!({})).await.status, 202);
    assert_eq!(agent.post(&path, json!({})).await.status, 429);
    demo.clock.step(SignedDuration::from_secs(31));
    assert_eq!(agent.post(&path, json!({})).await.status, 202);
    let event = events.try_recv().unwrap();
    assert_eq!(event.body["resource_uuid"], resource.simple().to_string());
    assert!(event.body.get("role_name").is_none());
}

#[tokio::test]
async fn modified_rows_are_found_by_their_time() {
    let demo = demo().await;
    let (old, fresh) = (demo.resource(), demo.resource());
    demo.clock.step(SignedDuration::from_hours(1));
    let since = demo.clock.now();
    demo.served.waldur.set_backend_id(fresh, "ns2");
    let agent = demo.served.caller("agent-token");
    let list = |query: String| {
        let agent = agent.clone();
        async move { agent.get(&format!("/api/marketplace-provider-resources/?field=uuid&{query}")).await.json }
    };
    let hex = |uuid: Uuid| json!([{ "uuid": uuid.simple().to_string() }]);
    assert_eq!(list(format!("modified={since}")).await, hex(fresh));
    assert_eq!(list(format!("modified_before={since}")).await, hex(old));
}

#[tokio::test]
async fn the_same_seed_draws_the_same_identifiers() {
    let uuids = || {
        let waldur =
            Waldur::new(WaldurOptions { generation: Generation::October2024, ..WaldurOptions::default() });
        waldur.load(&Seed::demo()).unwrap();
        (waldur.offering("okd-projects"), waldur.user("mia.member"))
    };
    assert_eq!(uuids(), uuids());
}

#[tokio::test]
async fn listeners_know_queue_login_and_passcode() {
    let demo = demo().await;
    let agent = demo.served.caller("agent-token");
    let body = json!({ "offering": demo.offering.to_string(), "name": "agent-x" });
    let identity = agent.post("/api/marketplace-site-agent-identities/", body).await;
    let path = format!("/api/marketplace-site-agent-identities/{}/register_queue/", identity.str("uuid"));
    let queue = agent.post(&path, json!({ "object_types": ["order"] })).await;
    let listeners = demo.served.waldur.listeners();
    assert_eq!(listeners.len(), 1);
    assert_eq!(listeners[0].queue, queue.str("queue_name"));
    assert_eq!(listeners[0].login, queue.str("rmq_username"));
    assert_eq!(listeners[0].vhost, queue.str("vhost"));
    assert_eq!(listeners[0].passcodes, ["agent-token"]);
    assert_eq!(
        (listeners[0].offering, listeners[0].object_types.as_slice()),
        (demo.offering, &["order".to_owned()][..])
    );
}
