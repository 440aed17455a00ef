//! Field ownership: server-side apply and `metadata.managedFields`.
//!
//! Works on JSON with the few list types of the resources simulated; pure. Source: Kubernetes "Server-Side Apply" and the
//! FieldsV1 format of structured-merge-diff.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::status::{ApiError, Result};

/// The steps to one field as FieldsV1 writes them: `f:name`, `k:{"name":"c"}`, `v:"x"`, `.`.
type Path = Vec<String>;
type Fields = BTreeSet<Path>;

/// Who writes, by which operation.
#[derive(Debug, Clone)]
pub(crate) struct Author<'a> {
    pub(crate) manager: &'a str,
    pub(crate) subresource: &'a str,
    /// RFC 3339 with seconds.
    pub(crate) time: &'a str,
}

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
        Some("labels") if kind.group == super::kinds::QUOTA => {
            path.len() > 1 && path[path.len() - 2] == "f:selector"
        }
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
fn owned_fields(kind: &Kind, object: &Value) -> Fields {
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

fn find<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |at, step| match step.split_once(':') {
        Some(("f", name)) => at.get(name),
        Some(("k", keys)) => at.as_array()?.iter().find(|item| has_keys(item, keys)),
        Some(("v", wanted)) => at.as_array()?.iter().find(|item| is_value(item, wanted)),
        _ => Some(at),
    })
}

/// Whether the field at `path` is different in two objects; an item's `.` is only its being there.
fn differs(one: &Value, other: &Value, path: &[String]) -> bool {
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
fn remove(value: &mut Value, path: &[String]) {
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

fn merge(kind: &Kind, live: &mut Value, applied: &Value, path: &mut Path) {
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

fn to_fields_v1(fields: &Fields) -> Value {
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

fn from_fields_v1(value: &Value, path: &mut Path, into: &mut Fields) {
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

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    manager: String,
    operation: String,
    subresource: String,
    api_version: String,
    time: String,
    fields: Fields,
}

fn entries(object: Option<&Value>) -> Vec<Entry> {
    let list = object.and_then(|object| object["metadata"]["managedFields"].as_array()).map(Vec::as_slice);
    list.unwrap_or_default()
        .iter()
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            let mut fields = Fields::new();
            from_fields_v1(&entry["fieldsV1"], &mut Path::new(), &mut fields);
            fields.remove(&Path::new());
            Entry {
                manager: text("manager"),
                operation: text("operation"),
                subresource: text("subresource"),
                api_version: text("apiVersion"),
                time: text("time"),
                fields,
            }
        })
        .collect()
}

fn store(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    let list: Vec<Value> = entries
        .into_iter()
        .map(|entry| {
            let mut value = json!({
                "manager": entry.manager, "operation": entry.operation, "apiVersion": entry.api_version,
                "time": entry.time, "fieldsType": "FieldsV1", "fieldsV1": to_fields_v1(&entry.fields),
            });
            if !entry.subresource.is_empty() {
                value["subresource"] = entry.subresource.into();
            }
            value
        })
        .collect();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        if list.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), list.into());
        }
    }
}

/// Notes in `new.metadata.managedFields` that a create, update or patch by `author` made `new` out of `old`.
pub(crate) fn record_update(kind: &Kind, old: Option<&Value>, new: &mut Value, author: &Author<'_>) {
    let mut entries = entries(old);
    let after = owned_fields(kind, new);
    let before = old.map(|old| owned_fields(kind, old)).unwrap_or_default();
    let changed: Fields = after
        .iter()
        .filter(|path| !before.contains(*path) || old.is_none_or(|old| differs(old, new, path)))
        .cloned()
        .collect();
    for entry in &mut entries {
        entry.fields.retain(|path| after.contains(path) && !changed.contains(path));
    }
    if !changed.is_empty() {
        let api_version = kind.api_version();
        let own = entries.iter_mut().find(|entry| {
            entry.manager == author.manager
                && entry.operation == "Update"
                && entry.subresource == author.subresource
        });
        match own {
            Some(entry) => {
                entry.fields.extend(changed);
                author.time.clone_into(&mut entry.time);
            }
            None => entries.push(Entry {
                manager: author.manager.to_owned(),
                operation: "Update".to_owned(),
                subresource: author.subresource.to_owned(),
                api_version,
                time: author.time.to_owned(),
                fields: changed,
            }),
        }
    }
    store(new, entries);
}

