//! Passes over all resources in use: membership, quota and flags as Waldur has them.
//!
//! A pass reads lists only, and plans for each key from what it has read. Where nothing is to be done the key is left
//! asleep; all others are woken and read anew, since what a pass has read at its start is good enough to see that nothing
//! changed, not to act on: an order may have been done since. Nobody's access is removed on an answer that is not complete.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use planner::desired::{self, Facts, Goal};
use planner::plan::{self, Plan};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::people::{People, Reading};
use super::worker::resource_span;
use super::{Engine, Key, Offering, Rhythm};
use crate::cluster::connect::Surroundings;
use crate::error::ApiError;
use crate::waldur::dto;

/// How many bindings of the Python agent are named.
const SHOWN: usize = 20;
/// Teams that are read at the same time.
const TEAMS_AT_ONCE: usize = 16;
/// After how many resources others have their turn: planning for a large offering takes a while.
const BREATH: usize = 64;

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
        let survey = self.survey(index, offering, &surroundings, &resources, &people).await?;
        offering.forget_old_news();
        offering.removal_held.store(survey.removal_held, Ordering::Relaxed);
        for resource in survey.unsettled {
            self.wake(Key { offering: index, resource });
        }
        // The lists have told of projects of terminated resources, too.
        self.wake_seen_due(index, offering);
        Ok(keys.len())
    }

    /// Plans for each resource from what the pass has read. The pass as a whole may take access from so many that it
    /// looks like an accident; a team that cannot be read removes nobody, and so does not count.
    async fn survey(
        &self,
        index: usize,
        offering: &Offering,
        surroundings: &Surroundings,
        resources: &[dto::Resource],
        people: &People,
    ) -> Result<Survey, ApiError> {
        let policy = offering.policy(surroundings);
        let model = offering.model().await?;
        let membership = offering.options.membership;
        let is_guarded = membership && !self.force_removal;
        let (mut losing, mut all) = (0, 0);
        let mut unsettled = HashSet::new();
        let read = async |resource| {
            let team = if membership { people.team(offering, resource).await.map(Some) } else { Ok(None) };
            (resource, team)
        };
        let mut teams =
            futures::stream::iter(resources).map(read).buffered(TEAMS_AT_ONCE).enumerate().boxed();
        while let Some((number, (resource, team))) = teams.next().await {
            if number % BREATH == 0 {
                tokio::task::yield_now().await;
            }
            let key = Key { offering: index, resource: resource.uuid };
            let Ok(team) = team else {
                unsettled.insert(resource.uuid);
                continue;
            };
            let mut facts = Facts { resource: Some(resource.to_model(None)), team, ..Facts::default() };
            self.recall(key, &mut facts);
            let desired = desired::desired(&policy, &model, &facts, Timestamp::now());
            let Goal::Project(project) = &desired.goal else {
                unsettled.insert(resource.uuid);
                continue;
            };
            let observed = offering.cluster.observe(resource.uuid, &project.backend_id, false).await?;
            if is_guarded {
                let (lost, of) = plan::losses(project, &observed);
                losing += if self.was_held_before(key) { 0 } else { lost };
                all += of;
            }
            let plan = plan::plan(&desired, &observed, Timestamp::now());
            if plan.is_settled() {
                self.settle(key, offering, &plan);
            } else {
                unsettled.insert(resource.uuid);
            }
        }
        let removal_held = is_guarded && policy.access.guard.holds(losing, all);
        if removal_held {
            tracing::warn!(losing, of = all, "this pass would take access from too many at once; held back");
        }
        Ok(Survey { unsettled, removal_held })
    }

    /// Notes of a key that nothing is to be done, as the work on it would.
    fn settle(&self, key: Key, offering: &Offering, plan: &Plan) {
        if plan.findings.is_empty() {
            self.say(key, &[]);
        } else {
            resource_span(key, offering).in_scope(|| self.say(key, &plan.findings));
        }
        self.note_held(key, false, true);
    }
}

/// What a pass has found out about all resources.
struct Survey {
    /// Resources at which something is to be done, or to be found out.
    unsettled: HashSet<Uuid>,
    /// So much access would be removed at once that nobody's is.
    removal_held: bool,
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
