//! Which marks a namespace is to have, by how its resource is held and how far the agent is with it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Plan;
use crate::action::{Action, Target};
use crate::desired::Project;
use crate::lifecycle::{HELD, MARKS, RESTORED, STARTING, STOPPED, STOPPING, WORKLOADS, mark};
use crate::observed::Namespace;
use crate::quota::DesiredQuotas;

/// The marks that a namespace is to have; those that are not among them are taken off.
pub(super) type Marks = BTreeMap<&'static str, String>;

/// How a project is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Value of [`HELD`] to be.
    mark: Option<&'static str>,
    /// What is to become of workloads.
    pub(super) running: Running,
    /// See [`Project::hold`].
    pub(super) is_held: bool,
}

/// What is to become of workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Running {
    /// Nothing.
    AsTheyAre,
    /// They are being stopped.
    Stopping,
    /// They are stopped.
    Stopped,
    /// They are being started, or those that had been stopped are.
    Starting,
}

impl Running {
    pub(super) fn of(stop: bool, namespace: &Namespace) -> Self {
        match (stop, mark(namespace, WORKLOADS)) {
            (true, Some(STOPPED)) => Self::Stopped,
            (true, _) => Self::Stopping,
            (false, None) => Self::AsTheyAre,
            // Whatever it says, some may be stopped.
            (false, Some(_)) => Self::Starting,
        }
    }

    /// Value of [`WORKLOADS`] before workloads are changed: with it, a later look knows that some may be stopped, or may not.
    pub(super) const fn mark(self) -> Option<&'static str> {
        match self {
            Self::AsTheyAre => None,
            Self::Stopping => Some(STOPPING),
            Self::Stopped => Some(STOPPED),
            Self::Starting => Some(STARTING),
        }
    }

    /// The same afterwards.
    pub(super) const fn mark_afterwards(self) -> Option<&'static str> {
        match self {
            Self::AsTheyAre | Self::Starting => None,
            Self::Stopping | Self::Stopped => Some(STOPPED),
        }
    }

    pub(super) const fn changes(self) -> bool {
        matches!(self, Self::Stopping | Self::Starting)
    }
}

impl Held {
    /// Of a project in this namespace, or in one that is being made.
    pub(super) fn of(project: &Project, namespace: Option<&Namespace>) -> Self {
        let before = namespace.and_then(|namespace| mark(namespace, HELD));
        let mark = match (&project.restored, project.hold) {
            (None, _) => None,
            (Some(_), Some(hold)) => Some(hold.mark()),
            (Some(_), None) => before.filter(|_| !project.resets).map(|_| RESTORED),
        };
        let running = Self::running(project, namespace);
        Self { mark, running, is_held: project.hold.is_some() }
    }

    /// The same with what runs in another namespace of the project.
    pub(super) fn within(self, project: &Project, namespace: Option<&Namespace>) -> Self {
        Self { running: Self::running(project, namespace), ..self }
    }

    fn running(project: &Project, namespace: Option<&Namespace>) -> Running {
        match namespace {
            Some(namespace) => Running::of(project.stop_workloads, namespace),
            // Nothing runs in one that is being made.
            None if project.stop_workloads => Running::Stopped,
            None => Running::AsTheyAre,
        }
    }

    /// The quotas that hold.
    pub(super) fn quotas<'a>(&self, project: &'a Project) -> &'a DesiredQuotas {
        match &project.restored {
            Some(restored) if self.mark == Some(RESTORED) => restored,
            _ => &project.quotas,
        }
    }

    pub(super) fn marks(&self) -> Marks {
        let marks = [(HELD, self.mark), (WORKLOADS, self.running.mark())];
        marks.into_iter().filter_map(|(key, value)| Some((key, value?.to_owned()))).collect()
    }
}

impl Plan {
    /// Puts on what is missing of these marks, and takes off all others.
    pub(super) fn mark(
        &mut self,
        (target, resource): (&Target, Uuid),
        namespace: Option<&Namespace>,
        mut wanted: Marks,
    ) {
        let mut marks = BTreeMap::new();
        for key in MARKS {
            let present = namespace.and_then(|namespace| namespace.annotations.get(key));
            let wanted = wanted.remove(key);
            if present != wanted.as_ref() {
                marks.insert(key, wanted);
            }
        }
        if !marks.is_empty() {
            let target = target.clone();
            self.actions.push(Action::MarkNamespace { target, resource, marks, closing: false });
        }
    }
}
