//! What customers do, step by step, drawn by dice, and what has to be true when they rest.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::dice::Dice;
use super::seed::PEOPLE;
use crate::market::{Customer, Life, Limits, Model, Placed, Role, World, differences};
use crate::site::{Site, text};

/// With so many resources a walk begins.
const FIRST: usize = 4;
/// Resources in use at a time.
const MOST_IN_USE: usize = 14;
/// How long everything may take to be as it has to be, once nothing happens any more. A key that failed several times rests
/// for as long as half a minute.
const SETTLES_WITHIN: Duration = Duration::from_secs(150);
/// How often it is told what is waited for.
const TELL_EVERY: Duration = Duration::from_secs(20);
/// What there is to tell where nobody has anything to act on.
const NOTHING: &str = "nothing is in use";
/// How often it is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// A marketplace in use.
#[derive(Debug)]
pub(crate) struct Walk {
    site: Site,
    pub(crate) model: Model,
    customer: Customer,
    projects: Vec<String>,
    /// UUIDs of resources in the order in which they were bought.
    bought: Vec<String>,
    /// What a Terminate order leaves.
    ends_as: Life,
}

impl Walk {
    /// # Errors
    /// A server does not answer as expected.
    pub(crate) async fn new(site: Site, stops_workloads: bool) -> Result<Self> {
        let mut model = Model { stops_workloads, ..Model::default() };
        let customer = Customer::new(&site, &mut model).await?;
        let projects = site.customer.get("/api/projects/?page_size=300").await?;
        let rows = projects.as_array().into_iter().flatten();
        let mut named: Vec<_> =
            rows.map(|row| (text(row, "/slug").to_owned(), text(row, "/uuid").to_owned())).collect();
        named.sort();
        let projects = named.into_iter().map(|(_, uuid)| uuid).collect();
        let ends_as = if stops_workloads { Life::Locked } else { Life::Gone };
        Ok(Self { site, model, customer, projects, bought: Vec::new(), ends_as })
    }

    fn in_use(&self) -> usize {
        self.model.resources.values().filter(|resource| resource.life == Life::Active).count()
    }

    /// A resource that is in use, or that has ended after it was, drawn by a die.
    fn resource(&self, dice: &Dice, in_use: bool) -> Option<String> {
        let fits = |uuid: &&String| {
            let resource = self.model.resources.get(*uuid);
            resource.is_some_and(|row| row.limits.0[0] >= 0 && (row.life == Life::Active) == in_use)
        };
        let fitting: Vec<&String> = self.bought.iter().filter(fits).collect();
        fitting.get(dice.index(fitting.len(), 1)).map(|uuid| (*uuid).clone())
    }

    /// One act of somebody. Gives what it was, to be told.
    ///
    /// # Errors
    /// A server does not answer as expected.
    pub(crate) async fn act(&mut self, dice: &Dice) -> Result<String> {
        match dice.of(100, 0) {
            _ if self.bought.len() < FIRST => self.create(dice).await,
            0..=14 => self.create(dice).await,
            15..=34 => self.update(dice).await,
            35..=42 => self.terminate(dice).await,
            43..=52 => self.restore(dice).await,
            53..=72 => self.change_team(dice).await,
            73..=90 => self.hold(dice).await,
            _ => self.meddle(dice).await,
        }
    }

    /// Limits; one in twenty cannot be fulfilled.
    fn limits(dice: &Dice) -> Limits {
        let amount = |most: u64, place| i64::try_from(1 + dice.of(most, place)).unwrap_or(1);
        let cpu = if dice.of(20, 6) == 0 { -1 } else { amount(16, 2) };
        Limits([cpu, amount(64, 3), amount(500, 4), amount(100, 5)])
    }

    async fn create(&mut self, dice: &Dice) -> Result<String> {
        if self.in_use() >= MOST_IN_USE {
            return Ok("nothing is bought, there is enough".to_owned());
        }
        let project = self.projects[dice.index(self.projects.len(), 1)].clone();
        let name = format!("Resource {}", self.bought.len());
        let limits = Self::limits(dice);
        let (_, uuid) = self.customer.create(&mut self.model, &project, &name, limits).await?;
        let told = format!("{uuid} is ordered with {limits:?}");
        self.bought.push(uuid);
        Ok(told)
    }

    async fn update(&mut self, dice: &Dice) -> Result<String> {
        let Some(uuid) = self.resource(dice, true) else {
            return Ok(NOTHING.to_owned());
        };
        let limits = Self::limits(dice);
        let placed = self.customer.update(&mut self.model, &uuid, limits).await?;
        Ok(format!("{uuid} is to have {limits:?}: {}", outcome(&placed)))
    }

    async fn terminate(&mut self, dice: &Dice) -> Result<String> {
        let Some(uuid) = self.resource(dice, true) else {
            return Ok(NOTHING.to_owned());
        };
        let placed = self.customer.terminate(&mut self.model, &uuid, self.ends_as).await?;
        Ok(format!("{uuid} is to end: {}", outcome(&placed)))
    }

