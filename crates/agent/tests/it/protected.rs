//! Protected ground: the cluster's own namespaces, and whatever lacks our labels, stay as they are on every path; and
//! texts of customers are data wherever they go.

use std::path::Path;

use serde_json::{Value, json};
use simulator::simulation::SimulationOptions;
use simulator::traffic::Request;
use simulator::waldur::{OrderState, SeedUser};
use tokio::process::Command;
use uuid::Uuid;

use crate::process::{Ended, Process};
use crate::site::{Config, Site, limits, options};

/// Every subject that can be configured, so that every kind of object is written.
const SUBJECTS: &str = "subjects: {kind: group, identity_provider: sso}\nservice_accounts: service_account\n";

/// Rights to do anything: only the agent itself is in the way.
fn almighty() -> SimulationOptions {
    let rule = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    SimulationOptions { agent_rules: json!([rule]), ..options() }
}

fn everything(site: &Site) -> Config {
    site.config().with_members().with_backend(SUBJECTS)
}

async fn run(file: &Path, words: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
    let (first, rest) = words.split_first().unwrap();
    // A mode is a flag, and stands with the file; a command comes first.
    if first.starts_with('-') {
        command.env_clear().args(words).arg("-c").arg(file);
    } else {
        command.env_clear().arg(first).arg("-c").arg(file).args(rest);
    }
    Process::run(&mut command).await
}

const ORDERS: &[&str] = &["-m", "order_process", "--once"];
const MEMBERS: &[&str] = &["-m", "membership_sync", "--once", "--force"];

/// Requests other than reads that name a place, whatever became of them.
fn writes_to(site: &Site, name: &str) -> Vec<String> {
    let requests = site.sim.okd_server.traffic.requests();
    let names =
        |request: &&Request| request.path.split('/').any(|part| part == name) || request.query.contains(name);
    let writes = requests.iter().filter(|request| !["GET", "HEAD"].contains(&request.method.as_str()));
    writes.filter(names).map(|request| format!("{} {}", request.method, request.path)).collect()
}

/// Every path that changes or deletes something of a resource that Waldur says is at `name`. `adopt` is left out where
/// the operator's word would be enough to take the place over.
async fn every_path(site: &Site, config: &Config, resource: Uuid, name: &str, adopt: bool) {
    let file = site.config_file(&config.text());
    let waldur = &site.sim.waldur;
    for (paused, downscaled, restricted) in
        [(false, false, false), (true, false, false), (false, true, false), (false, false, true)]
    {
        waldur.set_flags(resource, paused, downscaled, restricted);
        run(&file, MEMBERS).await;
    }
    waldur.set_flags(resource, false, false, false);
    for kind in ["update", "restore", "terminate"] {
        let order = match kind {
            "update" => site.update(resource, json!({"cpu": 1})),
            "restore" => site.restore(resource),
            _ => site.terminate(resource),
        };
        run(&file, ORDERS).await;
        let state = site.order_state(order);
        assert!([OrderState::Erred, OrderState::Rejected].contains(&state), "{name} {kind} {state}");
    }
    let mut commands = vec![
        vec!["sync_resource_limits"],
        vec!["sync_resource_limits", "--from-cluster"],
        vec!["plan"],
        vec!["apply"],
        vec!["diagnose"],
        vec!["diagnose", "--write-test"],
        vec!["abandon", name],
    ];
    if adopt {
        commands.extend([vec!["adopt"], vec!["adopt", "--yes"], vec!["adopt", name]]);
    }
    for words in commands {
        run(&file, &words).await;
    }
}

/// A namespace with one of each thing that the agent makes, under the names that it would give, labelled or not.
fn furnish(site: &Site, name: &str, labels: &Value) {
    let put = |mut object: Value| {
        object["metadata"]["labels"] = labels.clone();
        site.sim.okd.put(object).unwrap_or_else(|| panic!("not taken: {name}"));
    };
    let named = |object: &str| json!({"name": object, "namespace": name});
    put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    put(json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": named("waldur-quota"), "spec": {"hard": {"pods": "7"}},
    }));
    put(json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": named("waldur-limits"),
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "7"}}]},
    }));
    for role in ["admin", "edit", "view"] {
        put(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": named(&format!("waldur-users-{role}")),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "somebody"}],
        }));
    }
    put(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named("svc-web")}));
}

fn ours(resource: Uuid) -> Value {
    json!({
        "app.kubernetes.io/managed-by": "waldur-site-agent", "waldur/resource-uuid": resource.simple().to_string(),
    })
}

/// A resource that says it were at `name`, and a service account and members for it.
async fn resource_at(site: &Site, name: &str) -> Uuid {
    site.sim.waldur.add_service_account(site.project, "svc-web");
    let resource = site.made("Shop", limits()).await;
    site.sim.okd.delete("namespaces", "", "waldur-alloc-shop-1");
    site.sim.waldur.set_backend_id(resource, name);
    resource
}

