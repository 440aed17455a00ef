//! The whole state of the simulated server, and the changes that touch more than one row.
//!
//! No HTTP here: the same changes serve requests and direct test access.

use std::cell::RefCell;
use std::collections::HashMap;

use fastrand::Rng;
use jiff::Timestamp;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::Generation;
use super::event::Event;
use super::feed::Feed;
use super::lists::Lists;
use super::model::{
    Account, AgentIdentity, AgentProcessor, AgentService, BackendResource, BackendResourceRequest,
    ComponentUsage, ComponentUserUsage, ComponentUserUsageLimit, CostPolicy, Customer, EventConsumer,
    EventQueue, EventSubscription, Grant, Offering, OfferingUser, Order, Project, Resource, Scope,
    ServiceProvider, Token, User,
};
use super::table::{Row, Table};
use super::wire::{OfferingUserState, OrderState, ResourceState};
use crate::clock::Clock;

pub(crate) struct State {
    pub(crate) clock: Clock,
    pub(crate) generation: Generation,
    pub(crate) rng: Rng,
    pub(crate) events: broadcast::Sender<Event>,
    /// Where messages and queues go; without one, events only go to those who ask this process for them.
    pub(crate) feed: Option<Feed>,
    pub(crate) tokens: HashMap<String, Token>,
    pub(crate) users: Table<User>,
    pub(crate) customers: Table<Customer>,
    pub(crate) providers: Table<ServiceProvider>,
    pub(crate) projects: Table<Project>,
    pub(crate) grants: Table<Grant>,
    pub(crate) offerings: Table<Offering>,
    pub(crate) resources: Table<Resource>,
    pub(crate) resources_of: HashMap<Uuid, Vec<Uuid>>,
    pub(crate) orders: Table<Order>,
    pub(crate) orders_of: HashMap<Uuid, Vec<Uuid>>,
    /// How often each beginning of a resource slug was used.
    pub(crate) slugs: HashMap<String, u32>,
    pub(crate) offering_users: Table<OfferingUser>,
    pub(crate) offering_user_of: HashMap<(Uuid, Uuid), Uuid>,
    pub(crate) usages: Table<ComponentUsage>,
    pub(crate) user_usages: Table<ComponentUserUsage>,
    pub(crate) user_limits: Table<ComponentUserUsageLimit>,
    pub(crate) service_accounts: Table<Account>,
    pub(crate) course_accounts: Table<Account>,
    pub(crate) identities: Table<AgentIdentity>,
    pub(crate) services: Table<AgentService>,
    pub(crate) processors: Table<AgentProcessor>,
    pub(crate) subscriptions: Table<EventSubscription>,
    pub(crate) queues: Table<EventQueue>,
    pub(crate) consumers: Table<EventConsumer>,
    pub(crate) backend_resources: Table<BackendResource>,
    pub(crate) backend_resource_requests: Table<BackendResourceRequest>,
    pub(crate) policies: Table<CostPolicy>,
    /// Log records received at `marketplace-site-agent-logs`.
    pub(crate) agent_logs: Vec<serde_json::Value>,
    /// See [`super::lists`].
    pub(crate) lists: RefCell<Lists>,
}

