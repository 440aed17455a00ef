//! The works that an agent is interrupted in, in the order of a resource's life: each begins where the one before it ended.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde_json::json;

use crate::market::{Customer, Life, Limits, Model, Placed, Role, plant};
use crate::site::{Site, text};

/// Who comes and goes.
pub(super) const GUEST: &str = "olivia.owner";
/// Limits of a new resource, and others.
const LIMITS: [Limits; 2] = [Limits([4, 16, 100, 50]), Limits([8, 16, 50, 80])];

/// How the agent is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setup {
    /// As it comes.
    Plain,
    /// Pauses stop workloads, and terminated projects are kept for a week.
    Careful,
}

impl Setup {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Plain, Self::Careful];

    /// Value of `lifecycle` in the agent's configuration.
    pub(crate) const fn lifecycle(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Careful => "{stop_workloads: true, terminate_grace: 7d}",
        }
    }

    /// The works of one life. Those without points are done without interruption, as the way to the next.
    pub(crate) const fn life(self) -> &'static [Step] {
        match self {
            Self::Plain => &[
                Step::Refuse,
                Step::Create,
                Step::Update,
                Step::Join,
                Step::Promote,
                Step::Leave,
                Step::Downscale,
                Step::Pause,
                Step::Resume,
                Step::Terminate,
                Step::Restore,
                Step::Terminate,
                Step::Clash,
                Step::Terminate,
            ],
            Self::Careful => &[
                Step::Create,
                Step::PauseStop,
                Step::ResumeStart,
                Step::Lock,
                Step::Unlock,
                Step::Lock,
                Step::Expire,
            ],
        }
    }
}

/// One work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Step {
    /// A Create order that cannot be fulfilled
    Refuse,
    /// A Create order
    Create,
    /// A Create order whose project's name is somebody else's
    Clash,
    /// An Update order
    Update,
    /// A member joins
    Join,
    /// A member gets another role
    Promote,
    /// A member leaves
    Leave,
    /// A resource is downscaled
    Downscale,
    /// A resource is paused
    Pause,
    /// A paused and downscaled resource is restored
    Resume,
    /// A Terminate order
    Terminate,
    /// A Restore order for what is gone
    Restore,
    /// A pause that stops workloads
    PauseStop,
    /// Stopped workloads are started again
    ResumeStart,
    /// A Terminate order with a time of grace
    Lock,
    /// A Restore order within it
    Unlock,
    /// The time of grace is over
    Expire,
}

impl Step {
    /// Where this work is swept.
    pub(crate) fn setup(self) -> Setup {
        match self {
            Self::PauseStop | Self::ResumeStart | Self::Lock | Self::Unlock | Self::Expire => Setup::Careful,
            _ => Setup::Plain,
        }
    }

    /// As on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// One site with the resource that is lived through.
#[derive(Debug)]
pub(crate) struct Tenancy {
    pub(crate) site: Site,
    pub(crate) model: Model,
    pub(crate) customer: Customer,
    project: String,
    /// The resource of the life that goes on.
    pub(crate) resource: String,
    /// The order placed last, where its UUID is known.
    pub(crate) order: Option<String>,
    /// How many names were made somebody else's.
    clashes: u32,
}

impl Tenancy {
    /// Looks at a fresh site, and puts there what is not the agent's.
    ///
    /// # Errors
    /// A server does not answer as expected.
    pub(crate) async fn begin(site: Site, setup: Setup) -> Result<Self> {
        let mut model = Model { stops_workloads: setup == Setup::Careful, ..Model::default() };
        let customer = Customer::new(&site, &mut model).await?;
        let project = model.teams.keys().next().cloned().unwrap_or_default();
        ensure!(!project.is_empty(), "the customer has no project");
        let (resource, order) = (String::new(), None);
        let mut life = Self { site, model, customer, project, resource, order, clashes: 0 };
        life.plant_project("payments").await?;
        Ok(life)
    }

