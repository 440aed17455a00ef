//! Importable resources: what is on the cluster and not in Waldur is offered to the portal, on its request (Waldur
//! contract §3.9).
//!
//! Only namespaces that say by `waldur/parent` to which project of Waldur they belong can be offered. Nothing on the
//! cluster is changed by it.

use std::collections::{HashMap, HashSet};

use planner::outcome::Failure;
use planner::quota;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::engine::Offering;
use crate::error::ApiError;

/// Answers a request. One that was being answered when the agent ended is begun anew; what was offered before is not
/// offered twice.
pub(super) async fn offer(offering: &Offering, parent_prefix: &str, request: Uuid) -> Result<(), ApiError> {
    let waldur = &offering.waldur;
    match waldur.import_request(request).await {
        Ok(state) if state.state == "Sent" => waldur.advance_import(request, "start_processing").await?,
        Ok(state) if state.state == "Processing" => {}
        Ok(_) => return Ok(()),
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    }
    match offer_all(offering, parent_prefix).await {
        Ok(count) => {
            tracing::info!(target: "audit", count, "namespaces offered for import");
            waldur.advance_import(request, "set_done").await
        }
        Err(error) if error.is_transient() => Err(error),
        Err(error) => {
            tracing::error!(error = %error, "cannot offer namespaces for import");
            let shown = offering.options.expose_details.then(|| error.to_string());
            waldur.fail_import(request, &shown.unwrap_or_else(|| "Internal backend error.".to_owned())).await
        }
    }
}

async fn offer_all(offering: &Offering, parent_prefix: &str) -> Result<usize, ApiError> {
    let (waldur, uuid) = (&offering.waldur, offering.options.uuid);
    let (known, found, components) = futures::try_join!(
        waldur.backend_ids(uuid),
        offering.cluster.importable(parent_prefix),
        offering.model()
    )?;
    // Projects are shown to few; those that have a resource here are known from that.
    let projects: HashMap<&str, Uuid> = known
        .iter()
        .filter_map(|place| Some((place.project_slug.as_deref()?, place.project_uuid?)))
        .collect();
    let known: HashSet<&str> = known.iter().map(|place| place.backend_id.trim()).collect();
    let mut count = 0;
    for namespace in found.iter().filter(|namespace| !known.contains(namespace.name.as_str())) {
        let project = match projects.get(namespace.project.as_str()) {
            Some(project) => Some(*project),
            None => waldur.project_of_slug(&namespace.project).await?,
        };
        let Some(project) = project else {
            let (name, project) = (&namespace.name, &namespace.project);
            tracing::info!(namespace = %name, "not offered for import: Waldur shows no project `{project}`");
            continue;
        };
        let hards = offering.cluster.hards_of(&namespace.name).await?;
        let limits = quota::whole_limits_of(&offering.options.policy, &components, &hards);
        let limits: Map<String, Value> =
            limits.into_iter().map(|(name, limit)| (name, limit.into())).collect();
        match waldur.offer_import(uuid, project, &namespace.name, &limits).await {
            Ok(true) => count += 1,
            Ok(false) => {}
            // Another one was faster.
            Err(error) if matches!(error.failure, Failure::Conflict | Failure::Invalid) => {
                tracing::warn!(error = %error, namespace = %namespace.name, "Waldur does not take the offer");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
