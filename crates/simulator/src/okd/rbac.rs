//! The authoriser: what roles and bindings in the store let a user do.
//!
//! Reads roles and bindings only; answers yes or no, and what a binding would grant beyond what its maker holds.
//! Source: Kubernetes "Using RBAC Authorization", privilege escalation prevention.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::kinds::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Kind, RBAC, ROLE_BINDINGS, ROLES};
use super::status::{ApiError, Result};
use super::store::{Key, Store};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User name, e.g. `system:serviceaccount:waldur-system:waldur-site-agent`.
    pub name: String,
    /// All groups, the `system:` ones included.
    pub groups: Vec<String>,
    /// UID of the service account or user; may be empty.
    pub uid: String,
}

impl User {
    /// The user of requests without credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".into(),
            groups: vec!["system:unauthenticated".into()],
            uid: String::new(),
        }
    }

    /// A service account with the groups that Kubernetes gives it.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".into(),
            ],
            uid: uid.into(),
        }
    }
}

/// One rule of a role.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    urls: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Subject {
    User(String),
    Group(String),
    /// User name, and `name/namespace` as the server shows it.
    ServiceAccount(String, String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "User \"{name}\""),
            Self::Group(name) => write!(f, "Group \"{name}\""),
            Self::ServiceAccount(_, shown) => write!(f, "ServiceAccount \"{shown}\""),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Binding {
    cluster_role: bool,
    role: String,
    subjects: Vec<Subject>,
}

/// What the authoriser needs of a stored object, taken out of the JSON once.
#[derive(Debug, Clone, Default)]
pub(crate) enum Parsed {
    #[default]
    Nothing,
    Rules(Arc<[Rule]>),
    Binding(Binding),
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

pub(crate) fn rules_of(role: &Value) -> Vec<Rule> {
    let rules = role["rules"].as_array().into_iter().flatten();
    rules
        .map(|rule| Rule {
            verbs: strings(&rule["verbs"]),
            groups: strings(&rule["apiGroups"]),
            resources: strings(&rule["resources"]),
            names: strings(&rule["resourceNames"]),
            urls: strings(&rule["nonResourceURLs"]),
        })
        .collect()
}

fn binding_of(object: &Value) -> Binding {
    let subject = |subject: &Value| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("Group") => Subject::Group(name.to_owned()),
            Some("ServiceAccount") => {
                let own = object["metadata"]["namespace"].as_str().unwrap_or_default();
                let namespace = subject["namespace"].as_str().unwrap_or(own);
                let user = format!("system:serviceaccount:{namespace}:{name}");
                Subject::ServiceAccount(user, format!("{name}/{namespace}"))
            }
            _ => Subject::User(name.to_owned()),
        }
    };
    Binding {
        cluster_role: object["roleRef"]["kind"] == "ClusterRole",
        role: object["roleRef"]["name"].as_str().unwrap_or_default().to_owned(),
        subjects: object["subjects"].as_array().into_iter().flatten().map(subject).collect(),
    }
}

impl Parsed {
    pub(crate) fn of(kind: &Kind, object: &Value) -> Self {
        if kind == ROLES || kind == CLUSTER_ROLES {
            Self::Rules(rules_of(object).into())
        } else if kind == ROLE_BINDINGS || kind == CLUSTER_ROLE_BINDINGS {
            Self::Binding(binding_of(object))
        } else {
            Self::Nothing
        }
    }
}

/// One question to the authoriser.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// `pods`, or `pods/log` for a subresource.
    pub(crate) resource: &'a str,
    pub(crate) name: &'a str,
    /// Empty for the whole cluster.
    pub(crate) namespace: &'a str,
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    fn allows(&self, access: &Access<'_>) -> bool {
        has(&self.verbs, access.verb)
            && has(&self.groups, access.group)
            && self.resources.iter().any(|resource| resource_matches(resource, access.resource))
            && (self.names.is_empty()
                || (!access.name.is_empty() && self.names.iter().any(|n| n == access.name)))
    }

    fn allows_path(&self, verb: &str, path: &str) -> bool {
        has(&self.verbs, verb)
            && self.urls.iter().any(|url| {
                url == path || url.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
            })
    }
}