    /// A project with a quota of the agent's name, without the agent's labels.
    async fn plant_project(&mut self, name: &str) -> Result<()> {
        let labels = json!({"team": "payments", "kubernetes.io/metadata.name": name});
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        plant(&self.site, &mut self.model, "/api/v1/namespaces", namespace, None).await?;
        let quota = json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "waldur-quota", "namespace": name}, "spec": {"hard": {"pods": "7"}},
        });
        let path = format!("/api/v1/namespaces/{name}/resourcequotas");
        plant(&self.site, &mut self.model, &path, quota, None).await
    }

    /// What the tenant makes in a new project: access of its own, and something that runs.
    async fn move_in(&mut self) -> Result<()> {
        let path = format!("/api/marketplace-resources/{}/", self.resource);
        let row = self.site.staff.get(&path).await?;
        let name = text(&row, "/backend_id").to_owned();
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "tenants-own", "namespace": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "guest"}],
        });
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{name}/rolebindings");
        plant(&self.site, &mut self.model, &path, binding, Some(&self.resource)).await?;
        if !self.model.stops_workloads {
            return Ok(());
        }
        let pod = json!({"metadata": {"labels": {"app": "app"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let app = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": name},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "app"}}, "template": pod},
        });
        self.site.cluster.post(&format!("/apis/apps/v1/namespaces/{name}/deployments"), &app).await?;
        if let Some(resource) = self.model.resources.get_mut(&self.resource) {
            resource.replicas = Some(3);
        }
        Ok(())
    }

    /// Asks for a work, as people do; the model then says how it has to end.
    ///
    /// # Errors
    /// A server does not take it.
    pub(crate) async fn ask(&mut self, step: Step) -> Result<()> {
        let Self { model, customer, project, resource, .. } = self;
        let mut order = None;
        let placed = match step {
            Step::Refuse => {
                let limits = Limits([-1, 16, 100, 50]);
                order = Some(customer.create(model, project, "Mistyped", limits).await?.0);
                Placed::Taken(None)
            }
            Step::Create | Step::Clash => {
                let name = if step == Step::Create { "Shop" } else { "Taken" };
                if step == Step::Clash {
                    self.clashes += 1;
                    let theirs = format!("waldur-alloc-taken-{}", self.clashes);
                    self.plant_project(&theirs).await?;
                }
                let Self { model, customer, project, .. } = self;
                let (placed, made) = customer.create(model, project, name, LIMITS[0]).await?;
                (self.resource, order) = (made, Some(placed));
                Placed::Taken(None)
            }
            Step::Update => customer.update(model, resource, LIMITS[1]).await?,
            Step::Join => {
                customer.join(model, project, GUEST, Role::Member).await?;
                Placed::Taken(None)
            }
            Step::Promote => {
                customer.leave(model, project, GUEST, Role::Member).await?;
                customer.join(model, project, GUEST, Role::Manager).await?;
                Placed::Taken(None)
            }
            Step::Leave => {
                customer.leave(model, project, GUEST, Role::Manager).await?;
                Placed::Taken(None)
            }
            Step::Downscale => {
                customer.hold(model, resource, [false, true]).await?;
                Placed::Taken(None)
            }
            Step::Pause => {
                customer.hold(model, resource, [true, true]).await?;
                Placed::Taken(None)
            }
            Step::PauseStop => {
                customer.hold(model, resource, [true, false]).await?;
                Placed::Taken(None)
            }
            Step::Resume | Step::ResumeStart => {
                customer.hold(model, resource, [false, false]).await?;
                Placed::Taken(None)
            }
            Step::Terminate => customer.terminate(model, resource, Life::Gone).await?,
            Step::Lock => customer.terminate(model, resource, Life::Locked).await?,
            Step::Restore | Step::Unlock => customer.restore(model, resource).await?,
            Step::Expire => {
                self.make_due().await?;
                Placed::Taken(None)
            }
        };
        ensure!(placed != Placed::Refused, "Waldur refuses the order");
        if let Placed::Taken(Some(uuid)) = placed {
            order = Some(uuid);
        }
        self.order = order;
        Ok(())
    }

    /// What people do after a work has ended.
    ///
    /// # Errors
    /// The cluster does not take it.
    pub(crate) async fn after(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Create => self.move_in().await,
            _ => Ok(()),
        }
    }

    /// Puts the end of the time of grace into the past.
    async fn make_due(&mut self) -> Result<()> {
        let path = format!("/api/marketplace-resources/{}/", self.resource);
        let row = self.site.staff.get(&path).await?;
        let patch = json!({"metadata": {"annotations": {"waldur/delete-after": "2020-01-01T00:00:00Z"}}});
        let path = format!("/api/v1/namespaces/{}", text(&row, "/backend_id"));
        self.site.cluster.merge(&path, &patch).await?;
        if let Some(resource) = self.model.resources.get_mut(&self.resource) {
            (resource.life, resource.replicas) = (Life::Gone, None);
        }
        Ok(())
    }
}
