//! Which namespace a resource's project is in, or is to be made in.

use jiff::{SignedDuration, Timestamp};

use crate::desired::Project;
use crate::finding::Finding;
use crate::names::Candidates;
use crate::observed::{Lookup, Namespace, Observed, Ownership};

/// How long another instance of the agent may take from requesting a project to labelling it. Afterwards a
/// project that only says that it is for the resource counts as somebody else's.
const LABELLING: SignedDuration = SignedDuration::from_mins(2);
/// How soon to look again at a project that another instance seems to be making.
const WHILE_CLAIMED: SignedDuration = SignedDuration::from_secs(2);

/// Where the project is.
#[derive(Debug)]
pub(super) enum Site<'a> {
    /// In this namespace, which is ours or a create of ours that was cut short.
    Use(&'a Namespace),
    /// Nowhere yet; in a new namespace of this name.
    Create(String),
    /// Not known before this name was looked up.
    LookUp(String),
    /// Not known before what is in the namespace of this name was looked into.
    Survey(String),
    /// In this namespace, which is going away.
    Leaving(&'a Namespace),
    /// Not decided before something else has happened.
    Wait {
        /// When to look again.
        until: Timestamp,
        /// What is waited for.
        why: String,
    },
    /// Nowhere that the agent may use.
    Fail(String),
}

/// Finds the project's place.
pub(super) fn site<'a>(
    project: &Project,
    requester: &str,
    observed: &'a Observed,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> Site<'a> {
    if let Some(namespace) = observed.primary(&project.backend_id) {
        if observed.owned.len() > 1 {
            let names: Vec<_> = observed.owned.iter().map(|namespace| namespace.name.as_str()).collect();
            findings.push(ambiguous(&names, &namespace.name));
        }
        return usable(namespace);
    }
    Search::of(project, requester, observed, now).site()
}

/// Looking for the place of one namespace.
pub(super) struct Search<'a, 'b> {
    pub(super) project: &'b Project,
    pub(super) requester: &'b str,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    /// Names that it may get.
    pub(super) names: &'b Candidates,
    /// Which of several it is.
    pub(super) environment: Option<&'b str>,
    /// It may be made.
    pub(super) may_create: bool,
    /// It may have been made before.
    pub(super) begun: bool,
}

impl<'a, 'b> Search<'a, 'b> {
    /// For the one that Waldur knows by name, or is to know.
    pub(super) fn of(
        project: &'b Project,
        requester: &'b str,
        observed: &'a Observed,
        now: Timestamp,
    ) -> Self {
        let (may_create, begun) = (project.may_create, project.begun);
        let names = &project.candidates;
        let environment = project.environments.first().map(|first| first.name.as_str());
        Self { project, requester, observed, now, names, environment, may_create, begun }
    }

    pub(super) fn site(&self) -> Site<'a> {
        if self.project.backend_id.is_empty() { self.new_name() } else { self.stored_name() }
    }
}

