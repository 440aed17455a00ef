//! A simulated OKD/OpenShift API server, or a plain Kubernetes one.
//!
//! Answers as kube-apiserver 1.36 and openshift-apiserver were measured to answer: projects, quotas, role bindings, RBAC,
//! server-side apply, watches, deletion. State is in memory. Shares no code with the clients it judges.
//!
//! [`Okd`] is the cluster; [`Okd::router`] is its API; its other methods are what a cluster administrator, or fate, does.

mod admin;
mod answer;
mod controllers;
mod discovery;
mod http;
mod kinds;
mod list;
mod managed;
mod names;
mod objects;
mod patch;
mod projects;
mod projects_view;
mod protobuf;
mod quantity;
mod quota;
mod rbac;
mod request;
mod reviews;
mod roles;
mod scopes;
mod selector;
mod status;
mod store;
mod users;
mod validate;
mod watch;
mod workloads;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use jiff::Timestamp;

use self::controllers::Job;
use self::kinds::Kind;
use self::store::Store;
use crate::clock::Clock;
use crate::oauth::OAuth;
use crate::server::ServeOptions;

pub use self::admin::{AUDIENCE, kubeconfig};
pub use self::rbac::User;
pub use self::request::shape;
pub use self::roles::{documented_agent_rules, extended_agent_rules};

/// Which API groups the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavour {
    /// With projects and users.
    #[default]
    OpenShift,
    /// Without `*.openshift.io`.
    Kubernetes,
}

/// What a simulated cluster is like.
#[derive(Debug, Clone)]
pub struct OkdOptions {
    /// Time of creation stamps and of token expiry.
    pub clock: Clock,
    /// Seed of UIDs and generated names.
    pub seed: u64,
    /// Which API groups exist.
    pub flavour: Flavour,
    /// How long an empty namespace stays `Terminating`; a real cluster takes five seconds.
    pub termination_delay: Duration,
    /// How late controllers act: quota status, furnishing of namespaces, deletion of content. With zero they act right after
    /// the answer that set them off was made.
    pub settle_delay: Duration,
    /// How old the list of projects may be; a real cluster refreshes it each second.
    pub project_list_staleness: Duration,
    /// Whether a project request makes its requester `admin`; a custom project template may not.
    pub bind_requester: bool,
    /// How many changes per resource watches can look back on.
    pub watch_history: usize,
    /// Time between bookmarks of a watch that asked for them.
    pub bookmark_interval: Duration,
}

impl Default for OkdOptions {
    fn default() -> Self {
        Self {
            clock: Clock::new(),
            seed: 0,
            flavour: Flavour::OpenShift,
            termination_delay: Duration::from_secs(5),
            settle_delay: Duration::from_millis(50),
            project_list_staleness: Duration::from_secs(1),
            bind_requester: true,
            watch_history: 10_000,
            bookmark_interval: Duration::from_secs(60),
        }
    }
}

impl OkdOptions {
    /// Nothing is late: for tests that do not look at delays.
    #[must_use]
    pub fn immediate() -> Self {
        Self {
            termination_delay: Duration::ZERO,
            settle_delay: Duration::ZERO,
            project_list_staleness: Duration::ZERO,
            ..Self::default()
        }
    }
}

struct Token {
    user: User,
    expires: Option<Timestamp>,
}

/// Everything that changes.
struct State {
    store: Store,
    tokens: HashMap<String, Token>,
    /// Namespaces made lately, with the millisecond of their creation.
    fresh: Vec<(String, i64)>,
    /// Jobs that wait for their time.
    waiting: HashSet<Job>,
    aggregated_down: bool,
    oauth: Option<OAuth>,
    /// Who shows which certificate.
    certificates: HashMap<Vec<u8>, User>,
}

struct Inner {
    options: OkdOptions,
    state: Mutex<State>,
}

/// A simulated cluster; clones are the same cluster.
#[derive(Clone)]
pub struct Okd {
    inner: Arc<Inner>,
}

impl Okd {
    /// A fresh cluster with its system namespaces and default roles.
    #[must_use]
    pub fn new(options: OkdOptions) -> Self {
        let state = State {
            store: Store::new(options.seed, options.watch_history),
            tokens: HashMap::new(),
            fresh: Vec::new(),
            waiting: HashSet::new(),
            aggregated_down: false,
            oauth: None,
            certificates: HashMap::new(),
        };
        let okd = Self { inner: Arc::new(Inner { options, state: Mutex::new(state) }) };
        okd.bootstrap();
        okd
    }

    /// The API.
    pub fn router(&self) -> Router {
        Router::new().fallback(http::handle).with_state(self.clone())
    }

    /// How to serve it: error statuses in its format, counts by its path shapes.
    #[must_use]
    pub fn serve_options() -> ServeOptions {
        ServeOptions { shaper: answer::injected, shape, ..ServeOptions::default() }
    }

    /// How this cluster was made.
    #[must_use]
    pub fn options(&self) -> &OkdOptions {
        &self.inner.options
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        self.inner.options.clock.now()
    }

    /// The time as objects show it.
    fn now_text(&self) -> String {
        self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Runs what follows from a change of one object, now or later.
    fn changed(&self, kind: &Kind, namespace: &str, name: &str) {
        let jobs = controllers::jobs(&self.lock().store, kind, namespace, name);
        for job in jobs {
            self.after(job, self.inner.options.settle_delay);
        }
    }

    fn after(&self, job: Job, delay: Duration) {
        let delay = match job {
            Job::Finish(_) => self.inner.options.termination_delay,
            Job::Furnish(_) | Job::CountQuotas(_) | Job::Run(_) | Job::Empty(_) => delay,
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !delay.is_zero() => {
                if !self.lock().waiting.insert(job.clone()) {
                    return;
                }
                let okd = self.clone();
                runtime.spawn(async move {
                    tokio::time::sleep(delay).await;
                    okd.lock().waiting.remove(&job);
                    okd.run(job);
                });
            }
            // Outside a runtime there is nobody to wait.
            _ => self.run(job),
        }
    }

    fn run(&self, job: Job) {
        let now = self.now_text();
        let openshift = self.inner.options.flavour == Flavour::OpenShift;
        match job {
            Job::Furnish(namespace) => {
                controllers::furnish(&mut self.lock().store, &namespace, openshift, &now);
            }
            Job::CountQuotas(namespace) => controllers::count_quotas(&mut self.lock().store, &namespace),
            Job::Run(namespace) => {
                let ran = workloads::run(&mut self.lock().store, &namespace, &now);
                if ran {
                    controllers::count_quotas(&mut self.lock().store, &namespace);
                }
            }
            Job::Empty(namespace) => {
                controllers::empty(&mut self.lock().store, &namespace, &now);
                self.after(Job::Finish(namespace), Duration::ZERO);
            }
            Job::Finish(namespace) => {
                let mut state = self.lock();
                let down = state.aggregated_down && openshift;
                controllers::finish(&mut state.store, &namespace, down, &now);
            }
        }
    }
}
