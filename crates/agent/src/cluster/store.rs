//! What was last seen of our objects, as a plain value: watches, lists and our own writes feed it, workers read
//! it. No I/O, no waiting.

mod kept;
mod quota_use;
mod shelf;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::DynamicObject;
use planner::access::Subject;
use planner::lifecycle;
use planner::names;
use planner::observed::{Observed, Owned};
use planner::policy::LimitRangePolicy;
use planner::quota::Hard;
use uuid::Uuid;

use super::kinds::{self, Kind};
use super::quotas::{self, ClusterUse};
use super::subjects;
use kept::{KeptBinding, KeptNamespace, KeptQuota, Keys};
pub(crate) use quota_use::QuotaUse;
use shelf::{Seen, Shelf};

/// A list of one kind that is being read.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Place and name of each object so far.
    named: BTreeSet<(String, String)>,
    /// Identities that are mapped to a user of another name, and to whom.
    elsewhere: BTreeMap<String, String>,
    /// Resources whose view has changed by it.
    changed: BTreeSet<Uuid>,
}

impl Listing {
    /// Objects named so far.
    pub(crate) fn len(&self) -> usize {
        self.named.len()
    }
}

/// Our objects.
#[derive(Debug, Default)]
pub(crate) struct Store {
    namespaces: Shelf<KeptNamespace>,
    quotas: Shelf<Owned<KeptQuota>>,
    /// What those show as used; only where usage is reported. A change of it changes nobody's view.
    used: Option<Shelf<Option<Hard>>>,
    limit_ranges: Shelf<Owned<Arc<LimitRangePolicy>>>,
    /// What those say: nearly all say the same.
    ranges: Vec<Arc<LimitRangePolicy>>,
    bindings: Shelf<Owned<KeptBinding>>,
    groups: Shelf<Owned<BTreeSet<String>>>,
    /// Where each group is kept: one that has lost our labels no longer says so.
    group_places: HashMap<String, String>,
    /// Their uids.
    service_accounts: Shelf<String>,
    /// Quotas over several namespaces; kept, as groups are, under their resource.
    cluster_quotas: Shelf<Owned<KeptQuota>>,
    /// What those show as used; see [`Self::used`].
    cluster_used: Option<Shelf<Option<ClusterUse>>>,
    by_resource: HashMap<Uuid, Vec<String>>,
    keys: Keys,
    /// Labels and annotations of namespaces that the project template sets.
    namespace_keys: BTreeSet<String>,
    /// Names of identities that are mapped to their user, ours and those of [`Self::settled`].
    identities: Arc<BTreeSet<String>>,
    /// Names of identities at which nothing is left to do, whoever made them.
    settled: BTreeSet<String>,
    /// Identities that are mapped to a user of another name, and to whom.
    mapped_elsewhere: Arc<BTreeMap<String, String>>,
    /// Groups and service accounts that cannot be kept, by resource.
    refused: HashMap<Uuid, BTreeMap<Subject, String>>,
}

impl Store {
    /// A store that keeps these labels and annotations of namespaces besides those of the agent.
    pub(crate) fn keeping(namespace_keys: BTreeSet<String>) -> Self {
        Self { namespace_keys, ..Self::default() }
    }

    /// Takes in an object that exists; returns the resource whose view has changed.
    pub(crate) fn apply(&mut self, kind: Kind, object: &DynamicObject) -> Option<Uuid> {
        if kind == Kind::Identity {
            self.see_identity(object);
            return None;
        }
        let resource = kinds::resource_of(object).filter(|_| !kinds::is_furnishing(object));
        let Some(resource) = resource else {
            // An object that lost our labels is gone for us.
            return self.delete(kind, object);
        };
        let version = version(object);
        let (place, name) = (place(kind, object)?, object.metadata.name.clone()?);
        let (place, name) = (place.as_str(), name.as_str());
        match kind {
            Kind::Namespace => {
                let namespace = kinds::read_namespace(object, &self.namespace_keys);
                let value = KeptNamespace::new(namespace, &mut self.keys);
                let changed = self.namespaces.insert(place, name, Seen { version, resource, value });
                let names = self.by_resource.entry(resource).or_insert_with(|| Vec::with_capacity(1));
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
                changed
            }
            Kind::Quota => {
                if let Some(used) = &mut self.used {
                    used.insert(place, name, Seen { version, resource, value: quotas::read_used(object) });
                }
                let value = KeptQuota::new(quotas::read_quota(object), &mut self.keys);
                self.quotas.insert(place, name, Seen { version, resource, value })
            }
            Kind::LimitRange => {
                let value = kept::changed(kinds::read_limit_range(object), |range| self.shared_range(range));
                self.limit_ranges.insert(place, name, Seen { version, resource, value })
            }
            Kind::RoleBinding => {
                let value = KeptBinding::new(kinds::read_role_binding(object));
                self.bindings.insert(place, name, Seen { version, resource, value })
            }
            Kind::Group => {
                let value = subjects::read_group(object);
                let before = self.group_places.insert(name.to_owned(), place.to_owned());
                if let Some(before) = before.filter(|before| before != place) {
                    self.groups.take(&before, name, u64::MAX);
                }
                self.groups.insert(place, name, Seen { version, resource, value })
            }
            Kind::ServiceAccount => {
                let value = object.metadata.uid.clone().unwrap_or_default();
                self.service_accounts.insert(place, name, Seen { version, resource, value })
            }
            Kind::ClusterQuota => {
                if let Some(used) = &mut self.cluster_used {
                    let value = quotas::read_cluster_used(object);
                    used.insert(place, name, Seen { version, resource, value });
                }
                let value = KeptQuota::new(quotas::read_cluster_quota(object), &mut self.keys);
                self.cluster_quotas.insert(place, name, Seen { version, resource, value })
            }
            Kind::Identity => None,
        }
    }

