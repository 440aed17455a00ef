//! Further quotas of a project: their scopes, their fixed amounts, and which keys such a quota may have. Kubernetes:
//! ResourceQuota.

use std::collections::BTreeSet;

use planner::names;
use planner::quota::scopes::{OPERATORS, Requirement, SCOPES, Scopes};

use super::Context;
use super::component::{Placed, TakenKey};
use crate::settings::keys::{PROJECT_TEMPLATE, RESOURCE_QUOTA, SCOPE_EXPRESSION, SCOPE_SELECTOR};
use crate::settings::model::{ComponentSettings, QuotaTarget, ResourceQuotaTemplate};
use crate::settings::quota_key::is_subdomain;
use crate::settings::view::View;
use crate::settings::yaml::Node;
use crate::settings::{Quantity, QuotaKey, suggest};

pub(super) fn settings(offering: &View<'_>, context: &mut Context<'_, '_>) -> Vec<ResourceQuotaTemplate> {
    let template = offering.section("project_template", PROJECT_TEMPLATE);
    let mut quotas: Vec<ResourceQuotaTemplate> = Vec::new();
    for view in template.sections("resource_quotas", RESOURCE_QUOTA) {
        let Some(name) = view.text("name") else { continue };
        check_name(&view, &name, &quotas, context);
        let scopes = scopes(&view);
        for fault in scopes.faults() {
            context.findings.error(view.place, &view.path, fault, "");
        }
        if name == names::QUOTA && !scopes.is_empty() {
            let message = format!("`{name}` counts everything in a project and has no scopes");
            context.findings.error(view.place, &view.path, message, "give a quota of another name");
        }
        let hard = hard(&view, &scopes, context);
        quotas.push(ResourceQuotaTemplate { name, scopes, hard });
    }
    quotas
}

fn check_name(view: &View<'_>, name: &str, others: &[ResourceQuotaTemplate], context: &mut Context<'_, '_>) {
    let (place, path) = (view.place("name"), view.path("name"));
    if !is_subdomain(name) {
        let message = format!("`{name}` is no name of a Kubernetes object");
        context.findings.error(place, &path, message, "lower-case letters, digits, `-` and `.`");
    } else if others.iter().any(|other| other.name == name) {
        context.findings.error(place, &path, format!("quota `{name}` is there twice"), "remove one of them");
    }
}

/// What is no scope and no operator was reported already.
fn scopes(view: &View<'_>) -> Scopes {
    let known = |text: &str, words: &[&str]| {
        let word = words.iter().find(|word| word.eq_ignore_ascii_case(text));
        word.map(|word| (*word).to_owned())
    };
    let selector = view.section("scopeSelector", SCOPE_SELECTOR);
    let requirement = |view: View<'_>| {
        Some(Requirement {
            scope: known(&view.text("scopeName")?, &SCOPES)?,
            operator: known(&view.text("operator")?, &OPERATORS)?,
            values: texts(&view, "values").into_iter().collect(),
        })
    };
    let expressions = selector.sections("matchExpressions", SCOPE_EXPRESSION).into_iter();
    let names: BTreeSet<String> =
        texts(view, "scopes").iter().filter_map(|text| known(text, &SCOPES)).collect();
    Scopes { names, selector: expressions.filter_map(requirement).collect() }
}

fn texts(view: &View<'_>, key: &str) -> Vec<String> {
    let items = view.given(key).map(Node::items).unwrap_or_default().iter();
    items.filter_map(|item| item.text().map(str::to_owned)).collect()
}

/// Amounts that do not depend on what was bought.
fn hard(view: &View<'_>, scopes: &Scopes, context: &mut Context<'_, '_>) -> Vec<(QuotaKey, Quantity)> {
    let mut hard: Vec<(QuotaKey, Quantity)> = Vec::new();
    for (text, path, node) in view.entries("hard") {
        let mut fault = |message: String, hint: String| {
            context.findings.error(node.place, &path, message, hint);
        };
        let key = match QuotaKey::parse(&text) {
            Ok(key) => key,
            Err(found) => {
                fault(found.message, found.hint);
                continue;
            }
        };
        let Some(amount) = node.text().and_then(Quantity::parse) else { continue };
        if let Some(message) = scopes.refusal(key.as_str()) {
            fault(message, String::new());
        }
        if key.is_whole() && !amount.value().is_whole() {
            fault(format!("`{key}` counts whole things"), "write a whole number".to_owned());
        }
        if hard.iter().any(|(other, _)| other.counted_as() == key.counted_as()) {
            fault(format!("`{key}` is there twice"), "`cpu` and `requests.cpu` are the same".to_owned());
        }
        hard.push((key, amount));
    }
    hard
}

/// Keys with a fixed amount, which no component can set.
pub(super) fn fixed_keys(quotas: &[ResourceQuotaTemplate]) -> Vec<TakenKey> {
    let keys = quotas.iter().flat_map(|quota| {
        quota.hard.iter().map(|(key, _)| TakenKey {
            quota: quota.name.clone(),
            counted: key.counted_as(),
            component: None,
        })
    });
    keys.collect()
}

/// True if a component's quota counts some pods only.
pub(super) fn is_scoped(target: &QuotaTarget, quotas: &[ResourceQuotaTemplate]) -> bool {
    quotas.iter().any(|quota| quota.name == target.quota && !quota.scopes.is_empty())
}

/// A key of a quota that is there and can have it.
pub(super) fn check_target(placed: &Placed, quotas: &[ResourceQuotaTemplate], context: &mut Context<'_, '_>) {
    let QuotaTarget { quota: name, key, .. } = &placed.target;
    let Some(quota) = quotas.iter().find(|quota| quota.name == *name) else {
        if name != names::QUOTA {
            let known = quotas.iter().map(|quota| quota.name.as_str());
            let hint = match suggest::nearest(name, known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "describe it in `project_template.resource_quotas`".to_owned(),
            };
            let message = format!("there is no quota `{name}`");
            context.findings.error(placed.place, &placed.path, message, hint);
        }
        return;
    };
    if let Some(message) = quota.scopes.refusal(key.as_str()) {
        let hint = format!("the scopes of quota `{name}` are {}", quota.scopes);
        context.findings.error(placed.place, &placed.path, message, hint);
    }
}

/// Each quota limits something.
pub(super) fn check_all(
    offering: &View<'_>,
    quotas: &[ResourceQuotaTemplate],
    components: &[ComponentSettings],
    context: &mut Context<'_, '_>,
) {
    let template = offering.section("project_template", PROJECT_TEMPLATE);
    for view in template.sections("resource_quotas", RESOURCE_QUOTA) {
        let name = view.text("name").unwrap_or_default();
        let is_fixed = quotas.iter().any(|quota| quota.name == name && !quota.hard.is_empty());
        let mut targets = components.iter().flat_map(|component| &component.quota);
        if !is_fixed && !targets.any(|target| target.quota == name) {
            let message = format!("quota `{name}` limits nothing");
            let hint = "give it `hard`, or name it as `resource_quota` of a component's quota target";
            context.findings.error(view.place, &view.path, message, hint);
        }
    }
}
