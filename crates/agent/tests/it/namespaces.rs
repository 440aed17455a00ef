//! One allocation over several namespaces (`namespaces`) under OpenShift's ClusterResourceQuota.

use agent::engine::EngineOptions;
use agent::{setup, usage};
use serde_json::{Value, json};
use simulator::okd::{Flavour, OkdOptions};
use simulator::simulation::SimulationOptions;
use simulator::waldur::{OrderState, ResourceState};
use tokio::process::Command;
use uuid::Uuid;

use crate::lifecycle::{kept, pod};
use crate::members::access;
use crate::process::Process;
use crate::site::{Config, Site, limits, options, within};

pub(crate) const DEV: &str = "waldur-alloc-shop-1-dev";
pub(crate) const STAGE: &str = "waldur-alloc-shop-1-stage";
pub(crate) const PROD: &str = "waldur-alloc-shop-1-prod";
/// As the cluster lists them.
pub(crate) const ALL: [&str; 3] = [DEV, PROD, STAGE];

/// The configuration with these namespaces for each resource.
pub(crate) fn over(site: &Site, names: &str) -> Config {
    site.with_members().with_backend(&format!("namespaces: [{names}]\n"))
}

impl Site {
    /// A resource with all its namespaces and its members.
    pub(crate) async fn spread(&self) -> (Config, Uuid) {
        let config = over(self, "dev, stage, prod");
        let (order, resource) = self.order("Shop", limits());
        assert!(self.once_with(&config).await);
        assert_eq!(self.order_state(order), OrderState::Done);
        assert!(kept(&config).await);
        (config, resource)
    }

    /// The quota over all namespaces of a resource.
    pub(crate) fn cluster_quota(&self, resource: Uuid) -> Option<Value> {
        let name = format!("waldur-quota-{}", resource.simple());
        self.sim.okd.get("clusterresourcequotas", "", &name)
    }

    /// What that says of a key.
    pub(crate) fn hard_together(&self, resource: Uuid, key: &str) -> Value {
        self.cluster_quota(resource).map_or(Value::Null, |quota| quota["spec"]["quota"]["hard"][key].clone())
    }
}

/// What is there of a resource whose namespaces are as they should be.
pub(crate) fn check(site: &Site, resource: Uuid, what: &str) {
    assert_eq!(site.managed(), ALL, "{what}");
    assert_eq!((site.projects("shop"), site.backend_id(resource)), (3, DEV.to_owned()), "{what}");
    let quota = site.cluster_quota(resource).unwrap();
    let selected = json!({"waldur/resource-uuid": resource.simple().to_string()});
    assert_eq!(quota["spec"]["selector"], json!({"labels": {"matchLabels": selected}}), "{what}");
    assert_eq!(quota["metadata"]["labels"]["app.kubernetes.io/managed-by"], "waldur-site-agent", "{what}");
    let counted = quota["status"]["namespaces"].as_array().unwrap().iter();
    assert_eq!(counted.map(|part| part["namespace"].as_str().unwrap()).collect::<Vec<_>>(), ALL, "{what}");
    for (name, environment) in ALL.into_iter().zip(["dev", "prod", "stage"]) {
        let metadata = &site.namespace(name).unwrap()["metadata"];
        assert_eq!(metadata["labels"]["waldur/environment"], environment, "{what}");
        let shown = format!("Shop ({environment})");
        assert_eq!(metadata["annotations"]["openshift.io/display-name"], shown, "{what}");
        assert_eq!(site.sim.okd.list("resourcequotas", Some(name)), [] as [Value; 0], "{what}");
        assert!(site.sim.okd.get("limitranges", name, "waldur-limits").is_some(), "{what}");
    }
    let told = &site.resource(resource)["backend_metadata"];
    assert_eq!((&told["name"], &told["namespaces"]), (&json!(DEV), &json!([DEV, STAGE, PROD])), "{what}");
}

#[tokio::test]
async fn an_order_becomes_several_projects_under_one_quota_with_the_same_members() {
    let site = Site::start().await;
    let (config, resource) = site.spread().await;
    check(&site, resource, "made");
    assert_eq!(site.hard_together(resource, "pods"), "50");
    for name in ALL {
        let expected = access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]);
        assert_eq!(site.access(name), expected, "{name}");
    }
    let max = site.sim.waldur.user("max.manager").unwrap();
    site.sim.waldur.remove_member(site.project, max, "PROJECT.MANAGER");
    assert!(kept(&config).await);
    for name in ALL {
        assert_eq!(site.access(name), access(&[("view", &["mia.member"])]), "{name}");
    }
    // Where nothing has changed, nothing is sent.
    site.sim.reset_traffic();
    assert!(kept(&config).await);
    let writes =
        site.okd_requests().into_iter().filter(|line| !line.starts_with("GET") && !line.contains("reviews"));
    assert_eq!(writes.collect::<Vec<_>>(), [] as [String; 0]);
}

