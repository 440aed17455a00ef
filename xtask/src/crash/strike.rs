//! One work with one interruption: the agent is struck, another one finishes, and everything is as it has to be.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::timeout;

use super::point::{Blow, Point};
use super::step::{Step, Tenancy};
use crate::market::{Life, Limits, World, differences};
use crate::site::{Agent, Binaries, Configuration, text};

/// An agent that does what there is to do takes no longer, also on a machine that does much else.
const ENDS_WITHIN: Duration = Duration::from_secs(240);
/// How long the first agent is held while a second one works. What the second one waits for may be the first one's to
/// finish.
const SECOND_WORKS: Duration = Duration::from_secs(3);

/// What became of a point.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Struck, and everything is as it has to be.
    Held,
    /// The agent did not make so many requests.
    NotReached,
    /// The cluster refused, and so the order was erred and the resource could be terminated.
    Refused,
    /// Not as it has to be.
    Violated(Vec<String>),
}

/// What strikes have in common.
#[derive(Debug)]
pub(crate) struct Striker<'a> {
    pub(crate) binaries: &'a Binaries,
    pub(crate) lifecycle: &'static str,
}

impl Striker<'_> {
    fn agent(&self, tenancy: &Tenancy, name: &str) -> Result<Agent> {
        let folder = &tenancy.site.folder;
        let configuration = Configuration { lifecycle: self.lifecycle, ..Configuration::default() };
        let file = configuration.write(folder, &tenancy.site.place)?;
        Agent::start(self.binaries, &file, &folder.join(format!("{name}.log")), &["--once"], &[])
    }

    /// Asks for the work and has it done without interruption; what is not as it has to be.
    ///
    /// # Errors
    /// A server does not answer as expected.
    pub(crate) async fn undisturbed(&self, tenancy: &mut Tenancy, step: Step) -> Result<Vec<String>> {
        tenancy.ask(step).await?;
        let found = self.finish(tenancy).await?;
        if found.is_empty() {
            tenancy.after(step).await?;
        }
        Ok(found)
    }

    /// Asks for the work and strikes.
    ///
    /// # Errors
    /// A server does not answer as expected.
    pub(crate) async fn strike(&self, tenancy: &mut Tenancy, point: &Point) -> Result<Outcome> {
        tenancy.ask(point.step).await?;
        let rules = format!("/faults/{}", point.server.name());
        let rule = tenancy.site.control.post(&rules, &point.rule()).await?;
        let rule = format!("{rules}/{}", rule["id"]);
        let agent = self.agent(tenancy, "struck")?;
        let (reached, ended) = if point.blow.holds() {
            (self.hold(tenancy, agent, point.blow, &rule).await?, None)
        } else {
            let ended = end(agent).await?;
            let struck = tenancy.site.control.get(&rule).await?;
            (struck["struck"] != json!(0), ended.err())
        };
        if !(reached && point.blow.holds()) {
            // Whatever comes later is not to be struck. (Where a request was held, the rule has had its match, and its end
            // could let a dead agent's request through.)
            tenancy.site.control.delete(&rules).await?;
        }
        // How the struck agent itself has ended does not matter: what it could not do is left to the next one.
        if let Some(fault) = ended {
            return Ok(Outcome::Violated(vec![fault]));
        }
        if point.blow.refuses(point.server) && self.is_erred(tenancy).await? {
            return self.clean_up(tenancy).await;
        }
        let found = self.finish(tenancy).await?;
        if !found.is_empty() {
            return Ok(Outcome::Violated(found));
        }
        tenancy.after(point.step).await?;
        Ok(if reached { Outcome::Held } else { Outcome::NotReached })
    }

    /// Waits until the request is held, and then kills the agent or lets a second one work; false if it never comes.
    async fn hold(&self, tenancy: &Tenancy, mut agent: Agent, blow: Blow, rule: &str) -> Result<bool> {
        let control = &tenancy.site.control;
        let held = format!("{rule}/held");
        let held = tokio::select! {
            held = control.wait(&held) => held.map(|_| true)?,
            ended = timeout(ENDS_WITHIN, agent.ended()) => {
                ended.ok().with_context(|| format!("the agent does not end{}", agent.tail()))??;
                false
            }
        };
        if !held {
            return Ok(false);
        }
        if matches!(blow, Blow::KillBefore | Blow::KillAfter) {
            agent.kill().await?;
            return Ok(true);
        }
        let mut second = self.agent(tenancy, "second")?;
        // An error says that it waits for the first one.
        let _waits = timeout(SECOND_WORKS, second.ended()).await;
        control.post(&format!("{rule}/release"), &json!(null)).await?;
        for (name, agent) in [("first", &mut agent), ("second", &mut second)] {
            let ended = timeout(ENDS_WITHIN, agent.ended()).await;
            ended.ok().with_context(|| format!("the {name} agent does not end{}", agent.tail()))??;
        }
        Ok(true)
    }

    /// Lets a fresh agent finish, and looks. What it found in the making is left to the next pass, as in a service.
    async fn finish(&self, tenancy: &Tenancy) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for _ in 0..2 {
            match end(self.agent(tenancy, "after")?).await? {
                Ok((status, _)) if status.success() => {}
                Ok((status, tail)) => return Ok(vec![format!("the agent ends with {status}{tail}")]),
                Err(fault) => return Ok(vec![fault]),
            }
            let world = World::read(&tenancy.site, &tenancy.model.strangers).await?;
            found = differences(&tenancy.model, &world);
            if found.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    async fn is_erred(&self, tenancy: &Tenancy) -> Result<bool> {
        let Some(order) = &tenancy.order else {
            return Ok(false);
        };
        let order = tenancy.site.staff.get(&format!("/api/marketplace-orders/{order}/")).await?;
        Ok(text(&order, "/state") == "erred")
    }

    /// What the cluster refused is erred with its words, and whatever was made can be terminated.
    async fn clean_up(&self, tenancy: &mut Tenancy) -> Result<Outcome> {
        let Some(order) = tenancy.order.clone() else {
            return Ok(Outcome::NotReached);
        };
        let row = tenancy.site.staff.get(&format!("/api/marketplace-orders/{order}/")).await?;
        if text(&row, "/error_message").is_empty() {
            return Ok(Outcome::Violated(vec!["the order is erred without a word".to_owned()]));
        }
        tenancy.model.ends.insert(order, vec!["erred"]);
        let path = format!("/api/marketplace-resources/{}/", tenancy.resource);
        let row = tenancy.site.staff.get(&path).await?;
        let resource = tenancy.resource.clone();
        // What Waldur has for the limits of a resource whose Update was erred are the old ones.
        let limits = row["limits"].clone();
        let life = if tenancy.model.stops_workloads { Life::Locked } else { Life::Gone };
        if let Some(known) = tenancy.model.resources.get_mut(&resource) {
            known.life = Life::Gone;
            known.limits = Limits::read(&limits).unwrap_or(known.limits);
        }
        if text(&row, "/state") != "Terminated" {
            let Tenancy { customer, model, .. } = tenancy;
            customer.terminate(model, &resource, life).await?;
        }
        let found = self.finish(tenancy).await?;
        Ok(if found.is_empty() { Outcome::Refused } else { Outcome::Violated(found) })
    }
}

/// Waits for an agent that is to do all that there is to do: how it has ended and what it said last, or what is wrong if it
/// does not end.
async fn end(mut agent: Agent) -> Result<std::result::Result<(ExitStatus, String), String>> {
    match timeout(ENDS_WITHIN, agent.ended()).await {
        Ok(status) => Ok(Ok((status?, agent.tail()))),
        Err(_) => Ok(Err(format!("the agent does not end within {ENDS_WITHIN:?}{}", agent.tail()))),
    }
}
