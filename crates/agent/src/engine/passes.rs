//! Passes: what wakes keys when nothing else does.
//!
//! Each offering has its own loop, so that one whose Waldur does not answer delays no other. A pass that fails is
//! repeated after a growing pause, never longer than the period.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use planner::model::OrderKind;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{Engine, Key, LATE, Offering, Rhythm, sleep_for};
use crate::cluster::watch::{Wake, Watches};
use crate::error::ApiError;
use crate::waldur::dto;
use crate::{events, heartbeat};

/// Pause after the first failed pass.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause after a failed pass.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Shortest time between two passes.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// How long the first pass waits for the broker.
const WAITS_FOR_EVENTS: Duration = Duration::from_secs(3);
/// How soon the next pass comes where one has held back removals of access.
const WHILE_HELD: Duration = Duration::from_secs(300);
/// A pass over the largest offering takes less time.
const LONGEST_PASS: Duration = Duration::from_secs(3600);
/// How long `--once` waits for something that is not in the agent's hands, such as a namespace that is going
/// away.
const ONCE_WAITS: Duration = Duration::from_secs(600);

/// What a pass looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Orders,
    Resources,
}

impl Pass {
    const ALL: [Self; 2] = [Self::Orders, Self::Resources];

    const fn period(self, rhythm: Rhythm) -> Option<Duration> {
        match self {
            Self::Orders => rhythm.orders,
            Self::Resources => rhythm.resources,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Resources => "resources",
        }
    }
}

impl Engine {
    /// Does for each offering what it is for, until `stop`: passes, events where it has them, and the work that they
    /// wake. Work in flight is finished within the grace period.
    pub async fn run(self: &Arc<Self>, stop: &CancellationToken) {
        self.run_with(|offering| offering.options.rhythm, stop).await;
    }

    /// One pass of each kind over each offering, without events; whether all of it could be worked.
    pub async fn run_once(self: &Arc<Self>, stop: &CancellationToken) -> bool {
        self.once(|offering| offering.options.rhythm, stop).await
    }

    /// Processes orders, period after period, until `stop`.
    pub async fn process_orders(self: &Arc<Self>, period: Duration, stop: &CancellationToken) {
        self.run_with(|_| Rhythm::orders(period), stop).await;
    }

    /// Processes what is open now and returns whether all of it could be worked.
    pub async fn process_orders_once(self: &Arc<Self>) -> bool {
        self.once(|_| Rhythm::orders(Duration::ZERO), &CancellationToken::new()).await
    }

    /// Runs passes over each offering, period after period, and works what they and events wake.
    pub(super) async fn run_with(
        self: &Arc<Self>,
        rhythm: impl Fn(&Offering) -> Rhythm,
        stop: &CancellationToken,
    ) {
        let tasks = TaskTracker::new();
        let drained = CancellationToken::new();
        for (index, offering) in self.offerings.iter().enumerate() {
            let rhythm = rhythm(offering);
            offering.cluster.want_watches(Watches {
                kinds: None,
                wake: self.wake_of(index),
                tasks: tasks.clone(),
                stop: stop.clone(),
            });
            for pass in Pass::ALL.into_iter().filter(|pass| pass.period(rhythm).is_some()) {
                let (engine, stop) = (Arc::clone(self), stop.clone());
                tasks.spawn(async move { engine.passes(index, pass, rhythm, &stop).await });
            }
            if let Some(options) = &offering.options.events {
                let (options, stop, drained) = (options.clone(), stop.clone(), drained.clone());
                tasks.spawn(events::listen(Arc::clone(self), index, options, stop, drained));
            }
        }
        let (health, heartbeat) = (Arc::clone(&self.health), stop.clone());
        tasks.spawn(async move { heartbeat::beat_until(&health, &heartbeat).await });
        tasks.close();
        self.work(stop).await;
        drained.cancel();
        tasks.wait().await;
    }

    /// Runs one pass of each kind over each offering and works what they wake, to the end or until `stop`.
    pub(super) async fn once(
        self: &Arc<Self>,
        rhythm: impl Fn(&Offering) -> Rhythm,
        stop: &CancellationToken,
    ) -> bool {
        let offerings = self.offerings.iter().enumerate();
        let passes = offerings.flat_map(|(index, offering)| {
            let rhythm = rhythm(offering);
            let wanted = Pass::ALL.into_iter().filter(move |pass| pass.period(rhythm).is_some());
            wanted.map(move |pass| Arc::clone(self).pass(index, pass))
        });
        let passes =
            async { futures::future::join_all(passes).await.into_iter().all(|passed| passed.is_ok()) };
        self.to_the_end(passes, stop).await
    }

