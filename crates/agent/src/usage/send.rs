//! Sends one resource's month, and makes the best of a refusal.

use std::collections::BTreeMap;

use jiff::Timestamp;
use planner::outcome::Failure;
use planner::usage::fraction::Hundredths;
use planner::usage::month::Month;
use planner::usage::report;

use super::{Reported, Reports};
use crate::error::ApiError;
use crate::waldur::calls::DaysOf;
use crate::waldur::dto;

/// Sends; whether the server took anything. Components that it refuses are left out one by one, since it refuses the
/// whole report for one of them.
pub(super) async fn send(
    reports: &Reports,
    reported: &Reported,
    resource: &dto::ReportedResource,
    month: Month,
    mut usages: BTreeMap<String, Hundredths>,
    days: DaysOf,
    now: Timestamp,
) -> Result<bool, ApiError> {
    let offering = &reported.offering;
    if reports.options.dry_run {
        for (component, amount) in &usages {
            tracing::info!(target: "plan", resource = %resource.uuid.simple(), "would report {amount} of {component} for {month}");
        }
        return Ok(false);
    }
    let date = month.report_date(&reports.options.zone);
    loop {
        let Err(error) = offering.waldur.set_usage(resource.uuid, date, &usages, &days).await else {
            return Ok(true);
        };
        if error.failure != Failure::Invalid {
            tracing::error!(resource = %resource.uuid.simple(), error = %error, "usage not reported; will try again");
            return Err(error);
        }
        if report::refuses_past(&error.message) {
            if !month.is_past(&reports.options.zone, now) {
                let hint = "by this machine's clock the month goes on: is the clock of Waldur right, and the one here?";
                let error = error.with_hint(hint);
                tracing::error!(resource = %resource.uuid.simple(), error = %error, "usage not reported; will try again");
                return Err(error);
            }
            if reports.note_closed(offering.options.uuid, month) {
                tracing::warn!(%month, "Waldur takes no usage of this past month from this token: {}", error.message);
            }
            return Ok(false);
        }
        if error.message.contains("not in valid state") {
            tracing::info!(resource = %resource.uuid.simple(), "Waldur takes no usage of the resource in its state; will try again");
            return Ok(false);
        }
        let refused = report::refused_components(&error.message);
        let before = usages.len();
        usages.retain(|component, _| !refused.contains(component));
        if usages.len() == before {
            return one_by_one(reports, reported, resource, month, (&usages, &days), &error).await;
        }
        for component in &refused {
            reports.say_once(format!(
                "Waldur takes no usage of component `{component}` of offering `{}`; it is left out of reports",
                offering.options.name
            ));
        }
        if usages.is_empty() {
            return Ok(false);
        }
    }
}

/// The server does not say which component it does not like: each is sent by itself.
async fn one_by_one(
    reports: &Reports,
    reported: &Reported,
    resource: &dto::ReportedResource,
    month: Month,
    (usages, days): (&BTreeMap<String, Hundredths>, &DaysOf),
    refusal: &ApiError,
) -> Result<bool, ApiError> {
    let date = month.report_date(&reports.options.zone);
    let mut sent = false;
    for (component, amount) in usages {
        let one = BTreeMap::from([(component.clone(), *amount)]);
        let refused = if usages.len() == 1 {
            Err(refusal.clone())
        } else {
            reported.offering.waldur.set_usage(resource.uuid, date, &one, days).await
        };
        match refused {
            Ok(()) => sent = true,
            Err(error) if error.failure == Failure::Invalid => reports.say_once(format!(
                "Waldur refuses {amount} of component `{component}` of resource {} for {month}; it is left out: {}",
                resource.uuid.simple(),
                error.message
            )),
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
