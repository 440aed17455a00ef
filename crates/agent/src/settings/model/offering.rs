//! The settings of one offering. Waldur contract §1.3.

use std::collections::BTreeMap;
use std::path::PathBuf;

use planner::access::{AccountRule, RoleTable, SubjectRule};
use planner::policy::Naming;
use planner::quota::scopes::Scopes;
use planner::template::TemplateObject;
use planner::usernames::UsernameRule;
use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

use super::{
    ClusterSettings, ComponentSettings, Lifecycle, LimitRangeSettings, ResourceQuantities, TlsVerify,
    UniquenessCheck,
};
use crate::settings::{ExactDecimal, Quantity, QuotaKey};

/// One offering of Waldur and the cluster that provides it.
#[derive(Clone, Debug)]
pub struct OfferingSettings {
    /// The name used in logs.
    pub name: String,
    /// The root of the Waldur server, ending with `/` and without `api/`: `https://portal.ai/` for
    /// `https://portal.ai/api/`. Join `api/…` to it.
    pub waldur_api_url: Url,
    /// The credential for Waldur.
    pub waldur_api_token: TokenSource,
    /// The offering.
    pub offering_uuid: Uuid,
    /// The same as written in the file, for requests that repeat it.
    pub offering_uuid_text: String,
    /// `backend_type` in lower case.
    pub backend_type: String,
    /// Whether orders are processed.
    pub order_processing: bool,
    /// Whether members, status and limits are kept.
    pub membership_sync: bool,
    /// Whether usage is reported.
    pub reporting: bool,
    /// `username_management_backend`; `base` does nothing.
    pub username_management_backend: String,
    /// Events.
    pub stomp: StompSettings,
    /// Verification of Waldur's certificate.
    pub verify_ssl: TlsVerify,
    /// Whether importable resources are announced.
    pub resource_import_enabled: bool,
    /// Whether usernames are compared with Waldur's in each full pass.
    pub username_reconciliation_enabled: bool,
    /// Whether a component whose usage went down is left out of the report, instead of holding back all of it.
    pub omit_anomalous_usage_components: bool,
    /// The cluster.
    pub cluster: ClusterSettings,
    /// How namespaces and annotations are named.
    pub naming: Naming,
    /// Which Waldur role gets which ClusterRole.
    pub roles: RoleTable,
    /// How Waldur users become subjects of role bindings.
    pub subjects: SubjectRule,
    /// The identity provider that is to know users before their first login.
    pub identity_provider: Option<String>,
    /// How Waldur service accounts become subjects.
    pub service_accounts: AccountRule,
    /// How usernames are made where the offering leaves that to the service provider.
    pub usernames: UsernameRule,
    /// The components in the order of the file.
    pub components: Vec<ComponentSettings>,
    /// The limit range made beside the quota.
    pub limit_range: LimitRangeSettings,
    /// Amounts per component, in the component's unit, for a resource whose order names none.
    pub default_quotas: Vec<(String, ExactDecimal)>,
    /// What pause, downscale, restore and terminate do.
    pub lifecycle: Lifecycle,
    /// How a namespace name is proved unique in Waldur.
    pub uniqueness: UniquenessCheck,
    /// Whether a namespace that Waldur names and that lacks our labels may be taken over.
    pub adopt: bool,
    /// Whether owners of the organization get access without a role in the project.
    pub grant_organization_owners: bool,
    /// The share (0 to 1) of grants or namespaces that may be removed in one pass; more is held back.
    pub removal_guard: ExactDecimal,
    /// Whether `resource_periodic_limits` events are subscribed to.
    pub periodic_limits: bool,
    /// What a new project is furnished with.
    pub project_template: ProjectTemplate,
}

impl OfferingSettings {
    /// The component of this name.
    pub fn component(&self, name: &str) -> Option<&ComponentSettings> {
        self.components.iter().find(|component| component.name == name)
    }
}

/// Where the credential for Waldur comes from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// `waldur_api_token`: sent as `Authorization: Token …`, and the passcode at the broker.
    Static(SecretString),
    /// `waldur_api_token_file`: as above, read anew when used, white space at the ends removed.
    File(PathBuf),
    /// Client credentials at an OpenID provider; the access token is sent as `Authorization: Bearer …`.
    Oidc {
        /// The token endpoint.
        token_url: Url,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: SecretString,
    },
}

/// Events over web STOMP, and the broker of the flat form.
#[derive(Clone, Debug)]
pub struct StompSettings {
    /// Whether orders come by events.
    pub enabled: bool,
    /// Whether members come by events; what the file leaves open follows `enabled`.
    pub membership_sync: bool,
    /// `wss` or `ws`.
    pub websocket_use_tls: bool,
    /// Host of the web socket.
    pub ws_host: String,
    /// Port of the web socket.
    pub ws_port: u16,
    /// Path of the web socket, with a leading `/`.
    pub ws_path: String,
    /// A broker named by `event_processing`.
    pub broker: Option<BrokerSettings>,
}

/// `event_processing` of the flat form: a broker over plain TCP or TLS.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    /// Host.
    pub host: String,
    /// Port; 61613 if not given.
    pub port: u16,
    /// Login.
    pub username: Option<String>,
    /// Passcode.
    pub password: Option<SecretString>,
    /// The queue to read.
    pub destination: Option<String>,
    /// Whether TLS is used.
    pub ssl: bool,
    /// Heart-beat in milliseconds, both ways; 0 switches it off.
    pub heartbeat_ms: u32,
}

/// `project_template` of the flat form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectTemplate {
    /// Whether a network policy separates the project from the others.
    pub enable_network_isolation: bool,
    /// Names of service accounts to create.
    pub service_accounts: Vec<String>,
    /// Further limit ranges.
    pub limit_ranges: Vec<LimitRangeTemplate>,
    /// Further quotas, and what else `waldur-quota` limits.
    pub resource_quotas: Vec<ResourceQuotaTemplate>,
    /// Further objects.
    pub manifests: Vec<TemplateObject>,
    /// Further labels of the namespace, Pod Security included.
    pub labels: BTreeMap<String, String>,
    /// Further annotations of the namespace, the node selector included.
    pub annotations: BTreeMap<String, String>,
}

/// One quota of `project_template`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceQuotaTemplate {
    /// `metadata.name`
    pub name: String,
    /// What it counts.
    pub scopes: Scopes,
    /// Amounts that do not depend on what was bought.
    pub hard: Vec<(QuotaKey, Quantity)>,
}

/// One limit range of `project_template`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRangeTemplate {
    /// `metadata.name`
    pub name: String,
    /// `spec.limits`
    pub limits: Vec<LimitRangeItem>,
}

/// Kubernetes: LimitRangeItem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitRangeItem {
    /// `Pod`, `Container` or `PersistentVolumeClaim`.
    pub kind: String,
    /// Largest limit.
    pub max: ResourceQuantities,
    /// Smallest request.
    pub min: ResourceQuantities,
    /// Limit of a container that names none.
    pub default: ResourceQuantities,
    /// Request of a container that names none.
    pub default_request: ResourceQuantities,
}
