//! What the measurements come to: ratios, targets, and how much is wrong.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::agents::Facts;
use super::work::{Measured, Sizes, Task, Work};

/// The latency that targets are for, in milliseconds.
pub(super) const JUDGED_MS: u64 = 5;

/// Index of this agent among all.
pub(super) const OURS: usize = 0;
/// Index of the published Python agent.
pub(super) const PYTHON: usize = 1;
/// By what machines know the agents, in order.
const KEYS: [&str; 3] = ["this_agent", "python_agent", "python_agent_pre_release"];

/// What a ratio is about, the least that it may be, and which it is.
type Least = (&'static str, f64, fn(&Ratios) -> f64);

/// Least of each ratio.
const LEAST: [Least; 5] = [
    ("orders per second", 20.0, |ratios| ratios.orders),
    ("seconds of an unchanged pass", 100.0, |ratios| ratios.unchanged_pass),
    ("requests of an unchanged pass", 100.0, |ratios| ratios.unchanged_requests),
    ("peak memory", 4.0, |ratios| ratios.rss),
    ("installed size", 10.0, |ratios| ratios.installed_size),
];
/// Most milliseconds from the start of this agent to its first request.
const MOST_START_MS: f64 = 50.0;

/// One agent at one latency.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Side {
    /// Index among the agents.
    pub(super) agent: usize,
    pub(super) latency_ms: u64,
    pub(super) measured: Measured,
}

/// How many times this agent is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Ratios {
    /// Create orders per second.
    orders: f64,
    unchanged_pass: f64,
    unchanged_requests: f64,
    start: f64,
    rss: f64,
    installed_size: f64,
}

/// Something that this agent has to reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) wanted: String,
    pub(super) found: String,
    pub(super) reached: bool,
}

/// Everything that was measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Figures {
    pub(super) sizes: Sizes,
    pub(super) agents: Vec<Facts>,
    /// Why the pre-release was left out, if it was to be run.
    pub(super) absent: Option<String>,
    pub(super) sides: Vec<Side>,
}

impl Measured {
    pub(super) fn work(&self, task: Task) -> Option<&Work> {
        self.works.iter().find(|work| work.task == task)
    }

    /// How much is not as it should be.
    pub(super) fn wrong(&self) -> usize {
        self.checks.iter().map(|check| check.wrong).sum()
    }
}

impl Figures {
    /// Those of several runs as if they were of one, in the order of latencies.
    ///
    /// # Errors
    /// They are not of the same agents and the same work, or one has measured what another has.
    pub(super) fn join(runs: Vec<Self>) -> Result<Self> {
        let mut runs = runs.into_iter();
        let mut all = runs.next().context("nothing to join")?;
        for run in runs {
            ensure!(run.sizes == all.sizes, "the runs did different amounts of work");
            // One may have left out the pre-release.
            let common = run.agents.len().min(all.agents.len());
            ensure!(run.agents[..common] == all.agents[..common], "the runs are of different agents");
            for side in &run.sides {
                let twice = all.side(side.agent, side.latency_ms).is_some();
                ensure!(!twice, "two of the runs are at {} ms", side.latency_ms);
            }
            if run.agents.len() > all.agents.len() {
                all.agents = run.agents;
            }
            all.absent = all.absent.or(run.absent);
            all.sides.extend(run.sides);
        }
        all.sides.sort_by_key(|side| (side.latency_ms, side.agent));
        Ok(all)
    }

