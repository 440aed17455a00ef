//! Faults, traffic and TLS, as both simulated servers have them.

use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use simulator::faults::{Fault, Rule, When};
use simulator::okd::{Okd, OkdOptions};
use simulator::server::{ServeOptions, Server, serve};
use simulator::tls::Tls;
use simulator::traffic::Traffic;
use tokio::net::TcpListener;

struct Cluster {
    okd: Okd,
    server: Server,
    client: Client,
    token: String,
}

async fn cluster() -> Cluster {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let okd = Okd::new(OkdOptions::immediate());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server =
        serve(okd.router(), listener, ServeOptions { traffic: Traffic::recording(), ..Okd::serve_options() });
    let client = Client::builder().no_proxy().user_agent("probe/1").tls_certs_only([]).build().unwrap();
    Cluster { token: okd.admin_token(), okd, server, client }
}

impl Cluster {
    async fn send(&self, method: Method, path: &str, body: &Value) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}{path}", self.server.url);
        self.client.request(method, url).bearer_auth(&self.token).json(body).send().await
    }

    async fn create(&self, name: &str) -> reqwest::Result<reqwest::Response> {
        self.send(Method::POST, "/api/v1/namespaces", &json!({"metadata": {"name": name}})).await
    }

    fn exists(&self, name: &str) -> bool {
        self.okd.get("namespaces", "", name).is_some()
    }
}

#[tokio::test]
async fn injected_statuses_look_like_the_servers_own() {
    let cluster = cluster().await;
    for code in [401, 403, 404, 409, 500, 503] {
        cluster.server.faults.clear();
        cluster.server.faults.add(Rule::path("/api/v1/namespaces", Fault::Status(code)).method(Method::POST));
        let response = cluster.create("x").await.unwrap();
        assert_eq!(response.status().as_u16(), code);
        let body: Value = response.json().await.unwrap();
        assert_eq!((&body["kind"], &body["code"]), (&json!("Status"), &json!(code)));
    }
    cluster.server.faults.clear();
    cluster.server.faults.add(Rule::all(Fault::TooManyRequests { retry_after: 7 }));
    let response = cluster.create("x").await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    assert!(!cluster.exists("x"));
}

#[tokio::test]
async fn a_reset_comes_before_or_after_the_effect() {
    let cluster = cluster().await;
    let rule =
        cluster.server.faults.add(Rule::all(Fault::ResetBefore).method(Method::POST).when(When::First(1)));
    assert!(cluster.create("before").await.is_err());
    assert!(!cluster.exists("before"));
    assert_eq!(cluster.server.faults.struck(rule), 1);
    cluster.server.faults.add(Rule::all(Fault::ResetAfter).method(Method::POST).when(When::Nth(1)));
    assert!(cluster.create("after").await.is_err());
    assert!(cluster.exists("after"));
    assert_eq!(cluster.create("after").await.unwrap().status(), 409);
}

#[tokio::test]
async fn a_body_can_end_early_be_html_or_never_come() {
    let cluster = cluster().await;
    let list = || cluster.send(Method::GET, "/api/v1/namespaces", &Value::Null);
    cluster.server.faults.add(Rule::all(Fault::TruncatedBody));
    let response = list().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
    for code in [200, 502] {
        cluster.server.faults.clear();
        cluster.server.faults.add(Rule::all(Fault::Html(code)));
        let response = list().await.unwrap();
        assert_eq!(response.status().as_u16(), code);
        assert_eq!(response.headers()["content-type"], "text/html");
    }
    cluster.server.faults.clear();
    let stall = cluster.server.faults.add(Rule::all(Fault::StallAfter));
    assert!(tokio::time::timeout(Duration::from_millis(100), cluster.create("stalled")).await.is_err());
    assert_eq!((cluster.server.faults.struck(stall), cluster.exists("stalled")), (1, true));
}

#[tokio::test]
async fn latency_delays_and_other_faults_still_strike() {
    let cluster = cluster().await;
    let fixed = Duration::from_millis(60);
    cluster.server.faults.add(Rule::all(Fault::Latency { fixed, jitter: Duration::ZERO }));
    cluster.server.faults.add(Rule::all(Fault::Status(503)));
    let started = Instant::now();
    assert_eq!(cluster.create("x").await.unwrap().status(), 503);
    assert!(started.elapsed() >= fixed);
}

#[tokio::test]
async fn traffic_is_counted_by_shape_and_awaited() {
    let cluster = cluster().await;
    let waiting = tokio::spawn({
        let traffic = cluster.server.traffic.clone();
        async move { traffic.wait_for(|traffic| traffic.count("GET", "/api/v1/namespaces/{}") == 2).await }
    });
    for name in ["default", "none"] {
        cluster.send(Method::GET, &format!("/api/v1/namespaces/{name}?x=1"), &Value::Null).await.unwrap();
    }
    tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    let requests = cluster.server.traffic.requests();
    let seen: Vec<_> =
        requests.iter().map(|r| (r.sequence, r.path.as_str(), r.query.as_str(), r.status)).collect();
    let expected = [
        (1, "/api/v1/namespaces/default", "x=1", Some(200)),
        (2, "/api/v1/namespaces/none", "x=1", Some(404)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(requests[0].user_agent, "probe/1");
    cluster.server.traffic.reset();
    assert_eq!((cluster.server.traffic.total(), cluster.server.traffic.counts().len()), (0, 0));
}

#[tokio::test]
async fn tls_is_trusted_through_the_authority_only() {
    let cluster = cluster().await;
    let tls = Tls::generate().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ServeOptions { tls: Some(tls.server_config()), ..Okd::serve_options() };
    let server = serve(cluster.okd.router(), listener, options);
    let ca = reqwest::Certificate::from_pem(tls.ca_pem().as_bytes()).unwrap();
    let trusting = Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/version", server.addr.port());
        assert_eq!(trusting.get(&url).send().await.unwrap().status(), 200);
        assert!(cluster.client.get(&url).send().await.is_err());
    }
    assert!(server.url.starts_with("https://localhost:"));
}

#[tokio::test]
async fn a_held_request_waits_before_or_after_its_effect_until_it_is_let_go() {
    let cluster = cluster().await;
    let faults = &cluster.server.faults;
    for (fault, name, effect) in [(Fault::Hold, "before", false), (Fault::HoldAfter, "after", true)] {
        faults.clear();
        let rule = faults.add(Rule::all(fault).method(Method::POST).when(When::Nth(1)));
        let create = cluster.create(name);
        let look = async {
            let held = faults.held(rule).await.unwrap();
            assert_eq!((held.method, held.path.as_str()), (Method::POST, "/api/v1/namespaces"));
            assert_eq!(cluster.exists(name), effect);
            assert!(faults.release(rule));
        };
        let (created, ()) = tokio::join!(create, look);
        assert_eq!(created.unwrap().status(), 201);
    }
}
