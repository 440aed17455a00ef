//! The agent dies at every request that it makes, and the next one finishes the work.
//!
//! The process is played by a runtime of its own: it dies by being dropped, with everything that runs in it.

use std::sync::Arc;

use agent::engine::EngineOptions;
use agent::settings::Mode;
use futures::StreamExt as _;
use serde_json::json;
use simulator::faults::{Fault, Rule, When};
use simulator::okd::{Flavour, OkdOptions};
use simulator::simulation::SimulationOptions;
use simulator::waldur::{Generation, OrderState, ResourceState};
use uuid::Uuid;

use crate::dying::{Peer, die};
use crate::site::{Config, Site, limits, options};

/// How many sites are simulated at a time.
const AT_ONCE: usize = 32;
/// The project that is made.
const NAME: &str = "waldur-alloc-shop-1";

/// What the agent is doing when it dies.
#[derive(Clone, Copy, Debug)]
enum Work {
    Create,
    /// A Create by an agent that also gives members access.
    CreateWithMembers,
    Update,
    Terminate,
    Restore,
    /// A Create that cannot be fulfilled.
    Refusal,
}

#[derive(Clone, Debug)]
struct Crash {
    site: fn() -> SimulationOptions,
    work: Work,
    peer: Peer,
    /// The request of this agent to this server at which it dies, from 1.
    at: u64,
    fault: Fault,
}

/// Places the order that the work is about.
async fn prepare(site: &Site, work: Work) -> (Uuid, Uuid) {
    site.somebody_elses("waldur-alloc-other-1");
    match work {
        Work::Create | Work::CreateWithMembers => site.order("Shop", limits()),
        Work::Refusal => site.order("Shop", json!({"cpu": -1})),
        Work::Update => {
            let resource = site.made("Shop", limits()).await;
            (site.update(resource, json!({"cpu": 8})), resource)
        }
        Work::Terminate => {
            let resource = site.made("Shop", limits()).await;
            (site.terminate(resource), resource)
        }
        Work::Restore => {
            let resource = site.made("Shop", limits()).await;
            assert!(site.sim.okd.delete("namespaces", "", NAME));
            site.sim.waldur.force_resource(resource, ResourceState::Terminated);
            (site.restore(resource), resource)
        }
    }
}

async fn crash(crash: Crash) {
    let site = Arc::new(Site::with((crash.site)()).await);
    let (order, resource) = prepare(&site, crash.work).await;
    let others = site.whole("waldur-alloc-other-1");
    let rule = Rule::all(crash.fault.clone()).when(When::Nth(crash.at));
    let what = format!("{crash:?}");
    let dying = config(&site, crash.work);
    let work = move || async move { dying.engine().process_orders_once().await };
    die(crash.peer.server(&site), rule, &what, work).await;
    assert!(site.once_with(&config(&site, crash.work)).await, "{what}");
    if matches!(crash.work, Work::CreateWithMembers) {
        // Members get access after the order is done; that is finished by the service that keeps them.
        let engine = config(&site, crash.work).engine_for(Mode::MembershipSync, EngineOptions::default());
        assert!(engine.keep_resources_once().await, "{what}");
    }
    check(&site, crash.work, order, resource, &what);
    assert_eq!(site.whole("waldur-alloc-other-1"), others, "{what}");
    // What was left open by the dead agent is closed now: a third one finds nothing to do.
    let requests = site.sim.okd_server.traffic.total();
    assert!(site.once_with(&config(&site, crash.work)).await, "{what}");
    let again = site.sim.okd_server.traffic.requests().split_off(usize::try_from(requests).unwrap());
    let writes = again.iter().filter(|request| !["GET", "POST"].contains(&request.method.as_str()));
    assert_eq!(writes.count(), 0, "{what}");
}

