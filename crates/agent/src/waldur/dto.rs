//! Shapes of Waldur's answers (Waldur contract §9), lenient: a missing field takes its empty value, an unknown
//! one is ignored. What has no meaning for the agent is not read.

use std::collections::BTreeMap;

use planner::model::{self, Limits, OrderKind, OrderState, ResourceState};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use uuid::Uuid;

/// `null` counts as the empty value.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `GET /api/users/me/`.
#[derive(Debug, Deserialize)]
pub(crate) struct UserMe {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) username: String,
}

/// An offering as its provider sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct Offering {
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) state: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) components: Vec<Component>,
}

/// A component of an offering.
#[derive(Debug, Deserialize)]
pub(crate) struct Component {
    #[serde(rename = "type")]
    pub(crate) kind: String,
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
    pub(crate) const FIELDS: [&'static str; 10] = [
        "uuid",
        "type",
        "state",
        "created",
        "limits",
        "plan_uuid",
        "marketplace_resource_uuid",
        "project_slug",
        "customer_slug",
        "error_message",
    ];

    pub(crate) fn is_open(&self) -> bool {
        OrderState::parse(&self.state) != OrderState::Settled
    }

    /// The order as the planner means it; `None` for a type that this agent does not know.
    pub(crate) fn to_model(&self) -> Option<model::Order> {
        Some(model::Order {
            uuid: self.uuid,
            kind: OrderKind::parse(&self.kind)?,
            state: OrderState::parse(&self.state),
            created: self.created.clone(),
            limits: model::limits_from_json(&self.limits),
            plan: self.plan_uuid,
            plan_quotas: Limits::new(),
        })
    }
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
    #[serde(default)]
    pub(crate) limits: Value,
    #[serde(default)]
    pub(crate) project_slug: Option<String>,
    #[serde(default)]
    pub(crate) customer_slug: Option<String>,
    #[serde(default)]
    pub(crate) offering_plugin_options: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) backend_metadata: Map<String, Value>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) paused: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) downscaled: bool,
}

impl Resource {
    pub(crate) const FIELDS: [&'static str; 13] = [
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
    ];

    /// The resource as the planner means it. Servers of 2024 tell the slugs of project and customer only in
    /// orders.
    pub(crate) fn to_model(&self, order: Option<&Order>) -> model::Resource {
        let from_order = |field: fn(&Order) -> &Option<String>| order.and_then(|order| field(order).clone());
        let policy = self.offering_plugin_options.as_ref();
        let policy = policy.and_then(|options| options.get("account_name_generation_policy"));
        model::Resource {
            uuid: self.uuid,
            name: self.name.clone(),
            description: self.description.clone(),
            slug: self.slug.clone(),
            state: ResourceState::parse(&self.state),
            backend_id: self.backend_id.trim().to_owned(),
            limits: model::limits_from_json(&self.limits),
            project_slug: self.project_slug.clone().or_else(|| from_order(|order| &order.project_slug)),
            customer_slug: self.customer_slug.clone().or_else(|| from_order(|order| &order.customer_slug)),
            named_by_project: policy.and_then(Value::as_str) == Some("project_slug"),
            paused: self.paused,
            downscaled: self.downscaled,
            backend_metadata: self.backend_metadata.clone(),
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
