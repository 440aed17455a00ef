//! Which resources there are, and where they are. It reads and never writes.

use uuid::Uuid;

use super::calls::Waldur;
use super::dto;
use super::http::Call;
use crate::error::ApiError;

impl Waldur {
    /// Resources in use that belong to a project. The server's filter is a help only.
    pub(crate) async fn resources_of_project(
        &self,
        offering: Uuid,
        project: Uuid,
    ) -> Result<Vec<dto::Place>, ApiError> {
        let call = Self::places_call(offering).query("project_uuid", project.simple().to_string());
        let mut places: Vec<dto::Place> = self.http.list(call).await?;
        places.retain(|place| place.project_uuid == Some(project));
        Ok(places)
    }

    /// Where the resources in use are.
    pub(crate) async fn places(&self, offering: Uuid) -> Result<Vec<dto::Place>, ApiError> {
        self.http.list(Self::places_call(offering)).await
    }

    fn places_call(offering: Uuid) -> Call<'static> {
        Call::get("/api/marketplace-provider-resources/")
            .query("offering_uuid", offering.simple().to_string())
            .query("state", "OK")
            .query("state", "Erred")
            .fields(&dto::Place::FIELDS)
    }

    /// Names in Waldur of everything that a namespace could be called by: also of resources that are being made.
    pub(crate) async fn backend_ids(&self, offering: Uuid) -> Result<Vec<dto::Place>, ApiError> {
        self.http.list(Self::places_call(offering).query("state", "Creating")).await
    }

    /// The project of a slug, as far as this token sees it.
    pub(crate) async fn project_of_slug(&self, slug: &str) -> Result<Option<Uuid>, ApiError> {
        let call = Call::get("/api/projects/").query("slug", slug).fields(&["uuid", "slug"]);
        let projects: Vec<dto::Slugged> = self.http.list(call).await?;
        Ok(projects.into_iter().find(|project| project.slug == slug).map(|project| project.uuid))
    }
}
