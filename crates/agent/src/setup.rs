//! From settings to a running engine: the one place where all parts are put together.

mod lifecycle;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use planner::access::{Abilities, AccessPolicy, AccountRule, RemovalGuard, SubjectRule};
use planner::amount::Amount;
use planner::event;
use planner::names;
use planner::policy::{ComponentPolicy, Flavour, LimitRangePolicy, Policy, QuotaPolicy, QuotaTarget};

use crate::cluster::{Cluster, ClusterOptions, Needs};
use crate::credentials;
use crate::engine::{Engine, EngineOptions, Offering, OfferingOptions, Rhythm, Scope};
use crate::events::{EventOptions, Transport, TransportOptions, Way};
use crate::metrics::Metrics;
use crate::settings::{
    self, ComponentSettings, ExactDecimal, LimitRangeSettings, Mode, OfferingSettings, Settings,
};
use crate::waldur::http::Verify;
use crate::waldur::{Waldur, WaldurOptions};

pub use usage::usage;

/// Heart-beats at Waldur's broker, both ways (Waldur contract §6.3).
const HEART_BEAT_MS: u64 = 10_000;

/// Puts together what this mode needs. Nothing is sent.
///
/// # Errors
/// Settings that cannot be used here: an unreadable CA file, a kind of token that is not supported, no offering
/// for this mode.
pub fn engine(settings: &Settings, mode: Mode, options: EngineOptions) -> anyhow::Result<Arc<Engine>> {
    let mut offerings = Vec::new();
    for offering in &settings.offerings {
        let Some(service) = service(settings, offering, mode, options.dry_run) else {
            continue;
        };
        let built = self::offering(settings, offering, &service, mode.as_str(), options);
        offerings.push(built.with_context(|| format!("offering `{}` cannot be served", offering.name))?);
    }
    let reports = mode == Mode::All && settings.offerings.iter().any(|offering| offering.reporting);
    if offerings.is_empty() && mode != Mode::Report && !reports {
        bail!(
            "no offering of the configuration is served by mode `{}`; switch its work on with \
             `order_processing_backend: okd` or `membership_sync_backend: okd`{}",
            mode.as_str(),
            if mode == Mode::EventProcess { ", and events with `stomp_enabled: true`" } else { "" }
        );
    }
    let engine = Engine::new(offerings, options);
    usage::attach(settings, mode, options, &engine)?;
    Ok(engine)
}

