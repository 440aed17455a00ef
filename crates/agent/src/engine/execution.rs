//! One plan being carried out, and what follows from an action that fails.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use planner::access::{GrantStatus, RoleTable};
use planner::action::Action;
use planner::desired::{Desired, Goal};
use planner::model::{OrderKind, OrderState};
use planner::outcome::{self, Next};
use planner::plan::Plan;
use uuid::Uuid;

use super::audit::Audit;
use super::{Offering, Scope};
use crate::cluster::apply::Writes;
use crate::cluster::connect::Surroundings;
use crate::error::{ApiError, Peer};
use crate::metrics::OrderOutcome;
use crate::usage::{self, Reports};

/// How long one attempt to report a resource's last usage may take.
const LAST_REPORT: Duration = Duration::from_secs(60);

/// Shown to customers instead of details where the operator wants that (contract §1.2).
const GENERIC_MESSAGE: &str = "Internal backend error. Please contact the service provider.";

/// How far one round of work came.
pub(super) enum Round {
    /// Everything of the plan is done.
    Done { look_again_at: Option<Timestamp>, more_orders: bool },
    /// The world was not as seen; the named namespace is to be looked up first.
    Again(Option<String>),
    /// Later.
    Failed(Option<Duration>),
}

/// One plan being carried out.
pub(super) struct Execution<'a> {
    offering: &'a Offering,
    desired: &'a Desired,
    surroundings: &'a Surroundings,
    roles: &'a RoleTable,
    audit: Audit<'a>,
    /// The order was approved in this very plan.
    approved: bool,
    /// Something was not done and the plan went on: what is told to Waldur afterwards would not be true.
    pub(super) left_out: bool,
    /// ClusterRoles that the cluster did not let the agent give, and why.
    refused: BTreeMap<String, String>,
    /// What Waldur was told of each grant.
    pub(super) told: Option<Vec<GrantStatus>>,
    /// The first failure for good of something that the rest does not depend on.
    given_up: Option<(Action, ApiError)>,
    /// What reports usage, where something does.
    pub(super) reports: Option<&'a Reports>,
}

impl<'a> Execution<'a> {
    pub(super) const fn new(
        offering: &'a Offering,
        desired: &'a Desired,
        surroundings: &'a Surroundings,
        roles: &'a RoleTable,
        audit: Audit<'a>,
    ) -> Self {
        let refused = BTreeMap::new();
        let (approved, left_out, told, given_up, reports) = (false, false, None, None, None);
        Self {
            offering,
            desired,
            surroundings,
            roles,
            audit,
            approved,
            left_out,
            refused,
            told,
            given_up,
            reports,
        }
    }

    /// Tells Waldur what became of each grant, unless it knows.
    async fn tell_statuses(&mut self, resource: Uuid, statuses: &[GrantStatus]) -> Result<(), ApiError> {
        let statuses: Vec<GrantStatus> = statuses.iter().map(|status| self.as_granted(status)).collect();
        let known = match &self.desired.goal {
            Goal::Project(project) => project.told_statuses.as_ref().and_then(Option::as_ref),
            _ => None,
        };
        if known != Some(&statuses) {
            self.offering.waldur.set_membership_statuses(resource, &statuses).await?;
            self.told = Some(statuses);
        }
        Ok(())
    }

    /// Tells Waldur of the usage up to now. A worker waits for it no longer than this: what was measured by then is in
    /// the ledger, and the next try goes on from there.
    async fn report_usage(&self, resource: Uuid) -> Result<(), ApiError> {
        let Some(reports) = self.reports else { return Ok(()) };
        let reported = usage::report_last(reports, self.offering.options.uuid, resource);
        tokio::time::timeout(LAST_REPORT, reported).await.unwrap_or_else(|_| {
            let message = format!("it could not be measured and told within {LAST_REPORT:?}");
            Err(ApiError::unavailable(Peer::Prometheus, "the last usage", &message))
        })
    }

    /// A status with what the cluster has said to the grant.
    fn as_granted(&self, status: &GrantStatus) -> GrantStatus {
        let role = Some(status.role.as_str()).filter(|role| !role.is_empty());
        let refusal = self.roles.cluster_role(role).and_then(|role| self.refused.get(role));
        GrantStatus { problem: status.problem.clone().or_else(|| refusal.cloned()), ..status.clone() }
    }

