//! Resources (Waldur contract §9.4).

use serde_json::{Map, Value, json};

use super::{View, optional_hex, optional_time, time};
use crate::waldur::fields::{Fields, Object, render};
use crate::waldur::model::{Component, Resource};
use crate::waldur::request::hex;
use crate::waldur::wire::{OrderType, ResourceState};

impl View<'_> {
    /// The resource as `GET {uuid}/` of provider and consumer endpoints shows it.
    pub(crate) fn resource(&self, resource: &Resource, fields: &Fields) -> Value {
        self.draw_resource(resource, fields, true)
    }

    /// The resource as lists show it: the 2024 server leaves its orders away there (measurements 065, 102).
    pub(crate) fn listed_resource(&self, resource: &Resource, fields: &Fields) -> Value {
        self.draw_resource(resource, fields, !self.is_2024())
    }

    fn draw_resource(&self, resource: &Resource, fields: &Fields, with_orders: bool) -> Value {
        render(fields, |out| {
            self.resource_core(resource, out);
            self.resource_context(resource, out);
            if with_orders {
                self.resource_orders(resource, out);
            }
            if !self.is_2024() {
                self.resource_current(resource, out);
            }
            for (name, value) in &resource.overrides {
                match value {
                    Some(value) => out.put(name, value.clone()),
                    None => out.remove(name),
                }
            }
        })
    }

    fn resource_core(&self, resource: &Resource, out: &mut Object<'_>) {
        out.with("uuid", || hex(resource.uuid));
        out.with("url", || {
            let collection =
                if self.is_2024() { "marketplace-resources" } else { "marketplace-provider-resources" };
            self.url(collection, resource.uuid)
        });
        out.with("created", || time(resource.created));
        out.with("modified", || time(resource.modified));
        out.with("name", || resource.name.clone());
        out.with("slug", || resource.slug.clone());
        out.with("description", || resource.description.clone());
        out.put("state", resource.state.as_str());
        out.with("backend_id", || resource.backend_id.clone());
        out.with("effective_id", || resource.effective_id.clone());
        out.with("limits", || resource.limits.clone());
        out.with("attributes", || resource.attributes.clone());
        out.with("options", || resource.options.clone());
        out.with("backend_metadata", || resource.backend_metadata.clone());
        out.with("endpoints", || resource.endpoints.clone());
        out.with("report", || resource.report.clone());
        out.with("current_usages", || resource.current_usages.clone());
        out.put("end_date", resource.end_date.clone());
        out.nulls(&["end_date_requested_by", "username"]);
        out.put("paused", resource.paused);
        out.put("downscaled", resource.downscaled);
        out.put("restrict_member_access", resource.restrict_member_access);
        out.with("error_message", || resource.error_message.clone());
        out.with("error_traceback", || resource.error_traceback.clone());
        let usable = matches!(resource.state, ResourceState::Ok | ResourceState::Erred);
        out.with("can_terminate", || usable && self.state.open_order(resource.uuid).is_none());
        out.put("available_actions", json!([]));
        let allocation = resource.allocation;
        out.put("scope", allocation.map(|allocation| self.url("slurm-allocations", allocation.uuid)));
        out.put("resource_uuid", optional_hex(allocation.map(|allocation| allocation.uuid)));
        out.put("resource_type", allocation.map(|_| "SLURM.Allocation"));
    }

    fn resource_context(&self, resource: &Resource, out: &mut Object<'_>) {
        if let Some(offering) = self.state.offerings.get(resource.offering) {
            self.offering_of(offering, out);
            out.with("offering_customer_uuid", || hex(offering.customer));
            out.put("is_usage_based", offering.bills("usage"));
            out.put("is_limit_based", offering.bills("limit"));
            out.with("limit_usage", || limit_usage(&offering.components, resource));
            let plan = resource.plan.and_then(|uuid| offering.plan(uuid));
            out.with("plan", || plan.map(|plan| self.plan_url(offering, plan.uuid)));
            if let Some(plan) = plan {
                out.with("plan_uuid", || hex(plan.uuid));
                out.put("plan_name", plan.name.clone());
                out.put("plan_unit", plan.unit.clone());
                out.put("plan_description", "");
            }
            if !self.is_2024() {
                out.with("offering_slug", || offering.slug.clone());
                out.with("offering_backend_id", || offering.backend_id.clone());
                out.put("offering_state", offering.state.as_str());
                out.with("offering_components", || self.components(offering));
                out.with("provider_slug", || self.state.provider_of(offering).map(|row| row.slug.clone()));
            }
        }
        self.project_of(resource.project, out);
        out.with("project", || self.url("projects", resource.project));
        out.with("project_end_date", || {
            self.state.projects.get(resource.project).and_then(|project| project.end_date.clone())
        });
        out.nulls(&["project_end_date_requested_by"]);
    }

    fn resource_orders(&self, resource: &Resource, out: &mut Object<'_>) {
        let all = Fields::all();
        out.with("order_in_progress", || {
            self.state.open_order(resource.uuid).map_or(Value::Null, |order| self.order(order, &all))
        });
        out.with("creation_order", || {
            let mut orders = self.state.orders_of(resource.uuid);
            let created = orders.find(|order| order.kind == OrderType::Create);
            created.map_or(Value::Null, |order| self.order(order, &all))
        });
    }

    fn resource_current(&self, resource: &Resource, out: &mut Object<'_>) {
        out.with("project_slug", || {
            self.state.projects.get(resource.project).map(|project| project.slug.clone())
        });
        out.with("customer_slug", || {
            self.state.customer_of_project(resource.project).map(|customer| customer.slug.clone())
        });
        out.with("project_name", || {
            self.state.projects.get(resource.project).map(|project| project.name.clone())
        });
        out.with("customer_name", || {
            self.state.customer_of_project(resource.project).map(|customer| customer.name.clone())
        });
        out.with("last_sync", || time(resource.last_sync));
        out.put("end_date_updated_at", optional_time(resource.end_date_updated_at));
        out.blanks(&["usage_limit_restriction"]);
        out.nulls(&["renewal_date"]);
        out.put("user_requires_reconsent", false);
        out.put("has_api_keys", false);
    }
}

/// The current usage of the components that have limits; null where nothing was reported.
fn limit_usage(components: &[Component], resource: &Resource) -> Value {
    let limited = components.iter().filter(|component| component.billing_type == "limit");
    let usages: Map<String, Value> = limited
        .map(|component| {
            let usage = resource.current_usages.get(&component.kind).cloned().unwrap_or(Value::Null);
            (component.kind.clone(), usage)
        })
        .collect();
    Value::Object(usages)
}
