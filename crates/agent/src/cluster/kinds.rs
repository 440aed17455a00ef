//! Kubernetes objects to and from the planner's values. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use planner::access::Subject;
use planner::amount::Amount;
use planner::lifecycle;
use planner::names;
use planner::observed::{Applied, Namespace, Owned, RoleBinding};
use planner::policy::LimitRangePolicy;
use planner::quota;
use planner::template::Furnishing;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::apply::Note;
use super::http::FIELD_MANAGER;
use super::subjects::USER;
pub(super) use super::subjects::path_segment;

/// The kinds of objects that the agent keeps an eye on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Namespace,
    Quota,
    LimitRange,
    RoleBinding,
    Group,
    ServiceAccount,
    Identity,
    ClusterQuota,
}

/// API group of role bindings.
const RBAC: &str = "rbac.authorization.k8s.io";
/// API group of quotas over several namespaces.
pub(crate) const QUOTA: &str = "quota.openshift.io";

impl Kind {
    /// Those that every project has.
    pub(crate) const ALWAYS: [Self; 4] = [Self::Namespace, Self::Quota, Self::LimitRange, Self::RoleBinding];

    /// API group; empty for the core group.
    pub(crate) const fn group(self) -> &'static str {
        match self {
            Self::Namespace | Self::Quota | Self::LimitRange | Self::ServiceAccount => "",
            Self::RoleBinding => RBAC,
            Self::Group | Self::Identity => USER,
            Self::ClusterQuota => QUOTA,
        }
    }

    fn api_root(self) -> String {
        match self.group() {
            "" => "/api/v1".to_owned(),
            group => format!("/apis/{group}/v1"),
        }
    }

    /// Name of the resource in paths and in permissions.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::Quota => "resourcequotas",
            Self::LimitRange => "limitranges",
            Self::RoleBinding => "rolebindings",
            Self::Group => "groups",
            Self::ServiceAccount => "serviceaccounts",
            Self::Identity => "identities",
            Self::ClusterQuota => "clusterresourcequotas",
        }
    }

    /// Path of the list over the whole cluster.
    pub(crate) fn list_path(self) -> String {
        format!("{}/{}", self.api_root(), self.plural())
    }

    /// Path of a namespaced object.
    pub(crate) fn object_path(self, namespace: &str, name: &str) -> String {
        format!("{}/namespaces/{namespace}/{}/{}", self.api_root(), self.plural(), path_segment(name))
    }

    /// Path of the list in one namespace.
    pub(crate) fn in_namespace(self, namespace: &str) -> String {
        format!("{}/namespaces/{namespace}/{}", self.api_root(), self.plural())
    }

    /// Path of an object that is in no namespace.
    pub(crate) fn cluster_path(self, name: &str) -> String {
        format!("{}/{}", self.list_path(), path_segment(name))
    }

    pub(crate) fn api_resource(self) -> ApiResource {
        let kind = match self {
            Self::Namespace => "Namespace",
            Self::Quota => "ResourceQuota",
            Self::LimitRange => "LimitRange",
            Self::RoleBinding => "RoleBinding",
            Self::Group => "Group",
            Self::ServiceAccount => "ServiceAccount",
            Self::Identity => "Identity",
            Self::ClusterQuota => "ClusterResourceQuota",
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(self.group(), "v1", kind), self.plural())
    }
}

/// Path of a namespace.
pub(crate) fn namespace_path(name: &str) -> String {
    format!("/api/v1/namespaces/{name}")
}

/// Path of the objects in which the ledger of usage is kept.
pub(crate) fn ledger_path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// Labels of an object of the ledger: whose it is, and of which day or month.
pub(crate) const LEDGER: &str = "waldur/ledger";
/// See [`LEDGER`].
pub(crate) const LEDGER_OFFERING: &str = "waldur/offering-uuid";
/// See [`LEDGER`]; on objects of hours.
pub(crate) const LEDGER_DAY: &str = "waldur/day";
/// See [`LEDGER`]; on objects of days.
pub(crate) const LEDGER_MONTH: &str = "waldur/month";

/// An object of the ledger (Kubernetes: ConfigMap). `label` says whether it is one of hours or of days.
pub(crate) fn ledger(
    (namespace, name): (&str, &str),
    offering: Uuid,
    (label, period): (&str, &str),
    texts: &BTreeMap<String, String>,
) -> Value {
    let labels = json!({
        names::MANAGED_BY: names::MANAGED_BY_VALUE,
        LEDGER: "usage",
        LEDGER_OFFERING: offering.simple().to_string(),
        label: period,
    });
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "data": texts,
    })
}

