//! Role bindings, groups and service accounts as objects: which there are, and in which order they are written, so
//! that everybody gets what is new to them before anybody loses anything.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Plan;
use crate::access::{self, Bindings, Subject};
use crate::action::{Action, Expect, Target};
use crate::finding::Finding;
use crate::observed::{Observed, Owned, RoleBinding, Survey};
use crate::subjects::{fits_user_object, group_name};

/// What access is given to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granting<'a> {
    pub(super) resource: Uuid,
    /// The namespace that groups are named after: they are the same for all namespaces of the resource.
    pub(super) primary: &'a str,
    /// Users are in groups of ours.
    pub(super) grouped: bool,
}

/// One namespace, and who is to have which role there.
#[derive(Debug)]
pub(super) struct Room<'a> {
    pub(super) target: &'a Target,
    /// The namespace is made by this plan.
    pub(super) fresh: bool,
    pub(super) wanted: Bindings,
    pub(super) seen: &'a Observed,
    /// What in it carries no labels, where it is adopted.
    pub(super) survey: Option<&'a Survey>,
}

/// Who is where.
#[derive(Default)]
struct Layout<'a> {
    /// By name.
    groups: BTreeMap<String, BTreeSet<Subject>>,
    /// By namespace and ClusterRole.
    bindings: BTreeMap<(&'a str, &'a str), BTreeSet<Subject>>,
}

/// What holds subjects.
enum Holder<'a> {
    Group,
    Binding {
        target: &'a Target,
        role: &'a str,
        /// What is expected where there is none.
        nothing: Expect,
        /// Somebody made our binding anew with another role; a role cannot be changed (Kubernetes: roleRef is
        /// immutable).
        wrong_role: bool,
    },
}

/// What there is and what there should be, by object.
struct Change<'a> {
    resource: Uuid,
    holder: Holder<'a>,
    name: String,
    uid: Option<String>,
    before: BTreeSet<Subject>,
    after: BTreeSet<Subject>,
}

impl<'a> Change<'a> {
    fn group(resource: Uuid, name: String, users: BTreeSet<Subject>, observed: &Observed) -> Self {
        let known = observed.groups.get(&name);
        Self {
            resource,
            holder: Holder::Group,
            uid: known.map(|owned| owned.uid.clone()),
            before: known.into_iter().flat_map(|owned| &owned.value).cloned().map(Subject::User).collect(),
            after: users,
            name,
        }
    }

