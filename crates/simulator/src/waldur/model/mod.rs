//! The rows of the simulated server: what each object of the marketplace holds.
//!
//! Data only. Texts and limits are kept as they were given, so that values no server should hold can be put in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::waldur::table::Row;
use crate::waldur::wire::{
    AccountState, AllocationState, OfferingState, OfferingUserState, OrderState, OrderType, ResourceState,
};

/// Fields of an answer that a test replaced (`Some`) or took away (`None`).
pub(crate) type Overrides = BTreeMap<String, Option<Value>>;

macro_rules! row {
    ($type:ty) => {
        row!($type, |_row| (Uuid::nil(), 0));
    };
    ($type:ty, |$row:ident| $group:expr) => {
        impl Row for $type {
            fn uuid(&self) -> Uuid {
                self.uuid
            }

            fn group(&self) -> (Uuid, u8) {
                let $row = self;
                $group
            }
        }
    };
}

mod agent;

pub(crate) use self::agent::{
    AgentIdentity, AgentProcessor, AgentService, BackendResource, BackendResourceRequest, EventConsumer,
    EventQueue, EventSubscription,
};

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) uuid: Uuid,
    /// Primary key, shown as `modified_by` of component usages.
    pub(crate) number: u64,
    pub(crate) username: String,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) email: String,
    pub(crate) is_staff: bool,
    pub(crate) is_active: bool,
    /// Password of `POST /api-auth/password/`, when the user can sign in that way.
    pub(crate) password: Option<String>,
    /// Seconds a token lives after its last use; `None` for ever.
    pub(crate) token_lifetime: Option<i64>,
    pub(crate) created: Timestamp,
}
row!(User);

impl User {
    pub(crate) fn full_name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name).trim().to_owned()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) user: Uuid,
    pub(crate) used: Timestamp,
    /// Of an access token that an identity provider gave: its end. These come as `Bearer` only.
    pub(crate) expires: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) uuid: Uuid,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) created: Timestamp,
}
row!(Customer);

#[derive(Clone, Debug)]
pub(crate) struct ServiceProvider {
    pub(crate) uuid: Uuid,
    pub(crate) customer: Uuid,
    pub(crate) created: Timestamp,
}
row!(ServiceProvider);

#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) uuid: Uuid,
    pub(crate) customer: Uuid,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) description: String,
    pub(crate) end_date: Option<String>,
    pub(crate) created: Timestamp,
}
row!(Project, |row| (row.customer, 0));

/// What a role is held on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A customer (organisation).
    Customer(Uuid),
    /// A project.
    Project(Uuid),
    /// An offering.
    Offering(Uuid),
}

impl Scope {
    pub(crate) fn uuid(self) -> Uuid {
        match self {
            Self::Customer(uuid) | Self::Project(uuid) | Self::Offering(uuid) => uuid,
        }
    }

    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Customer(_) => "customer",
            Self::Project(_) => "project",
            Self::Offering(_) => "offering",
        }
    }
}

/// One role of one user.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) uuid: Uuid,
    pub(crate) user: Uuid,
    pub(crate) scope: Scope,
    /// Full name: `PROJECT.MANAGER`, `CUSTOMER.OWNER`, …
    pub(crate) role: String,
    pub(crate) created: Timestamp,
    pub(crate) created_by: Option<Uuid>,
    pub(crate) expires: Option<Timestamp>,
}
row!(Grant, |row| (row.scope.uuid(), 0));

impl Grant {
    pub(crate) fn is_in_force(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|end| end > now)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Offering {
    pub(crate) uuid: Uuid,
    pub(crate) customer: Uuid,
    pub(crate) category: Uuid,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) kind: String,
    pub(crate) state: OfferingState,
    pub(crate) backend_id: String,
    pub(crate) components: Vec<Component>,
    pub(crate) plans: Vec<Plan>,
    pub(crate) plugin_options: Map<String, Value>,
    pub(crate) secret_options: Map<String, Value>,
    /// User attributes that the provider may read (`user-attribute-config`).
    pub(crate) exposed_fields: Vec<String>,
    pub(crate) created: Timestamp,
}
row!(Offering, |row| (row.customer, 0));

impl Offering {
    pub(crate) fn component(&self, kind: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.kind == kind)
    }

    pub(crate) fn plan(&self, uuid: Uuid) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.uuid == uuid)
    }

    /// Whether components of this billing type exist.
    pub(crate) fn bills(&self, billing_type: &str) -> bool {
        self.components.iter().any(|component| component.billing_type == billing_type)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub(crate) uuid: Uuid,
    /// `type` on the wire.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) measured_unit: String,
    pub(crate) billing_type: String,
    /// Remaining fields, which replace the defaults.
    pub(crate) more: Map<String, Value>,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) uuid: Uuid,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) quotas: Map<String, Value>,
    pub(crate) prices: Map<String, Value>,
}

/// The SLURM allocation behind a resource, 2024 generation only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocation {
    pub(crate) uuid: Uuid,
    pub(crate) state: AllocationState,
}

