//! Fields of objects as paths, and how lists and objects merge (Kubernetes: structured-merge-diff).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::okd::kinds::{Kind, QUOTA};

/// The steps to one field as FieldsV1 writes them: `f:name`, `k:{"name":"c"}`, `v:"x"`, `.`.
pub(super) type Path = Vec<String>;

pub(super) type Fields = BTreeSet<Path>;

enum List {
    Atomic,
    Set,
    Map(&'static [&'static str]),
}

fn list_type(kind: &Kind, path: &[String]) -> List {
    let field = |back: usize| {
        path.iter().rev().filter_map(|step| step.strip_prefix("f:")).nth(back).unwrap_or_default()
    };
    match (field(0), field(1)) {
        ("finalizers", "metadata") => List::Set,
        ("ownerReferences", "metadata") => List::Map(&["uid"]),
        ("conditions", "status") => List::Map(&["type"]),
        ("containers" | "initContainers" | "volumes" | "imagePullSecrets", "spec") => List::Map(&["name"]),
        ("env", "containers" | "initContainers") => List::Map(&["name"]),
        ("volumeMounts", "containers" | "initContainers") => List::Map(&["mountPath"]),
        ("ports", "containers" | "initContainers") => List::Map(&["containerPort", "protocol"]),
        ("ports", "spec") if kind.plural == "services" => List::Map(&["port", "protocol"]),
        ("secrets" | "imagePullSecrets", "") if kind.plural == "serviceaccounts" => List::Map(&["name"]),
        _ => List::Atomic,
    }
}

/// Objects that are owned as a whole.
fn is_atomic(kind: &Kind, path: &[String]) -> bool {
    match path.last().and_then(|step| step.strip_prefix("f:")) {
        Some("roleRef") => true,
        // A label selector is one thing (Kubernetes: meta/v1).
        Some("labels") if kind.group == QUOTA => path.len() > 1 && path[path.len() - 2] == "f:selector",
        Some("selector") => kind.group == "apps" || kind.group == "batch",
        Some("involvedObject" | "podSelector" | "nodeSelector" | "scopeSelector") => true,
        _ => false,
    }
}

fn item_step(item: &Value, keys: &[&str]) -> String {
    let mut shown = Map::new();
    for key in keys {
        let default = if *key == "protocol" { "TCP".into() } else { Value::Null };
        shown.insert((*key).to_owned(), item.get(*key).cloned().unwrap_or(default));
    }
    format!("k:{}", Value::Object(shown))
}

/// All leaves of `value`, with atomic lists and objects as leaves.
fn leaves(kind: &Kind, value: &Value, path: &mut Path, into: &mut Fields) {
    match value {
        Value::Null => {}
        Value::Object(members) if !members.is_empty() && !is_atomic(kind, path) => {
            for (name, member) in members {
                path.push(format!("f:{name}"));
                leaves(kind, member, path, into);
                path.pop();
            }
        }
        Value::Array(items) => match list_type(kind, path) {
            List::Atomic => {
                into.insert(path.clone());
            }
            List::Set => {
                into.extend(items.iter().map(|item| [path.as_slice(), &[format!("v:{item}")]].concat()))
            }
            List::Map(keys) => {
                for item in items {
                    path.push(item_step(item, keys));
                    into.insert([path.as_slice(), &[".".to_owned()]].concat());
                    leaves(kind, item, path, into);
                    path.pop();
                }
            }
        },
        _ => {
            into.insert(path.clone());
        }
    }
}

const SERVER_SET: [&str; 9] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
];

/// The fields of an object that can have an owner.
pub(super) fn owned_fields(kind: &Kind, object: &Value) -> Fields {
    let mut fields = Fields::new();
    leaves(kind, object, &mut Path::new(), &mut fields);
    fields.retain(|path| {
        let metadata = path.first().is_some_and(|step| step == "f:metadata");
        let second = path.get(1).and_then(|step| step.strip_prefix("f:"));
        let typed = path.len() == 1 && matches!(path[0].as_str(), "f:apiVersion" | "f:kind" | "f:metadata");
        !(typed || metadata && second.is_some_and(|name| SERVER_SET.contains(&name)))
    });
    fields
}