    fn binding(resource: Uuid, room: &'a Room<'_>, role: &'a str, after: BTreeSet<Subject>) -> Self {
        let name = access::binding_name(role);
        let known = room.bindings().get(&name);
        // One without our labels counts as empty, so that it is written whatever it holds.
        let survey = room.survey.filter(|_| !room.fresh);
        let taken = survey.and_then(|survey| survey.bindings.get(&name));
        let holder = Holder::Binding {
            target: room.target,
            role,
            nothing: room.nothing_there(),
            wrong_role: known.is_some_and(|owned| owned.value.role != role),
        };
        Self {
            resource,
            holder,
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

    fn apply(&self, subjects: &BTreeSet<Subject>) -> Action {
        let uid = self.uid.clone().map(Expect::Uid);
        let (resource, name) = (self.resource, self.name.clone());
        match &self.holder {
            Holder::Group => {
                let users = subjects.iter().filter_map(|subject| match subject {
                    Subject::User(name) => Some(name.clone()),
                    Subject::Group(_) | Subject::ServiceAccount(_) => None,
                });
                // A group is in no namespace: that the namespace is new says nothing about it.
                let expect = uid.unwrap_or(Expect::Absent);
                Action::ApplyGroup { resource, expect, name, users: users.collect() }
            }
            Holder::Binding { target, role, nothing, wrong_role } => Action::ApplyRoleBinding {
                target: (*target).clone(),
                resource,
                expect: uid.filter(|_| !wrong_role).unwrap_or_else(|| nothing.clone()),
                name,
                role: (*role).to_owned(),
                subjects: subjects.clone(),
            },
        }
    }

    /// Whether it is this object of this namespace; groups are in none.
    fn is(&self, namespace: Option<&str>, name: &str) -> bool {
        let place = match &self.holder {
            Holder::Group => None,
            Holder::Binding { target, .. } => Some(target.name.as_str()),
        };
        self.name == name && place == namespace
    }
}

/// Nothing is in a namespace that is being made.
static NO_BINDINGS: BTreeMap<String, Owned<RoleBinding>> = BTreeMap::new();
/// See [`NO_BINDINGS`].
static NO_ACCOUNTS: BTreeMap<String, String> = BTreeMap::new();

impl Room<'_> {
    fn nothing_there(&self) -> Expect {
        if self.fresh { Expect::Fresh } else { Expect::Absent }
    }

    fn bindings(&self) -> &BTreeMap<String, Owned<RoleBinding>> {
        if self.fresh { &NO_BINDINGS } else { &self.seen.bindings }
    }

    fn accounts(&self) -> &BTreeMap<String, String> {
        if self.fresh { &NO_ACCOUNTS } else { &self.seen.service_accounts }
    }
}

impl Plan {
    /// Plans the objects that give these subjects their roles.
    pub(super) fn write_subjects(
        &mut self,
        granting: Granting<'_>,
        mut rooms: Vec<Room<'_>>,
        observed: &Observed,
    ) {
        let resource = granting.resource;
        let mut unwanted = Vec::new();
        for room in &mut rooms {
            let accounts = self.make_service_accounts(resource, room, observed);
            let gone = room.accounts().iter().filter(|(name, _)| !accounts.contains(*name));
            unwanted.extend(gone.map(|(name, uid)| Action::DeleteServiceAccount {
                namespace: room.target.name.clone(),
                resource,
                name: name.clone(),
                uid: uid.clone(),
            }));
        }
        let mut layout = Layout::default();
        for room in &rooms {
            self.lay_out(granting, room, observed, &mut layout);
        }
        let by_name: BTreeMap<&str, &Room<'_>> =
            rooms.iter().map(|room| (room.target.name.as_str(), room)).collect();
        let groups =
            layout.groups.into_iter().map(|(name, users)| Change::group(resource, name, users, observed));
        let bindings = layout.bindings.into_iter().map(|((namespace, role), subjects)| {
            Change::binding(resource, by_name[namespace], role, subjects)
        });
        let changes: Vec<Change<'_>> = groups.chain(bindings).collect();
        self.name_left_groups(granting, &changes, observed);
        self.write_changes(&changes);

        let kept =
            |namespace: Option<&str>, name: &String| changes.iter().any(|change| change.is(namespace, name));
        for room in &rooms {
            let namespace = room.target.name.as_str();
            let superfluous = room.bindings().iter().filter(|(name, _)| !kept(Some(namespace), name));
            let deleted =
                superfluous.map(|(name, owned)| delete_binding(resource, namespace, name, &owned.uid));
            self.actions.extend(deleted);
        }
        let groups = observed.groups.iter().filter(|(name, _)| !kept(None, name));
        self.actions.extend(groups.map(|(name, owned)| delete_group(resource, name, &owned.uid)));
        self.actions.append(&mut unwanted);
    }

    /// Groups that this agent has made, and does not look after any more: their rights went with `subjects.kind`.
    fn name_left_groups(&mut self, granting: Granting<'_>, changes: &[Change<'_>], observed: &Observed) {
        for change in changes {
            let Holder::Binding { role, .. } = &change.holder else { continue };
            let name = group_name(granting.primary, role);
            let is_left = change.removed().any(|subject| *subject == Subject::Group(name.clone()));
            if is_left && !observed.groups.contains_key(&name) {
                self.findings.push(Finding::warning(format!(
                    "group `{name}` is bound no more; if `subjects.kind` was `group` before, this agent made it and may not \
                     remove it now: oc delete group {name}"
                )));
            }
        }
    }