#[tokio::test]
async fn an_update_a_pause_and_a_restore_are_one_write() {
    let site = Site::start().await;
    let (config, resource) = site.spread().await;
    let order = site.update(resource, json!({"cpu": 8, "memory": 16, "storage": 100, "pods": 70}));
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.hard_together(resource, "pods"), "70");
    for (paused, pods) in [(true, "0"), (false, "70")] {
        site.sim.waldur.set_flags(resource, paused, false, false);
        site.sim.reset_traffic();
        assert!(kept(&config).await);
        assert_eq!(site.hard_together(resource, "pods"), pods);
        let patches = site.okd_requests().into_iter().filter(|line| line.starts_with("PATCH"));
        assert_eq!(patches.count(), 1);
    }
    check(&site, resource, "afterwards");
}

#[tokio::test]
async fn workloads_are_stopped_and_started_in_all() {
    let site = Site::start().await;
    let (config, resource) = site.spread().await;
    let config = config.with_backend("lifecycle: {stop_workloads: true}\n");
    for name in ALL {
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": name},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template},
        });
        site.sim.okd.put(deployment).unwrap();
    }
    for (paused, replicas) in [(true, 0), (false, 2)] {
        site.sim.waldur.set_flags(resource, paused, false, false);
        assert!(kept(&config).await);
        for name in ALL {
            let deployment = site.sim.okd.get("deployments", name, "web").unwrap();
            assert_eq!(deployment["spec"]["replicas"], replicas, "{name}");
        }
    }
}

#[tokio::test]
async fn what_is_deleted_or_changed_by_hand_is_put_back() {
    let site = Site::start().await;
    let (config, resource) = site.spread().await;
    for name in ALL {
        assert!(site.sim.okd.delete("namespaces", "", name));
        assert!(kept(&config).await);
        check(&site, resource, name);
        assert!(!site.access(name).is_empty());
    }
    let name = format!("waldur-quota-{}", resource.simple());
    assert!(site.sim.okd.delete("clusterresourcequotas", "", &name));
    assert!(kept(&config).await);
    check(&site, resource, "the quota");
    // Pointed elsewhere, and with more than was bought.
    for change in [
        json!({"selector": {"labels": {"matchLabels": {"team": "x"}}}}),
        json!({"quota": {"hard": {"pods": "999"}}}),
    ] {
        let mut quota = site.cluster_quota(resource).unwrap();
        (quota["apiVersion"], quota["kind"]) =
            (json!("quota.openshift.io/v1"), json!("ClusterResourceQuota"));
        for (key, value) in change.as_object().unwrap() {
            quota["spec"][key] = value.clone();
        }
        site.sim.okd.put(quota).unwrap();
        assert!(kept(&config).await);
        check(&site, resource, &change.to_string());
        assert_eq!(site.hard_together(resource, "pods"), "50");
    }
}

#[tokio::test]
async fn a_name_that_is_added_is_made_and_one_that_is_taken_away_stays() {
    let site = Site::start().await;
    let (_, resource) = site.spread().await;
    assert!(kept(&over(&site, "dev, stage, prod, test")).await);
    let four = ["dev", "prod", "stage", "test"].map(|name| format!("waldur-alloc-shop-1-{name}"));
    assert_eq!(site.managed(), four);
    for names in ["stage, dev", "dev"] {
        assert!(kept(&over(&site, names)).await);
        assert_eq!((site.managed(), site.backend_id(resource)), (four.to_vec(), DEV.to_owned()));
        assert_eq!(site.hard_together(resource, "pods"), "50");
    }
    // Also without the key, and then a terminate takes all of it.
    assert!(kept(&site.with_members()).await);
    assert_eq!(site.managed(), four);
    let order = site.terminate(resource);
    assert!(site.once_with(&site.with_members()).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!((site.projects("shop"), site.cluster_quota(resource)), (0, None));
}

#[tokio::test]
async fn a_resource_with_one_project_gets_the_others_beside_it() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    assert!(kept(&over(&site, "dev, stage")).await);
    assert_eq!(site.managed(), ["waldur-alloc-shop-1", STAGE]);
    assert_eq!(site.backend_id(resource), "waldur-alloc-shop-1");
    assert_eq!(site.hard("waldur-alloc-shop-1"), Value::Null);
    assert_eq!(site.hard_together(resource, "pods"), "50");
}

