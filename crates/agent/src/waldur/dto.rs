//! Shapes of Waldur's answers (Waldur contract §9), lenient: a missing field takes its empty value, an unknown
//! one is ignored. What has no meaning for the agent is not read.

mod people;

use std::collections::BTreeMap;

use planner::model::{self, Limits, OrderKind, OrderState, ResourceState};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

pub(crate) use self::people::{Account, OfferingUser, Permission, TeamMember};

/// `null` counts as the empty value.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What a JSON text says; the empty value for none, or for one of another shape.
fn parsed<T: Default + DeserializeOwned>(text: Option<&RawValue>) -> T {
    text.and_then(|text| serde_json::from_str(text.get()).ok()).unwrap_or_default()
}

/// An offering as its provider sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct Offering {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) components: Vec<Component>,
    #[serde(default)]
    pub(crate) customer_uuid: Option<Uuid>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) plugin_options: Map<String, Value>,
    /// Servers of 2024 keep some options here.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) secret_options: Map<String, Value>,
}

impl Offering {
    pub(crate) const FIELDS: [&'static str; 5] =
        ["uuid", "components", "customer_uuid", "plugin_options", "secret_options"];

    /// True if an option is switched on.
    pub(crate) fn option(&self, name: &str) -> bool {
        let on = |options: &Map<String, Value>| options.get(name).and_then(Value::as_bool) == Some(true);
        on(&self.plugin_options) || on(&self.secret_options)
    }

    /// Who gives usernames (contract §4.3).
    pub(crate) fn username_policy(&self) -> &str {
        self.plugin_options.get("username_generation_policy").and_then(Value::as_str).unwrap_or_default()
    }
}

/// A component of an offering.
#[derive(Debug, Deserialize)]
pub(crate) struct Component {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `usage`, `limit`, `one`, `fixed`, …; empty if the server does not say.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) billing_type: String,
    /// The server takes usage of each day: then every component has this field, whatever is in it.
    #[serde(default, rename = "spending_limit_periods", deserialize_with = "is_there")]
    pub(crate) takes_days: bool,
}

fn is_there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A resource whose usage is reported.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ReportedResource {
    pub(crate) uuid: Uuid,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) state: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) backend_id: String,
    #[serde(default)]
    pub(crate) offering_uuid: Option<Uuid>,
}

impl ReportedResource {
    pub(crate) const FIELDS: [&'static str; 4] = ["uuid", "state", "backend_id", "offering_uuid"];

    /// False for a resource of another offering.
    pub(crate) fn is_of(&self, offering: Uuid) -> bool {
        self.offering_uuid.is_none_or(|uuid| uuid == offering)
    }

    /// Whether the server takes usage of it now (contract §5.3).
    pub(crate) fn takes_usage(&self) -> bool {
        matches!(self.state.as_str(), "OK" | "Updating" | "Terminating")
    }
}

/// What Waldur has of one component of a resource in a month (contract §9.6).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ComponentUsage {
    #[serde(default)]
    pub(crate) resource_uuid: Option<Uuid>,
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub(crate) kind: String,
    /// A number, or one as text.
    #[serde(default)]
    pub(crate) usage: Value,
    /// Not all servers heed the filter.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) billing_period: String,
}

impl ComponentUsage {
    pub(crate) const FIELDS: [&'static str; 4] = ["resource_uuid", "type", "usage", "billing_period"];
}

/// An order; the fields named in [`Order::FIELDS`].
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Order {
    pub(crate) uuid: Uuid,
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) state: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) created: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) modified: String,
    #[serde(default)]
    pub(crate) limits: Value,
    #[serde(default)]
    pub(crate) plan_uuid: Option<Uuid>,
    #[serde(default)]
    pub(crate) marketplace_resource_uuid: Option<Uuid>,
    #[serde(default)]
    pub(crate) project_slug: Option<String>,
    #[serde(default)]
    pub(crate) customer_slug: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) error_message: String,
}

impl Order {
    pub(crate) const FIELDS: [&'static str; 11] = [
        "uuid",
        "type",
        "state",
        "created",
        "modified",
        "limits",
        "plan_uuid",
        "marketplace_resource_uuid",
        "project_slug",
        "customer_slug",
        "error_message",
    ];

    /// The order as the planner means it; `None` for a type that this agent does not know.
    pub(crate) fn to_model(&self) -> Option<model::Order> {
        Some(model::Order {
            uuid: self.uuid,
            kind: OrderKind::parse(&self.kind)?,
            state: OrderState::parse(&self.state),
            created: self.created.clone(),
            modified: self.modified.parse().ok(),
            limits: model::limits_from_json(&self.limits),
            plan: self.plan_uuid,
            plan_quotas: Limits::new(),
        })
    }
}

/// What orders have asked for, later ones on top; `None` if none has named limits.
pub(crate) fn ordered(orders: &[Order]) -> Option<Limits> {
    let mut orders: Vec<model::Order> = orders.iter().filter_map(Order::to_model).collect();
    orders.sort_by(|one, two| one.created.cmp(&two.created));
    let limits = planner::quota::merged(orders.iter().map(|order| &order.limits));
    (!limits.is_empty()).then_some(limits)
}

/// Where a resource is; the fields named in [`Place::FIELDS`].
#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    pub(crate) uuid: Uuid,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) backend_id: String,
    #[serde(default)]
    pub(crate) project_uuid: Option<Uuid>,
    #[serde(default)]
    pub(crate) project_slug: Option<String>,
}

