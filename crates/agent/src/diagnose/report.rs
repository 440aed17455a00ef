//! What the diagnostics say: offerings, sections, checks. Plain values, and their form as JSON.

use serde_json::{Value, json};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// As it should be.
    Good,
    /// Could not be tried, because of something that another check says.
    NotTried,
    /// The agent works, with less than it could have, or not for long.
    Warning,
    /// The agent cannot do its work.
    Failed,
}

impl State {
    /// The name in JSON.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NotTried => "not tried",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What, in a word or two.
    pub(crate) name: String,
    pub(crate) state: State,
    /// What was found.
    pub(crate) detail: String,
    /// What to do about it; each failed check has one.
    pub(crate) next_step: Option<String>,
}

impl Check {
    pub(crate) fn good(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Good, detail: detail.into(), next_step: None }
    }

    pub(crate) fn not_tried(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::NotTried, detail: why.into(), next_step: None }
    }

    pub(crate) fn warning(
        name: impl Into<String>,
        detail: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        let next_step = Some(next_step.into());
        Self { name: name.into(), state: State::Warning, detail: detail.into(), next_step }
    }

    pub(crate) fn failed(
        name: impl Into<String>,
        detail: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        let next_step = Some(next_step.into());
        Self { name: name.into(), state: State::Failed, detail: detail.into(), next_step }
    }
}

/// Checks that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) checks: Vec<Check>,
}

/// Everything about one offering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    /// As the operator calls it.
    pub(crate) offering: String,
    /// As written in the configuration.
    pub(crate) uuid: String,
    pub(crate) sections: Vec<Section>,
}

/// How many checks came out how: good, warnings, failed.
pub(crate) fn counts(diagnoses: &[Diagnosis]) -> (usize, usize, usize) {
    let all = diagnoses.iter().flat_map(|diagnosis| &diagnosis.sections).flat_map(|section| &section.checks);
    let states: Vec<State> = all.map(|check| check.state).collect();
    let count = |state| states.iter().filter(|found| **found == state).count();
    (count(State::Good), count(State::Warning), count(State::Failed))
}

/// The same as JSON; `ok` is false if a check failed.
pub(crate) fn json(diagnoses: &[Diagnosis]) -> Value {
    let check = |check: &Check| {
        json!({
            "name": check.name, "state": check.state.as_str(), "detail": check.detail,
            "next_step": check.next_step,
        })
    };
    let section = |section: &Section| json!({"title": section.title, "checks": section.checks.iter().map(check).collect::<Vec<_>>()});
    let offering = |diagnosis: &Diagnosis| {
        json!({
            "name": diagnosis.offering, "uuid": diagnosis.uuid,
            "sections": diagnosis.sections.iter().map(section).collect::<Vec<_>>(),
        })
    };
    let (good, warnings, failed) = counts(diagnoses);
    json!({
        "ok": failed == 0, "good": good, "warnings": warnings, "failed": failed,
        "offerings": diagnoses.iter().map(offering).collect::<Vec<_>>(),
    })
}
