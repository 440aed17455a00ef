//! Figures of the passes, for people and for machines.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::people::Size;

/// Most seconds of a pass without changes over [`TIMED_SIZE`] resources.
const MOST_SECONDS: f64 = 2.0;
/// Resources up to which that is judged: more take their pages' time.
const TIMED_SIZE: usize = 1000;
/// Most resident memory, megabytes of 1,000,000 bytes, for up to [`WEIGHED_SIZE`] resources.
const MOST_MEMORY: f64 = 150.0;
/// See [`MOST_MEMORY`].
const WEIGHED_SIZE: usize = 10_000;
/// Rows of a page of Waldur's lists.
const PAGE: usize = 300;
/// What a pass asks Waldur once, however much there is: the offering, its terms, its provider, accounts.
const ONCE: usize = 10;
/// Most requests to the cluster for one change of a membership in a namespace: the new role's binding is written, and
/// the old one's looked at and deleted when nobody is left in it.
const REQUESTS_OF_CHANGE: usize = 3;
/// Requests to Waldur that may follow a change in a namespace: the resource is read anew, metadata, last sync.
const TOLD_OF_CHANGE: usize = 3;

/// One pass.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Pass {
    /// From its first request to the last that it causes.
    pub(crate) seconds: f64,
    pub(crate) waldur_requests: u64,
    pub(crate) okd_requests: u64,
    /// What the agent's threads have computed.
    pub(crate) cpu_seconds: f64,
}

/// All passes with what follows from them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    first_pass_seconds: f64,
    first_pass_waldur_requests: u64,
    first_pass_okd_requests: u64,
    first_pass_cpu_seconds: f64,
    unchanged_pass_seconds: f64,
    unchanged_waldur_requests: u64,
    unchanged_okd_requests: u64,
    unchanged_cpu_seconds: f64,
    changed_pass_seconds: f64,
    changed_waldur_requests: u64,
    changed_okd_requests: u64,
    changed_cpu_seconds: f64,
    restart_seconds: f64,
    restart_waldur_requests: u64,
    restart_okd_requests: u64,
    restart_cpu_seconds: f64,
    /// The highest of the agent that ran the three passes and of the one that was started after it.
    peak_rss_mb: f64,
    restart_peak_rss_mb: f64,
    targets_reached: bool,
    resources: usize,
    projects: usize,
    organizations: usize,
    members: usize,
    changes: usize,
    latency_ms: u64,
    #[serde(skip)]
    size: Size,
    #[serde(skip)]
    one_list: bool,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) first: Pass,
    pub(crate) unchanged: Pass,
    pub(crate) changed: Pass,
    pub(crate) peak_rss_mb: f64,
    pub(crate) restart: Pass,
    pub(crate) restart_peak_rss_mb: f64,
}

/// A target, and whether it is reached; none where it says nothing about runs of this size.
type Target = Option<(String, bool)>;

impl Figures {
    /// `one_list` says that Waldur has one list of all roles in the provider's projects.
    pub(crate) fn new(size: Size, one_list: bool, latency_ms: u64, measured: &Measured) -> Self {
        let Measured { first, unchanged, changed, restart, .. } = *measured;
        let mut figures = Self {
            first_pass_seconds: first.seconds,
            first_pass_waldur_requests: first.waldur_requests,
            first_pass_okd_requests: first.okd_requests,
            first_pass_cpu_seconds: first.cpu_seconds,
            unchanged_pass_seconds: unchanged.seconds,
            unchanged_waldur_requests: unchanged.waldur_requests,
            unchanged_okd_requests: unchanged.okd_requests,
            unchanged_cpu_seconds: unchanged.cpu_seconds,
            changed_pass_seconds: changed.seconds,
            changed_waldur_requests: changed.waldur_requests,
            changed_okd_requests: changed.okd_requests,
            changed_cpu_seconds: changed.cpu_seconds,
            restart_seconds: restart.seconds,
            restart_waldur_requests: restart.waldur_requests,
            restart_okd_requests: restart.okd_requests,
            restart_cpu_seconds: restart.cpu_seconds,
            peak_rss_mb: measured.peak_rss_mb.max(measured.restart_peak_rss_mb),
            restart_peak_rss_mb: measured.restart_peak_rss_mb,
            targets_reached: false,
            resources: size.resources,
            projects: size.projects(),
            organizations: size.customers(),
            members: size.members,
            changes: size.changes(),
            latency_ms,
            size,
            one_list,
        };
        let targets = [
            figures.time(),
            figures.waldur(),
            figures.untouched(),
            figures.touched(),
            figures.told(),
            figures.memory(),
        ];
        figures.targets_reached = targets.into_iter().flatten().all(|(_, reached)| reached);
        figures
    }

    pub(crate) const fn targets_reached(&self) -> bool {
        self.targets_reached
    }

    fn time(&self) -> Target {
        let judged = self.size.resources <= TIMED_SIZE;
        judged.then(|| (format!("< {MOST_SECONDS:.0} s"), self.unchanged_pass_seconds < MOST_SECONDS))
    }

