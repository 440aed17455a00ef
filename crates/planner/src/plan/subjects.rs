//! Role bindings, groups and service accounts as objects: which there are, and in which order they are written, so
//! that everybody gets what is new to them before anybody loses anything.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Plan;
use crate::access::{self, Bindings, Subject};
use crate::action::{Action, Expect, Target};
use crate::finding::Finding;
use crate::observed::{Observed, Owned, RoleBinding};
use crate::subjects::{fits_user_object, group_name};

/// Where access is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) resource: Uuid,
    pub(super) target: &'a Target,
    /// The namespace is made by this plan.
    pub(super) fresh: bool,
    /// Users are in groups of ours.
    pub(super) grouped: bool,
}

/// Who is where.
#[derive(Default)]
struct Layout<'a> {
    /// By name.
    groups: BTreeMap<String, BTreeSet<Subject>>,
    /// By ClusterRole.
    bindings: BTreeMap<&'a str, BTreeSet<Subject>>,
}

/// What holds subjects.
enum Holder<'a> {
    Group,
    Binding {
        role: &'a str,
        /// Somebody made our binding anew with another role; a role cannot be changed (Kubernetes: roleRef is
        /// immutable).
        wrong_role: bool,
    },
}

/// What there is and what there should be, by object.
struct Change<'a> {
    holder: Holder<'a>,
    name: String,
    uid: Option<String>,
    before: BTreeSet<Subject>,
    after: BTreeSet<Subject>,
}

impl<'a> Change<'a> {
    fn group(name: String, users: BTreeSet<Subject>, observed: &Observed) -> Self {
        let known = observed.groups.get(&name);
        Self {
            holder: Holder::Group,
            uid: known.map(|owned| owned.uid.clone()),
            before: known.into_iter().flat_map(|owned| &owned.value).cloned().map(Subject::User).collect(),
            after: users,
            name,
        }
    }

    fn binding(
        role: &'a str,
        after: BTreeSet<Subject>,
        known: &BTreeMap<String, Owned<RoleBinding>>,
        taken: Option<&BTreeMap<String, Owned<RoleBinding>>>,
    ) -> Self {
        let name = access::binding_name(role);
        let known = known.get(&name);
        // One without our labels counts as empty, so that it is written whatever it holds.
        let taken = taken.and_then(|taken| taken.get(&name));
        Self {
            holder: Holder::Binding { role, wrong_role: known.is_some_and(|owned| owned.value.role != role) },
            uid: known.or(taken).map(|owned| owned.uid.clone()),
            before: known.map(|owned| owned.value.subjects.clone()).unwrap_or_default(),
            after,
            name,
        }
    }

    fn added(&self) -> impl Iterator<Item = &Subject> {
        self.after.difference(&self.before)
    }

    fn removed(&self) -> impl Iterator<Item = &Subject> {
        self.before.difference(&self.after)
    }

    fn apply(&self, place: Place<'_>, subjects: &BTreeSet<Subject>) -> Action {
        let uid = self.uid.clone().map(Expect::Uid);
        let (resource, name) = (place.resource, self.name.clone());
        match self.holder {
            Holder::Group => {
                let users = subjects.iter().filter_map(|subject| match subject {
                    Subject::User(name) => Some(name.clone()),
                    Subject::Group(_) | Subject::ServiceAccount(_) => None,
                });
                // A group is in no namespace: that the namespace is new says nothing about it.
                let expect = uid.unwrap_or(Expect::Absent);
                Action::ApplyGroup { resource, expect, name, users: users.collect() }
            }
            Holder::Binding { role, wrong_role } => Action::ApplyRoleBinding {
                target: place.target.clone(),
                resource,
                expect: uid.filter(|_| !wrong_role).unwrap_or_else(|| place.nothing_there()),
                name,
                role: role.to_owned(),
                subjects: subjects.clone(),
            },
        }
    }
}

impl Place<'_> {
    fn nothing_there(&self) -> Expect {
        if self.fresh { Expect::Fresh } else { Expect::Absent }
    }

    fn delete_binding(&self, name: &str, uid: &str) -> Action {
        let (namespace, name, uid) = (self.target.name.clone(), name.to_owned(), uid.to_owned());
        Action::DeleteRoleBinding { namespace, resource: self.resource, name, uid }
    }
}

impl Plan {
    /// Plans the objects that give these subjects their roles.
    pub(super) fn write_subjects(&mut self, place: Place<'_>, mut wanted: Bindings, observed: &Observed) {
        let nothing = Observed::default();
        let inside = if place.fresh { &nothing } else { observed };
        let accounts = self.make_service_accounts(place, &mut wanted, inside, observed);
        let layout = self.laid_out(place, &wanted, observed);
        let groups = layout.groups.into_iter().map(|(name, users)| Change::group(name, users, observed));
        let taken = inside.survey.as_ref().map(|survey| &survey.bindings);
        let bindings = layout
            .bindings
            .into_iter()
            .map(|(role, subjects)| Change::binding(role, subjects, &inside.bindings, taken));
        let changes: Vec<Change<'_>> = groups.chain(bindings).collect();
        self.name_left_groups(place, &changes, observed);
        self.write_changes(place, &changes);

        let (groups, bindings): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| matches!(change.holder, Holder::Group));
        let kept = |changes: &[&Change<'_>], name: &String| changes.iter().any(|change| change.name == *name);
        let superfluous = inside.bindings.iter().filter(|(name, _)| !kept(&bindings, name));
        self.actions.extend(superfluous.map(|(name, owned)| place.delete_binding(name, &owned.uid)));
        let groups = observed.groups.iter().filter(|(name, _)| !kept(&groups, name));
        self.actions.extend(groups.map(|(name, owned)| delete_group(place.resource, name, &owned.uid)));
        let gone = inside.service_accounts.iter().filter(|(name, _)| !accounts.contains(*name));
        self.actions.extend(gone.map(|(name, uid)| Action::DeleteServiceAccount {
            namespace: place.target.name.clone(),
            resource: place.resource,
            name: name.clone(),
            uid: uid.clone(),
        }));
    }

