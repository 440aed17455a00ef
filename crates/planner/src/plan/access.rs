//! Who is let in and out, and who is not let out at all for now. How that is written is [`super::subjects`]'s.

use std::collections::BTreeSet;

use super::Plan;
use super::places::Places;
use super::subjects::{Granting, Room};
use crate::access::{Bindings, DesiredAccess, RemovalGuard, Subject};
use crate::action::Action;
use crate::desired::Project;
use crate::finding::Finding;
use crate::observed::{Observed, RoleBinding};
use crate::subjects::{fits_user_object, identity_name};

impl Plan {
    /// Plans who has access to a project, in each of its namespaces.
    pub(super) fn bind(&mut self, project: &Project, places: &Places<'_>, observed: &Observed) {
        let Some(access) = &project.access else {
            return;
        };
        self.findings.extend(access.findings.iter().cloned());
        let losing = losing(access, observed);
        let held = held(project, &project.guard, &losing, observed);
        if held {
            self.findings.push(Finding::warning(format!(
                "{} of {} users would lose access at once; held back until the next pass confirms it: {}",
                losing.len(),
                all_subjects(observed).len(),
                names(&losing)
            )));
            self.removal_held = true;
        }
        self.identify(access, observed);
        let rooms = places.all.iter().map(|place| {
            let mut wanted = access.bindings.clone();
            if held && place.namespace.is_some() {
                keep_everybody(&mut wanted, place.seen, observed);
            }
            let (fresh, seen, survey) = (place.namespace.is_none(), place.seen, place.survey);
            Room { target: &place.target, fresh, wanted, seen, survey }
        });
        let granting =
            Granting { resource: project.resource, primary: &places.primary, grouped: access.grouped };
        self.write_subjects(granting, rooms.collect(), observed);
    }

    /// Users whom the identity provider does not know could not log in.
    fn identify(&mut self, access: &DesiredAccess, observed: &Observed) {
        let Some(provider) = &access.identity_provider else {
            return;
        };
        let users: BTreeSet<&String> = access.bindings.values().flatten().filter_map(user).collect();
        let known = |user: &&String| observed.identities.contains(&identity_name(provider, user));
        for username in users.into_iter() {
            if let Some(other) = observed.mapped_elsewhere.get(&identity_name(provider, username)) {
                self.findings.push(Finding::warning(format!(
                    "who logs in at `{provider}` as `{username}` is user `{other}` on the cluster, since identity \
                     `{provider}:{username}` is mapped to that one: what user `{username}` is given does not reach them; \
                     correct the mapping"
                )));
                continue;
            }
            if known(&username) {
                continue;
            }
            if fits_user_object(username) {
                let (provider, username) = (provider.clone(), username.clone());
                self.actions.push(Action::EnsureIdentity { provider, username });
            } else {
                self.findings.push(Finding::warning(format!(
                    "user `{username}` cannot be made known to `{provider}`: OpenShift refuses users and identities with \
                     `/`, `%` or `:` in their names"
                )));
            }
        }
    }
}

fn user(subject: &Subject) -> Option<&String> {
    match subject {
        Subject::User(name) => Some(name),
        Subject::Group(_) | Subject::ServiceAccount(_) => None,
    }
}

/// The subjects of a binding, with our groups' users in place of the groups.
fn members<'a>(binding: &'a RoleBinding, observed: &'a Observed) -> impl Iterator<Item = Subject> + 'a {
    binding.subjects.iter().flat_map(|subject| {
        let group = match subject {
            Subject::Group(name) => observed.groups.get(name),
            Subject::User(_) | Subject::ServiceAccount(_) => None,
        };
        let users = group.into_iter().flat_map(|group| &group.value).cloned().map(Subject::User);
        let itself = group.is_none().then(|| subject.clone());
        users.chain(itself)
    })
}

/// Everybody who has access through our bindings now.
fn all_subjects(observed: &Observed) -> BTreeSet<Subject> {
    let bindings = observed.each().flat_map(|seen| seen.bindings.values());
    bindings.flat_map(|owned| members(&owned.value, observed)).collect()
}

/// Everybody who would have no access at all any more.
fn losing(access: &DesiredAccess, observed: &Observed) -> BTreeSet<Subject> {
    let kept: BTreeSet<&Subject> = access.bindings.values().flatten().collect();
    all_subjects(observed).into_iter().filter(|subject| !kept.contains(subject)).collect()
}

fn held(project: &Project, guard: &RemovalGuard, losing: &BTreeSet<Subject>, observed: &Observed) -> bool {
    !project.removal_confirmed
        && !project.restricted
        && (project.removal_held || guard.holds(losing.len(), all_subjects(observed).len()))
        && !losing.is_empty()
}

fn keep_everybody(after: &mut Bindings, seen: &Observed, observed: &Observed) {
    for owned in seen.bindings.values() {
        let role = after.entry(owned.value.role.clone()).or_default();
        role.extend(members(&owned.value, observed));
    }
}

fn names(subjects: &BTreeSet<Subject>) -> String {
    let mut names: Vec<String> = subjects.iter().map(Subject::label).collect();
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
