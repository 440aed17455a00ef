//! Runs of the program: once, for ever, until a signal.

use std::time::Duration;

use serde_json::json;
use simulator::faults::{Fault, Rule};
use simulator::okd::Okd;
use simulator::server::{self, ServeOptions};
use simulator::simulation::SimulationOptions;
use simulator::tls::Tls;
use simulator::waldur::OrderState;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::process::Process;
use crate::site::{NOBODY, Site, limits, options, within};

#[tokio::test]
async fn once_does_what_there_is_and_exits_0() {
    let site = Site::start().await;
    let (order, _) = site.order("Shop", limits());
    let ended = Process::run(site.command(&site.config()).arg("--once")).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(ended.stderr, "");
}

#[tokio::test]
async fn once_says_which_server_cannot_be_reached_and_exits_1() {
    let site = Site::start().await;
    let address = NOBODY;
    let (mut waldur, mut okd) = (site.config(), site.config());
    waldur.waldur_url = format!("http://{address}");
    okd.okd_url = format!("https://{address}");
    for (config, name, other) in [(waldur, "Waldur", "OKD"), (okd, "OKD", "Waldur")] {
        let ended = Process::run(site.command(&config).arg("--once")).await;
        assert_eq!(ended.code(), Some(1), "{}", ended.all());
        let errors = ended.errors();
        assert!(errors.contains(&format!("{name} is not available")), "{errors}");
        assert!(errors.contains("Connection refused") && errors.contains(address), "{errors}");
        assert!(!errors.contains(&format!("{other} is not available")), "{errors}");
    }
}

/// A port whose server is not there yet: connections are closed until `there` is cancelled.
async fn early(there: &CancellationToken) -> (String, JoinHandle<TcpListener>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, there) = (listener.local_addr().unwrap().to_string(), there.clone());
    let closed = tokio::spawn(async move {
        loop {
            tokio::select! {
                () = there.cancelled() => return listener,
                accepted = listener.accept() => drop(accepted),
            }
        }
    });
    (address, closed)
}

#[tokio::test]
async fn an_agent_that_starts_before_the_servers_waits_for_them() {
    let site = Site::start().await;
    let there = CancellationToken::new();
    let ((waldur, waldur_port), (okd, okd_port)) = (early(&there).await, early(&there).await);
    let mut config = site.config().with_global("polling_interval: 1\n");
    config.waldur_url = format!("http://{waldur}");
    config.okd_url = format!("https://{okd}");
    config.okd_tls = "verify_cert: false\n".to_owned();
    let (order, _) = site.order("Shop", limits());
    let process = Process::start(&mut site.command(&config));
    process.stdout.says("Waldur is not available").await;
    there.cancel();
    let options = ServeOptions::default();
    let _waldur = server::serve(site.sim.waldur.router(), waldur_port.await.unwrap(), options);
    let tls = Some(Tls::generate().unwrap().server_config());
    let options = ServeOptions { tls, ..Okd::serve_options() };
    let _okd = server::serve(site.sim.okd.router(), okd_port.await.unwrap(), options);
    site.ends(order, OrderState::Done).await;
    process.signal("TERM");
    assert_eq!(process.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_wrong_token_is_said_to_be_one_and_loses_nothing() {
    let site = Site::start().await;
    let (order, _) = site.order("Shop", limits());
    let (mut waldur, mut okd) = (site.config(), site.config());
    waldur.waldur_token = "waldur_api_token: wrong\n".to_owned();
    okd.okd_token = "token: wrong\n".to_owned();
    for (config, name) in [(waldur, "Waldur"), (okd, "OKD")] {
        let ended = Process::run(site.command(&config).arg("--once")).await;
        assert_eq!(ended.code(), Some(1), "{}", ended.all());
        let errors = ended.errors();
        assert!(errors.contains(&format!("{name} does not accept the token")), "{errors}");
        assert!(errors.contains("answered 401"), "{errors}");
        assert_eq!(site.order_state(order), OrderState::PendingProvider);
    }
    assert_eq!(site.projects("shop"), 0);
}

#[tokio::test]
async fn an_offering_that_waldur_does_not_know_is_said_at_the_start() {
    let site = Site::start().await;
    let mut config = site.config();
    config.offering = "00000000000000000000000000000007".to_owned();
    let ended = Process::run(site.command(&config).arg("--once")).await;
    assert_eq!(ended.code(), Some(1), "{}", ended.all());
    let errors = ended.errors();
    assert!(errors.contains("waldur_offering_uuid") && errors.contains("00000007"), "{errors}");
}

#[tokio::test]
async fn a_missing_right_is_in_the_log_as_the_api_server_says_it() {
    let mut rules = simulator::okd::documented_agent_rules();
    rules[0]["verbs"] = json!(["get", "create", "update", "patch", "delete"]);
    let site = Site::with(SimulationOptions { agent_rules: rules, ..options() }).await;
    site.order("Shop", limits());
    let ended = Process::run(site.command(&site.config()).arg("--once")).await;
    assert_eq!(ended.code(), Some(1), "{}", ended.all());
    let errors = ended.errors();
    assert!(errors.contains("OKD forbids it: GET /api/v1/namespaces answered 403"), "{errors}");
    assert!(
        errors.contains("cannot list resource \"namespaces\" in API group \"\" at the cluster scope"),
        "{errors}"
    );
}

#[tokio::test]
async fn sigterm_finishes_the_work_in_flight_and_exits_0() {
    let site = Site::start().await;
    let slow = Fault::Latency { fixed: Duration::from_millis(500), jitter: Duration::ZERO };
    site.sim.okd_server.faults.add(Rule::path("/apis/project.openshift.io/v1/projectrequests", slow));
    let (order, _) = site.order("Shop", limits());
    let process = Process::start(&mut site.command(&site.config()));
    within("the order is begun", site.sim.waldur.wait_for_order(order, OrderState::Executing)).await;
    process.signal("TERM");
    let ended = process.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.order_state(order), OrderState::Done);
    let said = ended.events("info");
    assert!(said.iter().any(|event| event.contains("finishing what is in flight")), "{said:?}");
    assert_eq!(said.last().map(String::as_str), Some("stopped"));
}

#[tokio::test]
async fn a_second_signal_exits_at_once_and_the_next_start_finishes_the_work() {
    let site = Site::start().await;
    site.sim.okd_server.faults.add(Rule::path("/apis/project.openshift.io/v1/projectrequests", Fault::Stall));
    let (order, _) = site.order("Shop", limits());
    let process = Process::start(&mut site.command(&site.config()));
    within("the order is begun", site.sim.waldur.wait_for_order(order, OrderState::Executing)).await;
    process.signal("TERM");
    process.stdout.says("finishing what is in flight").await;
    process.signal("INT");
    assert_eq!(process.end().await.code(), Some(1));
    site.sim.okd_server.faults.clear();
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Done);
}

