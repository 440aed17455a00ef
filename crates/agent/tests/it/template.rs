//! What projects are furnished with: network isolation, service accounts, limit ranges, manifests.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::okd::extended_agent_rules;
use simulator::simulation::SimulationOptions;
use simulator::waldur::{OrderState, ResourceState};
use uuid::Uuid;

use crate::members::{Keeping, Log, access, keeper, pass};
use crate::process::Process;
use crate::site::{Config, Site, limits, options, within};

/// A role that may write what templates hold, everywhere.
fn able() -> SimulationOptions {
    let mut rules = extended_agent_rules();
    let all = ["get", "list", "create", "patch", "delete"];
    let rule =
        |group: &str, resources: Value| json!({"apiGroups": [group], "resources": resources, "verbs": all});
    rules.as_array_mut().unwrap().extend([
        rule("", json!(["configmaps", "serviceaccounts", "events"])),
        rule("networking.k8s.io", json!(["networkpolicies"])),
        rule("apps", json!(["deployments"])),
    ]);
    SimulationOptions { agent_rules: rules, ..options() }
}

const EVERYTHING: &str = "project_template:
  enable_network_isolation: true
  service_accounts: [{name: deployer}]
  limit_ranges: [{name: pods, limits: [{type: Pod, max: {cpu: '4', memory: 16384Mi}}]}]
  pod_security: {enforce: baseline}
  node_selector: region=east
  labels: {team: '{{project_slug}}'}
  manifests:
    - object:
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: about, labels: {app: portal}}
        data: {text: '{{customer_name}}: {{resource_name}}', cpu: '{{limit.cpu}}', place: '{{namespace}}'}
    - reconcile: once
      object: {apiVersion: v1, kind: ConfigMap, metadata: {name: motd}, data: {text: hello}}
";

fn manifest(text: &str) -> String {
    format!(
        "project_template:\n  manifests:\n    - object: {{apiVersion: v1, kind: ConfigMap, metadata: {{name: about}}, data: {{text: {text}}}}}\n"
    )
}

impl Site {
    fn with_template(&self, template: &str) -> Config {
        self.with_members().with_global(template)
    }

