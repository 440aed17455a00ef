//! What goes wrong with Prometheus and the ledger: nothing unknown becomes zero, nothing is counted twice, and what can
//! be put right is.

use std::net::TcpListener;
use std::time::Duration;

use agent::engine::{Bounds, EngineOptions};
use agent::{setup, usage};
use serde_json::json;
use uuid::Uuid;

use crate::answering::{Answer, Answering};
use crate::measuring::{COMPONENTS, site_at};
use crate::prometheus::{Metrics, Prometheus};
use crate::site::{Site, within};
use crate::usage::with_core;

const FROM: &str = "2026-07-10T10:00:00Z";

/// A site with one resource, whose pod requests a core from ten to noon.
async fn site() -> (Site, Uuid, Metrics) {
    let site = site_at("2026-07-10T09:55:00Z").await;
    let (resource, m) = with_core(&site, FROM, "2026-07-10T12:00:00Z").await;
    (site, resource, m)
}

impl Site {
    /// The ledger's hours from ten on.
    fn hours_since_ten(&self, resource: Uuid) -> Vec<String> {
        let lines = self.ledger(resource).into_iter();
        let lines = lines.filter_map(|line| line.strip_prefix("2026-07-10 ").map(str::to_owned));
        lines.filter(|line| line.as_str() > "10").collect()
    }
}

/// A server that gives each request the same answer.
fn answering(status: &'static str, kind: &'static str, body: &'static str) -> Answering {
    Answering::start(move |_| Answer::with(status, kind, body))
}

