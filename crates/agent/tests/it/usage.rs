//! What Waldur is told of usage: quota use as it is now, sent when it changes.

use std::time::Duration;

use agent::engine::EngineOptions;
use agent::{setup, usage};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::okd::OkdOptions;
use simulator::simulation::SimulationOptions;
use simulator::waldur::{Generation, ResourceState, Seed, SeedComponent};
use tokio::process::Command;
use uuid::Uuid;

use crate::process::Process;
use crate::site::{Config, Site, limits, options, within};

const SET_USAGE: &str = "POST /api/marketplace-component-usages/set_usage/";

impl Site {
    pub(crate) fn reporting(&self) -> Config {
        Config { services: "reporting_backend: okd\n".to_owned(), ..self.config() }
    }

    /// One report; whether all could be said.
    async fn report(&self, config: &Config) -> bool {
        let reports = setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
        within("the report", usage::report_once(&reports)).await
    }

    /// A pod that requests this.
    pub(crate) fn pod(&self, namespace: &str, name: &str, cpu: &str, memory: &str) {
        let requests = json!({"cpu": cpu, "memory": memory});
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"containers": [{"name": "main", "image": "web", "resources": {"requests": requests}}]},
            "status": {"phase": "Running"},
        });
        self.sim.okd.put(pod).unwrap();
    }

    /// What Waldur has, as `component amount`.
    pub(crate) fn reported(&self, resource: Uuid) -> Vec<String> {
        let rows = self.sim.waldur.component_usages(resource);
        let mut rows: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {}", row["type"].as_str().unwrap(), row["usage"].as_str().unwrap()))
            .collect();
        rows.sort();
        rows
    }

    fn sent(&self) -> usize {
        self.waldur_requests().iter().filter(|request| *request == SET_USAGE).count()
    }
}

#[tokio::test]
async fn what_the_quota_shows_is_told_and_told_again_only_when_it_changes() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    let namespace = site.backend_id(resource);
    site.pod(&namespace, "web", "1500m", "524288Ki");
    assert!(site.report(&site.reporting()).await);
    assert_eq!(site.reported(resource), ["cpu 1.50", "memory 0.50", "pods 1.00", "storage 0.00"]);
    assert_eq!(site.sent(), 1);
    assert!(site.report(&site.reporting()).await);
    assert_eq!(site.sent(), 1, "nothing has changed");
    // A gauge goes down again.
    site.sim.okd.delete("pods", &namespace, "web");
    assert!(site.report(&site.reporting()).await);
    assert_eq!(site.reported(resource), ["cpu 0.00", "memory 0.00", "pods 0.00", "storage 0.00"]);
    assert_eq!(site.sent(), 2);
}

#[tokio::test]
async fn large_amounts_and_factors_are_exact() {
    let site = Site::start().await;
    let resource = site.made("Shop", json!({"cpu": 4, "memory": 1024, "storage": 1, "pods": 1})).await;
    site.pod(&site.backend_id(resource), "db", "10m", "1Ti");
    let config = Config {
        components: "cpu: {measured_unit: Core, accounting_type: limit}\n\
                     memory: {measured_unit: TB, accounting_type: limit, unit_factor_reporting: 1024}\n"
            .to_owned(),
        ..site.reporting()
    };
    assert!(site.report(&config).await);
    assert_eq!(site.reported(resource), ["cpu 0.01", "memory 1.00"]);
}

#[tokio::test]
async fn what_is_not_known_is_not_told() {
    // The quota's controller takes its time.
    let okd = OkdOptions { settle_delay: Duration::from_secs(3600), ..OkdOptions::immediate() };
    let site = Site::with(SimulationOptions { okd, ..options() }).await;
    let resource = site.made("Shop", limits()).await;
    let quota = site.sim.okd.get("resourcequotas", &site.backend_id(resource), "waldur-quota").unwrap();
    assert_eq!(quota["status"]["used"], Value::Null);
    assert!(site.report(&site.reporting()).await);
    assert_eq!(site.reported(resource), Vec::<String>::new());
}

#[tokio::test]
async fn a_namespace_that_is_not_ours_is_not_reported() {
    let site = Site::start().await;
    // A namespace that carries another resource's labels, or nobody's, is not reported.
    let other = site.made("Blog", limits()).await;
    site.somebody_elses("payments");
    site.sim.waldur.set_backend_id(other, "payments");
    site.sim.okd.delete("namespaces", "", "waldur-alloc-blog-1");
    assert!(site.report(&site.reporting()).await);
    assert_eq!(site.reported(other), Vec::<String>::new());
}

#[tokio::test]
async fn a_resource_in_a_state_that_waldur_refuses_waits_for_the_next_report() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    let other = site.made("Blog", limits()).await;
    site.sim.waldur.force_resource(resource, ResourceState::Erred);
    assert!(site.report(&site.reporting()).await);
    assert_eq!((site.reported(resource).len(), site.reported(other).len()), (0, 4));
    site.sim.waldur.force_resource(resource, ResourceState::Ok);
    assert!(site.report(&site.reporting()).await);
    assert_eq!(site.reported(resource).len(), 4);
}

