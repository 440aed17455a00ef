//! What the agent has to be allowed on the cluster, and what is done without where it is not: one table, from which
//! the agent's own questions, the manifests of `waldur_site_agent rbac` and the checks of the diagnostics are made.
//! Plain values, no I/O.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use planner::policy::Flavour;
use serde_json::{Value, json};

use super::subjects::{Needs, USER};

/// API group of projects.
const PROJECT: &str = "project.openshift.io";
/// API group of roles and bindings.
const RBAC: &str = "rbac.authorization.k8s.io";
/// API group of the cluster's own description.
const CONFIG: &str = "config.openshift.io";

/// The binding by which OpenShift lets everybody request projects.
pub(crate) const SELF_PROVISIONERS: &str = "self-provisioners";

/// What a right is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Feature {
    /// Projects or namespaces: made, labelled, deleted.
    Projects,
    /// The quota of each project.
    Quotas,
    /// The limit range of each project.
    LimitRanges,
    /// Role bindings are seen.
    Sight,
    /// Role bindings are made, changed and removed.
    Access,
    /// ClusterRoles are given in projects that the agent has not requested itself.
    Bind,
    /// Groups of our own.
    Groups,
    /// Service accounts in projects.
    ServiceAccounts,
    /// Users who are known to an identity provider before they log in.
    Identities,
    /// Workloads of tenants are stopped and started.
    Workloads,
    /// Objects of the project template, in projects that the agent has not requested itself.
    Template,
    /// What was done with a project is told in its events.
    Events,
    /// Changes are seen when they happen.
    Watch,
    /// The diagnostics can look at more.
    Diagnostics,
}

impl Feature {
    /// What it is for, in a few words.
    pub(crate) const fn purpose(self) -> &'static str {
        match self {
            Self::Projects => "projects: make, label and delete them",
            Self::Quotas => "the quotas of each project",
            Self::LimitRanges => "the limit range of each project",
            Self::Sight => "role bindings: see them",
            Self::Access => "access of members: make, change and remove role bindings",
            Self::Bind => {
                "give exactly these ClusterRoles, also in projects that the agent has not requested itself"
            }
            Self::Groups => "groups of members (`subjects.kind: group`)",
            Self::ServiceAccounts => "service accounts (`service_accounts: service_account`)",
            Self::Identities => "users known before their first login (`subjects.identity_provider`)",
            Self::Workloads => {
                "workloads: stop them by a pause, start them again (`lifecycle.stop_workloads`)"
            }
            Self::Template => "objects of `project_template`: make, keep and remove them",
            Self::Events => "say in a project's events what is done with it",
            Self::Watch => "see changes when they happen",
            Self::Diagnostics => "what the diagnostics look at; read only",
        }
    }

    /// What happens without it; `None` where the agent cannot do its work then.
    pub(crate) const fn without(self) -> Option<&'static str> {
        match self {
            Self::Projects | Self::Quotas | Self::Sight | Self::Access => None,
            Self::LimitRanges => Some("no limit range is made: pods without requests do not start"),
            Self::Bind => Some("access is given only in projects that the agent requested itself"),
            Self::Groups => Some("users are bound themselves"),
            Self::ServiceAccounts => Some("Waldur's service accounts get no access"),
            Self::Identities => Some("users and identities are not made; somebody else has to"),
            Self::Workloads => Some("these workloads are not stopped by a pause"),
            Self::Template => Some("only projects that the agent requested itself are furnished"),
            Self::Events => Some("projects have no events about what the agent did"),
            Self::Watch => Some("lists are read instead; changes made by hand are healed by the next pass"),
            Self::Diagnostics => Some("the diagnostics cannot tell"),
        }
    }
}

/// One rule of a role (Kubernetes: PolicyRule), with what it is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    pub(crate) feature: Feature,
    /// API group; empty for the core group.
    pub(crate) group: Cow<'static, str>,
    pub(crate) resource: Cow<'static, str>,
    pub(crate) verbs: Vec<&'static str>,
    /// Names that it is limited to; none for all.
    pub(crate) names: Vec<String>,
}

