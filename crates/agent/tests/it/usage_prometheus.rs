//! How Prometheus is asked: never sooner than its operator wants.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::answering::{Answer, Answering};
use crate::measuring::{COMPONENTS, site_at};
use crate::site::limits;

#[tokio::test]
async fn queries_keep_their_distance_also_after_a_refusal() {
    let site = site_at("2026-07-10T09:59:00Z").await;
    site.made("Shop", limits()).await;
    // The first one is refused, and so is asked again.
    let first = AtomicBool::new(true);
    let server = Answering::start(move |asked| {
        if first.swap(false, Ordering::Relaxed) {
            return Answer::with("503 Service Unavailable", "text/plain", "later");
        }
        Answer::series(asked, &[])
    });
    let mut config = site.measuring(&server.url, COMPONENTS);
    config.global = config.global.replace("query_interval: 0", "query_interval: 2");
    let begun = Instant::now();
    assert!(site.reports_at(&config, "2026-07-10T11:06:00Z").await);
    let asked = server.asked();
    assert!(asked.len() >= 3, "{asked:?}");
    // Nothing arrives before it is sent, and the first one is not sent before the report has begun.
    for (place, asked) in asked.iter().enumerate() {
        let least = Duration::from_secs(2) * u32::try_from(place).unwrap();
        assert!(asked.at.duration_since(begun) >= least, "{place}: {:?}", asked.at.duration_since(begun));
    }
}
