//! Conversations as data: who sends what, and what has to come back.
//!
//! One line is one exchange:
//! `NNN who METHOD path [body] -> status [expected] [; name=field …]`
//!
//! * `NNN` names the measurement that the line restates; `-` where there is none.
//! * A path without a slash in front is short for `/api/marketplace-…/`.
//! * `$name` stands for a remembered value; `$place` for the offering and project of an order.
//! * Expected is nothing for an empty body, `html` for a page, `any`, or JSON: objects may hold more than is named,
//!   arrays may not.
//! * After `;` fields of the answer are remembered.

use std::collections::BTreeMap;

use serde_json::Value;
use simulator::waldur::{Generation, Scope, SeedUser};

use crate::waldur_support::{Caller, Reply, Served};

/// People of the conversations, beside those of the demo seed, by their short names.
const PEOPLE: [(&str, &str); 10] = [
    ("agent", "agent-token"),
    ("staff", "staff-token"),
    ("owner", "owner-token"),
    ("manager", "manager-token"),
    ("member", "member-token"),
    ("carol", "carol-token"),
    ("olga", "olga-token"),
    ("erin", "erin-token"),
    ("nobody", ""),
    ("wrong", "no-such-token"),
];

/// A server and what was learnt from its answers.
pub(crate) struct Stage {
    pub(crate) served: Served,
    names: BTreeMap<String, String>,
}

impl Stage {
    /// The demo with a project administrator, an offering manager and a stranger.
    pub(crate) async fn new(generation: Generation) -> Self {
        let served = Served::demo(generation).await;
        let waldur = &served.waldur;
        let carol = waldur.add_user(&SeedUser::new("carol.admin", "carol-token"));
        let olga = waldur.add_user(&SeedUser::new("olga.manager", "olga-token"));
        let erin = waldur.add_user(&SeedUser::new("erin.late", "erin-token"));
        let (offering, project) = (waldur.offering("okd-projects").unwrap(), waldur.project("web").unwrap());
        waldur.add_member(project, carol, "PROJECT.ADMIN");
        waldur.add_role(Scope::Offering(offering), olga, "OFFERING.MANAGER", None);
        let hex = |uuid: uuid::Uuid| uuid.simple().to_string();
        let place = format!(
            r#""offering": "{0}/api/marketplace-public-offerings/{1}/", "project": "{0}/api/projects/{2}/""#,
            served.url,
            hex(offering),
            hex(project),
        );
        let names = [
            ("url", served.url.clone()),
            ("place", place),
            ("offering", hex(offering)),
            ("project", hex(project)),
            ("provider", hex(waldur.customer("cloud-provider").unwrap())),
            ("erin", hex(erin)),
            ("zero", "0".repeat(32)),
        ];
        let names = names.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Self { served, names }
    }

    pub(crate) fn uuid(&self, name: &str) -> uuid::Uuid {
        self.names[name].parse().unwrap()
    }

    /// Plays the lines in their order.
    pub(crate) async fn play(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            self.exchange(line).await;
        }
    }

    async fn exchange(&mut self, line: &str) {
        let line = self.fill(line);
        let (request, answer) = line.split_once(" -> ").expect("an arrow");
        let words: Vec<&str> = request.splitn(5, ' ').collect();
        let [_, who, method, path] = words[..4] else { panic!("too short: {line}") };
        let body =
            words.get(4).map(|text| serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {line}")));
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            let (path, query) =
                path.split_once('?').map_or((path, String::new()), |(p, q)| (p, format!("?{q}")));
            format!("/api/marketplace-{path}/{query}")
        };
        let reply = self.caller(who).send(method.parse().unwrap(), &path, body).await;
        let (expected, memory) = answer.split_once("; ").unwrap_or((answer, ""));
        check(&line, &reply, expected.trim());
        for pair in memory.split_whitespace() {
            let (name, field) = pair.split_once('=').expect("name=field");
            let value = reply.json.pointer(&format!("/{}", field.replace('.', "/")));
            let value = value.and_then(Value::as_str).unwrap_or_else(|| panic!("no {field}: {}", reply.text));
            self.names.insert(name.to_owned(), value.to_owned());
        }
    }

    fn caller(&self, who: &str) -> Caller {
        let (_, token) =
            PEOPLE.iter().find(|(name, _)| *name == who).unwrap_or_else(|| panic!("who is {who}?"));
        self.served.caller(token)
    }

    /// Longer names first, so that `$order2` is not taken for `$order`.
    fn fill(&self, line: &str) -> String {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        names
            .into_iter()
            .fold(line.to_owned(), |line, (name, value)| line.replace(&format!("${name}"), value))
    }
}

fn check(line: &str, reply: &Reply, expected: &str) {
    let (status, body) = expected.split_once(' ').unwrap_or((expected, ""));
    assert_eq!(reply.status.to_string(), status, "{line}\nanswered {}", reply.text);
    match body {
        "any" => {}
        "" => assert_eq!(reply.text, "", "{line}"),
        "html" => {
            assert!(reply.kind.starts_with("text/html"), "{line}\nanswered {} {}", reply.kind, reply.text)
        }
        json => {
            let wanted = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
            assert_eq!(reply.kind, "application/json", "{line}");
            assert!(holds(&reply.json, &wanted), "{line}\nanswered {}", reply.text);
        }
    }
}

/// Whether `actual` is `wanted`, or an object with more fields.
pub(crate) fn holds(actual: &Value, wanted: &Value) -> bool {
    match (actual, wanted) {
        (Value::Object(actual), Value::Object(wanted)) => {
            wanted.iter().all(|(name, value)| actual.get(name).is_some_and(|actual| holds(actual, value)))
        }
        (Value::Array(actual), Value::Array(wanted)) => {
            actual.len() == wanted.len()
                && actual.iter().zip(wanted).all(|(actual, wanted)| holds(actual, wanted))
        }
        _ => actual == wanted,
    }
}
