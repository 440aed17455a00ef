//! From settings to what reports usage.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use planner::amount::Amount;
use planner::names;
use planner::usage::rule::Rule;

use super::{Service, amount};
use crate::credentials::{Credential, TokenSource};
use crate::engine::{Engine, EngineOptions, Offering, Scope};
use crate::settings::{ComponentSettings, ExactDecimal, Mode, OfferingSettings, Settings};
use crate::usage::prometheus::{Prometheus, PrometheusOptions};
use crate::usage::{Compacted, ReportOptions, Reported, Reports, Samples};
use crate::waldur::http::Verify;

/// Puts together what reports usage, on the offerings of an engine where it has them. Nothing is sent.
///
/// # Errors
/// As [`super::engine`].
pub fn usage(
    settings: &Settings,
    options: EngineOptions,
    engine: Option<&Engine>,
) -> anyhow::Result<Reports> {
    let served = engine.map_or(&[][..], Engine::offerings);
    let all = settings.offerings.iter().filter(|offering| offering.reporting);
    let reported = reported(settings, options, served, all)?;
    if reported.is_empty() {
        bail!("no offering of the configuration reports usage; switch it on with `reporting_backend: okd`");
    }
    Ok(reports(settings, options, reported))
}

/// Gives an engine what reports usage: in mode `all` of every offering that reports, else of those whose orders it works,
/// for the last time before a project goes.
pub(super) fn attach(
    settings: &Settings,
    mode: Mode,
    options: EngineOptions,
    engine: &Engine,
) -> anyhow::Result<()> {
    let works_orders = |offering: &OfferingSettings| {
        let served = engine.offerings().iter().find(|served| served.options.uuid == offering.offering_uuid);
        served.is_some_and(|served| served.options.scope != Scope::Resources)
    };
    let chosen = settings
        .offerings
        .iter()
        .filter(|offering| offering.reporting && (mode == Mode::All || works_orders(offering)));
    let reported = reported(settings, options, engine.offerings(), chosen)?;
    if !reported.is_empty() {
        engine.report_by(reports(settings, options, reported));
    }
    Ok(())
}

fn reports(settings: &Settings, options: EngineOptions, reported: Vec<Reported>) -> Reports {
    let (zone, periods) = (settings.timezone.clone(), settings.reporting_periods);
    Reports::new(reported, ReportOptions { zone, periods, dry_run: options.dry_run })
}

fn reported<'a>(
    settings: &Settings,
    options: EngineOptions,
    served: &[Arc<Offering>],
    offerings: impl Iterator<Item = &'a OfferingSettings>,
) -> anyhow::Result<Vec<Reported>> {
    let mut reported = Vec::new();
    for offering in offerings {
        // One client and one token for an offering, whatever is done with it.
        let known =
            served.iter().find(|served| served.options.uuid == offering.offering_uuid).map(Arc::clone);
        let is_watched = known.is_some();
        let built = match known {
            Some(known) => Ok(known),
            None => super::offering(settings, offering, &Service::of(Scope::Resources), "report", options)
                .map(Arc::new),
        };
        let built = built.and_then(|built| {
            let mut rules = Vec::new();
            for component in &offering.components {
                let rule = usage_rule(component);
                rules.extend(rule.with_context(|| format!("component `{}` cannot be used", component.name))?);
            }
            Ok(Reported {
                prometheus: prometheus(settings, offering, &built, options)?,
                offering: built,
                is_watched,
                rules,
                omit_anomalous: offering.omit_anomalous_usage_components,
                agent_namespace: offering.cluster.agent_namespace.clone(),
                minimum_coverage: thousandths(settings.monitoring.minimum_coverage),
                samples: Samples::default(),
                compacted: Compacted::default(),
            })
        });
        reported.push(built.with_context(|| format!("offering `{}` cannot be served", offering.name))?);
    }
    Ok(reported)
}

fn usage_rule(component: &ComponentSettings) -> anyhow::Result<Option<Rule>> {
    let Some(usage) = &component.usage else { return Ok(None) };
    let target = component.quota.first();
    Ok(Some(Rule {
        component: component.name.clone(),
        measure: usage.measure,
        thing: usage.thing.clone(),
        quota: target.map_or_else(|| names::QUOTA.to_owned(), |target| target.quota.clone()),
        quota_key: target.map(|target| target.key.to_string()),
        ratio: target.map_or(Ok(Amount::ONE), |target| amount(target.ratio))?,
        unit: Amount::of_suffix(&usage.unit).with_context(|| format!("unknown unit `{}`", usage.unit))?,
        factor: amount(component.unit_factor_reporting)?,
    }))
}

/// Where the hours of an offering are measured, if that is somewhere.
fn prometheus(
    settings: &Settings,
    offering: &OfferingSettings,
    built: &Offering,
    options: EngineOptions,
) -> anyhow::Result<Option<Prometheus>> {
    let monitoring = &settings.monitoring;
    let Some(url) = offering.cluster.prometheus_url.as_ref().or(monitoring.prometheus_url.as_ref()) else {
        return Ok(None);
    };
    let credential = match &monitoring.prometheus_token_file {
        Some(path) => Arc::new(Credential::new(TokenSource::File(path.clone()))),
        None => built.cluster.credential(),
    };
    let options = PrometheusOptions {
        root: url.expose().clone(),
        verify: Verify::from(&monitoring.prometheus_tls),
        credential,
        tenancy: monitoring.prometheus_tenancy,
        interval: monitoring.prometheus_query_interval,
        timeout: options.bounds.request,
        metrics: built.options.metrics.clone(),
    };
    Prometheus::new(options).map(Some)
}

/// A share as thousandths, rounded down.
fn thousandths(share: ExactDecimal) -> u64 {
    let scaled = share.checked_mul(ExactDecimal::from(1000)).map(|scaled| scaled.to_string());
    scaled.and_then(|text| text.split('.').next().and_then(|whole| whole.parse().ok())).unwrap_or(1000)
}
