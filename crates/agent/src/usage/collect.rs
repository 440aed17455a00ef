//! Measures hours that are not in the ledger yet, by Prometheus, and writes them there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use planner::usage::ledger::{self, Closed, Day, Entry, Life, Lived, Source};
use planner::usage::month::Window;
use planner::usage::query::{self, MODEL, Question, Wanted};
use planner::usage::rule::{Measure, Rule, Thing};
use planner::usage::series::{Counted, Minutes, STEP, Sample, Shown, integrate};
use planner::usage::sums::Sums;

use super::gone;
use super::ledger::Ledger;
use super::prometheus::{Prometheus, Range};
use crate::error::{ApiError, Peer};

/// How long a report asks for hours before it tells what is known so far: after a long absence there are many.
pub(super) const FOR_A_REPORT: Duration = Duration::from_secs(600);
/// Hours that one query asks for.
const HOURS_AT_ONCE: usize = 6;

/// Which hours are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Those that are not recorded, as far as there is time.
    Missing,
    /// All of them.
    All,
    /// Those that are not recorded, although they are not over.
    Begun,
}

/// Hours of a day, one after the other, with the lives of which they are wanted.
#[derive(Debug, Default)]
struct Chunk {
    windows: Vec<Window>,
    wanted: BTreeMap<Life, BTreeSet<Window>>,
}

/// Whose minutes are counted.
#[derive(Clone, Copy, Debug)]
struct Whose<'a> {
    lived: &'a Lived,
    /// From when on it was not there, which is known of one that has ended.
    gone: Option<Timestamp>,
}

/// Answers about a batch of namespaces, by question, namespace and model.
type Answers = HashMap<Question, HashMap<(String, String), Minutes>>;

/// Who is asked about what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) prometheus: &'a Prometheus,
    pub(super) rules: &'a [Rule],
    /// Those that have ended are not on the cluster any more.
    pub(super) lives: &'a BTreeMap<Life, Lived>,
    pub(super) now: Timestamp,
}

/// Measures what is missing in `sums`, writes it to the ledger and adds it to the sums. What was measured before an
/// error stays. Without a ledger (in a dry run) nothing is written. Windows that are not over by the clock of Prometheus
/// are left out of the sums, and measured when they are.
pub(super) async fn collect(
    asking: Asking<'_>,
    ledger: Option<&Ledger<'_>>,
    sums: &mut Sums,
    extent: Extent,
) -> Result<(), ApiError> {
    let collected = collect_chunks(asking, ledger, sums, extent).await;
    if extent != Extent::Begun {
        sums.of.end_by(asking.prometheus.closed_by(asking.now));
    }
    collected
}

async fn collect_chunks(
    asking: Asking<'_>,
    ledger: Option<&Ledger<'_>>,
    sums: &mut Sums,
    extent: Extent,
) -> Result<(), ApiError> {
    let Asking { prometheus, rules, lives, now } = asking;
    let begun = Instant::now();
    let chunks = chunks(rules, lives, sums, extent == Extent::All);
    let gone = gone::since(asking, sums, chunks.iter().flat_map(|chunk| &chunk.wanted)).await?;
    for chunk in &chunks {
        if extent != Extent::All && begun.elapsed() > FOR_A_REPORT {
            let message =
                "there are more hours to ask for than one report has time for; the next one goes on";
            return Err(ApiError::unavailable(Peer::Prometheus, "hours", message));
        }
        let Some((first, last)) = chunk.windows.first().zip(chunk.windows.last()) else { continue };
        let (begin, end) = (first.begin, last.end);
        let mut day = Day::new();
        let names: BTreeSet<&str> = chunk.wanted.keys().map(|life| lives[life].namespace.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        for batch in batches(prometheus, &names) {
            let answers = ask(prometheus, rules, &batch, begin, end).await?;
            let closed = if extent == Extent::Begun { end } else { prometheus.closed_by(now) };
            for (life, windows) in
                chunk.wanted.iter().filter(|(life, _)| batch.contains(&lives[*life].namespace.as_str()))
            {
                let lived = &lives[life];
                let whose = Whose { lived, gone: gone.get(life).copied() };
                let hours = windows
                    .iter()
                    .filter(|window| window.end <= closed)
                    .map(|window| (window.begin, measure(rules, &answers, whose, *window, begin)));
                day.insert(life.clone(), Entry { lived: lived.clone(), closed: hours.collect() });
            }
        }
        day.retain(|_, entry| !entry.closed.is_empty());
        if let Some(ledger) = ledger.filter(|_| !day.is_empty()) {
            ledger.write(ledger::day_of(*first), day.clone()).await?;
        }
        sums.add(&day);
    }
    Ok(())
}

/// Namespaces that are asked about at once: one where each query is about one tenant, of whom alone its labels may be.
pub(super) fn batches<'a>(prometheus: &Prometheus, names: &[&'a str]) -> Vec<Vec<&'a str>> {
    if prometheus.is_for_tenants() {
        return names.iter().map(|name| vec![*name]).collect();
    }
    query::batches(names)
}

