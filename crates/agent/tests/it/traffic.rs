//! What the agent asks of the servers: no more than it says, and in the documented form.

use serde_json::json;
use simulator::traffic::Request;
use simulator::waldur::OrderState;

use crate::site::{Agent, Site, limits, within};

/// Requests that the servers get until Waldur was asked this many times for orders.
async fn passes(site: &Site, count: usize) -> (Vec<Request>, Vec<Request>) {
    let asked = site.sim.waldur_server.traffic.wait_for(|traffic| {
        let requests = traffic.requests();
        requests.iter().filter(|request| request.path == "/api/marketplace-orders/").count() >= count
    });
    within("the passes", asked).await;
    (site.sim.waldur_server.traffic.requests(), site.sim.okd_server.traffic.requests())
}

#[tokio::test]
async fn a_pass_without_orders_costs_one_request_and_none_to_the_cluster() {
    let site = Site::start().await;
    let agent = site.agent();
    passes(&site, 2).await;
    // The watches are running by the time of the second pass, or will have been recorded by the third.
    site.watched(3).await;
    site.sim.reset_traffic();
    let (waldur, okd) = passes(&site, 5).await;
    agent.stop().await;
    assert!(waldur.iter().all(|request| request.path == "/api/marketplace-orders/"), "{waldur:#?}");
    assert_eq!(okd, []);
}

#[tokio::test]
async fn the_agent_makes_itself_known_once_per_start() {
    let site = Site::start().await;
    for start in 1..=2 {
        let agent = site.agent();
        passes(&site, 3 * start).await;
        agent.stop().await;
        let lines = site.waldur_requests();
        let registrations = lines.iter().filter(|line| line.contains("/register_service/")).count();
        assert_eq!(registrations, start, "{lines:#?}");
    }
    let identities = site.sim.waldur.identities();
    assert_eq!(identities.len(), 1);
    let identity = &identities[0];
    assert_eq!(identity["name"], format!("agent-{}", site.offering.simple()));
    assert_eq!(identity["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(identity["services"][0]["name"], "order_process", "{identity:#}");
    assert_eq!(identity["services"][0]["processors"][0]["name"], "OfferingOrderProcessor", "{identity:#}");
}

#[tokio::test]
async fn a_create_order_costs_at_most_fourteen_requests() {
    for watching in [true, false] {
        let mut options = crate::site::options();
        if !watching {
            options.agent_rules = simulator::okd::documented_agent_rules();
        }
        let site = Site::with(options).await;
        let agent = Agent::start_with(site.config().engine(), std::time::Duration::from_millis(300));
        passes(&site, 2).await;
        if watching {
            site.watched(3).await;
        }
        site.sim.reset_traffic();
        let (order, _) = site.order("Shop", limits());
        site.ends(order, OrderState::Done).await;
        agent.stop().await;
        let (mut waldur, okd) = (site.waldur_requests(), site.okd_requests());
        // Passes that came too early for the order, and one that came after it.
        let first = waldur.iter().position(|line| line.contains("provider-offerings")).unwrap();
        waldur.drain(..first - 1);
        assert!(waldur.len() + okd.len() <= 14, "{waldur:#?} {okd:#?}");
    }
}

#[tokio::test]
async fn requests_have_the_documented_form() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    site.update(resource, json!({"cpu": 8}));
    assert!(site.once().await);
    let agent = format!("waldur-site-agent-order_process/{}", env!("CARGO_PKG_VERSION"));
    for request in site.sim.waldur_server.traffic.requests() {
        assert_eq!(request.user_agent, agent);
        let selects =
            ["/marketplace-orders/", "/marketplace-provider-resources/", "/marketplace-provider-offerings/"];
        if request.method == "GET" && selects.iter().any(|part| request.path.contains(part)) {
            assert!(request.query.contains("field="), "{request:?}");
        }
        if request.path == "/api/marketplace-orders/" {
            let asked =
                format!("offering_uuid={}&state=pending-provider&state=executing", site.offering.simple());
            assert!(request.query.starts_with(&asked), "{request:?}");
            assert!(request.query.contains("page_size=300"), "{request:?}");
        }
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing_on_either_side() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    let gone = site.made("Blog", limits()).await;
    let orders = [
        site.order("Wiki", limits()).0,
        site.update(resource, json!({"cpu": 8})),
        site.terminate(gone),
        site.order("Bad", json!({"cpu": -1})).0,
    ];
    let before =
        (site.whole("waldur-alloc-shop-1"), site.whole("waldur-alloc-blog-1"), site.sim.waldur.identities());
    site.sim.reset_traffic();
    let options = agent::engine::EngineOptions { dry_run: true, ..Default::default() };
    let engine = site.config().engine_with(options);
    assert!(within("the dry run", engine.process_orders_once()).await);
    for order in orders {
        assert_eq!(site.order_state(order), OrderState::PendingProvider);
    }
    assert!(site.sim.waldur_server.traffic.requests().iter().all(|request| request.method == "GET"));
    let reviews = |request: &Request| request.method == "POST" && request.path.contains("reviews");
    let okd = site.sim.okd_server.traffic.requests();
    assert!(
        okd.iter().all(|request| request.method == "GET" || reviews(request)),
        "{:?}",
        site.okd_requests()
    );
    let after =
        (site.whole("waldur-alloc-shop-1"), site.whole("waldur-alloc-blog-1"), site.sim.waldur.identities());
    assert_eq!(before, after);
}
