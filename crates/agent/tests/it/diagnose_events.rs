//! What the diagnostics say about the broker of events.

use serde_json::{Value, json};
use simulator::simulation::{PLAIN_PASSCODE, PLAIN_USER};

use crate::process::Process;
use crate::site::{Config, Site};

/// The lines about events.
async fn events(site: &Site, config: &Config) -> String {
    events_with(site, config, &[]).await
}

async fn events_with(site: &Site, config: &Config, more: &[&str]) -> String {
    let ended = Process::run(site.diagnostics(config).args(more)).await;
    let lines = ended.stdout.lines().skip_while(|line| !line.starts_with("  Events from "));
    lines.take_while(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

fn plain_broker(site: &Site, passcode: &str, tls: bool) -> Config {
    let ports = site.sim.broker.ports();
    let (host, port) = if tls { ("localhost", ports.tls) } else { ("127.0.0.1", ports.tcp) };
    site.config().with_global(&format!(
        "event_processing: {{stomp_host: {host}, stomp_port: {port}, stomp_username: {PLAIN_USER}, stomp_password: \
         {passcode}, stomp_ssl: {tls}}}\n"
    ))
}

/// What the events of a Waldur come through; its login is the user's subscription.
fn web_socket(site: &Site) -> Config {
    let port = site.sim.broker.ports().ws;
    site.config().with_global(&format!(
        "stomp_enabled: true\nwebsocket_use_tls: false\nstomp_ws_host: 127.0.0.1\nstomp_ws_port: {port}\n"
    ))
}

/// Registers as an agent does that listens to events.
async fn subscribed(site: &Site) {
    let client = reqwest::Client::builder().build().unwrap();
    let post = async |path: String, body: Value| -> Value {
        let url = format!("{}{path}", site.sim.waldur_server.url);
        let sent =
            client.post(url).header("Authorization", "Token agent-token").json(&body).send().await.unwrap();
        assert!(sent.status().is_success(), "{path}: {}", sent.status());
        sent.json().await.unwrap()
    };
    let offering = site.offering.simple().to_string();
    let identities = "/api/marketplace-site-agent-identities/";
    let name = format!("agent-{offering}");
    let identity = post(identities.to_owned(), json!({"offering": offering, "name": name})).await;
    let path = format!("{identities}{}/register_event_subscription/", identity["uuid"].as_str().unwrap());
    let subscription = post(path, json!({"observable_object_type": "order"})).await;
    let path = format!("/api/event-subscriptions/{}/create_queue/", subscription["uuid"].as_str().unwrap());
    post(path, json!({"offering_uuid": offering, "object_type": "order"})).await;
}

#[tokio::test]
async fn a_plain_broker_takes_the_login_or_does_not() {
    let site = Site::start().await;
    for tls in [false, true] {
        let said = events(&site, &plain_broker(&site, PLAIN_PASSCODE, tls)).await;
        assert!(said.contains("✓ login") && said.contains("accepted by "), "{said}");
        assert_eq!(said.contains("✓ TLS"), tls, "{said}");
        let said = events(&site, &plain_broker(&site, "wrong-passcode", tls)).await;
        assert!(said.contains("✗ login") && said.contains("→ check path, virtual host and token"), "{said}");
        assert!(!said.contains("wrong-passcode"), "{said}");
    }
    assert_eq!(site.sim.broker.counts().refused_logins, 2);
}

#[tokio::test]
async fn a_broker_behind_a_proxy_is_looked_at_through_it() {
    let site = Site::start().await;
    let (url, mut requests) = crate::events_ways::proxy().await;
    let config = plain_broker(&site, PLAIN_PASSCODE, false).with_global(&format!("global_proxy: {url}\n"));
    let said = events(&site, &config).await;
    assert!(said.contains("(proxy http://127.0.0.1:") && said.contains("✓ login"), "{said}");
    let connect = format!("CONNECT 127.0.0.1:{} ", site.sim.broker.ports().tcp);
    let asked = std::iter::from_fn(|| requests.try_recv().ok()).any(|head| head.starts_with(&connect));
    assert!(asked && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn no_passcode_goes_to_a_broker_that_nobody_vouches_for() {
    let site = Site::start().await;
    let other = simulator::tls::Tls::generate().unwrap();
    let path = site.folder.path().join("other.pem");
    std::fs::write(&path, other.ca_pem()).unwrap();
    let mut config = plain_broker(&site, PLAIN_PASSCODE, true);
    config.global = config.global.replace("ca.pem", "other.pem");
    let said = events(&site, &config).await;
    assert!(said.contains("✗ TLS") && said.contains("– login"), "{said}");
    assert_eq!(site.sim.broker.counts().logins, 0);
}

#[tokio::test]
async fn waldurs_broker_is_logged_in_to_as_the_subscription_and_no_queue_is_made() {
    let site = Site::start().await;
    let config = web_socket(&site);
    let said = events(&site, &config).await;
    assert!(said.contains("✓ TCP") && said.contains("– login"), "{said}");
    assert!(site.waldur_requests().iter().all(|line| !line.starts_with("POST")));
    subscribed(&site).await;
    let said = events(&site, &config).await;
    assert!(said.contains("✓ login") && said.contains("accepted by "), "{said}");
    let mut wrong = config.clone();
    wrong.global =
        wrong.global.replace("stomp_enabled: true", "stomp_enabled: true\nstomp_ws_path: /elsewhere");
    let said = events(&site, &wrong).await;
    assert!(said.contains("✗ login") && said.contains("the web socket was not opened"), "{said}");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_named() {
    let site = Site::start().await;
    let mut config = web_socket(&site);
    let port = site.sim.broker.ports().ws;
    config.global = config.global.replace(&format!("stomp_ws_port: {port}"), "stomp_ws_port: 1");
    let said = events(&site, &config).await;
    assert!(said.contains("✗ TCP") && said.contains("`stomp_ws_port`"), "{said}");
}

#[tokio::test]
async fn the_queue_of_an_agent_that_has_registered_is_tried_by_the_write_test() {
    let site = Site::start().await;
    let config = web_socket(&site);
    let said = events_with(&site, &config, &["--write-test"]).await;
    assert!(said.contains("– login") && said.contains("start it once"), "{said}");
    // Any mode registers.
    assert!(site.once().await);
    let said = events(&site, &config).await;
    assert!(said.contains("– login") && said.contains("which only --write-test does"), "{said}");
    let said = events_with(&site, &config, &["--write-test"]).await;
    assert!(said.contains("✓ login") && said.contains("accepted by "), "{said}");
    assert_eq!(site.sim.broker.counts().refused_logins, 0);
}
