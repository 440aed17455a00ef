//! Further quotas beside `waldur-quota`: their scopes, what holds them, and what becomes of them.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::simulation::SimulationOptions;
use simulator::waldur::{OrderState, ResourceState, Seed, SeedComponent};

use crate::lifecycle::{kept, pod};
use crate::members::{Keeping, keeper};
use crate::process::Process;
use crate::site::{Config, Site, options, within};

const BATCH: &str = "batch: {measured_unit: Core, accounting_type: limit, shrink: refuse, quota: [{key: requests.cpu, \
                     resource_quota: batch}]}\n";

const TEMPLATE: &str = "project_template:
  resource_quotas:
    - {name: batch, scopes: [Terminating], hard: {pods: 2}}
    - name: urgent
      scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high, urgent]}]}
      hard: {pods: 1}
    - {name: waldur-quota, hard: {services.loadbalancers: 0}}
";

fn bought() -> Value {
    json!({"cpu": 4, "memory": 16, "storage": 100, "pods": 50, "batch": 8})
}

/// A site that sells cores for pods that end by themselves.
async fn selling() -> (Site, Config) {
    let mut seed = Seed::demo();
    seed.offerings[0].components.push(SeedComponent::new("batch", "batch", "cores", "limit"));
    let site = Site::with(SimulationOptions { seed, ..options() }).await;
    let config = site.config().with_components(BATCH).with_global(TEMPLATE);
    (site, config)
}

/// A resource in use whose project has all quotas.
async fn made(site: &Site, config: &Config) -> (uuid::Uuid, String) {
    let (order, resource) = site.order("Shop", bought());
    assert!(site.once_with(config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    (resource, site.backend_id(resource))
}

impl Site {
    fn quota(&self, namespace: &str, name: &str) -> Value {
        self.sim.okd.get("resourcequotas", namespace, name).unwrap_or_default()
    }

    /// `spec.hard` of each quota, by name.
    fn hards(&self, namespace: &str) -> Value {
        let all = self.sim.okd.list("resourcequotas", Some(namespace));
        let hard = |quota: &Value| {
            let name = quota["metadata"]["name"].as_str().unwrap().to_owned();
            (name, quota["spec"]["hard"].clone())
        };
        Value::Object(all.iter().map(hard).collect())
    }
}

/// A pod that ends by itself.
fn ending(namespace: &str, name: &str, cpu: &str) -> Value {
    let mut pod = pod(namespace, name, cpu);
    pod["spec"]["activeDeadlineSeconds"] = json!(600);
    pod
}

#[tokio::test]
async fn each_quota_has_its_scopes_its_components_and_its_fixed_amounts() {
    let (site, config) = selling().await;
    let (_, name) = made(&site, &config).await;
    let hards = site.hards(&name);
    assert_eq!(hards["batch"], json!({"requests.cpu": "8", "pods": "2"}));
    assert_eq!(hards["urgent"], json!({"pods": "1"}));
    assert_eq!(hards["waldur-quota"]["services.loadbalancers"], "0");
    assert_eq!(hards["waldur-quota"]["requests.cpu"], "4");
    assert_eq!(site.quota(&name, "batch")["spec"]["scopes"], json!(["Terminating"]));
    assert_eq!(
        site.quota(&name, "urgent")["spec"]["scopeSelector"],
        json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high", "urgent"]}]})
    );
    // They count what they are for.
    site.sim.okd.put(pod(&name, "web", "1")).unwrap();
    site.sim.okd.put(ending(&name, "sum", "3")).unwrap();
    assert_eq!(site.quota(&name, "batch")["status"]["used"], json!({"requests.cpu": "3", "pods": "1"}));
    assert_eq!(site.quota(&name, "urgent")["status"]["used"], json!({"pods": "0"}));
    // Nothing is left to do.
    assert!(kept(&config).await);
    site.sim.reset_traffic();
    assert!(kept(&config).await);
    assert_eq!(site.cluster_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pause_leaves_nothing_in_any_of_them_and_a_restore_brings_all_back() {
    let (site, config) = selling().await;
    let (resource, name) = made(&site, &config).await;
    for ((paused, downscaled), batch, fixed) in
        [((true, false), "0", "0"), ((false, true), "1", "2"), ((false, false), "8", "2")]
    {
        site.sim.waldur.set_flags(resource, paused, downscaled, false);
        assert!(kept(&config).await);
        assert_eq!(site.hards(&name)["batch"], json!({"requests.cpu": batch, "pods": fixed}));
    }
}

#[tokio::test]
async fn a_limit_below_what_its_own_quota_shows_in_use_is_refused() {
    let (site, config) = selling().await;
    let (resource, name) = made(&site, &config).await;
    site.sim.okd.put(ending(&name, "sum", "3")).unwrap();
    let order = site.update(resource, json!({"batch": 2}));
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Rejected);
    let comment = site.order_text(order, "provider_rejection_comment");
    assert!(comment.contains("`batch`: batch/requests.cpu would be 2, 3 is in use"), "{comment}");
}

#[tokio::test]
async fn what_leaves_the_configuration_goes_and_other_scopes_are_another_quota() {
    let (site, config) = selling().await;
    let (resource, name) = made(&site, &config).await;
    let theirs = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "theirs", "namespace": name},
        "spec": {"hard": {"secrets": "9"}},
    });
    site.sim.okd.put(theirs).unwrap();
    let uid = site.quota(&name, "batch")["metadata"]["uid"].clone();
    let mut other = config.clone();
    other.global = other.global.replace("[Terminating]", "[NotTerminating]");
    assert!(kept(&other).await);
    let batch = site.quota(&name, "batch");
    assert_eq!(batch["spec"]["scopes"], json!(["NotTerminating"]));
    assert_ne!(batch["metadata"]["uid"], uid);
    site.sim.reset_traffic();
    assert!(kept(&other).await);
    assert_eq!(site.cluster_writes(), Vec::<String>::new());
    assert!(kept(&site.config()).await);
    let hards = site.hards(&name);
    let names: Vec<&String> = hards.as_object().unwrap().keys().collect();
    assert_eq!(names, ["theirs", "waldur-quota"]);
    assert_eq!(hards["waldur-quota"]["services.loadbalancers"], Value::Null);
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
}

