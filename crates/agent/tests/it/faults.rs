//! Every kind of fault, once, at every request: the order still ends as it should.
//!
//! What is expected is said in [`expected`], and nowhere else.

use std::collections::HashMap;
use std::time::Duration;

use agent::engine::{Bounds, EngineOptions};
use futures::StreamExt as _;
use http::Method;
use serde_json::json;
use simulator::faults::{Fault, Rule, When};
use simulator::waldur::{OrderState, ResourceState};
use uuid::Uuid;

use crate::dying::Peer;
use crate::site::{Agent, Config, Site, limits, within};

/// How many sites are simulated at a time.
const AT_ONCE: usize = 32;
/// The project that is made.
const NAME: &str = "waldur-alloc-shop-1";

const FAULTS: [Fault; 13] = [
    Fault::Status(400),
    Fault::Status(401),
    Fault::Status(403),
    Fault::Status(404),
    Fault::Status(409),
    Fault::TooManyRequests { retry_after: 1 },
    Fault::Status(503),
    Fault::ResetBefore,
    Fault::ResetAfter,
    Fault::Stall,
    Fault::TruncatedBody,
    Fault::Html(502),
    Fault::Html(200),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Create,
    Update,
    Terminate,
}

/// A request of a run in which nothing goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    peer: Peer,
    method: Method,
    path: String,
    /// The how manieth of its kind.
    nth: u64,
}

/// How an order ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As if nothing had happened.
    Done,
    /// Erred, with the server's words; what was made by then can be terminated.
    Erred,
}

/// A fault that may pass by itself, or that only an operator can end, keeps the order; the cluster's refusal of a
/// write that the order needs ends it.
fn expected(asked: &Asked, fault: &Fault) -> End {
    let refusal = matches!(fault, Fault::Status(400 | 403));
    // The look at the very namespace just before is part of its deletion.
    let looks = asked.path.ends_with(NAME) && asked.nth == 1;
    let writes = asked.method != Method::GET || looks;
    let reviews = asked.path.contains("reviews");
    let optional = asked.path.contains("limitranges") || asked.path.contains("rolebindings");
    if asked.peer == Peer::Cluster && refusal && writes && !reviews && !optional {
        End::Erred
    } else {
        End::Done
    }
}

/// Places the order that the work is about; gives the order and its resource.
async fn prepare(site: &Site, work: Work) -> (Uuid, Uuid) {
    site.somebody_elses("waldur-alloc-other-1");
    if work == Work::Create {
        return site.order("Shop", limits());
    }
    let resource = site.made("Shop", limits()).await;
    site.sim.reset_traffic();
    match work {
        Work::Terminate => (site.terminate(resource), resource),
        Work::Create | Work::Update => (site.update(resource, json!({"cpu": 8})), resource),
    }
}

fn agent(config: &Config) -> Agent {
    let bounds = Bounds { request: Duration::from_secs(2), ..Bounds::default() };
    let engine = config.engine_with(EngineOptions { bounds, ..EngineOptions::default() });
    Agent::start_with(engine, Duration::from_millis(300))
}

/// The requests of a run in which nothing goes wrong.
async fn requests(work: Work) -> Vec<Asked> {
    let site = Site::start().await;
    prepare(&site, work).await;
    assert!(site.once().await);
    let mut counts = HashMap::new();
    let mut asked = Vec::new();
    for peer in [Peer::Waldur, Peer::Cluster] {
        for request in peer.server(&site).traffic.requests() {
            let nth: &mut u64 =
                counts.entry((peer, request.method.clone(), request.path.clone())).or_default();
            *nth += 1;
            asked.push(Asked { peer, method: request.method, path: request.path, nth: *nth });
        }
    }
    // The start is the same for all orders, and asks many times what the agent may do.
    let start = ["marketplace-site-agent", "/apis/"];
    let is_start = |path: &str| start.iter().any(|part| path.contains(part)) && !path.contains("/projects");
    let first = work == Work::Create;
    asked.retain(|asked| if is_start(&asked.path) { first && asked.nth == 1 } else { true });
    asked
}

