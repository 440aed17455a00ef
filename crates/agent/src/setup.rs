//! From settings to a running engine: the one place where all parts are put together.

mod lifecycle;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use planner::access::{Abilities, AccessPolicy, AccountRule, RemovalGuard, SubjectRule};
use planner::amount::Amount;
use planner::policy::{ComponentPolicy, Flavour, LimitRangePolicy, Policy, QuotaTarget};
use planner::usage::rule::Rule;
use secrecy::ExposeSecret as _;

use crate::cluster::{Cluster, ClusterOptions, Needs};
use crate::credentials::{Credential, TokenSource};
use crate::engine::{Engine, EngineOptions, Offering, OfferingOptions, Scope};
use crate::settings::{
    self, ClusterToken, ComponentSettings, ExactDecimal, LimitRangeSettings, Mode, OfferingSettings,
    Settings, TlsVerify,
};
use crate::usage::{ReportOptions, Reported, Reports};
use crate::waldur::http::Verify;
use crate::waldur::{Waldur, WaldurOptions};

/// Puts together what this mode needs. Nothing is sent.
///
/// # Errors
/// Settings that cannot be used here: an unreadable CA file, a kind of token that is not supported, no offering
/// for this mode.
pub fn engine(settings: &Settings, mode: Mode, options: EngineOptions) -> anyhow::Result<Arc<Engine>> {
    let mut offerings = Vec::new();
    for offering in settings.offerings.iter().filter(|offering| is_served(offering, mode)) {
        let built = self::offering(settings, offering, mode, options);
        offerings.push(built.with_context(|| format!("offering `{}` cannot be served", offering.name))?);
    }
    if offerings.is_empty() {
        bail!(
            "no offering of the configuration is served by mode `{}`; switch its work on with \
             `order_processing_backend: okd` or `membership_sync_backend: okd`",
            mode.as_str()
        );
    }
    Ok(Engine::new(offerings, options))
}

/// Puts together what reports usage. Nothing is sent.
///
/// # Errors
/// As [`engine`].
pub fn usage(settings: &Settings, options: EngineOptions) -> anyhow::Result<Reports> {
    let mut reported = Vec::new();
    for offering in settings.offerings.iter().filter(|offering| offering.reporting) {
        let built = self::offering(settings, offering, Mode::Report, options).and_then(|built| {
            let mut rules = Vec::new();
            for component in &offering.components {
                let rule = usage_rule(component);
                rules.extend(rule.with_context(|| format!("component `{}` cannot be used", component.name))?);
            }
            Ok(Reported { offering: built, rules, omit_anomalous: offering.omit_anomalous_usage_components })
        });
        reported.push(built.with_context(|| format!("offering `{}` cannot be served", offering.name))?);
    }
    if reported.is_empty() {
        bail!("no offering of the configuration reports usage; switch it on with `reporting_backend: okd`");
    }
    let (zone, periods) = (settings.timezone.clone(), settings.reporting_periods);
    Ok(Reports::new(reported, ReportOptions { zone, periods, dry_run: options.dry_run }))
}

fn usage_rule(component: &ComponentSettings) -> anyhow::Result<Option<Rule>> {
    let Some(usage) = &component.usage else { return Ok(None) };
    let target = component.quota.first();
    Ok(Some(Rule {
        component: component.name.clone(),
        measure: usage.measure,
        thing: usage.thing.clone(),
        quota_key: target.map(|target| target.key.to_string()),
        ratio: target.map_or(Ok(Amount::ONE), |target| amount(target.ratio))?,
        unit: Amount::of_suffix(&usage.unit).with_context(|| format!("unknown unit `{}`", usage.unit))?,
        factor: amount(component.unit_factor_reporting)?,
    }))
}

