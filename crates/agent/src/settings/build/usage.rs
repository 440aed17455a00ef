//! How the usage of a component is measured: what the file says, and what follows from the component where it is silent.

use planner::usage::rule::{Measure, Thing};

use super::component::Placed;
use super::{Context, quota};
use crate::settings::keys::USAGE;
use crate::settings::model::{AccountingType, ResourceQuotaTemplate, UsageSettings};
use crate::settings::quantity::{unit_names, unit_value};
use crate::settings::view::View;

/// Waldur takes no usage of components that are paid once.
pub(super) fn settings(
    name: &str,
    component: &View<'_>,
    accounting: AccountingType,
    (targets, quotas): (&[Placed], &[ResourceQuotaTemplate]),
    context: &mut Context<'_, '_>,
) -> Option<UsageSettings> {
    let view = component.section("usage", USAGE);
    let given = component.is_set("usage");
    let by_default = match accounting {
        AccountingType::Limit => Measure::QuotaUsed,
        AccountingType::Usage => Measure::Requests,
        AccountingType::One => return None,
    };
    let measure = view.choice("measure", Measure::from_word).unwrap_or(by_default);
    let thing = thing(name, &view, targets);
    let by_quota = matches!(measure, Measure::QuotaUsed | Measure::Allocation);
    let scoped = targets.first().is_some_and(|placed| quota::is_scoped(&placed.target, quotas));
    let (message, hint) = if scoped && !by_quota {
        (
            "its quota counts some pods only, which Prometheus cannot tell apart",
            "give `usage: {measure: quota_used}` or `allocation`",
        )
    } else if by_quota && targets.is_empty() {
        ("the component sets no quota, so that none shows its use", "give `quota`, or another measure")
    } else if !by_quota && thing.is_none() {
        ("it is not known what is to be measured", "give `usage: {resource: …}`")
    } else {
        let unit = unit(component, &view, measure, thing.as_ref(), targets, context);
        return Some(UsageSettings { measure, thing, unit });
    };
    // Where no quota is known either, that was said already.
    if given || accounting == AccountingType::Usage && component.given("quota").is_some() {
        let message = format!("usage of `{name}` is not reported: {message}");
        context.findings.warning(component.place("usage"), &component.path("usage"), message, hint);
    }
    None
}

fn thing(name: &str, view: &View<'_>, targets: &[Placed]) -> Option<Thing> {
    let class = view.text("storage_class");
    let model = view.text("model").map(|model| if model == "unknown" { String::new() } else { model });
    let named = |word: &str| match word {
        "cpu" => Some(Thing::Cpu),
        "memory" => Some(Thing::Memory),
        "storage" => Some(Thing::Storage { class: class.clone() }),
        "pods" => Some(Thing::Pods),
        _ if word.contains('/') => Some(Thing::Device { name: word.to_owned(), model: model.clone() }),
        _ => None,
    };
    if let Some(resource) = view.text("resource") {
        return named(&resource);
    }
    let key = targets.first().map(|placed| placed.target.key.to_string()).unwrap_or_default();
    let of_class = key.split_once(".storageclass.storage.k8s.io/").map(|(class, _)| class.to_owned());
    let of_key = match of_class {
        Some(of_class) => Some(Thing::Storage { class: class.clone().or(Some(of_class)) }),
        None => named(key.strip_prefix("requests.").or(key.strip_prefix("limits.")).unwrap_or(&key)),
    };
    of_key.or_else(|| named(name))
}

/// Hours are told in the unit that the component shows, what the quota shows in the unit that it is bought in.
fn unit(
    component: &View<'_>,
    view: &View<'_>,
    measure: Measure,
    thing: Option<&Thing>,
    targets: &[Placed],
    context: &mut Context<'_, '_>,
) -> String {
    if let Some(unit) = view.text("unit") {
        if unit_value(&unit).is_none() {
            let message = format!("unknown unit `{unit}`");
            let hint = format!("one of {}", unit_names().join(", "));
            context.findings.error(view.place("unit"), &view.path("unit"), message, hint);
        }
        return unit;
    }
    let of_target = targets.first().map(|placed| placed.target.unit.clone());
    if measure == Measure::QuotaUsed || measure == Measure::Allocation {
        return of_target.unwrap_or_default();
    }
    if !thing.is_some_and(Thing::is_bytes) {
        return String::new();
    }
    let shown = component.text("measured_unit").unwrap_or_default();
    let prefixes = ["Ki", "Mi", "Gi", "Ti", "Pi", "k", "M", "G", "T", "P"];
    let meant = prefixes.into_iter().find(|prefix| shown.contains(&format!("{prefix}B")));
    meant.map(str::to_owned).or(of_target).unwrap_or_else(|| "Gi".to_owned())
}
