//! Keys of `backend_settings`. Waldur contract §1.4, §1.5.

use super::{Key, Kind};

const HTTP: &[&str] = &["http", "https"];
const HELD: Kind = Kind::Map(&Kind::AmountOrShare);
const QUANTITIES: Kind = Kind::Map(&Kind::Quantity);

pub(crate) const BACKEND_SETTINGS: &[Key] = &[
    Key::new("api_url", Kind::Url(HTTP), "Root of the API server.")
        .default("https://localhost:8443")
        .shown("https://api.okd.example.com:6443"),
    Key::new(
        "token",
        Kind::Secret,
        "Token for the cluster; give this, token_file, token_config, kubeconfig or client_cert. In a \
         pod, the pod's service account is used if none is given.",
    )
    .shown("your-okd-token"),
    Key::new("token_file", Kind::Path, "File that holds the token; read anew when it changes.")
        .example("/etc/waldur-site-agent/okd-token"),
    Key::new("token_config", Kind::Section(TOKEN_CONFIG), "Another source of the token.").commented(),
    Key::new(
        "verify_cert",
        Kind::BoolOrPath,
        "Verification of the API server's certificate: true, false, or a file of CA \
         certificates.",
    )
    .default("true"),
    Key::new("ca_file", Kind::Path, "File of CA certificates for the API server.")
        .example("/etc/waldur-site-agent/okd-ca.pem"),
    Key::new(
        "client_cert",
        Kind::Path,
        "File of a client certificate in PEM, shown to the API server; alone or beside a token.",
    )
    .example("/etc/waldur-site-agent/okd-client.pem"),
    Key::new("client_key", Kind::Path, "File of that certificate's key in PEM.")
        .example("/etc/waldur-site-agent/okd-client-key.pem"),
    Key::new(
        "kubeconfig",
        Kind::Path,
        "A kubeconfig, which tells what is not given here: API server, CA, proxy, and a user by \
         token, client certificate or program (`exec`). Its token is read anew when it changes.",
    )
    .example("/etc/waldur-site-agent/kubeconfig"),
    Key::new(
        "kubeconfig_context",
        Kind::Text,
        "The context of that kubeconfig; its current one if not given.",
    )
    .example("okd-production"),
    Key::new("proxy", Kind::CredentialUrl(&["http", "https"]), "Proxy for requests to the cluster.")
        .example("http://proxy.example.com:3128"),
    Key::new(
        "agent_namespace",
        Kind::Text,
        "Namespace for what the agent keeps on the cluster, such as the ledger of usage; that of its service account if \
         not given.",
    )
    .example("waldur-system"),
    Key::new(
        "prometheus_url",
        Kind::CredentialUrl(HTTP),
        "The Prometheus of this cluster, where the file serves several; see `monitoring`.",
    )
    .example("https://prometheus.okd.example.com"),
    Key::new("namespace_prefix", Kind::Prefix, "Before the name of every namespace that the agent makes.")
        .default("waldur-"),
    Key::new("allocation_prefix", Kind::Prefix, "Between namespace_prefix and the slug of the resource.")
        .default("alloc-"),
    Key::new(
        "namespaces",
        Kind::List(&Kind::Ending),
        "The namespaces of each resource, where it is to have several: what their names end with. All are under one quota \
         (OpenShift's ClusterResourceQuota) and have the same members; Waldur knows the first by name.",
    )
    .example("[dev, stage, prod]"),
    Key::new("customer_prefix", Kind::Text, "Before the slug of the organization, in an annotation.")
        .default("org-"),
    Key::new("project_prefix", Kind::Text, "Before the slug of the project, in an annotation.")
        .default("proj-"),
    Key::new(
        "role_map",
        Kind::Map(&Kind::ClusterRole),
        "ClusterRole for each role of Waldur (`Manager` or `PROJECT.MANAGER`); null for no \
         access. Entries replace those of the default table one by one.",
    )
    .default("{Owner: admin, Manager: edit, Member: view}"),
    Key::new(
        "default_role",
        Kind::ClusterRole,
        "ClusterRole for a role that role_map does not name; an empty text for no access.",
    )
    .default("edit"),
    Key::new(
        "default_account",
        Kind::Text,
        "Read by the Python agent as the ClusterRole of every member; ignored, as roles come \
         from role_map and default_role.",
    )
    .ignored(),
    Key::new(
        "limit_range",
        Kind::Section(LIMIT_RANGE),
        "A limit range beside the quota, without which pods that name no limits are refused.",
    ),
    Key::new(
        "check_backend_id_uniqueness",
        Kind::Bool,
        "Whether Waldur is asked if the name of a new namespace was ever used.",
    )
    .default("false"),
    Key::new(
        "check_all_offerings",
        Kind::Bool,
        "Whether that question covers all offerings of the provider.",
    )
    .default("false"),
    Key::new("backend_id_max_retries", Kind::Int(1, 10_000), "How many names are tried.").default("50"),
    Key::new("periodic_limits", Kind::Section(PERIODIC_LIMITS), "Limits that change with the period.")
        .later(),
    Key::new(
        "adopt",
        Kind::Bool,
        "Whether a namespace that Waldur names and that the agent did not make may be taken \
         over.",
    )
    .default("false")
    .later(),
    Key::new("lifecycle", Kind::Section(LIFECYCLE), "What pause, downscale, restore and terminate do."),
    Key::new(
        "grant_organization_owners",
        Kind::Bool,
        "Whether owners of the organization get access without a role in the project.",
    )
    .default("true"),
    Key::new(
        "removal_guard",
        Kind::Share,
        "The share of members or namespaces (`0.5` or `50%`) that may be removed in one \
         pass; more is held back.",
    )
    .default("50%"),
    Key::new("subjects", Kind::Section(SUBJECTS), "How users of Waldur are named at the cluster."),
    Key::new(
        "service_accounts",
        Kind::Choice(&["user", "service_account"]),
        "How service accounts of Waldur get access: `user` binds a user of that name, \
         `service_account` makes a ServiceAccount in the project.",
    )
    .default("user"),
    Key::new(
        "usernames",
        Kind::Section(USERNAMES),
        "How usernames are made where the offering leaves that to the service provider.",
    ),
    Key::new(
        "soft_delete",
        Kind::Bool,
        "Ignored, as in the OKD plugin of the Python agent; see lifecycle.soft_delete.",
    )
    .ignored(),
    Key::new(
        "enable_user_homedir_account_creation",
        Kind::Bool,
        "Ignored: projects have no home directories.",
    )
    .ignored(),
    Key::new("default_homedir_umask", Kind::Text, "Ignored: projects have no home directories.").ignored(),
    Key::new("homedir_base_path", Kind::Text, "Ignored: projects have no home directories.").ignored(),
    Key::new("homedir_quota", Kind::Any, "Ignored: projects have no home directories.").ignored(),
];

