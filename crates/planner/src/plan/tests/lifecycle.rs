//! Pause, restore and terminate in one situation each, and what holds in all.

use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::world::*;
use crate::action::Action;
use crate::lifecycle::{self, Termination};
use crate::model::{OrderKind, OrderState, ResourceState};
use crate::outcome::{self, Failure, Next};
use crate::plan::{LookInto, plan};
use crate::workloads::{Workload, WorkloadKind, WorkloadState};

const LIMITS: &str = "cpu=4 memory=16 storage=100 pods=50";
const NAME: &str = "waldur-alloc-prod-1";

/// A resource whose project is as it should be, with a Deployment.
fn kept() -> World {
    let order = order(OrderKind::Create, OrderState::PendingProvider, LIMITS);
    let mut world = World::new(resource(ResourceState::Creating, "", LIMITS), Some(order));
    world.run();
    world.facts.orders.clear();
    let shop = Workload {
        kind: WorkloadKind::Deployment,
        name: "shop".to_owned(),
        uid: "shop".to_owned(),
        version: "1".to_owned(),
        controller: None,
        state: WorkloadState::Replicas(3),
        remembered: None,
        over: false,
        deletes_volumes: false,
    };
    world.cluster.get_mut(NAME).unwrap().workloads.owners.push(shop);
    world
}

fn with_order(mut world: World, kind: OrderKind) -> World {
    world.facts.orders = vec![order(kind, OrderState::PendingProvider, "")];
    world
}

