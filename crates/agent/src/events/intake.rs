//! Messages → keys.
//!
//! What a message is about is read by [`planner::event`]. Where that names resources they are woken at once; where it
//! names something that resources have in common, Waldur is asked for them, once for all messages that ask the same.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use planner::event::{self, Concern};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::session::Incoming;
use super::{EventOptions, import};
use crate::engine::{Engine, Key, Pledge, Scope};
use crate::error::ApiError;
use crate::metrics::Message as Counted;

/// Questions asked of Waldur at the same time.
const AT_ONCE: usize = 8;
/// Pause before a question that had no answer is asked again.
const PAUSE: Duration = Duration::from_secs(2);
/// A question that had no answer for so long is left to the next pass, so that its message does not stop others.
const LONGEST: Duration = Duration::from_secs(300);

/// What has to be asked before keys can be woken, or done beside them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Question {
    /// Resources of a project.
    Project(Uuid),
    /// The resource of an order.
    Order(Uuid),
    /// Resources by their backend ids.
    BackendIds(BTreeSet<String>),
    /// Usernames for those who wait for one.
    NewUsers,
    /// What can be imported.
    Importable(Uuid),
    /// A limit for a period; resource and policy.
    PeriodicLimits(Uuid, Uuid),
}

/// Messages that ask the same.
struct Asked {
    since: Instant,
    pledges: Vec<Arc<Pledge>>,
}

/// Takes messages of one offering's connections.
pub(super) struct Intake {
    engine: Arc<Engine>,
    index: usize,
    questions: mpsc::UnboundedSender<(usize, Question, Arc<Pledge>)>,
    /// Messages that can never be worked.
    unworkable: AtomicU64,
    /// Types that were said to be unknown.
    unknown: Mutex<HashSet<String>>,
}

impl Intake {
    /// Starts answering questions, until `stop`.
    pub(super) fn start(
        engine: Arc<Engine>,
        index: usize,
        options: EventOptions,
        stop: CancellationToken,
    ) -> Self {
        let (questions, asked) = mpsc::unbounded_channel();
        let answers = answer(Arc::clone(&engine), options, asked, stop);
        tokio::spawn(answers.in_current_span());
        Self { engine, index, questions, unworkable: AtomicU64::new(0), unknown: Mutex::default() }
    }

    /// Takes a message. Nothing is waited for.
    pub(super) fn take(&self, incoming: Incoming) {
        let Incoming { message, object_type, acks } = incoming;
        let metrics = self.engine.offering(self.index).options.metrics.clone();
        metrics.message(Counted::Received);
        if message.headers.get("redelivered") == Some("true") {
            metrics.message(Counted::Redelivered);
        }
        let (token, acknowledged) = (message.ack, metrics.clone());
        let pledge = Pledge::new(move || {
            // The connection may be gone: the broker delivers the message again.
            if token.is_some_and(|token| acks.send(token).is_ok()) {
                acknowledged.message(Counted::Acknowledged);
            }
        });
        match event::read(&message.body, object_type) {
            Ok(notice) => self.wake(notice, &pledge),
            Err(problem) => {
                metrics.message(Counted::Unreadable);
                let count = self.unworkable.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::error!(count, "a message cannot be worked and is dropped: {problem}");
            }
        }
        pledge.release();
    }

    fn wake(&self, notice: event::Notice, pledge: &Arc<Pledge>) {
        let Some(index) = self.of(notice.offering) else {
            tracing::debug!("a message about an offering that is not served here");
            return;
        };
        let offering = self.engine.offering(index);
        let (orders, resources) = match offering.options.scope {
            Scope::Orders => (true, false),
            Scope::Resources => (false, true),
            Scope::Both => (true, true),
        };
        let key = |resource| Key { offering: index, resource };
        let ask = |question| {
            pledge.hold();
            if let Err(unsent) = self.questions.send((index, question, Arc::clone(pledge))) {
                // Nobody answers any more: the agent stops, and the message stays with the broker.
                drop(unsent);
            }
        };
        match notice.concern {
            Concern::Order { order, resource, executing } if orders => {
                if executing && offering.take_approved(order) {
                    // Told of what this process is doing.
                    return;
                }
                match resource {
                    Some(resource) => self.engine.wake_by_event(key(resource), pledge),
                    None => ask(Question::Order(order)),
                }
            }
            Concern::Resource(resource) if resources => self.engine.wake_by_event(key(resource), pledge),
            Concern::Roles { project, resource, user } if resources => {
                offering.note_roles(project);
                if user.is_some_and(|user| offering.lacks_account(user)) {
                    offering.note_accounts();
                }
                match resource {
                    Some(resource) => self.engine.wake_by_event(key(resource), pledge),
                    None => ask(Question::Project(project)),
                }
            }
            Concern::Accounts { project } if resources => {
                offering.note_accounts();
                ask(Question::Project(project));
            }
            Concern::User(backend_ids) if resources => {
                offering.note_accounts();
                ask(Question::BackendIds(backend_ids.into_iter().collect()));
            }
            Concern::NewUser if resources => {
                offering.note_accounts();
                ask(Question::NewUsers);
            }
            Concern::Offering => {
                // A pass is what a start begins with: this message need not come again.
                offering.note_accounts();
                offering.want_passes();
            }
            Concern::Importable(request) => ask(Question::Importable(request)),
            Concern::PeriodicLimits { resource, policy } => ask(Question::PeriodicLimits(resource, policy)),
            Concern::Unknown(kind) => {
                let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
                if unknown.insert(kind.clone()) {
                    tracing::info!("messages of the unknown type `{kind}` are dropped");
                }
            }
            Concern::Nothing
            | Concern::Order { .. }
            | Concern::Resource(_)
            | Concern::Roles { .. }
            | Concern::Accounts { .. }
            | Concern::User(_)
            | Concern::NewUser => {}
        }
    }

