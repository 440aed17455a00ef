//! `cargo xtask demo`: the agent at work, from the order in Waldur to the quota on the cluster.
//!
//! The simulators are one process, the real agent another, with a configuration file as an operator would write
//! it. Orders are placed as a customer would, and what became of them is asked of both servers.

mod judge;
mod progress;
mod report;
mod story;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::site::{self, Api, Binaries, Mode, Place, Profile, Server, text};
use judge::{Judge, Verdict};
use progress::{AgentLog, Progress};
use report::{Kept, Report};
use story::{Line, Request, STORY};

/// How often the agent looks for orders; an operator has minutes here.
const PERIOD: Duration = Duration::from_millis(1200);
/// How long a namespace takes to go away, and how long both servers think about a request: enough to see what
/// happens.
const SIMULATED: [&str; 4] = ["--termination-ms", "1500", "--latency-ms", "50"];
/// How often Waldur is asked what became of the orders.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// All orders have to have ended by then.
const DEADLINE: Duration = Duration::from_secs(90);

/// How to run the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Leave the servers and the agent running, and say how to look around
    #[arg(long)]
    keep: bool,
}

/// Runs the demo and prints the result.
///
/// # Errors
/// An order did not end as expected, or something could not be started.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binaries = Binaries::build(Profile::Dev, &[])?;
    let report = site::run_until_stopped(play(&binaries, arguments.keep))?;
    let printed = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&report).context("cannot print the result")?)
    } else {
        report.text()
    };
    std::io::stdout().write_all(printed.as_bytes()).context("cannot print the result")?;
    if !report.ok {
        bail!("not every order ended as expected");
    }
    Ok(())
}

async fn play(binaries: &Binaries, keep: bool) -> Result<Report> {
    let folder = binaries.new_folder()?;
    let (simulators, place) = site::start_simulators(binaries, folder.path(), &SIMULATED).await?;
    let configuration = site::write_configuration(folder.path(), &place, Mode::OrderProcess)?;
    let agent = site::start_agent(binaries, folder.path(), &configuration, Mode::OrderProcess, PERIOD)?;
    eprintln!("Waldur: {}   OKD: {}   agent: process {}\n", place.waldur_url, place.okd_url, agent.id());
    let mut demo = Demo::new(&place, agent, simulators)?;
    let started = Instant::now();
    let orders = demo.follow(started + DEADLINE).await?;
    let ok = orders.iter().all(Verdict::is_as_expected);
    eprintln!();
    let seconds = started.elapsed().as_secs_f64();
    if !ok {
        eprintln!("The agent is still at work{}\n", demo.agent.tail());
    }
    let site = keep.then(|| Kept {
        place,
        configuration,
        agent_log: demo.agent.log().to_owned(),
        pids: [demo.agent.id(), demo.simulators.id()],
        folder: folder.path().to_owned(),
    });
    if keep {
        demo.agent.keep();
        demo.simulators.keep();
        let _path = folder.keep();
    }
    Ok(Report { ok, orders, seconds, site })
}

/// How far an order has come.
enum Stage {
    /// Not placed yet.
    Waiting,
    /// In Waldur.
    Placed { order: String, resource: String, state: String },
    /// Looked at.
    Ended { verdict: Verdict, resource: String },
}

struct Demo {
    judge: Judge,
    agent: Server,
    simulators: Server,
    log: AgentLog,
    progress: Progress,
    offering: String,
    stages: [Stage; STORY.len()],
}

impl Demo {
    fn new(place: &Place, agent: Server, simulators: Server) -> Result<Self> {
        let Place { waldur_url, waldur_customer_token, okd_url, okd_admin_token, .. } = place;
        let customer = Api::waldur(waldur_url, waldur_customer_token)?;
        let cluster = Api::cluster(okd_url, okd_admin_token, &place.ca_file)?;
        Ok(Self {
            judge: Judge { customer, cluster },
            log: AgentLog::open(agent.log())?,
            agent,
            simulators,
            progress: Progress::new()?,
            offering: format!("{waldur_url}/api/marketplace-public-offerings/{}/", place.offering_uuid),
            stages: STORY.map(|_| Stage::Waiting),
        })
    }

