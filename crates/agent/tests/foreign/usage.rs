//! Hours as a real Prometheus has them, against answers computed by hand.
//!
//! Integers of the ledger are millionths of a core, or bytes, times seconds: a quarter of a core for an hour is
//! 250000 × 3600 = 900000000.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::measuring::{COMPONENTS, site_at};
use crate::prometheus::{Metrics, Pod, Prometheus};
use crate::site::{Site, limits, within};

pub(crate) fn pod<'a>(namespace: &'a str, uid: &'a str, requests: &'a [(&'a str, &'a str)]) -> Pod<'a> {
    let (name, phase, node, instance) = ("web", "Running", "n1", "a");
    Pod { namespace, name, uid, phase, node, requests, instance }
}

/// A project of which kube-state-metrics shows a pod that requests a core from then until then.
pub(crate) async fn with_core(site: &Site, from: &str, until: &str) -> (Uuid, Metrics) {
    let resource = site.made("Shop", limits()).await;
    let namespace = site.backend_id(resource);
    let mut metrics = Metrics::default();
    let before = from.parse::<Timestamp>().unwrap() - SignedDuration::from_mins(5);
    metrics.namespace(&namespace, &before.to_string(), until);
    metrics.pod(&pod(&namespace, "u1", &[("cpu", "1")]), from, until);
    (resource, metrics)
}