#[tokio::test]
async fn a_component_that_waldur_lacks_or_bills_otherwise_costs_the_others_nothing() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    let config = site.reporting().with_components(
        "gpu: {measured_unit: GPU, accounting_type: limit, quota: requests.nvidia.com/gpu}\n",
    );
    assert!(site.report(&config).await);
    assert_eq!(site.reported(resource).len(), 4);
}

#[tokio::test]
async fn a_month_of_many_resources_is_compared_in_one_request() {
    let site = Site::start().await;
    for name in ["Shop", "Blog", "Wiki", "Mail"] {
        site.made(name, limits()).await;
    }
    assert!(site.report(&site.reporting()).await);
    assert_eq!(site.sent(), 4);
    site.sim.waldur_server.traffic.reset();
    site.sim.okd_server.traffic.reset();
    assert!(site.report(&site.reporting()).await);
    let requests = site.waldur_requests();
    let rows = requests.iter().filter(|request| request.contains("component-usages"));
    assert_eq!(rows.collect::<Vec<_>>(), ["GET /api/marketplace-component-usages/"], "{requests:#?}");
    let read = |plural: &str| site.okd_requests().iter().filter(|request| request.ends_with(plural)).count();
    assert_eq!((read("/resourcequotas"), read("/rolebindings"), read("/limitranges")), (1, 0, 0));
}

#[tokio::test]
async fn a_server_of_2024_is_told_of_its_own_month() {
    let site = Site::with(SimulationOptions { generation: Generation::October2024, ..options() }).await;
    let resource = site.made("Shop", limits()).await;
    site.pod(&site.backend_id(resource), "web", "2", "1Gi");
    assert!(site.report(&site.reporting()).await);
    assert_eq!(site.reported(resource), ["cpu 2.00", "memory 1.00", "pods 1.00", "storage 0.00"]);
    let shown: Value = site.resource(resource)["current_usages"].clone();
    assert_eq!(shown["cpu"], "2.00");
}

#[tokio::test]
async fn the_program_reports_in_its_mode() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    let file = site.config_file(&site.reporting().text());
    let run = async |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
        command.env_clear().args(["-m", "report", "--once"]).args(more).arg("-c").arg(&file);
        Process::run(&mut command).await
    };
    let ended = run(&["--dry-run"]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert!(ended.all().contains("would report 0.00 of cpu"), "{}", ended.all());
    assert_eq!(site.sent(), 0);
    let ended = run(&[]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.reported(resource).len(), 4);
}

#[tokio::test]
async fn without_prometheus_hours_are_sampled_from_the_quota() {
    let mut seed = Seed::demo();
    for kind in ["cpu_hours", "used_hours"] {
        seed.offerings[0].components.push(SeedComponent::new(kind, kind, "core-hours", "usage"));
    }
    let mut rules = simulator::okd::extended_agent_rules();
    let configmaps = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create", "patch", "delete"]});
    rules.as_array_mut().unwrap().push(configmaps);
    let site = Site::with(SimulationOptions { seed, agent_rules: rules, ..options() }).await;
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let begin = at("2026-07-10T09:59:00Z");
    site.sim.clock.step(begin.duration_since(site.sim.clock.now()));
    let resource = site.made("Shop", limits()).await;
    site.pod(&site.backend_id(resource), "web", "500m", "1Gi");
    let mut config = site.reporting();
    config.components = "\
        cpu_hours: {measured_unit: core-hours, accounting_type: usage, quota: {key: requests.cpu}}\n\
        used_hours: {measured_unit: core-hours, accounting_type: usage, quota: [], usage: {resource: cpu, measure: usage}}\n"
        .to_owned();
    config.global.push_str("monitoring: {minimum_coverage: 0.5}\n");
    let reports = setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
    // Ten minutes nobody looks; a second look in one minute counts for nothing.
    let looks = (0..3600).step_by(30).filter(|second| *second < 1800 || *second >= 2400);
    for second in looks {
        let minute = at("2026-07-10T10:00:00Z").checked_add(SignedDuration::from_secs(second)).unwrap();
        assert!(within("a look", usage::sample_at(&reports, minute)).await);
    }
    let now = at("2026-07-10T11:06:00Z");
    site.sim.clock.step(now.duration_since(site.sim.clock.now()));
    assert!(within("the report", usage::report_at(&reports, now)).await);
    // Half a core in 50 minutes.
    assert_eq!(site.reported(resource), ["cpu_hours 0.42"]);
    let objects = site.sim.okd.list("configmaps", Some("waldur-system"));
    let object =
        objects.iter().find(|object| object["metadata"]["labels"]["waldur/ledger"] == "usage").unwrap();
    let text = object["data"].to_string();
    assert!(text.contains("10:00 s cpu_hours=1500000000/50"), "{text}");
    // Another agent, which has sampled nothing, tells the same.
    assert!(
        within(
            "the report",
            usage::report_at(&setup::usage(&config.settings(), EngineOptions::default(), None).unwrap(), now)
        )
        .await
    );
    assert_eq!(site.reported(resource), ["cpu_hours 0.42"]);
}
