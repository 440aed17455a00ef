//! One offering with its Waldur, its cluster and its policy.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use planner::event;
use planner::outcome::Failure;
use planner::policy::Policy;
use planner::usernames::UsernameRule;
use tokio::sync::Notify;
use uuid::Uuid;

use super::Scope;
use super::people::{GivenLists, People};
use super::told::Told;
use crate::cluster::Cluster;
use crate::cluster::connect::Surroundings;
use crate::error::ApiError;
use crate::events::{EventOptions, Way};
use crate::metrics::Metrics;
use crate::waldur::Waldur;
use crate::waldur::calls::Registration;
use crate::waldur::dto;

/// Name of the service that offerings with events are registered under (contract §6.2).
const EVENT_PROCESS: &str = "event_process";
/// Name of the service of reports, however an offering is driven.
const REPORT: &str = "report";

/// No pass reads for longer.
const LONGEST_READING: Duration = Duration::from_secs(1800);

/// Orders remembered as approved; Waldur tells of each within moments, unless its events do not come at all.
const MOST_APPROVED: usize = 4096;

/// What an offering is made of.
#[derive(Debug)]
pub struct OfferingOptions {
    /// As the operator calls it.
    pub name: String,
    /// Waldur's id.
    pub uuid: Uuid,
    /// The id as written in the configuration; the agent's identity carries it (contract §10.4).
    pub uuid_text: String,
    /// False: the texts of unexpected failures stay in the log and are not shown to customers (contract §1.2).
    pub expose_details: bool,
    /// Members get access. Without it nobody's access is changed.
    pub membership: bool,
    /// Owners of the organization get access as well.
    pub grant_owners: bool,
    /// How usernames are made where Waldur leaves that to the provider.
    pub usernames: UsernameRule,
    /// Nothing is written.
    pub dry_run: bool,
    /// What the facts of its keys are.
    pub scope: Scope,
    /// When passes over it are made.
    pub rhythm: Rhythm,
    /// How messages reach it; `None` where it is polled.
    pub events: Option<EventOptions>,
    /// What is counted of it.
    pub metrics: Metrics,
    /// Policy by settings; what only the cluster and Waldur can tell is filled in later.
    pub policy: Policy,
}

/// How often passes are made. Without a period no such passes are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rhythm {
    /// Looks for open orders.
    pub orders: Option<Duration>,
    /// Looks at all resources in use.
    pub resources: Option<Duration>,
    /// The longest pause of both where the server turns out to have no events.
    pub without_events: Option<Duration>,
}

impl Rhythm {
    /// Only looks for orders.
    #[must_use]
    pub const fn orders(period: Duration) -> Self {
        Self { orders: Some(period), resources: None, without_events: None }
    }

    /// Only looks at resources.
    #[must_use]
    pub const fn resources(period: Duration) -> Self {
        Self { orders: None, resources: Some(period), without_events: None }
    }
}

/// One offering at work.
#[derive(Debug)]
pub struct Offering {
    pub(crate) options: OfferingOptions,
    pub(crate) waldur: Waldur,
    pub(crate) cluster: Arc<Cluster>,
    /// Orders that the last pass has read; each is used once.
    pub(crate) read: Mutex<HashMap<Uuid, Vec<dto::Order>>>,
    /// What the offering is in Waldur; read by each pass.
    model: Mutex<Option<Arc<planner::model::Offering>>>,
    /// Services that are registered, and the agent's identity in Waldur where it has one.
    registered: tokio::sync::Mutex<(HashSet<&'static str>, Option<Uuid>)>,
    told: Mutex<Told>,
    /// Orders that this process has approved and Waldur may not have told of yet.
    approved: Mutex<HashSet<Uuid>>,
    /// Usernames are the provider's task, as far as is known.
    pub(super) names_users: AtomicBool,
    /// Made by an order since the last look: usernames may have been given for it.
    made: Mutex<HashSet<Uuid>>,
    /// Somebody wants a pass now: over orders, over resources.
    pub(super) wanted: [Notify; 2],
    /// Messages come, or did once.
    pub(crate) subscribed: tokio::sync::watch::Sender<bool>,
    /// See [`super::people`].
    pub(super) people: tokio::sync::Mutex<Option<Arc<People>>>,
    /// Lists of people that Waldur has given before.
    pub(super) given: Mutex<GivenLists>,
    /// The last pass over all resources holds back all removals of access, until the next one.
    pub(super) removal_held: AtomicBool,
    /// Messages that are said once per start.
    said_once: Mutex<HashSet<&'static str>>,
    /// When namespaces were listed for projects that are due for deletion.
    pub(super) listed: Mutex<Option<Instant>>,
    /// What the Python agent has left was looked for.
    pub(super) leftovers: tokio::sync::OnceCell<()>,
}

impl Offering {
    /// Puts an offering together; nothing is sent yet.
    #[must_use]
    pub fn new(options: OfferingOptions, waldur: Waldur, cluster: Arc<Cluster>) -> Self {
        Self {
            options,
            waldur,
            cluster,
            read: Mutex::default(),
            model: Mutex::default(),
            registered: tokio::sync::Mutex::default(),
            told: Mutex::default(),
            approved: Mutex::default(),
            names_users: AtomicBool::new(true),
            made: Mutex::default(),
            wanted: Default::default(),
            subscribed: tokio::sync::watch::Sender::new(false),
            people: tokio::sync::Mutex::default(),
            given: Mutex::default(),
            removal_held: AtomicBool::new(false),
            said_once: Mutex::default(),
            listed: Mutex::default(),
            leftovers: tokio::sync::OnceCell::new(),
        }
    }

