//! `users`, `projects`, `customers` and the roles on them.

use serde_json::json;
use uuid::Uuid;

use super::access::Standing;
use super::answer::{Answer, Outcome};
use super::call::Call;
use super::filter::{among, parse_instant};
use super::model::{Customer, Grant, Project, Scope, User};
use super::render::time;
use super::request::{hex, parse_uuid};

impl Call<'_> {
    pub(crate) fn users(&self, path: &[&str]) -> Outcome {
        match path {
            ["me"] if self.reads() => {
                let user = self.state.users.get(self.actor.user).ok_or_else(Answer::server_error)?;
                Ok(Answer::ok(self.view().me(user, self.token, &self.fields())))
            }
            [] if self.reads() => {
                let query = &self.request.query;
                let named = |user: &User| query.get("username").is_none_or(|name| name == user.username);
                let seen = |user: &User| self.actor.is_staff || user.uuid == self.actor.user;
                let users: Vec<&User> =
                    self.state.users.iter().filter(|user| named(user) && seen(user)).collect();
                self.page(&users, |view, user, fields| view.user(user, fields))
            }
            [id] if self.reads() => {
                let user = parse_uuid(id).and_then(|uuid| self.state.users.get(uuid));
                let user = user.filter(|user| self.actor.is_staff || user.uuid == self.actor.user);
                let user = user.ok_or_else(|| Answer::no_object("User"))?;
                Ok(Answer::ok(self.view().user(user, &self.fields())))
            }
            [] | [_] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    /// All roles, for staff; everybody else sees the own ones (OpenAPI `user_permissions_list`). It has no choice of
    /// fields.
    pub(crate) fn user_permissions(&self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let query = &self.request.query;
                let (users, scopes) = (query.uuids("user")?, query.uuids("scope_uuid")?);
                let now = self.state.now();
                let seen = |grant: &Grant| self.actor.is_staff || grant.user == self.actor.user;
                let grants: Vec<&Grant> = self
                    .state
                    .grants
                    .iter()
                    .filter(|grant| seen(grant) && grant.is_in_force(now))
                    .filter(|grant| among(&users, grant.user) && among(&scopes, grant.scope.uuid()))
                    .filter(|grant| query.get("role_name").is_none_or(|name| grant.role.contains(name)))
                    .filter(|grant| query.get("scope_type").is_none_or(|kind| kind == grant.scope.kind()))
                    .collect();
                self.page(&grants, |view, grant, _| view.permission(grant))
            }
            [] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    /// Staff only in 2024 (measurement 007).
    pub(crate) fn version(&self) -> Outcome {
        if self.state.is_2024() {
            self.staff_only()?;
            return Ok(Answer::ok(json!({ "version": "6.8.7" })));
        }
        Ok(Answer::ok(json!({ "version": "8.1.2" })))
    }

    pub(crate) fn projects(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let query = &self.request.query;
                let customers = query.uuids("customer_uuid")?;
                let projects: Vec<&Project> = self
                    .state
                    .projects
                    .select(&customers, &[])
                    .into_iter()
                    .filter(|row| query.get("slug").is_none_or(|slug| slug == row.slug))
                    .filter(|row| query.get("name_exact").is_none_or(|name| name == row.name))
                    .filter(|row| self.state.standing(self.actor, row.uuid).is_some())
                    .collect();
                self.page(&projects, |view, project, fields| view.project(project, fields))
            }
            [id] if self.reads() => {
                let project = self.own_project(id)?;
                Ok(Answer::ok(self.view().project(project, &self.fields())))
            }
            [id, "list_users"] if self.reads() => {
                let scope = Scope::Project(self.own_project(id)?.uuid);
                self.list_roles(scope)
            }
            [id, "sync_user_roles"] if self.posts() && !self.state.is_2024() => {
                let project = self.own_project(id)?.uuid;
                self.staff_only()?;
                for offering in self.state.offerings_in_use(project) {
                    self.state.tell(super::event::Event::role_sync(self.state, offering, project, None));
                }
                Ok(Answer::accepted())
            }
            [id, action] if self.posts() => {
                let project = self.own_project(id)?.uuid;
                self.may_assign(self.state.standing(self.actor, project))?;
                self.change_role(Scope::Project(project), action)
            }
            [] | [_] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn own_project(&self, id: &str) -> Result<&Project, Answer> {
        let project = parse_uuid(id).and_then(|uuid| self.state.projects.get(uuid));
        project
            .filter(|row| self.state.standing(self.actor, row.uuid).is_some())
            .ok_or_else(|| Answer::no_object("Project"))
    }

    pub(crate) fn customers(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let uuids = self.request.query.uuids("uuid")?;
                let rows: Vec<&Customer> = self
                    .state
                    .customers
                    .iter()
                    .filter(|row| among(&uuids, row.uuid) && self.holds_on_customer(row.uuid))
                    .collect();
                self.page(&rows, |view, row, _| customer(view, row))
            }
            [id] if self.reads() => {
                let row = self.own_customer(id)?;
                Ok(Answer::ok(customer(&self.view(), row)))
            }
            [id, "list_users"] if self.reads() => {
                let scope = Scope::Customer(self.own_customer(id)?.uuid);
                self.list_roles(scope)
            }
            [id, action] if self.posts() => {
                let scope = Scope::Customer(self.own_customer(id)?.uuid);
                let owner = |grant: &Grant| grant.user == self.actor.user && grant.role == "CUSTOMER.OWNER";
                if !self.actor.is_staff && !self.state.grants_on(scope).any(owner) {
                    return Err(Answer::forbidden());
                }
                self.change_role(scope, action)
            }
            [] | [_] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn own_customer(&self, id: &str) -> Result<&Customer, Answer> {
        let customer = parse_uuid(id).and_then(|uuid| self.state.customers.get(uuid));
        customer.filter(|row| self.holds_on_customer(row.uuid)).ok_or_else(|| Answer::no_object("Customer"))
    }

    fn holds_on_customer(&self, customer: Uuid) -> bool {
        let mut grants = self.state.grants_on(Scope::Customer(customer));
        self.actor.is_staff || grants.any(|grant| grant.user == self.actor.user)
    }

    fn may_assign(&self, standing: Option<Standing>) -> Result<(), Answer> {
        match standing {
            Some(Standing::Reviewer | Standing::Manager) => Ok(()),
            Some(Standing::Member) | None => Err(Answer::forbidden()),
        }
    }

    fn list_roles(&self, scope: Scope) -> Outcome {
        let grants: Vec<&Grant> = self.state.grants_on(scope).collect();
        self.page(&grants, |view, grant, fields| view.role_details(grant, fields))
    }

    /// `add_user`, `update_user` and `delete_user` of a project or customer (measurements 122, 125, 127).
    fn change_role(&mut self, scope: Scope, action: &str) -> Outcome {
        if !matches!(action, "add_user" | "update_user" | "delete_user") {
            return Err(Answer::no_route());
        }
        let user = self.request.reference("user");
        let user = user.ok_or_else(|| Answer::bad_field("user", "This field is required."))?;
        let role = self.request.required("role")?.to_owned();
        if self.state.users.get(user).is_none() {
            return Err(Answer::bad_field("user", "Object does not exist."));
        }
        let held = self.state.grants_on(scope).any(|grant| grant.user == user && grant.role == role);
        let no_role = || Answer::bad_request(json!(["User has no role in this scope."]));
        if action == "delete_user" {
            return if self.state.remove_grant(scope, user, &role) {
                Ok(Answer::empty())
            } else {
                Err(no_role())
            };
        }
        let expires = match self.request.text("expiration_time") {
            None => None,
            Some(text) => {
                let at = parse_instant(text);
                Some(at.ok_or_else(|| Answer::bad_field("expiration_time", "Datetime has wrong format."))?)
            }
        };
        match (action, held) {
            ("add_user", true) => {
                return Err(Answer::bad_request(json!(["User already has role in this scope."])));
            }
            ("update_user", false) => return Err(no_role()),
            _ => {}
        }
        self.state.add_grant(scope, user, &role, expires, Some(self.actor.user));
        // Whole seconds come back as they were sent.
        let end = expires.map(|at| if at.subsec_nanosecond() == 0 { at.to_string() } else { time(at) });
        let body = json!({ "expiration_time": end });
        Ok(if action == "add_user" { Answer::created(body) } else { Answer::ok(body) })
    }
}

fn customer(view: &super::render::View<'_>, row: &Customer) -> serde_json::Value {
    json!({
        "url": view.url("customers", row.uuid),
        "uuid": hex(row.uuid),
        "name": row.name,
        "slug": row.slug,
        "abbreviation": "",
        "created": time(row.created),
    })
}
