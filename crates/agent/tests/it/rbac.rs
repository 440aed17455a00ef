//! The manifests of `waldur_site_agent rbac`: enough for everything that the configuration asks for, and no more.

use std::collections::BTreeSet;

use agent::engine::EngineOptions;
use agent::settings::Mode;
use serde_json::{Value, json};
use simulator::simulation::SimulationOptions;
use simulator::traffic::Request;
use simulator::waldur::OrderState;
use tokio::process::Command;

use crate::process::{Ended, Process};
use crate::site::{Agent, Config, Site, limits, options, within};

/// Every subject that can be configured.
const EVERYTHING: &str = "\
role_map: {owner: admin, manager: project-lead}
subjects: {kind: group, identity_provider: sso}
service_accounts: service_account
";

/// What projects are furnished with.
const TEMPLATE: &str = "\
project_template:
  enable_network_isolation: true
  limit_ranges: [{name: pods, limits: [{type: Pod, max: {cpu: '4'}}]}]
  resource_quotas: [{name: batch, scopes: [Terminating], hard: {pods: 2}}]
  manifests:
    - object: {apiVersion: v1, kind: ConfigMap, metadata: {name: about}, data: {text: '{{resource_name}}'}}
    - object:
        apiVersion: rbac.authorization.k8s.io/v1
        kind: RoleBinding
        metadata: {name: tools}
        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tool-user}
        subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: tools}]
";

async fn rbac(site: &Site, config: &Config, more: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
    command.env_clear().args(["rbac", "-c"]).arg(site.config_file(&config.text())).args(more);
    Process::run(&mut command).await
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A site whose agent is allowed nothing but what the manifests for `backend` say.
async fn under_printed_role(backend: &str, template: &str) -> (Site, Config, Value) {
    let site = Site::with(SimulationOptions { agent_rules: json!([]), ..options() }).await;
    let mut config = site.config().with_members().with_backend(backend).with_global(template);
    let names = ["--namespace", "marketplace", "--service-account", "projects-agent"];
    let printed = rbac(&site, &config, &names).await;
    assert_eq!(printed.code(), Some(0), "{}", printed.all());
    let documents = documents(&printed.stdout);
    let kinds: Vec<&str> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret"]);
    for document in &documents {
        assert!(site.sim.okd.put(document.clone()).is_some(), "{document:#}");
    }
    let secret = &documents[4];
    assert_eq!(secret["type"], "kubernetes.io/service-account-token");
    assert_eq!(secret["metadata"]["annotations"]["kubernetes.io/service-account.name"], "projects-agent");
    let token = site.sim.okd.add_service_account("marketplace", "projects-agent");
    config.okd_token = format!("token: {token}\n");
    (site, config, documents[2]["rules"].clone())
}

/// Custom roles that somebody made, which the agent itself does not have.
fn custom_roles(site: &Site) {
    for (name, resource) in [("project-lead", "sites"), ("tool-user", "tools")] {
        let rule = json!({"apiGroups": ["example.org"], "resources": [resource], "verbs": ["create"]});
        site.sim.okd.put_cluster_role(name, json!([rule]));
    }
}

async fn pass(config: &Config) -> bool {
    let engine = config.engine_for(Mode::MembershipSync, EngineOptions::default());
    within("the pass ends", engine.keep_resources_once()).await
}

/// All kinds of orders, and passes in which members come and go.
async fn everything(site: &Site, config: &Config) {
    let account = site.sim.waldur.add_service_account(site.project, "svc-web");
    let agent = Agent::start(config.engine());
    let watching = site.sim.okd_server.traffic.wait_for(|traffic| {
        let watches = traffic.requests().into_iter().filter(|request| request.query.contains("watch="));
        let watched = watches.map(|request| request.path).collect::<BTreeSet<_>>();
        ["namespaces", "rolebindings", "configmaps", "networkpolicies"]
            .iter()
            .all(|kind| watched.iter().any(|path| path.ends_with(kind)))
    });
    within("the watches run", watching).await;
    let (create, resource) = site.order("Shop", limits());
    site.ends(create, OrderState::Done).await;
    site.ends(site.update(resource, json!({"cpu": 8})), OrderState::Done).await;
    agent.stop().await;
    assert!(pass(config).await);
    assert!(site.sim.okd.get("rolebindings", "waldur-alloc-shop-1", "waldur-users-project-lead").is_some());
    for (plural, name) in [
        ("resourcequotas", "waldur-quota"),
        ("limitranges", "waldur-limits"),
        ("limitranges", "pods"),
        ("configmaps", "about"),
        ("networkpolicies", "waldur-allow-same-project"),
    ] {
        assert!(site.sim.okd.delete(plural, "waldur-alloc-shop-1", name));
    }
    let max = site.sim.waldur.user("max.manager").unwrap();
    site.sim.waldur.remove_member(site.project, max, "PROJECT.MANAGER");
    site.sim.waldur.close_service_account(account);
    assert!(pass(config).await);
    assert!(site.sim.okd.get("rolebindings", "waldur-alloc-shop-1", "waldur-users-project-lead").is_none());
    assert!(site.sim.okd.get("configmaps", "waldur-alloc-shop-1", "about").is_some());
    // What leaves the configuration is taken away.
    let bare = Config { global: config.global.replace(TEMPLATE, ""), ..config.clone() };
    assert!(pass(&bare).await);
    for (plural, kept) in
        [("configmaps", 0), ("networkpolicies", 0), ("limitranges", 1), ("resourcequotas", 1)]
    {
        let left = site.sim.okd.list(plural, Some("waldur-alloc-shop-1"));
        let ours =
            left.iter().filter(|object| object["metadata"]["labels"]["waldur/resource-uuid"].is_string());
        assert_eq!(ours.count(), kept, "{plural}");
    }
    for order in [site.terminate(resource), site.restore(resource), site.terminate(resource)] {
        assert!(site.once_with(config).await);
        assert_eq!(site.order_state(order), OrderState::Done);
    }
}

/// `verb resource` of a request to the cluster; nothing for what every user may do.
fn used(request: &Request) -> Vec<String> {
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return Vec::new(),
    };
    let (resource, named) = match rest {
        ["namespaces", _, resource] => (*resource, false),
        ["namespaces", _, resource, _] => (*resource, true),
        [resource] => (*resource, false),
        [resource, _] => (*resource, true),
        _ => return Vec::new(),
    };
    if resource.ends_with("reviews") || rest.last() == Some(&"~") {
        return Vec::new();
    }
    let verbs: &[&str] = match request.method.as_str() {
        "GET" if named => &["get"],
        "GET" if request.query.contains("watch=") => &["watch"],
        "GET" => &["list"],
        "POST" => &["create"],
        "PATCH" if request.status == Some(201) => &["create", "patch"],
        "PATCH" => &["patch"],
        "DELETE" => &["delete"],
        other => panic!("{other} {}", request.path),
    };
    verbs.iter().map(|verb| format!("{verb} {resource}")).collect()
}