pub(super) fn find<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |at, step| match step.split_once(':') {
        Some(("f", name)) => at.get(name),
        Some(("k", keys)) => at.as_array()?.iter().find(|item| has_keys(item, keys)),
        Some(("v", wanted)) => at.as_array()?.iter().find(|item| is_value(item, wanted)),
        _ => Some(at),
    })
}

/// Whether the field at `path` is different in two objects; an item's `.` is only its being there.
pub(super) fn differs(one: &Value, other: &Value, path: &[String]) -> bool {
    let (one, other) = (find(one, path), find(other, path));
    if path.last().is_some_and(|step| step == ".") { one.is_some() != other.is_some() } else { one != other }
}

fn is_value(item: &Value, json: &str) -> bool {
    serde_json::from_str::<Value>(json).is_ok_and(|wanted| wanted == *item)
}

fn has_keys(item: &Value, keys: &str) -> bool {
    let Ok(Value::Object(keys)) = serde_json::from_str(keys) else { return false };
    keys.iter().all(|(name, wanted)| match item.get(name) {
        Some(value) => value == wanted,
        None => wanted.is_null() || wanted == "TCP",
    })
}

/// Removes a leaf, and every object or list that this leaves empty.
pub(super) fn remove(value: &mut Value, path: &[String]) {
    let [step, rest @ ..] = path else { return };
    let last = rest.is_empty() || rest == ["."];
    match step.split_once(':') {
        Some(("f", name)) => {
            let Some(members) = value.as_object_mut() else { return };
            if last {
                members.remove(name);
            } else if let Some(member) = members.get_mut(name) {
                remove(member, rest);
                if is_empty(member) {
                    members.remove(name);
                }
            }
        }
        Some((how, wanted)) => {
            let Some(items) = value.as_array_mut() else { return };
            let at = items.iter().position(|item| match how {
                "k" => has_keys(item, wanted),
                _ => is_value(item, wanted),
            });
            let Some(at) = at else { return };
            if last {
                items.remove(at);
            } else {
                remove(&mut items[at], rest);
            }
        }
        None => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

pub(super) fn merge(kind: &Kind, live: &mut Value, applied: &Value, path: &mut Path) {
    match (&mut *live, applied) {
        (Value::Object(members), Value::Object(applied)) if !is_atomic(kind, path) => {
            for (name, value) in applied {
                if value.is_null() {
                    continue;
                }
                path.push(format!("f:{name}"));
                match members.get_mut(name) {
                    Some(member) => merge(kind, member, value, path),
                    None => {
                        members.insert(name.clone(), value.clone());
                    }
                }
                path.pop();
            }
        }
        (Value::Array(items), Value::Array(applied)) => match list_type(kind, path) {
            List::Atomic => *items = applied.clone(),
            List::Set => {
                for item in applied {
                    if !items.contains(item) {
                        items.push(item.clone());
                    }
                }
            }
            List::Map(keys) => {
                for item in applied {
                    let step = item_step(item, keys);
                    let wanted = step.trim_start_matches("k:").to_owned();
                    path.push(step);
                    match items.iter_mut().find(|live| has_keys(live, &wanted)) {
                        Some(live) => merge(kind, live, item, path),
                        None => items.push(item.clone()),
                    }
                    path.pop();
                }
            }
        },
        _ => *live = applied.clone(),
    }
}

pub(super) fn to_fields_v1(fields: &Fields) -> Value {
    let mut root = json!({});
    for path in fields {
        let mut at = &mut root;
        for step in path {
            at = &mut at[step.as_str()];
            if at.is_null() {
                *at = json!({});
            }
        }
    }
    root
}

pub(super) fn from_fields_v1(value: &Value, path: &mut Path, into: &mut Fields) {
    match value.as_object() {
        Some(members) if !members.is_empty() => {
            for (step, member) in members {
                path.push(step.clone());
                from_fields_v1(member, path, into);
                path.pop();
            }
        }
        _ => {
            into.insert(path.clone());
        }
    }
}