    fn named(&self, plural: &str, namespace: &str) -> Vec<String> {
        let all = self.sim.okd.list(plural, Some(namespace));
        all.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    fn text(&self, name: &str) -> Value {
        let found = self.sim.okd.get("configmaps", "shop", name);
        found.map_or(Value::Null, |found| found["data"]["text"].clone())
    }

    /// A resource in use whose project has been furnished.
    async fn furnished(&self, template: &str) -> Uuid {
        let resource = self.planted("shop");
        assert!(pass(&keeper(&self.with_template(template))).await);
        resource
    }

    /// Another look at everything, by a fresh agent; what it wrote to the cluster.
    async fn look(&self, template: &str) -> Vec<String> {
        self.sim.reset_traffic();
        assert!(pass(&keeper(&self.with_template(template))).await);
        self.cluster_writes().into_iter().filter(|write| !write.ends_with("/events")).collect()
    }
}

#[tokio::test]
async fn a_create_order_ends_with_a_furnished_project() {
    let site = Site::with(able()).await;
    let (order, resource) = site.order("Shop", limits());
    let config = site.with_template(EVERYTHING);
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    let name = site.backend_id(resource);
    let policies = [
        "waldur-allow-from-host-network",
        "waldur-allow-from-ingress",
        "waldur-allow-from-kube-apiserver-operator",
        "waldur-allow-from-monitoring",
        "waldur-allow-same-project",
        "waldur-deny-from-other-projects",
    ];
    assert_eq!(site.named("networkpolicies", &name), policies);
    let about = site.sim.okd.get("configmaps", &name, "about").unwrap();
    assert_eq!(about["data"], json!({"text": "ACME: Shop", "cpu": "4", "place": name}));
    assert_eq!(about["metadata"]["labels"]["app"], "portal");
    assert_eq!(about["metadata"]["labels"]["waldur/resource-uuid"], resource.simple().to_string());
    assert!(site.named("serviceaccounts", &name).contains(&"deployer".to_owned()));
    assert_eq!(site.named("limitranges", &name), ["pods", "waldur-limits"]);
    let metadata = &site.namespace(&name).unwrap()["metadata"];
    assert_eq!(metadata["labels"]["pod-security.kubernetes.io/enforce"], "baseline");
    assert_eq!(metadata["labels"]["team"], "web");
    assert_eq!(metadata["annotations"]["openshift.io/node-selector"], "region=east");
    assert_eq!(site.access(&name), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    assert_eq!(site.look(EVERYTHING).await, Vec::<String>::new(), "nothing is left to do");
    assert!(site.look(EVERYTHING).await.is_empty());
}

#[tokio::test]
async fn what_the_tenant_changes_is_put_back_and_what_was_made_once_is_left() {
    let site = Site::with(able()).await;
    site.furnished(EVERYTHING).await;
    let edit = |plural: &str, kind: &str, version: &str, name: &str, change: &dyn Fn(&mut Value)| {
        let mut object = site.sim.okd.get(plural, "shop", name).unwrap();
        (object["apiVersion"], object["kind"]) = (json!(version), json!(kind));
        change(&mut object);
        object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        site.sim.okd.put(object).unwrap();
    };
    edit("configmaps", "ConfigMap", "v1", "about", &|object| object["data"]["text"] = json!("mine"));
    edit("configmaps", "ConfigMap", "v1", "motd", &|object| object["data"]["text"] = json!("mine"));
    // A hole in the wall, dug beside what stands there.
    edit(
        "networkpolicies",
        "NetworkPolicy",
        "networking.k8s.io/v1",
        "waldur-allow-same-project",
        &|object| {
            object["spec"]["ingress"][0]["from"][0]["namespaceSelector"] = json!({});
        },
    );
    site.sim.okd.delete("networkpolicies", "shop", "waldur-deny-from-other-projects");
    site.look(EVERYTHING).await;
    assert_eq!((site.text("about"), site.text("motd")), (json!("ACME: shop"), json!("mine")));
    let policy = site.sim.okd.get("networkpolicies", "shop", "waldur-allow-same-project").unwrap();
    assert_eq!(policy["spec"]["ingress"], json!([{"from": [{"podSelector": {}}]}]));
    assert_eq!(site.named("networkpolicies", "shop").len(), 6);
    site.sim.okd.delete("configmaps", "shop", "motd");
    assert_eq!(site.look(EVERYTHING).await, Vec::<String>::new());
    assert_eq!(site.text("motd"), Value::Null);
}

#[tokio::test]
async fn where_the_role_allows_a_watch_it_is_put_back_when_it_happens() {
    let mut able = able();
    let watch = json!({
        "apiGroups": ["", "networking.k8s.io"], "resources": ["configmaps", "networkpolicies", "serviceaccounts"],
        "verbs": ["watch"],
    });
    able.agent_rules.as_array_mut().unwrap().push(watch);
    let site = Site::with(able).await;
    site.furnished(EVERYTHING).await;
    let traffic = &site.sim.okd_server.traffic;
    let keeping = Keeping::start(keeper(&site.with_template(EVERYTHING)), Duration::from_secs(600));
    let first = traffic.wait_for(|traffic| {
        let requests = traffic.requests();
        let watches = |kind: &str| {
            let mut all = requests.iter();
            all.any(|request| request.query.contains("watch=") && request.path.ends_with(kind))
        };
        ["configmaps", "networkpolicies", "limitranges"].iter().all(|kind| watches(kind))
    });
    within("the watches run", first).await;
    site.sim.reset_traffic();
    let mut about = site.sim.okd.get("configmaps", "shop", "about").unwrap();
    (about["apiVersion"], about["kind"], about["data"]["text"]) =
        (json!("v1"), json!("ConfigMap"), json!("mine"));
    about["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    site.sim.okd.put(about).unwrap();
    site.sim.okd.delete("networkpolicies", "shop", "waldur-deny-from-other-projects");
    site.sim.okd.delete("configmaps", "shop", "motd");
    let healed = traffic.wait_for(|traffic| {
        let requests = traffic.requests();
        let wrote = |name: &str| {
            let mut all = requests.iter();
            all.any(|request| {
                request.method == "PATCH" && request.path.ends_with(name) && request.status.is_some()
            })
        };
        wrote("configmaps/about") && wrote("networkpolicies/waldur-deny-from-other-projects")
    });
    within("it is put back", healed).await;
    keeping.stop().await;
    assert_eq!((site.text("about"), site.text("motd")), (json!("ACME: shop"), Value::Null));
    assert_eq!(site.named("networkpolicies", "shop").len(), 6);
    // One look told it all: no kind was listed again.
    let lists = traffic.requests().into_iter().filter(|request| {
        request.method == "GET" && request.path.ends_with("configmaps") && !request.query.contains("watch=")
    });
    assert_eq!(lists.count(), 0);
}

#[tokio::test]
async fn what_leaves_the_template_leaves_the_project_and_only_that() {
    let site = Site::with(able()).await;
    site.furnished(EVERYTHING).await;
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "shop"}, "data": {},
    });
    site.sim.okd.put(theirs).unwrap();
    site.look("").await;
    assert_eq!(site.named("networkpolicies", "shop"), Vec::<String>::new());
    assert_eq!(site.named("limitranges", "shop"), ["waldur-limits"]);
    assert!(site.named("configmaps", "shop").contains(&"theirs".to_owned()));
    assert!(!site.named("configmaps", "shop").contains(&"about".to_owned()));
    assert_eq!(
        site.namespace("shop").unwrap()["metadata"]["annotations"]["waldur/template-record"],
        Value::Null
    );
    assert_eq!(site.look("").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_changed_manifest_changes_the_object() {
    let site = Site::with(able()).await;
    site.furnished(&manifest("one")).await;
    let writes = site.look(&manifest("two")).await;
    assert_eq!(writes.len(), 1, "{writes:#?}");
    assert_eq!(site.text("about"), "two");
}

#[tokio::test]
async fn somebody_elses_object_of_that_name_stays_and_waldur_says_so() {
    let site = Site::with(able()).await;
    let resource = site.planted("shop");
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "about", "namespace": "shop"},
        "data": {"text": "theirs"},
    });
    site.sim.okd.put(theirs).unwrap();
    pass(&keeper(&site.with_template(&manifest("ours")))).await;
    assert_eq!(site.text("about"), "theirs");
    assert_eq!(site.resource_state(resource), ResourceState::Erred);
    let message = site.resource(resource)["error_message"].as_str().unwrap().to_owned();
    assert!(message.contains("does not carry this agent's labels"), "{message}");
    // Quota and access do not suffer.
    assert_eq!(site.hard("shop")["pods"], "50");
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
}

