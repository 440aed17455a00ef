//! Projects that carry no labels become ours where the operator says so, and cease to be.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::world::*;
use crate::access::{Subject, Team, binding_name};
use crate::desired::Command;
use crate::model::ResourceState;
use crate::names;
use crate::observed::{Owned, PythonBinding, RoleBinding};
use crate::quota::Quota;

const LIMITS: &str = "cpu=4 memory=16 storage=100 pods=50";

fn python(user: &str, role: &str) -> PythonBinding {
    PythonBinding {
        name: format!("waldur-{user}"),
        uid: format!("uid-{user}"),
        user: user.to_owned(),
        role: role.to_owned(),
    }
}

/// A project of the Python agent, and a team.
fn world(command: Option<Command>) -> World {
    let mut project = Project::foreign("prod-env");
    let fixed = [("requests.cpu", "10"), ("requests.memory", "32Gi"), ("pods", "50"), ("count/secrets", "5")];
    let fixed = fixed.map(|(key, value)| (key.to_owned(), amount(value)));
    let editors = fixed.clone().map(|(key, _)| (key, "python".to_owned()));
    let hard = Quota { hard: fixed.into(), ..Quota::default() };
    let quota = Owned { edited_by: editors.into(), ..Owned::new("their-quota".to_owned(), hard) };
    project.left.quotas.insert(names::QUOTA.to_owned(), quota);
    project.left.python = vec![python("user1", "root"), python("user2", "edit"), python("user9", "edit")];
    let mut world = World::new(resource(ResourceState::Ok, "prod-env", LIMITS), None).with(project);
    world.facts.team =
        Some(Team { members: vec![person(1, &["Member"]), person(2, &["Manager"])], ..Team::default() });
    world.facts.command = command;
    world
}

