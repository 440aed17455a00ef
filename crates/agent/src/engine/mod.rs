//! Runs the pipeline: keys come due, a worker observes, plans, applies, and the outcome says when to look again.
//!
//! ```text
//! passes (polling)  ─┐
//! events            ─┤
//! cluster watches   ─┼─▶ queue ─▶ worker: observe → plan → apply → outcome ─┐
//! pauses, failures  ─┘     ▲                                                │
//!                          └────────────────────────────────────────────────┘
//! ```
//!
//! A key is one resource of one offering. Waking a key carries no facts: the worker reads them.

mod audit;
mod execution;
mod expiry;
mod look;
mod offering;
mod passes;
mod people;
mod planning;
mod pledges;
mod readiness;
mod resources;
mod told;
mod users;
mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use planner::access::GrantStatus;
use planner::finding::{Finding, Severity};
use planner::queue::{Ended, Queue, Standing};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::cluster::watch::Change;
use crate::health::Health;
use crate::usage::Reports;

pub use offering::{Offering, OfferingOptions, Rhythm};
pub use planning::{Considered, Named};
pub(crate) use pledges::Pledge;
use pledges::Pledges;
pub(crate) use worker::plan_with_lookups;

/// How long the engine rests at most, also if nothing is due: that it goes on shows that it is alive.
const QUIET: Duration = Duration::from_secs(30);
/// Messages about a key that come in quick succession are answered by one look: none begins sooner after another.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);
/// The same of changes on the cluster.
const BETWEEN_CHANGES: Duration = Duration::from_secs(1);
/// How late a loop may be before it counts as stuck.
const LATE: Duration = Duration::from_secs(120);

/// What is worked on: a resource of an offering, which is named by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) offering: usize,
    pub(crate) resource: Uuid,
}

/// Bounds of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Keys worked at the same time.
    pub workers: usize,
    /// How long work in flight may take to finish after a shutdown was asked for.
    pub grace: Duration,
    /// Deadline of one attempt of a request, to Waldur and to the cluster.
    pub request: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { workers: 32, grace: Duration::from_secs(30), request: Duration::from_secs(60) }
    }
}

/// What a key's facts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Its open orders, and what they ask for.
    Orders,
    /// The resource as it stands, without orders.
    Resources,
    /// Its open orders; where there are none, the resource as it stands.
    Both,
}

/// How the engine behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineOptions {
    /// See [`Bounds`].
    pub bounds: Bounds,
    /// Log what would be done, and do nothing.
    pub dry_run: bool,
    /// Removals of access need no second look.
    pub force_removal: bool,
    /// Who asks where no order does, for the audit log; empty for the mode itself.
    pub asked_by: &'static str,
}

/// What was done about access in earlier looks.
#[derive(Debug, Default)]
struct AccessMemory {
    /// Number of the pass that runs, by offering.
    pass: HashMap<usize, u64>,
    /// The pass in which a removal was held back for a key.
    held: HashMap<Key, u64>,
    /// Keys whose removal was confirmed and could not be carried out.
    confirmed: HashSet<Key>,
    /// What Waldur was told of a key's grants.
    told: HashMap<Key, Vec<GrantStatus>>,
}

/// The running agent.
#[derive(Debug)]
pub struct Engine {
    offerings: Vec<Arc<Offering>>,
    queue: Mutex<Queue<Key>>,
    pledges: Mutex<Pledges>,
    /// When work on keys began that was begun a moment ago.
    begun: Mutex<HashMap<Key, Duration>>,
    health: Arc<Health>,
    /// Servers that did not answer when they were asked last, and when that was.
    silent_servers: tokio::sync::Mutex<Option<(Instant, Vec<String>)>>,
    /// Something was woken or ended.
    changed: Notify,
    started: Instant,
    bounds: Bounds,
    dry_run: bool,
    /// Removals of access need no second look.
    force_removal: bool,
    /// See [`EngineOptions::asked_by`].
    asked_by: &'static str,
    access: Mutex<AccessMemory>,
    /// See [`planning`].
    commanded: Mutex<HashMap<Key, planning::Commanded>>,
    /// What was said last about a key, so that nothing is said twice.
    said: Mutex<HashMap<Key, Vec<Finding>>>,
    /// What reports the usage of its offerings, and for the last time before a project goes.
    reports: OnceLock<Reports>,
}

