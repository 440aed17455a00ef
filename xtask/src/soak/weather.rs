//! What befalls the agent during a walk: faults of both servers, tokens that end, a broker that goes away, a clock that
//! jumps, and its own death.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::dice::Dice;
use crate::site::{Agent, Binaries, Configuration, Site, USER_AGENT, text};

/// Faults of the servers. Only such as pass by themselves: after a refusal for good, an order may end as erred.
const FAULTS: [&str; 8] = [
    r#"{"status": 500}"#,
    r#"{"status": 503}"#,
    r#"{"too_many_requests": {"retry_after": 1}}"#,
    r#""reset_before""#,
    r#""reset_after""#,
    r#""truncated_body""#,
    r#"{"html": 502}"#,
    r#"{"latency": {"fixed_ms": 100, "jitter_ms": 900}}"#,
];
/// Steps of the clock, seconds: together they stay within a day.
const CLOCK_STEPS: [i64; 4] = [7200, -7200, 600, -600];
/// Longest time that something lasts, steps of the walk.
const LASTS: u64 = 25;
/// How long an agent may take to stop in order.
const STOPS_WITHIN: Duration = Duration::from_secs(40);

/// What goes on at the moment.
#[derive(Debug)]
pub(crate) struct Weather<'a> {
    binaries: &'a Binaries,
    site: Site,
    configuration: PathBuf,
    tokens: [PathBuf; 2],
    agent: Option<Agent>,
    started: u32,
    renewed: u32,
    /// Steps of the walk until each thing is over.
    faults: u64,
    broker: u64,
    down: u64,
    /// The clock of the servers is ahead by this, seconds.
    ahead: i64,
    /// The token of the cluster ends by itself.
    ends: Option<Instant>,
}

