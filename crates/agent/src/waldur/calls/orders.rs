//! Orders: what is to be done, and what became of it (Waldur contract §3).

use planner::model::Limits;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Waldur;
use crate::error::ApiError;
use crate::waldur::dto;
use crate::waldur::http::Call;

impl Waldur {
    /// Open orders of an offering (contract §3.2 step 9).
    pub(crate) async fn open_orders(&self, offering: Uuid) -> Result<Vec<dto::Order>, ApiError> {
        let listed = self.http.list(Self::orders_call(offering)).await?;
        Ok(readable_orders(listed))
    }

    /// Open orders about one resource. The server's filter is a help only: not all servers know it.
    pub(crate) async fn open_orders_of(
        &self,
        offering: Uuid,
        resource: Uuid,
    ) -> Result<Vec<dto::Order>, ApiError> {
        let call = Self::orders_call(offering).query("resource_uuid", resource.simple().to_string());
        let mut orders = readable_orders(self.http.list(call).await?);
        orders.retain(|order| order.marketplace_resource_uuid == Some(resource));
        Ok(orders)
    }

    /// What the fulfilled orders about a resource asked for, later ones on top; `None` if none named limits.
    pub(crate) async fn ordered_limits(
        &self,
        offering: Uuid,
        resource: Uuid,
    ) -> Result<Option<Limits>, ApiError> {
        let call = Call::get("/api/marketplace-orders/")
            .query("offering_uuid", offering.simple().to_string())
            .query("resource_uuid", resource.simple().to_string())
            .query("state", "done")
            .fields(&dto::Order::FIELDS);
        let mut orders = readable_orders(self.http.list(call).await?);
        orders.retain(|order| order.marketplace_resource_uuid == Some(resource) && order.state == "done");
        Ok(dto::ordered(&orders))
    }

    fn orders_call(offering: Uuid) -> Call<'static> {
        Call::get("/api/marketplace-orders/")
            .query("offering_uuid", offering.simple().to_string())
            .query("state", "pending-provider")
            .query("state", "executing")
            .fields(&dto::Order::FIELDS)
    }

    /// One order as it is now.
    pub(crate) async fn order(&self, order: Uuid) -> Result<dto::Order, ApiError> {
        self.http.json(Call::get(order_path(order, "")).fields(&dto::Order::FIELDS)).await
    }

    /// Approves and reads the order back: the server may have erred it at once, and answers 200 all the same.
    pub(crate) async fn approve(&self, order: Uuid) -> Result<dto::Order, ApiError> {
        self.http.done(Call::post(order_path(order, "approve_by_provider/"), json!({}))).await?;
        self.order(order).await
    }

    /// Rejects with a reason for the customer.
    pub(crate) async fn reject(&self, order: Uuid, comment: &str) -> Result<(), ApiError> {
        let body = json!({"provider_rejection_comment": comment});
        self.http.done(Call::post(order_path(order, "reject_by_provider/"), body)).await
    }

    /// The order is fulfilled.
    pub(crate) async fn set_done(&self, order: Uuid) -> Result<(), ApiError> {
        self.http.done(Call::post(order_path(order, "set_state_done/"), json!({}))).await
    }

    /// The order cannot be fulfilled. Both texts have to be present, empty or not.
    pub(crate) async fn set_erred(
        &self,
        order: Uuid,
        message: &str,
        traceback: &str,
    ) -> Result<(), ApiError> {
        let body = json!({"error_message": message, "error_traceback": traceback});
        self.http.done(Call::post(order_path(order, "set_state_erred/"), body)).await
    }
}

/// Orders of the promised shape. One of another shape is left alone, and keeps nobody from the others.
fn readable_orders(listed: Vec<Value>) -> Vec<dto::Order> {
    let read = listed.into_iter().filter_map(|order| {
        let uuid = order.get("uuid").and_then(Value::as_str).unwrap_or("without UUID").to_owned();
        match serde_path_to_error::deserialize(order) {
            Ok(order) => Some(order),
            Err(error) => {
                tracing::error!(order = uuid, "an order that cannot be read is left alone: {error}");
                None
            }
        }
    });
    read.collect()
}

fn order_path(order: Uuid, action: &str) -> String {
    format!("/api/marketplace-orders/{}/{action}", order.simple())
}