#[tokio::test]
async fn under_the_documented_role_own_projects_are_furnished_and_what_is_missing_is_said_first() {
    let rules = simulator::okd::documented_agent_rules();
    let site = Site::with(SimulationOptions { agent_rules: rules, ..options() }).await;
    let (order, resource) = site.order("Shop", limits());
    let log = Log::start();
    let template = "project_template: {enable_network_isolation: true}\n";
    assert!(site.once_with(&site.with_template(template)).await);
    log.has("reduced: only projects that the agent requested itself are furnished");
    log.has("{apiGroups: [\"networking.k8s.io\"], resources: [\"networkpolicies\"], verbs: [\"get\", \"list\", \"create\", \"patch\", \"delete\"]}");
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.named("networkpolicies", &site.backend_id(resource)).len(), 6);
    assert_eq!(site.look(template).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_kind_that_the_cluster_does_not_serve_or_that_is_in_no_namespace_is_said_before_anything_is_done() {
    for (version, kind, why) in [
        ("example.com/v1", "Widget", "which the cluster does not serve"),
        ("v1", "Widget", "which the cluster does not serve"),
    ] {
        let site = Site::with(able()).await;
        let (order, _) = site.order("Shop", limits());
        let template = format!(
            "project_template: {{manifests: [{{object: {{apiVersion: {version}, kind: {kind}, metadata: {{name: x}}}}}}]}}\n"
        );
        let log = Log::start();
        assert!(!site.once_with(&site.with_template(&template)).await);
        log.has(why);
        assert_eq!(site.order_state(order), OrderState::PendingProvider);
        assert_eq!(site.cluster_writes(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_field_that_cannot_be_changed_is_said_and_the_object_made_anew_only_where_the_template_says_so() {
    let deployment = |app: &str, recreate: bool| {
        format!(
            "project_template:\n  manifests:\n    - recreate: {recreate}\n      object:\n        apiVersion: apps/v1\n        kind: Deployment\n        metadata: {{name: proxy}}\n        spec:\n          selector: {{matchLabels: {{app: {app}}}}}\n"
        )
    };
    let site = Site::with(able()).await;
    let resource = site.furnished(&deployment("one", false)).await;
    let selector = || site.sim.okd.get("deployments", "shop", "proxy").unwrap()["spec"]["selector"].clone();
    site.sim.reset_traffic();
    pass(&keeper(&site.with_template(&deployment("two", false)))).await;
    assert_eq!(selector(), json!({"matchLabels": {"app": "one"}}));
    let message = site.resource(resource)["error_message"].as_str().unwrap().to_owned();
    assert!(message.contains("immutable") && message.contains("`recreate: true`"), "{message}");
    site.look(&deployment("two", true)).await;
    assert_eq!(selector(), json!({"matchLabels": {"app": "two"}}));
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
}

#[tokio::test]
async fn events_in_the_project_say_what_was_done_and_by_whose_wish() {
    let site = Site::with(able()).await;
    let (order, resource) = site.order("Shop", limits());
    assert!(site.once_with(&site.with_members()).await);
    let name = site.backend_id(resource);
    let events = site.sim.okd.list("events", Some(&name));
    let quota =
        events.iter().find(|event| event["message"].as_str().unwrap().contains("waldur-quota")).unwrap();
    let message = quota["message"].as_str().unwrap();
    assert!(message.contains("requests.cpu=4"), "{message}");
    assert!(message.ends_with(&format!("(asked for by order {})", order.simple())), "{message}");
    assert_eq!((&quota["type"], &quota["reason"]), (&json!("Normal"), &json!("WaldurApplied")));
    assert_eq!(quota["involvedObject"]["name"], name.as_str());
}

#[tokio::test]
async fn plan_shows_what_would_be_furnished() {
    let site = Site::with(able()).await;
    site.planted("shop");
    assert!(site.pass().await);
    let ended = Process::run(&mut site.operator(&site.with_template(&manifest("one")), &["plan"])).await;
    assert_eq!(ended.code(), Some(2), "{}", ended.all());
    assert!(
        ended.stdout.contains("  + ConfigMap shop/about\n      + data: {\"text\":\"one\"}"),
        "{}",
        ended.stdout
    );
}