    fn shared_range(&mut self, value: LimitRangePolicy) -> Arc<LimitRangePolicy> {
        if let Some(known) = self.ranges.iter().find(|known| ***known == value) {
            return Arc::clone(known);
        }
        self.ranges.retain(|known| Arc::strong_count(known) > 1);
        let value = Arc::new(value);
        self.ranges.push(Arc::clone(&value));
        value
    }

    /// Takes in that an object is gone; returns the resource whose view has changed.
    pub(crate) fn delete(&mut self, kind: Kind, object: &DynamicObject) -> Option<Uuid> {
        let (name, version) = (object.metadata.name.as_deref()?, version(object));
        if kind == Kind::Identity {
            Arc::make_mut(&mut self.identities).remove(name);
            if self.mapped_elsewhere.contains_key(name) {
                Arc::make_mut(&mut self.mapped_elsewhere).remove(name);
            }
            return None;
        }
        let place =
            if kind == Kind::Group { self.group_places.get(name).cloned() } else { place(kind, object) }?;
        self.take(kind, &place, name, version)
    }

    fn take(&mut self, kind: Kind, place: &str, name: &str, version: u64) -> Option<Uuid> {
        match kind {
            Kind::Namespace => self.forget_namespace(name, version),
            Kind::Quota => {
                if let Some(used) = &mut self.used {
                    used.take(place, name, version);
                }
                self.quotas.take(place, name, version)
            }
            Kind::LimitRange => self.limit_ranges.take(place, name, version),
            Kind::RoleBinding => self.bindings.take(place, name, version),
            Kind::Group => {
                let taken = self.groups.take(place, name, version);
                if taken.is_some() {
                    self.group_places.remove(name);
                }
                taken
            }
            Kind::ServiceAccount => self.service_accounts.take(place, name, version),
            Kind::ClusterQuota => {
                if let Some(used) = &mut self.cluster_used {
                    used.take(place, name, version);
                }
                self.cluster_quotas.take(place, name, version)
            }
            Kind::Identity => None,
        }
    }

    /// Takes in that a namespace has begun to go away, before it is seen.
    pub(crate) fn namespace_leaves(&mut self, name: &str) {
        for seen in self.namespaces.at_mut(name) {
            seen.value.bare.terminating = true;
        }
    }

    /// Takes in that there is no namespace of this name.
    pub(crate) fn namespace_gone(&mut self, name: &str) {
        self.forget_namespace(name, u64::MAX);
        self.quotas.empty(name);
        if let Some(used) = &mut self.used {
            used.empty(name);
        }
        self.limit_ranges.empty(name);
        self.bindings.empty(name);
        self.service_accounts.empty(name);
    }

    /// Takes in that an object is gone, which is in this namespace, or of this resource if it is a group.
    pub(crate) fn object_gone(&mut self, kind: Kind, place: &str, name: &str) {
        self.take(kind, place, name, u64::MAX);
    }

    fn forget_namespace(&mut self, name: &str, version: u64) -> Option<Uuid> {
        let resource = self.namespaces.take(name, name, version)?;
        if let Some(names) = self.by_resource.get_mut(&resource) {
            names.retain(|known| known != name);
            if names.is_empty() {
                self.by_resource.remove(&resource);
            }
        }
        Some(resource)
    }