pub(crate) const TOKEN_CONFIG: &[Key] = &[
    Key::new(
        "token_type",
        Kind::Choice(&["static", "service_account", "file", "oauth"]),
        "Where the token comes from.",
    )
    .default("static"),
    Key::new("token", Kind::Secret, "For `static`: the token.").example("your-okd-token"),
    Key::new(
        "service_account_path",
        Kind::Path,
        "The directory of the mounted service account: for `service_account` it holds the file \
         `token`, for refresh_token_secret also `ca.crt` and `namespace`.",
    )
    .default("/var/run/secrets/kubernetes.io/serviceaccount"),
    Key::new("token_file_path", Kind::Path, "For `file`: the file; read anew when it changes.")
        .example("/etc/okd-tokens/current-token"),
    Key::new("oauth_config", Kind::Section(OAUTH), "For `oauth`: where tokens are fetched."),
];

pub(crate) const OAUTH: &[Key] = &[
    Key::new(
        "grant_type",
        Kind::Choice(&["refresh_token", "client_credentials", "password"]),
        "What is shown to get tokens. Without it `password` where username is given, else \
         `refresh_token` where that is, else `client_credentials`. `password` is OpenShift's \
         challenge flow, as `oc login` does it.",
    )
    .example("refresh_token"),
    Key::new(
        "client_id",
        Kind::Text,
        "The client; `openshift-challenging-client` if not given with `password`.",
    )
    .example("waldur-site-agent"),
    Key::new("client_secret", Kind::Secret, "Its secret.").example("your-client-secret"),
    Key::new(
        "refresh_token",
        Kind::Secret,
        "For `refresh_token`: the one to begin with. If the server gives another, that is used \
         from then on.",
    )
    .example("your-refresh-token"),
    Key::new(
        "refresh_token_secret",
        Kind::Text,
        "Name of a Secret in the namespace of the agent's pod in which the last refresh token is \
         kept for the next start. The pod's service account needs get, create and patch on it.",
    )
    .example("waldur-site-agent-refresh-token"),
    Key::new("username", Kind::Text, "For `password`: the user.").example("waldur-agent"),
    Key::new("password", Kind::Secret, "For `password`: the user's password.").example("your-password"),
    Key::new("scope", Kind::Text, "What the token is to be good for, if not for all that the client may.")
        .example("openid"),
    Key::new(
        "token_endpoint",
        Kind::Url(HTTP),
        "Where tokens are fetched; without it the API server is asked \
         (`/.well-known/oauth-authorization-server`).",
    )
    .example("https://oauth.okd.example.com/oauth/token"),
];

