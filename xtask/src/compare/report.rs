//! The figures for people: one table on the terminal, and the document.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};

use super::agents::BEST_SETTINGS;
use super::figures::{Figures, JUDGED_MS, Target};
use super::work::{MEMBERS, Measured, PROJECTS, Task};
use crate::process::program;

/// Where and when it was measured.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) date: String,
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) memory_gb: f64,
    pub(super) system: String,
    /// Processes that wanted to compute in the last quarter of an hour.
    pub(super) load: f64,
}

impl Machine {
    /// The machine that this runs on.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(super) fn this() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        let processors = read("/proc/cpuinfo")?;
        let value = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned());
        let processor = processors.lines().find(|line| line.starts_with("model name")).and_then(value);
        let memory = read("/proc/meminfo")?;
        let memory = memory.lines().find(|line| line.starts_with("MemTotal:")).and_then(value);
        let load = read("/proc/loadavg")?;
        let load = load.split_whitespace().nth(2).and_then(|load| load.parse().ok());
        let kibibytes = memory.and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
        Ok(Self {
            date: program("date", ["-u", "+%Y-%m-%d"]).text()?.trim().to_owned(),
            processor: processor.unwrap_or_else(|| "processor of unknown name".to_owned()),
            cores: std::thread::available_parallelism().context("how many cores are there?")?.get(),
            memory_gb: kibibytes.context("no MemTotal in /proc/meminfo")? * 1024.0 / 1e9,
            system: program("uname", ["-sr"]).text()?.trim().to_owned(),
            load: load.context("no load in /proc/loadavg")?,
        })
    }
}

/// A line of the table: what, and the cell of each agent at each latency.
struct Row {
    name: String,
    cells: Vec<String>,
}

/// Heads of the columns after the first.
fn heads(figures: &Figures) -> Vec<String> {
    let head = |side: &super::Side| {
        let name = figures.agents.get(side.agent).map_or("", |facts| facts.name.as_str());
        format!("{name}, {} ms", side.latency_ms)
    };
    figures.sides.iter().map(head).collect()
}

fn rows(figures: &Figures) -> Vec<Row> {
    let row = |name: &str, cell: &dyn Fn(&Measured, usize) -> String| Row {
        name: name.to_owned(),
        cells: figures.sides.iter().map(|side| cell(&side.measured, side.agent)).collect(),
    };
    let mut rows =
        vec![row("Start to first request, s", &|measured, _| format!("{:.3}", measured.start_seconds))];
    for (task, name) in tasks(figures) {
        let of = |cell: fn(&super::work::Work) -> String| {
            move |measured: &Measured, _: usize| measured.work(task).map(cell).unwrap_or_default()
        };
        rows.push(row(&format!("{name}: seconds"), &of(|work| format!("{:.2}", work.seconds))));
        rows.push(row("– CPU seconds", &of(|work| format!("{:.2}", work.cpu_seconds))));
        rows.push(row("– requests to Waldur", &of(|work| work.waldur_requests.to_string())));
        rows.push(row("– requests to OKD", &of(|work| work.okd_requests.to_string())));
    }
    rows.push(row("Peak memory, MB", &|measured, _| format!("{:.1}", measured.peak_rss_mb)));
    rows.push(row("Installed size, MB", &|_, agent| {
        let bytes = figures.agents.get(agent).map_or(0, |facts| facts.installed_bytes);
        format!("{:.1}", bytes as f64 / 1e6)
    }));
    let first = figures.sides.first();
    for (number, check) in first.iter().flat_map(|side| side.measured.checks.iter().enumerate()) {
        let cell = |measured: &Measured, _: usize| {
            let check = measured.checks.get(number);
            check.map_or_else(String::new, |check| {
                let mark = if check.wrong == 0 { "✓" } else { "✗ wrong" };
                format!("{} of {} {mark}", check.right, check.all())
            })
        };
        rows.push(row(&format!("After {}: {}", check.after, lower(&check.name)), &cell));
    }
    rows.push(row("Wrong results", &|measured, _| measured.wrong().to_string()));
    rows
}

fn lower(text: &str) -> String {
    text.char_indices().map(|(at, c)| if at == 0 { c.to_ascii_lowercase() } else { c }).collect()
}

fn tasks(figures: &Figures) -> [(Task, String); 6] {
    let (orders, resources) = (figures.sizes.orders, figures.sizes.resources);
    [
        (Task::Create, format!("{orders} Create orders")),
        (Task::Terminate, format!("{orders} Terminate orders")),
        (Task::FirstPass, format!("First membership pass, {resources} resources × {MEMBERS} members")),
        (Task::UnchangedPass, "Membership pass when nothing changed".to_owned()),
        (Task::ChangedPass, "Membership pass when one member left".to_owned()),
        (Task::Report, format!("Report of usage, {resources} resources")),
    ]
}

