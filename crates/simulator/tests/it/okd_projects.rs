//! Project requests and projects.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::okd::OkdOptions;

use crate::target::{APPLY, Answer, JSON_PATCH, MERGE, PROJECTS, REQUESTS, STRATEGIC, Target, bindings};

const AGENT: &str = "system:serviceaccount:waldur-system:waldur-site-agent";

fn request(name: &str) -> Value {
    json!({"apiVersion": "project.openshift.io/v1", "kind": "ProjectRequest", "metadata": {"name": name}})
}

#[tokio::test]
async fn a_project_request_keeps_only_name_display_name_and_description() {
    let target = Target::new().await;
    let mut body = request("conf-keeps");
    body["metadata"]["annotations"] =
        json!({"waldur/organization": "acme", "openshift.io/display-name": "FROM-ANN"});
    body["metadata"]["labels"] = json!({"waldur/project": "p1"});
    body["displayName"] = "Projekt Ä 1".into();
    body["description"] = "line1\nline2\t${PROJECT_REQUESTING_USER}".into();
    let project = target.agent.post(REQUESTS, &body).await.is(201);
    assert_eq!(
        (&project["kind"], &project["apiVersion"]),
        (&json!("Project"), &json!("project.openshift.io/v1"))
    );
    let annotations = project["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations["openshift.io/display-name"], "Projekt Ä 1");
    assert_eq!(annotations["openshift.io/description"], "line1\nline2\t${PROJECT_REQUESTING_USER}");
    assert_eq!(annotations["openshift.io/requester"], AGENT);
    assert!(!annotations.contains_key("waldur/organization"));
    assert!(project["metadata"]["labels"].get("waldur/project").is_none());
    assert_eq!(project["metadata"]["labels"]["kubernetes.io/metadata.name"], "conf-keeps");
    assert_eq!(project["status"]["phase"], "Active");
    target.agent.delete(&format!("{PROJECTS}/conf-keeps")).await.is(200);
}

#[tokio::test]
async fn the_requester_becomes_admin_as_a_user_and_the_controllers_add_theirs() {
    let target = Target::new().await;
    target.agent.project("conf-admin").await;
    let all = |answer: &Answer| answer.body["items"].as_array().is_some_and(|items| items.len() >= 4);
    let list = target.agent.until(&bindings("conf-admin"), all).await.is(200);
    let names: Vec<&str> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["metadata"]["name"].as_str())
        .collect();
    assert_eq!(names, ["admin", "system:deployers", "system:image-builders", "system:image-pullers"]);
    let subject = json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": AGENT}]);
    assert_eq!(list["items"][0]["subjects"], subject);
    assert_eq!(list["items"][0]["roleRef"]["name"], "admin");
    let stripped = |answer: &Answer| answer.body["spec"]["finalizers"] == json!(["kubernetes"]);
    let namespace = target.agent.until("/api/v1/namespaces/conf-admin", stripped).await.is(200);
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/warn"], "restricted");
    assert!(namespace["metadata"]["annotations"]["openshift.io/sa.scc.uid-range"].is_string());
    target.agent.delete(&format!("{PROJECTS}/conf-admin")).await.is(200);
}

#[tokio::test]
async fn a_second_request_of_the_name_is_a_conflict_that_does_not_say_whose_it_is() {
    let target = Target::new().await;
    target.agent.project("conf-twice").await;
    let again = target.agent.post(REQUESTS, &request("conf-twice")).await;
    again.fails(409, "AlreadyExists", "project.project.openshift.io \"conf-twice\" already exists");
    let details = json!({"name": "conf-twice", "group": "project.openshift.io", "kind": "project"});
    assert_eq!(again.body["details"], details);
    let direct = target.agent.post(PROJECTS, &json!({"metadata": {"name": "conf-twice"}})).await;
    direct.fails(409, "AlreadyExists", "namespaces \"conf-twice\" already exists");
    assert_eq!(direct.body["details"], json!({"name": "conf-twice", "kind": "namespaces"}));
    target.agent.delete(&format!("{PROJECTS}/conf-twice")).await.is(200);
}