#[tokio::test]
async fn pods_that_stay_end_come_again_and_change() {
    let site = site_at("2026-07-10T09:30:00Z").await;
    let names = ["Steady", "Restart", "Again", "Completed", "Change", "Double", "Gap", "Empty"];
    let mut made = Vec::new();
    for name in names {
        let resource = site.made(name, limits()).await;
        made.push((resource, site.backend_id(resource)));
    }
    let (begin, ten, end) = ("2026-07-10T09:30:00Z", "2026-07-10T10:00:00Z", "2026-07-10T12:00:00Z");
    let quarter = [("cpu", "0.25")];
    let mut m = Metrics::default();
    for (_, namespace) in made.iter().filter(|(_, namespace)| !namespace.contains("gap")) {
        m.namespace(namespace, begin, end);
    }
    let ns = |place: usize| made[place].1.as_str();
    // Steady: 0.25 cores from 10:00 to 12:00.
    m.pod(&pod(ns(0), "u1", &quarter), ten, end);
    // Restart of the container at 10:30: the pod and its request stay as they are; its uid does too.
    m.pod(&pod(ns(1), "u1", &quarter), ten, "2026-07-10T10:30:00Z");
    m.pod(&pod(ns(1), "u1", &quarter), "2026-07-10T10:30:00Z", end);
    // Again: the pod `web` ends at 10:20 and is made again at 10:40, with another uid: 40 of 60 minutes of 10:00.
    m.pod(&pod(ns(2), "u1", &quarter), ten, "2026-07-10T10:20:00Z");
    m.pod(&pod(ns(2), "u2", &quarter), "2026-07-10T10:40:00Z", end);
    // Completed at 10:15: kube-state-metrics shows its request on.
    m.pod(&pod(ns(3), "u1", &quarter), ten, "2026-07-10T10:15:00Z");
    m.pod(&Pod { phase: "Succeeded", ..pod(ns(3), "u1", &quarter) }, "2026-07-10T10:15:00Z", end);
    // Change of the request at 10:45, from 0.25 to 1.5 cores: a new pod, since requests of one do not change.
    m.pod(&pod(ns(4), "u1", &quarter), ten, "2026-07-10T10:45:00Z");
    m.pod(&pod(ns(4), "u2", &[("cpu", "1.5")]), "2026-07-10T10:45:00Z", end);
    // Double: two kube-state-metrics from 10:10 to 10:20, as during a restart.
    m.pod(&pod(ns(5), "u1", &quarter), ten, end);
    let second = Pod { instance: "b", ..pod(ns(5), "u1", &quarter) };
    m.pod(&second, "2026-07-10T10:10:00Z", "2026-07-10T10:20:00Z");
    // Gap: nothing is known from 10:30 to 11:30.
    for (from, until) in [(ten, "2026-07-10T10:30:00Z"), ("2026-07-10T11:30:00Z", end)] {
        m.namespace(ns(6), from, until);
        m.pod(&pod(ns(6), "u1", &quarter), from, until);
    }
    m.namespace(ns(6), begin, ten);
    let prometheus = Prometheus::start(&[&m]).await;
    let config = site.measuring(&prometheus.url, COMPONENTS);
    assert!(site.reports_at(&config, "2026-07-10T12:06:00Z").await);
    // 0.25 cores are 250000 millionths; × 60 s = 15000000 a minute.
    for (place, ten, eleven) in [
        (0, "900000000/60", "900000000/60"),
        (1, "900000000/60", "900000000/60"),
        (2, "600000000/60", "900000000/60"),
        (3, "225000000/60", "0/60"),
        // 45 × 15000000 + 15 × 90000000, and 60 × 90000000.
        (4, "2025000000/60", "5400000000/60"),
        (5, "900000000/60", "900000000/60"),
        (6, "450000000/30", "450000000/30"),
        (7, "0/60", "0/60"),
    ] {
        let ledger = site.ledger(made[place].0);
        let expected = [
            "2026-07-10 09:00 p cpu_hours=0/".to_owned(),
            format!("2026-07-10 10:00 p cpu_hours={ten}"),
            format!("2026-07-10 11:00 p cpu_hours={eleven}"),
        ];
        assert_eq!(ledger[1..], expected[1..], "{}", names[place]);
        // Made within the first seconds of 09:30: the minutes that begin after that.
        assert!(ledger[0].starts_with(&expected[0]), "{ledger:?}");
    }
    // Hours: 0.5, 0.5, 0.4166…, 0.0625, 2.0625, 0.5; a gap of 60 in 150 minutes is held back; nothing used is 0.00.
    let told: Vec<Vec<String>> = made.iter().map(|(resource, _)| site.told(*resource)).collect();
    let hours = |text: &str| vec![format!("2026-07-01 cpu_hours {text}")];
    let expected = ["0.50", "0.50", "0.42", "0.06", "2.06", "0.50"]
        .map(hours)
        .into_iter()
        .chain([vec![], hours("0.00")]);
    assert_eq!(told, expected.collect::<Vec<_>>());
    // Again, by an agent that knows nothing: no hour is asked for, nothing is written, nothing is sent.
    site.sim.waldur_server.traffic.reset();
    site.sim.okd_server.traffic.reset();
    assert!(site.reports_at(&config, "2026-07-10T12:06:30Z").await);
    let writes =
        |requests: Vec<String>| requests.iter().filter(|request| !request.starts_with("GET")).count();
    assert!(!site.waldur_requests().iter().any(|request| request.contains("set_usage")));
    let okd: Vec<String> = site.okd_requests().into_iter().filter(|line| !line.contains("reviews")).collect();
    assert_eq!(writes(okd), 0);
}

