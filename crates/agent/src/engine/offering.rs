//! One offering with its Waldur, its cluster and its policy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use planner::policy::Policy;
use uuid::Uuid;

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
        }
    }

    /// Makes the agent known to Waldur, once per start. A refusal costs only that the portal does not show the
    /// agent; without an answer nothing is known of the server and the pass cannot go on.
    pub(crate) async fn register(&self, mode: &str, processor: &str) -> Result<(), ApiError> {
        let register = async || {
            let started = jiff::Timestamp::now().to_string();
            let offering = self.options.uuid_text.as_str();
            let registration = Registration { offering, mode, processor, started: &started };
            match self.waldur.register(&registration).await {
                Err(error)
                    if error.is_transient() || error.failure == planner::outcome::Failure::Unauthorized =>
                {
                    Err(error)
                }
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

    /// Reads the offering's components anew.
    pub(crate) async fn read_model(&self) -> Result<Arc<planner::model::Offering>, ApiError> {
        let read = self.waldur.offering(self.options.uuid).await?;
        let model = planner::model::Offering {
            components: read.components.into_iter().map(|component| component.kind).collect(),
        };
        let model = Arc::new(model);
        *self.model.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&model));
        Ok(model)
    }

    /// The offering's components as last read.
    pub(crate) async fn model(&self) -> Result<Arc<planner::model::Offering>, ApiError> {
        let known = self.model.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(model) => Ok(model),
            None => self.read_model().await,
        }
    }

    /// The whole policy, with what the cluster and Waldur have told about themselves.
    pub(crate) fn policy(&self, surroundings: &Surroundings) -> Policy {
        Policy {
            flavour: surroundings.flavour,
            requester: surroundings.user.clone(),
            legacy_waldur: self.waldur.is_legacy(),
            ..self.options.policy.clone()
        }
    }

    /// Orders that the last pass has read for a resource, once. An order that was executing then may be finished
    /// by now, and doing it again could undo what came after: those are read anew.
    pub(crate) fn take_read(&self, resource: Uuid) -> Option<Vec<dto::Order>> {
        let orders = self.read.lock().unwrap_or_else(PoisonError::into_inner).remove(&resource)?;
        orders.iter().all(|order| order.state == "pending-provider").then_some(orders)
    }
}
