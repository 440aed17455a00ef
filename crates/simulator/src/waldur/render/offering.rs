//! Offerings, their components and plans, service providers and projects (Waldur contract §9.2).

use serde_json::{Value, json};
use uuid::Uuid;

use super::{View, time};
use crate::waldur::fields::{Fields, Object, render};
use crate::waldur::model::{Component, Customer, Offering, Plan, Project, ServiceProvider};
use crate::waldur::request::hex;
use crate::waldur::wire::ResourceState;

/// What a component holds when the offering's owner set nothing.
fn component_defaults(is_2024: bool) -> Value {
    let mut fields = json!({
        "description": "", "limit_period": null, "limit_amount": null, "article_code": "", "max_value": null,
        "min_value": null, "max_available_limit": null, "is_boolean": false, "default_limit": null, "factor": null,
        "is_builtin": false,
    });
    if !is_2024 {
        fields["unit_factor"] = json!(1);
        fields["limit_decimal_places"] = json!(0);
        fields["is_prepaid"] = json!(false);
        fields["overage_component"] = Value::Null;
    }
    fields
}

impl View<'_> {
    /// `offering_*`, `provider_*` and `category_*` fields that orders and resources share.
    pub(super) fn offering_of(&self, offering: &Offering, out: &mut Object<'_>) {
        out.with("offering", || self.url("marketplace-public-offerings", offering.uuid));
        out.with("offering_uuid", || hex(offering.uuid));
        out.with("offering_name", || offering.name.clone());
        out.put("offering_type", offering.kind.as_str());
        out.put("offering_shared", true);
        out.put("offering_billable", true);
        out.blanks(&["offering_description"]);
        out.nulls(&["offering_image", "offering_thumbnail", "category_icon"]);
        if self.is_2024() {
            out.blanks(&["offering_terms_of_service"]);
        }
        out.with("offering_plugin_options", || offering.plugin_options.clone());
        out.with("provider_uuid", || hex(offering.customer));
        let provider = self.state.provider_of(offering);
        out.with("provider_name", || provider.map(|provider| provider.name.clone()));
        if !self.is_2024() {
            out.with("provider_slug", || provider.map(|provider| provider.slug.clone()));
        }
        out.put("category_title", CATEGORY);
        out.with("category_uuid", || hex(offering.category));
    }

    /// `project_*` and `customer_*` fields that orders and resources share.
    pub(super) fn project_of(&self, project: Uuid, out: &mut Object<'_>) {
        let Some(project) = self.state.projects.get(project) else { return };
        out.with("project_uuid", || hex(project.uuid));
        out.with("project_name", || project.name.clone());
        out.with("project_description", || project.description.clone());
        out.with("customer_uuid", || hex(project.customer));
        out.with("customer_name", || self.customer(project.customer).map(|customer| customer.name.clone()));
    }

    fn customer(&self, uuid: Uuid) -> Option<&Customer> {
        self.state.customers.get(uuid)
    }

    pub(super) fn plan_url(&self, offering: &Offering, plan: Uuid) -> String {
        if self.is_2024() {
            let public = self.url("marketplace-public-offerings", offering.uuid);
            format!("{public}plans/{}/", hex(plan))
        } else {
            self.url("marketplace-plans", plan)
        }
    }

    pub(crate) fn offering(&self, offering: &Offering, fields: &Fields) -> Value {
        render(fields, |out| {
            out.with("url", || self.url("marketplace-provider-offerings", offering.uuid));
            out.with("uuid", || hex(offering.uuid));
            out.with("created", || time(offering.created));
            out.put("name", offering.name.clone());
            out.put("slug", offering.slug.clone());
            out.put("type", offering.kind.clone());
            out.put("state", offering.state.as_str());
            out.put("backend_id", offering.backend_id.clone());
            out.put("shared", true);
            out.put("billable", true);
            out.with("customer", || self.url("customers", offering.customer));
            out.with("customer_uuid", || hex(offering.customer));
            out.with("customer_name", || self.state.provider_of(offering).map(|row| row.name.clone()));
            out.with("category", || self.url("marketplace-categories", offering.category));
            out.with("category_uuid", || hex(offering.category));
            out.put("category_title", CATEGORY);
            out.with("components", || self.components(offering));
            out.with("plans", || {
                let plans = offering.plans.iter();
                Value::Array(plans.map(|plan| self.plan(offering, plan, &Fields::all(), false)).collect())
            });
            out.with("plugin_options", || offering.plugin_options.clone());
            out.with("secret_options", || offering.secret_options.clone());
            self.offering_rest(offering, out);
        })
    }

    fn offering_rest(&self, offering: &Offering, out: &mut Object<'_>) {
        out.blanks(&["description", "full_description", "terms_of_service", "terms_of_service_link"]);
        out.blanks(&["privacy_policy_link", "native_name", "native_description", "vendor_details"]);
        out.blanks(&["getting_started", "integration_guide", "paused_reason", "datacite_doi", "country"]);
        out.nulls(&["project", "rating", "thumbnail", "scope", "latitude", "longitude", "image"]);
        out.nulls(&["google_calendar_is_public", "google_calendar_link"]);
        for name in
            ["endpoints", "roles", "screenshots", "files", "organization_groups", "integration_status"]
        {
            out.put(name, json!([]));
        }
        for name in ["attributes", "service_attributes", "backend_metadata"] {
            out.put(name, json!({}));
        }
        for name in ["options", "resource_options"] {
            out.put(name, json!({ "order": [], "options": {} }));
        }
        out.put("citation_count", -1);
        out.with("order_count", || self.state.orders.select(&[offering.uuid], &[]).len());
        if !self.is_2024() {
            out.put("partitions", json!([]));
            out.put("backend_id_rules", json!({}));
        }
    }

    /// Components in the order of their types.
    pub(super) fn components(&self, offering: &Offering) -> Value {
        let mut components: Vec<&Component> = offering.components.iter().collect();
        components.sort_by(|a, b| a.kind.cmp(&b.kind));
        Value::Array(components.into_iter().map(|component| self.component(offering, component)).collect())
    }

    fn component(&self, offering: &Offering, component: &Component) -> Value {
        let mut fields = component_defaults(self.is_2024());
        for (name, value) in &component.more {
            fields[name] = value.clone();
        }
        fields["uuid"] = json!(hex(component.uuid));
        fields["type"] = json!(component.kind);
        fields["name"] = json!(component.name);
        fields["measured_unit"] = json!(component.measured_unit);
        fields["billing_type"] = json!(component.billing_type);
        if !self.is_2024() {
            fields["offering_uuid"] = json!(hex(offering.uuid));
        }
        fields
    }

    /// A plan; `alone` when it is not shown inside its offering.
    pub(crate) fn plan(&self, offering: &Offering, plan: &Plan, fields: &Fields, alone: bool) -> Value {
        render(fields, |out| {
            out.with("url", || self.url("marketplace-plans", plan.uuid));
            out.with("uuid", || hex(plan.uuid));
            out.put("name", plan.name.clone());
            out.put("unit", plan.unit.clone());
            out.blanks(&["description", "article_code", "backend_id"]);
            out.nulls(&["max_amount"]);
            out.put("archived", false);
            out.put("is_active", true);
            out.put("unit_price", "0.0000000000");
            out.put("init_price", 0);
            out.put("switch_price", 0);
            out.put("organization_groups", json!([]));
            out.with("prices", || plan.prices.clone());
            out.with("future_prices", || {
                let kinds = offering.components.iter().map(|component| component.kind.clone());
                Value::Object(kinds.map(|kind| (kind, Value::Null)).collect())
            });
            out.with("quotas", || plan.quotas.clone());
            out.with("resources_count", || {
                let resources = self.state.resources.select(&[offering.uuid], &[]);
                resources
                    .iter()
                    .filter(|row| row.plan == Some(plan.uuid) && row.state != ResourceState::Terminated)
                    .count()
            });
            out.put("plan_type", if self.is_2024() { Value::Null } else { json!("limit") });
            out.put("minimal_price", if self.is_2024() { json!(0) } else { json!("0") });
            if alone {
                out.with("offering", || self.url("marketplace-provider-offerings", offering.uuid));
            }
            if !self.is_2024() {
                out.with("components", || plan_components(offering, plan));
            }
        })
    }

    /// `field` has no effect on service providers in 2024 (measurement 013).
    pub(crate) fn service_provider(&self, provider: &ServiceProvider, fields: &Fields) -> Value {
        let all = Fields::all();
        render(if self.is_2024() { &all } else { fields }, |out| {
            out.put("url", self.url("marketplace-service-providers", provider.uuid));
            out.put("uuid", hex(provider.uuid));
            out.put("created", time(provider.created));
            out.put("customer", self.url("customers", provider.customer));
            out.put("customer_uuid", hex(provider.customer));
            let customer = self.customer(provider.customer);
            out.put("customer_name", customer.map(|customer| customer.name.clone()));
            out.blanks(&["description", "customer_abbreviation", "customer_native_name", "customer_country"]);
            out.nulls(&["customer_image", "image"]);
            out.put("enable_notifications", true);
            out.with("offering_count", || self.state.offerings.select(&[provider.customer], &[]).len());
            if self.is_2024() {
                out.nulls(&["organization_group"]);
            } else {
                out.put("customer_slug", customer.map(|customer| customer.slug.clone()));
                out.put("organization_groups", json!([]));
            }
        })
    }

    pub(crate) fn project(&self, project: &Project, fields: &Fields) -> Value {
        render(fields, |out| {
            out.put("url", self.url("projects", project.uuid));
            out.put("uuid", hex(project.uuid));
            out.put("name", project.name.clone());
            out.put("slug", project.slug.clone());
            out.put("description", project.description.clone());
            out.put("created", time(project.created));
            out.put("end_date", project.end_date.clone());
            out.put("customer", self.url("customers", project.customer));
            out.put("customer_uuid", hex(project.customer));
            let customer = self.customer(project.customer);
            out.put("customer_name", customer.map(|customer| customer.name.clone()));
            out.put("customer_slug", customer.map(|customer| customer.slug.clone()));
            out.blanks(&["customer_native_name", "customer_abbreviation", "backend_id"]);
            out.nulls(&["type", "start_date", "end_date_requested_by", "image"]);
            out.nulls(&["oecd_fos_2007_code", "oecd_fos_2007_label"]);
            out.put("is_industry", false);
            out.put(
                "billing_price_estimate",
                json!({ "total": 0.0, "current": 0.0, "tax": 0.0, "tax_current": 0.0 }),
            );
            let live = || {
                let resources = self.state.resources_in(project.uuid);
                resources
                    .filter(|row| !matches!(row.state, ResourceState::Creating | ResourceState::Terminated))
            };
            out.with("resources_count", || live().count());
            out.with("marketplace_resource_count", || {
                let category = live().next().and_then(|row| self.state.offerings.get(row.offering));
                match category {
                    Some(offering) => json!({ hex(offering.category): live().count() }),
                    None => json!({}),
                }
            });
        })
    }
}

const CATEGORY: &str = "Container platforms";

fn plan_components(offering: &Offering, plan: &Plan) -> Value {
    let components = offering.components.iter().map(|component| {
        json!({
            "type": component.kind, "name": component.name, "measured_unit": component.measured_unit,
            "billing_type": component.billing_type,
            "amount": plan.quotas.get(&component.kind).cloned().unwrap_or(json!(0)),
            "price": plan.prices.get(&component.kind).map_or_else(|| "0".to_owned(), ToString::to_string),
            "future_price": null,
        })
    });
    Value::Array(components.collect())
}
