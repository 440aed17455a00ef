//! What was bought and by whom: from this alone follows what Waldur and the cluster have to show in the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// The offering's components, each accounted by a limit.
pub(crate) const COMPONENTS: [&str; 4] = ["cpu", "memory", "storage", "pods"];

/// Limits in Waldur's units: cores, GB, GB, pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits(pub(crate) [i64; 4]);

impl Limits {
    /// As Waldur takes and shows them.
    pub(crate) fn json(self) -> Value {
        let pairs = COMPONENTS.into_iter().zip(self.0);
        Value::Object(pairs.map(|(name, amount)| (name.to_owned(), json!(amount))).collect::<Map<_, _>>())
    }

    /// From what Waldur shows; `None` if that is anything else.
    pub(crate) fn read(shown: &Value) -> Option<Self> {
        let [cpu, memory, storage, pods] = COMPONENTS.map(|name| shown[name].as_i64());
        Some(Self([cpu?, memory?, storage?, pods?]))
    }

    /// `spec.hard` of the quota that the documentation promises for them.
    pub(crate) fn hard(self) -> BTreeMap<&'static str, i128> {
        const GI: i128 = 1 << 30;
        let [cpu, memory, storage, pods] = self.0.map(i128::from);
        BTreeMap::from([
            ("requests.cpu", cpu * 1000),
            ("limits.cpu", 2 * cpu * 1000),
            ("requests.memory", memory * GI * 1000),
            ("limits.memory", 2 * memory * GI * 1000),
            ("requests.storage", storage * GI * 1000),
            ("pods", pods * 1000),
        ])
    }
}

/// What a resource has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// In use.
    Active,
    /// Terminated, and its project is kept without access and room.
    Locked,
    /// Terminated, and nothing is left of it on the cluster.
    Gone,
}

/// A resource of the marketplace.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) name: String,
    /// UUID of its project in Waldur.
    pub(crate) project: String,
    pub(crate) limits: Limits,
    pub(crate) paused: bool,
    pub(crate) downscaled: bool,
    pub(crate) life: Life,
    /// Replicas that its tenant gave the Deployment `app`, if there is one.
    pub(crate) replicas: Option<i64>,
}

impl Resource {
    /// The amounts that its quota has to hold it at.
    pub(crate) fn held_at(&self) -> Limits {
        match (self.life, self.paused, self.downscaled) {
            (Life::Active, false, false) => self.limits,
            (Life::Active, false, true) => Limits([1; 4]),
            _ => Limits([0; 4]),
        }
    }
}

/// A role in a project of Waldur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Member,
    Manager,
}

impl Role {
    /// Waldur's name of it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Member => "PROJECT.MEMBER",
            Self::Manager => "PROJECT.MANAGER",
        }
    }

    /// The ClusterRole that the documentation promises for it.
    pub(crate) const fn cluster_role(self) -> &'static str {
        match self {
            Self::Member => "view",
            Self::Manager => "edit",
        }
    }

    /// The other one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Member => Self::Manager,
            Self::Manager => Self::Member,
        }
    }
}

/// An object that is not the agent's, as it was put on the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Stranger {
    /// Path of the object at the API server.
    pub(crate) path: String,
    /// What was put there; labels, annotations and everything beside `metadata` have to stay.
    pub(crate) object: Value,
    /// UUID of the resource whose project it is in, and with which it may go.
    pub(crate) goes_with: Option<String>,
}

/// The whole marketplace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// By UUID.
    pub(crate) resources: BTreeMap<String, Resource>,
    /// Usernames with their roles, by UUID of the project in Waldur.
    pub(crate) teams: BTreeMap<String, BTreeMap<String, BTreeSet<Role>>>,
    /// Orders that may end otherwise than as done, by UUID: the states that they may end in.
    pub(crate) ends: BTreeMap<String, Vec<&'static str>>,
    /// How many orders were placed for each resource.
    pub(crate) placed: BTreeMap<String, usize>,
    /// A pause stops what runs.
    pub(crate) stops_workloads: bool,
    pub(crate) strangers: Vec<Stranger>,
}

impl Model {
    /// Who has to have which ClusterRole in a resource's project.
    pub(crate) fn access(&self, resource: &Resource) -> BTreeMap<String, BTreeSet<String>> {
        let mut access: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        if resource.life != Life::Active {
            return access;
        }
        for (username, roles) in self.teams.get(&resource.project).into_iter().flatten() {
            for role in roles {
                access.entry(role.cluster_role().to_owned()).or_default().insert(username.clone());
            }
        }
        access
    }

    /// Notes an order for a resource.
    pub(crate) fn note_order(&mut self, resource: &str) {
        *self.placed.entry(resource.to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(paused: bool, downscaled: bool, life: Life) -> Resource {
        let (name, project, limits) = ("Shop".to_owned(), "p".to_owned(), Limits([4, 16, 100, 50]));
        Resource { name, project, limits, paused, downscaled, life, replicas: None }
    }

    #[test]
    fn a_pause_wins_over_downscaling_and_a_lock_over_both() {
        assert_eq!(resource(false, false, Life::Active).held_at(), Limits([4, 16, 100, 50]));
        assert_eq!(resource(false, true, Life::Active).held_at(), Limits([1; 4]));
        assert_eq!(resource(true, true, Life::Active).held_at(), Limits([0; 4]));
        assert_eq!(resource(false, false, Life::Locked).held_at(), Limits([0; 4]));
    }

    #[test]
    fn the_team_of_a_resource_in_use_has_access_and_nobody_else() {
        let roles = |roles: &[Role]| roles.iter().copied().collect::<BTreeSet<_>>();
        let team = BTreeMap::from([
            ("max".to_owned(), roles(&[Role::Manager, Role::Member])),
            ("mia".to_owned(), roles(&[Role::Member])),
        ]);
        let model = Model { teams: BTreeMap::from([("p".to_owned(), team)]), ..Model::default() };
        let access = model.access(&resource(true, false, Life::Active));
        assert_eq!(access["view"], BTreeSet::from(["max".to_owned(), "mia".to_owned()]));
        assert_eq!(access["edit"], BTreeSet::from(["max".to_owned()]));
        assert!(model.access(&resource(false, false, Life::Locked)).is_empty());
    }
}