    pub(super) async fn run(&mut self, plan: &Plan, more_orders: bool) -> Round {
        let Surroundings { flavour, user, .. } = self.surroundings;
        let mut writes = Writes::new(&self.offering.cluster, *flavour, user);
        for action in &plan.actions {
            let is_told_apart = matches!(action, Action::SetMembershipStatuses { .. });
            if self.left_out && (action.follows_replacement() || action.reports_success() && !is_told_apart) {
                continue;
            }
            match self.carry_out(&mut writes, action).await {
                Ok(true) => {
                    self.offering.options.metrics.changed(true);
                    self.audit.done(&writes, action).await;
                }
                Ok(false) => return Round::Again(None),
                Err(error) => {
                    if let Some(round) = self.failed(&writes, plan, action, &error).await {
                        return round;
                    }
                }
            }
        }
        match self.given_up.take() {
            Some((action, error)) => self.give_up(plan, &action, &error).await,
            None => Round::Done { look_again_at: plan.look_again_at, more_orders },
        }
    }

    /// `false` if the rest of the plan no longer fits the world.
    async fn carry_out(&mut self, writes: &mut Writes<'_>, action: &Action) -> Result<bool, ApiError> {
        if writes.carry_out(action).await? {
            return Ok(true);
        }
        let waldur = &self.offering.waldur;
        match action {
            Action::Approve { order } => {
                self.offering.note_approved(*order);
                let order = waldur.approve(*order).await?;
                self.approved = OrderState::parse(&order.state) == OrderState::Executing;
                if !self.approved {
                    let (state, reason) = (&order.state, &order.error_message);
                    tracing::warn!(%state, %reason, "Waldur did not start the order after it was approved");
                }
                return Ok(self.approved);
            }
            Action::Reject { order, comment } => {
                waldur.reject(*order, comment).await?;
                self.ordered(OrderOutcome::Rejected);
            }
            Action::SetAllocationOk { resource } => waldur.set_allocation_ok(*resource).await?,
            Action::ReportUsage { resource, .. } => self.report_usage(*resource).await?,
            Action::SetBackendId { resource, backend_id } => {
                waldur.set_backend_id(*resource, backend_id).await?
            }
            Action::SetBackendMetadata { resource, metadata } => {
                waldur.set_metadata(*resource, metadata).await?
            }
            Action::SetMembershipStatuses { resource, statuses } => {
                self.tell_statuses(*resource, statuses).await?;
            }
            Action::SetResourceOk { resource } => waldur.set_resource_ok(*resource).await?,
            Action::SetResourceErred { resource, message, traceback } => {
                waldur.set_resource_erred(*resource, message, traceback).await?;
            }
            Action::RefreshLastSync { resource } => waldur.refresh_last_sync(*resource).await?,
            Action::MarkDone { order } => {
                waldur.set_done(*order).await?;
                self.ordered(OrderOutcome::Done);
                let made = self.desired.order.filter(|order| {
                    self.offering.options.scope == Scope::Both
                        && matches!(order.kind, OrderKind::Create | OrderKind::Restore)
                });
                if let Some(resource) = made.and_then(|order| order.resource) {
                    self.offering.note_made(resource);
                }
            }
            Action::MarkErred { order, message, traceback } => {
                waldur.set_erred(*order, message, traceback).await?;
                self.ordered(OrderOutcome::Erred);
            }
            // The cluster's actions were carried out above.
            Action::RequestProject { .. }
            | Action::CreateNamespace { .. }
            | Action::ApplyNamespace { .. }
            | Action::AdoptNamespace { .. }
            | Action::DeletePythonBinding { .. }
            | Action::Release { .. }
            | Action::Furnish { .. }
            | Action::Unfurnish { .. }
            | Action::ApplyQuota { .. }
            | Action::DeleteQuota { .. }
            | Action::ApplyClusterQuota { .. }
            | Action::DeleteClusterQuota { .. }
            | Action::ApplyLimitRange { .. }
            | Action::ApplyRoleBinding { .. }
            | Action::DeleteRoleBinding { .. }
            | Action::ApplyGroup { .. }
            | Action::DeleteGroup { .. }
            | Action::ApplyServiceAccount { .. }
            | Action::DeleteServiceAccount { .. }
            | Action::EnsureIdentity { .. }
            | Action::DeleteNamespace { .. }
            | Action::MarkNamespace { .. }
            | Action::ChangeWorkload { .. } => {}
        }
        Ok(true)
    }

    /// The order was ended in Waldur.
    fn ordered(&self, outcome: OrderOutcome) {
        if let Some(order) = self.desired.order {
            self.offering.options.metrics.ordered(order.kind, outcome);
        }
    }

