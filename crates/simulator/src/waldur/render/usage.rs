//! Component usages (Waldur contract §9.6).

use serde_json::{Value, json};
use uuid::Uuid;

use super::{View, time};
use crate::waldur::fields::{Fields, Object, render};
use crate::waldur::model::{
    Component, ComponentUsage, ComponentUserUsage, ComponentUserUsageLimit, Resource,
};
use crate::waldur::request::hex;

impl View<'_> {
    pub(crate) fn component_usage(&self, usage: &ComponentUsage, fields: &Fields) -> Value {
        render(fields, |out| {
            self.usage_core(usage, out);
            self.usage_context(usage.resource, out);
            out.with("billing_period", || usage.billing_period.to_string());
            let user = usage.modified_by.and_then(|uuid| self.state.users.get(uuid));
            out.put("modified_by", user.map(|user| user.number));
            if !self.is_2024() {
                out.put("missing_usage_policy", "none");
            }
        })
    }

    fn usage_core(&self, usage: &ComponentUsage, out: &mut Object<'_>) {
        out.with("uuid", || hex(usage.uuid));
        out.with("created", || time(usage.created));
        out.put("description", usage.description.clone());
        out.put("type", usage.kind.clone());
        let component = self.component_of(usage.resource, &usage.kind);
        out.put("name", component.map(|component| component.name.clone()));
        out.put("measured_unit", component.map(|component| component.measured_unit.clone()));
        out.put("usage", usage.usage.clone());
        out.with("date", || time(usage.date));
        out.put("recurring", usage.recurring);
    }

    fn usage_context(&self, resource: Uuid, out: &mut Object<'_>) {
        let Some(resource) = self.state.resources.get(resource) else { return };
        out.with("resource_uuid", || hex(resource.uuid));
        out.with("resource_name", || resource.name.clone());
        out.with("offering_uuid", || hex(resource.offering));
        let offering = self.state.offerings.get(resource.offering);
        out.with("offering_name", || offering.map(|offering| offering.name.clone()));
        let project = self.state.projects.get(resource.project);
        out.with("project_uuid", || hex(resource.project));
        out.with("project_name", || project.map(|project| project.name.clone()));
        let customer = self.state.customer_of_project(resource.project);
        out.with("customer_uuid", || customer.map(|customer| hex(customer.uuid)));
        out.with("customer_name", || customer.map(|customer| customer.name.clone()));
    }

    fn component_of(&self, resource: Uuid, kind: &str) -> Option<&Component> {
        let resource = self.state.resources.get(resource)?;
        self.state.offerings.get(resource.offering)?.component(kind)
    }

    pub(crate) fn component_user_usage(&self, usage: &ComponentUserUsage, fields: &Fields) -> Value {
        render(fields, |out| {
            out.with("uuid", || hex(usage.uuid));
            // The 2024 server takes the user's address and stores none (measurement 149).
            let user = usage.offering_user.filter(|_| !self.is_2024());
            out.put("user", user.map(|uuid| self.url("marketplace-offering-users", uuid)));
            out.put("username", usage.username.clone());
            out.with("component_usage", || self.url("marketplace-component-usages", usage.component_usage));
            out.put("usage", usage.usage.clone());
            out.blanks(&["description", "backend_id"]);
            out.with("created", || time(usage.created));
            out.with("modified", || time(usage.modified));
            self.usage_context(usage.resource, out);
            let Some(parent) = self.state.usages.get(usage.component_usage) else { return };
            out.put("component_type", parent.kind.clone());
            let component = self.component_of(usage.resource, &parent.kind);
            out.put("measured_unit", component.map(|component| component.measured_unit.clone()));
            out.with("date", || time(parent.date));
            if !self.is_2024() {
                out.with("billing_period", || parent.billing_period.to_string());
            }
        })
    }

    pub(crate) fn component_user_usage_limit(
        &self,
        limit: &ComponentUserUsageLimit,
        fields: &Fields,
    ) -> Value {
        render(fields, |out| {
            out.with("url", || self.url("component-user-usage-limits", limit.uuid));
            out.with("uuid", || hex(limit.uuid));
            out.with("resource", || self.url("marketplace-resources", limit.resource));
            out.put("component", self.component_of(limit.resource, &limit.kind).map(|row| hex(row.uuid)));
            out.put("component_type", limit.kind.clone());
            out.with("user", || self.url("marketplace-offering-users", limit.offering_user));
            out.put("limit", limit.limit.clone());
        })
    }

    /// The one plan period of a resource, with the usage reported in it.
    pub(crate) fn plan_periods(&self, resource: &Resource) -> Value {
        let plan = self.state.offerings.get(resource.offering).zip(resource.plan);
        let plan = plan.and_then(|(offering, plan)| offering.plan(plan));
        let (Some(plan), Some(start)) = (plan, resource.plan_since) else { return json!([]) };
        let all = Fields::all();
        let usages = self.state.usages.select(&[resource.uuid], &[]).into_iter().map(|usage| {
            let mut out = Object::new(&all);
            self.usage_core(usage, &mut out);
            out.finish()
        });
        json!([{
            "uuid": hex(resource.plan_period),
            "plan_name": plan.name,
            "plan_uuid": hex(plan.uuid),
            "start": time(start),
            "end": null,
            "components": usages.collect::<Vec<_>>(),
        }])
    }
}
