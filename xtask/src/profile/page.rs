//! The counts as text, and what has grown since they were kept.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::callgrind::Counts;

/// How much more than what is kept is no growth. Orders are worked side by side, and what comes when decides how often
/// one waits for another: two runs of the same program have been seen to differ by 10 %. Unchanged resources differ by 1 %.
const ORDER_MAY_GROW: f64 = 0.40;
/// See [`ORDER_MAY_GROW`].
const UNCHANGED_MAY_GROW: f64 = 0.15;
/// Functions that are shown.
const SHOWN: usize = 25;
/// Functions of the product begin so.
const OWN: [&str; 6] = ["agent::", "planner::", "stomp::", "<agent::", "<planner::", "<stomp::"];

const ORDER: &str = "per order:";
const UNCHANGED: &str = "per unchanged resource:";

/// Instructions of the development build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) compiler: String,
    pub(super) order: Cost,
    pub(super) unchanged: Cost,
}

/// Instructions of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) total: u64,
    /// Of the product's functions with what they call, the dearest first.
    pub(super) functions: Vec<(String, u64)>,
}

/// What each of the `number` by which a larger run exceeds a smaller one costs.
pub(super) fn each(small: &Counts, large: &Counts, number: u64) -> Cost {
    let more = |large: u64, small: u64| large.saturating_sub(small) / number.max(1);
    let before = |name: &str| small.with_callees.get(name).copied().unwrap_or_default();
    let own = large.with_callees.iter().filter(|(name, _)| OWN.iter().any(|own| name.starts_with(own)));
    let mut functions: Vec<(String, u64)> =
        own.map(|(name, count)| (name.clone(), more(*count, before(name)))).collect();
    functions.retain(|(_, count)| *count > 0);
    functions.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
    functions.truncate(SHOWN);
    Cost { total: more(large.total, small.total), functions }
}

/// What is kept.
pub(super) fn text(profile: &Profile) -> String {
    let mut text = format!(
        "Instructions that the agent executes, counted by valgrind's callgrind on the development build, on one thread.\n\
         Written by `cargo xtask profile`, held against by `cargo xtask profile --check`: more than {:.0} % above for an\n\
         order, {:.0} % for a resource, is a failure. What is done once a start falls out: each is the difference of two sizes. A Create order is from the\n\
         list of orders to done. An unchanged resource has {} members, all of whom are read from Waldur's lists, and its\n\
         objects are listed from the cluster, as under a role that grants no watch.\n\n\
         compiler: {}\n{ORDER} {}\n{UNCHANGED} {}\n",
        ORDER_MAY_GROW * 100.0,
        UNCHANGED_MAY_GROW * 100.0,
        super::MEMBERS,
        profile.compiler,
        profile.order.total,
        profile.unchanged.total
    );
    for (name, cost) in [("An order", &profile.order), ("An unchanged resource", &profile.unchanged)] {
        let _ = writeln!(text, "\n{name}, by function with what it calls:\n");
        for (function, count) in &cost.functions {
            let share = 100.0 * *count as f64 / cost.total.max(1) as f64;
            let _ = writeln!(text, "{share:5.1} % {count:>12}  {function}");
        }
    }
    text
}

/// Holds counts against those that are kept.
///
/// # Errors
/// One has grown, or what is kept cannot be read.
pub(super) fn compare(kept: &str, profile: &Profile) -> Result<()> {
    let number = |label: &str| -> Result<u64> {
        let line = kept.lines().find_map(|line| line.strip_prefix(label));
        line.and_then(|line| line.trim().parse().ok())
            .with_context(|| format!("no `{label}` in docs/profile.txt"))
    };
    let mut grown = Vec::new();
    let counted = [
        (ORDER, profile.order.total, ORDER_MAY_GROW),
        (UNCHANGED, profile.unchanged.total, UNCHANGED_MAY_GROW),
    ];
    for (label, count, may_grow) in counted {
        let before = number(label)?;
        let more = 100.0 * (count as f64 / before.max(1) as f64 - 1.0);
        eprintln!("{label} {count} instructions, {more:+.1} %");
        if more > may_grow * 100.0 {
            grown.push(format!("{label} {count} instructions in place of {before}, {more:+.1} %"));
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    let compiler = &profile.compiler;
    let other = if kept.contains(compiler.as_str()) { "" } else { "; another compiler counts otherwise" };
    bail!("{}; if that is meant, write docs/profile.txt with `cargo xtask profile`{other}", grown.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(total: u64, functions: &[(&str, u64)]) -> Counts {
        let with_callees = functions.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Counts { total, with_callees }
    }

    fn profile(order: u64, unchanged: u64) -> Profile {
        let cost = |total| Cost { total, functions: vec![("planner::plan::plan".to_owned(), total / 4)] };
        Profile { compiler: "rustc 1.95.0".to_owned(), order: cost(order), unchanged: cost(unchanged) }
    }

    #[test]
    fn what_is_done_once_falls_out() {
        let run = |number: u64| {
            let functions = [("agent::start", 1000), ("agent::work", 50 * number), ("serde::x", number)];
            counts(1000 + 50 * number, &functions)
        };
        let cost = each(&run(10), &run(30), 20);
        assert_eq!(cost, Cost { total: 50, functions: vec![("agent::work".to_owned(), 50)] });
    }

    #[test]
    fn only_growth_beyond_the_tolerance_fails() {
        let kept = text(&profile(1_000_000, 10_000));
        for good in [profile(1_000_000, 10_000), profile(1_399_000, 11_490), profile(500_000, 10)] {
            assert!(compare(&kept, &good).is_ok());
        }
        let error = |bad: &Profile| compare(&kept, bad).unwrap_err().to_string();
        assert!(error(&profile(1_401_000, 10_000)).contains("per order: 1401000"));
        assert!(error(&profile(1_000_000, 11_510)).contains("per unchanged resource: 11510"));
        assert!(compare("nothing", &profile(1, 1)).is_err());
        let newer = Profile { compiler: "rustc 1.99.0".to_owned(), ..profile(2_000_000, 1) };
        assert!(error(&newer).contains("another compiler"));
    }
}
