//! The connection to one cluster, and what the agent has to know about it before it can work.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use kube::Client;
use planner::access::Abilities;
use planner::outcome::Failure;
use planner::policy::Flavour;
use planner::template::{ObjectApi, Template};
use planner::workloads::WorkloadKind;
use serde_json::{Value, json};
use url::Url;

use super::authorize::authorized;
use super::connection::Connection;
use super::http::Http;
use super::kinds::{Kind, QUOTA};
use super::rights::{self, Feature, Right};
use super::sights::Sights;
use super::store::Store;
use super::subjects::Needs;
use super::template::TemplateStore;
use super::watch::Watches;
use super::workloads;
use crate::credentials::Credential;
use crate::error::{ApiError, Peer};
use crate::metrics::Metrics;
use crate::settings::PemSource;
use crate::waldur::http::Verify;

/// How to reach one cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Root of the API, for example `https://api.cluster.example:6443`.
    pub api_url: Url,
    /// How its certificate is verified.
    pub verify: Verify,
    /// The name that its certificate must be for, where that is not the host of `api_url`.
    pub server_name: Option<String>,
    /// What the agent shows of itself in TLS, unless the credential has something else. Files are read again.
    pub client_certificate: Option<(PemSource, PemSource)>,
    /// Proxy for all requests.
    pub proxy: Option<Url>,
    /// Deadline of one attempt.
    pub timeout: Duration,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// What is read and written there besides what every project has.
    pub needs: Needs,
    /// What projects are furnished with.
    pub template: Template,
    /// ClusterRoles that members get.
    pub roles: Vec<String>,
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
    /// The same of the kinds of the project template.
    pub(crate) watchable_template: Vec<ObjectApi>,
    /// False where limit ranges may be neither read nor written.
    pub(crate) limit_ranges: bool,
    /// Events may be left in namespaces.
    pub(crate) events: bool,
    /// What of [`Needs`] is served and allowed.
    pub(crate) abilities: Abilities,
    /// The project template, with the paths of its kinds.
    pub(crate) template: Arc<Template>,
    /// Kinds of workloads that may be stopped; empty where that is not asked for.
    pub(crate) workloads: Vec<WorkloadKind>,
    /// What of the table of rights is not allowed, of what the agent can do without.
    pub(crate) missing: Vec<Missing>,
}

/// A right that the agent does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) feature: Feature,
    /// The rule that would grant it.
    pub(crate) rule: Value,
}

impl Surroundings {
    /// Whether a kind may be watched.
    fn can_watch(&self, (group, plural): (&str, &str)) -> bool {
        let of_kind = |missing: &&Missing| {
            missing.rule["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|verb| verb == "watch"))
                && missing.rule["resources"][0] == plural
                && missing.rule["apiGroups"][0] == group
        };
        !self.missing.iter().any(|missing| of_kind(&missing))
    }

    /// Whether a kind can be read at all.
    pub(crate) const fn can_read(&self, kind: Kind) -> bool {
        match kind {
            Kind::Namespace | Kind::Quota | Kind::RoleBinding | Kind::ClusterQuota => true,
            Kind::LimitRange => self.limit_ranges,
            Kind::Group => self.abilities.groups,
            Kind::ServiceAccount => self.abilities.service_accounts,
            Kind::Identity => self.abilities.identities,
        }
    }
}

/// One cluster.
pub struct Cluster {
    pub(crate) http: Http,
    /// For watches: without the deadline that ordinary requests have.
    pub(crate) watch_client: Client,
    pub(crate) store: RwLock<Store>,
    pub(crate) state: RwLock<super::observe::State>,
    /// How far the watches of our objects have come.
    pub(super) sights: Sights<Kind>,
    /// Watches that have not begun yet.
    pub(super) wanted: Mutex<Option<Watches>>,
    pub(crate) needs: Needs,
    pub(crate) template: Template,
    pub(crate) furnished: TemplateStore,
    /// ClusterRoles that members get.
    pub(crate) roles: Vec<String>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("http", &self.http).finish_non_exhaustive()
    }
}

impl Cluster {
    /// What its requests are authorized with.
    pub(crate) fn credential(&self) -> Arc<Credential> {
        self.http.credential()
    }