    fn see_identity(&mut self, object: &DynamicObject) {
        let Some(name) = object.metadata.name.clone() else {
            return;
        };
        match subjects::mapped_elsewhere(object) {
            Some(user) => drop(Arc::make_mut(&mut self.mapped_elsewhere).insert(name.clone(), user)),
            None if self.mapped_elsewhere.contains_key(&name) => {
                Arc::make_mut(&mut self.mapped_elsewhere).remove(&name);
            }
            None => {}
        }
        let identities = Arc::make_mut(&mut self.identities);
        if subjects::is_mapped(object) {
            identities.insert(name);
        } else {
            identities.remove(&name);
        }
    }

    /// Takes in that nothing is left to do about an identity.
    pub(crate) fn identity_settled(&mut self, name: &str) {
        self.settled.insert(name.to_owned());
        Arc::make_mut(&mut self.identities).insert(name.to_owned());
    }

    /// Takes in that a group or service account cannot be kept.
    pub(crate) fn subject_refused(&mut self, resource: Uuid, subject: Subject, reason: String) {
        self.refused.entry(resource).or_default().insert(subject, reason);
    }

    /// What was refused is tried again.
    pub(crate) fn forget_refusals(&mut self) {
        self.refused.clear();
    }

    /// Takes in an object of a list that is being read. The list counts when it is complete.
    pub(crate) fn list(&mut self, kind: Kind, object: &DynamicObject, listing: &mut Listing) {
        let Some(name) = object.metadata.name.clone() else {
            return;
        };
        if kind == Kind::Identity {
            if let Some(user) = subjects::mapped_elsewhere(object) {
                listing.elsewhere.insert(name, user);
            } else if subjects::is_mapped(object) {
                listing.named.insert((String::new(), name));
            }
            return;
        }
        if let Some(place) = place(kind, object) {
            listing.named.insert((place, name));
        }
        listing.changed.extend(self.apply(kind, object));
    }

    /// A list of all objects of a kind is complete: what it does not name is gone. Returns the resources whose view
    /// has changed by the list.
    pub(crate) fn listed(&mut self, kind: Kind, listing: &Listing) -> BTreeSet<Uuid> {
        let known = match kind {
            Kind::Namespace => self.namespaces.places(),
            Kind::Quota => self.quotas.places(),
            Kind::LimitRange => self.limit_ranges.places(),
            Kind::RoleBinding => self.bindings.places(),
            Kind::Group => self.groups.places(),
            Kind::ServiceAccount => self.service_accounts.places(),
            Kind::ClusterQuota => self.cluster_quotas.places(),
            Kind::Identity => {
                let mapped = listing.named.iter().map(|(_, name)| name.clone());
                self.identities = Arc::new(self.settled.iter().cloned().chain(mapped).collect());
                self.mapped_elsewhere = Arc::new(listing.elsewhere.clone());
                Vec::new()
            }
        };
        self.forget_unnamed(kind, &known, listing)
    }

    /// The same of a list of one resource's objects.
    pub(crate) fn listed_of(&mut self, kind: Kind, resource: Uuid, listing: &Listing) {
        let known = match kind {
            Kind::Group | Kind::ClusterQuota => vec![resource.simple().to_string()],
            _ => self.by_resource.get(&resource).into_iter().flatten().cloned().collect(),
        };
        self.forget_unnamed(kind, &known, listing);
    }

    fn forget_unnamed(&mut self, kind: Kind, known: &[String], listing: &Listing) -> BTreeSet<Uuid> {
        let named = &listing.named;
        let mut changed = listing.changed.clone();
        for place in known {
            match kind {
                Kind::Namespace if !named.contains(&(place.clone(), place.clone())) => {
                    changed.extend(self.forget_namespace(place, u64::MAX));
                }
                Kind::Namespace | Kind::Identity => {}
                Kind::Quota => {
                    if let Some(used) = &mut self.used {
                        used.keep_named(place, named);
                    }
                    changed.extend(self.quotas.keep_named(place, named));
                }
                Kind::LimitRange => changed.extend(self.limit_ranges.keep_named(place, named)),
                Kind::RoleBinding => changed.extend(self.bindings.keep_named(place, named)),
                Kind::Group => changed.extend(self.groups.keep_named(place, named)),
                Kind::ServiceAccount => changed.extend(self.service_accounts.keep_named(place, named)),
                Kind::ClusterQuota => {
                    if let Some(used) = &mut self.cluster_used {
                        used.keep_named(place, named);
                    }
                    changed.extend(self.cluster_quotas.keep_named(place, named));
                }
            }
        }
        changed
    }