/// `verb resource` of each right that a role grants, but for those that are asked for in other ways.
fn granted(rules: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for rule in rules.as_array().unwrap().iter().filter(|rule| rule["resourceNames"].is_null()) {
        for resource in rule["resources"].as_array().unwrap() {
            let verbs = rule["verbs"].as_array().unwrap().iter();
            all.extend(
                verbs.map(|verb| format!("{} {}", verb.as_str().unwrap(), resource.as_str().unwrap())),
            );
        }
    }
    all
}

#[tokio::test]
async fn under_the_printed_role_everything_works_and_every_right_is_used() {
    let (site, config, rules) = under_printed_role(EVERYTHING, TEMPLATE).await;
    custom_roles(&site);
    everything(&site, &config).await;
    let requests = site.sim.okd_server.traffic.requests();
    let refused = requests.iter().filter(|request| request.status == Some(403));
    assert_eq!(refused.collect::<Vec<_>>(), [] as [&Request; 0]);
    let used: BTreeSet<String> = requests.iter().flat_map(used).collect();
    let unused: Vec<String> = granted(&rules).difference(&used).cloned().collect();
    assert_eq!(unused, [] as [String; 0], "used: {used:#?}");
}

#[tokio::test]
async fn bind_is_given_for_exactly_the_mapped_roles() {
    let (_, _, rules) = under_printed_role(EVERYTHING, TEMPLATE).await;
    let bind = rules.as_array().unwrap().iter().filter(|rule| rule["verbs"] == json!(["bind"]));
    let bind: Vec<&Value> = bind.collect();
    assert!(bind.iter().all(|rule| rule["resources"] == json!(["clusterroles"])));
    let names: Vec<&Value> = bind.iter().map(|rule| &rule["resourceNames"]).collect();
    assert_eq!(names, [&json!(["admin", "edit", "project-lead", "view"]), &json!(["tool-user"])]);
    let all = rules.to_string();
    for word in ["\"*\"", "escalate", "impersonate", "secrets", "deletecollection"] {
        assert!(!all.contains(word), "{word}: {all}");
    }
}

#[tokio::test]
async fn an_agent_without_members_is_given_nothing_about_them() {
    let site = Site::start().await;
    let config = site.config().with_backend("limit_range: {enabled: false}\n");
    let printed = rbac(&site, &config, &[]).await;
    assert_eq!(printed.code(), Some(0), "{}", printed.all());
    let rules = documents(&printed.stdout)[2]["rules"].clone();
    let granted = granted(&rules);
    assert!(granted.contains("list rolebindings") && !granted.contains("create rolebindings"), "{granted:?}");
    assert!(!rules.to_string().contains("bind\""), "{rules:#}");
    assert!(!granted.iter().any(|right| right.contains("limitranges")), "{granted:?}");
}

