//! What the shell saw on the cluster, as plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::access::Subject;
use crate::names;
use crate::policy::LimitRangePolicy;
use crate::quota::{Hards, Quota};
use crate::template::ObjectApi;
use crate::workloads::Workloads;

/// A namespace, whoever made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Kubernetes' uid; another namespace of the same name has another one.
    pub uid: String,
    /// Labels that matter: [`names::MANAGED_BY`], [`names::RESOURCE_UUID`] and [`names::ENVIRONMENT`] where present, and
    /// those of the project template.
    pub labels: BTreeMap<String, String>,
    /// All annotations.
    pub annotations: BTreeMap<String, String>,
    /// What the agent has applied for a template, if anything.
    pub applied: Option<Box<Applied>>,
    /// When it was made, if the server said so.
    pub created: Option<Timestamp>,
    /// Being deleted.
    pub terminating: bool,
    /// When its deletion began, by the cluster's clock.
    pub terminating_since: Option<Timestamp>,
    /// What keeps it from going away, in the API server's words; empty if nothing is known.
    pub blocked_by: Vec<String>,
}

/// Keys beside the agent's own that it has applied to a namespace (Kubernetes: managedFields).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Those of labels.
    pub labels: BTreeSet<String>,
    /// Those of annotations.
    pub annotations: BTreeSet<String>,
}

/// Whose a namespace is, for one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It carries this resource's labels.
    Ours,
    /// Made by this agent for this resource in a create that was cut short before the labels were on.
    CutShort,
    /// Says that it is being made for this resource, but was requested by somebody else: perhaps by another
    /// instance of this agent at this moment, perhaps by somebody who pretends.
    Claimed,
    /// It carries the labels of another resource.
    OtherResource,
    /// Made by somebody else.
    Foreign,
}

impl Namespace {
    /// Which of the namespaces of its resource it is, where that has several.
    #[must_use]
    pub fn environment(&self) -> Option<&str> {
        self.labels.get(names::ENVIRONMENT).map(String::as_str)
    }

    /// Whose it is (design: Ownership; The gap between ProjectRequest and labels).
    #[must_use]
    pub fn ownership(&self, resource: Uuid, requester: &str) -> Ownership {
        let managed =
            self.labels.get(names::MANAGED_BY).is_some_and(|value| value == names::MANAGED_BY_VALUE);
        let uuid = self.labels.get(names::RESOURCE_UUID);
        match (managed, uuid) {
            (true, Some(uuid)) if *uuid == resource.simple().to_string() => return Ownership::Ours,
            (true, Some(_)) => return Ownership::OtherResource,
            (_, Some(_)) | (true, None) => return Ownership::Foreign,
            (false, None) => {}
        }
        let marked = self.annotations.get(names::DESCRIPTION) == Some(&names::create_marker(resource));
        let by = self.annotations.get(names::REQUESTER).map_or("", String::as_str);
        match (marked, !requester.is_empty() && by == requester) {
            (true, true) => Ownership::CutShort,
            (true, false) => Ownership::Claimed,
            (false, _) => Ownership::Foreign,
        }
    }
}

/// What is known about one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// No such namespace.
    Absent,
    /// There is one.
    Present(Namespace),
}

/// An object of ours inside a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned<T> {
    /// Kubernetes' uid.
    pub uid: String,
    /// What it says.
    pub value: T,
    /// Fields that somebody else has written since the agent did, with the field manager (Kubernetes: managedFields).
    pub edited_by: BTreeMap<String, String>,
}

impl<T> Owned<T> {
    /// An object as the agent has written it.
    #[must_use]
    pub const fn new(uid: String, value: T) -> Self {
        Self { uid, value, edited_by: BTreeMap::new() }
    }
}

/// A role binding to a ClusterRole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleBinding {
    /// Name of the ClusterRole.
    pub role: String,
    /// Who has it.
    pub subjects: BTreeSet<Subject>,
}

/// A role binding that the Python agent has made: named after its one user, without our labels (contract §7.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PythonBinding {
    /// `waldur-<username>`.
    pub name: String,
    /// Kubernetes' uid.
    pub uid: String,
    /// Whom it lets in.
    pub user: String,
    /// Name of the ClusterRole, which need not exist: by default the Python agent names one that does not.
    pub role: String,
}

/// What is in a namespace that is to be adopted and does not carry our labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The namespace's version (Kubernetes: resourceVersion): what follows was decided by this state of it.
    pub resource_version: String,
    /// Quotas of our names.
    pub quotas: BTreeMap<String, Owned<Quota>>,
    /// A limit range of our name.
    pub limit_range: Option<Owned<LimitRangePolicy>>,
    /// Role bindings of our names, for the ClusterRole that the name tells.
    pub bindings: BTreeMap<String, Owned<RoleBinding>>,
    /// See [`PythonBinding`].
    pub python: Vec<PythonBinding>,
    /// Another resource for which Waldur names the namespace.
    pub rival: Option<Uuid>,
}

