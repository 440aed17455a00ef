//! Whether the agent is alive and whether it can reach what it needs; optionally told by HTTP, with its metrics.
//!
//! Alive: each loop has said when it will be heard of again, and none is late. Ready: Waldur, the cluster and the broker
//! of each offering answer. Nothing here stops or starts work.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::metrics::Page;

/// Progress of the loops, and the brokers.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// By when each loop is heard of again.
    loops: Mutex<BTreeMap<String, Instant>>,
    /// Why messages of an offering do not come; absent while they do.
    brokers: Mutex<BTreeMap<String, String>>,
}

impl Health {
    /// A loop goes on, and will be heard of again within this time.
    pub(crate) fn progress(&self, name: &str, within: Duration) {
        let due = Instant::now() + within;
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        match loops.get_mut(name) {
            Some(known) => *known = due,
            None => drop(loops.insert(name.to_owned(), due)),
        }
    }

    /// A loop has nothing to do any more.
    pub(crate) fn gone(&self, name: &str) {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.broker(name, None);
    }

    /// Loops that are late.
    pub(crate) fn stuck(&self) -> Vec<String> {
        let now = Instant::now();
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.iter().filter(|(_, due)| **due < now).map(|(name, _)| name.clone()).collect()
    }

    /// Messages of an offering come, or why they do not.
    pub(crate) fn broker(&self, offering: &str, trouble: Option<String>) {
        let mut brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(trouble) => drop(brokers.insert(offering.to_owned(), trouble)),
            None => drop(brokers.remove(offering)),
        }
    }

    /// One line for each offering whose messages do not come.
    pub(crate) fn broker_troubles(&self) -> Vec<String> {
        let brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        brokers.iter().map(|(offering, trouble)| format!("{offering}: {trouble}")).collect()
    }
}

/// Serves until `stop`: `/healthz` (alive) and `/readyz` (ready) with 200 and `ok`, or 503 and one line for each trouble;
/// `/metrics` for Prometheus.
///
/// # Errors
/// An address that cannot be listened on.
pub(crate) async fn serve(
    address: SocketAddr,
    engine: Arc<Engine>,
    page: Arc<Page>,
    stop: CancellationToken,
) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| {
        format!("cannot listen on {address} (`health_listen` and `metrics_port` of `monitoring`)")
    })?;
    tracing::info!(address = %listener.local_addr().unwrap_or(address), "health is told at /healthz and /readyz, metrics at /metrics");
    let router = axum::Router::new()
        .route("/metrics", get(async move || metrics(&page)))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(engine);
    Ok(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::warn!(%error, "health is no longer told");
        }
    })
}

fn metrics(page: &Page) -> Response {
    match page.text() {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be told");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
        }
    }
}

async fn alive(State(engine): State<Arc<Engine>>) -> (StatusCode, String) {
    let stuck = engine.health().stuck();
    answer(stuck.into_iter().map(|name| format!("no progress: {name}")).collect())
}

async fn ready(State(engine): State<Arc<Engine>>) -> (StatusCode, String) {
    answer(engine.troubles().await)
}

fn answer(troubles: Vec<String>) -> (StatusCode, String) {
    if troubles.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", troubles.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_is_late_is_named_until_it_goes_on() {
        let health = Health::default();
        health.progress("work", Duration::from_secs(60));
        assert!(health.stuck().is_empty());
        health.progress("orders", Duration::ZERO);
        std::thread::yield_now();
        while health.stuck().is_empty() {}
        assert_eq!(health.stuck(), ["orders"]);
        health.progress("orders", Duration::from_secs(60));
        assert!(health.stuck().is_empty());
    }
}
