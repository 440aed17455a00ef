//! Who may see and do what: roles against offerings, resources and orders (waldur-2024-server.md §2, contract §8.2).
//!
//! What a caller may not see is not found (404); what it sees but may not do is refused (403).

use uuid::Uuid;

use super::model::{Offering, Order, Resource, Scope};
use super::state::State;

/// The user behind a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    pub(crate) user: Uuid,
    pub(crate) is_staff: bool,
}

/// The strongest role of a user on the consumer's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// May order in the project, which a reviewer has to approve.
    Member,
    /// May also change and terminate resources, which a reviewer has to approve.
    Manager,
    /// Reviews: what it orders needs no approval on the consumer's side.
    Reviewer,
}

/// What the caller may do on the provider's side of an offering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProviderRole {
    /// `OFFERING.MANAGER`.
    Manager,
    /// `CUSTOMER.OWNER` of the provider, or staff.
    Owner,
}

impl State {
    fn holds(&self, user: Uuid, scope: Scope, role: &str) -> bool {
        self.grants_on(scope).any(|grant| grant.user == user && grant.role == role)
    }

    /// The caller's role on the provider's side; `None` when the offering is not its own.
    pub(crate) fn provider_role(&self, actor: Actor, offering: &Offering) -> Option<ProviderRole> {
        if actor.is_staff || self.holds(actor.user, Scope::Customer(offering.customer), "CUSTOMER.OWNER") {
            return Some(ProviderRole::Owner);
        }
        self.holds(actor.user, Scope::Offering(offering.uuid), "OFFERING.MANAGER")
            .then_some(ProviderRole::Manager)
    }

    pub(crate) fn provides(&self, actor: Actor, offering: Uuid) -> bool {
        self.offerings.get(offering).is_some_and(|offering| self.provider_role(actor, offering).is_some())
    }

    /// Offerings on whose provider's side the caller is; lists check this once, not once per row.
    pub(crate) fn provided_offerings(&self, actor: Actor) -> Vec<Uuid> {
        self.offerings
            .iter()
            .filter(|offering| self.provider_role(actor, offering).is_some())
            .map(|offering| offering.uuid)
            .collect()
    }

    /// May approve, reject, finish and err orders. An offering manager may not in 2024 (measurement 066).
    pub(crate) fn decides_orders(&self, actor: Actor, offering: Uuid) -> bool {
        match self.offerings.get(offering).and_then(|offering| self.provider_role(actor, offering)) {
            Some(ProviderRole::Owner) => true,
            Some(ProviderRole::Manager) => !self.is_2024(),
            None => false,
        }
    }

    /// The caller's standing in a project; `None` for a stranger.
    pub(crate) fn standing(&self, actor: Actor, project: Uuid) -> Option<Standing> {
        if actor.is_staff {
            return Some(Standing::Reviewer);
        }
        let customer = self.projects.get(project)?.customer;
        let on_customer = self.grants_on(Scope::Customer(customer)).filter(|grant| grant.user == actor.user);
        let on_project = self.grants_on(Scope::Project(project)).filter(|grant| grant.user == actor.user);
        on_customer
            .chain(on_project)
            .map(|grant| match grant.role.as_str() {
                "CUSTOMER.OWNER" => Standing::Reviewer,
                "CUSTOMER.MANAGER" | "PROJECT.MANAGER" | "PROJECT.ADMIN" => Standing::Manager,
                _ => Standing::Member,
            })
            .max()
    }

    pub(crate) fn sees_order(&self, actor: Actor, order: &Order) -> bool {
        self.provides(actor, order.offering) || self.standing(actor, order.project).is_some()
    }

    /// Sees the resource under `marketplace-resources`.
    pub(crate) fn consumes(&self, actor: Actor, resource: &Resource) -> bool {
        self.standing(actor, resource.project).is_some()
    }
}