    /// What a run has printed for machines.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn read(json: &str) -> Result<Self> {
        let mut printed: Value = serde_json::from_str(json).context("no JSON")?;
        serde_json::from_value(printed["measured"].take()).context("not what a comparison prints")
    }

    pub(super) fn side(&self, agent: usize, latency_ms: u64) -> Option<&Measured> {
        let mut sides = self.sides.iter();
        let side = sides.find(|side| side.agent == agent && side.latency_ms == latency_ms)?;
        Some(&side.measured)
    }

    /// This agent against another, if both have done the work at this latency.
    pub(super) fn ratios(&self, agent: usize, latency_ms: u64) -> Option<Ratios> {
        let (ours, other) = (self.side(OURS, latency_ms)?, self.side(agent, latency_ms)?);
        let work = |task| Some((other.work(task)?, ours.work(task)?));
        let (other_orders, our_orders) = work(Task::Create)?;
        let (other_pass, our_pass) = work(Task::UnchangedPass)?;
        let requests = |work: &Work| (work.waldur_requests + work.okd_requests) as f64;
        Some(Ratios {
            orders: other_orders.seconds / our_orders.seconds,
            unchanged_pass: other_pass.seconds / our_pass.seconds,
            unchanged_requests: requests(other_pass) / requests(our_pass),
            start: other.start_seconds / ours.start_seconds,
            rss: other.peak_rss_mb / ours.peak_rss_mb,
            installed_size: self.agents.get(agent)?.installed_bytes as f64
                / self.agents.get(OURS)?.installed_bytes as f64,
        })
    }

    /// What has to be reached against the published Python agent; none if nothing was run at the judged latency.
    pub(super) fn targets(&self) -> Option<Vec<Target>> {
        let ours = self.side(OURS, JUDGED_MS)?;
        let ratios = self.ratios(PYTHON, JUDGED_MS)?;
        let mut targets: Vec<Target> = LEAST
            .iter()
            .map(|(name, least, ratio)| Target {
                name: format!("Times better in {name}"),
                wanted: format!("at least {least:.0}"),
                found: format!("{:.1}", ratio(&ratios)),
                reached: ratio(&ratios) >= *least,
            })
            .collect();
        let start_ms = ours.start_seconds * 1e3;
        targets.push(Target {
            name: "Start to first request".to_owned(),
            wanted: format!("under {MOST_START_MS:.0} ms"),
            found: format!("{start_ms:.1} ms"),
            reached: start_ms < MOST_START_MS,
        });
        let wrong: usize =
            self.sides.iter().filter(|side| side.agent == OURS).map(|side| side.measured.wrong()).sum();
        targets.push(Target {
            name: "Wrong results, at all latencies".to_owned(),
            wanted: "0".to_owned(),
            found: wrong.to_string(),
            reached: wrong == 0,
        });
        Some(targets)
    }

    /// Targets that are missed, in words.
    pub(super) fn missed(&self) -> Option<Vec<String>> {
        let missed = self.targets()?.into_iter().filter(|target| !target.reached);
        Some(missed.map(|target| format!("{} {}: {}", target.name, target.wanted, target.found)).collect())
    }

    /// For machines. Ratios and wrong results are those of the judged latency, or of the first one without it.
    pub(super) fn json(&self) -> Value {
        let judged = self.sides.iter().any(|side| side.latency_ms == JUDGED_MS);
        let first = self.sides.first().map_or(JUDGED_MS, |side| side.latency_ms);
        let latency_ms = if judged { JUDGED_MS } else { first };
        let key = |agent: usize| KEYS.get(agent).copied().unwrap_or("another");
        let wrong: serde_json::Map<String, Value> = (0..self.agents.len())
            .filter_map(|agent| Some((key(agent).to_owned(), json!(self.side(agent, latency_ms)?.wrong()))))
            .collect();
        json!({
            "latency_ms": latency_ms,
            "ratios": self.ratios(PYTHON, latency_ms),
            "wrong": wrong,
            "targets": self.targets(),
            "targets_reached": self.missed().map(|missed| missed.is_empty()),
            "measured": self,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::compare::truth::Check;

    fn measured(seconds: f64, requests: u64, start_seconds: f64, wrong: usize) -> Measured {
        let tasks = [
            Task::Create,
            Task::Terminate,
            Task::FirstPass,
            Task::UnchangedPass,
            Task::ChangedPass,
            Task::Report,
        ];
        let work = |task| Work {
            task,
            seconds,
            cpu_seconds: 0.5,
            waldur_requests: requests,
            okd_requests: 2 * requests,
        };
        let example = (wrong > 0).then(|| "shop has no quota".to_owned());
        let check = Check {
            name: "Quotas as bought".to_owned(),
            after: "Create orders".to_owned(),
            right: 100 - wrong,
            wrong,
            example,
        };
        Measured {
            start_seconds,
            peak_rss_mb: 20.0 * (1.0 + seconds.floor()),
            works: tasks.map(work).into(),
            checks: vec![check],
        }
    }

    pub(crate) fn figures(ours: &[f64]) -> Figures {
        let facts = |name: &str, installed_bytes| Facts {
            name: name.to_owned(),
            runtime: String::new(),
            installed_bytes,
        };
        let sides = ours.iter().zip([0, JUDGED_MS, 20]).flat_map(|(start, latency_ms)| {
            let side = |agent, measured| Side { agent, latency_ms, measured };
            [side(OURS, measured(0.1, 10, *start, 0)), side(PYTHON, measured(10.0, 1000, 2.0, 100))]
        });
        let agents = vec![facts("This agent 0.1.0", 10_000_000), facts("Python agent 1.0.7", 200_000_000)];
        Figures { sizes: Sizes::FULL, agents, absent: None, sides: sides.collect() }
    }

    #[test]
    fn more_is_better_in_every_ratio() {
        let ratios = figures(&[0.02, 0.02]).ratios(PYTHON, JUDGED_MS).unwrap();
        for (value, wanted) in [
            (ratios.orders, 100.0),
            (ratios.unchanged_pass, 100.0),
            (ratios.unchanged_requests, 100.0),
            (ratios.start, 100.0),
            (ratios.rss, 11.0),
            (ratios.installed_size, 20.0),
        ] {
            assert!((value - wanted).abs() < 1e-9, "{value} {wanted}");
        }
    }

    #[test]
    fn targets_are_judged_at_five_milliseconds() {
        assert_eq!(figures(&[0.02, 0.02]).missed(), Some(Vec::new()));
        assert_eq!(figures(&[0.06, 0.02]).missed(), Some(Vec::new()));
        assert_eq!(figures(&[0.02, 0.06]).missed().unwrap(), ["Start to first request under 50 ms: 60.0 ms"]);
        assert_eq!(figures(&[0.02]).missed(), None);
    }

    #[test]
    fn one_wrong_result_of_ours_is_a_missed_target_at_any_latency() {
        let mut figures = figures(&[0.02, 0.02, 0.02]);
        figures.sides[4].measured.checks[0].wrong = 1;
        assert_eq!(figures.missed().unwrap(), ["Wrong results, at all latencies 0: 1"]);
    }

    #[test]
    fn machines_find_ratios_and_what_is_wrong() {
        let json = figures(&[0.02, 0.02]).json();
        assert_eq!(json["wrong"], json!({"this_agent": 0, "python_agent": 100}));
        assert_eq!((&json["latency_ms"], &json["targets_reached"]), (&json!(5), &json!(true)));
        assert!(json["ratios"]["orders"].as_f64() > Some(99.0));
        let again = Figures::read(&json.to_string()).unwrap();
        assert_eq!(again.json(), json);
        let without = figures(&[0.02]).json();
        assert_eq!((&without["latency_ms"], &without["targets_reached"]), (&json!(0), &Value::Null));
    }

    #[test]
    fn runs_are_joined_if_they_are_of_the_same_agents_and_work() {
        let whole = figures(&[0.02, 0.02, 0.02]);
        let only = |latency_ms| {
            let mut part = whole.clone();
            part.sides.retain(|side| side.latency_ms == latency_ms);
            part
        };
        let joined = Figures::join(vec![only(20), only(0), only(5)]).unwrap();
        assert_eq!(joined.json(), whole.json());
        let error = |other| Figures::join(vec![only(0), other]).unwrap_err().to_string();
        assert_eq!(error(only(0)), "two of the runs are at 0 ms");
        let mut newer = only(5);
        newer.agents[OURS].installed_bytes += 1;
        assert_eq!(error(newer), "the runs are of different agents");
        let mut less = only(5);
        less.sizes.orders = 10;
        assert_eq!(error(less), "the runs did different amounts of work");
    }
}
