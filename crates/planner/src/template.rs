//! What a project is furnished with besides quota, limit range and access: objects that the operator describes once, with
//! placeholders that are filled in for each project.
//!
//! A placeholder stands inside a text of an object, never in its structure: what a customer calls a project cannot
//! become anything but text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::amount::Amount;
use crate::names;

/// A kind of object as the API server serves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectApi {
    /// `v1`, or `group/version`.
    pub version: String,
    /// As in manifests, for example `ConfigMap`.
    pub kind: String,
    /// As in paths, for example `configmaps`; empty before the cluster has told.
    pub plural: String,
}

impl ObjectApi {
    /// API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.version.rsplit_once('/').map_or("", |(group, _)| group)
    }

    /// Whether what such objects hold may not be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.group().is_empty() && (self.kind == "Secret" || self.plural == "secrets")
    }

    /// `v1/configmaps`: how a kind is noted on a namespace.
    #[must_use]
    pub fn token(&self) -> String {
        format!("{}/{}", self.version, self.plural)
    }
}

/// One object of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateObject {
    /// Its kind.
    pub api: ObjectApi,
    /// The object with placeholders, without namespace.
    pub body: Value,
    /// It is made once, and left to the tenant afterwards.
    pub once: bool,
    /// Where a field cannot be changed, the object is deleted and made anew.
    pub recreate: bool,
}

/// What each project is furnished with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// In the order in which they are made.
    pub objects: Vec<TemplateObject>,
    /// Further labels of the namespace.
    pub labels: BTreeMap<String, String>,
    /// Further annotations of the namespace.
    pub annotations: BTreeMap<String, String>,
}

/// What placeholders stand for in one project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// By placeholder, but for the namespace.
    values: BTreeMap<String, String>,
}

/// The names that placeholders may have, but for `limit.<component>`.
pub const PLACEHOLDERS: [&str; 8] = [
    "namespace",
    "resource_uuid",
    "resource_name",
    "resource_slug",
    "project_name",
    "project_slug",
    "customer_name",
    "customer_slug",
];

/// What the placeholder of a limit begins with.
const LIMIT: &str = "limit.";

impl Values {
    /// Values for a resource: texts by placeholder, and limits by component.
    #[must_use]
    pub fn new(texts: &[(&str, &str)], limits: &BTreeMap<String, Amount>) -> Self {
        let texts = texts.iter().map(|(name, text)| ((*name).to_owned(), names::one_line(text)));
        let limits =
            limits.iter().map(|(component, limit)| (format!("{LIMIT}{component}"), limit.to_string()));
        Self { values: texts.chain(limits).collect() }
    }
}

/// An object as it should be in one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Furnishing {
    /// Its kind.
    pub api: ObjectApi,
    /// `metadata.name`
    pub name: String,
    /// The object without namespace and without our labels.
    pub body: Value,
    /// See [`TemplateObject::once`].
    pub once: bool,
    /// See [`TemplateObject::recreate`].
    pub recreate: bool,
}