    /// Works what `wakers` wake, to the end or until `stop`; whether all of it could be worked.
    pub(super) async fn to_the_end(
        self: &Arc<Self>,
        wakers: impl Future<Output = bool>,
        stop: &CancellationToken,
    ) -> bool {
        heartbeat::beat();
        let end = stop.child_token();
        let worker = {
            let (engine, end) = (Arc::clone(self), end.clone());
            tokio::spawn(async move { engine.work(&end).await })
        };
        let all = async {
            let woken = wakers.await;
            self.settled().await && woken
        };
        let done = tokio::select! {
            done = all => done,
            () = stop.cancelled() => false,
        };
        end.cancel();
        worker.await.is_ok() && done
    }

    async fn pass(self: Arc<Self>, index: usize, pass: Pass) -> Result<(), ApiError> {
        let metrics = self.offerings[index].options.metrics.clone();
        let begun = Instant::now();
        let result = match pass {
            Pass::Orders => self.order_pass(index).await,
            Pass::Resources => self.resource_pass(index).await,
        };
        metrics.passed(pass.name(), result.is_ok(), begun.elapsed());
        result
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

    async fn passes(self: &Arc<Self>, index: usize, pass: Pass, rhythm: Rhythm, stop: &CancellationToken) {
        let offering = &self.offerings[index];
        let name = format!("{} of {}", pass.name(), offering.options.name);
        let wanted = &offering.wanted[pass as usize];
        let mut failures = 0_u32;
        if offering.options.events.is_some() {
            // What happens before messages come is seen by the pass after it: one is then enough.
            let mut subscribed = offering.subscribed.subscribe();
            let subscribed = subscribed.wait_for(|subscribed| *subscribed);
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tokio::time::timeout(WAITS_FOR_EVENTS, subscribed) => {}
            }
        }
        loop {
            self.health.progress(&name, LONGEST_PASS);
            // This one is as good as any that was asked for before it.
            let _ = wanted.notified().now_or_never();
            let begun = Instant::now();
            // A pass may be cut short anywhere; when the agent is to stop, nobody waits for a server that does not answer.
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = Arc::clone(self).pass(index, pass) => result,
            };
            let period = self.period(index, pass, rhythm);
            let pause = match result {
                Ok(()) => {
                    failures = 0;
                    period
                }
                Err(_) => {
                    failures = failures.saturating_add(1);
                    let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures - 1));
                    pause.min(period).min(LONGEST_PAUSE).mul_f64(0.5 + fastrand::f64() / 2.0)
                }
            };
            // Whoever asks for passes all the time gets no more than the servers can stand.
            let rest = pause.min(begun.elapsed().clamp(SHORTEST_REST, LONGEST_PAUSE));
            self.health.progress(&name, pause + LATE);
            let wanted = async {
                tokio::time::sleep(rest).await;
                wanted.notified().await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_for(Some(pause)) => {}
                () = wanted => {}
            }
        }
    }

    /// How long after a pass the next one is made.
    fn period(&self, index: usize, pass: Pass, rhythm: Rhythm) -> Duration {
        let offering = &self.offerings[index];
        let mut period = pass.period(rhythm).unwrap_or(LONGEST_PAUSE);
        if let Some(without_events) = rhythm.without_events.filter(|_| offering.waldur.is_legacy()) {
            offering.say_once(
                "no events",
                "this server has no events; it is asked by polling instead, as in the other modes",
            );
            period = period.min(without_events);
        }
        // What a pass holds back is done by the next one that still sees it.
        if pass == Pass::Resources && self.holds_anything(index) {
            period = period.min(WHILE_HELD);
        }
        period
    }

    /// What is done when an offering's cluster tells of a change.
    fn wake_of(self: &Arc<Self>, index: usize) -> Wake {
        let engine = Arc::downgrade(self);
        let scope = self.offerings[index].options.scope;
        Arc::new(move |resource, change| {
            if let Some(engine) = engine.upgrade() {
                engine.wake_by_cluster(Key { offering: index, resource }, scope, change);
            }
        })
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
        let begun = Instant::now();
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
        let mut by_resource = by_resource(orders);
        let keys: Vec<Uuid> = by_resource.keys().copied().collect();
        // What an event has asked for meanwhile is read anew.
        let woken = offering.woken_since(begun);
        offering.forget_old_news();
        by_resource.retain(|resource, _| !woken.contains(resource));
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
