//! What people do in the marketplace, through Waldur's own API. Each act that Waldur takes is noted in the model; one that
//! it refuses leaves the model as it was.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::model::{Life, Limits, Model, Resource, Role, Stranger};
use super::world::has_ended;
use crate::site::{Api, Site, text};

/// What became of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// Waldur took it: the order, or nothing where there is none.
    Taken(Option<String>),
    /// Waldur refused it, since another order is open or the resource is not in the right state.
    Refused,
}

/// The owner of an organization, and staff for what only staff may do.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    waldur: Api,
    staff: Api,
    root: String,
    offering: String,
    /// URLs of users, by username.
    users: BTreeMap<String, String>,
}

impl Customer {
    /// Looks up who there is; also notes the teams that there are in the model.
    ///
    /// # Errors
    /// Waldur does not answer as expected.
    pub(crate) async fn new(site: &Site, model: &mut Model) -> Result<Self> {
        let root = site.place.waldur_url.clone();
        let users = site.staff.get("/api/users/?page_size=300").await?;
        let users = users.as_array().context("no list of users")?.iter();
        let users = users.map(|user| {
            let url = format!("{root}/api/users/{}/", text(user, "/uuid"));
            (text(user, "/username").to_owned(), url)
        });
        let users: BTreeMap<String, String> = users.collect();
        let projects = site.customer.get("/api/projects/?page_size=300").await?;
        for project in projects.as_array().into_iter().flatten() {
            let uuid = text(project, "/uuid");
            let team = site.customer.get(&format!("/api/projects/{uuid}/list_users/?page_size=300")).await?;
            let known = model.teams.entry(uuid.to_owned()).or_default();
            for grant in team.as_array().into_iter().flatten() {
                let role = match text(grant, "/role_name") {
                    "PROJECT.MEMBER" => Role::Member,
                    "PROJECT.MANAGER" => Role::Manager,
                    other => bail!("the role `{other}` is not in the model"),
                };
                known.entry(text(grant, "/user_username").to_owned()).or_default().insert(role);
            }
        }
        let (waldur, staff) = (site.customer.clone(), site.staff.clone());
        Ok(Self { waldur, staff, root, offering: site.place.offering_uuid.clone(), users })
    }

    /// Orders a resource; gives the order and the resource. With a negative limit it has to be rejected.
    ///
    /// # Errors
    /// Waldur does not take it.
    pub(crate) async fn create(
        &self,
        model: &mut Model,
        project: &str,
        name: &str,
        limits: Limits,
    ) -> Result<(String, String)> {
        let body = json!({
            "offering": format!("{}/api/marketplace-public-offerings/{}/", self.root, self.offering),
            "project": format!("{}/api/projects/{project}/", self.root),
            "limits": limits.json(),
            "attributes": {"name": name},
        });
        let answer = self.waldur.post("/api/marketplace-orders/", &body).await?;
        let order = text(&answer, "/uuid").to_owned();
        let uuid = text(&answer, "/marketplace_resource_uuid").to_owned();
        let possible = limits.0.iter().all(|amount| *amount >= 0);
        if !possible {
            model.ends.insert(order.clone(), vec!["rejected"]);
        }
        let resource = Resource {
            name: name.to_owned(),
            project: project.to_owned(),
            limits,
            paused: false,
            downscaled: false,
            life: if possible { Life::Active } else { Life::Gone },
            replicas: None,
        };
        model.resources.insert(uuid.clone(), resource);
        model.note_order(&uuid);
        Ok((order, uuid))
    }

    /// Orders other limits. With a negative one the order has to be rejected and the old ones stay.
    ///
    /// # Errors
    /// Waldur does not answer as expected.
    pub(crate) async fn update(&self, model: &mut Model, resource: &str, limits: Limits) -> Result<Placed> {
        let body = json!({ "limits": limits.json() });
        let placed = self.act(resource, "update_limits", &body).await?;
        if let Placed::Taken(order) = &placed {
            model.note_order(resource);
            if limits.0.iter().any(|amount| *amount < 0) {
                model.ends.extend(order.clone().map(|order| (order, vec!["rejected"])));
            } else if let Some(row) = model.resources.get_mut(resource) {
                row.limits = limits;
            }
        }
        Ok(placed)
    }

    /// Orders the end of a resource, which leaves `life`.
    ///
    /// # Errors
    /// Waldur does not answer as expected.
    pub(crate) async fn terminate(&self, model: &mut Model, resource: &str, life: Life) -> Result<Placed> {
        self.end_or_return(model, resource, "terminate", life).await
    }

