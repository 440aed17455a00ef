//! A resource with several namespaces under one quota: in one situation each, and what holds in all.

use insta::assert_snapshot;
use jiff::SignedDuration;
use proptest::prelude::*;

use super::world::*;
use crate::access::Team;
use crate::action::Action;
use crate::desired::Command;
use crate::lifecycle::Termination;
use crate::model::{OrderKind, OrderState, ResourceState};
use crate::names;
use crate::observed::Ownership;

const LIMITS: &str = "cpu=4 memory=16 storage=100 pods=50";
const DEV: &str = "waldur-alloc-prod-1-dev";
const STAGE: &str = "waldur-alloc-prod-1-stage";
const PROD: &str = "waldur-alloc-prod-1-prod";
const ALL: [&str; 3] = [DEV, PROD, STAGE];

fn create() -> World {
    let order = order(OrderKind::Create, OrderState::PendingProvider, LIMITS);
    let mut world = World::new(resource(ResourceState::Creating, "", LIMITS), Some(order));
    name(&mut world, &["dev", "stage", "prod"]);
    world
}

/// What the configuration names.
fn name(world: &mut World, environments: &[&str]) {
    world.policy.naming.environments = environments.iter().map(|name| (*name).to_owned()).collect();
}

/// A resource whose namespaces are as they should be.
fn kept() -> World {
    let mut world = create();
    world.run();
    world.facts.orders.clear();
    world
}

fn with_order(mut world: World, kind: OrderKind) -> World {
    world.facts.orders = vec![order(kind, OrderState::PendingProvider, "")];
    world
}