#[tokio::test]
async fn reserved_and_malformed_names_are_refused() {
    let target = Target::new().await;
    for (name, why) in [
        ("openshift-x", "cannot request a project starting with \"openshift-\""),
        ("kube-x", "cannot request a project starting with \"kube-\""),
        ("openshift", "cannot request a project with the name \"openshift\""),
    ] {
        let answer = target.agent.post(REQUESTS, &request(name)).await;
        answer.fails(
            403,
            "Forbidden",
            &format!("project.project.openshift.io \"{name}\" is forbidden: {why}"),
        );
    }
    let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
                 end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                 '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let long = "x".repeat(64);
    for (name, why) in [
        ("Bad_Name", label),
        ("a", "must be at least 2 characters long"),
        (&long, "must be no more than 63 characters"),
    ] {
        let answer = target.agent.post(REQUESTS, &request(name)).await;
        let kind = "ProjectRequest.project.openshift.io";
        let message =
            format!("{kind} \"{name}\" is invalid: metadata.name: Invalid value: \"{name}\": {why}");
        answer.fails(422, "Invalid", &message);
        assert_eq!(answer.body["details"]["causes"][0]["field"], "metadata.name");
        assert_eq!(answer.body["details"]["causes"][0]["reason"], "FieldValueInvalid");
    }
    let empty = target.agent.post(REQUESTS, &json!({"metadata": {}})).await;
    let why = "metadata.name: Required value: name or generateName is required";
    empty.fails(422, "Invalid", &format!("ProjectRequest.project.openshift.io \"\" is invalid: {why}"));
    let generated = target.agent.post(REQUESTS, &json!({"metadata": {"generateName": "gen-"}})).await;
    generated.fails(500, "InternalError", "Internal error occurred: metadata.name was not generated");
}

#[tokio::test]
async fn a_display_name_is_one_line_and_annotations_are_bounded() {
    let target = Target::new().await;
    let mut body = request("conf-nl");
    body["displayName"] = "a\nb".into();
    let field = "metadata.annotations[openshift.io/display-name]";
    target.agent.post(REQUESTS, &body).await.fails(
        422,
        "Invalid",
        &format!("Project.project.openshift.io \"conf-nl\" is invalid: {field}: Invalid value: \"a\\nb\": may not contain a new line or tab"),
    );
    let mut big = request("conf-big");
    big["description"] = "x".repeat(262_145).into();
    let why = "metadata.annotations: Too long: may not be more than 262144 bytes";
    let answer = target.agent.post(REQUESTS, &big).await;
    answer.fails(422, "Invalid", &format!("Project.project.openshift.io \"conf-big\" is invalid: {why}"));
    target.agent.get(&format!("{PROJECTS}/conf-big")).await.is(404);
}