/// An engine that brings quotas to what Waldur says, of all offerings whatever mode serves them, and leaves access as
/// it is.
///
/// # Errors
/// See [`engine`].
pub fn limits_engine(settings: &Settings, options: EngineOptions) -> anyhow::Result<Arc<Engine>> {
    let built = settings.offerings.iter().map(|offering| {
        let without_members = OfferingSettings { membership_sync: false, ..offering.clone() };
        let built = tool(settings, &without_members, "sync_resource_limits", options);
        built.with_context(|| format!("offering `{}` cannot be served", offering.name))
    });
    Ok(Engine::new(built.collect::<anyhow::Result<_>>()?, options))
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
    let (mode, kept) = match scope {
        CommandScope::Orders => (Mode::OrderProcess, Scope::Orders),
        CommandScope::Members | CommandScope::All => (Mode::MembershipSync, Scope::Resources),
    };
    let mut offerings = Vec::new();
    for offering in &settings.offerings {
        let served = match scope {
            CommandScope::Orders => offering.order_processing,
            CommandScope::Members => offering.membership_sync,
            CommandScope::All => offering.order_processing || offering.membership_sync,
        };
        if served {
            let built = self::offering(settings, offering, &Service::of(kept), mode.as_str(), options);
            offerings.push(built.with_context(|| format!("offering `{}` cannot be served", offering.name))?);
        }
    }
    if offerings.is_empty() {
        return Ok(None);
    }
    let engine = Engine::new(offerings, options);
    usage::attach(settings, mode, options, &engine)?;
    Ok(Some(engine))
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

/// What an offering is served with.
struct Service {
    scope: Scope,
    rhythm: Rhythm,
    /// Messages come as well.
    events: bool,
}

impl Service {
    /// Without passes and messages of its own.
    fn of(scope: Scope) -> Self {
        Self { scope, rhythm: Rhythm::default(), events: false }
    }
}

/// What a mode does for an offering; `None` if it does not serve it. The polling modes leave offerings that are driven by
/// events alone (Waldur contract §1.3); `all` serves everything once.
fn service(settings: &Settings, offering: &OfferingSettings, mode: Mode, dry_run: bool) -> Option<Service> {
    let stomp = &offering.stomp;
    let by_events = stomp.enabled || stomp.broker.is_some();
    // With a broker of its own, an offering that no `stomp_…` key is given for gets everything from there.
    let membership_by_events = stomp.membership_sync || stomp.broker.is_some() && !stomp.enabled;
    let left = |key: &str| tracing::info!(offering = %offering.name, "left to event_process (`{key}`)");
    let (orders, resources) = match mode {
        Mode::OrderProcess => {
            if offering.order_processing && stomp.enabled {
                left("stomp_enabled");
            }
            (offering.order_processing && !stomp.enabled, false)
        }
        Mode::MembershipSync => {
            if offering.membership_sync && stomp.membership_sync {
                left("stomp_membership_sync_enabled");
            }
            (false, offering.membership_sync && !stomp.membership_sync)
        }
        Mode::EventProcess => (
            by_events && offering.order_processing,
            by_events && membership_by_events && offering.membership_sync,
        ),
        Mode::All => (offering.order_processing, offering.membership_sync),
        Mode::Report => (false, false),
    };
    let scope = match (orders, resources) {
        (true, true) => Scope::Both,
        (true, false) => Scope::Orders,
        (false, true) => Scope::Resources,
        (false, false) => return None,
    };
    let events = by_events && matches!(mode, Mode::EventProcess | Mode::All);
    if events && dry_run {
        tracing::info!(offering = %offering.name, "a dry run takes no messages, and polls instead");
    }
    let events = events && !dry_run;
    let periods = &settings.periods;
    let period = |driven: bool, polled| if events && driven { periods.reconciliation } else { polled };
    let rhythm = Rhythm {
        orders: orders.then(|| period(true, periods.order_process)),
        resources: resources.then(|| period(membership_by_events, periods.membership_sync)),
        without_events: events.then(|| periods.order_process.min(periods.membership_sync)),
    };
    Some(Service { scope, rhythm, events })
}

/// How messages reach an offering: by the broker that it names, else by Waldur's.
fn events(
    settings: &Settings,
    offering: &OfferingSettings,
    scope: Scope,
    rhythm: &Rhythm,
) -> anyhow::Result<EventOptions> {
    let verify = Verify::from(&offering.verify_ssl);
    let proxy = settings.global_proxy.as_ref().map(|proxy| proxy.expose().clone());
    let stomp = &offering.stomp;
    let (way, transport, heart_beat_ms) = match &stomp.broker {
        Some(broker) => {
            let destination = broker.destination.clone();
            let destination = destination.context("`event_processing.stomp_destination` is not given")?;
            let (username, password) = (broker.username.clone(), broker.password.clone());
            let transport = TransportOptions {
                host: &broker.host,
                port: broker.port,
                tls: broker.ssl.then_some(&verify),
                path: None,
                proxy: proxy.as_ref(),
            };
            (Way::Broker { username, password, destination }, transport, u64::from(broker.heartbeat_ms))
        }
        None => {
            let transport = TransportOptions {
                host: &stomp.ws_host,
                port: stomp.ws_port,
                tls: stomp.websocket_use_tls.then_some(&verify),
                path: Some(&stomp.ws_path),
                proxy: proxy.as_ref(),
            };
            (Way::Waldur, transport, HEART_BEAT_MS)
        }
    };
    let naming = &offering.naming;
    Ok(EventOptions {
        way,
        transport: Transport::new(&transport)?,
        object_types: object_types(
            offering,
            scope,
            rhythm.resources == Some(settings.periods.reconciliation),
        ),
        heart_beat_ms,
        parent_prefix: format!("{}{}", naming.namespace_prefix, naming.project_prefix),
    })
}

/// What is subscribed to (Waldur contract §6.4).
fn object_types(offering: &OfferingSettings, scope: Scope, members: bool) -> Vec<&'static str> {
    let mut types = Vec::new();
    if scope != Scope::Resources {
        types.push(event::ORDER);
    }
    if scope != Scope::Orders && members {
        types.extend([
            event::USER_ROLE,
            event::RESOURCE,
            event::SERVICE_ACCOUNT,
            event::COURSE_ACCOUNT,
            event::OFFERING_USER,
        ]);
    }
    types.push(event::OFFERING_RESOURCES_SYNC);
    if offering.resource_import_enabled {
        types.push(event::IMPORTABLE_RESOURCES);
    }
    if offering.periodic_limits {
        types.push(event::RESOURCE_PERIODIC_LIMITS);
    }
    types
}

/// One offering with its Waldur and its cluster for a tool, whatever mode serves it. `label` names the tool to Waldur.
///
/// # Errors
/// As [`engine`].
pub(crate) fn tool(
    settings: &Settings,
    offering: &OfferingSettings,
    label: &str,
    engine: EngineOptions,
) -> anyhow::Result<Offering> {
    self::offering(settings, offering, &Service::of(Scope::Resources), label, engine)
}