impl Right {
    /// As a rule of a ClusterRole.
    pub(crate) fn rule(&self) -> Value {
        let mut rule = json!({"apiGroups": [self.group], "resources": [self.resource], "verbs": self.verbs});
        if !self.names.is_empty() {
            rule["resourceNames"] = json!(self.names);
        }
        rule
    }

    /// The same rule with these verbs and names only.
    pub(crate) fn only(&self, verbs: &[&str], names: &[String]) -> Value {
        let mut rule = self.rule();
        rule["verbs"] = json!(verbs);
        if !self.names.is_empty() {
            rule["resourceNames"] = json!(names);
        }
        rule
    }
}

/// `resource` or `resource (group)`.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group.as_ref() {
            "" => f.write_str(&self.resource),
            group => write!(f, "{} ({group})", self.resource),
        }
    }
}

/// A row of the table.
struct Row {
    feature: Feature,
    /// Only on this kind of cluster.
    on: Option<Flavour>,
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
}

const fn row(
    feature: Feature,
    on: Option<Flavour>,
    (group, resource): (&'static str, &'static str),
    verbs: &'static [&'static str],
) -> Row {
    Row { feature, on, group, resource, verbs }
}

/// A server-side apply that makes an object is allowed by `create` and `patch` together (Kubernetes: the create is
/// authorized as well).
const MAKE: &[&str] = &["get", "list", "create", "patch"];
const KEEP: &[&str] = &["get", "list", "create", "patch", "delete"];
/// For what is somebody else's: found and changed, neither made nor deleted, and looked at only when it matters.
const CHANGE: &[&str] = &["list", "patch"];
const OPENSHIFT: Option<Flavour> = Some(Flavour::OpenShift);

const ROWS: [Row; 28] = [
    row(Feature::Projects, OPENSHIFT, (PROJECT, "projectrequests"), &["create"]),
    row(Feature::Projects, OPENSHIFT, (PROJECT, "projects"), &["delete"]),
    row(Feature::Projects, OPENSHIFT, ("", "namespaces"), &["get", "list", "patch"]),
    row(Feature::Projects, Some(Flavour::Kubernetes), ("", "namespaces"), KEEP),
    row(Feature::Watch, None, ("", "namespaces"), &["watch"]),
    row(Feature::Quotas, None, ("", "resourcequotas"), KEEP),
    row(Feature::Watch, None, ("", "resourcequotas"), &["watch"]),
    row(Feature::LimitRanges, None, ("", "limitranges"), MAKE),
    row(Feature::Sight, None, (RBAC, "rolebindings"), &["list"]),
    row(Feature::Access, None, (RBAC, "rolebindings"), &["get", "create", "patch", "delete"]),
    row(Feature::Watch, None, (RBAC, "rolebindings"), &["watch"]),
    row(Feature::Bind, None, (RBAC, "clusterroles"), &["bind"]),
    row(Feature::Groups, OPENSHIFT, (USER, "groups"), KEEP),
    row(Feature::ServiceAccounts, None, ("", "serviceaccounts"), KEEP),
    row(Feature::Identities, OPENSHIFT, (USER, "identities"), &["list", "create"]),
    row(Feature::Identities, OPENSHIFT, (USER, "users"), &["create"]),
    row(Feature::Identities, OPENSHIFT, (USER, "useridentitymappings"), &["create"]),
    row(Feature::Workloads, None, ("apps", "deployments"), CHANGE),
    row(Feature::Workloads, None, ("apps", "statefulsets"), CHANGE),
    row(Feature::Workloads, None, ("apps", "replicasets"), CHANGE),
    row(Feature::Workloads, None, ("batch", "cronjobs"), CHANGE),
    row(Feature::Workloads, None, ("batch", "jobs"), CHANGE),
    row(Feature::Workloads, OPENSHIFT, ("apps.openshift.io", "deploymentconfigs"), CHANGE),
    row(Feature::Workloads, None, ("", "pods"), &["list"]),
    row(Feature::Events, None, ("", "events"), &["create"]),
    row(Feature::Diagnostics, None, (RBAC, "clusterroles"), &["get"]),
    row(Feature::Diagnostics, OPENSHIFT, (RBAC, "clusterrolebindings"), &["get"]),
    row(Feature::Diagnostics, OPENSHIFT, (CONFIG, "clusterversions"), &["get"]),
];

