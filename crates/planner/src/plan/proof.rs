//! Whether a namespace that carries no labels of ours and that Waldur does not name is a resource's all the same: what
//! an adoption of several namespaces may take over beside the one that Waldur names.
//!
//! Its name alone proves nothing: on OpenShift everybody may request a project of any name.

use crate::desired::{Environment, Project};
use crate::finding::Finding;
use crate::names;
use crate::observed::{Lookup, Namespace, Observed, Ownership};

use super::namespace::Site;

/// Looking for the further namespaces of a resource that is adopted.
pub(super) struct Proof<'a, 'b> {
    pub(super) project: &'b Project,
    /// The agent's user name on the cluster.
    pub(super) requester: &'b str,
    pub(super) observed: &'a Observed,
    pub(super) environment: &'b Environment,
}

impl<'a> Proof<'a, '_> {
    /// The namespace that is to be taken over for this environment; `Err` with what has to be known first.
    pub(super) fn adoptable(&self, findings: &mut Vec<Finding>) -> Result<Option<&'a Namespace>, Site<'a>> {
        let names = &self.environment.candidates;
        for name in [&names.regular, &names.suffixed] {
            let namespace = match self.observed.by_name.get(name) {
                None => return Err(Site::LookUp(name.clone())),
                Some(Lookup::Absent) => continue,
                Some(Lookup::Present(namespace)) => namespace,
            };
            match namespace.ownership(self.project.resource, self.requester) {
                Ownership::Ours | Ownership::CutShort => return Ok(None),
                Ownership::OtherResource => continue,
                Ownership::Claimed | Ownership::Foreign => {}
            }
            match self.objection(namespace)? {
                None => return Ok(Some(namespace)),
                Some(why) => findings.push(self.left(namespace, &why)),
            }
        }
        Ok(None)
    }

    fn left(&self, namespace: &Namespace, why: &str) -> Finding {
        Finding::warning(format!(
            "namespace `{}` has the name of `{}`, but is not taken over: {why}",
            namespace.name, self.environment.name
        ))
    }

    /// What speaks against it.
    fn objection(&self, namespace: &Namespace) -> Result<Option<String>, Site<'a>> {
        if let Some(why) = self.by_marks(namespace) {
            return Ok(Some(why));
        }
        let Some(survey) = self.observed.surveys.get(&namespace.name) else {
            return Err(Site::Survey(namespace.name.clone()));
        };
        Ok(survey.rival.map(|rival| format!("Waldur names it for resource {}", rival.simple())))
    }

    /// What its labels and annotations say against it, or do not say for it. Tenants can set neither (OpenShift: they may
    /// change what a project is called, and nothing else of it).
    fn by_marks(&self, namespace: &Namespace) -> Option<String> {
        let project = self.project;
        let shown = |text: &str| names::clipped(&names::one_line(text), 80).to_string();
        if namespace.terminating {
            return Some("it is being deleted".to_owned());
        }
        if let Some(manager) = namespace.labels.get(names::MANAGED_BY) {
            return Some(format!("`{}` manages it", shown(manager)));
        }
        for (label, expected) in [
            (names::RESOURCE_UUID, project.resource.simple().to_string()),
            (names::ENVIRONMENT, self.environment.name.clone()),
        ] {
            if let Some(value) = namespace.labels.get(label).filter(|value| **value != expected) {
                return Some(format!("its label `{label}` is `{}`", shown(value)));
            }
        }
        let said = |annotation: &str| {
            namespace.annotations.get(annotation).map(String::as_str).filter(|value| !value.is_empty())
        };
        for (annotation, expected) in
            [(names::PARENT, &project.parent), (names::ORGANIZATION, &project.organization)]
        {
            if let Some(value) = said(annotation).filter(|value| expected.as_deref() != Some(value)) {
                return Some(format!("its annotation `{annotation}` is `{}`", shown(value)));
            }
        }
        let by = said(names::REQUESTER);
        let requested = by.is_some_and(|by| by == self.requester);
        if requested || said(names::PARENT).is_some() {
            return None;
        }
        let unknown =
            "neither has this agent requested it nor does an annotation name the resource's project"
                .to_owned();
        let why = by.map_or(unknown, |by| format!("`{}` has requested it", shown(by)));
        let vouch = project.parent.as_ref().map_or_else(String::new, |parent| {
            format!("; if it is this resource's, annotate it with `{}={parent}` before", names::PARENT)
        });
        Some(why + &vouch)
    }
}
