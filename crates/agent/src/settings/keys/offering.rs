//! Keys of one offering. Waldur contract §1.3; `default_quotas` and its neighbours come from the OKD documentation.

use planner::quota::scopes::{OPERATORS, SCOPES};

use super::{BACKEND_SETTINGS, Bound, COMPONENT, Key, Kind};

const HTTP: &[&str] = &["http", "https"];
const QUANTITIES: Kind = Kind::Map(&Kind::Quantity);

pub(crate) const OFFERING: &[Key] = &[
    Key::new("name", Kind::Text, "The name used in logs.").required().example("OKD projects"),
    Key::new("waldur_api_url", Kind::Url(HTTP), "The API of Waldur; `/api/` at the end may be left out.")
        .required()
        .example("https://waldur.example.com/api/"),
    Key::new(
        "waldur_api_token",
        Kind::Secret,
        "Token for Waldur; give this, waldur_api_token_file or the three oidc_ keys.",
    )
    .shown("your-waldur-api-token"),
    Key::new("waldur_api_token_file", Kind::Path, "File that holds the token; read anew when it is used.")
        .example("/etc/waldur-site-agent/waldur-token"),
    Key::new(
        "oidc_token_url",
        Kind::Url(HTTP),
        "Token endpoint of an OpenID provider, used where no token is given.",
    )
    .example("https://sso.example.com/realms/waldur/protocol/openid-connect/token"),
    Key::new("oidc_client_id", Kind::Text, "Client at the OpenID provider.").example("waldur-site-agent"),
    Key::new("oidc_client_secret", Kind::Secret, "Secret of that client.").example("your-client-secret"),
    Key::new("waldur_offering_uuid", Kind::Uuid, "UUID of the offering, with or without dashes.")
        .required()
        .example("123e4567e89b12d3a456426614174000"),
    Key::new("backend_type", Kind::Text, "The back end: `okd`. Offerings of other back ends are skipped.")
        .required()
        .shown("okd"),
    Key::new(
        "order_processing_backend",
        Kind::Text,
        "`okd` switches order processing on. Where none of the three …_backend keys is given \
         in the flat form, all are on.",
    )
    .shown("okd"),
    Key::new(
        "membership_sync_backend",
        Kind::Text,
        "`okd` switches the keeping of members, status and limits on.",
    )
    .shown("okd"),
    Key::new("reporting_backend", Kind::Text, "`okd` switches usage reports on.").shown("okd"),
    Key::new("username_management_backend", Kind::Text, "Who makes usernames; `base` leaves that to Waldur.")
        .default("base"),
    Key::new(
        "stomp_enabled",
        Kind::Bool,
        "Whether orders come by events. In the flat form, `agent_mode: event_process` \
         switches it on.",
    )
    .default("false"),
    Key::new(
        "stomp_membership_sync_enabled",
        Kind::Bool,
        "Whether members come by events; follows stomp_enabled if not given.",
    )
    .example("true"),
    Key::new("websocket_use_tls", Kind::Bool, "Whether the web socket uses TLS (`wss`).").default("true"),
    Key::new("stomp_ws_host", Kind::Text, "Host of the web socket; that of waldur_api_url if not given.")
        .example("waldur.example.com"),
    Key::new(
        "stomp_ws_port",
        Kind::Int(1, 65_535),
        "Port of the web socket; 443 if not given, 80 with `verify_ssl: false`.",
    )
    .example("443"),
    Key::new("stomp_ws_path", Kind::Text, "Path of the web socket.").default("/rmqws-stomp"),
    Key::new(
        "resource_import_enabled",
        Kind::Bool,
        "Whether requests for importable resources are answered.",
    )
    .default("false"),
    Key::new(
        "username_reconciliation_enabled",
        Kind::Bool,
        "Whether usernames are compared with Waldur's in each full pass.",
    )
    .default("false"),
    Key::new(
        "verify_ssl",
        Kind::BoolOrPath,
        "Verification of Waldur's certificate: true, false, or a file of CA certificates.",
    )
    .default("true"),
    Key::new(
        "omit_anomalous_usage_components",
        Kind::Bool,
        "Whether a component whose usage went down is left out of the report, instead of \
         holding back the whole report.",
    )
    .default("false"),
    Key::new("backend_settings", Kind::Section(BACKEND_SETTINGS), "The cluster and what is done there."),
    Key::new(
        "backend_components",
        Kind::Map(&Kind::Section(COMPONENT)),
        "The components of the offering by their type.",
    ),
    Key::new(
        "default_quotas",
        Kind::Map(&Kind::Decimal(Bound::NotNegative)),
        "Amounts per component, in the component's unit, for a resource whose order names \
         none.",
    )
    .example("{cpu: 10, memory: 32, storage: 100, pods: 50}"),
    Key::new(
        "event_processing",
        Kind::Section(EVENT_PROCESSING),
        "A STOMP broker that is reached without web socket.",
    ),
    Key::new(
        "project_template",
        Kind::Section(PROJECT_TEMPLATE),
        "What each project is furnished with, and kept so.",
    ),
];