async fn strike(work: Work, asked: Asked, fault: Fault) {
    let site = Site::start().await;
    let (order, resource) = prepare(&site, work).await;
    let others = site.whole("waldur-alloc-other-1");
    let faults = &asked.peer.server(&site).faults;
    let rule = Rule::path(&asked.path, fault.clone()).method(asked.method.clone());
    let rule = faults.add(rule.when(When::Nth(asked.nth)));
    let what = format!("{work:?}: {fault:?} at {asked:?}");
    let agent = agent(&site.config());
    let end = expected(&asked, &fault);
    let state = if end == End::Erred { OrderState::Erred } else { OrderState::Done };
    site.ends_so(order, state, &what).await;
    let struck = asked.peer.server(&site).traffic.wait_for(|_| faults.struck(rule) == 1);
    within(&format!("the fault strikes: {what}"), struck).await;
    agent.stop().await;
    assert_eq!(site.whole("waldur-alloc-other-1"), others, "{what}");
    assert!(site.sim.waldur.identities().len() <= 1, "{what}");
    match end {
        End::Done => check_done(&site, work, resource, &what),
        End::Erred => check_erred(&site, work, order, resource, &what).await,
    }
}

fn check_done(site: &Site, work: Work, resource: Uuid, what: &str) {
    if work == Work::Terminate {
        assert_eq!(site.resource_state(resource), ResourceState::Terminated, "{what}");
        assert!(site.managed().is_empty(), "{what}");
        return;
    }
    assert_eq!(site.resource_state(resource), ResourceState::Ok, "{what}");
    assert_eq!(site.managed(), [NAME], "{what}");
    assert_eq!(site.projects("shop"), 1, "{what}");
    assert_eq!(site.backend_id(resource), NAME, "{what}");
    let cpu = if work == Work::Update { "8" } else { "4" };
    assert_eq!(site.hard(NAME)["requests.cpu"], cpu, "{what}");
    assert_eq!(site.hard(NAME)["pods"], "50", "{what}");
}

/// The failure is told, and nothing is left behind that cannot be cleaned up by a Terminate order.
async fn check_erred(site: &Site, work: Work, order: Uuid, resource: Uuid, what: &str) {
    let message = site.order_text(order, "error_message");
    assert!(message.starts_with("OKD "), "{message} {what}");
    assert!(!site.order_text(order, "error_traceback").is_empty(), "{what}");
    if site.projects("shop") == 0 {
        return;
    }
    if work == Work::Create {
        assert_eq!(site.backend_id(resource), NAME, "a project that Waldur does not know: {what}");
        // A look that comes after the order's end may have healed it already.
        let known = [ResourceState::Erred, ResourceState::Ok].contains(&site.resource_state(resource));
        assert!(known, "{} {what}", site.resource_state(resource));
    }
    let order = site.terminate(resource);
    assert!(site.once().await, "{what}");
    assert_eq!(site.order_state(order), OrderState::Done, "{what}");
    assert_eq!(site.projects("shop"), 0, "{what}");
}

async fn sweep(work: Work) {
    let asked = requests(work).await;
    assert!(asked.len() > 8, "{asked:#?}");
    // The answers to faults are the same code for all orders: one of each family will do for the others.
    let family =
        [Fault::Status(403), Fault::Status(409), Fault::ResetAfter, Fault::TruncatedBody, Fault::Html(200)];
    let faults = if work == Work::Create { &FAULTS[..] } else { &family[..] };
    let cases: Vec<_> =
        asked.iter().flat_map(|asked| faults.iter().map(|fault| (asked.clone(), fault.clone()))).collect();
    let sites = futures::stream::iter(cases).map(|(asked, fault)| tokio::spawn(strike(work, asked, fault)));
    let mut ended = sites.buffer_unordered(AT_ONCE);
    let mut failures = 0;
    while let Some(struck) = ended.next().await {
        failures += usize::from(struck.is_err());
    }
    assert_eq!(failures, 0, "each is told above");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_survives_every_fault() {
    sweep(Work::Create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_survives_every_fault() {
    sweep(Work::Update).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminate_survives_every_fault() {
    sweep(Work::Terminate).await;
}
