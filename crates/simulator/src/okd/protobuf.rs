//! Bodies in Kubernetes' protobuf encoding, as `kubectl create` and `kubectl auth` send them.
//!
//! Decoding only, and only the types and fields that such commands set; answers are always JSON, which every client takes.
//! Source: the `generated.proto` files of k8s.io/api.

use base64::Engine as _;
use serde_json::{Map, Value, json};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

type Message = &'static [(u64, &'static str, Field)];

#[derive(Clone, Copy)]
enum Field {
    Text,
    Number,
    Bool,
    One(Message),
    Many(Message),
    Texts,
    /// Texts by text.
    Map,
    /// Bytes by text; base64 in JSON.
    Bytes,
    /// Quantities by text.
    Quantities,
}

const META: Message = &[
    (1, "name", Field::Text),
    (2, "generateName", Field::Text),
    (3, "namespace", Field::Text),
    (5, "uid", Field::Text),
    (6, "resourceVersion", Field::Text),
    (11, "labels", Field::Map),
    (12, "annotations", Field::Map),
    (14, "finalizers", Field::Texts),
];
const BARE: Message = &[(1, "metadata", Field::One(META))];
const CONFIG_MAP: Message = &[(1, "metadata", Field::One(META)), (2, "data", Field::Map)];
const SECRET: Message = &[
    (1, "metadata", Field::One(META)),
    (2, "data", Field::Bytes),
    (3, "type", Field::Text),
    (4, "stringData", Field::Map),
];
const QUOTA: Message = &[(1, "metadata", Field::One(META)), (2, "spec", Field::One(QUOTA_SPEC))];
const QUOTA_SPEC: Message = &[
    (1, "hard", Field::Quantities),
    (2, "scopes", Field::Texts),
    (3, "scopeSelector", Field::One(&[(1, "matchExpressions", Field::Many(SCOPE_REQUIREMENT))])),
];
const SCOPE_REQUIREMENT: Message =
    &[(1, "scopeName", Field::Text), (2, "operator", Field::Text), (3, "values", Field::Texts)];
const BINDING: Message = &[
    (1, "metadata", Field::One(META)),
    (2, "subjects", Field::Many(SUBJECT)),
    (
        3,
        "roleRef",
        Field::One(&[(1, "apiGroup", Field::Text), (2, "kind", Field::Text), (3, "name", Field::Text)]),
    ),
];
const SUBJECT: Message = &[
    (1, "kind", Field::Text),
    (2, "apiGroup", Field::Text),
    (3, "name", Field::Text),
    (4, "namespace", Field::Text),
];
const ROLE: Message = &[(1, "metadata", Field::One(META)), (2, "rules", Field::Many(RULE))];
const RULE: Message = &[
    (1, "verbs", Field::Texts),
    (2, "apiGroups", Field::Texts),
    (3, "resources", Field::Texts),
    (4, "resourceNames", Field::Texts),
    (5, "nonResourceURLs", Field::Texts),
];
const ACCESS_REVIEW: Message = &[(1, "metadata", Field::One(META)), (2, "spec", Field::One(ACCESS_SPEC))];
const ACCESS_SPEC: Message = &[
    (1, "resourceAttributes", Field::One(ATTRIBUTES)),
    (2, "nonResourceAttributes", Field::One(&[(1, "path", Field::Text), (2, "verb", Field::Text)])),
];
const ATTRIBUTES: Message = &[
    (1, "namespace", Field::Text),
    (2, "verb", Field::Text),
    (3, "group", Field::Text),
    (4, "version", Field::Text),
    (5, "resource", Field::Text),
    (6, "subresource", Field::Text),
    (7, "name", Field::Text),
];
const RULES_REVIEW: Message =
    &[(1, "metadata", Field::One(META)), (2, "spec", Field::One(&[(1, "namespace", Field::Text)]))];
const TOKEN_REQUEST: Message = &[
    (1, "metadata", Field::One(META)),
    (2, "spec", Field::One(&[(1, "audiences", Field::Texts), (4, "expirationSeconds", Field::Number)])),
];
const SCALE: Message =
    &[(1, "metadata", Field::One(META)), (2, "spec", Field::One(&[(1, "replicas", Field::Number)]))];
const DEPLOYMENT: Message = &[(1, "metadata", Field::One(META)), (2, "spec", Field::One(DEPLOYMENT_SPEC))];
const DEPLOYMENT_SPEC: Message = &[
    (1, "replicas", Field::Number),
    (2, "selector", Field::One(&[(1, "matchLabels", Field::Map)])),
    (3, "template", Field::One(&[(1, "metadata", Field::One(META)), (2, "spec", Field::One(POD_SPEC))])),
];
const POD_SPEC: Message = &[(2, "containers", Field::Many(CONTAINER))];
const CONTAINER: Message = &[
    (1, "name", Field::Text),
    (2, "image", Field::Text),
    (3, "command", Field::Texts),
    (4, "args", Field::Texts),
];
const DELETE_OPTIONS: Message = &[
    (1, "gracePeriodSeconds", Field::Number),
    (2, "preconditions", Field::One(&[(1, "uid", Field::Text), (2, "resourceVersion", Field::Text)])),
    (3, "orphanDependents", Field::Bool),
    (4, "propagationPolicy", Field::Text),
    (5, "dryRun", Field::Texts),
];

