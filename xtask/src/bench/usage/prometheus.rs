//! A Prometheus of its own, on a history that was written by hand.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::site::Server;

/// How often it is asked whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// It reads its blocks first.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
/// What it counts of the queries that are measured.
const QUERIES: &str = "prometheus_http_requests_total{";

/// It ends with the value.
#[derive(Debug)]
pub(super) struct Prometheus {
    server: Server,
    client: reqwest::Client,
    pub(super) url: String,
}

impl Prometheus {
    /// Starts one on the blocks of a folder.
    ///
    /// # Errors
    /// It is not there, or does not become ready.
    pub(super) async fn start(folder: &Path, data: &Path) -> Result<Self> {
        let config = folder.join("prometheus.yml");
        std::fs::write(&config, "scrape_configs: []\n").context("cannot configure Prometheus")?;
        // A port that was free a moment ago; Prometheus cannot choose one and say which.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let url = format!("http://{}", port.context("no port for Prometheus")?);
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", data.display()),
            "--storage.tsdb.retention.time=50y".to_owned(),
            format!("--web.listen-address={}", url.trim_start_matches("http://")),
        ];
        let server = Server::start(Path::new("prometheus"), arguments, &[], &folder.join("prometheus.log"))?;
        // An error says that it was done before.
        let _done = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().context("cannot set up an HTTP client")?;
        let mut started = Self { server, client, url };
        let deadline = Instant::now() + STARTS_WITHIN;
        while started.text("/-/ready").await.is_err() {
            started.server.still_runs()?;
            ensure!(Instant::now() < deadline, "Prometheus is not ready in time{}", started.server.tail());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(started)
    }

    /// Queries over time that it has answered.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) async fn queries(&self) -> Result<u64> {
        let metrics = self.text("/metrics").await?;
        Ok(queries(&metrics))
    }

    async fn text(&self, path: &str) -> Result<String> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.context("no answer")?;
        answer.error_for_status().context("no success")?.text().await.context("no text")
    }
}

fn queries(metrics: &str) -> u64 {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(QUERIES));
    let ours = lines.filter(|line| line.contains("handler=\"/api/v1/query_range\""));
    ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map(|count| count as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_those_over_time() {
        let metrics = "# TYPE prometheus_http_requests_total counter\n\
            prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/query_range\"} 12\n\
            prometheus_http_requests_total{code=\"503\",handler=\"/api/v1/query_range\"} 1\n\
            prometheus_http_requests_total{code=\"200\",handler=\"/metrics\"} 7\n";
        assert_eq!(queries(metrics), 13);
    }
}
