//! How watches begin, and who waits for them.

use std::collections::BTreeMap;
use std::time::Duration;

use agent::engine::{Bounds, EngineOptions};
use simulator::faults::{Fault, Rule, When};
use simulator::traffic::Traffic;

use crate::members::{Keeping, keeper, keeper_with};
use crate::site::{Site, limits, within};

/// No further pass comes while a test runs.
const FAR_APART: Duration = Duration::from_secs(3600);

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/rolebindings";

/// How often our objects of each kind were listed over the whole cluster.
fn lists(site: &Site) -> BTreeMap<String, usize> {
    let requests = site.sim.okd_server.traffic.requests().into_iter();
    let lists = requests.filter(|request| {
        let (ours, of_one) = (request.query.contains("managed-by"), request.query.contains("resource-uuid"));
        request.method == "GET" && ours && !of_one && !request.query.contains("watch=")
    });
    lists.fold(BTreeMap::new(), |mut counts, list| {
        *counts.entry(list.path).or_default() += 1;
        counts
    })
}

async fn kept(site: &Site) {
    site.watched(4).await;
    let kept = |traffic: &Traffic| {
        traffic.count("POST", "/api/marketplace-provider-resources/{}/refresh_last_sync/") > 0
    };
    within("the resource is kept", site.sim.waldur_server.traffic.wait_for(kept)).await;
}

#[tokio::test]
async fn the_first_pass_and_the_watches_list_the_cluster_once_between_them() {
    let site = Site::start().await;
    site.planted("shop");
    let agent = Keeping::start(keeper(&site.with_members()), FAR_APART);
    kept(&site).await;
    let lists = lists(&site);
    assert!(lists.len() == 4 && lists.values().all(|count| *count == 1), "{lists:#?}");
    agent.stop().await;
}

#[tokio::test]
async fn the_first_report_and_its_watches_do_so_as_well() {
    let site = Site::start().await;
    site.made("Shop", limits()).await;
    site.sim.reset_traffic();
    let agent = site.process(&site.reporting(), "report");
    site.watched(2).await;
    let told = |traffic: &Traffic| traffic.count("POST", "/api/marketplace-component-usages/set_usage/") > 0;
    within("the usage is told", site.sim.waldur_server.traffic.wait_for(told)).await;
    let expected = ["/api/v1/namespaces", "/api/v1/resourcequotas"].map(|path| (path.to_owned(), 1));
    assert_eq!(lists(&site), expected.into());
    agent.signal("TERM");
    assert_eq!(agent.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_pass_reads_the_list_of_a_watch_that_broke_off_itself() {
    for fault in [Fault::Status(500), Fault::ResetBefore] {
        let site = Site::start().await;
        site.planted("shop");
        let breaks = Rule::path(BINDINGS, fault.clone()).when(When::First(1));
        site.sim.okd_server.faults.add(breaks);
        let agent = Keeping::start(keeper(&site.with_members()), FAR_APART);
        kept(&site).await;
        // The one that failed, that of the pass, and that of the watch that was started again.
        assert_eq!(lists(&site)[BINDINGS], 3, "{fault:?}");
        assert!(site.binding("shop", "view")["subjects"].is_array());
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_watch_that_is_never_answered_begins_again() {
    let site = Site::start().await;
    site.planted("shop");
    // The first request of this path is the list that the watch begins with.
    let silent = Rule::path("/api/v1/resourcequotas", Fault::Stall).when(When::Nth(2));
    site.sim.okd_server.faults.add(silent);
    let bounds = Bounds { request: Duration::from_secs(2), ..Bounds::default() };
    let options = EngineOptions { bounds, ..EngineOptions::default() };
    let agent = Keeping::start(keeper_with(&site.with_members(), options), FAR_APART);
    kept(&site).await;
    site.edit("shop", "ResourceQuota", "waldur-quota", |quota| quota["spec"]["hard"]["pods"] = "1".into());
    let healed = site.sim.okd_server.traffic.wait_for(|_| site.hard("shop")["pods"] == "50");
    within("the quota is healed", healed).await;
    agent.stop().await;
}
