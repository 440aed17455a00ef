//! What is on the cluster for one resource. Reads only.
//!
//! Where watches run, the answer comes from the store and costs no request. Where the role grants no watch, a
//! list per kind and pass takes their place, and a key that is looked at again is read by itself.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::DynamicObject;
use planner::names;
use planner::observed::{Lookup, Namespace, Observed};
use planner::outcome::Failure;
use planner::policy::Flavour;
use serde_json::Value;
use uuid::Uuid;

use super::connect::{Cluster, Surroundings, template_keys};
use super::kinds::{self, Kind};
use super::rights::{self, Feature};
use super::store::{Listing, QuotaUse};
use crate::error::{ApiError, Peer};

/// What the agent knows about its own sight of the cluster.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// `None` before [`Cluster::explore`] has answered.
    pub(crate) surroundings: Option<Surroundings>,
}

impl Cluster {
    /// What [`Cluster::explore`] found; asked once. Watches that are wanted are running from here on.
    pub(crate) async fn surroundings(self: &Arc<Self>) -> Result<Surroundings, ApiError> {
        let found = match self.read_state(|state| state.surroundings.clone()) {
            Some(known) => known,
            None => {
                let found = self.explore().await?;
                self.say_what_is_missing(&found);
                self.write_state(|state| state.surroundings = Some(found.clone()));
                found
            }
        };
        self.start_watches(&found);
        Ok(found)
    }

    /// Names what the configuration needs and the cluster does not have, what is done without, and the rules that
    /// would grant it.
    fn say_what_is_missing(&self, found: &Surroundings) {
        if found.flavour == Flavour::Kubernetes && self.needs.groups {
            tracing::warn!(
                "`subjects.kind` is `group`, but this cluster has no OpenShift groups; users are bound themselves"
            );
        }
        if found.flavour == Flavour::Kubernetes && self.needs.identities {
            tracing::warn!(
                "`subjects.identity_provider` is given, but this cluster has no OpenShift identities; none are made"
            );
        }
        if found.flavour == Flavour::Kubernetes && self.template.isolates() {
            tracing::warn!(
                "`enable_network_isolation`: this cluster has none of OpenShift's labels, so that nothing but a project's own \
                 pods comes in; give ingress controllers and monitoring a NetworkPolicy among the `manifests`"
            );
        }
        let mut features: Vec<Feature> = found.missing.iter().map(|missing| missing.feature).collect();
        features.sort_unstable();
        features.dedup();
        for feature in features {
            let rules = found.missing.iter().filter(|missing| missing.feature == feature);
            let message = format!(
                "reduced: {} ({}); rules that would allow it: {}",
                feature.without().unwrap_or_default(),
                feature.purpose(),
                rights::rule_texts(rules.map(|missing| &missing.rule))
            );
            if feature == Feature::Watch {
                tracing::info!("{message}");
            } else {
                tracing::warn!("{message}");
            }
        }
    }

    /// Lists what is not watched; for the start of a pass in which there is work. A watch that lists at this moment is
    /// waited for. What was refused before may be allowed by now.
    pub(crate) async fn refresh(&self) -> Result<(), ApiError> {
        self.write_store(super::store::Store::forget_refusals);
        self.refresh_all(self.not_live()).await?;
        self.refresh_template().await
    }

    /// Lists of these kinds what is not watched.
    pub(crate) async fn refresh_kinds(&self, kinds: &[Kind]) -> Result<(), ApiError> {
        self.refresh_all(self.not_live().into_iter().filter(|kind| kinds.contains(kind))).await
    }

    async fn refresh_all(&self, kinds: impl IntoIterator<Item = Kind>) -> Result<(), ApiError> {
        let query = format!("&labelSelector={}", encoded(&kinds::our_labels()));
        for kind in kinds {
            if self.sights.becomes_live(&kind, self.http.timeout()).await {
                continue;
            }
            let listing = self.read_list(kind, &query).await?;
            self.write_store(|store| store.listed(kind, &listing));
            self.sights.listed(&kind);
        }
        Ok(())
    }

    /// Where a resource is, and what its quota allows and shows as used, as last seen.
    pub(crate) fn use_of(&self, resource: Uuid, backend_id: &str) -> Option<QuotaUse> {
        self.store.read().unwrap_or_else(std::sync::PoisonError::into_inner).use_of(resource, backend_id)
    }

    /// The same for each of its namespaces.
    pub(crate) fn uses_of(&self, resource: Uuid, backend_id: &str) -> Vec<QuotaUse> {
        self.store.read().unwrap_or_else(std::sync::PoisonError::into_inner).uses_of(resource, backend_id)
    }