/// Applies a configuration: `live` with the fields of `applied` set, and those that the same manager no longer names
/// removed unless another manager owns them.
///
/// # Errors
/// 409 if another manager owns a field at another value and `force` is not set.
pub(crate) fn apply(
    kind: &Kind,
    live: Option<&Value>,
    applied: &Value,
    author: &Author<'_>,
    force: bool,
) -> Result<Value> {
    let mut entries = entries(live);
    let wanted = owned_fields(kind, applied);
    let contested = |entry: &Entry| -> Vec<Path> {
        let other = |path: &&Path| live.is_none_or(|live| differs(live, applied, path));
        entry.fields.intersection(&wanted).filter(other).cloned().collect()
    };
    let own = |entry: &Entry| {
        entry.manager == author.manager
            && entry.operation == "Apply"
            && entry.subresource == author.subresource
    };
    let mut conflicts = Vec::new();
    for entry in entries.iter_mut().filter(|entry| !own(entry)) {
        let fields = contested(entry);
        if force {
            entry.fields.retain(|path| !fields.contains(path));
        } else {
            let using = if entry.operation == "Apply" {
                String::new()
            } else {
                format!(" using {}", entry.api_version)
            };
            let with = format!("\"{}\"{using}", entry.manager);
            conflicts.extend(fields.iter().map(|path| (with.clone(), shown(path))));
        }
    }
    if !conflicts.is_empty() {
        return Err(ApiError::apply_conflicts(&conflicts));
    }

    let mut result = live.cloned().unwrap_or_else(|| json!({}));
    merge(kind, &mut result, applied, &mut Path::new());
    let previous = entries.iter().position(own);
    if let Some(at) = previous {
        for path in entries[at].fields.difference(&wanted) {
            let shared =
                entries.iter().enumerate().any(|(other, entry)| other != at && entry.fields.contains(path));
            if !shared {
                remove(&mut result, path);
            }
        }
    }
    match previous {
        Some(at) if entries[at].fields == wanted => {}
        _ => {
            entries.retain(|entry| !own(entry));
            entries.insert(
                0,
                Entry {
                    manager: author.manager.to_owned(),
                    operation: "Apply".to_owned(),
                    subresource: author.subresource.to_owned(),
                    api_version: kind.api_version(),
                    time: author.time.to_owned(),
                    fields: wanted,
                },
            );
        }
    }
    store(&mut result, entries);
    Ok(result)
}

/// `.spec.hard.pods`, `.spec.containers[name="c"].image`.
fn shown(path: &[String]) -> String {
    let mut text = String::new();
    for step in path {
        match step.split_once(':') {
            Some(("f", name)) => text.push_str(&format!(".{name}")),
            Some(("k", keys)) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                text.push_str(&format!("[{}]", keys.join(",")));
            }
            Some((_, value)) => text.push_str(&format!("[={value}]")),
            None => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{PODS, QUOTAS};
    use super::*;

    fn author(manager: &str) -> Author<'_> {
        Author { manager, subresource: "", time: "2026-01-01T00:00:00Z" }
    }

    #[test]
    fn a_manager_that_leaves_out_a_key_removes_it_unless_it_is_shared() {
        let first = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "4", "limits.cpu": "1"}}});
        let shared = json!({"metadata": {"name": "q"}, "spec": {"hard": {"limits.cpu": "1"}}});
        let second = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "5"}}});
        let alone = apply(QUOTAS, None, &first, &author("a"), false).unwrap();
        assert_eq!(
            apply(QUOTAS, Some(&alone), &second, &author("a"), false).unwrap()["spec"],
            second["spec"]
        );
        let both = apply(QUOTAS, Some(&alone), &shared, &author("b"), false).unwrap();
        let kept = apply(QUOTAS, Some(&both), &second, &author("a"), false).unwrap();
        assert_eq!(kept["spec"]["hard"], json!({"pods": "5", "limits.cpu": "1"}));
    }

    #[test]
    fn repeating_an_apply_changes_nothing() {
        let config =
            json!({"metadata": {"name": "q", "labels": {"a": "b"}}, "spec": {"hard": {"pods": "4"}}});
        let once = apply(QUOTAS, None, &config, &author("a"), false).unwrap();
        let later = Author { time: "2027-01-01T00:00:00Z", ..author("a") };
        assert_eq!(apply(QUOTAS, Some(&once), &config, &later, false).unwrap(), once);
    }

    #[test]
    fn list_items_are_merged_by_key() {
        let one = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}]}});
        let two = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "b", "image": "y"}]}});
        let live = apply(PODS, None, &one, &author("a"), false).unwrap();
        let live = apply(PODS, Some(&live), &two, &author("b"), false).unwrap();
        assert_eq!(live["spec"]["containers"].as_array().unwrap().len(), 2);
        let clash = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "z"}]}});
        let error = apply(PODS, Some(&live), &clash, &author("b"), false).unwrap_err();
        assert_eq!(error.body()["details"]["causes"][0]["field"], ".spec.containers[name=\"a\"].image");
    }

    #[test]
    fn an_update_takes_the_fields_it_changed() {
        let config = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "4", "limits.cpu": "1"}}});
        let live = apply(QUOTAS, None, &config, &author("a"), false).unwrap();
        let mut edited = live.clone();
        edited["spec"]["hard"]["pods"] = "9".into();
        record_update(QUOTAS, Some(&live), &mut edited, &author("kubectl-edit"));
        let error = apply(QUOTAS, Some(&edited), &config, &author("a"), false).unwrap_err();
        let message = error.body()["message"].as_str().unwrap().to_owned();
        assert_eq!(
            message,
            "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .spec.hard.pods"
        );
        let healed = apply(QUOTAS, Some(&edited), &config, &author("a"), true).unwrap();
        assert_eq!(healed["spec"], config["spec"]);
    }
}