impl Engine {
    /// An engine over these offerings; nothing runs yet.
    #[must_use]
    pub fn new(offerings: Vec<Offering>, options: EngineOptions) -> Arc<Self> {
        let EngineOptions { bounds, dry_run, force_removal, asked_by } = options;
        Arc::new(Self {
            offerings: offerings.into_iter().map(Arc::new).collect(),
            queue: Mutex::default(),
            pledges: Mutex::default(),
            begun: Mutex::default(),
            health: Arc::default(),
            silent_servers: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            started: Instant::now(),
            bounds,
            dry_run,
            force_removal,
            asked_by,
            access: Mutex::default(),
            commanded: Mutex::default(),
            said: Mutex::default(),
            reports: OnceLock::new(),
        })
    }

    /// Gives it what reports usage; the first one stays.
    pub(crate) fn report_by(&self, reports: Reports) {
        let _ = self.reports.set(reports);
    }

    /// What reports the usage of its offerings, where something does.
    pub(crate) fn reports(&self) -> Option<&Reports> {
        self.reports.get()
    }

    /// What is served.
    pub(crate) fn offerings(&self) -> &[Arc<Offering>] {
        &self.offerings
    }

    /// Works what is in the queue until `stop`; then lets work in flight finish within the grace period.
    async fn work(self: &Arc<Self>, stop: &CancellationToken) {
        let workers = TaskTracker::new();
        loop {
            let changed = self.changed.notified();
            let pause = self.start_due(&workers);
            self.health.progress("work", QUIET + LATE);
            tokio::select! {
                () = stop.cancelled() => break,
                () = changed => {}
                () = sleep_for(Some(pause.map_or(QUIET, |pause| pause.min(QUIET)))) => {}
            }
        }
        workers.close();
        if tokio::time::timeout(self.bounds.grace, workers.wait()).await.is_err() {
            tracing::warn!("stopped with work in flight; the next run finishes it");
        }
    }

    /// How many keys stand how, by the place of their offering.
    pub(crate) fn standings(&self) -> HashMap<(usize, Standing), usize> {
        let mut counts = HashMap::new();
        for (key, standing) in self.queue().standings() {
            *counts.entry((key.offering, standing)).or_default() += 1;
        }
        counts
    }

    /// For how long the key that has waited longest is due.
    pub(crate) fn overdue(&self) -> Duration {
        self.queue().overdue(self.started.elapsed())
    }

    /// Starts workers for what is due, up to the bound; returns how long nothing will be due.
    fn start_due(self: &Arc<Self>, workers: &TaskTracker) -> Option<Duration> {
        let mut queue = self.queue();
        while queue.working() < self.bounds.workers {
            let now = self.started.elapsed();
            let Some(key) = queue.poll(now) else {
                return queue.next_due().map(|due| due.saturating_sub(now));
            };
            self.pledges().begin(key);
            self.note_begun(key, now);
            let engine = Arc::clone(self);
            workers.spawn(async move {
                let mut guard = EndedGuard { engine: &engine, key, ended: Ended::Failed(None) };
                guard.ended = engine.work_on(key).await;
            });
        }
        None
    }

    /// Makes a key due.
    pub(crate) fn wake(&self, key: Key) {
        self.queue().wake(&key, self.started.elapsed());
        self.changed.notify_waiters();
    }

    /// Makes a key due because of a message, which is acknowledged after the work. What was read of the key before is
    /// of no use any more.
    pub(crate) fn wake_by_event(&self, key: Key, pledge: &Arc<Pledge>) {
        self.offerings[key.offering].note_woken(key.resource);
        {
            let mut queue = self.queue();
            self.pledges().pledge(key, pledge, queue.has_failed(&key));
            queue.wake_at(&key, self.soonest(key, BETWEEN_EVENTS));
        }
        self.changed.notify_waiters();
    }

    /// The cluster reports a change. What the worker on a key writes itself is no news to it, while a change by
    /// somebody else may have come after it has looked: then it looks again when it ends. Where only orders are worked,
    /// only keys that wait for something matter: the rest is another mode's.
    pub(crate) fn wake_by_cluster(&self, key: Key, scope: Scope, change: Change) {
        let matters = match scope {
            Scope::Orders => self.queue().is_waiting(&key),
            Scope::Resources | Scope::Both => {
                change == Change::SomebodyElses || !self.queue().is_working(&key)
            }
        };
        if matters {
            // Somebody who keeps changing what this agent keeps putting back must not keep both busy.
            self.queue().wake_at(&key, self.soonest(key, BETWEEN_CHANGES));
            self.changed.notify_waiters();
        }
    }

