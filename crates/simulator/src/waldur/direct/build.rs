//! Adding people, projects, accounts and orders.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::waldur::Waldur;
use crate::waldur::accounts::AccountKind;
use crate::waldur::consumer::{Draft, NewResource};
use crate::waldur::event::Event;
use crate::waldur::model::{
    BackendResourceRequest, ComponentUserUsageLimit, Customer, Project, Scope, ServiceProvider, Token, User,
};
use crate::waldur::seed::{SeedCustomer, SeedProject, SeedUser};
use crate::waldur::wire::{ImportRequestState, OrderState, OrderType};

/// A Create order to be placed.
#[derive(Clone, Debug)]
pub struct CreateOrder {
    /// What is ordered.
    pub offering: Uuid,
    /// Where it will belong.
    pub project: Uuid,
    /// Who orders.
    pub user: Uuid,
    /// Name of the resource.
    pub name: String,
    /// Amount of each component; any JSON, as a malformed server would hold.
    pub limits: Value,
}

impl Waldur {
    /// Adds a user, with its token if it has one.
    pub fn add_user(&self, seed: &SeedUser) -> Uuid {
        self.with(|state| {
            let (first_name, last_name) = seed.full_name.split_once(' ').unwrap_or((&seed.full_name, ""));
            let now = state.now();
            let uuid = seed.uuid.unwrap_or_else(|| state.draw_uuid());
            let user = User {
                uuid,
                number: state.users.len() as u64 + 1,
                username: seed.username.clone(),
                first_name: first_name.to_owned(),
                last_name: last_name.to_owned(),
                email: seed.email.clone(),
                is_staff: seed.is_staff,
                is_active: true,
                password: seed.password.clone(),
                token_lifetime: seed.token_lifetime,
                created: now,
            };
            state.users.insert(user);
            if let Some(token) = &seed.token {
                state.tokens.insert(token.clone(), Token { user: uuid, used: now, expires: None });
            }
            uuid
        })
    }

    /// Adds a customer, and its service provider if it is one.
    pub fn add_customer(&self, seed: &SeedCustomer) -> Uuid {
        self.with(|state| {
            let created = state.now();
            let uuid = seed.uuid.unwrap_or_else(|| state.draw_uuid());
            state.customers.insert(Customer {
                uuid,
                name: seed.name.clone(),
                slug: seed.slug.clone(),
                created,
            });
            if seed.provider {
                let provider = state.draw_uuid();
                state.providers.insert(ServiceProvider { uuid: provider, customer: uuid, created });
            }
            uuid
        })
    }

    /// Adds a project, ignoring the customer's slug in `seed`.
    pub fn add_project(&self, customer: Uuid, seed: &SeedProject) -> Uuid {
        self.with(|state| {
            let project = Project {
                uuid: seed.uuid.unwrap_or_else(|| state.draw_uuid()),
                customer,
                name: seed.name.clone(),
                slug: seed.slug.clone(),
                description: seed.description.clone(),
                end_date: seed.end_date.clone(),
                created: state.now(),
            };
            state.projects.insert(project)
        })
    }

    /// Gives a role on a project.
    pub fn add_member(&self, project: Uuid, user: Uuid, role: &str) {
        self.add_role(Scope::Project(project), user, role, None);
    }

    /// Takes a role on a project; `false` when it was not held.
    pub fn remove_member(&self, project: Uuid, user: Uuid, role: &str) -> bool {
        self.remove_role(Scope::Project(project), user, role)
    }

    /// Gives a role that may end.
    pub fn add_role(&self, scope: Scope, user: Uuid, role: &str, expires: Option<Timestamp>) {
        self.change(|state| state.add_grant(scope, user, role, expires, None));
    }

    /// Takes a role; `false` when it was not held.
    pub fn remove_role(&self, scope: Scope, user: Uuid, role: &str) -> bool {
        self.change(|state| state.remove_grant(scope, user, role))
    }

    /// Adds an offering user in place of one that is there; an empty name leaves it `Requested`.
    pub fn add_offering_user(&self, offering: Uuid, user: Uuid, username: &str) -> Uuid {
        self.change(|state| {
            if let Some(known) = state.offering_user(offering, user).map(|row| row.uuid) {
                state.drop_offering_user(known);
            }
            state.add_offering_user(offering, user, username.to_owned())
        })
    }

    /// Adds a service account in state OK.
    pub fn add_service_account(&self, project: Uuid, username: &str) -> Uuid {
        self.change(|state| state.add_account(AccountKind::Service, project, username, ""))
    }

