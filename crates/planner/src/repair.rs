//! The damage that the Python agent leaves behind, as findings on one resource.

use std::collections::BTreeSet;

use crate::access::Bindings;
use crate::amount::Amount;
use crate::desired::{Desired, Goal, Project};
use crate::finding::Finding;
use crate::model::{Limit, Limits};
use crate::names;
use crate::observed::{Lookup, Namespace, Observed};
use crate::plan::NO_ROLE;

/// What the Python agent makes of every quota, and then writes into Waldur as what was bought.
const FIXED: [(&str, i64); 4] = [("cpu", 10), ("memory", 32), ("storage", 100), ("pods", 50)];

/// What is wrong with a project that the Python agent kept. `limits` are what Waldur says was bought, `ordered` what
/// the last fulfilled order that named limits asked for.
#[must_use]
pub fn damage(
    desired: &Desired,
    observed: &Observed,
    limits: &Limits,
    ordered: Option<&Limits>,
) -> Vec<Finding> {
    let Goal::Project(project) = &desired.goal else {
        return Vec::new();
    };
    if observed.surveys.is_empty() {
        return Vec::new();
    }
    // One who is bound in several namespaces is one.
    let python = || observed.surveys.values().flat_map(|survey| &survey.python);
    let mut findings = Vec::new();
    findings.extend(limits_overwritten(limits, ordered));
    findings.extend(quota_damage(project, observed));
    let nobody = python().filter(|binding| binding.role == NO_ROLE).map(|binding| binding.user.as_str());
    let nobody: BTreeSet<&str> = nobody.collect();
    if !nobody.is_empty() {
        findings.push(Finding::warning(format!(
            "{} users are bound to ClusterRole `{NO_ROLE}`, which gives them nothing: {}; they get the role that Waldur says",
            nobody.len(),
            names::clipped(&names::one_line(&joined(&nobody)), 400)
        )));
    }
    let wrong: BTreeSet<String> = python()
        .filter(|binding| binding.role != NO_ROLE)
        .filter(|binding| {
            !has(project.access.as_ref().map(|access| &access.bindings), &binding.role, &binding.user)
        })
        .map(|binding| format!("{} ({})", binding.user, binding.role))
        .collect();
    if !wrong.is_empty() && project.access.is_some() {
        findings.push(Finding::warning(format!(
            "{} users have another role than Waldur says: {}",
            wrong.len(),
            names::clipped(&names::one_line(&joined(&wrong)), 400)
        )));
    }
    findings.extend(missing_metadata(project, observed));
    findings
}

fn joined<T: AsRef<str>>(names: &BTreeSet<T>) -> String {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

fn has(bindings: Option<&Bindings>, role: &str, user: &str) -> bool {
    let subjects = bindings.and_then(|bindings| bindings.get(role));
    subjects.is_some_and(|subjects| subjects.iter().any(|subject| subject.label() == user))
}

/// Waldur itself says the fixed numbers. Only the orders tell what was bought.
fn limits_overwritten(limits: &Limits, ordered: Option<&Limits>) -> Option<Finding> {
    let fixed = |limits: &Limits| {
        FIXED.iter().all(|(component, value)| {
            limits.get(*component).is_some_and(|limit| *limit == Limit::Amount(Amount::whole(*value)))
        })
    };
    if !fixed(limits) {
        return None;
    }
    let message = match ordered {
        Some(ordered) if fixed(ordered) => return None,
        Some(ordered) => format!(
            "Waldur's limits are the numbers that the Python agent writes (cpu 10, memory 32, storage 100, pods 50), but the \
             last order asked for {}; correct the limits in Waldur, this agent never writes them",
            names_of(ordered)
        ),
        None => "Waldur's limits are the numbers that the Python agent writes (cpu 10, memory 32, storage 100, pods 50); \
                 check what was bought, and correct the limits in Waldur: this agent never writes them"
            .to_owned(),
    };
    Some(Finding::warning(message))
}

fn names_of(limits: &Limits) -> String {
    let text = |(component, limit): (&String, &Limit)| match limit {
        Limit::Amount(amount) => Some(format!("{component} {amount}")),
        Limit::Unset | Limit::Invalid(_) => None,
    };
    limits.iter().filter_map(text).collect::<Vec<_>>().join(", ")
}

fn quota_damage(project: &Project, observed: &Observed) -> Option<Finding> {
    let survey = observed.surveys.get(&project.backend_id)?;
    let over_all = [&observed.cluster_quotas, &observed.unlabelled_cluster_quotas];
    let over_all = over_all.into_iter().find_map(|quotas| quotas.get(names::QUOTA));
    let inside = observed.quotas.get(names::QUOTA).or(survey.quotas.get(names::QUOTA));
    let quota = over_all.or(inside);
    let Some(quota) = quota.map(|quota| &quota.value.hard) else {
        return Some(Finding::warning("the project has no quota: whatever was bought, it is unlimited"));
    };
    if quota.is_empty() {
        return Some(Finding::warning("the project's quota is empty: whatever was bought, it is unlimited"));
    }
    let is = |key: &str, value: &str| quota.get(key).copied() == value.parse::<Amount>().ok();
    let fixed = is("requests.cpu", "10") && is("requests.memory", "32Gi") && is("pods", "50");
    let mut wanted = project.quotas.get(names::QUOTA).into_iter().flat_map(|wanted| &wanted.hard);
    let right = wanted.all(|(key, value)| quota.get(key) == Some(value));
    (fixed && !right).then(|| {
        Finding::warning("the quota has the fixed numbers of the Python agent (10 cores, 32 Gi, 50 pods), not what was bought")
    })
}

fn missing_metadata(project: &Project, observed: &Observed) -> Option<Finding> {
    let found = observed.owned.iter().chain(observed.by_name.values().filter_map(|found| match found {
        Lookup::Present(namespace) => Some(namespace),
        Lookup::Absent => None,
    }));
    let mut found = found.filter(|namespace| namespace.name == project.backend_id);
    let namespace: &Namespace = found.next()?;
    let wanted = project.annotations(&namespace.annotations);
    let empty = |key: &String| namespace.annotations.get(key).is_none_or(String::is_empty);
    let missing: Vec<&str> = wanted.keys().filter(|key| empty(key)).map(String::as_str).collect();
    (!missing.is_empty())
        .then(|| Finding::info(format!("the project lacks the annotations {}", missing.join(", "))))
}
