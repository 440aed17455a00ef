//! `marketplace-provider-offerings`, `marketplace-plans` and `marketplace-service-providers`.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::accounts::AccountKind;
use super::answer::{Answer, Outcome};
use super::call::Call;
use super::event::Event;
use super::filter::among;
use super::lists::{Basis, Rows};
use super::model::{Component, Grant, Offering, Project, Scope, ServiceProvider, User};
use super::request::parse_uuid;
use super::state::State;
use super::wire::{OfferingState, OrderState};

impl Call<'_> {
    pub(crate) fn provider_offerings(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => self.list_offerings(),
            [id] if self.reads() => {
                let (offering, _) = self.provider_offering(id)?;
                Ok(Answer::ok(self.view().offering(offering, &self.fields())))
            }
            [id, list] if self.reads() => {
                let offering = self.provider_offering(id)?.0.uuid;
                self.offering_list(offering, list)
            }
            [id, "orders", order] if self.reads() => {
                self.provider_offering(id)?;
                let order = self.order(order)?;
                Ok(Answer::ok(self.view().order(order, &self.fields())))
            }
            [id, action] if self.posts() => {
                let offering = self.provider_offering(id)?.0.uuid;
                self.offering_action(offering, action)
            }
            [] | [_] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn list_offerings(&self) -> Outcome {
        let query = &self.request.query;
        let customers = query.uuids("customer_uuid")?;
        let states = super::filter::states(query, "state", |text| {
            OfferingState::parse(text).map(|state| state as u8)
        })?;
        let kinds: Vec<&str> = query.all("type").collect();
        let provided = self.state.provided_offerings(self.actor);
        let offerings: Vec<&Offering> = self
            .state
            .offerings
            .iter()
            .filter(|row| provided.contains(&row.uuid) && among(&customers, row.customer))
            .filter(|row| states.is_empty() || states.contains(&(row.state as u8)))
            .filter(|row| kinds.is_empty() || kinds.contains(&row.kind.as_str()))
            .filter(|row| query.get("name_exact").is_none_or(|name| name == row.name))
            .collect();
        self.page(&offerings, |view, offering, fields| view.offering(offering, fields))
    }

    fn offering_list(&self, offering: Uuid, list: &str) -> Outcome {
        let is_2024 = self.state.is_2024();
        match list {
            "list_customer_users" => {
                let users = self.users_of(&self.projects_using(&[offering]));
                self.page(&users, |view, user, fields| view.user(user, fields))
            }
            "list_customer_projects" => {
                let projects = self.projects_using(&[offering]);
                self.page(&projects, |view, project, fields| view.project(project, fields))
            }
            "list_users" => {
                let grants: Vec<&Grant> = self.state.grants_on(Scope::Offering(offering)).collect();
                self.page(&grants, |view, grant, fields| view.role_details(grant, fields))
            }
            "orders" => {
                let query = &self.request.query;
                let states = super::filter::states(query, "state", |text| {
                    OrderState::parse(text).map(|state| state as u8)
                })?;
                let orders = self.state.orders.select(&[offering], &states);
                self.page(&orders, |view, order, fields| view.order(order, fields))
            }
            "user-attribute-config" if !is_2024 => {
                let offering = self.state.offerings.get(offering).ok_or_else(Answer::server_error)?;
                Ok(Answer::ok(self.view().user_attribute_config(offering)))
            }
            "list_project_service_accounts" if !is_2024 => {
                self.accounts_of(AccountKind::Service, &[offering])
            }
            "list_course_accounts" if !is_2024 => self.accounts_of(AccountKind::Course, &[offering]),
            "list_customer_service_accounts" if !is_2024 => self.page(&[(); 0], |_, (), _| Value::Null),
            _ => Err(Answer::no_route()),
        }
    }

    fn offering_action(&mut self, offering: Uuid, action: &str) -> Outcome {
        match action {
            "create_offering_component" => self.create_component(offering),
            "update_offering_component" => self.update_component(offering),
            "check_unique_backend_id" if !self.state.is_2024() => self.check_unique_backend_id(offering),
            "sync_resources" if !self.state.is_2024() => {
                self.state.tell(Event::resources_sync(offering, self.actor.user));
                Ok(Answer::accepted())
            }
            _ => Err(Answer::no_route()),
        }
    }

    fn create_component(&mut self, offering: Uuid) -> Outcome {
        let uuid = self.state.draw_uuid();
        let component = self.component_of_body(uuid)?;
        let exists =
            self.state.offerings.get(offering).is_some_and(|row| row.component(&component.kind).is_some());
        if exists {
            return Err(Answer::bad_field("type", "Component with this type already exists."));
        }
        self.state.offerings.update(offering, |row| row.components.push(component));
        Ok(Answer::created_empty())
    }

    fn update_component(&mut self, offering: Uuid) -> Outcome {
        let uuid = self
            .request
            .reference("uuid")
            .ok_or_else(|| Answer::bad_field("uuid", "This field is required."))?;
        let component = self.component_of_body(uuid)?;
        let found = self.state.offerings.update(offering, |row| {
            let old = row.components.iter_mut().find(|old| old.uuid == uuid);
            old.map(|old| *old = component).is_some()
        });
        if found == Some(true) { Ok(Answer::empty()) } else { Err(Answer::no_object("OfferingComponent")) }
    }

    fn component_of_body(&self, uuid: Uuid) -> Result<Component, Answer> {
        let mut more: Map<String, Value> = self.request.object();
        let mut take = |name: &str| {
            let value = more.remove(name).and_then(|value| value.as_str().map(str::to_owned));
            value.ok_or_else(|| Answer::bad_field(name, "This field is required."))
        };
        let (kind, name, billing_type) = (take("type")?, take("name")?, take("billing_type")?);
        let measured_unit = take("measured_unit").unwrap_or_default();
        more.remove("uuid");
        Ok(Component { uuid, kind, name, measured_unit, billing_type, more })
    }

    fn check_unique_backend_id(&self, offering: Uuid) -> Outcome {
        let backend_id = self.request.required("backend_id")?;
        let everywhere =
            self.request.body.get("check_all_offerings").and_then(Value::as_bool).unwrap_or_default();
        let customer = self.state.offerings.get(offering).map(|row| row.customer);
        let mut resources = self.state.resources.iter();
        let taken = resources.any(|row| {
            let same_customer = || self.state.offerings.get(row.offering).map(|row| row.customer) == customer;
            row.backend_id == backend_id && (row.offering == offering || (everywhere && same_customer()))
        });
        Ok(Answer::ok(json!({ "is_unique": !taken })))
    }

    pub(crate) fn plans(&self, path: &[&str]) -> Outcome {
        match path {
            [id] if self.reads() => {
                let uuid = parse_uuid(id).ok_or_else(|| Answer::no_object("Plan"))?;
                let mut offerings = self.state.offerings.iter();
                let found = offerings.find_map(|offering| Some((offering, offering.plan(uuid)?)));
                let (offering, plan) = found.ok_or_else(|| Answer::no_object("Plan"))?;
                Ok(Answer::ok(self.view().plan(offering, plan, &self.fields(), true)))
            }
            [] if self.reads() => {
                let offerings = self.state.offerings.iter();
                let plans: Vec<_> = offerings
                    .flat_map(|offering| offering.plans.iter().map(move |plan| (offering, plan)))
                    .collect();
                self.page(&plans, |view, (offering, plan), fields| view.plan(offering, plan, fields, true))
            }
            [] | [_] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    pub(crate) fn service_providers(&self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let customers = self.request.query.uuids("customer_uuid")?;
                let providers: Vec<&ServiceProvider> =
                    self.state.providers.iter().filter(|row| among(&customers, row.customer)).collect();
                self.page(&providers, |view, provider, fields| view.service_provider(provider, fields))
            }
            [id] if self.reads() => {
                let provider = self.service_provider(id)?;
                Ok(Answer::ok(self.view().service_provider(provider, &self.fields())))
            }
            [id, list] if self.reads() => self.provider_list(self.service_provider(id)?, list),
            [] | [_] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn service_provider(&self, id: &str) -> Result<&ServiceProvider, Answer> {
        let provider = parse_uuid(id).and_then(|uuid| self.state.providers.get(uuid));
        provider.ok_or_else(|| Answer::no_object("ServiceProvider"))
    }

    fn provider_list(&self, provider: &ServiceProvider, list: &str) -> Outcome {
        let offerings: Vec<Uuid> =
            self.state.offerings.select(&[provider.customer], &[]).iter().map(|row| row.uuid).collect();
        // Strangers are refused; owners of the provider and managers of one of its offerings may read.
        if !offerings.iter().any(|offering| self.state.provides(self.actor, *offering)) {
            return Err(Answer::forbidden());
        }
        let is_2024 = self.state.is_2024();
        match list {
            "keys" => self.page(&[(); 0], |_, (), _| Value::Null),
            "projects" => {
                let projects = self.projects_using(&offerings);
                self.page(&projects, |view, project, fields| view.project(project, fields))
            }
            "project_permissions" => self.project_permissions(&offerings),
            "users" => {
                let projects = self.projects_using(&offerings);
                let asked = self.request.query.uuids("project_uuid")?;
                let narrowed: Vec<&Project> =
                    projects.iter().copied().filter(|project| among(&asked, project.uuid)).collect();
                let users = self.users_of(&narrowed);
                self.page(&users, |view, user, fields| {
                    let on = |project: &&&Project| {
                        let mut grants = view.state.grants_on(Scope::Project(project.uuid));
                        grants.any(|grant| grant.user == user.uuid)
                    };
                    view.provider_user(user, projects.iter().filter(on).count(), fields)
                })
            }
            "project_service_accounts" if !is_2024 => self.accounts_of(AccountKind::Service, &offerings),
            "course_accounts" if !is_2024 => self.accounts_of(AccountKind::Course, &offerings),
            _ => Err(Answer::no_route()),
        }
    }

    /// Every role on every project that uses the provider (Waldur contract §10.2).
    fn project_permissions(&self, offerings: &[Uuid]) -> Outcome {
        let query = &self.request.query;
        let (users, scopes) = (query.uuids("user")?, query.uuids("scope_uuid")?);
        let roles: Vec<&str> = query.all("role_name").collect();
        let created = super::filter::Span::of(query, "modified")?;
        let find = || {
            let projects = match scopes.as_slice() {
                [project] => self.project_using(offerings, *project).into_iter().collect(),
                _ => self.projects_using(offerings),
            };
            let grants = projects
                .iter()
                .filter(|project| among(&scopes, project.uuid))
                .flat_map(|project| self.state.grants_on(Scope::Project(project.uuid)))
                .filter(|grant| among(&users, grant.user) && created.holds(grant.created))
                .filter(|grant| roles.is_empty() || roles.contains(&grant.role.as_str()))
                .filter(|grant| {
                    let user = self.state.users.get(grant.user);
                    query.get("username").is_none_or(|name| user.is_some_and(|user| user.username == name))
                });
            let mut rows = Rows::default();
            for grant in grants {
                rows.uuids.push(grant.uuid);
                rows.until = [rows.until, grant.expires].into_iter().flatten().min();
            }
            Ok(rows)
        };
        let State { grants, users, projects, resources, .. } = &*self.state;
        // Which projects use the provider depends on which resources there are; none of them moves.
        let changes =
            grants.changes() + users.changes() + projects.changes() + resources.comings_and_goings();
        let grants = self.rows(Basis { changes, seen: offerings.to_vec() }, find)?;
        self.page_of(&grants, &self.state.grants, |view, grant, fields| {
            view.project_permission(grant, fields)
        })
    }

    /// Projects with a resource of these offerings, whatever its state (measurement 016).
    pub(super) fn projects_using(&self, offerings: &[Uuid]) -> Vec<&Project> {
        let mut seen = std::collections::HashSet::new();
        let resources = self.state.resources.select(offerings, &[]);
        resources
            .into_iter()
            .filter(|_| !offerings.is_empty())
            .filter(|resource| seen.insert(resource.project))
            .filter_map(|resource| self.state.projects.get(resource.project))
            .collect()
    }

    /// A project, if it is one of [`Self::projects_using`].
    fn project_using(&self, offerings: &[Uuid], project: Uuid) -> Option<&Project> {
        let mut resources = self.state.resources_in(project);
        resources.any(|resource| offerings.contains(&resource.offering)).then_some(())?;
        self.state.projects.get(project)
    }

    fn users_of(&self, projects: &[&Project]) -> Vec<&User> {
        let mut seen = std::collections::HashSet::new();
        projects
            .iter()
            .flat_map(|project| self.state.grants_on(Scope::Project(project.uuid)))
            .filter(|grant| seen.insert(grant.user))
            .filter_map(|grant| self.state.users.get(grant.user))
            .collect()
    }
}
