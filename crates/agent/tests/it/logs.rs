//! What the program logs, where, and at which level.

use serde_json::Value;

use crate::process::Process;
use crate::site::{Site, limits};

#[tokio::test]
async fn each_line_is_an_object_with_the_keys_of_the_python_agent() {
    let site = Site::start().await;
    let (order, resource) = site.order("Shop", limits());
    let ended = Process::run(site.command(&site.config()).arg("--once")).await;
    let log = ended.log();
    assert!(log.len() > 5, "{}", ended.stdout);
    for line in &log {
        for key in ["event", "level", "logger", "timestamp"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
        let timestamp: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(timestamp.as_second() > 1_700_000_000);
        assert!(["debug", "info", "warning", "error", "critical"].contains(&line["level"].as_str().unwrap()));
    }
    let about = |event: &str| log.iter().find(|line| line["event"] == event).cloned().unwrap_or_default();
    let done: Value = about(&format!("order {} is done", order.simple()));
    assert_eq!(done["resource"], resource.simple().to_string(), "{done}");
    assert_eq!(done["offering"], "okd", "{done}");
    assert_eq!(done["logger"], "audit");
}

#[tokio::test]
async fn the_level_comes_from_the_file_and_variables_override_it() {
    let site = Site::start().await;
    for (configured, variables, least) in [
        ("INFO", &[][..], "info"),
        ("WARNING", &[], "warning"),
        ("ERROR", &[("WALDUR_LOG_LEVEL", "DEBUG")], "debug"),
        ("ERROR", &[("WALDUR_LOG_LEVEL", "info")], "info"),
        ("ERROR", &[("WALDUR_LOG_LEVEL", "")], "error"),
        ("ERROR", &[("WALDUR_LOG_LEVEL", "WARNING"), ("RUST_LOG", "debug")], "debug"),
        ("DEBUG", &[("RUST_LOG", "off")], "nothing"),
    ] {
        let config = site.config().with_global(&format!("log_level: {configured}\n"));
        let mut command = site.command(&config);
        command.arg("--once").envs(variables.iter().copied());
        let ended = Process::run(&mut command).await;
        assert_eq!(ended.code(), Some(0), "{}", ended.all());
        let levels: Vec<String> =
            ended.log().iter().map(|line| line["level"].as_str().unwrap().to_owned()).collect();
        let has = |level: &str| levels.iter().any(|known| known == level);
        let what = format!("{configured} {variables:?} {levels:?}");
        assert_eq!(has("debug"), least == "debug", "{what}");
        assert_eq!(has("info"), ["debug", "info"].contains(&least), "{what}");
    }
}

#[tokio::test]
async fn a_log_file_gets_the_lines_as_well_and_is_appended_to() {
    let site = Site::start().await;
    let path = site.folder.path().join("agent.log");
    std::fs::write(&path, "{\"event\": \"before\"}\n").unwrap();
    let config = site.config().with_global(&format!("log_file: {}\n", path.display()));
    let ended = Process::run(site.command(&config).arg("--once")).await;
    let text = std::fs::read_to_string(&path).unwrap();
    let events = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).collect()
    };
    assert_eq!(events(&text)[0], "before");
    assert_eq!(events(&text)[1..], events(&ended.stdout));
}

#[tokio::test]
async fn a_log_file_that_cannot_be_opened_is_named() {
    let site = Site::start().await;
    let config = site.config().with_global("log_file: /nowhere/agent.log\n");
    let ended = Process::run(site.command(&config).arg("--once")).await;
    assert_eq!(ended.code(), Some(2));
    assert!(ended.stderr.contains("cannot open the log file `/nowhere/agent.log`"), "{}", ended.all());
}

#[tokio::test]
async fn on_a_terminal_the_log_is_text_for_people() {
    let site = Site::start().await;
    let config = site.config_file(&site.config().text());
    let program = env!("CARGO_BIN_EXE_waldur_site_agent");
    let mut command = tokio::process::Command::new("script");
    // util-linux: runs a command with a terminal of its own.
    command.args(["--quiet", "--return", "--command"]);
    command.arg(format!("{program} -m order_process --once -c {}", config.display())).arg("/dev/null");
    let ended = Process::run(&mut command).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert!(ended.stdout.contains("starting") && ended.stdout.contains("INFO"), "{}", ended.all());
    assert!(serde_json::from_str::<Value>(ended.stdout.lines().next().unwrap()).is_err(), "{}", ended.all());
}

#[tokio::test]
async fn nothing_is_said_twice_while_nothing_changes() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    site.sim.okd.hold_termination("waldur-alloc-shop-1", "example.org/backup");
    let order = site.terminate(resource);
    let config = site.config().with_global("polling_interval: 1\n");
    let process = Process::start(&mut site.command(&config));
    process.stdout.says("example.org/backup").await;
    site.sim.reset_traffic();
    let looks = site.sim.waldur_server.traffic.wait_for(|traffic| {
        traffic.requests().iter().filter(|request| request.path == "/api/marketplace-orders/").count() >= 4
    });
    crate::site::within("more passes", looks).await;
    site.sim.okd.release_termination("waldur-alloc-shop-1");
    site.ends(order, simulator::waldur::OrderState::Done).await;
    process.signal("TERM");
    let ended = process.end().await;
    assert_eq!(ended.stdout.matches("example.org/backup").count(), 1, "{}", ended.stdout);
}