    /// Resources with a namespace whose deadline has passed, or cannot be read, those with one that hangs or whose lock is
    /// not finished, and those of which nothing is left but groups or a quota over namespaces that are gone.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<Uuid> {
        let is_due = |seen: &&Seen<KeptNamespace>| {
            if self.is_open(seen) || planner::plan::hangs(&seen.value.bare, now) {
                return true;
            }
            let mark = seen.value.annotation(lifecycle::DELETE_AFTER);
            mark.is_some_and(|text| text.parse::<Timestamp>().map_or(true, |deadline| deadline <= now))
        };
        let due = self.namespaces.all().filter(is_due).map(|seen| seen.resource);
        let quotas = self.cluster_quotas.all().map(|seen| seen.resource);
        let left = quotas.chain(self.groups.all().map(|seen| seen.resource));
        let left = left.filter(|resource| !self.by_resource.contains_key(resource));
        // A resource with several namespaces is due once.
        due.chain(left).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether the namespace of a terminated resource is not locked yet.
    fn is_open(&self, namespace: &Seen<KeptNamespace>) -> bool {
        let (value, resource) = (&namespace.value, namespace.resource);
        let bound = || self.bindings.of(&value.bare.name, resource).next().is_some();
        let grouped = || self.groups.of(&resource.simple().to_string(), resource).next().is_some();
        lifecycle::is_open(|key| value.annotation(key).is_some(), || bound() || grouped())
    }

    /// One that was given to another resource since is no longer this one's.
    fn namespaces_of(&self, resource: Uuid) -> impl Iterator<Item = &Seen<KeptNamespace>> + Clone {
        let names = self.by_resource.get(&resource).into_iter().flatten();
        let namespaces = names.filter_map(|name| self.namespaces.get(name, name));
        namespaces.filter(move |seen| seen.resource == resource)
    }

    /// What is known about a resource. `backend_id` decides between several namespaces.
    pub(crate) fn observed(&self, resource: Uuid, backend_id: &str) -> Observed {
        let id = resource.simple().to_string();
        let mut observed = Observed {
            owned: self.namespaces_of(resource).map(|seen| seen.value.namespace()).collect(),
            groups: cloned(self.groups.of(&id, resource), Clone::clone),
            cluster_quotas: self
                .cluster_quotas
                .of(&id, resource)
                .filter_map(|(name, quota)| {
                    Some((names::of_cluster_quota(name)?.0.to_owned(), kept::seen(quota, KeptQuota::quota)))
                })
                .collect(),
            identities: Arc::clone(&self.identities),
            mapped_elsewhere: Arc::clone(&self.mapped_elsewhere),
            refused: self.refused.get(&resource).cloned().unwrap_or_default(),
            ..Observed::default()
        };
        observed.place = observed.primary(backend_id).map(|namespace| namespace.name.clone());
        let namespaces: Vec<String> = observed.owned.iter().map(|namespace| namespace.name.clone()).collect();
        for name in namespaces {
            self.look_into(&name, resource, observed.within_mut(&name));
        }
        observed
    }

    fn look_into(&self, name: &str, resource: Uuid, observed: &mut Observed) {
        observed.quotas = cloned(self.quotas.of(name, resource), |quota| kept::seen(quota, KeptQuota::quota));
        let range = self.limit_ranges.of(name, resource).next();
        observed.limit_range =
            range.map(|(_, range)| kept::seen(range, |range| LimitRangePolicy::clone(range)));
        observed.bindings =
            cloned(self.bindings.of(name, resource), |binding| kept::seen(binding, KeptBinding::binding));
        observed.service_accounts = cloned(self.service_accounts.of(name, resource), Clone::clone);
    }
}

fn cloned<'a, T: 'a, U>(
    objects: impl Iterator<Item = (&'a String, &'a T)>,
    form: impl Fn(&T) -> U,
) -> BTreeMap<String, U> {
    objects.map(|(name, value)| (name.clone(), form(value))).collect()
}

/// Where an object is kept; `None` for objects that do not matter, such as other limit ranges.
fn place(kind: Kind, object: &DynamicObject) -> Option<String> {
    let name = object.metadata.name.as_deref()?;
    match kind {
        Kind::Namespace => Some(name.to_owned()),
        Kind::LimitRange if name == names::LIMIT_RANGE => object.metadata.namespace.clone(),
        Kind::Quota | Kind::RoleBinding | Kind::ServiceAccount => object.metadata.namespace.clone(),
        Kind::Group => kinds::resource_of(object).map(|resource| resource.simple().to_string()),
        // Its name says so even when it has lost our labels.
        Kind::ClusterQuota => {
            names::of_cluster_quota(name).map(|(_, resource)| resource.simple().to_string())
        }
        Kind::LimitRange | Kind::Identity => None,
    }
}

fn version(object: &DynamicObject) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
