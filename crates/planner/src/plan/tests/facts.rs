//! What the tests' Waldur says: policy, resource, orders, people.

use std::collections::BTreeMap;

use serde_json::Map;
use uuid::Uuid;

use super::world::{AGENT, RESOURCE};
use crate::access::{Abilities, AccessPolicy, Grant, Member};
use crate::amount::Amount;
use crate::lifecycle::{HeldAmount, LifecyclePolicy, Shrink};
use crate::model::{Limit, Limits, Order, OrderKind, OrderState, Resource, ResourceState};
use crate::names;
use crate::policy::{ComponentPolicy, Flavour, LimitRangePolicy, Naming, Policy, QuotaPolicy, QuotaTarget};

pub(super) fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

pub(super) fn limits(text: &str) -> Limits {
    let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(component, value)| (component.to_owned(), Limit::Amount(amount(value)))).collect()
}

/// The mapping of the documentation.
pub(super) fn policy() -> Policy {
    let target = |key: &str, ratio: i64, unit: &str| QuotaTarget {
        quota: names::QUOTA.to_owned(),
        key: key.to_owned(),
        ratio: Amount::whole(ratio),
        unit: Amount::of_suffix(unit).unwrap(),
        static_part: Amount::ZERO,
    };
    let component = |targets| ComponentPolicy {
        unit_factor: Amount::ONE,
        fallback_limit: None,
        targets,
        shrink: Shrink::Accept,
    };
    let components = [
        ("cpu", component(vec![target("requests.cpu", 1, ""), target("limits.cpu", 2, "")])),
        ("memory", component(vec![target("requests.memory", 1, "Gi"), target("limits.memory", 2, "Gi")])),
        ("storage", component(vec![target("requests.storage", 1, "Gi")])),
        ("pods", component(vec![target("pods", 1, "")])),
    ];
    let each = |value: i64| {
        let held = HeldAmount::Fixed(Amount::whole(value));
        components.iter().map(|(name, _)| ((*name).to_owned(), held)).collect()
    };
    Policy {
        naming: Naming::default(),
        template: Default::default(),
        lifecycle: LifecyclePolicy { paused: each(0), downscaled: each(1), ..LifecyclePolicy::default() },
        quotas: [(names::QUOTA.to_owned(), QuotaPolicy::default())].into(),
        reports_usage: false,
        components: components.into_iter().map(|(name, component)| (name.to_owned(), component)).collect(),
        limit_range: Some(LimitRangePolicy {
            default: BTreeMap::from([
                ("cpu".to_owned(), amount("500m")),
                ("memory".to_owned(), amount("512Mi")),
            ]),
            default_request: BTreeMap::from([("cpu".to_owned(), amount("100m"))]),
            ..LimitRangePolicy::default()
        }),
        flavour: Flavour::OpenShift,
        requester: AGENT.to_owned(),
        legacy_waldur: false,
        access: AccessPolicy {
            abilities: Abilities { groups: true, service_accounts: true, identities: true },
            ..AccessPolicy::default()
        },
    }
}

pub(super) fn resource(state: ResourceState, backend_id: &str, bought: &str) -> Resource {
    Resource {
        uuid: RESOURCE,
        name: "Production".to_owned(),
        description: String::new(),
        slug: "prod-1".to_owned(),
        state,
        backend_id: backend_id.to_owned(),
        limits: limits(bought),
        project_slug: Some("web-1".to_owned()),
        project_name: Some("Web shop".to_owned()),
        customer_name: Some("Acme Ltd".to_owned()),
        customer_slug: Some("acme".to_owned()),
        named_by_project: false,
        paused: false,
        downscaled: false,
        restrict_member_access: false,
        error_message: String::new(),
        backend_metadata: Map::new(),
    }
}

pub(super) fn order(kind: OrderKind, state: OrderState, ordered: &str) -> Order {
    Order {
        uuid: Uuid::from_u128(42),
        kind,
        state,
        created: "2026-08-20T09:00:00Z".to_owned(),
        modified: None,
        limits: limits(ordered),
        plan: None,
        plan_quotas: Limits::new(),
    }
}

/// A member who is called by a number.
pub(super) fn person(number: u128, roles: &[&str]) -> Member {
    let name = format!("user{number}");
    Member {
        user: Uuid::from_u128(number),
        username: name.clone(),
        email: String::new(),
        offering_username: Some(name),
        offering_user_state: None,
        grants: roles.iter().map(|role| Grant { role: Some((*role).to_owned()), expires: None }).collect(),
    }
}

impl super::world::World {
    /// What is in use in all namespaces of the resource together.
    pub(super) fn used_together(&self) -> crate::quota::Hards {
        let mut sum = crate::quota::Hards::new();
        for project in self.cluster.values() {
            for (quota, used) in &project.used {
                for (key, value) in used {
                    let total = sum.entry(quota.clone()).or_default().entry(key.clone()).or_default();
                    *total = total.plus(*value).unwrap();
                }
            }
        }
        sum
    }
}