#[tokio::test]
async fn memory_is_told_in_the_unit_that_the_component_names() {
    let site = site_at("2026-07-10T10:00:00Z").await;
    let resource = site.made("Shop", limits()).await;
    let namespace = site.backend_id(resource);
    let mut m = Metrics::default();
    let (from, until) = ("2026-07-10T10:00:00Z", "2026-07-10T12:00:00Z");
    m.namespace(&namespace, from, until);
    // 8 GiB, as large numbers are written.
    m.pod(&pod(&namespace, "u1", &[("memory", "8.589934592e+09")]), from, until);
    let claim = format!("namespace=\"{namespace}\",persistentvolumeclaim=\"data\"");
    m.series("kube_persistentvolumeclaim_resource_requests_storage_bytes", &claim, from, until, "5e+10");
    let info = format!("{claim},storageclass=\"fast\",volumename=\"v1\"");
    m.series("kube_persistentvolumeclaim_info", &info, from, until, "1");
    let slow = format!("namespace=\"{namespace}\",persistentvolumeclaim=\"old\"");
    m.series("kube_persistentvolumeclaim_resource_requests_storage_bytes", &slow, from, until, "7e+10");
    let info = format!("{slow},storageclass=\"slow\",volumename=\"v2\"");
    m.series("kube_persistentvolumeclaim_info", &info, from, until, "1");
    let prometheus = Prometheus::start(&[&m]).await;
    let components = "\
memory_hours: {measured_unit: GiB-hours, accounting_type: usage, quota: [], usage: {resource: memory}}
claims: {measured_unit: GB-hours, accounting_type: usage, quota: [], usage: {resource: storage, storage_class: fast}}
";
    let config = site.measuring(&prometheus.url, components);
    assert!(site.reports_at(&config, "2026-07-10T12:06:00Z").await);
    // 8 GiB × 2 h, and 50 GB × 2 h, but for the minute in which the namespace was made.
    let ledger = site.ledger(resource);
    assert_eq!(ledger[1], "2026-07-10 11:00 p claims=180000000000000/60 memory_hours=30923764531200/60");
    // 59 or 60 minutes of the first hour: 8 × 119/60 = 15.87, 50 × 119/60 = 99.17.
    let told = site.told(resource);
    assert!(
        told == ["2026-07-01 claims 99.17", "2026-07-01 memory_hours 15.87"]
            || told == ["2026-07-01 claims 100.00", "2026-07-01 memory_hours 16.00"],
        "{told:?}"
    );
}

#[tokio::test]
async fn devices_are_told_by_model_and_unknown_ones_are_not_lost() {
    let site = site_at("2026-07-10T09:59:00Z").await;
    let resource = site.made("Train", limits()).await;
    let namespace = site.backend_id(resource);
    let mut m = Metrics::default();
    let (from, until) = ("2026-07-10T10:00:00Z", "2026-07-10T11:00:00Z");
    m.namespace(&namespace, from, until);
    let label = "node=\"gpu1\",label_nvidia_com_gpu_product=\"NVIDIA-A100\"";
    m.series("kube_node_labels", label, from, until, "1");
    m.series("kube_node_labels", "node=\"gpu2\"", from, until, "1");
    // Two devices on a node with the label for the hour, one on a node without it for half of it.
    let two = [("nvidia_com_gpu", "2")];
    let one = [("nvidia_com_gpu", "1")];
    m.pod(&Pod { node: "gpu1", ..pod(&namespace, "u1", &two) }, from, until);
    m.pod(&Pod { node: "gpu2", name: "try", ..pod(&namespace, "u2", &one) }, from, "2026-07-10T10:30:00Z");
    let prometheus = Prometheus::start(&[&m]).await;
    let components = "\
gpu_a100: {measured_unit: GPU-hours, accounting_type: usage, quota: [], usage: {resource: nvidia.com/gpu, model: NVIDIA-A100}}
gpu_other: {measured_unit: GPU-hours, accounting_type: usage, quota: [], usage: {resource: nvidia.com/gpu, model: unknown}}
";
    let config = site.measuring(&prometheus.url, components);
    assert!(site.reports_at(&config, "2026-07-10T11:06:00Z").await);
    // 2 × 3600 and 1 × 1800 seconds, in millionths.
    let ledger = site.ledger(resource);
    assert_eq!(ledger.last().unwrap(), "2026-07-10 10:00 p gpu_a100=7200000000/60 gpu_other=1800000000/60");
    assert_eq!(site.told(resource), ["2026-07-01 gpu_a100 2.00", "2026-07-01 gpu_other 0.50"]);
}

