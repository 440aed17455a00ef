//! What Waldur says about the people of an offering. Reads only, but for the usernames of [`super::users`].
//!
//! Lists over the whole offering are read once and serve all its resources; what is read per project or per
//! organization is read once for each. An answer that is not complete is an error here, never a smaller team.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use planner::access::{Attribute, Grant, Member, SubjectRule, Team};
use planner::outcome::Failure;
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

use super::users::Users;
use super::{Offering, Scope};
use crate::error::ApiError;
use crate::waldur::dto;
use crate::waldur::people::Emails;

/// The role that owners of an organization have in its projects.
const OWNER: &str = "CUSTOMER.OWNER";

const NO_OWNERS: &str = "Waldur does not let this agent read the owners of organizations; they get access by their \
                         role in the project only (`grant_organization_owners: false` ends this message)";

/// For how many times the time that they took to read lists serve at least.
const SERVES_TIMES: u32 = 5;

/// Organizations whose owners are asked for one by one, however many a list over all of them would spare.
const ONE_BY_ONE: usize = 2;

/// One answer for each project or organization, read by whoever needs it first, with the moment before which nobody
/// had asked.
type Once<T> = Mutex<HashMap<Uuid, (Instant, Arc<OnceCell<T>>)>>;

/// Users who own an organization, with the end of their role.
type Owners = BTreeSet<(Uuid, Option<Timestamp>)>;

/// Usernames of accounts in state OK, by project.
type Accounts = Arc<HashMap<Uuid, Vec<String>>>;

/// Lists that Waldur has given to this process. A list that is refused later does not say that nobody is on it any
/// more: until it is given again the last one holds.
#[derive(Debug, Default)]
pub(crate) struct GivenLists {
    /// By the name of the list.
    accounts: HashMap<&'static str, Accounts>,
    /// By organization.
    owners: HashMap<Uuid, Arc<Vec<dto::Permission>>>,
}

/// The people of an offering at one moment.
#[derive(Debug)]
pub(crate) struct People {
    /// When reading began.
    read: Instant,
    /// How long it took.
    took: Duration,
    users: Arc<Users>,
    service_accounts: Accounts,
    course_accounts: Accounts,
    /// Roles in projects; `None` where the provider's list cannot serve, then teams are read.
    roles: Option<Roles>,
    teams: Once<Arc<Vec<dto::TeamMember>>>,
    owners: Once<Arc<Vec<dto::Permission>>>,
    /// Who owns which organization now; `None` where that was not asked, or is not told.
    owner_roles: Option<HashMap<Uuid, Owners>>,
}

/// How much of the roles is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Those of all projects, for a pass over all resources.
    All,
    /// Project by project, as they are needed.
    AsNeeded,
    /// In the same way, and accounts only where messages tell that any has changed.
    AsTold,
}

/// The provider's list of roles. A team shows one role of each member (contract §4.4), this shows all.
#[derive(Debug)]
struct Roles {
    /// Whose list it is.
    provider: Uuid,
    /// Read as a whole, in the order of projects. Of a large offering it is long: one list takes less memory than one
    /// for each project. `None` where projects are asked for one by one.
    listed: Option<Vec<dto::Permission>>,
    /// Read project by project; `None` where its team has to tell them.
    asked: Once<Option<Arc<Vec<dto::Permission>>>>,
}

/// All roles in one project.
enum RolesIn<'a> {
    Listed(&'a [dto::Permission]),
    Asked(Arc<Vec<dto::Permission>>),
}

impl RolesIn<'_> {
    fn as_slice(&self) -> &[dto::Permission] {
        match self {
            Self::Listed(roles) => roles,
            Self::Asked(roles) => roles,
        }
    }
}

impl Offering {
    /// The people, as read at most this long ago.
    pub(crate) async fn people(&self, max_age: Duration, reading: Reading) -> Result<Arc<People>, ApiError> {
        self.people_if(reading, |people| people.read.elapsed() <= max_age).await
    }

    /// The people, recent enough to change something by: read at most this long ago, or, where reading takes long,
    /// a few times as long ago. Otherwise a large offering would be read all the time and never worked.
    pub(crate) async fn people_to_act_on(&self, max_age: Duration) -> Result<Arc<People>, ApiError> {
        let reading = if self.options.scope == Scope::Resources && self.options.events.is_none() {
            Reading::All
        } else {
            Reading::AsTold
        };
        self.people_if(reading, |people| people.read.elapsed() <= max_age.max(SERVES_TIMES * people.took))
            .await
    }

