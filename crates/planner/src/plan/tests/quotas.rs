//! Further quotas beside `waldur-quota`: made, held, replaced, adopted, and taken away.

use insta::assert_snapshot;

use super::world::*;
use crate::desired::Command;
use crate::lifecycle::Shrink;
use crate::model::{OrderKind, OrderState, ResourceState};
use crate::policy::QuotaPolicy;
use crate::quota::scopes::Scopes;
use crate::quota::{Hard, Hards};

const LIMITS: &str = "cpu=4 memory=16 storage=100 pods=50";
const NAME: &str = "waldur-alloc-prod-1";

fn scopes(scope: &str) -> Scopes {
    Scopes { names: [scope.to_owned()].into(), ..Scopes::default() }
}

/// `pods` are those of Terminating pods, in a quota of their own, which lets no pod ask for more than one device.
fn split(world: &mut World) {
    let hard = Hard::from([("requests.nvidia.com/gpu".to_owned(), amount("1"))]);
    let batch = QuotaPolicy { scopes: scopes("Terminating"), hard };
    world.policy.quotas.insert("batch".to_owned(), batch);
    for target in &mut world.policy.components.get_mut("pods").unwrap().targets {
        target.quota = "batch".to_owned();
    }
}

fn made() -> World {
    let order = order(OrderKind::Create, OrderState::PendingProvider, LIMITS);
    let mut world = World::new(resource(ResourceState::Creating, "", LIMITS), Some(order));
    split(&mut world);
    world
}

fn kept() -> World {
    let mut world = made();
    world.run();
    world.facts.orders.clear();
    world
}

fn lines(world: &mut World) -> String {
    let done = world.run().into_iter().map(|action| action.to_string());
    done.filter(|line| line.contains("quota")).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_quota_is_made_with_its_scopes_and_its_keys() {
    assert_snapshot!(lines(&mut made()), @r"
    + quota waldur-alloc-prod-1/batch of Terminating: pods=50, requests.nvidia.com/gpu=1
    + quota waldur-alloc-prod-1/waldur-quota: limits.cpu=8, limits.memory=32Gi, requests.cpu=4, requests.memory=16Gi, requests.storage=100Gi
    ");
}

#[test]
fn a_pause_leaves_nothing_in_any_of_them_and_a_restore_brings_all_back() {
    let mut world = kept();
    let mut flags = |paused, downscaled| {
        let resource = world.facts.resource.as_mut().unwrap();
        (resource.paused, resource.downscaled) = (paused, downscaled);
        lines(&mut world)
    };
    assert_snapshot!(flags(true, false), @r"
    ~ quota waldur-alloc-prod-1/batch of Terminating: pods 50 → 0, requests.nvidia.com/gpu 1 → 0
    ~ quota waldur-alloc-prod-1/waldur-quota: limits.cpu 8 → 0, limits.memory 32Gi → 0, requests.cpu 4 → 0, requests.memory 16Gi → 0, requests.storage 100Gi → 0
    ");
    assert!(flags(false, true).starts_with(
        "~ quota waldur-alloc-prod-1/batch of Terminating: pods 0 → 1, requests.nvidia.com/gpu 0 → 1"
    ));
    assert!(
        flags(false, false).starts_with("~ quota waldur-alloc-prod-1/batch of Terminating: pods 1 → 50\n")
    );
}

#[test]
fn other_scopes_are_another_quota() {
    let mut world = kept();
    world.policy.quotas.get_mut("batch").unwrap().scopes = scopes("NotTerminating");
    assert_snapshot!(lines(&mut world), @r"
    - quota waldur-alloc-prod-1/batch
    + quota waldur-alloc-prod-1/batch of NotTerminating: pods=50, requests.nvidia.com/gpu=1
    ");
    assert_eq!(lines(&mut world), "");
    // The first quota is no exception.
    world.cluster.get_mut(NAME).unwrap().quota().value.scopes = scopes("BestEffort");
    assert!(lines(&mut world).starts_with("- quota waldur-alloc-prod-1/waldur-quota\n+ quota"));
}

#[test]
fn a_quota_that_leaves_the_configuration_is_taken_away() {
    let mut world = kept();
    world.policy = policy();
    assert_snapshot!(lines(&mut world), @r"
    ~ quota waldur-alloc-prod-1/waldur-quota: pods=50
    - quota waldur-alloc-prod-1/batch
    ");
    assert_eq!(lines(&mut world), "");
}

#[test]
fn what_an_update_takes_below_its_use_is_looked_for_in_the_quota_of_the_component() {
    let mut world = kept();
    world.policy.components.get_mut("pods").unwrap().shrink = Shrink::Refuse;
    let used = Hards::from([("batch".to_owned(), Hard::from([("pods".to_owned(), amount("20"))]))]);
    world.cluster.get_mut(NAME).unwrap().used = used;
    world.facts.orders = vec![order(OrderKind::Update, OrderState::PendingProvider, "cpu=4 pods=10")];
    world.run();
    let message = "the new limits are below what is in use in `waldur-alloc-prod-1`, and nothing was changed: `pods`: \
                   batch/pods would be 10, 20 is in use; free it first";
    assert_eq!(world.messages, [message]);
    world.policy.components.get_mut("pods").unwrap().shrink = Shrink::Accept;
    world.facts.orders = vec![order(OrderKind::Update, OrderState::PendingProvider, "cpu=4 pods=10")];
    world.run();
    let told = &world.resource().backend_metadata["overuse"];
    assert_eq!(*told, serde_json::json!({"batch/pods": {"used": "20", "limit": "10"}}));
}

#[test]
fn one_without_labels_is_taken_over_whatever_it_counts() {
    let mut world = kept();
    let project = world.cluster.get_mut(NAME).unwrap();
    project.namespace.labels.clear();
    project.left.quotas = std::mem::take(&mut project.quotas);
    project.left.quotas.get_mut("batch").unwrap().value.scopes = scopes("BestEffort");
    project.left.limit_range = project.limit_range.take();
    world.facts.command = Some(Command::Adopt);
    assert_snapshot!(lines(&mut world), @r"
    ~ quota waldur-alloc-prod-1/batch of BestEffort:
    ~ quota waldur-alloc-prod-1/waldur-quota:
    - quota waldur-alloc-prod-1/batch
    + quota waldur-alloc-prod-1/batch of Terminating: pods=50, requests.nvidia.com/gpu=1
    ");
}

#[test]
fn a_lock_takes_no_quota_away_even_if_its_limits_cannot_be_held() {
    let mut world = kept();
    let half = crate::lifecycle::HeldAmount::Share(amount("0.5"));
    world.policy.lifecycle.paused.insert("pods".to_owned(), half);
    world.policy.lifecycle.termination = crate::lifecycle::Termination::Keep;
    let invalid = crate::model::Limit::Invalid("`x` is not a number".to_owned());
    world.facts.resource.as_mut().unwrap().limits.insert("pods".to_owned(), invalid);
    world.facts.orders = vec![order(OrderKind::Terminate, OrderState::PendingProvider, "")];
    let before = world.cluster[NAME].quotas.clone();
    world.run();
    assert_eq!(world.cluster[NAME].quotas, before);
    assert_eq!(world.order_state(), OrderState::Settled);
}