#[tokio::test]
async fn use_requests_and_what_is_allowed_are_different_things() {
    let site = site_at("2026-07-10T09:59:00Z").await;
    let resource = site.made("Shop", limits()).await;
    let namespace = site.backend_id(resource);
    let mut m = Metrics::default();
    let (from, half, until) = ("2026-07-10T09:54:00Z", "2026-07-10T10:30:00Z", "2026-07-10T11:00:00Z");
    m.namespace(&namespace, from, until);
    m.pod(&pod(&namespace, "u1", &[("cpu", "0.5")]), from, until);
    // A quota of four cores, of eight from 10:30 on; limits.cpu is twice that.
    let quota = format!(
        "namespace=\"{namespace}\",resourcequota=\"waldur-quota\",type=\"hard\",resource=\"limits.cpu\""
    );
    m.series("kube_resourcequota", &quota, from, half, "8");
    m.series("kube_resourcequota", &quota, half, until, "16");
    // A counter of CPU seconds: 15 a minute (0.25 cores) to 10:30, then 45 a minute (0.75 cores).
    let labels = format!("namespace=\"{namespace}\",pod=\"web\",container=\"main\",id=\"/a\"");
    let (begin, turn, end): (Timestamp, Timestamp, Timestamp) =
        (from.parse().unwrap(), half.parse().unwrap(), until.parse().unwrap());
    let mut seconds = 0;
    for second in (begin.as_second()..end.as_second()).step_by(60) {
        let at = Timestamp::from_second(second).unwrap();
        let next = Timestamp::from_second(second + 60).unwrap();
        m.series(
            "container_cpu_usage_seconds_total",
            &labels,
            &at.to_string(),
            &next.to_string(),
            &seconds.to_string(),
        );
        seconds += if at < turn { 15 } else { 45 };
    }
    let prometheus = Prometheus::start(&[&m]).await;
    let components = "\
cpu_hours: {measured_unit: core-hours, accounting_type: usage, quota: [], usage: {resource: cpu, measure: usage}}
max_cpu: {measured_unit: core-hours, accounting_type: usage, quota: [], usage: {resource: cpu, measure: max_requests_usage}}
allocated: {measured_unit: core-hours, accounting_type: usage, quota: {key: limits.cpu, ratio: 2}, usage: {measure: allocation}}
";
    let config = site.measuring(&prometheus.url, components);
    assert!(site.reports_at(&config, "2026-07-10T11:06:00Z").await);
    // Allowed: 4 cores × 1800 s + 8 × 1800 s = 21600 core-seconds.
    let ledger = site.ledger(resource);
    let hour = ledger.last().unwrap();
    assert!(hour.contains("allocated=21600000000/60"), "{hour}");
    // Used, by the rate over five minutes: 0.25 up to 10:30, then growing by 0.1 a minute to 0.75 at 10:35:
    // 31 × 0.25 + 0.35 + 0.45 + 0.55 + 0.65 + 25 × 0.75 = 28.5 core-minutes = 1710 core-seconds.
    assert!(hour.contains("cpu_hours=1710000000/60"), "{hour}");
    // The greater of that and 0.5: 31 × 0.5 + 0.5 + 0.5 + 0.55 + 0.65 + 25 × 0.75 = 36.45 core-minutes.
    assert!(hour.contains("max_cpu=2187000000/60"), "{hour}");
}

#[tokio::test]
async fn a_counter_that_begins_anew_is_no_use_lost_or_gained() {
    let site = site_at("2026-07-10T09:59:00Z").await;
    let resource = site.made("Shop", limits()).await;
    let namespace = site.backend_id(resource);
    let (from, until) = ("2026-07-10T09:54:00Z", "2026-07-10T11:00:00Z");
    let mut m = Metrics::default();
    m.namespace(&namespace, from, until);
    m.pod(&pod(&namespace, "u1", &[("cpu", "1")]), from, until);
    // 15 CPU seconds a minute (0.25 cores); at 10:30 the counter is at 15 again instead of where it would be.
    let labels = format!("namespace=\"{namespace}\",pod=\"web\",container=\"main\",id=\"/a\"");
    let (begin, turn): (Timestamp, Timestamp) =
        (from.parse().unwrap(), "2026-07-10T10:30:00Z".parse().unwrap());
    for minute in 0..66_i64 {
        let at = begin + SignedDuration::from_mins(minute);
        let since = if at < turn { minute } else { (at.as_second() - turn.as_second()) / 60 + 1 };
        let (at, next) = (at.to_string(), (at + SignedDuration::from_mins(1)).to_string());
        m.series("container_cpu_usage_seconds_total", &labels, &at, &next, &(since * 15).to_string());
    }
    let prometheus = Prometheus::start(&[&m]).await;
    let components = COMPONENTS.replace("resource: cpu", "resource: cpu, measure: usage");
    let config = site.measuring(&prometheus.url, &components);
    assert!(site.reports_at(&config, "2026-07-10T11:06:00Z").await);
    // 0.25 × 3600 core-seconds.
    assert_eq!(site.ledger(resource).last().unwrap(), "2026-07-10 10:00 p cpu_hours=900000000/60");
}

