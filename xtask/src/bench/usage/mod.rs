//! `cargo xtask bench usage`: a day of many pods in a real Prometheus becomes hours in Waldur.
//!
//! The agent reports three times: at first it measures and tells everything, then nothing has changed, and then, with
//! another unit, everything has and nothing is measured.

mod history;
mod prometheus;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::history::History;
use self::prometheus::Prometheus;
use super::membership::people::{self, People, Size};
use super::record::Traffic;
use super::stage::Stage;
use crate::output::Output;
use crate::site::{self, Api, Binaries, Mode, Profile, Server};

/// Most memory of the agent, megabytes.
const MOST_MEMORY: f64 = 120.0;
/// Rows on a page of Waldur's list.
const PAGE: u64 = 300;
/// Components that are told in hours.
const COMPONENTS: [&str; 2] = ["cpu_hours", "memory_hours"];
/// Objects that are made on the cluster at the same time.
const MADE_AT_ONCE: usize = 32;
/// Between two reports.
const PERIOD: Duration = Duration::from_secs(20);
/// No report takes longer.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Namespaces, each with a resource in Waldur
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    namespaces: u32,
    /// Pods in each of them
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pods: u32,
    /// Closed hours of which nothing is known
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(i64).range(1..=48))]
    hours: i64,
    /// Seconds between two samples in Prometheus; 60 is what OpenShift has
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(i64).range(15..=240))]
    scrape_seconds: i64,
    /// Milliseconds that each request to Waldur and the cluster takes
    #[arg(long, default_value_t = 5)]
    latency_ms: u64,
    #[command(flatten)]
    output: Output,
}

impl Arguments {
    const fn size(&self) -> Size {
        Size { resources: self.namespaces as usize, members: 1, per_project: 1 }
    }

    /// Rows that Waldur has of the month.
    const fn rows(&self) -> u64 {
        self.namespaces as u64 * COMPONENTS.len() as u64
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    /// The first report: everything is asked of Prometheus, kept and told.
    seconds: f64,
    queries: u64,
    peak_rss_mb: f64,
    /// Requests about the month's rows where nothing has changed.
    waldur_requests_unchanged: u64,
    /// The same where all of them have.
    waldur_requests_changed: u64,
    /// All requests to Waldur of a report in which nothing has changed, those for resources and the offering among them.
    waldur_requests_of_a_report: u64,
    /// Seconds of a report in which nothing has changed.
    seconds_unchanged: f64,
    okd_requests: u64,
    rows: u64,
    targets_reached: bool,
    namespaces: u32,
    pods: u32,
    hours: i64,
    scrape_seconds: i64,
}

impl Figures {
    fn most_requests(&self) -> u64 {
        self.rows.div_ceil(PAGE)
    }

    fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["", "Measured"]);
        let mark = |reached: bool| if reached { "✓" } else { "✗" };
        let most = self.most_requests();
        table.add_rows([
            ["First report, s".to_owned(), format!("{:.1}", self.seconds)],
            ["Queries to Prometheus".to_owned(), self.queries.to_string()],
            ["Requests to OKD".to_owned(), self.okd_requests.to_string()],
            ["Report without changes, s".to_owned(), format!("{:.2}", self.seconds_unchanged)],
            [
                "Requests to Waldur for the month, unchanged".to_owned(),
                format!(
                    "{} (≤ {most}) {}",
                    self.waldur_requests_unchanged,
                    mark(self.waldur_requests_unchanged <= most)
                ),
            ],
            ["The same, all changed".to_owned(), self.waldur_requests_changed.to_string()],
            ["All requests of an unchanged report".to_owned(), self.waldur_requests_of_a_report.to_string()],
            [
                "Agent, peak memory, MB".to_owned(),
                format!(
                    "{:.1} (≤ {MOST_MEMORY:.0}) {}",
                    self.peak_rss_mb,
                    mark(self.peak_rss_mb <= MOST_MEMORY)
                ),
            ],
        ]);
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{table}\n");
        let _infallible = writeln!(
            text,
            "{} namespaces × {} pods × {} hours, a sample each {} s, {} rows in Waldur.",
            self.namespaces, self.pods, self.hours, self.scrape_seconds, self.rows
        );
        text
    }
}

/// Runs the three reports and prints the figures.
///
/// # Errors
/// Something could not be started or did not come to its end; with `--check`, a target that is not reached.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binaries = Binaries::with_chores(Profile::Release)?;
    let figures = site::run_until_stopped(measure(&binaries, arguments))?;
    arguments.output.give(&figures, &figures.text(), figures.targets_reached)
}

