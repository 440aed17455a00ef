//! Keys of `spec.hard` of a ResourceQuota, and which of them the API server takes *and counts*.
//!
//! The API server accepts every key with a `/` and silently enforces nothing for most of them; a short name that it
//! does not know makes it refuse the whole object. Both are found here, before anything is sent.
//! Source: Kubernetes documentation "Resource Quotas", and the answers of a real server.

use std::fmt;

/// Short names that a quota may limit.
const STANDARD: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "secrets",
    "configmaps",
];

/// Kinds of the core API group that `count/` takes without a group.
const CORE_KINDS: [&str; 12] = [
    "configmaps",
    "endpoints",
    "events",
    "limitranges",
    "persistentvolumeclaims",
    "pods",
    "podtemplates",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "serviceaccounts",
    "services",
];

/// API groups of kinds that are often counted, to complete `count/deployments`.
const GROUPS: [(&str, &str); 17] = [
    ("buildconfigs", "build.openshift.io"),
    ("builds", "build.openshift.io"),
    ("controllerrevisions", "apps"),
    ("cronjobs", "batch"),
    ("daemonsets", "apps"),
    ("deploymentconfigs", "apps.openshift.io"),
    ("deployments", "apps"),
    ("horizontalpodautoscalers", "autoscaling"),
    ("imagestreams", "image.openshift.io"),
    ("ingresses", "networking.k8s.io"),
    ("jobs", "batch"),
    ("networkpolicies", "networking.k8s.io"),
    ("poddisruptionbudgets", "policy"),
    ("replicasets", "apps"),
    ("rolebindings", "rbac.authorization.k8s.io"),
    ("routes", "route.openshift.io"),
    ("statefulsets", "apps"),
];

/// Names people write for what Kubernetes calls otherwise.
const USUAL_MISTAKES: [(&str, &str); 14] = [
    ("gpu", "requests.nvidia.com/gpu"),
    ("gpus", "requests.nvidia.com/gpu"),
    ("requests.gpu", "requests.nvidia.com/gpu"),
    ("limits.gpu", "requests.nvidia.com/gpu"),
    ("storage", "requests.storage"),
    ("limits.storage", "requests.storage"),
    ("disk", "requests.storage"),
    ("requests.pods", "pods"),
    ("limits.pods", "pods"),
    ("ram", "requests.memory"),
    ("pvc", "persistentvolumeclaims"),
    ("pvcs", "persistentvolumeclaims"),
    ("loadbalancers", "services.loadbalancers"),
    ("nodeports", "services.nodeports"),
];

const STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
const DEVICE_CLASS: &str = ".deviceclass.resource.k8s.io/";

/// A key of `spec.hard` that the API server accepts and enforces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaKey(String);

/// Why a text is no usable quota key, and what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyFault {
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl QuotaKey {
    /// Reads a key; the fault says why the API server would refuse or ignore it.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyFault> {
        let verdict = if let Some(counted) = text.strip_prefix("count/") {
            counted_objects(counted)
        } else if let Some((class, what)) = text.split_once(STORAGE_CLASS) {
            per_class(text, class, what, &["requests.storage", "persistentvolumeclaims"])
        } else if let Some((class, what)) = text.split_once(DEVICE_CLASS) {
            per_class(text, class, what, &["devices"])
        } else if text.contains('/') {
            extended_resource(text)
        } else {
            short_name(text)
        };
        verdict.map(|()| Self(text.to_owned()))
    }

    /// The key as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it counts whole things, so that a fraction would be refused or could never be used up.
    pub fn is_whole(&self) -> bool {
        let name = self.0.as_str();
        let measured = ["cpu", "memory", "storage", "ephemeral-storage"];
        let last = name.rsplit(['/', '.']).next().unwrap_or(name);
        !measured.contains(&last) && !name.contains("hugepages-")
    }

    /// The unit suffix that amounts of this key usually have: `Gi` for bytes, none for the rest.
    pub fn usual_unit(&self) -> &'static str {
        let bytes =
            ["memory", "storage"].iter().any(|end| self.0.ends_with(end)) || self.0.contains("hugepages-");
        if bytes { "Gi" } else { "" }
    }

    /// The key under which the quota counts the same thing: `cpu` and `requests.cpu` are one.
    pub(crate) fn counted_as(&self) -> String {
        match self.0.as_str() {
            short @ ("cpu" | "memory" | "ephemeral-storage") => format!("requests.{short}"),
            other => other.to_owned(),
        }
    }
}

