//! Sites that are opened, controlled and closed over HTTP.

use std::sync::Arc;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use simulator::simulation::{Simulation, SimulationOptions};
use simulator::sites::{Sites, routes, serve_control};

async fn send(method: Method, url: &str, token: &str, body: &Value) -> (StatusCode, Value) {
    let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let request = client.request(method, url).header("authorization", token).json(body);
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap_or_default())
}

#[tokio::test]
async fn sites_are_apart_and_each_has_its_own_faults_clock_and_tokens() {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let first = Arc::new(Simulation::start(SimulationOptions::default()).await.unwrap());
    let (_, control) = serve_control(&first, folder.path(), routes(Sites::default())).await.unwrap();
    let wanted = json!({"folder": folder.path().join("second"), "random_seed": 7});
    let (status, site) = send(Method::POST, &format!("{}/sites", control.url), "", &wanted).await;
    assert_eq!(status, StatusCode::OK, "{site}");
    let at = |path: &str| format!("{}{path}", site["control_url"].as_str().unwrap());
    let me = format!("{}/api/users/me/", site["waldur_url"].as_str().unwrap());
    let agent = "Token agent-token";

    let rule = json!({"method": "GET", "path": "/api/users/**", "nth": 1, "fault": {"status": 503}});
    let (_, added) = send(Method::POST, &at("/faults/waldur"), "", &rule).await;
    assert_eq!(send(Method::GET, &me, agent, &Value::Null).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(Method::GET, &me, agent, &Value::Null).await.0, StatusCode::OK);
    let struck = at(&format!("/faults/waldur/{}", added["id"]));
    assert_eq!(send(Method::GET, &struck, "", &Value::Null).await.1, json!({"struck": 1}));
    let refused = send(Method::POST, &at("/faults/nobody"), "", &rule).await;
    assert_eq!(refused.0, StatusCode::NOT_FOUND);

    let token = json!({"username": "agent-okd", "token": "renewed"});
    assert_eq!(send(Method::POST, &at("/tokens/waldur"), "", &token).await.0, StatusCode::OK);
    assert_eq!(send(Method::GET, &me, agent, &Value::Null).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(Method::GET, &me, "Token renewed", &Value::Null).await.0, StatusCode::OK);
    // The other site knows nothing of all that.
    let elsewhere = format!("{}/api/users/me/", first.waldur_server.url);
    assert_eq!(send(Method::GET, &elsewhere, agent, &Value::Null).await.0, StatusCode::OK);

    let before = first.clock.now();
    let (_, stepped) = send(Method::POST, &at("/clock"), "", &json!({"step_seconds": 86_400})).await;
    let stepped: jiff::Timestamp = stepped["now"].as_str().unwrap().parse().unwrap();
    assert!(stepped.duration_since(before).as_hours() >= 23);
    let (_, requests) = send(Method::GET, &at("/requests"), "", &Value::Null).await;
    assert_eq!(requests["waldur"][0]["status"], 503, "{requests}");

    let closed = format!("{}/sites/{}", control.url, site["site"]);
    assert_eq!(send(Method::DELETE, &closed, "", &Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(send(Method::DELETE, &closed, "", &Value::Null).await.0, StatusCode::NOT_FOUND);
    let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    assert!(client.get(&me).send().await.is_err(), "a closed site still answers");
}
