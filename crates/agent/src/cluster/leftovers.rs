//! What is in a project that carries no labels of ours: role bindings that the Python agent has made in projects that
//! are kept here now (Waldur contract §7.1), and all that an adoption takes over. Reads only.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use planner::names;
use planner::observed::{Owned, PythonBinding, Survey};
use planner::quota::Quota;
use serde_json::Value;
use uuid::Uuid;

use super::connect::Cluster;
use super::kinds::{self, Kind};
use super::observe::object;
use super::quotas;
use crate::error::ApiError;

/// How the Python agent names the binding of a user.
const PREFIX: &str = "waldur-";

/// A binding without our labels, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Leftover {
    namespace: String,
    binding: PythonBinding,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PythonBinding { name, role, .. } = &self.binding;
        write!(f, "{}/{} (ClusterRole `{role}`)", self.namespace, names::one_line(name))
    }
}

impl Cluster {
    /// The Python agent's bindings in these namespaces. Lists all role bindings of the cluster.
    pub(crate) async fn leftovers(&self, namespaces: &HashSet<&str>) -> Result<Vec<Leftover>, ApiError> {
        let within = |item: &Value| {
            item.pointer("/metadata/namespace")
                .and_then(Value::as_str)
                .is_some_and(|name| namespaces.contains(name))
        };
        let path = Kind::RoleBinding.list_path();
        let items =
            self.http.list_some(&path, "", |item| within(item) && python_binding(item).is_some()).await?;
        let found = items.iter().filter_map(|item| {
            let namespace = text(item, "/metadata/namespace")?.to_owned();
            Some(Leftover { namespace, binding: python_binding(item)? })
        });
        let mut found: Vec<Leftover> = found.collect();
        found.sort();
        Ok(found)
    }

    /// What an adoption of this namespace takes over; `None` if there is no such namespace.
    pub(crate) async fn survey(&self, namespace: &str) -> Result<Option<Survey>, ApiError> {
        let place = match self.http.get(&kinds::namespace_path(namespace)).await {
            Err(error) if error.is_not_found() => return Ok(None),
            place => place?,
        };
        let limit_ranges =
            self.read_state(|state| state.surroundings.as_ref().is_none_or(|known| known.limit_ranges));
        // Others' have other names, and are none of the agent's business.
        let path = Kind::Quota.in_namespace(namespace);
        let quotas = self.http.list_some(&path, "", is_unlabelled);
        let range = async {
            match limit_ranges {
                true => self.unlabelled(Kind::LimitRange, namespace, names::LIMIT_RANGE).await,
                false => Ok(None),
            }
        };
        let path = Kind::RoleBinding.in_namespace(namespace);
        let bindings = self.http.list_some(&path, "", is_unlabelled);
        let (quotas, range, bindings) = futures::try_join!(quotas, range, bindings)?;
        let quotas = quotas.into_iter().filter_map(object).filter_map(|object| {
            let owned = quotas::read_quota(&object);
            Some((object.metadata.name?, owned))
        });
        let ours = bindings.iter().cloned().filter_map(object).filter_map(|object| {
            let owned = kinds::read_role_binding(&object);
            let name = object.metadata.name?;
            (name == planner::access::binding_name(&owned.value.role)).then_some((name, owned))
        });
        let mut python: Vec<PythonBinding> = bindings.iter().filter_map(python_binding).collect();
        python.sort();
        Ok(Some(Survey {
            resource_version: text(&place, "/metadata/resourceVersion").unwrap_or_default().to_owned(),
            quotas: quotas.collect(),
            limit_range: range.and_then(object).map(|object| kinds::read_limit_range(&object)),
            bindings: ours.collect::<BTreeMap<_, _>>(),
            python,
            rival: None,
        }))
    }

    /// Quotas of these names over all namespaces of a resource that carry no labels, for an adoption.
    pub(crate) async fn unlabelled_cluster_quotas(
        &self,
        resource: Uuid,
        quotas: impl Iterator<Item = &String>,
    ) -> Result<BTreeMap<String, Owned<Quota>>, ApiError> {
        let mut found = BTreeMap::new();
        for name in quotas.filter(|_| self.needs.cluster_quotas) {
            let path = Kind::ClusterQuota.cluster_path(&names::cluster_quota(name, resource));
            let quota = match self.http.get(&path).await {
                Err(error) if error.is_not_found() => continue,
                quota => quota?,
            };
            let quota = Some(quota).filter(is_unlabelled).and_then(object);
            let owned = quota.and_then(|quota| quotas::read_unlabelled_cluster_quota(&quota, resource));
            found.extend(owned.map(|owned| (name.clone(), owned)));
        }
        Ok(found)
    }

    async fn unlabelled(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
        match self.http.get(&kind.object_path(namespace, name)).await {
            Ok(found) => Ok(Some(found).filter(is_unlabelled)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// Neither ours nor any other manager's that labels its objects so.
fn is_unlabelled(object: &Value) -> bool {
    object.pointer("/metadata/labels").and_then(|labels| labels.get(names::MANAGED_BY)).is_none()
}

/// One user, after whom the binding is named, a ClusterRole, and neither labels, annotations nor owners: the Python
/// agent gives none.
pub(super) fn python_binding(binding: &Value) -> Option<PythonBinding> {
    let bare = ["labels", "annotations", "ownerReferences"].iter().all(|key| {
        let value = binding.pointer("/metadata").and_then(|metadata| metadata.get(key));
        value.is_none_or(|value| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty))
    });
    let (name, user) = (text(binding, "/metadata/name")?, text(binding, "/subjects/0/name")?);
    let is_theirs = bare
        && binding.get("subjects")?.as_array()?.len() == 1
        && text(binding, "/subjects/0/kind") == Some("User")
        && text(binding, "/roleRef/kind") == Some("ClusterRole")
        && name.strip_prefix(PREFIX) == Some(user);
    is_theirs.then(|| PythonBinding {
        name: name.to_owned(),
        uid: text(binding, "/metadata/uid").unwrap_or_default().to_owned(),
        user: user.to_owned(),
        role: text(binding, "/roleRef/name").unwrap_or_default().to_owned(),
    })
}