#[tokio::test]
async fn somebody_elses_quota_of_that_name_stays_and_waldur_says_so() {
    let (site, config) = selling().await;
    let resource = site.planted("shop");
    site.sim.waldur.set_limits(resource, bought());
    let theirs = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "batch", "namespace": "shop"},
        "spec": {"hard": {"pods": "7"}},
    });
    site.sim.okd.put(theirs).unwrap();
    assert!(!kept(&config).await);
    assert_eq!(site.hards("shop")["batch"], json!({"pods": "7"}));
    assert_eq!(site.resource_state(resource), ResourceState::Erred);
    let message = site.resource(resource)["error_message"].as_str().unwrap().to_owned();
    assert!(message.contains("resourcequotas/batch") && message.contains("labels"), "{message}");
    // It is taken over like everything else.
    let config = config.with_members();
    for (kind, mut object) in [
        ("Namespace", site.namespace("shop").unwrap()),
        ("ResourceQuota", site.quota("shop", "waldur-quota")),
    ] {
        (object["apiVersion"], object["kind"]) = (json!("v1"), json!(kind));
        object["metadata"]["labels"] = json!({});
        object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        site.sim.okd.put(object).unwrap();
    }
    let ended = Process::run(&mut site.operator(&config, &["adopt", "shop"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert!(kept(&config).await);
    assert_eq!(
        site.quota("shop", "batch")["spec"],
        json!({"hard": {"pods": "2", "requests.cpu": "8"}, "scopes": ["Terminating"]})
    );
}

#[tokio::test]
async fn one_that_somebody_deletes_is_put_back_at_once() {
    let (site, config) = selling().await;
    let (_, name) = made(&site, &config).await;
    let keeping = Keeping::start(keeper(&config.with_members()), Duration::from_secs(600));
    let okd = &site.sim.okd_server.traffic;
    site.watched(4).await;
    site.sim.reset_traffic();
    assert!(site.sim.okd.delete("resourcequotas", &name, "batch"));
    let path = format!("/api/v1/namespaces/{name}/resourcequotas/batch");
    let put_back = okd.wait_for(|traffic| {
        traffic.requests().iter().any(|request| request.method == "PATCH" && request.path == path)
    });
    within("the quota is put back", put_back).await;
    keeping.stop().await;
    assert_eq!(site.hards(&name)["batch"]["requests.cpu"], "8");
}

#[tokio::test]
async fn usage_is_what_the_components_own_quota_shows() {
    let (site, config) = selling().await;
    let (resource, name) = made(&site, &config).await;
    site.sim.okd.put(pod(&name, "web", "1")).unwrap();
    site.sim.okd.put(ending(&name, "sum", "2500m")).unwrap();
    let config = Config { services: "reporting_backend: okd\n".to_owned(), ..config };
    let reports = agent::setup::usage(&config.settings(), Default::default(), None).unwrap();
    assert!(within("the report", agent::usage::report_once(&reports)).await);
    let rows = site.sim.waldur.component_usages(resource);
    let of = |kind: &str| rows.iter().find(|row| row["type"] == kind).unwrap()["usage"].clone();
    assert_eq!((of("cpu"), of("batch")), (json!("3.50"), json!("2.50")));
}

#[tokio::test]
async fn a_plan_shows_them_and_giving_up_leaves_them() {
    let (site, config) = selling().await;
    let (_, name) = made(&site, &config).await;
    let config = config.with_members();
    let mut less = config.clone();
    less.global = less.global.replace("hard: {pods: 2}", "hard: {pods: 3}");
    less.global = less.global.replace("name: urgent", "name: hurried");
    let ended = Process::run(&mut site.operator(&less, &["plan"])).await;
    assert_eq!(ended.code(), Some(2), "{}", ended.all());
    for part in [
        format!("  ~ quota {name}/batch\n      ~ pods: 2 → 3\n"),
        format!(
            "  + quota {name}/hurried\n      + pods: 1\n      + scopes: PriorityClass In high or urgent\n"
        ),
        format!("  - quota {name}/urgent\n      - pods: 1\n"),
    ] {
        assert!(ended.stdout.contains(&part), "{}", ended.stdout);
    }
    let ended = Process::run(&mut site.operator(&config, &["abandon", &name])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    let quotas = site.sim.okd.list("resourcequotas", Some(&name));
    assert_eq!(quotas.len(), 3);
    assert!(quotas.iter().all(|quota| quota["metadata"]["labels"]["waldur/resource-uuid"].is_null()));
}
