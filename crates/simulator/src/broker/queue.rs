//! One queue: what waits in it, who reads it, what became of what was in it.
//!
//! It hands out and takes back; sessions and their limits are the business of `state.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use stomp::Headers;

/// What a full queue does with one message more (RabbitMQ's `x-overflow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest that waits goes.
    #[default]
    DropHead,
    /// The new one is not taken; Waldur's queues are like that (Waldur contract §6.3).
    RejectPublish,
}

/// Arguments of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueOptions {
    /// At most so many messages wait (`x-max-length`); those that are being worked on do not count.
    pub max_length: Option<usize>,
    /// What happens beyond that.
    pub overflow: Overflow,
    /// How long a message waits at most (`x-message-ttl`), by the simulation's clock.
    pub ttl: Option<Duration>,
}

impl QueueOptions {
    /// As Waldur declares its queues: one hour, ten thousand messages (Waldur contract §6.3).
    pub const WALDUR: Self = Self {
        max_length: Some(10_000),
        overflow: Overflow::RejectPublish,
        ttl: Some(Duration::from_secs(3600)),
    };
}

/// What is in a queue and what became of what was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueStatus {
    /// Messages that wait.
    pub ready: usize,
    /// Messages that a client has and has not acknowledged.
    pub unacked: usize,
    /// Subscriptions.
    pub consumers: usize,
    /// Messages that were put in.
    pub published: u64,
    /// Deliveries, repeated ones included.
    pub delivered: u64,
    /// Deliveries of what had been delivered before.
    pub redelivered: u64,
    /// Messages that clients acknowledged, or took with `ack:auto`.
    pub acknowledged: u64,
    /// Messages that came back: by NACK, by the end of a subscription or connection.
    pub given_back: u64,
    /// Messages that fell out of a full queue or were not taken by it.
    pub dropped: u64,
    /// Messages that waited for too long.
    pub expired: u64,
}

impl QueueStatus {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            ready: self.ready + other.ready,
            unacked: self.unacked + other.unacked,
            consumers: self.consumers + other.consumers,
            published: self.published + other.published,
            delivered: self.delivered + other.delivered,
            redelivered: self.redelivered + other.redelivered,
            acknowledged: self.acknowledged + other.acknowledged,
            given_back: self.given_back + other.given_back,
            dropped: self.dropped + other.dropped,
            expired: self.expired + other.expired,
        }
    }
}

/// A message that a client has acknowledged.
#[derive(Clone, Debug)]
pub struct Settled {
    /// From its publication to its last acknowledgement.
    pub took: Duration,
    /// It had been delivered before.
    pub redelivered: bool,
    /// What it said.
    pub body: Bytes,
}

/// One message, shared by the queue, the outbox of a session and the list of what is not acknowledged.
#[derive(Debug)]
pub(super) struct Message {
    /// Its place in the queue, kept when it comes back.
    pub(super) place: u64,
    pub(super) destination: String,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
    pub(super) published: Timestamp,
    pub(super) since: Instant,
    pub(super) redelivered: bool,
}

/// Which subscription of which session.
pub(super) type ConsumerKey = (u64, String);

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) options: QueueOptions,
    /// It goes with this session: the queue behind a subscription to a topic.
    pub(super) owner: Option<u64>,
    /// The pattern of the topics that it collects.
    pub(super) topic: Option<String>,
    /// Subscriptions, the one to be served next first.
    pub(super) consumers: VecDeque<ConsumerKey>,
    pub(super) counts: QueueStatus,
    ready: BTreeMap<u64, Arc<Message>>,
}

impl Queue {
    pub(super) fn new(options: QueueOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// The queue behind a session's subscription to a topic.
    pub(super) fn of_topic(pattern: &str, session: u64) -> Self {
        Self { owner: Some(session), topic: Some(pattern.to_owned()), ..Self::default() }
    }

    /// Takes a message, or drops one as the options say.
    pub(super) fn publish(&mut self, message: Message) {
        let is_full = self.options.max_length.is_some_and(|most| self.ready.len() >= most);
        if is_full {
            self.counts.dropped += 1;
            if self.options.overflow == Overflow::RejectPublish {
                return;
            }
            self.ready.pop_first();
        }
        self.counts.published += 1;
        self.ready.insert(message.place, Arc::new(message));
    }

    /// The oldest message that waits and has not expired.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Arc<Message>> {
        self.expire(now);
        let (_, message) = self.ready.pop_first()?;
        self.counts.delivered += 1;
        self.counts.redelivered += u64::from(message.redelivered);
        Some(message)
    }

    /// Puts a message back where it was.
    pub(super) fn give_back(&mut self, message: &Message) {
        self.counts.given_back += 1;
        let message = Message {
            place: message.place,
            destination: message.destination.clone(),
            headers: message.headers.clone(),
            body: message.body.clone(),
            published: message.published,
            since: message.since,
            redelivered: true,
        };
        self.ready.insert(message.place, Arc::new(message));
    }

    /// Forgets what waits; how many that were.
    pub(super) fn purge(&mut self) -> usize {
        std::mem::take(&mut self.ready).len()
    }

    pub(super) fn expire(&mut self, now: Timestamp) {
        let Some(ttl) = self.options.ttl else { return };
        // The oldest is always first, also among those that came back.
        while let Some(first) = self.ready.first_entry() {
            if now.duration_since(first.get().published)
                < jiff::SignedDuration::try_from(ttl).unwrap_or(jiff::SignedDuration::MAX)
            {
                break;
            }
            first.remove();
            self.counts.expired += 1;
        }
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }
}