    /// The offering that a message is about; the connection's own where it names none.
    fn of(&self, uuid: Option<Uuid>) -> Option<usize> {
        let Some(uuid) = uuid else {
            return Some(self.index);
        };
        if self.engine.offering(self.index).options.uuid == uuid {
            return Some(self.index);
        }
        self.engine.offering_of(uuid)
    }
}

/// Answers questions until `stop`. Those that come while others are being asked wait, and are asked once.
async fn answer(
    engine: Arc<Engine>,
    options: EventOptions,
    mut asked: mpsc::UnboundedReceiver<(usize, Question, Arc<Pledge>)>,
    stop: CancellationToken,
) {
    let mut open: BTreeMap<(usize, Question), Asked> = BTreeMap::new();
    loop {
        let pause = if open.is_empty() { Duration::MAX } else { PAUSE };
        let first = tokio::select! {
            () = stop.cancelled() => return,
            first = asked.recv() => match first {
                Some(first) => Some(first),
                None => return,
            },
            () = tokio::time::sleep(pause) => None,
        };
        let more = std::iter::from_fn(|| asked.try_recv().ok());
        for (index, question, pledge) in first.into_iter().chain(more) {
            let fresh = || Asked { since: Instant::now(), pledges: Vec::new() };
            open.entry((index, question)).or_insert_with(fresh).pledges.push(pledge);
        }
        let round = std::mem::take(&mut open);
        let answers = round.into_iter().map(|((index, question), asked)| {
            let (engine, options) = (&engine, &options);
            async move {
                let result = work(engine, options, index, &question, &asked.pledges).await;
                ((index, question), asked, result)
            }
        });
        let answers = futures::stream::iter(answers).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        let answers = tokio::select! {
            () = stop.cancelled() => return,
            answers = answers => answers,
        };
        for (question, asked, result) in answers {
            match result {
                Err(error) if error.is_transient() && asked.since.elapsed() < LONGEST => {
                    tracing::warn!(error = %error, "cannot see what a message is about; will ask again");
                    open.insert(question, asked);
                    continue;
                }
                Err(error) => {
                    tracing::error!(error = %error, "cannot see what a message is about; the next pass will");
                    engine.offering(question.0).want_passes();
                }
                Ok(()) => {}
            }
            asked.pledges.iter().for_each(|pledge| pledge.release());
        }
    }
}

async fn work(
    engine: &Arc<Engine>,
    options: &EventOptions,
    index: usize,
    question: &Question,
    pledges: &[Arc<Pledge>],
) -> Result<(), ApiError> {
    let offering = engine.offering(index);
    let (waldur, uuid) = (&offering.waldur, offering.options.uuid);
    let wake = |resource: Uuid| {
        for pledge in pledges {
            engine.wake_by_event(Key { offering: index, resource }, pledge);
        }
    };
    match question {
        Question::Project(project) => {
            let places = waldur.resources_of_project(uuid, *project).await?;
            places.iter().for_each(|place| wake(place.uuid));
        }
        Question::BackendIds(ids) => {
            let places = waldur.places(uuid).await?;
            let named = places.iter().filter(|place| ids.contains(place.backend_id.trim()));
            named.for_each(|place| wake(place.uuid));
        }
        Question::Order(order) => match waldur.order(*order).await {
            Ok(order) => order.marketplace_resource_uuid.into_iter().for_each(wake),
            // Gone, or not ours to see.
            Err(error) if error.is_not_found() => tracing::debug!(error = %error, "no such order"),
            Err(error) => return Err(error),
        },
        Question::NewUsers => offering.name_waiting_users().await?,
        Question::Importable(request) => import::offer(offering, &options.parent_prefix, *request).await?,
        Question::PeriodicLimits(resource, policy) => {
            tracing::warn!(resource = %resource.simple(), "OKD projects have no limits for a period");
            waldur.refuse_periodic_limits(*policy, *resource).await?;
        }
    }
    Ok(())
}