/// Puts together what a command of the operator needs: all offerings, whatever drives them. Nothing is sent.
///
/// # Errors
/// As [`engine`].
pub fn commanded(
    settings: &Settings,
    scope: CommandScope,
    options: EngineOptions,
) -> anyhow::Result<Option<Arc<Engine>>> {
    let mode = match scope {
        CommandScope::Orders => Mode::OrderProcess,
        CommandScope::Members | CommandScope::All => Mode::MembershipSync,
    };
    let mut offerings = Vec::new();
    for offering in &settings.offerings {
        let served = match scope {
            CommandScope::Orders => offering.order_processing,
            CommandScope::Members => offering.membership_sync,
            CommandScope::All => offering.order_processing || offering.membership_sync,
        };
        if served {
            let built = self::offering(settings, offering, mode, options);
            offerings.push(built.with_context(|| format!("offering `{}` cannot be served", offering.name))?);
        }
    }
    Ok((!offerings.is_empty()).then(|| Engine::new(offerings, options)))
}

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandScope {
    /// Open orders.
    Orders,
    /// Resources whose members, quotas and flags are kept.
    Members,
    /// Resources of every offering that is worked at all.
    All,
}

/// What a mode works on.
fn scope(mode: Mode) -> Scope {
    match mode {
        Mode::OrderProcess | Mode::EventProcess => Scope::Orders,
        Mode::MembershipSync | Mode::Report => Scope::Resources,
    }
}

/// The polling modes leave offerings that are driven by events alone (Waldur contract §1.3).
fn is_served(offering: &OfferingSettings, mode: Mode) -> bool {
    match mode {
        Mode::OrderProcess => {
            if offering.order_processing && offering.stomp.enabled {
                tracing::info!(offering = %offering.name, "left to event_process (`stomp_enabled`)");
            }
            offering.order_processing && !offering.stomp.enabled
        }
        Mode::MembershipSync => {
            if offering.membership_sync && offering.stomp.membership_sync {
                tracing::info!(offering = %offering.name, "left to event_process (`stomp_membership_sync_enabled`)");
            }
            offering.membership_sync && !offering.stomp.membership_sync
        }
        Mode::Report | Mode::EventProcess => false,
    }
}

fn offering(
    settings: &Settings,
    offering: &OfferingSettings,
    mode: Mode,
    engine: EngineOptions,
) -> anyhow::Result<Offering> {
    let (source, scheme) = match &offering.waldur_api_token {
        settings::TokenSource::Static(token) => (TokenSource::Static(token.expose_secret().into()), "Token"),
        settings::TokenSource::File(path) => (TokenSource::File(path.clone()), "Token"),
        settings::TokenSource::Oidc { .. } => {
            bail!("tokens by OIDC client credentials are not supported yet")
        }
    };
    let options = WaldurOptions {
        root: offering.waldur_api_url.clone(),
        verify: verify(&offering.verify_ssl),
        proxy: settings.global_proxy.as_ref().map(|proxy| proxy.expose().clone()),
        scheme,
        user_agent: format!("waldur-site-agent-{}/{}", mode.as_str(), env!("CARGO_PKG_VERSION")),
        timeout: engine.bounds.request,
    };
    if options.verify == Verify::Off {
        tracing::warn!(offering = %offering.name, "Waldur's certificate is not verified (`verify_ssl: false`)");
    }
    let waldur = Waldur::new(&options, Arc::new(Credential::new(source)))?;
    let cluster = cluster(offering, engine.bounds.request)?;
    let options = OfferingOptions {
        name: offering.name.clone(),
        uuid: offering.offering_uuid,
        uuid_text: offering.offering_uuid_text.clone(),
        membership: offering.membership_sync,
        grant_owners: offering.grant_organization_owners,
        usernames: offering.usernames.clone(),
        dry_run: engine.dry_run,
        scope: scope(mode),
        expose_details: settings.expose_backend_error_details,
        policy: policy(offering)?,
    };
    Ok(Offering::new(options, waldur, Arc::new(cluster)))
}

fn cluster(offering: &OfferingSettings, timeout: Duration) -> anyhow::Result<Cluster> {
    let cluster = &offering.cluster;
    let source = match &cluster.token {
        ClusterToken::Static(token) => TokenSource::Static(token.expose_secret().into()),
        ClusterToken::ServiceAccount { directory } => TokenSource::File(directory.join("token")),
        ClusterToken::File { path } => TokenSource::File(path.clone()),
        ClusterToken::OAuth { .. } => bail!("cluster tokens by OAuth are not supported yet"),
    };
    let options = ClusterOptions {
        api_url: cluster.api_url.clone(),
        verify: verify(&cluster.tls),
        proxy: cluster.proxy.as_ref().map(|proxy| proxy.expose().clone()),
        timeout,
        needs: needs(offering),
    };
    if options.verify == Verify::Off {
        tracing::warn!(offering = %offering.name, "the cluster's certificate is not verified (`verify_cert: false`)");
    }
    Cluster::new(&options, Arc::new(Credential::new(source)))
}

