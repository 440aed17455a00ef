//! Server-side apply: ownership of fields, conflicts, preconditions.

use serde_json::{Value, json};

use crate::target::{APPLY, MERGE, PROJECTS, Target, quota};

async fn quotas(target: &Target, project: &str) -> String {
    format!("{}/resourcequotas", target.agent.project(project).await)
}

#[tokio::test]
async fn a_manager_owns_what_it_applies_and_leaving_out_removes() {
    let target = Target::new().await;
    let path = format!("{}/ssa", quotas(&target, "conf-own").await);
    let waldur = format!("{path}?fieldManager=waldur");
    let made = target
        .agent
        .patch(&waldur, APPLY, &quota("ssa", &json!({"pods": "4", "limits.cpu": "1000m"})))
        .await
        .is(201);
    assert_eq!(made["spec"]["hard"], json!({"limits.cpu": "1", "pods": "4"}));
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&json!("waldur"), &json!("Apply")));
    assert_eq!(entry["fieldsV1"], json!({"f:spec": {"f:hard": {"f:limits.cpu": {}, "f:pods": {}}}}));
    let less = target.agent.patch(&waldur, APPLY, &quota("ssa", &json!({"pods": "5"}))).await.is(200);
    assert_eq!(less["spec"]["hard"], json!({"pods": "5"}));

    let other = target
        .agent
        .patch(&format!("{path}?fieldManager=other"), APPLY, &quota("ssa", &json!({"pods": "6"})))
        .await;
    other.fails(409, "Conflict", "Apply failed with 1 conflict: conflict with \"waldur\": .spec.hard.pods");
    let cause = json!({"reason": "FieldManagerConflict", "message": "conflict with \"waldur\"", "field": ".spec.hard.pods"});
    assert_eq!(other.body["details"], json!({"causes": [cause]}));
    let forced = format!("{path}?fieldManager=other&force=true");
    let taken = target.agent.patch(&forced, APPLY, &quota("ssa", &json!({"pods": "6"}))).await.is(200);
    assert_eq!(taken["spec"]["hard"], json!({"pods": "6"}));
    target.agent.delete(&format!("{PROJECTS}/conf-own")).await.is(200);
}

#[tokio::test]
async fn applying_the_same_again_changes_nothing() {
    let target = Target::new().await;
    let path = format!("{}/ssa?fieldManager=waldur", quotas(&target, "conf-same").await);
    let config = quota("ssa", &json!({"pods": "4"}));
    target.agent.patch(&path, APPLY, &config).await.is(201);
    let settled = |answer: &crate::target::Answer| answer.body["status"]["used"].is_object();
    let before = target.agent.until(&path, settled).await.is(200);
    let after = target.agent.patch(&path, APPLY, &config).await.is(200);
    assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
    target.agent.delete(&format!("{PROJECTS}/conf-same")).await.is(200);
}

#[tokio::test]
async fn a_change_by_hand_is_a_conflict_until_forced() {
    let target = Target::new().await;
    let path = format!("{}/ssa", quotas(&target, "conf-hand").await);
    let config = quota("ssa", &json!({"pods": "4"}));
    let waldur = format!("{path}?fieldManager=waldur");
    target.agent.patch(&waldur, APPLY, &config).await.is(201);
    let change = json!({"spec": {"hard": {"pods": "9"}}});
    target.admin.patch(&format!("{path}?fieldManager=kubectl-edit"), MERGE, &change).await.is(200);
    let conflict = target.agent.patch(&waldur, APPLY, &config).await;
    let message = "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .spec.hard.pods";
    conflict.fails(409, "Conflict", message);
    let healed = target.agent.patch(&format!("{waldur}&force=true"), APPLY, &config).await.is(200);
    assert_eq!(healed["spec"]["hard"]["pods"], "4");
    target.agent.delete(&format!("{PROJECTS}/conf-hand")).await.is(200);
}

#[tokio::test]
async fn metadata_is_applied_next_to_what_others_wrote() {
    let target = Target::new().await;
    let namespace = target.agent.project("conf-beside").await;
    let config = |labels: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "conf-beside", "labels": labels}});
    let path = format!("{namespace}?fieldManager=waldur-site-agent&force=true");
    let labels = json!({"app.kubernetes.io/managed-by": "waldur-site-agent", "waldur/resource-uuid": "u1"});
    let applied = target.agent.patch(&path, APPLY, &config(labels)).await.is(200);
    assert_eq!(applied["metadata"]["labels"]["waldur/resource-uuid"], "u1");
    assert_eq!(applied["metadata"]["labels"]["kubernetes.io/metadata.name"], "conf-beside");
    assert_eq!(applied["status"]["phase"], "Active");
    let fewer = json!({"app.kubernetes.io/managed-by": "waldur-site-agent"});
    let applied = target.agent.patch(&path, APPLY, &config(fewer)).await.is(200);
    assert!(applied["metadata"]["labels"].get("waldur/resource-uuid").is_none());
    assert_eq!(applied["metadata"]["labels"]["kubernetes.io/metadata.name"], "conf-beside");
    target.agent.delete(&format!("{PROJECTS}/conf-beside")).await.is(200);
}

#[tokio::test]
async fn an_applied_uid_must_be_that_of_the_live_object() {
    let target = Target::new().await;
    let path = format!("{}/ssa?fieldManager=waldur", quotas(&target, "conf-applied-uid").await);
    let mut config = quota("ssa", &json!({"pods": "4"}));
    config["metadata"]["uid"] = "0000".into();
    let absent = target.agent.patch(&path, APPLY, &config).await;
    assert_eq!((absent.code, absent.body["reason"].as_str()), (409, Some("Conflict")));
    let made = target.agent.patch(&path, APPLY, &quota("ssa", &json!({"pods": "4"}))).await.is(201);
    let other = target.agent.patch(&path, APPLY, &config).await;
    assert_eq!((other.code, other.body["reason"].as_str()), (409, Some("Conflict")));
    config["metadata"]["uid"] = made["metadata"]["uid"].clone();
    target.agent.patch(&path, APPLY, &config).await.is(200);
    config["metadata"]["resourceVersion"] = "1".into();
    let stale = target.agent.patch(&path, APPLY, &config).await;
    assert_eq!((stale.code, stale.body["reason"].as_str()), (409, Some("Conflict")));
    target.agent.delete(&format!("{PROJECTS}/conf-applied-uid")).await.is(200);
}

#[tokio::test]
async fn limit_ranges_are_applied_whole() {
    let target = Target::new().await;
    let namespace = target.agent.project("conf-range").await;
    let path = format!("{namespace}/limitranges/waldur-limits?fieldManager=waldur");
    let range = |limits: Value| json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "waldur-limits"}, "spec": {"limits": limits}});
    let two = json!([
        {"type": "Container", "default": {"cpu": "1"}}, {"type": "PersistentVolumeClaim", "max": {"storage": "5Gi"}},
    ]);
    target.extended.patch(&path, APPLY, &range(two)).await.is(201);
    let one = json!([{"type": "Container", "default": {"memory": "1Gi"}}]);
    let applied = target.extended.patch(&path, APPLY, &range(one)).await.is(200);
    let expected =
        json!([{"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": {"memory": "1Gi"}}]);
    assert_eq!(applied["spec"]["limits"], expected);
    target.agent.delete(&format!("{PROJECTS}/conf-range")).await.is(200);
}
