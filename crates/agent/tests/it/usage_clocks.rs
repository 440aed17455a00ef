//! Clocks that disagree: hours that are not over for Prometheus are not counted, and a month is Waldur's month.

use std::sync::Mutex;

use agent::engine::EngineOptions;
use agent::usage::Reports;
use agent::{setup, usage};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::answering::{Answer, Answering, Asked};
use crate::measuring::{COMPONENTS, site_at};
use crate::members::Log;
use crate::site::{Config, Site, limits, within};

const FROM: &str = "2026-07-10T10:00:00Z";

/// A namespace with a core from `from` on, as known at an instant.
fn core(asked: &Asked, namespace: &str, from: &str, now: Timestamp) -> Answer {
    Answer::series(asked, &[(namespace, from, &now.to_string(), "1")])
}

/// A Prometheus whose clock is off by so much, for an agent whose clock says `now`.
struct Off {
    by: SignedDuration,
    now: Timestamp,
}

fn prometheus(namespace: String, off: &'static Mutex<Off>) -> Answering {
    Answering::start(move |asked| {
        let off = off.lock().unwrap();
        // What is later by its clock it does not know yet.
        let answer = core(asked, &namespace, FROM, off.now.checked_add(off.by).unwrap());
        Answer { date: Some(Timestamp::now().checked_add(off.by).unwrap()), ..answer }
    })
}

/// Lines of the ledger that hold something of an hour.
fn hours(site: &Site, resource: Uuid) -> Vec<String> {
    let lines = site.ledger(resource).into_iter();
    lines.filter(|line| line.as_str() >= "2026-07-10 10:00").collect()
}

#[tokio::test]
async fn an_hour_that_is_not_over_for_prometheus_is_counted_when_it_is() {
    let site = site_at("2026-07-10T09:59:00Z").await;
    let resource = site.made("Shop", limits()).await;
    let log = Log::start();
    let now = |text: &str| text.parse::<Timestamp>().unwrap();
    let first = "2026-07-10T12:06:00Z";
    let off: &'static Mutex<Off> =
        Box::leak(Box::new(Mutex::new(Off { by: SignedDuration::from_mins(-40), now: now(first) })));
    let server = prometheus(site.backend_id(resource), off);
    let config = site.measuring(&server.url, COMPONENTS);
    let reports = setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
    site.goes_to(first);
    assert!(within("the report", usage::report_at(&reports, now(first))).await);
    let ten = "2026-07-10 10:00 p cpu_hours=3600000000/60";
    assert_eq!(hours(&site, resource), [ten], "for Prometheus it is 11:26");
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 1.00"]);
    log.has("the clock of Prometheus is behind");
    // By its clock it is 12:06 as well.
    let second = "2026-07-10T12:46:00Z";
    off.lock().unwrap().now = now(second);
    site.goes_to(second);
    assert!(within("the report", usage::report_at(&reports, now(second))).await);
    let eleven = "2026-07-10 11:00 p cpu_hours=3600000000/60";
    assert_eq!(hours(&site, resource), [ten, eleven]);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 2.00"]);
    assert_eq!(log.count("the clock of Prometheus is behind"), 1);
}

#[tokio::test]
async fn an_hour_that_is_over_for_prometheus_alone_is_not_counted() {
    let site = site_at("2026-07-10T09:59:00Z").await;
    let resource = site.made("Shop", limits()).await;
    let now = "2026-07-10T11:06:00Z";
    let off: &'static Mutex<Off> =
        Box::leak(Box::new(Mutex::new(Off { by: SignedDuration::from_hours(2), now: now.parse().unwrap() })));
    let server = prometheus(site.backend_id(resource), off);
    let config = site.measuring(&server.url, COMPONENTS);
    assert!(site.reports_at(&config, now).await);
    assert_eq!(hours(&site, resource), ["2026-07-10 10:00 p cpu_hours=3600000000/60"]);
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 1.00"]);
}