#[tokio::test]
async fn what_is_no_answer_counts_for_nothing_and_is_made_up_for_later() {
    let (site, resource, metrics) = site().await;
    let json = "application/json";
    let part = r#"{"status":"success","warnings":["store down"],"data":{"resultType":"matrix","result":[]}}"#;
    let refusals = [
        ("503 Service Unavailable", json, r#"{"status":"error","error":"too many"}"#),
        ("400 Bad Request", json, r#"{"status":"error","error":"parse error"}"#),
        ("401 Unauthorized", "text/plain", "Unauthorized"),
        ("422 Unprocessable Entity", json, r#"{"status":"error","error":"too many samples"}"#),
        ("200 OK", "text/html", "<html>Sign in</html>"),
        ("200 OK", json, part),
    ];
    for (status, kind, body) in refusals {
        let server = answering(status, kind, body);
        let config = site.measuring(&server.url, COMPONENTS);
        assert!(!site.reports_at(&config, "2026-07-10T12:06:00Z").await, "{status} {body}");
        assert!(!server.asked().is_empty());
        assert!(site.told(resource).is_empty() && site.ledger(resource).is_empty(), "{status} {body}");
    }
    // Nobody there at all.
    assert!(
        !site.reports_at(&site.measuring("http://127.0.0.1:1", COMPONENTS), "2026-07-10T12:06:00Z").await
    );
    let prometheus = Prometheus::start(&[&metrics]).await;
    let config = site.measuring(&prometheus.url, COMPONENTS);
    assert!(site.reports_at(&config, "2026-07-10T12:06:00Z").await);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 2.00"]);
}

#[tokio::test]
async fn a_slow_prometheus_is_given_up_and_asked_again_later() {
    let (site, resource, metrics) = site().await;
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = site.measuring(&format!("http://{}", silent.local_addr().unwrap()), COMPONENTS);
    let bounds = Bounds { request: Duration::from_millis(200), ..Bounds::default() };
    let options = EngineOptions { bounds, ..EngineOptions::default() };
    let now = "2026-07-10T12:06:00Z";
    site.goes_to(now);
    let reports = setup::usage(&config.settings(), options, None).unwrap();
    assert!(!within("the report", usage::report_at(&reports, now.parse().unwrap())).await);
    assert!(site.told(resource).is_empty() && site.ledger(resource).is_empty());
    let prometheus = Prometheus::start(&[&metrics]).await;
    assert!(site.reports_at(&site.measuring(&prometheus.url, COMPONENTS), now).await);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 2.00"]);
}

#[tokio::test]
async fn hours_of_which_nothing_is_known_are_held_back_and_gauges_are_told_all_the_same() {
    let (site, resource, _) = site().await;
    // An answer without series: retention is shorter than what is asked for, or nothing is scraped.
    let empty = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    let server = answering("200 OK", "application/json", empty);
    let components = format!("{COMPONENTS}cpu: {{measured_unit: Core, accounting_type: limit}}\n");
    assert!(site.reports_at(&site.measuring(&server.url, &components), "2026-07-10T12:06:00Z").await);
    assert_eq!(site.told(resource), ["2026-07-01 cpu 0.00"]);
    assert_eq!(site.hours_since_ten(resource), ["10:00 p cpu_hours=0/0", "11:00 p cpu_hours=0/0"]);
    // Down: the gauge is told as well, and the report says that not all could be said.
    site.sim.waldur.set_limits(resource, json!({"cpu": 8}));
    let down = site.measuring("http://127.0.0.1:1", &components);
    assert!(!site.reports_at(&down, "2026-07-10T13:06:00Z").await);
    assert_eq!(site.told(resource), ["2026-07-01 cpu 0.00"]);
}

#[tokio::test]
async fn bad_samples_are_unknown_minutes() {
    let (site, resource, mut metrics) = site().await;
    let namespace = site.backend_id(resource);
    let labels = format!("namespace=\"{namespace}\",pod=\"bad\",uid=\"u9\",instance=\"a\"");
    let (ten, quarter, half) = ("2026-07-10T10:10:00Z", "2026-07-10T10:11:00Z", "2026-07-10T10:12:00Z");
    metrics.series(
        "kube_pod_status_phase",
        &format!("{labels},phase=\"Running\""),
        ten,
        "2026-07-10T10:13:00Z",
        "1",
    );
    let request = format!("{labels},container=\"main\",node=\"n1\",resource=\"cpu\"");
    for (from, until, value) in
        [(ten, quarter, "NaN"), (quarter, half, "+Inf"), (half, "2026-07-10T10:13:00Z", "-5")]
    {
        metrics.series("kube_pod_container_resource_requests", &request, from, until, value);
    }
    let prometheus = Prometheus::start(&[&metrics]).await;
    assert!(site.reports_at(&site.measuring(&prometheus.url, COMPONENTS), "2026-07-10T12:06:00Z").await);
    // 57 minutes of a core: 57 × 60 × 1000000.
    assert_eq!(site.hours_since_ten(resource)[0], "10:00 p cpu_hours=3420000000/57");
}

#[tokio::test]
async fn an_object_that_was_deleted_or_edited_is_measured_again() {
    let (site, resource, metrics) = site().await;
    let prometheus = Prometheus::start(&[&metrics]).await;
    let config = site.measuring(&prometheus.url, COMPONENTS);
    assert!(site.reports_at(&config, "2026-07-10T12:06:00Z").await);
    let ledger = site.ledger(resource);
    let object = site
        .sim
        .okd
        .list("configmaps", Some("waldur-system"))
        .into_iter()
        .find(|object| object["metadata"]["labels"]["waldur/ledger"] == "usage");
    let mut object = object.unwrap();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    site.sim.okd.delete("configmaps", "waldur-system", &name);
    assert!(site.reports_at(&config, "2026-07-10T12:07:00Z").await);
    assert_eq!(site.ledger(resource), ledger);
    // Somebody gives themselves less.
    let texts = object["data"].as_object_mut().unwrap();
    for text in texts.values_mut() {
        *text = json!(text.as_str().unwrap().replace("3600000000", "36000000"));
    }
    object["kind"] = json!("ConfigMap");
    object["apiVersion"] = json!("v1");
    object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    object["metadata"].as_object_mut().unwrap().remove("uid");
    site.sim.okd.put(object).unwrap();
    assert_ne!(site.ledger(resource), ledger);
    assert!(site.reports_at(&config, "2026-07-10T12:08:00Z").await);
    assert_eq!(site.ledger(resource), ledger);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 2.00"]);
}

#[tokio::test]
async fn two_agents_add_to_each_others_hours() {
    let (site, resource, metrics) = site().await;
    let prometheus = Prometheus::start(&[&metrics]).await;
    let config = site.measuring(&prometheus.url, COMPONENTS);
    let reports = || setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
    let (one, other) = (reports(), reports());
    site.goes_to("2026-07-10T12:06:00Z");
    let now = "2026-07-10T12:06:00Z".parse().unwrap();
    let both = async { futures_join(usage::report_at(&one, now), usage::report_at(&other, now)).await };
    assert_eq!(within("both reports", both).await, (true, true));
    assert_eq!(
        site.hours_since_ten(resource),
        ["10:00 p cpu_hours=3600000000/60", "11:00 p cpu_hours=3600000000/60"]
    );
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 2.00"]);
}

async fn futures_join<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    tokio::join!(one, other)
}

#[tokio::test]
async fn without_rights_on_its_namespace_the_agent_tells_gauges_and_no_hours() {
    let (site, resource, metrics) = site().await;
    site.sim.okd.delete("rolebindings", "waldur-system", "ledger");
    let prometheus = Prometheus::start(&[&metrics]).await;
    let components = format!("{COMPONENTS}cpu: {{measured_unit: Core, accounting_type: limit}}\n");
    let config = site.measuring(&prometheus.url, &components);
    assert!(!site.reports_at(&config, "2026-07-10T12:06:00Z").await);
    assert_eq!(site.told(resource), ["2026-07-01 cpu 0.00"]);
}

#[tokio::test]
async fn hours_never_go_down() {
    for omit in [false, true] {
        let (site, resource, metrics) = site().await;
        let prometheus = Prometheus::start(&[&metrics]).await;
        let components = format!("{COMPONENTS}cpu: {{measured_unit: Core, accounting_type: limit}}\n");
        let mut config = site.measuring(&prometheus.url, &components);
        config.global.push_str(&format!("omit_anomalous_usage_components: {omit}\n"));
        assert!(site.reports_at(&config, "2026-07-10T12:06:00Z").await);
        // The operator takes a wrong turn: each hour counts half from now on, and the quota's use has changed.
        config.components = config
            .components
            .replace("usage: {resource: cpu}", "unit_factor_reporting: 2, usage: {resource: cpu}");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": site.backend_id(resource)},
            "spec": {"containers": [{"name": "main", "image": "web", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]},
            "status": {"phase": "Running"},
        });
        site.sim.okd.put(pod).unwrap();
        assert!(site.reports_at(&config, "2026-07-10T12:07:00Z").await);
        let cpu = if omit { "1.00" } else { "0.00" };
        assert_eq!(
            site.told(resource),
            [format!("2026-07-01 cpu {cpu}"), "2026-07-01 cpu_hours 2.00".to_owned()]
        );
    }
}

#[tokio::test]
async fn a_project_that_is_about_to_go_is_told_to_its_last_minute() {
    let (site, resource, metrics) = site().await;
    let prometheus = Prometheus::start(&[&metrics]).await;
    let config = site.measuring(&prometheus.url, COMPONENTS);
    let now = "2026-07-10T11:30:10Z";
    site.goes_to(now);
    let reports = setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
    let told = usage::report_last_at(&reports, site.offering, resource, now.parse().unwrap());
    within("the last report", told).await.unwrap();
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 1.50"]);
    // The hour that had begun is not kept: should the project stay, all of it counts when it is over.
    assert_eq!(site.hours_since_ten(resource), ["10:00 p cpu_hours=3600000000/60"]);
    assert!(site.reports_at(&config, "2026-07-10T12:06:00Z").await);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 2.00"]);
}
