//! What is taken away: each object after one more look at whose it is, and under the uid that was seen.

use planner::action::OwnedKind;
use planner::names;
use planner::observed::{Ownership, PythonBinding};
use planner::policy::Flavour;
use planner::template::ObjectApi;
use uuid::Uuid;

use super::{Writes, kind_of, not_ours};
use crate::cluster::kinds::{self, Kind};
use crate::cluster::{leftovers, template};
use crate::error::ApiError;

impl Writes<'_> {
    /// Deletes after one more look: what the store says may be a moment old.
    pub(super) async fn delete(&self, name: &str, uid: &str, resource: Uuid) -> Result<(), ApiError> {
        let path = match self.flavour {
            Flavour::OpenShift => format!("/apis/project.openshift.io/v1/projects/{name}"),
            Flavour::Kubernetes => kinds::namespace_path(name),
        };
        names::check_namespace(name)
            .map_err(|error| not_ours(&format!("DELETE {path}"), &error.to_string()))?;
        let Some(namespace) = self.cluster.namespace(name).await? else {
            return Ok(());
        };
        let ours =
            matches!(namespace.ownership(resource, self.requester), Ownership::Ours | Ownership::CutShort);
        if !ours || namespace.uid != uid {
            return Err(not_ours(
                &format!("DELETE {path}"),
                "the namespace is not the one that was to be deleted",
            ));
        }
        if namespace.terminating {
            return Ok(());
        }
        match self.cluster.http.delete(&path, &kinds::delete_options(uid)).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(|_| self.cluster.write_store(|store| store.namespace_leaves(name))),
        }
    }

    /// Deletes an object of ours; the object itself says whose it is. `place` is where the store keeps it.
    pub(super) async fn delete_object(
        &self,
        kind: Kind,
        path: &str,
        place: &str,
        (resource, name, uid): (Uuid, &str, &str),
    ) -> Result<(), ApiError> {
        if let Some(found) = self.look(path).await? {
            if kinds::resource_of(&found) != Some(resource) || found.metadata.uid.as_deref() != Some(uid) {
                let message = "the object is not the one that was to be deleted";
                return Err(not_ours(&format!("DELETE {path}"), message));
            }
            match self.cluster.http.delete(path, &kinds::delete_options(uid)).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        self.cluster.write_store(|store| store.object_gone(kind, place, name));
        Ok(())
    }

    /// Deletes an object that has left the template.
    pub(super) async fn unfurnish(
        &self,
        namespace: &str,
        api: &ObjectApi,
        (resource, name, uid): (Uuid, &str, &str),
    ) -> Result<(), ApiError> {
        let path = template::object_path(api, namespace, name);
        if let Some(found) = self.look(&path).await? {
            let ours = kinds::resource_of(&found) == Some(resource) && kinds::is_furnishing(&found);
            if !ours || found.metadata.uid.as_deref() != Some(uid) {
                let message = "the object is not the one that was to be deleted";
                return Err(not_ours(&format!("DELETE {path}"), message));
            }
            match self.cluster.http.delete(&path, &kinds::delete_options(uid)).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        self.cluster.furnished.gone(api, namespace, name);
        Ok(())
    }

    /// Deletes a binding that is still what the Python agent made, in a namespace that is ours by now.
    pub(super) async fn delete_python_binding(
        &self,
        namespace: &str,
        resource: Uuid,
        binding: &PythonBinding,
    ) -> Result<(), ApiError> {
        let path = Kind::RoleBinding.object_path(namespace, &binding.name);
        let request = format!("DELETE {path}");
        let place = self.cluster.namespace(namespace).await?;
        if !place.is_some_and(|place| place.ownership(resource, self.requester) == Ownership::Ours) {
            return Err(not_ours(&request, "the namespace does not carry this resource's labels"));
        }
        let found = match self.cluster.http.get(&path).await {
            Err(error) if error.is_not_found() => return Ok(()),
            found => found?,
        };
        if leftovers::python_binding(&found).as_ref() != Some(binding) {
            return Err(not_ours(&request, "the role binding is not what the Python agent made any more"));
        }
        match self.cluster.http.delete(&path, &kinds::delete_options(&binding.uid)).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Takes our labels off an object of ours.
    pub(super) async fn release(
        &self,
        kind: OwnedKind,
        namespace: &str,
        (resource, name, uid): (Uuid, &str, &str),
    ) -> Result<(), ApiError> {
        let kind = kind_of(kind);
        let path = match kind {
            Kind::Namespace | Kind::Group | Kind::Identity | Kind::ClusterQuota => kind.cluster_path(name),
            _ => kind.object_path(namespace, name),
        };
        let Some(found) = self.look(&path).await?.filter(|found| kinds::resource_of(found).is_some()) else {
            return Ok(());
        };
        if kinds::resource_of(&found) != Some(resource) || found.metadata.uid.as_deref() != Some(uid) {
            return Err(not_ours(
                &format!("PATCH {path}"),
                "the object is not the one that was to be given up",
            ));
        }
        let seen = self.cluster.http.patch(&path, &kinds::without_labels(uid)).await?;
        self.saw(kind, seen);
        Ok(())
    }
}
