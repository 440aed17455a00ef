//! What Waldur does not take costs the rest of a report nothing.

use agent::engine::EngineOptions;
use agent::{setup, usage};
use serde_json::json;
use simulator::waldur::{Seed, SeedComponent};

use crate::answering::{Answer, Answering};
use crate::measuring::{COMPONENTS, site_at, site_with};
use crate::members::Log;
use crate::site::{Config, Site, limits, within};

const SET_USAGE: &str = "POST /api/marketplace-component-usages/set_usage/";

fn sent(site: &Site) -> usize {
    site.waldur_requests().iter().filter(|request| *request == SET_USAGE).count()
}

async fn report(config: &Config) -> bool {
    let reports = setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
    within("the report", usage::report_once(&reports)).await
}

#[tokio::test]
async fn components_that_waldur_calls_invalid_are_left_out_with_a_warning() {
    // How they are billed is not shown, and nothing that this server takes usage of.
    let mut seed = Seed::demo();
    for kind in ["licences", "support"] {
        seed.offerings[0].components.push(SeedComponent::new(kind, kind, "core-hours", ""));
    }
    let site = site_with("2026-07-10T09:59:00Z", seed).await;
    let log = Log::start();
    let (shop, blog) = (site.made("Shop", limits()).await, site.made("Blog", limits()).await);
    let namespaces = [site.backend_id(shop), site.backend_id(blog)];
    let server = Answering::start(move |asked| {
        let (from, until) = ("2026-07-10T10:00:00Z", "2026-07-11T00:00:00Z");
        Answer::series(asked, &[(&namespaces[0], from, until, "1"), (&namespaces[1], from, until, "2")])
    });
    let hours = |kind: &str| COMPONENTS.replace("cpu_hours", kind);
    let components = format!("{COMPONENTS}{}{}", hours("licences"), hours("support"));
    site.sim.reset_traffic();
    assert!(site.reports_at(&site.measuring(&server.url, &components), "2026-07-10T11:06:00Z").await);
    assert_eq!(site.told(shop), ["2026-07-01 cpu_hours 1.00"]);
    assert_eq!(site.told(blog), ["2026-07-01 cpu_hours 2.00"]);
    assert_eq!(sent(&site), 4, "a report of each is refused as a whole, and then taken without them");
    for kind in ["licences", "support"] {
        assert_eq!(log.count(&format!("Waldur takes no usage of component `{kind}`")), 1, "{}", log.text());
    }
}

#[tokio::test]
async fn an_amount_that_waldur_refuses_is_left_out_and_the_others_are_sent() {
    let site = Site::start().await;
    let log = Log::start();
    let much = json!({"cpu": 4, "memory": 2_000_000_000, "storage": 100, "pods": 50});
    let resource = site.made("Shop", much).await;
    site.pod(&site.backend_id(resource), "web", "333m", "1000000000Gi");
    let mut config = site.reporting();
    // Nineteen digits, of which Waldur takes eighteen; it does not say which component it means.
    config.components = config.components.replace(
        "memory: {measured_unit: GB, accounting_type: limit}",
        "memory: {measured_unit: GB, accounting_type: limit, unit_factor_reporting: 0.000000001}",
    );
    assert!(report(&config).await);
    assert_eq!(
        site.reported(resource),
        ["cpu 0.33", "pods 1.00", "storage 0.00"],
        "with two decimals, as it takes"
    );
    log.has("Waldur refuses 1000000000000000000.00 of component `memory`");
}

#[tokio::test]
async fn a_past_month_that_waldur_refuses_is_tried_once_and_the_current_one_is_told() {
    let site = site_at("2026-07-31T20:00:00Z").await;
    let resource = site.made("Shop", limits()).await;
    let namespace = site.backend_id(resource);
    let server = Answering::start(move |asked| {
        Answer::series(asked, &[(&namespace, "2026-07-31T20:00:00Z", "2026-08-02T00:00:00Z", "1")])
    });
    let mut config = site.measuring(&server.url, COMPONENTS);
    config.global = config.global.replace("reporting_periods: 1", "reporting_periods: 2");
    let reports = setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
    let log = Log::start();
    for (now, told, times) in [
        ("2026-08-01T02:06:00Z", "2026-08-01 cpu_hours 2.00", 2),
        ("2026-08-01T03:06:00Z", "2026-08-01 cpu_hours 3.00", 1),
    ] {
        site.goes_to(now);
        site.sim.reset_traffic();
        assert!(within("the report", usage::report_at(&reports, now.parse().unwrap())).await);
        assert_eq!(site.told(resource), [told]);
        assert_eq!(sent(&site), times, "{now}");
    }
    assert_eq!(log.count("Waldur takes no usage of this past month"), 1, "{}", log.text());
    // A token of staff may.
    let staff = Config { waldur_token: config.waldur_token.replace("agent-token", "staff-token"), ..config };
    assert!(site.reports_at(&staff, "2026-08-01T04:06:00Z").await);
    let told = site.told(resource);
    let july = ["4.00", "3.98"].map(|hours| format!("2026-07-01 cpu_hours {hours}"));
    assert!(july.contains(&told[0]), "to its last hour, but for the minute in which it was made: {told:?}");
    assert_eq!(told[1], "2026-08-01 cpu_hours 4.00");
}