impl<'a> Weather<'a> {
    /// Starts the agent as a service that is driven by events and reads its tokens from files.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) async fn new(binaries: &'a Binaries, site: Site, lifecycle: &str) -> Result<Self> {
        let tokens = ["waldur-token", "okd-token"].map(|name| site.folder.join(name));
        let [waldur, okd] = &tokens;
        let files = Some([waldur.as_path(), okd.as_path()]);
        let configuration = Configuration { lifecycle, events: true, token_files: files };
        let configuration = configuration.write(&site.folder, &site.place)?;
        let (started, renewed, faults, broker, down, ahead) = (0, 0, 0, 0, 0, 0);
        let (agent, ends) = (None, None);
        let mut weather = Self {
            binaries,
            site,
            configuration,
            tokens,
            agent,
            started,
            renewed,
            faults,
            broker,
            down,
            ahead,
            ends,
        };
        weather.renew_tokens(24 * 3600).await?;
        weather.start()?;
        Ok(weather)
    }

    fn start(&mut self) -> Result<()> {
        self.started += 1;
        let log = self.site.folder.join(format!("agent-{:03}.log", self.started));
        let period = [("WALDUR_SITE_AGENT_RECONCILIATION_PERIOD_MINUTES", "0.1")];
        self.agent = Some(Agent::start(self.binaries, &self.configuration, &log, &[], &period)?);
        Ok(())
    }

    /// New tokens for the agent, of which that of the cluster is good for so many seconds; the old one of Waldur ends.
    async fn renew_tokens(&mut self, lifetime: u64) -> Result<()> {
        self.renewed += 1;
        let fresh = format!("agent-token-{}", self.renewed);
        let control = &self.site.control;
        control.post("/tokens/waldur", &json!({"username": "agent-okd", "token": fresh})).await?;
        let okd = control.post("/tokens/okd", &json!({ "lifetime_seconds": lifetime })).await?;
        for (path, token) in self.tokens.iter().zip([fresh.as_str(), text(&okd, "/token")]) {
            // Renamed into its place, as whoever keeps such a file does: nobody reads half of it.
            let next = path.with_extension("next");
            fs::write(&next, token).and_then(|()| fs::rename(&next, path)).context("cannot write a token")?;
        }
        self.ends = (lifetime < 3600).then(|| Instant::now() + Duration::from_secs(lifetime));
        Ok(())
    }

    async fn broker(&self, action: &str) -> Result<()> {
        self.site.control.post(&format!("/broker/{action}"), &Value::Null).await.map(drop)
    }

    /// Something happens. Gives what, to be told.
    ///
    /// # Errors
    /// The simulators do not answer, or the agent has ended by itself.
    pub(crate) async fn turn(&mut self, dice: &Dice) -> Result<String> {
        match dice.of(10, 0) {
            0..=3 => self.strike(dice).await,
            4 | 5 => self.disturb_broker(dice).await,
            6 => {
                let lifetime = if dice.of(2, 1) == 0 { 5 } else { 24 * 3600 };
                self.renew_tokens(lifetime).await?;
                Ok(format!("tokens are renewed, for {lifetime} s"))
            }
            7 => {
                let step = CLOCK_STEPS[dice.index(CLOCK_STEPS.len(), 1)];
                let step = if (self.ahead + step).abs() > 6 * 3600 { -step } else { step };
                self.ahead += step;
                self.site.control.post("/clock", &json!({ "step_seconds": step })).await?;
                Ok(format!("the servers' clock steps by {step} s"))
            }
            8 => {
                let Some(mut agent) = self.agent.take() else {
                    return Ok("the agent is down already".to_owned());
                };
                agent.kill().await?;
                self.down = 1 + dice.of(LASTS, 1);
                Ok("the agent is killed".to_owned())
            }
            _ => {
                self.stop_in_order().await?;
                self.down = 1;
                Ok("the agent is stopped".to_owned())
            }
        }
    }

    async fn strike(&mut self, dice: &Dice) -> Result<String> {
        let server = ["waldur", "okd"][dice.index(2, 1)];
        let fault = FAULTS[dice.index(FAULTS.len(), 2)];
        let probability = [0.1, 0.3, 1.0][dice.index(3, 3)];
        let what: Value = serde_json::from_str(fault).context("a fault is no JSON")?;
        let rule = json!({ "spares": USER_AGENT, "probability": probability, "fault": what });
        self.site.control.post(&format!("/faults/{server}"), &rule).await?;
        self.faults = 1 + dice.of(LASTS, 4);
        Ok(format!("{server} answers {fault} to {probability} of the requests"))
    }

    async fn disturb_broker(&mut self, dice: &Dice) -> Result<String> {
        if self.broker > 0 {
            return Ok("the broker is disturbed already".to_owned());
        }
        let action = ["close", "reset", "freeze", "stop"][dice.index(4, 1)];
        self.broker(action).await?;
        self.broker = match action {
            "freeze" | "stop" => 1 + dice.of(LASTS, 2),
            _ => 0,
        };
        Ok(format!("the broker does `{action}`"))
    }

    async fn stop_in_order(&mut self) -> Result<()> {
        let Some(mut agent) = self.agent.take() else {
            return Ok(());
        };
        agent.ask_to_stop().await?;
        let ended = tokio::time::timeout(STOPS_WITHIN, agent.ended()).await;
        let status = ended.ok().with_context(|| format!("the agent does not stop{}", agent.tail()))??;
        // One that had not come as far as to listen for signals has nothing in flight, and may just die.
        let has_died = status.signal().is_some() && !agent.has_begun();
        ensure!(
            has_died || status.success(),
            "the agent was asked to stop and ended with {status}{}",
            agent.tail()
        );
        Ok(())
    }

    /// A step of the walk goes by: what has lasted long enough is over.
    ///
    /// # Errors
    /// As [`Weather::turn`].
    pub(crate) async fn pass(&mut self) -> Result<()> {
        if let Some(agent) = &mut self.agent
            && let Some(status) = agent.has_ended()?
        {
            anyhow::bail!("the agent ended by itself ({status}){}", agent.tail());
        }
        if self.ends.is_some_and(|ends| Instant::now() > ends) {
            self.renew_tokens(24 * 3600).await?;
        }
        if is_over(&mut self.faults) {
            self.clear_faults().await?;
        }
        if is_over(&mut self.broker) {
            self.mend_broker().await?;
        }
        if is_over(&mut self.down) {
            self.start()?;
        }
        Ok(())
    }

    async fn clear_faults(&self) -> Result<()> {
        for server in ["waldur", "okd"] {
            self.site.control.delete(&format!("/faults/{server}")).await?;
        }
        Ok(())
    }

    async fn mend_broker(&self) -> Result<()> {
        self.broker("thaw").await?;
        self.broker("restart").await
    }

    /// Everything is as it should be from now on.
    ///
    /// # Errors
    /// As [`Weather::turn`].
    pub(crate) async fn calm(&mut self) -> Result<()> {
        self.clear_faults().await?;
        if self.broker > 0 {
            self.mend_broker().await?;
        }
        (self.faults, self.broker, self.down) = (0, 0, 0);
        if self.ends.is_some() {
            self.renew_tokens(24 * 3600).await?;
        }
        if self.agent.is_none() {
            self.start()?;
        }
        Ok(())
    }

    /// The end: the agent stops in order.
    ///
    /// # Errors
    /// It does not.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.stop_in_order().await
    }

    /// The end of the agent's log.
    pub(crate) fn tail(&self) -> String {
        self.agent.as_ref().map_or_else(String::new, Agent::tail)
    }
}

/// Counts down; true when the end is reached by it.
fn is_over(left: &mut u64) -> bool {
    let was = *left;
    *left = was.saturating_sub(1);
    was == 1
}
