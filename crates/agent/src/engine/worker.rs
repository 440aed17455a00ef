//! The work on one key: observe → plan → apply → outcome.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use planner::desired::{self, Command, Desired, Facts, Goal};
use planner::model::OrderState;
use planner::observed::{Lookup, Observed};
use planner::plan::{self, LookInto, Plan};
use planner::policy::Policy;
use planner::queue::Ended;
use tracing::Instrument as _;

use super::audit::Audit;
use super::execution::{Execution, Round};
use super::look::Seen;
use super::{Engine, Key, Offering};
use crate::cluster::connect::Surroundings;
use crate::error::ApiError;

/// How often a key is planned anew at once, because the world turned out to be another, before it has to wait
/// like any other failure.
const ROUNDS: usize = 8;

impl Engine {
    pub(super) async fn work_on(&self, key: Key) -> Ended {
        let begun = Instant::now();
        let ended = self.work_to_the_end(key).await;
        self.offerings[key.offering].options.metrics.looked(&ended, begun.elapsed());
        ended
    }

    async fn work_to_the_end(&self, key: Key) -> Ended {
        let offering = &self.offerings[key.offering];
        let span = resource_span(key, offering);
        async {
            let mut names: Vec<String> = Vec::new();
            for round in 0..ROUNDS {
                match self.round(key, offering, round, &names).await {
                    Ok(Round::Done { more_orders: true, .. }) => names.clear(),
                    Ok(Round::Done { look_again_at, .. }) => return ended(look_again_at),
                    Ok(Round::Again(name)) => names.extend(name),
                    Ok(Round::Failed(pause)) => return Ended::Failed(pause),
                    Err(error) => {
                        tracing::error!(error = %error, "cannot see what is the case; will look again");
                        return Ended::Failed(error.retry_after());
                    }
                }
            }
            tracing::warn!("what is seen keeps changing; will look again later");
            Ended::Failed(None)
        }
        .instrument(span)
        .await
    }

    async fn round(
        &self,
        key: Key,
        offering: &Offering,
        round: usize,
        names: &[String],
    ) -> Result<Round, ApiError> {
        let prepared = self.prepare(key, offering, round == 0, names).await?;
        let Prepared { team_unknown, more_orders, surroundings, policy, desired, observed, plan, .. } =
            prepared;
        self.say(key, &plan.findings);
        if self.dry_run {
            return Ok(printed(&plan));
        }
        if !self.is_as_expected(key, &plan) {
            return Ok(Round::Failed(None));
        }
        let surroundings = &surroundings;
        let roles = &policy.access.roles;
        let audit = Audit::new(self.asked_by, offering.options.scope, &desired, &observed);
        let mut execution = Execution::new(offering, &desired, surroundings, roles, audit);
        execution.left_out = team_unknown.is_some();
        execution.reports = self.reports();
        let round = execution.run(&plan, more_orders).await;
        if let Some(told) = execution.told {
            self.note_told(key, told);
        }
        self.note_held(key, plan.removal_held, matches!(round, Round::Done { .. }));
        Ok(match (round, team_unknown) {
            (Round::Done { .. }, Some(error)) => {
                tracing::error!(error = %error, "the team cannot be read, nobody's access is changed; will try again");
                Round::Failed(error.retry_after())
            }
            (round, _) => round,
        })
    }

