//! Rows about agents: their registration, their queues, and what they found to import.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::waldur::table::Row;
use crate::waldur::wire::ImportRequestState;

#[derive(Clone, Debug)]
pub(crate) struct AgentIdentity {
    pub(crate) uuid: Uuid,
    pub(crate) offering: Uuid,
    pub(crate) created_by: Uuid,
    pub(crate) name: String,
    /// What the agent sent: `version`, `dependencies`, `config_file_path`, `config_file_content`, `last_restarted`.
    pub(crate) sent: Map<String, Value>,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}
row!(AgentIdentity, |row| (row.offering, 0));

#[derive(Clone, Debug)]
pub(crate) struct AgentService {
    pub(crate) uuid: Uuid,
    pub(crate) identity: Uuid,
    pub(crate) name: String,
    pub(crate) mode: String,
    pub(crate) statistics: Value,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}
row!(AgentService, |row| (row.identity, 0));

#[derive(Clone, Debug)]
pub(crate) struct AgentProcessor {
    pub(crate) uuid: Uuid,
    pub(crate) service: Uuid,
    pub(crate) name: String,
    pub(crate) backend_type: String,
    pub(crate) backend_version: String,
    pub(crate) last_run: Timestamp,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}
row!(AgentProcessor, |row| (row.service, 0));

/// Legacy subscription: one per object type.
#[derive(Clone, Debug)]
pub(crate) struct EventSubscription {
    pub(crate) uuid: Uuid,
    pub(crate) user: Uuid,
    pub(crate) description: String,
    pub(crate) object_type: String,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}
row!(EventSubscription, |row| (row.user, 0));

/// Queue of a legacy subscription.
#[derive(Clone, Debug)]
pub(crate) struct EventQueue {
    pub(crate) uuid: Uuid,
    pub(crate) subscription: Uuid,
    pub(crate) offering: Uuid,
    pub(crate) object_type: String,
    pub(crate) created: Timestamp,
}
row!(EventQueue, |row| (row.offering, 0));

/// The one queue of an identity in the unified registration.
#[derive(Clone, Debug)]
pub(crate) struct EventConsumer {
    pub(crate) uuid: Uuid,
    pub(crate) identity: Uuid,
    pub(crate) offering: Uuid,
    pub(crate) user: Uuid,
    pub(crate) rmq_username: String,
    pub(crate) object_types: Vec<String>,
    /// The credential presented at registration, which the broker takes as the password.
    pub(crate) passcode: String,
}
row!(EventConsumer, |row| (row.identity, 0));

#[derive(Clone, Debug)]
pub(crate) struct BackendResource {
    pub(crate) uuid: Uuid,
    pub(crate) offering: Uuid,
    pub(crate) project: Uuid,
    pub(crate) name: String,
    pub(crate) backend_id: String,
    pub(crate) backend_metadata: Value,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}
row!(BackendResource, |row| (row.offering, 0));

#[derive(Clone, Debug)]
pub(crate) struct BackendResourceRequest {
    pub(crate) uuid: Uuid,
    pub(crate) offering: Uuid,
    pub(crate) state: ImportRequestState,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) error_message: String,
    pub(crate) error_traceback: String,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}
row!(BackendResourceRequest, |row| (row.offering, row.state as u8));
