//! The tenant's workloads, as far as pausing stops them and restoring starts them again.
//!
//! What a workload had before is remembered on the workload itself, so that any later agent puts back exactly that.
//! One that the tenant has changed since is left as it is. Volumes stay: where stopping would delete them, it is not
//! stopped.

use std::collections::BTreeSet;
use std::fmt;

use crate::finding::Finding;
use crate::names;

/// Workloads that are named in one message.
const SHOWN: usize = 10;

/// Kinds that can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// Kubernetes: apps/v1.
    Deployment,
    /// Kubernetes: apps/v1.
    StatefulSet,
    /// Kubernetes: apps/v1.
    ReplicaSet,
    /// OpenShift: apps.openshift.io/v1.
    DeploymentConfig,
    /// Kubernetes: batch/v1.
    CronJob,
    /// Kubernetes: batch/v1.
    Job,
}

impl WorkloadKind {
    /// All of them; owners come before what they own.
    pub const ALL: [Self; 6] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::ReplicaSet,
        Self::DeploymentConfig,
        Self::CronJob,
        Self::Job,
    ];

    /// Kubernetes' name of the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::DeploymentConfig => "DeploymentConfig",
            Self::CronJob => "CronJob",
            Self::Job => "Job",
        }
    }

    /// Reads Kubernetes' name of the kind.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What makes a workload run or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadState {
    /// `spec.replicas`.
    Replicas(i64),
    /// `spec.suspend`.
    Suspended(bool),
}

impl WorkloadState {
    /// Whether it makes nothing run.
    #[must_use]
    pub const fn is_stopped(self) -> bool {
        matches!(self, Self::Replicas(0) | Self::Suspended(true))
    }

    const fn stopped(self) -> Self {
        match self {
            Self::Replicas(_) => Self::Replicas(0),
            Self::Suspended(_) => Self::Suspended(true),
        }
    }

    /// As it is remembered on the workload: `3`, `false`.
    #[must_use]
    pub fn remembered(self) -> String {
        match self {
            Self::Replicas(replicas) => replicas.to_string(),
            Self::Suspended(suspended) => suspended.to_string(),
        }
    }

    /// Reads what was remembered of a workload like this one.
    fn recalled(self, text: &str) -> Option<Self> {
        match self {
            Self::Replicas(_) => {
                let replicas: i32 = text.parse().ok().filter(|replicas| *replicas >= 0)?;
                Some(Self::Replicas(replicas.into()))
            }
            Self::Suspended(_) => text.parse().ok().map(Self::Suspended),
        }
    }
}

impl fmt::Display for WorkloadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replicas(replicas) => write!(f, "replicas {replicas}"),
            Self::Suspended(true) => f.write_str("suspended"),
            Self::Suspended(false) => f.write_str("not suspended"),
        }
    }
}

/// Who keeps an object: kind and name of its controller (Kubernetes: `metadata.ownerReferences`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Controller {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl Controller {
    fn is_one_of(&self, owners: &[Workload]) -> bool {
        owners.iter().any(|owner| owner.kind.as_str() == self.kind && owner.name == self.name)
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", names::one_line(&self.kind), names::one_line(&self.name))
    }
}

/// One workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What it is.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Kubernetes' uid.
    pub uid: String,
    /// Kubernetes' resourceVersion, with which it is written.
    pub version: String,
    /// Who keeps it; `None` for the tenant.
    pub controller: Option<Controller>,
    /// Whether it runs.
    pub state: WorkloadState,
    /// What was remembered before it was stopped.
    pub remembered: Option<String>,
    /// Nothing will run any more: a Job that is over, or an object that is being deleted.
    pub over: bool,
    /// Stopping it would delete its volumes (StatefulSet: `persistentVolumeClaimRetentionPolicy`).
    pub deletes_volumes: bool,
}

/// A pod that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Who keeps it.
    pub controller: Option<Controller>,
}