fn done(world: &mut World) -> String {
    let findings: Vec<String> =
        world.plan().findings.into_iter().map(|finding| format!("! {}", finding.message)).collect();
    let actions = world.run().into_iter().map(|action| action.to_string());
    actions.chain(findings).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_project_of_the_python_agent_is_taken_over_grants_first() {
    assert_snapshot!(done(&mut world(Some(Command::Adopt))), @r"
    ~ namespace prod-env: adopted
    ~ quota prod-env/waldur-quota: limits.cpu=8, limits.memory=32Gi, requests.cpu 10 → 4, requests.memory 32Gi → 16Gi, requests.storage=100Gi
    + limit range prod-env/waldur-limits
    + role binding prod-env/waldur-users-edit: edit for user2
    + role binding prod-env/waldur-users-view: view for user1
    - role binding prod-env/waldur-user1 of the Python agent: root
    - role binding prod-env/waldur-user2 of the Python agent: edit
    - role binding prod-env/waldur-user9 of the Python agent: edit
    tell Waldur the metadata of resource 7f6e5d4c3b2a19080706050403020100
    tell Waldur the state of 2 grants of resource 7f6e5d4c3b2a19080706050403020100
    resource 7f6e5d4c3b2a19080706050403020100 was looked at
    ! 1 users have access by the Python agent and none by Waldur: user9
    ");
}

#[test]
fn without_the_operators_word_nothing_is_touched() {
    let mut world = world(None);
    let before = world.cluster.clone();
    let text = done(&mut world);
    assert!(text.contains("has to adopt it"), "{text}");
    assert_eq!(world.cluster, before);
}

#[test]
fn a_namespace_that_names_another_resource_is_not_taken_whatever_label_is_missing() {
    for managed in [true, false] {
        let mut world = world(Some(Command::Adopt));
        let namespace = &mut world.cluster.get_mut("prod-env").unwrap().namespace;
        namespace.labels.insert(names::RESOURCE_UUID.to_owned(), OTHER.simple().to_string());
        if managed {
            namespace.labels.insert(names::MANAGED_BY.to_owned(), names::MANAGED_BY_VALUE.to_owned());
        }
        let before = world.cluster.clone();
        done(&mut world);
        assert_eq!(world.cluster, before);
    }
}

#[test]
fn a_namespace_that_lost_one_of_its_labels_is_taken_back() {
    let mut world = world(Some(Command::Adopt));
    let namespace = &mut world.cluster.get_mut("prod-env").unwrap().namespace;
    namespace.labels.insert(names::RESOURCE_UUID.to_owned(), RESOURCE.simple().to_string());
    done(&mut world);
    assert_eq!(world.cluster["prod-env"].namespace.labels[names::MANAGED_BY], names::MANAGED_BY_VALUE);
}

#[test]
fn without_knowledge_of_the_team_their_bindings_stay() {
    let mut world = world(Some(Command::Adopt));
    world.facts.team = None;
    let text = done(&mut world);
    assert!(text.contains("3 role bindings of the Python agent stay"), "{text}");
    assert_eq!(world.cluster["prod-env"].left.python.len(), 3);
}

#[test]
fn bindings_of_our_names_without_labels_are_taken_back_as_they_should_be() {
    let mut world = world(Some(Command::Adopt));
    let stale = RoleBinding { role: "view".to_owned(), subjects: [Subject::User("user8".to_owned())].into() };
    let project = world.cluster.get_mut("prod-env").unwrap();
    project.left.bindings = BTreeMap::from([(binding_name("view"), Owned::new("stale".to_owned(), stale))]);
    done(&mut world);
    let roles = world.roles("prod-env");
    let expected = [("user1", "view"), ("user2", "edit")];
    assert_eq!(roles, expected.map(|(user, role)| (user.to_owned(), role.to_owned())).into());
}

#[test]
fn what_is_given_up_keeps_everything_but_its_labels_and_can_be_taken_back() {
    let mut world = world(Some(Command::Adopt));
    done(&mut world);
    let before = world.cluster["prod-env"].clone();
    world.facts.command = Some(Command::Abandon);
    assert_snapshot!(done(&mut world), @r"
    ~ quota prod-env/waldur-quota: labels removed
    ~ limit range prod-env/waldur-limits: labels removed
    ~ role binding prod-env/waldur-users-edit: labels removed
    ~ role binding prod-env/waldur-users-view: labels removed
    ~ namespace prod-env: labels removed
    ");
    let left = &world.cluster["prod-env"].left;
    assert_eq!((&left.quotas, &left.bindings), (&before.quotas, &before.bindings));
    world.facts.command = None;
    let released = world.cluster.clone();
    done(&mut world);
    assert_eq!(world.cluster, released);
    world.facts.command = Some(Command::Adopt);
    done(&mut world);
    assert_eq!(world.roles("prod-env").len(), 2);
    assert_eq!(world.cluster["prod-env"].namespace.labels, before.namespace.labels);
}

/// A resource of which Waldur names the first namespace, and more with the names that its others would have.
fn several(mark: impl Fn(&mut crate::observed::Namespace)) -> World {
    let mut world = world(Some(Command::Adopt));
    world.policy.naming.environments = ["dev", "stage"].map(str::to_owned).into();
    let mut stage = Project::foreign(STAGE);
    mark(&mut stage.namespace);
    stage.left.python = vec![python("user1", "root")];
    world.with(stage)
}

const STAGE: &str = "waldur-alloc-prod-1-stage";

#[test]
fn a_further_namespace_is_taken_over_where_agent_or_operator_vouch_for_it_and_nothing_speaks_against_it() {
    let annotated = |namespace: &mut crate::observed::Namespace, key: &str, value: &str| {
        namespace.annotations.insert(key.to_owned(), value.to_owned());
    };
    let parent = "waldur-proj-web-1";
    type Mark<'a> = &'a dyn Fn(&mut crate::observed::Namespace);
    let cases: [(bool, Mark<'_>); 9] = [
        (true, &|namespace| annotated(namespace, names::REQUESTER, AGENT)),
        (true, &|namespace| annotated(namespace, names::PARENT, parent)),
        (true, &|namespace| {
            annotated(namespace, names::REQUESTER, "alice");
            annotated(namespace, names::PARENT, parent);
        }),
        (false, &|_| {}),
        (false, &|namespace| annotated(namespace, names::REQUESTER, "alice")),
        (false, &|namespace| annotated(namespace, names::REQUESTER, "")),
        (false, &|namespace| {
            annotated(namespace, names::REQUESTER, AGENT);
            annotated(namespace, names::PARENT, "waldur-proj-other");
        }),
        (false, &|namespace| {
            annotated(namespace, names::REQUESTER, AGENT);
            namespace.labels.insert(names::ENVIRONMENT.to_owned(), "prod".to_owned());
        }),
        (false, &|namespace| {
            annotated(namespace, names::REQUESTER, AGENT);
            namespace.terminating = true;
        }),
    ];
    for (number, (taken, mark)) in cases.into_iter().enumerate() {
        let mut world = several(mark);
        let before = world.cluster[STAGE].namespace.clone();
        let text = done(&mut world);
        assert_eq!(text.contains(&format!("~ namespace {STAGE}: adopted")), taken, "{number}: {text}");
        // One that is going away is gone by now.
        let after = world.cluster.get(STAGE).map_or(&before, |project| &project.namespace);
        assert_eq!(
            after.labels.get(names::ENVIRONMENT).is_some_and(|of| of == "stage"),
            taken,
            "{number}: {text}"
        );
        assert_eq!(*after == before, !taken, "{number}: {text}");
        assert!(world.run().is_empty(), "{number}");
    }
}
