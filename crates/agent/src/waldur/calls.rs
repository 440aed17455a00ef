//! One function per endpoint of Waldur (Waldur contract §8); here those of resources, people and offerings. The only place
//! that writes to Waldur.

mod agents;
mod orders;
mod requests;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use planner::access::GrantStatus;
use planner::model::{self, Limits};
use planner::outcome::Failure;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub(crate) use self::agents::Registration;
pub(crate) use self::usage::DaysOf;
use super::dto;
use super::http::{Call, Http, WaldurOptions};
use crate::credentials::Credential;
use crate::error::ApiError;

/// Waldur, as one offering's agent sees it.
#[derive(Debug)]
pub struct Waldur {
    pub(super) http: Http,
    /// Set when the server turned out not to have the endpoints of 2025 and later.
    legacy: AtomicBool,
}

impl Waldur {
    /// Sets up the connection; nothing is sent yet.
    ///
    /// # Errors
    /// A CA file or proxy that cannot be used.
    pub fn new(options: &WaldurOptions, credential: Arc<Credential>) -> anyhow::Result<Self> {
        Ok(Self { http: Http::new(options, credential)?, legacy: AtomicBool::new(false) })
    }

    /// True once the server turned out to be one of 2024.
    pub(crate) fn is_legacy(&self) -> bool {
        self.legacy.load(Ordering::Relaxed)
    }

    /// The offering with its components.
    pub(crate) async fn offering(&self, offering: Uuid) -> Result<dto::Offering, ApiError> {
        let path = format!("/api/marketplace-provider-offerings/{}/", offering.simple());
        self.http.json(Call::get(path).fields(&dto::Offering::FIELDS)).await
    }

    /// The token, which is the passcode at Waldur's broker as well.
    pub(crate) async fn passcode(&self) -> Result<SecretString, ApiError> {
        self.http.token().await
    }

    /// Whether Waldur answers and knows the token.
    pub(crate) async fn who_am_i(&self) -> Result<(), ApiError> {
        self.http.done(Call::get("/api/users/me/").fields(&["uuid"])).await
    }