    /// Where one list serves, the pages of that list stand for the requests per project. Where it does not,
    /// accounts in the offering and owners of organizations are read besides the teams.
    fn waldur(&self) -> Target {
        let size = self.size;
        let people = size.memberships() + size.changes();
        let besides = if self.one_list { 0 } else { people.div_ceil(PAGE) + size.customers() };
        let most = size.resources.div_ceil(PAGE) + size.projects() + besides + ONCE;
        Some((format!("≤ {most}"), self.unchanged_waldur_requests <= most as u64))
    }

    fn untouched(&self) -> Target {
        Some(("0".to_owned(), self.unchanged_okd_requests == 0))
    }

    fn touched(&self) -> Target {
        let most = REQUESTS_OF_CHANGE * self.namespaces_changed();
        Some((format!("≤ {most}"), self.changed_okd_requests <= most as u64))
    }

    fn told(&self) -> Target {
        // Newcomers may need one more page of each list.
        let most = self.unchanged_waldur_requests + (TOLD_OF_CHANGE * self.namespaces_changed() + 2) as u64;
        Some((format!("≤ {most}"), self.changed_waldur_requests <= most))
    }

    const fn namespaces_changed(&self) -> usize {
        self.size.changes() * self.size.per_project
    }

    fn memory(&self) -> Target {
        let judged = self.size.resources <= WEIGHED_SIZE;
        judged.then(|| (format!("< {MOST_MEMORY:.0} MB"), self.peak_rss_mb < MOST_MEMORY))
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["Pass", "Seconds", "Requests to Waldur", "Requests to OKD", "Agent's CPU, s"]);
        let judged = |value: String, target: Target| match target {
            Some((text, reached)) => format!("{value} ({text}) {}", if reached { "✓" } else { "✗" }),
            None => value,
        };
        let seconds = |value: f64| format!("{value:.2}");
        table.add_rows([
            [
                "First".to_owned(),
                seconds(self.first_pass_seconds),
                self.first_pass_waldur_requests.to_string(),
                self.first_pass_okd_requests.to_string(),
                seconds(self.first_pass_cpu_seconds),
            ],
            [
                "Nothing changed".to_owned(),
                judged(seconds(self.unchanged_pass_seconds), self.time()),
                judged(self.unchanged_waldur_requests.to_string(), self.waldur()),
                judged(self.unchanged_okd_requests.to_string(), self.untouched()),
                seconds(self.unchanged_cpu_seconds),
            ],
            [
                format!("{} members changed", self.changes),
                seconds(self.changed_pass_seconds),
                judged(self.changed_waldur_requests.to_string(), self.told()),
                judged(self.changed_okd_requests.to_string(), self.touched()),
                seconds(self.changed_cpu_seconds),
            ],
            [
                "First after a restart".to_owned(),
                seconds(self.restart_seconds),
                self.restart_waldur_requests.to_string(),
                self.restart_okd_requests.to_string(),
                seconds(self.restart_cpu_seconds),
            ],
        ]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{table}\n");
        let memory = judged(format!("{:.1} MB", self.peak_rss_mb), self.memory());
        let restarted = self.restart_peak_rss_mb;
        let _infallible = writeln!(
            text,
            "Agent, peak memory: {memory}; after the restart {restarted:.1} MB.\n\
             {} resources in {} projects of {} organizations, {} members in each, {} ms per request on each side.",
            self.resources, self.projects, self.organizations, self.members, self.latency_ms
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { resources: 1000, members: 10, per_project: 1 };

    fn pass(seconds: f64, waldur_requests: u64, okd_requests: u64) -> Pass {
        Pass { seconds, waldur_requests, okd_requests, cpu_seconds: 0.5 }
    }

    fn measured() -> Measured {
        Measured {
            first: pass(10.0, 3000, 6000),
            unchanged: pass(1.0, 180, 0),
            changed: pass(2.0, 480, 140),
            peak_rss_mb: 50.0,
            restart: pass(3.0, 200, 20),
            restart_peak_rss_mb: 60.0,
        }
    }

    fn reached(size: Size, measured: &Measured) -> bool {
        Figures::new(size, true, 5, measured).targets_reached()
    }

    #[test]
    fn each_target_counts() {
        let good = measured();
        assert!(reached(SIZE, &good));
        let unchanged = |pass| Measured { unchanged: pass, ..good };
        let changed = |pass| Measured { changed: pass, ..good };
        for bad in [
            unchanged(pass(2.1, 180, 0)),
            unchanged(pass(1.0, 1100, 0)),
            unchanged(pass(1.0, 180, 1)),
            changed(pass(2.0, 500, 140)),
            changed(pass(2.0, 480, 301)),
            Measured { peak_rss_mb: 151.0, ..good },
            Measured { restart_peak_rss_mb: 151.0, ..good },
        ] {
            assert!(!reached(SIZE, &bad), "{bad:?}");
        }
    }

    #[test]
    fn seconds_are_judged_at_a_thousand_resources_memory_at_ten_thousand() {
        let slow = Measured { unchanged: pass(9.0, 180, 0), ..measured() };
        assert!(reached(Size { resources: 10_000, ..SIZE }, &slow));
        let large = Measured { peak_rss_mb: 151.0, ..measured() };
        assert!(reached(Size { resources: 10_001, ..SIZE }, &large));
    }
}
