//! `cargo xtask bench lifecycle`: all resources are paused by flag, and restored.
//!
//! The agent runs in its normal loop and has seen everything. Then staff sets the flag of each resource in Waldur, and the
//! next pass is measured from its first request to the last that it causes. After each the quotas on the cluster are
//! held against the flags.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::membership::people::{People, Size};
use super::record::Traffic;
use super::stage::Stage;
use crate::output::Output;
use crate::site::{self, Api, Binaries, Mode, Profile, Server, text};

/// Most requests to the cluster for one resource that is paused or restored.
const MOST_REQUESTS: f64 = 2.0;
/// Flags that are set at the same time.
const SET_AT_ONCE: usize = 32;
/// Resources on a page of Waldur's list.
const PAGE: usize = 300;
/// Our quotas, in pages.
const OUR_QUOTAS: &str =
    "/api/v1/resourcequotas?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dwaldur-site-agent&limit=500";

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Resources, each with a project on the cluster
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    resources: u32,
    /// Milliseconds that each request takes on each side
    #[arg(long, default_value_t = 5)]
    latency_ms: u64,
    #[command(flatten)]
    output: Output,
}

impl Arguments {
    /// Between two passes: long enough for the first one's work, and for all flags.
    fn period(&self) -> Duration {
        Duration::from_secs(8) + Duration::from_millis(12) * self.resources
    }

    const fn size(&self) -> Size {
        Size { resources: self.resources as usize, members: 1, per_project: 1 }
    }
}

/// One pass in which every resource changes.
#[derive(Clone, Copy, Debug)]
struct Transition {
    seconds: f64,
    waldur_requests: u64,
    okd_requests: u64,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    /// Both transitions.
    seconds: f64,
    pause_seconds: f64,
    restore_seconds: f64,
    /// For one resource that is paused or restored; lists of the pass are among those to Waldur.
    okd_requests_per_transition: f64,
    waldur_requests_per_transition: f64,
    peak_rss_mb: f64,
    targets_reached: bool,
    resources: u32,
    latency_ms: u64,
}

impl Figures {
    fn new(arguments: &Arguments, [pause, restore]: [Transition; 2], peak_rss_mb: f64) -> Self {
        let each = |requests: u64| requests as f64 / (2.0 * f64::from(arguments.resources));
        let okd_requests_per_transition = each(pause.okd_requests + restore.okd_requests);
        Self {
            seconds: pause.seconds + restore.seconds,
            pause_seconds: pause.seconds,
            restore_seconds: restore.seconds,
            okd_requests_per_transition,
            waldur_requests_per_transition: each(pause.waldur_requests + restore.waldur_requests),
            peak_rss_mb,
            targets_reached: okd_requests_per_transition <= MOST_REQUESTS,
            resources: arguments.resources,
            latency_ms: arguments.latency_ms,
        }
    }

    fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["", "Measured"]);
        let mark = if self.targets_reached { "✓" } else { "✗" };
        table.add_rows([
            ["Paused, s".to_owned(), format!("{:.2}", self.pause_seconds)],
            ["Restored, s".to_owned(), format!("{:.2}", self.restore_seconds)],
            [
                "Requests to OKD per transition".to_owned(),
                format!("{:.2} (≤ {MOST_REQUESTS:.0}) {mark}", self.okd_requests_per_transition),
            ],
            [
                "Requests to Waldur per transition".to_owned(),
                format!("{:.2}", self.waldur_requests_per_transition),
            ],
            ["Agent, peak memory, MB".to_owned(), format!("{:.1}", self.peak_rss_mb)],
        ]);
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{table}\n");
        let _infallible =
            writeln!(text, "{} resources, {} ms per request on each side.", self.resources, self.latency_ms);
        text
    }
}

/// Runs both transitions and prints the figures.
///
/// # Errors
/// Something could not be started or did not come to its end, or a quota is not as its resource's flag says; with
/// `--check`, a target that is not reached.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binaries = Binaries::with_chores(Profile::Release)?;
    let figures = site::run_until_stopped(measure(&binaries, arguments))?;
    arguments.output.give(&figures, &figures.text(), figures.targets_reached)
}

