//! What Waldur asks for, for one resource: its open order and its own state, under the operator's policy.

mod project;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

pub use self::project::{Environment, NAMESPACES, OVERUSE, Project, Removal, TERMINATION};
use crate::access::{DesiredAccess, GrantStatus, GroupNames, Team};
use crate::lifecycle::{Hold, Shrink};
use crate::model::{self, Limit, Limits, Offering, Order, OrderKind, OrderState, Resource, ResourceState};
use crate::names::{self, Candidates, NameError};
use crate::policy::{Flavour, Policy};
use crate::quota::{self, Hard};
use crate::template::Values;

/// What Waldur says about one resource. `resource` is `None` only if Waldur answered that it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The resource.
    pub resource: Option<Resource>,
    /// Its orders; settled ones do not matter.
    pub orders: Vec<Order>,
    /// Its open orders were read: without one among [`Facts::orders`] there is none.
    pub orders_read: bool,
    /// Who is to have access; `None` where that is not known or not this agent's business: then nobody's access
    /// is changed.
    pub team: Option<Team>,
    /// Statuses of grants that Waldur was told last, if this process has told any.
    pub told_statuses: Option<Vec<GrantStatus>>,
    /// A pass before this one would have removed the same access, or the operator insists.
    pub removal_confirmed: bool,
    /// The pass as a whole would remove too much access at once.
    pub removal_held: bool,
    /// The operator wants something of it that neither an order nor the team says.
    pub command: Option<Command>,
}

/// What an operator orders about whose a project is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take over the namespace that Waldur names, though it carries no labels of ours.
    Adopt,
    /// Give up the project without deleting anything.
    Abandon,
}

/// What should be the case, and what is needed to decide how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// See [`Goal`].
    pub goal: Goal,
    /// The order that asks for it.
    pub order: Option<OpenOrder>,
    /// What kind of cluster it is.
    pub flavour: Flavour,
    /// The agent's user name on the cluster.
    pub requester: String,
    /// See [`Policy::legacy_waldur`].
    pub legacy_waldur: bool,
    /// How the resource stands in Waldur; `None` if there is none.
    pub standing: Option<Standing>,
}

impl Desired {
    /// The namespace that Waldur names; empty if there is none.
    #[must_use]
    pub fn backend_id(&self) -> &str {
        match &self.goal {
            Goal::Project(project) => &project.backend_id,
            Goal::Removed(removal) | Goal::Left(removal) => &removal.backend_id,
            Goal::Abandoned { backend_id, .. } => backend_id,
            Goal::Nothing | Goal::Refused(_) | Goal::Acknowledged => "",
        }
    }
}

/// How a resource stands in Waldur.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Waldur's id.
    pub resource: Uuid,
    /// It is in state Erred.
    pub erred: bool,
    /// It is in state Terminated, which it would leave if it were told to be erred (contract §3.8).
    pub terminated: bool,
    /// What Waldur shows as the reason.
    pub error_message: String,
}

/// The order being worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOrder {
    /// Waldur's id.
    pub uuid: Uuid,
    /// The resource that it is about.
    pub resource: Option<Uuid>,
    /// What it asks for.
    pub kind: OrderKind,
    /// It waits for approval.
    pub pending: bool,
    /// Since when it is in its state, as far as is known.
    pub since: Option<Timestamp>,
}

/// What should be the case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Nothing to do with the cluster.
    Nothing,
    /// The order cannot be fulfilled, and that is known without looking at the cluster.
    Refused(String),
    /// There is nothing to do but to say that the order is done.
    Acknowledged,
    /// There is a project.
    Project(Box<Project>),
    /// There is none.
    Removed(Removal),
    /// The resource was terminated before. A project that was locked then is deleted when its time has come.
    Left(Removal),
    /// It is nobody's that this agent knows; what is there stays.
    Abandoned {
        /// Waldur's id of the resource.
        resource: Uuid,
        /// Name that Waldur has for it.
        backend_id: String,
    },
}

/// What Waldur asks for. `now` decides which roles have ended.
#[must_use]
pub fn desired(policy: &Policy, offering: &Offering, facts: &Facts, now: Timestamp) -> Desired {
    let order = model::next_order(&facts.orders);
    let goal = match goal(policy, offering, facts, order, now) {
        Ok(goal) => goal,
        Err(reason) if order.is_some() || facts.resource.is_some() => Goal::Refused(reason),
        Err(_) => Goal::Nothing,
    };
    Desired {
        goal,
        order: order.map(|order| OpenOrder {
            uuid: order.uuid,
            resource: facts.resource.as_ref().map(|resource| resource.uuid),
            kind: order.kind,
            pending: order.state == OrderState::PendingProvider,
            since: order.modified,
        }),
        flavour: policy.flavour,
        requester: policy.requester.clone(),
        legacy_waldur: policy.legacy_waldur,
        standing: facts.resource.as_ref().map(|resource| Standing {
            resource: resource.uuid,
            erred: resource.state == ResourceState::Erred,
            terminated: resource.state == ResourceState::Terminated,
            error_message: resource.error_message.clone(),
        }),
    }
}

