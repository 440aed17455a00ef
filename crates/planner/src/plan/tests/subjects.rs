//! Groups, service accounts and identities: which objects there are, and in which order they come and go.

use insta::assert_snapshot;

use super::world::*;
use crate::access::{AccountRule, NameRule, Subject, SubjectRule, Team};
use crate::model::{OrderKind, OrderState, ResourceState};

const NAME: &str = "waldur-alloc-prod-1";
const EDIT: &str = "waldur-waldur-alloc-prod-1-edit";

fn team(people: &[(u128, &[&str])]) -> Team {
    Team { members: people.iter().map(|(number, roles)| person(*number, roles)).collect(), ..Team::default() }
}

/// A resource without members yet, whose members are in groups.
fn grouped() -> World {
    let mut world = World::new(resource(ResourceState::Ok, NAME, "cpu=1"), None);
    world = world.with(Project::labelled(NAME, RESOURCE));
    world.policy.access.subjects = SubjectRule::Group(NameRule::default());
    world
}

/// The same with these members let in.
fn kept(people: &[(u128, &[&str])]) -> World {
    let mut world = grouped();
    world.facts.team = Some(team(people));
    world.run();
    world
}

/// What is done about access, in order.
fn changes(world: &mut World) -> String {
    let about = ["role binding", "group", "service account", "identity", "namespace", "is done"];
    let actions: Vec<String> = world.run().iter().map(ToString::to_string).collect();
    let lines = actions.into_iter().filter(|line| about.iter().any(|word| line.contains(word)));
    lines.filter(|line| !line.contains("labels")).collect::<Vec<_>>().join("\n")
}

