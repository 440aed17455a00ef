//! The agent dies after every write while it pauses, restores, locks or deletes a project, and the next one finishes.

use std::sync::Arc;

use agent::engine::EngineOptions;
use agent::settings::Mode;
use futures::StreamExt as _;
use http::Method;
use serde_json::{Value, json};
use simulator::faults::{Fault, Rule, When};
use simulator::waldur::{OrderState, ResourceState};
use uuid::Uuid;

use crate::dying::{AT_ONCE, Peer, Write, die, writes};
use crate::lifecycle::kept;
use crate::lifecycle_workloads::{furnish, pods, state, stopping};
use crate::site::{Config, Site, limits, within};

/// What the agent is doing when it dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    /// A project whose workloads are stopped.
    Pause,
    /// They are started again.
    Unpause,
    /// A Terminate order with a grace period.
    Lock,
    /// A Restore order inside it.
    Unlock,
    /// What was locked is due.
    Expire,
}

fn config(site: &Site) -> Config {
    site.config().with_backend("lifecycle: {stop_workloads: true, terminate_grace: 7d}\n")
}

fn mode(work: Work) -> Mode {
    match work {
        Work::Pause | Work::Unpause => Mode::MembershipSync,
        Work::Lock | Work::Unlock | Work::Expire => Mode::OrderProcess,
    }
}

async fn once(config: &Config, work: Work) -> bool {
    let engine = config.clone().with_members().engine_for(mode(work), EngineOptions::default());
    match mode(work) {
        Mode::MembershipSync => within("the pass", engine.keep_resources_once()).await,
        _ => within("the orders", engine.process_orders_once()).await,
    }
}

/// A site at the moment at which the work begins: the resource, its project and what ran there.
async fn prepare(work: Work) -> (Arc<Site>, Uuid, String, Value) {
    let site = Site::start().await;
    let (_, resource) = site.order("Shop", limits());
    assert!(once(&config(&site), Work::Lock).await);
    let name = site.backend_id(resource);
    furnish(&site, &name);
    let before = json!(state(&site, &name));
    let flag = |paused| site.sim.waldur.set_flags(resource, paused, false, false);
    match work {
        Work::Pause => flag(true),
        Work::Unpause => {
            flag(true);
            assert!(kept(&stopping(&site)).await);
            flag(false);
        }
        Work::Lock => drop(site.terminate(resource)),
        Work::Unlock | Work::Expire => {
            site.terminate(resource);
            assert!(once(&config(&site), Work::Lock).await);
            if work == Work::Unlock {
                site.restore(resource);
            } else {
                let mut namespace = site.namespace(&name).unwrap();
                (namespace["apiVersion"], namespace["kind"]) = (json!("v1"), json!("Namespace"));
                namespace["metadata"]["annotations"]["waldur/delete-after"] = json!("2020-01-01T00:00:00Z");
                site.sim.okd.put(namespace).unwrap();
            }
        }
    }
    site.sim.reset_traffic();
    (Arc::new(site), resource, name, before)
}

async fn crash(work: Work, (peer, method, at): Write) {
    let what = format!("{work:?} {peer:?} {method} {at}");
    let (site, resource, name, before) = prepare(work).await;
    let rule = Rule::all(Fault::ResetAfter).method(method).when(When::Nth(at));
    let config = config(&site);
    let dying = config.clone();
    die(peer.server(&site), rule, &what, move || async move { once(&dying, work).await }).await;
    assert!(once(&config, work).await, "{what}");
    check(&site, work, resource, &name, &before, &what);
    // Nothing is left to do.
    site.sim.reset_traffic();
    assert!(once(&config, work).await, "{what}");
    assert!(!site.has_changed_something(), "{what} {:#?}", site.okd_requests());
}

/// What has to be true in the end, wherever the agent died.
fn check(site: &Site, work: Work, resource: Uuid, name: &str, before: &Value, what: &str) {
    let orders = site.sim.waldur.orders_of(resource);
    assert!(orders.iter().all(|order| site.order_state(*order) == OrderState::Done), "{what}");
    if work == Work::Expire {
        assert_eq!(
            (site.namespace(name), site.resource_state(resource)),
            (None, ResourceState::Terminated),
            "{what}"
        );
        return;
    }
    let annotations = &site.namespace(name).unwrap()["metadata"]["annotations"];
    let locked = work == Work::Lock;
    assert_eq!(annotations["waldur/delete-after"].is_string(), locked, "{what}");
    assert_eq!(site.access(name).is_empty(), locked, "{what}");
    let stopped = locked || work == Work::Pause;
    assert_eq!(
        annotations["waldur/workloads"],
        if stopped { json!("stopped") } else { Value::Null },
        "{what}"
    );
    assert_eq!(site.hard(name)["pods"], if stopped { "0" } else { "50" }, "{what}");
    if stopped {
        assert_eq!(pods(site, name), 0, "{what}");
    } else {
        assert_eq!(json!(state(site, name)), *before, "{what}");
    }
}

/// Lets the agent die after each of its writes: to die after a look is much the same as after the write before it.
async fn sweep(work: Work) {
    let (site, resource, name, before) = prepare(work).await;
    assert!(once(&config(&site), work).await);
    check(&site, work, resource, &name, &before, "nothing befell it");
    let kinds =
        [(Peer::Waldur, Method::POST), (Peer::Cluster, Method::PATCH), (Peer::Cluster, Method::DELETE)];
    let crashes = writes(&site, &kinds, |_, _| true);
    let sites = futures::stream::iter(crashes).map(|write| crash(work, write));
    sites.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_stops_workloads_survives_every_crash() {
    sweep(Work::Pause).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starting_workloads_again_survives_every_crash() {
    sweep(Work::Unpause).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locking_a_terminated_project_survives_every_crash() {
    sweep(Work::Lock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bringing_back_a_locked_project_survives_every_crash() {
    sweep(Work::Unlock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_what_was_locked_survives_every_crash() {
    sweep(Work::Expire).await;
}
