//! The components of an offering and the quota keys they set. Waldur contract §1.6; Kubernetes: ResourceQuota.

use planner::lifecycle::Shrink;
use planner::names;

use super::{Context, quota, usage};
use crate::settings::keys::{COMPONENT, QUOTA_TARGET};
use crate::settings::model::{
    AccountingType, ComponentSettings, LimitPeriod, PortalComponent, QuotaTarget, ResourceQuotaTemplate,
};
use crate::settings::quantity::{unit_names, unit_value};
use crate::settings::view::View;
use crate::settings::yaml::{Node, Place, Value};
use crate::settings::{ExactDecimal, Quantity, QuotaKey};

/// A target with the place it was written at.
pub(super) struct Placed {
    pub(super) target: QuotaTarget,
    pub(super) place: Place,
    pub(super) path: String,
}

pub(super) fn settings(
    offering: &View<'_>,
    quotas: &[ResourceQuotaTemplate],
    context: &mut Context<'_, '_>,
) -> Vec<ComponentSettings> {
    let mut components = Vec::new();
    let mut taken = quota::fixed_keys(quotas);
    for (name, path, node) in offering.entries("backend_components") {
        let view = View::new(COMPONENT, Some(&node), &path, node.place);
        let targets = targets(&name, &view, context);
        targets.iter().for_each(|placed| quota::check_target(placed, quotas, context));
        check_targets(&name, &view, &targets, &mut taken, context);
        if let Some(component) = component(&name, &view, targets, quotas, context) {
            components.push(component);
        }
    }
    if offering.entries("backend_components").is_empty() {
        let message = "no components are given, so that no quota is set";
        let hint = "name the components of the offering, such as cpu, memory, storage and pods";
        context.findings.warning(
            offering.place("backend_components"),
            &offering.path("backend_components"),
            message,
            hint,
        );
    }
    components
}

fn component(
    name: &str,
    view: &View<'_>,
    targets: Vec<Placed>,
    quotas: &[ResourceQuotaTemplate],
    context: &mut Context<'_, '_>,
) -> Option<ComponentSettings> {
    let accounting_type = view.choice("accounting_type", |word| match word {
        "usage" => Some(AccountingType::Usage),
        "limit" => Some(AccountingType::Limit),
        "one" => Some(AccountingType::One),
        _ => None,
    });
    let mut portal = portal(view);
    check_portal(view, &portal, context);
    if accounting_type == Some(AccountingType::One) {
        if portal.is_prepaid == Some(false) {
            let message = "a component with `accounting_type: one` is always prepaid";
            context.findings.error(
                view.place("is_prepaid"),
                &view.path("is_prepaid"),
                message,
                "remove is_prepaid",
            );
        }
        portal.is_prepaid = Some(true);
    }
    let unit_factor = view.decimal("unit_factor")?;
    let usage = usage::settings(name, view, accounting_type?, (&targets, quotas), context);
    Some(ComponentSettings {
        name: name.to_owned(),
        measured_unit: view.text("measured_unit")?,
        accounting_type: accounting_type?,
        label: view.text("label").unwrap_or_else(|| name.to_owned()),
        unit_factor,
        unit_factor_reporting: view.decimal("unit_factor_reporting").unwrap_or(unit_factor),
        limit: view.decimal("limit"),
        shrink: view.choice("shrink", |word| match word {
            "accept" => Some(Shrink::Accept),
            "refuse" => Some(Shrink::Refuse),
            _ => None,
        })?,
        portal,
        quota: targets.into_iter().map(|placed| placed.target).collect(),
        usage,
    })
}

fn portal(view: &View<'_>) -> PortalComponent {
    PortalComponent {
        description: view.text("description"),
        article_code: view.text("article_code"),
        min_value: view.whole("min_value"),
        max_value: view.whole("max_value"),
        max_available_limit: view.whole("max_available_limit"),
        default_limit: view.whole("default_limit"),
        limit_period: view.choice("limit_period", |word| match word {
            "annual" => Some(LimitPeriod::Annual),
            "month" => Some(LimitPeriod::Month),
            "quarterly" => Some(LimitPeriod::Quarterly),
            "total" => Some(LimitPeriod::Total),
            _ => None,
        }),
        is_boolean: view.optional_truth("is_boolean"),
        is_prepaid: view.optional_truth("is_prepaid"),
        min_prepaid_duration: view.whole("min_prepaid_duration"),
        max_prepaid_duration: view.whole("max_prepaid_duration"),
        prepaid_duration_step: view.whole("prepaid_duration_step"),
        min_renewal_duration: view.whole("min_renewal_duration"),
        max_renewal_duration: view.whole("max_renewal_duration"),
        renewal_duration_step: view.whole("renewal_duration_step"),
    }
}