pub(crate) const LIMIT_RANGE: &[Key] = &[
    Key::new("enabled", Kind::Bool, "Whether it is made.").default("true"),
    Key::new("default", QUANTITIES, "Limits of a container that names none.")
        .default("{cpu: 500m, memory: 512Mi}"),
    Key::new("default_request", QUANTITIES, "Requests of a container that names none.")
        .default("{cpu: 250m, memory: 256Mi}"),
    Key::new("max", QUANTITIES, "Largest limits of a container.").example("{cpu: '4', memory: 16Gi}"),
    Key::new("min", QUANTITIES, "Smallest requests of a container.").example("{cpu: 10m, memory: 16Mi}"),
];

pub(crate) const PERIODIC_LIMITS: &[Key] =
    &[Key::new("enabled", Kind::Bool, "Whether they are followed.").default("false")];

pub(crate) const LIFECYCLE: &[Key] = &[
    Key::new(
        "pause_quotas",
        HELD,
        "Amounts per component while paused, or shares of what was bought such as `50%`; \
         components that are not named get 0.",
    )
    .default("{cpu: 0, memory: 0, storage: 0, pods: 0}"),
    Key::new(
        "downscale_quotas",
        HELD,
        "Amounts per component while downscaled, or shares of what was bought such as `50%`; \
         components that are not named get 1.",
    )
    .default("{cpu: 1, memory: 1, storage: 1, pods: 1}"),
    Key::new(
        "restore",
        Kind::Choice(&["limits", "defaults"]),
        "What a resource that was paused or downscaled goes back to: the limits in Waldur, or the \
         fixed 10 cores, 32 GB, 100 GB and 50 pods, until an order sets its limits anew.",
    )
    .default("limits"),
    Key::new(
        "stop_workloads",
        Kind::Bool,
        "Whether pausing also stops Deployments, StatefulSets, ReplicaSets, DeploymentConfigs, CronJobs \
         and Jobs; restoring starts them again. The agent needs list and patch on them, and list on pods.",
    )
    .default("false"),
    Key::new(
        "terminate",
        Kind::Choice(&["wait", "async"]),
        "When a Terminate order is done: `wait`, when the project is gone; `async`, when its deletion \
         has begun.",
    )
    .default("wait"),
    Key::new(
        "terminate_grace",
        Kind::Duration,
        "Time between termination and deletion, such as `12h` or `7d`: until then the project is locked, \
         and a Restore order brings it back.",
    )
    .default("0"),
    Key::new(
        "soft_delete",
        Kind::Bool,
        "Whether termination keeps the project, and only takes quota and access away.",
    )
    .default("false"),
];

pub(crate) const SUBJECTS: &[Key] = &[
    Key::new(
        "kind",
        Kind::Choice(&["user", "group", "external_group"]),
        "What role bindings name: `user`, each user; `group`, an OpenShift group per project and \
         ClusterRole that the agent fills; `external_group`, groups that somebody else fills. \
         Without it `external_group` where group_template is given, else `user`.",
    )
    .example("group"),
    Key::new(
        "attribute",
        Kind::Choice(&["offering_username", "username", "email"]),
        "Which of the user's names is the name at the cluster.",
    )
    .default("offering_username"),
    Key::new("lowercase", Kind::Bool, "Whether it is put in lower case.").default("false"),
    Key::new("prefix", Kind::Text, "Put before it, such as `oidc:`.").default("''"),
    Key::new(
        "group_template",
        Kind::Text,
        "For `external_group`: the name of the groups, with {project}, {resource}, {customer} and \
         {role} filled in.",
    )
    .example("waldur-{customer}-{project}-{role}"),
    Key::new(
        "identity_provider",
        Kind::Text,
        "Name of an identity provider of OpenShift with the mapping method `lookup`: User, \
         Identity and their mapping are made for each user who lacks them, and never deleted.",
    )
    .example("sso"),
];

pub(crate) const USERNAMES: &[Key] = &[
    Key::new(
        "attribute",
        Kind::Choice(&["username", "email", "full_name"]),
        "What of the user the username is made of.",
    )
    .default("username"),
    Key::new("lowercase", Kind::Bool, "Whether it is put in lower case.").default("true"),
];
