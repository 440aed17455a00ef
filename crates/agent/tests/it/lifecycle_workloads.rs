//! Pausing stops what runs, restoring starts it again, and what the tenant did in between stays.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use simulator::faults::{Fault, Rule};
use simulator::okd::{Flavour, OkdOptions, documented_agent_rules};
use simulator::simulation::SimulationOptions;
use uuid::Uuid;

use crate::lifecycle::{kept, pod};
use crate::members::Log;
use crate::site::{Config, Site, limits, options};

/// The plural and the version of each kind that can be stopped.
const KINDS: [(&str, &str, &str); 6] = [
    ("Deployment", "deployments", "apps/v1"),
    ("StatefulSet", "statefulsets", "apps/v1"),
    ("ReplicaSet", "replicasets", "apps/v1"),
    ("DeploymentConfig", "deploymentconfigs", "apps.openshift.io/v1"),
    ("CronJob", "cronjobs", "batch/v1"),
    ("Job", "jobs", "batch/v1"),
];

pub(crate) fn stopping(site: &Site) -> Config {
    site.config().with_backend("lifecycle: {stop_workloads: true}\n")
}

/// A workload with this in its `spec`.
fn workload(namespace: &str, kind: &str, name: &str, spec: Value) -> Value {
    let (_, _, version) = KINDS.into_iter().find(|(known, ..)| *known == kind).unwrap();
    let mut object = json!({
        "apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}},
    });
    object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object
}

/// One of each kind, and what cannot be stopped.
pub(crate) fn furnish(site: &Site, name: &str) {
    let okd = &site.sim.okd;
    for object in [
        workload(name, "Deployment", "shop", json!({"replicas": 3})),
        workload(name, "Deployment", "off", json!({"replicas": 0})),
        workload(name, "StatefulSet", "db", json!({"replicas": 2})),
        workload(name, "ReplicaSet", "alone", json!({"replicas": 1})),
        workload(name, "DeploymentConfig", "old", json!({"replicas": 2})),
        workload(name, "CronJob", "nightly", json!({"schedule": "0 3 * * *"})),
        workload(name, "CronJob", "sleeping", json!({"schedule": "0 3 * * *", "suspend": true})),
        workload(name, "Job", "import", json!({})),
    ] {
        okd.put(object).unwrap();
    }
}

/// `replicas` or `suspend` of every workload, by kind and name; ReplicaSets of Deployments left out.
pub(crate) fn state(site: &Site, namespace: &str) -> BTreeMap<String, Value> {
    let mut state = BTreeMap::new();
    for (kind, plural, version) in KINDS {
        let group = version.split_once('/').unwrap().0;
        for object in site.sim.okd.list(&format!("{plural}.{group}"), Some(namespace)) {
            if object["metadata"]["ownerReferences"].is_array() {
                continue;
            }
            let spec = &object["spec"];
            let value = if spec["replicas"].is_null() { &spec["suspend"] } else { &spec["replicas"] };
            state.insert(format!("{kind} {}", object["metadata"]["name"].as_str().unwrap()), value.clone());
        }
    }
    state
}

/// Changes an object of the project as its tenant does, or the project itself.
fn edit(site: &Site, kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
    let known = KINDS.into_iter().find(|(known, ..)| *known == kind);
    let (plural, version, namespace) =
        known.map_or(("namespaces", "v1", ""), |(_, plural, version)| (plural, version, "shop"));
    let mut object = site.sim.okd.get(plural, namespace, name).unwrap();
    (object["apiVersion"], object["kind"]) = (json!(version), json!(kind));
    object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    change(&mut object);
    site.sim.okd.put(object).unwrap();
}

/// What is remembered on any workload.
fn remembered(site: &Site, namespace: &str) -> Vec<String> {
    let all = KINDS.into_iter().flat_map(|(_, plural, version)| {
        let group = version.split_once('/').unwrap().0;
        site.sim.okd.list(&format!("{plural}.{group}"), Some(namespace))
    });
    let marked = all.filter_map(|object| {
        let text = object["metadata"]["annotations"]["waldur/before-stop"].as_str()?.to_owned();
        Some(format!("{} {text}", object["metadata"]["name"].as_str().unwrap()))
    });
    marked.collect()
}

pub(crate) fn pods(site: &Site, namespace: &str) -> usize {
    site.sim.okd.list("pods", Some(namespace)).len()
}

fn mark(site: &Site, namespace: &str) -> Value {
    site.namespace(namespace).unwrap()["metadata"]["annotations"]["waldur/workloads"].clone()
}

async fn paused(site: &Site, config: &Config, resource: Uuid, paused: bool) {
    site.sim.waldur.set_flags(resource, paused, false, false);
    assert!(kept(config).await);
}

/// A project in use that runs something.
async fn running(site: &Site, config: &Config) -> (Uuid, BTreeMap<String, Value>) {
    let resource = site.planted("shop");
    assert!(kept(config).await);
    furnish(site, "shop");
    let before = state(site, "shop");
    assert_eq!((before.len(), pods(site, "shop")), (8, 9), "{before:?}");
    (resource, before)
}

