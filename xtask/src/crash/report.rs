//! What came of a sweep: how many points of each work and kind were tried, and each violation with how to see it again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::point::{Kind, Point};
use super::step::Step;
use super::strike::Outcome;

/// How often progress is told, in points.
const TOLD_EVERY: usize = 100;

/// Counts of one work and kind.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    tried: usize,
    violated: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Report {
    counts: BTreeMap<(Step, Kind), Count>,
    /// Points of which the agent made fewer requests than in the undisturbed run.
    not_reached: usize,
    /// Orders that the cluster's refusal erred, as it should.
    refused: usize,
    /// The point, or the work where nothing was interrupted, and what is not as it has to be.
    violations: Vec<(String, Vec<String>)>,
    took: Duration,
}

impl Report {
    /// Notes what became of a point.
    pub(crate) fn note(&mut self, point: &Point, outcome: Outcome) {
        let count = self.counts.entry((point.step, point.blow.kind())).or_default();
        match outcome {
            Outcome::NotReached => {
                self.not_reached += 1;
                return;
            }
            Outcome::Held => {}
            Outcome::Refused => self.refused += 1,
            Outcome::Violated(found) => {
                count.violated += 1;
                eprintln!("violation at {point}:\n  {}", found.join("\n  "));
                self.violations.push((point.to_string(), found));
            }
        }
        count.tried += 1;
        let points = self.points();
        if points.is_multiple_of(TOLD_EVERY) {
            eprintln!("{points} points, {} violations", self.violations());
        }
    }

    /// Notes that a work went wrong though nothing befell the agent; what befell it earlier in the same life did that.
    pub(crate) fn undisturbed(&mut self, step: Step, found: &[String]) {
        eprintln!("violation in {}, which was not interrupted:\n  {}", step.name(), found.join("\n  "));
        self.violations.push((step.name(), found.to_vec()));
    }

    /// Notes how long all of it took.
    pub(crate) fn took(self, took: Duration) -> Self {
        Self { took, ..self }
    }

    /// Points that were tried.
    pub(crate) fn points(&self) -> usize {
        self.counts.values().map(|count| count.tried).sum()
    }

    /// Points after which not everything was as it has to be.
    pub(crate) fn violations(&self) -> usize {
        self.violations.len()
    }

    /// One JSON object.
    ///
    /// # Errors
    /// It cannot be printed.
    pub(crate) fn json(&self) -> Value {
        let by_kind = |kind: Kind| -> usize {
            let of_kind = self.counts.iter().filter(|((_, of), _)| *of == kind);
            of_kind.map(|(_, count)| count.tried).sum()
        };
        let violated = self.violations.iter().map(|(at, found)| json!({ "at": at, "found": found }));
        json!({
            "points": self.points(),
            "violations": self.violations(),
            "kill": by_kind(Kind::Kill),
            "fault": by_kind(Kind::Fault),
            "second": by_kind(Kind::Second),
            "refused": self.refused,
            "not_reached": self.not_reached,
            "violated": violated.collect::<Vec<_>>(),
            "seconds": self.took.as_secs_f64(),
        })
    }

    /// A table, and how to see each violation again.
    pub(crate) fn text(&self) -> String {
        let kinds = [Kind::Kill, Kind::Fault, Kind::Second];
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["Work", "Killed", "Faults", "Two agents", "Violations"]);
        let mut steps: Vec<Step> = self.counts.keys().map(|(step, _)| *step).collect();
        steps.dedup();
        for step in steps {
            let counts = kinds.map(|kind| self.counts.get(&(step, kind)).copied().unwrap_or_default());
            let violated: usize = counts.iter().map(|count| count.violated).sum();
            let tried = counts.map(|count| count.tried.to_string());
            table.add_row([step.name()].into_iter().chain(tried).chain([violated.to_string()]));
        }
        for column in 1..5 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = format!(
            "{table}\n{} points tried in {:.0} s, {} violations\n",
            self.points(),
            self.took.as_secs_f64(),
            self.violations()
        );
        let (refused, fewer) = (self.refused, self.not_reached);
        let _infallible = writeln!(
            text,
            "{refused} orders were erred because the cluster refused a write, and their resources could be terminated; \
             {fewer} points were not reached, since the agent made fewer requests"
        );
        for (at, found) in &self.violations {
            let _infallible = writeln!(text, "\n{at}:\n  {}", found.join("\n  "));
            if at.contains(':') {
                let _infallible = writeln!(text, "  again with: cargo xtask crash --point {at}");
            }
        }
        text
    }
}
