//! Deletion of projects and namespaces: preconditions, the time in between, and what holds it.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::okd::OkdOptions;

use crate::target::{APPLY, Answer, MERGE, PROJECTS, REQUESTS, Target, binding, bindings, quota};

/// A cluster in which a namespace terminates until the test lets it go.
async fn held(project: &str) -> Target {
    let target = Target::simulator(OkdOptions::immediate()).await;
    target.agent.project(project).await;
    target.simulated.as_ref().unwrap().okd.hold_termination(project, "example.com/block");
    target
}

#[tokio::test]
async fn deleting_a_project_answers_success_and_a_namespace_itself() {
    let target = Target::new().await;
    let project = target.agent.project("conf-del1").await;
    let status = target.agent.delete(&format!("{PROJECTS}/conf-del1")).await.is(200);
    assert_eq!(status, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}));
    let gone = target.agent.until(&project, |answer| answer.code == 404).await;
    gone.fails(404, "NotFound", "namespaces \"conf-del1\" not found");
    let namespace = target.agent.project("conf-del2").await;
    let object = target.agent.delete(&namespace).await.is(200);
    assert_eq!((&object["kind"], &object["status"]["phase"]), (&json!("Namespace"), &json!("Terminating")));
    target.agent.until(&namespace, |answer| answer.code == 404).await;
    target.agent.delete(&namespace).await.fails(404, "NotFound", "namespaces \"conf-del2\" not found");
    target.agent.project("conf-del1").await;
    target.agent.delete(&format!("{PROJECTS}/conf-del1")).await.is(200);
}

#[tokio::test]
async fn a_uid_that_is_not_the_objects_stops_the_delete() {
    let target = Target::new().await;
    let namespace = target.agent.project("conf-uid").await;
    let uid = target.agent.get(&namespace).await.is(200)["metadata"]["uid"].as_str().unwrap().to_owned();
    let path = format!("{PROJECTS}/conf-uid");
    let options =
        |uid: &str| json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}});
    let refused = target.agent.delete_with(&path, &options("0000")).await;
    let why = format!("Precondition failed: UID in precondition: 0000, UID in object meta: {uid}");
    refused.fails(
        409,
        "Conflict",
        &format!("Operation cannot be fulfilled on namespaces \"conf-uid\": {why}"),
    );
    assert_eq!(refused.body["details"], json!({"name": "conf-uid", "kind": "namespaces"}));
    let quotas = format!("{namespace}/resourcequotas");
    target.agent.post(&quotas, &quota("q", &json!({"pods": "1"}))).await.is(201);
    let refused = target.agent.delete_with(&format!("{quotas}/q"), &options("0000")).await;
    assert_eq!((refused.code, refused.body["reason"].as_str()), (409, Some("Conflict")));
    target.agent.delete_with(&path, &options(&uid)).await.is(200);
}

#[tokio::test]
async fn a_dry_run_deletes_nothing() {
    let target = Target::new().await;
    let namespace = target.agent.project("conf-drydel").await;
    target.agent.delete(&format!("{namespace}?dryRun=All")).await.is(200);
    target.agent.delete_with(&namespace, &json!({"dryRun": ["All"]})).await.is(200);
    assert_eq!(target.agent.get(&namespace).await.is(200)["status"]["phase"], "Active");
    target.agent.delete(&namespace).await.is(200);
}

#[tokio::test]
async fn system_namespaces_are_kept_by_the_server_only_in_part() {
    let target = Target::new().await;
    for name in ["default", "kube-system", "kube-public"] {
        for path in [format!("/api/v1/namespaces/{name}"), format!("{PROJECTS}/{name}")] {
            let refused = target.agent.delete(&path).await;
            let message = format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted");
            refused.fails(403, "Forbidden", &message);
        }
    }
    for name in ["openshift-infra", "kube-node-lease", "waldur-system"] {
        target.agent.delete(&format!("/api/v1/namespaces/{name}?dryRun=All")).await.is(200);
    }
    let all = target.agent.delete(PROJECTS).await;
    let user = "system:serviceaccount:waldur-system:waldur-site-agent";
    let why = "cannot deletecollection resource \"projects\" in API group \"project.openshift.io\" at the cluster scope";
    all.fails(
        403,
        "Forbidden",
        &format!("projects.project.openshift.io is forbidden: User \"{user}\" {why}"),
    );
}