fn lines(world: &mut World) -> String {
    world.run().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn names_of(world: &World) -> Vec<&str> {
    world.cluster.keys().map(String::as_str).collect()
}

/// What the quota over all says of a key.
fn hard(world: &World, key: &str) -> Option<String> {
    world.cluster_quotas.get(names::QUOTA)?.value.hard.get(key).map(ToString::to_string)
}

#[test]
fn a_create_order_becomes_all_namespaces_under_one_quota() {
    let mut world = create();
    assert_snapshot!(lines(&mut world), @r"
    approve order 0000000000000000000000000000002a
    + project waldur-alloc-prod-1-dev (Production (dev))
    ~ namespace waldur-alloc-prod-1-dev: labels, 4 annotations
    tell Waldur that resource 7f6e5d4c3b2a19080706050403020100 is waldur-alloc-prod-1-dev
    + project waldur-alloc-prod-1-stage (Production (stage))
    ~ namespace waldur-alloc-prod-1-stage: labels, 4 annotations
    + project waldur-alloc-prod-1-prod (Production (prod))
    ~ namespace waldur-alloc-prod-1-prod: labels, 4 annotations
    + cluster quota waldur-quota-7f6e5d4c3b2a19080706050403020100: limits.cpu=8, limits.memory=32Gi, pods=50, requests.cpu=4, requests.memory=16Gi, requests.storage=100Gi
    + limit range waldur-alloc-prod-1-dev/waldur-limits
    + limit range waldur-alloc-prod-1-stage/waldur-limits
    + limit range waldur-alloc-prod-1-prod/waldur-limits
    tell Waldur the metadata of resource 7f6e5d4c3b2a19080706050403020100
    order 0000000000000000000000000000002a is done
    ");
    assert_eq!(names_of(&world), ALL);
    assert_eq!(world.resource().backend_id, DEV);
    assert_eq!(world.resource().backend_metadata["namespaces"], serde_json::json!([DEV, STAGE, PROD]));
    assert!(world.cluster.values().all(|project| project.quotas.is_empty() && project.limit_range.is_some()));
}

#[test]
fn a_create_that_was_cut_short_after_any_action_is_finished_in_the_same_namespaces() {
    let whole = create().run();
    for cut in 0..=whole.len() {
        let mut world = create();
        for action in &whole[..cut] {
            world.take(action);
        }
        world.run();
        assert_eq!(names_of(&world), ALL, "cut after {cut}");
        assert_eq!(world.resource().backend_id, DEV, "cut after {cut}");
        assert_eq!(world.resource().state, ResourceState::Ok, "cut after {cut}");
        assert_eq!(hard(&world, "pods").as_deref(), Some("50"), "cut after {cut}");
    }
}

#[test]
fn a_create_that_was_cut_short_is_terminated_with_all_that_it_left() {
    let whole = create().run();
    for cut in 0..whole.len() {
        let mut world = create();
        for action in &whole[..cut] {
            world.take(action);
        }
        let mut world = with_order(world, OrderKind::Terminate);
        world.facts.resource.as_mut().unwrap().state = ResourceState::Terminating;
        world.run();
        assert!(world.cluster.is_empty() && world.cluster_quotas.is_empty(), "cut after {cut}");
        assert_eq!(world.resource().state, ResourceState::Terminated, "cut after {cut}");
    }
}

#[test]
fn a_name_that_somebody_else_has_gets_a_suffix_and_the_others_do_not() {
    let mut world = create().with(Project::foreign(STAGE));
    world.run();
    assert_eq!(names_of(&world), ["waldur-alloc-prod-1-7f6e5d4c-stage", DEV, PROD, STAGE]);
    assert_eq!(world.cluster[STAGE], Project::foreign(STAGE));
    assert_eq!(world.resource().backend_id, DEV);
}

#[test]
fn one_that_was_deleted_by_hand_is_made_again_also_the_one_that_waldur_knows() {
    for gone in ALL {
        let mut world = kept();
        world.cluster.remove(gone);
        assert!(lines(&mut world).contains(&format!("+ project {gone} ")), "{gone}");
        assert_eq!(names_of(&world), ALL, "{gone}");
        assert_eq!(world.resource().backend_id, DEV, "{gone}");
    }
    // When all are gone, somebody has to say what is to become of it.
    let mut world = kept();
    world.cluster.clear();
    world.run();
    assert!(world.cluster.is_empty());
    assert!(world.resource().error_message.contains("is not on the cluster any more"));
}

#[test]
fn while_one_is_going_away_the_others_are_kept() {
    let mut world = kept();
    world.cluster.get_mut(DEV).unwrap().namespace.terminating = true;
    world.cluster.get_mut(PROD).unwrap().limit_range = None;
    let plan = world.plan();
    let text: Vec<String> = plan.actions.iter().map(ToString::to_string).collect();
    assert_eq!(text[0], format!("+ limit range {PROD}/waldur-limits"));
    assert!(text.iter().all(|line| !line.contains(DEV)), "{text:?}");
}

#[test]
fn a_name_that_is_added_is_made_and_one_that_is_taken_away_is_only_told() {
    let mut world = kept();
    name(&mut world, &["dev", "stage", "prod", "test"]);
    assert!(lines(&mut world).contains("+ project waldur-alloc-prod-1-test (Production (test))"));
    for environments in [&["dev", "stage"][..], &[]] {
        name(&mut world, environments);
        world.findings.clear();
        world.run();
        assert_eq!(world.cluster.len(), 4);
        let told = |name: &str| {
            world.findings.iter().any(|finding| finding.message.contains(&format!("is `{name}`")))
        };
        assert!(told("prod") && told("test"), "{:?}", world.findings);
        assert_eq!(hard(&world, "pods").as_deref(), Some("50"));
        assert_eq!(world.run(), vec![]);
    }
}

#[test]
fn a_resource_with_one_namespace_gets_the_others_beside_it() {
    let mut world = create();
    name(&mut world, &[]);
    world.run();
    world.facts.orders.clear();
    name(&mut world, &["dev", "stage"]);
    let done = lines(&mut world);
    let at = |text: &str| done.find(text).unwrap_or_else(|| panic!("{text} in {done}"));
    // What was bought is held all the time.
    assert!(at("+ cluster quota") < at("- quota waldur-alloc-prod-1/waldur-quota"));
    assert_eq!(names_of(&world), ["waldur-alloc-prod-1", STAGE]);
    assert_eq!(world.resource().backend_id, "waldur-alloc-prod-1");
    assert_eq!(world.cluster["waldur-alloc-prod-1"].namespace.environment(), Some("dev"));
    assert!(world.cluster["waldur-alloc-prod-1"].quotas.is_empty());
}

#[test]
fn a_pause_and_a_restore_are_one_write_of_the_quota() {
    let mut world = kept();
    for (paused, pods) in [(true, "0"), (false, "50")] {
        world.facts.resource.as_mut().unwrap().paused = paused;
        let done = world.run();
        let writes = done.iter().filter(|action| action.is_for_cluster());
        let writes: Vec<&Action> = writes.collect();
        assert!(matches!(writes[..], [Action::ApplyClusterQuota { .. }]), "{writes:?}");
        assert_eq!(hard(&world, "pods").as_deref(), Some(pods));
    }
}

#[test]
fn a_shrink_is_held_against_what_all_use_together() {
    let mut world = kept();
    for (name, pods) in [(DEV, "20"), (PROD, "15")] {
        let used = [("pods".to_owned(), amount(pods))].into();
        world.cluster.get_mut(name).unwrap().used.insert(names::QUOTA.to_owned(), used);
    }
    let mut smaller = world.clone();
    smaller.facts.resource.as_mut().unwrap().limits = limits("cpu=4 memory=16 storage=100 pods=30");
    smaller.run();
    assert_eq!(smaller.resource().backend_metadata["overuse"]["pods"]["used"], "35");
    let policy = world.policy.components.get_mut("pods").unwrap();
    policy.shrink = crate::lifecycle::Shrink::Refuse;
    world.facts.orders = vec![order(OrderKind::Update, OrderState::PendingProvider, "pods=30")];
    world.run();
    assert!(world.messages[0].contains("pods would be 30, 35 is in use"), "{:?}", world.messages);
    assert_eq!(hard(&world, "pods").as_deref(), Some("50"));
}

#[test]
fn members_have_their_roles_in_each_namespace_through_the_same_groups() {
    let mut world = kept();
    world.policy.access.subjects = crate::access::SubjectRule::Group(Default::default());
    let team = |people: &[u128]| Team {
        members: people.iter().map(|number| person(*number, &["PROJECT.MANAGER"])).collect(),
        ..Team::default()
    };
    world.facts.team = Some(team(&[1, 2, 3, 4]));
    world.run();
    for name in ALL {
        assert_eq!(world.roles(name).len(), 4, "{name}");
    }
    assert_eq!(world.groups.len(), 1);
    world.facts.team = Some(team(&[1, 2, 3]));
    world.run();
    for name in ALL {
        assert_eq!(world.roles(name).len(), 3, "{name}");
    }
    // As users, nobody is without a role in between.
    world.policy.access.subjects = Default::default();
    for action in world.plan().actions {
        world.take(&action);
        assert!(ALL.iter().all(|name| world.roles(name).len() == 3), "{action}");
    }
    assert!(world.groups.is_empty());
}

#[test]
fn a_terminate_takes_one_after_the_other_and_is_done_when_all_are_gone() {
    let mut world = with_order(kept(), OrderKind::Terminate);
    assert_snapshot!(lines(&mut world), @r"
    approve order 0000000000000000000000000000002a
    - namespace waldur-alloc-prod-1-prod (uid made-3) with all that is in it
    - namespace waldur-alloc-prod-1-stage (uid made-2) with all that is in it
    - namespace waldur-alloc-prod-1-dev (uid made-1) with all that is in it
    - cluster quota waldur-quota-7f6e5d4c3b2a19080706050403020100
    order 0000000000000000000000000000002a is done
    ");
    assert!(world.cluster.is_empty() && world.cluster_quotas.is_empty());
    for termination in [Termination::Async, Termination::Wait] {
        let mut world = with_order(kept(), OrderKind::Terminate);
        world.policy.lifecycle.termination = termination;
        while world.order_state() != OrderState::Settled {
            let plan = world.plan();
            assert!(plan.actions.iter().filter(|action| action.is_destructive()).count() <= 1);
            for action in plan.actions {
                world.take(&action);
            }
            let done = world.order_state() == OrderState::Settled;
            let all = world.cluster.values();
            let gone = all.clone().all(|project| project.namespace.terminating);
            assert!(!done || gone && (termination == Termination::Async || world.cluster.is_empty()));
            world.settle();
        }
        assert!(world.cluster_quotas.is_empty());
    }
}

#[test]
fn a_grace_period_locks_all_and_ends_for_all() {
    let hour = SignedDuration::from_hours(1);
    let mut world = kept();
    let member = person(1, &["PROJECT.MANAGER"]);
    world.facts.team = Some(Team { members: vec![member], ..Team::default() });
    world.run();
    world.policy.lifecycle.termination = Termination::Grace(hour);
    let mut world = with_order(world, OrderKind::Terminate);
    world.run();
    assert_eq!(world.resource().state, ResourceState::Terminated);
    assert_eq!(hard(&world, "pods").as_deref(), Some("0"));
    assert!(ALL.iter().all(|name| world.cluster[*name].bindings.is_empty()));
    let locked = world.clone();
    // Back within the time, also if one is gone already.
    world.cluster.remove(STAGE);
    let mut back = with_order(world, OrderKind::Restore);
    back.run();
    assert_eq!(names_of(&back), ALL);
    assert_eq!(hard(&back, "pods").as_deref(), Some("50"));
    assert!(ALL.iter().all(|name| back.roles(name).len() == 1));
    // Over.
    let mut over = locked;
    over.facts.orders.clear();
    over.now += hour * 2;
    over.run();
    assert!(over.cluster.is_empty() && over.cluster_quotas.is_empty());
}

#[test]
fn a_quota_that_the_last_namespace_left_behind_goes() {
    let mut world = kept();
    world.cluster.clear();
    world.facts.resource.as_mut().unwrap().state = ResourceState::Terminated;
    world.run();
    assert!(world.cluster_quotas.is_empty());
}

#[test]
fn giving_up_takes_the_labels_off_all() {
    let mut world = kept();
    world.facts.command = Some(Command::Abandon);
    let done = world.run();
    assert!(done.iter().all(|action| matches!(action, Action::Release { .. })));
    assert!(world.cluster_quotas.is_empty());
    assert!(ALL.iter().all(|name| world.cluster[*name].namespace.labels.is_empty()));
    assert!(world.findings.iter().any(|finding| finding.message.contains("limits nothing")));
}

/// A namespace that may or may not be one of the resource's, with any label.
fn any_project() -> impl Strategy<Value = Project> {
    let suffixed = "waldur-alloc-prod-1-7f6e5d4c-stage";
    let name = prop::sample::select(vec![DEV, STAGE, PROD, suffixed, "waldur-alloc-prod-1", "shop"]);
    let label = prop::sample::select(vec![None, Some("dev"), Some("stage"), Some("prod"), Some("old")]);
    (name, 0..5, label, any::<bool>()).prop_map(|(name, owner, label, terminating)| {
        let mut project = match owner {
            0 => Project::foreign(name),
            1 => Project::labelled(name, OTHER),
            2 => Project::cut_short(name, AGENT),
            _ => Project::labelled(name, RESOURCE),
        };
        if let Some(label) = label.filter(|_| owner > 2) {
            project.namespace.labels.insert(names::ENVIRONMENT.to_owned(), label.to_owned());
        }
        project.namespace.terminating = terminating;
        project
    })
}

fn any_world() -> impl Strategy<Value = World> {
    use ResourceState::{Creating, Ok, Terminated, Terminating};
    let state = prop::sample::select(vec![Creating, Ok, Terminating, Terminated]);
    let backend_id = prop::sample::select(vec!["", DEV, "waldur-alloc-prod-1", "shop"]);
    let environments = prop::sample::subsequence(vec!["dev", "stage", "prod"], 0..=3).prop_shuffle();
    let kinds = vec![OrderKind::Create, OrderKind::Update, OrderKind::Terminate, OrderKind::Restore];
    let states = vec![OrderState::PendingProvider, OrderState::Executing];
    let order_of = (prop::sample::select(kinds), prop::sample::select(states));
    let termination = prop::sample::select(vec![
        Termination::Wait,
        Termination::Async,
        Termination::Grace(SignedDuration::from_secs(30)),
        Termination::Keep,
    ]);
    let projects = prop::collection::vec(any_project(), 0..5);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let rest = (prop::option::of(order_of), termination, flags);
    (state, backend_id, environments, projects, rest).prop_map(
        |(state, backend_id, environments, projects, (order_of, termination, flags))| {
            let order = order_of.map(|(kind, state)| order(kind, state, LIMITS));
            let mut world = World::new(resource(state, backend_id, LIMITS), order);
            name(&mut world, &environments);
            let (paused, stop_workloads, grouped) = flags;
            world.facts.resource.as_mut().unwrap().paused = paused;
            world.policy.lifecycle.termination = termination;
            world.policy.lifecycle.stop_workloads = stop_workloads;
            let member = person(1, &["PROJECT.MANAGER"]);
            world.facts.team = Some(Team { members: vec![member], ..Team::default() });
            if grouped {
                world.policy.access.subjects = crate::access::SubjectRule::Group(Default::default());
            }
            projects.into_iter().fold(world, World::with)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_world_comes_to_rest_and_nothing_unowned_is_touched(mut world in any_world()) {
        let before = world.cluster.clone();
        let done = world.run();
        for (name, project) in &before {
            let ownership = project.namespace.ownership(RESOURCE, AGENT);
            if !matches!(ownership, Ownership::Ours | Ownership::CutShort) {
                let now = world.cluster.get(name);
                prop_assert!(now == Some(project) || project.namespace.terminating, "{name} was touched: {done:#?}");
            }
        }
        prop_assert!(world.plan().actions.is_empty());
    }

    #[test]
    fn one_plan_never_holds_two_destructive_actions(mut world in any_world()) {
        let plan = world.plan();
        prop_assert!(plan.actions.iter().filter(|action| action.is_destructive()).count() <= 1);
    }

    /// A namespace of the resource is never without a quota, its own or the one over all, once it has had one.
    #[test]
    fn the_quota_holds_at_each_step(mut world in any_world()) {
        let name = |world: &World| {
            let ours = |project: &&Project| project.namespace.ownership(RESOURCE, AGENT) == Ownership::Ours;
            let ours = world.cluster.values().filter(ours);
            ours.map(|project| project.namespace.name.clone()).collect::<Vec<_>>()
        };
        let limited = |world: &World, name: &str| {
            !world.cluster_quotas.is_empty() || world.cluster.get(name).is_none_or(|project| {
                !project.quotas.is_empty() || project.namespace.terminating
            })
        };
        for _ in 0..20 {
            let plan = world.plan();
            let mut had: Vec<String> = name(&world).into_iter().filter(|name| limited(&world, name)).collect();
            for action in &plan.actions {
                if !world.take(action) {
                    break;
                }
                for name in &had {
                    prop_assert!(limited(&world, name), "{name} after {action}");
                }
                had.extend(name(&world).into_iter().filter(|name| limited(&world, name)));
            }
            world.settle();
            if plan.actions.is_empty() && plan.look_again_at.is_none() {
                break;
            }
        }
    }
}