    /// One resource; `None` if Waldur has none or does not show it.
    /// A resource of another offering is none for this one.
    pub(crate) async fn resource(
        &self,
        offering: Uuid,
        resource: Uuid,
    ) -> Result<Option<dto::Resource>, ApiError> {
        let call = Call::get(resource_path(resource, "")).fields(&dto::Resource::FIELDS);
        match self.http.json::<dto::Resource>(call).await {
            Ok(resource) => {
                Ok(Some(resource).filter(|resource| resource.offering_uuid.is_none_or(|of| of == offering)))
            }
            Err(error) if error.is_not_found() && !error.unknown_path => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Resources of an offering that are in use (contract §4.1).
    pub(crate) async fn resources_in_use(&self, offering: Uuid) -> Result<Vec<dto::Resource>, ApiError> {
        let call = Call::get("/api/marketplace-provider-resources/")
            .query("offering_uuid", offering.simple().to_string())
            .query("state", "OK")
            .query("state", "Erred")
            .fields(&dto::Resource::FIELDS);
        self.http.list(call).await
    }

    /// Resources of any offering that is seen for which Waldur names this namespace, and which are not terminated.
    pub(crate) async fn resources_named(&self, namespace: &str) -> Result<Vec<Uuid>, ApiError> {
        let call = Call::get("/api/marketplace-provider-resources/")
            .query("backend_id", namespace)
            .fields(&["uuid", "backend_id", "state"]);
        let found: Vec<dto::Resource> = self.http.list(call).await?;
        // A server that does not know the filter names all.
        let named = found
            .into_iter()
            .filter(|found| found.backend_id.trim() == namespace && found.state != "Terminated");
        Ok(named.map(|resource| resource.uuid).collect())
    }

    /// Moves an offering user on (contract §4.3).
    pub(crate) async fn begin_creating(&self, user: Uuid) -> Result<(), ApiError> {
        let path = format!("/api/marketplace-offering-users/{}/begin_creating/", user.simple());
        self.http.done(Call::post(path, json!({}))).await
    }

    /// Gives an offering user its username; the server moves it to OK.
    pub(crate) async fn set_username(&self, user: Uuid, username: &str) -> Result<(), ApiError> {
        let path = format!("/api/marketplace-offering-users/{}/", user.simple());
        self.http.done(Call::patch(path, json!({"username": username}))).await
    }

    /// Tells what became of each grant; replaces what was told before.
    pub(crate) async fn set_membership_statuses(
        &self,
        resource: Uuid,
        statuses: &[GrantStatus],
    ) -> Result<(), ApiError> {
        let statuses: Vec<Value> = statuses
            .iter()
            .map(|status| {
                let mut told = json!({
                    "user_uuid": status.user.simple().to_string(),
                    "scope_type": "resource",
                    "role_name": status.role,
                    "state": if status.problem.is_none() { "synced" } else { "error" },
                });
                if let Some(problem) = &status.problem {
                    told["message"] = json!(problem);
                }
                told
            })
            .collect();
        let path = resource_path(resource, "set_membership_sync_statuses/");
        self.optional(Call::post(path, json!({"statuses": statuses}))).await
    }

    /// The resource is as it should be.
    pub(crate) async fn set_resource_ok(&self, resource: Uuid) -> Result<(), ApiError> {
        self.optional(Call::post(resource_path(resource, "set_as_ok/"), json!({}))).await
    }

    /// The resource is not as it should be.
    pub(crate) async fn set_resource_erred(
        &self,
        resource: Uuid,
        message: &str,
        traceback: &str,
    ) -> Result<(), ApiError> {
        let body = json!({"error_message": message, "error_traceback": traceback});
        self.optional(Call::post(resource_path(resource, "set_as_erred/"), body)).await
    }

    /// The resource was looked at.
    pub(crate) async fn refresh_last_sync(&self, resource: Uuid) -> Result<(), ApiError> {
        self.optional(Call::post(resource_path(resource, "refresh_last_sync/"), json!({}))).await
    }

    /// A call that servers of 2024 do not know, and that nothing depends on.
    async fn optional(&self, call: Call<'_>) -> Result<(), ApiError> {
        match self.http.done(call).await {
            Err(error) if error.unknown_path => Ok(()),
            other => other,
        }
    }

    /// Quotas of a plan; empty if it has none.
    pub(crate) async fn plan_quotas(&self, plan: Uuid) -> Result<Limits, ApiError> {
        let path = format!("/api/marketplace-plans/{}/", plan.simple());
        let plan: dto::Plan = self.http.json(Call::get(path)).await?;
        let quotas = plan.quotas.into_iter().filter(|(_, value)| value.as_f64() != Some(0.0));
        Ok(quotas.map(|(component, value)| (component, model::Limit::from_json(&value))).collect())
    }

    /// Tells the namespace's name.
    pub(crate) async fn set_backend_id(&self, resource: Uuid, backend_id: &str) -> Result<(), ApiError> {
        let body = json!({"backend_id": backend_id});
        self.http.done(Call::post(resource_path(resource, "set_backend_id/"), body)).await
    }

    /// Replaces the limits of a resource. Only a tool that was asked for it does that: what the customer bought is
    /// Waldur's to say.
    pub(crate) async fn set_limits(
        &self,
        resource: Uuid,
        limits: &Map<String, Value>,
    ) -> Result<(), ApiError> {
        self.http.done(Call::post(resource_path(resource, "set_limits/"), json!({"limits": limits}))).await
    }

    /// Adds a component to an offering.
    pub(crate) async fn create_component(&self, offering: Uuid, component: &Value) -> Result<(), ApiError> {
        let path = offering_path(offering, "create_offering_component/");
        self.http.done(Call::post(path, component.clone())).await
    }

    /// Replaces a component, which `component` names by its `uuid`.
    pub(crate) async fn update_component(&self, offering: Uuid, component: &Value) -> Result<(), ApiError> {
        let path = offering_path(offering, "update_offering_component/");
        self.http.done(Call::post(path, component.clone())).await
    }

    /// Replaces the metadata.
    pub(crate) async fn set_metadata(
        &self,
        resource: Uuid,
        metadata: &Map<String, Value>,
    ) -> Result<(), ApiError> {
        let body = json!({"backend_metadata": metadata});
        self.http.done(Call::post(resource_path(resource, "set_backend_metadata/"), body)).await
    }

    /// Servers of 2024: see [`planner::action::Action::SetAllocationOk`].
    pub(crate) async fn set_allocation_ok(&self, resource: Uuid) -> Result<(), ApiError> {
        let path = format!("/api/marketplace-slurm-remote/{}/set_state/", resource.simple());
        match self.http.done(Call::post(path, json!({"state": "ok"}))).await {
            Err(error) if error.failure == Failure::NotFound => Ok(()),
            other => other,
        }
    }
}

fn offering_path(offering: Uuid, action: &str) -> String {
    format!("/api/marketplace-provider-offerings/{}/{action}", offering.simple())
}

pub(super) fn resource_path(resource: Uuid, action: &str) -> String {
    format!("/api/marketplace-provider-resources/{}/{action}", resource.simple())
}
