//! A site whose hours are measured by Prometheus, and what it says of them. The tests with a real one use it as well.

use agent::engine::EngineOptions;
use agent::{setup, usage};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use simulator::simulation::SimulationOptions;
use simulator::waldur::{Seed, SeedComponent};
use uuid::Uuid;

use crate::site::{Config, Site, options, within};

pub(crate) const COMPONENTS: &str = "\
cpu_hours: {measured_unit: core-hours, accounting_type: usage, quota: [], usage: {resource: cpu}}
";

/// The agent's rights on its own namespace.
const ROLE: [&str; 5] = ["get", "list", "create", "patch", "delete"];

/// A site whose clocks begin then.
pub(crate) async fn site_at(begin: &str) -> Site {
    site_with(begin, Seed::demo()).await
}

/// The same with these people and offerings.
pub(crate) async fn site_with(begin: &str, mut seed: Seed) -> Site {
    for (kind, unit) in [
        ("cpu_hours", "core-hours"),
        ("memory_hours", "GiB-hours"),
        ("gpu_a100", "GPU-hours"),
        ("gpu_other", "GPU-hours"),
        ("allocated", "core-hours"),
        ("max_cpu", "core-hours"),
        ("claims", "GB-hours"),
    ] {
        seed.offerings[0].components.push(SeedComponent::new(kind, kind, unit, "usage"));
    }
    let site = Site::with(SimulationOptions { seed, ..options() }).await;
    let begin: Timestamp = begin.parse().unwrap();
    site.sim.clock.step(begin.duration_since(site.sim.clock.now()));
    let metadata = |name: &str| json!({"name": name, "namespace": "waldur-system"});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata("ledger"),
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ROLE}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata("ledger"),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ledger"},
        "subjects": [{"kind": "ServiceAccount", "name": "waldur-site-agent", "namespace": "waldur-system"}],
    });
    site.sim.okd.put(role).unwrap();
    site.sim.okd.put(binding).unwrap();
    site
}

impl Site {
    pub(crate) fn measuring(&self, prometheus: &str, components: &str) -> Config {
        let mut config = self.config();
        config.services = "reporting_backend: okd\n".to_owned();
        config.components = components.to_owned();
        config.with_global(&format!(
            "monitoring: {{prometheus_url: '{prometheus}', prometheus_query_interval: 0}}\nreporting_periods: 1\n"
        ))
    }

    /// Clocks go to an instant.
    pub(crate) fn goes_to(&self, at: &str) {
        let at: Timestamp = at.parse().unwrap();
        self.sim.clock.step(at.duration_since(self.sim.clock.now()) + SignedDuration::from_secs(1));
    }

    /// Reports as of an instant, to which the clocks go.
    pub(crate) async fn reports_at(&self, config: &Config, at: &str) -> bool {
        self.goes_to(at);
        let reports = setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
        within("the report", usage::report_at(&reports, at.parse().unwrap())).await
    }

    pub(crate) fn told(&self, resource: Uuid) -> Vec<String> {
        let rows = self.sim.waldur.component_usages(resource);
        let mut rows: Vec<String> = rows
            .iter()
            .map(|row| {
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                format!("{} {} {}", text("billing_period"), text("type"), text("usage"))
            })
            .collect();
        rows.sort();
        rows
    }

    /// Lines of the ledger about a resource's hours, with their day.
    pub(crate) fn ledger(&self, resource: Uuid) -> Vec<String> {
        let objects = self.sim.okd.list("configmaps", Some("waldur-system"));
        let mut lines = Vec::new();
        for object in objects {
            let day = object["metadata"]["labels"]["waldur/day"].as_str().unwrap_or_default().to_owned();
            let data = object["data"].as_object().cloned().unwrap_or_default();
            for (key, text) in data.iter().filter(|(key, _)| key.starts_with(&resource.simple().to_string()))
            {
                let text = text.as_str().unwrap_or_else(|| panic!("{key} is no text"));
                let hours = text.lines().filter(|line| line.as_bytes()[2] == b':');
                lines.extend(hours.map(|hour| format!("{day} {hour}")));
            }
        }
        lines.sort();
        lines
    }
}