#[tokio::test]
async fn what_prometheus_has_not_reached_is_left_out_of_a_last_report_and_not_taken_for_nothing() {
    let site = site_at("2026-07-10T09:59:00Z").await;
    let resource = site.made("Shop", limits()).await;
    let now: Timestamp = "2026-07-10T12:06:00Z".parse().unwrap();
    let off: &'static Mutex<Off> =
        Box::leak(Box::new(Mutex::new(Off { by: SignedDuration::from_mins(-40), now })));
    let server = prometheus(site.backend_id(resource), off);
    let mut config = site.measuring(&server.url, COMPONENTS);
    config.global = config.global.replace("monitoring: {", "monitoring: {minimum_coverage: 0.5, ");
    site.goes_to("2026-07-10T12:06:00Z");
    let reports = setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
    let told = usage::report_last_at(&reports, site.offering, resource, now);
    within("the last report", told).await.unwrap();
    // To 11:26; only the hour that is over for both is kept.
    assert_eq!(site.told(resource), ["2026-07-01 cpu_hours 1.43"]);
    assert_eq!(hours(&site, resource), ["2026-07-10 10:00 p cpu_hours=3600000000/60"]);
}

/// A site whose Prometheus knows a core from the twentieth on, and its reports.
async fn waldurs_clock(zone: &str) -> (Site, Uuid, Reports) {
    let site = site_at("2026-07-20T00:00:00Z").await;
    let resource = site.made("Shop", limits()).await;
    let namespace = site.backend_id(resource);
    let end = "2026-09-01T00:00:00Z".parse().unwrap();
    let server = Answering::start(move |asked| core(asked, &namespace, "2026-07-20T00:00:00Z", end));
    let components = format!("{COMPONENTS}cpu: {{measured_unit: Core, accounting_type: limit}}\n");
    let config =
        Config { ..site.measuring(&server.url, &components) }.with_global(&format!("timezone: {zone}\n"));
    let reports = setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
    (site, resource, reports)
}

#[tokio::test]
async fn a_month_that_is_over_for_waldur_alone_is_told_when_its_clock_is_right_again() {
    let (site, resource, reports) = waldurs_clock("UTC").await;
    let now: Timestamp = "2026-07-31T12:06:00Z".parse().unwrap();
    site.goes_to("2026-08-02T00:00:00Z");
    assert!(!within("the report", usage::report_at(&reports, now)).await, "usage of July is refused");
    assert!(site.told(resource).is_empty());
    site.goes_to("2026-07-31T12:06:00Z");
    assert!(within("the report", usage::report_at(&reports, now)).await);
    // 11 days and 12 hours, but for the minute in which the namespace was made.
    let told = site.told(resource);
    assert!(
        told == ["2026-07-01 cpu 0.00", "2026-07-01 cpu_hours 276.00"] || told[1].ends_with("275.98"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_month_that_has_not_begun_for_waldur_is_told_as_itself() {
    for (zone, now, month) in [
        ("UTC", "2026-08-01T01:06:00Z", "2026-08-01"),
        // In Tallinn August begins at 21:00 UTC, in New York at 04:00 UTC: to the last hour it is July there.
        ("Europe/Tallinn", "2026-07-31T22:06:00Z", "2026-08-01"),
        ("America/New_York", "2026-07-31T23:06:00Z", "2026-07-01"),
    ] {
        let (site, resource, reports) = waldurs_clock(zone).await;
        // Waldur is two hours behind, and the agent looks at one month alone.
        let waldurs = now.parse::<Timestamp>().unwrap().checked_sub(SignedDuration::from_hours(2)).unwrap();
        site.goes_to(&waldurs.to_string());
        assert!(within("the report", usage::report_at(&reports, now.parse().unwrap())).await, "{zone}");
        let told = site.told(resource);
        assert_eq!(told.len(), 2, "{zone}: {told:?}");
        assert!(told.iter().all(|row| row.starts_with(month)), "{zone}: {told:?}");
    }
}