#[tokio::test]
async fn a_namespace_that_is_made_again_belongs_to_its_new_resource() {
    let site = site_at("2026-07-10T09:59:00Z").await;
    let first = site.made("Shop", limits()).await;
    let namespace = site.backend_id(first);
    let (from, until) = ("2026-07-10T10:00:00Z", "2026-07-10T12:00:00Z");
    let mut m = Metrics::default();
    m.namespace(&namespace, from, until);
    let (half, core) = ([("cpu", "0.5")], [("cpu", "1")]);
    m.pod(&pod(&namespace, "u1", &half), from, "2026-07-10T11:20:00Z");
    m.pod(&pod(&namespace, "u2", &core), "2026-07-10T11:40:00Z", until);
    let prometheus = Prometheus::start(&[&m]).await;
    let config = site.measuring(&prometheus.url, COMPONENTS);
    assert!(site.reports_at(&config, "2026-07-10T11:06:00Z").await);
    // Half a core for an hour.
    assert_eq!(site.ledger(first).last().unwrap(), "2026-07-10 10:00 p cpu_hours=1800000000/60");
    // Somebody deletes the project at 11:20, and the same name is made for another resource at 11:40.
    site.goes_to("2026-07-10T11:20:00Z");
    site.sim.okd.delete("namespaces", "", &namespace);
    site.goes_to("2026-07-10T11:39:58Z");
    let (offering, user, project) = (site.offering, site.owner, site.project);
    let order = simulator::waldur::CreateOrder {
        offering,
        project,
        user,
        name: "Other".to_owned(),
        limits: limits(),
    };
    let (_, second) = site.sim.waldur.place_create_order(order);
    site.sim.waldur.set_slug(second, namespace.trim_start_matches("waldur-alloc-"));
    assert!(site.once().await);
    assert_eq!(site.backend_id(second), namespace);
    assert!(site.reports_at(&config, "2026-07-10T12:06:00Z").await);
    // The first one: 20 minutes of half a core, to the end that was seen by the new one's beginning: 39 or 40 minutes.
    let ledger = site.ledger(first);
    assert!(ledger.last().unwrap().contains("11:00 p cpu_hours=600000000/"), "{ledger:?}");
    // The second one: 19 or 20 minutes of a core, by the second in which it was made.
    let ledger = site.ledger(second);
    let whole = "2026-07-10 11:00 p cpu_hours=1200000000/20";
    assert!(ledger == [whole] || ledger == ["2026-07-10 11:00 p cpu_hours=1140000000/19"], "{ledger:?}");
    // The first is told to its last hour: 0.5 + 0.5 / 3.
    assert_eq!(site.told(first), ["2026-07-01 cpu_hours 0.67"]);
}

#[tokio::test]
async fn a_month_ends_in_the_zone_of_the_site() {
    for (zone, edge, hours, july, august) in [
        // UTC+3: August begins at 21:00 UTC. From 17:00 that is 4 h, and 2 h after it.
        ("Europe/Tallinn", "21:00", 6, "4.00", "2.00"),
        // UTC+5:45: at 18:15 UTC, inside an hour: 1 h 15 min, and 4 h 45 min.
        ("Asia/Kathmandu", "18:15", 7, "1.25", "4.75"),
    ] {
        let site = site_at("2026-07-31T16:58:00Z").await;
        let (resource, m) = with_core(&site, "2026-07-31T17:00:00Z", "2026-07-31T23:00:00Z").await;
        let prometheus = Prometheus::start(&[&m]).await;
        let mut config = site.measuring(&prometheus.url, COMPONENTS);
        config.global =
            config.global.replace("reporting_periods: 1", &format!("reporting_periods: 2\ntimezone: {zone}"));
        assert!(site.reports_at(&config, "2026-07-31T23:06:00Z").await);
        let ledger = site.ledger(resource);
        assert_eq!(ledger.len(), hours + 1, "{zone}: {ledger:?}");
        assert!(ledger.iter().any(|line| line.contains(&format!(" {edge} p"))), "{zone}: {ledger:?}");
        // July for the server as well: both months are told, each with a date that it takes for the same month.
        let told = [format!("2026-07-01 cpu_hours {july}"), format!("2026-08-01 cpu_hours {august}")];
        assert_eq!(site.told(resource), told, "{zone}");
    }
}

