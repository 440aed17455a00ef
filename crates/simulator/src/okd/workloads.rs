//! What keeps pods: Deployments, ReplicaSets, StatefulSets, DeploymentConfigs and Jobs, as far as their pods come and go
//! with `replicas` and `suspend`.
//!
//! Pods run at once, and are gone at once. Sources: Kubernetes "Workloads", OpenShift "DeploymentConfigs".

use serde_json::{Value, json};

use super::kinds::{DEPLOYMENT_CONFIGS, DEPLOYMENTS, JOBS, Kind, PODS, REPLICA_SETS, STATEFUL_SETS};
use super::store::{Key, Store};
use super::{cluster_quota, quota, validate};

/// Whether a change of an object of this kind may make pods come or go.
pub(crate) fn concerns(kind: &Kind) -> bool {
    [DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DEPLOYMENT_CONFIGS, JOBS].contains(&kind)
}

/// Whether anything in a namespace keeps pods.
pub(crate) fn any(store: &Store, namespace: &str) -> bool {
    let kinds = [DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DEPLOYMENT_CONFIGS, JOBS];
    kinds.iter().any(|kind| store.table(kind).range(Some(namespace), None).next().is_some())
}

/// Brings the pods of a namespace to what their owners want and quotas let in; false if they were.
pub(crate) fn run(store: &mut Store, namespace: &str, now: &str) -> bool {
    let before = store.version();
    for deployment in all(store, DEPLOYMENTS, namespace) {
        replica_set(store, &deployment, now);
    }
    for (kind, owner_kind) in [
        (REPLICA_SETS, "ReplicaSet"),
        (STATEFUL_SETS, "StatefulSet"),
        // Its pods are a ReplicationController's, which nobody here looks at.
        (DEPLOYMENT_CONFIGS, "ReplicationController"),
        (JOBS, "Job"),
    ] {
        for owner in all(store, kind, namespace) {
            pods(store, (kind, owner_kind), &owner, now);
        }
    }
    store.version() != before
}

fn all(store: &Store, kind: &Kind, namespace: &str) -> Vec<Value> {
    store.table(kind).range(Some(namespace), None).map(|stored| stored.value()).collect()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn owned_by(kind: &str, version: &str, owner: &Value, name: &str) -> Value {
    json!([{
        "apiVersion": version, "kind": kind, "name": name, "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    }])
}

fn replica_set(store: &mut Store, deployment: &Value, now: &str) {
    let (namespace, name) = (text(deployment, "/metadata/namespace"), text(deployment, "/metadata/name"));
    let hash = text(deployment, "/metadata/uid").get(..8).unwrap_or_default();
    let name = format!("{name}-{hash}");
    let mut set = match store.get(REPLICA_SETS, namespace, &name) {
        Some(stored) => stored.value(),
        None => json!({
            "metadata": {
                "name": name, "namespace": namespace, "uid": store.new_uid(), "creationTimestamp": now,
                "ownerReferences": owned_by("Deployment", "apps/v1", deployment, text(deployment, "/metadata/name")),
            },
            "spec": {"template": deployment["spec"]["template"]},
        }),
    };
    if set["spec"]["replicas"] != deployment["spec"]["replicas"] {
        set["spec"]["replicas"] = deployment["spec"]["replicas"].clone();
        store.put(REPLICA_SETS, set);
    }
}

/// How many pods an owner wants.
fn wanted(kind: &Kind, owner: &Value) -> usize {
    let spec = &owner["spec"];
    let count = if kind == JOBS {
        let over = owner["status"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty());
        u64::from(spec["suspend"] != true && !over)
    } else {
        spec["replicas"].as_u64().unwrap_or(1)
    };
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn pods(store: &mut Store, (kind, owner_kind): (&Kind, &str), owner: &Value, now: &str) {
    let (namespace, name) = (text(owner, "/metadata/namespace"), text(owner, "/metadata/name"));
    let uid = &owner["metadata"]["uid"];
    let is_its = |pod: &Value| {
        let owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.into_iter().any(|reference| reference["uid"] == *uid)
    };
    let its: Vec<Value> = all(store, PODS, namespace).into_iter().filter(is_its).collect();
    let wanted = wanted(kind, owner);
    for pod in its.iter().skip(wanted) {
        store.remove(PODS, &Key::new(namespace, text(pod, "/metadata/name")));
    }
    if owner["spec"]["template"]["spec"]["containers"].as_array().is_none_or(Vec::is_empty) {
        return;
    }
    let version = kind.api_version();
    for _ in its.len()..wanted {
        let (owner_name, annotations) = if kind == DEPLOYMENT_CONFIGS {
            (format!("{name}-1"), json!({"openshift.io/deployment-config.name": name}))
        } else {
            (name.to_owned(), json!({}))
        };
        let mut pod = json!({
            "metadata": {
                "name": format!("{owner_name}-{}", store.suffix()), "namespace": namespace,
                "annotations": annotations,
                "ownerReferences": owned_by(owner_kind, &version, owner, &owner_name),
            },
            "spec": owner["spec"]["template"]["spec"],
        });
        let admitted = validate::normalise(PODS, &mut pod)
            .and_then(|()| quota::apply_limit_ranges(store, namespace, PODS, &mut pod))
            .and_then(|()| quota::admit(store, namespace, PODS, &pod))
            .and_then(|()| cluster_quota::admit(store, namespace, PODS, &pod));
        if admitted.is_err() {
            return;
        }
        pod["metadata"]["uid"] = store.new_uid().into();
        pod["metadata"]["creationTimestamp"] = now.into();
        pod["status"]["phase"] = "Running".into();
        store.put(PODS, pod);
    }
}
