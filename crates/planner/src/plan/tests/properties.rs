//! What holds in every world: the plan converges, nothing of anybody else is touched, at most one destructive
//! action, the order of facts does not matter.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::world::*;
use crate::access::{AccountRule, NameRule, SubjectRule, Team};
use crate::amount::Amount;
use crate::lifecycle::{LifecyclePolicy, MARKS, Termination};
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
    (name, 0..5, any::<bool>(), any::<bool>(), any_marks()).prop_map(
        |(name, owner, terminating, account, marks)| {
            let mut project = match owner {
                0 => Project::foreign(name),
                1 => Project::labelled(name, OTHER),
                2 => Project::cut_short(name, AGENT),
                3 => Project::cut_short(name, "somebody"),
                _ => Project::labelled(name, RESOURCE),
            };
            project.namespace.terminating = terminating;
            project.namespace.annotations.extend(marks);
            if account {
                project.foreign_accounts.insert("svc".to_owned());
            }
            project
        },
    )
}

/// A team of up to eight people and accounts, with any roles.
fn any_team() -> impl Strategy<Value = Option<Team>> {
    let roles = vec!["PROJECT.ADMIN", "manager", "PROJECT.MEMBER", "CUSTOMER.OWNER", "other"];
    let member = (0..12_u128, prop::collection::vec(prop::sample::select(roles), 0..3));
    let people = prop::collection::vec(member, 0..8);
    let team = people.prop_map(|people| Team {
        members: people.iter().map(|(number, roles)| person(*number, roles)).collect(),
        service_accounts: vec!["svc".to_owned(), "Svc.2".to_owned()],
        course_accounts: vec!["course".to_owned()],
    });
    prop::option::of(team)
}

/// A group with a name that ours may have, by whomever; an old one of ours among them.
fn any_group() -> impl Strategy<Value = (String, Group)> {
    let namespace = prop::sample::select(vec![NAME, SUFFIXED, "old-name", "shop"]);
    let role = prop::sample::select(vec!["admin", "edit", "view", "old"]);
    let resource = prop::sample::select(vec![None, Some(OTHER), Some(RESOURCE)]);
    (namespace, role, resource).prop_map(|(namespace, role, resource)| {
        let name = crate::subjects::group_name(namespace, role);
        let users = ["user1".to_owned(), "mallory".to_owned()].into();
        (name.clone(), Group { resource, uid: format!("uid-{name}"), users })
    })
}

/// How people and accounts become subjects.
fn any_rules() -> impl Strategy<Value = (SubjectRule, AccountRule, Option<String>)> {
    // A prefix that no group may hold.
    let odd = NameRule { prefix: "oidc:".to_owned(), ..NameRule::default() };
    let rules = vec![
        SubjectRule::default(),
        SubjectRule::Group(NameRule::default()),
        SubjectRule::Group(NameRule::default()),
        SubjectRule::Group(odd),
    ];
    let accounts = prop::sample::select(vec![AccountRule::User, AccountRule::ServiceAccount]);
    let provider = prop::sample::select(vec![None, Some("sso".to_owned())]);
    (prop::sample::select(rules), accounts, provider)
}

/// What pausing and terminating do.
fn any_lifecycle() -> impl Strategy<Value = LifecyclePolicy> {
    let hour = SignedDuration::from_secs(3600);
    let termination = prop::sample::select(vec![
        Termination::Wait,
        Termination::Async,
        Termination::Grace(SignedDuration::from_secs(30)),
        Termination::Grace(hour),
        Termination::Keep,
    ]);
    (termination, any::<bool>(), any::<bool>()).prop_map(|(termination, stop_workloads, defaults)| {
        let restored = defaults.then(|| [("cpu".to_owned(), Amount::whole(10))].into());
        LifecyclePolicy { termination, stop_workloads, restored, ..policy().lifecycle }
    })
}