fn assert_stopped(site: &Site) {
    let state = state(site, "shop");
    assert!(state.values().all(|value| *value == json!(0) || *value == json!(true)), "{state:?}");
    assert_eq!(mark(site, "shop"), "stopped");
}

#[tokio::test]
async fn everything_is_stopped_and_comes_back_as_it_was() {
    let site = Site::start().await;
    let config = stopping(&site);
    let (resource, before) = running(&site, &config).await;
    paused(&site, &config, resource, true).await;
    assert_stopped(&site);
    assert_eq!(pods(&site, "shop"), 0);
    assert_eq!(remembered(&site, "shop").len(), 6);
    // Nothing is read again as long as nothing changes, by whatever agent.
    site.sim.reset_traffic();
    assert!(kept(&config).await);
    let requests = site.okd_requests();
    assert!(!requests.iter().any(|line| line.contains("deployments")), "{requests:#?}");
    paused(&site, &config, resource, false).await;
    assert_eq!(state(&site, "shop"), before);
    assert_eq!(pods(&site, "shop"), 9);
    assert_eq!((remembered(&site, "shop"), mark(&site, "shop")), (Vec::<String>::new(), Value::Null));
}

#[tokio::test]
async fn what_the_tenant_changed_in_between_stays() {
    let site = Site::start().await;
    let config = stopping(&site);
    let (resource, before) = running(&site, &config).await;
    paused(&site, &config, resource, true).await;
    edit(&site, "Deployment", "shop", |object| object["spec"]["replicas"] = json!(7));
    assert!(site.sim.okd.delete("statefulsets", "shop", "db"));
    edit(&site, "Job", "import", |object| object["spec"]["suspend"] = json!(false));
    edit(&site, "CronJob", "nightly", |object| {
        object["metadata"]["annotations"]["waldur/before-stop"] = json!("perhaps");
    });
    site.sim.okd.put(workload("shop", "Deployment", "new", json!({"replicas": 1}))).unwrap();
    let log = Log::start();
    paused(&site, &config, resource, false).await;
    let mut expected = before;
    expected.insert("Deployment shop".to_owned(), json!(7));
    expected.remove("StatefulSet db");
    expected.insert("Job import".to_owned(), json!(false));
    expected.insert("CronJob nightly".to_owned(), json!(true));
    expected.insert("Deployment new".to_owned(), json!(1));
    assert_eq!(state(&site, "shop"), expected);
    assert_eq!(remembered(&site, "shop"), Vec::<String>::new());
    log.has("what was remembered was edited and cannot be read; the tenant has to start it: CronJob nightly");
}