/// What runs in a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workloads {
    /// What keeps pods running.
    pub owners: Vec<Workload>,
    /// Pods that are not over.
    pub pods: Vec<Pod>,
    /// What could not be read, with the reason.
    pub unreadable: Vec<String>,
}

/// A change of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadChange {
    /// What it is.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// Only this one, not another of the same name.
    pub uid: String,
    /// Only as it was seen.
    pub version: String,
    /// As it was seen.
    pub before: WorkloadState,
    /// As it is to be.
    pub after: WorkloadState,
    /// What is remembered on it; `None` takes off what is.
    pub remember: Option<String>,
}

impl fmt::Display for WorkloadChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, before, after, .. } = self;
        write!(f, "{} {}: ", kind.as_str(), names::one_line(name))?;
        if before == after { write!(f, "stays at {after}") } else { write!(f, "{before} → {after}") }
    }
}

impl Workload {
    fn change(&self, after: WorkloadState, remember: Option<String>) -> WorkloadChange {
        WorkloadChange {
            kind: self.kind,
            name: self.name.clone(),
            uid: self.uid.clone(),
            version: self.version.clone(),
            before: self.state,
            after,
            remember,
        }
    }

    fn label(&self) -> String {
        format!("{} {}", self.kind.as_str(), names::one_line(&self.name))
    }
}

/// What stops everything that can be stopped, and what has to be said about the rest.
#[must_use]
pub fn stop(workloads: &Workloads) -> (Vec<WorkloadChange>, Vec<Finding>) {
    let (mut changes, mut foreign, mut holders) = (Vec::new(), Vec::new(), Vec::new());
    for owner in &workloads.owners {
        if owner.over || owner.state.is_stopped() {
            continue;
        }
        match &owner.controller {
            // A CronJob makes Jobs and leaves them alone; everything else is set back by its controller.
            Some(controller) if controller.kind == "CronJob" && controller.is_one_of(&workloads.owners) => {}
            Some(controller) if controller.is_one_of(&workloads.owners) => continue,
            Some(controller) => {
                foreign.push(format!("{} (kept by {controller})", owner.label()));
                continue;
            }
            None => {}
        }
        if owner.deletes_volumes {
            holders.push(owner.label());
            continue;
        }
        changes.push(owner.change(owner.state.stopped(), Some(owner.state.remembered())));
    }
    let mut findings = Vec::new();
    let mut say = |what: &str, names: Vec<String>| {
        if !names.is_empty() {
            findings.push(Finding::warning(format!("{what}: {}", shown(&names))));
        }
    };
    say("not stopped, since stopping would delete volumes", holders);
    foreign.extend(unknown_owners(workloads).into_iter().map(|owner| owner.to_string()));
    say("not stopped, since the agent does not know what keeps it running", foreign);
    let bare = workloads.pods.iter().filter(|pod| pod.controller.is_none());
    say(
        "pods without an owner are left running, since nothing would start them again",
        bare.map(|pod| names::one_line(&pod.name)).collect(),
    );
    findings.extend(unreadable(workloads));
    (changes, findings)
}

/// What puts back everything that was stopped, unless the tenant has changed it since.
#[must_use]
pub fn start(workloads: &Workloads) -> (Vec<WorkloadChange>, Vec<Finding>) {
    let (mut changes, mut lost) = (Vec::new(), Vec::new());
    for owner in &workloads.owners {
        let Some(text) = &owner.remembered else {
            continue;
        };
        let recalled = owner.state.recalled(text);
        if recalled.is_none() {
            lost.push(format!("{} (`{}`)", owner.label(), names::clipped(&names::one_line(text), 40)));
        }
        let before = recalled.filter(|_| owner.state.is_stopped() && !owner.over);
        changes.push(owner.change(before.unwrap_or(owner.state), None));
    }
    let mut findings = Vec::new();
    if !lost.is_empty() {
        findings.push(Finding::warning(format!(
            "what was remembered was edited and cannot be read; the tenant has to start it: {}",
            shown(&lost)
        )));
    }
    findings.extend(unreadable(workloads));
    (changes, findings)
}