#[tokio::test]
async fn bodies_are_decoded_as_strictly_as_measured() {
    let target = Target::new().await;
    let agent = &target.agent;
    agent.post(REQUESTS, &json!({"metadata": {"name": "conf-nokind"}})).await.is(201);
    let mut unknown = request("conf-unknown");
    unknown["foo"] = "bar".into();
    let strict = agent.post(&format!("{REQUESTS}?fieldValidation=Strict"), &unknown).await;
    let cannot = "in version \"v1\" cannot be handled as a ProjectRequest";
    strict.fails(
        400,
        "BadRequest",
        &format!("ProjectRequest {cannot}: strict decoding error: unknown field \"foo\""),
    );
    let warned = agent.post(REQUESTS, &unknown).await;
    assert_eq!(
        (warned.code, warned.warnings.as_slice()),
        (201, ["299 - \"unknown field \\\"foo\\\"\"".to_owned()].as_slice())
    );
    let mut kind = request("conf-kind");
    kind["kind"] = "Project".into();
    let conversion = "converting (v1.Project) to (project.ProjectRequest): unknown conversion";
    agent.post(REQUESTS, &kind).await.fails(400, "BadRequest", &format!("Project {cannot}: {conversion}"));
    let mut version = request("conf-version");
    version["apiVersion"] = "v1".into();
    let expected = "the expected API version (project.openshift.io/v1)";
    let message = format!("the API version in the data (v1) does not match {expected}");
    agent.post(REQUESTS, &version).await.fails(400, "BadRequest", &message);
    let mut typed = request("conf-typed");
    typed["displayName"] = 5.into();
    let go = "json: cannot unmarshal number into Go struct field ProjectRequest.displayName of type string";
    agent.post(REQUESTS, &typed).await.fails(400, "BadRequest", &format!("ProjectRequest {cannot}: {go}"));
    assert_eq!(agent.post_text(REQUESTS, "application/json", "{bad json").await.code, 400);
    let text = agent.post_text(REQUESTS, "text/plain", &request("conf-text").to_string()).await;
    assert_eq!((text.code, text.body["reason"].as_str()), (415, Some("UnsupportedMediaType")));
    for name in ["conf-nokind", "conf-unknown"] {
        agent.delete(&format!("{PROJECTS}/{name}")).await.is(200);
    }
}

#[tokio::test]
async fn a_dry_run_of_a_project_request_creates_the_project() {
    let target = Target::new().await;
    target.agent.post(&format!("{REQUESTS}?dryRun=All"), &request("conf-dry")).await.is(201);
    target.agent.get(&format!("{PROJECTS}/conf-dry")).await.is(200);
    target.agent.delete(&format!("{PROJECTS}/conf-dry")).await.is(200);
}

#[tokio::test]
async fn listing_project_requests_tells_whether_one_may_request() {
    let target = Target::new().await;
    let allowed = target.agent.get(REQUESTS).await.is(200);
    assert_eq!(allowed, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}));
    let refused = target.as_user("nobody-at-all", REQUESTS).await;
    refused.fails(403, "Forbidden", "You may not request a new project via this API.");
    let named = target.agent.get(&format!("{REQUESTS}/x")).await;
    named.fails(404, "NotFound", "the server could not find the requested resource");
}

#[tokio::test]
async fn a_project_created_directly_keeps_its_metadata_and_has_no_admin() {
    let target = Target::new().await;
    let body = json!({
        "apiVersion": "project.openshift.io/v1", "kind": "Project",
        "metadata": {"name": "conf-direct", "annotations": {"waldur/organization": "acme"}, "labels": {"waldur/x": "y"}},
    });
    let project = target.agent.post(PROJECTS, &body).await.is(201);
    assert_eq!(project["metadata"]["annotations"], json!({"waldur/organization": "acme"}));
    assert_eq!(project["metadata"]["labels"]["waldur/x"], "y");
    assert_eq!(project["spec"]["finalizers"], json!(["openshift.io/origin", "kubernetes"]));
    target.agent.get(&format!("{}/admin", bindings("conf-direct"))).await.is(404);
    target.agent.delete(&format!("{PROJECTS}/conf-direct")).await.is(200);
}

#[tokio::test]
async fn a_missing_project_is_a_missing_namespace() {
    let target = Target::new().await;
    let path = format!("{PROJECTS}/conf-none");
    let change = json!({"metadata": {"annotations": {"openshift.io/display-name": "x"}}});
    for answer in [
        target.agent.get(&path).await,
        target.agent.delete(&path).await,
        target.agent.patch(&path, MERGE, &change).await,
    ] {
        answer.fails(404, "NotFound", "namespaces \"conf-none\" not found");
        assert_eq!(answer.body["details"], json!({"name": "conf-none", "kind": "namespaces"}));
    }
}

