//! The page about it, and its plots.

use std::fmt::Write as _;

use super::figures::{Figure, Figures, MEMORY, REQUESTS, SECONDS, Series};
use super::plot::{Line, svg};
use crate::bench::membership::figures::Pass;

/// Plots: file, heading, unit, what is shown.
const PLOTS: [(&str, &str, &str, &[Series]); 3] = [
    ("scale-seconds.svg", "Time", "seconds", &SECONDS),
    ("scale-requests.svg", "Requests to Waldur and the cluster", "requests", &REQUESTS),
    ("scale-memory.svg", "Resident memory, highest", "MB", &MEMORY),
];

const ABOUT: &str = "\
# How the agent's work grows

Written by `cargo xtask scale` from a run on one machine; changes made here by hand are lost. The simulators and the agent
share its processors, so that a part of each figure is the servers' work and not the agent's: the columns with the agent's own
computing time tell them apart.

What is measured, for each number of resources:

* *first pass*: every resource has a project on the cluster and nothing else. The agent makes quota, limit range and role
  bindings and tells Waldur;
* *restart*: an agent that is started anew finds everything done. It lists and begins to watch the cluster;
* *nothing changed*: the next pass of that agent. It reads Waldur's lists and sends nothing to the cluster;
* *1 % changed*: the pass after customers have changed one in a hundred memberships;
* *burst of events*: an agent with events, passes a day apart. Customers order other limits for one in a hundred resources and
  change as many memberships, as fast as they can; it ends with the last request that follows from any message.

Times run from the first request to the last one. After the first pass, the changes and the burst, all role bindings and
quotas on the cluster are held against what Waldur says; a difference ends the run.
";

const SEVERAL: &str = "
## Where one replica ends

A replica serves the resources of the offerings in its configuration. It has enough of them when a pass no longer fits well
into the period between two passes (five minutes unless configured otherwise), or when its memory is used up. Both follow from
the figures above.

Larger sites spread their offerings over several replicas:

* Each offering stands in the configuration of exactly one replica: one Deployment for each part of the offerings, each with a
  configuration file of its own. What an offering's replica does depends on no other replica, since each object on the cluster
  carries the UUID of its resource.
* An offering too large for one replica can be divided by modes: one Deployment with `-m order_process`, one with
  `-m membership_sync`, one with `-m report`. They may run side by side.
* Where replicas share a cluster, each watches all objects that any agent keeps there: the part of the memory that is for the
  cluster is not divided, the one for Waldur's lists is. Offerings on clusters of their own share nothing.
* Requests to one Waldur add up over the replicas. Periods are set for each replica by the environment, as in the README.
";

/// The page, as Markdown.
pub(super) fn page(figures: &Figures) -> String {
    let mut page = String::from(ABOUT);
    let members = figures.sizes.first().map_or(0, |figure| figure.members);
    let _ = writeln!(
        page,
        "\nEach request takes {} ms on each side beside what the simulator computes; {members} members in each project.\n\
         {}\n",
        figures.latency_ms, figures.machine
    );
    for figure in &figures.sizes {
        page.push_str(&size(figure));
    }
    page.push_str("## Growth\n\n");
    for (file, heading, unit, _) in PLOTS {
        let _ = writeln!(page, "![{heading}, {unit}]({file})\n");
    }
    if !figures.growth.is_empty() {
        page.push_str(
            "The dashed line is linear growth. The exponents of the powers that fit best; 1 is linear:\n\n",
        );
        page.push_str("| | Exponent |\n| --- | ---: |\n");
        for growth in &figures.growth {
            let _ = writeln!(page, "| {} | {:.2} |", growth.what, growth.exponent);
        }
    }
    if let Some(bytes) = figures.bytes_per_resource {
        let _ = writeln!(
            page,
            "\nEach further resource with its {members} members takes {:.1} kB of memory: what Waldur says of it and of its \
             people while a pass lasts, and what is on the cluster all the time.",
            bytes / 1000.0
        );
    }
    page.push_str(SEVERAL);
    page.push_str("\n## Targets\n\n| | Measured | |\n| --- | ---: | --- |\n");
    for target in &figures.targets {
        let mark = if target.reached { "reached" } else { "**missed**" };
        let _ = writeln!(page, "| {} | {} | {mark} |", target.what, target.measured);
    }
    page
}

fn size(figure: &Figure) -> String {
    let mut text = format!(
        "## {} resources\n\n\
         | | Seconds | Requests to Waldur | Requests to the cluster | Agent's computing, s |\n\
         | --- | ---: | ---: | ---: | ---: |\n",
        grouped(figure.resources as u64)
    );
    let passes: [(&str, Pass); 4] = [
        ("First pass", figure.first_pass),
        ("Restart", figure.restart),
        ("Nothing changed", figure.unchanged_pass),
        ("1 % changed", figure.changed_pass),
    ];
    for (name, pass) in passes {
        let _ = writeln!(
            text,
            "| {name} | {:.2} | {} | {} | {:.2} |",
            pass.seconds,
            grouped(pass.waldur_requests),
            grouped(pass.okd_requests),
            pass.cpu_seconds
        );
    }
    let burst = figure.burst;
    let _ = writeln!(
        text,
        "| Burst of {} changes, {} messages | {:.2} | {} | {} | {:.2} |\n\n\
         Resident memory, highest: {:.0} MB with passes, {:.0} MB with events.\n",
        grouped(burst.changes),
        grouped(burst.messages),
        burst.seconds,
        grouped(burst.waldur_requests),
        grouped(burst.okd_requests),
        burst.cpu_seconds,
        figure.peak_rss_mb,
        burst.peak_rss_mb
    );
    text
}

/// File names and contents of the plots.
pub(super) fn plots(figures: &Figures) -> Vec<(&'static str, String)> {
    let plot = |(file, heading, unit, series): (&'static str, &str, &str, &[Series])| {
        let line = |(name, value): &Series| Line {
            name: (*name).to_owned(),
            points: figures.sizes.iter().map(|figure| (figure.resources as f64, value(figure))).collect(),
        };
        let lines: Vec<Line> = series.iter().map(line).collect();
        (file, svg(heading, unit, &lines))
    };
    PLOTS.into_iter().map(plot).collect()
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::measured;
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn every_figure_and_every_plot_is_on_the_page() {
        let both = vec![measured(1_000, 0.4, 25.0), measured(10_000, 4.0, 115.0)];
        let figures = Figures::new(both, 5, "On a machine.".to_owned());
        let page = page(&figures);
        for text in [
            "## 10,000 resources",
            "| Nothing changed | 4.00 | 100 | 0 | 2.00 |",
            "| Burst of 200 changes, 400 messages | 4.00 |",
            "| seconds, nothing changed | 1.00 |",
            "takes 10.0 kB",
            "| 10000 resources: first pass under 60 s | 40.00 s | reached |",
            "On a machine.",
        ] {
            assert!(page.contains(text), "{text} is not in\n{page}");
        }
        for (file, svg) in plots(&figures) {
            assert!(page.contains(&format!("]({file})")) && svg.contains("polyline"), "{file}");
        }
        let alone = Figures::new(vec![measured(1_000, 0.4, 25.0)], 5, String::new());
        assert!(!super::page(&alone).contains("Exponent"), "one point has no slope");
    }
}