async fn measure(binaries: &Binaries, arguments: &Arguments) -> Result<Figures> {
    let folder = binaries.new_folder()?;
    let folder = folder.path();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
    let now = i64::try_from(now).context("the clock is too far")?;
    let begin = now.div_euclid(3600) * 3600 - arguments.hours * 3600;
    let data = folder.join("prometheus");
    let history = History {
        namespaces: arguments.namespaces as usize,
        pods: arguments.pods as usize,
        begin,
        hours: arguments.hours,
        every: arguments.scrape_seconds,
    };
    eprintln!("writing {} hours of {} pods", arguments.hours, arguments.namespaces * arguments.pods);
    history.write(folder, &data)?;
    let prometheus = Prometheus::start(folder, &data).await?;
    let stage = stage(binaries, folder, arguments).await?;
    furnish(&stage, arguments, now - begin).await?;
    Run { binaries, folder, stage, prometheus, arguments }.reports().await
}

/// Simulators with resources that report hours.
async fn stage(binaries: &Binaries, folder: &Path, arguments: &Arguments) -> Result<Stage> {
    let mut seed = People::new(arguments.size()).seed(true);
    let components = seed.pointer_mut("/offerings/0/components").and_then(Value::as_array_mut);
    let components = components.context("the seed has no components")?;
    components.extend(
        COMPONENTS.map(
            |kind| json!({"type": kind, "name": kind, "measured_unit": "hours", "billing_type": "usage"}),
        ),
    );
    // Projects that the simulators make themselves would be new: they are made here, a day ago, and found by their labels.
    let resources = seed.pointer_mut("/resources").and_then(Value::as_array_mut);
    for resource in resources.context("the seed has no resources")? {
        resource["backend_id"] = json!("");
    }
    let file = folder.join("seed.json");
    std::fs::write(&file, seed.to_string()).context("cannot describe the site")?;
    let file = file.to_str().context("the target directory's name is not UTF-8")?;
    let latency = arguments.latency_ms.to_string();
    let options = ["--latency-ms", &latency, "--seed-file", file];
    Stage::new(binaries, folder, &options, PATIENCE).await
}

/// Makes the projects so many seconds ago, and lets the agent keep its ledger.
async fn furnish(stage: &Stage, arguments: &Arguments, ago: i64) -> Result<()> {
    stage.control.post("/clock", &json!({"step_seconds": -ago})).await?;
    let mut making = JoinSet::new();
    for number in 0..arguments.namespaces as usize {
        if making.len() == MADE_AT_ONCE {
            made(making.join_next().await)?;
        }
        let cluster = stage.cluster.clone();
        making.spawn(async move { project(&cluster, number).await });
    }
    while let Some(project) = making.join_next().await {
        made(Some(project))?;
    }
    stage.control.post("/clock", &json!({"step_seconds": ago})).await?;
    let metadata = json!({"name": "ledger", "namespace": "waldur-system"});
    let verbs = ["get", "list", "create", "patch", "delete"];
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ledger"},
        "subjects": [{"kind": "ServiceAccount", "name": "waldur-site-agent", "namespace": "waldur-system"}],
    });
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/waldur-system";
    stage.cluster.post(&format!("{rbac}/roles"), &role).await?;
    stage.cluster.post(&format!("{rbac}/rolebindings"), &binding).await?;
    stage.forget_traffic().await
}

fn made(project: Option<Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    project.context("no project")?.context("making a project broke down")?
}

/// One project as the agent makes it, as far as reports look at it.
async fn project(cluster: &Api, number: usize) -> Result<()> {
    let name = people::namespace(number);
    let resource = people::resource(number).replace('-', "");
    let labels =
        json!({"app.kubernetes.io/managed-by": "waldur-site-agent", "waldur/resource-uuid": resource});
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    cluster.post("/api/v1/namespaces", &namespace).await?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "waldur-quota", "namespace": name, "labels": labels},
        "spec": {"hard": {"requests.cpu": "4", "requests.memory": "16Gi", "pods": "50"}},
    });
    cluster.post(&format!("/api/v1/namespaces/{name}/resourcequotas"), &quota).await.map(drop)
}

/// Everything that runs.
struct Run<'a> {
    binaries: &'a Binaries,
    folder: &'a Path,
    stage: Stage,
    prometheus: Prometheus,
    arguments: &'a Arguments,
}