/// Kinds that are watched if something else is done with them as well.
const WATCHED_WITH: [(Feature, &str, &str); 4] = [
    (Feature::LimitRanges, "", "limitranges"),
    (Feature::Groups, USER, "groups"),
    (Feature::ServiceAccounts, "", "serviceaccounts"),
    (Feature::Identities, USER, "identities"),
];

impl Needs {
    /// False for what this configuration has no use for.
    fn uses(self, feature: Feature) -> bool {
        match feature {
            Feature::Projects | Feature::Quotas | Feature::Sight => true,
            Feature::Events | Feature::Watch | Feature::Diagnostics | Feature::Template => true,
            Feature::LimitRanges => self.limit_ranges,
            Feature::Access | Feature::Bind => self.access,
            Feature::Groups => self.groups,
            Feature::ServiceAccounts => self.service_accounts,
            Feature::Identities => self.identities,
            Feature::Workloads => self.workloads,
        }
    }

    /// Everything that this configuration has to be allowed, on such a cluster. `roles` are the ClusterRoles that
    /// members get.
    pub(crate) fn rights(self, flavour: Flavour, roles: &[String]) -> Vec<Right> {
        let rows = ROWS.iter().filter(|row| self.uses(row.feature) && row.on.is_none_or(|on| on == flavour));
        let table = rows.map(|row| Right {
            feature: row.feature,
            group: row.group.into(),
            resource: row.resource.into(),
            verbs: row.verbs.to_vec(),
            names: names(row, roles),
        });
        let watched = WATCHED_WITH.iter().filter(|(feature, group, _)| {
            self.uses(*feature) && (*group != USER || flavour == Flavour::OpenShift)
        });
        let watched = watched.map(|(_, group, resource)| Right {
            feature: Feature::Watch,
            group: (*group).into(),
            resource: (*resource).into(),
            verbs: vec!["watch"],
            names: Vec::new(),
        });
        let is_empty = |right: &Right| right.resource == "clusterroles" && right.names.is_empty();
        table.chain(watched).filter(|right| !is_empty(right)).collect()
    }
}

/// What the objects of a project template need beside `rights`: each of their kinds once, as group and plural, and the
/// ClusterRoles that role bindings among them give.
pub(crate) fn of_template(
    kinds: &BTreeSet<(String, String)>,
    roles: Vec<String>,
    rights: &[Right],
) -> Vec<Right> {
    let mut more = Vec::new();
    for (group, resource) in kinds {
        let is_granted = |verb: &&str| {
            let mut same = rights.iter().filter(|right| right.group == *group && right.resource == *resource);
            same.any(|right| right.names.is_empty() && right.verbs.contains(verb))
        };
        for (feature, verbs) in [(Feature::Template, KEEP), (Feature::Watch, &["watch"][..])] {
            let verbs: Vec<&str> = verbs.iter().copied().filter(|verb| !is_granted(verb)).collect();
            if !verbs.is_empty() {
                let (group, resource) = (group.clone().into(), resource.clone().into());
                more.push(Right { feature, group, resource, verbs, names: Vec::new() });
            }
        }
    }
    let bound = |role: &String| {
        rights.iter().any(|right| right.feature == Feature::Bind && right.names.contains(role))
    };
    let names: Vec<String> = roles.into_iter().filter(|role| !bound(role)).collect();
    if !names.is_empty() {
        let (group, resource) = (RBAC.into(), "clusterroles".into());
        more.push(Right { feature: Feature::Template, group, resource, verbs: vec!["bind"], names });
    }
    more
}

fn names(row: &Row, roles: &[String]) -> Vec<String> {
    match row.resource {
        "clusterroles" => roles.to_vec(),
        "clusterrolebindings" => vec![SELF_PROVISIONERS.to_owned()],
        "clusterversions" => vec!["version".to_owned()],
        _ => Vec::new(),
    }
}

