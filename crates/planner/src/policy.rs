//! The operator's decisions that planning needs: validated settings, nothing raw.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::access::AccessPolicy;
use crate::amount::Amount;
use crate::lifecycle::{LifecyclePolicy, Shrink};
use crate::quota::Hard;
use crate::quota::scopes::Scopes;
use crate::template::Template;

/// Prefixes of names and of annotation values (design: Namespace name, Metadata).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// In front of each namespace, organization and parent.
    pub namespace_prefix: String,
    /// Between the namespace prefix and the resource's slug.
    pub allocation_prefix: String,
    /// In front of the customer's slug in `waldur/organization`.
    pub customer_prefix: String,
    /// In front of the project's slug in `waldur/parent`.
    pub project_prefix: String,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            namespace_prefix: "waldur-".to_owned(),
            allocation_prefix: "alloc-".to_owned(),
            customer_prefix: "org-".to_owned(),
            project_prefix: "proj-".to_owned(),
        }
    }
}

/// One key of a quota that a component sets: `static_part + ratio × limit × unit_factor × unit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaTarget {
    /// Name of the quota, for example `waldur-quota`.
    pub quota: String,
    /// Kubernetes quota key, for example `requests.cpu`.
    pub key: String,
    /// Factor on top of the component's limit, for example 2 for `limits.cpu`.
    pub ratio: Amount,
    /// What one unit of the component is on the cluster, for example 2³⁰ for `Gi`.
    pub unit: Amount,
    /// Added whatever the limit is.
    pub static_part: Amount,
}

/// How one component of the offering becomes quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentPolicy {
    /// Factor from Waldur's value to the cluster's (contract §1.6).
    pub unit_factor: Amount,
    /// Used where neither the order nor the plan says anything; in Waldur's unit.
    pub fallback_limit: Option<Amount>,
    /// Keys of the quota; none for a component that has no effect on the cluster.
    pub targets: Vec<QuotaTarget>,
    /// What becomes of an Update order that goes below what is in use.
    pub shrink: Shrink,
}

/// What a quota says beside what components set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaPolicy {
    /// What it counts.
    pub scopes: Scopes,
    /// Keys whose values do not depend on what was bought.
    pub hard: Hard,
}

/// Defaults for containers that name no requests or limits: under a quota on these a pod without them is
/// refused (Kubernetes: LimitRange).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitRangePolicy {
    /// Default limit per resource name (`cpu`, `memory`).
    pub default: BTreeMap<String, Amount>,
    /// Default request per resource name.
    pub default_request: BTreeMap<String, Amount>,
    /// Largest limit of one container per resource name.
    pub max: BTreeMap<String, Amount>,
    /// Smallest request of one container per resource name.
    pub min: BTreeMap<String, Amount>,
}

/// What kind of cluster it is, by discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `project.openshift.io` is served: projects are made by ProjectRequest.
    OpenShift,
    /// Plain Kubernetes: namespaces.
    Kubernetes,
}

/// Everything of one offering that decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Names on the cluster.
    pub naming: Naming,
    /// Components by their type.
    pub components: BTreeMap<String, ComponentPolicy>,
    /// The quotas of a project by the name of the object: `waldur-quota`, and further ones.
    pub quotas: BTreeMap<String, QuotaPolicy>,
    /// `None`: no limit range is made.
    pub limit_range: Option<LimitRangePolicy>,
    /// See [`Flavour`].
    pub flavour: Flavour,
    /// The cluster's user name of this agent, as OpenShift notes it as requester; empty if unknown.
    pub requester: String,
    /// Server without the endpoints of 2025 and later (contract §8, column 2024).
    pub legacy_waldur: bool,
    /// Who gets which access.
    pub access: AccessPolicy,
    /// What projects are furnished with.
    pub template: Arc<Template>,
    /// What pause, downscale, restore and terminate do.
    pub lifecycle: LifecyclePolicy,
    /// Usage is reported to Waldur, also for the last time before a project goes.
    pub reports_usage: bool,
}
