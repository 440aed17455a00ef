//! Authentication, authorisation and the questions about them.

use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::okd::{Flavour, OkdOptions, User};

use crate::target::{PROJECTS, REQUESTS, Target, bindings};

const AGENT: &str = "system:serviceaccount:waldur-system:waldur-site-agent";

#[tokio::test]
async fn a_bad_token_is_401_and_none_is_anonymous() {
    let target = Target::new().await;
    for path in ["/api/v1", PROJECTS, "/healthz"] {
        let answer = target.with_token("wrong").get(path).await;
        answer.fails(401, "Unauthorized", "Unauthorized");
        assert!(answer.body.get("details").is_none());
    }
    let anonymous = target.with_token("");
    anonymous.get("/version").await.is(200);
    let why = "forbidden: User \"system:anonymous\" cannot get path \"/api/v1\"";
    anonymous.get("/api/v1").await.fails(403, "Forbidden", why);
    let list = anonymous.get(PROJECTS).await;
    let why = "cannot list resource \"projects\" in API group \"project.openshift.io\" at the cluster scope";
    list.fails(
        403,
        "Forbidden",
        &format!("projects.project.openshift.io is forbidden: User \"system:anonymous\" {why}"),
    );
    assert_eq!(list.body["details"], json!({"group": "project.openshift.io", "kind": "projects"}));
}

#[tokio::test]
async fn a_token_expires_with_the_clock() {
    let target = Target::simulator(OkdOptions::immediate()).await;
    let okd = &target.simulated.as_ref().unwrap().okd;
    let clock = okd.options().clock.clone();
    let expires = clock.now() + SignedDuration::from_mins(10);
    let token =
        okd.issue_token(&User::service_account("waldur-system", "waldur-site-agent", ""), Some(expires));
    let api = target.with_token(&token);
    api.get("/api/v1").await.is(200);
    clock.step(SignedDuration::from_mins(11));
    api.get("/api/v1").await.fails(401, "Unauthorized", "Unauthorized");
}

#[tokio::test]
async fn a_token_can_be_requested_for_ten_minutes_or_more() {
    let target = Target::new().await;
    let path = "/api/v1/namespaces/waldur-system/serviceaccounts/waldur-site-agent/token";
    let request = |seconds: u32| json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}});
    let why = "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes";
    let short = target.admin.post(path, &request(60)).await;
    short.fails(422, "Invalid", &format!("TokenRequest.authentication.k8s.io \"\" is invalid: {why}"));
    let made = target.admin.post(path, &request(600)).await.is(201);
    target.with_token(made["status"]["token"].as_str().unwrap()).get(PROJECTS).await.is(200);
}

#[tokio::test]
async fn discovery_and_health_prove_the_token_and_not_the_role() {
    let target = Target::new().await;
    for path in ["/api/v1", "/api", "/apis", "/version", "/healthz", "/readyz", "/apis/project.openshift.io"]
    {
        target.agent.get(path).await.is(200);
        assert_eq!(target.as_user("nobody-at-all", path).await.code, 200, "{path}");
    }
    let core = target.agent.get("/api/v1").await.is(200);
    assert_eq!(core["kind"], "APIResourceList");
    let nobody = target.as_user("nobody-at-all", PROJECTS).await.is(200);
    assert_eq!(nobody["items"], json!([]));
    let one = target.as_user("nobody-at-all", &format!("{PROJECTS}/default")).await;
    let why = "User \"nobody-at-all\" cannot get resource \"projects\" in API group \"project.openshift.io\" in the namespace \"default\"";
    one.fails(403, "Forbidden", &format!("projects.project.openshift.io \"default\" is forbidden: {why}"));
    let namespaces = target.as_user("nobody-at-all", "/api/v1/namespaces").await;
    let why =
        "User \"nobody-at-all\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope";
    namespaces.fails(403, "Forbidden", &format!("namespaces is forbidden: {why}"));
    assert_eq!(namespaces.body["details"], json!({"kind": "namespaces"}));
}

