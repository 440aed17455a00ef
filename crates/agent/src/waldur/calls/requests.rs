//! Answers to what Waldur asks by message: importable resources (Waldur contract §3.9), limits for a period.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Waldur;
use crate::error::ApiError;
use crate::waldur::dto;
use crate::waldur::http::Call;

/// Where the portal asks what can be imported (contract §3.9).
const IMPORT_REQUESTS: &str = "/api/backend-resource-requests/";

impl Waldur {
    /// The state of a request for importable resources.
    pub(crate) async fn import_request(&self, request: Uuid) -> Result<dto::ImportRequest, ApiError> {
        self.http.json(Call::get(format!("{IMPORT_REQUESTS}{}/", request.simple()))).await
    }

    /// Moves a request for importable resources on: `start_processing`, `set_done`.
    pub(crate) async fn advance_import(&self, request: Uuid, action: &str) -> Result<(), ApiError> {
        let path = format!("{IMPORT_REQUESTS}{}/{action}/", request.simple());
        self.http.done(Call::post(path, json!({}))).await
    }

    /// Ends a request for importable resources without success.
    pub(crate) async fn fail_import(&self, request: Uuid, message: &str) -> Result<(), ApiError> {
        let path = format!("{IMPORT_REQUESTS}{}/set_erred/", request.simple());
        let body = json!({"error_message": message, "error_traceback": ""});
        self.http.done(Call::post(path, body)).await
    }

    /// Offers a namespace for import, unless it is offered already.
    pub(crate) async fn offer_import(
        &self,
        offering: Uuid,
        project: Uuid,
        namespace: &str,
        limits: &Map<String, Value>,
    ) -> Result<bool, ApiError> {
        let known = Call::get("/api/backend-resources/")
            .query("offering_uuid", offering.simple().to_string())
            .query("project_uuid", project.simple().to_string())
            .query("backend_id", namespace);
        if !self.http.list::<Value>(known).await?.is_empty() {
            return Ok(false);
        }
        let body = json!({
            "name": namespace,
            "project": project.simple().to_string(),
            "offering": offering.simple().to_string(),
            "backend_id": namespace,
            "backend_metadata": {"limits": limits},
        });
        self.http.done(Call::post("/api/backend-resources/", body)).await?;
        Ok(true)
    }

    /// Says that the limits of a policy for a period cannot be applied.
    pub(crate) async fn refuse_periodic_limits(&self, policy: Uuid, resource: Uuid) -> Result<(), ApiError> {
        let path = format!(
            "/api/marketplace-slurm-periodic-usage-policies/{}/report-command-result/",
            policy.simple()
        );
        let body = json!({
            "resource_uuid": resource.simple().to_string(),
            "success": false,
            "error_message": "OKD projects have no limits for a period",
            "commands_executed": [],
        });
        self.http.done(Call::post(path, body)).await
    }
}