fn resource_matches(allowed: &str, wanted: &str) -> bool {
    allowed == "*"
        || allowed == wanted
        || (allowed.starts_with("*/") && wanted.split_once('/').is_some_and(|(_, sub)| sub == &allowed[2..]))
}

impl User {
    fn is(&self, subject: &Subject) -> bool {
        match subject {
            Subject::User(name) | Subject::ServiceAccount(name, _) => *name == self.name,
            Subject::Group(name) => self.groups.contains(name),
        }
    }
}

/// The bindings that name `user` in a namespace (or, if empty, in the whole cluster), with their rules.
fn grants<'a>(store: &'a Store, user: &'a User, namespace: &'a str) -> impl Iterator<Item = Grant<'a>> {
    let local = (!namespace.is_empty()).then_some(namespace);
    let cluster = store.table(CLUSTER_ROLE_BINDINGS).range(None, None);
    let local =
        local.into_iter().flat_map(|namespace| store.table(ROLE_BINDINGS).range(Some(namespace), None));
    cluster.chain(local).filter_map(move |stored| {
        let Parsed::Binding(binding) = &stored.parsed else { return None };
        let subject = binding.subjects.iter().find(|subject| user.is(subject))?;
        let rules = role_rules(store, binding.cluster_role, &stored.key.namespace, &binding.role)?;
        Some(Grant { key: &stored.key, binding, subject, rules })
    })
}

struct Grant<'a> {
    key: &'a Key,
    binding: &'a Binding,
    subject: &'a Subject,
    rules: &'a [Rule],
}

impl fmt::Display for Grant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { namespace, name } = self.key;
        if namespace.is_empty() {
            write!(f, "ClusterRoleBinding \"{name}\"")?;
        } else {
            write!(f, "RoleBinding \"{name}/{namespace}\"")?;
        }
        let role = if self.binding.cluster_role { "ClusterRole" } else { "Role" };
        write!(f, " of {role} \"{}\" to {}", self.binding.role, self.subject)
    }
}

fn rules<'a>(store: &'a Store, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Rule> {
    grants(store, user, namespace).flat_map(|grant| grant.rules)
}

fn role_rules<'a>(store: &'a Store, cluster: bool, namespace: &str, name: &str) -> Option<&'a [Rule]> {
    let role = if cluster { store.get(CLUSTER_ROLES, "", name) } else { store.get(ROLES, namespace, name) };
    match role.map(|stored| &stored.parsed) {
        Some(Parsed::Rules(rules)) => Some(rules),
        _ => None,
    }
}

fn is_master(user: &User) -> bool {
    user.groups.iter().any(|group| group == "system:masters")
}

/// Whether `user` may do what `access` asks.
pub(crate) fn allowed(store: &Store, user: &User, access: &Access<'_>) -> bool {
    is_master(user) || rules(store, user, access.namespace).any(|rule| rule.allows(access))
}

/// Why `user` may do what `access` asks, as the server explains it; `None` if not.
pub(crate) fn explain(store: &Store, user: &User, access: &Access<'_>) -> Option<String> {
    if is_master(user) {
        return Some(String::new());
    }
    let mut grants = grants(store, user, access.namespace);
    let grant = grants.find(|grant| grant.rules.iter().any(|rule| rule.allows(access)))?;
    Some(format!("RBAC: allowed by {grant}"))
}

/// Whether `user` may use a path that is no resource.
pub(crate) fn path_allowed(store: &Store, user: &User, verb: &str, path: &str) -> bool {
    is_master(user) || rules(store, user, "").any(|rule| rule.allows_path(verb, path))
}

/// The 403 of an access that is not allowed.
pub(crate) fn denied(user: &User, access: &Access<'_>) -> Box<ApiError> {
    let plural = access.resource.split('/').next().unwrap_or_default();
    let place = if access.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{}\"", access.namespace)
    };
    let why = format!(
        "User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
        user.name, access.verb, access.resource, access.group
    );
    ApiError::forbidden(access.group, plural, access.name, &why)
}

