//! What the diagnostics and the tools ask Waldur beyond what the agent does. Reads only.

use jiff::Timestamp;
use planner::outcome::Failure;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::calls::Waldur;
use super::dto::Identified;
use super::http::Call;
use crate::credentials::CredentialStatus;
use crate::error::ApiError;

/// Whose token it is (Waldur contract §9.1).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Me {
    #[serde(default)]
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) is_staff: bool,
    #[serde(default)]
    pub(crate) permissions: Vec<Role>,
}

/// A role that a user has somewhere.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Role {
    #[serde(default)]
    pub(crate) role_name: String,
    #[serde(default)]
    pub(crate) scope_uuid: Option<Uuid>,
    #[serde(default)]
    pub(crate) scope_name: Option<String>,
    #[serde(default)]
    pub(crate) expiration_time: Option<Timestamp>,
}

/// An offering with what people call it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OfferingAnswer {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) customer_uuid: Option<Uuid>,
    #[serde(default)]
    pub(crate) customer_name: String,
    #[serde(default)]
    pub(crate) components: Vec<ComponentAnswer>,
}

/// A component with everything that the server has of it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ComponentAnswer {
    #[serde(default)]
    pub(crate) uuid: Option<Uuid>,
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) measured_unit: String,
    #[serde(default)]
    pub(crate) billing_type: String,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct VersionAnswer {
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct SubscriptionAnswer {
    uuid: Uuid,
    #[serde(default)]
    user_uuid: Option<Uuid>,
}

impl Waldur {
    /// What is known of the token.
    pub(crate) fn token_status(&self) -> CredentialStatus {
        self.http.token_status()
    }

    /// Virtual host and login of an event subscription that this user has (Waldur contract §6.3); `None` without one.
    pub(crate) async fn broker_login(&self) -> Result<Option<(String, String)>, ApiError> {
        let call = Call::get("/api/event-subscriptions/").query("page_size", "1");
        match self.http.json::<Vec<SubscriptionAnswer>>(call).await {
            Ok(found) => Ok(found.into_iter().find_map(|subscription| {
                let host = subscription.user_uuid?.simple().to_string();
                Some((host, subscription.uuid.simple().to_string()))
            })),
            Err(error) if error.unknown_path => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The user of this token, with all roles.
    pub(crate) async fn me(&self) -> Result<Me, ApiError> {
        let fields = ["username", "is_staff", "permissions"];
        self.http.json(Call::get("/api/users/me/").fields(&fields)).await
    }

    /// The server's version; `None` where it tells that to staff only.
    pub(crate) async fn version(&self) -> Result<Option<String>, ApiError> {
        match self.http.json::<VersionAnswer>(Call::get("/api/version/")).await {
            Ok(answer) => Ok(Some(answer.version)),
            Err(error) if error.failure == Failure::Forbidden => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// True for a server of 2024, which knows no agents.
    pub(crate) async fn knows_no_agents(&self) -> Result<bool, ApiError> {
        let call = Call::get("/api/marketplace-site-agent-identities/").query("page_size", "1");
        match self.http.json::<Vec<Identified>>(call).await {
            Ok(_) => Ok(false),
            Err(error) if error.unknown_path => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The identity under which an agent of this offering has registered; `None` if none has.
    pub(crate) async fn known_identity(&self, offering: &str) -> Result<Option<Uuid>, ApiError> {
        let call =
            Call::get("/api/marketplace-site-agent-identities/").query("name", format!("agent-{offering}"));
        match self.http.json::<Vec<Identified>>(call).await {
            Ok(found) => Ok(found.first().map(|identity| identity.uuid)),
            Err(error) if error.unknown_path => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The offering as its provider's people see it.
    pub(crate) async fn offering_answer(&self, offering: Uuid) -> Result<OfferingAnswer, ApiError> {
        let path = format!("/api/marketplace-provider-offerings/{}/", offering.simple());
        let fields = ["name", "state", "customer_uuid", "customer_name", "components"];
        self.http.json(Call::get(path).fields(&fields)).await
    }
}