#[tokio::test]
async fn the_clusters_own_namespaces_stay_even_with_our_labels() {
    for name in ["kube-system", "default", "openshift-config", "openshift", "kubernetes-dashboard"] {
        let site = Site::with(almighty()).await;
        let resource = resource_at(&site, name).await;
        furnish(&site, name, &ours(resource));
        let before = (site.whole(name), site.sim.okd.get("serviceaccounts", name, "svc-web"));
        site.sim.reset_traffic();
        every_path(&site, &everything(&site), resource, name, true).await;
        assert_eq!((site.whole(name), site.sim.okd.get("serviceaccounts", name, "svc-web")), before);
        // Not even tried: nothing was left to the cluster's own refusal.
        assert_eq!(writes_to(&site, name), [] as [String; 0]);
    }
}

#[tokio::test]
async fn namespaces_and_objects_without_our_labels_stay() {
    for labels in [json!({}), json!({"app.kubernetes.io/managed-by": "Helm"}), ours(Uuid::from_u128(7))] {
        let site = Site::with(almighty()).await;
        let resource = resource_at(&site, "payments").await;
        furnish(&site, "payments", &labels);
        let before = (site.whole("payments"), site.sim.okd.get("serviceaccounts", "payments", "svc-web"));
        site.sim.reset_traffic();
        // One without labels may be taken over by the operator's word, which is no accident.
        let adopt = labels["waldur/resource-uuid"].is_string();
        every_path(&site, &everything(&site), resource, "payments", adopt).await;
        let after = (site.whole("payments"), site.sim.okd.get("serviceaccounts", "payments", "svc-web"));
        assert_eq!(after, before, "{labels}");
        assert_eq!(writes_to(&site, "payments"), [] as [String; 0], "{labels}");
    }
}

#[tokio::test]
async fn in_a_project_of_ours_the_objects_of_others_stay_and_so_do_their_groups() {
    let site = Site::with(almighty()).await;
    site.sim.waldur.add_service_account(site.project, "svc-web");
    let (name, config) = ("waldur-alloc-shop-1", everything(&site));
    let group = |role: &str| {
        json!({
            "apiVersion": "user.openshift.io/v1", "kind": "Group",
            "metadata": {"name": format!("waldur-{name}-{role}")}, "users": ["somebody"],
        })
    };
    let groups: Vec<Value> =
        ["edit", "view"].iter().map(|role| site.sim.okd.put(group(role)).unwrap()).collect();
    let resource = site.made("Shop", limits()).await;
    let file = site.config_file(&config.text());
    for (plural, object) in [("resourcequotas", "waldur-quota"), ("limitranges", "waldur-limits")] {
        site.sim.okd.delete(plural, name, object);
    }
    furnish(&site, name, &json!({}));
    // Only the namespace itself is ours.
    let labels = ours(resource);
    let ours = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    site.sim.okd.put(ours).unwrap();
    let before = (site.whole(name), site.sim.okd.get("serviceaccounts", name, "svc-web"));
    for paused in [false, true, false] {
        site.sim.waldur.set_flags(resource, paused, false, false);
        run(&file, MEMBERS).await;
    }
    site.update(resource, json!({"cpu": 1}));
    run(&file, ORDERS).await;
    for words in [&["sync_resource_limits"][..], &["apply"], &["abandon", "--dry-run", name]] {
        run(&file, words).await;
    }
    let objects = |whole: &Value| ["quotas", "limit ranges", "role bindings"].map(|kind| whole[kind].clone());
    let after = (site.whole(name), site.sim.okd.get("serviceaccounts", name, "svc-web"));
    assert_eq!((objects(&after.0), after.1), (objects(&before.0), before.1));
    assert_eq!(site.sim.okd.list("groups", None), groups);
    // The project itself is ours and goes; groups of others do not go with it.
    let order = site.terminate(resource);
    run(&file, ORDERS).await;
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.sim.okd.list("groups", None), groups);
}

#[tokio::test]
async fn a_write_test_touches_nothing_that_was_there() {
    let site = Site::with(almighty()).await;
    furnish(&site, "payments", &json!({}));
    let config = everything(&site);
    let before = site.sim.okd.list("namespaces", None);
    let people = ["users", "identities", "groups"].map(|kind| site.sim.okd.list(kind, None));
    let ended = run(&site.config_file(&config.text()), &["diagnose", "--write-test"]).await;
    assert!(ended.stdout.contains("✓ removed"), "{}", ended.all());
    assert_eq!(site.sim.okd.list("namespaces", None), before);
    assert_eq!(["users", "identities", "groups"].map(|kind| site.sim.okd.list(kind, None)), people);
}