#[tokio::test]
async fn a_terminating_namespace_takes_nothing_new_and_keeps_its_name() {
    let target = held("conf-term").await;
    let (agent, namespace) = (&target.agent, "/api/v1/namespaces/conf-term");
    agent.post(&format!("{namespace}/resourcequotas"), &quota("q", &json!({"pods": "1"}))).await.is(201);
    for _again in 0..2 {
        agent.delete(&format!("{PROJECTS}/conf-term")).await.is(200);
    }
    let live = agent.get(namespace).await.is(200);
    assert_eq!(live["status"]["phase"], "Terminating");
    assert!(live["metadata"]["deletionTimestamp"].is_string());
    let list = agent.get(PROJECTS).await.is(200);
    assert!(list["items"].as_array().unwrap().iter().any(|item| item["metadata"]["name"] == "conf-term"));

    let request = json!({"metadata": {"name": "conf-term"}});
    agent.post(REQUESTS, &request).await.fails(
        409,
        "AlreadyExists",
        "project.project.openshift.io \"conf-term\" already exists",
    );
    let message = "object is being deleted: namespaces \"conf-term\" already exists";
    agent.post("/api/v1/namespaces", &request).await.fails(409, "AlreadyExists", message);
    let why = "unable to create new content in namespace conf-term because it is being terminated";
    let refused =
        agent.post(&format!("{namespace}/resourcequotas"), &quota("z", &json!({"pods": "1"}))).await;
    refused.fails(403, "Forbidden", &format!("resourcequotas \"z\" is forbidden: {why}"));
    let cause = json!({
        "reason": "NamespaceTerminating", "message": "namespace conf-term is being terminated",
        "field": "metadata.namespace",
    });
    assert_eq!(refused.body["details"], json!({"name": "z", "kind": "resourcequotas", "causes": [cause]}));
    let made = target.admin.post(&bindings("conf-term"), &binding("b", "view", "john")).await;
    assert_eq!((made.code, &made.body["details"]["causes"]), (403, &json!([cause])));
    let apply = format!("{namespace}/resourcequotas/y?fieldManager=w");
    assert_eq!(agent.patch(&apply, APPLY, &quota("y", &json!({"pods": "1"}))).await.code, 403);
    let display = json!({"metadata": {"annotations": {"openshift.io/display-name": "still"}}});
    agent.patch(&format!("{PROJECTS}/conf-term"), MERGE, &display).await.is(200);
    for path in [format!("{namespace}/resourcequotas"), bindings("conf-term")] {
        assert_eq!(agent.get(&path).await.is(200)["items"], json!([]), "content goes first");
    }
}

fn condition<'a>(namespace: &'a Value, kind: &str) -> &'a Value {
    let conditions = namespace["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == kind).unwrap()
}

#[tokio::test]
async fn what_holds_a_namespace_is_said_in_its_conditions_until_it_goes() {
    let target = held("conf-held").await;
    let namespace = "/api/v1/namespaces/conf-held";
    target.agent.delete(namespace).await.is(200);
    let stuck = target.agent.get(namespace).await.is(200);
    let remaining = condition(&stuck, "NamespaceContentRemaining");
    assert_eq!((&remaining["status"], &remaining["reason"]), (&json!("True"), &json!("SomeResourcesRemain")));
    assert_eq!(remaining["message"], "Some resources are remaining: configmaps. has 1 resource instances");
    let finalizers = condition(&stuck, "NamespaceFinalizersRemaining");
    assert_eq!(finalizers["status"], "True");
    assert!(finalizers["message"].as_str().unwrap().contains("example.com/block in 1 resource instances"));
    assert_eq!(condition(&stuck, "NamespaceDeletionDiscoveryFailure")["status"], "False");
    target.simulated.as_ref().unwrap().okd.release_termination("conf-held");
    target.agent.get(namespace).await.is(404);
}

#[tokio::test]
async fn a_namespace_terminates_for_as_long_as_the_cluster_takes() {
    let delay = Duration::from_millis(120);
    let options = OkdOptions { termination_delay: delay, ..OkdOptions::immediate() };
    let target = Target::simulator(options).await;
    let namespace = target.agent.project("conf-slow").await;
    let started = std::time::Instant::now();
    target.agent.delete(&namespace).await.is(200);
    assert_eq!(target.agent.get(&namespace).await.is(200)["status"]["phase"], "Terminating");
    target.agent.until(&namespace, |answer: &Answer| answer.code == 404).await;
    assert!(started.elapsed() >= delay);
}

#[tokio::test]
async fn an_object_with_a_finalizer_stays_until_it_is_taken_off() {
    let target = Target::new().await;
    let namespace = target.agent.project("conf-final").await;
    let maps = format!("{namespace}/configmaps");
    let body = json!({"metadata": {"name": "m", "finalizers": ["example.com/block"]}});
    target.admin.post(&maps, &body).await.is(201);
    let path = format!("{maps}/m");
    let marked = target.admin.delete(&path).await.is(200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    target.admin.get(&path).await.is(200);
    target.admin.patch(&path, MERGE, &json!({"metadata": {"finalizers": null}})).await.is(200);
    target.admin.get(&path).await.is(404);
    target.agent.delete(&namespace).await.is(200);
}