fn message(kind: &str) -> Option<Message> {
    Some(match kind {
        "Namespace" | "ServiceAccount" | "SelfSubjectReview" => BARE,
        "ConfigMap" => CONFIG_MAP,
        "Secret" => SECRET,
        "ResourceQuota" => QUOTA,
        "RoleBinding" | "ClusterRoleBinding" => BINDING,
        "Role" | "ClusterRole" => ROLE,
        "SelfSubjectAccessReview" => ACCESS_REVIEW,
        "SelfSubjectRulesReview" => RULES_REVIEW,
        "TokenRequest" => TOKEN_REQUEST,
        "Scale" => SCALE,
        "Deployment" => DEPLOYMENT,
        "DeleteOptions" => DELETE_OPTIONS,
        _ => return None,
    })
}

/// The object in a body, as JSON; `None` if it is damaged or of a type not known here.
pub(crate) fn decode(body: &[u8]) -> Option<Value> {
    let unknown = parts(body.strip_prefix(MAGIC)?)?;
    let bytes = |number| unknown.iter().find(|part| part.0 == number).and_then(|part| part.1.bytes());
    let envelope = object(&[(1, "apiVersion", Field::Text), (2, "kind", Field::Text)], bytes(1)?)?;
    let mut value = object(message(envelope["kind"].as_str()?)?, bytes(2)?)?;
    value["apiVersion"] = envelope["apiVersion"].clone();
    value["kind"] = envelope["kind"].clone();
    Some(value)
}

enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Part<'a> {
    fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Number(_) => None,
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn parts(mut bytes: &[u8]) -> Option<Vec<(u64, Part<'_>)>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let part = match tag & 7 {
            0 => Part::Number(varint(&mut bytes)?),
            kind @ (1 | 2 | 5) => {
                let length = match kind {
                    1 => 8,
                    5 => 4,
                    _ => usize::try_from(varint(&mut bytes)?).ok()?,
                };
                let (head, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Part::Bytes(head)
            }
            _ => return None,
        };
        parts.push((tag >> 3, part));
    }
    Some(parts)
}

fn object(message: Message, bytes: &[u8]) -> Option<Value> {
    let mut members = Map::new();
    for (number, part) in parts(bytes)? {
        let Some((_, name, field)) = message.iter().find(|field| field.0 == number) else { continue };
        let (name, text) = ((*name).to_owned(), part.bytes().map(String::from_utf8_lossy));
        match field {
            // Go writes empty texts and structs that JSON would leave out.
            Field::Text => {
                drop(text.filter(|text| !text.is_empty()).map(|text| members.insert(name, json!(text))))
            }
            Field::Number | Field::Bool => {
                let Part::Number(number) = part else { return None };
                let value = if matches!(field, Field::Bool) { json!(number != 0) } else { json!(number) };
                members.insert(name, value);
            }
            Field::One(inner) => {
                let value = object(inner, part.bytes()?)?;
                if value.as_object().is_some_and(|members| !members.is_empty()) {
                    members.insert(name, value);
                }
            }
            Field::Many(inner) => append(&mut members, name, object(inner, part.bytes()?)?),
            Field::Texts => append(&mut members, name, json!(text?)),
            Field::Map | Field::Bytes | Field::Quantities => {
                let (key, value) = entry(*field, part.bytes()?)?;
                members.entry(name).or_insert_with(|| json!({}))[key] = value;
            }
        }
    }
    Some(Value::Object(members))
}

fn append(members: &mut Map<String, Value>, name: String, item: Value) {
    if let Value::Array(items) = members.entry(name).or_insert_with(|| json!([])) {
        items.push(item);
    }
}

fn entry(field: Field, bytes: &[u8]) -> Option<(String, Value)> {
    let parts = parts(bytes)?;
    let of = |number| {
        parts.iter().find(|part| part.0 == number).and_then(|part| part.1.bytes()).unwrap_or_default()
    };
    let value = match field {
        Field::Bytes => base64::engine::general_purpose::STANDARD.encode(of(2)).into(),
        Field::Quantities => object(&[(1, "string", Field::Text)], of(2))?["string"].clone(),
        _ => String::from_utf8_lossy(of(2)).into_owned().into(),
    };
    Some((String::from_utf8_lossy(of(1)).into_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_sends_for_a_role_binding_is_read() {
        let body = b"k8s\0\n+\n\x1crbac.authorization.k8s.io/v1\x12\x0bRoleBinding\x12r\n\x15\n\x01b\x12\0\x1a\x04team\"\0*\0\
                     2\x008\0B\0\x12)\n\x04User\x12\x19rbac.authorization.k8s.io\x1a\x04john\"\0\x1a.\n\x19\
                     rbac.authorization.k8s.io\x12\x0bClusterRole\x1a\x04edit\x1a\0\"\0";
        let expected = json!({
            "kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": "b", "namespace": "team"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "john"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        });
        assert_eq!(decode(body), Some(expected));
        for end in 0..body.len() - 10 {
            assert!(decode(&body[..end]).is_none(), "cut at {end}");
        }
    }
}