/// For the terminal.
pub(super) fn text(figures: &Figures) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let heads = heads(figures).into_iter().map(|head| head.replace(", ", "\n"));
    table.set_header(std::iter::once(String::new()).chain(heads));
    for row in rows(figures) {
        table.add_row(std::iter::once(row.name).chain(row.cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{table}\n");
    for line in examples(figures) {
        let _infallible = writeln!(text, "✗ {line}");
    }
    for target in figures.targets().unwrap_or_default() {
        let _infallible = writeln!(text, "{}", target_line(&target));
    }
    text
}

fn target_line(target: &Target) -> String {
    let mark = if target.reached { "✓" } else { "✗" };
    format!("{mark} {}: {} (wanted: {})", target.name, target.found, target.wanted)
}

/// One wrong result of each kind, for each agent, at the latency at which it was first seen.
fn examples(figures: &Figures) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    for side in &figures.sides {
        for check in &side.measured.checks {
            let kind = (side.agent, &check.after, &check.name);
            let Some(example) = check.example.as_ref().filter(|_| !seen.contains(&kind)) else { continue };
            seen.push(kind);
            let name = figures.agents.get(side.agent).map_or("", |facts| facts.name.as_str());
            lines.push(format!("{name}, after {}, not “{}”: {example}", check.after, lower(&check.name)));
        }
    }
    lines
}

/// The whole of `docs/comparison.md`.
pub(super) fn document(figures: &Figures, machine: &Machine) -> String {
    let mut text = String::new();
    let _infallible = write_document(&mut text, figures, machine);
    text
}

fn write_document(text: &mut String, figures: &Figures, machine: &Machine) -> std::fmt::Result {
    writeln!(text, "# Side by side with the Python agent\n")?;
    writeln!(text, "Written by `cargo xtask compare`; changes made here by hand are lost.\n")?;
    versions(text, figures, machine)?;
    text.push_str(&how(figures));
    if let Some(targets) = figures.targets() {
        writeln!(text, "\n## Result at {JUDGED_MS} ms\n")?;
        writeln!(text, "| Against the Python agent | Wanted | Found | |\n| --- | --- | --- | --- |")?;
        for Target { name, wanted, found, reached } in targets {
            writeln!(text, "| {name} | {wanted} | {found} | {} |", if reached { "✓" } else { "✗ missed" })?;
        }
    }
    writeln!(text, "\n## All figures\n")?;
    let heads = heads(figures);
    writeln!(text, "| | {} |", heads.join(" | "))?;
    writeln!(text, "| --- |{}", " ---: |".repeat(heads.len()))?;
    for row in rows(figures) {
        writeln!(text, "| {} | {} |", row.name, row.cells.join(" | "))?;
    }
    writeln!(text, "\n## What is wrong, by example\n")?;
    let examples = examples(figures);
    if examples.is_empty() {
        writeln!(text, "Nothing.")?;
    }
    examples.iter().try_for_each(|line| writeln!(text, "* {line}"))
}

fn versions(text: &mut String, figures: &Figures, machine: &Machine) -> std::fmt::Result {
    let Machine { date, processor, cores, memory_gb, system, load } = machine;
    writeln!(text, "| | |\n| --- | --- |")?;
    writeln!(text, "| Date | {date} |")?;
    writeln!(text, "| Machine | {processor}, {cores} cores, {memory_gb:.1} GB, {system} |")?;
    writeln!(text, "| Load average of the last 15 minutes | {load:.1} |")?;
    for facts in &figures.agents {
        let runtime = if facts.runtime.is_empty() { "no runtime" } else { facts.runtime.as_str() };
        writeln!(
            text,
            "| {} | {:.1} MB installed, {runtime} |",
            facts.name,
            facts.installed_bytes as f64 / 1e6
        )?;
    }
    if let Some(absent) = &figures.absent {
        writeln!(
            text,
            "| Pre-release of the Python agent | left out: {} |",
            absent.replace(['\n', '|'], " ")
        )?;
    }
    if *load > *cores as f64 {
        writeln!(
            text,
            "\nOther programs computed at the same time. Seconds are longer than on an idle machine, most of all those of an \
             agent that computes much, so that ratios of seconds flatter this agent. Requests, memory and sizes are not \
             touched by that, CPU seconds little."
        )?;
    }
    Ok(())
}

/// What was done and how it was measured.
fn how(figures: &Figures) -> String {
    let (orders, resources) = (figures.sizes.orders, figures.sizes.resources);
    let settings = BEST_SETTINGS.map(|setting| format!("  {setting}\n")).concat();
    format!(
        "
## How

Each agent works on simulated servers that were started for it alone, as a process of their own, always with the same people,
projects and resources. Each request takes the named milliseconds on each side, besides the simulator's own time. The
configuration file is the same, in the Python agent's form. All agents have the same rights: on the cluster those that
`cargo xtask demo` gives, `bind` on ClusterRoles among them, in Waldur those of staff. The pre-release is run at {JUDGED_MS} ms alone.

* **Orders**: {PROJECTS} projects of {MEMBERS} members, each with one resource already. {orders} Create orders wait when the agent
  starts (`-m order_process`), then {orders} Terminate orders for what was made. Counted is from the first request to the end of
  the last order. An empty project takes five seconds to go away: this agent ends a Terminate order when it is gone, the
  Python agent when it has asked for that.
* **Passes**: {resources} resources in as many projects of {MEMBERS} members each (`-m membership_sync`). In each project on the cluster a
  pod and a volume are in use. The first pass gives everybody access; then one in which nothing changed; then one after
  a member has left.
* **Report**: the usage of these {resources} resources (`-m report`).
* **Start**: from the start of the process to the arrival of its first request; the middle one of all starts.
* **CPU seconds**: user and system time from the first request on, so without the start. **Memory**: the most that was resident
  in any of its processes (`VmHWM`).
* **Installed size**: for the Python agent the files in `site-packages`, without pip and setuptools, and without the interpreter;
  for this agent its one binary.

### What the Python agent gets

```yaml
backend_settings:
{settings}```

* Without `default_account` it binds all members to a ClusterRole `root`, which no cluster has. One role is given to everybody; `edit` is
  the one that its documentation names as default.
* With this `allocation_prefix` projects are named as its documentation says.
* Members have accounts in the offering before the orders come, since it looks for them once.
* Each of its passes is the first of a new process. It keeps nothing between two passes but sleeps for a minute, which is so spared, and the start
  is not counted. This agent's passes after the first are the next ones of the same process.

### What is true afterwards

Waldur and the cluster themselves are asked. *Quotas as bought*: `waldur-quota` has what the resource's limits in Waldur
were when it was bought, with twice of CPU and memory as limits. *Roles as documented*: owners of the organization have `admin`, managers
of the project `edit`, members `view`, by any role binding, and nobody else has any. *Limits in Waldur untouched*: still what was
bought. *Usage as on the cluster*: what the quota counts as used, in the components' units; one pod in ten asks for `512M` of memory, the others for
`512Mi`. Work whose result is wrong is marked so below; its seconds are those of work that was not done.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::figures::tests::figures;

    fn machine() -> Machine {
        Machine {
            date: "2026-11-29".to_owned(),
            processor: "Some CPU".to_owned(),
            cores: 2,
            memory_gb: 8.0,
            system: "Linux 6.1".to_owned(),
            load: 2.5,
        }
    }

    #[test]
    fn each_row_has_a_cell_for_each_run() {
        let figures = figures(&[0.02, 0.02, 0.02]);
        for row in rows(&figures) {
            assert_eq!(row.cells.len(), 6, "{}", row.name);
            assert!(row.cells.iter().all(|cell| !cell.is_empty()), "{}", row.name);
        }
    }

    #[test]
    fn wrong_is_said_to_be_wrong() {
        let figures = Figures { absent: Some("no such\nversion".to_owned()), ..figures(&[0.02, 0.02]) };
        let document = document(&figures, &machine());
        for line in [
            "| After Create orders: quotas as bought | 100 of 100 ✓ | 0 of 100 ✗ wrong | 100 of 100 ✓ | 0 of 100 ✗ wrong |",
            "* Python agent 1.0.7, after Create orders, not “quotas as bought”: shop has no quota",
            "| Pre-release of the Python agent | left out: no such version |",
            "| Load average of the last 15 minutes | 2.5 |",
            "| Machine | Some CPU, 2 cores, 8.0 GB, Linux 6.1 |",
        ] {
            assert!(document.lines().any(|found| found == line), "{line}\n{document}");
        }
    }

    #[test]
    fn a_busy_machine_is_no_secret() {
        let busy = |load| {
            let document = document(&figures(&[0.02, 0.02]), &Machine { load, ..machine() });
            document.contains("Other programs computed at the same time")
        };
        assert!(busy(2.5) && !busy(1.5));
    }

    #[test]
    fn this_machine_can_be_described() {
        let machine = Machine::this().unwrap();
        assert!(machine.cores > 0 && machine.memory_gb > 0.1 && !machine.processor.is_empty());
    }
}
