//! Quotas over several projects: selection, status, enforcement. What is pinned here is what OpenShift documents ("Setting
//! quotas across multiple projects"); texts of refusals are those of other quotas.

use serde_json::{Value, json};

use crate::target::{APPLY, Answer, MERGE, PROJECTS, Target};

const QUOTAS: &str = "/apis/quota.openshift.io/v1/clusterresourcequotas";

fn quota(name: &str, label: &str, hard: &Value) -> Value {
    json!({
        "apiVersion": "quota.openshift.io/v1", "kind": "ClusterResourceQuota", "metadata": {"name": name},
        "spec": {"selector": {"labels": {"matchLabels": {"conf/allocation": label}}}, "quota": {"hard": hard}},
    })
}

/// A project with this label.
async fn project(target: &Target, name: &str, label: &str) -> String {
    let path = target.agent.project(name).await;
    let change = json!({"metadata": {"labels": {"conf/allocation": label}}});
    target.admin.patch(&path, MERGE, &change).await.is(200);
    path
}

async fn claim(target: &Target, namespace: &str, name: &str, storage: &str) -> Answer {
    let claim = json!({
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
    });
    target.admin.post(&format!("{namespace}/persistentvolumeclaims"), &claim).await
}

#[tokio::test]
async fn a_quota_counts_and_limits_all_projects_that_it_selects() {
    let target = Target::new().await;
    let (one, two) = (project(&target, "conf-crq-1", "a").await, project(&target, "conf-crq-2", "a").await);
    let other = project(&target, "conf-crq-3", "b").await;
    let hard = json!({"requests.storage": "10Gi"});
    let made = target.admin.post(QUOTAS, &quota("conf-crq", "a", &hard)).await.is(201);
    assert_eq!(made["metadata"]["namespace"], Value::Null);
    let path = format!("{QUOTAS}/conf-crq");
    let seen = target.admin.until(&path, |answer| answer.body["status"]["total"]["hard"] == hard).await;
    let nothing = json!({"hard": hard, "used": {"requests.storage": "0"}});
    assert_eq!(seen.body["status"]["total"], nothing);
    claim(&target, &one, "a", "6Gi").await.is(201);
    target
        .admin
        .until(&path, |answer| answer.body["status"]["total"]["used"]["requests.storage"] == "6Gi")
        .await;
    let refused = claim(&target, &two, "b", "5Gi").await;
    let why = "exceeded quota: conf-crq, requested: requests.storage=5Gi, used: requests.storage=6Gi, limited: \
               requests.storage=10Gi";
    refused.fails(403, "Forbidden", &format!("persistentvolumeclaims \"b\" is forbidden: {why}"));
    claim(&target, &other, "b", "5Gi").await.is(201);
    claim(&target, &two, "b", "4Gi").await.is(201);
    let part = |name: &str, used: &str| json!({"namespace": name, "status": {"hard": hard, "used": {"requests.storage": used}}});
    let parts = json!([part("conf-crq-1", "6Gi"), part("conf-crq-2", "4Gi")]);
    let sorted = |answer: &Answer| {
        let mut parts = answer.body["status"]["namespaces"].as_array().cloned().unwrap_or_default();
        parts.sort_by_key(|part| part["namespace"].to_string());
        Value::Array(parts)
    };
    target.admin.until(&path, |answer| sorted(answer) == parts).await;
    // A project that goes takes its use with it.
    target.agent.delete(&format!("{PROJECTS}/conf-crq-1")).await.is(200);
    let rest = json!([part("conf-crq-2", "4Gi")]);
    let gone = target.admin.until(&path, |answer| sorted(answer) == rest).await;
    assert_eq!(gone.body["status"]["total"]["used"]["requests.storage"], "4Gi");
    target.admin.delete(&path).await.is(200);
    claim(&target, &two, "c", "50Gi").await.is(201);
    for name in ["conf-crq-2", "conf-crq-3"] {
        target.agent.delete(&format!("{PROJECTS}/{name}")).await.is(200);
    }
}

#[tokio::test]
async fn a_quota_is_applied_and_a_label_brings_a_project_under_it() {
    let target = Target::new().await;
    let path = format!("{QUOTAS}/conf-applied");
    let apply = format!("{path}?fieldManager=conf&force=true");
    let hard = json!({"pods": "1"});
    target.admin.patch(&apply, APPLY, &quota("conf-applied", "c", &hard)).await.is(201);
    target.admin.until(&path, |answer| answer.body["status"]["total"]["hard"] == hard).await;
    let namespace = project(&target, "conf-crq-late", "c").await;
    let has_it = |answer: &Answer| answer.body["status"]["namespaces"][0]["namespace"] == "conf-crq-late";
    target.admin.until(&path, has_it).await;
    let more = json!({"pods": "1", "requests.storage": "1Gi"});
    let changed = target.admin.patch(&apply, APPLY, &quota("conf-applied", "c", &more)).await.is(200);
    assert_eq!(changed["spec"]["quota"]["hard"], more);
    // What only the status says is no change of the spec.
    assert_eq!(changed["metadata"]["generation"], 2);
    target.admin.until(&path, |answer| answer.body["status"]["total"]["hard"] == more).await;
    assert_eq!(claim(&target, &namespace, "a", "2Gi").await.code, 403);
    target.admin.delete(&path).await.is(200);
    target.agent.delete(&format!("{PROJECTS}/conf-crq-late")).await.is(200);
}

#[tokio::test]
async fn a_quota_over_everything_or_of_nonsense_is_refused() {
    let target = Target::new().await;
    let dry = format!("{QUOTAS}?dryRun=All");
    let mut all = quota("conf-odd", "a", &json!({"pods": "1"}));
    all["spec"]["selector"] = json!({});
    assert_eq!(target.admin.post(&dry, &all).await.is(422)["reason"], "Invalid");
    let negative = quota("conf-odd", "a", &json!({"pods": "-1"}));
    assert_eq!(target.admin.post(&dry, &negative).await.is(422)["reason"], "Invalid");
    let denied = target.agent.get(QUOTAS).await;
    let user = "system:serviceaccount:waldur-system:waldur-site-agent";
    let why = "cannot list resource \"clusterresourcequotas\" in API group \"quota.openshift.io\" at the cluster scope";
    let message = format!("clusterresourcequotas.quota.openshift.io is forbidden: User \"{user}\" {why}");
    denied.fails(403, "Forbidden", &message);
}