#[tokio::test]
async fn the_documented_role_allows_what_was_measured_and_no_more() {
    let target = Target::new().await;
    let agent = &target.agent;
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/view";
    for path in [role, "/api/v1/namespaces/waldur-system/secrets", "/api/v1/nodes"] {
        assert_eq!(agent.get(path).await.code, 403, "{path}");
    }
    for path in
        ["/api/v1/pods", "/api/v1/services", "/api/v1/persistentvolumeclaims", "/api/v1/resourcequotas"]
    {
        agent.get(path).await.is(200);
    }
    for path in ["/api/v1/namespaces?watch=true", "/api/v1/namespaces/default/resourcequotas?watch=1"] {
        assert_eq!(agent.get(path).await.code, 403, "{path}");
    }
    let namespace = agent.project("conf-own-secrets").await;
    agent.get(&format!("{namespace}/secrets")).await.is(200);
    let pods = agent.delete("/api/v1/namespaces/default/pods/a").await;
    let why = format!(
        "User \"{AGENT}\" cannot delete resource \"pods\" in API group \"\" in the namespace \"default\""
    );
    pods.fails(403, "Forbidden", &format!("pods \"a\" is forbidden: {why}"));
    let nope = agent.post("/apis/project.openshift.io/v1/nope", &json!({"metadata": {"name": "x"}})).await;
    let why = format!(
        "User \"{AGENT}\" cannot create resource \"nope\" in API group \"project.openshift.io\" at the cluster scope"
    );
    nope.fails(403, "Forbidden", &format!("nope.project.openshift.io is forbidden: {why}"));
    agent.delete(&namespace).await.is(200);
}

async fn can(target: &Target, attributes: Value) -> bool {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    });
    let answer =
        target.agent.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await.is(201);
    assert_eq!(answer["spec"], review["spec"]);
    answer["status"]["allowed"].as_bool().unwrap()
}

#[tokio::test]
async fn an_access_review_answers_as_the_authoriser_does() {
    let target = Target::new().await;
    assert!(
        can(
            &target,
            json!({"verb": "create", "group": "project.openshift.io", "resource": "projectrequests"})
        )
        .await
    );
    assert!(
        can(&target, json!({"verb": "patch", "resource": "resourcequotas", "namespace": "anything"})).await
    );
    assert!(!can(&target, json!({"verb": "watch", "resource": "namespaces"})).await);
    let bind = json!({"verb": "bind", "group": "rbac.authorization.k8s.io", "resource": "clusterroles", "name": "view"});
    assert!(!can(&target, bind).await);
    assert!(
        !can(&target, json!({"verb": "get", "resource": "resourcequotas", "subresource": "status"})).await
    );
    target.agent.project("conf-review").await;
    let secrets = json!({"verb": "list", "resource": "secrets", "namespace": "conf-review"});
    assert!(can(&target, secrets).await, "the requester is admin of the project");
    target.agent.delete(&format!("{PROJECTS}/conf-review")).await.is(200);
}

