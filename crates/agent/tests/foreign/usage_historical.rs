//! `waldur_site_load_historical_usage`: months of the past, from a real Prometheus.

use std::path::PathBuf;

use tokio::process::Command;
use uuid::Uuid;

use crate::measuring::{COMPONENTS, site_at};
use crate::prometheus::Prometheus;
use crate::site::{Config, Site, within};
use crate::usage::with_core;

/// A resource with four core-hours on 10 July, and a Waldur in August.
async fn site() -> (Site, Uuid, Config, Prometheus) {
    let site = site_at("2026-07-10T09:58:00Z").await;
    let (resource, m) = with_core(&site, "2026-07-10T10:00:00Z", "2026-07-10T14:00:00Z").await;
    let prometheus = Prometheus::start(&[&m]).await;
    let mut config = site.measuring(&prometheus.url, COMPONENTS);
    config.global = config.global.replace("monitoring: {", "monitoring: {minimum_coverage: 0, ");
    site.goes_to("2026-08-05T00:00:00Z");
    (site, resource, config, prometheus)
}

struct Said {
    code: Option<i32>,
    all: String,
}

impl Site {
    /// Runs the command under its own name, for July.
    async fn load(&self, config: &Config, token: &str, more: &[&str]) -> Said {
        let (file, name) = (self.folder.path().join("usage.yaml"), "waldur_site_load_historical_usage");
        std::fs::write(&file, config.text()).unwrap();
        let link: PathBuf = self.folder.path().join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_waldur_site_agent"), &link).unwrap();
        }
        let offering = self.offering.to_string();
        let mut command = Command::new(link);
        command.env_clear().arg("--config").arg(file).args([
            "--user-token",
            token,
            "--offering-uuid",
            &offering,
        ]);
        command.args(["--start-date", "2026-07-05", "--end-date", "2026-07-31"]).args(more);
        let output = within("the command", command.output()).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!all.contains(token), "{all}");
        Said { code: output.status.code(), all }
    }
}

#[tokio::test]
async fn months_of_the_past_are_measured_and_told_with_a_token_of_staff() {
    let (site, resource, config, _prometheus) = site().await;
    let said = site.load(&config, "staff-token", &["--dry-run"]).await;
    assert_eq!(said.code, Some(0), "{}", said.all);
    assert!(said.all.contains("2026-07: 1 resources would be told, 0 as Waldur has them"), "{}", said.all);
    assert!(site.told(resource).is_empty() && site.ledger(resource).is_empty());
    let said = site.load(&config, "staff-token", &["--skip-user-usage"]).await;
    assert_eq!(said.code, Some(0), "{}", said.all);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 4.00"]);
    let said = site.load(&config, "staff-token", &[]).await;
    assert!(said.all.contains("2026-07: 0 resources told, 1 as Waldur has them"), "{}", said.all);
    // One resource alone, and one that there is not.
    let said = site.load(&config, "staff-token", &["--resource-backend-id", "waldur-alloc-nobody-1"]).await;
    assert_eq!(said.code, Some(1), "{}", said.all);
    assert!(said.all.contains("no resource has the backend id `waldur-alloc-nobody-1`"), "{}", said.all);
}

#[tokio::test]
async fn less_than_waldur_has_is_told_where_somebody_asks_for_it() {
    let (site, resource, config, _prometheus) = site().await;
    assert_eq!(site.load(&config, "staff-token", &[]).await.code, Some(0));
    let mut half = config.clone();
    half.components = half.components.replace("usage: {", "unit_factor_reporting: 2, usage: {");
    assert_eq!(site.load(&half, "staff-token", &[]).await.code, Some(0));
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 2.00"]);
    // The project and all that is known of it are gone: what Waldur has is stale.
    site.sim.okd.delete("namespaces", "", &site.backend_id(resource));
    for object in site.sim.okd.list("configmaps", Some("waldur-system")) {
        site.sim.okd.delete("configmaps", "waldur-system", object["metadata"]["name"].as_str().unwrap());
    }
    assert_eq!(site.load(&config, "staff-token", &[]).await.code, Some(0));
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 2.00"], "what is not known is not told");
    assert_eq!(site.load(&config, "staff-token", &["--reconcile-stale"]).await.code, Some(0));
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 0.00"]);
}

#[tokio::test]
async fn what_cannot_be_loaded_is_exit_1_with_the_reason() {
    let (site, resource, config, _prometheus) = site().await;
    let said = site.load(&config, "agent-token", &[]).await;
    assert_eq!(said.code, Some(1), "{}", said.all);
    assert!(said.all.contains("no staff") && said.all.contains("--no-staff-check"), "{}", said.all);
    let said = site.load(&config, "agent-token", &["--no-staff-check"]).await;
    assert_eq!(said.code, Some(1), "{}", said.all);
    assert!(said.all.contains("from staff only"), "{}", said.all);
    let mut other = config.clone();
    other.offering = Uuid::from_u128(9).simple().to_string();
    let said = site.load(&other, "staff-token", &[]).await;
    assert_eq!(said.code, Some(1), "{}", said.all);
    let none =
        Config { offering: config.offering.clone(), ..site.measuring("http://127.0.0.1:1", COMPONENTS) };
    let said = site.load(&none, "staff-token", &[]).await;
    assert_eq!(said.code, Some(1), "{}", said.all);
    assert!(said.all.contains("Connection refused"), "{}", said.all);
    assert!(site.told(resource).is_empty());
}
