//! Forcing what no proper client can: any state, any limits, any text, missing fields.

use serde_json::Value;
use uuid::Uuid;

use crate::waldur::Waldur;
use crate::waldur::wire::{OrderState, ResourceState};

impl Waldur {
    /// Puts an order into a state, without what would follow from it.
    pub fn force_order(&self, order: Uuid, to: OrderState) {
        self.change(|state| state.set_order_state(order, to));
    }

    /// Puts a resource into a state.
    pub fn force_resource(&self, resource: Uuid, to: ResourceState) {
        self.change(|state| state.change_resource(resource, |row| row.state = to));
    }

    /// Takes a resource away with its orders, as an administrator's `unlink` does; `false` when there is none.
    pub fn delete_resource(&self, resource: Uuid) -> bool {
        self.change(|state| {
            for order in state.orders_of.remove(&resource).unwrap_or_default() {
                state.orders.remove(order);
            }
            let removed = state.resources.remove(resource);
            if let Some(row) = &removed
                && let Some(uuids) = state.resources_of.get_mut(&row.project)
            {
                uuids.retain(|uuid| *uuid != resource);
            }
            removed.is_some()
        })
    }

    /// Sets the three flags at once.
    pub fn set_flags(&self, resource: Uuid, paused: bool, downscaled: bool, restrict_member_access: bool) {
        self.change(|state| {
            state.change_resource(resource, |row| {
                row.paused = paused;
                row.downscaled = downscaled;
                row.restrict_member_access = restrict_member_access;
            });
        });
    }

    /// Sets the limits to any JSON: null, fractions, huge or negative numbers, unknown components.
    pub fn set_limits(&self, resource: Uuid, limits: Value) {
        self.change(|state| state.change_resource(resource, |row| row.limits = limits));
    }

    /// Sets the limits of an order to any JSON.
    pub fn set_order_limits(&self, order: Uuid, limits: Value) {
        self.change(|state| state.change_order(order, |row| row.limits = limits));
    }

    /// Sets a resource's slug to any text.
    pub fn set_slug(&self, resource: Uuid, slug: &str) {
        self.change(|state| state.change_resource(resource, |row| slug.clone_into(&mut row.slug)));
    }

    /// Sets a resource's backend id to any text.
    pub fn set_backend_id(&self, resource: Uuid, backend_id: &str) {
        self.change(|state| {
            state.change_resource(resource, |row| backend_id.clone_into(&mut row.backend_id))
        });
    }

    /// Sets a project's slug to any text.
    pub fn set_project_slug(&self, project: Uuid, slug: &str) {
        self.change(|state| state.projects.update(project, |row| slug.clone_into(&mut row.slug)));
    }

    /// Sets a customer's slug to any text.
    pub fn set_customer_slug(&self, customer: Uuid, slug: &str) {
        self.change(|state| state.customers.update(customer, |row| slug.clone_into(&mut row.slug)));
    }

    /// Replaces a field in every answer that shows the resource, or with `None` leaves it out of them.
    pub fn override_resource(&self, resource: Uuid, field: &str, value: Option<Value>) {
        self.change(|state| {
            state.change_resource(resource, |row| {
                row.overrides.insert(field.to_owned(), value);
            });
        });
    }

    /// Replaces a field in every answer that shows the order, or with `None` leaves it out of them.
    pub fn override_order(&self, order: Uuid, field: &str, value: Option<Value>) {
        self.change(|state| {
            state.change_order(order, |row| {
                row.overrides.insert(field.to_owned(), value);
            });
        });
    }

    /// Sets one of the offering's `plugin_options`.
    pub fn set_plugin_option(&self, offering: Uuid, name: &str, value: Value) {
        self.change(|state| {
            state.offerings.update(offering, |row| row.plugin_options.insert(name.to_owned(), value));
        });
    }
}
