//! Who may do what in a project: from the team in Waldur to the subjects of role bindings (design: Roles, Removal;
//! Waldur contract §4).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use uuid::Uuid;

use crate::finding::Finding;
use crate::names;
pub use crate::subjects::{Abilities, AccountRule, Attribute, NameRule, Subject, SubjectRule};
use crate::subjects::{check_username, service_account_name};

/// Which ClusterRole a Waldur role gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleTable {
    /// Configured entries, in lower case: a role and its ClusterRole, or no access.
    pub configured: Vec<(String, Option<String>)>,
    /// For a role without an entry; `None` is no access.
    pub default_role: Option<String>,
}

/// The table of the documentation.
const DOCUMENTED_ROLES: [(&str, &str); 3] = [("owner", "admin"), ("manager", "edit"), ("member", "view")];

impl Default for RoleTable {
    fn default() -> Self {
        Self { configured: Vec::new(), default_role: Some("edit".to_owned()) }
    }
}

impl RoleTable {
    /// The ClusterRole for a Waldur role in either spelling (`manager`, `PROJECT.MANAGER`); `None` is no access.
    /// Servers of 2024 name custom roles `null`: they get the default.
    #[must_use]
    pub fn cluster_role(&self, waldur_role: Option<&str>) -> Option<&str> {
        let Some(role) = waldur_role.map(str::to_lowercase) else {
            return self.default_role.as_deref();
        };
        let short = role.rsplit('.').next().unwrap_or(&role);
        let full = [format!("project.{role}"), format!("customer.{role}")];
        let spellings = [role.as_str(), short].into_iter().chain(full.iter().map(String::as_str));
        for spelling in spellings {
            if let Some((_, answer)) = self.configured.iter().find(|(name, _)| name == spelling) {
                return answer.as_deref();
            }
        }
        match DOCUMENTED_ROLES.iter().find(|(name, _)| *name == short) {
            Some((_, answer)) => Some(answer),
            None => self.default_role.as_deref(),
        }
    }

    /// All ClusterRoles that this table can give, each once, in the order of their names.
    #[must_use]
    pub fn cluster_roles(&self) -> Vec<String> {
        let documented = DOCUMENTED_ROLES.iter().filter_map(|(role, _)| self.cluster_role(Some(role)));
        let configured = self.configured.iter().filter_map(|(_, role)| role.as_deref());
        let all: BTreeSet<&str> = documented.chain(configured).chain(self.default_role.as_deref()).collect();
        all.into_iter().map(str::to_owned).collect()
    }

    /// False for a role that takes the default because nobody mapped it.
    #[must_use]
    pub fn knows(&self, waldur_role: &str) -> bool {
        let role = waldur_role.to_lowercase();
        let short = role.rsplit('.').next().unwrap_or(&role);
        DOCUMENTED_ROLES.iter().any(|(name, _)| *name == short)
            || self.configured.iter().any(|(name, _)| {
                *name == role || name == short || name.rsplit('.').next() == Some(role.as_str())
            })
    }
}

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
mod tests {
    use super::*;

    const NAMES: GroupNames<'static> = GroupNames { project: "web", resource: "prod-1", customer: "acme" };

    fn member(name: &str, roles: &[&str]) -> Member {
        let grants = roles.iter().map(|role| Grant { role: Some((*role).to_owned()), expires: None });
        Member {
            user: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
            username: name.to_owned(),
            email: format!("{name}@example.org"),
            offering_username: Some(name.to_owned()),
            offering_user_state: Some("OK".to_owned()),
            grants: grants.collect(),
        }
    }

    fn check(policy: &AccessPolicy, members: Vec<Member>, expected: &[&str]) -> DesiredAccess {
        let team = Team { members, ..Team::default() };
        let access = desired(policy, &team, false, NAMES, Timestamp::UNIX_EPOCH);
        let lines: Vec<String> = access
            .bindings
            .iter()
            .flat_map(|(role, subjects)| subjects.iter().map(move |subject| format!("{role} {subject:?}")))
            .collect();
        assert_eq!(lines, expected);
        access
    }

    #[test]
    fn the_documented_table_holds_in_both_spellings() {
        let members = vec![
            member("olivia", &["CUSTOMER.OWNER"]),
            member("max", &["manager"]),
            member("mia", &["PROJECT.MEMBER"]),
            member("adam", &["admin"]),
        ];
        let expected =
            ["admin User(\"olivia\")", "edit User(\"adam\")", "edit User(\"max\")", "view User(\"mia\")"];
        let access = check(&AccessPolicy::default(), members, &expected);
        assert_eq!(access.findings, [Finding::info("role `admin` is not in `role_map`; it gets edit")]);
    }

    #[test]
    fn several_roles_are_a_union_and_an_expired_one_gives_nothing() {
        let mut both = member("max", &["PROJECT.MANAGER", "PROJECT.MEMBER"]);
        check(&AccessPolicy::default(), vec![both.clone()], &["edit User(\"max\")", "view User(\"max\")"]);
        both.grants[0].expires = Some(Timestamp::UNIX_EPOCH);
        both.grants[1].expires = Timestamp::from_second(60).ok();
        check(&AccessPolicy::default(), vec![both], &["view User(\"max\")"]);
    }