/// Without members to keep, nothing of theirs is looked at.
fn needs(offering: &OfferingSettings) -> Needs {
    let workloads = offering.lifecycle.stop_workloads;
    if !offering.membership_sync {
        return Needs { workloads, ..Needs::default() };
    }
    Needs {
        workloads,
        groups: matches!(offering.subjects, SubjectRule::Group(_)),
        service_accounts: offering.service_accounts == AccountRule::ServiceAccount,
        identities: offering.identity_provider.is_some(),
    }
}

fn verify(tls: &TlsVerify) -> Verify {
    match tls {
        TlsVerify::System => Verify::System,
        TlsVerify::CaFile(path) => Verify::CaFile(PathBuf::clone(path)),
        TlsVerify::Off => Verify::Off,
    }
}

/// The offering's policy; what only the cluster and Waldur can tell is filled in by the engine.
fn policy(offering: &OfferingSettings) -> anyhow::Result<Policy> {
    let mut components = BTreeMap::new();
    for component in &offering.components {
        let policy = component_policy(offering, component);
        let policy = policy.with_context(|| format!("component `{}` cannot be used", component.name))?;
        components.insert(component.name.clone(), policy);
    }
    Ok(Policy {
        naming: offering.naming.clone(),
        components,
        limit_range: limit_range(&offering.limit_range)?,
        flavour: Flavour::OpenShift,
        requester: String::new(),
        legacy_waldur: false,
        access: AccessPolicy {
            roles: offering.roles.clone(),
            subjects: offering.subjects.clone(),
            identity_provider: offering.identity_provider.clone(),
            service_accounts: offering.service_accounts,
            abilities: Abilities::default(),
            guard: removal_guard(offering.removal_guard),
        },
        lifecycle: lifecycle::policy(offering)?,
    })
}

/// The share is written as a part of one.
fn removal_guard(share: ExactDecimal) -> RemovalGuard {
    let percent = share.checked_mul(ExactDecimal::from(100)).map(|percent| percent.to_string());
    let whole = percent.and_then(|text| text.split('.').next().and_then(|whole| whole.parse().ok()));
    let default = RemovalGuard::default();
    RemovalGuard { percent: whole.unwrap_or(default.percent), ..default }
}

fn component_policy(
    offering: &OfferingSettings,
    component: &ComponentSettings,
) -> anyhow::Result<ComponentPolicy> {
    let default =
        offering.default_quotas.iter().find(|(name, _)| *name == component.name).map(|(_, value)| *value);
    let fallback = component.limit.or(default);
    let targets = component.quota.iter().map(|target| {
        let unit =
            Amount::of_suffix(&target.unit).with_context(|| format!("unknown unit `{}`", target.unit))?;
        let static_part = target.static_part.as_ref().map(|part| part.as_str().parse()).transpose()?;
        Ok(QuotaTarget {
            key: target.key.to_string(),
            ratio: amount(target.ratio)?,
            unit,
            static_part: static_part.unwrap_or_default(),
        })
    });
    Ok(ComponentPolicy {
        unit_factor: amount(component.unit_factor)?,
        fallback_limit: fallback.map(amount).transpose()?,
        targets: targets.collect::<anyhow::Result<_>>()?,
        shrink: component.shrink,
    })
}

fn limit_range(settings: &LimitRangeSettings) -> anyhow::Result<Option<LimitRangePolicy>> {
    if !settings.enabled {
        return Ok(None);
    }
    let quantities = |values: &settings::ResourceQuantities| -> anyhow::Result<BTreeMap<String, Amount>> {
        values.iter().map(|(name, value)| Ok((name.clone(), value.as_str().parse()?))).collect()
    };
    Ok(Some(LimitRangePolicy {
        default: quantities(&settings.default)?,
        default_request: quantities(&settings.default_request)?,
        max: quantities(&settings.max)?,
        min: quantities(&settings.min)?,
    }))
}

fn amount(value: ExactDecimal) -> anyhow::Result<Amount> {
    Ok(value.to_string().parse()?)
}