/// Marks as a namespace may carry them, whoever put them there.
fn any_marks() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value = vec!["", "paused", "restored", "stopping", "stopped", "1970-01-01T00:00:10Z", "soon"];
    prop::collection::btree_map(
        prop::sample::select(MARKS.to_vec()).prop_map(str::to_owned),
        prop::sample::select(value).prop_map(str::to_owned),
        0..4,
    )
}

fn any_world() -> impl Strategy<Value = World> {
    use ResourceState::{Creating, Erred, Ok, Terminated, Terminating, Updating};
    let state = prop::sample::select(vec![Creating, Ok, Erred, Updating, Terminating, Terminated]);
    let backend_id = prop::sample::select(vec!["", NAME, "old-name", "shop", "kube-system"]);
    let projects = prop::collection::vec(any_project(), 0..4);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any_team());
    let order = prop::option::of(any_order());
    let subjects = (any_rules(), prop::collection::vec(any_group(), 0..4), any::<bool>());
    (state, backend_id, any_limits(), order, projects, flags, subjects, any_lifecycle()).prop_map(
        |(state, backend_id, bought, order, projects, flags, (rules, groups, able), lifecycle)| {
            let (paused, downscaled, legacy, restricted, team) = flags;
            let mut resource = resource(state, backend_id, "");
            (resource.limits, resource.paused, resource.downscaled) = (bought, paused, downscaled);
            resource.restrict_member_access = restricted;
            let mut world = World::new(resource, order);
            world.facts.team = team;
            world.policy.legacy_waldur = legacy;
            world.policy.lifecycle = lifecycle;
            world.policy.reports_usage = true;
            let access = &mut world.policy.access;
            (access.subjects, access.service_accounts, access.identity_provider) = rules;
            access.abilities.groups = able;
            // Groups are only looked at where they are kept.
            let kept = able && matches!(access.subjects, SubjectRule::Group(_));
            world.groups = groups.into_iter().filter(|_| kept).collect();
            projects.into_iter().fold(world, World::with)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_world_comes_to_rest_and_nothing_unowned_is_touched(mut world in any_world()) {
        let (before, groups) = (world.cluster.clone(), world.groups.clone());
        let done = world.run();
        for (name, group) in groups.iter().filter(|(_, group)| group.resource != Some(RESOURCE)) {
            prop_assert_eq!(world.groups.get(name), Some(group), "{} was touched: {:#?}", name, done);
        }
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

    /// Whoever has a role before and after has it all the time.
    #[test]
    fn nobody_loses_a_role_on_the_way_to_the_same_role(
        people in (any_team(), any_team()),
        rules in (any_rules(), any_rules()),
        foreign in prop::option::of(any_group()),
    ) {
        let mut world = World::new(resource(ResourceState::Ok, NAME, "cpu=1"), None);
        world = world.with(Project::labelled(NAME, RESOURCE));
        world.groups.extend(foreign.filter(|(_, group)| group.resource != Some(RESOURCE)));
        let ways = [(people.0, rules.0), (people.1, rules.1)];
        for (team, (subjects, accounts, provider)) in ways {
            let access = &mut world.policy.access;
            // Service accounts change their kind with the rule, and then are others.
            (access.subjects, access.service_accounts, access.identity_provider) = (subjects, accounts, provider);
            world.facts.team = team;
            let before = world.roles(NAME);
            let mut after = world.clone();
            after.run();
            let always: Vec<_> = before.intersection(&after.roles(NAME)).cloned().collect();
            for action in world.plan().actions {
                if !world.take(&action) {
                    break;
                }
                let now = world.roles(NAME);
                for held in &always {
                    prop_assert!(now.contains(held), "{held:?} was lost by {action}");
                }
            }
            world.run();
            prop_assert_eq!(world.roles(NAME), after.roles(NAME));
        }
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
            world.cluster.values().map(|project| (project.namespace.name.clone(), project.quotas.clone())).collect::<Vec<_>>()
        };
        if !actions.iter().any(|action| action.is_destructive()) {
            prop_assert_eq!(shape(&whole), shape(&broken));
        }
    }
}
