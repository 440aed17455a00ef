//! The ways to a broker: WebSocket with and without TLS, plain STOMP, through a proxy; what else comes by messages; how
//! the program behaves as a process.

use agent::settings::Mode;
use serde_json::{Value, json};
use simulator::simulation::{PLAIN_PASSCODE, PLAIN_USER};
use simulator::waldur::OrderState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::listening::Listening;
use crate::members::Log;
use crate::site::{Config, Site, limits, within};

/// An order placed while this agent listens is done, and it listened by this transport.
async fn check(site: &Site, config: &Config, transport: &str) {
    let agent = site.listening(config).await;
    let (order, _) = site.order("Shop", limits());
    site.ends(order, OrderState::Done).await;
    site.all_acknowledged().await;
    let connections = site.broker().connections();
    let transports: Vec<&str> = connections.iter().map(|connection| connection.transport).collect();
    assert_eq!(transports, [transport]);
    agent.stop().await;
    assert!(site.broker().connections().is_empty(), "left in order");
}

/// The documented block, with further lines.
fn block(site: &Site, port: u16, lines: &str) -> Config {
    let mut config = site.by_events();
    config.services = format!(
        "order_processing_backend: okd\nmembership_sync_backend: okd\nevent_processing:\n  stomp_host: localhost\n  \
         stomp_port: {port}\n  stomp_username: {PLAIN_USER}\n  stomp_password: {PLAIN_PASSCODE}\n  \
         stomp_destination: /queue/waldur.events\n{lines}"
    );
    config
}

#[tokio::test]
async fn a_web_socket_with_tls_is_verified_by_the_file_that_verify_ssl_names() {
    let site = Site::start().await;
    check(&site, &site.by_events_at(site.broker().ports().wss, true), "wss").await;
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused_with_the_reason() {
    let site = Site::start().await;
    let other = simulator::tls::Tls::generate().unwrap();
    let file = site.folder.path().join("other.pem");
    std::fs::write(&file, other.ca_pem()).unwrap();
    let mut config = site.by_events_at(site.broker().ports().wss, true);
    config.global = format!("verify_ssl: {}\n", file.display());
    let log = Log::start();
    let agent = Listening::start(&config, Mode::EventProcess);
    site.comes("the reason is said", || log.count("UnknownIssuer") + log.count("BadSignature") > 0).await;
    assert_eq!(site.broker().counts().logins, 0);
    agent.stop().await;
    // Not verified at all it works, over a host name that the certificate is not for either.
    config.global = "verify_ssl: false\n".to_owned();
    config.services = config.services.replace("stomp_ws_host: localhost", "stomp_ws_host: 127.0.0.1");
    check(&site, &config, "wss").await;
}

#[tokio::test]
async fn the_documented_block_reads_a_plain_brokers_queue() {
    let site = Site::start().await;
    site.broker().declare_queue("/", "waldur.events", Default::default());
    site.sim.waldur.copy_messages_to("/", "/queue/waldur.events");
    let ports = site.broker().ports();
    check(&site, &block(&site, ports.tcp, "  stomp_ssl: false\n"), "tcp").await;
    check(&site, &block(&site, ports.tls, ""), "tls").await;
}

/// Answers `CONNECT` like a proxy that wants credentials; gives the requests that came.
pub(crate) async fn proxy() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let server = head.split(' ').nth(1).unwrap().to_owned();
                sender.send(head).unwrap();
                let Ok(mut server) = TcpStream::connect(server).await else { return };
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    (format!("http://user:secret@{address}"), requests)
}

#[tokio::test]
async fn a_broker_behind_a_proxy_is_reached_through_it() {
    let site = Site::start().await;
    site.broker().declare_queue("/", "waldur.events", Default::default());
    site.sim.waldur.copy_messages_to("/", "/queue/waldur.events");
    let (url, mut requests) = proxy().await;
    // Waldur itself is called with TLS, so that the proxy only has to tunnel.
    let tls = simulator::tls::Tls::generate().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = simulator::server::ServeOptions {
        tls: Some(tls.server_config()),
        ..simulator::server::ServeOptions::default()
    };
    let waldur = simulator::server::serve(site.sim.waldur.router(), listener, options);
    let mut config = block(&site, site.broker().ports().tcp, "  stomp_ssl: false\n");
    config.waldur_url.clone_from(&waldur.url);
    config.global = format!("verify_ssl: false\nglobal_proxy: {url}\n");
    check(&site, &config, "tcp").await;
    let mut seen = Vec::new();
    while let Ok(request) = requests.try_recv() {
        seen.push(request);
    }
    let port = site.broker().ports().tcp;
    let broker = seen.iter().find(|head| head.starts_with(&format!("CONNECT localhost:{port} "))).unwrap();
    assert!(broker.contains("Proxy-Authorization: Basic dXNlcjpzZWNyZXQ="), "{broker}");
}