    /// What is the case with a key, and what is to be done about it.
    pub(super) async fn prepare(
        &self,
        key: Key,
        offering: &Offering,
        first: bool,
        names: &[String],
    ) -> Result<Prepared, ApiError> {
        let seen = self.look(key, offering, first).await?;
        let facts = &seen.facts;
        let more_orders = facts.orders.iter().filter(|order| order.state != OrderState::Settled).count() > 1;
        let surroundings = offering.cluster.surroundings().await?;
        let offering_model = offering.model().await?;
        let policy = offering.policy(&surroundings);
        let desired = desired::desired(&policy, &offering_model, facts, Timestamp::now());
        let backend_id = facts.resource.as_ref().map_or("", |resource| resource.backend_id.as_str());
        let mut observed = match &desired.goal {
            Goal::Removed(_) | Goal::Left(_) => {
                offering.cluster.observe_leaving(key.resource, backend_id, !seen.by_pass).await?
            }
            _ => offering.cluster.observe(key.resource, backend_id, !seen.by_pass).await?,
        };
        for name in names {
            observed.by_name.insert(name.clone(), offering.cluster.look_up(name).await?);
        }
        if facts.command == Some(Command::Adopt) && planner::names::check_namespace(backend_id).is_ok() {
            let survey = offering.cluster.survey(backend_id).await?;
            observed.surveys.extend(survey.map(|survey| (backend_id.to_owned(), survey)));
            if let Goal::Project(project) = &desired.goal {
                let found = offering.cluster.unlabelled_cluster_quotas(key.resource, project.quotas.keys());
                observed.unlabelled_cluster_quotas = found.await?;
            }
        }
        let plan = plan_with_lookups(offering, &desired, &mut observed).await?;
        let Seen { facts, by_pass: _, team_unknown } = seen;
        Ok(Prepared { facts, team_unknown, more_orders, surroundings, policy, desired, observed, plan })
    }
}

/// A key at one moment.
pub(super) struct Prepared {
    pub(super) facts: Facts,
    /// Why it is not known who is to have access.
    pub(super) team_unknown: Option<ApiError>,
    more_orders: bool,
    surroundings: Surroundings,
    policy: Policy,
    pub(super) desired: Desired,
    pub(super) observed: Observed,
    pub(super) plan: Plan,
}

/// What is said about a key names its resource.
pub(super) fn resource_span(key: Key, offering: &Offering) -> tracing::Span {
    tracing::info_span!("resource", offering = %offering.options.name, resource = %key.resource.simple())
}

fn ended(look_again_at: Option<Timestamp>) -> Ended {
    let Some(at) = look_again_at else {
        return Ended::Settled;
    };
    let pause = Timestamp::now().duration_until(at);
    Ended::LookAgain(Duration::try_from(pause).unwrap_or_default())
}

/// Plans, and looks up the namespaces that the plan asks about.
pub(crate) async fn plan_with_lookups(
    offering: &Offering,
    desired: &Desired,
    observed: &mut Observed,
) -> Result<Plan, ApiError> {
    loop {
        let plan = plan::plan(desired, observed, Timestamp::now());
        match &plan.look_up {
            Some(name) => {
                let found = offering.cluster.look_up(name).await?;
                // A namespace with this resource's labels belongs among the owned ones: its quota is known there.
                if let Lookup::Present(namespace) = &found
                    && let Some(resource) = desired.standing.as_ref().map(|standing| standing.resource)
                    && namespace.ownership(resource, "") == planner::observed::Ownership::Ours
                {
                    let known = desired.backend_id();
                    let known = if known.is_empty() { name } else { known };
                    let now = offering.cluster.observe(resource, known, true).await?;
                    *observed = now.with_lookups_of(std::mem::take(observed));
                }
                observed.by_name.insert(name.clone(), found);
            }
            None => match &plan.look_into {
                Some(LookInto::Used(name)) => observed.used = Some(offering.cluster.used(name).await?),
                Some(LookInto::UsedTogether) => {
                    let resource = desired.standing.as_ref().map(|standing| standing.resource);
                    let used = offering.cluster.used_together(resource.unwrap_or_default()).await?;
                    observed.used = Some(used);
                }
                Some(LookInto::Workloads(name)) => {
                    let workloads = offering.cluster.workloads(name).await;
                    observed.within_mut(name).workloads = Some(workloads);
                }
                Some(LookInto::Survey(name)) => {
                    let Some(mut survey) = offering.cluster.survey(name).await? else {
                        observed.by_name.insert(name.clone(), Lookup::Absent);
                        continue;
                    };
                    let named = offering.waldur.resources_named(name).await?;
                    let resource = desired.standing.as_ref().map(|standing| standing.resource);
                    survey.rival = named.into_iter().find(|named| Some(*named) != resource);
                    observed.surveys.insert(name.clone(), survey);
                }
                None => return Ok(plan),
            },
        }
    }
}

fn printed(plan: &Plan) -> Round {
    for action in &plan.actions {
        tracing::info!(target: "plan", "would {action}");
    }
    Round::Done { look_again_at: None, more_orders: false }
}
