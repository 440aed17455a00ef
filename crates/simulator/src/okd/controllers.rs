//! What the cluster does by itself after a write: new namespaces are furnished, quotas counted, namespaces emptied.
//!
//! Each job is one short transaction. When it runs is decided by [`super::Okd`]: at once, or after a delay.

use serde_json::{Value, json};

use super::kinds::{
    CONFIG_MAPS, KINDS, Kind, NAMESPACES, PODS, PROJECT_REQUESTS, PROJECTS, QUOTAS, RBAC, ROLE_BINDINGS,
    SERVICE_ACCOUNTS,
};
use super::projects::ORIGIN;
use super::quota;
use super::store::{Key, Store};
use super::workloads;

/// Something to be done after a write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Job {
    /// Put into a new namespace what the controllers put there.
    Furnish(String),
    /// Bring the status of all quotas of a namespace up to date.
    CountQuotas(String),
    /// Bring the pods of a namespace to what their owners want.
    Run(String),
    /// Delete the content of a namespace that terminates.
    Empty(String),
    /// Remove an empty namespace that terminates, or say what holds it.
    Finish(String),
}

/// What follows from a change of one object.
pub(crate) fn jobs(store: &Store, kind: &Kind, namespace: &str, name: &str) -> Vec<Job> {
    if kind == NAMESPACES {
        let deleting = store.get(NAMESPACES, "", name).is_some_and(|stored| stored.deleting);
        return vec![if deleting { Job::Empty(name.to_owned()) } else { Job::Furnish(name.to_owned()) }];
    }
    let mut jobs = Vec::new();
    if quota::concerns(kind) && store.table(QUOTAS).range(Some(namespace), None).next().is_some() {
        jobs.push(Job::CountQuotas(namespace.to_owned()));
    }
    if kind.namespaced && store.get(NAMESPACES, "", namespace).is_some_and(|stored| stored.deleting) {
        jobs.push(Job::Finish(namespace.to_owned()));
    } else if workloads::concerns(kind)
        || (kind == QUOTAS || kind == PODS) && workloads::any(store, namespace)
    {
        // A quota may let in what it kept out before, and what was deleted is made anew.
        jobs.push(Job::Run(namespace.to_owned()));
    }
    jobs
}

fn stamp(store: &mut Store, now: &str, mut object: Value) -> Value {
    object["metadata"]["uid"] = store.new_uid().into();
    object["metadata"]["creationTimestamp"] = now.into();
    object
}

/// kube-controller-manager's objects, and openshift-controller-manager's if `openshift`.
pub(crate) fn furnish(store: &mut Store, namespace: &str, openshift: bool, now: &str) {
    let Some(live) = store.get(NAMESPACES, "", namespace).filter(|stored| !stored.deleting).cloned() else {
        return;
    };
    let furnishings = [
        (SERVICE_ACCOUNTS, json!({"metadata": {"name": "default", "namespace": namespace}})),
        (
            CONFIG_MAPS,
            json!({"metadata": {"name": "kube-root-ca.crt", "namespace": namespace}, "data": {"ca.crt": ""}}),
        ),
    ];
    for (kind, object) in furnishings {
        put_missing(store, kind, object, now);
    }
    if !openshift {
        return;
    }
    let mut object = live.value();
    if furnish_openshift(&mut object, live.version) {
        store.put(NAMESPACES, object);
    }
    for (name, role, subject) in system_bindings(namespace) {
        let binding = json!({
            "metadata": {"name": name, "namespace": namespace},
            "subjects": [subject],
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        });
        put_missing(store, ROLE_BINDINGS, binding, now);
    }
}

fn put_missing(store: &mut Store, kind: &Kind, object: Value, now: &str) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    if store.get(kind, text("namespace"), text("name")).is_none() {
        let object = stamp(store, now, object);
        store.put(kind, object);
    }
}

/// Annotations, labels and finalizers; false if they are in place.
fn furnish_openshift(namespace: &mut Value, number: u64) -> bool {
    let before = namespace.clone();
    let annotations = &mut namespace["metadata"]["annotations"];
    if annotations["openshift.io/sa.scc.uid-range"].is_null() {
        let block = format!("{}/10000", 1_000_000_000 + number * 10_000);
        annotations["openshift.io/sa.scc.mcs"] =
            format!("s0:c{},c{}", 27 + number / 1024, number % 1024).into();
        annotations["openshift.io/sa.scc.supplemental-groups"] = block.clone().into();
        annotations["openshift.io/sa.scc.uid-range"] = block.into();
    }
    let labels = &mut namespace["metadata"]["labels"];
    for mode in ["audit", "warn"] {
        for (suffix, value) in [("", "restricted"), ("-version", "latest")] {
            let label = format!("pod-security.kubernetes.io/{mode}{suffix}");
            if labels[&label].is_null() {
                labels[label] = value.into();
            }
        }
    }
    if let Some(finalizers) = namespace["spec"]["finalizers"].as_array_mut() {
        finalizers.retain(|finalizer| finalizer != ORIGIN);
    }
    before != *namespace
}

fn system_bindings(namespace: &str) -> [(&'static str, &'static str, Value); 3] {
    let account = |name: &str| json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
    let group =
        json!({"kind": "Group", "apiGroup": RBAC, "name": format!("system:serviceaccounts:{namespace}")});
    [
        ("system:image-pullers", "system:image-puller", group),
        ("system:image-builders", "system:image-builder", account("builder")),
        ("system:deployers", "system:deployer", account("deployer")),
    ]
}