    /// What follows from a failed action; `None` if the plan goes on without it.
    async fn failed(
        &mut self,
        writes: &Writes<'_>,
        plan: &Plan,
        action: &Action,
        error: &ApiError,
    ) -> Option<Round> {
        let next = outcome::after(action, &error.failure);
        if matches!(next, Next::Skip | Next::GiveUp) {
            self.offering.options.metrics.changed(false);
            self.audit.failed(writes, action, error).await;
        }
        match next {
            Next::Skip => {
                self.left_out |= action.changes_access() || matches!(action, Action::ChangeWorkload { .. });
                if let Action::ApplyRoleBinding { role, .. } = action {
                    self.refused.insert(role.clone(), "the cluster refuses the grant".to_owned());
                }
                tracing::error!(error = %error, hint = hint(action, error), "left out: {action}");
                None
            }
            Next::LookUp(name) => Some(Round::Again(Some(name))),
            Next::Observe => {
                tracing::debug!(error = %error, "not as seen: {action}");
                Some(Round::Again(None))
            }
            Next::Retry(pause) => {
                tracing::warn!(error = %error, "failed, the order stays open and is tried again: {action}");
                Some(Round::Failed(pause))
            }
            // Without an order nobody waits for the quota, and former members are not to stay because of it.
            Next::GiveUp if self.desired.order.is_none() && is_quota(action) => {
                self.left_out = true;
                self.given_up.get_or_insert_with(|| (action.clone(), error.clone()));
                None
            }
            Next::GiveUp => Some(self.give_up(plan, action, error).await),
        }
    }

    /// Errs the order if it has begun, or the resource if there is no order; it is tried again.
    async fn give_up(&self, plan: &Plan, action: &Action, error: &ApiError) -> Round {
        tracing::error!(error = %error, "failed for good: {action}");
        let (message, traceback) = if self.offering.options.expose_details {
            (format!("{error}"), format!("while carrying out: {action}\n{error}"))
        } else {
            (GENERIC_MESSAGE.to_owned(), String::new())
        };
        let Some(order) = self.desired.order.filter(|order| !order.pending || self.approved) else {
            self.tell_resource(&message, &traceback).await;
            return Round::Failed(None);
        };
        let told = async {
            self.tell_project(plan, action).await?;
            self.offering.waldur.set_erred(order.uuid, &message, &traceback).await
        };
        match told.await {
            Ok(()) => {
                self.ordered(OrderOutcome::Erred);
                Round::Done { look_again_at: None, more_orders: false }
            }
            Err(error) => {
                tracing::error!(error = %error, "cannot tell Waldur that the order failed; will try again");
                Round::Failed(error.retry_after())
            }
        }
    }

    /// Tells Waldur, once, what is wrong with a resource that no order is open for.
    async fn tell_resource(&self, message: &str, traceback: &str) {
        let Some(standing) = self.desired.standing.as_ref().filter(|_| !self.desired.legacy_waldur) else {
            return;
        };
        let is_told = standing.erred && standing.error_message == message;
        if self.desired.order.is_some() || standing.terminated || is_told {
            return;
        }
        if let Err(error) =
            self.offering.waldur.set_resource_erred(standing.resource, message, traceback).await
        {
            tracing::warn!(error = %error, "cannot tell Waldur what is wrong with the resource");
        }
    }

    /// Tells Waldur of a project that was made before `failed`: a Create that is erred without a backend id leaves
    /// the resource terminated (contract §3.8), and nobody could ever have the project removed.
    async fn tell_project(&self, plan: &Plan, failed: &Action) -> Result<(), ApiError> {
        if matches!(failed, Action::RequestProject { .. } | Action::CreateNamespace { .. }) {
            return Ok(());
        }
        for action in &plan.actions {
            if let Action::SetBackendId { resource, backend_id } = action {
                self.offering.waldur.set_backend_id(*resource, backend_id).await?;
            }
        }
        Ok(())
    }
}

const fn is_quota(action: &Action) -> bool {
    matches!(action, Action::ApplyQuota { .. } | Action::ApplyClusterQuota { .. })
}

/// What an operator can do about a failure that is left to them.
fn hint(action: &Action, error: &ApiError) -> String {
    match action {
        Action::ApplyRoleBinding { role, .. } if error.message.contains("not currently held") => format!(
            "the agent may only grant roles that it has itself, or that it may bind: allow it the verb `bind` on \
             clusterroles (rbac.authorization.k8s.io) with resourceNames [{role}]"
        ),
        _ => String::new(),
    }
}