fn check_portal(view: &View<'_>, portal: &PortalComponent, context: &mut Context<'_, '_>) {
    let pairs = [
        ("min_value", portal.min_value, "max_value", portal.max_value),
        ("min_value", portal.min_value, "default_limit", portal.default_limit),
        ("default_limit", portal.default_limit, "max_value", portal.max_value),
        (
            "min_prepaid_duration",
            portal.min_prepaid_duration,
            "max_prepaid_duration",
            portal.max_prepaid_duration,
        ),
        (
            "min_renewal_duration",
            portal.min_renewal_duration,
            "max_renewal_duration",
            portal.max_renewal_duration,
        ),
    ];
    for (low_key, low, high_key, high) in pairs {
        if let (Some(low), Some(high)) = (low, high)
            && low > high
        {
            let message = format!("`{low_key}` {low} is greater than `{high_key}` {high}");
            context.findings.error(
                view.place(high_key),
                &view.path(high_key),
                message,
                "exchange or correct them",
            );
        }
    }
}

/// The targets of a component: those of `quota`, else the documented ones.
fn targets(name: &str, view: &View<'_>, context: &mut Context<'_, '_>) -> Vec<Placed> {
    let path = view.path("quota");
    let Some(node) = view.given("quota") else {
        return documented(name, view, context);
    };
    match &node.value {
        Value::List(items) => {
            let items = items.iter().enumerate();
            items.filter_map(|(index, item)| target(item, &format!("{path}[{index}]"), context)).collect()
        }
        Value::Scalar(_) | Value::Map(_) | Value::Null | Value::Faulty => {
            target(node, &path, context).into_iter().collect()
        }
    }
}

fn documented(name: &str, view: &View<'_>, context: &mut Context<'_, '_>) -> Vec<Placed> {
    let keys: &[(&str, ExactDecimal)] = match name {
        "cpu" => &[("requests.cpu", ExactDecimal::ONE), ("limits.cpu", ExactDecimal::TWO)],
        "memory" => &[("requests.memory", ExactDecimal::ONE), ("limits.memory", ExactDecimal::TWO)],
        "storage" => &[("requests.storage", ExactDecimal::ONE)],
        "pods" => &[("pods", ExactDecimal::ONE)],
        _ => {
            let hint = match crate::settings::suggest::nearest(name, ["cpu", "memory", "storage", "pods"]) {
                Some(meant) => format!("did you mean `{meant}`? Otherwise give `quota: [<key>]`"),
                None => {
                    "give `quota: <key>`, such as requests.nvidia.com/gpu, or `quota: []` if that is meant"
                        .to_owned()
                }
            };
            let message = "this component has no effect on the cluster";
            context.findings.warning(view.place, &view.path, message, hint);
            &[]
        }
    };
    let placed = |(key, ratio): &(&str, ExactDecimal)| {
        let key = QuotaKey::parse(key).ok()?;
        let unit = key.usual_unit().to_owned();
        let quota = names::QUOTA.to_owned();
        let target = QuotaTarget { quota, key, ratio: *ratio, unit, static_part: None };
        Some(Placed { target, place: view.place, path: view.path("quota") })
    };
    keys.iter().filter_map(placed).collect()
}

fn target(node: &Node, path: &str, context: &mut Context<'_, '_>) -> Option<Placed> {
    let view = View::new(QUOTA_TARGET, Some(node), path, node.place);
    let is_map = matches!(node.value, Value::Map(_));
    let (text, place, key_path) = match node.text() {
        Some(text) => (text.to_owned(), node.place, path.to_owned()),
        None if is_map => (view.text("key")?, view.place("key"), view.path("key")),
        None => return None,
    };
    let key = match QuotaKey::parse(&text) {
        Ok(key) => key,
        Err(fault) => {
            context.findings.error(place, &key_path, fault.message, fault.hint);
            return None;
        }
    };
    let usual = key.usual_unit();
    let unit = if is_map && view.is_empty_text("unit") { None } else { view.text("unit") };
    let unit = match unit {
        Some(unit) => unit,
        None if is_map && view.is_empty_text("unit") => String::new(),
        None => usual.to_owned(),
    };
    if unit_value(&unit).is_none() {
        let message = format!("`{unit}` is no suffix of a Kubernetes quantity");
        let near = unit.trim_end_matches('B');
        let hint = match unit_value(near) {
            Some(_) if near != unit => format!("write `{near}`"),
            _ => format!("one of {}", unit_names().join(", ")),
        };
        context.findings.error(view.place("unit"), &view.path("unit"), message, hint);
        return None;
    }
    let static_part = view.quantity("static");
    let quota = view.text("resource_quota").unwrap_or_else(|| names::QUOTA.to_owned());
    let target = QuotaTarget { quota, key, ratio: view.decimal("ratio")?, unit, static_part };
    Some(Placed { target, place, path: key_path })
}

