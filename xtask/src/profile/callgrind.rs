//! What valgrind's callgrind has counted, read from the file that it writes (valgrind manual, "Callgrind Format
//! Specification").

use std::collections::HashMap;

use anyhow::{Context, Result};

/// Instructions of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) total: u64,
    /// By function, with what it calls. A function that calls itself counts more than once.
    pub(super) with_callees: HashMap<String, u64>,
}

/// Names that were written out once and are numbers from then on.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// `(12) name` the first time, `(12)` later, or a bare name.
    fn read(&mut self, text: &str) -> String {
        let Some((number, name)) = text.strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
            return text.to_owned();
        };
        if name.trim().is_empty() {
            return self.0.get(number).cloned().unwrap_or_default();
        }
        self.0.insert(number.to_owned(), name.trim().to_owned());
        name.trim().to_owned()
    }
}

/// Reads the file's text.
///
/// # Errors
/// It has no totals: the run was cut short.
pub(super) fn read(text: &str) -> Result<Counts> {
    let mut counts = Counts::default();
    let (mut names, mut function) = (Names::default(), String::new());
    let mut total = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = names.read(name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            names.read(name);
        } else if let Some(sum) = line.strip_prefix("totals: ") {
            total = sum.trim().parse().ok();
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // A place and what it cost; after a line of calls, what the called function cost.
            let cost = line.split_whitespace().nth(1).and_then(|cost| cost.parse::<u64>().ok());
            *counts.with_callees.entry(function.clone()).or_default() += cost.unwrap_or_default();
        }
    }
    counts.total = total.context("callgrind has written no totals")?;
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "\
# callgrind format
version: 1
creator: callgrind-3.19.0
positions: line
events: Ir
summary: 1020

ob=(1) /bin/agent
fl=(1) worker.rs
fn=(1) agent::engine::worker
16 400
+3 100
cfi=(2) mod.rs
cfn=(2) planner::plan::plan
calls=2 50
* 500

fl=(2)
fn=(2)
50 300
fn=(3) planner::quota
51 20
fn=(2)
52 200

totals: 1020
";

    #[test]
    fn calls_count_for_the_caller() {
        let counts = read(WRITTEN).unwrap();
        let of = |name: &str| counts.with_callees[name];
        assert_eq!(counts.total, 1020);
        assert_eq!(
            (of("agent::engine::worker"), of("planner::plan::plan"), of("planner::quota")),
            (1000, 500, 20)
        );
    }

    #[test]
    fn a_run_that_was_cut_short_is_none() {
        assert!(read(WRITTEN.split("totals").next().unwrap()).is_err());
    }
}
