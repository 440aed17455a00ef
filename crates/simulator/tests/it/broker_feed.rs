//! From a registration at simulated Waldur to messages on its broker (Waldur contract §6.2 to §6.4, §9.9).

use reqwest::Method;
use serde_json::{Value, json};
use simulator::broker::{Broker, BrokerOptions};
use simulator::waldur::{CreateOrder, Generation, ResourceState, SeedResource};
use stomp::AckMode;
use uuid::Uuid;

use crate::stomp_peer::client::{Client, Way, credentials};
use crate::waldur_support::{Caller, Served};

struct Site {
    served: Served,
    broker: Broker,
    agent: Caller,
    offering: Uuid,
    project: Uuid,
    owner: Uuid,
    /// Path of the agent's identity.
    identity: String,
}

async fn site() -> Site {
    let served = Served::demo(Generation::Current).await;
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    served.waldur.attach_broker(&broker);
    let waldur = &served.waldur;
    let (offering, project) = (waldur.offering("okd-projects").unwrap(), waldur.project("web").unwrap());
    let owner = waldur.user("olivia.owner").unwrap();
    let agent = served.caller("agent-token");
    let body = json!({ "offering": offering.to_string(), "name": format!("agent-{offering}") });
    let identity = agent.post("/api/marketplace-site-agent-identities/", body).await;
    let identity = format!("/api/marketplace-site-agent-identities/{}", identity.str("uuid"));
    Site { served, broker, agent, offering, project, owner, identity }
}

impl Site {
    async fn listen(&self, vhost: &str, login: &str, passcode: &str, queue: &str) -> Client {
        let mut client =
            Client::connected(Way::Web, self.broker.ports().ws, credentials(vhost, login, passcode)).await;
        client.subscribe(&format!("/amq/queue/{queue}"), AckMode::ClientIndividual, None).await;
        client
    }

    fn order(&self) -> (Uuid, Uuid) {
        let (offering, project, user) = (self.offering, self.project, self.owner);
        let limits = json!({ "cpu": 4 });
        let order = CreateOrder { offering, project, user, name: "shop".to_owned(), limits };
        self.served.waldur.place_create_order(order)
    }
}

async fn body(client: &mut Client) -> Value {
    let (text, _, token) = client.delivery().await;
    client.ack(token).await;
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_registered_queue_gets_its_types_in_the_unified_form() {
    let site = site().await;
    let types = json!({ "object_types": ["order", "resource"] });
    let queue = site.agent.post(&format!("{}/register_queue/", site.identity), types).await;
    let (vhost, login) = (queue.str("vhost").to_owned(), queue.str("rmq_username").to_owned());
    let mut client = site.listen(&vhost, &login, "agent-token", queue.str("queue_name")).await;

    let waldur = &site.served.waldur;
    let seed = SeedResource { name: "there".into(), backend_id: "ns".into(), ..SeedResource::default() };
    let resource = waldur.add_resource(site.offering, site.project, &seed, ResourceState::Ok);
    // Told to nobody who did not ask for it.
    waldur.add_member(site.project, site.owner, "PROJECT.MEMBER");
    waldur.set_flags(resource, true, false, false);
    let (order, _) = site.order();

    let paused = body(&mut client).await;
    assert_eq!((&paused["object_type"], &paused["paused"]), (&json!("resource"), &json!(true)));
    assert_eq!(paused["resource_uuid"], resource.simple().to_string());
    let placed = body(&mut client).await;
    assert_eq!((&placed["object_type"], &placed["schema_version"]), (&json!("order"), &json!(1)));
    assert_eq!(placed["order_uuid"], order.simple().to_string());
    assert_eq!(placed["limits"]["cpu"], 4);
    assert_eq!(site.broker.total().ready, 0);
}

#[tokio::test]
async fn legacy_queues_get_one_type_each_in_the_old_form() {
    let site = site().await;
    let wanted = json!({ "observable_object_type": "order", "description": "test" });
    let made = site.agent.post(&format!("{}/register_event_subscription/", site.identity), wanted).await;
    let subscription = made.str("uuid").to_owned();
    let wanted = json!({ "offering_uuid": site.offering.to_string(), "object_type": "order" });
    let queue =
        site.agent.post(&format!("/api/event-subscriptions/{subscription}/create_queue/"), wanted).await;
    let name = format!("subscription_{subscription}_offering_{}_order", site.offering.simple());
    assert_eq!(queue.str("queue_name"), name);
    let mut client = site.listen(made.str("user_uuid"), &subscription, "agent-token", &name).await;
    let (order, _) = site.order();
    let placed = body(&mut client).await;
    let expected = json!({ "order_uuid": order.simple().to_string(), "order_state": "pending-provider" });
    assert_eq!(placed, expected);

    let path = format!("/api/event-subscriptions/{subscription}/");
    assert_eq!(site.agent.send(Method::DELETE, &path, None).await.status, 204);
    assert_eq!(site.broker.queues().len(), 0);
}

#[tokio::test]
async fn the_passcode_is_the_credential_of_the_last_registration() {
    let site = site().await;
    let path = format!("{}/register_queue/", site.identity);
    let queue = site.agent.post(&path, json!({})).await;
    let user = site.served.waldur.user("agent-okd").expect("the agent's user");
    site.served.waldur.set_token(user, "rotated");
    let again = site.served.caller("rotated").post(&path, json!({})).await;
    assert_eq!(again.str("queue_name"), queue.str("queue_name"));
    let (vhost, login) = (queue.str("vhost"), queue.str("rmq_username"));
    let port = site.broker.ports().tcp;
    let mut old = Client::open(Way::Tcp, port, credentials(vhost, login, "agent-token")).await;
    assert!(old.refusal().await.contains("Access refused"));
    Client::connected(Way::Tcp, port, credentials(vhost, login, "rotated")).await.disconnect().await;
}

#[tokio::test]
async fn any_destination_can_have_a_copy() {
    let site = site().await;
    site.served.waldur.copy_messages_to("/", "/queue/waldur");
    site.order();
    assert_eq!(site.broker.queue("/", "waldur").unwrap().ready, 1);
}