/// Faults between the targets of one component, and with those of the components before.
fn check_targets(
    name: &str,
    view: &View<'_>,
    targets: &[Placed],
    taken: &mut Vec<TakenKey>,
    context: &mut Context<'_, '_>,
) {
    let unit_factor = view.decimal("unit_factor").unwrap_or(ExactDecimal::ONE);
    for placed in targets {
        let (quota, counted) = (placed.target.quota.clone(), placed.target.key.counted_as());
        let same = |known: &&TakenKey| (&known.quota, &known.counted) == (&quota, &counted);
        if let Some(known) = taken.iter().find(same) {
            let message = match &known.component {
                Some(other) if other == name => {
                    format!("`{}` is set twice by this component", placed.target.key)
                }
                Some(other) => format!("`{}` is set by the component `{other}` already", placed.target.key),
                None => format!("`{}` has a fixed amount in `hard` of quota `{quota}`", placed.target.key),
            };
            let hint =
                "each key of the quota can follow one component only; `cpu` and `requests.cpu` are the same";
            context.findings.error(placed.place, &placed.path, message, hint);
        }
        taken.push(TakenKey { quota, counted, component: Some(name.to_owned()) });
        check_whole(&placed.target, unit_factor, placed, context);
    }
    for requests in targets {
        let Some(resource) = requests.target.key.counted_as().strip_prefix("requests.").map(str::to_owned)
        else {
            continue;
        };
        let limits_key = format!("limits.{resource}");
        let is_pair = |placed: &&Placed| {
            placed.target.key.as_str() == limits_key && placed.target.quota == requests.target.quota
        };
        let Some(limits) = targets.iter().find(is_pair) else {
            continue;
        };
        let fixed =
            |target: &QuotaTarget| target.static_part.as_ref().map_or(ExactDecimal::ZERO, Quantity::value);
        if fixed(&limits.target) < fixed(&requests.target) {
            let message =
                format!("`static` of `{limits_key}` is smaller than that of `{}`", requests.target.key);
            context.findings.error(limits.place, &limits.path, message, "make it at least as large");
        }
        if amount(&limits.target) < amount(&requests.target) {
            let message = format!("`{limits_key}` is smaller than `{}`", requests.target.key);
            let hint = format!("give {limits_key} a ratio of at least {}", requests.target.ratio);
            context.findings.error(limits.place, &limits.path, message, hint);
        }
    }
}

/// A key that something sets.
pub(super) struct TakenKey {
    /// Name of the quota.
    pub(super) quota: String,
    /// See [`QuotaKey::counted_as`].
    pub(super) counted: String,
    /// `None` for a fixed amount.
    pub(super) component: Option<String>,
}

/// What one unit of the component adds to the key, in the key's base unit.
fn amount(target: &QuotaTarget) -> Option<ExactDecimal> {
    target.ratio.checked_mul(unit_value(&target.unit)?)
}

/// Pods and counted objects come in whole numbers.
fn check_whole(
    target: &QuotaTarget,
    unit_factor: ExactDecimal,
    placed: &Placed,
    context: &mut Context<'_, '_>,
) {
    if !target.key.is_whole() {
        return;
    }
    let step = amount(target).and_then(|amount| amount.checked_mul(unit_factor));
    let base = target.static_part.as_ref().map_or(ExactDecimal::ZERO, Quantity::value);
    if !step.is_none_or(ExactDecimal::is_whole) || !base.is_whole() {
        let message =
            format!("`{}` counts whole things, and this component would set fractions of them", target.key);
        let hint = "make unit_factor × ratio (and static) a whole number, and leave unit out";
        context.findings.error(placed.place, &placed.path, message, hint);
    } else if target.unit.ends_with('i') {
        let message =
            format!("`{}` counts whole things, and `{}` is a unit of bytes", target.key, target.unit);
        context.findings.error(placed.place, &placed.path, message, "leave unit out");
    }
}
