//! The namespaces of a resource: mostly one, or one for each of the configured environments.
//!
//! Of several, the label [`crate::names::ENVIRONMENT`] says which is which; the name only where that label is missing. One that
//! is missing is made. One whose environment is configured no more stays as it is, and is only told of.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::namespace::{Search, Site, ambiguous, site, usable};
use super::proof::Proof;
use crate::action::Target;
use crate::desired::{Environment, Project};
use crate::finding::Finding;
use crate::observed::{Namespace, Observed, Survey};

/// One namespace of a resource.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    /// The namespace, if it is there.
    pub(super) namespace: Option<&'a Namespace>,
    /// Its name, and its uid if it is there.
    pub(super) target: Target,
    /// Which of several it is.
    pub(super) environment: Option<String>,
    /// What is in it.
    pub(super) seen: &'a Observed,
    /// What in it carries no labels, where it is adopted.
    pub(super) survey: Option<&'a Survey>,
}

/// The namespaces of a resource.
#[derive(Debug)]
pub(super) struct Places<'a> {
    /// Name of the one that Waldur knows.
    pub(super) primary: String,
    /// Those that can be worked on; not empty.
    pub(super) all: Vec<Place<'a>>,
    /// Their resource is one that has several: its quotas are over all of them.
    pub(super) several: bool,
}

impl<'a> Places<'a> {
    /// The one that Waldur knows, or another while that one is going away.
    pub(super) fn first(&self) -> &Place<'a> {
        &self.all[0]
    }

    /// Names of all, that of the primary one first.
    pub(super) fn names(&self) -> Vec<&str> {
        let others = self.all.iter().map(|place| place.target.name.as_str());
        std::iter::once(self.primary.as_str()).chain(others.filter(|name| *name != self.primary)).collect()
    }
}

impl<'a> Place<'a> {
    fn new(namespace: Option<&'a Namespace>, name: &str, observed: &'a Observed) -> Self {
        let uid = namespace.map(|namespace| namespace.uid.clone());
        let target = Target { name: name.to_owned(), uid };
        let (seen, survey) = (observed.within(name), observed.surveys.get(name));
        Self { namespace, target, environment: None, seen, survey }
    }
}

/// Whether a resource has several namespaces, or had.
pub(super) fn has_several(environments: &[Environment], observed: &Observed) -> bool {
    !environments.is_empty() || observed.owned.iter().any(|namespace| namespace.environment().is_some())
}

/// Which environment a namespace of a resource is.
pub(super) fn environment_of<'a>(
    environments: &'a [Environment],
    namespace: &'a Namespace,
) -> Option<&'a str> {
    namespace.environment().or_else(|| by_name(environments, &namespace.name))
}

fn by_name<'a>(environments: &'a [Environment], name: &str) -> Option<&'a str> {
    let is_named = |environment: &&Environment| {
        let names = &environment.candidates;
        names.regular == name || names.suffixed == name
    };
    environments.iter().find(is_named).map(|environment| environment.name.as_str())
}

/// Finds the places of a project; `Err` if something else comes first.
pub(super) fn places<'a>(
    project: &Project,
    requester: &str,
    observed: &'a Observed,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> Result<Places<'a>, Site<'a>> {
    if has_several(&project.environments, observed) {
        return Several { project, requester, observed, now }.places(findings);
    }
    let place = match site(project, requester, observed, now, findings) {
        Site::Use(namespace) => Place::new(Some(namespace), &namespace.name, observed),
        Site::Create(name) => Place::new(None, &name, observed),
        other => return Err(other),
    };
    Ok(Places { primary: place.target.name.clone(), all: vec![place], several: false })
}

struct Several<'a, 'b> {
    project: &'b Project,
    requester: &'b str,
    observed: &'a Observed,
    now: Timestamp,
}