    fn given(&self) -> MutexGuard<'_, GivenLists> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say_given(&self, list: &'static str, error: &ApiError) {
        self.say_once(
            list,
            &format!(
                "a list that Waldur has given before is refused now; who was on it keeps access until it is given \
                 again or the agent is started anew: {error}"
            ),
        );
    }

    async fn people_if(
        &self,
        reading: Reading,
        is_recent: impl Fn(&People) -> bool,
    ) -> Result<Arc<People>, ApiError> {
        let mut known = self.people.lock().await;
        let is_good = |people: &People| is_recent(people) && !self.accounts_changed_since(people.read);
        if let Some(people) = known.as_ref().filter(|people| is_good(people)) {
            return Ok(Arc::clone(people));
        }
        // Two whole sets of people are never in memory, where nobody works with the old one any more.
        let before = known.take().filter(|_| reading == Reading::AsTold);
        let before = before.map(|people| Arc::clone(&people.users));
        let people = Arc::new(People::read(self, reading, before).await?);
        *known = Some(Arc::clone(&people));
        Ok(people)
    }
}

impl People {
    async fn read(
        offering: &Offering,
        reading: Reading,
        before: Option<Arc<Users>>,
    ) -> Result<Self, ApiError> {
        let read = Instant::now();
        let model = offering.read_offering().await?;
        let users = Users::read(offering, &model, reading, before);
        let service_accounts = accounts(offering, "list_project_service_accounts");
        let course_accounts = accounts(offering, "list_course_accounts");
        let roles = roles(offering, &model, reading);
        let owner_roles = owner_roles(offering, reading);
        let (users, service_accounts, course_accounts, roles, owner_roles) =
            futures::try_join!(users, service_accounts, course_accounts, roles, owner_roles)?;
        let (teams, owners) = (Once::default(), Once::default());
        let took = read.elapsed();
        Ok(Self { read, took, users, service_accounts, course_accounts, roles, teams, owners, owner_roles })
    }

    /// Whether a user has an account in the offering.
    pub(crate) fn knows(&self, user: Uuid) -> bool {
        self.users.of(user).is_some()
    }

    /// Everybody who is to have access to a resource.
    pub(crate) async fn team(&self, offering: &Offering, resource: &dto::Resource) -> Result<Team, ApiError> {
        let mut members: HashMap<Uuid, Member> = HashMap::new();
        let roles = match resource.project_uuid {
            Some(project) => self.roles_in(offering, project).await?,
            None => None,
        };
        match roles {
            Some(roles) if !roles.as_slice().is_empty() => {
                for permission in roles.as_slice() {
                    self.add(&mut members, permission, permission.role.as_deref());
                }
            }
            // A project that the list does not have may be one that the list has left out.
            Some(_) | None => {
                for member in self.team_of(offering, resource).await?.iter() {
                    self.add_team_member(&mut members, member);
                }
            }
        }
        if let Some(customer) = resource.customer_uuid.filter(|_| offering.options.grant_owners) {
            for owner in self.owners_of(offering, customer).await?.iter() {
                self.add(&mut members, owner, Some(OWNER));
            }
        }
        let accounts = |by_project: &HashMap<Uuid, Vec<String>>| {
            let accounts = resource.project_uuid.and_then(|project| by_project.get(&project));
            accounts.cloned().unwrap_or_default()
        };
        let mut members: Vec<Member> = members.into_values().collect();
        members.sort_by(|one, two| one.username.cmp(&two.username).then(one.user.cmp(&two.user)));
        Ok(Team {
            members,
            service_accounts: accounts(&self.service_accounts),
            course_accounts: accounts(&self.course_accounts),
        })
    }

    fn add(&self, members: &mut HashMap<Uuid, Member>, permission: &dto::Permission, role: Option<&str>) {
        let user = self.users.of(permission.user_uuid);
        let member = members.entry(permission.user_uuid).or_insert_with(|| Member {
            user: permission.user_uuid,
            username: permission.user_username.to_string(),
            email: permission.user_email.to_string(),
            offering_username: user.map(|user| user.username.to_string()).filter(|name| !name.is_empty()),
            offering_user_state: user.and_then(dto::OfferingUser::standing),
            grants: Vec::new(),
        });
        member.grants.push(Grant { role: role.map(str::to_owned), expires: permission.expiration_time });
    }

    fn add_team_member(&self, members: &mut HashMap<Uuid, Member>, member: &dto::TeamMember) {
        // A username that was given a moment ago may be newer than the team.
        let user = self.users.of(member.uuid).filter(|user| !user.username.is_empty() || user.is_restricted);
        let own = member.offering_user_username.clone().filter(|name| !name.is_empty());
        let entry = members.entry(member.uuid).or_insert_with(|| Member {
            user: member.uuid,
            username: member.username.clone(),
            email: member.email.clone(),
            offering_user_state: match user {
                Some(user) if own.is_none() || user.is_restricted => user.standing(),
                _ => member.offering_user_state.clone(),
            },
            offering_username: own.or_else(|| user.map(|user| user.username.to_string())),
            grants: Vec::new(),
        });
        entry.grants.push(Grant { role: member.role.clone(), expires: member.expiration_time });
    }

