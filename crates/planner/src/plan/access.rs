//! Role bindings: who is let in first, who is let out last, and who is not let out at all for now.

use std::collections::BTreeSet;

use super::Plan;
use crate::access::{self, Bindings, DesiredAccess, RemovalGuard, Subject};
use crate::action::{Action, Expect, Target};
use crate::desired::Project;
use crate::finding::Finding;
use crate::observed::{Observed, RoleBinding};

/// What there is and what there should be, by object.
struct Change<'a> {
    name: String,
    role: &'a str,
    before: Option<(&'a str, &'a RoleBinding)>,
    after: &'a BTreeSet<Subject>,
}

impl Change<'_> {
    fn subjects_before(&self) -> impl Iterator<Item = &Subject> {
        self.before.iter().flat_map(|(_, binding)| binding.subjects.iter())
    }

    fn added(&self) -> impl Iterator<Item = &Subject> {
        let had = |subject: &&Subject| self.subjects_before().any(|before| before == *subject);
        self.after.iter().filter(move |subject| !had(subject))
    }

    fn removed(&self) -> impl Iterator<Item = &Subject> {
        self.subjects_before().filter(|subject| !self.after.contains(subject))
    }

    /// Somebody made our binding anew with another role; a role cannot be changed (Kubernetes: roleRef is
    /// immutable).
    fn has_wrong_role(&self) -> bool {
        self.before.is_some_and(|(_, binding)| binding.role != self.role)
    }
}

impl Plan {
    /// Plans the role bindings of a namespace. `fresh` says that the namespace is made by this plan.
    pub(super) fn bind(&mut self, project: &Project, target: &Target, fresh: bool, observed: &Observed) {
        let Some(access) = &project.access else {
            return;
        };
        self.findings.extend(access.findings.iter().cloned());
        let mut after = access.bindings.clone();
        let losing = losing(access, observed);
        if held(project, &project.guard, &losing, observed) {
            self.findings.push(Finding::warning(format!(
                "{} of {} users would lose access at once; held back until the next pass confirms it: {}",
                losing.len(),
                all_subjects(observed).len(),
                names(&losing)
            )));
            self.removal_held = true;
            keep_everybody(&mut after, observed);
        }
        self.change(project, target, fresh, &after, observed);
    }

    fn change(
        &mut self,
        project: &Project,
        target: &Target,
        fresh: bool,
        after: &Bindings,
        observed: &Observed,
    ) {
        let bindings = if fresh { None } else { Some(&observed.bindings) };
        let changes: Vec<Change<'_>> = after
            .iter()
            .map(|(role, subjects)| {
                let name = access::binding_name(role);
                let before = bindings.and_then(|bindings| bindings.get(&name));
                let before = before.map(|owned| (owned.uid.as_str(), &owned.value));
                Change { name, role, before, after: subjects }
            })
            .collect();
        let moved: BTreeSet<&Subject> = changes.iter().flat_map(Change::added).collect();
        let resource = project.resource;
        let apply = |change: &Change<'_>, subjects: BTreeSet<Subject>| {
            let expect = match change.before {
                Some((uid, _)) if !change.has_wrong_role() => Expect::Uid(uid.to_owned()),
                _ if fresh => Expect::Fresh,
                _ => Expect::Absent,
            };
            let (name, role, target) = (change.name.clone(), change.role.to_owned(), target.clone());
            Action::ApplyRoleBinding { target, resource, expect, name, role, subjects }
        };
        let delete = |name: &str, uid: &str| Action::DeleteRoleBinding {
            namespace: target.name.clone(),
            resource,
            name: name.to_owned(),
            uid: uid.to_owned(),
        };
        // First everybody gets what is new to them, then what they no longer have is taken.
        let mut later = Vec::new();
        for change in &changes {
            if let (true, Some((uid, _))) = (change.has_wrong_role(), change.before) {
                self.actions.push(delete(&change.name, uid));
                self.actions.push(apply(change, change.after.clone()));
                continue;
            }
            let (adds, removes) = (change.added().next().is_some(), change.removed().next().is_some());
            let moves = change.removed().any(|subject| moved.contains(subject));
            match (adds, removes) {
                (true, true) if moves => {
                    let union = change.after.iter().chain(change.subjects_before()).cloned().collect();
                    self.actions.push(apply(change, union));
                    later.push(apply(change, change.after.clone()));
                }
                (true, _) => self.actions.push(apply(change, change.after.clone())),
                (false, true) => later.push(apply(change, change.after.clone())),
                (false, false) => {}
            }
        }
        self.actions.append(&mut later);
        let wanted: BTreeSet<&String> = changes.iter().map(|change| &change.name).collect();
        let superfluous = bindings.into_iter().flatten().filter(|(name, _)| !wanted.contains(name));
        self.actions.extend(superfluous.map(|(name, owned)| delete(name, &owned.uid)));
    }
}

/// Everybody who has access through our bindings now.
fn all_subjects(observed: &Observed) -> BTreeSet<&Subject> {
    observed.bindings.values().flat_map(|owned| owned.value.subjects.iter()).collect()
}

/// Everybody who would have no access at all any more.
fn losing<'a>(access: &DesiredAccess, observed: &'a Observed) -> BTreeSet<&'a Subject> {
    let kept: BTreeSet<&Subject> = access.bindings.values().flatten().collect();
    all_subjects(observed).into_iter().filter(|subject| !kept.contains(subject)).collect()
}

fn held(project: &Project, guard: &RemovalGuard, losing: &BTreeSet<&Subject>, observed: &Observed) -> bool {
    !project.removal_confirmed
        && !project.restricted
        && (project.removal_held || guard.holds(losing.len(), all_subjects(observed).len()))
        && !losing.is_empty()
}

fn keep_everybody(after: &mut Bindings, observed: &Observed) {
    for owned in observed.bindings.values() {
        let role = after.entry(owned.value.role.clone()).or_default();
        role.extend(owned.value.subjects.iter().cloned());
    }
}

fn names(subjects: &BTreeSet<&Subject>) -> String {
    let mut names: Vec<&str> = subjects
        .iter()
        .map(|subject| match subject {
            Subject::User(name) | Subject::Group(name) => name.as_str(),
        })
        .collect();
    let more = names.len().saturating_sub(10);
    names.truncate(10);
    let text = names.join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

/// How many of how many users would lose their access, for a guard over a whole pass.
#[must_use]
pub fn losses(project: &Project, observed: &Observed) -> (usize, usize) {
    match &project.access {
        Some(access) if !project.restricted => (losing(access, observed).len(), all_subjects(observed).len()),
        _ => (0, 0),
    }
}