/// Controllers of pods that are of no kind which the agent can stop.
fn unknown_owners(workloads: &Workloads) -> BTreeSet<&Controller> {
    let owners = workloads.pods.iter().filter_map(|pod| pod.controller.as_ref());
    owners.filter(|owner| WorkloadKind::parse(&owner.kind).is_none()).collect()
}

fn unreadable(workloads: &Workloads) -> Option<Finding> {
    let kinds = &workloads.unreadable;
    let text = || format!("not all workloads can be read; will look again: {}", kinds.join("; "));
    (!kinds.is_empty()).then(|| Finding::warning(text()))
}

fn shown(names: &[String]) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn workload(kind: WorkloadKind, name: &str, state: WorkloadState) -> Workload {
        Workload {
            kind,
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            version: "1".to_owned(),
            controller: None,
            state,
            remembered: None,
            over: false,
            deletes_volumes: false,
        }
    }

    fn kept_by(mut workload: Workload, kind: &str, name: &str) -> Workload {
        workload.controller = Some(Controller { kind: kind.to_owned(), name: name.to_owned() });
        workload
    }

    fn pod(name: &str, controller: Option<(&str, &str)>) -> Pod {
        let controller =
            controller.map(|(kind, name)| Controller { kind: kind.to_owned(), name: name.to_owned() });
        Pod { name: name.to_owned(), controller }
    }

    fn text(changes: &[WorkloadChange], findings: &[Finding]) -> String {
        let changes = changes.iter().map(|change| {
            let remember =
                change.remember.as_deref().map_or("forget".to_owned(), |text| format!("remember {text}"));
            format!("{change}, {remember}")
        });
        let findings = findings.iter().map(|finding| format!("! {}", finding.message));
        changes.chain(findings).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn owners_are_stopped_and_the_rest_is_said() {
        use WorkloadKind::*;
        let (three, on) = (WorkloadState::Replicas(3), WorkloadState::Suspended(false));
        let mut volumes = workload(StatefulSet, "cache", three);
        volumes.deletes_volumes = true;
        let mut over = workload(Job, "done", on);
        over.over = true;
        let workloads = Workloads {
            owners: vec![
                workload(Deployment, "shop", three),
                workload(StatefulSet, "db", WorkloadState::Replicas(1)),
                volumes,
                kept_by(workload(ReplicaSet, "shop-1", three), "Deployment", "shop"),
                kept_by(workload(ReplicaSet, "canary-1", three), "Rollout", "canary"),
                workload(ReplicaSet, "alone", three),
                workload(Deployment, "off", WorkloadState::Replicas(0)),
                workload(DeploymentConfig, "old", three),
                workload(CronJob, "nightly", on),
                kept_by(workload(Job, "nightly-1", on), "CronJob", "nightly"),
                over,
            ],
            pods: vec![
                pod("shop-1-a", Some(("ReplicaSet", "shop-1"))),
                pod("toolbox", None),
                pod("agent-x", Some(("DaemonSet", "agent"))),
                pod("agent-y", Some(("DaemonSet", "agent"))),
            ],
            unreadable: vec!["deploymentconfigs: OKD forbids it".to_owned()],
        };
        let (changes, findings) = stop(&workloads);
        insta::assert_snapshot!(text(&changes, &findings), @r"
        Deployment shop: replicas 3 → replicas 0, remember 3
        StatefulSet db: replicas 1 → replicas 0, remember 1
        ReplicaSet alone: replicas 3 → replicas 0, remember 3
        DeploymentConfig old: replicas 3 → replicas 0, remember 3
        CronJob nightly: not suspended → suspended, remember false
        Job nightly-1: not suspended → suspended, remember false
        ! not stopped, since stopping would delete volumes: StatefulSet cache
        ! not stopped, since the agent does not know what keeps it running: ReplicaSet canary-1 (kept by Rollout canary), DaemonSet agent
        ! pods without an owner are left running, since nothing would start them again: toolbox
        ! not all workloads can be read; will look again: deploymentconfigs: OKD forbids it
        ");
    }

    #[test]
    fn what_was_there_comes_back_unless_the_tenant_has_changed_it() {
        use WorkloadKind::*;
        let remembered = |kind, name: &str, state, text: &str| Workload {
            remembered: Some(text.to_owned()),
            ..workload(kind, name, state)
        };
        let workloads = Workloads {
            owners: vec![
                remembered(Deployment, "shop", WorkloadState::Replicas(0), "3"),
                remembered(Deployment, "scaled", WorkloadState::Replicas(2), "3"),
                remembered(Deployment, "edited", WorkloadState::Replicas(0), "-1"),
                remembered(StatefulSet, "huge", WorkloadState::Replicas(0), "99999999999"),
                workload(Deployment, "off", WorkloadState::Replicas(0)),
                remembered(CronJob, "nightly", WorkloadState::Suspended(true), "false"),
                remembered(Job, "resumed", WorkloadState::Suspended(false), "false"),
            ],
            ..Workloads::default()
        };
        let (changes, findings) = start(&workloads);
        insta::assert_snapshot!(text(&changes, &findings), @r"
        Deployment shop: replicas 0 → replicas 3, forget
        Deployment scaled: stays at replicas 2, forget
        Deployment edited: stays at replicas 0, forget
        StatefulSet huge: stays at replicas 0, forget
        CronJob nightly: suspended → not suspended, forget
        Job resumed: stays at not suspended, forget
        ! what was remembered was edited and cannot be read; the tenant has to start it: Deployment edited (`-1`), StatefulSet huge (`99999999999`)
        ");
    }

    fn any_workloads() -> impl Strategy<Value = Workloads> {
        let kind = prop::sample::select(WorkloadKind::ALL.to_vec());
        let owner =
            (kind, 0..4_i64, any::<bool>(), any::<bool>()).prop_map(|(kind, replicas, over, volumes)| {
                let state = match kind {
                    WorkloadKind::CronJob | WorkloadKind::Job => WorkloadState::Suspended(replicas == 0),
                    _ => WorkloadState::Replicas(replicas),
                };
                let volumes = volumes && kind == WorkloadKind::StatefulSet;
                Workload { over, deletes_volumes: volumes, ..workload(kind, "", state) }
            });
        prop::collection::vec(owner, 0..6).prop_map(|mut owners| {
            for (number, owner) in owners.iter_mut().enumerate() {
                owner.name = format!("w{number}");
            }
            Workloads { owners, ..Workloads::default() }
        })
    }

    fn apply(workloads: &mut Workloads, changes: &[WorkloadChange]) {
        for change in changes {
            let owner = workloads.owners.iter_mut().find(|owner| owner.name == change.name).unwrap();
            assert_eq!(owner.state, change.before);
            (owner.state, owner.remembered) = (change.after, change.remember.clone());
        }
    }

    proptest! {
        #[test]
        fn stop_and_start_leave_everything_as_it_was(before in any_workloads(), cut in 0_usize..8, cut_back in 0_usize..8) {
            let mut now = before.clone();
            // The first agent dies on the way, and so does the one that starts them again.
            let changes = stop(&now).0;
            apply(&mut now, &changes[..cut.min(changes.len())]);
            let changes = stop(&now).0;
            apply(&mut now, &changes);
            prop_assert_eq!(stop(&now).0, vec![]);
            let running = |owner: &&Workload| !owner.over && !owner.deletes_volumes;
            prop_assert!(now.owners.iter().filter(running).all(|owner| owner.state.is_stopped()));
            let changes = start(&now).0;
            apply(&mut now, &changes[..cut_back.min(changes.len())]);
            let changes = start(&now).0;
            apply(&mut now, &changes);
            prop_assert_eq!(now, before);
        }
    }
}
