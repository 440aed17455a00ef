//! What Waldur says about people: teams, roles, accounts (Waldur contract §4). It reads and never writes.

use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::calls::{Waldur, resource_path};
use super::dto;
use super::http::Call;
use crate::error::ApiError;

/// The role of an organization's owners.
const OWNER: &str = "CUSTOMER.OWNER";

/// Whether addresses are read: the list of all roles is the longest there is, and few sites need them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emails {
    /// They are users' names on the cluster.
    Read,
    /// Nobody needs them.
    LeftOut,
}

/// A role on an organization, without the name of who has it (OpenAPI `Permission`).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OwnerRole {
    pub(crate) user_uuid: Uuid,
    /// The organization.
    pub(crate) scope_uuid: Uuid,
    pub(crate) role_name: String,
    #[serde(default)]
    pub(crate) expiration_time: Option<Timestamp>,
}

/// Whether a token's user is shown everybody's roles.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Sight {
    #[serde(default)]
    is_staff: bool,
    #[serde(default)]
    is_support: bool,
}

impl Sight {
    pub(crate) const FIELDS: [&'static str; 2] = ["is_staff", "is_support"];

    pub(crate) const fn sees_all_roles(self) -> bool {
        self.is_staff || self.is_support
    }
}

impl Waldur {
    /// Members of the project of a resource (contract §4.4); not paged by the server.
    pub(crate) async fn team(&self, resource: Uuid) -> Result<Vec<dto::TeamMember>, ApiError> {
        self.http.json(Call::get(resource_path(resource, "team/"))).await
    }

    /// Roles in all projects that use this provider (contract §10.2), or in one of them. The server's filter is a
    /// help only.
    pub(crate) async fn project_permissions(
        &self,
        provider: Uuid,
        project: Option<Uuid>,
        emails: Emails,
    ) -> Result<Vec<dto::Permission>, ApiError> {
        let path = format!("/api/marketplace-service-providers/{}/project_permissions/", provider.simple());
        let fields = dto::Permission::FIELDS.into_iter();
        let fields: Vec<&str> =
            fields.filter(|field| emails == Emails::Read || *field != dto::Permission::EMAIL).collect();
        let mut call = Call::get(path).fields(&fields);
        if let Some(project) = project {
            call = call.query("scope_uuid", project.simple().to_string());
        }
        let mut permissions: Vec<dto::Permission> = self.http.list(call).await?;
        permissions.retain(|permission| project.is_none() || permission.project_uuid == project);
        Ok(permissions)
    }

    /// The service provider of a customer.
    pub(crate) async fn service_provider(&self, customer: Uuid) -> Result<Option<Uuid>, ApiError> {
        let call = Call::get("/api/marketplace-service-providers/")
            .query("customer_uuid", customer.simple().to_string())
            .fields(&["uuid"]);
        let providers: Vec<dto::Identified> = self.http.json(call).await?;
        Ok(providers.first().map(|provider| provider.uuid))
    }

    /// True if users may have to consent before the provider sees them.
    pub(crate) async fn has_terms_of_service(&self, offering: Uuid) -> Result<bool, ApiError> {
        let call = Call::get("/api/marketplace-offering-terms-of-service/")
            .query("offering_uuid", offering.simple().to_string())
            .fields(&["uuid"]);
        match self.http.list::<dto::Identified>(call).await {
            Ok(terms) => Ok(!terms.is_empty()),
            Err(error) if error.unknown_path => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Owners of an organization.
    pub(crate) async fn owners(&self, customer: Uuid) -> Result<Vec<dto::Permission>, ApiError> {
        let path = format!("/api/customers/{}/list_users/", customer.simple());
        let call = Call::get(path).query("role", OWNER).fields(&dto::Permission::FIELDS);
        let mut permissions: Vec<dto::Permission> = self.http.list(call).await?;
        // Not all servers know the filter.
        permissions.retain(|permission| permission.role.as_deref() == Some(OWNER));
        Ok(permissions)
    }

    /// Who owns which organization, of all that there are; `None` where the token's user is shown its own roles only,
    /// or the server has no such list. It does not have usernames.
    pub(crate) async fn owner_roles(&self) -> Result<Option<Vec<OwnerRole>>, ApiError> {
        let me = Call::get("/api/users/me/").fields(&Sight::FIELDS);
        if !self.http.json::<Sight>(me).await?.sees_all_roles() {
            return Ok(None);
        }
        let call =
            Call::get("/api/user-permissions/").query("scope_type", "customer").query("role_name", OWNER);
        match self.http.list::<OwnerRole>(call).await {
            Ok(mut roles) => {
                // The server's filter takes any name that holds this one.
                roles.retain(|role| role.role_name == OWNER);
                Ok(Some(roles))
            }
            Err(error) if error.unknown_path => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Accounts of users in an offering, also of those whom the provider has locked out: a team shows their names.
    pub(crate) async fn offering_users(&self, offering: Uuid) -> Result<Vec<dto::OfferingUser>, ApiError> {
        let call = Call::get("/api/marketplace-offering-users/")
            .query("offering_uuid", offering.simple().to_string())
            .fields(&dto::OfferingUser::FIELDS);
        self.http.list(call).await
    }

    /// Service or course accounts of all projects of an offering.
    pub(crate) async fn accounts(&self, offering: Uuid, kind: &str) -> Result<Vec<dto::Account>, ApiError> {
        let path = format!("/api/marketplace-provider-offerings/{}/{kind}/", offering.simple());
        self.http.list(Call::get(path)).await
    }
}
