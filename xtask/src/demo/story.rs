//! The orders that the demo places, and what has to become of each.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// One order of the demo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// Name of the Waldur resource.
    pub(crate) resource: &'static str,
    /// What is ordered.
    pub(crate) request: Request,
    /// Place in [`STORY`] of the order that has to be done before.
    pub(crate) after: Option<usize>,
    /// How it has to end.
    pub(crate) expected: Expected,
}

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// A new resource.
    Create(Limits),
    /// Other limits.
    Update(Limits),
    /// The end of a resource.
    Terminate,
}

/// How an order has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Fulfilled.
    Done,
    /// Refused before anything was made, with these words in the reason.
    Rejected(&'static str),
}

/// Limits of the offering's components: cores, GB, GB, pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
    pub(crate) storage: i64,
    pub(crate) pods: i64,
}

/// Three creates, an update, a terminate, and a slip of the keyboard that Waldur lets through.
pub(crate) const STORY: [Line; 6] = [
    line("Web shop", Request::Create(limits(4, 16, 100, 50)), None),
    line("Intranet", Request::Create(limits(2, 8, 50, 20)), None),
    line("Data lab", Request::Create(limits(16, 64, 500, 200)), None),
    line("Web shop", Request::Update(limits(8, 32, 100, 80)), Some(0)),
    line("Intranet", Request::Terminate, Some(1)),
    Line {
        expected: Expected::Rejected("the limit of `memory` is -16; it must not be negative"),
        ..line("Mistyped", Request::Create(limits(4, -16, 100, 50)), None)
    },
];

const fn line(resource: &'static str, request: Request, after: Option<usize>) -> Line {
    Line { resource, request, after, expected: Expected::Done }
}

const fn limits(cpu: i64, memory: i64, storage: i64, pods: i64) -> Limits {
    Limits { cpu, memory, storage, pods }
}

impl Request {
    /// As Waldur calls it.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Create(_) => "Create",
            Self::Update(_) => "Update",
            Self::Terminate => "Terminate",
        }
    }
}

impl Expected {
    /// The order's state in Waldur.
    pub(crate) const fn state(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Rejected(_) => "rejected",
        }
    }
}

impl Limits {
    /// As Waldur takes them.
    pub(crate) fn json(self) -> Value {
        json!({"cpu": self.cpu, "memory": self.memory, "storage": self.storage, "pods": self.pods})
    }

    /// The quota that the README promises for them: requests as ordered, limits of cpu and memory twice that.
    pub(crate) fn quota(self) -> BTreeMap<String, String> {
        let Self { cpu, memory, storage, pods } = self;
        let keys = [
            ("requests.cpu", cpu.to_string()),
            ("limits.cpu", (2 * cpu).to_string()),
            ("requests.memory", format!("{memory}Gi")),
            ("limits.memory", format!("{}Gi", 2 * memory)),
            ("requests.storage", format!("{storage}Gi")),
            ("pods", pods.to_string()),
        ];
        keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_waits_only_for_an_earlier_one_about_the_same_resource() {
        for (index, line) in STORY.iter().enumerate() {
            if let Some(before) = line.after {
                assert!(before < index, "{line:?}");
                assert_eq!(STORY[before].resource, line.resource);
                assert_eq!(STORY[before].expected, Expected::Done);
            }
        }
    }

    #[test]
    fn creates_have_different_limits() {
        let mut seen: Vec<Limits> = Vec::new();
        for line in STORY {
            if let Request::Create(limits) = line.request {
                assert!(!seen.contains(&limits), "{line:?}");
                seen.push(limits);
            }
        }
        assert_eq!(seen.len(), 4);
    }
}
