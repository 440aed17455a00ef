//! One look at an offering: what was used, what Waldur has, and the difference sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use futures::StreamExt as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use planner::usage::fraction::Hundredths;
use planner::usage::month::{self, Month};
use planner::usage::report::{self, Decision, Reading};
use planner::usage::rule::{Measure, Rule, Thing};
use planner::usage::sums::Sums;
use uuid::Uuid;

use super::prometheus::Prometheus;
use super::{KINDS, Reported, Reports, compaction, hours, send};
use crate::engine::Offering;
use crate::error::ApiError;
use crate::heartbeat;
use crate::waldur::calls::DaysOf;
use crate::waldur::dto;

/// Reports that are sent at the same time.
const SENT_AT_ONCE: usize = 8;

/// Resources whose hours are held back that are named.
const SHOWN: usize = 5;

/// What Waldur has of a month, by resource.
pub(super) type Known = HashMap<Uuid, KnownMonth>;

/// What Waldur has of a resource's month.
#[derive(Debug, Default)]
pub(super) struct KnownMonth {
    pub(super) values: BTreeMap<String, Hundredths>,
    /// Components with more than one row, or with one that cannot be read.
    pub(super) doubtful: BTreeSet<String>,
}

/// Looks at one offering and sends what has changed, of the months that are reported or of one of them. An error means
/// that not everything could be said.
pub(super) async fn pass(
    reports: &Reports,
    reported: &Reported,
    now: Timestamp,
    month: Option<Month>,
) -> Result<(), ApiError> {
    let begun = Instant::now();
    let result = look(reports, reported, now, (None, month)).await;
    reported.offering.options.metrics.passed("report", result.is_ok(), begun.elapsed());
    match &result {
        Ok(counts) => tracing::info!(resources = counts.resources, sent = counts.sent, "usage reported"),
        Err(error) => tracing::error!(error = %error, "usage cannot be reported; will try again"),
    }
    result.map(drop)
}

/// Reports one resource whose namespace is about to be deleted, with the hour that has begun.
pub(super) async fn last(
    reports: &Reports,
    reported: &Reported,
    resource: Uuid,
    now: Timestamp,
) -> Result<(), ApiError> {
    look(reports, reported, now, (Some(resource), None)).await.map(drop)
}

#[derive(Debug, Default)]
struct Counts {
    resources: usize,
    sent: usize,
}

