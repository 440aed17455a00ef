//! Limits below what is in use.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Plan;
use super::marks::Held;
use crate::amount::Amount;
use crate::desired::{OVERUSE, Project};
use crate::finding::Finding;
use crate::observed::{Namespace, Observed};
use crate::quota::{self, Hard};

/// Why a quota is not simply written.
#[derive(Debug)]
pub(super) enum Unfit {
    /// What is in use has to be known first.
    Unknown,
    /// The order asks for less than what is in use.
    Refused(String),
}

/// What would be in use beyond the quota; `None` if nothing is, or nobody has to know.
///
/// It matters where a limit is lowered, and where Waldur was told of it before. The quota of a paused resource is
/// meant to be below what is in use.
pub(super) fn check(
    project: &Project,
    held: &Held,
    namespace: &Namespace,
    observed: &Observed,
) -> Result<Option<Map<String, Value>>, Unfit> {
    if held.is_held {
        return Ok(None);
    }
    let nothing = Hard::new();
    let before = observed.quota.as_ref().map_or(&nothing, |quota| &quota.value);
    let after = held.quota(project).resolve(observed.quota.as_ref().map(|quota| &quota.value));
    let lowered = |key: &String| before.get(key).is_some_and(|old| after.get(key) < Some(old));
    let told = project.backend_metadata.contains_key(OVERUSE);
    if !told && !after.keys().any(lowered) {
        return Ok(None);
    }
    let Some(used) = &observed.used else {
        return Err(Unfit::Unknown);
    };
    let over: BTreeMap<&String, (Amount, Amount)> = after
        .iter()
        .filter_map(|(key, hard)| Some((key, (*used.get(key)?, *hard))))
        .filter(|(_, (used, hard))| used > hard)
        .collect();
    let refused = over.iter().filter_map(|(key, (used, hard))| {
        let component = project.no_less_than_used.get(*key).filter(|_| lowered(key))?;
        let (used, hard) = (quota::quantity(key, *used), quota::quantity(key, *hard));
        Some(format!("`{component}`: {key} would be {hard}, {used} is in use"))
    });
    let refused: Vec<String> = refused.collect();
    if !refused.is_empty() {
        let name = &namespace.name;
        return Err(Unfit::Refused(format!(
            "the new limits are below what is in use in `{name}`, and nothing was changed: {}; free it first",
            refused.join("; ")
        )));
    }
    let told = over.into_iter().map(|(key, (used, hard))| {
        let amounts = json!({"used": quota::quantity(key, used), "limit": quota::quantity(key, hard)});
        (key.clone(), amounts)
    });
    let told: Map<String, Value> = told.collect();
    Ok(Some(told).filter(|told| !told.is_empty()))
}

impl Plan {
    /// Tells the operator what is in use beyond the quota.
    pub(super) fn tell_overuse(&mut self, namespace: &str, overuse: Option<&Map<String, Value>>) {
        let Some(overuse) = overuse else {
            return;
        };
        let text = |amounts: &Value, key: &str| amounts[key].as_str().unwrap_or_default().to_owned();
        let over = overuse
            .iter()
            .map(|(key, amounts)| format!("{key} {} of {}", text(amounts, "used"), text(amounts, "limit")));
        let over: Vec<String> = over.collect();
        let over = over.join(", ");
        self.findings
            .push(Finding::warning(format!("more is in use in `{namespace}` than its quota allows: {over}")));
    }
}
