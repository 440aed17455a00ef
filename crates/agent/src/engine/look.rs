//! What Waldur says about one key: from the pass that has just read it, or read now.

use std::time::Duration;

use planner::access::Team;
use planner::desired::Facts;
use planner::model::{self, OrderKind};
use planner::outcome::Failure;

use super::offering::OrdersRead;
use super::people::Reading;
use super::{Engine, Key, Offering, Scope};
use crate::error::ApiError;
use crate::waldur::dto;

/// Lists over the people of an offering that are older than this are read again before anything is changed.
const GOOD_TO_ACT_ON: Duration = Duration::from_secs(10);
/// How long lists over the people of an offering serve the orders of that time.
const PEOPLE_KEPT: Duration = Duration::from_secs(60);
/// How old they may be when usernames are looked for that were given after a create.
const PEOPLE_AFTER_CREATE: Duration = Duration::from_millis(900);

/// What was seen of a key in Waldur.
pub(super) struct Seen {
    pub(super) facts: Facts,
    /// By the pass that woke the key.
    pub(super) by_pass: bool,
    /// Why it is not known who is to have access.
    pub(super) team_unknown: Option<ApiError>,
}

impl Engine {
    /// What Waldur says about the key: from the pass that has just read it, or read now.
    pub(super) async fn look(&self, key: Key, offering: &Offering, first: bool) -> Result<Seen, ApiError> {
        let mut seen = match offering.options.scope {
            Scope::Orders => look_at_orders(offering, key, first).await?,
            Scope::Resources => look_at_resource(offering, key).await?,
            Scope::Both => look_at_both(offering, key, first).await?,
        };
        self.recall(key, &mut seen.facts);
        Ok(seen)
    }

    /// Adds what this process knows of a key itself.
    pub(super) fn recall(&self, key: Key, facts: &mut Facts) {
        facts.told_statuses = self.told(key);
        facts.command = self.command(key);
        facts.removal_confirmed = self.force_removal || self.was_held_before(key);
    }
}

/// The resource's open orders, the resource and, where there is something to give access to, its people.
async fn look_at_orders(offering: &Offering, key: Key, first: bool) -> Result<Seen, ApiError> {
    let read = if first { offering.take_read(key.resource) } else { OrdersRead::No };
    let (orders, by_pass) = match read {
        OrdersRead::Good(orders) => (orders, true),
        OrdersRead::No | OrdersRead::Old => {
            (offering.waldur.open_orders_of(offering.options.uuid, key.resource).await?, false)
        }
    };
    look_with_orders(offering, key, orders, by_pass).await
}

/// The open orders where there are any, else the resource as it stands.
async fn look_at_both(offering: &Offering, key: Key, first: bool) -> Result<Seen, ApiError> {
    let read = if first { offering.take_read(key.resource) } else { OrdersRead::No };
    let (orders, by_pass) = match read {
        OrdersRead::Good(orders) => (orders, true),
        OrdersRead::No | OrdersRead::Old => {
            (offering.waldur.open_orders_of(offering.options.uuid, key.resource).await?, false)
        }
    };
    if orders.is_empty() {
        let mut seen = look_at_resource(offering, key).await?;
        // That no order is open is known here, and is what the deletion of a locked project rests on.
        seen.facts.orders_read = true;
        return Ok(seen);
    }
    look_with_orders(offering, key, orders, by_pass).await
}

async fn look_with_orders(
    offering: &Offering,
    key: Key,
    orders: Vec<dto::Order>,
    by_pass: bool,
) -> Result<Seen, ApiError> {
    let resource = offering.waldur.resource(offering.options.uuid, key.resource).await?;
    // An order that makes a project ends with its team in it. Later changes are left to the passes, which see more.
    let makes = orders.is_empty() || orders.iter().any(|order| is_making(&order.kind));
    // A look without an order comes after a create: usernames may have been given since.
    let max_age = if orders.is_empty() { PEOPLE_AFTER_CREATE } else { PEOPLE_KEPT };
    let team = match &resource {
        Some(resource) if offering.options.membership && makes && !resource.is_terminated_for(&orders) => {
            team_of(offering, resource, max_age).await?
        }
        _ => None,
    };
    let resource = resource.map(|resource| resource.to_model(orders.first()));
    let mut orders: Vec<model::Order> = orders.iter().filter_map(dto::Order::to_model).collect();
    for order in orders.iter_mut().filter(|order| order.needs_plan_quotas()) {
        if let Some(plan) = order.plan {
            order.plan_quotas = offering.waldur.plan_quotas(plan).await?;
        }
    }
    let facts = Facts { resource, orders, orders_read: true, team, ..Facts::default() };
    Ok(Seen { facts, by_pass, team_unknown: None })
}

/// The team of a project that is being made. One that this token may not read holds up no order (contract §3.4):
/// the project is then made without access.
async fn team_of(
    offering: &Offering,
    resource: &dto::Resource,
    max_age: Duration,
) -> Result<Option<Team>, ApiError> {
    let read = async { offering.people(max_age, Reading::AsNeeded).await?.team(offering, resource).await };
    match read.await {
        Ok(team) => Ok(Some(team)),
        Err(error) if matches!(error.failure, Failure::Forbidden | Failure::NotFound | Failure::Invalid) => {
            tracing::error!(error = %error, "the team cannot be read; the project is made without access for it");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn is_making(kind: &str) -> bool {
    matches!(OrderKind::parse(kind), Some(OrderKind::Create | OrderKind::Restore))
}

/// The resource and its people, without orders: those are another mode's.
async fn look_at_resource(offering: &Offering, key: Key) -> Result<Seen, ApiError> {
    let people = if offering.take_made(key.resource) {
        offering.people(PEOPLE_AFTER_CREATE, Reading::AsNeeded).await?
    } else {
        offering.people_to_act_on(GOOD_TO_ACT_ON).await?
    };
    let resource = offering.waldur.resource(offering.options.uuid, key.resource).await?;
    // The cluster may tell of the resource of another offering there.
    let resource = resource.filter(|resource| resource.is_of(offering.options.uuid));
    // Quota and flags are kept also where the team cannot be read.
    let team = match &resource {
        Some(resource) if offering.options.membership => people.team(offering, resource).await.map(Some),
        _ => Ok(None),
    };
    let (team, team_unknown) = team.map_or_else(|error| (None, Some(error)), |team| (team, None));
    let resource = resource.map(|resource| resource.to_model(None));
    let removal_held = offering.removal_held();
    let facts = Facts { resource, team, removal_held, ..Facts::default() };
    Ok(Seen { facts, by_pass: false, team_unknown })
}