fn goal(
    policy: &Policy,
    offering: &Offering,
    facts: &Facts,
    order: Option<&Order>,
    now: Timestamp,
) -> Result<Goal, String> {
    let Some(resource) = &facts.resource else {
        return Err(
            "the resource of this order does not exist in Waldur, or this agent may not see it".to_owned()
        );
    };
    if facts.command == Some(Command::Abandon) {
        let backend_id = resource.backend_id.clone();
        return Ok(Goal::Abandoned { resource: resource.uuid, backend_id });
    }
    match order.map(|order| order.kind) {
        Some(OrderKind::Terminate) => removal(policy, offering, resource).map(Goal::Removed),
        Some(OrderKind::Update) if changes_nothing(order) => Ok(Goal::Acknowledged),
        Some(OrderKind::Create | OrderKind::Restore | OrderKind::Update) => {
            project(policy, offering, facts, resource, order, now)
        }
        None if facts.orders_read && resource.state == ResourceState::Terminated => {
            removal(policy, offering, resource).map(Goal::Left)
        }
        // Without a name in Waldur and without an order nothing was promised to anybody yet.
        None if resource.backend_id.is_empty() => Ok(Goal::Nothing),
        None => match resource.state {
            ResourceState::Ok | ResourceState::Erred => project(policy, offering, facts, resource, None, now),
            // An order that is not seen here is changing it: what it wants is not known.
            ResourceState::Updating
            | ResourceState::Creating
            | ResourceState::Terminating
            | ResourceState::Terminated
            | ResourceState::Unknown => Ok(Goal::Nothing),
        },
    }
}

/// An Update with neither limits nor plan quotas, such as a renewal (contract §3.6).
fn changes_nothing(order: Option<&Order>) -> bool {
    order.is_some_and(|order| order.limits.is_empty() && order.plan_quotas.is_empty())
}

fn removal(policy: &Policy, offering: &Offering, resource: &Resource) -> Result<Removal, String> {
    if !resource.backend_id.is_empty() {
        names::check_namespace(&resource.backend_id).map_err(|error| error.to_string())?;
    }
    let environments = environments(policy, resource).unwrap_or_default();
    let candidates = candidates(policy, &environments, resource);
    // Limits that cannot be held are no reason to keep a project open: then its quota stays as it is.
    let quotas = quota::desired(policy, offering, Some(Hold::Paused), &resource.limits).unwrap_or_default();
    Ok(Removal {
        resource: resource.uuid,
        backend_id: resource.backend_id.clone(),
        candidates: candidates.ok(),
        environments,
        termination: policy.lifecycle.termination,
        stop_workloads: policy.lifecycle.stop_workloads,
        reports_usage: policy.reports_usage,
        quotas,
        backend_metadata: resource.backend_metadata.clone(),
    })
}

fn project(
    policy: &Policy,
    offering: &Offering,
    facts: &Facts,
    resource: &Resource,
    order: Option<&Order>,
    now: Timestamp,
) -> Result<Goal, String> {
    let text = |error: quota::LimitError| error.to_string();
    if let Some(order) = order {
        quota::check_components(offering, &order.limits).map_err(text)?;
    }
    let environments = environments(policy, resource).map_err(|error| error.to_string())?;
    let candidates = if resource.backend_id.is_empty() {
        candidates(policy, &environments, resource).map_err(|error| error.to_string())?
    } else {
        names::check_namespace(&resource.backend_id).map_err(|error| error.to_string())?;
        Candidates { regular: resource.backend_id.clone(), suffixed: resource.backend_id.clone() }
    };
    let bought = bought(resource, order);
    let full = quota::desired(policy, offering, None, &bought).map_err(text)?;
    let full = full.get(names::QUOTA).map_or_else(Hard::new, |quota| quota.hard.clone());
    let hold = Hold::of(resource);
    let restored = policy.lifecycle.restored.as_ref().map(|fixed| {
        let mut limits = bought.clone();
        limits.extend(fixed.iter().map(|(component, amount)| (component.clone(), Limit::Amount(*amount))));
        quota::desired(policy, offering, None, &limits).map_err(text)
    });
    let naming = &policy.naming;
    let prefixed = |middle: &str, slug: &Option<String>| {
        let slug = slug.as_ref().filter(|slug| !slug.is_empty())?;
        Some(names::one_line(&format!("{}{middle}{slug}", naming.namespace_prefix)))
    };
    let name = names::one_line(&resource.name);
    let described = names::one_line(&resource.description);
    Ok(Goal::Project(Box::new(Project {
        resource: resource.uuid,
        backend_id: resource.backend_id.clone(),
        candidates,
        environments,
        may_create: order.is_some_and(|order| matches!(order.kind, OrderKind::Create | OrderKind::Restore)),
        begun: order.is_some_and(|order| order.state == OrderState::Executing),
        hold,
        restored: restored.transpose()?,
        resets: order.is_some(),
        stop_workloads: policy.lifecycle.stop_workloads && hold == Some(Hold::Paused),
        no_less_than_used: no_less_than_used(policy, offering, order),
        description: if described.is_empty() { name.clone() } else { described },
        display_name: name,
        organization: prefixed(&naming.customer_prefix, &resource.customer_slug),
        parent: prefixed(&naming.project_prefix, &resource.project_slug),
        quotas: quota::desired(policy, offering, hold, &bought).map_err(text)?,
        limit_range: policy.limit_range.as_ref().map(|range| quota::limit_range(range, &full)),
        limits: limits_for_people(offering, &bought),
        backend_metadata: resource.backend_metadata.clone(),
        erred: resource.state == ResourceState::Erred,
        template: Arc::clone(&policy.template),
        values: values(resource, &quota::with_fallbacks(policy, offering, &bought)),
        access: facts.team.as_ref().map(|team| access(policy, team, resource, now)),
        restricted: resource.restrict_member_access,
        guard: policy.access.guard.clone(),
        removal_confirmed: facts.removal_confirmed,
        removal_held: facts.removal_held,
        adopt: facts.command == Some(Command::Adopt),
        told_statuses: offering.wants_statuses.then(|| facts.told_statuses.clone()),
    })))
}

