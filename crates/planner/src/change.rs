//! An action as what it changes: which object, and each field with its old and its new value.
//!
//! What a person reads before (`plan`) and after (the audit log) is made of the same values.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::access::Subject;
use crate::action::Action;
use crate::amount::Amount;
use crate::desired::{Desired, Goal};
use crate::names;
use crate::observed::{Lookup, Namespace, Observed};
use crate::policy::LimitRangePolicy;
use crate::quota::{self, Hard, Quota};
use crate::template::ObjectApi;

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It is made.
    Added,
    /// It goes.
    Removed,
    /// It is another afterwards.
    Changed,
}

impl Sign {
    /// `+`, `-` or `~`.
    #[must_use]
    pub const fn symbol(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Changed => '~',
        }
    }
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// `None` where it was not there.
    pub before: Option<String>,
    /// `None` where it goes.
    pub after: Option<String>,
}

/// What an action changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What becomes of the object.
    pub sign: Sign,
    /// Kind and name, as `quota shop/waldur-quota`.
    pub object: String,
    /// What of it, by name.
    pub fields: Vec<Field>,
}

impl Change {
    fn new(sign: Sign, object: impl Into<String>) -> Self {
        Self { sign, object: object.into(), fields: Vec::new() }
    }

    fn with(mut self, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Self {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let field = |name: &String| {
            let (before, after) = (before.get(name).cloned(), after.get(name).cloned());
            (before != after).then(|| Field { name: name.clone(), before, after })
        };
        self.fields.extend(names.into_iter().filter_map(field));
        self
    }

    fn one(mut self, name: &str, before: Option<&str>, after: Option<&str>) -> Self {
        let own = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        self.fields.push(Field { name: name.to_owned(), before: own(before), after: own(after) });
        self
    }

    /// The fields' old or new values, as one line.
    #[must_use]
    pub fn values(&self, of: impl Fn(&Field) -> Option<&String>) -> String {
        let values = self.fields.iter().filter_map(|field| Some(format!("{}={}", field.name, of(field)?)));
        values.collect::<Vec<_>>().join(", ")
    }
}

/// What an action changes, given what was seen before.
#[must_use]
pub fn change(action: &Action, desired: &Desired, observed: &Observed) -> Change {
    use Sign::{Added, Changed, Removed};
    let nothing = BTreeMap::new();
    match action {
        Action::Approve { order } => waldur_order(*order, "approved"),
        Action::Reject { order, comment } => waldur_order(*order, &format!("rejected: {comment}")),
        Action::MarkDone { order } => waldur_order(*order, "done"),
        Action::MarkErred { order, message, .. } => waldur_order(*order, &format!("erred: {message}")),
        Action::RequestProject { name, display_name, .. } => {
            Change::new(Added, format!("project {name}")).one("display name", None, Some(display_name))
        }
        Action::CreateNamespace { name, annotations, .. } => {
            Change::new(Added, format!("namespace {name}")).with(&nothing, annotations)
        }
        Action::ApplyNamespace { target, resource, annotations, labels: more } => {
            let seen = seen_namespace(&target.name, observed);
            let before = seen.map(marks_of).unwrap_or_default();
            let mut after = annotations.clone();
            after.extend(more.clone());
            after.extend(labels(resource.simple().to_string()));
            let mut changed = known(&before, &after);
            // What the agent has applied before, and does not apply now, goes.
            let applied = seen.and_then(|seen| seen.applied.as_ref()).into_iter();
            let applied = applied.flat_map(|applied| applied.labels.iter().chain(&applied.annotations));
            for key in applied.map(String::as_str).chain([names::TEMPLATE_RECORD]) {
                changed.extend(before.get_key_value(key).map(|(key, value)| (key.clone(), value.clone())));
            }
            Change::new(Changed, format!("namespace {}", target.name)).with(&changed, &after)
        }
        Action::AdoptNamespace { target, resource, annotations, environment, .. } => {
            let before = namespace(&target.name, observed);
            let mut after = annotations.clone();
            after.extend(environment.clone().map(|environment| (names::ENVIRONMENT.to_owned(), environment)));
            after.extend(labels(resource.simple().to_string()));
            Change::new(Changed, format!("namespace {}", target.name)).with(&known(&before, &after), &after)
        }
        Action::MarkNamespace { target, marks, .. } => {
            let before = namespace(&target.name, observed);
            let marked = |(key, _): &(&String, &String)| marks.contains_key(key.as_str());
            let before =
                before.iter().filter(marked).map(|(key, value)| (key.clone(), value.clone())).collect();
            let after = marks.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?)));
            Change::new(Changed, format!("namespace {}", target.name)).with(&before, &after.collect())
        }
        Action::ChangeWorkload { target, change, .. } => {
            let (kind, name) = (change.kind.as_str(), names::one_line(&change.name));
            let (before, after) = (change.before.to_string(), change.after.to_string());
            Change::new(Changed, format!("{kind} {}/{name}", target.name)).one(
                "runs",
                Some(&before),
                Some(&after),
            )
        }
        Action::ApplyQuota { target, name, value, before, .. } => {
            quota_change(&format!("quota {}/{name}", target.name), value, before)
        }
        Action::ApplyClusterQuota { resource, name, value, before, .. } => {
            let name = names::cluster_quota(name, *resource);
            quota_change(&format!("cluster quota {name}"), value, before)
        }
        Action::DeleteQuota { namespace, name, .. } => {
            let before = observed.within(namespace).quotas.get(name);
            let before = before.map(|owned| quantities(&owned.value.hard)).unwrap_or_default();
            Change::new(Removed, format!("quota {namespace}/{name}")).with(&before, &nothing)
        }
        Action::DeleteClusterQuota { resource, name, .. } => {
            let before = observed.cluster_quotas.get(name);
            let before = before.map(|owned| quantities(&owned.value.hard)).unwrap_or_default();
            let name = names::cluster_quota(name, *resource);
            Change::new(Removed, format!("cluster quota {name}")).with(&before, &nothing)
        }
        Action::ApplyLimitRange { target, value, .. } => {
            let survey = observed.surveys.get(&target.name).and_then(|survey| survey.limit_range.as_ref());
            let seen = &observed.within(&target.name).limit_range;
            let before = seen.as_ref().or(survey).map(|range| limits(&range.value));
            let sign = if before.is_some() { Changed } else { Added };
            let object = format!("limit range {}/{}", target.name, names::LIMIT_RANGE);
            Change::new(sign, object).with(&before.unwrap_or_default(), &limits(value))
        }
        Action::ApplyRoleBinding { target, name, role, subjects, .. } => {
            let survey = observed.surveys.get(&target.name).and_then(|survey| survey.bindings.get(name));
            let seen = observed.within(&target.name).bindings.get(name);
            let before = seen.or(survey).map(|owned| &owned.value.subjects);
            let sign = if before.is_some() { Changed } else { Added };
            let none = BTreeSet::new();
            Change::new(sign, format!("role binding {}/{name}", target.name))
                .with(&granted(before.unwrap_or(&none), role), &granted(subjects, role))
        }
        Action::DeleteRoleBinding { namespace, name, .. } => {
            let before = observed.within(namespace).bindings.get(name).map(|owned| &owned.value);
            let before = before.map(|binding| granted(&binding.subjects, &binding.role)).unwrap_or_default();
            Change::new(Removed, format!("role binding {namespace}/{name}")).with(&before, &nothing)
        }
        Action::Furnish { target, object, .. } => {
            let before =
                observed.within(&target.name).furnished.get(&(object.api.token(), object.name.clone()));
            let sign = if before.is_some() { Changed } else { Added };
            let before = before.map(|seen| members_of(&object.api, &seen.body)).unwrap_or_default();
            let after = members_of(&object.api, &object.body);
            Change::new(sign, format!("{} {}/{}", object.api.kind, target.name, object.name))
                .with(&known(&before, &after), &after)
        }
        Action::Unfurnish { namespace, api, name, .. } => {
            let seen = observed.within(namespace).furnished.get(&(api.token(), name.clone()));
            let before = seen.map(|seen| members_of(api, &seen.body)).unwrap_or_default();
            Change::new(Removed, format!("{} {namespace}/{name}", api.kind)).with(&before, &nothing)
        }
        Action::DeletePythonBinding { namespace, binding, .. } => {
            let object = format!("role binding {namespace}/{}", names::one_line(&binding.name));
            Change::new(Removed, object).one(&names::one_line(&binding.user), Some(&binding.role), None)
        }
        Action::ApplyGroup { name, users, .. } => {
            let before = observed.groups.get(name).map(|owned| &owned.value);
            let sign = if before.is_some() { Changed } else { Added };
            Change::new(sign, format!("group {name}"))
                .with(&members(before.into_iter().flatten()), &members(users))
        }
        Action::DeleteGroup { name, .. } => {
            let before = observed.groups.get(name).into_iter().flat_map(|owned| &owned.value);
            Change::new(Removed, format!("group {name}")).with(&members(before), &nothing)
        }
        Action::ApplyServiceAccount { target, name, .. } => {
            Change::new(Added, format!("service account {}/{name}", target.name))
        }
        Action::DeleteServiceAccount { namespace, name, .. } => {
            Change::new(Removed, format!("service account {namespace}/{name}"))
        }
        Action::EnsureIdentity { provider, username } => {
            Change::new(Added, format!("identity {provider}:{}", names::one_line(username)))
        }
        Action::Release { kind, namespace, resource, name, .. } => {
            let slash = if namespace.is_empty() { "" } else { "/" };
            let object = format!("{} {namespace}{slash}{name}", kind.label());
            Change::new(Changed, object).with(&labels(resource.simple().to_string()), &nothing)
        }
        Action::DeleteNamespace { name, uid, .. } => {
            Change::new(Removed, format!("namespace {name}")).one("uid", Some(uid), None)
        }
        Action::SetAllocationOk { .. } => told("allocation").one("state", None, Some("OK")),
        Action::ReportUsage { .. } => told("usage"),
        Action::SetBackendId { backend_id, .. } => {
            let before = project(desired).map(|project| project.backend_id.as_str());
            told("backend id").one("backend id", before, Some(backend_id))
        }
        Action::SetBackendMetadata { metadata, .. } => {
            let before = match &desired.goal {
                Goal::Project(project) => texts(&project.backend_metadata),
                Goal::Removed(removal) | Goal::Left(removal) => texts(&removal.backend_metadata),
                _ => BTreeMap::new(),
            };
            told("metadata").with(&before, &texts(metadata))
        }
        Action::SetMembershipStatuses { statuses, .. } => {
            told("state of grants").one("grants", None, Some(&statuses.len().to_string()))
        }
        Action::SetResourceOk { .. } => told("state").one("state", Some("Erred"), Some("OK")),
        Action::SetResourceErred { message, .. } => {
            let before = desired.standing.as_ref().map(|standing| standing.error_message.as_str());
            told("state").one("error", before, Some(message))
        }
        Action::RefreshLastSync { .. } => told("time of the last look"),
    }
}

