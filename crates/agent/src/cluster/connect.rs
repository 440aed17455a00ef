//! The connection to one cluster, and what the agent has to know about it before it can work.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use planner::access::Abilities;
use planner::outcome::Failure;
use planner::policy::Flavour;
use planner::workloads::WorkloadKind;
use serde_json::{Value, json};
use url::Url;

use super::authorize::authorized;
use super::http::Http;
use super::kinds::Kind;
use super::store::Store;
use super::subjects::{Needs, USER};
use super::workloads;
use crate::ca_file;
use crate::credentials::Credential;
use crate::error::ApiError;
use crate::waldur::http::Verify;

/// How to reach one cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Root of the API, for example `https://api.cluster.example:6443`.
    pub api_url: Url,
    /// How its certificate is verified.
    pub verify: Verify,
    /// Proxy for all requests.
    pub proxy: Option<Url>,
    /// Deadline of one attempt.
    pub timeout: Duration,
    /// What is read and written there besides what every project has.
    pub needs: Needs,
}

/// What the cluster is and what the agent may do there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// See [`Flavour`].
    pub(crate) flavour: Flavour,
    /// User name of the agent; empty if the cluster does not tell.
    pub(crate) user: String,
    /// Kinds that may be watched; the others are listed.
    pub(crate) watchable: Vec<Kind>,
    /// False where limit ranges may be neither read nor written.
    pub(crate) limit_ranges: bool,
    /// Events may be left in namespaces.
    pub(crate) events: bool,
    /// What of [`Needs`] is served and allowed.
    pub(crate) abilities: Abilities,
    /// Kinds of workloads that may be stopped; empty where that is not asked for.
    pub(crate) workloads: Vec<WorkloadKind>,
}

impl Surroundings {
    /// Whether a kind can be read at all.
    pub(crate) const fn can_read(&self, kind: Kind) -> bool {
        match kind {
            Kind::Namespace | Kind::Quota | Kind::RoleBinding => true,
            Kind::LimitRange => self.limit_ranges,
            Kind::Group => self.abilities.groups,
            Kind::ServiceAccount => self.abilities.service_accounts,
            Kind::Identity => self.abilities.identities,
        }
    }
}

/// What has to be allowed to keep objects of a kind.
const KEEP: [&str; 5] = ["get", "list", "create", "patch", "delete"];
/// What has to be allowed to make users known to an identity provider.
const MAKE_IDENTITIES: [(&str, &str); 4] = [
    ("list", "identities"),
    ("create", "identities"),
    ("create", "users"),
    ("create", "useridentitymappings"),
];

/// One cluster.
pub struct Cluster {
    pub(crate) http: Http,
    /// For watches: without the deadline that ordinary requests have.
    pub(crate) watch_client: Client,
    pub(crate) store: RwLock<Store>,
    pub(crate) state: RwLock<super::observe::State>,
    pub(crate) needs: Needs,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("http", &self.http).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Sets up the connection; nothing is sent yet.
    ///
    /// # Errors
    /// A URL, CA file or proxy that cannot be used.
    pub fn new(options: &ClusterOptions, credential: Arc<Credential>) -> anyhow::Result<Self> {
        let client = ClientBuilder::try_from(config(options)?).context("cannot set up the client for OKD")?;
        let client = client.build();
        let watch_client = authorized(client.clone(), Arc::clone(&credential));
        Ok(Self {
            http: Http::new(client, credential, options),
            watch_client,
            store: RwLock::default(),
            state: RwLock::default(),
            needs: options.needs,
        })
    }

    /// Finds out what kind of cluster it is, who the agent is there, and what it may do.
    pub(crate) async fn explore(&self) -> Result<Surroundings, ApiError> {
        let flavour = match self.http.get("/apis/project.openshift.io/v1").await {
            Ok(_) => Flavour::OpenShift,
            Err(error) if error.is_not_found() => Flavour::Kubernetes,
            Err(error) => return Err(error),
        };
        let kinds = self.needs.kinds().into_iter();
        let watchable = futures::future::try_join_all(kinds.map(|kind| async move {
            let (watch, list) = futures::try_join!(self.may("watch", kind), self.may("list", kind))?;
            Ok::<_, ApiError>((watch && list).then_some(kind))
        }));
        let limit_ranges = self.may_all(&["patch", "list"], Kind::LimitRange);
        let (user, watchable, limit_ranges, events, abilities, workloads) = futures::try_join!(
            self.user_name(flavour),
            watchable,
            limit_ranges,
            self.may_on("create", "", "events"),
            self.abilities(flavour),
            self.stoppable(flavour)
        )?;
        let found =
            Surroundings { flavour, user, watchable: Vec::new(), limit_ranges, events, abilities, workloads };
        let watchable = watchable.into_iter().flatten().filter(|kind| found.can_read(*kind)).collect();
        Ok(Surroundings { watchable, ..found })
    }

