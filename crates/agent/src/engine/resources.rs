//! Passes over all resources in use: membership, quota and flags as Waldur has them.
//!
//! A pass reads lists only. Keys at which nothing has changed are settled from what it has read; nobody's access is
//! removed on an answer that is not complete.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use planner::desired::{self, Facts, Goal};
use planner::plan;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::offering::PassRead;
use super::people::{People, Reading};
use super::{Engine, Key, Offering, Rhythm};
use crate::error::ApiError;
use crate::waldur::dto;

/// How many bindings of the Python agent are named.
const SHOWN: usize = 20;
/// Teams that are read at the same time.
const TEAMS_AT_ONCE: usize = 16;

impl Engine {
    /// Keeps resources as Waldur has them, period after period, until `stop`.
    pub async fn keep_resources(self: &Arc<Self>, period: Duration, stop: &CancellationToken) {
        self.run_with(|_| Rhythm::resources(period), stop).await;
    }

    /// Looks at all resources now and returns whether all of them could be worked.
    pub async fn keep_resources_once(self: &Arc<Self>) -> bool {
        self.once(|_| Rhythm::resources(Duration::ZERO), &CancellationToken::new()).await
    }

    pub(super) async fn resource_pass(self: Arc<Self>, index: usize) -> Result<(), ApiError> {
        let offering = Arc::clone(&self.offerings[index]);
        let span = tracing::info_span!("pass", offering = %offering.options.name);
        async {
            let begun = Instant::now();
            let result = self.wake_resources(index, &offering).await;
            match &result {
                Ok(count) => {
                    tracing::info!(resources = count, read_ms = begun.elapsed().as_millis() as u64, "pass")
                }
                Err(error) => tracing::error!(error = %error, "cannot look at the resources; will try again"),
            }
            result.map(drop)
        }
        .instrument(span)
        .await
    }

    async fn wake_resources(&self, index: usize, offering: &Offering) -> Result<usize, ApiError> {
        let begun = Instant::now();
        offering.register("membership_sync", "OfferingMembershipProcessor").await?;
        let surroundings = offering.cluster.surroundings().await?;
        let resources = async {
            let mut resources = offering.waldur.resources_in_use(offering.options.uuid).await?;
            resources.retain(|resource| !resource.backend_id.trim().is_empty());
            Ok::<_, ApiError>(resources)
        };
        let (resources, people, ()) = futures::try_join!(
            resources,
            offering.people(Duration::ZERO, Reading::All),
            offering.cluster.refresh()
        )?;
        let keys: HashSet<Key> =
            resources.iter().map(|resource| Key { offering: index, resource: resource.uuid }).collect();
        self.begin_pass(index, &keys);
        report_leftovers(offering, &resources).await;
        let policy = offering.policy(&surroundings);
        let removal_held = self.too_many_removals(index, offering, &policy, &resources, &people).await?;
        let with_people = |resource: dto::Resource| (resource.uuid, (resource, Arc::clone(&people)));
        // What an event has asked for meanwhile is read anew.
        let woken = offering.woken_since(begun);
        let resources = resources.into_iter().filter(|resource| !woken.contains(&resource.uuid));
        let read = PassRead { resources: resources.map(with_people).collect(), removal_held };
        *offering.pass.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        for key in &keys {
            self.wake(*key);
        }
        Ok(keys.len())
    }

    /// True if the pass as a whole would take access from so many that it looks like an accident. A team that
    /// cannot be read removes nobody, and so does not count.
    async fn too_many_removals(
        &self,
        index: usize,
        offering: &Offering,
        policy: &planner::policy::Policy,
        resources: &[dto::Resource],
        people: &People,
    ) -> Result<bool, ApiError> {
        if self.force_removal || !offering.options.membership {
            return Ok(false);
        }
        let model = offering.model().await?;
        let (mut losing, mut all) = (0, 0);
        let read = async |resource| (resource, people.team(offering, resource).await);
        let mut teams = futures::stream::iter(resources).map(read).buffered(TEAMS_AT_ONCE).boxed();
        while let Some((resource, team)) = teams.next().await {
            let Ok(team) = team else {
                continue;
            };
            let key = Key { offering: index, resource: resource.uuid };
            let facts =
                Facts { resource: Some(resource.to_model(None)), team: Some(team), ..Facts::default() };
            let desired = desired::desired(policy, &model, &facts, Timestamp::now());
            if let Goal::Project(project) = &desired.goal {
                let observed = offering.cluster.observe(resource.uuid, &resource.backend_id, false).await?;
                let (lost, of) = plan::losses(project, &observed);
                losing += if self.was_held_before(key) { 0 } else { lost };
                all += of;
            }
        }
        let held = policy.access.guard.holds(losing, all);
        if held {
            tracing::warn!(losing, of = all, "this pass would take access from too many at once; held back");
        }
        Ok(held)
    }
}

/// Names the bindings that the Python agent has left in projects of these resources, once per start.
async fn report_leftovers(offering: &Offering, resources: &[dto::Resource]) {
    if !offering.options.membership || resources.is_empty() {
        return;
    }
    let look = async || {
        let namespaces = resources.iter().map(|resource| resource.backend_id.trim()).collect();
        match offering.cluster.leftovers(&namespaces).await {
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => tracing::debug!(error = %error, "cannot look for bindings of the Python agent"),
            Ok(found) if found.is_empty() => {}
            Ok(found) => {
                let shown: Vec<String> = found.iter().take(SHOWN).map(ToString::to_string).collect();
                let more = found.len().saturating_sub(SHOWN);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                tracing::warn!(
                    "the Python agent has left {} role bindings, which give access whatever Waldur says; they are not \
                     touched, `waldur_site_agent adopt` replaces them: {}{more}",
                    found.len(),
                    shown.join(", ")
                );
            }
        }
        Ok::<_, ApiError>(())
    };
    if let Err(error) = offering.leftovers.get_or_try_init(look).await {
        tracing::debug!(error = %error, "cannot look for bindings of the Python agent; will try again");
    }
}
