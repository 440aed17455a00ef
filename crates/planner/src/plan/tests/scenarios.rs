//! What is done in one situation each.

use insta::assert_snapshot;

use super::world::*;
use crate::model::{OrderKind, OrderState, ResourceState};
use crate::names;
use crate::policy::Flavour;

const LIMITS: &str = "cpu=4 memory=16 storage=100 pods=50";
const NAME: &str = "waldur-alloc-prod-1";

fn create() -> World {
    let order = order(OrderKind::Create, OrderState::PendingProvider, LIMITS);
    World::new(resource(ResourceState::Creating, "", LIMITS), Some(order))
}

/// A resource whose project is as it should be.
fn kept(bought: &str) -> World {
    let mut world = create();
    world.facts.orders[0].limits = limits(bought);
    world.run();
    world.facts.orders.clear();
    world
}

fn with_order(mut world: World, kind: OrderKind, state: OrderState, ordered: &str) -> World {
    world.facts.orders = vec![order(kind, state, ordered)];
    world
}

fn lines(world: &mut World) -> String {
    let done: Vec<_> = world.run().iter().map(ToString::to_string).collect();
    done.into_iter()
        .chain(world.messages.iter().map(|message| format!("! {message}")))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_create_order_becomes_a_project() {
    assert_snapshot!(lines(&mut create()), @r"
    approve order 0000000000000000000000000000002a
    + project waldur-alloc-prod-1 (Production)
    ~ namespace waldur-alloc-prod-1: labels, 4 annotations
    + quota waldur-alloc-prod-1/waldur-quota: limits.cpu=8, limits.memory=32Gi, pods=50, requests.cpu=4, requests.memory=16Gi, requests.storage=100Gi
    + limit range waldur-alloc-prod-1/waldur-limits
    tell Waldur that resource 7f6e5d4c3b2a19080706050403020100 is waldur-alloc-prod-1
    tell Waldur the metadata of resource 7f6e5d4c3b2a19080706050403020100
    order 0000000000000000000000000000002a is done
    ");
}

#[test]
fn on_plain_kubernetes_the_labels_come_with_the_namespace() {
    let mut world = create();
    world.policy.flavour = Flavour::Kubernetes;
    let text = lines(&mut world);
    assert!(text.contains("+ namespace waldur-alloc-prod-1"), "{text}");
    assert!(!text.contains("labels,"), "{text}");
}

#[test]
fn a_create_that_was_cut_short_after_any_action_is_finished_in_the_same_project() {
    let whole = create().run();
    for cut in 0..=whole.len() {
        let mut world = create();
        for action in &whole[..cut] {
            world.take(action);
        }
        world.run();
        assert_eq!(world.cluster.len(), 1, "cut after {cut}");
        assert_eq!(world.resource().backend_id, NAME, "cut after {cut}");
        assert_eq!(world.resource().state, ResourceState::Ok, "cut after {cut}");
        assert!(world.cluster[NAME].quotas.contains_key(names::QUOTA), "cut after {cut}");
    }
}

#[test]
fn a_name_that_somebody_else_has_gets_a_suffix() {
    let mut world = create().with(Project::foreign(NAME));
    world.run();
    assert_eq!(world.resource().backend_id, "waldur-alloc-prod-1-7f6e5d4c");
    assert_eq!(world.cluster[NAME], Project::foreign(NAME));
}

#[test]
fn when_both_names_are_taken_the_order_says_so() {
    let mut world =
        create().with(Project::foreign(NAME)).with(Project::labelled("waldur-alloc-prod-1-7f6e5d4c", OTHER));
    world.run();
    assert_snapshot!(world.messages[0], @"both names for this project are taken by others: `waldur-alloc-prod-1` and `waldur-alloc-prod-1-7f6e5d4c`");
    assert_eq!(world.cluster.len(), 2);
}

#[test]
fn a_project_that_another_agent_is_making_is_waited_for() {
    let mut world = create().with(Project::cut_short(NAME, "system:serviceaccount:other:agent"));
    let first = world.plan();
    for action in &first.actions {
        if !world.take(action) {
            break;
        }
    }
    let plan = world.plan();
    assert!(plan.actions.is_empty(), "{plan:?}");
    assert!(plan.look_again_at.is_some());
    // It was not the other agent after all, but somebody who pretends.
    world.run();
    assert_eq!(world.resource().backend_id, "waldur-alloc-prod-1-7f6e5d4c");
}

#[test]
fn an_update_changes_what_it_names_and_keeps_the_rest() {
    let mut world = with_order(kept(LIMITS), OrderKind::Update, OrderState::PendingProvider, "memory=1024");
    assert_snapshot!(lines(&mut world), @r"
    approve order 0000000000000000000000000000002a
    ~ quota waldur-alloc-prod-1/waldur-quota: limits.memory 32Gi → 2Ti, requests.memory 16Gi → 1Ti
    tell Waldur the metadata of resource 7f6e5d4c3b2a19080706050403020100
    order 0000000000000000000000000000002a is done
    ");
    // The server has replaced all limits by the order's; what it no longer tells stays on the cluster.
    assert_eq!(world.resource().limits, limits("memory=1024"));
    assert_eq!(world.run(), vec![]);
}

#[test]
fn an_update_with_nothing_in_it_is_acknowledged() {
    let mut world = with_order(kept(LIMITS), OrderKind::Update, OrderState::PendingProvider, "");
    assert_snapshot!(lines(&mut world), @r"
    approve order 0000000000000000000000000000002a
    order 0000000000000000000000000000002a is done
    ");
}

#[test]
fn a_plan_switch_takes_the_quotas_of_the_plan() {
    let mut world = with_order(kept(LIMITS), OrderKind::Update, OrderState::Executing, "");
    world.facts.orders[0].plan_quotas = limits("cpu=10");
    let text = lines(&mut world);
    assert!(text.contains("requests.cpu 4 → 10"), "{text}");
}

#[test]
fn a_server_of_2024_needs_its_allocation_set_ok_before_an_update_is_approved() {
    let mut world = with_order(kept(LIMITS), OrderKind::Update, OrderState::PendingProvider, "cpu=1");
    world.policy.legacy_waldur = true;
    let text = lines(&mut world);
    assert!(
        text.starts_with("set allocation of resource 7f6e5d4c3b2a19080706050403020100 ok\napprove"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_a_quota_is_rejected_before_anything_is_made() {
    for (ordered, message) in [
        ("cpu=-1", "the limit of `cpu` is -1; it must not be negative"),
        ("pods=1.5", "the limit of `pods` is 1.5, but `pods` counts whole objects"),
        (
            "gpu=2",
            "the order names `gpu`, which this offering does not have; it has cpu, memory, storage, pods",
        ),
        (
            "storage=9000000000000000000",
            "the limit of `storage` is 9000000000000000000, which is more than Kubernetes can hold as `requests.storage`",
        ),
    ] {
        let mut world = create();
        world.facts.orders[0].limits = limits(ordered);
        let done = world.run();
        assert_eq!(done.len(), 1, "{done:?}");
        assert!(done[0].to_string().starts_with("reject"), "{done:?}");
        assert_eq!(world.messages, [message]);
        assert!(world.cluster.is_empty());
    }
}

#[test]
fn an_executing_order_that_cannot_be_fulfilled_is_erred() {
    let mut world = create();
    world.facts.orders[0].limits = limits("cpu=-1");
    world.facts.orders[0].state = OrderState::Executing;
    assert_snapshot!(lines(&mut world), @r"
    order 0000000000000000000000000000002a is erred: the limit of `cpu` is -1; it must not be negative
    ! the limit of `cpu` is -1; it must not be negative
    ");
}

#[test]
fn an_order_for_an_unknown_resource_is_refused() {
    let mut world = create();
    world.facts.resource = None;
    let plan = {
        let desired = crate::desired::desired(&world.policy, &Default::default(), &world.facts, World::START);
        super::super::plan(&desired, &Default::default(), World::START)
    };
    assert_snapshot!(plan.actions[0], @"reject order 0000000000000000000000000000002a: the resource of this order does not exist in Waldur, or this agent may not see it");
}

#[test]
fn terminate_deletes_and_is_done_when_the_namespace_is_gone() {
    let mut world = with_order(kept(LIMITS), OrderKind::Terminate, OrderState::PendingProvider, "");
    let plan = world.plan();
    assert_eq!(plan.actions.len(), 2, "not done before it is gone: {:?}", plan.actions);
    assert_snapshot!(lines(&mut world), @r"
    approve order 0000000000000000000000000000002a
    - namespace waldur-alloc-prod-1 (uid made-1) with all that is in it
    order 0000000000000000000000000000002a is done
    ");
    assert!(world.cluster.is_empty());
}

#[test]
fn terminate_of_what_is_gone_already_is_done() {
    for backend_id in ["", NAME] {
        let resource = resource(ResourceState::Terminating, backend_id, LIMITS);
        let order = order(OrderKind::Terminate, OrderState::Executing, "");
        let mut world = World::new(resource, Some(order));
        assert_eq!(lines(&mut world), "order 0000000000000000000000000000002a is done");
    }
}

#[test]
fn terminate_of_a_create_that_was_cut_short_removes_it() {
    let resource = resource(ResourceState::Erred, "", LIMITS);
    let order = order(OrderKind::Terminate, OrderState::PendingProvider, "");
    let mut world = World::new(resource, Some(order)).with(Project::cut_short(NAME, AGENT));
    world.run();
    assert!(world.cluster.is_empty());
}

#[test]
fn terminate_of_a_project_that_is_not_ours_errs_and_touches_nothing() {
    let others =
        [Project::foreign("shop"), Project::labelled("shop", OTHER), Project::cut_short("shop", "somebody")];
    for project in others {
        let resource = resource(ResourceState::Ok, "shop", LIMITS);
        let order = order(OrderKind::Terminate, OrderState::PendingProvider, "");
        let mut world = World::new(resource, Some(order)).with(project.clone());
        world.run();
        assert_eq!(world.cluster["shop"], project);
        assert!(world.messages[0].contains("it was not touched"), "{:?}", world.messages);
    }
}

#[test]
fn namespaces_of_the_cluster_are_never_touched_whatever_waldur_says() {
    for name in ["openshift-monitoring", "kube-system", "default", "openshift", "Kube-System"] {
        for kind in [OrderKind::Create, OrderKind::Update, OrderKind::Terminate, OrderKind::Restore] {
            let order = order(kind, OrderState::Executing, "cpu=1");
            let mut world = World::new(resource(ResourceState::Ok, name, LIMITS), Some(order))
                .with(Project::labelled(name, RESOURCE));
            world.run();
            assert!(world.messages[0].contains("is reserved for the cluster"), "{:?}", world.messages);
            assert_eq!(world.cluster[name], Project::labelled(name, RESOURCE));
        }
    }
}

#[test]
fn an_update_of_a_project_that_vanished_says_so() {
    let order = order(OrderKind::Update, OrderState::Executing, "cpu=1");
    let mut world = World::new(resource(ResourceState::Updating, NAME, LIMITS), Some(order));
    world.run();
    assert_snapshot!(world.messages[0], @"namespace `waldur-alloc-prod-1` is not on the cluster any more; terminate the resource, or restore it");
}

#[test]
fn restore_makes_the_project_again_under_its_old_name() {
    let order = order(OrderKind::Restore, OrderState::PendingProvider, "");
    let mut world = World::new(resource(ResourceState::Terminated, "old-name", LIMITS), Some(order));
    world.run();
    assert_eq!(world.cluster["old-name"].hard()["pods"], amount("50"));
}

#[test]
fn a_hand_made_change_is_put_back() {
    let mut world = kept(LIMITS);
    let project = world.cluster.get_mut(NAME).unwrap();
    project.quota().value.hard.insert("pods".to_owned(), amount("5000"));
    project.namespace.annotations.remove(names::PARENT);
    assert_snapshot!(lines(&mut world), @r"
    ~ namespace waldur-alloc-prod-1: labels, 4 annotations
    ~ quota waldur-alloc-prod-1/waldur-quota: pods 5k → 50
    resource 7f6e5d4c3b2a19080706050403020100 was looked at
    ");
}

#[test]
fn a_key_that_somebody_else_has_added_to_our_quota_stays_theirs() {
    let mut world = kept(LIMITS);
    let quota = world.cluster.get_mut(NAME).unwrap().quota();
    quota.value.hard.insert("services".to_owned(), amount("3"));
    quota.edited_by.insert("services".to_owned(), "kubectl-edit".to_owned());
    assert_eq!(lines(&mut world), "");
    // One that was ours before, and that nobody wants any more, is removed.
    let quota = world.cluster.get_mut(NAME).unwrap().quota();
    quota.edited_by.clear();
    assert!(lines(&mut world).contains("- services 3"));
}

#[test]
fn paused_beats_downscaled_and_both_end_at_what_was_bought() {
    let mut world = kept(LIMITS);
    let mut states = Vec::new();
    for (paused, downscaled) in [(false, true), (true, true), (false, false)] {
        let resource = world.facts.resource.as_mut().unwrap();
        (resource.paused, resource.downscaled) = (paused, downscaled);
        world.run();
        let hard = world.cluster[NAME].hard();
        states.push(format!("{} {} {}", hard["requests.cpu"], hard["limits.cpu"], hard["pods"]));
    }
    assert_eq!(states, ["1 2 1", "0 0 0", "4 8 50"]);
}

#[test]
fn a_namespace_that_hangs_is_reported_and_waited_for() {
    let mut world = with_order(kept(LIMITS), OrderKind::Terminate, OrderState::Executing, "");
    let namespace = &mut world.cluster.get_mut(NAME).unwrap().namespace;
    namespace.terminating = true;
    namespace.blocked_by =
        vec!["Some content in the namespace has finalizers remaining: example.org/x".to_owned()];
    let plan = world.plan();
    assert!(plan.actions.is_empty());
    assert!(plan.look_again_at.is_some());
    assert!(plan.findings[0].message.contains("example.org/x"), "{:?}", plan.findings);
}

#[test]
fn limits_that_nobody_names_fall_back_to_the_configuration() {
    let mut world = create();
    world.policy.components.get_mut("storage").unwrap().fallback_limit = Some(amount("7"));
    world.facts.orders[0].limits = limits("cpu=1");
    world.facts.resource.as_mut().unwrap().limits = limits("cpu=1");
    world.run();
    let hard = world.cluster[NAME].hard();
    assert_eq!(hard["requests.storage"], amount("7Gi"));
    assert!(!hard.contains_key("pods"));
}

#[test]
fn a_small_purchase_gets_a_limit_range_that_fits_under_it() {
    let mut world = create();
    world.facts.orders[0].limits = limits("cpu=0.1 memory=0.1 storage=1 pods=1");
    world.facts.resource.as_mut().unwrap().limits = world.facts.orders[0].limits.clone();
    world.run();
    let range = &world.cluster[NAME].limit_range.as_ref().unwrap().value;
    assert_eq!(range.default["cpu"], amount("200m"));
    assert_eq!(range.default_request["cpu"], amount("100m"));
    assert_eq!(range.default["memory"], amount("0.2Gi"));
}
