//! Field ownership: server-side apply and `metadata.managedFields`.
//!
//! Works on JSON with the few list types of the resources simulated; pure. Source: Kubernetes "Server-Side Apply" and the
//! FieldsV1 format of structured-merge-diff.

mod fields;

use serde_json::{Map, Value, json};

use self::fields::{Fields, Path, differs, from_fields_v1, merge, owned_fields, remove, to_fields_v1};
use super::kinds::Kind;
use super::status::{ApiError, Result};

/// Who writes, by which operation.
#[derive(Debug, Clone)]
pub(crate) struct Author<'a> {
    pub(crate) manager: &'a str,
    pub(crate) subresource: &'a str,
    /// RFC 3339 with seconds.
    pub(crate) time: &'a str,
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
