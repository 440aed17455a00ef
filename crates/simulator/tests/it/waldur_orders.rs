//! The life of an order, as both generations answer it.

use serde_json::{Value, json};
use simulator::waldur::{Generation, OrderState, ResourceState};

use crate::waldur_support::{Caller, Served};

const LIMITS: [(&str, i64); 4] = [("cpu", 2), ("memory", 4), ("storage", 10), ("pods", 20)];

fn limits() -> Value {
    LIMITS
        .iter()
        .map(|(kind, amount)| ((*kind).to_owned(), json!(amount)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// What a customer's browser posts.
fn create_body(served: &Served, name: &str, limits: Value) -> Value {
    let offering = served.waldur.offering("okd-projects").unwrap().simple().to_string();
    let project = served.waldur.project("web").unwrap().simple().to_string();
    json!({
        "offering": format!("{}/api/marketplace-public-offerings/{offering}/", served.url),
        "project": format!("{}/api/projects/{project}/", served.url),
        "attributes": { "name": name },
        "limits": limits,
        "accepting_terms_of_service": true,
    })
}

async fn create(served: &Served, caller: &Caller, name: &str) -> (String, String) {
    let reply = caller.post("/api/marketplace-orders/", create_body(served, name, limits())).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    (reply.str("uuid").to_owned(), reply.str("marketplace_resource_uuid").to_owned())
}

#[tokio::test]
async fn a_create_order_ends_with_a_resource_that_is_ok() {
    for generation in [Generation::Current, Generation::October2024] {
        let served = Served::demo(generation).await;
        let (agent, owner) = (served.caller("agent-token"), served.caller("owner-token"));
        let (order, resource) = create(&served, &owner, "shop").await;
        let pending = agent.get(&format!("/api/marketplace-orders/{order}/")).await;
        assert_eq!(pending.str("state"), "pending-provider");
        let resource_path = format!("/api/marketplace-provider-resources/{resource}/");
        assert_eq!(agent.get(&resource_path).await.str("state"), "Creating");

        assert_eq!(agent.order_action(&order, "approve_by_provider").await.status, 200);
        let again = agent.order_action(&order, "approve_by_provider").await;
        assert_eq!(
            (again.status, again.str("detail")),
            (409, "Valid states for operation: pending-provider.")
        );
        let set = agent
            .post(&format!("{resource_path}set_backend_id/"), json!({ "backend_id": "waldur-shop" }))
            .await;
        assert_eq!((set.status, set.str("status")), (200, "Resource backend_id has been changed."));
        assert_eq!(agent.order_action(&order, "set_state_done").await.status, 200);

        let resource = agent.get(&resource_path).await;
        assert_eq!((resource.str("state"), resource.str("backend_id")), ("OK", "waldur-shop"));
        assert_eq!(resource.json["limits"], limits());
    }
}

#[tokio::test]
async fn a_waiting_test_wakes_when_the_order_is_done() {
    let served = Served::demo(Generation::Current).await;
    let (agent, owner) = (served.caller("agent-token"), served.caller("owner-token"));
    let (order, resource) = create(&served, &owner, "shop").await;
    let uuid = order.parse().unwrap();
    let waldur = served.waldur.clone();
    let waiting = tokio::spawn(async move { waldur.wait_for_order(uuid, OrderState::Done).await });
    agent.order_action(&order, "approve_by_provider").await;
    agent.order_action(&order, "set_state_done").await;
    waiting.await.unwrap();
    assert_eq!(served.waldur.resource_state(resource.parse().unwrap()), Some(ResourceState::Ok));
}
