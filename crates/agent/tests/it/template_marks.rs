//! What the template says of a namespace and of secrets: kept, taken away again, and never shown.

use serde_json::{Value, json};
use simulator::okd::extended_agent_rules;
use simulator::simulation::SimulationOptions;

use crate::members::{Log, keeper, pass};
use crate::process::Process;
use crate::site::{Config, Site, options};

const MARKS: &str = "project_template:
  labels: {team: web, tier: gold}
  annotations: {example.com/contact: ops}
  pod_security: {enforce: baseline}
  node_selector: region=east
";

fn able() -> SimulationOptions {
    let mut rules = extended_agent_rules();
    let all = ["get", "list", "create", "patch", "delete"];
    rules.as_array_mut().unwrap().push(json!({
        "apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": all,
    }));
    SimulationOptions { agent_rules: rules, ..options() }
}

fn config(site: &Site, template: &str) -> Config {
    site.with_members().with_global(template)
}

/// Labels and annotations of the namespace, as one object each.
fn marks(site: &Site) -> (Value, Value) {
    let metadata = site.namespace("shop").unwrap()["metadata"].clone();
    (metadata["labels"].clone(), metadata["annotations"].clone())
}

#[tokio::test]
async fn labels_and_annotations_that_leave_the_template_leave_the_namespace() {
    let site = Site::with(able()).await;
    site.planted("shop");
    assert!(pass(&keeper(&config(&site, MARKS))).await);
    let mut namespace = site.namespace("shop").unwrap();
    (namespace["apiVersion"], namespace["kind"]) = (json!("v1"), json!("Namespace"));
    namespace["metadata"]["labels"]["theirs"] = json!("stays");
    namespace["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    site.sim.okd.put(namespace).unwrap();
    assert_eq!(marks(&site).0["tier"], "gold");

    let log = Log::start();
    assert!(pass(&keeper(&config(&site, "project_template: {labels: {team: web}}\n"))).await);
    let (labels, annotations) = marks(&site);
    assert_eq!((&labels["team"], &labels["theirs"]), (&json!("web"), &json!("stays")));
    assert_eq!(
        (&labels["tier"], &labels["pod-security.kubernetes.io/enforce"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(annotations["example.com/contact"], Value::Null);
    assert_eq!(annotations["openshift.io/node-selector"], Value::Null);
    assert_eq!(annotations["waldur/parent"], "waldur-proj-web");
    // The audit line says what went.
    assert!(log.text().contains("tier=gold"), "{}", log.text());

    assert!(pass(&keeper(&config(&site, ""))).await);
    let (labels, _) = marks(&site);
    assert_eq!((&labels["team"], &labels["theirs"]), (&Value::Null, &json!("stays")));
    assert!(labels["waldur/resource-uuid"].is_string());
    site.sim.reset_traffic();
    assert!(pass(&keeper(&config(&site, ""))).await);
    assert_eq!(site.cluster_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_secret_is_made_and_nothing_that_is_printed_holds_it() {
    let secret = |name: &str, data: &str| {
        format!("{{object: {{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}, {data}}}}}")
    };
    let template = |password: &str| {
        let (text, encoded) = (
            secret("text", &format!("stringData: {{password: {password}}}")),
            secret("encoded", "data: {password: aHVudGVyMw==}"),
        );
        format!("project_template: {{manifests: [{text}, {encoded}]}}\n")
    };
    let is_shown = |text: &str| ["hunter", "aHVudGVy"].iter().any(|part| text.contains(part));
    let site = Site::with(able()).await;
    site.planted("shop");
    for password in ["hunter2", "hunter4"] {
        let config = config(&site, &template(password));
        for words in [&["plan"] as &[&str], &["plan", "--json"], &["apply"]] {
            let ended = Process::run(&mut site.operator(&config, words)).await;
            assert!(ended.stdout.contains("Secret shop/text"), "{}", ended.all());
            assert!(!is_shown(&ended.all()), "{}", ended.all());
        }
    }
    let made = |name: &str| site.sim.okd.get("secrets", "shop", name);
    assert_eq!(made("encoded").unwrap()["data"]["password"], "aHVudGVyMw==");
    let log = Log::start();
    assert!(pass(&keeper(&config(&site, ""))).await);
    assert_eq!((made("text"), made("encoded")), (None, None));
    assert!(!is_shown(&log.text()), "{}", log.text());
    for event in site.sim.okd.list("events", Some("shop")) {
        assert!(!is_shown(&event.to_string()), "{event:#}");
    }
}

#[tokio::test]
async fn the_line_about_an_object_that_leaves_says_what_it_held() {
    let site = Site::with(able()).await;
    site.planted("shop");
    let template = "project_template: {manifests: [{object: {apiVersion: v1, kind: ConfigMap, metadata: {name: about}, data: {text: hello}}}]}\n";
    assert!(pass(&keeper(&config(&site, template))).await);
    let log = Log::start();
    assert!(pass(&keeper(&config(&site, ""))).await);
    let text = log.text();
    let line = text.lines().find(|line| line.contains("audit") && line.contains("shop/about")).unwrap();
    assert!(line.contains("before=\"data={\\\"text\\\":\\\"hello\\\"}\""), "{line}");
}
