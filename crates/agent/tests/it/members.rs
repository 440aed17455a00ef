//! A site with members: passes over its resources, who has which access, and what the agent logs.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use agent::engine::{Engine, EngineOptions};
use agent::settings::Mode;
use serde_json::{Value, json};
use simulator::waldur::{ResourceState, Scope, SeedProject, SeedResource, SeedUser};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use uuid::Uuid;

use crate::site::{Config, Site, limits, within};

/// An engine that keeps members.
pub(crate) fn keeper(config: &Config) -> Arc<Engine> {
    keeper_with(config, EngineOptions::default())
}

pub(crate) fn keeper_with(config: &Config, options: EngineOptions) -> Arc<Engine> {
    config.engine_for(Mode::MembershipSync, options)
}

/// One pass of an engine; whether all resources could be worked.
pub(crate) async fn pass(engine: &Arc<Engine>) -> bool {
    within("the pass ends", engine.keep_resources_once()).await
}

/// An agent that keeps members until it is stopped.
pub(crate) struct Keeping {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeping {
    pub(crate) fn start(engine: Arc<Engine>, period: Duration) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { engine.keep_resources(period, &stopped).await });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        within("the agent stops", self.task).await.unwrap();
    }
}

/// What is logged on this thread while it lives.
pub(crate) struct Log {
    lines: Lines,
    _guard: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Text>);

#[derive(Default)]
struct Text {
    bytes: Mutex<Vec<u8>>,
    written: Notify,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.bytes.lock().unwrap().extend_from_slice(bytes);
        self.0.written.notify_waiters();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What a line of code logs is looked at by whoever listens when it first runs. While only one thread of the process
/// listens, `tracing` asks the thread that comes by first instead, and the line stays mute for all others; somebody who
/// listens everywhere, and throws away what he hears, keeps it from that.
fn listen_everywhere() {
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| {
        let everywhere = tracing_subscriber::registry().with(LevelFilter::INFO);
        tracing::subscriber::set_global_default(everywhere).unwrap();
    });
}

impl Log {
    pub(crate) fn start() -> Self {
        listen_everywhere();
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.lines.0.bytes.lock().unwrap().clone()).unwrap()
    }

    /// How many lines hold this.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.text().lines().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line that holds this.
    pub(crate) async fn says(&self, part: &str) {
        let said = async {
            loop {
                let written = self.lines.0.written.notified();
                if self.count(part) > 0 {
                    return;
                }
                written.await;
            }
        };
        within(&format!("it is logged: {part}"), said).await;
    }

    #[track_caller]
    pub(crate) fn has(&self, part: &str) {
        assert!(self.count(part) > 0, "not logged: {part}\n{}", self.text());
    }
}

/// Names by ClusterRole.
pub(crate) type Access = BTreeMap<String, Vec<String>>;

/// `[("edit", &["max.manager"])]` as [`Access`].
pub(crate) fn access(roles: &[(&str, &[&str])]) -> Access {
    let own = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    roles.iter().map(|(role, names)| ((*role).to_owned(), own(names))).collect()
}

impl Site {
    /// The configuration of an agent that processes orders and keeps members.
    pub(crate) fn with_members(&self) -> Config {
        self.config().with_members()
    }

    /// Lets a fresh agent make one pass.
    pub(crate) async fn pass(&self) -> bool {
        pass(&keeper(&self.with_members())).await
    }

    pub(crate) async fn pass_with(&self, backend: &str) -> bool {
        pass(&keeper(&self.with_members().with_backend(backend))).await
    }

    /// A resource in use in the usual project, with a labelled namespace of its name that is empty otherwise.
    pub(crate) fn planted(&self, name: &str) -> Uuid {
        self.planted_in(self.project, name)
    }

    pub(crate) fn planted_in(&self, project: Uuid, name: &str) -> Uuid {
        let seed = SeedResource {
            name: name.to_owned(),
            backend_id: name.to_owned(),
            limits: limits().as_object().unwrap().clone(),
            ..SeedResource::default()
        };
        let resource = self.sim.waldur.add_resource(self.offering, project, &seed, ResourceState::Ok);
        self.label(name, resource);
        resource
    }

