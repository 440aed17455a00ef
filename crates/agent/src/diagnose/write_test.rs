//! The write test: makes a project as an order would, sets everything, looks whether it is so, and removes it.
//!
//! It goes the agent's own way, the planner's actions carried out by [`Writes`], with an order and a resource that
//! Waldur knows nothing of. Nothing is written to Waldur. Whatever fails, what was made is removed.

use std::time::Duration;

use jiff::Timestamp;
use planner::access::{Grant, Member, Team};
use planner::action::Action;
use planner::desired::{self, Facts};
use planner::model::{self, Limit, Limits, Order, OrderKind, OrderState, Resource, ResourceState};
use planner::names;
use planner::observed::{Lookup, Observed};
use planner::outcome::{self, Next};
use planner::plan::Plan;
use planner::policy::Policy;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::report::Check;
use crate::cluster::apply::Writes;
use crate::cluster::connect::Surroundings;
use crate::cluster::kinds::Kind;
use crate::engine::Offering;
use crate::engine::plan_with_lookups;
use crate::error::ApiError;

/// How often a plan is made anew because the world was another.
const ROUNDS: usize = 8;
/// Pause between two looks at something that the cluster does by itself.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the cluster may take for that: to delete a project, to take note of a quota.
const LOOKS: usize = 120;
/// Roles of the documentation, each with a user of its own.
const ROLES: [&str; 3] = ["owner", "manager", "member"];

/// One run.
struct WriteTest<'a> {
    offering: &'a Offering,
    surroundings: Surroundings,
    policy: Policy,
    model: model::Offering,
    resource: Resource,
    checks: Vec<Check>,
}

/// Makes a project, sets everything, verifies it and removes it. One check for each thing that was done.
pub(crate) async fn run(offering: &Offering) -> Vec<Check> {
    let surroundings = match offering.cluster.surroundings().await {
        Ok(surroundings) => surroundings,
        Err(error) => return vec![failed("project", &error)],
    };
    let mut test = WriteTest::new(offering, surroundings);
    test.make().await;
    if !test.resource.backend_id.is_empty() {
        test.verify().await;
    }
    test.remove().await;
    test.checks
}

fn failed(name: &str, error: &ApiError) -> Check {
    Check::failed(
        name,
        error.to_string(),
        "the agent's orders would fail with the same error; see the checks above",
    )
}

impl<'a> WriteTest<'a> {
    fn new(offering: &'a Offering, surroundings: Surroundings) -> Self {
        let mut policy = offering.policy(&surroundings);
        // Users and identities that are made for an identity provider stay for ever.
        policy.access.identity_provider = None;
        let components: Vec<String> = policy.components.keys().cloned().collect();
        let one = |component: &String| (component.clone(), Limit::from_json(&Value::from(1)));
        let limits: Limits = components.iter().map(one).collect();
        let uuid = Uuid::new_v4();
        let short = &uuid.simple().to_string()[..8];
        let resource = Resource {
            uuid,
            name: "Write test of the Waldur site agent's diagnostics".to_owned(),
            description: "Made by waldur_site_diagnostics --write-test, which removes it again".to_owned(),
            slug: format!("write-test-{short}"),
            state: ResourceState::Creating,
            limits,
            project_slug: Some("write-test".to_owned()),
            project_name: Some("Write test".to_owned()),
            customer_name: Some("Write test".to_owned()),
            customer_slug: Some("write-test".to_owned()),
            backend_id: String::new(),
            named_by_project: false,
            paused: false,
            downscaled: false,
            restrict_member_access: false,
            error_message: String::new(),
            backend_metadata: Map::new(),
        };
        let model = model::Offering { components, wants_statuses: false };
        Self { offering, surroundings, policy, model, resource, checks: Vec::new() }
    }

    fn order(&self, kind: OrderKind) -> Order {
        Order {
            uuid: Uuid::new_v4(),
            kind,
            state: OrderState::PendingProvider,
            created: Timestamp::now().to_string(),
            modified: None,
            limits: self.resource.limits.clone(),
            plan: None,
            plan_quotas: Limits::new(),
        }
    }

    /// Users that nobody is.
    fn team(&self) -> Team {
        let member = |role: &&str| {
            let username = format!("{}-{role}", self.resource.slug);
            Member {
                user: Uuid::new_v4(),
                username: username.clone(),
                email: format!("{username}@write-test.invalid"),
                offering_username: Some(username),
                offering_user_state: None,
                grants: vec![Grant { role: Some((*role).to_owned()), expires: None }],
            }
        };
        Team { members: ROLES.iter().map(member).collect(), ..Team::default() }
    }

    fn facts(&self, order: Option<OrderKind>) -> Facts {
        let team =
            (self.offering.options.membership && order != Some(OrderKind::Terminate)).then(|| self.team());
        let orders = order.map(|kind| self.order(kind)).into_iter().collect();
        Facts {
            resource: Some(self.resource.clone()),
            orders,
            team,
            removal_confirmed: true,
            ..Facts::default()
        }
    }

    async fn plan(&self, facts: &Facts, names: &[String]) -> Result<Plan, ApiError> {
        let desired = desired::desired(&self.policy, &self.model, facts, Timestamp::now());
        let cluster = &self.offering.cluster;
        let mut observed: Observed =
            cluster.observe(self.resource.uuid, &self.resource.backend_id, true).await?;
        for name in names {
            let found: Lookup = cluster.look_up(name).await?;
            observed.by_name.insert(name.clone(), found);
        }
        plan_with_lookups(self.offering, &desired, &mut observed).await
    }