/// Namespaces that are none, and would be something else as a part of a URL.
const HOSTILE_IDS: [&str; 6] = [
    "x/../kube-system",
    "payments?dryRun=All",
    "%2e%2e%2fkube-system",
    "payments/resourcequotas/waldur-quota",
    "Payments",
    "payments\u{1b}[2J\u{9b}31m",
];

#[tokio::test]
async fn backend_ids_that_are_no_names_reach_no_url() {
    for id in HOSTILE_IDS {
        let site = Site::with(almighty()).await;
        let resource = resource_at(&site, id).await;
        furnish(&site, "payments", &json!({}));
        let before = (site.whole("payments"), site.whole("kube-system"));
        site.sim.reset_traffic();
        every_path(&site, &everything(&site), resource, id, true).await;
        assert_eq!((site.whole("payments"), site.whole("kube-system")), before, "{id:?}");
        assert_eq!(writes_to(&site, "payments"), [] as [String; 0], "{id:?}");
        let requests = site.sim.okd_server.traffic.requests();
        let odd = |request: &&Request| {
            let path = request.path.to_lowercase();
            ["..", "%2e", "%2f", "%1b", "payments"].iter().any(|part| path.contains(part))
        };
        assert_eq!(requests.iter().filter(odd).collect::<Vec<_>>(), [] as [&Request; 0], "{id:?}");
    }
}

/// What a customer may write as a name, and what it would do where it were not data.
const HOSTILE: &str = "Shop\u{1b}]0;owned\u{7}\u{1b}[2J\r\n{{7*7}} ${PROJECT_NAME} <script>alert(1)</script> '\"; --\u{9b}31m\u{202e}%2e";

/// True if a terminal would obey something in a text.
fn obeyed(text: &str) -> bool {
    text.chars().any(|c| c != '\n' && c.is_control())
}

#[tokio::test]
async fn texts_of_customers_are_data_on_the_cluster_in_logs_and_on_the_terminal() {
    let site = Site::with(almighty()).await;
    let config = everything(&site);
    let user = site.sim.waldur.add_user(&SeedUser::new("eve", "eve-token"));
    site.sim.waldur.add_member(site.project, user, "PROJECT.MANAGER");
    site.sim.waldur.add_offering_user(site.offering, user, "eve/../../kube-system?x=1#%2e\u{1b}[31m");
    let (order, resource) = site.order(HOSTILE, limits());
    site.sim.waldur.set_slug(resource, "../../Kube_System?x=%2e\u{1b}[31m");
    site.sim.waldur.set_customer_slug(site.sim.waldur.customer("acme").unwrap(), "ACME/..\u{1b}[31m\n");
    let file = site.config_file(&config.text());
    let mut outputs = Vec::new();
    for words in [ORDERS, MEMBERS] {
        let ended = run(&file, words).await;
        // Each line is JSON, whatever is in it.
        ended.log();
        outputs.push((words.join(" "), ended.all()));
    }
    assert_eq!(site.order_state(order), OrderState::Done, "{outputs:?}");
    let name = site.backend_id(resource);
    assert_eq!(name, "waldur-alloc-kube-system-x-2e-31m");
    let namespace = site.namespace(&name).unwrap();
    let annotations = namespace["metadata"]["annotations"].as_object().unwrap();
    let written =
        annotations.iter().filter(|(key, _)| key.starts_with("waldur/") || key.contains("display-name"));
    for (key, text) in written {
        assert!(!obeyed(text.as_str().unwrap()), "{key}: {text}");
    }
    let display_name = annotations["openshift.io/display-name"].as_str().unwrap();
    assert!(display_name.contains("<script>") && display_name.contains("${PROJECT_NAME}"), "{display_name}");
    site.sim.waldur.set_limits(resource, json!({"cpu": 2}));
    let id = resource.simple().to_string();
    for words in [
        &["plan"][..],
        &["plan", "--json"],
        &["diagnose"],
        &["diagnose", "--json"],
        &["sync_resource_limits", "--dry-run"],
        &["sync_resource_limits", "--from-cluster", "--dry-run"],
        &["sync_offering_users"],
        &["load_components", "--dry-run"],
        &["adopt"],
        &["abandon", "--dry-run", &id],
    ] {
        let ended = run(&file, words).await;
        outputs.push((words.join(" "), ended.all()));
    }
    let bad: Vec<&(String, String)> = outputs.iter().filter(|(_, text)| obeyed(text)).collect();
    assert!(bad.is_empty(), "{bad:?}");
    let requests = site.sim.okd_server.traffic.requests();
    let is_elsewhere = |path: &str| path.split('/').any(|part| part == ".." || part == "kube-system");
    let elsewhere = requests.iter().filter(|request| is_elsewhere(&request.path));
    assert_eq!(elsewhere.collect::<Vec<_>>(), [] as [&Request; 0]);
}