pub(crate) const EVENT_PROCESSING: &[Key] = &[
    Key::new("stomp_host", Kind::Text, "Host of the broker.").required().example("stomp.example.com"),
    Key::new("stomp_port", Kind::Int(1, 65_535), "Port of the broker.").default("61613"),
    Key::new("stomp_username", Kind::Text, "Login.").example("waldur-agent"),
    Key::new("stomp_password", Kind::Secret, "Passcode.").example("your-passcode"),
    Key::new("stomp_destination", Kind::Text, "The queue to read.").example("/queue/waldur.events"),
    Key::new("stomp_ssl", Kind::Bool, "Whether TLS is used.").default("true"),
    Key::new("stomp_heartbeat", Kind::Int(0, 3_600_000), "Heart-beat in milliseconds; 0 switches it off.")
        .default("10000"),
];

pub(crate) const PROJECT_TEMPLATE: &[Key] = &[
    Key::new(
        "enable_network_isolation",
        Kind::Bool,
        "Whether network policies keep the pods of other projects out; ingress, monitoring and the project's own pods \
         come in, and what leaves the project, such as DNS, is not restricted.",
    )
    .default("false"),
    Key::new("service_accounts", Kind::List(&Kind::Section(SERVICE_ACCOUNT)), "Service accounts to create.")
        .example("[{name: deployer}]"),
    Key::new("limit_ranges", Kind::List(&Kind::Section(LIMIT_RANGE_TEMPLATE)), "Further limit ranges.")
        .example("[{name: default-limits, limits: [{type: Pod, max: {cpu: '4', memory: 16Gi}}]}]"),
    Key::new(
        "resource_quotas",
        Kind::List(&Kind::Section(RESOURCE_QUOTA)),
        "Further quotas beside `waldur-quota`. Components set their keys by `resource_quota` of a quota target.",
    )
    .example("[{name: batch, scopes: [Terminating], hard: {pods: 20}}]"),
    Key::new("manifests", Kind::List(&Kind::Section(MANIFEST)), "Further objects, kept in place and taken away again when they leave the list. Each has `object`, as in a manifest \
         without namespace, and may have `reconcile` (always; or once: left to the tenant afterwards) and `recreate` \
         (deleted and made anew where a field cannot be changed). Texts may hold {{namespace}}, {{resource_uuid}}, \
         {{resource_name}}, {{resource_slug}}, {{project_name}}, {{project_slug}}, {{customer_name}}, \
         {{customer_slug}} and {{limit.<component>}}.")
        .example("[{object: {apiVersion: v1, kind: ConfigMap, metadata: {name: about}, data: {customer: '{{customer_name}}'}}}]"),
    Key::new(
        "labels",
        Kind::Map(&Kind::Text),
        "Further labels of the namespace; placeholders as in manifests.",
    )
    .example("{team: '{{project_slug}}'}"),
    Key::new(
        "annotations",
        Kind::Map(&Kind::Text),
        "Further annotations of the namespace; placeholders as in manifests.",
    )
    .example("{example.com/owner: '{{customer_name}}'}"),
    Key::new("pod_security", Kind::Section(POD_SECURITY), "Pod Security levels of the namespace (Kubernetes: Pod Security Admission)."),
    Key::new(
        "node_selector",
        Kind::Text,
        "Labels of the nodes that pods of the project may run on (OpenShift: openshift.io/node-selector).",
    )
    .example("region=east"),
];