    /// As a Create order.
    async fn make(&mut self) {
        let facts = self.facts(Some(OrderKind::Create));
        let mut names = Vec::new();
        for _ in 0..ROUNDS {
            let plan = match self.plan(&facts, &names).await {
                Ok(plan) => plan,
                Err(error) => return self.checks.push(failed("project", &error)),
            };
            match self.carry_out(&plan).await {
                Some(Next::LookUp(name)) => names.push(name),
                Some(Next::Observe) => {}
                _ => return,
            }
        }
    }

    /// Carries out what is for the cluster; what follows if something fails.
    async fn carry_out(&mut self, plan: &Plan) -> Option<Next> {
        let cluster = self.offering.cluster.clone();
        let (flavour, user) = (self.surroundings.flavour, self.surroundings.user.clone());
        let mut writes = Writes::new(&cluster, flavour, &user);
        for action in &plan.actions {
            match writes.carry_out(action).await {
                Ok(true) => self.note(action),
                Ok(false) => {
                    if let Action::Reject { comment, .. } = action {
                        let step = "correct the configuration; every order would be refused";
                        self.checks.push(Check::failed("project", comment, step));
                        return Some(Next::GiveUp);
                    }
                }
                Err(error) => match outcome::after(action, &error.failure) {
                    next @ (Next::LookUp(_) | Next::Observe) => return Some(next),
                    next => {
                        self.checks.push(failed(kind_of(action), &error));
                        if !matches!(next, Next::Skip) {
                            return Some(next);
                        }
                    }
                },
            }
        }
        None
    }

    fn note(&mut self, action: &Action) {
        match action {
            Action::RequestProject { name, .. } | Action::CreateNamespace { name, .. } => {
                self.resource.backend_id.clone_from(name);
            }
            _ => {}
        }
        self.checks.push(Check::good(kind_of(action), action.to_string()));
    }

    /// Planning again must find nothing to do, and the cluster must have taken note of the quota.
    async fn verify(&mut self) {
        self.resource.state = ResourceState::Ok;
        match self.plan(&self.facts(None), &[]).await {
            Ok(plan) => {
                let left = plan.actions.iter().filter(|action| action.is_for_cluster());
                let left: Vec<String> = left.map(ToString::to_string).collect();
                self.checks.push(if left.is_empty() {
                    Check::good("verified", "everything is as it was set")
                } else {
                    let step = "something on the cluster undoes or refuses it: an admission policy, or another controller";
                    Check::failed("verified", format!("still to be done: {}", left.join("; ")), step)
                });
            }
            Err(error) => self.checks.push(failed("verified", &error)),
        }
        let noted = self.quota_is_noted().await;
        self.checks.push(noted);
    }

    /// Whether the cluster counts what the quota limits (Kubernetes: `status.hard`).
    async fn quota_is_noted(&self) -> Check {
        let path = Kind::Quota.object_path(&self.resource.backend_id, names::QUOTA);
        for _ in 0..LOOKS {
            match self.offering.cluster.http.get(&path).await {
                Ok(quota) => {
                    let hard = |pointer: &str| {
                        quota.pointer(pointer).and_then(Value::as_object).map(serde_json::Map::len)
                    };
                    if hard("/status/hard") == hard("/spec/hard") {
                        return Check::good("quota", "the cluster counts what it limits");
                    }
                }
                Err(error) => return failed("quota", &error),
            }
            tokio::time::sleep(PAUSE).await;
        }
        let step = "is the cluster's controller manager running? Without it quotas refuse everything, and nothing is reported";
        Check::failed("quota", "the cluster does not take note of it", step)
    }

    /// As a Terminate order, until the project is gone.
    async fn remove(&mut self) {
        let made = self.resource.backend_id.clone();
        for _ in 0..LOOKS {
            let plan = match self.plan(&self.facts(Some(OrderKind::Terminate)), &[]).await {
                Ok(plan) => plan,
                Err(error) => return self.checks.push(left_behind(&made, &error.to_string())),
            };
            if plan.actions.iter().any(|action| matches!(action, Action::MarkDone { .. })) {
                if !made.is_empty() {
                    self.checks.push(Check::good("removed", format!("`{made}` is gone")));
                }
                return;
            }
            if let Some(Next::GiveUp | Next::Retry(_)) = self.carry_out(&plan).await {
                return self.checks.push(left_behind(&made, "the cluster refuses to delete it"));
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.checks.push(left_behind(&made, "the cluster has not finished deleting it"));
    }
}

fn left_behind(name: &str, why: &str) -> Check {
    let step = format!(
        "look what holds it back (`oc describe namespace {name}`), then delete it: oc delete project {name}"
    );
    Check::failed("removed", format!("`{name}` is still there: {why}"), step)
}

/// What an action is about, in a word or two.
const fn kind_of(action: &Action) -> &'static str {
    match action {
        Action::ApplyNamespace { .. } => "labels",
        Action::ApplyQuota { .. } => "quota",
        Action::ApplyLimitRange { .. } => "limit range",
        Action::ApplyRoleBinding { .. } | Action::DeleteRoleBinding { .. } => "access",
        Action::ApplyGroup { .. } | Action::DeleteGroup { .. } => "group",
        Action::ApplyServiceAccount { .. } | Action::DeleteServiceAccount { .. } => "service account",
        _ => "project",
    }
}