    /// What is there for a resource. With `fresh`, kinds that are not watched are read now.
    pub(crate) async fn observe(
        &self,
        resource: Uuid,
        backend_id: &str,
        fresh: bool,
    ) -> Result<Observed, ApiError> {
        if fresh {
            self.refresh_one(resource).await?;
        }
        let seen = || {
            let store = self.store.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            store.observed(resource, backend_id)
        };
        let mut observed = seen();
        let has_several = observed.owned.iter().any(|namespace| namespace.environment().is_some());
        if has_several && !self.needs.cluster_quotas {
            // The configuration has had several namespaces before.
            self.list_of(Kind::ClusterQuota, resource).await?;
            observed = seen();
        }
        let mut furnished = Vec::with_capacity(observed.owned.len());
        for namespace in &observed.owned {
            furnished.push((namespace.name.clone(), self.furnished_in(namespace, resource, fresh).await));
        }
        for (name, furnished) in furnished {
            let place = observed.within_mut(&name);
            match furnished {
                Ok(furnished) => place.furnished = furnished,
                // A right that the template lacks holds up neither quota nor access, nor the other resources.
                Err(error) if error.failure == Failure::Forbidden => {
                    place.furnished_unknown = Some(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        observed.server_time = self.http.server_time();
        observed.limit_range_refused =
            self.read_state(|state| state.surroundings.as_ref().is_some_and(|known| !known.limit_ranges));
        Ok(observed)
    }

    /// What is there of a resource whose project is to go. One that is going away is waited for, which takes one look
    /// at each of its namespaces: what else is of it was listed before.
    pub(crate) async fn observe_leaving(
        &self,
        resource: Uuid,
        backend_id: &str,
        fresh: bool,
    ) -> Result<Observed, ApiError> {
        let known = self.observe(resource, backend_id, false).await?;
        let all_leave = known.owned.iter().all(|namespace| namespace.terminating);
        if known.owned.is_empty() || !all_leave {
            return self.observe(resource, backend_id, fresh).await;
        }
        if self.sights.is_live(&Kind::Namespace) {
            return Ok(known);
        }
        let mut found = Vec::new();
        for namespace in &known.owned {
            found.push((namespace.name.clone(), self.look_up(&namespace.name).await?));
        }
        let mut observed = self.observe(resource, backend_id, false).await?;
        observed.by_name.extend(found);
        Ok(observed)
    }

    /// Resources of which something is to be done though no order may be open: see [`super::store::Store::due`].
    pub(crate) fn due(&self, now: Timestamp) -> Vec<Uuid> {
        // Until namespaces are known, everything seems to have lost its own.
        if !self.sights.is_known(&Kind::Namespace) {
            return Vec::new();
        }
        self.store.read().unwrap_or_else(std::sync::PoisonError::into_inner).due(now)
    }

    async fn refresh_one(&self, resource: Uuid) -> Result<(), ApiError> {
        // Identities belong to no resource.
        for kind in self.not_live().into_iter().filter(|kind| *kind != Kind::Identity) {
            self.list_of(kind, resource).await?;
        }
        Ok(())
    }

    async fn list_of(&self, kind: Kind, resource: Uuid) -> Result<(), ApiError> {
        let selector = format!("{},{}={}", kinds::our_labels(), names::RESOURCE_UUID, resource.simple());
        let query = format!("&labelSelector={}", encoded(&selector));
        let listing = self.read_list(kind, &query).await?;
        self.write_store(|store| store.listed_of(kind, resource, &listing));
        Ok(())
    }

    /// Takes in a list page by page; what it does not name is still in the store afterwards.
    async fn read_list(&self, kind: Kind, query: &str) -> Result<Listing, ApiError> {
        let mut listing = Listing::default();
        let take = |page: Vec<Value>| {
            self.write_store(|store| {
                for object in page.into_iter().filter_map(object) {
                    store.list(kind, &object, &mut listing);
                }
            });
        };
        self.http.list_pages(&kind.list_path(), query, take).await?;
        Ok(listing)
    }

    fn not_live(&self) -> Vec<Kind> {
        self.read_state(|state| {
            let readable =
                |kind: &Kind| state.surroundings.as_ref().is_none_or(|known| known.can_read(*kind));
            let kinds = self.needs.kinds().into_iter();
            kinds.filter(|kind| !self.sights.is_live(kind) && readable(kind)).collect()
        })
    }

    /// Looks up a namespace by name, whoever made it.
    pub(crate) async fn look_up(&self, name: &str) -> Result<Lookup, ApiError> {
        match self.http.get(&kinds::namespace_path(name)).await {
            Ok(value) => {
                let object = object(value).ok_or_else(|| not_an_object(name))?;
                self.write_store(|store| store.apply(Kind::Namespace, &object));
                let keys = template_keys(&self.template);
                Ok(Lookup::Present(kinds::read_namespace(&object, &keys)))
            }
            Err(error) if error.is_not_found() => {
                self.write_store(|store| store.namespace_gone(name));
                Ok(Lookup::Absent)
            }
            Err(error) => Err(error),
        }
    }

    /// Looks up a namespace by name; `None` if there is none.
    pub(crate) async fn namespace(&self, name: &str) -> Result<Option<Namespace>, ApiError> {
        Ok(match self.look_up(name).await? {
            Lookup::Present(namespace) => Some(namespace),
            Lookup::Absent => None,
        })
    }

    pub(crate) fn read_state<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn write_state<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        write(&mut self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn write_store<T>(&self, write: impl FnOnce(&mut super::store::Store) -> T) -> T {
        write(&mut self.store.write().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

fn not_an_object(name: &str) -> ApiError {
    let request = format!("GET {}", kinds::namespace_path(name));
    ApiError::unexpected(Peer::Cluster, &request, "the answer is no Kubernetes object")
}

/// A JSON value as an object; kind and version are not needed.
pub(crate) fn object(value: Value) -> Option<DynamicObject> {
    serde_json::from_value(value).ok()
}

pub(super) fn encoded(selector: &str) -> String {
    url::form_urlencoded::byte_serialize(selector.as_bytes()).collect()
}