    /// Now, or so long after work on the key began last.
    fn soonest(&self, key: Key, after: Duration) -> Duration {
        let now = self.started.elapsed();
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.get(&key).map_or(now, |begun| now.max(*begun + after))
    }

    fn note_begun(&self, key: Key, now: Duration) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.len() >= 2 * self.bounds.workers {
            begun.retain(|_, begun| *begun + BETWEEN_CHANGES > now);
        }
        begun.insert(key, now);
    }

    /// The offering of this place in the configuration.
    pub(crate) fn offering(&self, index: usize) -> &Offering {
        &self.offerings[index]
    }

    /// The place of an offering.
    pub(crate) fn offering_of(&self, uuid: Uuid) -> Option<usize> {
        self.offerings.iter().position(|offering| offering.options.uuid == uuid)
    }

    fn pledges(&self) -> MutexGuard<'_, Pledges> {
        self.pledges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn access(&self) -> MutexGuard<'_, AccessMemory> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if the pass before this one held back a removal for the key, or what it confirmed then is still to be done.
    fn was_held_before(&self, key: Key) -> bool {
        let access = self.access();
        if access.confirmed.contains(&key) {
            return true;
        }
        let pass = access.pass.get(&key.offering).copied().unwrap_or_default();
        access.held.get(&key).is_some_and(|held| held + 1 == pass)
    }

    /// Notes that a pass over an offering begins, with the keys that it has found.
    fn begin_pass(&self, offering: usize, keys: &HashSet<Key>) {
        let mut access = self.access();
        *access.pass.entry(offering).or_default() += 1;
        let stays = |key: &Key| key.offering != offering || keys.contains(key);
        access.held.retain(|key, _| stays(key));
        access.confirmed.retain(|key| stays(key));
        access.told.retain(|key, _| stays(key));
        self.said.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| stays(key));
    }

    /// True if the last pass over an offering has held back removals of access.
    pub(crate) fn holds_anything(&self, offering: usize) -> bool {
        self.offerings[offering].removal_held()
            || self.access().held.keys().any(|key| key.offering == offering)
    }

    /// Forgets what was said and done about a key that no pass will ever name again.
    fn forget(&self, key: Key) {
        let mut access = self.access();
        access.held.remove(&key);
        access.confirmed.remove(&key);
        access.told.remove(&key);
        self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    /// Notes what became of a removal: held back, or confirmed and `done` or not.
    fn note_held(&self, key: Key, held: bool, done: bool) {
        let confirmed = !held && self.was_held_before(key);
        let mut access = self.access();
        if confirmed && !done {
            access.confirmed.insert(key);
            return;
        }
        access.confirmed.remove(&key);
        let pass = access.pass.get(&key.offering).copied().unwrap_or_default();
        if held {
            access.held.insert(key, pass);
        } else {
            access.held.remove(&key);
        }
    }

    fn told(&self, key: Key) -> Option<Vec<GrantStatus>> {
        self.access().told.get(&key).cloned()
    }

    fn note_told(&self, key: Key, told: Vec<GrantStatus>) {
        self.access().told.insert(key, told);
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Key>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs findings that were not logged the last time the key was looked at.
    pub(crate) fn say(&self, key: Key, findings: &[Finding]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = said.get(&key).map_or(&[][..], Vec::as_slice);
        for finding in findings.iter().filter(|finding| !before.contains(finding)) {
            match finding.severity {
                Severity::Info => tracing::info!("{}", finding.message),
                Severity::Warning => tracing::warn!("{}", finding.message),
                Severity::Error => tracing::error!("{}", finding.message),
            }
        }
        if findings.is_empty() {
            said.remove(&key);
        } else {
            said.insert(key, findings.to_vec());
        }
    }
}

/// Gives the key back however the work on it ends, also by a panic.
struct EndedGuard<'a> {
    engine: &'a Engine,
    key: Key,
    ended: Ended,
}

impl Drop for EndedGuard<'_> {
    fn drop(&mut self) {
        let (engine, settled) = (self.engine, self.ended == Ended::Settled);
        {
            let mut queue = engine.queue();
            engine.pledges().end(self.key, settled, Instant::now());
            queue.ended(&self.key, &self.ended, engine.started.elapsed(), fastrand::f64());
        }
        if settled && engine.offerings[self.key.offering].options.scope == Scope::Orders {
            engine.forget(self.key);
        }
        engine.changed.notify_waiters();
    }
}

async fn sleep_for(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
