//! The page with metrics, as Prometheus' own tools and server read it.

use std::process::Stdio;

use serde_json::Value;
use simulator::waldur::OrderState;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::prometheus::Prometheus;
use crate::scrape::Scraped;
use crate::site::{Site, limits, within};

#[tokio::test]
async fn prometheus_has_nothing_to_complain_about_and_can_be_asked_for_what_it_scraped() {
    let site = Site::start().await;
    let config = site.config().with_global("polling_interval: 1\n");
    let agent = Scraped::start(&site, &config, "order_process").await;
    let (order, _) = site.order("Shop", limits());
    site.ends(order, OrderState::Done).await;
    let seen = agent
        .until("the order is done", |seen| {
            seen.get("orders_total{outcome=\"done\",type=\"create\"}") == Some(1.0)
        })
        .await;

    let mut lint = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    lint.stdin.take().unwrap().write_all(seen.text.as_bytes()).await.unwrap();
    let said = lint.wait_with_output().await.unwrap();
    let said = (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned(), said.stdout);
    assert_eq!(said, (Some(0), String::new(), Vec::new()), "{}", seen.text);

    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/prometheus-alerts.yaml");
    let checked = Command::new("promtool").args(["check", "rules", rules]).output().await.unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let prometheus = Prometheus::scraping(&agent.address).await;
    let query = "sum by (type) (waldur_site_agent_orders_total{outcome=\"done\",type=\"create\"})";
    let url = format!("{}/api/v1/query", prometheus.url);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let scraped = async {
        loop {
            let answer = http.get(&url).query(&[("query", query)]).send().await.unwrap();
            let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            if answer["data"]["result"][0]["value"][1] == "1" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    within("Prometheus has scraped it", scraped).await;
    agent.end().await;
}