#[tokio::test]
async fn nothing_of_somebody_else_is_touched() {
    let site = Site::start().await;
    let others = [STAGE, "waldur-alloc-shop-1-blue"].map(|name| (name, site.somebody_elses(name)));
    let (config, resource) = site.spread().await;
    let suffixed = format!("waldur-alloc-shop-1-{}-stage", &resource.simple().to_string()[..8]);
    assert!(site.managed().contains(&suffixed), "{:?}", site.managed());
    site.terminate(resource);
    assert!(site.once_with(&config).await);
    assert_eq!(site.resource_state(resource), ResourceState::Terminated);
    for (name, before) in others {
        assert_eq!(site.whole(name), before, "{name}");
    }
    // A quota of our name that is not ours: nothing can be sold under it.
    let (order, other) = site.order("Blog", limits());
    let quota = json!({
        "apiVersion": "quota.openshift.io/v1", "kind": "ClusterResourceQuota",
        "metadata": {"name": format!("waldur-quota-{}", other.simple())},
        "spec": {"selector": {"labels": {"matchLabels": {"a": "b"}}}, "quota": {"hard": {"pods": "1"}}},
    });
    let before = site.sim.okd.put(quota).unwrap();
    site.once_with(&config).await;
    assert_eq!(site.order_state(order), OrderState::Erred);
    let message = site.order_text(order, "error_message");
    assert!(message.contains("does not carry this agent's labels"), "{message}");
    let after = site.cluster_quota(other).unwrap();
    assert_eq!((&after["spec"], &after["metadata"]["uid"]), (&before["spec"], &before["metadata"]["uid"]));
    // Waldur knows of what was made, so that it can be terminated.
    assert_eq!(site.backend_id(other), "waldur-alloc-blog-1-dev");
}

#[tokio::test]
async fn a_grace_period_is_for_all_and_a_restore_brings_all_back() {
    let site = Site::start().await;
    let (config, resource) = site.spread().await;
    let config = config.with_backend("lifecycle: {terminate_grace: 7d}\n");
    let order = site.terminate(resource);
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    assert_eq!(site.hard_together(resource, "pods"), "0");
    for name in ALL {
        let annotations = &site.namespace(name).unwrap()["metadata"]["annotations"];
        assert!(annotations["waldur/delete-after"].is_string(), "{name}");
        assert!(site.access(name).is_empty(), "{name}");
    }
    let order = site.restore(resource);
    assert!(site.once_with(&config).await && kept(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
    check(&site, resource, "restored");
    assert_eq!(site.hard_together(resource, "pods"), "50");
    // And when the time has come, all of it goes.
    site.terminate(resource);
    assert!(site.once_with(&config).await);
    for name in ALL {
        let mut namespace = site.namespace(name).unwrap();
        (namespace["apiVersion"], namespace["kind"]) = (json!("v1"), json!("Namespace"));
        namespace["metadata"]["annotations"]["waldur/delete-after"] = json!("2020-01-01T00:00:00Z");
        site.sim.okd.put(namespace).unwrap();
    }
    assert!(site.once_with(&config).await);
    assert_eq!((site.projects("shop"), site.cluster_quota(resource)), (0, None));
}

#[tokio::test]
async fn what_all_use_together_is_told() {
    let site = Site::start().await;
    let (config, resource) = site.spread().await;
    for (name, cpu) in [(DEV, "500m"), (PROD, "1"), (STAGE, "250m")] {
        site.sim.okd.put(pod(name, "web", cpu)).unwrap();
    }
    let config = Config { services: "reporting_backend: okd\n".to_owned(), ..config };
    let reports = setup::usage(&config.settings(), EngineOptions::default(), None).unwrap();
    assert!(within("the report", usage::report_once(&reports)).await);
    let rows = site.sim.waldur.component_usages(resource);
    let mut told: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", row["type"].as_str().unwrap(), row["usage"].as_str().unwrap()))
        .collect();
    told.sort();
    assert_eq!(told, ["cpu 1.75", "memory 3.00", "pods 3.00", "storage 0.00"]);
}

#[tokio::test]
async fn a_plan_shows_what_would_be_made_and_giving_up_changes_labels_only() {
    let site = Site::start().await;
    let (_, resource) = site.spread().await;
    let text = over(&site, "dev, stage, prod, test").text();
    let run = async |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
        command.env_clear().args(words).arg("-c").arg(site.config_file(&text));
        Process::run(&mut command).await
    };
    let planned = run(&["plan"]).await;
    assert_eq!(planned.code(), Some(2), "{}", planned.all());
    assert!(planned.stdout.contains("+ project waldur-alloc-shop-1-test"), "{}", planned.stdout);
    let given_up = run(&["abandon", DEV]).await;
    assert!(given_up.all().contains("limits nothing"), "{}", given_up.all());
    assert_eq!((site.managed().len(), site.projects("shop")), (0, 3), "{}", given_up.all());
    assert!(site.cluster_quota(resource).is_some());
}

#[tokio::test]
async fn a_cluster_without_such_quotas_is_told_of_at_once() {
    let okd = OkdOptions { flavour: Flavour::Kubernetes, ..OkdOptions::immediate() };
    let site = Site::with(SimulationOptions { okd, ..options() }).await;
    let config = over(&site, "dev, stage");
    let (order, _) = site.order("Shop", limits());
    assert!(!site.once_with(&config).await);
    assert_eq!((site.order_state(order), site.projects("shop")), (OrderState::PendingProvider, 0));
    let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
    command.env_clear().args(["plan", "-c"]).arg(site.config_file(&config.text()));
    let planned = Process::run(&mut command).await;
    assert_eq!(planned.code(), Some(1), "{}", planned.all());
    let said = "`namespaces` needs OpenShift's ClusterResourceQuota";
    assert!(planned.all().contains(said), "{}", planned.all());
}