#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) uuid: Uuid,
    pub(crate) offering: Uuid,
    pub(crate) project: Uuid,
    pub(crate) plan: Option<Uuid>,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) description: String,
    pub(crate) state: ResourceState,
    pub(crate) backend_id: String,
    pub(crate) effective_id: String,
    pub(crate) limits: Value,
    pub(crate) attributes: Value,
    pub(crate) options: Value,
    pub(crate) backend_metadata: Value,
    pub(crate) endpoints: Value,
    pub(crate) report: Value,
    pub(crate) current_usages: Map<String, Value>,
    pub(crate) end_date: Option<String>,
    pub(crate) end_date_updated_at: Option<Timestamp>,
    pub(crate) paused: bool,
    pub(crate) downscaled: bool,
    pub(crate) restrict_member_access: bool,
    pub(crate) error_message: String,
    pub(crate) error_traceback: String,
    pub(crate) last_sync: Timestamp,
    pub(crate) last_role_sync: Option<Timestamp>,
    pub(crate) plan_since: Option<Timestamp>,
    pub(crate) plan_period: Uuid,
    pub(crate) allocation: Option<Allocation>,
    pub(crate) membership_sync_statuses: Vec<Value>,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
    pub(crate) overrides: Overrides,
}
row!(Resource, |row| (row.offering, row.state as u8));

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) uuid: Uuid,
    pub(crate) number: u64,
    pub(crate) offering: Uuid,
    pub(crate) resource: Uuid,
    pub(crate) project: Uuid,
    pub(crate) kind: OrderType,
    pub(crate) state: OrderState,
    pub(crate) plan: Option<Uuid>,
    pub(crate) old_plan: Option<Uuid>,
    pub(crate) limits: Value,
    pub(crate) attributes: Value,
    pub(crate) backend_id: String,
    pub(crate) error_message: String,
    pub(crate) error_traceback: String,
    pub(crate) provider_message: String,
    pub(crate) provider_message_url: String,
    pub(crate) consumer_message: String,
    pub(crate) consumer_rejection_comment: String,
    pub(crate) provider_rejection_comment: String,
    pub(crate) created_by: Uuid,
    pub(crate) consumer_review: Option<Review>,
    pub(crate) provider_review: Option<Review>,
    pub(crate) completed: Option<Timestamp>,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
    pub(crate) overrides: Overrides,
}
row!(Order, |row| (row.offering, row.state as u8));

/// Who decided on one side of an order, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Review {
    pub(crate) user: Uuid,
    pub(crate) at: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct OfferingUser {
    pub(crate) uuid: Uuid,
    pub(crate) offering: Uuid,
    pub(crate) user: Uuid,
    pub(crate) username: String,
    pub(crate) state: OfferingUserState,
    pub(crate) is_restricted: bool,
    pub(crate) comment: String,
    pub(crate) comment_url: String,
    pub(crate) propagated: Option<Timestamp>,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}
row!(OfferingUser, |row| (row.offering, row.state as u8));

#[derive(Clone, Debug)]
pub(crate) struct ComponentUsage {
    pub(crate) uuid: Uuid,
    pub(crate) resource: Uuid,
    pub(crate) kind: String,
    /// Two decimals, as text.
    pub(crate) usage: String,
    pub(crate) description: String,
    pub(crate) recurring: bool,
    pub(crate) date: Timestamp,
    pub(crate) billing_period: Date,
    /// What was reported of each day, in hundredths; the usage is their sum then.
    pub(crate) days: BTreeMap<Date, i64>,
    pub(crate) modified_by: Option<Uuid>,
    pub(crate) created: Timestamp,
}
row!(ComponentUsage, |row| (row.resource, 0));

#[derive(Clone, Debug)]
pub(crate) struct ComponentUserUsage {
    pub(crate) uuid: Uuid,
    pub(crate) component_usage: Uuid,
    pub(crate) resource: Uuid,
    pub(crate) username: String,
    pub(crate) offering_user: Option<Uuid>,
    pub(crate) usage: String,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}
row!(ComponentUserUsage, |row| (row.resource, 0));

#[derive(Clone, Debug)]
pub(crate) struct ComponentUserUsageLimit {
    pub(crate) uuid: Uuid,
    pub(crate) resource: Uuid,
    pub(crate) kind: String,
    pub(crate) offering_user: Uuid,
    pub(crate) limit: String,
}
row!(ComponentUserUsageLimit, |row| (row.resource, 0));

/// A service account or a course account of a project.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) uuid: Uuid,
    pub(crate) project: Uuid,
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) description: String,
    pub(crate) state: AccountState,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}
row!(Account, |row| (row.project, row.state as u8));

/// A cost policy of a project, which sets the flags of its resources when it fires (2024 measurement 303).
#[derive(Clone, Debug)]
pub(crate) struct CostPolicy {
    pub(crate) uuid: Uuid,
    pub(crate) project: Uuid,
    pub(crate) actions: String,
    pub(crate) limit_cost: i64,
    pub(crate) fired: Option<Timestamp>,
    pub(crate) created_by: Uuid,
    pub(crate) created: Timestamp,
}
row!(CostPolicy, |row| (row.project, 0));

impl Resource {
    /// Puts the hidden allocation behind the resource.
    pub(crate) fn allocate(&mut self, uuid: Uuid) {
        self.allocation = Some(Allocation { uuid, state: AllocationState::CreationScheduled });
    }

    /// Adds options to those that the resource has.
    pub(crate) fn merge_options(&mut self, more: &Map<String, Value>) {
        let mut options = self.options.as_object().cloned().unwrap_or_default();
        options.extend(more.clone());
        self.options = Value::Object(options);
    }

    /// Changes the state of the hidden allocation, which the server mirrors into the metadata (measurement 152).
    pub(crate) fn set_allocation_state(&mut self, state: AllocationState) {
        let Some(allocation) = &mut self.allocation else { return };
        allocation.state = state;
        if !self.backend_metadata.is_object() {
            self.backend_metadata = Value::Object(Map::new());
        }
        self.backend_metadata["state"] = Value::from(state.as_str());
        for name in ["action", "action_details", "runtime_state"] {
            self.backend_metadata[name] = Value::Null;
        }
    }
}
