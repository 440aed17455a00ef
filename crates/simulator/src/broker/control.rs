//! The broker over HTTP, for the demo and the benchmarks, which run the simulation as a process of its own.

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Broker;

/// Routes below `/broker`.
///
/// | Request | Does |
/// | --- | --- |
/// | `GET /broker` | ports, counts, sum over all queues, each queue, each connection |
/// | `POST /broker/settled` | takes what was acknowledged so far: milliseconds since publication, and what it was about |
/// | `POST /broker/publish?vhost=&destination=` | publishes the body |
/// | `POST /broker/close`, `/broker/reset` | ends all connections, with an ERROR frame or with a RST |
/// | `POST /broker/freeze`, `/broker/thaw` | falls silent with all connections open, goes on |
/// | `POST /broker/stop`, `/broker/restart` | goes down, comes back with its queues |
pub fn control_routes(broker: Broker) -> Router {
    Router::new()
        .route("/broker", get(status))
        .route("/broker/settled", post(settled))
        .route("/broker/publish", post(publish))
        .route(
            "/broker/close",
            post(async |State(broker): State<Broker>| Json(broker.close_connections("CONNECTION_FORCED"))),
        )
        .route("/broker/reset", post(async |State(broker): State<Broker>| Json(broker.reset_connections())))
        .route("/broker/freeze", post(async |State(broker): State<Broker>| broker.freeze()))
        .route("/broker/thaw", post(async |State(broker): State<Broker>| broker.thaw()))
        .route("/broker/stop", post(async |State(broker): State<Broker>| broker.stop().await))
        .route("/broker/restart", post(restart))
        .with_state(broker)
}

async fn status(State(broker): State<Broker>) -> Json<Value> {
    let queues: Vec<Value> = broker
        .queues()
        .into_iter()
        .map(|((vhost, name), status)| json!({"vhost": vhost, "name": name, "status": status}))
        .collect();
    Json(json!({
        "ports": broker.ports(),
        "counts": broker.counts(),
        "total": broker.total(),
        "queues": queues,
        "connections": broker.connections(),
    }))
}

async fn settled(State(broker): State<Broker>) -> Json<Vec<Value>> {
    let settled = broker.take_settled().into_iter().map(|message| {
        let body: Value = serde_json::from_slice(&message.body).unwrap_or_default();
        json!({
            "ms": message.took.as_secs_f64() * 1000.0,
            "redelivered": message.redelivered,
            "object_type": body["object_type"],
            "order_state": body["order_state"],
        })
    });
    Json(settled.collect())
}

#[derive(Deserialize)]
struct Target {
    vhost: String,
    destination: String,
}

async fn publish(State(broker): State<Broker>, Query(to): Query<Target>, body: bytes::Bytes) -> Json<usize> {
    Json(broker.publish(&to.vhost, &to.destination, body))
}

async fn restart(State(broker): State<Broker>) -> Result<(), String> {
    broker.restart().await.map_err(|error| format!("{error:#}"))
}