/// Windows to measure, cut into queries. With `again`, those that are recorded as well.
fn chunks(rules: &[Rule], lives: &BTreeMap<Life, Lived>, sums: &Sums, again: bool) -> Vec<Chunk> {
    let components: Vec<&str> = rules.iter().map(|rule| rule.component.as_str()).collect();
    let mut wanted: BTreeMap<Window, Vec<&Life>> = BTreeMap::new();
    for (life, lived) in lives {
        let windows = if again {
            let alive = sums.of.windows.iter().filter(|window| lived.minutes_of(**window) > 0);
            alive.copied().collect()
        } else {
            sums.missing(life, lived, &components)
        };
        for window in windows {
            wanted.entry(window).or_default().push(life);
        }
    }
    let mut chunks: Vec<Chunk> = Vec::new();
    for (window, lives) in wanted {
        let fits = chunks.last().is_some_and(|chunk| {
            chunk.windows.len() < HOURS_AT_ONCE
                && chunk.windows.last().is_some_and(|last| {
                    last.end == window.begin && ledger::day_of(*last) == ledger::day_of(window)
                })
        });
        if !fits {
            chunks.push(Chunk::default());
        }
        if let Some(chunk) = chunks.last_mut() {
            chunk.windows.push(window);
            for life in lives {
                chunk.wanted.entry(life.clone()).or_default().insert(window);
            }
        }
    }
    chunks
}

async fn ask(
    prometheus: &Prometheus,
    rules: &[Rule],
    namespaces: &[&str],
    begin: Timestamp,
    end: Timestamp,
) -> Result<Answers, ApiError> {
    let mut questions: BTreeSet<Question> = rules.iter().flat_map(query::questions).collect();
    questions.insert(Question::Present);
    let mut answers = Answers::new();
    for question in questions {
        let answer = ask_one(prometheus, &question, namespaces, begin, end).await?;
        answers.insert(question, answer);
    }
    Ok(answers)
}

pub(super) async fn ask_one(
    prometheus: &Prometheus,
    question: &Question,
    namespaces: &[&str],
    begin: Timestamp,
    end: Timestamp,
) -> Result<HashMap<(String, String), Minutes>, ApiError> {
    let query = query::promql(question, namespaces);
    let series = prometheus.range(Range { query: &query, namespaces, begin, end }).await?;
    let mut by_namespace: HashMap<(String, String), Minutes> = HashMap::new();
    for series in series {
        let Some(namespace) = series.labels.get("namespace") else { continue };
        let model = series.labels.get(MODEL).cloned().unwrap_or_default();
        let minutes = by_namespace.entry((namespace.clone(), model)).or_default();
        series.samples.into_iter().for_each(|(minute, sample)| minutes.add(minute, sample));
    }
    Ok(by_namespace)
}