/// Names of the namespace that Waldur is to know.
fn candidates(
    policy: &Policy,
    environments: &[Environment],
    resource: &Resource,
) -> Result<Candidates, NameError> {
    match environments.first() {
        Some(first) => Ok(first.candidates.clone()),
        None => names::candidates(&policy.naming, base_name(resource), None, resource.uuid),
    }
}

/// The namespaces of a resource, where it is to have several.
fn environments(policy: &Policy, resource: &Resource) -> Result<Vec<Environment>, NameError> {
    let naming = &policy.naming;
    let named = |name: &String| {
        let candidates = names::candidates(naming, base_name(resource), Some(name), resource.uuid)?;
        Ok(Environment { name: name.clone(), candidates })
    };
    naming.environments.iter().map(named).collect()
}

/// What placeholders stand for. The limits are those that hold while the resource is not held.
fn values(resource: &Resource, limits: &Limits) -> Values {
    let id = resource.uuid.simple().to_string();
    let mut texts = vec![
        ("resource_uuid", id.as_str()),
        ("resource_name", &resource.name),
        ("resource_slug", &resource.slug),
    ];
    let optional = [
        ("project_name", &resource.project_name),
        ("project_slug", &resource.project_slug),
        ("customer_name", &resource.customer_name),
        ("customer_slug", &resource.customer_slug),
    ];
    texts.extend(optional.iter().filter_map(|(name, text)| Some((*name, text.as_deref()?))));
    let limits = limits.iter().filter_map(|(component, limit)| match limit {
        Limit::Amount(amount) => Some((component.clone(), *amount)),
        Limit::Unset | Limit::Invalid(_) => None,
    });
    Values::new(&texts, &limits.collect())
}

/// Keys of components that an Update order names and that are not to shrink below their use.
fn no_less_than_used(
    policy: &Policy,
    offering: &Offering,
    order: Option<&Order>,
) -> BTreeMap<(String, String), String> {
    let order = order.filter(|order| order.kind == OrderKind::Update);
    let named = order.into_iter().flat_map(|order| order.limits.keys().chain(order.plan_quotas.keys()));
    let mut keys = BTreeMap::new();
    for component in named.filter(|component| offering.components.contains(component)) {
        let settings = policy.components.get(component).filter(|known| known.shrink == Shrink::Refuse);
        let targets = settings.into_iter().flat_map(|settings| &settings.targets);
        keys.extend(targets.map(|target| ((target.quota.clone(), target.key.clone()), component.clone())));
    }
    keys
}

fn access(policy: &Policy, team: &Team, resource: &Resource, now: Timestamp) -> DesiredAccess {
    let names = GroupNames {
        project: resource.project_slug.as_deref().unwrap_or_default(),
        resource: &resource.slug,
        customer: resource.customer_slug.as_deref().unwrap_or_default(),
    };
    crate::access::desired(&policy.access, team, resource.restrict_member_access, names, now)
}

/// What the customer has bought, with the open order on top.
fn bought(resource: &Resource, order: Option<&Order>) -> Limits {
    let nothing = Limits::new();
    let (plan, limits) = order.map_or((&nothing, &nothing), |order| (&order.plan_quotas, &order.limits));
    quota::merged([&resource.limits, plan, limits])
}

fn limits_for_people(offering: &Offering, limits: &Limits) -> BTreeMap<String, Value> {
    let known = limits.iter().filter(|(component, _)| offering.components.contains(component));
    let amounts = known.filter_map(|(component, limit)| match limit {
        Limit::Amount(amount) => Some((component.clone(), amount.to_json())),
        Limit::Unset | Limit::Invalid(_) => None,
    });
    amounts.collect()
}

/// The text that the name is made of (contract §3.4).
fn base_name(resource: &Resource) -> &str {
    match &resource.project_slug {
        Some(slug) if resource.named_by_project && !slug.is_empty() => slug,
        _ => &resource.slug,
    }
}
