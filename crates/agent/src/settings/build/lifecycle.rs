//! Pause, downscale, restore and terminate, and other amounts by component.

use super::Context;
use crate::settings::ExactDecimal;
use crate::settings::keys::LIFECYCLE;
use crate::settings::model::{ComponentSettings, Lifecycle, RestoreTo};
use crate::settings::view::View;

pub(super) fn settings(
    backend: &View<'_>,
    components: &[ComponentSettings],
    context: &mut Context<'_, '_>,
) -> Option<Lifecycle> {
    let view = backend.section("lifecycle", LIFECYCLE);
    let pause_quotas = amounts(&view, "pause_quotas", components, context);
    let downscale_quotas = amounts(&view, "downscale_quotas", components, context);
    let terminate_grace = view.duration("terminate_grace")?;
    let soft_delete = view.truth("soft_delete");
    if soft_delete && !terminate_grace.is_zero() {
        let message = "soft_delete never deletes, so that there is no time before deletion";
        let key = "terminate_grace";
        context.findings.error(view.place(key), &view.path(key), message, "keep one of them");
    }
    Some(Lifecycle {
        pause_quotas,
        downscale_quotas,
        restore: view.choice("restore", |word| match word {
            "limits" => Some(RestoreTo::Limits),
            "defaults" => Some(RestoreTo::Defaults),
            _ => None,
        })?,
        stop_workloads: view.truth("stop_workloads"),
        terminate_grace,
        soft_delete,
    })
}

/// Amounts by component; one for a component that the offering does not have is reported.
pub(super) fn amounts(
    view: &View<'_>,
    key: &str,
    components: &[ComponentSettings],
    context: &mut Context<'_, '_>,
) -> Vec<(String, ExactDecimal)> {
    if view.is_set(key) && !components.is_empty() {
        for (name, path, node) in view.entries(key) {
            if components.iter().any(|component| component.name == name) {
                continue;
            }
            let names = components.iter().map(|component| component.name.as_str());
            let hint =
                crate::settings::suggest::nearest(&name, names).map(|name| format!("did you mean `{name}`?"));
            let message = "backend_components has no such component, so that this has no effect";
            context.findings.warning(node.place, &path, message, hint);
        }
    }
    view.decimals(key)
}