fn measure(rules: &[Rule], answers: &Answers, whose: Whose<'_>, window: Window, begin: Timestamp) -> Closed {
    let counted =
        rules.iter().map(|rule| (rule.component.clone(), count(rule, answers, whose, window, begin)));
    Closed { source: Source::Prometheus, counted: counted.collect() }
}

fn count(
    rule: &Rule,
    answers: &Answers,
    Whose { lived, gone }: Whose<'_>,
    window: Window,
    begin: Timestamp,
) -> Counted {
    let nothing = Minutes::new();
    let answer = |question: &Question, model: &str| {
        let key = (lived.namespace.clone(), model.to_owned());
        answers.get(question).and_then(|answer| answer.get(&key)).unwrap_or(&nothing)
    };
    let questions = query::questions(rule);
    let requested = match &rule.thing {
        Some(Thing::Device { name, model: Some(model) }) if rule.measure != Measure::Allocation => {
            devices(answers, lived, name, model)
        }
        _ => {
            let asked = questions.iter().find(|question| {
                matches!(question, Question::Requests(_) | Question::Allows { .. })
                    || (**question == Question::Running && rule.thing == Some(Thing::Pods))
            });
            asked.map(|question| answer(question, "").clone()).unwrap_or_default()
        }
    };
    let used = questions.iter().find(|question| {
        matches!(question, Question::UsedCpu | Question::UsedMemory | Question::UsedStorage(_))
    });
    let shown = Shown {
        present: answer(&Question::Present, ""),
        running: answer(&Question::Running, ""),
        requested: &requested,
        used: used.map_or(&nothing, |question| answer(question, "")),
    };
    let uses = used.is_some();
    let first_gone =
        gone.map(|gone| usize::try_from(gone.duration_since(begin).as_secs() / STEP).unwrap_or(0));
    integrate(
        window,
        begin,
        |at| lived.holds(at),
        |minute| {
            amount(rule, &shown, uses, minute)
                .or_else(|| first_gone.filter(|gone| minute >= *gone).map(|_| 0))
        },
    )
}

/// The integer of a minute; `None` if it is not known.
fn amount(rule: &Rule, shown: &Shown<'_>, uses: bool, minute: usize) -> Option<i128> {
    let amount = match rule.measure {
        Measure::QuotaUsed => None,
        Measure::Usage if uses => shown.usage(minute),
        Measure::MaxRequestsUsage if uses => shown.greater(minute),
        Measure::Requests | Measure::Usage | Measure::MaxRequestsUsage => shown.requests(minute),
        Measure::Allocation => shown.allocation(minute),
    }?;
    if rule.measure == Measure::Allocation {
        rule.integer_allowed(amount)
    } else {
        Some(rule.integer(amount))
    }
}

/// Devices of one model; of the unknown one those that no model has.
fn devices(answers: &Answers, lived: &Lived, name: &str, model: &str) -> Minutes {
    let by_model = answers.get(&Question::Requests(Wanted::Models(name.to_owned())));
    let of_namespace = |answer: &HashMap<(String, String), Minutes>| -> Vec<(String, Minutes)> {
        let here = answer.iter().filter(|((namespace, _), _)| *namespace == lived.namespace);
        here.map(|((_, model), minutes)| (model.clone(), minutes.clone())).collect()
    };
    let by_model = by_model.map(of_namespace).unwrap_or_default();
    if !model.is_empty() {
        return by_model
            .into_iter()
            .find(|(known, _)| known == model)
            .map(|(_, minutes)| minutes)
            .unwrap_or_default();
    }
    let all = answers.get(&Question::Requests(Wanted::Device(name.to_owned())));
    let all = all.and_then(|all| all.get(&(lived.namespace.clone(), String::new())));
    let mut rest = Minutes::new();
    let Some(all) = all else { return rest };
    for minute in 0..all.len() {
        let known = by_model.iter().fold(Sample::None, |sum, (_, minutes)| sum.plus(minutes.at(minute)));
        rest.add(minute, all.at(minute).minus(known));
    }
    rest
}
