//! Plans for the operator: what would be done for which resource, and doing just that. The same look and the same plan
//! as in every mode; decides nothing and writes nothing by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use futures::StreamExt as _;
use planner::action::Action;
use planner::desired::Command;
use planner::finding::Finding;
use planner::model::Limits;
use planner::plan::Plan;
use planner::render::{self, Planned, Title};
use planner::{names, repair};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Engine, Key, Offering, Scope};
use crate::error::ApiError;
use crate::waldur::dto;

/// Resources that are planned at the same time.
const AT_ONCE: usize = 16;

/// What the operator wants of a key.
#[derive(Clone, Debug, Default)]
pub(super) struct Commanded {
    command: Option<Command>,
    /// Nothing is done unless the plan is still this one (see [`render::fingerprint`]).
    expected: Option<String>,
}

/// A resource as an operator may name it.
#[derive(Clone, Debug)]
struct Listed {
    key: Key,
    uuid: Uuid,
    name: String,
    slug: String,
    backend_id: String,
    /// Another resource of the offering that has the same namespace.
    rival: Option<Uuid>,
}

impl Listed {
    fn is_named(&self, name: &str) -> bool {
        name == self.backend_id
            || name == self.slug
            || Uuid::try_parse(name).is_ok_and(|uuid| uuid == self.uuid)
    }
}

/// Which resources; without names all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a>(pub &'a [String]);

/// What was found out about the resources.
#[derive(Clone, Debug, Default)]
pub struct Considered {
    /// Plans, by offering and namespace.
    pub plans: Vec<Planned>,
    /// Resources that could not be looked at, with the reason.
    pub failed: Vec<String>,
    /// Names that stand for no resource.
    pub unknown: Vec<String>,
    keys: HashMap<String, Key>,
    /// Resources with something to adopt.
    adoptable: BTreeSet<String>,
}

impl Considered {
    /// Leaves only what there is to adopt.
    pub fn retain_adoptable(&mut self) {
        let adoptable = &self.adoptable;
        self.plans.retain(|planned| adoptable.contains(&planned.resource) || planned.is_refused());
    }

    /// Takes in another engine's; names have to be known to one of them.
    pub fn merge(&mut self, other: Self) {
        let known: BTreeSet<String> = other.unknown.into_iter().collect();
        self.unknown.retain(|name| known.contains(name));
        self.plans.extend(other.plans);
        self.failed.extend(other.failed);
        self.keys.extend(other.keys);
        self.adoptable.extend(other.adoptable);
        self.plans.sort_by(|one, two| (&one.offering, &one.namespace).cmp(&(&two.offering, &two.namespace)));
    }
}

impl Engine {
    /// Looks at resources and plans for them; nothing is changed. With a command, as if it had been given.
    pub async fn consider(self: &Arc<Self>, named: Named<'_>, command: Option<Command>) -> Considered {
        let mut considered = Considered { unknown: named.0.to_vec(), ..Considered::default() };
        for (index, offering) in self.offerings.iter().enumerate() {
            let listed = match self.listed(index, offering).await {
                Ok(listed) => listed,
                Err(error) => {
                    considered.failed.push(format!("offering {}: {error}", offering.options.name));
                    continue;
                }
            };
            considered.unknown.retain(|name| !listed.iter().any(|resource| resource.is_named(name)));
            let chosen = listed
                .into_iter()
                .filter(|resource| named.0.is_empty() || named.0.iter().any(|name| resource.is_named(name)));
            let plan = |resource: Listed| async {
                self.commanded().insert(resource.key, Commanded { command, expected: None });
                let planned = self.planned(offering, &resource, command).await;
                (resource, planned)
            };
            let mut plans = futures::stream::iter(chosen).map(plan).buffered(AT_ONCE).boxed();
            while let Some((resource, planned)) = plans.next().await {
                match planned {
                    Ok((planned, adoptable)) => {
                        if adoptable {
                            considered.adoptable.insert(planned.resource.clone());
                        }
                        considered.keys.insert(planned.resource.clone(), resource.key);
                        considered.plans.push(planned);
                    }
                    Err(error) => {
                        considered.failed.push(format!("resource {}: {error}", resource.uuid.simple()))
                    }
                }
            }
        }
        considered
            .plans
            .sort_by(|one, two| (&one.offering, &one.namespace).cmp(&(&two.offering, &two.namespace)));
        considered
    }

