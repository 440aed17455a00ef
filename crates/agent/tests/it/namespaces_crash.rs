//! The agent dies after every write while it works on a resource with several namespaces, and the next one finishes.

use std::sync::Arc;

use agent::engine::EngineOptions;
use agent::settings::Mode;
use futures::StreamExt as _;
use http::Method;
use simulator::faults::{Fault, Rule, When};
use simulator::waldur::{OrderState, ResourceState};
use uuid::Uuid;

use crate::dying::{AT_ONCE, Peer, Write, die, writes};
use crate::lifecycle::kept;
use crate::namespaces::{ALL, STAGE, check, over};
use crate::site::{Config, Site, limits, within};

/// What the agent is doing when it dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    Create,
    Terminate,
    /// One of the names belongs to somebody else.
    CreateBesideOthers,
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

async fn crash(work: Work, (peer, method, at): Write) {
    let what = format!("{work:?} {peer:?} {method} {at}");
    let (site, resource) = prepare(work).await;
    let rule = Rule::all(Fault::ResetAfter).method(method).when(When::Nth(at));
    let config = config(&site);
    let dying = config.clone();
    die(peer.server(&site), rule, &what, move || async move { once(&dying).await }).await;
    assert!(once(&config).await, "{what}");
    verify(&site, work, resource, &what).await;
    // Nothing is left to do.
    site.sim.reset_traffic();
    assert!(once(&config).await, "{what}");
    assert!(!site.has_changed_something(), "{what} {:#?}", site.okd_requests());
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
    let kinds = [
        (Peer::Waldur, Method::POST),
        (Peer::Cluster, Method::POST),
        (Peer::Cluster, Method::PATCH),
        (Peer::Cluster, Method::DELETE),
    ];
    // Only where names are found does a Create beside others differ from the other.
    let kinds = if work == Work::CreateBesideOthers { &kinds[1..2] } else { &kinds[..] };
    // What the agent asks about its own rights is no write.
    let crashes = writes(&site, kinds, |_, path| !path.contains("reviews") && !path.contains("/events"));
    let sites = futures::stream::iter(crashes).map(|write| crash(work, write));
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