#[tokio::test]
async fn a_patch_of_a_project_changes_display_name_and_description_only() {
    let target = Target::new().await;
    let agent = &target.agent;
    agent.project("conf-patch").await;
    let path = format!("{PROJECTS}/conf-patch");
    let display = |value: &str| json!({"metadata": {"annotations": {"openshift.io/display-name": value}}});
    let shown = |project: &Value| project["metadata"]["annotations"]["openshift.io/display-name"].clone();
    assert_eq!(shown(&agent.patch(&path, MERGE, &display("New")).await.is(200)), "New");
    assert_eq!(shown(&agent.patch(&path, STRATEGIC, &display("strategic")).await.is(200)), "strategic");
    let steps =
        json!([{"op": "add", "path": "/metadata/annotations/openshift.io~1display-name", "value": "json"}]);
    assert_eq!(shown(&agent.patch(&path, JSON_PATCH, &steps).await.is(200)), "json");
    let mut applied = display("ssa");
    applied["apiVersion"] = "project.openshift.io/v1".into();
    applied["kind"] = "Project".into();
    applied["metadata"]["name"] = "conf-patch".into();
    let answer = agent.patch(&format!("{path}?fieldManager=w&force=true"), APPLY, &applied).await;
    assert_eq!(shown(&answer.is(200)), "ssa");
    let dry = agent.patch(&format!("{path}?dryRun=All"), MERGE, &display("dry")).await.is(200);
    assert_eq!((shown(&dry), shown(&agent.get(&path).await.is(200))), (json!("dry"), json!("ssa")));
    let removed = json!({"metadata": {"annotations": {"openshift.io/display-name": null}}});
    assert_eq!(shown(&agent.patch(&path, MERGE, &removed).await.is(200)), "");
    for (change, field, value) in [
        (json!({"annotations": {"waldur/organization": "acme"}}), "annotations[waldur/organization]", "acme"),
        (
            json!({"annotations": {"openshift.io/requester": "john"}}),
            "annotations[openshift.io/requester]",
            "john",
        ),
        (json!({"labels": {"waldur/x": "y"}}), "labels[waldur/x]", "y"),
    ] {
        let answer = agent.patch(&path, MERGE, &json!({"metadata": change})).await;
        let why = format!(
            "metadata.{field}: Invalid value: \"{value}\": field is immutable, try updating the namespace"
        );
        answer.fails(
            422,
            "Invalid",
            &format!("Project.project.openshift.io \"conf-patch\" is invalid: {why}"),
        );
        assert_eq!(answer.body["details"]["kind"], "Project");
    }
    agent.delete(&path).await.is(200);
}

#[tokio::test]
async fn metadata_written_to_the_namespace_shows_on_the_project() {
    let target = Target::new().await;
    let namespace = target.agent.project("conf-meta").await;
    let change =
        json!({"metadata": {"annotations": {"waldur/organization": "acme"}, "labels": {"waldur/x": "y"}}});
    target.agent.patch(&namespace, MERGE, &change).await.is(200);
    let project = target.agent.get(&format!("{PROJECTS}/conf-meta")).await.is(200);
    assert_eq!(project["metadata"]["annotations"]["waldur/organization"], "acme");
    assert_eq!(project["metadata"]["labels"]["waldur/x"], "y");
    let mut old = project;
    old["metadata"]["resourceVersion"] = "1".into();
    let conflict = target.agent.put(&format!("{PROJECTS}/conf-meta"), &old).await;
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    conflict.fails(
        409,
        "Conflict",
        &format!("Operation cannot be fulfilled on namespaces \"conf-meta\": {why}"),
    );
    target.agent.delete(&format!("{PROJECTS}/conf-meta")).await.is(200);
}

