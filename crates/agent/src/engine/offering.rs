//! One offering with its Waldur, its cluster and its policy.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use planner::outcome::Failure;
use planner::policy::Policy;
use planner::usernames::UsernameRule;
use uuid::Uuid;

use super::Scope;
use super::people::{GivenLists, People};
use crate::cluster::Cluster;
use crate::cluster::connect::Surroundings;
use crate::error::ApiError;
use crate::waldur::Waldur;
use crate::waldur::calls::Registration;
use crate::waldur::dto;

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
    /// Policy by settings; what only the cluster and Waldur can tell is filled in later.
    pub policy: Policy,
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
    registered: tokio::sync::OnceCell<()>,
    /// See [`super::people`].
    pub(super) people: tokio::sync::Mutex<Option<Arc<People>>>,
    /// Lists of people that Waldur has given before.
    pub(super) given: Mutex<GivenLists>,
    /// What the last pass over all resources has read; each is used once.
    pub(super) pass: Mutex<Option<PassRead>>,
    /// Messages that are said once per start.
    said_once: Mutex<HashSet<&'static str>>,
    /// When namespaces were listed for projects that are due for deletion.
    pub(super) listed: Mutex<Option<Instant>>,
    /// What the Python agent has left was looked for.
    pub(super) leftovers: tokio::sync::OnceCell<()>,
}

/// Resources and people as one pass has read them.
#[derive(Debug)]
pub(crate) struct PassRead {
    pub(crate) resources: HashMap<Uuid, (dto::Resource, Arc<People>)>,
    /// So much access would be removed at once that nobody's is.
    pub(crate) removal_held: bool,
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
            registered: tokio::sync::OnceCell::new(),
            people: tokio::sync::Mutex::default(),
            given: Mutex::default(),
            pass: Mutex::default(),
            said_once: Mutex::default(),
            listed: Mutex::default(),
            leftovers: tokio::sync::OnceCell::new(),
        }
    }

    /// Makes the agent known to Waldur, once per start. A refusal costs only that the portal does not show the
    /// agent; without an answer nothing is known of the server and the pass cannot go on.
    pub(crate) async fn register(&self, mode: &str, processor: &str) -> Result<(), ApiError> {
        let register = async || {
            let started = jiff::Timestamp::now().to_string();
            let offering = self.options.uuid_text.as_str();
            let registration = Registration { offering, mode, processor, started: &started };
            match self.waldur.register(self.options.uuid, &registration, self.options.dry_run).await {
                Err(error) if error.is_transient() || error.failure == Failure::Unauthorized => Err(error),
                Err(error) => {
                    tracing::warn!(error = %error, "Waldur does not take this agent's registration; going on without");
                    Ok(())
                }
                Ok(()) => {
                    if self.waldur.is_legacy() {
                        tracing::info!("Waldur is a server of 2024: without agent registration and events");
                    }
                    Ok(())
                }
            }
        };
        self.registered.get_or_try_init(register).await.map(drop)
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

    /// A resource with the people as the pass has read them, once.
    pub(crate) fn take_pass_read(&self, resource: Uuid) -> Option<(dto::Resource, Arc<People>)> {
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        let pass = pass.as_mut()?;
        let taken = pass.resources.remove(&resource)?;
        if pass.resources.is_empty() {
            pass.resources = HashMap::new();
        }
        Some(taken)
    }

    /// True if the last pass holds back all removals of access, until the next one.
    pub(crate) fn removal_held(&self) -> bool {
        let pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        pass.as_ref().is_some_and(|pass| pass.removal_held)
    }

    /// The whole policy, with what the cluster and Waldur have told about themselves.
    pub(crate) fn policy(&self, surroundings: &Surroundings) -> Policy {
        let mut policy = Policy {
            flavour: surroundings.flavour,
            requester: surroundings.user.clone(),
            legacy_waldur: self.waldur.is_legacy(),
            ..self.options.policy.clone()
        };
        policy.access.abilities = surroundings.abilities;
        policy
    }

    /// Orders that the last pass has read for a resource, once. An order that was executing then may be finished
    /// by now, and doing it again could undo what came after: those are read anew.
    pub(crate) fn take_read(&self, resource: Uuid) -> Option<Vec<dto::Order>> {
        let orders = self.read.lock().unwrap_or_else(PoisonError::into_inner).remove(&resource)?;
        orders.iter().all(|order| order.state == "pending-provider").then_some(orders)
    }
}