fn quota_change(object: &str, value: &Quota, before: &Hard) -> Change {
    let sign = if before.is_empty() { Sign::Added } else { Sign::Changed };
    let change = Change::new(sign, object).with(&quantities(before), &quantities(&value.hard));
    match value.scopes.is_empty() || sign == Sign::Changed {
        true => change,
        false => change.one("scopes", None, Some(&value.scopes.to_string())),
    }
}

fn waldur_order(order: uuid::Uuid, state: &str) -> Change {
    Change::new(Sign::Changed, format!("Waldur order {}", order.simple())).one("state", None, Some(state))
}

/// What Waldur keeps about the resource.
fn told(what: &str) -> Change {
    Change::new(Sign::Changed, format!("Waldur resource: {what}"))
}

fn project(desired: &Desired) -> Option<&crate::desired::Project> {
    match &desired.goal {
        Goal::Project(project) => Some(project),
        _ => None,
    }
}

fn seen_namespace<'a>(name: &str, observed: &'a Observed) -> Option<&'a Namespace> {
    let looked_up = observed.by_name.values().filter_map(|found| match found {
        Lookup::Present(namespace) => Some(namespace),
        Lookup::Absent => None,
    });
    observed.owned.iter().chain(looked_up).find(|namespace| namespace.name == name)
}

