//! Waldur and a cluster as plain values, which take actions as the real ones do.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::access::Subject;
use crate::action::Action;
use crate::desired::{self, Command, Facts};
use crate::finding::Finding;
use crate::model::{Offering, Order, OrderState, Resource};
use crate::observed::{Lookup, Observed, Owned, Ownership, Survey};
use crate::plan::{LookInto, Plan, plan};
use crate::policy::Policy;
use crate::quota::Quota;
use crate::workloads::Workloads;

pub(super) use super::facts::{amount, limits, order, person, policy, resource};
pub(super) use super::project::{Group, Project};

pub(super) const RESOURCE: Uuid = Uuid::from_u128(0x7f6e_5d4c_3b2a_1908_0706_0504_0302_0100);
pub(super) const OTHER: Uuid = Uuid::from_u128(1);
pub(super) const AGENT: &str = "system:serviceaccount:waldur:agent";

/// Waldur and the cluster.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) policy: Policy,
    pub(super) facts: Facts,
    pub(super) cluster: BTreeMap<String, Project>,
    pub(super) groups: BTreeMap<String, Group>,
    /// Our quotas over several namespaces.
    pub(super) cluster_quotas: BTreeMap<String, Owned<Quota>>,
    /// `provider:username`.
    pub(super) identities: BTreeSet<String>,
    pub(super) refused: BTreeMap<Subject, String>,
    pub(super) now: Timestamp,
    pub(super) messages: Vec<String>,
    /// By the cluster's clock.
    pub(super) server_time: Option<Timestamp>,
    /// What was found that is worth telling.
    pub(super) findings: Vec<Finding>,
    looked_up: BTreeMap<String, Lookup>,
    pub(super) made: u32,
    pub(super) refused_requests: bool,
}

impl World {
    pub(super) const START: Timestamp = Timestamp::UNIX_EPOCH;

    pub(super) fn new(resource: Resource, order: Option<Order>) -> Self {
        Self {
            policy: policy(),
            facts: Facts {
                resource: Some(resource),
                orders: order.into_iter().collect(),
                orders_read: true,
                ..Facts::default()
            },
            cluster: BTreeMap::new(),
            groups: BTreeMap::new(),
            cluster_quotas: BTreeMap::new(),
            identities: BTreeSet::new(),
            refused: BTreeMap::new(),
            now: Self::START,
            messages: Vec::new(),
            server_time: None,
            findings: Vec::new(),
            looked_up: BTreeMap::new(),
            made: 0,
            refused_requests: false,
        }
    }

    pub(super) fn with(mut self, project: Project) -> Self {
        self.cluster.insert(project.namespace.name.clone(), project);
        self
    }

    pub(super) fn resource(&self) -> &Resource {
        self.facts.resource.as_ref().unwrap()
    }

    pub(super) fn order_state(&self) -> OrderState {
        self.facts.orders[0].state
    }

    pub(super) fn offering() -> Offering {
        Offering {
            components: ["cpu", "memory", "storage", "pods"].map(str::to_owned).to_vec(),
            wants_statuses: true,
        }
    }

    pub(super) fn observed(&self) -> Observed {
        let ours = |project: &&Project| project.namespace.ownership(RESOURCE, AGENT) == Ownership::Ours;
        let owned: Vec<_> =
            self.cluster.values().filter(ours).map(|project| project.namespace.clone()).collect();
        let groups = self.groups.iter().filter(|(_, group)| group.resource == Some(RESOURCE));
        let mut observed = Observed {
            owned,
            by_name: self.looked_up.clone(),
            groups: groups
                .map(|(name, group)| {
                    (
                        name.clone(),
                        Owned {
                            uid: group.uid.clone(),
                            value: group.users.clone(),
                            edited_by: BTreeMap::new(),
                        },
                    )
                })
                .collect(),
            identities: self.identities.clone().into(),
            refused: self.refused.clone(),
            server_time: self.server_time,
            ..Observed::default()
        };
        if self.facts.command == Some(Command::Adopt) {
            let name = &self.resource().backend_id;
            let named = self.cluster.get(name).map(|project| (name.clone(), project.left.clone()));
            observed.surveys.extend(named);
        }
        observed.cluster_quotas = self.cluster_quotas.clone();
        let primary = observed.primary(&self.resource().backend_id).map(|namespace| namespace.name.clone());
        observed.place = primary;
        for name in observed.owned.iter().map(|namespace| namespace.name.clone()).collect::<Vec<_>>() {
            let project = &self.cluster[&name];
            let seen = observed.within_mut(&name);
            seen.quotas = project.quotas.clone();
            seen.limit_range = project.limit_range.clone();
            seen.bindings = project.bindings.clone();
            seen.furnished = project.furnished.clone();
            seen.service_accounts = project.service_accounts.clone();
        }
        observed
    }