    /// Adds a course account in state OK.
    pub fn add_course_account(&self, project: Uuid, username: &str) -> Uuid {
        self.change(|state| state.add_account(AccountKind::Course, project, username, ""))
    }

    /// Closes a service account.
    pub fn close_service_account(&self, account: Uuid) {
        self.change(|state| state.close_account(AccountKind::Service, account));
    }

    /// Closes a course account.
    pub fn close_course_account(&self, account: Uuid) {
        self.change(|state| state.close_account(AccountKind::Course, account));
    }

    /// Adds a limit of one offering user on one component of one resource.
    pub fn add_user_limit(&self, resource: Uuid, offering_user: Uuid, component: &str, limit: &str) -> Uuid {
        self.change(|state| {
            let uuid = state.draw_uuid();
            let (kind, limit) = (component.to_owned(), limit.to_owned());
            state.user_limits.insert(ComponentUserUsageLimit { uuid, resource, kind, offering_user, limit })
        })
    }

    /// Asks the agent for resources that could be imported, as the portal does.
    pub fn request_importable_resources(&self, offering: Uuid) -> Uuid {
        self.change(|state| {
            let now = state.now();
            let uuid = state.draw_uuid();
            state.backend_resource_requests.insert(BackendResourceRequest {
                uuid,
                offering,
                state: ImportRequestState::Sent,
                started: None,
                finished: None,
                error_message: String::new(),
                error_traceback: String::new(),
                created: now,
                modified: now,
            });
            state.tell(Event::importable_resources(offering, uuid));
            uuid
        })
    }

    /// Replaces every token of a user.
    pub fn set_token(&self, user: Uuid, token: &str) {
        self.change(|state| {
            let used = state.now();
            state.tokens.retain(|_, known| known.user != user);
            state.tokens.insert(token.to_owned(), Token { user, used, expires: None });
        });
    }

    /// An access token of a user as an identity provider gives it, good for so long.
    pub fn access_token(&self, user: Uuid, lifetime: std::time::Duration) -> String {
        self.change(|state| {
            let now = state.now();
            let expires = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
            let id = format!("{:032x}", state.rng.u128(..));
            let token = crate::bound_token::jwt(&user.to_string(), "waldur", Some(expires), &id);
            state.tokens.insert(token.clone(), Token { user, used: now, expires: Some(expires) });
            token
        })
    }

    /// Takes every token of a user away.
    pub fn revoke_tokens(&self, user: Uuid) {
        self.change(|state| state.tokens.retain(|_, token| token.user != user));
    }
}

impl Waldur {
    /// Places a Create order that is pending with the provider; gives the order and its resource.
    pub fn place_create_order(&self, order: CreateOrder) -> (Uuid, Uuid) {
        self.change(|state| {
            let plan = state.offerings.get(order.offering).and_then(|row| Some(row.plans.first()?.uuid));
            let attributes = json!({ "name": order.name });
            let resource = state.make_resource(NewResource {
                uuid: None,
                offering: order.offering,
                project: order.project,
                plan,
                name: order.name,
                limits: order.limits.clone(),
                attributes: attributes.clone(),
            });
            let draft = Draft::new(OrderType::Create, resource, order.user, OrderState::PendingProvider);
            (state.make_order(Draft { plan, limits: order.limits, attributes, ..draft }), resource)
        })
    }

    /// Places an order to change the limits, whatever the resource's state and whatever else is open.
    pub fn place_update_order(&self, resource: Uuid, user: Uuid, limits: Value) -> Uuid {
        self.change(|state| {
            let row = state.resources.get(resource);
            let (plan, old) = row.map_or((None, Value::Null), |row| (row.plan, row.limits.clone()));
            let draft = Draft::new(OrderType::Update, resource, user, OrderState::PendingProvider);
            state.make_order(Draft { plan, limits, attributes: json!({ "old_limits": old }), ..draft })
        })
    }

    /// Places an order to terminate.
    pub fn place_terminate_order(&self, resource: Uuid, user: Uuid) -> Uuid {
        self.change(|state| {
            state.make_order(Draft::new(OrderType::Terminate, resource, user, OrderState::PendingProvider))
        })
    }

    /// Places an order to restore, with the limits that the resource has.
    pub fn place_restore_order(&self, resource: Uuid, user: Uuid) -> Uuid {
        self.change(|state| {
            let row = state.resources.get(resource);
            let (plan, limits) = row.map_or((None, Value::Null), |row| (row.plan, row.limits.clone()));
            let draft = Draft::new(OrderType::Restore, resource, user, OrderState::PendingProvider);
            state.make_order(Draft { plan, limits, ..draft })
        })
    }
}
