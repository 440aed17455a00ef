//! Reading rows as staff sees them, and what the event broker has to hold.

use serde_json::Value;
use uuid::Uuid;

use crate::waldur::Waldur;
use crate::waldur::fields::Fields;
use crate::waldur::render::View;
use crate::waldur::wire::{OrderState, ResourceState};

/// A queue of the event broker, with the one who may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Virtual host: the user's UUID in 32 digits.
    pub vhost: String,
    /// Login: of the unified registration its `rmq_username`, of a legacy one the subscription's UUID.
    pub login: String,
    /// Passwords that are accepted.
    pub passcodes: Vec<String>,
    /// Queue without the `/amq/queue/` before it.
    pub queue: String,
    /// Whose messages arrive.
    pub offering: Uuid,
    /// Which messages arrive.
    pub object_types: Vec<String>,
    /// A queue of its own for each object type, as before the unified registration.
    pub legacy: bool,
}

impl Waldur {
    /// UUID of the user with this name.
    #[must_use]
    pub fn user(&self, username: &str) -> Option<Uuid> {
        self.with(|state| Some(state.users.find(|row| row.username == username)?.uuid))
    }

    /// UUID of the customer with this slug.
    #[must_use]
    pub fn customer(&self, slug: &str) -> Option<Uuid> {
        self.with(|state| Some(state.customers.find(|row| row.slug == slug)?.uuid))
    }

    /// UUID of the project with this slug.
    #[must_use]
    pub fn project(&self, slug: &str) -> Option<Uuid> {
        self.with(|state| Some(state.projects.find(|row| row.slug == slug)?.uuid))
    }

    /// UUID of the offering with this slug.
    #[must_use]
    pub fn offering(&self, slug: &str) -> Option<Uuid> {
        self.with(|state| Some(state.offerings.find(|row| row.slug == slug)?.uuid))
    }

    /// The offering as its provider sees it.
    #[must_use]
    pub fn provider_offering(&self, offering: Uuid) -> Option<Value> {
        self.view(|view| Some(view.offering(view.state.offerings.get(offering)?, &Fields::all())))
    }

    /// The resource as staff sees it.
    #[must_use]
    pub fn resource(&self, resource: Uuid) -> Option<Value> {
        self.view(|view| Some(view.resource(view.state.resources.get(resource)?, &Fields::all())))
    }

    /// The order as staff sees it.
    #[must_use]
    pub fn order(&self, order: Uuid) -> Option<Value> {
        self.view(|view| Some(view.order(view.state.orders.get(order)?, &Fields::all())))
    }

    /// State of a resource.
    #[must_use]
    pub fn resource_state(&self, resource: Uuid) -> Option<ResourceState> {
        self.with(|state| Some(state.resources.get(resource)?.state))
    }

    /// State of an order.
    #[must_use]
    pub fn order_state(&self, order: Uuid) -> Option<OrderState> {
        self.with(|state| Some(state.orders.get(order)?.state))
    }

    /// Orders of a resource in the order of their placing.
    #[must_use]
    pub fn orders_of(&self, resource: Uuid) -> Vec<Uuid> {
        self.with(|state| state.orders_of(resource).map(|order| order.uuid).collect())
    }

    /// Component usages of a resource.
    #[must_use]
    pub fn component_usages(&self, resource: Uuid) -> Vec<Value> {
        self.view(|view| {
            let rows = view.state.usages.select(&[resource], &[]);
            rows.into_iter().map(|row| view.component_usage(row, &Fields::all())).collect()
        })
    }

    /// What was reported of single days, as `component date amount`, in order.
    #[must_use]
    pub fn daily_usages(&self, resource: Uuid) -> Vec<String> {
        self.view(|view| {
            let rows = view.state.usages.select(&[resource], &[]);
            let mut days: Vec<String> = rows
                .into_iter()
                .flat_map(|row| row.days.iter().map(|(day, amount)| format!("{} {day} {amount}", row.kind)))
                .collect();
            days.sort();
            days
        })
    }

    /// Offering users of an offering.
    #[must_use]
    pub fn offering_users(&self, offering: Uuid) -> Vec<Value> {
        self.view(|view| {
            let rows = view.state.offering_users.select(&[offering], &[]);
            rows.into_iter().map(|row| view.offering_user(row, &Fields::all())).collect()
        })
    }

    /// What the agent last reported about the grants of a resource.
    #[must_use]
    pub fn membership_sync_statuses(&self, resource: Uuid) -> Vec<Value> {
        self.with(|state| {
            state.resources.get(resource).map(|row| row.membership_sync_statuses.clone()).unwrap_or_default()
        })
    }

    /// Agent identities with their services and processors.
    #[must_use]
    pub fn identities(&self) -> Vec<Value> {
        self.view(|view| view.state.identities.iter().map(|row| view.identity(row, &Fields::all())).collect())
    }

    /// Log records that agents shipped.
    #[must_use]
    pub fn agent_logs(&self) -> Vec<Value> {
        self.with(|state| state.agent_logs.clone())
    }

    /// Every queue that the broker has to hold.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listener> {
        self.with(|state| state.listeners())
    }

    fn view<R>(&self, look: impl FnOnce(&View<'_>) -> R) -> R {
        let base = self.base_url(None);
        self.with(|state| look(&View { state, base: &base, is_staff: true }))
    }
}
