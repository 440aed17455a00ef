//! Limits below what is in use.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Plan;
use super::marks::Held;
use crate::amount::Amount;
use crate::desired::{OVERUSE, Project};
use crate::finding::Finding;
use crate::names;
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
    let hard_of = |name: &str| observed.quotas.get(name).map_or(&nothing, |quota| &quota.value.hard);
    let before = |(name, key): &Place| hard_of(name).get(key).copied();
    let after: BTreeMap<Place, Amount> = held
        .quotas(project)
        .iter()
        .flat_map(|(name, wanted)| {
            let hard = wanted.resolve(Some(hard_of(name)));
            hard.into_iter().map(|(key, value)| ((name.clone(), key), value))
        })
        .collect();
    let lowered = |place: &Place| before(place).is_some_and(|old| after.get(place) < Some(&old));
    let told = project.backend_metadata.contains_key(OVERUSE);
    if !told && !after.keys().any(lowered) {
        return Ok(None);
    }
    let Some(used) = &observed.used else {
        return Err(Unfit::Unknown);
    };
    let used = |(name, key): &Place| used.get(name)?.get(key).copied();
    let over: BTreeMap<&Place, (Amount, Amount)> = after
        .iter()
        .filter_map(|(place, hard)| Some((place, (used(place)?, *hard))))
        .filter(|(_, (used, hard))| used > hard)
        .collect();
    let refused = over.iter().filter_map(|(place, (used, hard))| {
        let component = project.no_less_than_used.get(*place).filter(|_| lowered(place))?;
        let (used, hard) = (quota::quantity(&place.1, *used), quota::quantity(&place.1, *hard));
        Some(format!("`{component}`: {} would be {hard}, {used} is in use", label(place)))
    });
    let refused: Vec<String> = refused.collect();
    if !refused.is_empty() {
        let name = &namespace.name;
        return Err(Unfit::Refused(format!(
            "the new limits are below what is in use in `{name}`, and nothing was changed: {}; free it first",
            refused.join("; ")
        )));
    }
    let told = over.into_iter().map(|(place, (used, hard))| {
        let (used, hard) = (quota::quantity(&place.1, used), quota::quantity(&place.1, hard));
        (label(place), json!({"used": used, "limit": hard}))
    });
    let told: Map<String, Value> = told.collect();
    Ok(Some(told).filter(|told| !told.is_empty()))
}

/// Name of a quota, and key.
type Place = (String, String);

/// What a person calls a key: of `waldur-quota` the key alone.
fn label((name, key): &Place) -> String {
    if name == names::QUOTA { key.clone() } else { format!("{name}/{key}") }
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
