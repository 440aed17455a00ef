//! Waldur's nouns as the agent means them (Waldur contract §3, §9).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::amount::{Amount, AmountError};

/// What an order or a resource says about one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// A number, in the component's unit.
    Amount(Amount),
    /// `null`: nothing is said.
    Unset,
    /// Something that is no number; the text is for the message.
    Invalid(String),
}

impl Limit {
    /// Reads a limit as Waldur sends it: an integer, a decimal or a decimal string.
    #[must_use]
    pub fn from_json(value: &Value) -> Self {
        let text = match value {
            Value::Null => return Self::Unset,
            Value::Number(number) => number.to_string(),
            Value::String(text) if text.trim().is_empty() => return Self::Unset,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                return Self::Invalid(format!("`{value}` is not a number"));
            }
        };
        let is_quantity = text.ends_with(|c: char| c.is_ascii_alphabetic());
        match text.parse::<Amount>() {
            Ok(_) if is_quantity => Self::Invalid(AmountError::Malformed(text).to_string()),
            Ok(amount) => Self::Amount(amount),
            Err(error) => Self::Invalid(error.to_string()),
        }
    }
}

/// Limits by component type.
pub type Limits = BTreeMap<String, Limit>;

/// Reads a `limits` object; anything else counts as empty.
#[must_use]
pub fn limits_from_json(value: &Value) -> Limits {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(component, limit)| (component.clone(), Limit::from_json(limit))).collect()
}

/// State of a resource (contract §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceState {
    /// Its Create order is not done yet.
    Creating,
    /// In use.
    Ok,
    /// In use or not; something failed.
    Erred,
    /// An Update order is being worked.
    Updating,
    /// A Terminate order is being worked.
    Terminating,
    /// Gone.
    Terminated,
    /// A state that this agent does not know.
    Unknown,
}

impl ResourceState {
    /// Reads the wire form.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "Creating" => Self::Creating,
            "OK" => Self::Ok,
            "Erred" => Self::Erred,
            "Updating" => Self::Updating,
            "Terminating" => Self::Terminating,
            "Terminated" => Self::Terminated,
            _ => Self::Unknown,
        }
    }
}

/// A marketplace resource: what a customer bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Waldur's id.
    pub uuid: Uuid,
    /// What the customer called it.
    pub name: String,
    /// What the customer wrote about it.
    pub description: String,
    /// Short name, made by Waldur; may be empty or malformed.
    pub slug: String,
    /// See [`ResourceState`].
    pub state: ResourceState,
    /// Name of the namespace once it is known to Waldur; empty before.
    pub backend_id: String,
    /// What was bought.
    pub limits: Limits,
    /// Slug of the project it belongs to; `None` where the server does not say.
    pub project_slug: Option<String>,
    /// Name of that project; `None` where the server does not say.
    pub project_name: Option<String>,
    /// Name of the customer; `None` where the server does not say.
    pub customer_name: Option<String>,
    /// Slug of the customer; `None` where the server does not say.
    pub customer_slug: Option<String>,
    /// Whether names are made from the project's slug (`account_name_generation_policy: project_slug`).
    pub named_by_project: bool,
    /// Access and workloads are to be stopped.
    pub paused: bool,
    /// To be held at a minimum.
    pub downscaled: bool,
    /// Members are to have no access (`restrict_member_access`).
    pub restrict_member_access: bool,
    /// What Waldur shows as the reason of state Erred.
    pub error_message: String,
    /// What the agent wrote as metadata before.
    pub backend_metadata: serde_json::Map<String, Value>,
}

/// What an order asks for (contract §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKind {
    /// Make the project.
    Create,
    /// Change limits or plan.
    Update,
    /// Remove the project.
    Terminate,
    /// Make a terminated project again.
    Restore,
}

impl OrderKind {
    /// Reads the wire form; `None` for a kind that this agent does not know.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Create" => Some(Self::Create),
            "Update" => Some(Self::Update),
            "Terminate" => Some(Self::Terminate),
            "Restore" => Some(Self::Restore),
            _ => None,
        }
    }
}

/// How far an order is, as far as the agent has a part in it (contract §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// Waits for the agent's approval.
    PendingProvider,
    /// Approved and not finished.
    Executing,
    /// Finished, or in the hands of somebody else: nothing for the agent to do.
    Settled,
}

impl OrderState {
    /// Reads the wire form.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "pending-provider" => Self::PendingProvider,
            "executing" => Self::Executing,
            _ => Self::Settled,
        }
    }
}

/// An order about one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Waldur's id.
    pub uuid: Uuid,
    /// See [`OrderKind`].
    pub kind: OrderKind,
    /// See [`OrderState`].
    pub state: OrderState,
    /// When it was placed, as Waldur writes it; orders of one resource are worked in this order.
    pub created: String,
    /// When it came into the state that it is in, by Waldur's clock; `None` if Waldur does not say.
    pub modified: Option<Timestamp>,
    /// New limits: all of them, some of them, or none.
    pub limits: Limits,
    /// Plan that the order names.
    pub plan: Option<Uuid>,
    /// Quotas of that plan, where [`Order::needs_plan_quotas`] asked for them.
    pub plan_quotas: Limits,
}

impl Order {
    /// True for an Update that names no limits but a plan: then the plan's quotas are the new limits
    /// (contract §3.6).
    #[must_use]
    pub fn needs_plan_quotas(&self) -> bool {
        self.kind == OrderKind::Update && self.limits.is_empty() && self.plan.is_some()
    }
}

/// The order of a resource to work now: one that has begun before one that has not, then the oldest.
#[must_use]
pub fn next_order(orders: &[Order]) -> Option<&Order> {
    let open = orders.iter().filter(|order| order.state != OrderState::Settled);
    open.min_by_key(|order| (order.state != OrderState::Executing, order.created.clone(), order.uuid))
}

/// The offering, as far as planning needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offering {
    /// Types of its components.
    pub components: Vec<String>,
    /// Waldur wants to hear what became of each grant (`enable_membership_sync_status`).
    pub wants_statuses: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_come_as_numbers_strings_or_nothing() {
        let limit = |value: Value| Limit::from_json(&value);
        assert_eq!(limit(json!(4)), Limit::Amount(Amount::whole(4)));
        assert_eq!(limit(json!("1.50")), Limit::Amount("1.5".parse().unwrap()));
        assert_eq!(limit(json!(0.1)), Limit::Amount("100m".parse().unwrap()));
        assert_eq!(limit(json!(-5)), Limit::Amount(Amount::whole(-5)));
        assert_eq!(limit(Value::Null), Limit::Unset);
        assert_eq!(limit(json!(" ")), Limit::Unset);
        assert!(matches!(limit(json!("4Gi")), Limit::Invalid(_)));
        assert!(matches!(limit(json!(1e300)), Limit::Invalid(_)));
        assert!(matches!(limit(json!([1])), Limit::Invalid(_)));
        assert!(matches!(limit(json!(true)), Limit::Invalid(_)));
    }
}
