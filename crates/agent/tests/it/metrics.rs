//! What the agent tells those who watch it, scraped over a socket while it works.

use serde_json::json;
use simulator::faults::{Fault, Rule, When};
use simulator::oauth::OAuthOptions;
use simulator::waldur::OrderState;

use crate::scrape::Scraped;
use crate::site::{Site, limits};
use crate::tokens;

const ALERTS: &str = include_str!("../../../../examples/prometheus-alerts.yaml");

#[tokio::test]
async fn the_page_tells_of_orders_messages_passes_and_requests() {
    let site = Site::start().await;
    let mut config = site.by_events();
    // One that tells when it ends.
    let token = site.sim.okd.agent_token(std::time::Duration::from_secs(3600));
    config.okd_token = format!("token: {token}\n");
    let agent = Scraped::start(&site, &config, "event_process").await;
    agent.until("messages come", |seen| seen.get("broker_connected{connection=\"0\"}") == Some(1.0)).await;
    let (made, resource) = site.order("Shop", limits());
    site.ends(made, OrderState::Done).await;
    let update = site.update(resource, json!({"cpu": 8}));
    site.ends(update, OrderState::Done).await;
    let (refused, _) = site.order("Less than nothing", json!({"cpu": -1}));
    site.ends(refused, OrderState::Rejected).await;
    let terminate = site.terminate(resource);
    site.ends(terminate, OrderState::Done).await;
    site.all_acknowledged().await;
    let seen = agent
        .until("it watches, and nothing is left to do", |seen| {
            let watches = seen.get("watch_failures_total{kind=\"rolebindings\"}") == Some(0.0);
            watches
                && ["waiting", "working", "failing"]
                    .iter()
                    .all(|state| seen.get(&format!("queue_resources{{state=\"{state}\"}}")) == Some(0.0))
        })
        .await;
    assert_eq!(seen.content_type, "text/plain; version=0.0.4");
    for (series, expected) in [
        ("orders_total{outcome=\"done\",type=\"create\"}", 1.0),
        ("orders_total{outcome=\"done\",type=\"update\"}", 1.0),
        ("orders_total{outcome=\"done\",type=\"terminate\"}", 1.0),
        ("orders_total{outcome=\"rejected\",type=\"create\"}", 1.0),
        ("orders_total{outcome=\"erred\",type=\"create\"}", 0.0),
        ("requests_total{outcome=\"unauthorized\",peer=\"okd\"}", 0.0),
        ("broker_connection_failures_total", 0.0),
        ("messages_unreadable_total", 0.0),
        ("token_renewal_failing{peer=\"waldur\"}", 0.0),
        ("removals_held", 0.0),
        ("stuck_loops", 0.0),
        (&format!("build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
    ] {
        assert_eq!(seen.get(series), Some(expected), "{series}\n{}", seen.text);
    }
    for series in [
        "requests_total{outcome=\"ok\",peer=\"waldur\"}",
        "requests_total{outcome=\"ok\",peer=\"okd\"}",
        "request_duration_seconds_count{peer=\"okd\"}",
        "messages_received_total",
        "messages_acknowledged_total",
        "changes_total{outcome=\"done\"}",
        "work_total{outcome=\"settled\"}",
        "work_duration_seconds_count",
        "passes_total{outcome=\"ok\",pass=\"orders\"}",
        "passes_total{outcome=\"ok\",pass=\"resources\"}",
        "token_renewals_total{peer=\"okd\"}",
    ] {
        assert!(seen.get(series).is_some_and(|value| value >= 1.0), "{series}\n{}", seen.text);
    }
    let (started, passed) = (
        seen.get("process_start_time_seconds").unwrap(),
        seen.get("pass_last_success_timestamp_seconds{pass=\"orders\"}").unwrap(),
    );
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
    assert!(started <= passed && passed <= now && now - started < 120.0, "{started} {passed} {now}");
    assert!(!seen.text.contains("agent-token") && !seen.text.contains(&token));
    // Names are what alerts are made of: a change of them has to be seen.
    let words = ALERTS.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named: Vec<&str> = words.filter(|word| word.starts_with("waldur_site_agent_")).collect();
    assert!(named.len() > 10);
    for name in named {
        assert!(seen.text.contains(&format!("# TYPE {name} ")), "no metric {name}\n{}", seen.text);
    }
    insta::assert_snapshot!(seen.described());
    agent.end().await;
}

#[tokio::test]
async fn a_renewal_that_fails_raises_a_metric_until_one_works() {
    let site = Site::start().await;
    let lifetime = std::time::Duration::from_secs(4);
    let options = OAuthOptions { lifetime, ..OAuthOptions::default() };
    let (_oauth, server) = tokens::oauth(&site, options).await;
    let config = tokens::with_oauth(&site, &tokens::refresh(&server)).with_global("polling_interval: 1\n");
    let agent = Scraped::start(&site, &config, "order_process").await;
    let failures =
        |seen: &crate::scrape::Seen| seen.get("token_renewal_failures_total{peer=\"okd\"}").unwrap();
    let failing = |seen: &crate::scrape::Seen| seen.get("token_renewal_failing{peer=\"okd\"}").unwrap();
    let seen = agent
        .until("there is a token", |seen| seen.get("token_renewals_total{peer=\"okd\"}") == Some(1.0))
        .await;
    let left = seen.get("token_expires_in_seconds{peer=\"okd\"}").unwrap();
    assert!(left > 0.0 && left <= 4.0, "{left}");
    // A static token is known not to tell its end.
    assert_eq!(seen.get("token_expires_in_seconds{peer=\"waldur\"}"), None);
    assert_eq!((failures(&seen), failing(&seen)), (0.0, 0.0));
    server.faults.add(Rule::all(Fault::Status(500)));
    // Only who is asked for a token renews it.
    let orders = async {
        for number in 0.. {
            site.order(&format!("Shop {number}"), limits());
            tokio::time::sleep(lifetime / 8).await;
        }
    };
    let failed_and_mended = async {
        agent.until("a renewal fails", |seen| failures(seen) >= 1.0 && failing(seen) == 1.0).await;
        server.faults.clear();
        agent.until("renewals work again", |seen| failures(seen) >= 1.0 && failing(seen) == 0.0).await;
    };
    tokio::select! {
        () = orders => {}
        () = failed_and_mended => {}
    }
    agent.end().await;
}

#[tokio::test]
async fn servers_in_trouble_are_seen_by_how_requests_end() {
    let site = Site::start().await;
    let quotas = Rule::path("/api/v1/namespaces/*/resourcequotas/waldur-quota", Fault::Status(503));
    site.sim.okd_server.faults.add(quotas);
    site.sim
        .waldur_server
        .faults
        .add(Rule::path("/api/marketplace-orders/", Fault::Status(401)).when(When::First(2)));
    let config = site.config().with_global("polling_interval: 1\n");
    let agent = Scraped::start(&site, &config, "order_process").await;
    let (order, _) = site.order("Shop", limits());
    let seen = agent
        .until("a resource fails", |seen| seen.get("queue_resources{state=\"failing\"}") == Some(1.0))
        .await;
    let at_least = |series: &str| assert!(seen.get(series) >= Some(1.0), "{series}\n{}", seen.text);
    at_least("requests_total{outcome=\"unavailable\",peer=\"okd\"}");
    at_least("requests_total{outcome=\"unauthorized\",peer=\"waldur\"}");
    at_least("work_total{outcome=\"failed\"}");
    at_least("passes_total{outcome=\"failed\",pass=\"orders\"}");
    site.sim.okd_server.faults.clear();
    site.ends(order, OrderState::Done).await;
    agent.until("it is mended", |seen| seen.get("queue_resources{state=\"failing\"}") == Some(0.0)).await;
    agent.end().await;
}