    /// Sets up the connection; nothing is sent yet.
    ///
    /// # Errors
    /// A URL, CA file or proxy that cannot be used.
    pub fn new(options: &ClusterOptions, credential: Arc<Credential>) -> anyhow::Result<Self> {
        let connection = Arc::new(Connection::new(options, Arc::clone(&credential))?);
        let watch_client = authorized(Arc::clone(&connection), Arc::clone(&credential), options.timeout);
        Ok(Self {
            http: Http::new(connection, credential, options),
            watch_client,
            store: RwLock::new(Store::keeping(template_keys(&options.template))),
            state: RwLock::default(),
            sights: Sights::default(),
            wanted: Mutex::default(),
            needs: options.needs,
            template: options.template.clone(),
            furnished: TemplateStore::default(),
            roles: options.roles.clone(),
        })
    }

    /// Finds out what kind of cluster it is, who the agent is there, and what it may do.
    pub(crate) async fn explore(&self) -> Result<Surroundings, ApiError> {
        let flavour = self.flavour().await?;
        if self.needs.cluster_quotas {
            self.check_cluster_quotas().await?;
        }
        let template = Arc::new(self.resolved_template().await?);
        let optional = |feature: Feature| feature != Feature::Diagnostics && feature.without().is_some();
        let rights = self.rights(flavour, &template);
        let (user, missing) = futures::try_join!(self.user_name(flavour), self.missing(&rights, optional))?;
        let has = |feature: Feature| !missing.iter().any(|missing| missing.feature == feature);
        let openshift = flavour == Flavour::OpenShift;
        let Needs { limit_ranges, groups, service_accounts, identities, .. } = self.needs;
        let abilities = Abilities {
            groups: openshift && groups && has(Feature::Groups),
            service_accounts: service_accounts && has(Feature::ServiceAccounts),
            identities: openshift && identities && has(Feature::Identities),
        };
        let limit_ranges = limit_ranges && has(Feature::LimitRanges);
        let events = has(Feature::Events);
        let workloads = self.stoppable(flavour, &missing);
        let found = Surroundings {
            flavour,
            user,
            watchable: Vec::new(),
            watchable_template: Vec::new(),
            limit_ranges,
            events,
            abilities,
            template,
            workloads,
            missing,
        };
        let watchable = self.needs.kinds().into_iter();
        let watchable = watchable
            .filter(|kind| found.can_read(*kind) && found.can_watch((kind.group(), kind.plural())))
            .collect();
        let apis: BTreeSet<ObjectApi> =
            found.template.objects.iter().map(|object| object.api.clone()).collect();
        let watchable_template =
            apis.into_iter().filter(|api| found.can_watch((api.group(), &api.plural))).collect();
        Ok(Surroundings { watchable, watchable_template, ..found })
    }

    /// An error where the cluster has no quotas over several namespaces.
    async fn check_cluster_quotas(&self) -> Result<(), ApiError> {
        let path = format!("/apis/{QUOTA}/v1");
        let list = match self.http.get(&path).await {
            Err(error) if error.is_not_found() => Value::Null,
            list => list?,
        };
        let mut served = list["resources"].as_array().into_iter().flatten();
        if served.any(|resource| resource["name"] == Kind::ClusterQuota.plural()) {
            return Ok(());
        }
        let message = "`namespaces` needs OpenShift's ClusterResourceQuota (quota.openshift.io/v1), which this cluster does not \
                       serve; take `namespaces` out of `backend_settings`, or use a cluster of OpenShift or OKD";
        let error = ApiError::unexpected(Peer::Cluster, &format!("GET {path}"), message);
        Err(ApiError { failure: Failure::Invalid, ..error })
    }

    /// Whether the cluster has OpenShift's projects.
    pub(crate) async fn flavour(&self) -> Result<Flavour, ApiError> {
        match self.http.get("/apis/project.openshift.io/v1").await {
            Ok(_) => Ok(Flavour::OpenShift),
            Err(error) if error.is_not_found() => Ok(Flavour::Kubernetes),
            Err(error) => Err(error),
        }
    }

