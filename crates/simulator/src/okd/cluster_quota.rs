//! ClusterResourceQuota at work: one quota over all projects that it selects by labels or annotations of their namespaces.
//!
//! Reads the store; what its controller writes is the quota's status. Source: OpenShift "Setting quotas across multiple
//! projects".

use serde_json::{Map, Value, json};

use super::kinds::{CLUSTER_QUOTAS, Kind, NAMESPACES};
use super::quota::{self, Amounts};
use super::scopes;
use super::selector::LabelSelector;
use super::status::Result;
use super::store::{Store, Stored};

/// What a quota selects projects by.
struct Selector {
    /// `None` for one that cannot be read: it selects nothing.
    labels: Option<LabelSelector>,
    annotations: Map<String, Value>,
}

impl Selector {
    fn of(quota: &Value) -> Self {
        let selector = &quota["spec"]["selector"];
        Self {
            labels: LabelSelector::parse(&label_text(&selector["labels"])).ok(),
            annotations: selector["annotations"].as_object().cloned().unwrap_or_default(),
        }
    }

    fn matches(&self, namespace: &Stored) -> bool {
        let Some(labels) = &self.labels else { return false };
        if labels.is_empty() && self.annotations.is_empty() {
            return false;
        }
        labels.matches(&namespace.labels) && self.is_annotated(namespace)
    }

    fn is_annotated(&self, namespace: &Stored) -> bool {
        if self.annotations.is_empty() {
            return true;
        }
        let annotations = &namespace.value()["metadata"]["annotations"];
        self.annotations.iter().all(|(key, value)| annotations.get(key) == Some(value))
    }
}

/// A LabelSelector object (Kubernetes: meta/v1) as a query writes it.
fn label_text(selector: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let equal = equal.map(|(key, value)| format!("{key}={}", text(value)));
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    let expressions = expressions.map(|expression| {
        let key = text(&expression["key"]);
        let values: Vec<String> = expression["values"].as_array().into_iter().flatten().map(text).collect();
        let values = values.join(",");
        match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("Exists") => key,
            _ => format!("!{key}"),
        }
    });
    equal.chain(expressions).collect::<Vec<_>>().join(",")
}

/// Names of the quotas that a change in a namespace may concern: those that select it, and those that have counted it.
pub(super) fn over(store: &Store, namespace: &str) -> Vec<String> {
    let quotas = store.table(CLUSTER_QUOTAS).range(None, None);
    let live = store.get(NAMESPACES, "", namespace);
    let concerned = quotas.filter(|stored| {
        let quota = stored.value();
        let mut counted = quota["status"]["namespaces"].as_array().into_iter().flatten();
        live.is_some_and(|live| Selector::of(&quota).matches(live))
            || counted.any(|part| part["namespace"] == namespace)
    });
    concerned.map(|stored| stored.key.name.to_string()).collect()
}

/// Namespaces that a quota selects.
pub(super) fn selected(store: &Store, name: &str) -> Vec<String> {
    let Some(quota) = store.get(CLUSTER_QUOTAS, "", name) else { return Vec::new() };
    let selector = Selector::of(&quota.value());
    let selected = store.table(NAMESPACES).range(None, None).filter(|namespace| selector.matches(namespace));
    selected.map(|namespace| namespace.key.name.to_string()).collect()
}

/// Status of a quota: `total`, and for each selected project what it uses.
fn status(store: &Store, quota: &Value) -> Value {
    let hard = quota["spec"]["quota"]["hard"].as_object().cloned().unwrap_or_default();
    let selector = Selector::of(quota);
    let selected = store.table(NAMESPACES).range(None, None).filter(|namespace| selector.matches(namespace));
    let mut total = Amounts::new();
    let mut parts = Vec::new();
    for namespace in selected {
        let used = quota::used(store, &namespace.key.name, &quota["spec"]["quota"], &hard);
        for (key, value) in &used {
            if let Some(amount) = quota::quantity(value) {
                quota::add(&mut total, key, &amount);
            }
        }
        parts.push(json!({"namespace": &*namespace.key.name, "status": {"hard": hard, "used": used}}));
    }
    let shown = |key: &String| total.get(key).map_or_else(|| "0".to_owned(), |amount| amount.canonical());
    let used: Map<String, Value> = hard.keys().map(|key| (key.clone(), shown(key).into())).collect();
    let namespaces = if parts.is_empty() { Value::Null } else { parts.into() };
    json!({"total": {"hard": hard, "used": used}, "namespaces": namespaces})
}

/// Brings the status of a quota up to date.
pub(super) fn count(store: &mut Store, name: &str) {
    let Some(live) = store.get(CLUSTER_QUOTAS, "", name).cloned() else { return };
    let mut quota = live.value();
    let status = status(store, &quota);
    if quota["status"] != status {
        quota["status"] = status;
        store.put(CLUSTER_QUOTAS, quota);
    }
}

/// Refuses a new object that a quota over its project has no room for.
///
/// # Errors
/// 403 `exceeded quota` or `failed quota … must specify`.
pub(super) fn admit(store: &Store, namespace: &str, kind: &Kind, object: &Value) -> Result<()> {
    let Some(live) = store.get(NAMESPACES, "", namespace) else { return Ok(()) };
    for stored in store.table(CLUSTER_QUOTAS).range(None, None) {
        let quota = stored.value();
        if !Selector::of(&quota).matches(live) {
            continue;
        }
        // As with other quotas, it counts from when its controller has seen it.
        let Some(hard) = quota["status"]["total"]["hard"].as_object() else { continue };
        if !scopes::matches(&quota["spec"]["quota"], kind, object) {
            continue;
        }
        let used = || status(store, &quota)["total"]["used"].as_object().cloned().unwrap_or_default();
        quota::fits((kind, object), &stored.key.name, hard, used)?;
    }
    Ok(())
}