/// Selects our objects.
pub(crate) fn our_labels() -> String {
    format!("{}={}", names::MANAGED_BY, names::MANAGED_BY_VALUE)
}

/// Labels of an object that belongs to this resource.
pub(super) fn labels(resource: Uuid) -> Value {
    json!({names::MANAGED_BY: names::MANAGED_BY_VALUE, names::RESOURCE_UUID: resource.simple().to_string()})
}

/// The resource that an object of ours belongs to.
pub(crate) fn resource_of(object: &DynamicObject) -> Option<Uuid> {
    let labels = object.metadata.labels.as_ref()?;
    let managed = labels.get(names::MANAGED_BY).is_some_and(|value| value == names::MANAGED_BY_VALUE);
    if managed { Uuid::parse_str(labels.get(names::RESOURCE_UUID)?).ok() } else { None }
}

/// Body of a ProjectRequest (OpenShift: project.openshift.io/v1), which keeps nothing else.
pub(crate) fn project_request(name: &str, display_name: &str, description: &str) -> Value {
    json!({
        "apiVersion": "project.openshift.io/v1",
        "kind": "ProjectRequest",
        "metadata": {"name": name},
        "displayName": display_name,
        "description": description,
    })
}

/// A namespace with our labels; `uid` is a precondition where it is given.
pub(crate) fn namespace(
    name: &str,
    uid: Option<&str>,
    resource: Uuid,
    annotations: &BTreeMap<String, String>,
) -> Value {
    let mut body = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels(resource), "annotations": annotations},
    });
    set_uid(&mut body, uid);
    body
}

/// Our limit range.
pub(crate) fn limit_range(
    namespace: &str,
    uid: Option<&str>,
    resource: Uuid,
    value: &LimitRangePolicy,
) -> Value {
    let mut item = json!({"type": "Container"});
    let parts = [
        ("default", &value.default),
        ("defaultRequest", &value.default_request),
        ("max", &value.max),
        ("min", &value.min),
    ];
    for (key, amounts) in parts.into_iter().filter(|(_, amounts)| !amounts.is_empty()) {
        let quantities: Map<String, Value> = amounts
            .iter()
            .map(|(name, value)| (name.clone(), json!(quota::quantity(name, *value))))
            .collect();
        item[key] = Value::Object(quantities);
    }
    let mut body = json!({
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": names::LIMIT_RANGE, "namespace": namespace, "labels": labels(resource)},
        "spec": {"limits": [item]},
    });
    set_uid(&mut body, uid);
    body
}

/// One of our role bindings.
pub(crate) fn role_binding(
    (namespace, name): (&str, &str),
    uid: Option<&str>,
    resource: Uuid,
    role: &str,
    subjects: &BTreeSet<Subject>,
) -> Value {
    let subjects: Vec<Value> = subjects
        .iter()
        .map(|subject| match subject {
            Subject::User(name) => json!({"apiGroup": RBAC, "kind": "User", "name": name}),
            Subject::Group(name) => json!({"apiGroup": RBAC, "kind": "Group", "name": name}),
            Subject::ServiceAccount(name) => {
                json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
            }
        })
        .collect();
    let mut body = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace, "labels": labels(resource)},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    });
    set_uid(&mut body, uid);
    body
}

/// Role and subjects of a role binding. A role that is no ClusterRole, and a subject that the agent does not bind,
/// are kept under a name that nobody wants, so that the binding is put right.
pub(crate) fn read_role_binding(object: &DynamicObject) -> Owned<RoleBinding> {
    let role_ref = &object.data["roleRef"];
    let role = role_ref["name"].as_str().unwrap_or_default();
    let is_cluster_role = role_ref["kind"] == "ClusterRole";
    let subjects = object.data["subjects"].as_array().into_iter().flatten().map(|subject| {
        let name = subject["name"].as_str().unwrap_or_default().to_owned();
        match subject["kind"].as_str() {
            Some("User") => Subject::User(name),
            Some("Group") => Subject::Group(name),
            Some("ServiceAccount")
                if subject["namespace"].as_str() == object.metadata.namespace.as_deref() =>
            {
                Subject::ServiceAccount(name)
            }
            other => Subject::Group(format!("{}:{name}", other.unwrap_or_default())),
        }
    });
    Owned {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        value: RoleBinding {
            role: if is_cluster_role { role.to_owned() } else { format!("Role/{role}") },
            subjects: subjects.collect(),
        },
        edited_by: editors(object, "", &["subjects", "roleRef"]),
    }
}

