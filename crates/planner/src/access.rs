//! Who may do what in a project: from the team in Waldur to the subjects of role bindings (design: Roles, Removal;
//! Waldur contract §4).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use uuid::Uuid;

use crate::finding::Finding;
use crate::names;
pub use crate::roles::RoleTable;
pub use crate::subjects::{Abilities, AccountRule, Attribute, NameRule, Subject, SubjectRule};
use crate::subjects::{check_username, service_account_name};

/// When a removal looks like an accident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalGuard {
    /// More than this share, in percent, would lose access at once.
    pub percent: u8,
    /// And at least so many.
    pub at_least: usize,
}

impl Default for RemovalGuard {
    fn default() -> Self {
        Self { percent: 50, at_least: 5 }
    }
}

impl RemovalGuard {
    /// True if so many of so many losing access at once is to be held back.
    #[must_use]
    pub const fn holds(&self, losing: usize, of: usize) -> bool {
        losing >= self.at_least && losing * 100 > of * self.percent as usize
    }
}

/// The operator's decisions about access.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessPolicy {
    /// See [`RoleTable`].
    pub roles: RoleTable,
    /// See [`SubjectRule`].
    pub subjects: SubjectRule,
    /// Name of an identity provider with `lookup` that is to know the users before their first login (OpenShift:
    /// `mappingMethod`); `None` where users come into being by themselves.
    pub identity_provider: Option<String>,
    /// See [`AccountRule`].
    pub service_accounts: AccountRule,
    /// What the cluster lets the agent keep.
    pub abilities: Abilities,
    /// See [`RemovalGuard`].
    pub guard: RemovalGuard,
}

/// One role of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// As Waldur names it; `None` where it does not.
    pub role: Option<String>,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

/// A person with at least one role in the project or its organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Waldur's id.
    pub user: Uuid,
    /// Waldur login.
    pub username: String,
    /// E-mail address.
    pub email: String,
    /// Username in the offering.
    pub offering_username: Option<String>,
    /// State of the offering user (contract §4.3); `None` where the server does not tell.
    pub offering_user_state: Option<String>,
    /// All roles.
    pub grants: Vec<Grant>,
}

/// Everybody who is to have access, from complete answers only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Team {
    /// People.
    pub members: Vec<Member>,
    /// Usernames of service accounts that are in state OK.
    pub service_accounts: Vec<String>,
    /// Usernames of course accounts that are in state OK.
    pub course_accounts: Vec<String>,
}

/// Subjects by ClusterRole.
pub type Bindings = BTreeMap<String, BTreeSet<Subject>>;

/// What became of one grant, for Waldur (contract §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantStatus {
    /// Waldur's id of the user.
    pub user: Uuid,
    /// The role as Waldur names it.
    pub role: String,
    /// Why it is not granted; `None` if it is.
    pub problem: Option<String>,
}

/// The access that there should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredAccess {
    /// Subjects by ClusterRole, each user by itself.
    pub bindings: Bindings,
    /// The users of each ClusterRole are to be in a Group of ours.
    pub grouped: bool,
    /// Users are to be known to this identity provider.
    pub identity_provider: Option<String>,
    /// What became of each grant.
    pub statuses: Vec<GrantStatus>,
    /// For the operator.
    pub findings: Vec<Finding>,
}

/// Values for the names of external groups.
#[derive(Clone, Copy, Debug)]
pub struct GroupNames<'a> {
    /// Slug of the Waldur project.
    pub project: &'a str,
    /// Slug of the resource.
    pub resource: &'a str,
    /// Slug of the customer.
    pub customer: &'a str,
}

/// The access of this team. A resource with restricted member access has no members, only its accounts.
#[must_use]
pub fn desired(
    policy: &AccessPolicy,
    team: &Team,
    restricted: bool,
    names: GroupNames<'_>,
    now: Timestamp,
) -> DesiredAccess {
    let mut access = DesiredAccess::default();
    access.choose_forms(policy);
    let mut holders: BTreeMap<String, Uuid> = BTreeMap::new();
    for member in team.members.iter().filter(|_| !restricted) {
        access.grant(policy, member, names, &mut holders, now);
    }
    access.bind_accounts(policy, team);
    access.findings.sort_by(|one, two| one.message.cmp(&two.message));
    access.findings.dedup();
    access
}

impl DesiredAccess {
    /// Whether groups are kept and identities made: what is configured, as far as the cluster lets the agent.
    fn choose_forms(&mut self, policy: &AccessPolicy) {
        let by_group = matches!(policy.subjects, SubjectRule::Group(_));
        self.grouped = by_group && policy.abilities.groups;
        if by_group && !self.grouped {
            self.findings.push(Finding::warning(
                "this cluster has no OpenShift groups, or does not let the agent keep them; users are bound \
                 themselves",
            ));
        }
        let Some(provider) = policy.identity_provider.as_ref() else {
            return;
        };
        if policy.abilities.identities {
            self.identity_provider = Some(provider.clone());
        } else {
            self.findings.push(Finding::warning(format!(
                "this cluster has no OpenShift identities, or does not let the agent make them; users of `{provider}` \
                 cannot log in before somebody makes theirs"
            )));
        }
    }