#[tokio::test]
async fn sigterm_does_not_wait_for_a_server_that_never_answers() {
    let site = Site::start().await;
    site.sim.waldur_server.faults.add(Rule::all(Fault::Stall));
    let process = Process::start(&mut site.command(&site.config()));
    let asked = site.sim.waldur_server.traffic.wait_for(|traffic| traffic.total() > 0);
    within("the agent asks", asked).await;
    process.signal("TERM");
    let ended = tokio::time::timeout(Duration::from_secs(10), process.end()).await;
    assert_eq!(ended.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_dry_run_prints_what_would_be_done() {
    let site = Site::start().await;
    let (order, _) = site.order("Shop", limits());
    let ended = Process::run(site.command(&site.config()).args(["--once", "--dry-run"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.order_state(order), OrderState::PendingProvider);
    let said = ended.events("info");
    let expected = "would + quota waldur-alloc-shop-1/waldur-quota: limits.cpu=8, limits.memory=32Gi, pods=50, \
                    requests.cpu=4, requests.memory=16Gi, requests.storage=100Gi";
    assert!(said.iter().any(|event| event == expected), "{said:#?}");
    assert!(said.iter().any(|event| event == "would + project waldur-alloc-shop-1 (Shop)"), "{said:#?}");
}

#[tokio::test]
async fn variables_and_token_files_work_end_to_end() {
    let site = Site::start().await;
    let file = site.folder.path().join("okd-token");
    std::fs::write(&file, format!("{}\n", site.sim.okd_token)).unwrap();
    let mut config = site.config();
    config.waldur_token = "waldur_api_token: ${TOKEN_OF_WALDUR}\n".to_owned();
    config.okd_token = format!("token_config: {{token_type: file, token_file_path: {}}}\n", file.display());
    config.waldur_url = "${WALDUR:-http://nowhere.invalid}".to_owned();
    let (order, _) = site.order("Shop", limits());
    let mut command = site.command(&config);
    command.arg("--once").env("TOKEN_OF_WALDUR", "agent-token").env("WALDUR", &site.sim.waldur_server.url);
    let ended = Process::run(&mut command).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.order_state(order), OrderState::Done);
}

#[tokio::test]
async fn tokens_that_are_rotated_while_the_agent_runs_are_picked_up() {
    let site = Site::start().await;
    let files = ["waldur-token", "okd-token"].map(|name| site.folder.path().join(name));
    std::fs::write(&files[0], "agent-token").unwrap();
    std::fs::write(&files[1], &site.sim.okd_token).unwrap();
    let mut config = site.config().with_global("polling_interval: 1\n");
    config.waldur_token = format!("waldur_api_token_file: {}\n", files[0].display());
    config.okd_token = format!("token_file: {}\n", files[1].display());
    let process = Process::start(&mut site.command(&config));
    let (order, _) = site.order("Shop", limits());
    site.ends(order, OrderState::Done).await;
    let second = site.sim.okd.add_service_account("waldur-system", "waldur-site-agent");
    std::fs::write(&files[0], "second-token\n").unwrap();
    std::fs::write(&files[1], &second).unwrap();
    site.sim.waldur.set_token(site.sim.waldur.user("agent-okd").unwrap(), "second-token");
    site.sim.okd.revoke_token(&site.sim.okd_token);
    let (order, _) = site.order("Blog", limits());
    site.ends(order, OrderState::Done).await;
    process.signal("TERM");
    let ended = process.end().await;
    assert_eq!(ended.code(), Some(0));
    assert_eq!(ended.errors(), "", "a rotation is nobody's error");
}