    /// Groups that this agent has made, and does not look after any more: their rights went with `subjects.kind`.
    fn name_left_groups(&mut self, place: Place<'_>, changes: &[Change<'_>], observed: &Observed) {
        for change in changes {
            let Holder::Binding { role, .. } = change.holder else { continue };
            let name = group_name(&place.target.name, role);
            let is_left = change.removed().any(|subject| *subject == Subject::Group(name.clone()));
            if is_left && !observed.groups.contains_key(&name) {
                self.findings.push(Finding::warning(format!(
                    "group `{name}` is bound no more; if `subjects.kind` was `group` before, this agent made it and may not \
                     remove it now: oc delete group {name}"
                )));
            }
        }
    }

    /// Service accounts come before the bindings that name them; one that cannot be ours is not bound.
    fn make_service_accounts(
        &mut self,
        place: Place<'_>,
        wanted: &mut Bindings,
        inside: &Observed,
        observed: &Observed,
    ) -> BTreeSet<String> {
        for (subject, reason) in &observed.refused {
            let mut found = false;
            if let Subject::ServiceAccount(name) = subject {
                wanted.values_mut().for_each(|subjects| found |= subjects.remove(subject));
                if found {
                    let message = format!("service account `{name}` has no access: {reason}");
                    self.findings.push(Finding::warning(message));
                }
            }
        }
        wanted.retain(|_, subjects| !subjects.is_empty());
        let names = wanted.values().flatten().filter_map(|subject| match subject {
            Subject::ServiceAccount(name) => Some(name.clone()),
            Subject::User(_) | Subject::Group(_) => None,
        });
        let names: BTreeSet<String> = names.collect();
        for name in names.iter().filter(|name| !inside.service_accounts.contains_key(*name)) {
            self.actions.push(Action::ApplyServiceAccount {
                target: place.target.clone(),
                resource: place.resource,
                expect: place.nothing_there(),
                name: name.clone(),
            });
        }
        names
    }

    /// Who is in which group and who is in which binding. Users whom a group may not hold are bound themselves, as
    /// are all of a group that cannot be ours.
    fn laid_out<'a>(&mut self, place: Place<'_>, wanted: &'a Bindings, observed: &Observed) -> Layout<'a> {
        let mut layout = Layout::default();
        for (role, subjects) in wanted {
            let name = group_name(&place.target.name, role);
            let group = Subject::Group(name.clone());
            let refused = observed.refused.get(&group).filter(|_| place.grouped);
            if let Some(reason) = refused {
                let message =
                    format!("group `{name}` cannot be kept, its users are bound themselves: {reason}");
                self.findings.push(Finding::warning(message));
            }
            let by_group = place.grouped && refused.is_none();
            let fits = |subject: &&Subject| {
                by_group && matches!(subject, Subject::User(user) if fits_user_object(user))
            };
            let (users, mut others): (BTreeSet<_>, BTreeSet<_>) =
                subjects.iter().cloned().partition(|subject| fits(&subject));
            if !users.is_empty() {
                others.insert(group);
                layout.groups.insert(name, users);
            }
            layout.bindings.insert(role.as_str(), others);
        }
        layout
    }

    /// First everybody gets what is new to them, then what they no longer have is taken.
    fn write_changes(&mut self, place: Place<'_>, changes: &[Change<'_>]) {
        let moved: BTreeSet<&Subject> = changes.iter().flat_map(Change::added).collect();
        let mut later = Vec::new();
        for change in changes {
            if let (Holder::Binding { wrong_role: true, .. }, Some(uid)) = (&change.holder, &change.uid) {
                self.actions.push(place.delete_binding(&change.name, uid));
                self.actions.push(change.apply(place, &change.after));
                continue;
            }
            let (adds, removes) = (change.added().next().is_some(), change.removed().next().is_some());
            let moves = change.removed().any(|subject| moved.contains(subject));
            match (adds, removes) {
                (true, true) if moves => {
                    let union = change.after.union(&change.before).cloned().collect();
                    self.actions.push(change.apply(place, &union));
                    later.push(change.apply(place, &change.after));
                }
                (true, _) => self.actions.push(change.apply(place, &change.after)),
                (false, true) => later.push(change.apply(place, &change.after)),
                (false, false) => {}
            }
        }
        self.actions.append(&mut later);
    }

    /// Deletes all groups of a resource: they do not go with its namespace.
    pub(super) fn delete_groups(&mut self, resource: Uuid, observed: &Observed) {
        let groups = observed.groups.iter();
        self.actions.extend(groups.map(|(name, owned)| delete_group(resource, name, &owned.uid)));
    }
}

fn delete_group(resource: Uuid, name: &str, uid: &str) -> Action {
    Action::DeleteGroup { resource, name: name.to_owned(), uid: uid.to_owned() }
}
