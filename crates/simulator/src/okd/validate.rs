//! Defaults and validation of objects, before they are stored.
//!
//! Changes only the object it is given; what depends on other objects is in `objects`, `quota` and `rbac`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::kinds::{
    CLAIMS, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Kind, LIMIT_RANGES, PODS, QUOTAS, RBAC, ROLE_BINDINGS,
    ROLES,
};
use super::names::{metadata_faults, name_faults};
use super::quantity::{MALFORMED, Quantity};
use super::status::{ApiError, Cause, Result};

/// The members that a resource has at its top, besides `kind`, `apiVersion` and `metadata`; `None` if any are taken.
fn known_members(kind: &Kind) -> Option<&'static [&'static str]> {
    match kind.plural {
        "namespaces" | "resourcequotas" | "persistentvolumeclaims" | "pods" | "projects" => {
            Some(&["spec", "status"])
        }
        "limitranges" | "leases" | "networkpolicies" => Some(&["spec"]),
        "rolebindings" | "clusterrolebindings" => Some(&["roleRef", "subjects"]),
        "roles" => Some(&["rules"]),
        "clusterroles" => Some(&["rules", "aggregationRule"]),
        "projectrequests" => Some(&["displayName", "description"]),
        "configmaps" => Some(&["data", "binaryData", "immutable"]),
        "secrets" => Some(&["data", "stringData", "type", "immutable"]),
        _ => None,
    }
}

/// Removes what the resource does not have, and says what that was.
pub(crate) fn drop_unknown(kind: &Kind, object: &mut Value) -> Vec<String> {
    let Some(members) = object.as_object_mut() else { return Vec::new() };
    let Some(known) = known_members(kind) else { return Vec::new() };
    let always = ["kind", "apiVersion", "metadata"];
    let mut unknown: Vec<String> = members
        .keys()
        .filter(|name| !always.contains(&name.as_str()) && !known.contains(&name.as_str()))
        .cloned()
        .collect();
    members.retain(|name, _| !unknown.contains(name));
    if kind == QUOTAS
        && let Some(spec) = members.get_mut("spec").and_then(Value::as_object_mut)
    {
        let known = ["hard", "scopes", "scopeSelector"];
        unknown.extend(
            spec.keys().filter(|name| !known.contains(&name.as_str())).map(|name| format!("spec.{name}")),
        );
        spec.retain(|name, _| known.contains(&name.as_str()));
    }
    unknown
}

/// Brings an object into the form in which it is stored and shown: canonical quantities, defaults, nothing empty.
///
/// # Errors
/// 400 for values of the wrong type, as the real server's decoder answers.
pub(crate) fn normalise(kind: &Kind, object: &mut Value) -> Result<()> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    drop_empty(
        &mut object["metadata"],
        &["labels", "annotations", "finalizers", "ownerReferences", "managedFields"],
    );
    let quantities: &[&str] = match kind.plural {
        "resourcequotas" => &["/spec/hard", "/status/hard", "/status/used"],
        "persistentvolumeclaims" => {
            &["/spec/resources/requests", "/spec/resources/limits", "/status/capacity"]
        }
        _ => &[],
    };
    for pointer in quantities {
        canonical_map(kind, object.pointer_mut(pointer))?;
    }
    match kind.plural {
        "namespaces" => namespace(object),
        "resourcequotas" => {
            ensure_object(object, "spec");
            drop_empty(&mut object["spec"], &["hard", "scopes"]);
            ensure_object(object, "status");
        }
        "limitranges" => limit_range(kind, object)?,
        "rolebindings" | "clusterrolebindings" => binding(object),
        "roles" | "clusterroles" if object.get("rules").is_none() => object["rules"] = Value::Null,
        "pods" => pod(kind, object)?,
        "persistentvolumeclaims" if object["status"]["phase"].is_null() => {
            object["status"] = json!({"phase": "Pending"});
        }
        "secrets" => secret(object),
        "deployments" | "statefulsets" | "replicasets" | "deploymentconfigs"
            if object["spec"]["replicas"].is_null() =>
        {
            object["spec"]["replicas"] = json!(1);
        }
        "jobs" | "cronjobs" if object["spec"]["suspend"].is_null() => {
            object["spec"]["suspend"] = json!(false);
        }
        _ => {}
    }
    Ok(())
}