/// Fields directly below `path` that another field manager owns and the agent does not, each with the manager that
/// wrote it last. `only` names the fields that matter; without any all do.
pub(super) fn editors(object: &DynamicObject, path: &str, only: &[&str]) -> BTreeMap<String, String> {
    let mut entries: Vec<_> = object.metadata.managed_fields.iter().flatten().collect();
    entries.sort_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    let mut editors = BTreeMap::new();
    let mut own = BTreeSet::new();
    for entry in entries {
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.pointer(path)?.as_object());
        let names = fields.into_iter().flatten().filter_map(|(name, _)| name.strip_prefix("f:"));
        let names = names.filter(|name| only.is_empty() || only.contains(name)).map(str::to_owned);
        match entry.manager.as_deref() {
            Some(FIELD_MANAGER) => own.extend(names),
            manager => editors.extend(names.map(|name| (name, manager.unwrap_or_default().to_owned()))),
        }
    }
    editors.retain(|name, _| !own.contains(name));
    editors
}

/// Fields that somebody else has written and the agent does not own (any more), as JSON pointers: those directly below
/// one of the object's members that are owned as a whole, such as lists (Kubernetes: atomic lists) and single values.
pub(super) fn taken_fields(object: &DynamicObject) -> BTreeSet<String> {
    let mut own = BTreeSet::new();
    let mut theirs = BTreeSet::new();
    let entries = object.metadata.managed_fields.iter().flatten();
    for entry in entries.filter(|entry| entry.subresource.is_none()) {
        let members = entry.fields_v1.as_ref().and_then(|fields| fields.0.as_object());
        let members = members
            .into_iter()
            .flatten()
            .filter_map(|(name, below)| Some((name.strip_prefix("f:")?, below.as_object()?)));
        let is_own = entry.manager.as_deref() == Some(FIELD_MANAGER);
        for (member, below) in members.filter(|(member, _)| *member != "metadata") {
            for (field, inside) in below {
                let Some(field) = field.strip_prefix("f:") else { continue };
                let pointer = format!("/{member}/{}", field.replace('~', "~0").replace('/', "~1"));
                if is_own {
                    own.insert(pointer);
                } else if inside.as_object().is_some_and(Map::is_empty) {
                    theirs.insert(pointer);
                }
            }
        }
    }
    theirs.difference(&own).cloned().collect()
}

/// Whether the last to write to an object was the agent: in the last second in which anybody did, nobody else did.
/// Controllers that write a status do not count, nor does who made the object in that very second.
pub(crate) fn is_written_by_us(object: &DynamicObject) -> bool {
    let entries = object.metadata.managed_fields.iter().flatten();
    let entries = entries.filter(|entry| entry.subresource.as_deref().is_none_or(str::is_empty));
    let entries: Vec<_> =
        entries.map(|entry| (entry.time.as_ref().map(|time| time.0), &entry.manager)).collect();
    let Some(last) = entries.iter().map(|(time, _)| *time).max() else {
        return false;
    };
    let is_new = object.metadata.creation_timestamp.as_ref().map(|time| time.0) == last;
    let ours = |manager: &Option<String>| manager.as_deref() == Some(FIELD_MANAGER);
    let mut writers = entries.iter().filter(|(time, _)| *time == last).map(|(_, manager)| ours(manager));
    if is_new { writers.any(|ours| ours) } else { writers.all(|ours| ours) }
}

pub(super) fn set_uid(body: &mut Value, uid: Option<&str>) {
    if let (Some(uid), Some(metadata)) = (uid, body.get_mut("metadata").and_then(Value::as_object_mut)) {
        metadata.insert("uid".to_owned(), json!(uid));
    }
}

/// An Event about a namespace.
pub(super) fn event(note: &Note<'_>, now: jiff::Timestamp) -> Value {
    let seconds = now.round(jiff::Unit::Second).unwrap_or(now).to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "waldur-site-agent-", "namespace": note.namespace},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Namespace", "name": note.namespace, "namespace": note.namespace,
        },
        "type": note.kind,
        "reason": note.reason,
        "message": note.message,
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": seconds,
        "lastTimestamp": seconds,
        "count": 1,
    })
}

/// An object of the project template with its namespace and our labels.
pub(super) fn furnishing(object: &Furnishing, namespace: &str, uid: Option<&str>, resource: Uuid) -> Value {
    let mut body = object.body.clone();
    body["metadata"]["namespace"] = json!(namespace);
    let mut ours = labels(resource);
    ours[names::TEMPLATE] = json!(object.digest());
    if let (Some(ours), Some(own)) = (ours.as_object(), body["metadata"]["labels"].as_object()) {
        let all: Map<String, Value> =
            own.iter().chain(ours).map(|(key, value)| (key.clone(), value.clone())).collect();
        body["metadata"]["labels"] = Value::Object(all);
    } else {
        body["metadata"]["labels"] = ours;
    }
    set_uid(&mut body, uid);
    body
}

