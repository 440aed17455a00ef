//! The resources that the simulated API server knows, as data.
//!
//! A table only: what a resource does beyond being stored is in the module named after that behaviour.

/// What the server knows of one resource.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Position in [`KINDS`].
    pub(crate) id: usize,
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) short: &'static [&'static str],
    pub(crate) namespaced: bool,
    /// PUT of a missing object creates it.
    pub(crate) upsert: bool,
    /// DELETE answers with the deleted object, not with a Status.
    pub(crate) returns_deleted: bool,
    /// `metadata.generation` counts changes of the spec.
    pub(crate) generation: bool,
    /// Has a `status` subresource.
    pub(crate) status: bool,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Kind {
    /// `v1`, or `group/version`.
    pub(crate) fn api_version(&self) -> String {
        group_version(self.group, self.version)
    }

    /// `resourcequotas`, or `rolebindings.rbac.authorization.k8s.io`.
    pub(crate) fn qualified(&self) -> String {
        qualified(self.group, self.plural)
    }

    /// The verbs of an ordinary resource, as discovery lists them.
    pub(crate) const VERBS: [&'static str; 8] =
        ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
}

pub(crate) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

pub(crate) fn qualified(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

const CLUSTER: u8 = 1;
const UPSERT: u8 = 2;
const RETURNS: u8 = 4;
const GENERATION: u8 = 8;
const STATUS: u8 = 16;

type Row =
    (&'static str, &'static str, &'static str, &'static str, &'static str, &'static [&'static str], u8);

const ROWS: [Row; 31] = [
    ("", "v1", "namespaces", "namespace", "Namespace", &["ns"], CLUSTER | RETURNS | STATUS),
    ("", "v1", "resourcequotas", "resourcequota", "ResourceQuota", &["quota"], RETURNS | STATUS),
    ("", "v1", "limitranges", "limitrange", "LimitRange", &["limits"], UPSERT),
    (RBAC, "v1", "rolebindings", "rolebinding", "RoleBinding", &[], UPSERT),
    (RBAC, "v1", "roles", "role", "Role", &[], UPSERT),
    (RBAC, "v1", "clusterroles", "clusterrole", "ClusterRole", &[], CLUSTER | UPSERT),
    (RBAC, "v1", "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding", &[], CLUSTER | UPSERT),
    ("", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", &["sa"], RETURNS),
    ("", "v1", "secrets", "secret", "Secret", &[], 0),
    ("", "v1", "configmaps", "configmap", "ConfigMap", &["cm"], 0),
    ("", "v1", "pods", "pod", "Pod", &["po"], RETURNS | STATUS | GENERATION),
    (
        "",
        "v1",
        "persistentvolumeclaims",
        "persistentvolumeclaim",
        "PersistentVolumeClaim",
        &["pvc"],
        RETURNS | STATUS,
    ),
    ("", "v1", "services", "service", "Service", &["svc"], UPSERT | RETURNS | STATUS),
    ("", "v1", "events", "event", "Event", &["ev"], UPSERT),
    ("coordination.k8s.io", "v1", "leases", "lease", "Lease", &[], UPSERT),
    ("networking.k8s.io", "v1", "networkpolicies", "networkpolicy", "NetworkPolicy", &["netpol"], GENERATION),
    ("apps", "v1", "deployments", "deployment", "Deployment", &["deploy"], GENERATION | STATUS),
    ("apps", "v1", "statefulsets", "statefulset", "StatefulSet", &["sts"], GENERATION | STATUS),
    ("apps", "v1", "replicasets", "replicaset", "ReplicaSet", &["rs"], GENERATION | STATUS),
    ("batch", "v1", "jobs", "job", "Job", &[], GENERATION | STATUS),
    ("batch", "v1", "cronjobs", "cronjob", "CronJob", &["cj"], GENERATION | STATUS),
    (PROJECT, "v1", "projects", "project", "Project", &[], CLUSTER),
    (PROJECT, "v1", "projectrequests", "projectrequest", "ProjectRequest", &[], CLUSTER),
    (USER, "v1", "users", "user", "User", &[], CLUSTER),
    (USER, "v1", "groups", "group", "Group", &[], CLUSTER),
    (USER, "v1", "identities", "identity", "Identity", &[], CLUSTER),
    (USER, "v1", "useridentitymappings", "useridentitymapping", "UserIdentityMapping", &[], CLUSTER),
    ("", "v1", "nodes", "node", "Node", &["no"], CLUSTER | STATUS),
    // Kept apart from the core group's, unlike on a real server, where both show the same objects.
    ("events.k8s.io", "v1", "events", "event", "Event", &[], UPSERT),
    (APPS, "v1", "deploymentconfigs", "deploymentconfig", "DeploymentConfig", &["dc"], GENERATION | STATUS),
    (
        QUOTA,
        "v1",
        "clusterresourcequotas",
        "clusterresourcequota",
        "ClusterResourceQuota",
        &[],
        CLUSTER | GENERATION | STATUS,
    ),
];

/// Group of roles and bindings.
pub(crate) const RBAC: &str = "rbac.authorization.k8s.io";
/// Group of OpenShift's projects.
pub(crate) const PROJECT: &str = "project.openshift.io";
/// Group of OpenShift's deployments.
pub(crate) const APPS: &str = "apps.openshift.io";
/// Group of OpenShift's users.
pub(crate) const USER: &str = "user.openshift.io";

/// Group of OpenShift's quotas over several namespaces.
pub(crate) const QUOTA: &str = "quota.openshift.io";

/// All resources; the order is that of the constants below.
pub(crate) static KINDS: [Kind; ROWS.len()] = table();

pub(crate) const NAMESPACES: &Kind = &KINDS[0];
pub(crate) const QUOTAS: &Kind = &KINDS[1];
pub(crate) const LIMIT_RANGES: &Kind = &KINDS[2];
pub(crate) const ROLE_BINDINGS: &Kind = &KINDS[3];
pub(crate) const ROLES: &Kind = &KINDS[4];
pub(crate) const CLUSTER_ROLES: &Kind = &KINDS[5];
pub(crate) const CLUSTER_ROLE_BINDINGS: &Kind = &KINDS[6];
pub(crate) const SERVICE_ACCOUNTS: &Kind = &KINDS[7];
pub(crate) const CONFIG_MAPS: &Kind = &KINDS[9];
pub(crate) const PODS: &Kind = &KINDS[10];
pub(crate) const CLAIMS: &Kind = &KINDS[11];
pub(crate) const SERVICES: &Kind = &KINDS[12];
pub(crate) const LEASES: &Kind = &KINDS[14];
pub(crate) const DEPLOYMENTS: &Kind = &KINDS[16];
pub(crate) const STATEFUL_SETS: &Kind = &KINDS[17];
pub(crate) const REPLICA_SETS: &Kind = &KINDS[18];
pub(crate) const JOBS: &Kind = &KINDS[19];
pub(crate) const PROJECTS: &Kind = &KINDS[21];
pub(crate) const PROJECT_REQUESTS: &Kind = &KINDS[22];
pub(crate) const USERS: &Kind = &KINDS[23];
pub(crate) const GROUPS: &Kind = &KINDS[24];
pub(crate) const IDENTITIES: &Kind = &KINDS[25];
pub(crate) const USER_IDENTITY_MAPPINGS: &Kind = &KINDS[26];
pub(crate) const DEPLOYMENT_CONFIGS: &Kind = &KINDS[29];
pub(crate) const CLUSTER_QUOTAS: &Kind = &KINDS[30];

const fn table() -> [Kind; ROWS.len()] {
    let mut kinds = [const { row(0) }; ROWS.len()];
    let mut at = 0;
    while at < ROWS.len() {
        kinds[at] = row(at);
        at += 1;
    }
    kinds
}

const fn row(id: usize) -> Kind {
    let (group, version, plural, singular, kind, short, flags) = ROWS[id];
    Kind {
        id,
        group,
        version,
        plural,
        singular,
        kind,
        short,
        namespaced: flags & CLUSTER == 0,
        upsert: flags & UPSERT != 0,
        returns_deleted: flags & RETURNS != 0,
        generation: flags & GENERATION != 0,
        status: flags & STATUS != 0,
    }
}

pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.plural == plural && kind.group == group && kind.version == version)
}
