//! Manifests of the project template: YAML to objects, and everything that can be said against them before anything is
//! applied.

use std::collections::BTreeMap;
use std::fmt;

use planner::names;
use planner::template::{ObjectApi, TemplateObject, is_label_value, unknown_placeholders};
use serde_json::{Map, Number, Value as Json, json};

use super::Context;
use crate::settings::keys::{MANIFEST, POD_SECURITY};
use crate::settings::quota_key::is_subdomain;
use crate::settings::suggest;
use crate::settings::view::View;
use crate::settings::yaml::{Node, Value};

/// Kinds that are in no namespace, of the API groups that every cluster has.
const CLUSTER_SCOPED: [&str; 24] = [
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterResourceQuota",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Group",
    "Identity",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "Project",
    "ProjectRequest",
    "RuntimeClass",
    "SecurityContextConstraints",
    "StorageClass",
    "User",
    "UserIdentityMapping",
    "ValidatingWebhookConfiguration",
];

/// Kinds that cannot be kept in place, and why.
const NOT_FOR_TEMPLATES: [(&str, &str); 2] =
    [("Event", "events tell what happened"), ("Pod", "a pod that ends cannot be put back; use a Deployment")];

pub(super) fn manifests(
    template: &View<'_>,
    components: &[&str],
    others: &[NamedObject],
    context: &mut Context<'_, '_>,
) -> Vec<TemplateObject> {
    let mut objects: Vec<TemplateObject> = Vec::new();
    for view in template.sections("manifests", MANIFEST) {
        let Some(node) = view.given("object") else { continue };
        let path = view.path("object");
        let mut fault = |message: String, hint: &str| {
            context.findings.error(node.place, &path, message, hint);
        };
        let body = json(node);
        let faults = faults(&body, components);
        let is_faulty = !faults.is_empty();
        faults.into_iter().for_each(|(message, hint)| fault(message, &hint));
        if is_faulty {
            continue;
        }
        let object = TemplateObject {
            api: api(&body),
            body,
            once: view.choice("reconcile", |word| Some(word == "once")).unwrap_or(false),
            recreate: view.truth("recreate"),
        };
        let named = NamedObject::of(&object);
        if let Some(other) = others.iter().find(|other| other.is(&named)) {
            fault(format!("{named} is there twice: {} makes it too", other.by), "remove one of them");
            continue;
        }
        if objects.iter().any(|other| NamedObject::of(other).is(&named)) {
            fault(format!("{named} is there twice"), "remove one of them");
            continue;
        }
        objects.push(object);
    }
    objects
}

/// What else the agent makes in each project.
#[derive(Debug)]
pub(super) struct NamedObject {
    group: String,
    kind: String,
    name: String,
    /// The key that makes it.
    by: &'static str,
}

impl NamedObject {
    pub(super) fn new(group: &str, kind: &str, name: &str, by: &'static str) -> Self {
        Self { group: group.to_owned(), kind: kind.to_owned(), name: name.to_owned(), by }
    }

    /// Versions of a group show the same objects.
    fn of(object: &TemplateObject) -> Self {
        let group = object.api.group();
        let name = object.body["metadata"]["name"].as_str().unwrap_or_default();
        Self::new(group, &object.api.kind, name, "manifests")
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        (&self.group, &self.kind, &self.name) == (&other.group, &other.kind, &other.name)
    }
}

impl fmt::Display for NamedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

fn api(body: &Json) -> ObjectApi {
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    ObjectApi { version: text("apiVersion"), kind: text("kind"), plural: String::new() }
}

/// What is wrong with a manifest, each with what to do about it.
fn faults(body: &Json, components: &[&str]) -> Vec<(String, String)> {
    let mut faults: Vec<(String, String)> = Vec::new();
    let mut fault = |message: String, hint: &str| faults.push((message, hint.to_owned()));
    if !body.is_object() {
        fault("is no object".to_owned(), "give apiVersion, kind, metadata and the rest as in a manifest");
        return faults;
    }
    let ObjectApi { version, kind, .. } = api(body);
    for (key, value) in [("apiVersion", &version), ("kind", &kind)] {
        if value.is_empty() {
            fault(format!("has no `{key}`"), "");
        }
    }
    if CLUSTER_SCOPED.contains(&kind.as_str()) {
        fault(format!("`{kind}` is in no namespace"), "only objects of projects can be made");
    }
    if let Some((_, why)) = NOT_FOR_TEMPLATES.iter().find(|(known, _)| *known == kind) {
        fault(format!("`{kind}` cannot be kept"), why);
    }
    let metadata = &body["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    if metadata.get("generateName").is_some() || name.is_empty() {
        fault("has no `metadata.name`".to_owned(), "an object is kept under its name");
    } else if !name.contains("{{") && !is_subdomain(name) && !kind.starts_with("Role") {
        fault(
            format!("`{name}` is no name of a Kubernetes object"),
            "lower-case letters, digits, `-` and `.`",
        );
    }
    if is_reserved(&kind, name) {
        fault(format!("{kind} `{name}` is kept by the agent itself"), "choose another name");
    }
    match metadata.get("namespace").map(|namespace| namespace.as_str().unwrap_or_default()) {
        None | Some("{{namespace}}") => {}
        Some(namespace) => fault(
            format!("is for namespace `{namespace}`"),
            "objects are made in the projects of this offering; leave the namespace out",
        ),
    }
    for key in ["uid", "resourceVersion", "managedFields", "ownerReferences", "finalizers"] {
        if metadata.get(key).is_some() {
            fault(format!("has `metadata.{key}`"), "remove it: it belongs to one object, not to a template");
        }
    }
    let own = [names::MANAGED_BY, names::RESOURCE_UUID, names::TEMPLATE];
    if let Some(key) = own.iter().find(|key| metadata["labels"].get(**key).is_some()) {
        fault(format!("sets the label `{key}`"), "the agent does");
    }
    for name in unknown_placeholders(body, components) {
        let known = planner::template::PLACEHOLDERS.iter().copied();
        let hint = suggest::nearest(&name, known).map(|near| format!("did you mean `{{{{{near}}}}}`?"));
        fault(format!("`{{{{{name}}}}}` stands for nothing"), hint.as_deref().unwrap_or_default());
    }
    faults
}