    /// Makes the agent known to Waldur, once per start and service; gives its identity there. A refusal costs only that
    /// the portal does not show the agent; without an answer nothing is known of the server and the pass cannot go on.
    pub(crate) async fn register(
        &self,
        service: &'static str,
        processor: &str,
    ) -> Result<Option<Uuid>, ApiError> {
        let mut registered = self.registered.lock().await;
        let is_driven = self.options.events.is_some() && service != REPORT;
        let service = if is_driven { EVENT_PROCESS } else { service };
        if registered.0.contains(service) {
            return Ok(registered.1);
        }
        let started = jiff::Timestamp::now().to_string();
        let offering = self.options.uuid_text.as_str();
        let registration = Registration { offering, mode: service, processor, started: &started };
        match self.waldur.register(self.options.uuid, &registration, self.options.dry_run).await {
            Err(error) if error.is_transient() || error.failure == Failure::Unauthorized => {
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(error = %error, "Waldur does not take this agent's registration; going on without");
            }
            Ok(identity) => {
                if self.waldur.is_legacy() && registered.0.is_empty() {
                    tracing::info!("Waldur is a server of 2024: without agent registration and events");
                }
                registered.1 = registered.1.or(identity);
            }
        }
        registered.0.insert(service);
        Ok(registered.1)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event asks for a resource: what a pass has read of it before is not used.
    pub(crate) fn note_woken(&self, resource: Uuid) {
        self.told().woken.insert(resource, Instant::now());
        self.read.lock().unwrap_or_else(PoisonError::into_inner).remove(&resource);
    }

    /// Roles in a project have changed.
    pub(crate) fn note_roles(&self, project: Uuid) {
        self.told().roles.insert(project, Instant::now());
    }

    /// Accounts in the offering have changed.
    pub(crate) fn note_accounts(&self) {
        self.told().accounts = Some(Instant::now());
    }

    /// When roles in a project changed, as far as events have told.
    pub(super) fn roles_changed(&self, project: Uuid) -> Option<Instant> {
        self.told().roles.get(&project).copied()
    }

    /// True if accounts have changed since.
    pub(super) fn accounts_changed_since(&self, read: Instant) -> bool {
        self.told().accounts_changed_since(read)
    }

    /// All messages come from now on, or not any more.
    pub(crate) fn note_hears(&self, all: bool) {
        self.told().hears = all.then(Instant::now);
    }

    /// True if messages would have told of any change of accounts since, and have told of none (contract §6.4). What a
    /// broker of the operator's own passes on is not known.
    pub(super) fn accounts_told_since(&self, read: Instant) -> bool {
        let is_told = |events: &EventOptions| {
            matches!(events.way, Way::Waldur) && events.object_types.contains(&event::OFFERING_USER)
        };
        self.options.events.as_ref().is_some_and(is_told) && self.told().accounts_unchanged_since(read)
    }

    /// Resources that an event has asked for since a pass began to read.
    pub(super) fn woken_since(&self, begun: Instant) -> HashSet<Uuid> {
        let told = self.told();
        told.woken.iter().filter(|(_, at)| **at >= begun).map(|(resource, _)| *resource).collect()
    }

    /// Forgets what events have told so long ago that nothing that was read before it is used any more.
    pub(super) fn forget_old_news(&self) {
        let mut told = self.told();
        let is_recent = |at: &Instant| at.elapsed() < LONGEST_READING;
        told.woken.retain(|_, at| is_recent(at));
        told.roles.retain(|_, at| is_recent(at));
    }

    /// This process approves an order; Waldur will tell that it is being worked.
    pub(super) fn note_approved(&self, order: Uuid) {
        let mut approved = self.approved.lock().unwrap_or_else(PoisonError::into_inner);
        if approved.len() > MOST_APPROVED {
            approved.clear();
        }
        approved.insert(order);
    }

    /// True, once, for an order that this process has approved.
    pub(crate) fn take_approved(&self, order: Uuid) -> bool {
        self.approved.lock().unwrap_or_else(PoisonError::into_inner).remove(&order)
    }

    /// An order that makes a project is done.
    pub(super) fn note_made(&self, resource: Uuid) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(resource);
    }