    /// What of the needs is served and allowed. What is not needed is not asked for.
    async fn abilities(&self, flavour: Flavour) -> Result<Abilities, ApiError> {
        let openshift = flavour == Flavour::OpenShift;
        let Needs { groups, service_accounts, identities, workloads: _ } = self.needs;
        let keep = async |needed: bool, kind: Kind| Ok(needed && self.may_all(&KEEP, kind).await?);
        let identities = async {
            let mut allowed = openshift && identities;
            for (verb, plural) in MAKE_IDENTITIES {
                allowed = allowed && self.may_on(verb, USER, plural).await?;
            }
            Ok(allowed)
        };
        let (groups, service_accounts, identities) = futures::try_join!(
            keep(openshift && groups, Kind::Group),
            keep(service_accounts, Kind::ServiceAccount),
            identities
        )?;
        Ok(Abilities { groups, service_accounts, identities })
    }

    /// Kinds of workloads that may be stopped.
    async fn stoppable(&self, flavour: Flavour) -> Result<Vec<WorkloadKind>, ApiError> {
        if !self.needs.workloads {
            return Ok(Vec::new());
        }
        let served =
            |kind: &WorkloadKind| flavour == Flavour::OpenShift || *kind != WorkloadKind::DeploymentConfig;
        let kinds = WorkloadKind::ALL.into_iter().filter(served).map(|kind| async move {
            let (group, plural) = workloads::place(kind);
            let (list, patch) =
                futures::try_join!(self.may_on("list", group, plural), self.may_on("patch", group, plural))?;
            Ok::<_, ApiError>((list && patch).then_some(kind))
        });
        Ok(futures::future::try_join_all(kinds).await?.into_iter().flatten().collect())
    }

    /// The agent's own user name (Kubernetes: SelfSubjectReview, since 1.28; OpenShift: users/~).
    async fn user_name(&self, flavour: Flavour) -> Result<String, ApiError> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let error = match self.http.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await {
            Ok(answer) => return Ok(text(&answer, "/status/userInfo/username")),
            Err(error) => error,
        };
        if !error.is_not_found() && error.failure != Failure::Forbidden {
            return Err(error);
        }
        if flavour == Flavour::Kubernetes {
            return Ok(String::new());
        }
        match self.http.get("/apis/user.openshift.io/v1/users/~").await {
            Ok(user) => Ok(text(&user, "/metadata/name")),
            Err(error) if error.is_not_found() || error.failure == Failure::Forbidden => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether the agent may do this in all namespaces (Kubernetes: SelfSubjectAccessReview).
    async fn may(&self, verb: &str, kind: Kind) -> Result<bool, ApiError> {
        self.may_on(verb, kind.group(), kind.plural()).await
    }

    async fn may_all(&self, verbs: &[&str], kind: Kind) -> Result<bool, ApiError> {
        let answers = verbs.iter().map(|verb| self.may(verb, kind));
        Ok(futures::future::try_join_all(answers).await?.into_iter().all(|allowed| allowed))
    }

    async fn may_on(&self, verb: &str, group: &str, plural: &str) -> Result<bool, ApiError> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": plural}},
        });
        let answer =
            self.http.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
        Ok(answer.pointer("/status/allowed") == Some(&Value::Bool(true)))
    }
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn config(options: &ClusterOptions) -> anyhow::Result<Config> {
    let uri = options.api_url.as_str().trim_end_matches('/').parse().context("the API URL cannot be used")?;
    let mut config = Config::new(uri);
    config.default_retry = false;
    config.connect_timeout = Some(options.timeout.min(Duration::from_secs(10)));
    match &options.verify {
        Verify::System => {}
        Verify::Off => config.accept_invalid_certs = true,
        Verify::CaFile(path) => {
            config.root_cert = Some(ca_file::read(path)?);
            // Read again from time to time, so that a renewed CA is taken without a restart.
            config.root_cert_file = Some(path.clone());
        }
    }
    if let Some(proxy) = &options.proxy {
        config.proxy_url = Some(proxy.as_str().parse().context("the proxy URL cannot be used")?);
    }
    Ok(config)
}
