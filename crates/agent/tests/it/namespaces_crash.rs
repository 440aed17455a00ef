//! The agent dies after every write while it works on a resource with several namespaces, and the next one finishes.

use std::sync::Arc;

use agent::engine::EngineOptions;
use agent::settings::Mode;
use futures::StreamExt as _;
use http::Method;
use simulator::faults::{Fault, Rule, When};
use simulator::server::Server;
use simulator::waldur::{OrderState, ResourceState};
use uuid::Uuid;

use crate::lifecycle::kept;
use crate::namespaces::{ALL, STAGE, check, over};
use crate::site::{Config, Site, limits, within};

/// How many sites are simulated at a time.
const AT_ONCE: usize = 16;

/// What the agent is doing when it dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    Create,
    Terminate,
    /// One of the names belongs to somebody else.
    CreateBesideOthers,
}

#[derive(Clone, Copy, Debug)]
enum Peer {
    Waldur,
    Cluster,
}

fn server(site: &Site, peer: Peer) -> &Server {
    match peer {
        Peer::Waldur => &site.sim.waldur_server,
        Peer::Cluster => &site.sim.okd_server,
    }
}

fn config(site: &Site) -> Config {
    over(site, "dev, stage, prod")
}

async fn once(config: &Config) -> bool {
    let engine = config.engine_for(Mode::OrderProcess, EngineOptions::default());
    within("the orders", engine.process_orders_once()).await
}

async fn prepare(work: Work) -> (Arc<Site>, Uuid) {
    let site = Site::start().await;
    if work == Work::CreateBesideOthers {
        site.somebody_elses(STAGE);
    }
    let (_, resource) = site.order("Shop", limits());
    if work == Work::Terminate {
        assert!(once(&config(&site)).await && kept(&config(&site)).await);
        site.terminate(resource);
    }
    site.sim.reset_traffic();
    (Arc::new(site), resource)
}

/// Runs an agent until it has done everything or the fault strikes, whereupon it is gone at once.
async fn run_and_die(config: Config, struck: impl Future<Output = ()> + Send + 'static) {
    let death = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::select! {
                _ = once(&config) => {}
                () = struck => {}
            }
        });
    });
    within("the agent ends or dies", death).await.unwrap();
}

async fn crash(work: Work, (peer, method): (Peer, Method), at: u64) {
    let what = format!("{work:?} {peer:?} {method} {at}");
    let (site, resource) = prepare(work).await;
    let (when, fault) = (When::Nth(at), Fault::ResetAfter);
    let rule = Rule { method: Some(method.clone()), when, ..Rule::all(fault) };
    let (faults, traffic) = (server(&site, peer).faults.clone(), server(&site, peer).traffic.clone());
    let id = faults.add(rule);
    let known = faults.clone();
    let struck = async move { traffic.wait_for(|_| known.struck(id) > 0).await };
    run_and_die(config(&site), struck).await;
    assert_eq!(faults.struck(id), 1, "the agent did not come as far as this: {what}");
    faults.clear();
    assert!(once(&config(&site)).await, "{what}");
    verify(&site, work, resource, &what).await;
    // Nothing is left to do.
    site.sim.reset_traffic();
    assert!(once(&config(&site)).await, "{what}");
    let again = site.okd_requests();
    let writes = |line: &String| line.starts_with("PATCH") || line.starts_with("DELETE");
    assert!(!again.iter().any(writes), "{what} {again:#?}");
}

/// What has to be true in the end, wherever the agent died.
async fn verify(site: &Site, work: Work, resource: Uuid, what: &str) {
    let orders = site.sim.waldur.orders_of(resource);
    assert!(orders.iter().all(|order| site.order_state(*order) == OrderState::Done), "{what}");
    match work {
        Work::Create => {
            check(site, resource, what);
            assert_eq!(site.hard_together(resource, "pods"), "50", "{what}");
        }
        Work::CreateBesideOthers => {
            // Its own three, and the one that is somebody else's.
            assert_eq!((site.managed().len(), site.projects("shop")), (3, 4), "{what}");
        }
        Work::Terminate => {
            assert_eq!(site.resource_state(resource), ResourceState::Terminated, "{what}");
            assert!(ALL.iter().all(|name| site.namespace(name).is_none()), "{what}");
            assert_eq!(site.cluster_quota(resource), None, "{what}");
        }
    }
}

/// Lets the agent die after each of its writes: to die after a look is much the same as after the write before it.
async fn sweep(work: Work) {
    let (site, resource) = prepare(work).await;
    assert!(once(&config(&site)).await);
    verify(&site, work, resource, "nothing befell it").await;
    let mut crashes = Vec::new();
    let writes = [
        (Peer::Waldur, Method::POST),
        (Peer::Cluster, Method::POST),
        (Peer::Cluster, Method::PATCH),
        (Peer::Cluster, Method::DELETE),
    ];
    for (peer, method) in writes {
        let requests = server(&site, peer).traffic.requests();
        if work == Work::CreateBesideOthers && (matches!(peer, Peer::Waldur) || method != Method::POST) {
            // Only where names are found does it differ from the other.
            continue;
        }
        // What the agent asks about its own rights is no write.
        let all = requests.iter().filter(|request| request.method == method.as_str());
        let is_write = |path: &str| !path.contains("reviews") && !path.contains("/events");
        let places = all.enumerate().filter(|(_, request)| is_write(&request.path));
        crashes.extend(places.map(|(at, _)| ((peer, method.clone()), at as u64 + 1)));
    }
    let sites = futures::stream::iter(crashes).map(|(write, at)| crash(work, write, at));
    sites.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_survives_every_crash() {
    sweep(Work::Create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_beside_somebody_elses_namespace_survives_every_crash() {
    sweep(Work::CreateBesideOthers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminate_survives_every_crash() {
    sweep(Work::Terminate).await;
}
