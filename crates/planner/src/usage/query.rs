//! What Prometheus is asked (kube-state-metrics 2, cAdvisor). Each answer has one series per namespace, so that pods and
//! containers are never in memory, and each query is about many namespaces.
//!
//! Series are reduced by `max` over what names a container before they are added up: while kube-state-metrics is
//! restarted there are two of each. Pods that are not running are left out by their phase. Pods are told apart by uid.

use super::rule::{Measure, Rule, Thing};
use crate::names;

/// A question about many namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// Whether the source knows the namespace.
    Present,
    /// Whether it knows namespaces that every cluster has: what it does not show then is not there.
    Others,
    /// How many pods run.
    Running,
    /// What running pods or claims request.
    Requests(Wanted),
    /// Cores that containers use.
    UsedCpu,
    /// Bytes that containers use.
    UsedMemory,
    /// Bytes that are written on claims, of one class or of all.
    UsedStorage(Option<String>),
    /// What a quota allows.
    Allows {
        /// Name of the quota.
        quota: String,
        /// Its key.
        key: String,
    },
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// Cores.
    Cpu,
    /// Bytes.
    Memory,
    /// Bytes of claims, of one class or of all.
    Storage(Option<String>),
    /// Devices of all models.
    Device(String),
    /// Devices by model: one series per namespace and model.
    Models(String),
}

/// The label by which an answer tells models apart.
pub const MODEL: &str = "model";

/// Questions that have to be asked for a rule, in the order of [`super::series::Shown`]; without presence.
#[must_use]
pub fn questions(rule: &Rule) -> Vec<Question> {
    let allows = || {
        let key = rule.quota_key.iter().cloned();
        key.map(|key| Question::Allows { quota: rule.quota.clone(), key })
    };
    let Some(thing) = &rule.thing else {
        return if rule.measure == Measure::Allocation { allows().collect() } else { Vec::new() };
    };
    let requests = || -> Vec<Question> {
        match thing {
            Thing::Cpu => vec![Question::Requests(Wanted::Cpu)],
            Thing::Memory => vec![Question::Requests(Wanted::Memory)],
            Thing::Storage { class } => vec![Question::Requests(Wanted::Storage(class.clone()))],
            Thing::Pods => vec![Question::Running],
            Thing::Device { name, model: None } => vec![Question::Requests(Wanted::Device(name.clone()))],
            Thing::Device { name, model: Some(_) } => vec![
                Question::Requests(Wanted::Models(name.clone())),
                Question::Requests(Wanted::Device(name.clone())),
            ],
        }
    };
    let uses = || -> Vec<Question> {
        match thing {
            Thing::Cpu => vec![Question::Running, Question::UsedCpu],
            Thing::Memory => vec![Question::Running, Question::UsedMemory],
            Thing::Storage { class } => vec![Question::UsedStorage(class.clone())],
            // Of these nothing but the request is known.
            Thing::Pods | Thing::Device { .. } => requests(),
        }
    };
    match rule.measure {
        Measure::QuotaUsed => Vec::new(),
        Measure::Requests => requests(),
        Measure::Usage => uses(),
        Measure::MaxRequestsUsage => {
            let mut both = requests();
            both.extend(uses());
            both
        }
        Measure::Allocation => allows().collect(),
    }
}

