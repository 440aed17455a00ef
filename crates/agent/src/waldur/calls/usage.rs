//! Usage: what Waldur has of a month, and what it is told (Waldur contract §5).

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use planner::usage::fraction::Hundredths;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Waldur, resource_path};
use crate::error::ApiError;
use crate::waldur::dto;
use crate::waldur::http::Call;

/// What is told of each day of a month, by component.
pub(crate) type DaysOf = BTreeMap<String, BTreeMap<Date, Hundredths>>;

impl Waldur {
    /// Resources of an offering that have usage, whether or not it is taken now; or one of them.
    pub(crate) async fn resources_with_usage(
        &self,
        offering: Uuid,
        only: Option<Uuid>,
    ) -> Result<Vec<dto::ReportedResource>, ApiError> {
        if let Some(resource) = only {
            let call = Call::get(resource_path(resource, "")).fields(&dto::ReportedResource::FIELDS);
            let resource: dto::ReportedResource = self.http.json(call).await?;
            return Ok(Some(resource).filter(|resource| resource.is_of(offering)).into_iter().collect());
        }
        let mut call = Call::get("/api/marketplace-provider-resources/")
            .query("offering_uuid", offering.simple().to_string())
            .fields(&dto::ReportedResource::FIELDS);
        for state in ["OK", "Erred", "Updating", "Terminating"] {
            call = call.query("state", state);
        }
        let mut resources: Vec<dto::ReportedResource> = self.http.list(call).await?;
        resources.retain(|resource| resource.is_of(offering));
        Ok(resources)
    }

    /// What Waldur has of a month of all resources of an offering, or of one of them; `period` as `2026-11-01`.
    pub(crate) async fn component_usages(
        &self,
        offering: Uuid,
        resource: Option<Uuid>,
        period: &str,
    ) -> Result<Vec<dto::ComponentUsage>, ApiError> {
        let mut call = Call::get("/api/marketplace-component-usages/")
            .query("offering_uuid", offering.simple().to_string())
            .query("billing_period", period)
            .fields(&dto::ComponentUsage::FIELDS);
        if let Some(resource) = resource {
            call = call.query("resource_uuid", resource.simple().to_string());
        }
        let mut usages: Vec<dto::ComponentUsage> = self.http.list(call).await?;
        usages.retain(|usage| usage.billing_period.is_empty() || usage.billing_period == period);
        Ok(usages)
    }

    /// Replaces what Waldur has of a resource's month, for the components that are named (contract §5.3): by day for
    /// those in `days`.
    pub(crate) async fn set_usage(
        &self,
        resource: Uuid,
        date: Timestamp,
        usages: &BTreeMap<String, Hundredths>,
        days: &DaysOf,
    ) -> Result<(), ApiError> {
        let months = usages.iter().filter(|(component, _)| !days.contains_key(*component));
        let months: Vec<Value> = months
            .map(|(component, amount)| json!({"type": component, "amount": amount.to_string()}))
            .collect();
        let each = days.iter().filter(|(component, _)| usages.contains_key(*component));
        let each: Vec<Value> = each
            .flat_map(|(component, days)| {
                days.iter().map(
                    move |(day, amount)| json!({"type": component, "date": day, "amount": amount.to_string()}),
                )
            })
            .collect();
        let mut body =
            json!({"resource": resource.simple().to_string(), "date": date.to_string(), "usages": months});
        if !each.is_empty() {
            body["daily_usages"] = Value::Array(each);
        }
        self.http.done(Call::post("/api/marketplace-component-usages/set_usage/", body)).await
    }
}