    /// Everything that the agent has to be allowed; see [`super::rights`].
    pub(crate) fn rights(&self, flavour: Flavour, template: &Template) -> Vec<Right> {
        let mut rights = self.needs.rights(flavour, &self.roles);
        let kinds = template.objects.iter().map(|object| &object.api);
        let kinds = kinds.map(|api| (api.group().to_owned(), api.plural.clone())).collect();
        rights.extend(rights::of_template(&kinds, template.cluster_roles(), &rights));
        rights
    }

    /// What of these features is not allowed, by the server's own answer for each verb and name.
    pub(crate) async fn missing(
        &self,
        rights: &[Right],
        of: impl Fn(Feature) -> bool,
    ) -> Result<Vec<Missing>, ApiError> {
        let rights = rights.iter().filter(|right| of(right.feature));
        let asked = rights.map(|right| async move { self.lacking(right).await });
        Ok(futures::future::try_join_all(asked).await?.into_iter().flatten().collect())
    }

    /// The part of a right that the agent does not have.
    async fn lacking(&self, right: &Right) -> Result<Option<Missing>, ApiError> {
        let unnamed = [String::new()];
        let names = if right.names.is_empty() { &unnamed[..] } else { &right.names[..] };
        let asked = right.verbs.iter().flat_map(|verb| names.iter().map(move |name| (*verb, name)));
        let asked = asked.map(|(verb, name)| async move {
            Ok::<_, ApiError>((verb, name, self.may(verb, (&right.group, &right.resource), name).await?))
        });
        let answers = futures::future::try_join_all(asked).await?;
        let refused: Vec<_> = answers.into_iter().filter(|(_, _, allowed)| !allowed).collect();
        if refused.is_empty() {
            return Ok(None);
        }
        let verbs =
            right.verbs.iter().copied().filter(|verb| refused.iter().any(|(asked, ..)| asked == verb));
        let verbs: Vec<&str> = verbs.collect();
        let names = names.iter().filter(|name| refused.iter().any(|(_, asked, _)| asked == name)).cloned();
        let rule = right.only(&verbs, &names.collect::<Vec<_>>());
        Ok(Some(Missing { feature: right.feature, rule }))
    }

    /// Kinds of workloads that may be stopped.
    fn stoppable(&self, flavour: Flavour, missing: &[Missing]) -> Vec<WorkloadKind> {
        let served =
            |kind: &WorkloadKind| flavour == Flavour::OpenShift || *kind != WorkloadKind::DeploymentConfig;
        let lacks = |kind: &WorkloadKind| {
            let (_, plural) = workloads::place(*kind);
            let mut missing = missing.iter().filter(|missing| missing.feature == Feature::Workloads);
            missing.any(|missing| missing.rule["resources"][0] == plural)
        };
        let kinds = WorkloadKind::ALL.into_iter().filter(|_| self.needs.workloads);
        kinds.filter(served).filter(|kind| !lacks(kind)).collect()
    }

    /// The agent's own user name (Kubernetes: SelfSubjectReview, since 1.28; OpenShift: users/~).
    pub(crate) async fn user_name(&self, flavour: Flavour) -> Result<String, ApiError> {
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

    /// Whether the agent may do this in all namespaces (Kubernetes: SelfSubjectAccessReview); `name` empty for all
    /// objects.
    pub(super) async fn may(
        &self,
        verb: &str,
        (group, resource): (&str, &str),
        name: &str,
    ) -> Result<bool, ApiError> {
        let attributes = json!({"verb": verb, "group": group, "resource": resource, "name": name});
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        });
        let answer =
            self.http.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await?;
        Ok(answer.pointer("/status/allowed") == Some(&Value::Bool(true)))
    }
}

/// Labels and annotations of namespaces that a template sets.
pub(super) fn template_keys(template: &Template) -> BTreeSet<String> {
    template.labels.keys().chain(template.annotations.keys()).cloned().collect()
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A sender of requests to a cluster that is not worked on.
pub(super) fn http(options: &ClusterOptions, credential: Arc<Credential>) -> anyhow::Result<Http> {
    let connection = Connection::new(options, Arc::clone(&credential))?;
    Ok(Http::new(Arc::new(connection), credential, options))
}
