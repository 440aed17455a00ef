//! Lists and the forms in which objects are answered: plain, as a table, as metadata only.
//!
//! Reads the store; the text of objects is copied, not parsed, unless a field selector or a table needs it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::kinds::{Kind, NAMESPACES, PODS, PROJECTS, QUOTAS};
use super::request::{Form, Query};
use super::selector::{FieldSelector, LabelSelector};
use super::status::{ApiError, Result};
use super::store::{Key, Store, Stored, with_type};

/// Which objects of a resource are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// One namespace, or all.
    pub(crate) namespace: Option<String>,
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selection {
    pub(crate) fn parse(kind: &Kind, namespace: &str, query: &Query) -> Result<Self> {
        let known: &[&str] = match kind.plural {
            "pods" => &["status.phase", "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName"],
            "namespaces" | "projects" => &["status.phase"],
            "secrets" => &["type"],
            "events" => &[
                "involvedObject.kind",
                "involvedObject.name",
                "involvedObject.namespace",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.fieldPath",
                "involvedObject.resourceVersion",
                "reason",
                "type",
                "source",
                "reportingComponent",
            ],
            _ => &[],
        };
        Ok(Self {
            namespace: (kind.namespaced && !namespace.is_empty()).then(|| namespace.to_owned()),
            labels: LabelSelector::parse(query.get("labelSelector").unwrap_or_default())?,
            fields: FieldSelector::parse(query.get("fieldSelector").unwrap_or_default(), known)?,
        })
    }

    pub(crate) fn matches(&self, stored: &Stored) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| namespace == &*stored.key.namespace)
            && self.labels.matches(&stored.labels)
            && (self.fields.is_empty()
                || self.fields.matches(&stored.key.namespace, &stored.key.name, |field| {
                    let pointer = format!("/{}", field.replace('.', "/"));
                    let object = stored.value();
                    object.pointer(&pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
                }))
    }
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Arc<Stored>>,
    version: u64,
    next: Option<String>,
    remaining: Option<usize>,
}

/// Selects objects in the order of their keys, at most `limit` from `continue` on.
pub(crate) fn select(store: &Store, kind: &Kind, selection: &Selection, query: &Query) -> Result<Page> {
    let limit = query
        .number("limit")?
        .filter(|limit| *limit > 0)
        .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let (start, version, left) = match query.get("continue") {
        Some(token) => {
            let (start, version, left) = read_token(kind, token)?;
            if version < store.table(kind).compacted {
                let message = "The provided continue parameter is too old to display a consistent list result. You can \
                               start a new list without the continue parameter.";
                return Err(ApiError::expired(message.to_owned()));
            }
            (Some(start), version, left)
        }
        None => (None, store.version(), None),
    };
    let table = store.table(kind);
    let indexed = selection.labels.equalities().find_map(|(label, value)| table.labelled(label, value));
    let mut candidates: Box<dyn Iterator<Item = &Arc<Stored>>> = match indexed {
        Some(keys) => {
            let first = start.unwrap_or_else(|| Key::new("", ""));
            Box::new(
                keys.into_iter()
                    .flat_map(move |keys| keys.range(first.clone()..))
                    .filter_map(|key| table.get(key)),
            )
        }
        None => Box::new(table.range(selection.namespace.as_deref(), start.as_ref())),
    };
    // The server counts what remains only where no selector makes it guess.
    let counts = selection.labels.is_empty() && selection.fields.is_empty();
    let mut items = Vec::new();
    let mut next: Option<&Key> = None;
    let mut remaining = 0;
    for stored in candidates.by_ref().filter(|stored| selection.matches(stored)) {
        if limit.is_some_and(|limit| items.len() >= limit) {
            next.get_or_insert(&stored.key);
            remaining += 1;
            if !counts || left.is_some() {
                break;
            }
        } else {
            items.push(Arc::clone(stored));
        }
    }
    // Counted on the first page: to count on each would make the time of a whole list grow with the square of its length.
    let remaining = left.map_or(remaining, |left| left.saturating_sub(items.len()).max(remaining));
    let remaining = (counts && next.is_some()).then_some(remaining);
    let next = next.map(|next| write_token(next, version, remaining));
    Ok(Page { items, version, next, remaining })
}

fn write_token(next: &Key, version: u64, left: Option<usize>) -> String {
    let start = if next.namespace.is_empty() {
        format!("/{}", next.name)
    } else {
        format!("/{}/{}", next.namespace, next.name)
    };
    let mut token = json!({"v": "meta.k8s.io/v1", "rv": version, "start": format!("{start}\0")});
    if let Some(left) = left {
        token["left"] = left.into();
    }
    STANDARD_NO_PAD.encode(token.to_string())
}