impl Furnishing {
    /// The value of the object's label: another for another body, so that what leaves a manifest is seen as well.
    #[must_use]
    pub fn digest(&self) -> String {
        let hash = Sha256::digest(self.body.to_string().as_bytes());
        hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Template {
    /// True if there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.labels.is_empty() && self.annotations.is_empty()
    }

    /// True if it keeps other projects out.
    #[must_use]
    pub fn isolates(&self) -> bool {
        isolation().iter().all(|policy| self.objects.iter().any(|object| object.body == policy.body))
    }

    /// ClusterRoles that role bindings among the objects give, by name.
    #[must_use]
    pub fn cluster_roles(&self) -> Vec<String> {
        let roles =
            self.objects.iter().filter(|object| object.api.kind == "RoleBinding").filter_map(|object| {
                let role = object.body.get("roleRef")?;
                let name = role.get("name")?.as_str()?;
                (role.get("kind")?.as_str()? == "ClusterRole" && !name.contains("{{"))
                    .then(|| name.to_owned())
            });
        roles.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The objects of one project.
    ///
    /// # Errors
    /// A placeholder that has no value there, a name that Kubernetes would refuse, two objects that become one.
    pub fn furnishings(&self, values: &Values, namespace: &str) -> Result<Vec<Furnishing>, String> {
        let mut seen = BTreeSet::new();
        let one = |object: &TemplateObject| {
            let body = filled(&object.body, values, namespace)?;
            let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let what = format!("{} `{}` of the project template", object.api.kind, names::clipped(&name, 80));
            if !is_object_name(&name) {
                return Err(format!("{what} has a name that Kubernetes refuses"));
            }
            if !seen.insert((object.api.token(), name.clone())) {
                return Err(format!("{what} is there twice"));
            }
            let (api, once, recreate) = (object.api.clone(), object.once, object.recreate);
            Ok(Furnishing { api, name, body, once, recreate })
        };
        self.objects.iter().map(one).collect()
    }

    /// Labels and annotations of the namespace, filled in.
    ///
    /// # Errors
    /// A placeholder that has no value there.
    #[expect(clippy::type_complexity, reason = "labels and annotations")]
    pub fn metadata(
        &self,
        values: &Values,
        namespace: &str,
    ) -> Result<(BTreeMap<String, String>, BTreeMap<String, String>), String> {
        let fill =
            |map: &BTreeMap<String, String>, label: bool| -> Result<BTreeMap<String, String>, String> {
                let filled = map.iter().map(|(key, text)| {
                let text = fill_text(text, values, namespace)?;
                if label && !is_label_value(&text) {
                    return Err(format!(
                        "label `{key}` of the project template would be `{text}`, which Kubernetes refuses"
                    ));
                }
                Ok((key.clone(), text))
            });
                filled.collect()
            };
        Ok((fill(&self.labels, true)?, fill(&self.annotations, false)?))
    }
}

/// Placeholders in a value that stand for nothing, given the components of the offering.
#[must_use]
pub fn unknown_placeholders(value: &Value, components: &[&str]) -> Vec<String> {
    let mut unknown = Vec::new();
    each_text(value, &mut |text| {
        for name in placeholders(text) {
            let limit = name.strip_prefix(LIMIT).is_some_and(|component| components.contains(&component));
            if !limit && !PLACEHOLDERS.contains(&name) && !unknown.iter().any(|known| known == name) {
                unknown.push(name.to_owned());
            }
        }
    });
    unknown
}

fn each_text(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, see)),
        Value::Object(map) => map.values().for_each(|item| each_text(item, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Names between `{{` and `}}`. What does not look like a name is text: templates of other programs have such braces.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).filter_map(|part| part.split_once("}}")).map(|(name, _)| name).filter(is_name)
}

fn is_name(name: &&str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn filled(value: &Value, values: &Values, namespace: &str) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(fill_text(text, values, namespace)?),
        Value::Array(items) => {
            items.iter().map(|item| filled(item, values, namespace)).collect::<Result<_, _>>()?
        }
        Value::Object(map) => {
            let entries = map.iter().map(|(key, item)| Ok((key.clone(), filled(item, values, namespace)?)));
            Value::Object(entries.collect::<Result<Map<_, _>, String>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

fn fill_text(text: &str, values: &Values, namespace: &str) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        result.push_str(before);
        match after.split_once("}}").filter(|(name, _)| is_name(name)) {
            None => {
                result.push_str("{{");
                rest = after;
            }
            Some((name, after)) => {
                let value = match name {
                    "namespace" => Some(namespace),
                    name => values.values.get(name).map(String::as_str),
                };
                let missing = || {
                    format!("the project template needs `{{{{{name}}}}}`, which this resource does not have")
                };
                result.push_str(value.ok_or_else(missing)?);
                rest = after;
            }
        }
    }
    result.push_str(rest);
    Ok(result)
}

/// A DNS subdomain (Kubernetes: names of objects), or a name of roles, which may hold colons.
fn is_object_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c);
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= 253 && name.chars().all(inner) && edge(name.chars().next()) && edge(name.chars().last())
}

/// Kubernetes: values of labels.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && edge(text.chars().next())
        && edge(text.chars().last())
}

/// True if an object has all that is wanted of it. What the server adds by itself does not matter, nor how it writes a
/// quantity, nor that it leaves out what is empty.
#[must_use]
pub fn holds(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (live @ Value::Object(_), Value::Object(wanted)) if wanted.is_empty() => is_empty(live),
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| live.get(key).map_or_else(|| is_empty(wanted), |live| holds(live, wanted))),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len()
                && wanted.iter().all(|wanted| live.iter().any(|live| holds(live, wanted)))
        }
        (live, wanted) if live == wanted => true,
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => false,
        (live, wanted) => {
            let amount = |value: &Value| text(value).parse::<Amount>().ok();
            let (live, wanted) = (amount(live), amount(wanted));
            live.is_some() && live == wanted
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
    }
}

