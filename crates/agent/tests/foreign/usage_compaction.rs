//! Settled days of the ledger become lines of their month: nothing is lost and nothing counts twice, whenever the agent
//! dies and whoever else does the same.

use agent::engine::EngineOptions;
use agent::usage::Reports;
use agent::usage::show::{self, Selection};
use agent::{setup, usage};
use http::Method;
use planner::usage::month::Month;
use serde_json::{Value, json};
use simulator::faults::{Fault, PathMatch, Rule, When};
use uuid::Uuid;

use crate::measuring::{COMPONENTS, site_at};
use crate::prometheus::Prometheus;
use crate::site::{Config, Site, within};
use crate::usage::with_core;

const FROM: &str = "2026-07-01T20:00:00Z";
const UNTIL: &str = "2026-07-02T02:00:00Z";
/// Both days are settled from then on: the second one ended 96 hours before.
const SETTLED: &str = "2026-07-07T00:06:00Z";

/// A project that had a pod with a core from eight in the evening to two at night, and then went away or is still there.
/// Its hours are measured.
async fn measured(goes: bool) -> (Site, Uuid, Config, Prometheus) {
    let site = site_at("2026-07-01T19:59:00Z").await;
    let (resource, m) = with_core(&site, FROM, UNTIL).await;
    let namespace = site.backend_id(resource);
    let prometheus = Prometheus::start(&[&m]).await;
    let config = site.measuring(&prometheus.url, COMPONENTS);
    assert!(site.reports_at(&config, "2026-07-02T01:06:00Z").await);
    site.goes_to("2026-07-02T02:00:00Z");
    if goes {
        site.sim.okd.delete("namespaces", "", &namespace);
    }
    assert!(site.reports_at(&config, "2026-07-02T02:06:00Z").await);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 6.00"]);
    assert_eq!(objects(&site), ["20260701", "20260702"]);
    (site, resource, config, prometheus)
}

