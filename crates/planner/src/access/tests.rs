//! Whom a team gives access, and why not to whom it does not.

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
    let members =
        vec![member("mia", &["PROJECT.MEMBER"]), member("ann", &["PROJECT.AUDITOR"]), member("x", &["Y"])];
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
    for (losing, of, held) in [(5, 9, true), (5, 10, false), (4, 4, false), (6, 10, true), (0, 0, false)] {
        assert_eq!(guard.holds(losing, of), held, "{losing} of {of}");
    }
}

#[test]
fn binding_names_are_distinct_and_valid() {
    assert_eq!(binding_name("edit"), "waldur-users-edit");
    assert_ne!(binding_name("a/b"), binding_name("a%b"));
    assert!(!binding_name("a/b").contains('/'));
}