#[test]
fn one_group_for_each_cluster_role_stands_in_its_binding() {
    let mut world = grouped();
    world.facts.team =
        Some(team(&[(1, &["manager"]), (2, &["manager", "member"]), (3, &["CUSTOMER.OWNER"])]));
    assert_snapshot!(changes(&mut world), @r"
    + group waldur-waldur-alloc-prod-1-admin: user3
    + group waldur-waldur-alloc-prod-1-edit: user1, user2
    + group waldur-waldur-alloc-prod-1-view: user2
    + role binding waldur-alloc-prod-1/waldur-users-admin: admin for group waldur-waldur-alloc-prod-1-admin
    + role binding waldur-alloc-prod-1/waldur-users-edit: edit for group waldur-waldur-alloc-prod-1-edit
    + role binding waldur-alloc-prod-1/waldur-users-view: view for group waldur-waldur-alloc-prod-1-view
    ");
}

#[test]
fn a_change_of_members_changes_the_group_only_and_grants_before_it_revokes() {
    let mut world = kept(&[(1, &["manager"]), (2, &["member"]), (3, &["manager"]), (4, &["member"])]);
    world.facts.team =
        Some(team(&[(1, &["member"]), (2, &["manager"]), (3, &["manager"]), (4, &["member"])]));
    assert_snapshot!(changes(&mut world), @r"
    ~ group waldur-waldur-alloc-prod-1-edit: user1, user2, user3
    ~ group waldur-waldur-alloc-prod-1-view: user1, user2, user4
    ~ group waldur-waldur-alloc-prod-1-edit: user2, user3
    ~ group waldur-waldur-alloc-prod-1-view: user1, user4
    ");
    world.facts.team = Some(team(&[(3, &["manager"]), (4, &["member"]), (5, &["member"])]));
    assert_snapshot!(changes(&mut world), @r"
    ~ group waldur-waldur-alloc-prod-1-view: user4, user5
    ~ group waldur-waldur-alloc-prod-1-edit: user3
    ");
}

#[test]
fn a_role_that_nobody_has_any_more_loses_its_binding_and_then_its_group() {
    let mut world = kept(&[(1, &["manager"]), (2, &["member"])]);
    world.facts.team = Some(team(&[(2, &["member"])]));
    assert_snapshot!(changes(&mut world), @r"
    - role binding waldur-alloc-prod-1/waldur-users-edit
    - group waldur-waldur-alloc-prod-1-edit
    ");
}

#[test]
fn too_many_removals_from_a_group_at_once_are_held() {
    let everybody: Vec<(u128, &[&str])> = (0..6).map(|number| (number, &["member"] as &[&str])).collect();
    let mut world = kept(&everybody);
    world.facts.team = Some(team(&[(9, &["manager"])]));
    let plan = world.plan();
    assert!(plan.removal_held);
    assert_snapshot!(plan.findings[0].message, @"6 of 6 users would lose access at once; held back until the next pass confirms it: user0, user1, user2, user3, user4, user5");
    assert_snapshot!(changes(&mut world), @r"
    + group waldur-waldur-alloc-prod-1-edit: user9
    + role binding waldur-alloc-prod-1/waldur-users-edit: edit for group waldur-waldur-alloc-prod-1-edit
    ");
    world.facts.removal_confirmed = true;
    assert_snapshot!(changes(&mut world), @r"
    - role binding waldur-alloc-prod-1/waldur-users-view
    - group waldur-waldur-alloc-prod-1-view
    ");
}

#[test]
fn users_come_into_a_group_before_they_are_no_longer_bound_themselves() {
    let mut world = grouped();
    world.policy.access.subjects = SubjectRule::default();
    world.facts.team = Some(team(&[(1, &["manager"])]));
    world.run();
    world.policy.access.subjects = SubjectRule::Group(NameRule::default());
    assert_snapshot!(changes(&mut world), @r"
    + group waldur-waldur-alloc-prod-1-edit: user1
    ~ role binding waldur-alloc-prod-1/waldur-users-edit: edit for user1, group waldur-waldur-alloc-prod-1-edit
    ~ role binding waldur-alloc-prod-1/waldur-users-edit: edit for group waldur-waldur-alloc-prod-1-edit
    ");
    world.policy.access.subjects = SubjectRule::default();
    assert_snapshot!(changes(&mut world), @r"
    ~ role binding waldur-alloc-prod-1/waldur-users-edit: edit for user1
    - group waldur-waldur-alloc-prod-1-edit
    ");
}

#[test]
fn names_that_a_group_may_not_hold_are_bound_beside_it() {
    let mut world = grouped();
    let mut people = team(&[(1, &["manager"]), (2, &["manager"])]);
    people.members[0].offering_username = Some("oidc:John.Doe+x_y@ACME.org".to_owned());
    people.members[1].offering_username = Some("Jane.Doe+x_y@ACME.org".to_owned());
    world.facts.team = Some(people);
    assert_snapshot!(changes(&mut world), @r"
    + group waldur-waldur-alloc-prod-1-edit: Jane.Doe+x_y@ACME.org
    + role binding waldur-alloc-prod-1/waldur-users-edit: edit for oidc:John.Doe+x_y@ACME.org, group waldur-waldur-alloc-prod-1-edit
    ");
}

#[test]
fn a_group_of_somebody_else_is_neither_touched_nor_bound() {
    let mut world = grouped();
    let theirs = Group { resource: None, uid: "theirs".to_owned(), users: ["mallory".to_owned()].into() };
    world.groups.insert(EDIT.to_owned(), theirs.clone());
    world.facts.team = Some(team(&[(1, &["manager"])]));
    world.run();
    assert_eq!(world.groups[EDIT], theirs);
    let binding = &world.cluster[NAME].bindings["waldur-users-edit"].value;
    assert_eq!(binding.subjects, [Subject::User("user1".to_owned())].into());
    let findings = world.plan().findings;
    assert_snapshot!(findings[0].message, @"group `waldur-waldur-alloc-prod-1-edit` cannot be kept, its users are bound themselves: somebody else has the name");
}

#[test]
fn where_there_are_no_groups_users_are_bound_themselves() {
    let mut world = grouped();
    world.policy.access.abilities.groups = false;
    world.facts.team = Some(team(&[(1, &["manager"])]));
    assert_snapshot!(changes(&mut world), @"+ role binding waldur-alloc-prod-1/waldur-users-edit: edit for user1");
    assert!(world.plan().findings[0].message.contains("no OpenShift groups"));
}

#[test]
fn termination_takes_the_groups_before_the_order_is_done() {
    let mut world = kept(&[(1, &["manager"]), (2, &["member"])]);
    world.facts.orders = vec![order(OrderKind::Terminate, OrderState::Executing, "")];
    assert_snapshot!(changes(&mut world), @r"
    - namespace waldur-alloc-prod-1 (uid foreign-waldur-alloc-prod-1) with all that is in it
    - group waldur-waldur-alloc-prod-1-edit
    - group waldur-waldur-alloc-prod-1-view
    order 0000000000000000000000000000002a is done
    ");
    assert!(world.groups.is_empty());
}

#[test]
fn groups_that_a_termination_left_are_taken_although_the_project_is_gone() {
    let mut world = kept(&[(1, &["manager"])]);
    world.cluster.clear();
    world.facts.orders = vec![order(OrderKind::Terminate, OrderState::Executing, "")];
    assert_snapshot!(changes(&mut world), @r"
    - group waldur-waldur-alloc-prod-1-edit
    order 0000000000000000000000000000002a is done
    ");
}

#[test]
fn service_accounts_are_made_before_they_are_bound_and_go_after_their_binding() {
    let mut world = grouped();
    world.policy.access.service_accounts = AccountRule::ServiceAccount;
    let accounts = Team {
        service_accounts: vec!["svc-web".to_owned(), "Svc.CI@acme".to_owned()],
        course_accounts: vec!["course-1".to_owned()],
        ..Team::default()
    };
    world.facts.team = Some(accounts);
    assert_snapshot!(changes(&mut world), @r"
    + service account waldur-alloc-prod-1/svc-ci-acme-b00592cb
    + service account waldur-alloc-prod-1/svc-web
    + group waldur-waldur-alloc-prod-1-edit: course-1
    + role binding waldur-alloc-prod-1/waldur-users-edit: edit for group waldur-waldur-alloc-prod-1-edit, service account svc-ci-acme-b00592cb, service account svc-web
    ");
    world.facts.team.as_mut().unwrap().service_accounts.pop();
    assert_snapshot!(changes(&mut world), @r"
    ~ role binding waldur-alloc-prod-1/waldur-users-edit: edit for group waldur-waldur-alloc-prod-1-edit, service account svc-web
    - service account waldur-alloc-prod-1/svc-ci-acme-b00592cb
    ");
}

#[test]
fn a_service_account_of_somebody_else_is_neither_touched_nor_bound() {
    let mut world = grouped();
    world.policy.access.service_accounts = AccountRule::ServiceAccount;
    world.cluster.get_mut(NAME).unwrap().foreign_accounts.insert("svc-web".to_owned());
    world.facts.team = Some(Team { service_accounts: vec!["svc-web".to_owned()], ..Team::default() });
    world.run();
    assert!(world.cluster[NAME].bindings.is_empty());
    assert_snapshot!(world.plan().findings[0].message, @"service account `svc-web` has no access: somebody else has the name");
}

#[test]
fn users_are_made_known_to_the_identity_provider_once_and_stay_known() {
    let mut world = grouped();
    world.policy.access.identity_provider = Some("sso".to_owned());
    let mut people = team(&[(1, &["manager"]), (2, &["member"])]);
    people.members[1].offering_username = Some("oidc:user2".to_owned());
    world.facts.team = Some(people);
    assert_snapshot!(changes(&mut world), @r"
    + identity sso:user1 and its user, where there are none
    + group waldur-waldur-alloc-prod-1-edit: user1
    + role binding waldur-alloc-prod-1/waldur-users-edit: edit for group waldur-waldur-alloc-prod-1-edit
    + role binding waldur-alloc-prod-1/waldur-users-view: view for oidc:user2
    ");
    assert_snapshot!(world.plan().findings[0].message, @"user `oidc:user2` cannot be made known to `sso`: OpenShift refuses users and identities with `/`, `%` or `:` in their names");
    world.facts.team = Some(Team::default());
    world.facts.removal_confirmed = true;
    world.run();
    assert_eq!(world.identities, ["sso:user1".to_owned()].into());
}
