//! What the diagnostics have found out, before anybody judges it. Plain values.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use planner::policy::Flavour;
use uuid::Uuid;

use crate::cluster::connect::Missing;
use crate::credentials::CredentialStatus;
use crate::error::ApiError;
use crate::waldur::dto;
use crate::waldur::http::Verify;
use crate::waldur::inspect::{Me, OfferingAnswer};

/// What was asked, or why there is no answer. `None` where it was not asked, because it could not be answered.
pub(crate) type Answer<T> = Option<Result<T, ApiError>>;

/// All that is known about one offering.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) now: Timestamp,
    pub(crate) configured: Configured,
    pub(crate) waldur: WaldurFacts,
    pub(crate) cluster: ClusterFacts,
    pub(crate) broker: Option<BrokerFacts>,
}

/// What the configuration says, as far as it is compared with something.
#[derive(Clone, Debug)]
pub(crate) struct Configured {
    pub(crate) name: String,
    pub(crate) uuid: String,
    /// Type, unit and billing of each component.
    pub(crate) components: Vec<(String, String, &'static str)>,
    pub(crate) namespace_prefix: String,
    /// What the agent is to do for the offering, in words.
    pub(crate) work: Vec<&'static str>,
    /// Warnings about the file.
    pub(crate) warnings: Vec<String>,
}

/// A way to a server, step by step; a step after one that failed is `None`.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Scheme, host and port.
    pub(crate) server: String,
    /// Host and port of the configured proxy.
    pub(crate) proxy: Option<String>,
    /// The environment names a proxy, which the requests may use and these steps do not.
    pub(crate) environment_proxy: bool,
    pub(crate) addresses: Result<Vec<SocketAddr>, String>,
    pub(crate) connected: Option<Result<(SocketAddr, Duration), String>>,
    pub(crate) tls: Option<Result<TlsFacts, String>>,
    pub(crate) verify: Verify,
    /// By how much the server's clock is ahead of this machine's; whole seconds, since it tells no more.
    pub(crate) skew: Option<SignedDuration>,
}

/// What a server presents.
#[derive(Clone, Debug)]
pub(crate) struct TlsFacts {
    /// For example `TLSv1.3`.
    pub(crate) version: String,
    /// The server's own certificate first.
    pub(crate) chain: Vec<CertificateFacts>,
    /// Whether the configured roots vouch for it, whatever `verify` says.
    pub(crate) verified: Result<(), String>,
}

/// One certificate.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFacts {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// Names and addresses that it is for.
    pub(crate) names: Vec<String>,
    pub(crate) expires: Timestamp,
}

/// Waldur.
#[derive(Clone, Debug)]
pub(crate) struct WaldurFacts {
    pub(crate) connection: Connection,
    pub(crate) token: CredentialStatus,
    pub(crate) me: Answer<Me>,
    /// As the server tells it; it tells staff only.
    pub(crate) version: Answer<String>,
    /// True for a server of 2024.
    pub(crate) is_legacy: Answer<bool>,
    pub(crate) offering: Answer<OfferingAnswer>,
    pub(crate) orders: Answer<Vec<dto::Order>>,
    /// Id and namespace of each resource in use.
    pub(crate) resources: Answer<Vec<(Uuid, String)>>,
}

/// The cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterFacts {
    pub(crate) connection: Connection,
    pub(crate) token: CredentialStatus,
    pub(crate) flavour: Answer<Flavour>,
    /// Version of the Kubernetes API.
    pub(crate) kubernetes: Answer<String>,
    /// Version of OKD or OpenShift.
    pub(crate) openshift: Answer<String>,
    pub(crate) user: Answer<String>,
    pub(crate) missing: Answer<Vec<Missing>>,
    /// How many rights were asked for.
    pub(crate) rights: usize,
    /// Each ClusterRole that members get, and whether it exists.
    pub(crate) roles: Vec<(String, Result<bool, ApiError>)>,
    /// Groups and users who may request projects by themselves.
    pub(crate) self_provisioners: Answer<Vec<String>>,
    pub(crate) namespaces: Answer<Vec<NamespaceFacts>>,
}

/// A namespace.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceFacts {
    pub(crate) name: String,
    /// It carries the agent's label.
    pub(crate) managed: bool,
    pub(crate) resource: Option<Uuid>,
    pub(crate) terminating: bool,
}

/// The broker of events.
#[derive(Clone, Debug)]
pub(crate) struct BrokerFacts {
    pub(crate) url: String,
    pub(crate) connection: Connection,
    /// The broker's words about the login; `Err` with why it was not tried or what was refused.
    pub(crate) login: Login,
}

/// What became of a login at the broker.
#[derive(Clone, Debug)]
pub(crate) enum Login {
    /// Accepted, by this server.
    Accepted(String),
    /// Refused or broken off.
    Failed(String),
    /// Nothing to log in with yet.
    NotTried(&'static str),
}