/// Verb and group, resource and name, or a path: the smallest thing a rule grants.
type Single<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Refuses a binding that grants more than its maker holds or may `bind`.
///
/// `details` of the error name `subject`, which the real server takes for the kind of a missing role as well.
pub(crate) fn check_binding(store: &Store, user: &User, subject: &Kind, object: &Value) -> Result<()> {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let role = object["roleRef"]["name"].as_str().unwrap_or_default();
    let cluster = object["roleRef"]["kind"] != "Role";
    let resource = if cluster { "clusterroles" } else { "roles" };
    let bind = Access { verb: "bind", group: RBAC, resource, name: role, namespace };
    if allowed(store, user, &bind) {
        return Ok(());
    }
    let Some(granted) = role_rules(store, cluster, namespace, role) else {
        return Err(ApiError::not_found(subject, role));
    };
    check_grant(store, user, subject, namespace, name, granted)
}

/// Refuses a role whose rules its writer does not hold, unless the writer may `escalate`.
pub(crate) fn check_role(store: &Store, user: &User, subject: &Kind, object: &Value) -> Result<()> {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let escalate = Access { verb: "escalate", group: RBAC, resource: subject.plural, name, namespace };
    if allowed(store, user, &escalate) {
        return Ok(());
    }
    check_grant(store, user, subject, namespace, name, &rules_of(object))
}

fn check_grant(
    store: &Store,
    user: &User,
    subject: &Kind,
    namespace: &str,
    name: &str,
    granted: &[Rule],
) -> Result<()> {
    if is_master(user) {
        return Ok(());
    }
    let held: Vec<&Rule> = rules(store, user, namespace).collect();
    let mut missing: BTreeMap<Single<'_>, Vec<&str>> = BTreeMap::new();
    for rule in granted {
        for_each_single(rule, |(group, resource, item, url), verb| {
            let covered = held.iter().any(|held| {
                if url.is_empty() {
                    let access = Access { verb, group, resource, name: item, namespace };
                    held.allows(&access)
                } else {
                    held.allows_path(verb, url)
                }
            });
            if !covered {
                missing.entry((group, resource, item, url)).or_default().push(verb);
            }
        });
    }
    if missing.is_empty() {
        return Ok(());
    }
    let lines: BTreeSet<String> = missing.iter().map(|(single, verbs)| line(*single, verbs)).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    let groups: Vec<String> = user.groups.iter().map(|group| format!("\"{group}\"")).collect();
    let why = format!(
        "user \"{}\" (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        lines.join("\n")
    );
    Err(ApiError::forbidden(subject.group, subject.plural, name, &why))
}

fn for_each_single<'a>(rule: &'a Rule, mut visit: impl FnMut(Single<'a>, &'a str)) {
    const ANY: &[String] = &[String::new()];
    let names = if rule.names.is_empty() { ANY } else { &rule.names };
    for verb in &rule.verbs {
        for group in &rule.groups {
            for resource in &rule.resources {
                for name in names {
                    visit((group, resource, name, ""), verb);
                }
            }
        }
        for url in &rule.urls {
            visit(("", "", "", url), verb);
        }
    }
}

fn line((group, resource, name, url): Single<'_>, verbs: &[&str]) -> String {
    let verbs: Vec<String> = verbs.iter().map(|verb| format!("\"{verb}\"")).collect();
    let verbs = verbs.join(" ");
    if !url.is_empty() {
        return format!("{{NonResourceURLs:[\"{url}\"], Verbs:[{verbs}]}}");
    }
    let names = if name.is_empty() { String::new() } else { format!(" ResourceNames:[\"{name}\"],") };
    format!("{{APIGroups:[\"{group}\"], Resources:[\"{resource}\"],{names} Verbs:[{verbs}]}}")
}

/// All that `user` may do in a namespace, for `SelfSubjectRulesReview`.
pub(crate) fn rules_review(store: &Store, user: &User, namespace: &str) -> Value {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in rules(store, user, namespace) {
        if rule.urls.is_empty() {
            let mut value = serde_json::json!({
                "verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources,
            });
            if !rule.names.is_empty() {
                value["resourceNames"] = rule.names.clone().into();
            }
            resources.push(value);
        } else {
            paths.push(serde_json::json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
        }
    }
    serde_json::json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}
