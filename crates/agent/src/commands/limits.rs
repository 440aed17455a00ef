//! `waldur_sync_resource_limits`: brings the quotas on the cluster to the limits in Waldur, by one pass of the engine.
//!
//! The Python agent's direction, from the cluster to Waldur, is there for whoever asks for it by a flag: it replaces
//! what the customer bought by what the quota says.

use planner::model::{Limit, Limits};
use planner::quota;
use serde_json::{Map, Value};

use super::{Manner, complain, offering, say};
use crate::error::ApiError;
use crate::settings::{OfferingSettings, Settings};
use crate::setup;
use crate::waldur::dto;

/// Waldur → cluster; false if something failed.
///
/// # Errors
/// Settings that cannot be used.
pub(crate) async fn to_cluster(settings: &Settings, manner: Manner) -> anyhow::Result<bool> {
    let engine = setup::limits_engine(settings, manner.engine())?;
    Ok(engine.keep_resources_once().await)
}

/// Cluster → Waldur; false if something failed.
pub(crate) async fn to_waldur(settings: &Settings, manner: Manner) -> bool {
    let mut all_well = true;
    for offering in &settings.offerings {
        match of_offering(settings, offering, manner).await {
            Ok(well) => all_well &= well,
            Err(error) => {
                complain(&offering.name, &format!("{error:#}"));
                all_well = false;
            }
        }
    }
    all_well
}

async fn of_offering(
    settings: &Settings,
    configured: &OfferingSettings,
    manner: Manner,
) -> anyhow::Result<bool> {
    let built = offering(settings, configured, "sync_resource_limits", manner)?;
    let surroundings = built.cluster.surroundings().await?;
    let (policy, model) = (built.policy(&surroundings), built.model().await?);
    let resources = built.waldur.resources_in_use(configured.offering_uuid).await?;
    built.cluster.refresh().await?;
    let mut all_well = true;
    for resource in resources {
        let told = told(&resource);
        if let Some(why) = told.left_out {
            say(&configured.name, &format!("{}: left as it is: {why}", told.name));
            continue;
        }
        let observed = built.cluster.observe(resource.uuid, &told.backend_id, false).await?;
        if observed.quotas.is_empty() {
            say(&configured.name, &format!("{}: left as it is: the cluster has no quota of it", told.name));
            continue;
        }
        let hards = observed.quotas.into_iter().map(|(name, quota)| (name, quota.value.hard)).collect();
        let held = quota::exact_limits_of(&policy, &model, &hards);
        let Some(limits) = different(&told.limits, &held) else {
            say(&configured.name, &format!("{}: the same here and there", told.name));
            continue;
        };
        let what = format!("{}: limits of the cluster: {}", told.name, Value::Object(limits.clone()));
        if manner.dry_run {
            say(&configured.name, &format!("would set {what}"));
            continue;
        }
        let written: Result<(), ApiError> = built.waldur.set_limits(resource.uuid, &limits).await;
        match written {
            Ok(()) => say(&configured.name, &what),
            Err(error) => {
                complain(&configured.name, &format!("{}: {error}", told.name));
                all_well = false;
            }
        }
    }
    Ok(all_well)
}

/// A resource as Waldur has it.
struct Told {
    name: String,
    backend_id: String,
    limits: Limits,
    left_out: Option<&'static str>,
}

fn told(resource: &dto::Resource) -> Told {
    let model = resource.to_model(None);
    // Their quotas are what pausing or scaling down makes of them, not what was bought.
    let left_out = match (model.paused, model.downscaled, model.backend_id.is_empty()) {
        (true, ..) => Some("it is paused"),
        (_, true, _) => Some("it is scaled down"),
        (.., true) => Some("it has no project"),
        _ => None,
    };
    let name = format!("{} ({})", model.name, resource.uuid.simple());
    Told { name, backend_id: model.backend_id, limits: model.limits, left_out }
}

/// The whole of the limits to set, if something differs. What the quota does not say stays.
fn different(told: &Limits, held: &Limits) -> Option<Map<String, Value>> {
    let mut limits = told.clone();
    for (component, limit) in held {
        if matches!(limit, Limit::Amount(_)) {
            limits.insert(component.clone(), limit.clone());
        }
    }
    let number = |limit: &Limit| match limit {
        Limit::Amount(amount) => Some(amount.to_json()),
        Limit::Unset | Limit::Invalid(_) => None,
    };
    let changed = limits != *told;
    changed.then(|| limits.iter().filter_map(|(name, limit)| Some((name.clone(), number(limit)?))).collect())
}
