//! The tenant's workloads: what runs in a namespace, and the bodies that stop and start it. Reads only; `apply` writes.
//!
//! They are read where a project is being paused or restored, and at no other time.

use futures::future::join_all;
use kube::api::DynamicObject;
use planner::lifecycle::BEFORE_STOP;
use planner::quota::Hards;
use planner::workloads::{Controller, Pod, Workload, WorkloadChange, WorkloadKind, WorkloadState, Workloads};
use serde_json::{Map, Value, json};

use super::connect::Cluster;
use super::kinds::{self, Kind};
use super::observe::{encoded, object};
use super::subjects::path_segment;
use crate::error::ApiError;

/// On the pods of a DeploymentConfig, whose controller is a ReplicationController: its name (OpenShift).
const DEPLOYMENT_CONFIG: &str = "openshift.io/deployment-config.name";

/// API group and plural of a kind.
pub(crate) const fn place(kind: WorkloadKind) -> (&'static str, &'static str) {
    match kind {
        WorkloadKind::Deployment => ("apps", "deployments"),
        WorkloadKind::StatefulSet => ("apps", "statefulsets"),
        WorkloadKind::ReplicaSet => ("apps", "replicasets"),
        WorkloadKind::DeploymentConfig => ("apps.openshift.io", "deploymentconfigs"),
        WorkloadKind::CronJob => ("batch", "cronjobs"),
        WorkloadKind::Job => ("batch", "jobs"),
    }
}

fn list_path(kind: WorkloadKind, namespace: &str) -> String {
    let (group, plural) = place(kind);
    format!("/apis/{group}/v1/namespaces/{namespace}/{plural}")
}

/// Path of one workload.
pub(super) fn path(kind: WorkloadKind, namespace: &str, name: &str) -> String {
    format!("{}/{}", list_path(kind, namespace), path_segment(name))
}

impl Cluster {
    /// What runs in a namespace. What cannot be read is named in the answer.
    pub(crate) async fn workloads(&self, namespace: &str) -> Workloads {
        // Without the feature its rights were not asked for; what it left behind is put back all the same.
        let kinds = match self.needs.workloads {
            true => self.read_state(|state| {
                state.surroundings.as_ref().map_or_else(Vec::new, |known| known.workloads.clone())
            }),
            false => WorkloadKind::ALL.to_vec(),
        };
        let mut found = Workloads::default();
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let lists =
            join_all(kinds.iter().map(|kind| self.read_all(list_path(*kind, namespace), workload_of(*kind))));
        let (lists, pods) = futures::join!(lists, self.read_all(pods, |object| read_pod(&object)));
        for (kind, list) in kinds.iter().zip(lists) {
            match list {
                Ok(owners) => found.owners.extend(owners),
                // A cluster without OpenShift's DeploymentConfigs, say.
                Err(error) if error.unknown_path => {}
                Err(error) => found.unreadable.push(format!("{}: {error}", place(*kind).1)),
            }
        }
        match pods {
            Ok(pods) => found.pods = pods,
            Err(error) => found.unreadable.push(format!("pods: {error}")),
        }
        found
    }

    async fn read_all<T>(
        &self,
        path: String,
        read: impl Fn(DynamicObject) -> Option<T>,
    ) -> Result<Vec<T>, ApiError> {
        let mut found = Vec::new();
        let take = |page: Vec<Value>| found.extend(page.into_iter().filter_map(object).filter_map(&read));
        self.http.list_pages(&path, "", take).await?;
        Ok(found)
    }

    /// What is in use by the keys of our quotas, as the cluster counts it now.
    pub(crate) async fn used(&self, namespace: &str) -> Result<Hards, ApiError> {
        let query = format!("&labelSelector={}", encoded(&kinds::our_labels()));
        let mut found = Hards::new();
        let take = |page: Vec<Value>| {
            let used = |quota: &Value| {
                let name = quota.pointer("/metadata/name").and_then(Value::as_str)?;
                Some((name.to_owned(), kinds::amounts(quota.pointer("/status/used"))))
            };
            found.extend(page.iter().filter_map(used));
        };
        self.http.list_pages(&Kind::Quota.in_namespace(namespace), &query, take).await?;
        Ok(found)
    }
}

fn workload_of(kind: WorkloadKind) -> impl Fn(DynamicObject) -> Option<Workload> {
    move |object| read_workload(kind, &object)
}

fn read_workload(kind: WorkloadKind, object: &DynamicObject) -> Option<Workload> {
    let (metadata, spec) = (&object.metadata, object.data.get("spec"));
    let spec = |pointer: &str| spec.and_then(|spec| spec.pointer(pointer));
    let state = match kind {
        WorkloadKind::CronJob | WorkloadKind::Job => {
            WorkloadState::Suspended(spec("/suspend").and_then(Value::as_bool).unwrap_or(false))
        }
        // Kubernetes counts one where nothing is said.
        _ => WorkloadState::Replicas(spec("/replicas").and_then(Value::as_i64).unwrap_or(1)),
    };
    let ended = kind == WorkloadKind::Job && has_ended(&object.data);
    let retention = spec("/persistentVolumeClaimRetentionPolicy/whenScaled").and_then(Value::as_str);
    Some(Workload {
        kind,
        name: metadata.name.clone()?,
        uid: metadata.uid.clone()?,
        version: metadata.resource_version.clone()?,
        controller: controller(object),
        state,
        remembered: metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(BEFORE_STOP).cloned()),
        over: ended || metadata.deletion_timestamp.is_some(),
        deletes_volumes: retention == Some("Delete"),
    })
}

/// Kubernetes: conditions of a Job.
fn has_ended(data: &Value) -> bool {
    let conditions = data.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        matches!(condition["type"].as_str(), Some("Complete" | "Failed")) && condition["status"] == "True"
    })
}

fn controller(object: &DynamicObject) -> Option<Controller> {
    let owners = object.metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    Some(Controller { kind: owner.kind.clone(), name: owner.name.clone() })
}

/// A pod that is not over.
fn read_pod(object: &DynamicObject) -> Option<Pod> {
    let phase = object.data.pointer("/status/phase").and_then(Value::as_str);
    if matches!(phase, Some("Succeeded" | "Failed")) || object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let of_config =
        object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DEPLOYMENT_CONFIG));
    let controller = controller(object).map(|controller| match of_config {
        Some(name) if controller.kind == "ReplicationController" => {
            Controller { kind: WorkloadKind::DeploymentConfig.as_str().to_owned(), name: name.clone() }
        }
        _ => controller,
    });
    Some(Pod { name: object.metadata.name.clone()?, controller })
}

/// A merge patch for exactly the object that was seen: what it makes run, our annotation, and nothing else.
pub(super) fn body(change: &WorkloadChange) -> Value {
    let mut body = json!({
        "metadata": {
            "uid": change.uid,
            "resourceVersion": change.version,
            "annotations": {BEFORE_STOP: change.remember},
        },
    });
    if change.after != change.before {
        let (key, value) = match change.after {
            WorkloadState::Replicas(replicas) => ("replicas", json!(replicas)),
            WorkloadState::Suspended(suspended) => ("suspend", json!(suspended)),
        };
        body["spec"] = Value::Object(Map::from_iter([(key.to_owned(), value)]));
    }
    body
}
