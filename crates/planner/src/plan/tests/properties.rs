//! What holds in every world: the plan converges, nothing of anybody else is touched, at most one destructive
//! action, the order of facts does not matter.

use proptest::prelude::*;

use super::world::*;
use crate::access::Team;
use crate::model::{Limit, Limits, Order, OrderKind, OrderState, ResourceState, next_order};
use crate::names;
use crate::observed::Ownership;

const NAME: &str = "waldur-alloc-prod-1";
const SUFFIXED: &str = "waldur-alloc-prod-1-7f6e5d4c";

fn any_limits() -> impl Strategy<Value = Limits> {
    let limit = prop_oneof![
        4 => (0_i64..1000).prop_map(|value| Limit::Amount(crate::amount::Amount::whole(value))),
        1 => (-5_i64..0).prop_map(|value| Limit::Amount(crate::amount::Amount::whole(value))),
        1 => Just(Limit::Amount("1.5".parse().unwrap())),
        1 => Just(Limit::Unset),
        1 => Just(Limit::Invalid("`x` is not a number".to_owned())),
    ];
    let component =
        prop::sample::select(vec!["cpu", "memory", "storage", "pods", "gpu"]).prop_map(str::to_owned);
    prop::collection::btree_map(component, limit, 0..5)
}

fn any_order() -> impl Strategy<Value = Order> {
    let kinds = [OrderKind::Create, OrderKind::Update, OrderKind::Terminate, OrderKind::Restore];
    let kind = prop::sample::select(kinds.to_vec());
    let state =
        prop::sample::select(vec![OrderState::PendingProvider, OrderState::Executing, OrderState::Settled]);
    (kind, state, any_limits(), any_limits()).prop_map(|(kind, state, ordered, quotas)| {
        let mut order = order(kind, state, "");
        (order.limits, order.plan_quotas) = (ordered, quotas);
        order
    })
}

fn any_project() -> impl Strategy<Value = Project> {
    let name = prop::sample::select(vec![NAME, SUFFIXED, "old-name", "shop"]);
    (name, 0..5, any::<bool>()).prop_map(|(name, owner, terminating)| {
        let mut project = match owner {
            0 => Project::foreign(name),
            1 => Project::labelled(name, OTHER),
            2 => Project::cut_short(name, AGENT),
            3 => Project::cut_short(name, "somebody"),
            _ => Project::labelled(name, RESOURCE),
        };
        project.namespace.terminating = terminating;
        project
    })
}

/// A team of up to eight people and accounts, with any roles.
fn any_team() -> impl Strategy<Value = Option<Team>> {
    let roles = vec!["PROJECT.ADMIN", "manager", "PROJECT.MEMBER", "CUSTOMER.OWNER", "other"];
    let member = (0..12_u128, prop::collection::vec(prop::sample::select(roles), 0..3));
    let people = prop::collection::vec(member, 0..8);
    let team = people.prop_map(|people| Team {
        members: people.iter().map(|(number, roles)| person(*number, roles)).collect(),
        accounts: vec!["svc".to_owned()],
    });
    prop::option::of(team)
}

fn any_world() -> impl Strategy<Value = World> {
    use ResourceState::{Creating, Erred, Ok, Terminated, Terminating, Updating};
    let state = prop::sample::select(vec![Creating, Ok, Erred, Updating, Terminating, Terminated]);
    let backend_id = prop::sample::select(vec!["", NAME, "old-name", "shop", "kube-system"]);
    let projects = prop::collection::vec(any_project(), 0..4);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any_team());
    let order = prop::option::of(any_order());
    (state, backend_id, any_limits(), order, projects, flags).prop_map(
        |(state, backend_id, bought, order, projects, (paused, downscaled, legacy, restricted, team))| {
            let mut resource = resource(state, backend_id, "");
            (resource.limits, resource.paused, resource.downscaled) = (bought, paused, downscaled);
            resource.restrict_member_access = restricted;
            let mut world = World::new(resource, order);
            world.facts.team = team;
            world.policy.legacy_waldur = legacy;
            projects.into_iter().fold(world, World::with)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_world_comes_to_rest_and_nothing_unowned_is_touched(mut world in any_world()) {
        let before = world.cluster.clone();
        let done = world.run();
        for (name, project) in &before {
            let mine = matches!(project.namespace.ownership(RESOURCE, AGENT), Ownership::Ours | Ownership::CutShort);
            let reserved = names::check_namespace(name).is_err();
            if !mine || reserved {
                let now = world.cluster.get(name);
                prop_assert!(now == Some(project) || project.namespace.terminating, "{name} was touched: {done:#?}");
            }
        }
        let deletions = done.iter().filter(|action| action.is_destructive()).count();
        let owned = before.values().filter(|project| {
            matches!(project.namespace.ownership(RESOURCE, AGENT), Ownership::Ours | Ownership::CutShort)
        });
        prop_assert!(deletions <= owned.count(), "{done:#?}");
        prop_assert!(world.plan().actions.is_empty());
    }

    #[test]
    fn one_plan_never_holds_two_destructive_actions(mut world in any_world()) {
        let plan = world.plan();
        prop_assert!(plan.actions.iter().filter(|action| action.is_destructive()).count() <= 1);
    }

    #[test]
    fn the_order_of_facts_does_not_matter(orders in prop::collection::vec(any_order(), 0..6), seed in any::<u64>()) {
        let mut numbered = orders;
        for (index, order) in numbered.iter_mut().enumerate() {
            order.uuid = uuid::Uuid::from_u128(index as u128);
        }
        let first = next_order(&numbered).map(|order| order.uuid);
        let mut shuffled = numbered.clone();
        if !shuffled.is_empty() {
            let by = usize::try_from(seed % shuffled.len() as u64).unwrap();
            shuffled.rotate_left(by);
            shuffled.reverse();
        }
        prop_assert_eq!(next_order(&shuffled).map(|order| order.uuid), first);
    }

    #[test]
    fn a_run_that_dies_after_any_action_is_finished_by_the_next(world in any_world(), cut in 0_usize..12) {
        // Only an order that has begun leaves something behind.
        let mut world = world;
        if world.facts.orders.iter().any(|order| order.state == OrderState::PendingProvider) {
            world.cluster.retain(|_, project| project.namespace.ownership(RESOURCE, AGENT) != Ownership::CutShort);
        }
        // What is on its way out at the start is gone at another moment in each of the two runs.
        world.settle();
        let mut whole = world.clone();
        let actions = whole.run();
        let mut broken = world;
        for action in actions.iter().take(cut) {
            if !broken.take(action) {
                break;
            }
        }
        broken.run();
        whole.settle();
        broken.settle();
        let shape = |world: &World| {
            world.cluster.values().map(|project| (project.namespace.name.clone(), project.quota.clone())).collect::<Vec<_>>()
        };
        if !actions.iter().any(|action| action.is_destructive()) {
            prop_assert_eq!(shape(&whole), shape(&broken));
        }
    }
}