/// Labels and annotations.
fn marks_of(namespace: &Namespace) -> BTreeMap<String, String> {
    let pairs = namespace.labels.iter().chain(&namespace.annotations);
    pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn namespace(name: &str, observed: &Observed) -> BTreeMap<String, String> {
    seen_namespace(name, observed).map(marks_of).unwrap_or_default()
}

/// Only the keys that are written: a namespace's others stay.
fn known(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    before
        .iter()
        .filter(|(key, _)| after.contains_key(*key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn labels(resource: String) -> BTreeMap<String, String> {
    let managed = (names::MANAGED_BY.to_owned(), names::MANAGED_BY_VALUE.to_owned());
    BTreeMap::from([managed, (names::RESOURCE_UUID.to_owned(), resource)])
}

fn quantities(hard: &Hard) -> BTreeMap<String, String> {
    hard.iter().map(|(key, value)| (key.clone(), quota::quantity(key, *value))).collect()
}

fn limits(range: &LimitRangePolicy) -> BTreeMap<String, String> {
    let part = |name: &'static str, amounts: &BTreeMap<String, Amount>| {
        let text = |(key, value): (&String, &Amount)| (format!("{name}.{key}"), quota::quantity(key, *value));
        amounts.iter().map(text).collect::<Vec<_>>()
    };
    let parts = [
        part("default", &range.default),
        part("defaultRequest", &range.default_request),
        part("max", &range.max),
        part("min", &range.min),
    ];
    parts.into_iter().flatten().collect()
}

fn granted(subjects: &BTreeSet<Subject>, role: &str) -> BTreeMap<String, String> {
    subjects.iter().map(|subject| (names::one_line(&subject.label()), role.to_owned())).collect()
}

fn members<'a>(users: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, String> {
    users.into_iter().map(|user| (names::one_line(user), "member".to_owned())).collect()
}

/// What an object says, without its name. Of secrets only which keys there are.
fn members_of(api: &ObjectApi, body: &Value) -> BTreeMap<String, String> {
    let nothing = Map::new();
    let mut members = body.as_object().unwrap_or(&nothing).clone();
    ["apiVersion", "kind", "metadata"].iter().for_each(|key| drop(members.remove(*key)));
    if api.is_secret() {
        let keys = |(name, member): (&String, &Value)| {
            let keys = member.as_object().into_iter().flat_map(Map::keys);
            keys.map(|key| (format!("{name}.{key}"), "not shown".to_owned())).collect::<Vec<_>>()
        };
        return members.iter().flat_map(keys).collect();
    }
    texts(&members)
}

fn texts(metadata: &Map<String, Value>) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    metadata.iter().map(|(key, value)| (key.clone(), names::one_line(&text(value)))).collect()
}