    #[test]
    fn a_role_mapped_to_nothing_gives_no_access() {
        let mut policy = AccessPolicy::default();
        policy.roles.configured =
            vec![("project.member".to_owned(), None), ("auditor".to_owned(), Some("view".to_owned()))];
        policy.roles.default_role = None;
        let members = vec![
            member("mia", &["PROJECT.MEMBER"]),
            member("ann", &["PROJECT.AUDITOR"]),
            member("x", &["Y"]),
        ];
        check(&policy, members, &["view User(\"ann\")"]);
    }

    #[test]
    fn whoever_cannot_have_access_is_reported_and_the_others_are_served() {
        let mut unnamed = member("una", &["PROJECT.MEMBER"]);
        unnamed.offering_username = None;
        let mut leaving = member("leo", &["PROJECT.MEMBER"]);
        leaving.offering_user_state = Some("Deleting".to_owned());
        let mut twin = member("twin", &["PROJECT.MEMBER"]);
        twin.offering_username = Some("mia".to_owned());
        let mut system = member("sys", &["PROJECT.MEMBER"]);
        system.offering_username = Some("system:admin".to_owned());
        let mut odd = member("odd", &["PROJECT.MEMBER"]);
        odd.offering_username = Some("John.Doe+x_y@ACME.org:1".to_owned());
        let members = vec![member("mia", &["PROJECT.MEMBER"]), unnamed, leaving, twin, system, odd];
        let expected = ["view User(\"John.Doe+x_y@ACME.org:1\")", "view User(\"mia\")"];
        let access = check(&AccessPolicy::default(), members, &expected);
        let messages: Vec<_> = access.findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "member `leo` has no access: the account in this offering is in state `Deleting`",
                "member `sys` has no access: `system:admin` is a name that belongs to the cluster",
                "member `twin` has no access: another member already has the username `mia`",
                "member `una` has no access: no username in this offering yet",
            ]
        );
        assert_eq!(access.statuses.iter().filter(|status| status.problem.is_some()).count(), 4);
    }

    #[test]
    fn names_are_taken_as_configured() {
        let mut policy = AccessPolicy::default();
        let mut person = member("Mia", &["PROJECT.MEMBER"]);
        person.offering_username = None;
        policy.subjects = SubjectRule::User(NameRule {
            attribute: Attribute::Email,
            lowercase: true,
            prefix: "oidc:".to_owned(),
        });
        check(&policy, vec![person.clone()], &["view User(\"oidc:mia@example.org\")"]);
        policy.subjects =
            SubjectRule::ExternalGroup { template: "waldur-{customer}-{project}-{role}".to_owned() };
        check(&policy, vec![person], &["view Group(\"waldur-acme-web-view\")"]);
    }

    fn accounts() -> Team {
        Team {
            members: vec![member("mia", &["PROJECT.MEMBER"])],
            service_accounts: vec!["svc.web".to_owned()],
            course_accounts: vec!["course-1".to_owned()],
        }
    }

    fn users(policy: &AccessPolicy, restricted: bool) -> (Vec<String>, Vec<Finding>) {
        let access = desired(policy, &accounts(), restricted, NAMES, Timestamp::UNIX_EPOCH);
        (access.users().into_iter().collect(), access.findings)
    }

    #[test]
    fn restricted_access_leaves_the_accounts() {
        assert_eq!(users(&AccessPolicy::default(), true).0, ["course-1", "svc.web"]);
    }

    #[test]
    fn service_accounts_are_objects_where_that_is_configured_and_allowed() {
        let mut policy =
            AccessPolicy { service_accounts: AccountRule::ServiceAccount, ..AccessPolicy::default() };
        let (names, findings) = users(&policy, true);
        assert_eq!(names, ["course-1"]);
        assert!(findings[0].message.contains("`svc.web` has no access"), "{findings:?}");
        policy.abilities.service_accounts = true;
        let name = format!("serviceaccount:{}", service_account_name("svc.web"));
        assert_eq!(users(&policy, true), (vec!["course-1".to_owned(), name], Vec::new()));
    }

    #[test]
    fn groups_and_identities_need_a_cluster_that_has_them() {
        let mut policy = AccessPolicy {
            subjects: SubjectRule::Group(NameRule::default()),
            identity_provider: Some("sso".to_owned()),
            ..AccessPolicy::default()
        };
        let forms = |policy: &AccessPolicy| {
            let access = check(policy, vec![member("mia", &["PROJECT.MEMBER"])], &["view User(\"mia\")"]);
            (access.grouped, access.identity_provider, access.findings.len())
        };
        assert_eq!(forms(&policy), (false, None, 2));
        policy.abilities = Abilities { groups: true, identities: true, ..Abilities::default() };
        assert_eq!(forms(&policy), (true, Some("sso".to_owned()), 0));
    }

    #[test]
    fn the_guard_holds_more_than_half_and_at_least_five() {
        let guard = RemovalGuard::default();
        for (losing, of, held) in [(5, 9, true), (5, 10, false), (4, 4, false), (6, 10, true), (0, 0, false)]
        {
            assert_eq!(guard.holds(losing, of), held, "{losing} of {of}");
        }
    }

    #[test]
    fn binding_names_are_distinct_and_valid() {
        assert_eq!(binding_name("edit"), "waldur-users-edit");
        assert_ne!(binding_name("a/b"), binding_name("a%b"));
        assert!(!binding_name("a/b").contains('/'));
    }
}
