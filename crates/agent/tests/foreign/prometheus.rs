//! A Prometheus whose past was written by hand.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::site::within;

/// Samples in the text form of OpenMetrics, one a minute.
#[derive(Debug, Default)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// A series with the same value at each minute from `from` on, and before `until`.
    pub(crate) fn series(&mut self, name: &str, labels: &str, from: &str, until: &str, value: &str) {
        let (from, until): (Timestamp, Timestamp) = (from.parse().unwrap(), until.parse().unwrap());
        for second in (from.as_second()..until.as_second()).step_by(60) {
            writeln!(self.0, "{name}{{{labels}}} {value} {second}").unwrap();
        }
    }

    /// kube-state-metrics saw the namespace.
    pub(crate) fn namespace(&mut self, name: &str, from: &str, until: &str) {
        let labels = format!("namespace=\"{name}\",phase=\"Active\"");
        self.series("kube_namespace_status_phase", &labels, from, until, "1");
    }

    /// A pod in a phase, with one container that requests this.
    pub(crate) fn pod(&mut self, pod: &Pod<'_>, from: &str, until: &str) {
        let Pod { namespace, name, uid, phase, node, requests, instance } = pod;
        let labels =
            format!("namespace=\"{namespace}\",pod=\"{name}\",uid=\"{uid}\",instance=\"{instance}\"");
        for known in ["Pending", "Running", "Succeeded"] {
            let value = if known == *phase { "1" } else { "0" };
            let labels = format!("{labels},phase=\"{known}\"");
            self.series("kube_pod_status_phase", &labels, from, until, value);
        }
        for (resource, value) in *requests {
            let labels = format!("{labels},container=\"main\",node=\"{node}\",resource=\"{resource}\"");
            self.series("kube_pod_container_resource_requests", &labels, from, until, value);
        }
    }
}

/// A pod as kube-state-metrics shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pod<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) phase: &'a str,
    pub(crate) node: &'a str,
    pub(crate) requests: &'a [(&'a str, &'a str)],
    /// Which kube-state-metrics said so.
    pub(crate) instance: &'a str,
}

/// A running Prometheus; ends with the value.
pub(crate) struct Prometheus {
    _child: Child,
    _folder: TempDir,
    pub(crate) url: String,
}

impl Prometheus {
    /// Starts one whose past is all of these.
    pub(crate) async fn start(pasts: &[&Metrics]) -> Self {
        Self::start_with(pasts, "scrape_configs: []\n").await
    }

    /// Starts one without a past that reads the metrics at this address.
    pub(crate) async fn scraping(address: &str) -> Self {
        let config = format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs: [{{job_name: agent, static_configs: [{{targets: ['{address}']}}]}}]\n"
        );
        Self::start_with(&[], &config).await
    }

    async fn start_with(pasts: &[&Metrics], configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        for (number, metrics) in pasts.iter().enumerate() {
            let file = folder.path().join(format!("{number}.om"));
            std::fs::write(&file, format!("{}# EOF\n", metrics.0)).unwrap();
            blocks(&file, &data).await;
        }
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, configuration).unwrap();
        // A port that was free a moment ago; Prometheus cannot choose one and say which.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--storage.tsdb.retention.time=50y")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            // A target that goes away ends its series at once by a marker, which blocks made by hand cannot have.
            .arg("--query.lookback-delta=30s")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        within("Prometheus is ready", async {
            while let Some(line) = said.next_line().await.unwrap() {
                if line.contains("Server is ready to receive web requests") {
                    return;
                }
            }
            panic!("Prometheus has ended");
        })
        .await;
        // What it says further is read, so that it is never held up by a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        Self { _child: child, _folder: folder, url: format!("http://127.0.0.1:{port}") }
    }
}

async fn blocks(file: &Path, data: &Path) {
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .args([file, data])
        .output()
        .await
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