    /// Places orders when their time has come and looks at those that ended, until all have or time is up.
    async fn follow(&mut self, deadline: Instant) -> Result<Vec<Verdict>> {
        let mut clock = tokio::time::interval(LOOK_EVERY);
        loop {
            clock.tick().await;
            self.simulators.still_runs()?;
            self.agent.still_runs()?;
            self.tell_news()?;
            let time_is_up = Instant::now() >= deadline;
            let orders = self.judge.customer.get("/api/marketplace-orders/?page_size=100").await?;
            for (index, line) in STORY.iter().enumerate() {
                self.advance(index, line, &orders, time_is_up).await?;
            }
            self.progress.tick();
            let verdicts = self.stages.iter().map_while(|stage| match stage {
                Stage::Ended { verdict, .. } => Some(verdict.clone()),
                _ => None,
            });
            let verdicts: Vec<Verdict> = verdicts.collect();
            if verdicts.len() == STORY.len() {
                return Ok(verdicts);
            }
        }
    }

    async fn advance(&mut self, index: usize, line: &Line, orders: &Value, time_is_up: bool) -> Result<()> {
        match &self.stages[index] {
            Stage::Waiting => match line.after.map(|before| &self.stages[before]) {
                None => self.place(index, line, None).await,
                Some(Stage::Ended { verdict, resource }) if verdict.is_as_expected() && !time_is_up => {
                    let resource = resource.clone();
                    self.place(index, line, Some(&resource)).await
                }
                Some(Stage::Ended { .. }) => {
                    self.end(index, Verdict::not_placed(line), String::new());
                    Ok(())
                }
                Some(_) => Ok(()),
            },
            Stage::Placed { order, .. } => {
                let mut orders = orders.as_array().into_iter().flatten();
                // One that was placed a moment ago is not in the list yet.
                match orders.find(|listed| text(listed, "/uuid") == order) {
                    Some(order) => self.look(index, line, order, time_is_up).await,
                    None => Ok(()),
                }
            }
            Stage::Ended { .. } => Ok(()),
        }
    }

    async fn look(&mut self, index: usize, line: &Line, order: &Value, time_is_up: bool) -> Result<()> {
        let now = text(order, "/state");
        let over = matches!(now, "done" | "rejected" | "erred" | "canceled");
        if over || time_is_up {
            self.tell_news()?;
            let verdict = self.judge.look(line, order).await?;
            self.end(index, verdict, text(order, "/marketplace_resource_uuid").to_owned());
        } else if let Stage::Placed { state, .. } = &mut self.stages[index]
            && state != now
        {
            now.clone_into(state);
            self.progress.say(index, now);
        }
        Ok(())
    }

    fn end(&mut self, index: usize, verdict: Verdict, resource: String) {
        let message = match verdict.faults.first().or(verdict.error.as_ref()) {
            Some(reason) => format!("{}: {reason}", verdict.state),
            None => verdict.state.clone(),
        };
        self.progress.end(index, verdict.is_as_expected(), &message);
        self.stages[index] = Stage::Ended { verdict, resource };
    }

    /// Orders as the portal would for a customer.
    async fn place(&mut self, index: usize, line: &Line, resource: Option<&str>) -> Result<()> {
        let customer = &self.judge.customer;
        let of =
            |action: &str| format!("/api/marketplace-resources/{}/{action}/", resource.unwrap_or_default());
        let answer = match line.request {
            Request::Create(limits) => {
                let projects = customer.get("/api/projects/").await?;
                let body = json!({
                    "offering": self.offering,
                    "project": text(&projects, "/0/url"),
                    "attributes": {"name": line.resource},
                    "limits": limits.json(),
                });
                customer.post("/api/marketplace-orders/", &body).await
            }
            Request::Update(limits) => {
                customer.post(&of("update_limits"), &json!({"limits": limits.json()})).await
            }
            Request::Terminate => customer.post(&of("terminate"), &json!({})).await,
        };
        let answer =
            answer.with_context(|| format!("cannot order {} {}", line.request.kind(), line.resource))?;
        let order = [text(&answer, "/uuid"), text(&answer, "/order_uuid")].concat();
        let resource = resource.unwrap_or_else(|| text(&answer, "/marketplace_resource_uuid")).to_owned();
        self.stages[index] = Stage::Placed { order, resource, state: String::new() };
        Ok(())
    }

    /// Shows what the agent did, at the order that is open for the resource.
    fn tell_news(&mut self) -> Result<()> {
        for entry in self.log.news()? {
            let open = self.stages.iter().position(
                |stage| matches!(stage, Stage::Placed { resource, .. } if *resource == entry.resource),
            );
            if let Some(index) = open {
                self.progress.say(index, &entry.event);
            }
        }
        Ok(())
    }
}
