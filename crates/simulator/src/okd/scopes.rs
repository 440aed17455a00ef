//! Scopes of a ResourceQuota: which pods it counts, and what the server refuses about them.
//!
//! Reads one quota and one pod. Source: Kubernetes "Resource Quotas", "Quota scopes".

use serde_json::{Value, json};

use super::kinds::{Kind, PODS};
use super::status::Cause;

/// Scopes that the server knows.
const KNOWN: [&str; 6] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
];

/// What can be limited of pods that ask for something, by the names that every cluster has.
const COMPUTE: [&str; 7] =
    ["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

/// Every condition of a quota, those of `scopes` in the form of a selector's.
fn requirements(spec: &Value) -> Vec<Value> {
    let named = spec["scopes"].as_array().into_iter().flatten();
    let named = named.map(|scope| json!({"scopeName": scope, "operator": "Exists"}));
    let selected = spec["scopeSelector"]["matchExpressions"].as_array().cloned().unwrap_or_default();
    named.chain(selected).collect()
}

/// Whether a quota counts an object of this kind. One with scopes counts pods only.
pub(crate) fn matches(spec: &Value, kind: &Kind, object: &Value) -> bool {
    let requirements = requirements(spec);
    requirements.is_empty()
        || kind == PODS && requirements.iter().all(|requirement| holds(requirement, object))
}

fn holds(requirement: &Value, pod: &Value) -> bool {
    let spec = &pod["spec"];
    let ends = spec["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0);
    match requirement["scopeName"].as_str() {
        Some("Terminating") => ends,
        Some("NotTerminating") => !ends,
        Some("BestEffort") => is_best_effort(spec),
        Some("NotBestEffort") => !is_best_effort(spec),
        Some("PriorityClass") => has_priority(requirement, spec["priorityClassName"].as_str()),
        Some("CrossNamespacePodAffinity") => reaches_out(&spec["affinity"]),
        _ => false,
    }
}

/// No container asks for processors or memory.
fn is_best_effort(spec: &Value) -> bool {
    let containers = ["containers", "initContainers"].into_iter();
    let mut containers = containers.flat_map(|list| spec[list].as_array().into_iter().flatten());
    containers.all(|container| {
        let asked = |side: &str, resource: &str| {
            container["resources"][side][resource].as_str().is_some_and(|amount| amount != "0")
        };
        ["requests", "limits"].iter().all(|side| !asked(side, "cpu") && !asked(side, "memory"))
    })
}

/// As label selectors compare: without a class, `NotIn` holds.
fn has_priority(requirement: &Value, class: Option<&str>) -> bool {
    let class = class.filter(|class| !class.is_empty());
    let named = || {
        let values = requirement["values"].as_array().into_iter().flatten();
        values.filter_map(Value::as_str).any(|value| Some(value) == class)
    };
    match requirement["operator"].as_str() {
        Some("Exists") => class.is_some(),
        Some("DoesNotExist") => class.is_none(),
        Some("In") => named(),
        Some("NotIn") => !named(),
        _ => false,
    }
}

fn reaches_out(affinity: &Value) -> bool {
    let term = |term: &Value| term["namespaces"].is_array() || term["namespaceSelector"].is_object();
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let affinity = &affinity[kind];
        let required = affinity["requiredDuringSchedulingIgnoredDuringExecution"].as_array();
        let preferred = affinity["preferredDuringSchedulingIgnoredDuringExecution"].as_array();
        required.into_iter().flatten().any(term)
            || preferred.into_iter().flatten().any(|preferred| term(&preferred["podAffinityTerm"]))
    })
}

/// What is wrong with the scopes of a quota; `old` is what it replaces.
pub(crate) fn faults(object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let (scopes, selected) = (&spec["scopes"], &spec["scopeSelector"]["matchExpressions"]);
    let named: Vec<&str> = scopes.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    in_place(spec, "spec.scopes", scopes, &named, causes);
    let expressions: Vec<&Value> = selected.as_array().into_iter().flatten().collect();
    let of_selector: Vec<&str> =
        expressions.iter().filter_map(|expression| expression["scopeName"].as_str()).collect();
    let place = "spec.scopeSelector.matchExpressions";
    in_place(spec, place, selected, &of_selector, causes);
    for expression in expressions {
        expression_faults(&format!("{place}.operator"), expression, causes);
    }
    let sorted = |spec: &Value| {
        let scopes = spec["scopes"].as_array().into_iter().flatten();
        let mut scopes: Vec<String> = scopes.map(Value::to_string).collect();
        scopes.sort();
        scopes
    };
    if old.is_some_and(|old| sorted(&old["spec"]) != sorted(spec)) {
        causes.push(Cause::invalid("spec.scopes", scopes, "field is immutable"));
    }
}

fn in_place(spec: &Value, place: &str, shown: &Value, scopes: &[&str], causes: &mut Vec<Cause>) {
    let keys: Vec<&str> =
        spec["hard"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    for scope in scopes {
        if !KNOWN.contains(scope) {
            causes.push(Cause::invalid(place, shown, "unsupported scope"));
        }
        let fits = |key: &&str| match *scope {
            "BestEffort" => *key == "pods",
            _ => COMPUTE.contains(key),
        };
        // Only names that every cluster has are looked at.
        let standard = keys.iter().filter(|key| !key.contains('/') && !key.contains("hugepages-"));
        if standard.into_iter().any(|key| !fits(key)) {
            causes.push(Cause::invalid(place, shown, "unsupported scope applied to resource"));
        }
    }
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| scopes.contains(scope)) {
            causes.push(Cause::invalid(place, shown, "conflicting scopes"));
        }
    }
}

fn expression_faults(place: &str, expression: &Value, causes: &mut Vec<Cause>) {
    let (scope, operator) = (expression["scopeName"].as_str(), expression["operator"].as_str());
    let values = expression["values"].as_array().map_or(0, Vec::len);
    if scope != Some("PriorityClass") && operator != Some("Exists") {
        let why = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                   ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                   ResourceQuotaScopeCrossNamespacePodAffinity";
        causes.push(Cause::invalid(place, &expression["operator"], why));
    }
    match operator {
        Some("In" | "NotIn") if values == 0 => {
            let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            causes.push(Cause::required(place.replace(".operator", ".values"), why));
        }
        Some("Exists" | "DoesNotExist") if values > 0 => {
            let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            causes.push(Cause::invalid(place.replace(".operator", ".values"), &expression["values"], why));
        }
        Some("In" | "NotIn" | "Exists" | "DoesNotExist") => {}
        _ => causes.push(Cause::invalid(place, &expression["operator"], "not a valid selector operator")),
    }
}