/// Objects that every project has, and those that OpenShift makes.
fn is_reserved(kind: &str, name: &str) -> bool {
    match kind {
        "ResourceQuota" => name == names::QUOTA,
        "LimitRange" => name == names::LIMIT_RANGE,
        "RoleBinding" => name == "admin" || name.starts_with("system:") || name.starts_with("waldur-"),
        _ => false,
    }
}

/// Labels and annotations of the namespace.
pub(super) fn namespace(
    template: &View<'_>,
    components: &[&str],
    context: &mut Context<'_, '_>,
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let mut read = |key: &str| {
        let mut texts = BTreeMap::new();
        for (name, path, node) in template.entries(key) {
            let Some(text) = node.text() else { continue };
            let mut fault = |message: String, hint: &str| {
                context.findings.error(node.place, &path, message, hint);
            };
            if is_ours(&name) {
                fault("is kept by the agent or the cluster itself".to_owned(), "remove it");
            }
            if !is_key(&name) {
                fault(format!("`{name}` is no key of {key}"), "`name` or `domain/name`");
            }
            if key == "labels" && !text.contains("{{") && !is_label_value(text) {
                fault(
                    format!("`{text}` is no value of a label"),
                    "at most 63 letters, digits, `-`, `_` and `.`",
                );
            }
            for unknown in unknown_placeholders(&json!(text), components) {
                fault(format!("`{{{{{unknown}}}}}` stands for nothing"), "");
            }
            texts.insert(name, text.to_owned());
        }
        texts
    };
    let (mut labels, mut annotations) = (read("labels"), read("annotations"));
    let levels = template.section("pod_security", POD_SECURITY);
    for mode in ["enforce", "audit", "warn"] {
        if let Some(level) = levels.choice(mode, |word| Some(word.to_owned())) {
            labels.insert(format!("pod-security.kubernetes.io/{mode}"), level);
            // Else OpenShift sets these labels itself, by what the project's service accounts may do.
            labels.insert("security.openshift.io/scc.podSecurityLabelSync".to_owned(), "false".to_owned());
        }
    }
    if let Some(selector) = template.text("node_selector") {
        annotations.insert("openshift.io/node-selector".to_owned(), selector);
    }
    (labels, annotations)
}

fn is_ours(key: &str) -> bool {
    key.starts_with("waldur/")
        || key.starts_with("openshift.io/sa.scc")
        || [
            names::MANAGED_BY,
            names::DISPLAY_NAME,
            names::DESCRIPTION,
            names::REQUESTER,
            "kubernetes.io/metadata.name",
        ]
        .contains(&key)
}

fn is_key(key: &str) -> bool {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    domain.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

/// A tree of the file as JSON, with the types of YAML 1.2: what is quoted is text.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null | Value::Faulty => Json::Null,
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect::<Map<_, _>>().into()
        }
        Value::Scalar(scalar) if scalar.quoted => json!(scalar.text),
        Value::Scalar(scalar) => match scalar.text.as_str() {
            "true" | "True" | "TRUE" => json!(true),
            "false" | "False" | "FALSE" => json!(false),
            text => number(text).map_or_else(|| json!(text), Json::Number),
        },
    }
}

fn number(text: &str) -> Option<Number> {
    let is_plain = !text.starts_with('+') && (text == "0" || !text.trim_start_matches('-').starts_with('0'));
    match text.parse::<i64>() {
        Ok(whole) if is_plain => Some(whole.into()),
        Ok(_) => None,
        Err(_) => {
            let digits =
                text.contains('.') && text.chars().all(|c| c.is_ascii_digit() || "-.eE+".contains(c));
            text.parse::<f64>().ok().filter(|_| digits).and_then(Number::from_f64)
        }
    }
}