#[tokio::test]
async fn a_list_of_projects_is_neither_versioned_nor_paged() {
    let target = Target::new().await;
    let all = target.agent.get(PROJECTS).await.is(200);
    assert_eq!((&all["kind"], &all["metadata"]), (&json!("ProjectList"), &json!({})));
    let count = all["items"].as_array().unwrap().len();
    assert!(count > 5, "the agent sees the projects of the whole cluster");
    assert!(all["items"][0].get("kind").is_none());
    for query in [
        "limit=2",
        "limit=2&continue=abc",
        "fieldSelector=metadata.name%3Ddefault",
        "fieldSelector=status.phase%3DActive",
    ] {
        let list = target.agent.get(&format!("{PROJECTS}?{query}")).await.is(200);
        assert!(list["items"].as_array().unwrap().len() >= count, "{query}");
    }
    let field = target.agent.get(&format!("{PROJECTS}?fieldSelector=foo%3Dx")).await;
    let known = "only \"metadata.name\", \"metadata.namespace\"";
    field.fails(400, "BadRequest", &format!("\"foo\" is not a known field selector: {known}"));
    let label = target.agent.get(&format!("{PROJECTS}?labelSelector=!!")).await;
    label.fails(400, "BadRequest", "unable to parse requirement: found '!', expected: identifier");
}

#[tokio::test]
async fn a_new_project_is_listed_when_the_cache_is_refreshed() {
    let options = OkdOptions { project_list_staleness: Duration::from_secs(3600), ..OkdOptions::immediate() };
    let target = Target::simulator(options).await;
    let simulated = target.simulated.as_ref().unwrap();
    target.agent.project("conf-late").await;
    let listed = async || {
        let list = target.agent.get(PROJECTS).await.is(200);
        list["items"].as_array().unwrap().iter().any(|item| item["metadata"]["name"] == "conf-late")
    };
    target.agent.get(&format!("{PROJECTS}/conf-late")).await.is(200);
    assert!(!listed().await);
    simulated.okd.options().clock.step(jiff::SignedDuration::from_hours(1));
    assert!(listed().await);
}

#[tokio::test]
async fn discovery_lists_what_can_be_done_with_projects() {
    let target = Target::new().await;
    let list = target.agent.get("/apis/project.openshift.io/v1").await.is(200);
    let verbs = |name: &str| {
        let resources = list["resources"].as_array().unwrap();
        resources.iter().find(|resource| resource["name"] == name).unwrap()["verbs"].clone()
    };
    assert_eq!(verbs("projectrequests"), json!(["create", "list"]));
    assert_eq!(verbs("projects"), json!(["create", "delete", "get", "list", "patch", "update", "watch"]));
    let names: Vec<&Value> =
        list["resources"].as_array().unwrap().iter().map(|resource| &resource["name"]).collect();
    assert_eq!(names, ["projectrequests", "projects"]);
    let missing = target.agent.post("/apis/project.openshift.io/v2/projects", &request("x")).await;
    assert_eq!((missing.code, missing.body), (404, json!("404 page not found\n")));
}

#[tokio::test]
async fn without_the_aggregated_server_projects_are_unavailable_and_namespaces_stay() {
    let target = Target::simulator(OkdOptions::immediate()).await;
    let okd = &target.simulated.as_ref().unwrap().okd;
    let namespace = target.agent.project("conf-down").await;
    okd.set_aggregated_down(true);
    for path in [PROJECTS, "/apis/project.openshift.io/v1"] {
        let answer = target.agent.get(path).await;
        assert_eq!((answer.code, answer.content_type.as_str()), (503, "text/plain; charset=utf-8"));
        let text = "error trying to reach service: dial tcp 127.0.0.1:18443: connect: connection refused";
        assert_eq!(answer.body, text);
    }
    target.agent.get("/readyz").await.is(200);
    target.agent.get(&namespace).await.is(200);
    target.agent.delete(&namespace).await.is(200);
    let stuck = target.agent.get(&namespace).await.is(200);
    assert_eq!(stuck["status"]["conditions"][0]["type"], "NamespaceDeletionDiscoveryFailure");
    assert_eq!(stuck["status"]["conditions"][0]["status"], "True");
    okd.set_aggregated_down(false);
    target.agent.get(&namespace).await.is(404);
}
