//! Which names, labels and annotations are allowed.
//!
//! Source: Kubernetes "Object Names and IDs", "Labels and Selectors"; wording as measured.

use serde_json::{Value, json};

use super::kinds::{Kind, NAMESPACES, RBAC};
use super::status::Cause;

const LABEL_1123: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_1123: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
     '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
     and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
     validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const LABEL_KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// All annotations of an object together, in bytes.
const ANNOTATIONS_LIMIT: usize = 262_144;

/// Whether a text is an RFC 1123 label.
pub(crate) fn label_faults(name: &str) -> Option<&'static str> {
    if name.len() > 63 {
        return Some("must be no more than 63 characters");
    }
    (!is_dns(name, "-")).then_some(LABEL_1123)
}

fn is_dns(name: &str, inner: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !name.is_empty()
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|c| edge(c) || inner.contains(c))
}

/// Faults of names that are only parts of a path, as those of roles and bindings.
pub(crate) fn path_segment_fault(name: &str) -> Option<String> {
    match name {
        "." | ".." => Some(format!("may not be '{name}'")),
        _ => name.chars().find(|c| matches!(c, '/' | '%')).map(|c| format!("may not contain '{c}'")),
    }
}

/// Faults of an object's own name.
pub(crate) fn name_faults(kind: &Kind, name: &str) -> Vec<Cause> {
    let field = "metadata.name";
    let shown = json!(name);
    if name.is_empty() {
        return vec![Cause::required(field, "name or generateName is required")];
    }
    let fault = if kind.group == RBAC {
        path_segment_fault(name)
    } else if kind == NAMESPACES || kind.plural == "services" {
        label_faults(name).map(str::to_owned)
    } else if kind.group == super::kinds::USER {
        super::users::name_fault(kind, name)
    } else if name.len() > 253 {
        Some("must be no more than 253 characters".to_owned())
    } else {
        (!is_dns(name, "-.")).then(|| SUBDOMAIN_1123.to_owned())
    };
    fault.map(|why| Cause::invalid(field, &shown, &why)).into_iter().collect()
}

/// Faults of labels and annotations.
pub(crate) fn metadata_faults(metadata: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        if let Some(why) = label_key_fault(key) {
            causes.push(Cause::invalid("metadata.labels", &json!(key), why));
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            causes.push(Cause::invalid("metadata.labels", value, "must be no more than 63 bytes"));
        } else if !is_label_part(text) && !text.is_empty() {
            causes.push(Cause::invalid("metadata.labels", value, LABEL_VALUE));
        }
    }
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        if let Some(why) = label_key_fault(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), why));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        let message = format!("Too long: may not be more than {ANNOTATIONS_LIMIT} bytes");
        causes.push(Cause { reason: "FieldValueTooLong", message, field: "metadata.annotations".to_owned() });
    }
    causes
}

fn is_label_part(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || "-_.".contains(c))
}

fn label_key_fault(key: &str) -> Option<&'static str> {
    let (prefix, name) = key.rsplit_once('/').map_or(("", key), |(prefix, name)| (prefix, name));
    if prefix.contains('/') {
        return Some("a valid label key may have one prefix");
    }
    if !prefix.is_empty() && !is_dns(prefix, "-.") {
        return Some(SUBDOMAIN_1123);
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes");
    }
    (!is_label_part(name)).then_some(LABEL_KEY)
}