/// Sets `status` of each quota to its `spec.hard` and what is used.
pub(crate) fn count_quotas(store: &mut Store, namespace: &str) {
    let quotas: Vec<_> = store.table(QUOTAS).range(Some(namespace), None).cloned().collect();
    for stored in quotas {
        let mut quota = stored.value();
        let hard = quota["spec"]["hard"].as_object().cloned().unwrap_or_default();
        let used = quota::used(store, namespace, &quota["spec"], &hard);
        let status = if hard.is_empty() { json!({}) } else { json!({"hard": hard, "used": used}) };
        if quota["status"] != status {
            quota["status"] = status;
            store.put(QUOTAS, quota);
        }
    }
}

fn content_kinds() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(|kind| kind.namespaced && *kind != PROJECTS && *kind != PROJECT_REQUESTS)
}

/// Deletes what a terminating namespace contains; what has finalizers is only marked.
pub(crate) fn empty(store: &mut Store, namespace: &str, now: &str) {
    if store.get(NAMESPACES, "", namespace).is_none_or(|stored| !stored.deleting) {
        return;
    }
    for kind in content_kinds() {
        let content: Vec<_> = store.table(kind).range(Some(namespace), None).cloned().collect();
        for stored in content {
            let mut object = stored.value();
            if object["metadata"].get("finalizers").is_none() {
                store.remove(kind, &stored.key);
            } else if !stored.deleting {
                object["metadata"]["deletionTimestamp"] = now.into();
                store.put(kind, object);
            }
        }
    }
}

/// Removes an emptied namespace, or writes into its conditions what holds it.
pub(crate) fn finish(store: &mut Store, namespace: &str, aggregated_down: bool, now: &str) {
    let key = Key::new("", namespace);
    let Some(live) = store.table(NAMESPACES).get(&key).filter(|stored| stored.deleting).cloned() else {
        return;
    };
    let mut remaining: Vec<(&Kind, usize)> = Vec::new();
    let mut finalizers: Vec<(String, usize)> = Vec::new();
    for kind in content_kinds() {
        for stored in store.table(kind).range(Some(namespace), None) {
            match remaining.last_mut() {
                Some((last, count)) if *last == kind => *count += 1,
                _ => remaining.push((kind, 1)),
            }
            for finalizer in stored.value()["metadata"]["finalizers"].as_array().into_iter().flatten() {
                let finalizer = finalizer.as_str().unwrap_or_default();
                match finalizers.iter_mut().find(|(name, _)| name == finalizer) {
                    Some((_, count)) => *count += 1,
                    None => finalizers.push((finalizer.to_owned(), 1)),
                }
            }
        }
    }
    let mut object = live.value();
    if remaining.is_empty() && !aggregated_down {
        if let Some(list) = object["spec"]["finalizers"].as_array_mut() {
            list.retain(|finalizer| finalizer != "kubernetes");
        }
        let held = object["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
            || object["metadata"].get("finalizers").is_some();
        if !held {
            store.remove(NAMESPACES, &key);
            return;
        }
    }
    let conditions = conditions(&remaining, &finalizers, aggregated_down, now);
    if !same_conditions(&object["status"]["conditions"], &conditions) {
        object["status"]["conditions"] = conditions;
        store.put(NAMESPACES, object);
    }
}

fn same_conditions(before: &Value, after: &Value) -> bool {
    let told = |value: &Value| {
        let list = value.as_array().into_iter().flatten();
        list.map(|c| (c["type"].clone(), c["status"].clone(), c["message"].clone())).collect::<Vec<_>>()
    };
    told(before) == told(after)
}

fn conditions(
    remaining: &[(&Kind, usize)],
    finalizers: &[(String, usize)],
    aggregated_down: bool,
    now: &str,
) -> Value {
    let condition = |kind: &str, fault: bool, reason: [&str; 2], message: [String; 2]| {
        let [good, bad] = message;
        json!({
            "type": kind,
            "status": if fault { "True" } else { "False" },
            "lastTransitionTime": now,
            "reason": reason[usize::from(fault)],
            "message": if fault { bad } else { good },
        })
    };
    let list = |parts: Vec<String>| parts.join(", ");
    let remain = list(
        remaining
            .iter()
            .map(|(k, n)| format!("{}.{} has {n} resource instances", k.plural, k.group))
            .collect(),
    );
    let held = list(finalizers.iter().map(|(name, n)| format!("{name} in {n} resource instances")).collect());
    let stale = "project.openshift.io/v1: stale GroupVersion discovery: project.openshift.io/v1";
    json!([
        condition(
            "NamespaceDeletionDiscoveryFailure",
            aggregated_down,
            ["ResourcesDiscovered", "DiscoveryFailed"],
            [
                "All resources successfully discovered".into(),
                format!(
                    "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: {stale}"
                ),
            ],
        ),
        condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            ["ParsedGroupVersions", ""],
            ["All legacy kube types successfully parsed".into(), String::new()],
        ),
        condition(
            "NamespaceDeletionContentFailure",
            false,
            ["ContentDeleted", ""],
            ["All content successfully deleted, may be waiting on finalization".into(), String::new()],
        ),
        condition(
            "NamespaceContentRemaining",
            !remaining.is_empty(),
            ["ContentRemoved", "SomeResourcesRemain"],
            ["All content successfully removed".into(), format!("Some resources are remaining: {remain}")],
        ),
        condition(
            "NamespaceFinalizersRemaining",
            !finalizers.is_empty(),
            ["ContentHasNoFinalizers", "SomeFinalizersRemain"],
            [
                "All content-preserving finalizers finished".into(),
                format!("Some content in the namespace has finalizers remaining: {held}")
            ],
        ),
    ])
}