/// An object of ours that comes from the project template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Furnished {
    /// Its kind.
    pub api: ObjectApi,
    /// Kubernetes' uid.
    pub uid: String,
    /// What it says, without what the server notes about it.
    pub body: Value,
    /// Fields that somebody else has written and the agent does not own, as JSON pointers (Kubernetes: managedFields).
    pub taken: BTreeSet<String>,
    /// It is as the server has made it of what was wanted, however that looks.
    pub settled: bool,
}

/// Everything seen about one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Namespaces that carry this resource's labels.
    pub owned: Vec<Namespace>,
    /// Namespaces looked up by name; a name that is missing here was not looked up.
    pub by_name: BTreeMap<String, Lookup>,
    /// The owned namespace whose content this is, if there is one: the one that Waldur names, where there are several.
    pub place: Option<String>,
    /// The same of the others, by name. Only what is inside them is told there.
    pub others: BTreeMap<String, Self>,
    /// Our quotas over all namespaces of this resource, by the name that they would have in one (OpenShift:
    /// ClusterResourceQuota).
    pub cluster_quotas: BTreeMap<String, Owned<Quota>>,
    /// Our quotas in the owned namespace, by name.
    pub quotas: BTreeMap<String, Owned<Quota>>,
    /// Our limit range in the owned namespace.
    pub limit_range: Option<Owned<LimitRangePolicy>>,
    /// Our role bindings in the owned namespace, by name.
    pub bindings: BTreeMap<String, Owned<RoleBinding>>,
    /// Our groups for this resource, wherever its namespace is: their users by name.
    pub groups: BTreeMap<String, Owned<BTreeSet<String>>>,
    /// Uids of our service accounts in the owned namespace, by name.
    pub service_accounts: BTreeMap<String, String>,
    /// Names of identities that are mapped to their user, or of which it is known that there is nothing to do. They
    /// are all of the cluster, hence shared.
    pub identities: Arc<BTreeSet<String>>,
    /// Identities that are mapped to a user of another name, with that user. They are all of the cluster, hence shared.
    pub mapped_elsewhere: Arc<BTreeMap<String, String>>,
    /// Groups and service accounts that cannot be kept, with the reason: somebody else has the name, say.
    pub refused: BTreeMap<Subject, String>,
    /// True where the cluster refused limit ranges to this agent: they are then left out.
    pub limit_range_refused: bool,
    /// Objects of the project template in the owned namespace, by kind ([`ObjectApi::token`]) and name.
    pub furnished: BTreeMap<(String, String), Furnished>,
    /// Why it is not known what there is of the template.
    pub furnished_unknown: Option<String>,
    /// What is in use by the keys of our quotas (Kubernetes: `status.used`); `None` if nobody looked.
    pub used: Option<Hards>,
    /// What runs in the owned namespace; `None` if nobody looked.
    pub workloads: Option<Workloads>,
    /// The cluster's clock, if it has told the time.
    pub server_time: Option<Timestamp>,
    /// What an adoption takes over, by namespace; empty where nothing is adopted.
    pub surveys: BTreeMap<String, Survey>,
    /// Quotas over this resource's namespaces that have our names and no labels, as [`Observed::cluster_quotas`]; empty
    /// where nothing is adopted.
    pub unlabelled_cluster_quotas: BTreeMap<String, Owned<Quota>>,
}

/// What is in a namespace of which nothing was seen.
static NOTHING: LazyLock<Observed> = LazyLock::new(Observed::default);

impl Observed {
    /// What is in one of the resource's namespaces.
    #[must_use]
    pub fn within(&self, namespace: &str) -> &Self {
        match &self.place {
            Some(place) if place != namespace => self.others.get(namespace).unwrap_or(&NOTHING),
            _ => self,
        }
    }

    /// The same, to note more of it.
    pub fn within_mut(&mut self, namespace: &str) -> &mut Self {
        match &self.place {
            Some(place) if place != namespace => self.others.entry(namespace.to_owned()).or_default(),
            _ => self,
        }
    }

    /// With what was looked up besides for an earlier sight, which a new sight does not hold.
    #[must_use]
    pub fn with_lookups_of(self, before: Self) -> Self {
        let Self { by_name, surveys, unlabelled_cluster_quotas, .. } = before;
        Self { by_name, surveys, unlabelled_cluster_quotas, ..self }
    }

    /// What is in each of the resource's namespaces.
    pub fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.others.values())
    }
}