#[tokio::test]
async fn what_is_not_stopped_is_named() {
    let site = Site::start().await;
    let config = stopping(&site);
    let (resource, _) = running(&site, &config).await;
    let okd = &site.sim.okd;
    let retention = json!({"replicas": 1, "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}});
    okd.put(workload("shop", "StatefulSet", "cache", retention)).unwrap();
    okd.put(pod("shop", "toolbox", "100m")).unwrap();
    let mut kept_by = pod("shop", "node-x", "100m");
    kept_by["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "node", "uid": "1", "controller": true}]);
    okd.put(kept_by).unwrap();
    let log = Log::start();
    paused(&site, &config, resource, true).await;
    log.has("pods without an owner are left running, since nothing would start them again: toolbox");
    log.has("not stopped, since the agent does not know what keeps it running: DaemonSet node");
    log.has("not stopped, since stopping would delete volumes: StatefulSet cache");
    assert_eq!(state(&site, "shop")["StatefulSet cache"], 1);
    assert_eq!(pods(&site, "shop"), 3);
    assert_eq!(mark(&site, "shop"), "stopped");
}

#[tokio::test]
async fn without_the_setting_only_quotas_change_and_what_was_stopped_still_comes_back() {
    let site = Site::start().await;
    let (resource, before) = running(&site, &site.config()).await;
    paused(&site, &site.config(), resource, true).await;
    assert_eq!((state(&site, "shop"), pods(&site, "shop")), (before.clone(), 9));
    // Switched on during the pause, and off again before its end.
    assert!(kept(&stopping(&site)).await);
    assert_stopped(&site);
    paused(&site, &site.config(), resource, false).await;
    assert_eq!((state(&site, "shop"), mark(&site, "shop")), (before, Value::Null));
}

#[tokio::test]
async fn plain_kubernetes_has_no_deployment_configs() {
    let okd = OkdOptions { flavour: Flavour::Kubernetes, ..OkdOptions::immediate() };
    let site = Site::with(SimulationOptions { okd, ..options() }).await;
    let config = stopping(&site);
    let resource = site.planted("shop");
    assert!(kept(&config).await);
    site.sim.okd.put(workload("shop", "Deployment", "shop", json!({"replicas": 3}))).unwrap();
    let log = Log::start();
    for (flag, replicas) in [(true, 0), (false, 3)] {
        paused(&site, &config, resource, flag).await;
        assert_eq!(state(&site, "shop")["Deployment shop"], replicas);
    }
    // The setting is off when what it left behind is put back, and its kinds are not known.
    paused(&site, &config, resource, true).await;
    paused(&site, &site.config(), resource, false).await;
    assert_eq!(state(&site, "shop")["Deployment shop"], 3);
    assert!(!log.text().contains("not all workloads can be read"), "{}", log.text());
}

#[tokio::test]
async fn rights_are_asked_for_only_where_they_are_needed_and_named_where_they_lack() {
    let site = Site::with(SimulationOptions { agent_rules: documented_agent_rules(), ..options() }).await;
    let asked = |site: &Site| {
        let requests = site.sim.okd_server.traffic.requests();
        requests.iter().filter(|request| request.path.ends_with("selfsubjectaccessreviews")).count()
    };
    let log = Log::start();
    let resource = site.planted("shop");
    assert!(kept(&site.config()).await);
    let without = asked(&site);
    assert!(!log.text().contains("workloads"));
    site.sim.okd.put(workload("shop", "Deployment", "shop", json!({"replicas": 3}))).unwrap();
    site.sim.reset_traffic();
    paused(&site, &stopping(&site), resource, true).await;
    assert_eq!(asked(&site), without + 13);
    log.has("these workloads are not stopped by a pause");
    log.has("deploymentconfigs");
    // The quota is what is left, as without the setting.
    assert_eq!(
        (site.hard("shop")["pods"].clone(), state(&site, "shop")["Deployment shop"].clone()),
        (json!("0"), json!(3))
    );
}

#[tokio::test]
async fn an_api_that_is_down_delays_no_pause_and_is_made_up_for() {
    let site = Site::start().await;
    let config = stopping(&site);
    let (resource, before) = running(&site, &config).await;
    let log = Log::start();
    let faults = &site.sim.okd_server.faults;
    faults.add(Rule::path("**/deploymentconfigs", Fault::Status(503)));
    paused(&site, &config, resource, true).await;
    assert_eq!((&site.hard("shop")["pods"], mark(&site, "shop")), (&json!("0"), json!("stopping")));
    assert_eq!(state(&site, "shop")["Deployment shop"], 0);
    assert_eq!(state(&site, "shop")["DeploymentConfig old"], 2);
    log.has("not all workloads can be read; will look again: deploymentconfigs");
    faults.clear();
    assert!(kept(&config).await);
    assert_stopped(&site);
    // And on the way back: one that cannot be written is tried again.
    faults.add(Rule::path("**/statefulsets/db", Fault::Status(403)));
    paused(&site, &config, resource, false).await;
    assert_eq!(
        (state(&site, "shop")["StatefulSet db"].clone(), mark(&site, "shop")),
        (json!(0), json!("starting"))
    );
    faults.clear();
    assert!(kept(&config).await);
    assert_eq!((state(&site, "shop"), mark(&site, "shop")), (before, Value::Null));
}

#[tokio::test]
async fn only_replicas_suspend_and_our_annotation_are_written_and_only_in_our_namespace() {
    let site = Site::start().await;
    let config = stopping(&site);
    let (resource, _) = running(&site, &config).await;
    site.somebody_elses("waldur-alloc-other-1");
    furnish(&site, "waldur-alloc-other-1");
    let others = state(&site, "waldur-alloc-other-1");
    let bare = |site: &Site| {
        let mut object = site.sim.okd.get("deployments", "shop", "shop").unwrap();
        for field in ["resourceVersion", "generation", "managedFields", "annotations"] {
            object["metadata"].as_object_mut().unwrap().remove(field);
        }
        object["spec"]["replicas"].take();
        object
    };
    let before = bare(&site);
    paused(&site, &config, resource, true).await;
    assert_eq!(bare(&site), before);
    assert_eq!(state(&site, "waldur-alloc-other-1"), others);
    // A namespace that has lost its labels is nobody's to stop.
    paused(&site, &config, resource, false).await;
    let running = state(&site, "shop");
    edit(&site, "Namespace", "shop", |object| object["metadata"]["labels"] = json!({}));
    site.sim.waldur.set_flags(resource, true, false, false);
    kept(&config).await;
    assert_eq!(state(&site, "shop"), running);
}

#[tokio::test]
async fn a_locked_project_is_stopped_too_and_a_restore_order_starts_it() {
    let site = Site::start().await;
    let config = site.config().with_backend("lifecycle: {stop_workloads: true, terminate_grace: 7d}\n");
    let (_, resource) = site.order("Shop", limits());
    assert!(site.once_with(&config).await);
    let name = site.backend_id(resource);
    furnish(&site, &name);
    let before = state(&site, &name);
    site.terminate(resource);
    assert!(site.once_with(&config).await);
    assert_eq!((pods(&site, &name), mark(&site, &name)), (0, json!("stopped")));
    site.restore(resource);
    assert!(site.once_with(&config).await);
    assert_eq!((state(&site, &name), mark(&site, &name)), (before, Value::Null));
    assert_eq!(pods(&site, &name), 9);
}
