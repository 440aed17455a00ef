//! Figures of the events, for people and for machines.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::Value;

/// Most milliseconds from the broker to finished work, in the middle, while little is going on.
const MOST_MEDIAN_MS: f64 = 150.0;
/// Most looks at resources for each change.
const MOST_LOOKS: f64 = 1.2;

/// What became of one round of changes.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Round {
    /// Changes that customers made.
    pub(crate) changes: usize,
    /// Messages that the broker took.
    pub(crate) messages: u64,
    /// Deliveries of what had been delivered before.
    pub(crate) redelivered: u64,
    /// Looks at single resources.
    pub(crate) looks: u64,
    /// From publication to acknowledgement, of messages that call for work; sorted.
    #[serde(skip)]
    pub(crate) milliseconds: Vec<f64>,
    /// Changes that never showed: orders that did not end, quotas and role bindings that are not as they should be,
    /// messages that left the queue without an acknowledgement.
    pub(crate) lost: u64,
}

impl Round {
    fn share(&self, part: f64) -> f64 {
        let last = self.milliseconds.len().saturating_sub(1);
        let index = (part * last as f64).round() as usize;
        self.milliseconds.get(index).copied().unwrap_or(f64::NAN)
    }

    fn looks_per_change(&self) -> f64 {
        self.looks as f64 / self.changes as f64
    }
}

/// Both rounds with what follows from them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    median_ms: f64,
    p99_ms: f64,
    reconciles_per_change: f64,
    lost: u64,
    disturbed_median_ms: f64,
    disturbed_p99_ms: f64,
    disconnects: u32,
    kills: u32,
    resources: usize,
    latency_ms: u64,
    targets_reached: bool,
    calm: Round,
    disturbed: Round,
}

impl Figures {
    pub(crate) fn new(
        calm: Round,
        disturbed: Round,
        (disconnects, kills): (u32, u32),
        resources: usize,
        latency_ms: u64,
    ) -> Self {
        let (median_ms, reconciles_per_change) = (calm.share(0.5), calm.looks_per_change());
        let lost = calm.lost + disturbed.lost;
        let targets_reached = median_ms < MOST_MEDIAN_MS && reconciles_per_change <= MOST_LOOKS && lost == 0;
        Self {
            median_ms,
            p99_ms: calm.share(0.99),
            reconciles_per_change,
            lost,
            disturbed_median_ms: disturbed.share(0.5),
            disturbed_p99_ms: disturbed.share(0.99),
            disconnects,
            kills,
            resources,
            latency_ms,
            targets_reached,
            calm,
            disturbed,
        }
    }

    pub(crate) const fn targets_reached(&self) -> bool {
        self.targets_reached
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["", "Calm", "Disturbed", "Target"]);
        let target = |text: String, reached| format!("{text} {}", if reached { "✓" } else { "✗" });
        let tenths = |value: f64| format!("{value:.1}");
        let (calm, disturbed) = (&self.calm, &self.disturbed);
        table.add_rows([
            ["Changes".to_owned(), calm.changes.to_string(), disturbed.changes.to_string(), String::new()],
            ["Messages".to_owned(), calm.messages.to_string(), disturbed.messages.to_string(), String::new()],
            [
                "From broker to finished work, ms, median".to_owned(),
                tenths(self.median_ms),
                tenths(self.disturbed_median_ms),
                target(format!("< {MOST_MEDIAN_MS:.0}"), self.median_ms < MOST_MEDIAN_MS),
            ],
            ["99th percentile".to_owned(), tenths(self.p99_ms), tenths(self.disturbed_p99_ms), String::new()],
            [
                "Looks per change".to_owned(),
                format!("{:.2}", self.reconciles_per_change),
                format!("{:.2}", disturbed.looks_per_change()),
                target(format!("≤ {MOST_LOOKS}"), self.reconciles_per_change <= MOST_LOOKS),
            ],
            [
                "Delivered again".to_owned(),
                calm.redelivered.to_string(),
                disturbed.redelivered.to_string(),
                String::new(),
            ],
            [
                "Lost".to_owned(),
                calm.lost.to_string(),
                disturbed.lost.to_string(),
                target("0".to_owned(), self.lost == 0),
            ],
        ]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{table}\n");
        let _infallible = writeln!(
            text,
            "{} resources, {} ms per request on each side; disturbed by {} disconnects and {} kills of the agent.",
            self.resources, self.latency_ms, self.disconnects, self.kills
        );
        text
    }
}

/// Milliseconds of the messages that call for work, sorted: an order that waits for the provider, and roles. What the
/// agent's own steps make Waldur tell is left out; it would make the figures look better.
pub(crate) fn milliseconds(settled: &[Value]) -> Vec<f64> {
    let calls = |message: &&Value| match message["object_type"].as_str() {
        Some("order") => message["order_state"] == "pending-provider",
        Some("user_role") => true,
        _ => false,
    };
    let mut milliseconds: Vec<f64> =
        settled.iter().filter(calls).filter_map(|message| message["ms"].as_f64()).collect();
    milliseconds.sort_by(f64::total_cmp);
    milliseconds
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn round(milliseconds: &[f64], looks: u64, lost: u64) -> Round {
        Round { changes: 10, looks, lost, milliseconds: milliseconds.to_vec(), ..Round::default() }
    }

    #[test]
    fn only_messages_that_call_for_work_are_timed() {
        let message =
            |kind: &str, state: &str, ms: f64| json!({"object_type": kind, "order_state": state, "ms": ms});
        let settled = [
            message("user_role", "", 30.0),
            message("order", "pending-provider", 20.0),
            message("order", "done", 1.0),
            message("offering_user", "", 2.0),
        ];
        assert_eq!(milliseconds(&settled), [20.0, 30.0]);
    }

    #[test]
    fn each_target_can_be_missed() {
        let reached =
            |calm: Round, disturbed: Round| Figures::new(calm, disturbed, (20, 5), 500, 5).targets_reached();
        let good = || round(&[10.0, 149.0, 500.0], 12, 0);
        assert!(reached(good(), round(&[1000.0], 90, 0)), "only the calm round is timed and counted");
        assert!(!reached(round(&[10.0, 151.0, 500.0], 12, 0), good()));
        assert!(!reached(round(&[10.0], 13, 0), good()));
        assert!(!reached(good(), round(&[10.0], 12, 1)));
    }
}
