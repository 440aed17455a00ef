//! Quotas, in a namespace and over several, to and from the planner's values. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::DynamicObject;
use planner::names;
use planner::observed::Owned;
use planner::quota::scopes::{Requirement, Scopes};
use planner::quota::{self, Hard, Quota};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::kinds::{QUOTA, amounts, editors, labels, resource_of, set_uid};

/// One of our quotas.
pub(crate) fn quota(
    (namespace, name): (&str, &str),
    uid: Option<&str>,
    resource: Uuid,
    value: &Quota,
) -> Value {
    let mut body = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": name, "namespace": namespace, "labels": labels(resource)},
        "spec": quota_spec(value),
    });
    set_uid(&mut body, uid);
    body
}

/// One of our quotas over all namespaces of a resource: those that carry its label, which only cluster administrators and
/// the agent can put on a namespace (OpenShift: ClusterResourceQuota).
pub(crate) fn cluster_quota(name: &str, uid: Option<&str>, resource: Uuid, value: &Quota) -> Value {
    let mut body = json!({
        "apiVersion": format!("{QUOTA}/v1"),
        "kind": "ClusterResourceQuota",
        "metadata": {"name": name, "labels": labels(resource)},
        "spec": {"selector": {"labels": selected(resource)}, "quota": quota_spec(value)},
    });
    set_uid(&mut body, uid);
    body
}

/// By what the namespaces of a resource are selected.
fn selected(resource: Uuid) -> Value {
    json!({"matchLabels": {names::RESOURCE_UUID: resource.simple().to_string()}})
}

/// Kubernetes: ResourceQuotaSpec.
fn quota_spec(value: &Quota) -> Value {
    let Quota { scopes, hard } = value;
    let hard: Map<String, Value> =
        hard.iter().map(|(key, value)| (key.clone(), json!(quota::quantity(key, *value)))).collect();
    let mut spec = json!({"hard": hard});
    if !scopes.names.is_empty() {
        spec["scopes"] = json!(scopes.names);
    }
    if !scopes.selector.is_empty() {
        let expressions = scopes.selector.iter().map(expression).collect::<Vec<_>>();
        spec["scopeSelector"] = json!({"matchExpressions": expressions});
    }
    spec
}

/// Kubernetes: ScopedResourceSelectorRequirement.
fn expression(requirement: &Requirement) -> Value {
    let Requirement { scope, operator, values } = requirement;
    let mut expression = json!({"scopeName": scope, "operator": operator});
    if !values.is_empty() {
        expression["values"] = json!(values);
    }
    expression
}

fn read_scopes(spec: Option<&Value>) -> Scopes {
    let texts = |value: Option<&Value>| -> BTreeSet<String> {
        let texts = value.and_then(Value::as_array).into_iter().flatten();
        texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let list = spec.and_then(|spec| spec.pointer("/scopeSelector/matchExpressions"));
    let selector = list.and_then(Value::as_array).into_iter().flatten().map(|expression| Requirement {
        scope: expression["scopeName"].as_str().unwrap_or_default().to_owned(),
        operator: expression["operator"].as_str().unwrap_or_default().to_owned(),
        values: texts(expression.get("values")),
    });
    Scopes { names: texts(spec.and_then(|spec| spec.get("scopes"))), selector: selector.collect() }
}

/// What a quota says. A value that cannot be read is left out, so that it is written anew.
pub(crate) fn read_quota(object: &DynamicObject) -> Owned<Quota> {
    Owned {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        value: Quota {
            scopes: read_scopes(object.data.get("spec")),
            hard: amounts(object.data.pointer("/spec/hard")),
        },
        edited_by: editors(object, "/f:spec/f:hard", &[]),
    }
}

/// The same of a quota over several namespaces.
pub(crate) fn read_cluster_quota(object: &DynamicObject) -> Owned<Quota> {
    let spec = object.data.pointer("/spec/quota");
    let hard = amounts(spec.and_then(|spec| spec.get("hard")));
    let is_ours = resource_of(object).is_some_and(|resource| selects(object, resource));
    Owned {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        // One that somebody has pointed elsewhere limits nothing of the resource, and is written anew.
        value: Quota { scopes: read_scopes(spec), hard: if is_ours { hard } else { Hard::new() } },
        edited_by: editors(object, "/f:spec/f:quota/f:hard", &[]),
    }
}

/// The same of one that carries no labels; `None` if it is not over the namespaces of this resource and no others.
pub(crate) fn read_unlabelled_cluster_quota(object: &DynamicObject, resource: Uuid) -> Option<Owned<Quota>> {
    let hard = amounts(object.data.pointer("/spec/quota/hard"));
    let mut owned = read_cluster_quota(object);
    owned.value.hard = hard;
    selects(object, resource).then_some(owned)
}

/// Whether a quota is over the namespaces of this resource and no others.
fn selects(object: &DynamicObject, resource: Uuid) -> bool {
    let part = |name: &str| object.data.pointer("/spec/selector").and_then(|selector| selector.get(name));
    let others = part("annotations").and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    part("labels") == Some(&selected(resource)) && !others
}

/// What a quota over several namespaces shows as used: together, and in each; `None` as with [`read_used`].
pub(crate) fn read_cluster_used(object: &DynamicObject) -> Option<ClusterUse> {
    let whole = |value: Option<&Value>| {
        let used = value?.as_object()?;
        let amounts = amounts(value);
        (amounts.len() == used.len()).then_some(amounts)
    };
    let total = whole(object.data.pointer("/status/total/used"))?;
    let parts = object.data.pointer("/status/namespaces").and_then(Value::as_array);
    let part = |part: &Value| {
        let namespace = part["namespace"].as_str()?.to_owned();
        Some((namespace, whole(part.pointer("/status/used"))?))
    };
    Some(ClusterUse { total, namespaces: parts.into_iter().flatten().filter_map(part).collect() })
}

/// What is in use under a quota over several namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterUse {
    /// In all of them.
    pub(crate) total: Hard,
    /// By namespace.
    pub(crate) namespaces: BTreeMap<String, Hard>,
}

/// What a quota shows as used (Kubernetes: `status.used`); `None` before its controller has looked at it, and if it
/// says something that is no quantity: half of it would pass for all of it.
pub(crate) fn read_used(object: &DynamicObject) -> Option<Hard> {
    let used = object.data.pointer("/status/used")?.as_object()?;
    let amounts = amounts(object.data.pointer("/status/used"));
    (amounts.len() == used.len()).then_some(amounts)
}