async fn look(
    reports: &Reports,
    reported: &Reported,
    now: Timestamp,
    (last_of, month): (Option<Uuid>, Option<Month>),
) -> Result<Counts, ApiError> {
    let offering = &reported.offering;
    if last_of.is_none() {
        heartbeat::beat();
        offering.register("report", "OfferingReportProcessor").await?;
    }
    let components = offering.read_offering().await?.components;
    let rules = taken(reports, reported, &components);
    let by_days = told_by_day(&components);
    offering.cluster.surroundings().await?;
    let refresh = async {
        match last_of {
            None => offering.cluster.refresh_kinds(&KINDS).await,
            Some(resource) => offering.cluster.observe(resource, "", true).await.map(drop),
        }
    };
    let (resources, ()) =
        futures::try_join!(offering.waldur.resources_with_usage(offering.options.uuid, last_of), refresh)?;
    let mut counts = Counts { resources: resources.len(), sent: 0 };
    let mut failure = None;
    let months = month.map_or_else(|| months(reports, reported, now), |month| vec![month]);
    let (hour_rules, rules): (Vec<Rule>, Vec<Rule>) =
        rules.into_iter().partition(|rule| rule.measure.is_hours());
    let hours = if hour_rules.is_empty() {
        None
    } else {
        match hours::hours(reports, reported, &hour_rules, &resources, &months, (now, last_of)).await {
            Ok(hours) => {
                failure.clone_from(&hours.failure);
                Some(hours)
            }
            // What the quotas show can be told all the same.
            Err(error) => {
                failure = Some(error);
                None
            }
        }
    };
    if last_of.is_none() && hours.is_some() {
        compaction::daily(reports, reported, &hour_rules, now).await;
    }
    for month in months {
        let known = known(offering, last_of, month).await?;
        let mut held_back: Vec<String> = Vec::new();
        let sending = resources.iter().filter(|resource| resource.takes_usage()).filter_map(|resource| {
            let mut readings = readings(offering, &rules, resource, month, reports, now);
            let mut days = DaysOf::new();
            if let Some(sums) = hours.as_ref().and_then(|hours| hours.months.get(&month)) {
                let mut held = Vec::new();
                let minimum = reported.minimum_coverage;
                let mut of_hours = hours::readings(&hour_rules, resource.uuid, sums, minimum, &mut held);
                days = by_day(&hour_rules, &by_days, &mut of_hours, (resource.uuid, sums), now);
                readings.extend(of_hours);
                if !held.is_empty() {
                    held_back.push(format!("{}: {}", resource.uuid.simple(), held.join(", ")));
                }
            }
            let decision = decide(reported, resource, &readings, known.get(&resource.uuid));
            (!decision.send.is_empty()).then_some((resource, decision, days))
        });
        let sending: Vec<_> = sending.collect();
        if !held_back.is_empty() {
            tracing::warn!(
                %month, resources = held_back.len(),
                "hours with too little data are held back; `usage` shows all: {}",
                held_back.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ")
            );
        }
        let sends: Vec<_> = sending
            .into_iter()
            .map(|(resource, decision, days)| {
                send::send(reports, reported, resource, month, decision.send, days, now)
            })
            .collect();
        let mut sent = futures::stream::iter(sends).buffer_unordered(SENT_AT_ONCE);
        while let Some(sent) = sent.next().await {
            match sent {
                Ok(count) => counts.sent += usize::from(count),
                Err(error) => failure = Some(error),
            }
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(counts),
    }
}

/// The months that are looked at. A server of 2024 heeds no date, so that it takes the month in which it is itself.
fn months(reports: &Reports, reported: &Reported, now: Timestamp) -> Vec<Month> {
    let options = &reports.options;
    let mut months = month::reported(now, &options.zone, options.periods);
    if reported.offering.waldur.is_legacy() {
        let servers = Month::of(now, &jiff::tz::TimeZone::UTC);
        months.retain(|month| *month == servers);
    }
    let hours = reported.rules.iter().any(|rule| rule.measure.is_hours());
    months.retain(|month| hours || *month == Month::of(now, &options.zone));
    months.retain(|month| !reports.is_closed(reported.offering.options.uuid, *month));
    months
}

/// The rules of components of which Waldur takes usage.
pub(super) fn taken(reports: &Reports, reported: &Reported, components: &[dto::Component]) -> Vec<Rule> {
    let name = &reported.offering.options.name;
    let rules = reported.rules.iter().filter(|rule| {
        let Some(component) = components.iter().find(|component| component.kind == rule.component) else {
            reports.say_once(format!(
                "offering `{name}` has no component `{}` in Waldur; its usage is not reported",
                rule.component
            ));
            return false;
        };
        let by_quota = matches!(rule.measure, Measure::Requests | Measure::Allocation) && rule.quota_key.is_some();
        if reported.prometheus.is_none() && rule.measure.is_hours() && !by_quota {
            reports.say_once(format!(
                "hours of component `{}` of offering `{name}` cannot be measured: without `prometheus_url` only what a \
                 quota shows can be, as requests or allocation",
                rule.component
            ));
            return false;
        }
        let several = !reported.offering.options.policy.naming.environments.is_empty();
        if several && reported.prometheus.is_some() && rule.measure == Measure::Allocation {
            reports.say_once(format!(
                "hours of component `{}` of offering `{name}` cannot be measured: what a quota over several namespaces \
                 allows is not asked of Prometheus; measure requests or usage instead",
                rule.component
            ));
            return false;
        }
        let by_model = matches!(&rule.thing, Some(Thing::Device { model: Some(_), .. }));
        if by_model && reported.prometheus.as_ref().is_some_and(Prometheus::is_for_tenants) {
            reports.say_once(format!(
                "component `{}` of offering `{name}` cannot be measured: models are labels of nodes, which the port for \
                 tenants (`prometheus_tenancy`) does not show",
                rule.component
            ));
            return false;
        }
        let billed = component.billing_type.as_str();
        let takes = matches!(billed, "usage" | "limit" | "");
        if !takes {
            reports.say_once(format!(
                "component `{}` of offering `{name}` is billed as `{billed}`, of which Waldur takes no usage",
                rule.component
            ));
        }
        takes
    });
    rules.cloned().collect()
}

/// Components of which Waldur takes usage of each day: those billed by usage, where the server has spending limits.
pub(super) fn told_by_day(components: &[dto::Component]) -> BTreeSet<String> {
    let takes_days = components.iter().any(|component| component.takes_days);
    let by_usage = components.iter().filter(|component| takes_days && component.billing_type == "usage");
    by_usage.map(|component| component.kind.clone()).collect()
}

/// The days of the components that are told by day. One whose month has not begun for the server is left out of the
/// readings: it has no day to be told of yet.
pub(super) fn by_day(
    rules: &[Rule],
    by_days: &BTreeSet<String>,
    readings: &mut Vec<Reading>,
    (resource, sums): (Uuid, &Sums),
    now: Timestamp,
) -> DaysOf {
    let today = TimeZone::UTC.to_datetime(now).date();
    let mut all = DaysOf::new();
    for rule in rules.iter().filter(|rule| by_days.contains(&rule.component)) {
        let totals = sums.by_utc_day(resource, &rule.component);
        match report::days(rule, &totals, sums.of.month, today) {
            Some(days) => drop(all.insert(rule.component.clone(), days)),
            None => readings.retain(|reading| reading.component != rule.component),
        }
    }
    all
}

/// What Waldur has of a month.
pub(super) async fn known(
    offering: &Offering,
    resource: Option<Uuid>,
    month: Month,
) -> Result<Known, ApiError> {
    let rows =
        offering.waldur.component_usages(offering.options.uuid, resource, &month.billing_period()).await?;
    let mut known = Known::new();
    for row in rows {
        let Some(resource) = row.resource_uuid else { continue };
        let month = known.entry(resource).or_default();
        let text = row.usage.as_str().map_or_else(|| row.usage.to_string(), str::to_owned);
        match Hundredths::parse(&text) {
            Some(value) if !month.values.contains_key(&row.kind) => {
                month.values.insert(row.kind, value);
            }
            _ => {
                month.doubtful.insert(row.kind);
            }
        }
    }
    Ok(known)
}

/// What is known of a resource's month. What is not known is not there.
fn readings(
    offering: &Offering,
    rules: &[Rule],
    resource: &dto::ReportedResource,
    month: Month,
    reports: &Reports,
    now: Timestamp,
) -> Vec<Reading> {
    let is_now = month == Month::of(now, &reports.options.zone);
    let seen = offering.cluster.use_of(resource.uuid, resource.backend_id.trim());
    let used = seen.map(|seen| seen.used).filter(|_| is_now);
    let gauges = rules.iter().filter(|rule| rule.measure == Measure::QuotaUsed).filter_map(|rule| {
        let value = rule.gauge(used.as_ref()?)?;
        Some(Reading { component: rule.component.clone(), value, is_hours: false })
    });
    gauges.collect()
}

fn decide(
    reported: &Reported,
    resource: &dto::ReportedResource,
    readings: &[Reading],
    known: Option<&KnownMonth>,
) -> Decision {
    let nothing = KnownMonth::default();
    let known = known.unwrap_or(&nothing);
    let decision = report::decide(readings, &known.values, &known.doubtful, reported.omit_anomalous);
    for (component, (before, now)) in &decision.anomalies {
        let what = if reported.omit_anomalous { "left out of the report" } else { "the report is held back" };
        tracing::warn!(
            resource = %resource.uuid.simple(), component,
            "Waldur has {before} hours of this month and {now} were measured; hours never go down: {what}"
        );
    }
    decision
}