/// The policies that keep other projects out (OpenShift: multitenant isolation). What leaves a project, DNS included, is
/// not restricted.
#[must_use]
pub fn isolation() -> Vec<TemplateObject> {
    let namespaces = |label: &str, value: &str| json!({"namespaceSelector": {"matchLabels": {label: value}}});
    let operator = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-kube-apiserver-operator"}},
        "podSelector": {"matchLabels": {"app": "kube-apiserver-operator"}},
    });
    [
        ("waldur-deny-from-other-projects", None),
        ("waldur-allow-same-project", Some(json!({"podSelector": {}}))),
        ("waldur-allow-from-ingress", Some(namespaces("policy-group.network.openshift.io/ingress", ""))),
        (
            "waldur-allow-from-host-network",
            Some(namespaces("policy-group.network.openshift.io/host-network", "")),
        ),
        ("waldur-allow-from-monitoring", Some(namespaces("network.openshift.io/policy-group", "monitoring"))),
        ("waldur-allow-from-kube-apiserver-operator", Some(operator)),
    ]
    .into_iter()
    .map(|(name, from)| {
        // Nothing comes in by an empty list. Where it is not written, what somebody else adds to it would be theirs.
        let ingress = from.map_or_else(|| json!([]), |from| json!([{"from": [from]}]));
        let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress});
        object("networking.k8s.io/v1", "NetworkPolicy", name, json!({"spec": spec}))
    })
    .collect()
}

/// An object of a template with its name and further members.
#[must_use]
pub fn object(version: &str, kind: &str, name: &str, members: Value) -> TemplateObject {
    let mut body = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
    if let (Value::Object(body), Value::Object(members)) = (&mut body, members) {
        body.extend(members);
    }
    let api = ObjectApi { version: version.to_owned(), kind: kind.to_owned(), plural: String::new() };
    TemplateObject { api, body, ..TemplateObject::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let limits = BTreeMap::from([("cpu".to_owned(), Amount::whole(4))]);
        Values::new(&[("resource_name", "My \"shop\"\n- x"), ("resource_slug", "shop")], &limits)
    }

    fn template(body: Value) -> Template {
        let api = ObjectApi {
            version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            plural: "configmaps".to_owned(),
        };
        Template {
            objects: vec![TemplateObject { api, body, ..TemplateObject::default() }],
            ..Template::default()
        }
    }

    #[test]
    fn placeholders_become_text_and_nothing_else() {
        let body = json!({
            "metadata": {"name": "about-{{resource_slug}}"},
            "data": {"text": "{{resource_name}} in {{namespace}}", "cpu": "{{limit.cpu}}", "other": "{{ .Values.x }} {{"},
        });
        let objects = template(body).furnishings(&values(), "prod").unwrap();
        assert_eq!(objects[0].name, "about-shop");
        let expected = json!({"text": "My \"shop\" - x in prod", "cpu": "4", "other": "{{ .Values.x }} {{"});
        assert_eq!(objects[0].body["data"], expected);
    }

    #[test]
    fn what_cannot_be_filled_in_or_named_is_refused() {
        for (name, text, expected) in [
            ("{{resource_name}}", "", "has a name that Kubernetes refuses"),
            ("x", "{{limit.gpu}}", "needs `{{limit.gpu}}`, which this resource does not have"),
            ("x", "{{project_slug}}", "needs `{{project_slug}}`"),
        ] {
            let body = json!({"metadata": {"name": name}, "data": {"text": text}});
            let error = template(body).furnishings(&values(), "prod").unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let mut twice = template(json!({"metadata": {"name": "{{resource_slug}}"}}));
        let mut other = twice.objects[0].clone();
        other.body = json!({"metadata": {"name": "shop"}});
        twice.objects.push(other);
        assert!(twice.furnishings(&values(), "prod").unwrap_err().contains("is there twice"));
    }

    #[test]
    fn unknown_placeholders_are_found() {
        let body = json!({"a": ["{{resource_name}} {{resourcename}}", {"b": "{{limit.cpu}}{{limit.gpu}}"}], "c": "{{ x }}"});
        assert_eq!(unknown_placeholders(&body, &["cpu"]), ["resourcename", "limit.gpu"]);
    }

    #[test]
    fn what_the_server_adds_or_writes_in_another_way_is_no_difference() {
        for (live, wanted, expected) in [
            (json!({"a": "1Gi", "b": 1}), json!({"a": "1024Mi"}), true),
            (json!({"a": "1Gi"}), json!({"a": "2Gi"}), false),
            (json!({"replicas": 2}), json!({"replicas": "2"}), true),
            (json!({"x": true}), json!({"x": "true"}), false),
            (json!({}), json!({"ingress": [], "labels": {}, "text": ""}), true),
            (json!({}), json!({"a": 1}), false),
            (json!([{"port": 80, "protocol": "TCP"}]), json!([{"port": 80}]), true),
            (json!([{"port": 80}]), json!([{"port": 80}, {"port": 81}]), false),
            (json!({"podSelector": {"matchLabels": {"a": "b"}}}), json!({"podSelector": {}}), false),
            (json!([{"from": []}, {}]), json!([{"from": []}]), false),
        ] {
            assert_eq!(holds(&live, &wanted), expected, "{live} {wanted}");
        }
    }
}
