//! Objects of one kind, each in the version in which it was seen last.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

/// An object with the version in which it was seen. Versions of one cluster grow; an older sight never replaces
/// a newer one.
#[derive(Debug)]
pub(super) struct Seen<T> {
    pub(super) version: u64,
    pub(super) resource: Uuid,
    pub(super) value: T,
}

/// Objects of one kind, by the namespace that they are, or are in, and by name. Groups, which are in none, are kept
/// under their resource. Few are in one place, most often one.
#[derive(Debug)]
pub(super) struct Shelf<T>(HashMap<String, Vec<(String, Seen<T>)>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: PartialEq + Clone> Shelf<T> {
    /// Returns the resource if its view has changed.
    pub(super) fn insert(&mut self, place: &str, name: &str, seen: Seen<T>) -> Option<Uuid> {
        let resource = seen.resource;
        // Not more room than for the one that there mostly is: there are as many places as namespaces.
        let objects = self.0.entry(place.to_owned()).or_insert_with(|| Vec::with_capacity(1));
        match objects.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) if known.version > seen.version => None,
            Some((_, known)) => {
                let changed = known.value != seen.value || known.resource != resource;
                *known = seen;
                changed.then_some(resource)
            }
            None => {
                objects.push((name.to_owned(), seen));
                Some(resource)
            }
        }
    }

    pub(super) fn get(&self, place: &str, name: &str) -> Option<&Seen<T>> {
        self.at(place).find(|(known, _)| known == name).map(|(_, seen)| seen)
    }

    pub(super) fn take(&mut self, place: &str, name: &str, version: u64) -> Option<Uuid> {
        let objects = self.0.get_mut(place)?;
        let at = objects.iter().position(|(known, _)| known == name)?;
        if objects[at].1.version > version {
            return None;
        }
        let (_, taken) = objects.swap_remove(at);
        if objects.is_empty() {
            self.0.remove(place);
        }
        Some(taken.resource)
    }

    /// Forgets what is kept here and was not named by a list; returns the resources that lost something.
    pub(super) fn keep_named(&mut self, place: &str, named: &BTreeSet<(String, String)>) -> BTreeSet<Uuid> {
        let known = self.at(place).map(|(name, _)| name.clone());
        let gone: Vec<String> =
            known.filter(|name| !named.contains(&(place.to_owned(), name.clone()))).collect();
        gone.iter().filter_map(|name| self.take(place, name, u64::MAX)).collect()
    }

    pub(super) fn places(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Forgets what is kept here, whatever its version.
    pub(super) fn empty(&mut self, place: &str) {
        self.0.remove(place);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Seen<T>> {
        self.0.values().flatten().map(|(_, seen)| seen)
    }

    /// What is here, by name.
    pub(super) fn at(&self, place: &str) -> std::slice::Iter<'_, (String, Seen<T>)> {
        self.0.get(place).map(Vec::as_slice).unwrap_or_default().iter()
    }

    pub(super) fn at_mut(&mut self, place: &str) -> impl Iterator<Item = &mut Seen<T>> {
        self.0.get_mut(place).into_iter().flatten().map(|(_, seen)| seen)
    }

    /// What is here of a resource.
    pub(super) fn of(&self, place: &str, resource: Uuid) -> impl Iterator<Item = (&String, &T)> {
        self.at(place)
            .filter(move |(_, seen)| seen.resource == resource)
            .map(|(name, seen)| (name, &seen.value))
    }
}