impl State {
    pub(crate) fn new(
        clock: Clock,
        generation: Generation,
        seed: u64,
        events: broadcast::Sender<Event>,
    ) -> Self {
        Self {
            clock,
            generation,
            rng: Rng::with_seed(seed),
            events,
            feed: None,
            tokens: HashMap::new(),
            users: Table::default(),
            customers: Table::default(),
            providers: Table::default(),
            projects: Table::default(),
            grants: Table::default(),
            offerings: Table::default(),
            resources: Table::default(),
            resources_of: HashMap::new(),
            orders: Table::default(),
            orders_of: HashMap::new(),
            slugs: HashMap::new(),
            offering_users: Table::default(),
            offering_user_of: HashMap::new(),
            usages: Table::default(),
            user_usages: Table::default(),
            user_limits: Table::default(),
            service_accounts: Table::default(),
            course_accounts: Table::default(),
            identities: Table::default(),
            services: Table::default(),
            processors: Table::default(),
            subscriptions: Table::default(),
            queues: Table::default(),
            consumers: Table::default(),
            backend_resources: Table::default(),
            backend_resource_requests: Table::default(),
            policies: Table::default(),
            agent_logs: Vec::new(),
            lists: RefCell::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn is_2024(&self) -> bool {
        self.generation == Generation::October2024
    }

    /// A UUID drawn from the seed.
    pub(crate) fn draw_uuid(&mut self) -> Uuid {
        let mut bytes = self.rng.u128(..).to_be_bytes();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Uuid::from_bytes(bytes)
    }

    /// Tells the broker; nobody listening is fine.
    pub(crate) fn tell(&self, event: Event) {
        if let Some(feed) = &self.feed {
            feed.publish(self, &event);
        }
        let _ = self.events.send(event);
    }

    pub(crate) fn project_name(&self, project: Uuid) -> String {
        self.projects.get(project).map(|project| project.name.clone()).unwrap_or_default()
    }

    /// The grants on a scope that have not expired.
    pub(crate) fn grants_on(&self, scope: Scope) -> impl Iterator<Item = &Grant> {
        let now = self.now();
        self.grants
            .select(&[scope.uuid()], &[])
            .into_iter()
            .filter(move |grant| grant.scope == scope && grant.is_in_force(now))
    }

    pub(crate) fn grants_of(&self, user: Uuid) -> impl Iterator<Item = &Grant> {
        let now = self.now();
        self.grants.iter().filter(move |grant| grant.user == user && grant.is_in_force(now))
    }

    /// `customers` row that owns the offering.
    pub(crate) fn provider_of(&self, offering: &Offering) -> Option<&Customer> {
        self.customers.get(offering.customer)
    }

    pub(crate) fn customer_of_project(&self, project: Uuid) -> Option<&Customer> {
        self.customers.get(self.projects.get(project)?.customer)
    }

    pub(crate) fn resources_in(&self, project: Uuid) -> impl Iterator<Item = &Resource> {
        self.resources_of.get(&project).into_iter().flatten().filter_map(|uuid| self.resources.get(*uuid))
    }

    pub(crate) fn add_resource(&mut self, resource: Resource) -> Uuid {
        self.resources_of.entry(resource.project).or_default().push(resource.uuid);
        self.resources.insert(resource)
    }

    pub(crate) fn orders_of(&self, resource: Uuid) -> impl DoubleEndedIterator<Item = &Order> {
        self.orders_of.get(&resource).into_iter().flatten().filter_map(|uuid| self.orders.get(*uuid))
    }

    pub(crate) fn open_order(&self, resource: Uuid) -> Option<&Order> {
        self.orders_of(resource).find(|order| order.state.is_open())
    }

    pub(crate) fn add_order(&mut self, order: Order) -> Uuid {
        let uuid = order.uuid;
        self.orders_of.entry(order.resource).or_default().push(uuid);
        self.tell(Event::order(self, &order));
        self.orders.insert(order);
        uuid
    }

    /// Changes an order; a change of its state is told.
    pub(crate) fn change_order(&mut self, uuid: Uuid, change: impl FnOnce(&mut Order)) {
        let now = self.now();
        let changed = self.orders.update(uuid, |order| {
            let before = order.state;
            change(order);
            order.modified = now;
            if before != order.state && !order.state.is_open() {
                order.completed = Some(now);
            }
            before != order.state
        });
        if changed == Some(true)
            && let Some(order) = self.orders.get(uuid)
        {
            self.tell(Event::order(self, order));
        }
    }

    pub(crate) fn set_order_state(&mut self, uuid: Uuid, state: OrderState) {
        self.change_order(uuid, |order| order.state = state);
    }

    /// Changes a resource; a change of its flags is told, and its becoming OK makes offering users.
    pub(crate) fn change_resource(&mut self, uuid: Uuid, change: impl FnOnce(&mut Resource)) {
        let now = self.now();
        let flags =
            |resource: &Resource| (resource.paused, resource.downscaled, resource.restrict_member_access);
        let changed = self.resources.update(uuid, |resource| {
            let before = (flags(resource), resource.state);
            change(resource);
            resource.modified = now;
            let became_ok = resource.state == ResourceState::Ok && before.1 != ResourceState::Ok;
            if became_ok && resource.plan_since.is_none() {
                resource.plan_since = Some(now);
            }
            (before.0 != flags(resource), became_ok)
        });
        let Some((flags_changed, became_ok)) = changed else { return };
        let Some(resource) = self.resources.get(uuid) else { return };
        if flags_changed {
            self.tell(Event::resource(self, resource));
        }
        if became_ok {
            let (offering, project) = (resource.offering, resource.project);
            let members: Vec<Uuid> =
                self.grants_on(Scope::Project(project)).map(|grant| grant.user).collect();
            for user in members {
                self.ensure_offering_user(offering, user);
            }
        }
    }

    /// Gives a role. A role that the user holds already only gets the new end.
    pub(crate) fn add_grant(
        &mut self,
        scope: Scope,
        user: Uuid,
        role: &str,
        expires: Option<Timestamp>,
        created_by: Option<Uuid>,
    ) -> Uuid {
        let same = |grant: &Grant| grant.scope == scope && grant.user == user && grant.role == role;
        if let Some(uuid) =
            self.grants.select(&[scope.uuid()], &[]).into_iter().find(|g| same(g)).map(Row::uuid)
        {
            self.grants.update(uuid, |grant| grant.expires = expires);
            return uuid;
        }
        let grant = Grant {
            uuid: self.draw_uuid(),
            user,
            scope,
            role: role.to_owned(),
            created: self.now(),
            created_by,
            expires,
        };
        let uuid = self.grants.insert(grant.clone());
        self.tell_role(&grant, true);
        if let Scope::Project(project) = scope {
            for offering in self.offerings_in_use(project) {
                self.ensure_offering_user(offering, user);
            }
        }
        uuid
    }

    /// Takes a role; `false` when it was not held.
    pub(crate) fn remove_grant(&mut self, scope: Scope, user: Uuid, role: &str) -> bool {
        let same = |grant: &Grant| grant.scope == scope && grant.user == user && grant.role == role;
        let held = self.grants.select(&[scope.uuid()], &[]);
        let Some(uuid) = held.into_iter().find(|grant| same(grant)).map(Row::uuid) else { return false };
        if let Some(grant) = self.grants.remove(uuid) {
            self.tell_role(&grant, false);
        }
        true
    }

    /// Only roles on projects are told, once for each offering that has a resource in state OK there.
    fn tell_role(&self, grant: &Grant, granted: bool) {
        if let Scope::Project(project) = grant.scope {
            for offering in self.offerings_in_use(project) {
                self.tell(Event::role(self, offering, grant, granted));
            }
        }
    }

    /// Offerings with a resource in state OK in the project.
    pub(crate) fn offerings_in_use(&self, project: Uuid) -> Vec<Uuid> {
        let mut offerings: Vec<Uuid> = self
            .resources_in(project)
            .filter(|resource| resource.state == ResourceState::Ok)
            .map(|resource| resource.offering)
            .collect();
        offerings.sort_unstable();
        offerings.dedup();
        offerings
    }

    /// Stored backend ids of the user's resources of this offering.
    pub(crate) fn backend_ids_of_user(&self, offering: Uuid, user: Uuid) -> Vec<String> {
        self.resources
            .select(&[offering], &[ResourceState::Ok as u8, ResourceState::Erred as u8])
            .into_iter()
            .filter(|resource| !resource.backend_id.is_empty())
            .filter(|resource| {
                self.grants_on(Scope::Project(resource.project)).any(|grant| grant.user == user)
            })
            .map(|resource| resource.backend_id.clone())
            .collect()
    }

    pub(crate) fn offering_user(&self, offering: Uuid, user: Uuid) -> Option<&OfferingUser> {
        self.offering_users.get(*self.offering_user_of.get(&(offering, user))?)
    }

    /// Makes the offering user when the offering asks the server to make them.
    fn ensure_offering_user(&mut self, offering: Uuid, user: Uuid) {
        if self.offering_user(offering, user).is_some() {
            return;
        }
        let Some(row) = self.offerings.get(offering) else { return };
        let options = if self.is_2024() { &row.secret_options } else { &row.plugin_options };
        if options.get("service_provider_can_create_offering_user") != Some(&serde_json::Value::Bool(true)) {
            return;
        }
        let policy = row.plugin_options.get("username_generation_policy").and_then(|policy| policy.as_str());
        let username = self.generated_username(policy.unwrap_or("service_provider"), user);
        let made = self.add_offering_user(offering, user, username);
        let now = self.now();
        self.offering_users.update(made, |row| row.propagated = Some(now));
    }

    fn generated_username(&self, policy: &str, user: Uuid) -> String {
        let Some(user) = self.users.get(user) else { return String::new() };
        match policy {
            "waldur_username" | "identity_claim" | "freeipa" => user.username.clone(),
            "anonymized" => format!("walduruser_{:05}", self.offering_users.len()),
            "full_name" => format!("{}_{}", user.first_name, user.last_name).to_lowercase(),
            _ => String::new(),
        }
    }

    /// Adds an offering user; an empty user name leaves it `Requested`.
    pub(crate) fn add_offering_user(&mut self, offering: Uuid, user: Uuid, username: String) -> Uuid {
        let now = self.now();
        let state = if username.is_empty() { OfferingUserState::Requested } else { OfferingUserState::Ok };
        let row = OfferingUser {
            uuid: self.draw_uuid(),
            offering,
            user,
            username,
            state,
            is_restricted: false,
            comment: String::new(),
            comment_url: String::new(),
            propagated: None,
            created: now,
            modified: now,
        };
        self.tell(Event::offering_user(self, &row, "create"));
        self.offering_user_of.insert((offering, user), row.uuid);
        self.offering_users.insert(row)
    }
}