impl Run<'_> {
    async fn reports(mut self) -> Result<Figures> {
        let (all, pages) = (u64::from(self.arguments.namespaces), self.arguments.rows().div_ceil(PAGE));
        let mut agent = self.agent("1")?;
        let first = self
            .report(&mut agent, |traffic| traffic.usages_told() >= all)
            .await
            .context("the first report")?;
        let queries = self.prometheus.queries().await?;
        self.stage.forget_traffic().await?;
        let second = self.report(&mut agent, |traffic| traffic.usage_pages() >= pages).await;
        let second = second.context("the report without changes")?;
        ensure!(
            second.usages_told() == 0 && self.prometheus.queries().await? == queries,
            "an hour has closed between two reports; run it again"
        );
        let peak_rss_mb = agent.peak_memory_mb()?;
        drop(agent);
        self.stage.forget_traffic().await?;
        // Half the unit: twice the hours.
        let mut agent = self.agent("0.5")?;
        let third = self
            .report(&mut agent, |traffic| traffic.usages_told() >= all)
            .await
            .context("the last report")?;
        let figures = Figures {
            seconds: first.all_seconds()?,
            queries,
            peak_rss_mb: peak_rss_mb.max(agent.peak_memory_mb()?),
            waldur_requests_unchanged: second.usage_pages() + second.usages_told(),
            waldur_requests_changed: third.usage_pages() + third.usages_told(),
            waldur_requests_of_a_report: second.waldur.total,
            seconds_unchanged: second.all_seconds()?,
            okd_requests: first.okd.total,
            rows: self.arguments.rows(),
            targets_reached: false,
            namespaces: self.arguments.namespaces,
            pods: self.arguments.pods,
            hours: self.arguments.hours,
            scrape_seconds: self.arguments.scrape_seconds,
        };
        let targets_reached = figures.peak_rss_mb <= MOST_MEMORY
            && figures.waldur_requests_unchanged <= figures.most_requests();
        Ok(Figures { targets_reached, ..figures })
    }

    /// Starts the agent; `factor` is the unit of hours.
    fn agent(&self, factor: &str) -> Result<Server> {
        let configuration = self.configuration(factor)?;
        site::start_agent(self.binaries, self.folder, &configuration, Mode::Report, PERIOD)
    }

    fn configuration(&self, factor: &str) -> Result<PathBuf> {
        let path = site::write_configuration(self.folder, &self.stage.place, Mode::Report)?;
        let mut text = std::fs::read_to_string(&path).context("cannot read the configuration")?;
        let measured = [("cpu", "core-hours"), ("memory", "GiB-hours")];
        for (component, (resource, unit)) in COMPONENTS.iter().zip(measured) {
            let _infallible = writeln!(
                text,
                "      {component}: {{measured_unit: {unit}, accounting_type: usage, label: Hours, quota: [], \
                 unit_factor_reporting: {factor}, usage: {{resource: {resource}}}}}"
            );
        }
        let url = &self.prometheus.url;
        let _infallible = writeln!(
            text,
            "monitoring: {{prometheus_url: '{url}', prometheus_query_interval: 0}}\nreporting_periods: 1"
        );
        // Gauges have nothing to do with it.
        let gauge = |line: &&str| !line.contains("accounting_type: limit");
        let text: String = text.lines().filter(gauge).map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, text).context("cannot write the configuration")?;
        Ok(path)
    }

    /// Waits until a report has come so far, and for its end.
    async fn report(&mut self, agent: &mut Server, done: impl Fn(&Traffic) -> bool) -> Result<Traffic> {
        self.stage.wait(agent, done).await?;
        self.stage.settle(agent).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(peak_rss_mb: f64, unchanged: u64) -> Figures {
        Figures {
            seconds: 1.0,
            queries: 2,
            peak_rss_mb,
            waldur_requests_unchanged: unchanged,
            waldur_requests_changed: 3,
            waldur_requests_of_a_report: 4,
            seconds_unchanged: 0.5,
            okd_requests: 5,
            rows: 4000,
            targets_reached: false,
            namespaces: 2000,
            pods: 10,
            hours: 24,
            scrape_seconds: 60,
        }
    }

    #[test]
    fn one_request_for_a_page_of_rows_is_the_most() {
        assert_eq!(figures(1.0, 1).most_requests(), 14);
        assert!(figures(119.0, 14).text().contains("14 (≤ 14) ✓"));
        assert!(figures(121.0, 15).text().contains("15 (≤ 14) ✗"));
        assert!(figures(121.0, 15).text().contains("121.0 (≤ 120) ✗"));
    }
}
