//! ResourceQuota and LimitRange at work: what is used, what is admitted, which defaults a container gets.
//!
//! Reads the store and changes only the object being admitted. Source: Kubernetes "Resource Quotas", "Limit Ranges".

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::kinds::{CLAIMS, KINDS, Kind, LIMIT_RANGES, PODS, QUOTAS};
use super::quantity::Quantity;
use super::scopes;
use super::status::{ApiError, Result};
use super::store::Store;

/// Amounts by quota key.
type Amounts = BTreeMap<String, Quantity>;

fn add(amounts: &mut Amounts, key: &str, quantity: &Quantity) {
    let sum = match amounts.get(key) {
        Some(so_far) => {
            Quantity::from_nano(so_far.nano().saturating_add(quantity.nano()), so_far_form(so_far, quantity))
        }
        None => Quantity::from_nano(quantity.nano(), quantity),
    };
    amounts.insert(key.to_owned(), sum);
}

/// Zero has no unit of its own to keep.
fn so_far_form<'a>(so_far: &'a Quantity, next: &'a Quantity) -> &'a Quantity {
    if so_far.nano() == 0 { next } else { so_far }
}

/// What one object counts for, by quota key.
fn charge(kind: &Kind, object: &Value) -> Amounts {
    let one = Quantity::whole(1);
    let mut amounts = Amounts::new();
    let count = if kind.group.is_empty() {
        format!("count/{}", kind.plural)
    } else {
        format!("count/{}.{}", kind.plural, kind.group)
    };
    amounts.insert(count, one.clone());
    if kind == PODS {
        if !matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            amounts.insert("pods".to_owned(), one);
            containers(object, &mut amounts);
        }
    } else if kind == CLAIMS {
        amounts.insert("persistentvolumeclaims".to_owned(), one.clone());
        if let Some(storage) = quantity(&object["spec"]["resources"]["requests"]["storage"]) {
            amounts.insert("requests.storage".to_owned(), storage.clone());
            if let Some(class) = object["spec"]["storageClassName"].as_str() {
                amounts.insert(format!("{class}.storageclass.storage.k8s.io/requests.storage"), storage);
                amounts.insert(format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"), one);
            }
        }
    } else if kind.group.is_empty() {
        amounts.insert(kind.plural.to_owned(), one.clone());
        match object["spec"]["type"].as_str() {
            Some("LoadBalancer") => amounts.insert("services.loadbalancers".to_owned(), one),
            Some("NodePort") => amounts.insert("services.nodeports".to_owned(), one),
            _ => None,
        };
    }
    amounts
}

fn containers(pod: &Value, amounts: &mut Amounts) {
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        for (side, prefix) in [("requests", "requests."), ("limits", "limits.")] {
            for (resource, value) in container["resources"][side].as_object().into_iter().flatten() {
                let Some(value) = quantity(value) else { continue };
                add(amounts, &format!("{prefix}{resource}"), &value);
                if side == "requests" && matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage") {
                    add(amounts, resource, &value);
                }
            }
        }
    }
}

fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str().and_then(Quantity::parse)
}

/// The resource that a quota key counts.
fn counted(key: &str) -> Option<&'static Kind> {
    if let Some(name) = key.strip_prefix("count/") {
        return KINDS.iter().find(|kind| kind.qualified() == name);
    }
    match key {
        "requests.storage" | "persistentvolumeclaims" => Some(CLAIMS),
        _ if key.contains(".storageclass.storage.k8s.io/") => Some(CLAIMS),
        "services.loadbalancers" | "services.nodeports" => Some(super::kinds::SERVICES),
        _ => Some(KINDS.iter().find(|kind| kind.group.is_empty() && kind.plural == key).unwrap_or(PODS)),
    }
}

/// `status.used` of a quota over `hard`, from the objects of the namespace that its scopes let it count.
pub(crate) fn used(
    store: &Store,
    namespace: &str,
    spec: &Value,
    hard: &Map<String, Value>,
) -> Map<String, Value> {
    let mut totals = Amounts::new();
    let mut seen: Vec<&Kind> = Vec::new();
    for kind in hard.keys().filter_map(|key| counted(key)) {
        if seen.contains(&kind) {
            continue;
        }
        seen.push(kind);
        let all = store.table(kind).range(Some(namespace), None).map(|stored| stored.value());
        for object in all.filter(|object| scopes::matches(spec, kind, object)) {
            for (key, amount) in charge(kind, &object) {
                add(&mut totals, &key, &amount);
            }
        }
    }
    let shown = |key: &String| totals.get(key).map_or_else(|| "0".to_owned(), Quantity::canonical);
    hard.keys().map(|key| (key.clone(), shown(key).into())).collect()
}

/// Whether any quota of the namespace could count objects of this kind.
pub(crate) fn concerns(kind: &Kind) -> bool {
    kind.namespaced && !matches!(kind.plural, "rolebindings" | "roles" | "limitranges" | "events" | "leases")
}