    async fn restore(&mut self, dice: &Dice) -> Result<String> {
        let Some(uuid) = self.resource(dice, false) else {
            return Ok("nothing has ended yet".to_owned());
        };
        let placed = self.customer.restore(&mut self.model, &uuid).await?;
        Ok(format!("{uuid} is to come back: {}", outcome(&placed)))
    }

    async fn change_team(&mut self, dice: &Dice) -> Result<String> {
        let project = self.projects[dice.index(self.projects.len(), 1)].clone();
        let who = PEOPLE[dice.index(PEOPLE.len(), 2)];
        let role = if dice.of(2, 3) == 0 { Role::Member } else { Role::Manager };
        let held = self.model.teams.get(&project).and_then(|team| team.get(who));
        let held: Vec<Role> = held.into_iter().flatten().copied().collect();
        let (customer, model) = (&self.customer, &mut self.model);
        if held.contains(&role) {
            customer.leave(model, &project, who, role).await?;
            if dice.of(2, 4) == 0 && !held.contains(&role.other()) {
                customer.join(model, &project, who, role.other()).await?;
                return Ok(format!("{who} becomes {} of {project}", role.other().name()));
            }
            return Ok(format!("{who} is no longer {} of {project}", role.name()));
        }
        customer.join(model, &project, who, role).await?;
        Ok(format!("{who} becomes {} of {project}", role.name()))
    }

    async fn hold(&mut self, dice: &Dice) -> Result<String> {
        let Some(uuid) = self.resource(dice, true) else {
            return Ok(NOTHING.to_owned());
        };
        let flags = [[false, false], [true, false], [false, true], [true, true]][dice.index(4, 2)];
        self.customer.hold(&mut self.model, &uuid, flags).await?;
        Ok(format!("{uuid} is paused and downscaled: {flags:?}"))
    }

    /// Somebody with rights on the cluster changes by hand what the agent keeps.
    async fn meddle(&mut self, dice: &Dice) -> Result<String> {
        let Some(uuid) = self.resource(dice, true) else {
            return Ok(NOTHING.to_owned());
        };
        let row = self.site.staff.get(&format!("/api/marketplace-resources/{uuid}/")).await?;
        let name = text(&row, "/backend_id").to_owned();
        if name.is_empty() {
            return Ok(format!("{uuid} has no project to meddle with"));
        }
        let cluster = &self.site.cluster;
        let (path, patch) = match dice.of(3, 2) {
            0 => (
                format!("/api/v1/namespaces/{name}/resourcequotas/waldur-quota"),
                json!({"spec": {"hard": {"pods": "999"}}}),
            ),
            1 => (
                format!(
                    "/apis/rbac.authorization.k8s.io/v1/namespaces/{name}/rolebindings/waldur-users-view"
                ),
                json!({"subjects": [{
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory",
                }]}),
            ),
            _ => (
                format!("/api/v1/namespaces/{name}"),
                json!({"metadata": {"annotations": {"openshift.io/display-name": "Mine"}}}),
            ),
        };
        // What is not there, or goes away at this moment, cannot be changed.
        match cluster.merge(&path, &patch).await {
            Ok(_) => Ok(format!("{path} is edited by hand")),
            Err(_) => Ok(format!("{path} is not there to be edited")),
        }
    }

    /// Waits until everything is as it has to be; what is not when the time is up.
    ///
    /// # Errors
    /// A server does not answer.
    pub(crate) async fn settled(&self) -> Result<Vec<String>> {
        let deadline = Instant::now() + SETTLES_WITHIN;
        let mut told = Instant::now();
        loop {
            let world = World::read(&self.site, &self.model.strangers).await?;
            let found = differences(&self.model, &world);
            if found.is_empty() || Instant::now() > deadline {
                return Ok(found);
            }
            if told.elapsed() > TELL_EVERY {
                eprintln!("still waiting, for one: {}", found[0]);
                told = Instant::now();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// While everybody rests, tenants start something in their new projects.
    ///
    /// # Errors
    /// The cluster does not take it.
    pub(crate) async fn move_in(&mut self) -> Result<()> {
        for uuid in &self.bought {
            let Some(resource) = self.model.resources.get_mut(uuid) else {
                continue;
            };
            if resource.life != Life::Active || resource.paused || resource.replicas.is_some() {
                continue;
            }
            let row = self.site.staff.get(&format!("/api/marketplace-resources/{uuid}/")).await?;
            let name = text(&row, "/backend_id");
            let pod = json!({
                "metadata": {"labels": {"app": "app"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
            });
            let app = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": name},
                "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "app"}}, "template": pod},
            });
            self.site.cluster.post(&format!("/apis/apps/v1/namespaces/{name}/deployments"), &app).await?;
            resource.replicas = Some(2);
        }
        Ok(())
    }
}

const fn outcome(placed: &Placed) -> &'static str {
    match placed {
        Placed::Taken(_) => "taken",
        Placed::Refused => "refused, another order is open or it is not in use",
    }
}
