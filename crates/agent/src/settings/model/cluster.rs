//! The cluster of an offering and what is done there. Waldur contract §1.4, §1.5.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::settings::{CredentialUrl, ExactDecimal, Quantity};

/// How the API server is reached.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// Root of the API server.
    pub api_url: Url,
    /// The credential.
    pub token: ClusterToken,
    /// Verification of the API server's certificate.
    pub tls: TlsVerify,
    /// The name that the certificate must be for, where that is not the host of `api_url`.
    pub server_name: Option<String>,
    /// Certificate and key that the agent shows in TLS.
    pub client_certificate: Option<(PemSource, PemSource)>,
    /// Proxy for requests to the cluster.
    pub proxy: Option<CredentialUrl>,
    /// Where the agent keeps what has to last; the namespace of its service account if none is given.
    pub agent_namespace: Option<String>,
    /// The cluster's own Prometheus; that of `monitoring` if none is given.
    pub prometheus_url: Option<CredentialUrl>,
}

/// Where a text in PEM is.
#[derive(Clone, Debug)]
pub enum PemSource {
    /// In this file.
    File(PathBuf),
    /// Here.
    Text(SecretString),
}

/// Where the bearer token for the cluster comes from.
#[derive(Clone, Debug)]
pub enum ClusterToken {
    /// The token itself.
    Static(SecretString),
    /// A mounted service account: the file `token` in this directory, read anew when it changes.
    ServiceAccount {
        /// The directory.
        directory: PathBuf,
    },
    /// A file kept by somebody else, read anew when it changes, white space at the ends removed.
    File {
        /// The file.
        path: PathBuf,
    },
    /// An OAuth server.
    OAuth(Box<OAuthSettings>),
    /// A user of a kubeconfig.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The context; the current one if none is named.
        context: Option<String>,
        /// Whether a program makes the tokens.
        runs: bool,
    },
    /// None: this client certificate, with its key, says who the agent is.
    ClientCertificate(PemSource, PemSource),
}

/// A client of an OAuth server.
#[derive(Clone, Debug)]
pub struct OAuthSettings {
    /// What is shown to get tokens.
    pub grant: OAuthGrant,
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<SecretString>,
    /// Where tokens are fetched; asked of the API server if not given.
    pub token_endpoint: Option<Url>,
    /// What the token is to be good for.
    pub scope: Option<String>,
}

/// What is shown to an OAuth server.
#[derive(Clone, Debug)]
pub enum OAuthGrant {
    /// A refresh token.
    RefreshToken {
        /// The one to begin with.
        token: SecretString,
        /// Where the last one is kept.
        store: Option<RefreshTokenStore>,
    },
    /// The client's own id and secret.
    ClientCredentials,
    /// A user's name and password, to OpenShift's challenge flow.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: SecretString,
    },
}

/// A Secret in the namespace of the agent's pod.
#[derive(Clone, Debug)]
pub struct RefreshTokenStore {
    /// Name of the Secret.
    pub name: String,
    /// Root of the API server of the cluster that the agent runs in.
    pub api_url: Url,
    /// The service account of the pod: `token`, `ca.crt` and `namespace`.
    pub directory: PathBuf,
}

/// How a server's certificate is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsVerify {
    /// By the certificates of the system.
    System,
    /// By the certificates in this PEM file.
    CaFile(PathBuf),
    /// By the certificates in this PEM text.
    CaData(String),
    /// Not at all.
    Off,
}

/// Quantities by resource name, in the order of the file.
pub type ResourceQuantities = Vec<(String, Quantity)>;

/// The limit range that is made beside the quota, so that a pod without requests starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRangeSettings {
    /// Whether it is made.
    pub enabled: bool,
    /// Limits of a container that names none.
    pub default: ResourceQuantities,
    /// Requests of a container that names none.
    pub default_request: ResourceQuantities,
    /// Largest limits of a container.
    pub max: ResourceQuantities,
    /// Smallest requests of a container.
    pub min: ResourceQuantities,
}

/// What pause, downscale, restore and terminate do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// What each component is held at while paused; one that is not named gets 0.
    pub pause_quotas: Vec<(String, HeldQuota)>,
    /// The same while downscaled; a component that is not named gets 1.
    pub downscale_quotas: Vec<(String, HeldQuota)>,
    /// What a restored resource goes back to.
    pub restore: RestoreTo,
    /// Whether pause also scales workloads to 0.
    pub stop_workloads: bool,
    /// Whether a Terminate order is done before the project is gone.
    pub terminate_async: bool,
    /// Time between termination and deletion.
    pub terminate_grace: Duration,
    /// Whether termination keeps the namespace and takes quota and access away instead.
    pub soft_delete: bool,
}

/// What a component of a paused or downscaled resource is held at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldQuota {
    /// This much, in the component's unit.
    Amount(ExactDecimal),
    /// This share (0 to 1) of what was bought.
    Share(ExactDecimal),
}

/// What a restored resource goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RestoreTo {
    /// The limits in Waldur.
    Limits,
    /// The documented fixed amounts: 10 cores, 32 GB, 100 GB, 50 pods.
    Defaults,
}

/// How a namespace name is proved unique in Waldur before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniquenessCheck {
    /// `check_backend_id_uniqueness`
    pub enabled: bool,
    /// `check_all_offerings`
    pub all_offerings: bool,
    /// `backend_id_max_retries`
    pub max_retries: u32,
}