    /// Orders a terminated resource back.
    ///
    /// # Errors
    /// Waldur does not answer as expected.
    pub(crate) async fn restore(&self, model: &mut Model, resource: &str) -> Result<Placed> {
        let placed = self.end_or_return(model, resource, "restore", Life::Active).await?;
        // Waldur answers with the resource.
        Ok(match placed {
            Placed::Taken(None) => Placed::Taken(self.open_order(resource).await?),
            placed => placed,
        })
    }

    async fn open_order(&self, resource: &str) -> Result<Option<String>> {
        let orders = self.waldur.rows(&format!("/api/marketplace-orders/?resource_uuid={resource}&")).await?;
        let open = orders.iter().find(|order| !has_ended(order));
        Ok(open.map(|order| text(order, "/uuid").to_owned()))
    }

    async fn end_or_return(
        &self,
        model: &mut Model,
        resource: &str,
        action: &str,
        life: Life,
    ) -> Result<Placed> {
        let placed = self.act(resource, action, &json!({})).await?;
        if placed != Placed::Refused {
            model.note_order(resource);
            if let Some(row) = model.resources.get_mut(resource) {
                if row.life == Life::Gone {
                    // What was in the project went with it.
                    model.strangers.retain(|stranger| stranger.goes_with.as_deref() != Some(resource));
                }
                row.life = life;
                if life == Life::Gone {
                    row.replicas = None;
                }
            }
        }
        Ok(placed)
    }

    async fn act(&self, resource: &str, action: &str, body: &Value) -> Result<Placed> {
        let path = format!("/api/marketplace-resources/{resource}/{action}/");
        let (status, answer) = self.waldur.try_post(&path, body).await?;
        match status.as_u16() {
            200..=299 => {
                let order = text(&answer, "/order_uuid");
                Ok(Placed::Taken((!order.is_empty()).then(|| order.to_owned())))
            }
            400 | 409 => Ok(Placed::Refused),
            _ => bail!("POST {path}: {status}: {answer}"),
        }
    }

    /// Staff sets both flags of a resource.
    ///
    /// # Errors
    /// Waldur does not take it.
    pub(crate) async fn hold(
        &self,
        model: &mut Model,
        resource: &str,
        [paused, downscaled]: [bool; 2],
    ) -> Result<()> {
        for (flag, value) in [("paused", paused), ("downscaled", downscaled)] {
            let path = format!("/api/marketplace-provider-resources/{resource}/set_{flag}/");
            self.staff.post(&path, &json!({ flag: value })).await?;
        }
        if let Some(row) = model.resources.get_mut(resource) {
            (row.paused, row.downscaled) = (paused, downscaled);
        }
        Ok(())
    }

    /// Somebody joins a project.
    ///
    /// # Errors
    /// Waldur does not take it.
    pub(crate) async fn join(
        &self,
        model: &mut Model,
        project: &str,
        username: &str,
        role: Role,
    ) -> Result<()> {
        self.change_team(project, "add_user", username, role).await?;
        let team = model.teams.entry(project.to_owned()).or_default();
        team.entry(username.to_owned()).or_default().insert(role);
        Ok(())
    }

    /// Somebody leaves a project.
    ///
    /// # Errors
    /// Waldur does not take it.
    pub(crate) async fn leave(
        &self,
        model: &mut Model,
        project: &str,
        username: &str,
        role: Role,
    ) -> Result<()> {
        self.change_team(project, "delete_user", username, role).await?;
        if let Some(team) = model.teams.get_mut(project) {
            team.entry(username.to_owned()).or_default().remove(&role);
            team.retain(|_, roles| !roles.is_empty());
        }
        Ok(())
    }

    async fn change_team(&self, project: &str, action: &str, username: &str, role: Role) -> Result<()> {
        let user = self.users.get(username).with_context(|| format!("no user `{username}`"))?;
        let body = json!({ "user": user, "role": role.name() });
        self.waldur.post(&format!("/api/projects/{project}/{action}/"), &body).await.map(drop)
    }
}

/// Puts an object on the cluster that is not the agent's, and that has to stay as it is.
///
/// # Errors
/// The cluster does not take it.
pub(crate) async fn plant(
    site: &Site,
    model: &mut Model,
    collection: &str,
    object: Value,
    goes_with: Option<&str>,
) -> Result<()> {
    let name = text(&object, "/metadata/name").to_owned();
    site.cluster.post(collection, &object).await.with_context(|| format!("cannot put `{name}` there"))?;
    let path = format!("{collection}/{name}");
    // As it stands when the cluster's own controllers have seen it.
    let object = lasting(site.cluster.get(&path).await?);
    model.strangers.push(Stranger { path, object, goes_with: goes_with.map(str::to_owned) });
    Ok(())
}

/// An object without what the server notes on it by itself.
fn lasting(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    object
}
