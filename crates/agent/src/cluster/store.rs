//! What was last seen of our objects, as a plain value: watches, lists and our own writes feed it, workers read
//! it. No I/O, no waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kube::api::DynamicObject;
use planner::names;
use planner::observed::{Namespace, Observed, Owned, RoleBinding};
use planner::policy::LimitRangePolicy;
use planner::quota::Hard;
use uuid::Uuid;

use super::kinds::{self, Kind};

/// An object with the version in which it was seen. Versions of one cluster grow; an older sight never replaces
/// a newer one.
#[derive(Debug)]
struct Seen<T> {
    version: u64,
    resource: Uuid,
    value: T,
}

/// Our objects by the namespace that they are, or are in.
#[derive(Debug, Default)]
pub(crate) struct Store {
    namespaces: HashMap<String, Seen<Namespace>>,
    quotas: HashMap<String, Seen<Owned<Hard>>>,
    limit_ranges: HashMap<String, Seen<Owned<LimitRangePolicy>>>,
    /// By namespace and name.
    bindings: HashMap<String, BTreeMap<String, Seen<Owned<RoleBinding>>>>,
    by_resource: HashMap<Uuid, BTreeSet<String>>,
}

impl Store {
    /// Takes in an object that exists; returns the resource whose view has changed.
    pub(crate) fn apply(&mut self, kind: Kind, object: &DynamicObject) -> Option<Uuid> {
        let Some(resource) = kinds::resource_of(object) else {
            // An object that lost our labels is gone for us.
            return self.delete(kind, object);
        };
        let version = version(object);
        let name = place(kind, object)?;
        match kind {
            Kind::Namespace => {
                let value = kinds::read_namespace(object);
                let changed = put(&mut self.namespaces, &name, Seen { version, resource, value });
                self.by_resource.entry(resource).or_default().insert(name);
                changed
            }
            Kind::Quota => {
                let value = kinds::read_quota(object);
                put(&mut self.quotas, &name, Seen { version, resource, value })
            }
            Kind::LimitRange => {
                let value = kinds::read_limit_range(object);
                put(&mut self.limit_ranges, &name, Seen { version, resource, value })
            }
            Kind::RoleBinding => {
                let value = kinds::read_role_binding(object);
                let bindings = self.bindings.entry(name).or_default();
                put_in(bindings, object.metadata.name.clone()?, Seen { version, resource, value })
            }
        }
    }

    /// Takes in that an object is gone; returns the resource whose view has changed.
    pub(crate) fn delete(&mut self, kind: Kind, object: &DynamicObject) -> Option<Uuid> {
        let (name, version) = (place(kind, object)?, version(object));
        match kind {
            Kind::Namespace => self.forget_namespace(&name, version),
            Kind::Quota => take(&mut self.quotas, &name, version),
            Kind::LimitRange => take(&mut self.limit_ranges, &name, version),
            Kind::RoleBinding => {
                let bindings = self.bindings.get_mut(&name)?;
                let known = bindings.get(object.metadata.name.as_deref()?)?;
                if known.version > version {
                    return None;
                }
                let resource = bindings.remove(object.metadata.name.as_deref()?).map(|seen| seen.resource);
                if bindings.is_empty() {
                    self.bindings.remove(&name);
                }
                resource
            }
        }
    }

    /// Takes in that there is no namespace of this name.
    pub(crate) fn namespace_gone(&mut self, name: &str) {
        self.forget_namespace(name, u64::MAX);
        self.quotas.remove(name);
        self.limit_ranges.remove(name);
        self.bindings.remove(name);
    }

    /// Takes in that a role binding is gone.
    pub(crate) fn binding_gone(&mut self, namespace: &str, name: &str) {
        if let Some(bindings) = self.bindings.get_mut(namespace) {
            bindings.remove(name);
        }
    }

    fn forget_namespace(&mut self, name: &str, version: u64) -> Option<Uuid> {
        let resource = take(&mut self.namespaces, name, version)?;
        if let Some(names) = self.by_resource.get_mut(&resource) {
            names.remove(name);
            if names.is_empty() {
                self.by_resource.remove(&resource);
            }
        }
        Some(resource)
    }

    /// Takes in a complete list of a kind; returns the resources whose view has changed.
    pub(crate) fn replace(&mut self, kind: Kind, objects: &[DynamicObject]) -> BTreeSet<Uuid> {
        let known: Vec<String> = match kind {
            Kind::Namespace => self.namespaces.keys().cloned().collect(),
            Kind::Quota => self.quotas.keys().cloned().collect(),
            Kind::LimitRange => self.limit_ranges.keys().cloned().collect(),
            Kind::RoleBinding => self.bindings.keys().cloned().collect(),
        };
        self.replace_in(kind, &known, objects)
    }

