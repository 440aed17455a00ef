//! Faults that a simulated server injects into chosen requests, decided by rules and a seed.
//!
//! A rule matches requests, says when it strikes and what it does. Rules are added and cleared while the server runs.
//! This module decides; [`crate::server`] carries out. What an error status looks like belongs to the server simulated,
//! which gives a [`Shaper`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What happens to a matching request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The answer is late by `fixed` plus up to `jitter`; other faults may follow.
    Latency {
        /// Least delay.
        fixed: Duration,
        /// Greatest further delay, drawn by the seed.
        jitter: Duration,
    },
    /// An error answer in the server's own format; the request has no effect.
    Status(u16),
    /// 429 with `Retry-After` in seconds; the request has no effect.
    TooManyRequests {
        /// Value of the `Retry-After` header, seconds.
        retry_after: u64,
    },
    /// The connection is reset and the request has no effect.
    ResetBefore,
    /// The request takes effect, then the connection is reset without an answer.
    ResetAfter,
    /// The connection stays open, the request has no effect, nothing is ever answered.
    Stall,
    /// The request takes effect and the connection stays open, but nothing is ever answered.
    StallAfter,
    /// The request waits until its rule lets go ([`Faults::release`]), and only then takes effect.
    Hold,
    /// The request takes effect at once; its answer waits until the rule lets go.
    HoldAfter,
    /// The request takes effect; half of the body is sent, then the connection is reset.
    TruncatedBody,
    /// An HTML page such as a proxy sends; the request has no effect.
    Html(u16),
}

/// When a matching rule strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// Every match.
    Always,
    /// Only the n-th match, from 1.
    Nth(u64),
    /// The first n matches.
    First(u64),
    /// Each match with this probability (0..=1), drawn by the seed.
    Probability(f64),
}

/// How a path is compared with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// Any path.
    Any,
    /// The path begins with this text.
    Prefix(String),
    /// The path contains this text.
    Contains(String),
    /// The whole path, where `*` stands for any run of characters other than `/` and `**` for any run.
    Glob(String),
}

impl PathMatch {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Prefix(text) => path.starts_with(text.as_str()),
            Self::Contains(text) => path.contains(text.as_str()),
            Self::Glob(pattern) => glob(pattern.as_bytes(), path.as_bytes()),
        }
    }
}

fn glob(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => path.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=path.len()).any(|at| glob(rest, &path[at..])),
        [b'*', rest @ ..] => {
            let end = path.iter().position(|&c| c == b'/').unwrap_or(path.len());
            (0..=end).any(|at| glob(rest, &path[at..]))
        }
        [c, rest @ ..] => path.first() == Some(c) && glob(rest, &path[1..]),
    }
}

/// One rule: which requests, when, what.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Method to match; `None` matches all.
    pub method: Option<Method>,
    /// Path to match.
    pub path: PathMatch,
    /// Whose requests pass by: those of clients whose `User-Agent` begins with this. They are not counted either.
    pub spares: Option<String>,
    /// When it strikes.
    pub when: When,
    /// What it does.
    pub fault: Fault,
}

impl Rule {
    /// A rule for every request.
    #[must_use]
    pub fn all(fault: Fault) -> Self {
        Self { method: None, path: PathMatch::Any, spares: None, when: When::Always, fault }
    }

    /// A rule for paths that match a glob (`*` within a segment, `**` across).
    #[must_use]
    pub fn path(glob: &str, fault: Fault) -> Self {
        Self { path: PathMatch::Glob(glob.to_owned()), ..Self::all(fault) }
    }

    /// Limits the rule to one method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Says when it strikes.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }
}

/// A handle on an added rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(pub(crate) u64);

/// A request that a rule holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its method.
    pub method: Method,
    /// Its path, as sent.
    pub path: String,
}

/// Where requests wait that a rule holds.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    held: watch::Sender<Option<Held>>,
    open: CancellationToken,
}

impl Gate {
    /// Says that this request is held, and waits for the rule to let go.
    pub(crate) async fn wait(&self, held: Held) {
        self.held.send_replace(Some(held));
        self.open.cancelled().await;
    }
}

/// What becomes of one request.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// It is late by this.
    pub(crate) delay: Duration,
    /// What happens to it, and where it waits if that is a hold.
    pub(crate) fault: Option<(Fault, Arc<Gate>)>,
}

struct Active {
    id: u64,
    rule: Rule,
    matches: u64,
    struck: u64,
    gate: Arc<Gate>,
}

impl Drop for Active {
    /// Nobody waits for a rule that is gone.
    fn drop(&mut self) {
        self.gate.open.cancel();
    }
}

struct State {
    next: u64,
    rules: Vec<Active>,
    random: fastrand::Rng,
}

/// The rules of one server; clones share them.
#[derive(Clone)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

impl Default for Faults {
    fn default() -> Self {
        Self::seeded(0)
    }
}