/// Rules as they are written into a role, those that differ by their resources alone as one.
pub(crate) fn rule_texts<'a>(rules: impl IntoIterator<Item = &'a Value>) -> String {
    let mut merged: Vec<Value> = Vec::new();
    for rule in rules {
        let same = |known: &&mut Value| {
            ["apiGroups", "verbs", "resourceNames"].iter().all(|key| known[*key] == rule[*key])
        };
        let resources = rule["resources"].as_array().cloned().unwrap_or_default();
        match merged.iter_mut().find(same).and_then(|known| known["resources"].as_array_mut()) {
            Some(known) => known.extend(resources),
            None => merged.push(rule.clone()),
        }
    }
    merged.iter().map(rule_text).collect::<Vec<_>>().join(" ")
}

/// A rule on one line.
fn rule_text(rule: &Value) -> String {
    let list = |key: &str| {
        let items = rule[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        items.map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "{{apiGroups: [{}], resources: [{}], verbs: [{}]",
        list("apiGroups"),
        list("resources"),
        list("verbs")
    );
    if !rule["resourceNames"].is_null() {
        text.push_str(&format!(", resourceNames: [{}]", list("resourceNames")));
    }
    text + "}"
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Needs = Needs {
        limit_ranges: true,
        access: true,
        groups: true,
        service_accounts: true,
        identities: true,
        workloads: true,
    };

    fn of(needs: Needs, flavour: Flavour) -> Vec<String> {
        let rights = needs.rights(flavour, &["edit".to_owned()]);
        rights.iter().map(|right| rule_text(&right.rule())).collect()
    }

    #[test]
    fn what_is_not_used_is_not_asked_for() {
        let least = of(Needs::default(), Flavour::OpenShift).join("\n");
        for word in ["limitranges", "groups", "serviceaccounts", "identities", "bind", "deployments"] {
            assert!(!least.contains(&format!("\"{word}\"")), "{word}: {least}");
        }
        let none = ALL.rights(Flavour::OpenShift, &[]);
        assert!(none.iter().all(|right| right.resource != "clusterroles"), "a rule without names is for all");
    }

    #[test]
    fn plain_clusters_have_no_openshift_rules() {
        let plain = of(ALL, Flavour::Kubernetes).join("\n");
        assert!(!plain.contains("openshift.io"), "{plain}");
        assert!(plain.contains("{apiGroups: [\"\"], resources: [\"namespaces\"], verbs: [\"get\", \"list\", \"create\", \"patch\", \"delete\"]}"));
    }

    #[test]
    fn every_kind_that_is_listed_may_be_watched() {
        for needs in [Needs::default(), ALL] {
            let rights = needs.rights(Flavour::OpenShift, &[]);
            let may = |verb: &str, plural: &str| {
                rights.iter().any(|right| right.resource == plural && right.verbs.contains(&verb))
            };
            let kept = rights.iter().filter(|right| right.feature != Feature::Workloads);
            for right in kept.filter(|right| right.verbs.contains(&"list")) {
                assert!(may("watch", &right.resource), "{right}");
            }
        }
    }

    #[test]
    fn a_template_needs_what_the_rest_does_not_have_already() {
        let kind = |group: &str, plural: &str| (group.to_owned(), plural.to_owned());
        let kinds = [kind("", "limitranges"), kind("", "configmaps"), kind(RBAC, "rolebindings")].into();
        let rights = ALL.rights(Flavour::OpenShift, &["edit".to_owned()]);
        let more = of_template(&kinds, vec!["edit".to_owned(), "registry-viewer".to_owned()], &rights);
        let more: Vec<String> = more.iter().map(|right| rule_text(&right.rule())).collect();
        assert_eq!(
            more,
            [
                "{apiGroups: [\"\"], resources: [\"configmaps\"], verbs: [\"get\", \"list\", \"create\", \"patch\", \"delete\"]}",
                "{apiGroups: [\"\"], resources: [\"configmaps\"], verbs: [\"watch\"]}",
                "{apiGroups: [\"\"], resources: [\"limitranges\"], verbs: [\"delete\"]}",
                "{apiGroups: [\"rbac.authorization.k8s.io\"], resources: [\"clusterroles\"], verbs: [\"bind\"], resourceNames: [\"registry-viewer\"]}",
            ]
        );
    }
}