async fn measure(binaries: &Binaries, arguments: &Arguments) -> Result<Figures> {
    let folder = binaries.new_folder()?;
    let folder = folder.path();
    let people = People::new(arguments.size());
    let seed = folder.join("seed.json");
    let json = serde_json::to_string(&people.seed(true)).context("cannot describe the site")?;
    std::fs::write(&seed, json).context("cannot describe the site")?;
    let seed = seed.to_str().context("the target directory's name is not UTF-8")?;
    let latency = arguments.latency_ms.to_string();
    let patience = Duration::from_secs(120) + 5 * arguments.period();
    let options = ["--latency-ms", &latency, "--seed-file", seed];
    let stage = Stage::new(binaries, folder, &options, patience).await?;
    let configuration = site::write_configuration(folder, &stage.place, Mode::MembershipSync)?;
    let agent =
        site::start_agent(binaries, folder, &configuration, Mode::MembershipSync, arguments.period())?;
    let staff = Api::waldur(&stage.place.waldur_url, &stage.place.waldur_agent_token)?;
    let pages = arguments.size().resources.div_ceil(PAGE) as u64;
    let mut run = Run { stage, agent, staff, pages, arguments };

    run.pass().await.context("the first pass")?;
    let paused = run.transition(true).await.context("pausing")?;
    let restored = run.transition(false).await.context("restoring")?;
    Ok(Figures::new(arguments, [paused, restored], run.agent.peak_memory_mb()?))
}

/// A site with the agent at work.
struct Run<'a> {
    stage: Stage,
    agent: Server,
    staff: Api,
    /// Pages of resources that a pass lists.
    pages: u64,
    arguments: &'a Arguments,
}

impl Run<'_> {
    /// The pass of which the record of requests holds nothing yet.
    async fn pass(&mut self) -> Result<Traffic> {
        let pages = self.pages;
        self.stage.wait(&mut self.agent, |traffic| traffic.resource_pages() >= pages).await?;
        self.stage.settle(&mut self.agent).await
    }

    /// Sets all flags between two passes, and measures the one that follows.
    async fn transition(&mut self, paused: bool) -> Result<Transition> {
        self.stage.forget_traffic().await?;
        self.set_flags(paused).await?;
        let traffic = self.stage.traffic().await?;
        ensure!(traffic.resource_pages() == 0, "a pass came while flags were set");
        self.stage.forget_traffic().await?;
        let traffic = self.pass().await?;
        ensure!(traffic.resource_pages() == self.pages, "there was more than one pass to measure");
        self.check(paused).await?;
        let transition = Transition {
            seconds: traffic.all_seconds()?,
            waldur_requests: traffic.waldur.total,
            okd_requests: traffic.okd.total,
        };
        eprintln!(
            "{}: {:.2} s, {} requests to Waldur, {} to OKD",
            if paused { "paused" } else { "restored" },
            transition.seconds,
            transition.waldur_requests,
            transition.okd_requests
        );
        Ok(transition)
    }

    async fn set_flags(&self, paused: bool) -> Result<()> {
        let mut setting = JoinSet::new();
        for resource in People::resources(self.arguments.size()) {
            if setting.len() == SET_AT_ONCE {
                set(setting.join_next().await)?;
            }
            let staff = self.staff.clone();
            setting.spawn(async move {
                let path = format!("/api/marketplace-provider-resources/{resource}/set_paused/");
                staff.post(&path, &json!({"paused": paused})).await
            });
        }
        while let Some(flag) = setting.join_next().await {
            set(Some(flag))?;
        }
        Ok(())
    }

    /// Holds each quota on the cluster against the flag.
    async fn check(&self, paused: bool) -> Result<()> {
        let wanted = if paused { "0" } else { "4" };
        let (mut right, mut path) = (0, OUR_QUOTAS.to_owned());
        loop {
            let list = self.stage.cluster.get(&path).await?;
            let quotas = list.get("items").and_then(Value::as_array).context("no list of quotas")?;
            right += quotas.iter().filter(|quota| text(quota, "/spec/hard/requests.cpu") == wanted).count();
            match text(&list, "/metadata/continue") {
                "" => break,
                next => path = format!("{OUR_QUOTAS}&continue={next}"),
            }
        }
        let all = self.arguments.size().resources;
        ensure!(right == all, "{right} of {all} quotas are as they should be{}", self.agent.tail());
        Ok(())
    }
}

fn set(flag: Option<Result<Result<Value>, tokio::task::JoinError>>) -> Result<()> {
    flag.context("no flag")?.context("setting a flag broke down")?.context("cannot set a flag")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_per_resource_and_transition() {
        let arguments = Arguments { resources: 100, latency_ms: 5, output: Output::default() };
        let transition = |okd_requests| Transition { seconds: 1.5, waldur_requests: 300, okd_requests };
        let figures = Figures::new(&arguments, [transition(100), transition(300)], 40.0);
        assert!((figures.okd_requests_per_transition - 2.0).abs() < 1e-9 && figures.targets_reached);
        assert!((figures.seconds - 3.0).abs() < 1e-9);
        assert!(!Figures::new(&arguments, [transition(100), transition(301)], 40.0).targets_reached);
    }
}
