//! Who is in which project: as the simulators' seed, as what customers change, and as the role bindings that follow.
//!
//! What the bindings should be is worked out here from the teams alone, by the documented roles: owner → `admin`,
//! manager → `edit`, member → `view`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Projects of one organization.
const PROJECTS_OF_CUSTOMER: usize = 10;
/// One of so many memberships changes.
const CHANGES_ONE_OF: usize = 100;
/// Owner of all organizations.
const OWNER: &str = "olivia.owner";

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) resources: usize,
    /// In each project; nobody is in two.
    pub(crate) members: usize,
    /// Resources in each project.
    pub(crate) per_project: usize,
}

impl Size {
    pub(crate) const fn projects(self) -> usize {
        self.resources.div_ceil(self.per_project)
    }

    pub(crate) const fn customers(self) -> usize {
        self.projects().div_ceil(PROJECTS_OF_CUSTOMER)
    }

    pub(crate) const fn memberships(self) -> usize {
        self.projects() * self.members
    }

    /// Memberships that change: 1 %, at least one.
    pub(crate) const fn changes(self) -> usize {
        self.memberships().div_ceil(CHANGES_ONE_OF)
    }

    const fn project_of(self, resource: usize) -> usize {
        resource / self.per_project
    }
}

/// A role in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Manager,
    Member,
}

impl Role {
    /// As Waldur names it.
    const fn name(self) -> &'static str {
        match self {
            Self::Manager => "PROJECT.MANAGER",
            Self::Member => "PROJECT.MEMBER",
        }
    }

    /// The ClusterRole that it gives.
    const fn cluster_role(self) -> &'static str {
        match self {
            Self::Manager => "edit",
            Self::Member => "view",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Manager => Self::Member,
            Self::Member => Self::Manager,
        }
    }
}

/// Names of users by the ClusterRole that they have, by namespace.
pub(crate) type Access = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// All people by project. Users are numbers: those of the seed's teams first, then newcomers.
#[derive(Debug)]
pub(crate) struct People {
    size: Size,
    teams: Vec<BTreeMap<usize, Role>>,
}

/// Requests that a customer sends one after the other: path and body.
pub(crate) type Requests = Vec<(String, Value)>;

impl People {
    /// Teams of one manager and members.
    pub(crate) fn new(size: Size) -> Self {
        let role = |number| if number == 0 { Role::Manager } else { Role::Member };
        let team =
            |project| (0..size.members).map(move |number| (project * size.members + number, role(number)));
        Self { size, teams: (0..size.projects()).map(|project| team(project).collect()).collect() }
    }

    /// What the simulators start with. Without a provider Waldur has no list of all roles in its projects, and
    /// teams have to be read one by one.
    pub(crate) fn seed(&self, provider: bool) -> Value {
        let size = self.size;
        let mut users = vec![
            json!({"username": "agent-okd", "token": "agent-token", "is_staff": true}),
            json!({"username": OWNER, "token": "owner-token", "email": "olivia@example.org"}),
        ];
        users.extend((0..size.memberships() + size.changes()).map(|user| {
            let name = username(user);
            let full_name = format!("Person {user:06}");
            json!({"uuid": uuid(1, user), "username": name, "full_name": full_name, "email": format!("{name}@example.org")})
        }));
        let mut customers =
            vec![json!({"name": "Cloud Provider", "slug": "cloud-provider", "provider": provider})];
        customers.extend((0..size.customers()).map(|number| {
            let slug = customer_slug(number);
            json!({"name": format!("Organization {number}"), "slug": slug})
        }));
        let projects = (0..size.projects()).map(|number| {
            let customer = customer_slug(number / PROJECTS_OF_CUSTOMER);
            let (name, slug) = (format!("Project {number}"), project_slug(number));
            json!({"uuid": uuid(2, number), "name": name, "slug": slug, "customer": customer})
        });
        let resources = (0..size.resources).map(|number| {
            let (name, project) = (format!("Resource {number}"), project_slug(size.project_of(number)));
            let limits = json!({"cpu": 4, "memory": 16, "storage": 100, "pods": 50});
            json!({
                "uuid": uuid(3, number), "name": name, "slug": format!("r{number:05}"), "offering": "okd-projects",
                "project": project, "backend_id": namespace(number), "limits": limits,
            })
        });
        json!({
            "users": users, "customers": customers, "offerings": [offering()], "members": self.roles(),
            "projects": projects.collect::<Vec<_>>(), "resources": resources.collect::<Vec<_>>(),
        })
    }

    fn roles(&self) -> Vec<Value> {
        let mut roles: Vec<Value> = (0..self.size.customers())
            .map(|number| json!({"user": OWNER, "role": "CUSTOMER.OWNER", "customer": customer_slug(number)}))
            .collect();
        // Waldur gives accounts in an offering to members of projects; being one, the owner has an account.
        roles.push(json!({"user": OWNER, "role": "PROJECT.MANAGER", "project": project_slug(0)}));
        for (project, team) in self.teams.iter().enumerate() {
            roles.extend(team.iter().map(
                |(user, role)| json!({"user": username(*user), "role": role.name(), "project": project_slug(project)}),
            ));
        }
        roles
    }

