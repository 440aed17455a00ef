//! Limit ranges, the project template and the broker of the flat form. Kubernetes: LimitRange.

use planner::template::isolation;

use super::manifest::NamedObject;
use super::{Context, manifest};
use crate::settings::keys::{
    EVENT_PROCESSING, LIMIT_RANGE, LIMIT_RANGE_ITEM, LIMIT_RANGE_TEMPLATE, PROJECT_TEMPLATE, SERVICE_ACCOUNT,
};
use crate::settings::model::{
    BrokerSettings, LimitRangeItem, LimitRangeSettings, LimitRangeTemplate, ProjectTemplate,
    ResourceQuantities, ResourceQuotaTemplate,
};
use crate::settings::quota_key::is_subdomain;
use crate::settings::view::View;

pub(super) fn limit_range(backend: &View<'_>, context: &mut Context<'_, '_>) -> LimitRangeSettings {
    let view = backend.section("limit_range", LIMIT_RANGE);
    let settings = LimitRangeSettings {
        enabled: view.truth("enabled"),
        default: view.quantities("default"),
        default_request: view.quantities("default_request"),
        max: view.quantities("max"),
        min: view.quantities("min"),
    };
    let order = [
        ("min", &settings.min),
        ("default_request", &settings.default_request),
        ("default", &settings.default),
        ("max", &settings.max),
    ];
    check_order(&view, &order, context);
    check_resources(&view, &order, context);
    settings
}

/// The API server refuses a limit range whose amounts do not rise from min to max.
fn check_order(view: &View<'_>, order: &[(&str, &ResourceQuantities)], context: &mut Context<'_, '_>) {
    for (index, (low_key, low)) in order.iter().enumerate() {
        for (high_key, high) in &order[index + 1..] {
            let pairs = low.iter().filter_map(|(name, low)| {
                let (_, high) = high.iter().find(|(other, _)| other == name)?;
                (low.value() > high.value()).then_some((name, low, high))
            });
            for (name, low, high) in pairs {
                // One of the two is the default of the table, if not both were given.
                let key = if view.is_set(high_key) { high_key } else { low_key };
                let message = format!("`{low_key}` {low} of {name} is greater than `{high_key}` {high}");
                let hint = "the API server refuses it: min ≤ default_request ≤ default ≤ max";
                context.findings.error(view.place(key), &format!("{}.{name}", view.path(key)), message, hint);
            }
        }
    }
}

/// A container has cpu, memory, ephemeral storage and extended resources; anything else is without effect.
fn check_resources(view: &View<'_>, order: &[(&str, &ResourceQuantities)], context: &mut Context<'_, '_>) {
    const KNOWN: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
    for (key, quantities) in order.iter().filter(|(key, _)| view.is_set(key)) {
        for (name, _) in *quantities {
            if KNOWN.contains(&name.as_str()) || name.contains('/') || name.starts_with("hugepages-") {
                continue;
            }
            let near = crate::settings::suggest::nearest(name, KNOWN);
            let hint = near.map(|name| format!("did you mean `{name}`?"));
            let message = "containers have no such resource";
            let hint =
                hint.unwrap_or_else(|| "cpu, memory, ephemeral-storage or <domain>/<resource>".to_owned());
            context.findings.error(view.place(key), &format!("{}.{name}", view.path(key)), message, hint);
        }
    }
}

pub(super) fn project_template(
    offering: &View<'_>,
    components: &[&str],
    resource_quotas: Vec<ResourceQuotaTemplate>,
    context: &mut Context<'_, '_>,
) -> ProjectTemplate {
    let view = offering.section("project_template", PROJECT_TEMPLATE);
    let service_accounts = view.sections("service_accounts", SERVICE_ACCOUNT);
    let limit_ranges = view.sections("limit_ranges", LIMIT_RANGE_TEMPLATE);
    for named in service_accounts.iter().chain(&limit_ranges) {
        if let Some(name) = named.text("name").filter(|name| !is_subdomain(name)) {
            let message = format!("`{name}` is no name of a Kubernetes object");
            let hint = "lower-case letters, digits, `-` and `.`";
            context.findings.error(named.place("name"), &named.path("name"), message, hint);
        }
    }
    let enable_network_isolation = view.truth("enable_network_isolation");
    let mut others: Vec<NamedObject> = Vec::new();
    for (kind, by, views) in [
        ("ServiceAccount", "service_accounts", &service_accounts),
        ("LimitRange", "limit_ranges", &limit_ranges),
    ] {
        for named in views {
            let object = NamedObject::new("", kind, &named.text("name").unwrap_or_default(), by);
            if others.iter().any(|other| other.is(&object)) {
                let message = format!("{object} is there twice");
                context.findings.error(
                    named.place("name"),
                    &named.path("name"),
                    message,
                    "remove one of them",
                );
            }
            others.push(object);
        }
    }
    let quotas = resource_quotas.iter();
    others.extend(quotas.map(|quota| NamedObject::new("", "ResourceQuota", &quota.name, "resource_quotas")));
    if enable_network_isolation {
        others.extend(isolation().iter().map(|policy| {
            let name = policy.body["metadata"]["name"].as_str().unwrap_or_default();
            NamedObject::new("networking.k8s.io", "NetworkPolicy", name, "enable_network_isolation")
        }));
    }
    let (labels, annotations) = manifest::namespace(&view, components, context);
    ProjectTemplate {
        manifests: manifest::manifests(&view, components, &others, context),
        resource_quotas,
        labels,
        annotations,
        enable_network_isolation,
        service_accounts: service_accounts.iter().filter_map(|account| account.text("name")).collect(),
        limit_ranges: limit_ranges.iter().filter_map(limit_range_template).collect(),
    }
}

fn limit_range_template(view: &View<'_>) -> Option<LimitRangeTemplate> {
    let items = view.sections("limits", LIMIT_RANGE_ITEM);
    let item = |view: &View<'_>| LimitRangeItem {
        kind: view.text("type").unwrap_or_default(),
        max: view.quantities("max"),
        min: view.quantities("min"),
        default: view.quantities("default"),
        default_request: view.quantities("defaultRequest"),
    };
    Some(LimitRangeTemplate { name: view.text("name")?, limits: items.iter().map(item).collect() })
}

pub(super) fn broker(offering: &View<'_>) -> Option<BrokerSettings> {
    let view = offering.section("event_processing", EVENT_PROCESSING);
    Some(BrokerSettings {
        host: view.text("stomp_host")?,
        port: view.whole("stomp_port")?,
        username: view.text("stomp_username"),
        password: view.secret("stomp_password"),
        destination: view.text("stomp_destination"),
        ssl: view.truth("stomp_ssl"),
        heartbeat_ms: view.whole("stomp_heartbeat")?,
    })
}
