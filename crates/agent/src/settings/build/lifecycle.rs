//! Pause, downscale, restore and terminate, and other amounts by component.

use super::Context;
use crate::settings::ExactDecimal;
use crate::settings::keys::LIFECYCLE;
use crate::settings::model::{ComponentSettings, HeldQuota, Lifecycle, RestoreTo};
use crate::settings::scalar;
use crate::settings::view::View;
use crate::settings::yaml::Node;

pub(super) fn settings(
    backend: &View<'_>,
    components: &[ComponentSettings],
    context: &mut Context<'_, '_>,
) -> Option<Lifecycle> {
    let view = backend.section("lifecycle", LIFECYCLE);
    let pause_quotas = held(&view, "pause_quotas", components, context);
    let downscale_quotas = held(&view, "downscale_quotas", components, context);
    let terminate_grace = view.duration("terminate_grace")?;
    let soft_delete = view.truth("soft_delete");
    if soft_delete && !terminate_grace.is_zero() {
        let message = "soft_delete never deletes, so that there is no time before deletion";
        let key = "terminate_grace";
        context.findings.error(view.place(key), &view.path(key), message, "keep one of them");
    }
    let terminate_async = view.choice("terminate", |word| match word {
        "wait" => Some(false),
        "async" => Some(true),
        _ => None,
    })?;
    Some(Lifecycle {
        pause_quotas,
        downscale_quotas,
        restore: view.choice("restore", |word| match word {
            "limits" => Some(RestoreTo::Limits),
            "defaults" => Some(RestoreTo::Defaults),
            _ => None,
        })?,
        stop_workloads: view.truth("stop_workloads"),
        terminate_async,
        terminate_grace,
        soft_delete,
    })
}

/// What components are held at.
fn held(
    view: &View<'_>,
    key: &str,
    components: &[ComponentSettings],
    context: &mut Context<'_, '_>,
) -> Vec<(String, HeldQuota)> {
    amounts(view, key, components, context);
    let read = |text: &str| match text.strip_suffix('%') {
        Some(_) => scalar::share(text).map(HeldQuota::Share),
        None => scalar::decimal(text).map(HeldQuota::Amount),
    };
    let entries = view.entries(key).into_iter();
    entries.filter_map(|(name, _, node)| Some((name, read(node.text()?)?))).collect()
}

/// Amounts by component. One for a component that the offering lacks is reported, and one that would set a fraction
/// of a thing.
pub(super) fn amounts(
    view: &View<'_>,
    key: &str,
    components: &[ComponentSettings],
    context: &mut Context<'_, '_>,
) -> Vec<(String, ExactDecimal)> {
    if view.is_set(key) && !components.is_empty() {
        for (name, path, node) in view.entries(key) {
            match components.iter().find(|component| component.name == name) {
                Some(component) => check_fraction(component, &path, &node, context),
                None => warn_unknown(&name, components, &path, &node, context),
            }
        }
    }
    view.decimals(key)
}

fn check_fraction(component: &ComponentSettings, path: &str, node: &Node, context: &mut Context<'_, '_>) {
    let Some(amount) = node.text().and_then(scalar::decimal) else { return };
    for target in component.quota.iter().filter(|target| target.key.is_whole()) {
        let factor =
            component.unit_factor.checked_mul(target.ratio).and_then(|factor| factor.checked_mul(amount));
        if factor.is_some_and(|set| !set.is_whole()) {
            let message =
                format!("`{}` counts whole things, and `{amount}` would set a fraction of them", target.key);
            context.findings.error(node.place, path, message, "write a whole number");
        }
    }
}

fn warn_unknown(
    name: &str,
    components: &[ComponentSettings],
    path: &str,
    node: &Node,
    context: &mut Context<'_, '_>,
) {
    let names = components.iter().map(|component| component.name.as_str());
    let hint = crate::settings::suggest::nearest(name, names).map(|name| format!("did you mean `{name}`?"));
    let message = "backend_components has no such component, so that this has no effect";
    context.findings.warning(node.place, path, message, hint);
}