/// Gives a new pod's containers the defaults of the namespace's limit ranges.
///
/// # Errors
/// 403 if a container or claim is outside `min` and `max`.
pub(crate) fn apply_limit_ranges(
    store: &Store,
    namespace: &str,
    kind: &Kind,
    object: &mut Value,
) -> Result<()> {
    if kind != PODS && kind != CLAIMS {
        return Ok(());
    }
    let ranges: Vec<Value> = store
        .table(LIMIT_RANGES)
        .range(Some(namespace), None)
        .flat_map(|stored| stored.value()["spec"]["limits"].as_array().cloned().unwrap_or_default())
        .collect();
    if kind == CLAIMS {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let request = &object["spec"]["resources"]["requests"];
        let mut limits = ranges.iter().filter(|range| range["type"] == "PersistentVolumeClaim");
        return limits
            .try_for_each(|range| within(kind, name, "PersistentVolumeClaim", request, request, range));
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    for range in ranges.iter().filter(|range| range["type"] == "Container") {
        for list in ["containers", "initContainers"] {
            for container in object["spec"][list].as_array_mut().into_iter().flatten() {
                for (default, side) in [("defaultRequest", "requests"), ("default", "limits")] {
                    for (resource, value) in range[default].as_object().into_iter().flatten() {
                        if container["resources"][side][resource].is_null() {
                            container["resources"][side][resource] = value.clone();
                        }
                    }
                }
                let resources = &container["resources"];
                within(kind, &name, "Container", &resources["requests"], &resources["limits"], range)?;
            }
        }
    }
    Ok(())
}

fn within(
    kind: &Kind,
    name: &str,
    what: &str,
    requests: &Value,
    limits: &Value,
    range: &Value,
) -> Result<()> {
    for (bound, side, word) in [("max", limits, "maximum"), ("min", requests, "minimum")] {
        for (resource, value) in range[bound].as_object().into_iter().flatten() {
            let Some(edge) = quantity(value) else { continue };
            let usage = value.as_str().unwrap_or_default();
            let why = match quantity(&side[resource]) {
                None => format!("{word} {resource} usage per {what} is {usage}.  No limit is specified"),
                Some(actual)
                    if (bound == "max" && actual.nano() > edge.nano())
                        || (bound == "min" && actual.nano() < edge.nano()) =>
                {
                    let verb = if bound == "max" { "limit" } else { "request" };
                    format!(
                        "{word} {resource} usage per {what} is {usage}, but {verb} is {}",
                        actual.canonical()
                    )
                }
                Some(_) => continue,
            };
            return Err(ApiError::forbidden(kind.group, kind.plural, name, &why));
        }
    }
    Ok(())
}

/// Refuses a new object that a quota of its namespace has no room for.
///
/// # Errors
/// 403 `exceeded quota` or `failed quota … must specify`.
pub(crate) fn admit(store: &Store, namespace: &str, kind: &Kind, object: &Value) -> Result<()> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let asked = charge(kind, object);
    for stored in store.table(QUOTAS).range(Some(namespace), None) {
        let quota = stored.value();
        // As on the real server, a quota counts from when its controller has seen it.
        let Some(hard) = quota["status"]["hard"].as_object() else { continue };
        if !scopes::matches(&quota["spec"], kind, object) {
            continue;
        }
        if kind == PODS {
            unspecified(&stored.key.name, hard, object, name)?;
        }
        let concerned: Vec<&String> = hard.keys().filter(|key| asked.contains_key(*key)).collect();
        if concerned.is_empty() {
            continue;
        }
        let used = used(store, namespace, &quota["spec"], hard);
        let over: Vec<&String> = concerned
            .into_iter()
            .filter(|key| {
                let nano = |value: &Value| quantity(value).map_or(0, |quantity| quantity.nano());
                let asks = asked[*key].nano();
                asks > 0 && nano(&used[*key]).saturating_add(asks) > nano(&hard[*key])
            })
            .collect();
        if !over.is_empty() {
            let list = |amount: &dyn Fn(&String) -> String| {
                over.iter().map(|key| format!("{key}={}", amount(key))).collect::<Vec<_>>().join(",")
            };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let why = format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                stored.key.name,
                list(&|key| asked[key].canonical()),
                list(&|key| text(&used[key])),
                list(&|key| text(&hard[key])),
            );
            return Err(ApiError::forbidden(kind.group, kind.plural, name, &why));
        }
    }
    Ok(())
}

fn unspecified(quota: &str, hard: &Map<String, Value>, pod: &Value, name: &str) -> Result<()> {
    let mut missing = Vec::new();
    for key in hard.keys() {
        let (side, resource) = match key.split_once('.') {
            Some((side @ ("requests" | "limits"), resource @ ("cpu" | "memory"))) => (side, resource),
            None if matches!(key.as_str(), "cpu" | "memory") => ("requests", key.as_str()),
            _ => continue,
        };
        let without: Vec<&str> = pod["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|container| container["resources"][side][resource].is_null())
            .filter_map(|container| container["name"].as_str())
            .collect();
        if !without.is_empty() {
            missing.push(format!("{key} for: {}", without.join(",")));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!("failed quota: {quota}: must specify {}", missing.join("; "));
    Err(ApiError::forbidden("", "pods", name, &why))
}
