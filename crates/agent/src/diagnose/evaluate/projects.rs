//! Checks of the projects: ours, others', and those that stand in the way.

use std::collections::BTreeMap;

use planner::names;

use super::{count, failed, few};
use crate::diagnose::facts::{Facts, NamespaceFacts};
use crate::diagnose::report::Check;

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let namespaces = match &facts.cluster.namespaces {
        Some(Ok(namespaces)) => namespaces,
        Some(Err(error)) => return vec![failed("projects", error)],
        None => return Vec::new(),
    };
    let mut checks = vec![totals(namespaces)];
    checks.extend(terminating(namespaces));
    let home = facts.cluster.user.as_ref().and_then(|user| home(user.as_ref().ok()?));
    checks.extend(foreign(namespaces, &facts.configured.namespace_prefix, home));
    if let Some(Ok(resources)) = &facts.waldur.resources {
        checks.extend(lost(namespaces, resources));
    }
    checks
}

fn totals(namespaces: &[NamespaceFacts]) -> Check {
    let managed = namespaces.iter().filter(|namespace| namespace.managed).count();
    let system = namespaces.iter().filter(|namespace| is_the_clusters(namespace)).count();
    let others = namespaces.len() - managed - system;
    Check::good(
        "projects",
        format!(
            "{managed} managed by this agent's label, {others} not managed, {system} of the cluster's own"
        ),
    )
}

fn is_the_clusters(namespace: &NamespaceFacts) -> bool {
    !namespace.managed && names::check_namespace(&namespace.name).is_err()
}

fn terminating(namespaces: &[NamespaceFacts]) -> Option<Check> {
    let going = namespaces.iter().filter(|namespace| namespace.managed && namespace.terminating);
    let going: Vec<&str> = going.map(|namespace| namespace.name.as_str()).collect();
    if going.is_empty() {
        return None;
    }
    let step = "if it stays so, `oc describe namespace` says what holds it back";
    Some(Check::warning("terminating", few(&going), step))
}

/// The namespace of the agent's own service account.
fn home(user: &str) -> Option<&str> {
    user.strip_prefix("system:serviceaccount:")?.split(':').next()
}

/// Somebody else's projects whose names could be ours.
fn foreign(namespaces: &[NamespaceFacts], prefix: &str, home: Option<&str>) -> Option<Check> {
    if prefix.is_empty() {
        return None;
    }
    let theirs =
        namespaces.iter().filter(|namespace| !namespace.managed && namespace.name.starts_with(prefix));
    let theirs = theirs.filter(|namespace| home != Some(namespace.name.as_str()));
    let theirs: Vec<&str> = theirs
        .filter(|namespace| !is_the_clusters(namespace))
        .map(|namespace| namespace.name.as_str())
        .collect();
    if theirs.is_empty() {
        return Some(Check::good("foreign", format!("nobody else's project begins with `{prefix}`")));
    }
    let detail =
        format!("{} with our prefix without our labels: {}", count(theirs.len(), "project"), few(&theirs));
    let step = "they are left alone, and new projects take other names; if they were made by the Python agent, they \
                have to be adopted";
    Some(Check::warning("foreign", detail, step))
}

/// Resources whose project is not there or is not theirs.
fn lost(namespaces: &[NamespaceFacts], resources: &[(uuid::Uuid, String)]) -> Vec<Check> {
    let by_name: BTreeMap<&str, &NamespaceFacts> =
        namespaces.iter().map(|namespace| (namespace.name.as_str(), namespace)).collect();
    let (mut absent, mut not_ours, mut reserved) = (Vec::new(), Vec::new(), Vec::new());
    for (resource, name) in resources {
        match by_name.get(name.as_str()) {
            _ if names::check_namespace(name).is_err() => reserved.push(name.as_str()),
            None => absent.push(name.as_str()),
            Some(namespace) if !namespace.managed || namespace.resource != Some(*resource) => {
                not_ours.push(name.as_str());
            }
            Some(_) => {}
        }
    }
    let mut checks = Vec::new();
    for (names, what, step) in [
        (
            &absent,
            "Waldur names projects that the cluster does not have",
            "restore or terminate the resources in Waldur",
        ),
        (
            &not_ours,
            "Waldur names projects that do not carry their resource's labels",
            "they are left alone; correct the backend ids in Waldur, or adopt the projects",
        ),
        (
            &reserved,
            "Waldur names namespaces that belong to the cluster",
            "they are never touched; correct the backend ids in Waldur",
        ),
    ] {
        if !names.is_empty() {
            checks.push(Check::warning("resources", format!("{what}: {}", few(names)), step));
        }
    }
    if checks.is_empty() {
        let detail = match resources.len() {
            0 => "none is in use".to_owned(),
            some => format!("{} in use, each with its project", count(some, "resource")),
        };
        checks.push(Check::good("resources", detail));
    }
    checks
}