/// True for objects of the project template: they are kept apart from what every project has.
pub(super) fn is_furnishing(object: &DynamicObject) -> bool {
    object.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(names::TEMPLATE))
}

/// A merge patch that takes our labels off the object with this uid.
pub(super) fn without_labels(uid: &str) -> Value {
    let labels = json!({names::MANAGED_BY: null, names::RESOURCE_UUID: null, names::ENVIRONMENT: null});
    json!({"metadata": {"uid": uid, "labels": labels}})
}

/// Options of a delete that only takes the object with this uid.
pub(crate) fn delete_options(uid: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}})
}

/// A namespace as the planner means it. `more` names the labels and annotations of the project template.
pub(crate) fn read_namespace(object: &DynamicObject, more: &BTreeSet<String>) -> Namespace {
    let metadata = &object.metadata;
    let applied = Applied {
        labels: applied_marks(object, "f:labels"),
        annotations: applied_marks(object, "f:annotations"),
    };
    let ours =
        |key: &String| LABELS.contains(&key.as_str()) || more.contains(key) || applied.labels.contains(key);
    let labels = metadata.labels.iter().flatten().filter(|(key, _)| ours(key));
    let kept = |key: &String| {
        ANNOTATIONS.contains(&key.as_str())
            || key == names::REQUESTER
            || lifecycle::MARKS.contains(&key.as_str())
            || more.contains(key)
            || applied.annotations.contains(key)
    };
    let annotations = metadata.annotations.iter().flatten().filter(|(key, _)| kept(key));
    Namespace {
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        labels: labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
        annotations: annotations.map(|(key, value)| (key.clone(), value.clone())).collect(),
        created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        terminating: metadata.deletion_timestamp.is_some(),
        terminating_since: metadata.deletion_timestamp.as_ref().map(|time| time.0),
        blocked_by: blocked_by(&object.data),
        applied: (applied != Applied::default()).then(|| Box::new(applied)),
    }
}

/// Labels of a namespace that say whose it is.
const LABELS: [&str; 3] = [names::MANAGED_BY, names::RESOURCE_UUID, names::ENVIRONMENT];
/// Annotations that every namespace of ours has.
const ANNOTATIONS: [&str; 5] =
    [names::DISPLAY_NAME, names::DESCRIPTION, names::ORGANIZATION, names::PARENT, names::TEMPLATE_RECORD];

/// What the agent has applied of a namespace's labels or annotations because a template said so.
fn applied_marks(object: &DynamicObject, which: &str) -> BTreeSet<String> {
    let entries = object.metadata.managed_fields.iter().flatten().filter(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply")
    });
    let members =
        entries.filter_map(|entry| entry.fields_v1.as_ref()?.0.get("f:metadata")?.get(which)?.as_object());
    let keys = members.flatten().filter_map(|(key, _)| key.strip_prefix("f:"));
    let own = |key: &&str| LABELS.contains(key) || ANNOTATIONS.contains(key);
    keys.filter(|key| !own(key)).map(str::to_owned).collect()
}

/// What a namespace that is being deleted waits for (Kubernetes: conditions of a namespace).
fn blocked_by(data: &Value) -> Vec<String> {
    let conditions = data.pointer("/status/conditions").and_then(Value::as_array);
    let true_ones = conditions.into_iter().flatten().filter(|condition| condition["status"] == "True");
    let messages =
        true_ones.filter_map(|condition| condition["message"].as_str().filter(|text| !text.is_empty()));
    messages.map(names::one_line).collect()
}

/// What a limit range says about containers.
pub(crate) fn read_limit_range(object: &DynamicObject) -> Owned<LimitRangePolicy> {
    let limits = object.data.pointer("/spec/limits").and_then(Value::as_array);
    let mut items = limits.into_iter().flatten();
    let container = items.find(|item| item["type"] == "Container");
    let part = |name: &str| amounts(container.and_then(|item| item.get(name)));
    Owned {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        value: LimitRangePolicy {
            default: part("default"),
            default_request: part("defaultRequest"),
            max: part("max"),
            min: part("min"),
        },
        edited_by: BTreeMap::new(),
    }
}

/// Quantities by name. One that cannot be read is left out.
pub(super) fn amounts(value: Option<&Value>) -> BTreeMap<String, Amount> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter_map(|(key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some((key.clone(), text.parse().ok()?))
        })
        .collect()
}