const LEVEL: Kind = Kind::Choice(&["privileged", "baseline", "restricted"]);

pub(crate) const POD_SECURITY: &[Key] = &[
    Key::new("enforce", LEVEL, "Pods below this level are refused.").example("restricted"),
    Key::new("audit", LEVEL, "Pods below this level are noted in the audit log.").example("restricted"),
    Key::new("warn", LEVEL, "Whoever makes pods below this level is warned.").example("restricted"),
];

pub(crate) const MANIFEST: &[Key] = &[
    Key::new(
        "object",
        Kind::Any,
        "The object as in a manifest, without namespace. Texts may hold {{namespace}}, {{resource_uuid}}, \
         {{resource_name}}, {{resource_slug}}, {{project_name}}, {{project_slug}}, {{customer_name}}, \
         {{customer_slug}} and {{limit.<component>}}.",
    )
    .required(),
    Key::new(
        "reconcile",
        Kind::Choice(&["always", "once"]),
        "`always` puts back what the tenant changes or deletes; `once` makes the object and leaves it to the tenant.",
    )
    .default("always"),
    Key::new(
        "recreate",
        Kind::Bool,
        "Whether the object is deleted and made anew where a field cannot be changed.",
    )
    .default("false"),
];

pub(crate) const RESOURCE_QUOTA: &[Key] = &[
    Key::new(
        "name",
        Kind::Text,
        "Its name; `waldur-quota` adds fixed amounts to the quota that every project has.",
    )
    .required(),
    Key::new(
        "scopes",
        Kind::List(&SCOPE),
        "Which pods it counts (Kubernetes: Quota scopes); where they change the quota is made anew.",
    )
    .example("[Terminating]"),
    Key::new(
        "scopeSelector",
        Kind::Section(SCOPE_SELECTOR),
        "The same by expressions, such as those of certain priority classes.",
    )
    .example("{matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}"),
    Key::new(
        "hard",
        QUANTITIES,
        "Amounts that do not depend on what was bought; none of them while the resource is paused.",
    )
    .example("{pods: 20}"),
];

const SCOPE: Kind = Kind::Choice(&SCOPES);

pub(crate) const SCOPE_SELECTOR: &[Key] =
    &[Key::new("matchExpressions", Kind::List(&Kind::Section(SCOPE_EXPRESSION)), "All have to hold.")
        .required()];

pub(crate) const SCOPE_EXPRESSION: &[Key] = &[
    Key::new("scopeName", SCOPE, "The scope.").required(),
    Key::new("operator", Kind::Choice(&OPERATORS), "How it is compared; `Exists` for all but PriorityClass.")
        .required(),
    Key::new("values", Kind::List(&Kind::Text), "Priority classes, for In and NotIn."),
];

pub(crate) const SERVICE_ACCOUNT: &[Key] = &[Key::new("name", Kind::Text, "Its name.").required()];

pub(crate) const LIMIT_RANGE_TEMPLATE: &[Key] = &[
    Key::new("name", Kind::Text, "Its name.").required(),
    Key::new("limits", Kind::List(&Kind::Section(LIMIT_RANGE_ITEM)), "Its limits.").required(),
];

pub(crate) const LIMIT_RANGE_ITEM: &[Key] = &[
    Key::new("type", Kind::Choice(&["Pod", "Container", "PersistentVolumeClaim"]), "What it limits.")
        .required(),
    Key::new("max", QUANTITIES, "Largest limits."),
    Key::new("min", QUANTITIES, "Smallest requests."),
    Key::new("default", QUANTITIES, "Limits of a container that names none."),
    Key::new("defaultRequest", QUANTITIES, "Requests of a container that names none."),
];
