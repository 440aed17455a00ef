//! Access beside HTTP: what tests and demonstrations put in, force, read and wait for.
//!
//! Nothing here checks permissions or states. What the server itself does in consequence of a change (events,
//! offering users) happens as over HTTP.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Waldur;
use super::accounts::AccountKind;
use super::consumer::{Draft, NewResource};
use super::event::Event;
use super::fields::Fields;
use super::model::{
    BackendResourceRequest, ComponentUserUsageLimit, Customer, Project, Scope, ServiceProvider, Token, User,
};
use super::render::View;
use super::request::hex;
use super::seed::{SeedCustomer, SeedProject, SeedUser};
use super::state::State;
use super::wire::{ImportRequestState, OrderState, OrderType, ResourceState};

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

/// A queue of the event broker, with the one who may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Virtual host: the user's UUID in 32 digits.
    pub vhost: String,
    /// Login: of the unified registration its `rmq_username`, of a legacy one the subscription's UUID.
    pub login: String,
    /// Passwords that are accepted.
    pub passcodes: Vec<String>,
    /// Queue without the `/amq/queue/` before it.
    pub queue: String,
    /// Whose messages arrive.
    pub offering: Uuid,
    /// Which messages arrive.
    pub object_types: Vec<String>,
    /// A queue of its own for each object type, as before the unified registration.
    pub legacy: bool,
}

/// Building.
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
                state.tokens.insert(token.clone(), Token { user: uuid, used: now });
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
        self.change(|state| state.remove_grant(Scope::Project(project), user, role))
    }

    /// Gives a role that may end.
    pub fn add_role(&self, scope: Scope, user: Uuid, role: &str, expires: Option<Timestamp>) {
        self.change(|state| state.add_grant(scope, user, role, expires, None));
    }

    /// Adds an offering user; an empty name leaves it `Requested`.
    pub fn add_offering_user(&self, offering: Uuid, user: Uuid, username: &str) -> Uuid {
        self.change(|state| state.add_offering_user(offering, user, username.to_owned()))
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
            state.tokens.insert(token.to_owned(), Token { user, used });
        });
    }

    /// Takes every token of a user away.
    pub fn revoke_tokens(&self, user: Uuid) {
        self.change(|state| state.tokens.retain(|_, token| token.user != user));
    }
}

/// Ordering.
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

/// Forcing what no proper client can.
impl Waldur {
    /// Puts an order into a state, without what would follow from it.
    pub fn force_order(&self, order: Uuid, to: OrderState) {
        self.change(|state| state.set_order_state(order, to));
    }

    /// Puts a resource into a state.
    pub fn force_resource(&self, resource: Uuid, to: ResourceState) {
        self.change(|state| state.change_resource(resource, |row| row.state = to));
    }

    /// Takes a resource away with its orders, as an administrator's `unlink` does; `false` when there is none.
    pub fn delete_resource(&self, resource: Uuid) -> bool {
        self.change(|state| {
            for order in state.orders_of.remove(&resource).unwrap_or_default() {
                state.orders.remove(order);
            }
            let removed = state.resources.remove(resource);
            if let Some(row) = &removed
                && let Some(uuids) = state.resources_of.get_mut(&row.project)
            {
                uuids.retain(|uuid| *uuid != resource);
            }
            removed.is_some()
        })
    }

    /// Sets the three flags at once.
    pub fn set_flags(&self, resource: Uuid, paused: bool, downscaled: bool, restrict_member_access: bool) {
        self.change(|state| {
            state.change_resource(resource, |row| {
                row.paused = paused;
                row.downscaled = downscaled;
                row.restrict_member_access = restrict_member_access;
            });
        });
    }

    /// Sets the limits to any JSON: null, fractions, huge or negative numbers, unknown components.
    pub fn set_limits(&self, resource: Uuid, limits: Value) {
        self.change(|state| state.change_resource(resource, |row| row.limits = limits));
    }

    /// Sets the limits of an order to any JSON.
    pub fn set_order_limits(&self, order: Uuid, limits: Value) {
        self.change(|state| state.change_order(order, |row| row.limits = limits));
    }

    /// Sets a resource's slug to any text.
    pub fn set_slug(&self, resource: Uuid, slug: &str) {
        self.change(|state| state.change_resource(resource, |row| slug.clone_into(&mut row.slug)));
    }

    /// Sets a resource's backend id to any text.
    pub fn set_backend_id(&self, resource: Uuid, backend_id: &str) {
        self.change(|state| {
            state.change_resource(resource, |row| backend_id.clone_into(&mut row.backend_id))
        });
    }

    /// Sets a project's slug to any text.
    pub fn set_project_slug(&self, project: Uuid, slug: &str) {
        self.change(|state| state.projects.update(project, |row| slug.clone_into(&mut row.slug)));
    }

    /// Sets a customer's slug to any text.
    pub fn set_customer_slug(&self, customer: Uuid, slug: &str) {
        self.change(|state| state.customers.update(customer, |row| slug.clone_into(&mut row.slug)));
    }

    /// Replaces a field in every answer that shows the resource, or with `None` leaves it out of them.
    pub fn override_resource(&self, resource: Uuid, field: &str, value: Option<Value>) {
        self.change(|state| {
            state.change_resource(resource, |row| {
                row.overrides.insert(field.to_owned(), value);
            });
        });
    }

    /// Replaces a field in every answer that shows the order, or with `None` leaves it out of them.
    pub fn override_order(&self, order: Uuid, field: &str, value: Option<Value>) {
        self.change(|state| {
            state.change_order(order, |row| {
                row.overrides.insert(field.to_owned(), value);
            });
        });
    }

