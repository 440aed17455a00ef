//! A project as it should be, or as it should go.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::access::{DesiredAccess, GrantStatus, RemovalGuard};
use crate::lifecycle::{Hold, Termination};
use crate::names::{self, Candidates};
use crate::policy::LimitRangePolicy;
use crate::quota::DesiredQuotas;
use crate::template::{Template, Values};

/// Key of the metadata: what is in use beyond the quota.
pub const OVERUSE: &str = "overuse";

/// Key of the metadata: the namespaces of a resource that has several.
pub const NAMESPACES: &str = "namespaces";

/// Key of the metadata: what has become of the project of a terminated resource.
pub const TERMINATION: &str = "termination";

/// The project as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Waldur's id of the resource.
    pub resource: Uuid,
    /// Name that Waldur has for it; empty before it is made.
    pub backend_id: String,
    /// Names that it may get if it has none.
    pub candidates: Candidates,
    /// The namespaces that it is to have, where it has several; the first is that of [`Project::candidates`].
    pub environments: Vec<Environment>,
    /// True if an order asks for it to be made.
    pub may_create: bool,
    /// True if that order had begun before, so that a project may have been made already and not be noted.
    pub begun: bool,
    /// For people.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// Value of `waldur/organization`; `None` if the server does not tell the customer.
    pub organization: Option<String>,
    /// Value of `waldur/parent`; `None` if the server does not tell the project.
    pub parent: Option<String>,
    /// How Waldur wants it held.
    pub hold: Option<Hold>,
    /// The quotas after it was held, where that is not what was bought.
    pub restored: Option<DesiredQuotas>,
    /// An order sets the limits anew.
    pub resets: bool,
    /// Its workloads are to be stopped.
    pub stop_workloads: bool,
    /// Keys of quotas that the order must not set below what is in use: quota and key, each with its component.
    pub no_less_than_used: BTreeMap<(String, String), String>,
    /// See [`DesiredQuotas`].
    pub quotas: DesiredQuotas,
    /// `None`: no limit range is wanted.
    pub limit_range: Option<LimitRangePolicy>,
    /// What was bought, for Waldur's metadata.
    pub limits: BTreeMap<String, Value>,
    /// What Waldur has as metadata.
    pub backend_metadata: Map<String, Value>,
    /// In state Erred.
    pub erred: bool,
    /// What it is furnished with.
    pub template: Arc<Template>,
    /// What the template's placeholders stand for.
    pub values: Values,
    /// `None`: access is left as it is.
    pub access: Option<DesiredAccess>,
    /// Members are to have no access.
    pub restricted: bool,
    /// See [`RemovalGuard`].
    pub guard: RemovalGuard,
    /// See [`super::Facts::removal_confirmed`].
    pub removal_confirmed: bool,
    /// See [`super::Facts::removal_held`].
    pub removal_held: bool,
    /// See [`super::Command::Adopt`].
    pub adopt: bool,
    /// Waldur wants to hear what became of each grant, and was told this last; `None` if it does not want to.
    pub told_statuses: Option<Option<Vec<GrantStatus>>>,
}

/// One of several namespaces of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Name in the configuration; value of [`names::ENVIRONMENT`].
    pub name: String,
    /// Names that the namespace may get.
    pub candidates: Candidates,
}

/// A project that should not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Waldur's id of the resource.
    pub resource: Uuid,
    /// Name that Waldur has for it; empty if it never got one.
    pub backend_id: String,
    /// Names that a create which was cut short may have given it.
    pub candidates: Option<Candidates>,
    /// The same for its further namespaces, where it has several.
    pub environments: Vec<Environment>,
    /// See [`Termination`].
    pub termination: Termination,
    /// Locking stops workloads.
    pub stop_workloads: bool,
    /// Waldur is told of the usage first.
    pub reports_usage: bool,
    /// Quotas of a locked project; those that are not among them stay as they are.
    pub quotas: DesiredQuotas,
    /// Metadata that Waldur has.
    pub backend_metadata: Map<String, Value>,
}

impl Project {
    /// Annotations to write. What Waldur does not tell stays as it is: leaving a key out of an apply would
    /// remove it.
    #[must_use]
    pub fn annotations(&self, observed: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let known = [
            (names::DISPLAY_NAME, Some(&self.display_name)),
            (names::DESCRIPTION, Some(&self.description)),
            (names::ORGANIZATION, self.organization.as_ref()),
            (names::PARENT, self.parent.as_ref()),
            (names::TEMPLATE_RECORD, None),
        ];
        let values = known.into_iter().filter_map(|(key, value)| {
            let value = value.or_else(|| observed.get(key))?;
            Some((key.to_owned(), value.clone()))
        });
        values.collect()
    }

    /// Statuses of grants that Waldur wants to hear and was not told yet.
    #[must_use]
    pub fn unreported(&self) -> Option<&[GrantStatus]> {
        let (told, access) = (self.told_statuses.as_ref()?, self.access.as_ref()?);
        (told.as_ref() != Some(&access.statuses)).then_some(&access.statuses)
    }

    /// Metadata for Waldur under the keys of the Python agent (contract §7.1); keys of others are kept.
    ///
    /// Of the namespaces the first is the one that Waldur knows by name. `overuse` is what is in use beyond the quota,
    /// by key.
    #[must_use]
    pub fn metadata(&self, namespaces: &[&str], overuse: Option<Map<String, Value>>) -> Map<String, Value> {
        let mut metadata = self.backend_metadata.clone();
        for key in [TERMINATION, OVERUSE, NAMESPACES] {
            metadata.remove(key);
        }
        if let Some(overuse) = overuse {
            metadata.insert(OVERUSE.to_owned(), Value::Object(overuse));
        }
        metadata.insert("name".to_owned(), json!(namespaces.first()));
        if namespaces.len() > 1 {
            metadata.insert(NAMESPACES.to_owned(), json!(namespaces));
        }
        metadata.insert("description".to_owned(), json!(self.description));
        if let Some(organization) = &self.organization {
            metadata.insert("organization".to_owned(), json!(organization));
        }
        // As on the cluster, what Waldur no longer tells stays as it was.
        let known = metadata.get("quotas").and_then(Value::as_object).cloned().unwrap_or_default();
        let quotas: Map<String, Value> = known.into_iter().chain(self.limits.clone()).collect();
        metadata.insert("quotas".to_owned(), Value::Object(quotas));
        if let Some(access) = &self.access {
            metadata.insert("users".to_owned(), json!(access.users()));
        }
        metadata
    }
}