/// Which objects the ledger has: days or months.
fn objects(site: &Site) -> Vec<String> {
    let all = site.sim.okd.list("configmaps", Some("waldur-system")).into_iter();
    let ours = all.filter(|object| object["metadata"]["labels"]["waldur/ledger"] == "usage");
    let mut names: Vec<String> = ours
        .map(|object| object["metadata"]["name"].as_str().unwrap().rsplit('-').next().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn reports(config: &Config) -> Reports {
    setup::usage(&config.settings(), EngineOptions::default(), None).unwrap()
}

/// What the command shows of July: hours and minutes with data.
async fn shown(config: &Config) -> (Option<String>, u64) {
    let selection = Selection { month: Month::parse("2026-07"), resource: None };
    let now = SETTLED.parse().unwrap();
    let rows = within("the ledger is read", show::show(&reports(config), selection, now)).await.unwrap();
    (rows[0].hours.clone(), rows[0].minutes)
}

#[tokio::test]
async fn settled_days_become_lines_of_their_month() {
    let (site, resource, config, _prometheus) = measured(true).await;
    let before = shown(&config).await;
    assert_eq!(before.0.as_deref(), Some("6.00"));
    assert!(site.reports_at(&config, "2026-07-05T23:59:00Z").await);
    assert_eq!(objects(&site), ["20260701", "20260702"], "they may still change");
    assert!(site.reports_at(&config, SETTLED).await);
    assert_eq!(objects(&site), ["202607"]);
    assert_eq!(shown(&config).await, before);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 6.00"]);
    // Another agent, which has seen none of this, measures nothing, writes nothing and tells nothing.
    site.sim.reset_traffic();
    assert!(site.reports_at(&config, "2026-07-07T00:36:00Z").await);
    let writes =
        |lines: Vec<String>| lines.into_iter().filter(|line| !line.starts_with("GET")).collect::<Vec<_>>();
    let reviews = |line: &String| line.contains("reviews");
    assert!(writes(site.okd_requests()).iter().all(reviews), "{:?}", site.okd_requests());
    assert!(!site.waldur_requests().iter().any(|line| line.contains("set_usage")));
}

#[tokio::test]
async fn an_agent_that_dies_between_two_writes_leaves_nothing_lost_or_doubled() {
    // A month is written, then two days are deleted.
    for at in 1..=3 {
        let (site, resource, config, _prometheus) = measured(true).await;
        let before = shown(&config).await;
        let faults = site.sim.okd_server.faults.clone();
        let mut rules = Vec::new();
        for method in [Method::POST, Method::DELETE] {
            let path = PathMatch::Contains("/configmaps".to_owned());
            let nth = if method == Method::POST { 1 } else { at - 1 };
            if (method == Method::POST) == (at == 1) {
                rules.push(faults.add(Rule {
                    method: Some(method),
                    path,
                    spares: None,
                    when: When::Nth(nth),
                    fault: Fault::ResetAfter,
                }));
            }
        }
        let (traffic, known, rule) = (site.sim.okd_server.traffic.clone(), faults.clone(), rules[0]);
        let reports = reports(&config);
        site.goes_to(SETTLED);
        tokio::select! {
            _ = usage::report_at(&reports, SETTLED.parse().unwrap()) => {}
            () = within("the fault", traffic.wait_for(|_| known.struck(rule) > 0)) => {}
        }
        drop(reports);
        assert_eq!(faults.struck(rule), 1, "{at}");
        faults.clear();
        assert_eq!(shown(&config).await, before, "{at} {:?}", objects(&site));
        assert!(site.reports_at(&config, SETTLED).await);
        assert_eq!((objects(&site), shown(&config).await), (vec!["202607".to_owned()], before), "{at}");
        assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 6.00"]);
    }
}

#[tokio::test]
async fn two_agents_add_up_the_same_days() {
    let (site, resource, config, _prometheus) = measured(true).await;
    let before = shown(&config).await;
    site.goes_to(SETTLED);
    let (one, other) = (reports(&config), reports(&config));
    let now = SETTLED.parse().unwrap();
    let both = async { tokio::join!(usage::report_at(&one, now), usage::report_at(&other, now)) };
    assert_eq!(within("both reports", both).await, (true, true));
    assert_eq!((objects(&site), shown(&config).await), (vec!["202607".to_owned()], before));
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 6.00"]);
}

#[tokio::test]
async fn without_the_right_to_delete_days_stay_and_count_once() {
    let (site, _, config, _prometheus) = measured(true).await;
    let before = shown(&config).await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "ledger", "namespace": "waldur-system"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create", "patch"]}],
    });
    site.sim.okd.put(role).unwrap();
    assert!(site.reports_at(&config, SETTLED).await);
    assert_eq!(objects(&site), ["202607", "20260701", "20260702"]);
    assert_eq!(shown(&config).await, before);
}

#[tokio::test]
async fn an_edited_month_is_measured_again_as_far_as_prometheus_reaches() {
    let (site, resource, config, _prometheus) = measured(false).await;
    assert!(site.reports_at(&config, SETTLED).await);
    let (there, before) = (objects(&site), shown(&config).await);
    assert_eq!(there, ["202607", "20260703", "20260704", "20260705", "20260706"]);
    let all = site.sim.okd.list("configmaps", Some("waldur-system"));
    let ours = |object: &Value| object["metadata"]["labels"]["waldur/month"] == "2026-07";
    let mut object = all.into_iter().find(ours).unwrap();
    for text in object["data"].as_object_mut().unwrap().values_mut() {
        *text = json!(text.as_str().unwrap().replace("cpu_hours=", "cpu_hours=9"));
    }
    (object["apiVersion"], object["kind"]) = (json!("v1"), json!("ConfigMap"));
    for field in ["resourceVersion", "uid"] {
        object["metadata"].as_object_mut().unwrap().remove(field);
    }
    site.sim.okd.put(object).unwrap();
    assert_ne!(shown(&config).await, before, "nothing of it counts");
    assert!(site.reports_at(&config, "2026-07-07T00:10:00Z").await);
    assert_eq!((objects(&site), shown(&config).await), (there, before));
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 6.00"]);
}