impl<'a> Search<'a, '_> {
    /// Waldur names a namespace that does not carry our labels, or is not there.
    pub(super) fn stored_name(&self) -> Site<'a> {
        let name = &self.project.backend_id;
        match self.observed.by_name.get(name) {
            None => Site::LookUp(name.clone()),
            Some(Lookup::Absent) if self.may_create => Site::Create(name.clone()),
            Some(Lookup::Absent) => Site::Fail(format!(
                "namespace `{name}` is not on the cluster any more; terminate the resource, or restore it"
            )),
            Some(Lookup::Present(namespace)) => {
                match namespace.ownership(self.project.resource, self.requester) {
                    Ownership::Ours | Ownership::CutShort => usable(namespace),
                    Ownership::OtherResource => Site::Fail(other_resource(namespace)),
                    Ownership::Claimed | Ownership::Foreign if self.is_adoptable(namespace) => {
                        usable(namespace)
                    }
                    Ownership::Claimed | Ownership::Foreign => Site::Fail(not_ours(namespace)),
                }
            }
        }
    }

    /// One that says that it is another resource's stays that, also where the other label is missing.
    fn is_adoptable(&self, namespace: &Namespace) -> bool {
        let resource = namespace.labels.get(crate::names::RESOURCE_UUID);
        self.project.adopt
            && self.observed.surveys.contains_key(&namespace.name)
            && resource.is_none_or(|label| *label == self.project.resource.simple().to_string())
    }

    /// A new project: the regular name, or the one with a suffix if somebody else has the regular one. The
    /// regular name is not looked up beforehand: making the project says whether it is taken.
    pub(super) fn new_name(&self) -> Site<'a> {
        if !self.may_create {
            return Site::Fail(
                "Waldur has no namespace for this resource (its backend id is empty)".to_owned(),
            );
        }
        let names = self.names;
        if self.begun {
            // An earlier attempt may have taken the suffixed name while somebody had the regular one.
            match self.observed.by_name.get(&names.suffixed) {
                None => return Site::LookUp(names.suffixed.clone()),
                Some(Lookup::Absent) => {}
                Some(Lookup::Present(namespace)) => {
                    if let Some(site) = self.taken(namespace) {
                        return site;
                    }
                }
            }
        }
        match self.observed.by_name.get(&names.regular) {
            None | Some(Lookup::Absent) => Site::Create(names.regular.clone()),
            Some(Lookup::Present(namespace)) => {
                self.taken(namespace).unwrap_or_else(|| self.suffixed_name(namespace))
            }
        }
    }

    fn suffixed_name(&self, regular: &Namespace) -> Site<'a> {
        let names = self.names;
        match self.observed.by_name.get(&names.suffixed) {
            None | Some(Lookup::Absent) => Site::Create(names.suffixed.clone()),
            Some(Lookup::Present(namespace)) => self.taken(namespace).unwrap_or_else(|| {
                Site::Fail(format!(
                    "both names for this project are taken by others: `{}` and `{}`",
                    regular.name, namespace.name
                ))
            }),
        }
    }

    /// What to do about a namespace that has the wanted name; `None` if it is somebody else's.
    fn taken(&self, namespace: &'a Namespace) -> Option<Site<'a>> {
        match namespace.ownership(self.project.resource, self.requester) {
            // Somebody has given the name to another of the resource's namespaces.
            Ownership::Ours if namespace.environment().is_some_and(|of| self.environment != Some(of)) => None,
            Ownership::Ours | Ownership::CutShort => Some(usable(namespace)),
            Ownership::Claimed => self.claimed(namespace),
            Ownership::OtherResource | Ownership::Foreign => None,
        }
    }

    fn claimed(&self, namespace: &Namespace) -> Option<Site<'a>> {
        let deadline = namespace.created?.checked_add(LABELLING).ok()?;
        if self.now >= deadline {
            return None;
        }
        let until = self.now.checked_add(WHILE_CLAIMED).ok()?;
        let why = format!("project `{}` is being made for this resource by another agent", namespace.name);
        Some(Site::Wait { until, why })
    }
}

/// A namespace of ours that is on its way out cannot be used; what comes next depends on what is there then.
pub(super) const fn usable(namespace: &Namespace) -> Site<'_> {
    if namespace.terminating { Site::Leaving(namespace) } else { Site::Use(namespace) }
}

/// Says that more namespaces carry a resource's labels than it has.
pub(super) fn ambiguous(names: &[&str], used: &str) -> Finding {
    Finding::error(format!(
        "several namespaces carry this resource's labels: {}; using `{used}`, remove the labels from the others",
        names.join(", ")
    ))
}

/// Why a namespace without our labels is left alone.
pub(super) fn not_ours(namespace: &Namespace) -> String {
    format!(
        "namespace `{}` exists, but was not made by this agent (it lacks the label `{}`); it was not touched. \
         If it is this resource's, the provider has to adopt it (`waldur_site_agent adopt`); if not, the resource's backend id is wrong",
        namespace.name,
        crate::names::RESOURCE_UUID
    )
}

/// Why a namespace of another resource is left alone.
pub(super) fn other_resource(namespace: &Namespace) -> String {
    let owner = namespace.labels.get(crate::names::RESOURCE_UUID).map_or("", String::as_str);
    format!("namespace `{}` belongs to another resource ({owner}); it was not touched", namespace.name)
}
