//! Passes: what wakes keys when nothing else does.
//!
//! Each offering has its own loop, so that one whose Waldur does not answer delays no other. A pass that fails is
//! repeated after a growing pause, never longer than the period.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use planner::model::OrderKind;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{Engine, Key, Offering, sleep_for};
use crate::cluster::watch;
use crate::error::ApiError;
use crate::heartbeat;
use crate::waldur::dto;

/// Pause after the first failed pass.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// How long `--once` waits for something that is not in the agent's hands, such as a namespace that is going
/// away.
const ONCE_WAITS: Duration = Duration::from_secs(600);

impl Engine {
    /// Processes orders, period after period, until `stop`.
    pub async fn process_orders(self: &Arc<Self>, period: Duration, stop: &CancellationToken) {
        self.run_passes(period, stop, |engine, index| async move { engine.order_pass(index).await }).await;
    }

    /// Processes what is open now and returns whether all of it could be worked.
    pub async fn process_orders_once(self: &Arc<Self>) -> bool {
        self.run_once(|engine, index| async move { engine.order_pass(index).await }).await
    }

    /// Runs a pass over each offering, period after period, and works what they wake.
    pub(super) async fn run_passes<F, Fut>(
        self: &Arc<Self>,
        period: Duration,
        stop: &CancellationToken,
        pass: F,
    ) where
        F: Fn(Arc<Self>, usize) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ApiError>> + Send,
    {
        let tasks = TaskTracker::new();
        for index in 0..self.offerings.len() {
            let (engine, stop, pass, watches) = (Arc::clone(self), stop.clone(), pass.clone(), tasks.clone());
            tasks.spawn(async move { engine.passes(index, period, pass, &watches, &stop).await });
        }
        let heartbeat = stop.clone();
        tasks.spawn(async move { heartbeat::beat_until(&heartbeat).await });
        tasks.close();
        self.work(stop).await;
        tasks.wait().await;
    }

    /// Runs one pass over each offering and works what they wake, to the end.
    pub(super) async fn run_once<F, Fut>(self: &Arc<Self>, pass: F) -> bool
    where
        F: Fn(Arc<Self>, usize) -> Fut,
        Fut: Future<Output = Result<(), ApiError>>,
    {
        let stop = CancellationToken::new();
        let worker = {
            let (engine, stop) = (Arc::clone(self), stop.clone());
            tokio::spawn(async move { engine.work(&stop).await })
        };
        let passes = (0..self.offerings.len()).map(|index| pass(Arc::clone(self), index));
        let passed = futures::future::join_all(passes).await;
        let settled = self.settled().await;
        stop.cancel();
        let finished = worker.await.is_ok();
        passed.into_iter().all(|passed| passed.is_ok()) && settled && finished
    }

    /// Waits until nothing is left in the queue; `false` if what is left has failed or takes too long.
    async fn settled(&self) -> bool {
        let deadline = tokio::time::sleep(ONCE_WAITS);
        tokio::pin!(deadline);
        loop {
            let changed = self.changed.notified();
            {
                let queue = self.queue();
                if queue.is_empty() {
                    return true;
                }
                if queue.working() == 0 && queue.failing() == queue.len() {
                    return false;
                }
            }
            tokio::select! {
                () = changed => {}
                () = &mut deadline => return false,
            }
        }
    }

    async fn passes<F, Fut>(
        self: &Arc<Self>,
        index: usize,
        period: Duration,
        pass: F,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) where
        F: Fn(Arc<Self>, usize) -> Fut,
        Fut: Future<Output = Result<(), ApiError>>,
    {
        let mut failures = 0_u32;
        let mut watching = false;
        loop {
            // A pass may be cut short anywhere; when the agent is to stop, nobody waits for a server that does not answer.
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = pass(Arc::clone(self), index) => result,
            };
            if !watching && result.is_ok() {
                watching = self.watch(index, tasks, stop).await;
            }
            let pause = match result {
                Ok(()) => {
                    failures = 0;
                    period
                }
                Err(_) => {
                    failures = failures.saturating_add(1);
                    let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures - 1)).min(period);
                    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_for(Some(pause)) => {}
            }
        }
    }

    /// Starts the watches of an offering's cluster where its role grants them.
    async fn watch(self: &Arc<Self>, index: usize, tasks: &TaskTracker, stop: &CancellationToken) -> bool {
        let cluster = &self.offerings[index].cluster;
        let Ok(surroundings) = cluster.surroundings().await else {
            return false;
        };
        let engine = Arc::downgrade(self);
        let scope = self.offerings[index].options.scope;
        let wake: watch::Wake = Arc::new(move |resource| {
            if let Some(engine) = engine.upgrade() {
                engine.wake_by_cluster(Key { offering: index, resource }, scope);
            }
        });
        watch::start(cluster, &surroundings.watchable, &wake, tasks, stop);
        true
    }

    /// One look at an offering's open orders.
    async fn order_pass(self: Arc<Self>, index: usize) -> Result<(), ApiError> {
        let offering = Arc::clone(&self.offerings[index]);
        let span = tracing::info_span!("pass", offering = %offering.options.name);
        async {
            let result = match self.wake_open_orders(index, &offering).await {
                Ok(count) => self.wake_due(index, &offering).await.map(|()| count),
                Err(error) => Err(error),
            };
            match &result {
                Ok(0) => tracing::debug!("no open orders"),
                Ok(count) => tracing::info!(orders = count, "open orders"),
                Err(error) => tracing::error!(error = %error, "cannot look for orders; will try again"),
            }
            result.map(drop)
        }
        .instrument(span)
        .await
    }

    async fn wake_open_orders(&self, index: usize, offering: &Offering) -> Result<usize, ApiError> {
        heartbeat::beat();
        offering.register("order_process", "OfferingOrderProcessor").await?;
        let orders = offering.waldur.open_orders(offering.options.uuid).await?;
        if orders.is_empty() {
            // Waldur is asked for the offering and the cluster who it is even when there is nothing to do: an operator
            // wants to hear of a wrong UUID, URL or token before the first customer does.
            offering.model().await?;
            offering.cluster.surroundings().await?;
            return Ok(0);
        }
        offering.read_offering().await?;
        offering.cluster.surroundings().await?;
        offering.cluster.refresh().await?;
        let count = orders.len();
        let by_resource = by_resource(orders);
        let keys: Vec<Uuid> = by_resource.keys().copied().collect();
        offering.read.lock().unwrap_or_else(PoisonError::into_inner).extend(by_resource);
        for resource in keys {
            self.wake(Key { offering: index, resource });
        }
        Ok(count)
    }
}

/// Orders that can be worked, by their resource.
fn by_resource(orders: Vec<dto::Order>) -> HashMap<Uuid, Vec<dto::Order>> {
    let mut by_resource: HashMap<Uuid, Vec<dto::Order>> = HashMap::new();
    for order in orders {
        let uuid = order.uuid.simple();
        if OrderKind::parse(&order.kind).is_none() {
            tracing::warn!(order = %uuid, "order of the unknown type `{}` left alone", order.kind);
            continue;
        }
        match order.marketplace_resource_uuid {
            Some(resource) => by_resource.entry(resource).or_default().push(order),
            None => tracing::error!(order = %uuid, "the order names no resource; it is left alone"),
        }
    }
    by_resource
}
