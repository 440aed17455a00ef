//! Usage of single days, for a Waldur that takes it.

use serde_json::Value;
use simulator::waldur::{Seed, SeedComponent};

use crate::measuring::{COMPONENTS, site_with};
use crate::prometheus::{Metrics, Prometheus};
use crate::site::limits;
use crate::usage::{pod, with_core};

/// A Waldur with spending limits: every component says for which periods, whether or not there are any.
fn seed() -> Seed {
    let mut seed = Seed::demo();
    let components = &mut seed.offerings[0].components;
    components.push(SeedComponent::new("minutes", "Minutes", "core-hours", "usage"));
    components
        .iter_mut()
        .for_each(|component| drop(component.more.insert("spending_limit_periods".to_owned(), Value::Null)));
    seed
}

#[tokio::test]
async fn hours_are_told_by_day_of_utc_and_gauges_by_month() {
    // 10 July in Tallinn begins at 21:00 UTC; the server's days do not.
    let site = site_with("2026-07-01T00:00:00Z", seed()).await;
    site.goes_to("2026-07-09T19:59:30Z");
    let resource = site.made("Shop", limits()).await;
    let namespace = site.backend_id(resource);
    let (from, until) = ("2026-07-09T20:00:00Z", "2026-07-10T02:00:00Z");
    let mut m = Metrics::default();
    m.namespace(&namespace, "2026-07-09T19:55:00Z", until);
    m.pod(&pod(&namespace, "u1", &[("cpu", "0.333")]), from, until);
    let prometheus = Prometheus::start(&[&m]).await;
    let components = format!("{COMPONENTS}cpu: {{measured_unit: Core, accounting_type: limit}}\n");
    let mut config = site.measuring(&prometheus.url, &components);
    config.global.push_str("timezone: Europe/Tallinn\n");
    assert!(site.reports_at(&config, "2026-07-10T02:06:00Z").await);
    // 4 h and 2 h of 0.333 cores: 1.332 and, with the second day, 1.998; the days add up to what the month is rounded to.
    assert_eq!(site.told(resource), ["2026-07-01 cpu 0.00", "2026-07-01 cpu_hours 2.00"]);
    let days = site.sim.waldur.daily_usages(resource);
    let told: Vec<&str> = days.iter().map(String::as_str).collect();
    assert_eq!(told.len(), 10);
    assert_eq!(told[7..], ["cpu_hours 2026-07-08 0", "cpu_hours 2026-07-09 133", "cpu_hours 2026-07-10 67"]);
    // The same again is not sent.
    site.sim.waldur_server.traffic.reset();
    assert!(site.reports_at(&config, "2026-07-10T02:30:00Z").await);
    assert!(!site.waldur_requests().iter().any(|request| request.contains("set_usage")));
}

#[tokio::test]
async fn a_month_that_has_not_begun_for_the_server_is_told_when_it_has() {
    // August begins in Tallinn at 21:00 UTC of 31 July.
    let site = site_with("2026-07-31T20:59:00Z", seed()).await;
    let (resource, m) = with_core(&site, "2026-07-31T21:00:00Z", "2026-08-01T02:00:00Z").await;
    let prometheus = Prometheus::start(&[&m]).await;
    let mut config = site.measuring(&prometheus.url, COMPONENTS);
    config.global.push_str("timezone: Europe/Tallinn\n");
    assert!(site.reports_at(&config, "2026-07-31T23:06:00Z").await);
    assert!(site.told(resource).is_empty(), "{:?}", site.told(resource));
    assert!(site.reports_at(&config, "2026-08-01T02:06:00Z").await);
    // The three hours of the server's July are told on the first day of the month that they belong to.
    assert_eq!(site.told(resource), ["2026-08-01 cpu_hours 5.00"]);
    assert_eq!(site.sim.waldur.daily_usages(resource), ["cpu_hours 2026-08-01 500"]);
}