/// The question in PromQL, about these namespaces.
#[must_use]
pub fn promql(question: &Question, namespaces: &[&str]) -> String {
    // Names of namespaces are letters, digits and dashes, which mean themselves in a regular expression.
    let of = format!("namespace=~\"{}\"", namespaces.join("|"));
    let running = format!("max by (namespace, pod, uid) (kube_pod_status_phase{{phase=\"Running\", {of}}})");
    let requested = |resource: &str| {
        format!(
            "max by (namespace, pod, uid, container, node) \
             (kube_pod_container_resource_requests{{resource=\"{resource}\", {of}}}) \
             * on (namespace, pod, uid) group_left () {running}"
        )
    };
    let claims = |metric: &str, class: &Option<String>| {
        let all = format!("max by (namespace, persistentvolumeclaim) ({metric}{{{of}}})");
        match class {
            None => format!("sum by (namespace) ({all})"),
            Some(class) => format!(
                "sum by (namespace) ({all} * on (namespace, persistentvolumeclaim) group_left () max by (namespace, \
                 persistentvolumeclaim) (kube_persistentvolumeclaim_info{{storageclass=\"{}\", {of}}}))",
                quoted(class)
            ),
        }
    };
    let containers = |metric: &str| {
        format!(
            "max by (namespace, pod, container, id) ({metric}{{container!=\"\", container!=\"POD\", {of}}})"
        )
    };
    match question {
        Question::Present => format!(
            "group by (namespace) (kube_namespace_status_phase{{{of}}} or kube_resourcequota{{resourcequota=\"{}\", {of}}})",
            names::QUOTA
        ),
        Question::Others => {
            "group by (namespace) (kube_namespace_status_phase{namespace=~\"default|kube-system\"})"
                .to_owned()
        }
        Question::Running => format!("sum by (namespace) ({running})"),
        Question::Requests(Wanted::Cpu) => format!("sum by (namespace) ({})", requested("cpu")),
        Question::Requests(Wanted::Memory) => format!("sum by (namespace) ({})", requested("memory")),
        Question::Requests(Wanted::Device(name)) => {
            format!("sum by (namespace) ({})", requested(&metric_word(name)))
        }
        Question::Requests(Wanted::Models(name)) => {
            let word = metric_word(name);
            let label = format!("label_{word}_product");
            format!(
                "label_replace(sum by (namespace, {label}) ({} * on (node) group_left ({label}) topk by (node) (1, max by \
                 (node, {label}) (kube_node_labels{{{label}!=\"\"}}))), \"{MODEL}\", \"$1\", \"{label}\", \"(.*)\")",
                requested(&word)
            )
        }
        Question::Requests(Wanted::Storage(class)) => {
            claims("kube_persistentvolumeclaim_resource_requests_storage_bytes", class)
        }
        Question::UsedCpu => format!(
            "sum by (namespace) (max by (namespace, pod, container, id) \
             (rate(container_cpu_usage_seconds_total{{container!=\"\", container!=\"POD\", {of}}}[5m])))"
        ),
        Question::UsedMemory => {
            format!("sum by (namespace) ({})", containers("container_memory_working_set_bytes"))
        }
        Question::UsedStorage(class) => claims("kubelet_volume_stats_used_bytes", class),
        Question::Allows { quota, key } => format!(
            "max by (namespace) (kube_resourcequota{{resourcequota=\"{}\", type=\"hard\", resource=\"{}\", {of}}})",
            quoted(quota),
            quoted(key)
        ),
    }
}

/// A resource's name as metrics and labels have it: `nvidia_com_gpu`.
fn metric_word(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Splits namespaces into batches: each query has to fit into the address of a request, of which proxies take a few
/// thousand characters.
#[must_use]
pub fn batches<'a>(namespaces: &[&'a str]) -> Vec<Vec<&'a str>> {
    /// Namespaces occur up to three times in a query.
    const CHARACTERS: usize = 1_500;
    let mut batches: Vec<Vec<&str>> = Vec::new();
    let mut length = 0;
    for namespace in namespaces {
        match batches.last_mut().filter(|_| length + namespace.len() < CHARACTERS) {
            Some(batch) => batch.push(namespace),
            None => {
                batches.push(vec![namespace]);
                length = 0;
            }
        }
        length += namespace.len() + 1;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_all_and_stay_short() {
        let names: Vec<String> = (0..500).map(|number| format!("waldur-alloc-project-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let batches = batches(&names);
        assert_eq!(batches.concat(), names);
        assert!(batches.iter().all(|batch| batch.join("|").len() <= 1_600 && !batch.is_empty()));
        assert_eq!(super::batches(&[]), Vec::<Vec<&str>>::new());
    }

    #[test]
    fn a_query_names_its_namespaces() {
        insta::assert_snapshot!(
            promql(&Question::Requests(Wanted::Cpu), &["a", "b"]),
            @r#"sum by (namespace) (max by (namespace, pod, uid, container, node) (kube_pod_container_resource_requests{resource="cpu", namespace=~"a|b"}) * on (namespace, pod, uid) group_left () max by (namespace, pod, uid) (kube_pod_status_phase{phase="Running", namespace=~"a|b"}))"#
        );
    }
}