impl<'a> Several<'a, '_> {
    fn places(&self, findings: &mut Vec<Finding>) -> Result<Places<'a>, Site<'a>> {
        let first = self.primary(findings)?;
        let (primary, first) = match first {
            Found::There(place) => (place.target.name.clone(), Some(place)),
            Found::Not(name) => (name, None),
        };
        let mut all: Vec<Place<'a>> = first.into_iter().collect();
        let mut taken: BTreeSet<&str> = BTreeSet::from([primary.as_str()]);
        let mut environments: BTreeSet<String> = BTreeSet::new();
        environments.extend(self.environment_of_primary(&primary).map(str::to_owned));
        if let Some(place) = all.first_mut() {
            place.environment = environments.first().cloned();
        }
        for environment in &self.project.environments {
            if environments.contains(&environment.name) {
                continue;
            }
            let owned = self.observed.owned.iter().find(|namespace| {
                namespace.name != primary
                    && environment_of(&self.project.environments, namespace) == Some(&environment.name)
            });
            taken.extend(owned.map(|namespace| namespace.name.as_str()));
            environments.insert(environment.name.clone());
            if let Found::There(place) = self.further(environment, owned, findings)? {
                all.push(Place { environment: Some(environment.name.clone()), ..place });
            }
        }
        self.kept(&taken, &mut all, findings);
        if all.is_empty() {
            // All of it is going away.
            let leaving = self.observed.owned.iter().find(|namespace| namespace.terminating);
            return Err(leaving
                .map_or_else(|| Site::Fail(format!("no namespace of `{primary}` can be used")), usable));
        }
        Ok(Places { primary, all, several: true })
    }

    /// The one that Waldur knows by name. Where that was deleted by hand and others are there, it is made again.
    fn primary(&self, findings: &mut Vec<Finding>) -> Result<Found<'a>, Site<'a>> {
        let (project, observed) = (self.project, self.observed);
        let search = Search::of(project, self.requester, observed, self.now);
        let site = if project.backend_id.is_empty() {
            match self.without_backend_id() {
                Some(namespace) => usable(namespace),
                None => search.site(),
            }
        } else {
            match observed.owned.iter().find(|namespace| namespace.name == project.backend_id) {
                Some(namespace) => usable(namespace),
                None if observed.owned.is_empty() => search.site(),
                None => Search { may_create: true, ..search }.stored_name(),
            }
        };
        self.found(site, findings)
    }

    /// Of those that are there before Waldur knows a name, the one of the first environment.
    fn without_backend_id(&self) -> Option<&'a Namespace> {
        let environments = &self.project.environments;
        let first = environments.first().map(|first| first.name.as_str());
        let mut owned = self.observed.owned.iter();
        owned
            .find(|namespace| environment_of(environments, namespace) == first)
            .or_else(|| self.observed.primary(""))
    }

    /// By its label, else by its name, else the first environment that no other namespace is.
    fn environment_of_primary(&self, primary: &str) -> Option<&str> {
        let environments = &self.project.environments;
        let owned = self.observed.owned.iter().find(|namespace| namespace.name == primary);
        let known = owned.and_then(|namespace| environment_of(environments, namespace));
        let taken = |name: &str| {
            let mut others = self.observed.owned.iter().filter(|namespace| namespace.name != primary);
            others.any(|namespace| environment_of(environments, namespace) == Some(name))
        };
        let mut free = environments.iter().map(|environment| environment.name.as_str());
        known.or_else(|| by_name(environments, primary)).or_else(|| free.find(|name| !taken(name)))
    }

    fn further(
        &self,
        environment: &Environment,
        owned: Option<&'a Namespace>,
        findings: &mut Vec<Finding>,
    ) -> Result<Found<'a>, Site<'a>> {
        let adopted = match owned {
            None if self.project.adopt => {
                let Self { project, requester, observed, .. } = *self;
                Proof { project, requester, observed, environment }.adoptable(findings)?
            }
            _ => None,
        };
        let site = match owned.or(adopted) {
            Some(namespace) => usable(namespace),
            None => Search {
                names: &environment.candidates,
                environment: Some(&environment.name),
                may_create: true,
                begun: true,
                ..Search::of(self.project, self.requester, self.observed, self.now)
            }
            .new_name(),
        };
        match site {
            // The others are kept all the same, unless an order is to bring all of them.
            Site::Fail(reason) if !self.project.may_create => {
                findings.push(Finding::error(format!("`{}` cannot be made: {reason}", environment.name)));
                Ok(Found::Not(String::new()))
            }
            site => self.found(site, findings),
        }
    }

    /// One that goes away is made again when it is gone; the others are kept meanwhile, unless an order waits for it.
    fn found(&self, site: Site<'a>, findings: &mut Vec<Finding>) -> Result<Found<'a>, Site<'a>> {
        match site {
            Site::Use(namespace) => {
                Ok(Found::There(Place::new(Some(namespace), &namespace.name, self.observed)))
            }
            Site::Create(name) => Ok(Found::There(Place::new(None, &name, self.observed))),
            Site::Leaving(namespace) if !self.project.may_create => {
                findings.push(Finding::warning(format!(
                    "namespace `{}` is being deleted, and no order asks for that; it is made again when it is gone",
                    namespace.name
                )));
                Ok(Found::Not(namespace.name.clone()))
            }
            Site::Wait { why, .. } if !self.project.may_create => {
                findings.push(Finding::info(why));
                Ok(Found::Not(String::new()))
            }
            other => Err(other),
        }
    }

    /// Namespaces that are the resource's and in no environment that is configured: what is in them is the tenant's.
    fn kept(&self, taken: &BTreeSet<&str>, all: &mut Vec<Place<'a>>, findings: &mut Vec<Finding>) {
        let rest = self.observed.owned.iter().filter(|namespace| !taken.contains(namespace.name.as_str()));
        let (strays, kept): (Vec<_>, Vec<_>) = rest
            .filter(|namespace| !namespace.terminating)
            .partition(|namespace| namespace.environment().is_none());
        for namespace in kept {
            let environment = namespace.environment().unwrap_or_default();
            findings.push(Finding::warning(format!(
                "namespace `{}` is `{environment}` of this resource, for which `namespaces` has no place; it is kept, and \
                 counts into the quota; delete it if it is not wanted",
                namespace.name
            )));
            let place = Place::new(Some(namespace), &namespace.name, self.observed);
            all.push(Place { environment: Some(environment.to_owned()), ..place });
        }
        if !strays.is_empty() {
            let names: Vec<&str> =
                self.observed.owned.iter().map(|namespace| namespace.name.as_str()).collect();
            let used: Vec<&str> = all.iter().map(|place| place.target.name.as_str()).collect();
            findings.push(ambiguous(&names, &used.join("`, `")));
        }
    }
}

/// What there is of a namespace.
enum Found<'a> {
    /// It is there, or can be made.
    There(Place<'a>),
    /// It cannot be worked on now; its name, if it has one.
    Not(String),
}