    /// A namespace with the agent's labels.
    pub(crate) fn label(&self, name: &str, resource: Uuid) {
        let labels = json!({
            "app.kubernetes.io/managed-by": "waldur-site-agent",
            "waldur/resource-uuid": resource.simple().to_string(),
        });
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        self.sim.okd.put(namespace).unwrap();
    }

    /// A project of the usual organization without members.
    pub(crate) fn another_project(&self, slug: &str) -> Uuid {
        let seed = SeedProject { name: slug.to_owned(), slug: slug.to_owned(), ..SeedProject::default() };
        self.sim.waldur.add_project(self.sim.waldur.customer("acme").unwrap(), &seed)
    }

    /// A new user with a role in the usual project.
    pub(crate) fn member(&self, name: &str, role: &str) -> Uuid {
        self.member_of(self.project, name, role)
    }

    pub(crate) fn member_of(&self, project: Uuid, name: &str, role: &str) -> Uuid {
        let user = self.sim.waldur.add_user(&SeedUser::new(name, &format!("{name}-token")));
        self.sim.waldur.add_member(project, user, role);
        user
    }

    pub(crate) fn user(&self, name: &str) -> Uuid {
        self.sim.waldur.user(name).unwrap()
    }

    /// Lets the agent read the organization and so its owners, who get a username.
    pub(crate) fn owners_are_readable(&self) {
        let acme = Scope::Customer(self.sim.waldur.customer("acme").unwrap());
        self.sim.waldur.add_role(acme, self.user("agent-okd"), "CUSTOMER.SUPPORT", None);
        self.sim.waldur.add_offering_user(self.offering, self.owner, "olivia.owner");
    }

    /// Who has which access through the agent's bindings.
    pub(crate) fn access(&self, namespace: &str) -> Access {
        let bindings = self.sim.okd.list("rolebindings", Some(namespace));
        let ours = bindings.iter().filter(|binding| {
            binding["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "waldur-site-agent"
        });
        let names = |binding: &Value| {
            let subjects = binding["subjects"].as_array().unwrap().iter();
            let mut names: Vec<String> =
                subjects.map(|subject| subject["name"].as_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        ours.map(|binding| (binding["roleRef"]["name"].as_str().unwrap().to_owned(), names(binding)))
            .collect()
    }

    /// `waldur-users-<role>` in a namespace.
    pub(crate) fn binding(&self, namespace: &str, role: &str) -> Value {
        self.sim.okd.get("rolebindings", namespace, &format!("waldur-users-{role}")).unwrap()
    }

    /// Changes an object as an administrator does by hand.
    pub(crate) fn edit(&self, namespace: &str, kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let (version, plural) = match kind {
            "ResourceQuota" => ("v1", "resourcequotas"),
            _ => ("rbac.authorization.k8s.io/v1", "rolebindings"),
        };
        let mut object = self.sim.okd.get(plural, namespace, name).unwrap();
        object["apiVersion"] = json!(version);
        object["kind"] = json!(kind);
        change(&mut object);
        object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        self.sim.okd.put(object).unwrap();
    }

    /// A binding as people make them.
    pub(crate) fn somebody_binds(&self, namespace: &str, name: &str, role: &str, user: &str) -> Value {
        let rbac = "rbac.authorization.k8s.io";
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": user}],
        });
        self.sim.okd.put(binding).unwrap()
    }

    /// Requests that change something on the cluster: `METHOD path`.
    pub(crate) fn cluster_writes(&self) -> Vec<String> {
        let reviews = ["selfsubjectreviews", "selfsubjectaccessreviews"];
        let requests = self.okd_requests().into_iter();
        requests
            .filter(|request| {
                !request.starts_with("GET") && !reviews.iter().any(|review| request.ends_with(review))
            })
            .collect()
    }

    /// Requests that change something in Waldur, other than the agent's registration.
    pub(crate) fn waldur_writes(&self) -> Vec<String> {
        let requests = self.waldur_requests().into_iter();
        requests.filter(|request| !request.starts_with("GET") && !request.contains("site-agent")).collect()
    }
}