fn lines(world: &mut World) -> String {
    world.run().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn flag(world: &mut World, paused: bool) {
    world.facts.resource.as_mut().unwrap().paused = paused;
}

#[test]
fn a_pause_stops_workloads_after_the_quota_and_a_restore_starts_them_after_it() {
    let mut world = kept();
    world.policy.lifecycle.stop_workloads = true;
    flag(&mut world, true);
    assert_snapshot!(lines(&mut world), @r"
    ~ namespace waldur-alloc-prod-1: waldur/workloads stopping
    ~ quota waldur-alloc-prod-1/waldur-quota: limits.cpu 8 → 0, limits.memory 32Gi → 0, pods 50 → 0, requests.cpu 4 → 0, requests.memory 16Gi → 0, requests.storage 100Gi → 0
    ~ waldur-alloc-prod-1 Deployment shop: replicas 3 → replicas 0
    ~ namespace waldur-alloc-prod-1: waldur/workloads stopped
    resource 7f6e5d4c3b2a19080706050403020100 was looked at
    ");
    flag(&mut world, false);
    assert_snapshot!(lines(&mut world), @r"
    ~ namespace waldur-alloc-prod-1: waldur/workloads starting
    ~ quota waldur-alloc-prod-1/waldur-quota: limits.cpu 0 → 8, limits.memory 0 → 32Gi, pods 0 → 50, requests.cpu 0 → 4, requests.memory 0 → 16Gi, requests.storage 0 → 100Gi
    ~ waldur-alloc-prod-1 Deployment shop: replicas 0 → replicas 3
    ~ namespace waldur-alloc-prod-1: - waldur/workloads
    resource 7f6e5d4c3b2a19080706050403020100 was looked at
    ");
}

#[test]
fn what_a_start_that_broke_off_has_started_is_stopped_again() {
    let mut world = kept();
    world.policy.lifecycle.stop_workloads = true;
    flag(&mut world, true);
    world.run();
    flag(&mut world, false);
    for action in world.plan().actions.iter().filter(|action| !action.reports_success()) {
        world.take(action);
    }
    flag(&mut world, true);
    let stops = "Deployment shop: replicas 3 → replicas 0";
    assert!(lines(&mut world).contains(stops));
    let marks = &world.cluster[NAME].namespace.annotations;
    assert_eq!(marks[lifecycle::WORKLOADS], lifecycle::STOPPED);
}

#[test]
fn a_grace_period_locks_first_and_deletes_later() {
    let mut world = with_order(kept(), OrderKind::Terminate);
    world.policy.lifecycle.termination = Termination::Grace(SignedDuration::from_hours(1));
    world.facts.resource.as_mut().unwrap().limits.clear();
    assert_snapshot!(lines(&mut world), @r"
    approve order 0000000000000000000000000000002a
    ~ namespace waldur-alloc-prod-1: waldur/delete-after 1970-01-01T01:01:00Z, waldur/locking true, waldur/terminated 1970-01-01T00:01:00Z, waldur/terminated-by 0000000000000000000000000000002a
    ~ quota waldur-alloc-prod-1/waldur-quota: limits.cpu 8 → 0, limits.memory 32Gi → 0, pods 50 → 0, requests.cpu 4 → 0, requests.memory 16Gi → 0, requests.storage 100Gi → 0
    tell Waldur the metadata of resource 7f6e5d4c3b2a19080706050403020100
    ~ namespace waldur-alloc-prod-1: - waldur/locking
    order 0000000000000000000000000000002a is done
    ");
    assert_eq!(lines(&mut world), "");
    // By one clock the time has come, by the other it has not.
    world.now += SignedDuration::from_hours(2);
    world.server_time = Some(World::START);
    assert_eq!(lines(&mut world), "");
    let finding = &world.findings.last().unwrap().message;
    assert!(finding.contains("correct the clock that is wrong"), "{finding}");
    world.server_time = Some(world.now);
    assert_snapshot!(lines(&mut world), @"- namespace waldur-alloc-prod-1 (uid made-1) with all that is in it");
}

#[test]
fn what_was_left_out_of_a_lock_is_done_after_the_order_has_ended() {
    let mut world = with_order(kept(), OrderKind::Terminate);
    world.policy.lifecycle.termination = Termination::Grace(SignedDuration::from_hours(1));
    world.policy.lifecycle.stop_workloads = true;
    // As the agent goes on when the cluster refuses to change the workload.
    let left_out =
        |action: &Action| action.reports_success() || matches!(action, Action::ChangeWorkload { .. });
    for action in world.plan().actions.iter().filter(|action| !left_out(action)) {
        world.take(action);
    }
    assert_eq!(world.resource().state, ResourceState::Terminated);
    world.settle();
    assert_snapshot!(lines(&mut world), @r"
    tell Waldur the metadata of resource 7f6e5d4c3b2a19080706050403020100
    ~ waldur-alloc-prod-1 Deployment shop: replicas 3 → replicas 0
    ~ namespace waldur-alloc-prod-1: - waldur/locking, waldur/workloads stopped
    ");
    assert_eq!(lines(&mut world), "");
}

#[test]
fn a_lock_is_not_finished_where_a_reserved_namespace_says_that_it_is_part_of_it() {
    for (other, changes) in [("waldur-alloc-prod-1-stage", true), ("kube-system", false)] {
        let mut projects = [NAME, other].map(|name| Project::labelled(name, RESOURCE));
        projects[0].namespace.annotations.insert(lifecycle::LOCKING.to_owned(), "true".to_owned());
        let mut world = World::new(resource(ResourceState::Terminated, NAME, LIMITS), None);
        world = projects.into_iter().fold(world, World::with);
        world.facts.orders_read = true;
        assert_eq!(!world.run().is_empty(), changes, "{other}");
    }
}

#[test]
fn another_order_for_a_locked_project_does_not_put_off_its_end() {
    let mut world = with_order(kept(), OrderKind::Terminate);
    world.policy.lifecycle.termination = Termination::Grace(SignedDuration::from_hours(1));
    world.run();
    let deadline = |world: &World| world.cluster[NAME].namespace.annotations[lifecycle::DELETE_AFTER].clone();
    let before = deadline(&world);
    world.now += SignedDuration::from_mins(10);
    world = with_order(world, OrderKind::Terminate);
    world.run();
    assert_eq!((world.resource().state, deadline(&world)), (ResourceState::Terminated, before));
}

#[test]
fn what_is_locked_comes_back_whole() {
    for termination in [Termination::Keep, Termination::Grace(SignedDuration::from_hours(1))] {
        let mut world = with_order(kept(), OrderKind::Terminate);
        world.policy.lifecycle.termination = termination;
        world.policy.lifecycle.stop_workloads = true;
        let before = world.cluster.clone();
        world.run();
        assert_eq!(world.resource().state, ResourceState::Terminated);
        assert_ne!(world.cluster, before);
        world = with_order(world, OrderKind::Restore);
        world.run();
        assert_eq!(world.cluster, before, "{termination:?}");
    }
}

#[test]
fn a_tenant_who_sets_a_deadline_shortens_nothing() {
    // Nor where the agent dies right after its approval, or Waldur approves by itself.
    for state in [OrderState::PendingProvider, OrderState::Executing] {
        let mut world = with_order(kept(), OrderKind::Terminate);
        world.facts.orders[0].state = state;
        world.policy.lifecycle.termination = Termination::Grace(SignedDuration::from_hours(1));
        let annotations = &mut world.cluster.get_mut(NAME).unwrap().namespace.annotations;
        for key in [lifecycle::DELETE_AFTER, lifecycle::TERMINATED] {
            annotations.insert(key.to_owned(), World::START.to_string());
        }
        world.run();
        assert!(world.cluster.contains_key(NAME), "{state:?}");
    }
}

#[test]
fn a_lock_that_was_interrupted_keeps_its_end() {
    let mut world = with_order(kept(), OrderKind::Terminate);
    world.policy.lifecycle.termination = Termination::Grace(SignedDuration::from_hours(1));
    // All but that the order is done.
    let actions = world.plan().actions;
    for action in &actions[..actions.len() - 1] {
        world.take(action);
    }
    let before = world.cluster[NAME].namespace.annotations[lifecycle::DELETE_AFTER].clone();
    world.now += SignedDuration::from_mins(10);
    world.run();
    assert_eq!(world.cluster[NAME].namespace.annotations[lifecycle::DELETE_AFTER], before);
}

#[test]
fn a_namespace_that_goes_away_is_looked_at_less_and_less_and_waldur_is_told_why() {
    let mut world = with_order(kept(), OrderKind::Terminate);
    let since = world.now;
    let namespace = &mut world.cluster.get_mut(NAME).unwrap().namespace;
    (namespace.terminating, namespace.terminating_since) = (true, Some(since));
    namespace.blocked_by = vec!["example.com/slow in 1 resource instances".to_owned()];
    world.facts.orders[0].state = OrderState::Executing;
    for (seconds, pause, told) in
        [(0, 2, false), (10, 5, false), (40, 20, true), (9000, 60, true), (-90, 2, false)]
    {
        world.now = since + SignedDuration::from_secs(seconds);
        let plan = world.plan();
        let until = plan.look_again_at.unwrap().duration_since(world.now);
        assert_eq!(until, SignedDuration::from_secs(pause), "{seconds}");
        assert_eq!(plan.actions.len(), usize::from(told), "{seconds} {:?}", plan.actions);
    }
    world.now = since + SignedDuration::from_secs(40);
    for action in world.plan().actions {
        world.take(&action);
    }
    assert!(world.plan().actions.is_empty(), "told once");
    let told = &world.resource().backend_metadata["termination"]["waits_for"];
    assert_eq!(told[0], "example.com/slow in 1 resource instances");
}

#[test]
fn usage_is_reported_for_the_last_time_before_anything_is_taken_away() {
    let terminations = [
        Termination::Wait,
        Termination::Async,
        Termination::Keep,
        Termination::Grace(SignedDuration::from_hours(1)),
    ];
    for termination in terminations {
        let mut world = with_order(kept(), OrderKind::Terminate);
        world.policy.lifecycle.termination = termination;
        world.policy.reports_usage = true;
        let done = world.run();
        assert!(matches!(done[0], Action::Approve { .. }), "{termination:?}");
        assert!(matches!(done[1], Action::ReportUsage { insist: true, .. }), "{termination:?}");
        let reports = done.iter().filter(|action| matches!(action, Action::ReportUsage { .. })).count();
        assert_eq!(reports, 1, "{termination:?}");
    }
    // What is deleted when its time has come belongs to nobody any more: Waldur would not take it.
    let mut world = with_order(kept(), OrderKind::Terminate);
    world.policy.lifecycle.termination = Termination::Grace(SignedDuration::from_hours(1));
    world.policy.reports_usage = true;
    world.run();
    world.now += SignedDuration::from_hours(2);
    world.server_time = Some(world.now);
    assert_snapshot!(lines(&mut world), @"- namespace waldur-alloc-prod-1 (uid made-1) with all that is in it");
}

#[test]
fn a_report_that_fails_holds_up_an_order_for_a_quarter_of_an_hour() {
    let mut world = with_order(kept(), OrderKind::Terminate);
    world.policy.reports_usage = true;
    world.facts.orders[0].state = OrderState::Executing;
    let unavailable = Failure::Unavailable { retry_after: None };
    for (minutes, next) in [
        (Some(0), Next::Retry(None)),
        (Some(14), Next::Retry(None)),
        (Some(15), Next::Skip),
        // Waldur's clock is ahead.
        (Some(-5), Next::Retry(None)),
        (None, Next::Skip),
    ] {
        world.facts.orders[0].modified =
            minutes.map(|minutes| world.now - SignedDuration::from_mins(minutes));
        let plan = world.plan();
        assert_eq!(outcome::after(&plan.actions[0], &unavailable), next, "{minutes:?} {:?}", plan.actions);
        assert!(matches!(plan.actions[1], Action::DeleteNamespace { .. }));
        // What will be refused again holds up nothing.
        for failure in
            [Failure::Forbidden, Failure::Invalid, Failure::NotOurs, Failure::NotFound, Failure::Conflict]
        {
            assert_eq!(outcome::after(&plan.actions[0], &failure), Next::Skip, "{failure:?}");
        }
    }
}

#[test]
fn what_is_in_use_is_read_only_where_a_limit_goes_down() {
    let mut world = kept();
    let mut look = |cpu: &str| {
        world.facts.resource.as_mut().unwrap().limits =
            limits(&format!("cpu={cpu} memory=16 storage=100 pods=50"));
        let desired = crate::desired::desired(&world.policy, &World::offering(), &world.facts, world.now);
        plan(&desired, &world.observed(), world.now).look_into
    };
    assert_eq!(look("4"), None);
    assert_eq!(look("5"), None);
    assert_eq!(look("3"), Some(LookInto::Used(NAME.to_owned())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A locked project is deleted when both clocks say so, once, and never before.
    #[test]
    fn nothing_is_deleted_before_both_clocks_say_so(
        grace in 1_i64..100_000,
        steps in prop::collection::vec((-50_000_i64..200_000, -50_000_i64..200_000), 1..8),
    ) {
        let mut world = with_order(kept(), OrderKind::Terminate);
        world.policy.lifecycle.termination = Termination::Grace(SignedDuration::from_secs(grace));
        for _ in 0..2 {
            for action in world.plan().actions {
                world.take(&action);
            }
        }
        let locked = &world.cluster[NAME].namespace;
        let deadline: Timestamp = locked.annotations[lifecycle::DELETE_AFTER].parse().unwrap();
        for (own, server) in steps {
            world.now = world.now.saturating_add(SignedDuration::from_secs(own)).unwrap();
            world.server_time = Some(World::START.saturating_add(SignedDuration::from_secs(server)).unwrap());
            let deletes = world.plan().actions.iter().any(|action| matches!(action, Action::DeleteNamespace { .. }));
            prop_assert_eq!(deletes, deadline <= world.now && Some(deadline) <= world.server_time);
        }
    }
}