    /// Takes in a complete list of a kind for one resource.
    pub(crate) fn replace_of(&mut self, kind: Kind, resource: Uuid, objects: &[DynamicObject]) {
        let known: Vec<String> = self.by_resource.get(&resource).into_iter().flatten().cloned().collect();
        self.replace_in(kind, &known, objects);
    }

    /// Forgets what is kept under these namespaces and not listed, and takes in what is listed.
    fn replace_in(&mut self, kind: Kind, known: &[String], objects: &[DynamicObject]) -> BTreeSet<Uuid> {
        let listed: BTreeSet<(String, String)> = objects
            .iter()
            .filter_map(|object| Some((place(kind, object)?, object.metadata.name.clone()?)))
            .collect();
        let places: BTreeSet<&String> = listed.iter().map(|(place, _)| place).collect();
        let mut changed = BTreeSet::new();
        for name in known {
            let gone = !places.contains(name);
            match kind {
                Kind::Namespace if gone => changed.extend(self.forget_namespace(name, u64::MAX)),
                Kind::Quota if gone => changed.extend(take(&mut self.quotas, name, u64::MAX)),
                Kind::LimitRange if gone => changed.extend(take(&mut self.limit_ranges, name, u64::MAX)),
                Kind::RoleBinding => {
                    let bindings = self.bindings.entry(name.clone()).or_default();
                    bindings.retain(|binding, seen| {
                        let keep = listed.contains(&(name.clone(), binding.clone()));
                        if !keep {
                            changed.insert(seen.resource);
                        }
                        keep
                    });
                    if bindings.is_empty() {
                        self.bindings.remove(name);
                    }
                }
                Kind::Namespace | Kind::Quota | Kind::LimitRange => {}
            }
        }
        changed.extend(objects.iter().filter_map(|object| self.apply(kind, object)));
        changed
    }

    /// What is known about a resource. `backend_id` decides between several namespaces.
    pub(crate) fn observed(&self, resource: Uuid, backend_id: &str) -> Observed {
        let names = self.by_resource.get(&resource).into_iter().flatten();
        let owned =
            names.filter_map(|name| self.namespaces.get(name)).map(|seen| seen.value.clone()).collect();
        let mut observed = Observed { owned, ..Observed::default() };
        let Some(name) = observed.primary(backend_id).map(|namespace| namespace.name.clone()) else {
            return observed;
        };
        observed.quota = ours(&self.quotas, &name, resource);
        observed.limit_range = ours(&self.limit_ranges, &name, resource);
        let bindings =
            self.bindings.get(&name).into_iter().flatten().filter(|(_, seen)| seen.resource == resource);
        observed.bindings = bindings.map(|(name, seen)| (name.clone(), seen.value.clone())).collect();
        observed
    }
}

fn ours<T: Clone>(map: &HashMap<String, Seen<T>>, name: &str, resource: Uuid) -> Option<T> {
    map.get(name).filter(|seen| seen.resource == resource).map(|seen| seen.value.clone())
}

fn put<T: PartialEq>(map: &mut HashMap<String, Seen<T>>, name: &str, seen: Seen<T>) -> Option<Uuid> {
    let resource = seen.resource;
    match map.get_mut(name) {
        Some(known) if known.version > seen.version => None,
        Some(known) => {
            let changed = known.value != seen.value || known.resource != resource;
            *known = seen;
            changed.then_some(resource)
        }
        None => {
            map.insert(name.to_owned(), seen);
            Some(resource)
        }
    }
}

fn put_in<T: PartialEq>(map: &mut BTreeMap<String, Seen<T>>, name: String, seen: Seen<T>) -> Option<Uuid> {
    let resource = seen.resource;
    match map.get_mut(&name) {
        Some(known) if known.version > seen.version => None,
        Some(known) => {
            let changed = known.value != seen.value || known.resource != resource;
            *known = seen;
            changed.then_some(resource)
        }
        None => {
            map.insert(name, seen);
            Some(resource)
        }
    }
}

fn take<T>(map: &mut HashMap<String, Seen<T>>, name: &str, version: u64) -> Option<Uuid> {
    if map.get(name)?.version > version {
        return None;
    }
    map.remove(name).map(|seen| seen.resource)
}

/// Under which namespace an object is kept; `None` for objects that do not matter, such as other quotas.
fn place(kind: Kind, object: &DynamicObject) -> Option<String> {
    let name = object.metadata.name.as_deref()?;
    match kind {
        Kind::Namespace => Some(name.to_owned()),
        Kind::Quota if name == names::QUOTA => object.metadata.namespace.clone(),
        Kind::LimitRange if name == names::LIMIT_RANGE => object.metadata.namespace.clone(),
        Kind::RoleBinding => object.metadata.namespace.clone(),
        Kind::Quota | Kind::LimitRange => None,
    }
}

fn version(object: &DynamicObject) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}
