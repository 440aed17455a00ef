//! Whose a project is, where the operator says so: adoption of what carries no labels of ours, and giving up.
//!
//! Nothing is taken away before it is replaced, and giving up changes nothing but labels.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Plan;
use super::places::Place;
use crate::access::{DesiredAccess, Subject};
use crate::action::{Action, OwnedKind};
use crate::desired::Project;
use crate::finding::Finding;
use crate::names;
use crate::observed::{Namespace, Observed, Ownership, PythonBinding, Survey};

/// The ClusterRole that the Python agent names where nobody has configured one. Clusters do not have it, so that a
/// binding to it gives nothing.
pub(crate) const NO_ROLE: &str = "root";

impl Plan {
    /// Plans the labels of a namespace that carries none of ours; `false` if there is nothing to adopt.
    pub(super) fn adopt(&mut self, project: &Project, place: &Place<'_>, namespace: &Namespace) -> bool {
        // One that this agent has made counts as its own by less than labels.
        let foreign =
            matches!(namespace.ownership(project.resource, ""), Ownership::Foreign | Ownership::Claimed);
        let Some(survey) = place.survey.filter(|_| project.adopt && foreign) else {
            return false;
        };
        self.name_strays(survey, project);
        // What the template says of the namespace follows when it is ours.
        let mut annotations = project.annotations(&namespace.annotations);
        if let Some(environment) = &place.environment {
            let display_name = project.display_name_of(Some(environment));
            annotations.insert(names::DISPLAY_NAME.to_owned(), display_name);
        }
        self.actions.push(Action::AdoptNamespace {
            target: place.target.clone(),
            resource: project.resource,
            resource_version: survey.resource_version.clone(),
            annotations,
            environment: place.environment.clone(),
        });
        true
    }

    /// Bindings of our names for roles that nobody is to have any more are not provably ours.
    fn name_strays(&mut self, survey: &Survey, project: &Project) {
        let wanted =
            |role: &String| project.access.as_ref().is_none_or(|access| access.bindings.contains_key(role));
        for (name, owned) in survey.bindings.iter().filter(|(_, owned)| !wanted(&owned.value.role)) {
            self.findings.push(Finding::warning(format!(
                "role binding `{name}` carries no labels and gives ClusterRole `{}`, which nobody is to have; it stays, \
                 delete it if it is not wanted",
                owned.value.role
            )));
        }
    }

    /// Plans the removal of what the Python agent has bound, after our own grants. Where so many would lose their
    /// access that it looks like an accident, theirs stays.
    pub(super) fn replace_python_bindings(&mut self, project: &Project, place: &Place<'_>) {
        let Some(survey) = place.survey.filter(|_| project.adopt) else {
            return;
        };
        if survey.python.is_empty() {
            return;
        }
        let Some(access) = &project.access else {
            self.findings.push(Finding::warning(format!(
                "{} role bindings of the Python agent stay: this agent does not keep members \
                 (`membership_sync_backend`)",
                survey.python.len()
            )));
            return;
        };
        let losing = losing(access, &survey.python);
        let all: BTreeSet<&str> = survey.python.iter().map(|binding| binding.user.as_str()).collect();
        let held = !project.removal_confirmed
            && (project.removal_held || project.guard.holds(losing.len(), all.len()))
            && !losing.is_empty();
        if !losing.is_empty() {
            let names: Vec<&str> = losing.iter().copied().collect();
            let end = if held { "; their bindings stay, `--force` removes them" } else { "" };
            self.findings.push(Finding::warning(format!(
                "{} users have access by the Python agent and none by Waldur: {}{end}",
                names.len(),
                names::clipped(&names::one_line(&names.join(", ")), 400)
            )));
        }
        let replaced =
            survey.python.iter().filter(|binding| !held || !losing.contains(binding.user.as_str()));
        self.actions.extend(replaced.map(|binding| Action::DeletePythonBinding {
            namespace: place.target.name.clone(),
            resource: project.resource,
            binding: binding.clone(),
        }));
    }

    /// Plans that all that is ours loses our labels, the namespace last: until then what is left is found again.
    pub(super) fn for_abandoned(&mut self, resource: Uuid, backend_id: &str, observed: &Observed) {
        if observed.owned.is_empty() {
            self.findings
                .push(Finding::info("no namespace carries this resource's labels; nothing is given up"));
        }
        let Some(place) = observed.primary(backend_id) else {
            return;
        };
        if let Err(error) = names::check_namespace(&place.name) {
            return self.findings.push(Finding::error(error.to_string()));
        }
        let mut release = |kind, namespace: &str, name: &str, uid: &str| {
            let (namespace, name, uid) = (namespace.to_owned(), name.to_owned(), uid.to_owned());
            self.actions.push(Action::Release { kind, namespace, resource, name, uid });
        };
        let allowed = |namespace: &&Namespace| names::check_namespace(&namespace.name).is_ok();
        for namespace in observed.owned.iter().filter(allowed) {
            let (place, seen) = (&namespace.name, observed.within(&namespace.name));
            for (name, quota) in &seen.quotas {
                release(OwnedKind::Quota, place, name, &quota.uid);
            }
            if let Some(range) = &seen.limit_range {
                release(OwnedKind::LimitRange, place, names::LIMIT_RANGE, &range.uid);
            }
            for (name, binding) in &seen.bindings {
                release(OwnedKind::RoleBinding, place, name, &binding.uid);
            }
            for (name, uid) in &seen.service_accounts {
                release(OwnedKind::ServiceAccount, place, name, uid);
            }
        }
        for (name, group) in &observed.groups {
            release(OwnedKind::Group, "", name, &group.uid);
        }
        for (name, quota) in &observed.cluster_quotas {
            release(OwnedKind::ClusterQuota, "", &names::cluster_quota(name, resource), &quota.uid);
        }
        for namespace in observed.owned.iter().filter(allowed) {
            release(OwnedKind::Namespace, "", &namespace.name, &namespace.uid);
        }
        if !observed.cluster_quotas.is_empty() {
            self.findings.push(Finding::warning(
                "the quota over this resource's namespaces selects them by the label that is taken off: afterwards it \
                 limits nothing",
            ));
        }
    }
}

/// Users whom only the Python agent lets in.
fn losing<'a>(access: &DesiredAccess, python: &'a [PythonBinding]) -> BTreeSet<&'a str> {
    let kept: BTreeSet<&str> = access
        .bindings
        .values()
        .flatten()
        .filter_map(|subject| match subject {
            Subject::User(name) => Some(name.as_str()),
            Subject::Group(_) | Subject::ServiceAccount(_) => None,
        })
        .collect();
    let let_in = python.iter().filter(|binding| binding.role != NO_ROLE);
    let_in.map(|binding| binding.user.as_str()).filter(|user| !kept.contains(user)).collect()
}
