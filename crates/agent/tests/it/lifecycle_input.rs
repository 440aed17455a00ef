//! Flags that contradict one another or that are set on what is not there, and templates that this agent may not carry
//! out: nothing is touched that is not provably the resource's, and Waldur says what is wrong.

use serde_json::{Value, json};
use simulator::waldur::ResourceState;
use uuid::Uuid;

use crate::members::{Log, keeper, pass};
use crate::site::{Config, Site};

const STOPS: &str = "lifecycle: {stop_workloads: true}\n";

/// A resource in use with its quota, and something that runs.
async fn used(site: &Site) -> (Config, Uuid) {
    let resource = site.planted("shop");
    let config = site.with_members().with_backend(STOPS);
    assert!(pass(&keeper(&config)).await);
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    });
    site.sim.okd.put(deployment).unwrap();
    (config, resource)
}

fn message(site: &Site, resource: Uuid) -> String {
    site.resource(resource)["error_message"].as_str().unwrap_or_default().to_owned()
}

fn replicas(site: &Site) -> Value {
    site.sim.okd.get("deployments", "shop", "web").unwrap()["spec"]["replicas"].clone()
}

/// All flags that Waldur has, and those that contradict one another.
const FLAGS: [(bool, bool); 3] = [(true, false), (false, true), (true, true)];

#[tokio::test]
async fn paused_wins_over_downscaled_whichever_came_first() {
    let site = Site::start().await;
    let (config, resource) = used(&site).await;
    for (paused, downscaled, pods, runs) in [
        (false, true, "1", 2),
        (true, true, "0", 0),
        (false, true, "1", 2),
        (true, false, "0", 0),
        (true, true, "0", 0),
        (false, false, "50", 2),
    ] {
        site.sim.waldur.set_flags(resource, paused, downscaled, false);
        assert!(pass(&keeper(&config)).await);
        let seen = (site.hard("shop")["pods"].clone(), replicas(&site));
        assert_eq!(seen, (json!(pods), json!(runs)), "paused {paused}, downscaled {downscaled}");
    }
}

#[tokio::test]
async fn flags_of_a_resource_without_a_project_change_nothing_and_waldur_says_so() {
    let site = Site::start().await;
    let (config, resource) = used(&site).await;
    assert!(site.sim.okd.delete("namespaces", "", "shop"));
    for (paused, downscaled) in FLAGS {
        site.sim.waldur.set_flags(resource, paused, downscaled, false);
        site.sim.reset_traffic();
        pass(&keeper(&config)).await;
        assert_eq!((site.cluster_writes(), site.namespace("shop")), (Vec::new(), None));
        assert_eq!(site.resource_state(resource), ResourceState::Erred);
        let message = message(&site, resource);
        assert!(message.contains("namespace `shop` is not on the cluster any more"), "{message}");
    }
    // Somebody has brought it back.
    site.label("shop", resource);
    assert!(pass(&keeper(&config)).await);
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
    assert_eq!(site.hard("shop")["pods"], "0");
}

#[tokio::test]
async fn flags_of_a_resource_whose_project_is_going_away_change_nothing_and_waldur_says_so() {
    let site = Site::start().await;
    let (config, resource) = used(&site).await;
    site.sim.okd.hold_termination("shop", "example.com/slow");
    assert!(site.sim.okd.delete("namespaces", "", "shop"));
    assert!(site.namespace("shop").is_some());
    for (paused, downscaled) in FLAGS {
        site.sim.waldur.set_flags(resource, paused, downscaled, false);
        site.sim.reset_traffic();
        pass(&keeper(&config)).await;
        assert_eq!(site.cluster_writes(), Vec::<String>::new());
        assert_eq!(site.resource_state(resource), ResourceState::Erred);
        let message = message(&site, resource);
        assert!(message.contains("namespace `shop` is being deleted, and no order"), "{message}");
    }
}

#[tokio::test]
async fn flags_do_nothing_in_a_namespace_that_lost_its_labels_and_waldur_says_so() {
    let site = Site::start().await;
    let (config, resource) = used(&site).await;
    let mut namespace = site.namespace("shop").unwrap();
    (namespace["apiVersion"], namespace["kind"]) = (json!("v1"), json!("Namespace"));
    namespace["metadata"]["labels"] = json!({"kubernetes.io/metadata.name": "shop"});
    namespace["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    site.sim.okd.put(namespace).unwrap();
    let before = site.whole("shop");
    for (paused, downscaled) in FLAGS {
        site.sim.waldur.set_flags(resource, paused, downscaled, false);
        pass(&keeper(&config)).await;
        assert_eq!((site.whole("shop"), replicas(&site)), (before.clone(), json!(2)));
        assert_eq!(site.resource_state(resource), ResourceState::Erred);
        let message = message(&site, resource);
        assert!(message.contains("was not made by this agent"), "{message}");
    }
}

#[tokio::test]
async fn a_kind_that_may_not_be_written_is_said_before_anything_is_and_holds_up_nothing_else() {
    let site = Site::start().await;
    let resource = site.planted("shop");
    let template = "project_template: {manifests: [{object: {apiVersion: v1, kind: ConfigMap, metadata: {name: about}, data: {a: b}}}]}\n";
    let config = site.with_members().with_global(template);
    let log = Log::start();
    pass(&keeper(&config)).await;
    let said = "reduced: only projects that the agent requested itself are furnished";
    log.has("{apiGroups: [\"\"], resources: [\"configmaps\"], verbs: [\"get\", \"list\", \"create\", \"patch\", \"delete\"]}");
    let text = log.text();
    let (said, written) = (text.find(said), text.find("audit: "));
    assert!(said.is_some() && written.is_some() && said < written, "{text}");
    assert_eq!(site.sim.okd.get("configmaps", "shop", "about"), None);
    assert_eq!(site.hard("shop")["pods"], "50");
    assert_eq!(site.resource_state(resource), ResourceState::Erred);
    let message = message(&site, resource);
    assert!(message.contains("configmaps"), "{message}");
}