    /// Looks and plans, with the lookups that the plan asks for.
    pub(super) fn plan(&mut self) -> Plan {
        let desired = desired::desired(&self.policy, &Self::offering(), &self.facts, self.now);
        let (mut used, mut workloads) = (None, BTreeMap::<String, Workloads>::new());
        let mut surveys = BTreeMap::<String, Survey>::new();
        for _ in 0..20 {
            let mut observed = Observed { used: used.clone(), ..self.observed() };
            for (name, workloads) in &workloads {
                observed.within_mut(name).workloads = Some(workloads.clone());
            }
            observed.surveys.extend(surveys.clone());
            let plan = plan(&desired, &observed, self.now);
            match (&plan.look_up, &plan.look_into) {
                (Some(name), _) => self.look_up(&name.clone()),
                (None, Some(LookInto::Used(name))) => used = Some(self.cluster[name].used.clone()),
                (None, Some(LookInto::UsedTogether)) => used = Some(self.used_together()),
                (None, Some(LookInto::Workloads(name))) => {
                    workloads.insert(name.clone(), self.cluster[name].workloads.clone());
                }
                (None, Some(LookInto::Survey(name))) => {
                    surveys.insert(name.clone(), self.cluster[name].left.clone());
                }
                (None, None) => return plan,
            }
        }
        panic!("the plan keeps asking for names")
    }

    pub(super) fn look_up(&mut self, name: &str) {
        let found = self.cluster.get(name).map(|project| Lookup::Present(project.namespace.clone()));
        self.looked_up.insert(name.to_owned(), found.unwrap_or(Lookup::Absent));
    }

    /// Runs until there is nothing to do and nothing to wait for; returns all that was done.
    pub(super) fn run(&mut self) -> Vec<Action> {
        let mut done = Vec::new();
        for _ in 0..20 {
            self.looked_up.retain(|name, _| self.refused_requests && !name.is_empty());
            let plan = self.plan();
            self.findings.extend(plan.findings);
            if plan.actions.is_empty() && plan.look_again_at.is_none() {
                return done;
            }
            for action in plan.actions {
                let went = self.take(&action);
                done.push(action);
                if !went {
                    break;
                }
            }
            self.settle();
        }
        panic!("no end after {done:#?}")
    }

    /// Time goes by: what was being deleted is gone.
    pub(super) fn settle(&mut self) {
        self.now = self.now.checked_add(SignedDuration::from_secs(60)).unwrap();
        self.cluster.retain(|_, project| !project.namespace.terminating);
        for name in self.looked_up.keys().cloned().collect::<Vec<_>>() {
            self.look_up(&name);
        }
    }

    /// The ClusterRoles that each user has in a namespace, through groups or without.
    pub(super) fn roles(&self, namespace: &str) -> BTreeSet<(String, String)> {
        let bindings = self.cluster.get(namespace).into_iter().flat_map(|project| project.bindings.values());
        let mut roles = BTreeSet::new();
        for binding in bindings {
            for subject in &binding.value.subjects {
                let role = binding.value.role.clone();
                match subject {
                    Subject::Group(name) => {
                        roles.extend(self.groups[name].users.iter().map(|user| (user.clone(), role.clone())));
                    }
                    Subject::User(_) | Subject::ServiceAccount(_) => {
                        roles.insert((subject.label(), role));
                    }
                }
            }
        }
        roles
    }
}