impl fmt::Display for QuotaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn fault(message: impl Into<String>, hint: impl Into<String>) -> Result<(), KeyFault> {
    Err(KeyFault { message: message.into(), hint: hint.into() })
}

fn short_name(text: &str) -> Result<(), KeyFault> {
    let page_size = text.strip_prefix("requests.").unwrap_or(text).strip_prefix("hugepages-");
    if STANDARD.contains(&text) || page_size.is_some_and(|size| super::Quantity::parse(size).is_some()) {
        return Ok(());
    }
    let message = format!("`{text}` is not a resource that a quota can limit; the API server refuses it");
    let usual = USUAL_MISTAKES.iter().find(|(wrong, _)| *wrong == text).map(|(_, right)| *right);
    match usual.or_else(|| super::suggest::nearest(text, STANDARD)) {
        Some(right) => fault(message, format!("write `{right}`")),
        None => fault(
            message,
            "use requests.cpu, limits.memory, requests.storage, pods, count/<plural>.<group>, \
             requests.<domain>/<resource> or <class>.storageclass.storage.k8s.io/requests.storage",
        ),
    }
}

fn counted_objects(counted: &str) -> Result<(), KeyFault> {
    let (kind, group) = counted.split_once('.').unwrap_or((counted, ""));
    let lower = counted.to_lowercase();
    if lower != counted {
        return fault(
            format!("`count/{counted}` has upper case; the API server would count nothing"),
            format!("write the plural in lower case: `count/{lower}`"),
        );
    }
    let shape_is_right = is_label(kind) && (group.is_empty() != counted.contains('.'));
    if !shape_is_right || (!group.is_empty() && !is_subdomain(group)) {
        return fault(
            format!("`count/{counted}` is not of the form count/<plural>.<group>"),
            "for example `count/deployments.apps`, or `count/services` for the core group",
        );
    }
    let known_group = |plural: &str| GROUPS.iter().find(|(name, _)| *name == plural);
    let plural = format!("{kind}s");
    if group.is_empty() && !CORE_KINDS.contains(&kind) {
        let message =
            format!("`count/{counted}` names no kind of the core group; the API server would count nothing");
        if CORE_KINDS.contains(&plural.as_str()) {
            return fault(message, format!("write `count/{plural}`"));
        }
        return match known_group(kind).or_else(|| known_group(&plural)) {
            Some((name, group)) => fault(message, format!("write `count/{name}.{group}`")),
            None => fault(message, format!("add the API group: `count/{kind}.<group>`")),
        };
    }
    match known_group(&plural) {
        Some((name, known)) if !group.is_empty() && *known == group => fault(
            format!("`count/{counted}` names the kind in the singular; the API server would count nothing"),
            format!("write `count/{name}.{group}`"),
        ),
        _ => Ok(()),
    }
}

fn per_class(text: &str, class: &str, what: &str, allowed: &[&str]) -> Result<(), KeyFault> {
    if !is_subdomain(class) {
        return fault(
            format!("`{text}` has no valid class name before the first part"),
            "a class name is lower-case letters, digits, `-` and `.`",
        );
    }
    if allowed.contains(&what) {
        return Ok(());
    }
    let domain = text.split('/').next().unwrap_or(text);
    let right = if what.contains("claim") || what == "pvc" { allowed.last() } else { allowed.first() };
    fault(
        format!("`{text}` is accepted by the API server, but nothing is counted under it"),
        format!("write `{domain}/{}`", right.unwrap_or(&what)),
    )
}

fn extended_resource(text: &str) -> Result<(), KeyFault> {
    let (prefix, resource) = ["requests.", "limits."]
        .into_iter()
        .find_map(|prefix| text.strip_prefix(prefix).map(|rest| (prefix, rest)))
        .unwrap_or(("", text));
    if text == "openshift.io/imagestreams" {
        return Ok(());
    }
    let (domain, name) = resource.split_once('/').unwrap_or((resource, ""));
    if !is_subdomain(domain) || !is_qualified_name(name) {
        return fault(
            format!("`{text}` is not of the form requests.<domain>/<resource>"),
            "for example `requests.nvidia.com/gpu`",
        );
    }
    if domain == "kubernetes.io" || domain.ends_with(".kubernetes.io") {
        return fault(
            format!("`{text}` is accepted by the API server, but nothing is counted under it"),
            "names under kubernetes.io are not extended resources; use the resource's short name",
        );
    }
    match prefix {
        "requests." => Ok(()),
        "limits." => fault(
            format!(
                "`{text}` is accepted by the API server, but a quota counts no limits of extended resources"
            ),
            format!("write `requests.{resource}`"),
        ),
        _ => fault(
            format!("`{text}` is accepted by the API server, but nothing is counted under it"),
            format!("write `requests.{resource}`"),
        ),
    }
}

