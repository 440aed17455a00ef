//! What people and accounts are at the cluster.

use planner::access::{AccountRule, Attribute, NameRule, SubjectRule};

use super::super::OfferingSettings;
use super::{OFFERING, check_short, loaded, with_backend};

fn offering(lines: &str) -> OfferingSettings {
    let text = if lines.is_empty() { OFFERING.to_owned() } else { with_backend(lines) };
    loaded(&text).settings.offerings.remove(0)
}

#[test]
fn subjects_are_users_groups_of_ours_or_groups_of_others() {
    let template = "waldur-{project}-{role}".to_owned();
    let external = SubjectRule::ExternalGroup { template };
    for (lines, expected) in [
        ("", SubjectRule::User(NameRule::default())),
        ("subjects: {kind: user}", SubjectRule::User(NameRule::default())),
        ("subjects: {kind: Group}", SubjectRule::Group(NameRule::default())),
        ("subjects: {group_template: 'waldur-{project}-{role}'}", external.clone()),
        ("subjects: {kind: external_group, group_template: 'waldur-{project}-{role}'}", external),
        (
            "subjects: {kind: group, attribute: email, lowercase: yes, prefix: 'sso-'}",
            SubjectRule::Group(NameRule {
                attribute: Attribute::Email,
                lowercase: true,
                prefix: "sso-".to_owned(),
            }),
        ),
    ] {
        assert_eq!(offering(lines).subjects, expected, "{lines}");
        if !lines.is_empty() {
            check_short(&with_backend(lines), &[]);
        }
    }
}

#[test]
fn keys_that_contradict_the_kind_are_named() {
    for (lines, expected) in [
        (
            "subjects: {kind: external_group}",
            "11: backend_settings.subjects.group_template: is missing; kind `external_group` needs it (give the name of \
             the groups, such as `waldur-{customer}-{project}-{role}`)",
        ),
        (
            "subjects: {kind: group, group_template: 'x-{role}'}",
            "11: warning: backend_settings.subjects.group_template: is ignored, as kind says otherwise (remove it, or \
             write `kind: external_group`)",
        ),
        (
            "subjects: {group_template: 'x-{role}', identity_provider: sso}",
            "11: warning: backend_settings.subjects.identity_provider: is ignored, as external groups are bound and not \
             users (remove it)",
        ),
        (
            "subjects: {kind: groups}",
            "11: backend_settings.subjects.kind: expected one of user, group, external_group, found `groups` (did you \
             mean `group`?)",
        ),
        (
            "subjects: {identity_provider: 'sso:main'}",
            "11: backend_settings.subjects.identity_provider: no identity provider has a name with `:`, `/` or `%` (give \
             the `name` that the provider has in the cluster's OAuth configuration)",
        ),
    ] {
        check_short(&with_backend(lines), &[expected]);
    }
}

#[test]
fn accounts_and_identities_have_their_settings() {
    let default = offering("");
    assert_eq!((default.service_accounts, default.identity_provider), (AccountRule::User, None));
    let changed = offering("service_accounts: service_account\nsubjects: {identity_provider: sso}");
    assert_eq!(changed.service_accounts, AccountRule::ServiceAccount);
    assert_eq!(changed.identity_provider.as_deref(), Some("sso"));
}
