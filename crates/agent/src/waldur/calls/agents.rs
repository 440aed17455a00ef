//! How the agent makes itself known, and has messages sent to it (Waldur contract §6.2, §10.4).

use std::sync::atomic::Ordering;

use serde_json::json;
use uuid::Uuid;

use super::Waldur;
use crate::error::ApiError;
use crate::waldur::dto;
use crate::waldur::http::Call;

/// Where agents make themselves known (contract §6.2).
const IDENTITIES: &str = "/api/marketplace-site-agent-identities/";

/// Value of `backend_type` when a processor is registered; the name that portals know for this kind of agent.
const BACKEND_TYPE: &str = "waldur_site_agent_okd.backend.OkdBackend";

/// Names under which the agent makes itself known (contract §6.2, §10.4).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration<'a> {
    /// As written in the configuration.
    pub(crate) offering: &'a str,
    /// Service and mode: `order_process`, `membership_sync`, `report`, `event_process`.
    pub(crate) mode: &'a str,
    /// Processor: `OfferingOrderProcessor` and so on.
    pub(crate) processor: &'a str,
    /// When this process started, RFC 3339.
    pub(crate) started: &'a str,
}

impl Registration<'_> {
    /// The name that the identity has in Waldur.
    fn identity(&self) -> String {
        format!("agent-{}", self.offering)
    }
}

impl Waldur {
    /// Makes the agent known: identity, service, processor. A server without these endpoints is one of 2024,
    /// which is remembered. A dry run only looks, for that reason.
    pub(crate) async fn register(
        &self,
        offering: Uuid,
        registration: &Registration<'_>,
        dry_run: bool,
    ) -> Result<Option<Uuid>, ApiError> {
        let known = match self.identities(registration).await {
            Err(error) if error.unknown_path => {
                // A proxy says the same while Waldur is away: only beside an answer of Waldur's own does it mean
                // that the server does not know agents.
                self.offering(offering).await?;
                match self.identities(registration).await {
                    Err(error) if error.unknown_path => {
                        self.legacy.store(true, Ordering::Relaxed);
                        return Ok(None);
                    }
                    known => known?,
                }
            }
            known => known?,
        };
        if dry_run {
            return Ok(known.first().map(|identity| identity.uuid));
        }
        let identity = self.register_identity(known.first(), registration).await?;
        self.register_service(identity, registration).await?;
        Ok(Some(identity))
    }

    /// Has a queue made for these types of objects (contract §6.2); `None` on servers that only know subscriptions for
    /// one type each. The broker's password is from then on the token that the request was sent with.
    pub(crate) async fn register_queue(
        &self,
        identity: Uuid,
        object_types: &[&str],
    ) -> Result<Option<dto::Queue>, ApiError> {
        let path = format!("{IDENTITIES}{}/register_queue/", identity.simple());
        match self.http.json(Call::post(path, json!({"object_types": object_types}))).await {
            Err(error) if error.unknown_path => Ok(None),
            other => other.map(Some),
        }
    }

    /// Who may log in at the broker as an agent that has registered (contract §6.2). A queue that is there keeps its
    /// types of objects; one that is not is made. `None` as for [`Waldur::register_queue`].
    pub(crate) async fn queue_login(&self, identity: Uuid) -> Result<Option<dto::Queue>, ApiError> {
        let path = format!("{IDENTITIES}{}/register_queue/", identity.simple());
        match self.http.json(Call::post(path, json!({}))).await {
            Err(error) if error.unknown_path => Ok(None),
            other => other.map(Some),
        }
    }

    /// Subscribes to one type of objects and has its queue made (contract §6.2, legacy).
    pub(crate) async fn register_subscription(
        &self,
        identity: Uuid,
        offering: Uuid,
        object_type: &str,
    ) -> Result<dto::Subscription, ApiError> {
        let path = format!("{IDENTITIES}{}/register_event_subscription/", identity.simple());
        let description = "Event subscription created by the site agent";
        let body = json!({"observable_object_type": object_type, "description": description});
        let subscription: dto::Subscription = self.http.json(Call::post(path, body)).await?;
        let path = format!("/api/event-subscriptions/{}/create_queue/", subscription.uuid.simple());
        let body = json!({"offering_uuid": offering.simple().to_string(), "object_type": object_type});
        self.http.done(Call::post(path, body)).await?;
        Ok(subscription)
    }

    async fn identities(&self, registration: &Registration<'_>) -> Result<Vec<dto::Identified>, ApiError> {
        self.http.json(Call::get(IDENTITIES).query("name", registration.identity())).await
    }

    async fn register_identity(
        &self,
        known: Option<&dto::Identified>,
        registration: &Registration<'_>,
    ) -> Result<Uuid, ApiError> {
        let version = env!("CARGO_PKG_VERSION");
        let body = json!({
            "offering": registration.offering,
            "name": registration.identity(),
            "version": version,
            "dependencies": [{"package": "waldur-site-agent-okd", "version": version}],
            "config_file_path": "",
            "config_file_content": "",
            "last_restarted": registration.started,
        });
        let call = match known {
            Some(identity) => Call::put(format!("{IDENTITIES}{}/", identity.uuid.simple()), body),
            None => Call::post(IDENTITIES, body),
        };
        self.http.json::<dto::Identified>(call).await.map(|identity| identity.uuid)
    }

    async fn register_service(
        &self,
        identity: Uuid,
        registration: &Registration<'_>,
    ) -> Result<(), ApiError> {
        let path = format!("{IDENTITIES}{}/register_service/", identity.simple());
        let body = json!({"name": registration.mode, "mode": registration.mode});
        let service: dto::Identified = self.http.json(Call::post(path, body)).await?;
        let path =
            format!("/api/marketplace-site-agent-services/{}/register_processor/", service.uuid.simple());
        let body = json!({
            "name": registration.processor,
            "backend_type": BACKEND_TYPE,
            "backend_version": env!("CARGO_PKG_VERSION"),
        });
        self.http.done(Call::post(path, body)).await
    }
}