fn ensure_object(object: &mut Value, member: &str) {
    if !object[member].is_object() {
        object[member] = json!({});
    }
}

fn drop_empty(object: &mut Value, members: &[&str]) {
    if let Some(map) = object.as_object_mut() {
        map.retain(|name, value| {
            let empty = match value {
                Value::Null => true,
                Value::Object(map) => map.is_empty(),
                Value::Array(items) => items.is_empty(),
                _ => false,
            };
            !(empty && members.contains(&name.as_str()))
        });
        map.retain(|_, value| !value.is_null());
    }
}

fn canonical_map(kind: &Kind, map: Option<&mut Value>) -> Result<()> {
    for (_, value) in map.and_then(Value::as_object_mut).into_iter().flatten() {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let quantity = Quantity::parse(&text).ok_or_else(|| undecodable(kind, MALFORMED))?;
        *value = quantity.canonical().into();
    }
    Ok(())
}

/// The decoder's 400.
pub(crate) fn undecodable(kind: &Kind, why: &str) -> Box<ApiError> {
    let name = kind.kind;
    ApiError::bad_request(format!(
        "{name} in version \"{}\" cannot be handled as a {name}: {why}",
        kind.version
    ))
}

fn namespace(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    if object["spec"]["finalizers"].is_null() {
        object["spec"] = json!({"finalizers": ["kubernetes"]});
    }
    if object["status"]["phase"].is_null() {
        object["status"] = json!({"phase": "Active"});
    }
}

fn limit_range(kind: &Kind, object: &mut Value) -> Result<()> {
    ensure_object(object, "spec");
    for limit in object["spec"]["limits"].as_array_mut().into_iter().flatten() {
        for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            canonical_map(kind, limit.get_mut(field))?;
        }
        // A maximum without a limit of its own is the limit as well, a limit the request, and a minimum the request.
        if limit["type"] == "Container" {
            for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
                let given: Map<String, Value> = limit[from].as_object().cloned().unwrap_or_default();
                for (resource, value) in given {
                    if limit[to][&resource].is_null() {
                        limit[to][&resource] = value;
                    }
                }
            }
        }
    }
    Ok(())
}

fn binding(object: &mut Value) {
    if object["roleRef"].is_object() && object["roleRef"]["apiGroup"].as_str().unwrap_or_default().is_empty()
    {
        object["roleRef"]["apiGroup"] = RBAC.into();
    }
    for subject in object["subjects"].as_array_mut().into_iter().flatten() {
        let grouped = matches!(subject["kind"].as_str(), Some("User" | "Group"));
        if grouped && subject["apiGroup"].as_str().unwrap_or_default().is_empty() {
            subject["apiGroup"] = RBAC.into();
        }
    }
    drop_empty(object, &["subjects"]);
}

fn pod(kind: &Kind, object: &mut Value) -> Result<()> {
    for list in ["containers", "initContainers"] {
        for container in object["spec"][list].as_array_mut().into_iter().flatten() {
            if container["resources"].is_null() {
                container["resources"] = json!({});
            }
            for field in ["limits", "requests"] {
                canonical_map(kind, container["resources"].get_mut(field))?;
            }
            // Kubernetes: a request that is not given is the limit.
            let limits = container["resources"]["limits"].as_object().cloned().unwrap_or_default();
            for (resource, value) in limits {
                if container["resources"]["requests"][&resource].is_null() {
                    container["resources"]["requests"][&resource] = value;
                }
            }
            drop_empty(&mut container["resources"], &["limits", "requests"]);
        }
    }
    drop_empty(&mut object["spec"], &["initContainers"]);
    for (field, value) in [("restartPolicy", json!("Always")), ("serviceAccountName", json!("default"))] {
        if object["spec"][field].is_null() {
            object["spec"][field] = value;
        }
    }
    if object["status"]["phase"].is_null() {
        object["status"] = json!({"phase": "Pending", "qosClass": "Burstable"});
    }
    Ok(())
}