/// What has to be true in the end, wherever the agent died.
fn check(site: &Site, work: Work, order: Uuid, resource: Uuid, what: &str) {
    let shops = site.projects("shop");
    let state = (site.order_state(order), site.resource_state(resource));
    match work {
        Work::Create | Work::CreateWithMembers | Work::Update | Work::Restore => {
            assert_eq!(state, (OrderState::Done, ResourceState::Ok), "{what}");
            assert_eq!((site.managed(), shops), (vec![NAME.to_owned()], 1), "{what}");
            assert_eq!(site.backend_id(resource), NAME, "{what}");
            let cpu = if matches!(work, Work::Update) { "8" } else { "4" };
            assert_eq!(site.hard(NAME)["requests.cpu"], cpu, "{what}");
            assert_eq!(site.hard(NAME)["pods"], "50", "{what}");
            let annotations = &site.namespace(NAME).unwrap()["metadata"]["annotations"];
            assert_eq!(annotations["openshift.io/display-name"], "Shop", "{what}");
            assert_eq!(annotations["openshift.io/description"], "Shop", "{what}");
            assert_eq!(site.resource(resource)["backend_metadata"]["name"], NAME, "{what}");
            if matches!(work, Work::CreateWithMembers) {
                for (role, user) in [("edit", "max.manager"), ("view", "mia.member")] {
                    let binding = site.sim.okd.get("rolebindings", NAME, &format!("waldur-users-{role}"));
                    assert_eq!(binding.unwrap()["subjects"][0]["name"], user, "{what}");
                }
            }
        }
        Work::Terminate => {
            assert_eq!(state, (OrderState::Done, ResourceState::Terminated), "{what}");
            assert_eq!(shops, 0, "{what}");
        }
        Work::Refusal => {
            let refused = [OrderState::Rejected, OrderState::Erred].contains(&state.0);
            assert!(refused, "{state:?} {what}");
            assert_eq!(shops, 0, "{what}");
        }
    }
}

fn config(site: &Site, work: Work) -> Config {
    match work {
        Work::CreateWithMembers => site.config().with_members(),
        _ => site.config(),
    }
}

/// How many requests an agent that nothing befalls makes, to Waldur and to the cluster.
async fn requests(site: fn() -> SimulationOptions, work: Work) -> [(Peer, u64); 2] {
    let site = Site::with(site()).await;
    prepare(&site, work).await;
    site.sim.reset_traffic();
    assert!(site.once_with(&config(&site, work)).await);
    [Peer::Waldur, Peer::Cluster].map(|peer| (peer, peer.server(&site).traffic.total()))
}

/// Lets the agent die before and after each of its requests.
async fn sweep(work: Work) {
    sweep_with(options, work, &[Fault::ResetBefore, Fault::ResetAfter]).await;
}

/// The same at another kind of site. To die before a request is much the same as to die after the one before it.
async fn sweep_at(site: fn() -> SimulationOptions, work: Work) {
    sweep_with(site, work, &[Fault::ResetAfter]).await;
}

async fn sweep_with(site: fn() -> SimulationOptions, work: Work, faults: &[Fault]) {
    let mut crashes = Vec::new();
    for (peer, requests) in requests(site, work).await {
        for at in 1..=requests {
            for fault in faults {
                crashes.push(Crash { site, work, peer, at, fault: fault.clone() });
            }
        }
    }
    let sites = futures::stream::iter(crashes).map(crash).buffer_unordered(AT_ONCE);
    sites.collect::<Vec<()>>().await;
}

/// An OpenShift with the documented role: no watch, no limit ranges.
fn documented() -> SimulationOptions {
    SimulationOptions { agent_rules: simulator::okd::documented_agent_rules(), ..options() }
}

fn kubernetes() -> SimulationOptions {
    SimulationOptions {
        okd: OkdOptions { flavour: Flavour::Kubernetes, ..OkdOptions::immediate() },
        ..options()
    }
}

fn october_2024() -> SimulationOptions {
    SimulationOptions { generation: Generation::October2024, ..options() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_survives_every_crash() {
    sweep(Work::Create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_under_the_documented_role_survives_every_crash() {
    sweep_at(documented, Work::Create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_on_plain_kubernetes_survives_every_crash() {
    sweep_at(kubernetes, Work::Create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_on_a_server_of_2024_survives_every_crash() {
    sweep_at(october_2024, Work::Create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_survives_every_crash() {
    sweep(Work::Update).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_on_a_server_of_2024_survives_every_crash() {
    sweep_at(october_2024, Work::Update).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminate_survives_every_crash() {
    sweep(Work::Terminate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_survives_every_crash() {
    sweep_at(options, Work::Restore).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_survives_every_crash() {
    sweep_at(options, Work::Refusal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_with_members_survives_every_crash() {
    sweep_at(options, Work::CreateWithMembers).await;
}
