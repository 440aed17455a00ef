//! The ClusterRoles and bindings that exist in a fresh cluster, and those of the agent.
//!
//! Data only. The default roles follow OpenShift's bootstrap policy as far as the simulated resources and the
//! escalation check need it.

use serde_json::{Value, json};

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";

const VIEW: &[(&str, &str, &str)] = &[
    (
        "",
        "bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims \
         persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers replicationcontrollers/scale \
         replicationcontrollers/status resourcequotas resourcequotas/status serviceaccounts services services/status \
         appliedclusterresourcequotas buildconfigs buildlogs builds builds/log deploymentconfigs \
         deploymentconfigs/log deploymentconfigs/scale deploymentconfigs/status imagestreamimages \
         imagestreammappings imagestreams imagestreams/status imagestreamtags processedtemplates \
         resourcequotausages routes routes/status templateconfigs templateinstances templates",
        READ,
    ),
    ("", "buildconfigs/webhooks", "list watch"),
    ("", "projects", "get"),
    (
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets \
         replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        READ,
    ),
    ("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
    ("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
    ("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
    ("networking.k8s.io", "ingresses ingresses/status networkpolicies", READ),
    (
        "apps.openshift.io",
        "deploymentconfigs deploymentconfigs/log deploymentconfigs/scale deploymentconfigs/status",
        READ,
    ),
    ("build.openshift.io", "buildconfigs builds builds/log jenkins", READ),
    (
        "image.openshift.io",
        "imagestreamimages imagestreammappings imagestreams imagestreams/status imagestreamtags",
        READ,
    ),
    ("project.openshift.io", "projects", "get"),
    ("quota.openshift.io", "appliedclusterresourcequotas", READ),
    ("route.openshift.io", "routes routes/status", READ),
    ("template.openshift.io", "processedtemplates templateconfigs templateinstances templates", READ),
];

const EDIT: &[(&str, &str, &str)] = &[
    (
        "",
        "buildconfigs builds configmaps deploymentconfigs endpoints events imagestreammappings imagestreams \
         imagestreamtags persistentvolumeclaims pods pods/attach pods/exec pods/portforward pods/proxy \
         processedtemplates replicationcontrollers replicationcontrollers/scale routes secrets serviceaccounts services \
         services/proxy templateconfigs templateinstances templates",
        WRITE,
    ),
    ("", "secrets pods/attach pods/exec pods/portforward pods/proxy services/proxy", READ),
    ("", "serviceaccounts/token pods/eviction buildconfigs/instantiate deploymentconfigs/rollback", "create"),
    ("", "serviceaccounts", "impersonate"),
    (
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets \
         statefulsets/scale",
        WRITE,
    ),
    ("autoscaling", "horizontalpodautoscalers", WRITE),
    ("batch", "cronjobs jobs", WRITE),
    ("policy", "poddisruptionbudgets", WRITE),
    ("networking.k8s.io", "ingresses networkpolicies", WRITE),
    ("coordination.k8s.io", "leases", "create delete deletecollection get list patch update watch"),
    ("apps.openshift.io", "deploymentconfigs deploymentconfigs/scale", WRITE),
    ("build.openshift.io", "buildconfigs builds", WRITE),
    ("image.openshift.io", "imagestreammappings imagestreams imagestreamtags", WRITE),
    ("route.openshift.io", "routes", WRITE),
    ("template.openshift.io", "processedtemplates templateconfigs templateinstances templates", WRITE),
];

const ADMIN: &[(&str, &str, &str)] = &[
    (
        "rbac.authorization.k8s.io",
        "rolebindings roles",
        "create delete deletecollection get list patch update watch",
    ),
    ("authorization.k8s.io", "localsubjectaccessreviews", "create"),
    (
        "authorization.openshift.io",
        "rolebindings roles",
        "create delete deletecollection get list patch update watch",
    ),
    ("", "projects", "delete get patch update"),
    ("project.openshift.io", "projects", "delete get patch update"),
];

fn rule((group, resources, verbs): &(&str, &str, &str)) -> Value {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    json!({"apiGroups": [group], "resources": words(resources), "verbs": words(verbs)})
}

fn role(name: &str, rules: Vec<Value>) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "rules": rules,
    })
}

