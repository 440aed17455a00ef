//! What a resource's quotas allow and show as used: in its namespace, or in several under quotas over all of them.

use jiff::Timestamp;
use planner::amount::Amount;
use planner::names;
use planner::observed::{Namespace, Owned};
use planner::quota::{Hard, Hards};
use uuid::Uuid;

use super::super::quotas::ClusterUse;
use super::{KeptQuota, Store};

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
        self.cluster_used.get_or_insert_default();
    }

    /// Where a resource is, and what its quotas allow and show as used in all its namespaces together; `None` for what is
    /// not known.
    pub(crate) fn use_of(&self, resource: Uuid, backend_id: &str) -> Option<QuotaUse> {
        let namespace = self.primary(resource, backend_id)?;
        if !self.has_several(resource) {
            return Some(self.use_in(namespace, resource));
        }
        let used = self.used_together(resource).map(|(quota, used)| (quota, used.total.clone()));
        Some(QuotaUse {
            hard: self.hard_together(resource),
            used: used.collect(),
            ..self.use_in(namespace, resource)
        })
    }

    /// The same for each namespace of a resource. What quotas over several allow counts once, in the one that Waldur names.
    pub(crate) fn uses_of(&self, resource: Uuid, backend_id: &str) -> Vec<QuotaUse> {
        let Some(primary) = self.primary(resource, backend_id) else { return Vec::new() };
        if !self.has_several(resource) {
            return vec![self.use_in(primary, resource)];
        }
        let nothing = |hards: Hards| -> Hards {
            let zero = |hard: Hard| hard.into_keys().map(|key| (key, Amount::ZERO)).collect();
            hards.into_iter().map(|(quota, hard)| (quota, zero(hard))).collect()
        };
        let each = self.namespaces_of(resource).map(|seen| {
            let namespace = &seen.value.bare;
            let used = self
                .used_together(resource)
                .filter_map(|(quota, used)| Some((quota, used.namespaces.get(&namespace.name)?.clone())));
            let hard = self.hard_together(resource);
            let hard = if namespace.name == primary.name { hard } else { nothing(hard) };
            QuotaUse { hard, used: used.collect(), ..self.use_in(namespace, resource) }
        });
        each.collect()
    }

    /// By the quotas in one namespace.
    fn use_in(&self, namespace: &Namespace, resource: Uuid) -> QuotaUse {
        let name = namespace.name.as_str();
        let used = self.used.iter().flat_map(|used| used.of(name, resource));
        let used = used.filter_map(|(quota, used)| Some((quota.clone(), used.clone()?))).collect();
        let quotas = self.quotas.of(name, resource);
        QuotaUse {
            namespace: namespace.name.clone(),
            uid: namespace.uid.clone(),
            created: namespace.created,
            hard: quotas.map(|(name, quota)| (name.clone(), quota.value.quota().hard)).collect(),
            used,
        }
    }

    fn primary(&self, resource: Uuid, backend_id: &str) -> Option<&Namespace> {
        let mut namespaces = self.namespaces_of(resource).map(|seen| &seen.value.bare);
        namespaces.clone().find(|namespace| namespace.name == backend_id).or(namespaces.next())
    }

    fn has_several(&self, resource: Uuid) -> bool {
        self.namespaces_of(resource).any(|seen| seen.value.has_label(names::ENVIRONMENT))
    }

    /// Quotas over several namespaces, by the name that they would have in one.
    fn hard_together(&self, resource: Uuid) -> Hards {
        let place = resource.simple().to_string();
        let quotas = self.cluster_quotas.of(&place, resource);
        let hard = |(name, quota): (&String, &Owned<KeptQuota>)| {
            Some((names::of_cluster_quota(name)?.0.to_owned(), quota.value.quota().hard))
        };
        quotas.filter_map(hard).collect()
    }

    fn used_together(&self, resource: Uuid) -> impl Iterator<Item = (String, &ClusterUse)> {
        let place = resource.simple().to_string();
        let used = self.cluster_used.as_ref().map(|used| used.at(&place)).into_iter().flatten();
        used.filter(move |(_, seen)| seen.resource == resource).filter_map(|(name, seen)| {
            Some((names::of_cluster_quota(name)?.0.to_owned(), seen.value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use kube::api::DynamicObject;
    use serde_json::{Value, json};

    use super::super::super::kinds::{self, Kind};
    use super::*;

    #[test]
    fn under_one_quota_each_namespace_has_its_own_use_and_what_is_allowed_counts_once() {
        let one = Uuid::from_u128(1);
        let object = |name: &str, more: Value| -> DynamicObject {
            let mut labels = kinds::labels(one);
            labels[names::ENVIRONMENT] = json!(name);
            let metadata = json!({"name": name, "uid": name, "resourceVersion": "1", "labels": labels});
            let mut object = json!({"metadata": metadata});
            object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(object).unwrap()
        };
        let mut store = Store::default();
        store.keep_used();
        for name in ["dev", "prod"] {
            store.apply(Kind::Namespace, &object(name, json!({})));
        }
        let selector = json!({"labels": {"matchLabels": {names::RESOURCE_UUID: one.simple().to_string()}}});
        let part = |name: &str, pods: &str| json!({"namespace": name, "status": {"used": {"pods": pods}}});
        let status =
            json!({"total": {"used": {"pods": "5"}}, "namespaces": [part("dev", "2"), part("prod", "3")]});
        let spec = json!({"selector": selector, "quota": {"hard": {"pods": "9"}}});
        let name = names::cluster_quota(names::QUOTA, one);
        store.apply(Kind::ClusterQuota, &object(&name, json!({"spec": spec, "status": status})));
        let amounts = |seen: &QuotaUse| {
            let of = |hards: &Hards| hards[names::QUOTA]["pods"].to_string();
            (seen.namespace.clone(), of(&seen.hard), of(&seen.used))
        };
        let text = |name: &str, hard: &str, used: &str| (name.to_owned(), hard.to_owned(), used.to_owned());
        assert_eq!(amounts(&store.use_of(one, "prod").unwrap()), text("prod", "9", "5"));
        let each: Vec<_> = store.uses_of(one, "prod").iter().map(amounts).collect();
        assert_eq!(each, [text("dev", "0", "2"), text("prod", "9", "3")]);
        // A quota that the last namespace left behind is looked at again.
        assert!(store.due(Timestamp::UNIX_EPOCH).is_empty());
        store.namespace_gone("dev");
        store.namespace_gone("prod");
        assert_eq!(store.due(Timestamp::UNIX_EPOCH), [one]);
    }
}
