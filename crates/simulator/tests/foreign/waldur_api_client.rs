//! The published Python client of Waldur parses every answer of the simulated server.
//!
//! The interpreter is named by `FOREIGN_PYTHON`, or is that of `target/foreign-venv` of the workspace.

use std::path::PathBuf;

use serde_json::json;
use simulator::waldur::{CreateOrder, OrderState, ResourceState, Seed, SeedResource, Waldur, WaldurOptions};
use tokio::process::Command;
use uuid::Uuid;

/// The interpreter with the foreign packages.
pub(crate) fn python() -> PathBuf {
    let python = std::env::var_os("FOREIGN_PYTHON").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/foreign-venv/bin/python")),
        PathBuf::from,
    );
    assert!(
        python.exists(),
        "no interpreter at {}: `cargo xtask test` installs it with the packages it needs",
        python.display()
    );
    python
}

/// A served demo with more orders and resources than one page of the client holds; gives the pending Create order.
async fn marketplace() -> (Waldur, String, Uuid, Uuid) {
    let waldur = Waldur::new(WaldurOptions::default());
    waldur.load(&Seed::demo()).unwrap();
    let (offering, project) = (waldur.offering("okd-projects").unwrap(), waldur.project("web").unwrap());
    let user = waldur.user("olivia.owner").unwrap();
    for number in 0..120 {
        let seed = SeedResource { name: format!("site {number}"), ..SeedResource::default() };
        let resource = waldur.add_resource(offering, project, &seed, ResourceState::Ok);
        waldur.place_update_order(resource, user, json!({ "cpu": number }));
    }
    let limits = json!({ "cpu": 2, "memory": 4 });
    let order = CreateOrder { offering, project, user, name: "shop".to_owned(), limits };
    let (order, _) = waldur.place_create_order(order);
    waldur.add_service_account(project, "svc-web");
    waldur.add_course_account(project, "course1");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = waldur.router();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (waldur, url, offering, order)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_published_client_parses_every_answer() {
    let (waldur, url, offering, order) = marketplace().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/python/waldur_api_client_session.py");
    let mut session = Command::new(python());
    session.arg(script).arg(url).arg("agent-token").arg(offering.to_string());
    let output = session.output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.ends_with("done\n"), "{out}{err}");
    assert_eq!(waldur.order_state(order), Some(OrderState::Done));
}
