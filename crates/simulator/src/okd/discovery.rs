//! Discovery documents: which groups, versions and resources there are.
//!
//! Made from the table of kinds; nothing here depends on stored objects.

use serde_json::{Map, Value, json};

use super::Flavour;
use super::kinds::{APPS, KINDS, Kind, PROJECT, PROJECT_REQUESTS, PROJECTS, QUOTA, USER, group_version};

/// Groups with resources that are only created, never stored.
const REVIEWS: [(&str, &str, &str, &str); 5] = [
    (
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
        "SelfSubjectAccessReview",
    ),
    ("authorization.k8s.io", "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview"),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "selfsubjectrulesreview", "SelfSubjectRulesReview"),
    ("authentication.k8s.io", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview"),
    ("authentication.k8s.io", "tokenreviews", "tokenreview", "TokenReview"),
];

/// Whether a group is served at all.
pub(crate) fn has_group(flavour: Flavour, group: &str) -> bool {
    flavour == Flavour::OpenShift || !matches!(group, PROJECT | USER | APPS | QUOTA)
}

pub(crate) fn kinds(flavour: Flavour) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| has_group(flavour, kind.group))
}

/// `/api`
pub(crate) fn versions() -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}],
    })
}

fn groups(flavour: Flavour) -> Vec<&'static str> {
    let mut groups: Vec<&str> =
        kinds(flavour).map(|kind| kind.group).filter(|group| !group.is_empty()).collect();
    groups.extend(REVIEWS.iter().map(|review| review.0));
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn group_body(group: &str) -> Value {
    let version = json!({"groupVersion": group_version(group, "v1"), "version": "v1"});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// `/apis`
pub(crate) fn group_list(flavour: Flavour) -> Value {
    let groups: Vec<Value> = groups(flavour).into_iter().map(group_body).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`; `None` if there is none.
pub(crate) fn group(flavour: Flavour, group: &str) -> Option<Value> {
    groups(flavour).contains(&group).then(|| {
        let mut body = group_body(group);
        body["kind"] = "APIGroup".into();
        body["apiVersion"] = "v1".into();
        body
    })
}

/// `/api/v1` and `/apis/<group>/<version>`; `None` if there is none.
pub(crate) fn resources(flavour: Flavour, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for kind in kinds(flavour).filter(|kind| kind.group == group && kind.version == version) {
        list.push(resource(kind));
        if kind.status {
            list.push(json!({
                "name": format!("{}/status", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": kind.kind, "verbs": ["get", "patch", "update"],
            }));
        }
    }
    for (_, plural, singular, kind) in REVIEWS.iter().filter(|review| review.0 == group && version == "v1") {
        list.push(json!({
            "name": plural, "singularName": singular, "namespaced": false, "kind": kind, "verbs": ["create"],
        }));
    }
    if list.is_empty() {
        return None;
    }
    list.sort_by(|one: &Value, other| one["name"].as_str().cmp(&other["name"].as_str()));
    let group_version = group_version(group, version);
    let mut body = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": list});
    // The core group's list is older than the field.
    if !group.is_empty() {
        body["apiVersion"] = "v1".into();
    }
    Some(body)
}

fn resource(kind: &Kind) -> Value {
    let verbs: Vec<&str> = if kind == PROJECT_REQUESTS {
        vec!["create", "list"]
    } else if kind == PROJECTS {
        Kind::VERBS.into_iter().filter(|verb| *verb != "deletecollection").collect()
    } else {
        Kind::VERBS.to_vec()
    };
    let mut body = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
        "verbs": verbs,
    });
    if !kind.short.is_empty() {
        body["shortNames"] = json!(kind.short);
    }
    body
}

/// `/openapi/v3`: where the documents of the groups are.
pub(crate) fn openapi_paths(flavour: Flavour) -> Value {
    let mut paths = Map::new();
    let groups = groups(flavour).into_iter().map(|group| format!("apis/{group}/v1"));
    for path in groups.chain(["api/v1".to_owned()]) {
        paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash=0")}));
    }
    json!({"paths": paths})
}

/// `/openapi/v3/…`: no schemas, only that every PATCH knows `fieldValidation`, by which kubectl leaves validation to the
/// server.
pub(crate) fn openapi(flavour: Flavour, group: &str, version: &str) -> Option<Value> {
    let mut paths = Map::new();
    for kind in kinds(flavour).filter(|kind| kind.group == group && kind.version == version) {
        let root = if group.is_empty() { "api/v1".to_owned() } else { format!("apis/{group}/{version}") };
        let place = if kind.namespaced { "namespaces/{namespace}/" } else { "" };
        let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
        let patch = json!({
            "operationId": format!("patch{}", kind.kind),
            "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation"), parameter("force")],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind.kind},
        });
        paths.insert(format!("/{root}/{place}{}/{{name}}", kind.plural), json!({"patch": patch}));
    }
    if paths.is_empty() {
        return None;
    }
    let info = json!({"title": "Kubernetes", "version": "v1.33.6"});
    Some(json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}))
}

/// `/version`
pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": "33", "gitVersion": "v1.33.6+simulated", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
    })
}