#[tokio::test]
async fn what_is_on_the_cluster_and_not_in_waldur_is_offered_for_import() {
    let site = Site::start().await;
    site.planted("shop");
    let namespace = |name: &str, parent: &str| {
        let annotations = json!({"waldur/parent": parent});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}});
        site.sim.okd.put(namespace).unwrap();
    };
    namespace("blog", "waldur-proj-web");
    namespace("nobodys", "waldur-proj-nobody");
    namespace("others", "elsewhere-web");
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "waldur-quota", "namespace": "blog"},
        "spec": {"hard": {"requests.cpu": "6", "requests.memory": "20Gi", "pods": "7"}},
    });
    site.sim.okd.put(quota).unwrap();
    let mut config = site.by_events();
    config.services.push_str("resource_import_enabled: true\n");
    let agent = site.listening(&config).await;
    let before = site.whole("blog");
    let request = site.sim.waldur.request_importable_resources(site.offering);
    let client = Client::new(&site);
    let state = async {
        loop {
            let row = client.get(&format!("/api/backend-resource-requests/{}/", request.simple())).await;
            if row["state"] == "Done" || row["state"] == "Erred" {
                return row;
            }
            tokio::task::yield_now().await;
        }
    };
    let row = within("the request is answered", state).await;
    assert_eq!(row["state"], "Done", "{row}");
    let offered = client.get("/api/backend-resources/").await;
    let offered = offered.as_array().unwrap();
    assert_eq!(offered.len(), 1, "{offered:#?}");
    assert_eq!((&offered[0]["backend_id"], &offered[0]["name"]), (&json!("blog"), &json!("blog")));
    assert_eq!(offered[0]["backend_metadata"], json!({"limits": {"cpu": 6, "memory": 20, "pods": 7}}));
    assert_eq!(site.whole("blog"), before);
    site.all_acknowledged().await;
    // Asked again, nothing is offered twice.
    site.sim.waldur.request_importable_resources(site.offering);
    site.all_acknowledged().await;
    assert_eq!(client.get("/api/backend-resources/").await.as_array().unwrap().len(), 1);
    agent.stop().await;
}

/// Reads from the simulated Waldur as the agent's user.
struct Client(String);

impl Client {
    fn new(site: &Site) -> Self {
        Self(site.sim.waldur_server.url.trim_start_matches("http://").to_owned())
    }

    async fn get(&self, path: &str) -> Value {
        serde_json::from_str(&get(&self.0, path, "Authorization: Token agent-token\r\n").await.1).unwrap()
    }
}

/// Status and body.
async fn get(address: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn the_process_tells_health_and_stops_on_the_first_signal() {
    let site = Site::start().await;
    let mut config = site.by_events();
    config.global.push_str("monitoring:\n  health_listen: 127.0.0.1:0\n");
    let process = site.process(&config, "event_process");
    process.stdout.says("health is told").await;
    let line = process.stdout.text();
    let line = line.lines().find(|line| line.contains("health is told")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    site.settles().await;
    assert_eq!(get(&address, "/healthz", "").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&address, "/readyz", "").await, (200, "ok\n".to_owned()));
    process.signal("TERM");
    let ended = process.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert!(site.broker().connections().is_empty());
}

#[tokio::test]
async fn not_ready_says_who_does_not_answer() {
    let site = Site::start().await;
    let mut config = site.by_events();
    config.global.push_str("monitoring:\n  health_listen: 127.0.0.1:0\n");
    site.broker().stop().await;
    let process = site.process(&config, "event_process");
    process.stdout.says("no connection to the broker").await;
    let line = process.stdout.text();
    let line = line.lines().find(|line| line.contains("health is told")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    let (status, body) = get(&address, "/readyz", "").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("no connection to the broker") && !body.contains("Waldur "), "{body}");
    // Alive it is: somebody else is at fault.
    assert_eq!(get(&address, "/healthz", "").await.0, 200);
    process.signal("TERM");
    assert_eq!(process.end().await.code(), Some(0));
}

#[tokio::test]
async fn once_stops_on_a_signal_as_well() {
    let site = Site::start().await;
    let stall = simulator::faults::Fault::Stall;
    let path = "/api/v1/namespaces/*/resourcequotas/waldur-quota";
    site.sim.okd_server.faults.add(simulator::faults::Rule::path(path, stall));
    let (order, _) = site.order("Shop", limits());
    let mut command = site.command(&site.config());
    let process = crate::process::Process::start(command.arg("--once"));
    site.comes("the work has begun", || site.order_state(order) == OrderState::Executing).await;
    process.signal("TERM");
    process.stdout.says("stopping").await;
    process.signal("TERM");
    assert_eq!(process.end().await.code(), Some(1));
}