#[tokio::test]
async fn the_night_in_which_clocks_go_back_has_an_hour_more() {
    // In Tallinn, 25 October 2026 begins at 21:00 UTC of the day before, and has 25 hours: clocks go back at 01:00 UTC.
    let site = site_at("2026-10-24T20:58:00Z").await;
    let (resource, m) = with_core(&site, "2026-10-24T21:00:00Z", "2026-10-25T22:00:00Z").await;
    let prometheus = Prometheus::start(&[&m]).await;
    let mut config = site.measuring(&prometheus.url, COMPONENTS);
    config.global.push_str("timezone: Europe/Tallinn\n");
    assert!(site.reports_at(&config, "2026-10-25T22:06:00Z").await);
    assert_eq!(site.told(resource), ["2026-10-01 cpu_hours 25.00"]);
    let whole = site.ledger(resource).iter().filter(|line| line.ends_with("cpu_hours=3600000000/60")).count();
    assert_eq!(whole, 25);
    assert_eq!(site.resource(resource)["current_usages"]["cpu_hours"], Value::from("25.00"));
}

#[tokio::test]
async fn the_command_shows_the_ledger_and_measures_a_month_again() {
    let site = site_at("2026-07-10T09:58:00Z").await;
    let (resource, m) = with_core(&site, "2026-07-10T10:00:00Z", "2026-07-10T14:00:00Z").await;
    let prometheus = Prometheus::start(&[&m]).await;
    let config = site.measuring(&prometheus.url, COMPONENTS);
    assert!(site.reports_at(&config, "2026-07-10T12:06:00Z").await);
    let file = site.folder.path().join("usage.yaml");
    std::fs::write(&file, config.text()).unwrap();
    let run = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
        let output = command.env_clear().arg("usage").args(arguments).arg("-c").arg(&file).output();
        let output = within("the command", output).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let rows: Value = serde_json::from_str(&run(&["--month", "2026-07", "--json"]).await).unwrap();
    assert_eq!(rows[0]["hours"], "2.00");
    assert_eq!(rows[0]["days"], json!({"2026-07-10": "2.00"}));
    assert_eq!((&rows[0]["waldur"], &rows[0]["difference"]), (&json!("2.00"), &json!("0.00")));
    // The month has ended by now, and no hour after noon was measured.
    assert_eq!(rows[0]["held"], true);
    let id = resource.simple().to_string();
    let table = run(&["--month", "2026-07", "--resource", &id]).await;
    assert!(table.lines().nth(1).unwrap().contains("held back: too little data"), "{table}");
    assert_eq!(
        run(&["--month", "2026-07", "--csv", "--resource", &Uuid::nil().to_string()]).await.lines().count(),
        1
    );
    let chart = site.folder.path().join("usage.svg");
    run(&["--month", "2026-07", "--svg", chart.to_str().unwrap()]).await;
    assert!(std::fs::read_to_string(chart).unwrap().contains("cpu_hours"));
    // Dry: nothing is written. Then the hours to 14:00 are found.
    let ledger = site.ledger(resource);
    let said = run(&["backfill", "--month", "2026-07", "--dry-run"]).await;
    assert_eq!(site.ledger(resource), ledger, "{said}");
    let said = run(&["backfill", "--month", "2026-07"]).await;
    assert!(said.contains("120 more than before"), "{said}");
    let rows: Value = serde_json::from_str(&run(&["--month", "2026-07", "--json"]).await).unwrap();
    assert_eq!(rows[0]["hours"], "4.00");
    assert_eq!(rows[0]["days"], json!({"2026-07-10": "4.00"}), "of the other days nothing is known");
    // Too little of the month is known to tell it.
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 2.00"]);
}