/// One offering with its Waldur and its cluster. `label` names this process to Waldur.
fn offering(
    settings: &Settings,
    offering: &OfferingSettings,
    service: &Service,
    label: &str,
    engine: EngineOptions,
) -> anyhow::Result<Offering> {
    let Service { scope, rhythm, events } = *service;
    let metrics = Metrics::new(&counted_as(settings, offering))?;
    let (credential, scheme) = credentials::waldur(settings, offering)?;
    let options = WaldurOptions {
        root: offering.waldur_api_url.clone(),
        verify: Verify::from(&offering.verify_ssl),
        proxy: settings.global_proxy.as_ref().map(|proxy| proxy.expose().clone()),
        scheme,
        user_agent: format!("waldur-site-agent-{label}/{}", env!("CARGO_PKG_VERSION")),
        timeout: engine.bounds.request,
        metrics: metrics.clone(),
    };
    if options.verify == Verify::Off {
        tracing::warn!(offering = %offering.name, "Waldur's certificate is not verified (`verify_ssl: false`)");
    }
    let waldur = Waldur::new(&options, credential)?;
    let cluster = cluster(offering, engine.bounds.request, &metrics)?;
    let options = OfferingOptions {
        name: offering.name.clone(),
        uuid: offering.offering_uuid,
        uuid_text: offering.offering_uuid_text.clone(),
        membership: offering.membership_sync,
        grant_owners: offering.grant_organization_owners,
        usernames: offering.usernames.clone(),
        dry_run: engine.dry_run,
        scope,
        rhythm,
        events: events.then(|| self::events(settings, offering, scope, &rhythm)).transpose()?,
        expose_details: settings.expose_backend_error_details,
        metrics,
        policy: policy(offering)?,
    };
    Ok(Offering::new(options, waldur, Arc::new(cluster)))
}

/// What an offering is called where it is counted: two may have the same name.
fn counted_as(settings: &Settings, offering: &OfferingSettings) -> String {
    let namesakes = settings.offerings.iter().filter(|other| other.name == offering.name).count();
    if namesakes > 1 {
        format!("{} ({})", offering.name, offering.offering_uuid_text)
    } else {
        offering.name.clone()
    }
}

fn cluster(offering: &OfferingSettings, timeout: Duration, metrics: &Metrics) -> anyhow::Result<Cluster> {
    let cluster = &offering.cluster;
    let options = ClusterOptions {
        api_url: cluster.api_url.clone(),
        verify: Verify::from(&cluster.tls),
        server_name: cluster.server_name.clone(),
        client_certificate: cluster.client_certificate.clone(),
        proxy: cluster.proxy.as_ref().map(|proxy| proxy.expose().clone()),
        timeout,
        metrics: metrics.clone(),
        needs: needs(offering),
        template: crate::template::template(offering),
        roles: offering.roles.cluster_roles(),
    };
    if options.verify == Verify::Off {
        tracing::warn!(offering = %offering.name, "the cluster's certificate is not verified (`verify_cert: false`)");
    }
    Cluster::new(&options, credentials::cluster(offering, metrics)?)
}

/// Without members to keep, nothing of theirs is looked at.
pub(crate) fn needs(offering: &OfferingSettings) -> Needs {
    let limit_ranges = offering.limit_range.enabled;
    let workloads = offering.lifecycle.stop_workloads;
    if !offering.membership_sync {
        return Needs { limit_ranges, workloads, ..Needs::default() };
    }
    Needs {
        limit_ranges,
        workloads,
        access: true,
        groups: matches!(offering.subjects, SubjectRule::Group(_)),
        service_accounts: offering.service_accounts == AccountRule::ServiceAccount,
        identities: offering.identity_provider.is_some(),
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
        quotas: quotas(offering)?,
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
        template: Default::default(),
        lifecycle: lifecycle::policy(offering)?,
        reports_usage: offering.reporting,
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
            quota: target.quota.clone(),
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

/// What quotas say beside what components set; each project has `waldur-quota`.
fn quotas(offering: &OfferingSettings) -> anyhow::Result<BTreeMap<String, QuotaPolicy>> {
    let mut quotas = BTreeMap::from([(names::QUOTA.to_owned(), QuotaPolicy::default())]);
    for quota in &offering.project_template.resource_quotas {
        let amounts = quota.hard.iter().map(|(key, amount)| Ok((key.to_string(), amount.as_str().parse()?)));
        let hard = amounts.collect::<anyhow::Result<_>>()?;
        quotas.insert(quota.name.clone(), QuotaPolicy { scopes: quota.scopes.clone(), hard });
    }
    Ok(quotas)
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
