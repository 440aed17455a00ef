//! Where and how a work is interrupted: one request of the agent, and what befalls it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::step::Step;
use crate::site::{USER_AGENT, text};

/// The faults of the simulators, by the names of their control port.
const FAULTS: [(&str, &str); 15] = [
    ("400", r#"{"status": 400}"#),
    ("401", r#"{"status": 401}"#),
    ("403", r#"{"status": 403}"#),
    ("404", r#"{"status": 404}"#),
    ("409", r#"{"status": 409}"#),
    ("429", r#"{"too_many_requests": {"retry_after": 1}}"#),
    ("500", r#"{"status": 500}"#),
    ("503", r#"{"status": 503}"#),
    ("reset-before", r#""reset_before""#),
    ("reset-after", r#""reset_after""#),
    ("truncated", r#""truncated_body""#),
    ("html-502", r#"{"html": 502}"#),
    ("html-200", r#"{"html": 200}"#),
    ("slow", r#"{"latency": {"fixed_ms": 1500, "jitter_ms": 500}}"#),
    ("stall-after", r#""stall_after""#),
];
/// The last of [`FAULTS`]: costs a whole deadline of a request, and is tried at writes only.
const STALL: &str = "stall-after";

/// What befalls the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Blow {
    /// SIGKILL while the request has no effect yet.
    KillBefore,
    /// SIGKILL when the request has had its effect and is not answered.
    KillAfter,
    /// While the request has no effect yet, a second agent does all that it can.
    SecondBefore,
    /// The same when it has had its effect and is not answered.
    SecondAfter,
    /// One of the simulators' faults.
    Fault(&'static str),
}

/// Kinds of blows, as they are chosen and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// The agent is killed before and after each request
    Kill,
    /// Each fault of the simulators at each request
    Fault,
    /// A second agent works while the first one waits at each request
    Second,
}

impl Blow {
    /// Its kind.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::KillBefore | Self::KillAfter => Kind::Kill,
            Self::SecondBefore | Self::SecondAfter => Kind::Second,
            Self::Fault(_) => Kind::Fault,
        }
    }

    /// The fault that the simulators are told to inject.
    fn fault(self) -> Value {
        match self {
            Self::KillBefore | Self::SecondBefore => json!("hold"),
            Self::KillAfter | Self::SecondAfter => json!("hold_after"),
            Self::Fault(name) => {
                let known = FAULTS.iter().find(|(known, _)| *known == name);
                known.and_then(|(_, text)| serde_json::from_str(text).ok()).unwrap_or_default()
            }
        }
    }

    /// True if a request of this kind holds the agent until somebody lets go.
    pub(crate) const fn holds(self) -> bool {
        !matches!(self, Self::Fault(_))
    }

    /// True if it may make the agent take an order for one that cannot be fulfilled: the cluster said so.
    pub(crate) fn refuses(self, server: Peer) -> bool {
        server == Peer::Okd && matches!(self, Self::Fault("400" | "403"))
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillBefore => "kill-before",
            Self::KillAfter => "kill-after",
            Self::SecondBefore => "second-before",
            Self::SecondAfter => "second-after",
            Self::Fault(name) => name,
        })
    }
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Waldur,
    Okd,
}

impl Peer {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Waldur, Self::Okd];

    /// As the control port calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Waldur => "waldur",
            Self::Okd => "okd",
        }
    }
}

/// One interruption of one work. As text, `STEP:BLOW:SERVER:NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) step: Step,
    pub(crate) blow: Blow,
    pub(crate) server: Peer,
    /// The request of the agent to that server, from 1.
    pub(crate) nth: u64,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.step.name(), self.blow, self.server.name(), self.nth)
    }
}

impl FromStr for Point {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [step, blow, server, nth] = parts[..] else {
            bail!("`{text}` is not STEP:BLOW:SERVER:NUMBER, such as create:kill-after:okd:17");
        };
        let blow = match blow {
            "kill-before" => Blow::KillBefore,
            "kill-after" => Blow::KillAfter,
            "second-before" => Blow::SecondBefore,
            "second-after" => Blow::SecondAfter,
            other => {
                let known = FAULTS.iter().find(|(name, _)| *name == other);
                Blow::Fault(known.with_context(|| format!("`{other}` is no fault"))?.0)
            }
        };
        let server = Peer::ALL.into_iter().find(|peer| peer.name() == server);
        Ok(Self {
            step: Step::from_str(step, false).map_err(|_| anyhow::anyhow!("`{step}` is no work"))?,
            blow,
            server: server.context("the server is `waldur` or `okd`")?,
            nth: nth.parse().with_context(|| format!("`{nth}` is no number"))?,
        })
    }
}

impl Point {
    /// The rule for the control port.
    pub(crate) fn rule(&self) -> Value {
        json!({ "spares": USER_AGENT, "nth": self.nth, "fault": self.blow.fault() })
    }
}

/// The points of a work that makes these requests where nothing befalls it. What an agent reads at its start is the same for
/// all works: `read` remembers what was struck by a fault before, since it is answered by the same code.
pub(crate) fn points(
    step: Step,
    requests: &Value,
    kinds: &[Kind],
    read: &mut BTreeSet<String>,
) -> Vec<Point> {
    let mut points = Vec::new();
    for server in Peer::ALL {
        let asked = requests[server.name()].as_array().into_iter().flatten();
        // Whoever looks on is not the agent, and rules do not count it either.
        let asked = asked.filter(|request| !text(request, "/user_agent").starts_with(USER_AGENT));
        for (nth, request) in (1..).zip(asked) {
            let (method, path) = (text(request, "/method"), text(request, "/path"));
            let writes = method != "GET" && !path.contains("reviews");
            let shape = format!("{} {method} {}", server.name(), shape(path));
            let mut add = |blow| points.push(Point { step, blow, server, nth });
            if kinds.contains(&Kind::Kill) {
                add(Blow::KillBefore);
                add(Blow::KillAfter);
            }
            // What an agent asks about its own rights changes nothing, and nobody changes the answer.
            if kinds.contains(&Kind::Second) && !path.contains("reviews") {
                add(Blow::SecondBefore);
                if writes {
                    add(Blow::SecondAfter);
                }
            }
            if kinds.contains(&Kind::Fault) && (writes || read.insert(shape)) {
                let faults = FAULTS.iter().filter(|(name, _)| writes || *name != STALL);
                faults.for_each(|(name, _)| add(Blow::Fault(name)));
            }
        }
    }
    points
}

/// A path with names and ids left out, so that the same question about another resource is the same question.
fn shape(path: &str) -> String {
    let named = |before: &str| ["namespaces", "projects"].contains(&before);
    let mut before = "";
    let parts = path.split('/').map(|part| {
        let is_id = part.len() >= 32 && part.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        let shown = if is_id || named(before) { "{}" } else { part };
        before = part;
        shown
    });
    parts.collect::<Vec<_>>().join("/")
}

/// As many points of each work and kind, spread over all of them; all points without a number.
pub(crate) fn sample(points: &[Point], most: Option<usize>) -> Vec<Point> {
    let Some(most) = most.filter(|most| *most < points.len()) else {
        return points.to_vec();
    };
    (0..most).map(|number| points[(2 * number + 1) * points.len() / (2 * most)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_can_be_written_down_and_read_again() {
        for text in ["create:kill-after:okd:17", "lock:second-before:waldur:3", "update:429:okd:1"] {
            assert_eq!(text.parse::<Point>().unwrap().to_string(), text);
        }
        for text in ["create:kill-after:okd", "bake:429:okd:1", "create:418:okd:1", "create:429:oven:1"] {
            assert!(text.parse::<Point>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_request_is_killed_at_and_reads_are_struck_once() {
        let requests = json!({
            "waldur": [{"method": "GET", "path": "/api/users/me/"}],
            "okd": [
                {"method": "GET", "path": "/api/v1/pods", "user_agent": format!("{USER_AGENT}/1")},
                {"method": "PATCH", "path": "/api/v1/namespaces/shop"},
            ],
        });
        let mut read = BTreeSet::new();
        let kinds = [Kind::Kill, Kind::Fault];
        let create = points(Step::Create, &requests, &kinds, &mut read);
        assert_eq!(create.len(), 4 + 2 * FAULTS.len() - 1);
        assert!(create.iter().all(|point| point.nth == 1), "requests of others are not counted");
        let update = points(Step::Update, &requests, &kinds, &mut read);
        assert_eq!(update.len(), 4 + FAULTS.len());
        assert!(create.iter().all(|point| !point.blow.fault().is_null()));
    }

    #[test]
    fn a_sample_is_spread_over_all() {
        let requests = json!({"waldur": vec![json!({"method": "GET", "path": "/"}); 50]});
        let all = points(Step::Create, &requests, &[Kind::Kill], &mut BTreeSet::new());
        let some: Vec<u64> = sample(&all, Some(5)).iter().map(|point| point.nth).collect();
        assert_eq!(some, [6, 16, 26, 36, 46]);
        assert_eq!(sample(&all, None), all);
        assert_eq!(sample(&all, Some(1000)), all);
    }

    #[test]
    fn shapes_leave_out_whose_it_is() {
        let uuid = "0123456789abcdef0123456789abcdef";
        assert_eq!(shape(&format!("/api/marketplace-orders/{uuid}/")), "/api/marketplace-orders/{}/");
        assert_eq!(shape("/api/v1/namespaces/shop/resourcequotas"), "/api/v1/namespaces/{}/resourcequotas");
    }
}