    /// Does what was planned, and nothing else: where the world has moved since, nothing is done for that resource.
    /// Returns whether all of it could be done.
    pub async fn carry_out(self: &Arc<Self>, considered: &Considered) -> bool {
        let mut keys = Vec::new();
        {
            let mut commanded = self.commanded();
            let ours = |key: &Key| self.offerings.len() > key.offering;
            for planned in considered.plans.iter().filter(|planned| !planned.changes.is_empty()) {
                if let Some(key) = considered.keys.get(&planned.resource).filter(|key| ours(key)) {
                    let entry = commanded.entry(*key).or_default();
                    entry.expected = Some(planned.fingerprint.clone());
                    keys.push(*key);
                }
            }
        }
        let wake = async {
            keys.into_iter().for_each(|key| self.wake(key));
            true
        };
        self.to_the_end(wake, &CancellationToken::new()).await
    }

    /// What the operator has ordered for a key.
    pub(super) fn command(&self, key: Key) -> Option<Command> {
        self.commanded().get(&key).and_then(|commanded| commanded.command)
    }

    /// False where the operator has seen another plan than this. What follows from its first steps is not asked about.
    pub(super) fn is_as_expected(&self, key: Key, plan: &Plan) -> bool {
        let mut commanded = self.commanded();
        let Some(entry) = commanded.get_mut(&key) else {
            return true;
        };
        let expected = entry.expected.as_ref();
        if expected.is_some_and(|expected| *expected != render::fingerprint(plan)) {
            tracing::error!("the plan is not the one that was shown any more; nothing was done, plan again");
            return false;
        }
        entry.expected = None;
        true
    }

    fn commanded(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Commanded>> {
        self.commanded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The resources that this engine would look at.
    async fn listed(&self, index: usize, offering: &Offering) -> Result<Vec<Listed>, ApiError> {
        offering.learn_generation().await?;
        offering.read_offering().await?;
        offering.cluster.surroundings().await?;
        let resources = match offering.options.scope {
            Scope::Resources | Scope::Both => {
                let mut resources = offering.waldur.resources_in_use(offering.options.uuid).await?;
                resources.retain(|resource| !resource.backend_id.trim().is_empty());
                resources
            }
            Scope::Orders => {
                let orders = offering.waldur.open_orders(offering.options.uuid).await?;
                let keys: BTreeSet<Uuid> =
                    orders.iter().filter_map(|order| order.marketplace_resource_uuid).collect();
                let mut resources = Vec::new();
                for key in keys {
                    resources.extend(offering.waldur.resource(offering.options.uuid, key).await?);
                }
                resources
            }
        };
        offering.cluster.refresh().await?;
        Ok(listed(index, &resources))
    }

    async fn planned(
        &self,
        offering: &Offering,
        resource: &Listed,
        command: Option<Command>,
    ) -> Result<(Planned, bool), ApiError> {
        let mut prepared = self.prepare(resource.key, offering, true, &[]).await?;
        if let Some(error) = prepared.team_unknown.take() {
            return Err(error);
        }
        let id = resource.uuid.simple().to_string();
        if let (Some(rival), Some(Command::Adopt)) = (resource.rival, command) {
            prepared.plan = Plan::default();
            prepared.plan.findings.push(Finding::error(format!(
                "Waldur names `{}` for resource {} as well; correct the backend id of one of them",
                resource.backend_id,
                rival.simple()
            )));
        }
        let plan = &prepared.plan;
        let title = Title {
            offering: &offering.options.name,
            resource: &id,
            name: &resource.name,
            namespace: &resource.backend_id,
        };
        let mut planned = Planned::new(title, plan, &prepared.desired, &prepared.observed);
        let adopts = |action: &Action| {
            matches!(action, Action::AdoptNamespace { .. } | Action::DeletePythonBinding { .. })
        };
        let adoptable = plan.actions.iter().any(adopts);
        if adoptable {
            let ordered = offering.waldur.ordered_limits(offering.options.uuid, resource.uuid).await;
            let ordered = ordered.unwrap_or_else(|error| {
                tracing::warn!(error = %error, "cannot read the orders of the resource");
                None
            });
            let nothing = Limits::new();
            let limits = prepared.facts.resource.as_ref().map_or(&nothing, |resource| &resource.limits);
            let damage = repair::damage(&prepared.desired, &prepared.observed, limits, ordered.as_ref());
            planned.findings.extend(damage);
        }
        Ok((planned, adoptable))
    }
}

fn listed(index: usize, resources: &[dto::Resource]) -> Vec<Listed> {
    let mut by_name: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    for resource in resources {
        by_name.entry(resource.backend_id.trim()).or_default().push(resource.uuid);
    }
    let listed = |resource: &dto::Resource| {
        let backend_id = resource.backend_id.trim();
        let mut namesakes = by_name[backend_id].iter().filter(|_| !backend_id.is_empty());
        Listed {
            key: Key { offering: index, resource: resource.uuid },
            uuid: resource.uuid,
            name: names::one_line(&resource.name),
            slug: resource.slug.clone(),
            backend_id: backend_id.to_owned(),
            rival: namesakes.find(|uuid| **uuid != resource.uuid).copied(),
        }
    };
    resources.iter().map(listed).collect()
}