#[tokio::test]
async fn an_access_review_says_which_binding_allows() {
    let target = Target::new().await;
    target.agent.project("conf-reason").await;
    let review = |attributes: Value| json!({"spec": {"resourceAttributes": attributes}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let quota = json!({"namespace": "", "verb": "create", "group": "project.openshift.io", "resource": "projectrequests"});
    let answer = target.agent.post(path, &review(quota)).await.is(201);
    let reason = "RBAC: allowed by ClusterRoleBinding \"waldur-site-agent\" of ClusterRole \"waldur-site-agent\" to \
                  ServiceAccount \"waldur-site-agent/waldur-system\"";
    assert_eq!(answer["status"], json!({"allowed": true, "reason": reason}));
    assert!(answer["spec"]["resourceAttributes"].get("namespace").is_none(), "what is empty is not shown");
    let secrets = json!({"namespace": "conf-reason", "verb": "get", "resource": "secrets"});
    let answer = target.agent.post(path, &review(secrets)).await.is(201);
    let reason = format!(
        "RBAC: allowed by RoleBinding \"admin/conf-reason\" of ClusterRole \"admin\" to User \"{AGENT}\""
    );
    assert_eq!(answer["status"]["reason"], reason);
    target.agent.delete(&format!("{PROJECTS}/conf-reason")).await.is(200);
}

#[tokio::test]
async fn a_token_ends_with_its_service_account() {
    let target = Target::simulator(OkdOptions::immediate()).await;
    target.agent.get(PROJECTS).await.is(200);
    target.admin.delete("/api/v1/namespaces/waldur-system/serviceaccounts/waldur-site-agent").await.is(200);
    target.agent.get(PROJECTS).await.fails(401, "Unauthorized", "Unauthorized");
}

#[tokio::test]
async fn subjects_of_all_kinds_get_what_their_binding_says() {
    let target = Target::simulator(OkdOptions::immediate()).await;
    let okd = &target.simulated.as_ref().unwrap().okd;
    target.agent.project("conf-kinds").await;
    let robot = okd.add_service_account("conf-kinds", "robot");
    let member = okd.add_user("maria", &["team-a"]);
    let list = "/api/v1/namespaces/conf-kinds/configmaps";
    for token in [&robot, &member] {
        assert_eq!(target.with_token(token).get(list).await.code, 403);
    }
    let body = json!({
        "metadata": {"name": "viewers"},
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "conf-kinds"}, {"kind": "Group", "name": "team-a"}],
    });
    target.agent.post(&bindings("conf-kinds"), &body).await.is(201);
    for token in [&robot, &member] {
        target.with_token(token).get(list).await.is(200);
        let quotas = "/api/v1/namespaces/conf-kinds/resourcequotas";
        target.with_token(token).get(quotas).await.is(200);
        assert_eq!(
            target.with_token(token).post(quotas, &json!({"metadata": {"name": "q"}})).await.code,
            403
        );
    }
}

#[tokio::test]
async fn a_plain_kubernetes_has_no_projects() {
    let options = OkdOptions { flavour: Flavour::Kubernetes, ..OkdOptions::immediate() };
    let target = Target::simulator(options).await;
    let text = target.agent.get(PROJECTS).await;
    assert_eq!((text.code, text.body), (404, json!("404 page not found\n")));
    target.agent.get("/apis/project.openshift.io/v1").await.is(404);
    assert_eq!(target.agent.post(REQUESTS, &json!({"metadata": {"name": "x"}})).await.code, 404);
    let made = target.agent.post("/api/v1/namespaces", &json!({"metadata": {"name": "plain"}})).await.is(201);
    assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(target.agent.get(&bindings("plain")).await.is(200)["items"], json!([]));
}

#[tokio::test]
async fn lists_are_paged_with_a_token_that_is_checked() {
    let target = Target::new().await;
    let (mut names, mut counts) = (Vec::new(), Vec::new());
    let mut path = "/api/v1/namespaces?limit=3".to_owned();
    loop {
        let page = target.agent.get(&path).await.is(200);
        let items = page["items"].as_array().unwrap();
        names.extend(items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()));
        let Some(token) = page["metadata"]["continue"].as_str() else { break };
        assert_eq!(items.len(), 3);
        counts.push(names.len() + page["metadata"]["remainingItemCount"].as_u64().unwrap() as usize);
        path = format!("/api/v1/namespaces?limit=3&continue={token}");
    }
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(names, sorted);
    assert!(names.len() > 6 && names.contains(&"kube-system".to_owned()));
    assert!(counts.iter().all(|count| *count == names.len()), "{counts:?} of {}", names.len());
    let bad = target.agent.get("/api/v1/namespaces?limit=5&continue=abc").await;
    let why = "continue key is not valid: invalid character 'i' looking for beginning of value";
    bad.fails(400, "BadRequest", &format!("invalid continue token: {why}"));
    let form = target
        .agent
        .request(reqwest::Method::GET, "/api/v1/namespaces/default")
        .header("accept", "image/png");
    assert_eq!(form.send().await.unwrap().status(), 406);
}