    /// All roles in a project; `None` where only its team tells.
    async fn roles_in(&self, offering: &Offering, project: Uuid) -> Result<Option<RolesIn<'_>>, ApiError> {
        let Some(roles) = &self.roles else {
            return Ok(None);
        };
        let changed = offering.roles_changed(project);
        let listed = roles.listed.as_ref().filter(|_| changed.is_none_or(|changed| changed < self.read));
        if let Some(listed) = listed {
            return Ok(Some(RolesIn::Listed(roles_of(listed, project))));
        }
        let cell = once(&roles.asked, project, changed).await;
        let read = async || match offering
            .waldur
            .project_permissions(roles.provider, Some(project), emails(offering))
            .await
        {
            Ok(roles) => Ok(Some(Arc::new(roles))),
            Err(error) if is_refusal(&error) => Ok(None),
            Err(error) => Err(error),
        };
        let roles = cell.get_or_try_init(read).await?;
        Ok(roles.clone().map(RolesIn::Asked))
    }

    async fn team_of(
        &self,
        offering: &Offering,
        resource: &dto::Resource,
    ) -> Result<Arc<Vec<dto::TeamMember>>, ApiError> {
        // A team depends on the project alone (contract §10.2).
        let changed = resource.project_uuid.and_then(|project| offering.roles_changed(project));
        let cell = once(&self.teams, resource.project_uuid.unwrap_or(resource.uuid), changed).await;
        let read = async || offering.waldur.team(resource.uuid).await.map(Arc::new);
        cell.get_or_try_init(read).await.cloned()
    }

    async fn owners_of(
        &self,
        offering: &Offering,
        customer: Uuid,
    ) -> Result<Arc<Vec<dto::Permission>>, ApiError> {
        if let Some(owners) = self.unchanged_owners(offering, customer) {
            return Ok(owners);
        }
        let cell = once(&self.owners, customer, None).await;
        let read = async || match offering.waldur.owners(customer).await {
            Ok(owners) => {
                let owners = Arc::new(owners);
                offering.given().owners.insert(customer, Arc::clone(&owners));
                Ok(owners)
            }
            Err(error) if matches!(error.failure, Failure::Forbidden | Failure::NotFound) => {
                let given = offering.given().owners.get(&customer).cloned();
                Ok(given.inspect(|_| offering.say_given("owners given", &error)).unwrap_or_else(|| {
                    offering.say_once("owners", NO_OWNERS);
                    Arc::default()
                }))
            }
            Err(error) => Err(error),
        };
        cell.get_or_try_init(read).await.cloned()
    }
}

impl People {
    /// An organization's owners as Waldur has given them before, if they are still the same people.
    fn unchanged_owners(&self, offering: &Offering, customer: Uuid) -> Option<Arc<Vec<dto::Permission>>> {
        let roles = self.owner_roles.as_ref()?;
        let given = offering.given().owners.get(&customer).cloned()?;
        let before: Owners = given.iter().map(|owner| (owner.user_uuid, owner.expiration_time)).collect();
        let none = Owners::new();
        (*roles.get(&customer).unwrap_or(&none) == before).then_some(given)
    }
}