/// The ClusterRoles of a fresh cluster.
pub(crate) fn cluster_roles() -> Vec<Value> {
    let rules =
        |tables: &[&[(&str, &str, &str)]]| tables.iter().copied().flatten().map(rule).collect::<Vec<_>>();
    let paths = |urls: &[&str]| vec![json!({"nonResourceURLs": urls, "verbs": ["get"]})];
    let service = |resource: &str, verbs: &str| vec![rule(&("image.openshift.io", resource, verbs))];
    vec![
        role(
            "cluster-admin",
            vec![
                json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}),
                json!({"nonResourceURLs": ["*"], "verbs": ["*"]}),
            ],
        ),
        role("view", rules(&[VIEW])),
        role("edit", rules(&[EDIT, VIEW])),
        role("admin", rules(&[ADMIN, EDIT, VIEW])),
        role("basic-user", basic_user()),
        role(
            "self-provisioner",
            vec![
                rule(&("", "projectrequests", "create")),
                rule(&("project.openshift.io", "projectrequests", "create")),
            ],
        ),
        role(
            "system:discovery",
            paths(&[
                "/api",
                "/api/*",
                "/apis",
                "/apis/*",
                "/healthz",
                "/livez",
                "/openapi",
                "/openapi/*",
                "/readyz",
                "/version",
                "/version/",
            ]),
        ),
        role("system:public-info-viewer", paths(&["/healthz", "/livez", "/readyz", "/version", "/version/"])),
        role("system:image-puller", service("imagestreams/layers", "get")),
        role("system:image-builder", service("imagestreams/layers", "get update")),
        role("system:deployer", vec![rule(&("", "replicationcontrollers", "get list watch update"))]),
    ]
}

fn basic_user() -> Vec<Value> {
    vec![
        json!({"apiGroups": ["", "user.openshift.io"], "resources": ["users"], "resourceNames": ["~"], "verbs": ["get"]}),
        rule(&("", "projectrequests", "list")),
        rule(&("project.openshift.io", "projectrequests", "list")),
        rule(&("", "projects", "list watch")),
        rule(&("project.openshift.io", "projects", "list watch")),
        rule(&("authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", "create")),
        rule(&("authentication.k8s.io", "selfsubjectreviews", "create")),
    ]
}

/// The ClusterRoleBindings of a fresh cluster: (name, role, group).
pub(crate) const CLUSTER_ROLE_BINDINGS: [(&str, &str, &str); 6] = [
    ("cluster-admin", "cluster-admin", "system:masters"),
    ("basic-users", "basic-user", "system:authenticated"),
    ("self-provisioners", "self-provisioner", "system:authenticated:oauth"),
    ("system:discovery", "system:discovery", "system:authenticated"),
    ("system:public-info-viewer", "system:public-info-viewer", "system:authenticated"),
    ("system:public-info-viewer-anonymous", "system:public-info-viewer", "system:unauthenticated"),
];

/// Rules of the ClusterRole that the documentation of the OKD plugin gives to the agent: no `watch`, no limit ranges, no
/// `bind`.
#[must_use]
pub fn documented_agent_rules() -> Value {
    let all = "get list create update patch delete";
    json!([
        rule(&("", "namespaces", all)),
        rule(&("project.openshift.io", "projects projectrequests", all)),
        rule(&("", "resourcequotas", all)),
        rule(&("rbac.authorization.k8s.io", "rolebindings", all)),
        rule(&("", "pods services persistentvolumeclaims", "get list")),
    ])
}

/// [`documented_agent_rules`] and what the agent's further features need: `watch`, limit ranges, `bind` on
/// `view`, `edit` and `admin`, stopping workloads, and quotas over several projects.
#[must_use]
pub fn extended_agent_rules() -> Value {
    let all = "get list watch create update patch delete";
    json!([
        rule(&("", "namespaces resourcequotas limitranges", all)),
        rule(&("project.openshift.io", "projects projectrequests", all)),
        rule(&("rbac.authorization.k8s.io", "rolebindings", all)),
        rule(&("", "pods services persistentvolumeclaims", "get list watch")),
        rule(&("apps", "deployments statefulsets replicasets", "list patch")),
        rule(&("batch", "jobs cronjobs", "list patch")),
        rule(&("apps.openshift.io", "deploymentconfigs", "list patch")),
        rule(&("quota.openshift.io", "clusterresourcequotas", all)),
        {
            "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"],
            "resourceNames": ["view", "edit", "admin"],
        },
    ])
}
