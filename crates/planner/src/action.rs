//! The closed set of things that the agent does to Waldur and to the cluster.
//!
//! Each action is safe to repeat, and its `Display` is the line that a dry run prints.

mod kinds;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

use crate::access::{GrantStatus, Subject};
use crate::observed::PythonBinding;
use crate::policy::LimitRangePolicy;
use crate::quota::{Hard, Quota};
use crate::template::{Furnishing, ObjectApi};
use crate::workloads::WorkloadChange;

/// What must be true of an object for a write to it to be ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The namespace was made a moment ago in this very plan: nothing of anybody else can be in it.
    Fresh,
    /// We know of none. One without our labels must not be overwritten.
    Absent,
    /// It is ours and has this uid.
    Uid(String),
}

/// A namespace to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its uid; `None` for the one that this plan makes.
    pub uid: Option<String>,
}

/// The kinds of objects that carry our labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnedKind {
    /// The project itself.
    Namespace,
    /// Kubernetes: ResourceQuota.
    Quota,
    /// Kubernetes: LimitRange.
    LimitRange,
    /// Kubernetes: RoleBinding.
    RoleBinding,
    /// OpenShift: Group, which is in no namespace.
    Group,
    /// Kubernetes: ServiceAccount.
    ServiceAccount,
    /// OpenShift: ClusterResourceQuota, which is in no namespace.
    ClusterQuota,
}