/// A DNS label (RFC 1123).
pub(crate) fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| inner(byte) || *byte == b'-')
        && bytes.first().is_some_and(inner)
        && bytes.last().is_some_and(inner)
}

/// A DNS subdomain (RFC 1123).
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_qualified_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let answer = match QuotaKey::parse(text) {
            Ok(key) => format!("{}{}", if key.is_whole() { "whole " } else { "" }, key.usual_unit()),
            Err(fault) => fault.hint,
        };
        assert!(answer.trim().contains(expected), "{text}: {answer}");
        assert_eq!(answer.trim().is_empty(), expected.is_empty(), "{text}: {answer}");
    }

    #[test]
    fn keys_the_server_counts_are_taken() {
        for (text, expected) in [
            ("requests.cpu", ""),
            ("limits.memory", "Gi"),
            ("requests.storage", "Gi"),
            ("ephemeral-storage", "Gi"),
            ("pods", "whole"),
            ("services.loadbalancers", "whole"),
            ("count/deployments.apps", "whole"),
            ("count/services", "whole"),
            ("count/widgets.example.com", "whole"),
            ("requests.nvidia.com/gpu", "whole"),
            ("requests.nvidia.com/mig-1g.5gb", "whole"),
            ("gold.storageclass.storage.k8s.io/requests.storage", "Gi"),
            ("gold.storageclass.storage.k8s.io/persistentvolumeclaims", "whole"),
            ("gpu.nvidia.com.deviceclass.resource.k8s.io/devices", "whole"),
            ("hugepages-2Mi", "Gi"),
            ("requests.hugepages-1Gi", "Gi"),
            ("openshift.io/imagestreams", "whole"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn keys_the_server_would_refuse_or_ignore_are_refused_with_what_was_meant() {
        for (text, hint) in [
            ("gpu", "write `requests.nvidia.com/gpu`"),
            ("storage", "write `requests.storage`"),
            ("limits.storage", "write `requests.storage`"),
            ("request.cpu", "write `requests.cpu`"),
            ("limit.memory", "write `limits.memory`"),
            ("unknownthing", "use requests.cpu, limits.memory"),
            ("nvidia.com/gpu", "write `requests.nvidia.com/gpu`"),
            ("limits.nvidia.com/gpu", "write `requests.nvidia.com/gpu`"),
            ("requests.kubernetes.io/gpu", "not extended resources"),
            ("requests.nvidia.com/", "for example `requests.nvidia.com/gpu`"),
            ("requests./gpu", "for example `requests.nvidia.com/gpu`"),
            ("requests.nvidia.com/gpu/extra", "for example `requests.nvidia.com/gpu`"),
            ("count/deployments", "write `count/deployments.apps`"),
            ("count/deployment", "write `count/deployments.apps`"),
            ("count/deployment.apps", "write `count/deployments.apps`"),
            ("count/Deployments.apps", "`count/deployments.apps`"),
            ("count/pod", "write `count/pods`"),
            ("count/widgets", "`count/widgets.<group>`"),
            ("count/", "for example `count/deployments.apps`"),
            ("count/.apps", "for example `count/deployments.apps`"),
            ("count/deployments.", "for example `count/deployments.apps`"),
            ("count/deployments/apps", "for example `count/deployments.apps`"),
            (
                "gold.storageclass.storage.k8s.io/storage",
                "write `gold.storageclass.storage.k8s.io/requests.storage`",
            ),
            (
                "gold.storageclass.storage.k8s.io/pvc",
                "write `gold.storageclass.storage.k8s.io/persistentvolumeclaims`",
            ),
            (".storageclass.storage.k8s.io/requests.storage", "a class name is"),
            ("Gold.storageclass.storage.k8s.io/requests.storage", "a class name is"),
            ("hugepages-x", "use requests.cpu"),
            ("", "use requests.cpu"),
        ] {
            check(text, hint);
        }
    }
}
