//! Waiting for a change without asking again and again. Nothing here ends by itself: wrap it into a timeout.

use uuid::Uuid;

use crate::waldur::Waldur;
use crate::waldur::wire::{OrderState, ResourceState};

impl Waldur {
    /// Until the order is in this state.
    pub async fn wait_for_order(&self, order: Uuid, state: OrderState) {
        self.wait_until(|waldur| waldur.order_state(order) == Some(state)).await;
    }

    /// Until the resource is in this state.
    pub async fn wait_for_resource(&self, resource: Uuid, state: ResourceState) {
        self.wait_until(|waldur| waldur.resource_state(resource) == Some(state)).await;
    }

    /// Until the condition holds, which is looked at after every change.
    pub async fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        while !holds(self) {
            // The sender lives as long as `self`, so there is always a next change to wait for.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
