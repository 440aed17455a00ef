//! What a project is furnished with: objects of the template are made, kept, and taken away when they leave it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Plan;
use super::places::Place;
use crate::action::{Action, Expect};
use crate::desired::Project;
use crate::finding::Finding;
use crate::names;
use crate::observed::{Furnished, Namespace};
use crate::template::{Furnishing, holds};

/// What stands before an object that is made once only in the record on the namespace.
const ONCE: &str = "once:";

/// What is noted on a namespace about its template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Record {
    /// Kinds of which there may be objects ([`crate::template::ObjectApi::token`]).
    kinds: BTreeSet<String>,
    /// Objects that were made and are the tenant's since.
    once: BTreeSet<String>,
}

impl Record {
    fn read(annotations: &BTreeMap<String, String>) -> Self {
        let mut record = Self::default();
        let words = annotations.get(names::TEMPLATE_RECORD).map(String::as_str).unwrap_or_default();
        for word in words.split_whitespace() {
            match word.strip_prefix(ONCE) {
                Some(object) => record.once.insert(object.to_owned()),
                None => record.kinds.insert(word.to_owned()),
            };
        }
        record
    }

    fn text(&self) -> String {
        let once = self.once.iter().map(|object| format!("{ONCE}{object}"));
        self.kinds.iter().cloned().chain(once).collect::<Vec<_>>().join(" ")
    }
}

/// Kinds of which a namespace may hold objects of a template that it no longer has.
#[must_use]
pub fn recorded_kinds(namespace: &Namespace) -> BTreeSet<String> {
    Record::read(&namespace.annotations).kinds
}

fn id(object: &Furnishing) -> (String, String) {
    (object.api.token(), object.name.clone())
}

impl Plan {
    /// Plans the objects of the template.
    ///
    /// # Errors
    /// Why it cannot be filled in for this project: then nothing of it is changed.
    pub(super) fn furnish(&mut self, project: &Project, place: &Place<'_>) -> Result<(), String> {
        let Place { namespace, target, seen: observed, .. } = place;
        let none = BTreeMap::new();
        let present = namespace.map_or(&none, |namespace| &namespace.annotations);
        let record = Record::read(present);
        let known = observed.furnished_unknown.clone().filter(|_| namespace.is_some());
        let wanted = known.map_or(Ok(()), Err).and_then(|()| project.check_template(&target.name));
        let wanted = wanted.and_then(|()| project.template.furnishings(&project.values, &target.name));
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(reason) => {
                let reason = format!("{reason}; nothing of the template was changed");
                self.findings.push(Finding::error(&reason));
                return Err(reason);
            }
        };
        let furnished = if namespace.is_some() { &observed.furnished } else { &BTreeMap::new() };
        let mut after = Record::default();
        for object in wanted.iter() {
            after.kinds.insert(object.api.token());
            let made = format!("{}/{}", object.api.token(), object.name);
            let seen = furnished.get(&id(object));
            let left_to_tenant = object.once && (seen.is_some() || record.once.contains(&made));
            if object.once {
                after.once.insert(made);
            }
            if left_to_tenant || seen.is_some_and(|seen| is_right(seen, object)) {
                continue;
            }
            let absent = if namespace.is_some() { Expect::Absent } else { Expect::Fresh };
            let expect = seen.map_or(absent, |seen| Expect::Uid(seen.uid.clone()));
            let (target, resource, object) = (target.clone(), project.resource, object.clone());
            self.actions.push(Action::Furnish { target, resource, expect, object });
        }
        let kept: BTreeSet<_> = wanted.iter().map(id).collect();
        for ((_, name), seen) in furnished.iter().filter(|(id, _)| !kept.contains(id)) {
            self.actions.push(Action::Unfurnish {
                namespace: target.name.clone(),
                resource: project.resource,
                api: seen.api.clone(),
                name: name.clone(),
                uid: seen.uid.clone(),
            });
        }
        if after != record {
            let (mut annotations, labels) = project.namespace_metadata(present, place);
            annotations.remove(names::TEMPLATE_RECORD);
            if after != Record::default() {
                annotations.insert(names::TEMPLATE_RECORD.to_owned(), after.text());
            }
            let (target, resource) = (target.clone(), project.resource);
            self.actions.push(Action::ApplyNamespace { target, resource, annotations, labels });
        }
        Ok(())
    }
}

/// Without what lists leave out of their items (Kubernetes: lists of objects).
fn as_listed(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(members) = body.as_object_mut() {
        members.retain(|key, _| !["apiVersion", "kind"].contains(&key.as_str()));
    }
    body
}

fn is_right(seen: &Furnished, wanted: &Furnishing) -> bool {
    let label = seen.body.pointer("/metadata/labels").and_then(|labels| labels.get(names::TEMPLATE));
    label.and_then(Value::as_str) == Some(&wanted.digest())
        && !seen.taken.iter().any(|field| wanted.body.pointer(field).is_some())
        && (seen.settled || holds(&seen.body, &as_listed(&wanted.body)))
}

impl Project {
    /// Whether the template can be filled in for this project.
    pub(super) fn check_template(&self, namespace: &str) -> Result<(), String> {
        self.template.furnishings(&self.values, namespace)?;
        self.template.metadata(&self.values, namespace).map(drop)
    }

    /// Annotations and labels of the namespace, with those of the template. A template that cannot be filled in adds
    /// none.
    pub(super) fn namespace_metadata(
        &self,
        present: &BTreeMap<String, String>,
        place: &Place<'_>,
    ) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let metadata = self.template.metadata(&self.values, &place.target.name);
        let (mut labels, annotations) = metadata.unwrap_or_default();
        // What says whose the namespace is cannot be overruled.
        let mut annotations: BTreeMap<String, String> =
            annotations.into_iter().chain(self.annotations(present)).collect();
        if let Some(environment) = &place.environment {
            let display_name = self.display_name_of(Some(environment));
            annotations.insert(names::DISPLAY_NAME.to_owned(), display_name);
            labels.insert(names::ENVIRONMENT.to_owned(), environment.clone());
        }
        (annotations, labels)
    }

    /// Whether a namespace still carries what the template had before. One that cannot be filled in has left nothing.
    pub(super) fn has_left_marks(
        &self,
        namespace: &Namespace,
        annotations: &BTreeMap<String, String>,
        labels: &BTreeMap<String, String>,
    ) -> bool {
        let left = |applied: &BTreeSet<String>, wanted: &BTreeMap<String, String>| {
            applied.iter().any(|key| !wanted.contains_key(key))
        };
        namespace.applied.as_ref().is_some_and(|applied| {
            let left = left(&applied.labels, labels) || left(&applied.annotations, annotations);
            left && self.template.metadata(&self.values, &namespace.name).is_ok()
        })
    }

    /// What people see as the name of a namespace of it.
    pub(super) fn display_name_of(&self, environment: Option<&str>) -> String {
        match environment {
            Some(environment) => names::one_line(&format!("{} ({environment})", self.display_name)),
            None => self.display_name.clone(),
        }
    }
}