impl OwnedKind {
    /// The word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Quota => "quota",
            Self::LimitRange => "limit range",
            Self::RoleBinding => "role binding",
            Self::Group => "group",
            Self::ServiceAccount => "service account",
            Self::ClusterQuota => "cluster quota",
        }
    }
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take a pending order (Waldur: `approve_by_provider`). What follows in the plan only happens if the order
    /// is executing afterwards.
    Approve {
        /// The order.
        order: Uuid,
    },
    /// Refuse a pending order (Waldur: `reject_by_provider`).
    Reject {
        /// The order.
        order: Uuid,
        /// Why, for the customer.
        comment: String,
    },
    /// Servers of 2024: put the hidden allocation into a state in which an Update order is not erred by the
    /// server itself.
    SetAllocationOk {
        /// The resource.
        resource: Uuid,
    },
    /// Make a project (OpenShift: ProjectRequest); fails if there is one of that name.
    RequestProject {
        /// Its name.
        name: String,
        /// For people.
        display_name: String,
        /// Carries the resource's UUID until the labels are on.
        description: String,
    },
    /// Make a namespace with its labels at once (plain Kubernetes); fails if there is one of that name.
    CreateNamespace {
        /// Its name.
        name: String,
        /// The resource that it is for.
        resource: Uuid,
        /// Annotations.
        annotations: BTreeMap<String, String>,
    },
    /// Put labels and annotations on a namespace.
    ApplyNamespace {
        /// Which.
        target: Target,
        /// The resource that it is for.
        resource: Uuid,
        /// Annotations of ours, all of them.
        annotations: BTreeMap<String, String>,
        /// Labels besides those that say whose it is, all of them.
        labels: BTreeMap<String, String>,
    },
    /// Put labels and annotations on a namespace of somebody else, as the operator wants.
    AdoptNamespace {
        /// Which; its uid is known.
        target: Target,
        /// The resource that it is for.
        resource: Uuid,
        /// Only this state of it (Kubernetes: resourceVersion).
        resource_version: String,
        /// Annotations of ours, all of them.
        annotations: BTreeMap<String, String>,
        /// Which of several it is; value of [`crate::names::ENVIRONMENT`].
        environment: Option<String>,
    },
    /// Delete a role binding that the Python agent has made and ours has replaced.
    DeletePythonBinding {
        /// Where.
        namespace: String,
        /// The resource whose the namespace is.
        resource: Uuid,
        /// The binding; only this one, not another of the same name.
        binding: PythonBinding,
    },
    /// Take our labels off an object, which stays as it is otherwise.
    Release {
        /// What it is.
        kind: OwnedKind,
        /// Where; empty for what is in no namespace.
        namespace: String,
        /// The resource whose it must be.
        resource: Uuid,
        /// Name of the object.
        name: String,
        /// Only this one, not another of the same name.
        uid: String,
    },
    /// Make or change one of our quotas.
    ApplyQuota {
        /// Where.
        target: Target,
        /// The resource that it is for.
        resource: Uuid,
        /// Whose quota may be there.
        expect: Expect,
        /// Name of the object.
        name: String,
        /// What it says.
        value: Quota,
        /// The amounts that it says now, for the dry run and the log.
        before: Hard,
    },
    /// Delete one of our quotas.
    DeleteQuota {
        /// Where.
        namespace: String,
        /// The resource whose it must be.
        resource: Uuid,
        /// Name of the object.
        name: String,
        /// Only this one, not another of the same name.
        uid: String,
    },
    /// Make or change one of our quotas over all namespaces of a resource (OpenShift: ClusterResourceQuota).
    ApplyClusterQuota {
        /// The resource that it is for.
        resource: Uuid,
        /// Whose quota may be there.
        expect: Expect,
        /// Name that it would have in a namespace; that of the object is made of it by
        /// [`crate::names::cluster_quota`].
        name: String,
        /// What it says.
        value: Quota,
        /// The amounts that it says now, for the dry run and the log.
        before: Hard,
    },
    /// Delete one of our quotas over all namespaces of a resource.
    DeleteClusterQuota {
        /// The resource whose it must be.
        resource: Uuid,
        /// As in [`Action::ApplyClusterQuota`].
        name: String,
        /// Only this one, not another of the same name.
        uid: String,
    },
    /// Make or change our limit range.
    ApplyLimitRange {
        /// Where.
        target: Target,
        /// The resource that it is for.
        resource: Uuid,
        /// Whose limit range may be there.
        expect: Expect,
        /// What it says.
        value: LimitRangePolicy,
    },
    /// Make or change one of our role bindings.
    ApplyRoleBinding {
        /// Where.
        target: Target,
        /// The resource that it is for.
        resource: Uuid,
        /// Whose binding may be there.
        expect: Expect,
        /// Name of the object.
        name: String,
        /// The ClusterRole.
        role: String,
        /// All who have it.
        subjects: BTreeSet<Subject>,
    },
    /// Make or change an object of the project template.
    Furnish {
        /// Where.
        target: Target,
        /// The resource that it is for.
        resource: Uuid,
        /// Whose object may be there.
        expect: Expect,
        /// What it should be.
        object: Furnishing,
    },
    /// Delete an object that was in the project template.
    Unfurnish {
        /// Where.
        namespace: String,
        /// The resource whose it must be.
        resource: Uuid,
        /// Its kind.
        api: ObjectApi,
        /// Name of the object.
        name: String,
        /// Only this one, not another of the same name.
        uid: String,
    },
    /// Stop or start a workload of the tenant's, or forget that it was stopped. The only write to an object that is
    /// not ours: in a namespace that is, and only to `replicas` or `suspend` and to our annotation.
    ChangeWorkload {
        /// Where.
        target: Target,
        /// The resource whose the namespace must be.
        resource: Uuid,
        /// What it is.
        change: WorkloadChange,
    },
    /// Put on a namespace how far the agent is with it ([`crate::lifecycle::MARKS`]).
    MarkNamespace {
        /// Which.
        target: Target,
        /// The resource that it is for.
        resource: Uuid,
        /// Annotations, with `None` to take one off.
        marks: BTreeMap<&'static str, Option<String>>,
        /// True for the mark that says that all before it was done; left out if something was not.
        closing: bool,
    },
    /// Delete one of our role bindings.
    DeleteRoleBinding {
        /// Where.
        namespace: String,
        /// The resource whose it must be.
        resource: Uuid,
        /// Name of the object.
        name: String,
        /// Only this one, not another of the same name.
        uid: String,
    },
    /// Make or change one of our groups (OpenShift: Group, which is in no namespace).
    ApplyGroup {
        /// The resource that it is for.
        resource: Uuid,
        /// Whose group may be there.
        expect: Expect,
        /// Name of the object.
        name: String,
        /// All who are in it.
        users: BTreeSet<String>,
    },
    /// Delete one of our groups.
    DeleteGroup {
        /// The resource whose it must be.
        resource: Uuid,
        /// Name of the object.
        name: String,
        /// Only this one, not another of the same name.
        uid: String,
    },
    /// Make one of our service accounts.
    ApplyServiceAccount {
        /// Where.
        target: Target,
        /// The resource that it is for.
        resource: Uuid,
        /// Whose service account may be there.
        expect: Expect,
        /// Name of the object.
        name: String,
    },
    /// Delete one of our service accounts.
    DeleteServiceAccount {
        /// Where.
        namespace: String,
        /// The resource whose it must be.
        resource: Uuid,
        /// Name of the object.
        name: String,
        /// Only this one, not another of the same name.
        uid: String,
    },
    /// Make a user known to an identity provider with `lookup`: User, Identity and the mapping between them, each
    /// only if there is none. They serve all of the user's projects and are never deleted.
    EnsureIdentity {
        /// The identity provider.
        provider: String,
        /// The user, who has the same name there.
        username: String,
    },
    /// Delete a namespace and all that is in it.
    DeleteNamespace {
        /// Its name.
        name: String,
        /// Only this one, not another of the same name.
        uid: String,
        /// The resource whose it must be.
        resource: Uuid,
    },
    /// Tell Waldur what was used up to now, before the project goes or is locked.
    ReportUsage {
        /// The resource.
        resource: Uuid,
        /// The project waits while Waldur, the cluster or Prometheus does not answer.
        insist: bool,
    },
    /// Tell Waldur the namespace's name.
    SetBackendId {
        /// The resource.
        resource: Uuid,
        /// The name.
        backend_id: String,
    },
    /// Tell Waldur what is on the cluster, for people.
    SetBackendMetadata {
        /// The resource.
        resource: Uuid,
        /// All of it; replaces what is there.
        metadata: serde_json::Map<String, Value>,
    },
    /// Tell Waldur what became of each grant.
    SetMembershipStatuses {
        /// The resource.
        resource: Uuid,
        /// All grants; replaces what is there.
        statuses: Vec<GrantStatus>,
    },
    /// Tell Waldur that the resource is as it should be.
    SetResourceOk {
        /// The resource.
        resource: Uuid,
    },
    /// Tell Waldur what is wrong with the resource.
    SetResourceErred {
        /// The resource.
        resource: Uuid,
        /// For the customer's support.
        message: String,
        /// Details for the provider; may be empty.
        traceback: String,
    },
    /// Tell Waldur that the resource was looked at.
    RefreshLastSync {
        /// The resource.
        resource: Uuid,
    },
    /// The order is fulfilled.
    MarkDone {
        /// The order.
        order: Uuid,
    },
    /// The order cannot be fulfilled.
    MarkErred {
        /// The order.
        order: Uuid,
        /// For the customer's support.
        message: String,
        /// Details for the provider; may be empty.
        traceback: String,
    },
}
