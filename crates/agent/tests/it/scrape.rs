//! The page with metrics as a Prometheus reads it.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::process::Process;
use crate::site::{Config, Site, within};

/// A running agent that tells its metrics.
pub(crate) struct Scraped {
    pub(crate) process: Process,
    pub(crate) address: String,
}

/// What one look has shown.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) content_type: String,
    pub(crate) text: String,
    /// By name and labels, without the prefix and the label of the offering.
    pub(crate) series: BTreeMap<String, f64>,
}

impl Scraped {
    pub(crate) async fn start(site: &Site, config: &Config, mode: &str) -> Self {
        let config = config.clone().with_global("monitoring: {health_listen: '127.0.0.1:0'}\n");
        let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
        command.env_clear().args(["-m", mode, "-c"]).arg(site.config_file(&config.text()));
        let process = Process::start(&mut command);
        process.stdout.says("metrics at /metrics").await;
        let said = process.stdout.text();
        let line = said.lines().find(|line| line.contains("metrics at /metrics")).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        let address = line["address"].as_str().unwrap().to_owned();
        Self { process, address }
    }

    pub(crate) async fn look(&self) -> Seen {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{answer}");
        let content_type = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.trim_start_matches("waldur_site_agent_");
            let name = name.replace("offering=\"okd\",", "").replace("{offering=\"okd\"}", "");
            let name = name.replace(",offering=\"okd\"", "");
            (name, value.parse().unwrap())
        };
        let series = samples.map(sample).collect();
        Seen { content_type: content_type.to_owned(), text: text.to_owned(), series }
    }

    /// Looks until something is seen that has to come.
    pub(crate) async fn until(&self, what: &str, comes: impl Fn(&Seen) -> bool) -> Seen {
        let looks = async {
            loop {
                let seen = self.look().await;
                if comes(&seen) {
                    return seen;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        within(&format!("/metrics shows that {what}"), looks).await
    }

    /// Ends the agent, which must do that in order.
    pub(crate) async fn end(self) {
        self.process.signal("TERM");
        let ended = self.process.end().await;
        assert_eq!(ended.code(), Some(0), "{}", ended.all());
    }
}

impl Seen {
    /// The value of a series; `None` if it is not there.
    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    /// Names with their type and help, as the page says them.
    pub(crate) fn described(&self) -> String {
        let lines = self.text.lines().filter(|line| line.starts_with('#'));
        lines.map(|line| format!("{line}\n")).collect()
    }
}
