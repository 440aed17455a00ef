//! Which pods a quota counts, and what Kubernetes lets such a quota limit (Kubernetes: ResourceQuota, "Quota scopes").

use std::collections::BTreeSet;
use std::fmt;

/// The scopes that a quota may name.
pub const SCOPES: [&str; 6] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
];

/// How a selector compares a scope.
pub const OPERATORS: [&str; 4] = ["DoesNotExist", "Exists", "In", "NotIn"];

/// Scopes of which no pod has both.
const CONFLICTS: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["NotTerminating", "Terminating"]];

/// What is counted in containers' requests and limits, of all resources that every cluster has.
const COMPUTE: [&str; 6] =
    ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

/// Which pods a quota counts; all objects if nothing is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// `spec.scopes`, which cannot be changed (Kubernetes: validation of updates).
    pub names: BTreeSet<String>,
    /// `spec.scopeSelector.matchExpressions`
    pub selector: BTreeSet<Requirement>,
}

/// One expression of a selector (Kubernetes: ScopedResourceSelectorRequirement).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    /// `scopeName`
    pub scope: String,
    /// `operator`
    pub operator: String,
    /// `values`
    pub values: BTreeSet<String>,
}

impl Scopes {
    /// True where everything is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.selector.is_empty()
    }

    fn all(&self) -> BTreeSet<&str> {
        let selected = self.selector.iter().map(|requirement| requirement.scope.as_str());
        self.names.iter().map(String::as_str).chain(selected).collect()
    }

    /// What the API server would refuse about them, each as one sentence.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let all = self.all();
        for scope in all.iter().filter(|scope| !SCOPES.contains(scope)) {
            faults.push(format!("`{scope}` is no scope"));
        }
        for [one, other] in CONFLICTS {
            if all.contains(one) && all.contains(other) {
                faults.push(format!("no pod is both `{one}` and `{other}`"));
            }
        }
        faults.extend(self.selector.iter().filter_map(Requirement::fault));
        faults
    }

    /// Why a quota with these scopes cannot limit this key; `None` if it can.
    #[must_use]
    pub fn refusal(&self, key: &str) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let counts_pods = key == "pods" || key == "count/pods";
        let device = key.strip_prefix("requests.").is_some_and(|name| name.contains('/'));
        if !counts_pods && !device && !COMPUTE.contains(&key) && !key.contains("hugepages-") {
            return Some(format!("`{key}` is not counted by a quota with scopes, which are about pods"));
        }
        if self.all().contains("BestEffort") && COMPUTE.contains(&key) {
            return Some(format!("pods of scope `BestEffort` have no `{key}`"));
        }
        None
    }
}

impl Requirement {
    fn fault(&self) -> Option<String> {
        let Self { scope, operator, values } = self;
        match operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                Some(format!("`{operator}` of scope `{scope}` needs `values`"))
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                Some(format!("`{operator}` of scope `{scope}` takes no `values`"))
            }
            other if !OPERATORS.contains(&other) => Some(format!("`{operator}` is no operator")),
            "Exists" => None,
            _ if scope == "PriorityClass" => None,
            _ => Some(format!("scope `{scope}` takes `Exists` only")),
        }
    }
}

/// `Terminating, PriorityClass In high or low`
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let selected = self.selector.iter().map(|Requirement { scope, operator, values }| {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            format!("{scope} {operator} {}", values.join(" or ")).trim_end().to_owned()
        });
        f.write_str(&self.names.iter().cloned().chain(selected).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(names: &[&str], selector: &[(&str, &str, &[&str])]) -> Scopes {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        let requirement = |(scope, operator, values): &(&str, &str, &[&str])| Requirement {
            scope: (*scope).to_owned(),
            operator: (*operator).to_owned(),
            values: texts(values),
        };
        Scopes { names: texts(names), selector: selector.iter().map(requirement).collect() }
    }

    #[test]
    fn what_the_api_server_refuses_is_a_fault() {
        for (scopes, expected) in [
            (scopes(&["Terminating", "NotBestEffort"], &[]), ""),
            (scopes(&[], &[("PriorityClass", "In", &["high"]), ("Terminating", "Exists", &[])]), ""),
            (scopes(&[], &[("PriorityClass", "DoesNotExist", &[])]), ""),
            (scopes(&["Besteffort"], &[]), "`Besteffort` is no scope"),
            (
                scopes(&["BestEffort", "NotBestEffort"], &[]),
                "no pod is both `BestEffort` and `NotBestEffort`",
            ),
            (
                scopes(&["Terminating"], &[("NotTerminating", "Exists", &[])]),
                "no pod is both `NotTerminating` and `Terminating`",
            ),
            (scopes(&[], &[("PriorityClass", "In", &[])]), "`In` of scope `PriorityClass` needs `values`"),
            (
                scopes(&[], &[("PriorityClass", "Exists", &["x"])]),
                "`Exists` of scope `PriorityClass` takes no `values`",
            ),
            (scopes(&[], &[("PriorityClass", "Like", &["x"])]), "`Like` is no operator"),
            (scopes(&[], &[("BestEffort", "In", &["x"])]), "scope `BestEffort` takes `Exists` only"),
        ] {
            assert_eq!(scopes.faults().join("; "), expected, "{scopes:?}");
        }
    }

    #[test]
    fn a_quota_with_scopes_limits_pods_and_what_they_ask_for() {
        let (none, best, other) =
            (scopes(&[], &[]), scopes(&["BestEffort"], &[]), scopes(&["Terminating"], &[]));
        for (key, by_best, by_other) in [
            ("pods", true, true),
            ("count/pods", true, true),
            ("requests.nvidia.com/gpu", true, true),
            ("requests.cpu", false, true),
            ("memory", false, true),
            ("requests.hugepages-2Mi", true, true),
            ("requests.storage", false, false),
            ("requests.ephemeral-storage", false, false),
            ("count/services", false, false),
            ("gold.storageclass.storage.k8s.io/requests.storage", false, false),
        ] {
            let takes = |scopes: &Scopes| scopes.refusal(key).is_none();
            assert_eq!((takes(&none), takes(&best), takes(&other)), (true, by_best, by_other), "{key}");
        }
    }
}