    /// Accounts have the default role; with none, they have no access.
    fn bind_accounts(&mut self, policy: &AccessPolicy, team: &Team) {
        let Some(role) = policy.roles.default_role.as_ref() else {
            return;
        };
        let as_objects = policy.service_accounts == AccountRule::ServiceAccount;
        for account in team.service_accounts.iter().filter(|_| as_objects) {
            if policy.abilities.service_accounts && !account.is_empty() {
                self.bind(role, Subject::ServiceAccount(service_account_name(account)));
            } else {
                self.findings.push(Finding::warning(format!(
                    "service account `{}` has no access: the cluster does not let the agent keep service accounts",
                    names::one_line(account)
                )));
            }
        }
        let service_users = team.service_accounts.iter().filter(|_| !as_objects);
        for account in service_users.chain(&team.course_accounts) {
            match check_username(account) {
                Ok(()) => self.bind(role, Subject::User(account.clone())),
                Err(problem) => {
                    let account = names::one_line(account);
                    self.findings.push(Finding::warning(format!("account `{account}`: {problem}")));
                }
            }
        }
    }

    fn grant(
        &mut self,
        policy: &AccessPolicy,
        member: &Member,
        names: GroupNames<'_>,
        holders: &mut BTreeMap<String, Uuid>,
        now: Timestamp,
    ) {
        let live = member.grants.iter().filter(|grant| grant.expires.is_none_or(|end| end > now));
        for grant in live {
            let role = grant.role.clone().unwrap_or_default();
            if !role.is_empty() && !policy.roles.knows(&role) {
                let given = policy.roles.default_role.as_deref().unwrap_or("no access");
                self.findings
                    .push(Finding::info(format!("role `{role}` is not in `role_map`; it gets {given}")));
            }
            let Some(cluster_role) = policy.roles.cluster_role(grant.role.as_deref()) else {
                continue;
            };
            let subject = self.subject(policy, member, cluster_role, names, holders);
            let problem = match subject {
                Ok(subject) => {
                    self.bind(cluster_role, subject);
                    None
                }
                Err(problem) => {
                    let who = &member.username;
                    self.findings.push(Finding::warning(format!("member `{who}` has no access: {problem}")));
                    Some(problem)
                }
            };
            self.statuses.push(GrantStatus { user: member.user, role, problem });
        }
    }

    fn subject(
        &self,
        policy: &AccessPolicy,
        member: &Member,
        cluster_role: &str,
        names: GroupNames<'_>,
        holders: &mut BTreeMap<String, Uuid>,
    ) -> Result<Subject, String> {
        let rule = match &policy.subjects {
            SubjectRule::User(rule) | SubjectRule::Group(rule) => rule,
            SubjectRule::ExternalGroup { template } => {
                return Ok(Subject::Group(external_group(template, names, cluster_role)));
            }
        };
        let name = match rule.attribute {
            Attribute::OfferingUsername => {
                allowed_state(member.offering_user_state.as_deref())?;
                member.offering_username.as_deref().unwrap_or_default()
            }
            Attribute::Username => &member.username,
            Attribute::Email => &member.email,
        };
        if name.is_empty() {
            return Err(match rule.attribute {
                Attribute::OfferingUsername => "no username in this offering yet".to_owned(),
                Attribute::Username => "no Waldur username".to_owned(),
                Attribute::Email => "no e-mail address".to_owned(),
            });
        }
        let name = if rule.lowercase { name.to_lowercase() } else { name.to_owned() };
        let name = format!("{}{name}", rule.prefix);
        check_username(&name)?;
        // Two people under one name would share an account that each believes to be theirs.
        let holder = *holders.entry(name.clone()).or_insert(member.user);
        if holder != member.user {
            return Err(format!("another member already has the username `{name}`"));
        }
        Ok(Subject::User(name))
    }

    fn bind(&mut self, cluster_role: &str, subject: Subject) {
        self.bindings.entry(cluster_role.to_owned()).or_default().insert(subject);
    }

    /// Names of all subjects, for Waldur's metadata.
    #[must_use]
    pub fn users(&self) -> BTreeSet<String> {
        self.bindings.values().flatten().map(Subject::label).collect()
    }
}

fn external_group(template: &str, names: GroupNames<'_>, role: &str) -> String {
    let pairs =
        [("{project}", names.project), ("{resource}", names.resource), ("{customer}", names.customer)];
    let filled = pairs.iter().fold(template.to_owned(), |text, (key, value)| text.replace(key, value));
    filled.replace("{role}", role)
}

/// States of an offering user that allow access (contract §4.3): being wanted, not being on the way out.
fn allowed_state(state: Option<&str>) -> Result<(), String> {
    match state {
        None | Some("" | "OK") => Ok(()),
        Some(state) => Err(format!("the account in this offering is in state `{state}`")),
    }
}

/// Name of our binding to a ClusterRole. What an object's name may not hold is replaced, and a hash keeps
/// different roles apart.
#[must_use]
pub fn binding_name(cluster_role: &str) -> String {
    let safe = cluster_role.replace(['/', '%'], "-");
    if safe == cluster_role {
        format!("waldur-users-{safe}")
    } else {
        format!("waldur-users-{}", names::hashed(&safe, cluster_role))
    }
}

#[cfg(test)]
mod tests;
