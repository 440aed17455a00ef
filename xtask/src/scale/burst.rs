//! A burst of events: customers change many things at once, and the agent hears of each by a message.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;

use crate::bench::membership::people::{self, Size};
use crate::bench::membership::run::{FAR_APART, Run, send};
use crate::bench::stage::messages;
use crate::site::Mode;

/// One of so many resources gets other limits, and as many projects lose a member.
const CHANGES_ONE_OF: usize = 100;
/// CPUs of each of these resources afterwards; the site starts with another number.
const CPU: u64 = 7;

/// What became of a burst.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Burst {
    /// Orders and memberships that customers have changed.
    pub(crate) changes: u64,
    /// Messages that Waldur has sent about them.
    pub(crate) messages: u64,
    /// From the first change to the end of the last request that follows from any.
    pub(crate) seconds: f64,
    /// Without the customers' own.
    pub(crate) waldur_requests: u64,
    pub(crate) okd_requests: u64,
    /// What the agent's threads have computed.
    pub(crate) cpu_seconds: f64,
    /// Most memory of this agent at a time, in megabytes of 1,000,000 bytes.
    pub(crate) peak_rss_mb: f64,
}

/// Starts an agent that listens, lets customers make all changes and waits until nothing is left to do.
///
/// # Errors
/// It does not come to its end, or the cluster is not as Waldur says afterwards.
pub(crate) async fn measure(run: &mut Run<'_>, size: Size) -> Result<Burst> {
    let mut agent = run.agent(Mode::EventProcess, FAR_APART)?;
    run.stage.listens(&mut agent).await?;
    run.stage.settle(&mut agent).await.context("the first pass")?;
    run.stage.is_drained(&mut agent).await?;
    run.stage.forget_traffic().await?;
    let (before, cpu) = (run.stage.broker().await?, agent.cpu_time()?);

    let chosen: Vec<usize> = (0..size.resources).step_by(CHANGES_ONE_OF).collect();
    let limits = json!({"limits": {"cpu": CPU, "memory": 16, "storage": 100, "pods": 50}});
    let mut requests = Vec::new();
    for number in &chosen {
        let path = format!("/api/marketplace-resources/{}/update_limits/", people::resource(*number));
        requests.push(vec![(path, limits.clone())]);
        requests.push(vec![run.people.leave_or_return(size.resources - 1 - number)]);
    }
    let changes = requests.len() as u64;
    send(&run.stage.customer, requests).await.context("cannot change anything")?;
    run.stage.is_drained(&mut agent).await?;
    let traffic = run.stage.settle(&mut agent).await?;

    run.check(&agent).await.context("after the burst")?;
    let right = run.stage.quotas_of(CPU).await?;
    ensure!(right == chosen.len(), "{right} quotas follow the orders in place of {}", chosen.len());
    let after = run.stage.broker().await?;
    Ok(Burst {
        changes,
        messages: messages(&after, "published") - messages(&before, "published"),
        seconds: traffic.all_seconds()?,
        waldur_requests: traffic.waldur.total - changes,
        okd_requests: traffic.okd.total,
        cpu_seconds: (agent.cpu_time()? - cpu).as_secs_f64(),
        peak_rss_mb: agent.peak_memory_mb()?,
    })
}
