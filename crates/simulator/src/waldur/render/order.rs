//! Orders (Waldur contract §9.3).

use serde_json::{Value, json};

use super::{View, optional_hex, optional_time, time};
use crate::waldur::fields::{Fields, Object, render};
use crate::waldur::model::{Offering, Order, Review, User};
use crate::waldur::request::hex;
use crate::waldur::wire::{OrderState, OrderType};

impl View<'_> {
    /// The order as the lists and `GET {uuid}/` show it.
    pub(crate) fn order(&self, order: &Order, fields: &Fields) -> Value {
        render(fields, |out| {
            self.order_core(order, out);
            self.order_people(order, out);
            self.order_money(order, out);
            if !self.is_2024() {
                self.order_current(order, out);
            }
            out.put("backend_id", order.backend_id.clone());
            out.nulls(&["issue", "termination_comment"]);
            for (name, value) in &order.overrides {
                match value {
                    Some(value) => out.put(name, value.clone()),
                    None => out.remove(name),
                }
            }
        })
    }

    /// The order as `POST /api/marketplace-orders/` answers.
    pub(crate) fn created_order(&self, order: &Order) -> Value {
        let all = Fields::all();
        if !self.is_2024() {
            return self.order(order, &all);
        }
        let mut out = Object::new(&all);
        self.order_core(order, &mut out);
        for name in ["customer_slug", "project_slug", "error_traceback", "new_plan_name", "new_plan_uuid"] {
            out.remove(name);
        }
        out.put("url", self.url("marketplace-orders", order.uuid));
        out.put("created_by", self.url("users", order.created_by));
        out.put("project", self.url("projects", order.project));
        let creator = self.state.users.get(order.created_by);
        out.put("created_by_username", creator.map(|user| user.username.clone()));
        out.put("created_by_full_name", creator.map(User::full_name));
        out.put("consumer_reviewed_by", order.consumer_review.map(|review| self.url("users", review.user)));
        out.put("consumer_reviewed_at", optional_time(order.consumer_review.map(|review| review.at)));
        if let Some(user) = order.consumer_review.and_then(|review| self.state.users.get(review.user)) {
            out.put("consumer_reviewed_by_username", user.username.clone());
            out.put("consumer_reviewed_by_full_name", user.full_name());
        }
        out.finish()
    }

    fn order_core(&self, order: &Order, out: &mut Object<'_>) {
        if let Some(offering) = self.state.offerings.get(order.offering) {
            self.offering_of(offering, out);
            self.plan_of(offering, order, out);
        }
        let resource = self.state.resources.get(order.resource);
        let allocation = resource.and_then(|resource| resource.allocation);
        out.with("uuid", || hex(order.uuid));
        out.with("created", || time(order.created));
        out.with("modified", || time(order.modified));
        out.put("type", order.kind.as_str());
        out.put("state", order.state.as_str());
        out.put("output", "");
        out.with("attributes", || order.attributes.clone());
        out.with("limits", || order.limits.clone());
        out.with("marketplace_resource_uuid", || hex(order.resource));
        out.put("resource_uuid", optional_hex(allocation.map(|allocation| allocation.uuid)));
        out.put("resource_type", allocation.map(|_| "SLURM.Allocation"));
        out.put("resource_name", resource.map(|resource| resource.name.clone()));
        out.put("cost", self.order_cost(order));
        out.put("error_message", order.error_message.clone());
        if self.is_staff || !self.is_2024() {
            out.put("error_traceback", order.error_traceback.clone());
        }
        out.nulls(&["callback_url"]);
        self.project_of(order.project, out);
        out.with("project_slug", || {
            self.state.projects.get(order.project).map(|project| project.slug.clone())
        });
        out.with("customer_slug", || {
            self.state.customer_of_project(order.project).map(|row| row.slug.clone())
        });
    }

    fn plan_of(&self, offering: &Offering, order: &Order, out: &mut Object<'_>) {
        let Some(plan) = order.plan.and_then(|uuid| offering.plan(uuid)) else {
            out.put("plan", Value::Null);
            return;
        };
        out.with("plan", || self.plan_url(offering, plan.uuid));
        out.with("plan_uuid", || hex(plan.uuid));
        out.put("plan_name", plan.name.clone());
        out.put("plan_unit", plan.unit.clone());
        out.put("plan_description", "");
        if order.kind != OrderType::Terminate {
            out.put("new_plan_name", plan.name.clone());
            out.put("new_plan_uuid", hex(plan.uuid));
        }
    }

    fn order_people(&self, order: &Order, out: &mut Object<'_>) {
        let creator = self.state.users.get(order.created_by);
        out.put("created_by_full_name", creator.map(User::full_name));
        out.nulls(&["created_by_civil_number"]);
        self.review("consumer", order.consumer_review, out);
        self.review("provider", order.provider_review, out);
        if !self.is_2024() {
            out.put("created_by_username", creator.map(|user| user.username.clone()));
            out.put("created_by_email", creator.map(|user| user.email.clone()));
        }
    }

    /// Without a review the 2024 server leaves the name away and shows only the time as null.
    fn review(&self, side: &str, review: Option<Review>, out: &mut Object<'_>) {
        out.put(&format!("{side}_reviewed_at"), optional_time(review.map(|review| review.at)));
        match review.and_then(|review| self.state.users.get(review.user)) {
            Some(user) => {
                out.put(&format!("{side}_reviewed_by"), user.username.clone());
                out.put(&format!("{side}_reviewed_by_full_name"), user.full_name());
            }
            None if self.is_2024() => {}
            None => out.nulls(&[&format!("{side}_reviewed_by")]),
        }
    }

    fn order_money(&self, order: &Order, out: &mut Object<'_>) {
        out.put("old_cost_estimate", 0.0);
        let terminates = order.kind == OrderType::Terminate;
        out.put("new_cost_estimate", if terminates { Value::Null } else { json!(0.0) });
        out.put("fixed_price", 0);
        out.put("activation_price", 0);
        // On this offering type only the server itself withdraws an order.
        out.put("can_terminate", false);
    }

    fn order_cost(&self, order: &Order) -> Value {
        match (order.kind, self.is_2024()) {
            (OrderType::Terminate, _) => Value::Null,
            (_, true) => json!("0.0000000000"),
            (_, false) => json!("0.00"),
        }
    }

    fn order_current(&self, order: &Order, out: &mut Object<'_>) {
        out.with("url", || self.url("marketplace-orders", order.uuid));
        out.with("slug", || format!("order-{}", order.number));
        out.put("order_subtype", subtype(order));
        out.put("completed_at", optional_time(order.completed));
        out.nulls(&["request_comment", "attachment", "start_date"]);
        let offering = self.state.offerings.get(order.offering);
        let plan_name = |uuid: Option<uuid::Uuid>| Some(offering?.plan(uuid?)?.name.clone());
        out.put("old_plan_uuid", optional_hex(order.old_plan));
        out.put("old_plan_name", plan_name(order.old_plan));
        if order.plan.is_none() {
            out.nulls(&["new_plan_uuid", "new_plan_name"]);
        }
        out.put("provider_message", order.provider_message.clone());
        out.put("provider_message_url", order.provider_message_url.clone());
        out.put("consumer_message", order.consumer_message.clone());
        out.put("consumer_rejection_comment", order.consumer_rejection_comment.clone());
        out.put("provider_rejection_comment", order.provider_rejection_comment.clone());
        let pending = matches!(order.state, OrderState::PendingConsumer | OrderState::PendingProvider);
        out.put("can_terminate", pending);
    }
}

fn subtype(order: &Order) -> Option<&'static str> {
    if order.kind != OrderType::Update {
        return None;
    }
    if order.attributes.get("old_limits").is_some() { Some("limits") } else { order.old_plan.map(|_| "plan") }
}