/// Who owns which organization, in one list for all of them, for a pass that has read their owners before. Where this is
/// not to be had each organization is asked.
async fn owner_roles(
    offering: &Offering,
    reading: Reading,
) -> Result<Option<HashMap<Uuid, Owners>>, ApiError> {
    let known = offering.given().owners.len();
    // Addresses may change and the list does not have them.
    if reading != Reading::All || known <= ONE_BY_ONE || emails(offering) == Emails::Read {
        return Ok(None);
    }
    let roles = match offering.waldur.owner_roles().await {
        Ok(Some(roles)) => roles,
        Ok(None) => return Ok(None),
        Err(error) if is_refusal(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut by_customer: HashMap<Uuid, Owners> = HashMap::new();
    for role in roles {
        by_customer.entry(role.scope_uuid).or_default().insert((role.user_uuid, role.expiration_time));
    }
    Ok(Some(by_customer))
}

/// Usernames of accounts in state OK.
fn by_project(accounts: Vec<dto::Account>) -> HashMap<Uuid, Vec<String>> {
    let mut by_project: HashMap<Uuid, Vec<String>> = HashMap::new();
    for account in accounts.into_iter().filter(|account| account.state == "OK") {
        if let Some(project) = account.project_uuid {
            by_project.entry(project).or_default().push(account.username);
        }
    }
    by_project
}

/// The answer for a project or organization; another one than was given before something changed there.
async fn once<T>(cells: &Once<T>, key: Uuid, changed: Option<Instant>) -> Arc<OnceCell<T>> {
    let fresh = || (Instant::now(), Arc::default());
    let mut cells = cells.lock().await;
    let cell = cells.entry(key).or_insert_with(fresh);
    if changed.is_some_and(|changed| changed >= cell.0) {
        *cell = fresh();
    }
    Arc::clone(&cell.1)
}

/// Accounts that members share. Where the server has no such list, or has never let this token read it, there are
/// none for this agent.
async fn accounts(offering: &Offering, list: &'static str) -> Result<Accounts, ApiError> {
    match offering.waldur.accounts(offering.options.uuid, list).await {
        Ok(accounts) => {
            let accounts = Arc::new(by_project(accounts));
            offering.given().accounts.insert(list, Arc::clone(&accounts));
            Ok(accounts)
        }
        Err(error)
            if error.unknown_path || matches!(error.failure, Failure::Forbidden | Failure::NotFound) =>
        {
            let given = offering.given().accounts.get(list).cloned();
            Ok(given.inspect(|_| offering.say_given(list, &error)).unwrap_or_default())
        }
        Err(error) => Err(error),
    }
}

/// The provider's list of roles. `None` where the token may not read it, or where users may have to consent before
/// the provider sees them: only the team knows who has.
async fn roles(
    offering: &Offering,
    model: &dto::Offering,
    reading: Reading,
) -> Result<Option<Roles>, ApiError> {
    let waldur = &offering.waldur;
    let Some(customer) = model.customer_uuid else {
        return Ok(None);
    };
    let read = async {
        if waldur.has_terms_of_service(offering.options.uuid).await? {
            return Ok(None);
        }
        let Some(provider) = waldur.service_provider(customer).await? else {
            return Ok(None);
        };
        let listed = match reading {
            Reading::All => Some(listed(waldur.project_permissions(provider, None, emails(offering)).await?)),
            Reading::AsNeeded | Reading::AsTold => None,
        };
        Ok(Some(Roles { provider, listed, asked: Mutex::default() }))
    };
    match read.await {
        Err(error) if is_refusal(&error) => Ok(None),
        other => other,
    }
}

/// The answer of a server that will give the same one again.
fn is_refusal(error: &ApiError) -> bool {
    matches!(error.failure, Failure::Forbidden | Failure::NotFound | Failure::Invalid)
}

/// Whether members are known to the cluster by their addresses.
fn emails(offering: &Offering) -> Emails {
    match &offering.options.policy.access.subjects {
        SubjectRule::User(rule) | SubjectRule::Group(rule) if rule.attribute == Attribute::Email => {
            Emails::Read
        }
        SubjectRule::User(_) | SubjectRule::Group(_) | SubjectRule::ExternalGroup { .. } => Emails::LeftOut,
    }
}

fn listed(mut permissions: Vec<dto::Permission>) -> Vec<dto::Permission> {
    // Stable: a project's roles stay in the order in which Waldur lists them.
    permissions.sort_by_key(|permission| permission.project_uuid);
    permissions.shrink_to_fit();
    permissions
}

/// Roles of one project in a list that is in the order of projects.
fn roles_of(listed: &[dto::Permission], project: Uuid) -> &[dto::Permission] {
    let start = listed.partition_point(|permission| permission.project_uuid < Some(project));
    let end = listed.partition_point(|permission| permission.project_uuid <= Some(project));
    &listed[start..end]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_projects_roles_are_found_in_the_list_of_all_in_the_order_of_the_server() {
        let project = Uuid::from_u128;
        let listed = [(3, "c"), (1, "a"), (3, "b"), (1, "d")].map(|(number, name)| {
            let user = Uuid::from_u128(9).simple().to_string();
            let answer =
                json!({"user_uuid": user, "user_username": name, "project_uuid": project(number), "role_name": "X"});
            serde_json::from_value(answer).unwrap()
        });
        let listed = super::listed(listed.into());
        let names = |number| -> Vec<&str> {
            roles_of(&listed, project(number)).iter().map(|role| &*role.user_username).collect()
        };
        assert_eq!((names(1), names(3)), (vec!["a", "d"], vec!["c", "b"]));
        assert!(names(0).is_empty() && names(2).is_empty() && names(4).is_empty());
    }
}