    /// True, once, after an order has made the project of a resource.
    pub(super) fn take_made(&self, resource: Uuid) -> bool {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).remove(&resource)
    }

    /// True if what is known of the people does not have an account of this user.
    pub(crate) fn lacks_account(&self, user: Uuid) -> bool {
        let people = self.people.try_lock();
        people.is_ok_and(|people| people.as_ref().is_some_and(|people| !people.knows(user)))
    }

    /// Reads the people anew, which gives usernames to those who wait for one where that is the provider's task.
    pub(crate) async fn name_waiting_users(&self) -> Result<(), ApiError> {
        if !self.names_users.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.people_to_act_on(Duration::from_secs(1)).await.map(drop)
    }

    /// The next call registers again.
    pub(crate) async fn forget_registration(&self) {
        *self.registered.lock().await = Default::default();
    }

    /// Asks for passes now.
    pub(crate) fn want_passes(&self) {
        self.wanted.iter().for_each(Notify::notify_one);
    }

    /// Finds out which generation of Waldur answers, without making the agent known.
    pub(crate) async fn learn_generation(&self) -> Result<(), ApiError> {
        let offering = self.options.uuid_text.as_str();
        let registration = Registration { offering, mode: "", processor: "", started: "" };
        match self.waldur.register(self.options.uuid, &registration, true).await {
            Err(error) if error.is_transient() || error.failure == Failure::Unauthorized => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads the offering anew.
    pub(crate) async fn read_offering(&self) -> Result<dto::Offering, ApiError> {
        let read = self.waldur.offering(self.options.uuid).await.map_err(|error| match error.failure {
            Failure::NotFound | Failure::Forbidden => error.with_hint(
                "is `waldur_offering_uuid` right, and has the user of this token a role in the offering or its provider?",
            ),
            _ => error,
        })?;
        let model = planner::model::Offering {
            components: read.components.iter().map(|component| component.kind.clone()).collect(),
            wants_statuses: read.option("enable_membership_sync_status") && !self.waldur.is_legacy(),
        };
        *self.model.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(model));
        Ok(read)
    }

    /// The offering's components as last read.
    pub(crate) async fn model(&self) -> Result<Arc<planner::model::Offering>, ApiError> {
        let known = self.model.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(model) = known {
            return Ok(model);
        }
        self.read_offering().await?;
        let known = self.model.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(known.unwrap_or_default())
    }

    /// Logs a message the first time.
    pub(crate) fn say_once(&self, key: &'static str, message: &str) {
        if self.said_once.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            tracing::warn!("{message}");
        }
    }

    /// True if the last pass holds back all removals of access, until the next one.
    pub(crate) fn removal_held(&self) -> bool {
        self.removal_held.load(Ordering::Relaxed)
    }

    /// The whole policy, with what the cluster and Waldur have told about themselves.
    pub(crate) fn policy(&self, surroundings: &Surroundings) -> Policy {
        let mut policy = Policy {
            flavour: surroundings.flavour,
            requester: surroundings.user.clone(),
            legacy_waldur: self.waldur.is_legacy(),
            template: Arc::clone(&surroundings.template),
            ..self.options.policy.clone()
        };
        policy.access.abilities = surroundings.abilities;
        policy
    }

    /// Orders that the last pass has read for a resource, once.
    pub(crate) fn take_read(&self, resource: Uuid) -> OrdersRead {
        let Some(orders) = self.read.lock().unwrap_or_else(PoisonError::into_inner).remove(&resource) else {
            return OrdersRead::No;
        };
        if orders.iter().all(|order| order.state == "pending-provider") {
            OrdersRead::Good(orders)
        } else {
            OrdersRead::Old
        }
    }
}

/// Orders of a resource as a pass has read them.
pub(crate) enum OrdersRead {
    /// No pass has read any.
    No,
    /// One was executing then: it may be finished by now, and doing it again could undo what came after.
    Old,
    /// Good enough to work.
    Good(Vec<dto::Order>),
}
