//! A site that the Python agent has kept so far, with the traces that it leaves (Waldur contract §7.1).

use serde_json::{Value, json};
use simulator::waldur::{ResourceState, SeedResource};
use tokio::process::Command;
use uuid::Uuid;

use crate::site::{Config, Site};

/// What the Python agent makes of all limits, in Waldur and on the cluster.
pub(crate) fn fixed_limits() -> Value {
    json!({"cpu": 10, "memory": 32, "storage": 100, "pods": 50})
}

impl Site {
    /// A resource whose project the Python agent has made and kept: no labels, no texts, a fixed quota, and everybody
    /// bound to a ClusterRole that does not exist.
    pub(crate) fn left_by_python(&self, namespace: &str, limits: Value) -> Uuid {
        let seed = SeedResource {
            name: format!("The {namespace}"),
            backend_id: namespace.to_owned(),
            limits: limits.as_object().unwrap().clone(),
            ..SeedResource::default()
        };
        let resource = self.sim.waldur.add_resource(self.offering, self.project, &seed, ResourceState::Ok);
        self.unlabelled(namespace);
        self.python_quota(namespace);
        self.somebody_binds(namespace, "waldur-mia.member", "root", "mia.member");
        self.somebody_binds(namespace, "waldur-max.manager", "root", "max.manager");
        resource
    }

    /// A project as a ProjectRequest leaves it.
    pub(crate) fn unlabelled(&self, name: &str) {
        let annotations = json!({
            "openshift.io/description": "", "openshift.io/display-name": "",
            "openshift.io/requester": "system:serviceaccount:waldur-system:waldur-site-agent",
        });
        let metadata = json!({"name": name, "annotations": annotations});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        self.sim.okd.put(namespace).unwrap();
    }

    pub(crate) fn python_quota(&self, namespace: &str) {
        let hard = json!({
            "requests.cpu": "10", "limits.cpu": "20", "requests.memory": "32Gi", "limits.memory": "64Gi",
            "requests.storage": "100Gi", "pods": "50",
        });
        let quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "waldur-quota", "namespace": namespace}, "spec": {"hard": hard},
        });
        self.sim.okd.put(quota).unwrap();
    }

    /// The program with a command of the operator.
    pub(crate) fn operator(&self, config: &Config, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
        let (verb, rest) = words.split_first().unwrap();
        command.env_clear().arg(verb).arg("-c").arg(self.config_file(&config.text())).args(rest);
        command
    }

    /// Names of the role bindings that are not OpenShift's own.
    pub(crate) fn role_bindings(&self, namespace: &str) -> Vec<String> {
        let all = self.sim.okd.list("rolebindings", Some(namespace));
        let names = all.iter().map(|binding| binding["metadata"]["name"].as_str().unwrap().to_owned());
        names.filter(|name| !name.starts_with("system:")).collect()
    }
}