#[tokio::test]
async fn of_kinds_that_only_the_cluster_knows_it_is_said_what_to_add() {
    let site = Site::start().await;
    let widget = "project_template: {manifests: [{object: {apiVersion: example.com/v1, kind: Widget, metadata: {name: w}}}, \
                  {object: {apiVersion: route.openshift.io/v1, kind: Route, metadata: {name: r}}}]}\n";
    let printed = rbac(&site, &site.config().with_global(widget), &[]).await;
    assert_eq!(printed.code(), Some(0), "{}", printed.all());
    let said = "  # `Widget` of `project_template`: only the cluster knows how rules call it. Look at the NAME of this kind in\n  \
                #   oc api-resources --api-group=example.com\n  # and add it here:\n  # - apiGroups: [\"example.com\"]\n";
    assert!(printed.stdout.contains(said), "{}", printed.stdout);
    let granted = granted(&documents(&printed.stdout)[2]["rules"]);
    for verb in ["get", "list", "watch", "create", "patch", "delete"] {
        assert!(granted.contains(&format!("{verb} routes")), "{granted:?}");
    }
}

#[tokio::test]
async fn several_clusters_need_a_choice() {
    let site = Site::start().await;
    let offering = |name: &str, url: &str, uuid: &str| {
        format!(
            "- name: {name}\n  waldur_api_url: https://w.example/api/\n  waldur_api_token: t\n  \
             waldur_offering_uuid: {uuid}\n  backend_type: okd\n  order_processing_backend: okd\n  backend_settings: \
             {{api_url: '{url}', token: t}}\n  backend_components: {{cpu: {{measured_unit: c, accounting_type: limit, \
             label: C}}}}\n"
        )
    };
    let text = format!(
        "offerings:\n{}{}",
        offering("one", "https://a.example:6443", "d629d5e455675425da9cdbdc1af67b32"),
        offering("two", "https://b.example:6443", "d629d5e455675425da9cdbdc1af67b33")
    );
    let path = site.config_file(&text);
    for (more, code, said) in [
        (&[][..], 2, "several clusters (https://a.example:6443/, https://b.example:6443/); say for which"),
        (&["--offering", "three"][..], 2, "no offering `three`; it has `one`, `two`"),
        (&["--offering", "two"][..], 0, "on https://b.example:6443/ for: two."),
        (&["--namespace", "openshift-config"][..], 2, "is reserved for the cluster"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
        command.env_clear().args(["rbac", "-c"]).arg(&path).args(more);
        let ended = Process::run(&mut command).await;
        assert_eq!(ended.code(), Some(code), "{}", ended.all());
        assert!(ended.all().contains(said), "{}", ended.all());
    }
}

#[tokio::test]
async fn under_the_documented_role_the_start_says_what_is_reduced_and_which_rules_would_help() {
    let options = SimulationOptions { agent_rules: simulator::okd::documented_agent_rules(), ..options() };
    let site = Site::with(options).await;
    let config = site.config().with_members();
    let mut command = site.command(&config);
    let ended = Process::run(command.arg("--once")).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    let said: Vec<String> = [ended.events("warning"), ended.events("info")].concat();
    let said: Vec<&str> =
        said.iter().filter(|event| event.starts_with("reduced: ")).map(String::as_str).collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[tokio::test]
async fn what_is_kept_in_namespaces_has_roles_there() {
    let site = Site::start().await;
    let mut config = site.config().with_components(
        "gpu: {measured_unit: h, accounting_type: usage, quota: requests.nvidia.com/gpu, usage: {measure: requests}}\n",
    );
    config.services.push_str("reporting_backend: okd\n");
    config.global.push_str("monitoring: {prometheus_url: 'https://thanos.example'}\n");
    let printed = rbac(&site, &config, &["--namespace", "marketplace"]).await;
    assert_eq!(printed.code(), Some(0), "{}", printed.all());
    let documents = documents(&printed.stdout);
    let of_kind =
        |kind: &str| documents.iter().filter(|document| document["kind"] == kind).collect::<Vec<_>>();
    let role = of_kind("Role");
    assert_eq!(role.len(), 1, "{}", printed.stdout);
    assert_eq!(role[0]["metadata"]["namespace"], "marketplace");
    assert_eq!(role[0]["rules"][0]["resources"], json!(["configmaps"]));
    assert_eq!(of_kind("RoleBinding")[0]["subjects"][0]["namespace"], "marketplace");
    let bindings = of_kind("ClusterRoleBinding");
    assert_eq!(bindings[1]["roleRef"]["name"], "cluster-monitoring-view");
    for document in &documents {
        assert!(site.sim.okd.put(document.clone()).is_some(), "{document:#}");
    }
    assert_eq!(role[0]["rules"][0]["verbs"], json!(["get", "list", "create", "patch", "delete"]));
    // Through the port for tenants it needs to read metrics of pods instead.
    let mut tenancy = config.clone();
    tenancy.global = tenancy.global.replace("example'", "example', prometheus_tenancy: true");
    let printed = rbac(&site, &tenancy, &[]).await;
    assert!(!printed.stdout.contains("cluster-monitoring-view"), "{}", printed.stdout);
    assert!(printed.stdout.contains("metrics.k8s.io"), "{}", printed.stdout);
    // With a token of its own for Prometheus the agent needs no right to view the monitoring.
    config.global = config.global.replace("example'", "example', prometheus_token_file: /etc/token");
    let printed = rbac(&site, &config, &[]).await;
    assert!(!printed.stdout.contains("cluster-monitoring-view"), "{}", printed.stdout);
}