    /// Sets one of the offering's `plugin_options`.
    pub fn set_plugin_option(&self, offering: Uuid, name: &str, value: Value) {
        self.change(|state| {
            state.offerings.update(offering, |row| row.plugin_options.insert(name.to_owned(), value));
        });
    }
}

/// Reading.
impl Waldur {
    /// UUID of the user with this name.
    #[must_use]
    pub fn user(&self, username: &str) -> Option<Uuid> {
        self.with(|state| Some(state.users.find(|row| row.username == username)?.uuid))
    }

    /// UUID of the customer with this slug.
    #[must_use]
    pub fn customer(&self, slug: &str) -> Option<Uuid> {
        self.with(|state| Some(state.customers.find(|row| row.slug == slug)?.uuid))
    }

    /// UUID of the project with this slug.
    #[must_use]
    pub fn project(&self, slug: &str) -> Option<Uuid> {
        self.with(|state| Some(state.projects.find(|row| row.slug == slug)?.uuid))
    }

    /// UUID of the offering with this slug.
    #[must_use]
    pub fn offering(&self, slug: &str) -> Option<Uuid> {
        self.with(|state| Some(state.offerings.find(|row| row.slug == slug)?.uuid))
    }

    /// The resource as staff sees it.
    #[must_use]
    pub fn resource(&self, resource: Uuid) -> Option<Value> {
        self.view(|view| Some(view.resource(view.state.resources.get(resource)?, &Fields::all())))
    }

    /// The order as staff sees it.
    #[must_use]
    pub fn order(&self, order: Uuid) -> Option<Value> {
        self.view(|view| Some(view.order(view.state.orders.get(order)?, &Fields::all())))
    }

    /// State of a resource.
    #[must_use]
    pub fn resource_state(&self, resource: Uuid) -> Option<ResourceState> {
        self.with(|state| Some(state.resources.get(resource)?.state))
    }

    /// State of an order.
    #[must_use]
    pub fn order_state(&self, order: Uuid) -> Option<OrderState> {
        self.with(|state| Some(state.orders.get(order)?.state))
    }

    /// Orders of a resource in the order of their placing.
    #[must_use]
    pub fn orders_of(&self, resource: Uuid) -> Vec<Uuid> {
        self.with(|state| state.orders_of(resource).map(|order| order.uuid).collect())
    }

    /// Component usages of a resource.
    #[must_use]
    pub fn component_usages(&self, resource: Uuid) -> Vec<Value> {
        self.view(|view| {
            let rows = view.state.usages.select(&[resource], &[]);
            rows.into_iter().map(|row| view.component_usage(row, &Fields::all())).collect()
        })
    }

    /// Offering users of an offering.
    #[must_use]
    pub fn offering_users(&self, offering: Uuid) -> Vec<Value> {
        self.view(|view| {
            let rows = view.state.offering_users.select(&[offering], &[]);
            rows.into_iter().map(|row| view.offering_user(row, &Fields::all())).collect()
        })
    }

    /// What the agent last reported about the grants of a resource.
    #[must_use]
    pub fn membership_sync_statuses(&self, resource: Uuid) -> Vec<Value> {
        self.with(|state| {
            state.resources.get(resource).map(|row| row.membership_sync_statuses.clone()).unwrap_or_default()
        })
    }

    /// Agent identities with their services and processors.
    #[must_use]
    pub fn identities(&self) -> Vec<Value> {
        self.view(|view| view.state.identities.iter().map(|row| view.identity(row, &Fields::all())).collect())
    }

    /// Log records that agents shipped.
    #[must_use]
    pub fn agent_logs(&self) -> Vec<Value> {
        self.with(|state| state.agent_logs.clone())
    }

    /// Every queue that the broker has to hold.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listener> {
        self.with(|state| {
            let unified = state.consumers.iter().map(|row| Listener {
                vhost: hex(row.user),
                login: row.rmq_username.clone(),
                passcodes: vec![row.passcode.clone()],
                queue: row.queue_name(),
                offering: row.offering,
                object_types: row.object_types.clone(),
                legacy: false,
            });
            let legacy = state.queues.iter().filter_map(|row| {
                let user = state.subscriptions.get(row.subscription)?.user;
                let tokens = state.tokens.iter().filter(|(_, token)| token.user == user);
                Some(Listener {
                    vhost: hex(user),
                    login: hex(row.subscription),
                    passcodes: tokens.map(|(key, _)| key.clone()).collect(),
                    queue: row.name(),
                    offering: row.offering,
                    object_types: vec![row.object_type.clone()],
                    legacy: true,
                })
            });
            unified.chain(legacy).collect()
        })
    }

    fn view<R>(&self, look: impl FnOnce(&View<'_>) -> R) -> R {
        let base = self.base_url(None);
        self.with(|state| look(&View { state, base: &base, is_staff: true }))
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = self.with(change);
        self.changed();
        result
    }
}

/// Waiting. Nothing here ends by itself: wrap it into a timeout.
impl Waldur {
    /// Until the order is in this state.
    pub async fn wait_for_order(&self, order: Uuid, state: OrderState) {
        self.wait_until(|waldur| waldur.order_state(order) == Some(state)).await;
    }

    /// Until the resource is in this state.
    pub async fn wait_for_resource(&self, resource: Uuid, state: ResourceState) {
        self.wait_until(|waldur| waldur.resource_state(resource) == Some(state)).await;
    }

    /// Until the condition holds, which is looked at after every change.
    pub async fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        while !holds(self) {
            // The sender lives as long as `self`, so there is always a next change to wait for.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