impl Place {
    pub(crate) const FIELDS: [&'static str; 4] = ["uuid", "backend_id", "project_uuid", "project_slug"];
}

/// The queue of an agent at Waldur's broker (contract §6.2).
#[derive(Debug, Deserialize)]
pub(crate) struct Queue {
    pub(crate) queue_name: String,
    pub(crate) rmq_username: String,
    pub(crate) vhost: String,
}

/// A subscription to one type of objects (contract §6.2, legacy).
#[derive(Debug, Deserialize)]
pub(crate) struct Subscription {
    pub(crate) uuid: Uuid,
    pub(crate) user_uuid: Uuid,
}

/// A request of the portal for importable resources (contract §3.9).
#[derive(Debug, Deserialize)]
pub(crate) struct ImportRequest {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) state: String,
}

/// Something with a slug.
#[derive(Debug, Deserialize)]
pub(crate) struct Slugged {
    pub(crate) uuid: Uuid,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) slug: String,
}

/// A resource as its provider sees it; the fields named in [`Resource::FIELDS`].
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Resource {
    pub(crate) uuid: Uuid,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) description: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) slug: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) state: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) backend_id: String,
    /// As text, like the metadata: all resources of an offering are in memory at once.
    #[serde(default)]
    limits: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) project_slug: Option<String>,
    #[serde(default)]
    pub(crate) customer_slug: Option<String>,
    #[serde(default)]
    project_name: Option<Box<str>>,
    #[serde(default)]
    customer_name: Option<Box<str>>,
    #[serde(default)]
    pub(crate) offering_plugin_options: Option<ResourceOptions>,
    #[serde(default)]
    backend_metadata: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) paused: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) downscaled: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) restrict_member_access: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) error_message: String,
    #[serde(default)]
    pub(crate) project_uuid: Option<Uuid>,
    #[serde(default)]
    pub(crate) customer_uuid: Option<Uuid>,
    #[serde(default)]
    pub(crate) offering_uuid: Option<Uuid>,
}

/// Of an offering's options what matters for a resource.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ResourceOptions {
    #[serde(default)]
    account_name_generation_policy: Value,
}

impl Resource {
    pub(crate) const FIELDS: [&'static str; 20] = [
        "project_name",
        "customer_name",
        "uuid",
        "name",
        "description",
        "slug",
        "state",
        "backend_id",
        "limits",
        "project_slug",
        "customer_slug",
        "offering_plugin_options",
        "backend_metadata",
        "paused",
        "downscaled",
        "restrict_member_access",
        "error_message",
        "project_uuid",
        "customer_uuid",
        "offering_uuid",
    ];

    /// False for a resource of another offering.
    pub(crate) fn is_of(&self, offering: Uuid) -> bool {
        self.offering_uuid.is_none_or(|uuid| uuid == offering)
    }

    /// The resource as the planner means it. Servers of 2024 tell the slugs of project and customer only in
    /// orders.
    /// True if it is over for good as far as its open orders go.
    pub(crate) fn is_terminated_for(&self, orders: &[Order]) -> bool {
        orders.is_empty() && ResourceState::parse(&self.state) == ResourceState::Terminated
    }

    pub(crate) fn to_model(&self, order: Option<&Order>) -> model::Resource {
        let from_order = |field: fn(&Order) -> &Option<String>| order.and_then(|order| field(order).clone());
        let options = self.offering_plugin_options.as_ref();
        let policy = options.and_then(|options| options.account_name_generation_policy.as_str());
        model::Resource {
            uuid: self.uuid,
            name: self.name.clone(),
            description: self.description.clone(),
            slug: self.slug.clone(),
            state: ResourceState::parse(&self.state),
            backend_id: self.backend_id.trim().to_owned(),
            limits: model::limits_from_json(&parsed::<Value>(self.limits.as_deref())),
            project_slug: self.project_slug.clone().or_else(|| from_order(|order| &order.project_slug)),
            customer_slug: self.customer_slug.clone().or_else(|| from_order(|order| &order.customer_slug)),
            project_name: self.project_name.as_deref().map(str::to_owned),
            customer_name: self.customer_name.as_deref().map(str::to_owned),
            named_by_project: policy == Some("project_slug"),
            paused: self.paused,
            downscaled: self.downscaled,
            restrict_member_access: self.restrict_member_access,
            error_message: self.error_message.clone(),
            backend_metadata: parsed(self.backend_metadata.as_deref()),
        }
    }
}

/// A plan.
#[derive(Debug, Deserialize)]
pub(crate) struct Plan {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) quotas: BTreeMap<String, Value>,
}

/// Anything that has a UUID.
#[derive(Debug, Deserialize)]
pub(crate) struct Identified {
    pub(crate) uuid: Uuid,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub(super) fn read<T: DeserializeOwned>(answer: &Value) -> T {
        // As answers are read: from text, with paths for messages.
        let text = answer.to_string();
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text)).unwrap()
    }

    #[test]
    fn free_form_fields_of_a_resource_may_hold_anything() {
        let uuid = Uuid::from_u128(1).simple().to_string();
        let model = |limits: Value, metadata: Value| {
            let answer = json!({"uuid": uuid, "limits": limits, "backend_metadata": metadata});
            let model = read::<Resource>(&answer).to_model(None);
            (model.limits.len(), model.backend_metadata.len())
        };
        assert_eq!(model(json!({"cpu": 1, "pods": "2"}), json!({"users": ["mia"]})), (2, 1));
        assert_eq!(model(Value::Null, Value::Null), (0, 0));
        assert_eq!(model(json!({}), json!(["not", "metadata"])), (0, 0));
        assert_eq!(read::<Resource>(&json!({"uuid": uuid})).to_model(None).limits.len(), 0);
    }
}
