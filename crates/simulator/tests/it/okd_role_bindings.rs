//! Role bindings: names, subjects, immutability, and the escalation check.

use serde_json::{Value, json};
use simulator::okd::OkdOptions;

use crate::target::{APPLY, Answer, Api, MERGE, PROJECTS, STRATEGIC, Target, binding, bindings};

const RBAC: &str = "rolebindings.rbac.authorization.k8s.io";
const KIND: &str = "RoleBinding.rbac.authorization.k8s.io";

#[track_caller]
fn escalates(answer: &Answer, name: &str, user: &str) {
    let message = answer.body["message"].as_str().unwrap();
    let groups =
        "\"system:serviceaccounts\" \"system:serviceaccounts:waldur-system\" \"system:authenticated\"";
    let start = format!(
        "{RBAC} \"{name}\" is forbidden: user \"system:serviceaccount:waldur-system:{user}\" (groups=[{groups}]) is attempting to \
         grant RBAC permissions not currently held:\n{{APIGroups:[\""
    );
    assert_eq!((answer.code, answer.body["reason"].as_str()), (403, Some("Forbidden")));
    assert!(message.starts_with(&start), "{message}");
    let details = json!({"name": name, "group": "rbac.authorization.k8s.io", "kind": "rolebindings"});
    assert_eq!(answer.body["details"], details);
}