impl Faults {
    /// No rules yet; probabilities and jitter are drawn from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let state = State { next: 0, rules: Vec::new(), random: fastrand::Rng::with_seed(seed) };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule; it counts matches from now on.
    pub fn add(&self, rule: Rule) -> RuleId {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.rules.push(Active { id, rule, matches: 0, struck: 0, gate: Arc::default() });
        RuleId(id)
    }

    /// Removes one rule; unknown ids are ignored.
    pub fn remove(&self, id: RuleId) {
        self.lock().rules.retain(|active| active.id != id.0);
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// How often a rule struck; 0 for a rule that is gone.
    #[must_use]
    pub fn struck(&self, id: RuleId) -> u64 {
        self.lock().rules.iter().find(|active| active.id == id.0).map_or(0, |active| active.struck)
    }

    /// Waits until the rule holds a request; `None` if the rule is gone before that.
    pub async fn held(&self, id: RuleId) -> Option<Held> {
        let gate = self.gate(id)?;
        let mut held = gate.held.subscribe();
        tokio::select! {
            biased;
            held = held.wait_for(Option::is_some) => held.ok().and_then(|held| held.clone()),
            () = gate.open.cancelled() => None,
        }
    }

    /// Lets go of what the rule holds, now and from now on; false if there is no such rule.
    pub fn release(&self, id: RuleId) -> bool {
        let gate = self.gate(id);
        gate.inspect(|gate| gate.open.cancel()).is_some()
    }

    fn gate(&self, id: RuleId) -> Option<Arc<Gate>> {
        self.lock().rules.iter().find(|active| active.id == id.0).map(|active| Arc::clone(&active.gate))
    }

    /// The delay and the fault for one request. Latencies add up; of the other faults the first rule wins.
    pub(crate) fn decide(&self, method: &Method, path: &str, user_agent: &str) -> Verdict {
        let State { rules, random, .. } = &mut *self.lock();
        let Verdict { mut delay, mut fault } = Verdict::default();
        for active in rules {
            if active.rule.method.as_ref().is_some_and(|wanted| wanted != method)
                || !active.rule.path.matches(path)
                || active.rule.spares.as_ref().is_some_and(|spared| user_agent.starts_with(spared))
            {
                continue;
            }
            active.matches += 1;
            let strikes = match active.rule.when {
                When::Always => true,
                When::Nth(n) => active.matches == n,
                When::First(n) => active.matches <= n,
                When::Probability(p) => random.f64() < p,
            };
            if !strikes {
                continue;
            }
            if let Fault::Latency { fixed, jitter } = active.rule.fault {
                delay += fixed + jitter.mul_f64(random.f64());
            } else if fault.is_none() {
                fault = Some((active.rule.fault.clone(), Arc::clone(&active.gate)));
            } else {
                continue;
            }
            active.struck += 1;
        }
        Verdict { delay, fault }
    }
}

/// Makes the body of an injected error status: (status, retry-after seconds) to content type and body.
pub type Shaper = fn(status: u16, retry_after: Option<u64>) -> (&'static str, Bytes);

/// The body of a server that says no more than the reason phrase, as plain text.
#[must_use]
pub fn plain_shaper(status: u16, _retry_after: Option<u64>) -> (&'static str, Bytes) {
    let reason =
        http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("error");
    ("text/plain; charset=utf-8", Bytes::from_static(reason.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_star_stays_within_a_segment() {
        assert!(glob(b"/api/v1/namespaces/*", b"/api/v1/namespaces/a"));
        assert!(!glob(b"/api/v1/namespaces/*", b"/api/v1/namespaces/a/pods"));
        assert!(glob(b"/api/**/pods", b"/api/v1/namespaces/a/pods"));
    }

    #[test]
    fn probabilities_follow_the_seed() {
        let draw = |seed| {
            let faults = Faults::seeded(seed);
            faults.add(Rule::all(Fault::Status(500)).when(When::Probability(0.5)));
            (0..64).map(|_| faults.decide(&Method::GET, "/", "").fault.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn a_rule_can_strike_only_the_nth_match() {
        let faults = Faults::default();
        let id = faults.add(Rule::path("/a", Fault::Stall).when(When::Nth(2)));
        let hits: Vec<bool> = ["/a", "/b", "/a", "/a"]
            .iter()
            .map(|p| faults.decide(&Method::GET, p, "").fault.is_some())
            .collect();
        assert_eq!(hits, [false, false, true, false]);
        assert_eq!(faults.struck(id), 1);
    }

    #[test]
    fn a_client_can_be_spared() {
        let faults = Faults::default();
        faults.add(Rule { spares: Some("probe".to_owned()), ..Rule::all(Fault::Status(503)) });
        let struck = |agent| faults.decide(&Method::GET, "/", agent).fault.is_some();
        assert_eq!([struck("probe/1"), struck("kube"), struck("")], [false, true, true]);
    }
}
