//! Role bindings: who is let in and out, in which order, and when not.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::world::*;
use crate::access::{Subject, Team};
use crate::model::ResourceState;
use crate::observed::{Owned, RoleBinding};

const NAME: &str = "waldur-alloc-prod-1";

/// A resource that is as it should be for these people.
fn kept(people: &[(u128, &str)]) -> World {
    let mut world = World::new(resource(ResourceState::Ok, NAME, "cpu=1"), None);
    world = world.with(Project::labelled(NAME, RESOURCE));
    world.facts.team = Some(team(people));
    world.run();
    world
}

fn team(people: &[(u128, &str)]) -> Team {
    let mut roles: BTreeMap<u128, Vec<&str>> = BTreeMap::new();
    for (number, role) in people {
        roles.entry(*number).or_default().push(role);
    }
    let members = roles.iter().map(|(number, roles)| person(*number, roles)).collect();
    Team { members, ..Team::default() }
}

fn changes(world: &mut World) -> String {
    let actions = world.run();
    let lines = actions.iter().map(ToString::to_string).filter(|line| line.contains("role binding"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn one_binding_for_each_cluster_role() {
    let mut world = World::new(resource(ResourceState::Ok, NAME, "cpu=1"), None);
    world = world.with(Project::labelled(NAME, RESOURCE));
    world.facts.team =
        Some(team(&[(1, "CUSTOMER.OWNER"), (2, "PROJECT.MANAGER"), (3, "member"), (4, "member")]));
    assert_snapshot!(changes(&mut world), @r"
    + role binding waldur-alloc-prod-1/waldur-users-admin: admin for user1
    + role binding waldur-alloc-prod-1/waldur-users-edit: edit for user2
    + role binding waldur-alloc-prod-1/waldur-users-view: view for user3, user4
    ");
}

#[test]
fn a_role_change_grants_before_it_revokes() {
    let mut world = kept(&[(1, "manager"), (2, "member"), (3, "manager"), (4, "member")]);
    world.facts.team = Some(team(&[(1, "member"), (2, "manager"), (3, "manager"), (4, "member")]));
    assert_snapshot!(changes(&mut world), @r"
    ~ role binding waldur-alloc-prod-1/waldur-users-edit: edit for user1, user2, user3
    ~ role binding waldur-alloc-prod-1/waldur-users-view: view for user1, user2, user4
    ~ role binding waldur-alloc-prod-1/waldur-users-edit: edit for user2, user3
    ~ role binding waldur-alloc-prod-1/waldur-users-view: view for user1, user4
    ");
}

#[test]
fn losing_one_of_two_roles_keeps_the_other() {
    let mut world = kept(&[(1, "manager"), (1, "member")]);
    world.facts.team = Some(team(&[(1, "member")]));
    assert_snapshot!(changes(&mut world), @"- role binding waldur-alloc-prod-1/waldur-users-edit");
}

#[test]
fn without_a_complete_answer_nobody_loses_access() {
    let mut world = kept(&[(1, "manager")]);
    world.facts.team = None;
    assert_eq!(changes(&mut world), "");
}

#[test]
fn too_many_removals_at_once_are_held_until_they_are_confirmed() {
    let everybody: Vec<_> = (0..6).map(|number| (number, "member")).collect();
    let mut world = kept(&everybody);
    world.facts.team = Some(team(&[(9, "manager")]));
    let plan = world.plan();
    assert!(plan.removal_held);
    assert_snapshot!(plan.findings[0].message, @"6 of 6 users would lose access at once; held back until the next pass confirms it: user0, user1, user2, user3, user4, user5");
    assert_snapshot!(changes(&mut world), @"+ role binding waldur-alloc-prod-1/waldur-users-edit: edit for user9");
    world.facts.removal_confirmed = true;
    assert_snapshot!(changes(&mut world), @"- role binding waldur-alloc-prod-1/waldur-users-view");
}

#[test]
fn restricting_access_is_no_accident() {
    let everybody: Vec<_> = (0..6).map(|number| (number, "member")).collect();
    let mut world = kept(&everybody);
    world.facts.resource.as_mut().unwrap().restrict_member_access = true;
    assert_snapshot!(changes(&mut world), @"- role binding waldur-alloc-prod-1/waldur-users-view");
}

#[test]
fn a_pass_that_would_remove_too_much_holds_every_removal() {
    let mut world = kept(&[(1, "manager")]);
    world.facts.team = Some(Team::default());
    world.facts.removal_held = true;
    assert!(world.plan().removal_held);
    assert_eq!(changes(&mut world), "");
}

#[test]
fn a_binding_edited_by_hand_is_healed_also_if_its_role_was_changed() {
    let mut world = kept(&[(1, "manager")]);
    let bindings = &mut world.cluster.get_mut(NAME).unwrap().bindings;
    let binding = &mut bindings.get_mut("waldur-users-edit").unwrap().value;
    binding.role = "cluster-admin".to_owned();
    binding.subjects.insert(Subject::User("mallory".to_owned()));
    assert_snapshot!(changes(&mut world), @r"
    - role binding waldur-alloc-prod-1/waldur-users-edit
    + role binding waldur-alloc-prod-1/waldur-users-edit: edit for user1
    ");
}

#[test]
fn a_binding_of_ours_that_nobody_wants_is_deleted() {
    let mut world = kept(&[(1, "manager")]);
    let old = RoleBinding { role: "old".to_owned(), subjects: [Subject::User("user1".to_owned())].into() };
    let bindings = &mut world.cluster.get_mut(NAME).unwrap().bindings;
    bindings.insert("waldur-users-old".to_owned(), Owned::new("uid-waldur-users-old".to_owned(), old));
    assert_snapshot!(changes(&mut world), @"- role binding waldur-alloc-prod-1/waldur-users-old");
}

#[test]
fn an_erred_resource_that_is_as_it_should_be_is_ok_again_and_one_that_vanished_is_erred() {
    let mut world = kept(&[(1, "manager")]);
    world.facts.resource.as_mut().unwrap().state = ResourceState::Erred;
    world.run();
    assert_eq!(world.resource().state, ResourceState::Ok);
    world.cluster.clear();
    world.run();
    assert_eq!(world.resource().state, ResourceState::Erred);
    assert!(world.resource().error_message.contains("is not on the cluster any more"));
}
