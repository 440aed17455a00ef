//! What resources have of the cluster, for reports of usage. No I/O.

use jiff::Timestamp;
use planner::quota::Hards;
use uuid::Uuid;

use super::Store;

/// What a resource has of the cluster at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QuotaUse {
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) created: Option<Timestamp>,
    /// By quota.
    pub(crate) hard: Hards,
    /// By quota; one without a status is not among them.
    pub(crate) used: Hards,
}

impl Store {
    /// From now on, what quotas show as used is kept as well.
    pub(crate) fn keep_used(&mut self) {
        self.used.get_or_insert_default();
    }

    /// Where a resource is, and what its quota allows and shows as used; `None` for what is not known.
    pub(crate) fn use_of(&self, resource: Uuid, backend_id: &str) -> Option<QuotaUse> {
        let names = self.by_resource.get(&resource).into_iter().flatten();
        let namespaces = names.filter_map(|name| self.namespaces.get(name, name));
        let mut namespaces = namespaces.filter(|seen| seen.resource == resource).map(|seen| &seen.value.bare);
        let namespace =
            namespaces.clone().find(|namespace| namespace.name == backend_id).or(namespaces.next())?;
        let name = namespace.name.as_str();
        let used = self.used.iter().flat_map(|used| used.of(name, resource));
        let used = used.filter_map(|(quota, used)| Some((quota.clone(), used.clone()?))).collect();
        let quotas = self.quotas.of(name, resource);
        Some(QuotaUse {
            namespace: namespace.name.clone(),
            uid: namespace.uid.clone(),
            created: namespace.created,
            hard: quotas.map(|(name, quota)| (name.clone(), quota.value.hard.clone())).collect(),
            used,
        })
    }
}
