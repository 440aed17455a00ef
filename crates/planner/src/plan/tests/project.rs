//! A namespace of the simulated world with what is in it.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::world::{RESOURCE, World};
use crate::names;
use crate::observed::{Furnished, Namespace, Owned, RoleBinding, Survey};
use crate::policy::LimitRangePolicy;
use crate::quota::{Hard, Hards, Quota};
use crate::workloads::Workloads;

/// A namespace with what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Project {
    pub(super) namespace: Namespace,
    pub(super) quotas: BTreeMap<String, Owned<Quota>>,
    pub(super) limit_range: Option<Owned<LimitRangePolicy>>,
    pub(super) bindings: BTreeMap<String, Owned<RoleBinding>>,
    /// Uids of our service accounts.
    pub(super) service_accounts: BTreeMap<String, String>,
    /// Service accounts that somebody else made.
    pub(super) foreign_accounts: BTreeSet<String>,
    /// Objects of the template.
    pub(super) furnished: BTreeMap<(String, String), Furnished>,
    pub(super) workloads: Workloads,
    /// What is in use.
    pub(super) used: Hards,
    /// What carries no labels.
    pub(super) left: Survey,
}

/// A group of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The resource of its labels; `None` for a group without ours.
    pub(super) resource: Option<Uuid>,
    pub(super) uid: String,
    pub(super) users: BTreeSet<String>,
}

impl Project {
    pub(super) fn foreign(name: &str) -> Self {
        let namespace = Namespace {
            name: name.to_owned(),
            uid: format!("foreign-{name}"),
            created: Some(World::START),
            ..Namespace::default()
        };
        Self {
            namespace,
            quotas: BTreeMap::new(),
            limit_range: None,
            bindings: BTreeMap::new(),
            service_accounts: BTreeMap::new(),
            foreign_accounts: BTreeSet::new(),
            furnished: BTreeMap::new(),
            workloads: Workloads::default(),
            used: Hards::new(),
            left: Survey { resource_version: "7".to_owned(), ..Survey::default() },
        }
    }

    /// What its quota says.
    pub(super) fn hard(&self) -> &Hard {
        &self.quotas[names::QUOTA].value.hard
    }

    /// Its quota.
    pub(super) fn quota(&mut self) -> &mut Owned<Quota> {
        self.quotas.get_mut(names::QUOTA).unwrap()
    }

    pub(super) fn labelled(name: &str, resource: Uuid) -> Self {
        let mut project = Self::foreign(name);
        project.namespace.labels = labels(resource);
        project
    }

    /// As a create leaves it that was cut short after the ProjectRequest.
    pub(super) fn cut_short(name: &str, requester: &str) -> Self {
        let mut project = Self::foreign(name);
        let texts =
            [(names::DESCRIPTION, names::create_marker(RESOURCE)), (names::REQUESTER, requester.to_owned())];
        project.namespace.annotations = texts.into_iter().map(|(key, text)| (key.to_owned(), text)).collect();
        project
    }
}

pub(super) fn labels(resource: Uuid) -> BTreeMap<String, String> {
    BTreeMap::from([
        (names::MANAGED_BY.to_owned(), names::MANAGED_BY_VALUE.to_owned()),
        (names::RESOURCE_UUID.to_owned(), resource.simple().to_string()),
    ])
}
