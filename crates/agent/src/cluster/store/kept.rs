//! Objects as the store keeps them: maps and sets as lists, and keys that many objects have in common once. There is one
//! of each for every resource, and the smallest map takes room for eleven entries.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use planner::access::Subject;
use planner::amount::Amount;
use planner::observed::{Namespace, Owned, RoleBinding};
use planner::quota::Quota;
use planner::quota::scopes::Scopes;

/// Keys of labels, annotations and quotas, of which there are few.
#[derive(Debug, Default)]
pub(super) struct Keys(HashSet<Arc<str>>);

impl Keys {
    fn list<T, U: From<T>>(&mut self, map: BTreeMap<String, T>) -> List<U> {
        map.into_iter().map(|(key, value)| (self.shared(key), value.into())).collect()
    }

    fn shared(&mut self, key: String) -> Arc<str> {
        if let Some(known) = self.0.get(key.as_str()) {
            return Arc::clone(known);
        }
        let key = Arc::<str>::from(key);
        self.0.insert(Arc::clone(&key));
        key
    }
}

type List<T> = Box<[(Arc<str>, T)]>;

fn map<T: Clone + Into<U>, U>(list: &List<T>) -> BTreeMap<String, U> {
    list.iter().map(|(key, kept)| (key.as_ref().to_owned(), kept.clone().into())).collect()
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptNamespace {
    /// Without labels and annotations.
    pub(super) bare: Namespace,
    labels: List<Box<str>>,
    annotations: List<Box<str>>,
}

impl KeptNamespace {
    pub(super) fn new(mut namespace: Namespace, keys: &mut Keys) -> Self {
        let labels = keys.list(std::mem::take(&mut namespace.labels));
        let annotations = keys.list(std::mem::take(&mut namespace.annotations));
        Self { bare: namespace, labels, annotations }
    }

    pub(super) fn has_label(&self, label: &str) -> bool {
        self.labels.iter().any(|(key, _)| key.as_ref() == label)
    }

    pub(super) fn annotation(&self, annotation: &str) -> Option<&str> {
        let found = self.annotations.iter().find(|(key, _)| key.as_ref() == annotation);
        found.map(|(_, value)| value.as_ref())
    }

    pub(super) fn namespace(&self) -> Namespace {
        Namespace { labels: map(&self.labels), annotations: map(&self.annotations), ..self.bare.clone() }
    }
}

/// A quota, of one namespace or of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptQuota {
    scopes: Scopes,
    hard: List<Amount>,
}

impl KeptQuota {
    pub(super) fn new(quota: Owned<Quota>, keys: &mut Keys) -> Owned<Self> {
        changed(quota, |Quota { scopes, hard }| Self { scopes, hard: keys.list(hard) })
    }

    pub(super) fn quota(&self) -> Quota {
        Quota { scopes: self.scopes.clone(), hard: map(&self.hard) }
    }
}

/// A role binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptBinding {
    role: Box<str>,
    subjects: Box<[Subject]>,
}

impl KeptBinding {
    pub(super) fn new(binding: Owned<RoleBinding>) -> Owned<Self> {
        changed(binding, |RoleBinding { role, subjects }| Self {
            role: role.into(),
            subjects: subjects.into_iter().collect(),
        })
    }

    pub(super) fn binding(&self) -> RoleBinding {
        RoleBinding { role: self.role.as_ref().to_owned(), subjects: self.subjects.iter().cloned().collect() }
    }
}

/// The same object with its value in another form.
pub(super) fn changed<T, U>(owned: Owned<T>, form: impl FnOnce(T) -> U) -> Owned<U> {
    let Owned { uid, value, edited_by } = owned;
    Owned { uid, value: form(value), edited_by }
}

/// The same of one that stays in the store.
pub(super) fn seen<T, U>(owned: &Owned<T>, form: impl FnOnce(&T) -> U) -> Owned<U> {
    Owned { uid: owned.uid.clone(), value: form(&owned.value), edited_by: owned.edited_by.clone() }
}