async fn foreign_namespace(target: &Target, name: &str) -> String {
    target.agent.post("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await.is(201);
    bindings(name)
}

#[tokio::test]
async fn the_requester_of_a_project_grants_view_edit_and_admin_but_not_cluster_admin() {
    let target = Target::new().await;
    target.agent.project("conf-grant").await;
    let path = bindings("conf-grant");
    for role in ["view", "edit", "admin", "basic-user"] {
        target.agent.post(&path, &binding(&format!("waldur-{role}"), role, "john@acme.com")).await.is(201);
    }
    let refused = target.agent.post(&path, &binding("x-cluster-admin", "cluster-admin", "john")).await;
    escalates(&refused, "x-cluster-admin", "waldur-site-agent");
    let rules =
        "{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}\n{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}";
    assert!(refused.body["message"].as_str().unwrap().ends_with(rules));
    let again = target.agent.post(&path, &binding("waldur-view", "view", "john@acme.com")).await;
    again.fails(409, "AlreadyExists", &format!("{RBAC} \"waldur-view\" already exists"));
    target.agent.delete(&format!("{PROJECTS}/conf-grant")).await.is(200);
}

#[tokio::test]
async fn elsewhere_every_write_of_a_binding_is_escalation_and_only_delete_is_not() {
    let target = Target::new().await;
    let path = foreign_namespace(&target, "conf-foreign").await;
    for role in ["view", "edit", "admin"] {
        let name = format!("waldur-{role}");
        escalates(&target.agent.post(&path, &binding(&name, role, "john")).await, &name, "waldur-site-agent");
    }
    let missing = target.agent.post(&path, &binding("waldur-nothing", "does-not-exist", "john")).await;
    missing.fails(404, "NotFound", &format!("{RBAC} \"does-not-exist\" not found"));
    target.extended.post(&path, &binding("waldur-view", "view", "john")).await.is(201);
    let one = format!("{path}/waldur-view");
    for change in [
        json!({"subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "mary"}]}),
        json!({"metadata": {"labels": {"a": "b"}}}),
        json!({"subjects": null}),
    ] {
        escalates(&target.agent.patch(&one, MERGE, &change).await, "waldur-view", "waldur-site-agent");
    }
    let apply = format!("{path}/ssa-rb?fieldManager=waldur");
    let answer = target.agent.patch(&apply, APPLY, &binding("ssa-rb", "view", "john")).await;
    escalates(&answer, "ssa-rb", "waldur-site-agent");
    target.agent.delete(&one).await.is(200);
    target.agent.delete("/api/v1/namespaces/conf-foreign").await.is(200);
}

#[tokio::test]
async fn bind_on_named_roles_grants_them_everywhere_and_no_others() {
    let target = Target::new().await;
    let path = foreign_namespace(&target, "conf-bind").await;
    for role in ["view", "edit", "admin", "basic-user"] {
        target.extended.post(&path, &binding(&format!("waldur-{role}"), role, "john")).await.is(201);
    }
    let refused =
        target.extended.post(&path, &binding("waldur-cluster-admin", "cluster-admin", "john")).await;
    escalates(&refused, "waldur-cluster-admin", "waldur-site-agent-bind");
    target.agent.delete("/api/v1/namespaces/conf-bind").await.is(200);
}

#[tokio::test]
async fn without_its_admin_binding_the_agent_locks_itself_out() {
    let target = Target::new().await;
    target.agent.project("conf-locked").await;
    let path = bindings("conf-locked");
    let deleted = target.agent.delete(&path).await.is(200);
    assert_eq!(deleted["kind"], "RoleBindingList");
    let refused = target.agent.post(&path, &binding("waldur-x", "view", "john")).await;
    escalates(&refused, "waldur-x", "waldur-site-agent");
    let own = "system:serviceaccount:waldur-system:waldur-site-agent";
    let refused = target.agent.post(&path, &binding("admin", "admin", own)).await;
    escalates(&refused, "admin", "waldur-site-agent");
    let denied = target.agent.delete(&path).await;
    assert_eq!(denied.code, 403);
    target.extended.post(&path, &binding("admin", "admin", own)).await.is(201);
    target.agent.post(&path, &binding("waldur-x", "view", "john")).await.is(201);
    target.agent.delete(&format!("{PROJECTS}/conf-locked")).await.is(200);
}

#[tokio::test]
async fn a_project_template_may_leave_the_requester_without_rights() {
    let options = OkdOptions { bind_requester: false, ..OkdOptions::immediate() };
    let target = Target::simulator(options).await;
    target.agent.project("conf-template").await;
    let path = bindings("conf-template");
    target.agent.get(&format!("{path}/admin")).await.is(404);
    escalates(&target.agent.post(&path, &binding("b", "view", "john")).await, "b", "waldur-site-agent");
    target.extended.post(&path, &binding("b", "view", "john")).await.is(201);
}

async fn created(api: &Api, namespace: &str, name: &str) -> Answer {
    api.post(&format!("{}?dryRun=All", bindings(namespace)), &binding(name, "view", "x")).await
}

#[tokio::test]
async fn names_follow_the_rules_of_path_segments_only() {
    let target = Target::new().await;
    target.agent.project("conf-names").await;
    let long = format!("waldur-{}", "x".repeat(260));
    for name in [
        "waldur-john@acme.com",
        "waldur-John.Doe@Acme.COM",
        "waldur-oidc:john",
        "waldur-acme\\john",
        "waldur-a b",
        "waldur-jürgen",
        "waldur-.",
        "waldur-a#b?c",
        "waldur-a_b~c+d=e,f;g",
        "waldur-kube:admin",
        &long,
    ] {
        let answer = created(&target.agent, "conf-names", name).await.is(201);
        assert_eq!(answer["metadata"]["name"], name);
        assert!(answer["metadata"].get("resourceVersion").is_none(), "a dry run has no version");
    }
    for (name, why) in [
        ("waldur-a/b", "may not contain '/'"),
        ("a%b", "may not contain '%'"),
        (".", "may not be '.'"),
        ("..", "may not be '..'"),
    ] {
        let message =
            format!("{KIND} \"{name}\" is invalid: metadata.name: Invalid value: \"{name}\": {why}");
        created(&target.agent, "conf-names", name).await.fails(422, "Invalid", &message);
    }
    let empty = created(&target.agent, "conf-names", "").await;
    let why = "metadata.name: Required value: name or generateName is required";
    empty.fails(422, "Invalid", &format!("{KIND} \"\" is invalid: {why}"));
    assert!(empty.body["details"].get("name").is_none());
    target.agent.delete(&format!("{PROJECTS}/conf-names")).await.is(200);
}

#[tokio::test]
async fn names_in_urls_are_decoded_once() {
    let target = Target::new().await;
    target.agent.project("conf-urls").await;
    let path = bindings("conf-urls");
    for (name, encoded) in
        [("waldur-John@Acme.com:x", "waldur-John%40Acme.com%3Ax"), ("waldur-a b+c", "waldur-a%20b%2Bc")]
    {
        let made = target.agent.post(&path, &binding(name, "view", "john")).await.is(201);
        target.agent.get(&format!("{path}/{encoded}")).await.is(200);
        let deleted = target.agent.delete(&format!("{path}/{encoded}")).await.is(200);
        let details = json!({
            "name": name, "group": "rbac.authorization.k8s.io", "kind": "rolebindings", "uid": made["metadata"]["uid"],
        });
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
        assert_eq!(deleted, status);
    }
    let slash = target.agent.get(&format!("{path}/a%2Fb")).await;
    let user = "system:serviceaccount:waldur-system:waldur-site-agent";
    let why = format!(
        "User \"{user}\" cannot get resource \"rolebindings/b\" in API group \"rbac.authorization.k8s.io\" in the namespace \
         \"conf-urls\""
    );
    slash.fails(403, "Forbidden", &format!("{RBAC} \"a\" is forbidden: {why}"));
    let percent = target.agent.get(&format!("{path}/a%25b")).await;
    percent.fails(400, "BadRequest", "Name parameter invalid: \"a%b\": may not contain '%'");
    target.agent.delete(&format!("{PROJECTS}/conf-urls")).await.is(200);
}

#[tokio::test]
async fn a_role_reference_cannot_be_changed() {
    let target = Target::new().await;
    target.agent.project("conf-roleref").await;
    let path = bindings("conf-roleref");
    let mut live = target.agent.post(&path, &binding("waldur-view", "view", "john")).await.is(201);
    let one = format!("{path}/waldur-view");
    live["roleRef"]["name"] = "edit".into();
    let shown = "{\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"ClusterRole\",\"Name\":\"edit\"}";
    let message =
        format!("{KIND} \"waldur-view\" is invalid: roleRef: Invalid value: {shown}: cannot change roleRef");
    target.agent.put(&one, &live).await.fails(422, "Invalid", &message);
    target
        .agent
        .patch(&one, MERGE, &json!({"roleRef": {"name": "edit"}}))
        .await
        .fails(422, "Invalid", &message);
    let apply = format!("{one}?fieldManager=w&force=true");
    let edit = binding("waldur-view", "edit", "john");
    target.agent.patch(&apply, APPLY, &edit).await.fails(422, "Invalid", &message);
    target.agent.delete(&format!("{PROJECTS}/conf-roleref")).await.is(200);
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name})
}

#[tokio::test]
async fn lists_of_subjects_are_replaced_whole() {
    let target = Target::new().await;
    target.agent.project("conf-subjects").await;
    let path = bindings("conf-subjects");
    let mut live = target.agent.post(&path, &binding("waldur-view", "view", "john")).await.is(201);
    let one = format!("{path}/waldur-view");
    let old = live.clone();
    live["subjects"] = json!([user("john"), user("mary")]);
    assert_eq!(target.agent.put(&one, &live).await.is(200)["subjects"], live["subjects"]);
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    let stale = target.agent.put(&one, &old).await;
    stale.fails(409, "Conflict", &format!("Operation cannot be fulfilled on {RBAC} \"waldur-view\": {why}"));
    for (content_type, name) in [(MERGE, "mary"), (STRATEGIC, "bob")] {
        let change = json!({"subjects": [user(name)]});
        assert_eq!(
            target.agent.patch(&one, content_type, &change).await.is(200)["subjects"],
            change["subjects"]
        );
    }
    let apply = format!("{one}?fieldManager=waldur&force=true");
    for name in ["a", "b"] {
        let applied = target.agent.patch(&apply, APPLY, &binding("waldur-view", "view", name)).await.is(200);
        assert_eq!(applied["subjects"], json!([user(name)]));
    }
    let none = target.agent.patch(&one, MERGE, &json!({"subjects": null})).await.is(200);
    assert!(none.get("subjects").is_none());
    target.agent.delete(&format!("{PROJECTS}/conf-subjects")).await.is(200);
}

#[tokio::test]
async fn a_put_of_a_missing_binding_creates_it() {
    let target = Target::new().await;
    target.agent.project("conf-upsert").await;
    let path = format!("{}/put-new", bindings("conf-upsert"));
    target.agent.put(&path, &binding("put-new", "view", "john")).await.is(201);
    let same =
        target.agent.put(&format!("{path}?dryRun=All"), &binding("put-new", "view", "john")).await.is(200);
    assert_eq!(
        same["metadata"]["resourceVersion"],
        target.agent.get(&path).await.is(200)["metadata"]["resourceVersion"]
    );
    target.agent.delete(&format!("{PROJECTS}/conf-upsert")).await.is(200);
}

#[tokio::test]
async fn subjects_are_defaulted_and_checked() {
    let target = Target::new().await;
    target.agent.project("conf-checked").await;
    let path = format!("{}?dryRun=All", bindings("conf-checked"));
    let with = |subjects: Value| {
        let mut body = binding("b", "view", "x");
        body["subjects"] = subjects;
        body
    };
    let made = target.agent.post(&path, &with(json!([{"kind": "User", "name": "x"}]))).await.is(201);
    assert_eq!(made["subjects"], json!([user("x")]));
    let made =
        target.agent.post(&path, &with(json!([{"kind": "ServiceAccount", "name": "x"}]))).await.is(201);
    assert_eq!(made["subjects"], json!([{"kind": "ServiceAccount", "name": "x"}]));
    assert!(target.agent.post(&path, &with(json!([]))).await.is(201).get("subjects").is_none());
    let mut no_group = binding("b", "view", "x");
    no_group["roleRef"] = json!({"kind": "ClusterRole", "name": "view"});
    let made = target.agent.post(&path, &no_group).await.is(201);
    assert_eq!(made["roleRef"]["apiGroup"], "rbac.authorization.k8s.io");
    let person = target.agent.post(&path, &with(json!([{"kind": "Person", "name": "x"}]))).await;
    let supported = "supported values: \"ServiceAccount\", \"User\", \"Group\"";
    let why = format!("subjects[0].kind: Unsupported value: \"Person\": {supported}");
    person.fails(422, "Invalid", &format!("{KIND} \"b\" is invalid: {why}"));
    let nobody = target.agent.post(&path, &with(json!([{"kind": "User", "name": ""}]))).await;
    nobody.fails(422, "Invalid", &format!("{KIND} \"b\" is invalid: subjects[0].name: Required value"));
    let mut elsewhere = binding("b", "view", "x");
    elsewhere["metadata"]["namespace"] = "other".into();
    let message = "the namespace of the provided object does not match the namespace sent on the request";
    target.agent.post(&path, &elsewhere).await.fails(400, "BadRequest", message);
    target.agent.delete(&format!("{PROJECTS}/conf-checked")).await.is(200);
}

#[tokio::test]
async fn labels_are_strict_and_select_while_annotations_take_anything() {
    let target = Target::new().await;
    target.agent.project("conf-labels").await;
    let path = bindings("conf-labels");
    let mut body = binding("lab", "view", "john");
    body["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "waldur"});
    body["metadata"]["annotations"] = json!({"waldur/user": "Jörg / 100%"});
    target.agent.post(&path, &body).await.is(201);
    let mut bad = binding("lab2", "view", "john");
    bad["metadata"]["labels"] = json!({"waldur/user": "john@acme.com"});
    let refused = target.agent.post(&path, &bad).await;
    assert_eq!(refused.code, 422);
    let start = format!(
        "{KIND} \"lab2\" is invalid: metadata.labels: Invalid value: \"john@acme.com\": a valid label must be"
    );
    assert!(refused.body["message"].as_str().unwrap().starts_with(&start));
    for selector in
        ["labelSelector=app.kubernetes.io/managed-by%3Dwaldur", "fieldSelector=metadata.name%3Dlab"]
    {
        let list = target.agent.get(&format!("{path}?{selector}")).await.is(200);
        let names: Vec<&Value> =
            list["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]).collect();
        assert_eq!(names, ["lab"]);
    }
    let one = format!("{path}/lab");
    target.agent.delete(&one).await.is(200);
    target.agent.delete(&one).await.fails(404, "NotFound", &format!("{RBAC} \"lab\" not found"));
    target.agent.delete(&format!("{PROJECTS}/conf-labels")).await.is(200);
}

#[tokio::test]
async fn a_binding_gives_access_to_exactly_the_user_it_names() {
    let target = Target::new().await;
    let namespace = target.agent.project("conf-exact").await;
    target
        .agent
        .post(&bindings("conf-exact"), &binding("waldur-edit", "edit", "john@acme.com"))
        .await
        .is(201);
    let config_maps = format!("{namespace}/configmaps");
    target.as_user("john@acme.com", &config_maps).await.is(200);
    target.as_user("john@acme.com", &format!("{PROJECTS}/conf-exact")).await.is(200);
    let other = target.as_user("John@acme.com", &config_maps).await;
    let why = "cannot list resource \"configmaps\" in API group \"\" in the namespace \"conf-exact\"";
    other.fails(403, "Forbidden", &format!("configmaps is forbidden: User \"John@acme.com\" {why}"));
    let listed = |answer: &Answer| answer.body["items"].as_array().map_or(0, Vec::len);
    assert_eq!(listed(&target.as_user("John@acme.com", PROJECTS).await), 0);
    let seen = target.as_user("john@acme.com", PROJECTS).await.is(200);
    assert_eq!(seen["items"][0]["metadata"]["name"], "conf-exact");
    target.agent.delete(&format!("{PROJECTS}/conf-exact")).await.is(200);
}