fn secret(object: &mut Value) {
    use base64::Engine as _;
    let plain: Map<String, Value> = object["stringData"].as_object().cloned().unwrap_or_default();
    for (key, value) in plain {
        let encoded = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
        object["data"][key] = encoded.into();
    }
    if let Some(members) = object.as_object_mut() {
        members.remove("stringData");
        members.retain(|_, value| !value.is_null());
        members.entry("type").or_insert_with(|| "Opaque".into());
    }
}

/// Refuses an object that its resource does not allow; `old` is what it replaces.
///
/// # Errors
/// 422 with every fault.
pub(crate) fn validate(kind: &Kind, object: &Value, old: Option<&Value>) -> Result<()> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut causes = if old.is_none() { name_faults(kind, name) } else { Vec::new() };
    causes.extend(metadata_faults(&object["metadata"]));
    if kind == QUOTAS {
        quota_faults(object, &mut causes);
        super::scopes::faults(object, old, &mut causes);
    } else if kind == ROLE_BINDINGS || kind == CLUSTER_ROLE_BINDINGS {
        binding_faults(object, old, &mut causes);
    } else if kind == PODS {
        if object["spec"]["containers"].as_array().is_none_or(Vec::is_empty) {
            causes.push(Cause::required("spec.containers", ""));
        }
    } else if kind == CLAIMS {
        if object["spec"]["resources"]["requests"]["storage"].is_null() {
            causes.push(Cause::required("spec.resources[storage]", ""));
        }
        if object["spec"]["accessModes"].as_array().is_none_or(Vec::is_empty) {
            causes.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
        }
    } else if kind.group == "apps" {
        selector_faults(object, old, &mut causes);
    } else if kind.plural == "events" && kind.group.is_empty() {
        event_faults(object, &mut causes);
    } else if kind == LIMIT_RANGES {
        limit_range_faults(object, &mut causes);
    } else if kind.group == super::kinds::USER {
        super::users::faults(kind, object, &mut causes);
    } else if (kind == ROLES || kind == CLUSTER_ROLES)
        && !(object["rules"].is_array() || object["rules"].is_null())
    {
        return Err(undecodable(
            kind,
            "json: cannot unmarshal value into Go struct field .rules of type []v1.PolicyRule",
        ));
    }
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid(kind.group, kind.kind, name, &causes)) }
}

const STANDARD_QUOTA: [&str; 18] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "persistentvolumeclaims",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "services.nodeports",
];
const WHOLE: [&str; 9] = [
    "persistentvolumeclaims",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

fn quota_faults(object: &Value, causes: &mut Vec<Cause>) {
    let hard = object["spec"]["hard"].as_object();
    for (resource, value) in hard.into_iter().flatten() {
        let field = format!("spec.hard[{resource}]");
        let shown = json!(resource);
        if !resource.contains('/')
            && !STANDARD_QUOTA.contains(&resource.as_str())
            && resource != "services.loadbalancers"
        {
            if resource != "storage" {
                causes.push(Cause::invalid(
                    &*field,
                    &shown,
                    "must be a standard resource type or fully qualified",
                ));
            }
            causes.push(Cause::invalid(&*field, &shown, "must be a standard resource for quota"));
            continue;
        }
        let Some(quantity) = value.as_str().and_then(Quantity::parse) else { continue };
        if quantity.nano() < 0 {
            causes.push(Cause::invalid(&*field, value, "must be greater than or equal to 0"));
        } else if (WHOLE.contains(&resource.as_str()) || resource.starts_with("count/"))
            && !quantity.is_whole()
        {
            causes.push(Cause::invalid(&*field, value, "must be an integer"));
        }
    }
}

fn binding_faults(object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    for (at, subject) in object["subjects"].as_array().into_iter().flatten().enumerate() {
        let kind = subject["kind"].as_str().unwrap_or_default();
        if !["ServiceAccount", "User", "Group"].contains(&kind) {
            let supported = "supported values: \"ServiceAccount\", \"User\", \"Group\"";
            let message = format!("Unsupported value: \"{kind}\": {supported}");
            causes.push(Cause {
                reason: "FieldValueNotSupported",
                message,
                field: format!("subjects[{at}].kind"),
            });
        }
        if subject["name"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("subjects[{at}].name"), ""));
        }
    }
    let role = &object["roleRef"];
    if role["name"].as_str().unwrap_or_default().is_empty() {
        causes.push(Cause::required("roleRef.name", ""));
    }
    if let Some(old) = old
        && old["roleRef"] != *role
    {
        // The real server shows its internal type, whose members are written with capitals.
        let text = |field: &str| role[field].as_str().unwrap_or_default().to_owned();
        let shown = format!(
            "{{\"APIGroup\":\"{}\",\"Kind\":\"{}\",\"Name\":\"{}\"}}",
            text("apiGroup"),
            text("kind"),
            text("name")
        );
        let message = format!("Invalid value: {shown}: cannot change roleRef");
        causes.push(Cause { reason: "FieldValueInvalid", message, field: "roleRef".to_owned() });
    }
}

