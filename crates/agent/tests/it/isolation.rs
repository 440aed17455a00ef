//! `enable_network_isolation`: the policies that keep other projects out, as OpenShift documents them, for as long as
//! the template asks for them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use simulator::okd::{Flavour, OkdOptions, extended_agent_rules};
use simulator::simulation::SimulationOptions;
use simulator::waldur::OrderState;

use crate::members::{Log, keeper, pass};
use crate::process::Process;
use crate::site::{Config, Site, limits, options};

const ISOLATION: &str = "project_template: {enable_network_isolation: true}\n";
const NAME: &str = "waldur-alloc-shop-1";

fn able() -> SimulationOptions {
    let mut rules = extended_agent_rules();
    rules.as_array_mut().unwrap().push(json!({
        "apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"],
        "verbs": ["get", "list", "create", "patch", "delete"],
    }));
    SimulationOptions { agent_rules: rules, ..options() }
}

/// What comes in, by policy. The labels are those that OpenShift puts on the namespaces of its routers, of its host
/// network and of its monitoring.
fn documented() -> BTreeMap<String, Value> {
    let labelled = |label: &str, value: &str| json!({"namespaceSelector": {"matchLabels": {label: value}}});
    let from =
        |peer: Value| json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [peer]}]});
    let operator = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-kube-apiserver-operator"}},
        "podSelector": {"matchLabels": {"app": "kube-apiserver-operator"}},
    });
    let policies = [
        // No egress in any of them: what leaves the project, as to DNS, is free.
        (
            "waldur-deny-from-other-projects",
            json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []}),
        ),
        ("waldur-allow-same-project", from(json!({"podSelector": {}}))),
        ("waldur-allow-from-ingress", from(labelled("policy-group.network.openshift.io/ingress", ""))),
        (
            "waldur-allow-from-host-network",
            from(labelled("policy-group.network.openshift.io/host-network", "")),
        ),
        ("waldur-allow-from-monitoring", from(labelled("network.openshift.io/policy-group", "monitoring"))),
        ("waldur-allow-from-kube-apiserver-operator", from(operator)),
    ];
    policies.into_iter().map(|(name, spec)| (name.to_owned(), spec)).collect()
}

impl Site {
    fn isolated(&self) -> Config {
        self.with_members().with_global(ISOLATION)
    }

    /// The policies of the project, by name.
    fn policies(&self) -> BTreeMap<String, Value> {
        let all = self.sim.okd.list("networkpolicies", Some(NAME)).into_iter();
        all.map(|policy| (policy["metadata"]["name"].as_str().unwrap().to_owned(), policy["spec"].clone()))
            .collect()
    }

    async fn isolated_project(&self) -> String {
        let (order, resource) = self.order("Shop", limits());
        assert!(self.once_with(&self.isolated()).await);
        assert_eq!(self.order_state(order), OrderState::Done);
        resource.simple().to_string()
    }

    fn tenant_puts(&self, name: &str, spec: &Value) {
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": NAME}, "spec": spec,
        });
        self.sim.okd.put(policy).unwrap();
    }
}

#[tokio::test]
async fn the_policies_are_those_that_openshift_documents() {
    let site = Site::with(able()).await;
    let resource = site.isolated_project().await;
    assert_eq!(site.policies(), documented());
    for policy in site.sim.okd.list("networkpolicies", Some(NAME)) {
        let labels = &policy["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/managed-by"], "waldur-site-agent", "{policy:#}");
        assert_eq!(labels["waldur/resource-uuid"], resource.as_str(), "{policy:#}");
    }
    site.sim.reset_traffic();
    assert!(pass(&keeper(&site.isolated())).await);
    let writes = site.cluster_writes().into_iter().filter(|write| write.contains("networkpolicies"));
    assert_eq!(writes.collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test]
async fn each_of_them_is_put_back_when_it_was_edited_or_deleted() {
    let site = Site::with(able()).await;
    site.isolated_project().await;
    for name in documented().into_keys() {
        // Everybody comes in, everywhere.
        let mut open = site.sim.okd.get("networkpolicies", NAME, &name).unwrap();
        (open["apiVersion"], open["kind"]) = (json!("networking.k8s.io/v1"), json!("NetworkPolicy"));
        open["spec"] = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]});
        open["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        site.sim.okd.put(open).unwrap();
        assert_ne!(site.policies(), documented(), "{name}");
        assert!(pass(&keeper(&site.isolated())).await);
        assert_eq!(site.policies(), documented(), "{name} was edited");
        assert!(site.sim.okd.delete("networkpolicies", NAME, &name));
        assert!(pass(&keeper(&site.isolated())).await);
        assert_eq!(site.policies(), documented(), "{name} was deleted");
    }
}

#[tokio::test]
async fn without_the_key_they_go_and_those_of_the_tenant_stay() {
    let site = Site::with(able()).await;
    site.isolated_project().await;
    let theirs = json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"]});
    site.tenant_puts("db", &theirs);
    assert!(pass(&keeper(&site.with_members())).await);
    assert_eq!(site.policies(), BTreeMap::from([("db".to_owned(), theirs.clone())]));
    // And one of the tenant that has such a name is no policy of the agent.
    site.tenant_puts("waldur-allow-same-project", &theirs);
    pass(&keeper(&site.isolated())).await;
    assert_eq!(site.policies()["waldur-allow-same-project"], theirs);
    assert!(pass(&keeper(&site.with_members())).await);
    assert_eq!(site.policies()["waldur-allow-same-project"], theirs);
}

#[tokio::test]
async fn the_printed_role_has_the_right_only_where_it_is_needed() {
    let site = Site::start().await;
    for (config, expected) in [(site.isolated(), true), (site.with_members(), false)] {
        let printed = Process::run(&mut site.operator(&config, &["rbac"])).await;
        assert_eq!(printed.code(), Some(0), "{}", printed.all());
        let rule = "resources: [\"networkpolicies\"]\n    verbs: [\"get\", \"list\", \"create\", \"patch\", \"delete\"]";
        assert_eq!(printed.stdout.contains(rule), expected, "{}", printed.stdout);
        assert_eq!(printed.stdout.contains("networkpolicies"), expected, "{}", printed.stdout);
    }
}

#[tokio::test]
async fn plain_kubernetes_gets_them_too_and_the_log_says_whom_they_keep_out() {
    let okd = OkdOptions { flavour: Flavour::Kubernetes, ..OkdOptions::immediate() };
    let site = Site::with(SimulationOptions { okd, ..able() }).await;
    let log = Log::start();
    site.isolated_project().await;
    assert_eq!(site.policies(), documented());
    log.has("this cluster has none of OpenShift's labels");
    let quiet = Log::start();
    assert!(pass(&keeper(&site.with_members())).await);
    assert_eq!(quiet.count("this cluster has none of OpenShift's labels"), 0);
}