    /// Service accounts come before the bindings that name them; one that cannot be ours is not bound. Returns the names
    /// of those that are wanted.
    fn make_service_accounts(
        &mut self,
        resource: Uuid,
        room: &mut Room<'_>,
        observed: &Observed,
    ) -> BTreeSet<String> {
        for (subject, reason) in &observed.refused {
            let mut found = false;
            if let Subject::ServiceAccount(name) = subject {
                room.wanted.values_mut().for_each(|subjects| found |= subjects.remove(subject));
                if found {
                    let message = format!("service account `{name}` has no access: {reason}");
                    self.findings.push(Finding::warning(message));
                }
            }
        }
        room.wanted.retain(|_, subjects| !subjects.is_empty());
        let names = room.wanted.values().flatten().filter_map(|subject| match subject {
            Subject::ServiceAccount(name) => Some(name.clone()),
            Subject::User(_) | Subject::Group(_) => None,
        });
        let names: BTreeSet<String> = names.collect();
        for name in names.iter().filter(|name| !room.accounts().contains_key(*name)) {
            self.actions.push(Action::ApplyServiceAccount {
                target: room.target.clone(),
                resource,
                expect: room.nothing_there(),
                name: name.clone(),
            });
        }
        names
    }

    /// Who is in which group and who is in which binding. Users whom a group may not hold are bound themselves, as
    /// are all of a group that cannot be ours.
    fn lay_out<'a>(
        &mut self,
        granting: Granting<'_>,
        room: &'a Room<'_>,
        observed: &Observed,
        layout: &mut Layout<'a>,
    ) {
        for (role, subjects) in &room.wanted {
            let name = group_name(granting.primary, role);
            let group = Subject::Group(name.clone());
            let refused = observed.refused.get(&group).filter(|_| granting.grouped);
            if let Some(reason) = refused {
                let finding = Finding::warning(format!(
                    "group `{name}` cannot be kept, its users are bound themselves: {reason}"
                ));
                if !self.findings.contains(&finding) {
                    self.findings.push(finding);
                }
            }
            let by_group = granting.grouped && refused.is_none();
            let fits = |subject: &&Subject| {
                by_group && matches!(subject, Subject::User(user) if fits_user_object(user))
            };
            let (users, mut others): (BTreeSet<_>, BTreeSet<_>) =
                subjects.iter().cloned().partition(|subject| fits(&subject));
            if !users.is_empty() {
                others.insert(group);
                layout.groups.entry(name).or_default().extend(users);
            }
            layout.bindings.insert((room.target.name.as_str(), role.as_str()), others);
        }
    }

    /// First everybody gets what is new to them, then what they no longer have is taken.
    fn write_changes(&mut self, changes: &[Change<'_>]) {
        let moved: BTreeSet<&Subject> = changes.iter().flat_map(Change::added).collect();
        let mut later = Vec::new();
        for change in changes {
            if let (Holder::Binding { target, wrong_role: true, .. }, Some(uid)) =
                (&change.holder, &change.uid)
            {
                self.actions.push(delete_binding(change.resource, &target.name, &change.name, uid));
                self.actions.push(change.apply(&change.after));
                continue;
            }
            let (adds, removes) = (change.added().next().is_some(), change.removed().next().is_some());
            let moves = change.removed().any(|subject| moved.contains(subject));
            match (adds, removes) {
                (true, true) if moves => {
                    let union = change.after.union(&change.before).cloned().collect();
                    self.actions.push(change.apply(&union));
                    later.push(change.apply(&change.after));
                }
                (true, _) => self.actions.push(change.apply(&change.after)),
                (false, true) => later.push(change.apply(&change.after)),
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

fn delete_binding(resource: Uuid, namespace: &str, name: &str, uid: &str) -> Action {
    let (namespace, name, uid) = (namespace.to_owned(), name.to_owned(), uid.to_owned());
    Action::DeleteRoleBinding { namespace, resource, name, uid }
}
