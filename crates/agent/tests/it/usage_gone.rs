//! A namespace that somebody deletes while nobody looks: what it used up to then is told, and nothing is made up.

use agent::engine::EngineOptions;
use agent::{setup, usage};
use uuid::Uuid;

use crate::answering::{Answer, Answering};
use crate::measuring::{COMPONENTS, site_at};
use crate::site::{Config, Site, limits, within};

const FROM: &str = "2026-07-10T10:00:00Z";
const SHOWN_UNTIL: &str = "2026-07-10T11:20:00Z";
const LONG_AFTER: &str = "2026-07-10T20:06:00Z";

/// A project with a core from ten on, and a Prometheus that shows it to 11:20, and others in these stretches of time.
async fn site(others: &'static [(&str, &str)]) -> (Site, Uuid, Config) {
    let site = site_at("2026-07-10T09:59:00Z").await;
    let resource = site.made("Shop", limits()).await;
    let namespace = site.backend_id(resource);
    let server = Answering::start(move |asked| {
        let mut series = Vec::new();
        if asked.query.contains(&namespace) {
            series.push((namespace.as_str(), FROM, SHOWN_UNTIL, "1"));
        }
        if asked.query.contains("kube-system") {
            let named = ["default", "kube-system"].into_iter().zip(others);
            series = named.map(|(name, (from, until))| (name, *from, *until, "1")).collect();
        }
        Answer::series(asked, &series)
    });
    let config = site.measuring(&server.url, COMPONENTS);
    (site, resource, config)
}

/// The ledger's hours since ten: minutes with data.
fn minutes(site: &Site, resource: Uuid) -> Vec<String> {
    let lines = site.ledger(resource).into_iter().filter(|line| line.as_str() >= "2026-07-10 10:00");
    lines.map(|line| line.rsplit('/').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_was_used_before_it_went_is_told_however_late_it_is_missed() {
    let (site, resource, config) = site(&[(FROM, LONG_AFTER)]).await;
    assert!(site.reports_at(&config, "2026-07-10T11:06:00Z").await);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 1.00"]);
    // It is deleted, and the agent comes back in the evening.
    site.sim.okd.delete("namespaces", "", &site.backend_id(resource));
    assert!(site.reports_at(&config, LONG_AFTER).await);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 1.33"]);
    let lines = site.ledger(resource);
    assert!(lines.contains(&"2026-07-10 11:00 p cpu_hours=1200000000/60".to_owned()), "{lines:#?}");
    assert!(lines.contains(&"2026-07-10 19:00 p cpu_hours=0/60".to_owned()), "{lines:#?}");
    // The six minutes up to when it was missed, and nothing after that.
    assert!(site.reports_at(&config, "2026-07-10T22:06:00Z").await);
    assert_eq!(site.ledger(resource).len(), lines.len() + 1);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 1.33"]);
}

#[tokio::test]
async fn what_is_not_known_to_have_gone_is_no_zero() {
    for others in [
        // Nothing is shown at all after it: Prometheus was down.
        &[(FROM, SHOWN_UNTIL)] as &'static [(&str, &str)],
        // Others are not shown to the end.
        &[(FROM, "2026-07-10T15:00:00Z")],
        &[],
    ] {
        let (site, resource, config) = site(others).await;
        assert!(site.reports_at(&config, "2026-07-10T11:06:00Z").await);
        site.sim.okd.delete("namespaces", "", &site.backend_id(resource));
        assert!(site.reports_at(&config, LONG_AFTER).await);
        assert_eq!(minutes(&site, resource)[..3], ["60", "20", "0"], "{others:?}");
        assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 1.00"], "{others:?}: it is held back");
    }
    // It is there, and Prometheus has lost sight of it.
    let (site, resource, config) = site(&[(FROM, LONG_AFTER)]).await;
    assert!(site.reports_at(&config, LONG_AFTER).await);
    assert_eq!(minutes(&site, resource)[..3], ["60", "20", "0"]);
    assert!(site.told(resource).is_empty());
}

#[tokio::test]
async fn minutes_of_which_nothing_is_known_before_it_went_stay_unknown() {
    let (site, resource, config) = site(&[(FROM, SHOWN_UNTIL), ("2026-07-10T12:30:00Z", LONG_AFTER)]).await;
    site.goes_to(LONG_AFTER);
    assert!(site.reports_at(&config, "2026-07-10T11:06:00Z").await);
    site.sim.okd.delete("namespaces", "", &site.backend_id(resource));
    assert!(site.reports_at(&config, LONG_AFTER).await);
    assert_eq!(minutes(&site, resource)[..4], ["60", "20", "30", "60"]);
}

#[tokio::test]
async fn a_project_that_was_not_terminated_and_went_later_is_told_to_its_end() {
    let (site, resource, config) = site(&[(FROM, LONG_AFTER)]).await;
    // Its last usage is told, as before it is terminated. That fails, and it lives on to 11:20.
    site.goes_to("2026-07-10T10:30:00Z");
    let reports = setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
    let told =
        usage::report_last_at(&reports, site.offering, resource, "2026-07-10T10:30:00Z".parse().unwrap());
    within("the last report", told).await.unwrap();
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 0.50"]);
    site.sim.okd.delete("namespaces", "", &site.backend_id(resource));
    assert!(site.reports_at(&config, "2026-07-10T12:06:00Z").await);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 1.33"]);
}

#[tokio::test]
async fn a_prometheus_that_does_not_say_whether_it_has_gone_leaves_it_for_later() {
    let (site, resource, config) = site(&[(FROM, LONG_AFTER)]).await;
    assert!(site.reports_at(&config, "2026-07-10T11:06:00Z").await);
    site.sim.okd.delete("namespaces", "", &site.backend_id(resource));
    let down = site.measuring("http://127.0.0.1:1", COMPONENTS);
    assert!(!site.reports_at(&down, LONG_AFTER).await);
    assert_eq!(minutes(&site, resource), ["60"]);
    assert!(site.reports_at(&config, "2026-07-10T20:10:00Z").await);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 1.33"]);
}