    /// UUIDs of all resources.
    pub(crate) fn resources(size: Size) -> impl Iterator<Item = String> {
        (0..size.resources).map(|number| uuid(3, number))
    }

    /// Changes one in a hundred memberships: in turn somebody leaves, a newcomer joins, somebody gets the other
    /// role. Gives what customers have to send for each.
    pub(crate) fn change(&mut self) -> Vec<Requests> {
        let size = self.size;
        let last = size.memberships() - 1;
        let changed = (0..size.changes()).map(|number| {
            // Not always the same place in a team, so that managers are among them, but not managers only.
            let user = (number * CHANGES_ONE_OF + CHANGES_ONE_OF / 2 + number % size.members).min(last);
            let project = user / size.members;
            let team = &mut self.teams[project];
            let role = team.get(&user).copied().unwrap_or(Role::Member);
            let request = |action: &str, user: usize, role: Role| {
                let path = format!("/api/projects/{}/{action}/", uuid(2, project));
                (path, json!({"user": uuid(1, user), "role": role.name()}))
            };
            match number % 3 {
                0 => {
                    team.remove(&user);
                    vec![request("delete_user", user, role)]
                }
                1 => {
                    let newcomer = size.memberships() + number;
                    team.insert(newcomer, Role::Member);
                    vec![request("add_user", newcomer, Role::Member)]
                }
                _ => {
                    let other = role.other();
                    team.insert(user, other);
                    vec![request("delete_user", user, role), request("add_user", user, other)]
                }
            }
        });
        changed.collect()
    }

    /// The last of a project's members leaves, or comes back. Gives what the customer has to send.
    pub(crate) fn leave_or_return(&mut self, project: usize) -> (String, Value) {
        let user = project * self.size.members + self.size.members - 1;
        let is_gone = self.teams[project].remove(&user).is_none();
        if is_gone {
            self.teams[project].insert(user, Role::Member);
        }
        let action = if is_gone { "add_user" } else { "delete_user" };
        let path = format!("/api/projects/{}/{action}/", uuid(2, project));
        (path, json!({"user": uuid(1, user), "role": Role::Member.name()}))
    }

    /// Who has to have which role where.
    pub(crate) fn access(&self) -> Access {
        let mut access = Access::new();
        for resource in 0..self.size.resources {
            let project = self.size.project_of(resource);
            let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            let mut let_in =
                |role: &str, user: String| roles.entry(role.to_owned()).or_default().insert(user);
            let_in("admin", OWNER.to_owned());
            if project == 0 {
                let_in(Role::Manager.cluster_role(), OWNER.to_owned());
            }
            for (user, role) in &self.teams[project] {
                let_in(role.cluster_role(), username(*user));
            }
            access.insert(namespace(resource), roles);
        }
        access
    }
}

fn offering() -> Value {
    let component = |kind: &str, unit: &str| json!({"type": kind, "name": kind, "measured_unit": unit, "billing_type": "limit"});
    let components = [("cpu", "cores"), ("memory", "GB"), ("storage", "GB"), ("pods", "pods")];
    json!({
        "name": "OKD projects", "slug": "okd-projects", "customer": "cloud-provider",
        "components": components.map(|(kind, unit)| component(kind, unit)),
        "plugin_options": {
            "username_generation_policy": "waldur_username", "service_provider_can_create_offering_user": true,
        },
    })
}

/// Every UUID tells what it is of.
fn uuid(kind: u8, number: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

fn username(number: usize) -> String {
    format!("user{number:06}")
}

fn customer_slug(number: usize) -> String {
    format!("organization-{number:04}")
}

fn project_slug(number: usize) -> String {
    format!("project-{number:05}")
}

/// UUID of a project in Waldur.
pub(crate) fn project(number: usize) -> String {
    uuid(2, number)
}

/// UUID of a resource.
pub(crate) fn resource(number: usize) -> String {
    uuid(3, number)
}

/// Name of a resource's project on the cluster.
pub(crate) fn namespace(resource: usize) -> String {
    format!("waldur-alloc-r{resource:05}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { resources: 60, members: 10, per_project: 2 };

    #[test]
    fn one_in_a_hundred_changes_and_each_kind_shows_on_the_cluster() {
        let mut people = People::new(SIZE);
        let before = people.access();
        assert_eq!(before.len(), 60);
        let requests = people.change();
        let sent: Vec<usize> = requests.iter().map(Vec::len).collect();
        assert_eq!((SIZE.memberships(), sent), (300, vec![1, 1, 2]));
        let after = people.access();
        let changed = after.iter().filter(|(namespace, roles)| before.get(*namespace) != Some(roles));
        assert_eq!(changed.count(), 6, "three projects of two resources each");
        assert!(!after["waldur-alloc-r00010"].contains_key("edit"), "the manager left");
        assert!(after["waldur-alloc-r00030"]["view"].contains("user000301"), "joined");
        assert!(after["waldur-alloc-r00051"]["edit"].contains("user000252"), "became manager");
    }

    #[test]
    fn a_single_resource_is_enough() {
        let mut people = People::new(Size { resources: 1, members: 1, per_project: 1 });
        assert_eq!(people.change().len(), 1);
        assert_eq!(people.access()["waldur-alloc-r00000"].len(), 2);
    }
}