/// Where the next page begins, the version of the list, and how many objects are left of it where that was counted.
fn read_token(kind: &Kind, token: &str) -> Result<(Key, u64, Option<usize>)> {
    let invalid = |why: &str| {
        ApiError::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
    };
    let bytes = STANDARD_NO_PAD.decode(token.trim_end_matches('=')).unwrap_or_default();
    let first = bytes.first().map_or(' ', |byte| char::from(*byte));
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|_| invalid(&format!("invalid character '{first}' looking for beginning of value")))?;
    let start = value["start"].as_str().unwrap_or_default().trim_end_matches('\0').trim_start_matches('/');
    let version = value["rv"].as_u64().ok_or_else(|| invalid("incorrect encoded start resourceVersion"))?;
    let key = match start.split_once('/') {
        Some((namespace, name)) if kind.namespaced => Key::new(namespace, name),
        _ => Key::new("", start),
    };
    let left = value["left"].as_u64().and_then(|left| usize::try_from(left).ok());
    Ok((key, version, left))
}

/// A list as an answer.
pub(crate) fn answer(kind: &Kind, page: &Page, form: Form, now: Timestamp) -> Bytes {
    let mut metadata = json!({"resourceVersion": page.version.to_string()});
    if let Some(next) = &page.next {
        metadata["continue"] = next.clone().into();
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    render(kind, &page.items, &metadata, form, now)
}

/// Items under a list's head.
pub(crate) fn render(
    kind: &Kind,
    items: &[Arc<Stored>],
    metadata: &Value,
    form: Form,
    now: Timestamp,
) -> Bytes {
    match form {
        Form::Table => Bytes::from(table(kind, items, metadata, now).to_string()),
        Form::Object => {
            let size: usize = items.iter().map(|stored| stored.raw.len() + 1).sum();
            let mut body = Vec::with_capacity(size + 256);
            let head = format!(
                "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
                kind.kind,
                kind.api_version()
            );
            body.extend_from_slice(head.as_bytes());
            for (at, stored) in items.iter().enumerate() {
                if at > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(&stored.raw);
            }
            body.extend_from_slice(b"]}");
            Bytes::from(body)
        }
        Form::Metadata => {
            let items: Vec<Value> = items.iter().map(|stored| partial(stored)).collect();
            let list = json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items,
            });
            Bytes::from(list.to_string())
        }
    }
}

fn partial(stored: &Stored) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": stored.value()["metadata"],
    })
}

/// One object as an answer.
pub(crate) fn one(kind: &Kind, stored: &Arc<Stored>, form: Form, now: Timestamp) -> Bytes {
    match form {
        Form::Object => with_type(kind.kind, &kind.api_version(), &stored.raw),
        Form::Metadata => Bytes::from(partial(stored).to_string()),
        Form::Table => {
            let metadata = json!({"resourceVersion": stored.version.to_string()});
            Bytes::from(table(kind, std::slice::from_ref(stored), &metadata, now).to_string())
        }
    }
}

fn table(kind: &Kind, items: &[Arc<Stored>], metadata: &Value, now: Timestamp) -> Value {
    let rows: Vec<Value> = items
        .iter()
        .map(|stored| {
            let object = stored.value();
            json!({"cells": cells(kind, &object, now), "object": partial(stored)})
        })
        .collect();
    let columns: Vec<Value> = columns(kind)
        .iter()
        .map(|name| {
            let format = if *name == "Name" { "name" } else { "" };
            json!({"name": name, "type": "string", "format": format, "description": name, "priority": 0})
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns, "rows": rows,
    })
}

fn columns(kind: &Kind) -> &'static [&'static str] {
    match kind.plural {
        "namespaces" | "pods" | "persistentvolumeclaims" => &["Name", "Status", "Age"],
        "projects" => &["Name", "Display Name", "Status"],
        "resourcequotas" => &["Name", "Request", "Limit", "Age"],
        "rolebindings" | "clusterrolebindings" => &["Name", "Role", "Age"],
        "events" => &["Last Seen", "Type", "Reason", "Object", "Message"],
        _ => &["Name", "Age"],
    }
}

fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = text("/metadata/name");
    let age = age(&text("/metadata/creationTimestamp"), now);
    if kind == NAMESPACES || kind == PODS || kind.plural == "persistentvolumeclaims" {
        vec![name, text("/status/phase"), age]
    } else if kind == PROJECTS {
        vec![name, text("/metadata/annotations/openshift.io~1display-name"), text("/status/phase")]
    } else if kind == QUOTAS {
        let of = |limits: bool| {
            let hard = object["status"]["hard"].as_object().into_iter().flatten();
            hard.filter(|(key, _)| key.starts_with("limits.") == limits)
                .map(|(key, hard)| {
                    let used = object["status"]["used"][key].as_str().unwrap_or("0");
                    format!("{key}: {used}/{}", hard.as_str().unwrap_or_default())
                })
                .collect::<Vec<_>>()
                .join(", ")
        };
        vec![name, of(false), of(true), age]
    } else if kind.plural.ends_with("bindings") && kind.group == super::kinds::RBAC {
        vec![name, format!("{}/{}", text("/roleRef/kind"), text("/roleRef/name")), age]
    } else if kind.plural == "events" {
        let of = format!("{}/{}", text("/involvedObject/kind").to_lowercase(), text("/involvedObject/name"));
        vec![age, text("/type"), text("/reason"), of, text("/message")]
    } else {
        vec![name, age]
    }
}

fn age(created: &str, now: Timestamp) -> String {
    let Ok(created) = created.parse::<Timestamp>() else { return "<unknown>".to_owned() };
    let seconds = now.as_second().saturating_sub(created.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
