//! The project template of the settings as the planner means it. Pure.

use planner::template::{self, Template, TemplateObject};
use serde_json::{Map, Value, json};

use crate::settings::{LimitRangeItem, OfferingSettings, ResourceQuantities};

/// All that each project of an offering is furnished with: isolation first.
pub(crate) fn template(offering: &OfferingSettings) -> Template {
    let settings = &offering.project_template;
    let mut objects = Vec::new();
    if settings.enable_network_isolation {
        objects.extend(template::isolation());
    }
    let accounts = settings.service_accounts.iter();
    objects.extend(accounts.map(|name| template::object("v1", "ServiceAccount", name, json!({}))));
    objects.extend(settings.limit_ranges.iter().map(|range| {
        let limits: Vec<Value> = range.limits.iter().map(limit).collect();
        template::object("v1", "LimitRange", &range.name, json!({"spec": {"limits": limits}}))
    }));
    objects.extend(settings.manifests.iter().cloned().map(without_namespace));
    Template { objects, labels: settings.labels.clone(), annotations: settings.annotations.clone() }
}

fn without_namespace(mut object: TemplateObject) -> TemplateObject {
    if let Some(metadata) = object.body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("namespace");
    }
    object
}

fn limit(item: &LimitRangeItem) -> Value {
    let mut limit = Map::from_iter([("type".to_owned(), json!(item.kind))]);
    let parts = [
        ("max", &item.max),
        ("min", &item.min),
        ("default", &item.default),
        ("defaultRequest", &item.default_request),
    ];
    for (name, amounts) in parts.into_iter().filter(|(_, amounts)| !amounts.is_empty()) {
        limit.insert(name.to_owned(), quantities(amounts));
    }
    Value::Object(limit)
}

fn quantities(amounts: &ResourceQuantities) -> Value {
    amounts.iter().map(|(name, amount)| (name.clone(), json!(amount.as_str()))).collect::<Map<_, _>>().into()
}