/// Kubernetes: apps/v1, the selector of a workload cannot be changed.
fn selector_faults(object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let selector = &object["spec"]["selector"];
    if old.is_some_and(|old| old["spec"]["selector"] != *selector) {
        causes.push(Cause::invalid("spec.selector", selector, "field is immutable"));
    }
}

/// Kubernetes: an event is in the namespace of what it is about.
fn event_faults(object: &Value, causes: &mut Vec<Cause>) {
    let about = &object["involvedObject"]["namespace"];
    if *about != object["metadata"]["namespace"] {
        causes.push(Cause::invalid("involvedObject.namespace", about, "does not match event.namespace"));
    }
}

fn limit_range_faults(object: &Value, causes: &mut Vec<Cause>) {
    for (at, limit) in object["spec"]["limits"].as_array().into_iter().flatten().enumerate() {
        if limit["type"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("spec.limits[{at}].type"), ""));
        }
        range_faults(at, limit, causes);
    }
}

/// Kubernetes: what is smaller by its name must not be greater by its value.
fn range_faults(at: usize, limit: &Value, causes: &mut Vec<Cause>) {
    const ORDER: [(&str, &str, &str, &str, &str); 6] = [
        ("min", "max", "min", "min", "max"),
        ("min", "defaultRequest", "defaultRequest", "min", "default request"),
        ("defaultRequest", "max", "defaultRequest", "default request", "max"),
        ("defaultRequest", "default", "defaultRequest", "default request", "default limit"),
        ("min", "default", "default", "min", "default"),
        ("default", "max", "default", "default", "max"),
    ];
    let amount = |field: &str, resource: &str| {
        limit[field][resource].as_str().and_then(Quantity::parse).map(|quantity| quantity.nano())
    };
    let fields = ["min", "max", "default", "defaultRequest"].into_iter();
    let resources: BTreeSet<&String> = fields
        .flat_map(|field| limit[field].as_object().into_iter().flatten().map(|(name, _)| name))
        .collect();
    for resource in resources {
        for (low, high, at_fault, low_word, high_word) in ORDER {
            if amount(low, resource).zip(amount(high, resource)).is_some_and(|(low, high)| low > high) {
                let text = |field: &str| limit[field][resource].as_str().unwrap_or_default();
                let why = format!(
                    "{low_word} value {} is greater than {high_word} value {}",
                    text(low),
                    text(high)
                );
                let field = format!("spec.limits[{at}].{at_fault}[{resource}]");
                causes.push(Cause::invalid(field, &limit[at_fault][resource], &why));
            }
        }
    }
}

/// Warnings that go with a stored object.
pub(crate) fn warnings(kind: &Kind, object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if kind == QUOTAS {
        let hard = &object["spec"]["hard"];
        for resource in ["cpu", "memory"] {
            let (request, limit) =
                (&hard[format!("requests.{resource}")], &hard[format!("limits.{resource}")]);
            let (Some(request), Some(limit)) = (request.as_str(), limit.as_str()) else { continue };
            let nano = |text| Quantity::parse(text).map_or(0, |quantity| quantity.nano());
            if nano(request) > nano(limit) {
                warnings.push(format!(
                    "ResourceQuota requests.{resource} ({request}) should be less than limits.{resource} ({limit})"
                ));
            }
        }
    }
    warnings
}
