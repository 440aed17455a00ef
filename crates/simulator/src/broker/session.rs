//! What the broker remembers of one accepted connection: subscriptions, what is out for delivery, transactions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;
use stomp::{AckMode, AckTarget, Delivery, Version};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::queue::Message;
use super::state::Work;

/// A connection as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionStatus {
    /// The broker's name for the session, which is also in `message-id` headers.
    pub session: String,
    /// `tcp`, `tls`, `ws` or `wss`.
    pub transport: &'static str,
    /// Virtual host.
    pub vhost: String,
    /// User.
    pub login: String,
    /// `1.1` or `1.2`.
    pub version: &'static str,
    /// Queues and topics that it is subscribed to.
    pub destinations: Vec<String>,
    /// Messages that it has and has not acknowledged.
    pub unacked: usize,
}

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) queue: String,
    pub(super) destination: String,
    pub(super) mode: AckMode,
    pub(super) prefetch: Option<u16>,
    pub(super) unacked: BTreeMap<u64, Arc<Message>>,
}

impl Consumer {
    pub(super) fn has_room(&self) -> bool {
        // As in AMQP, 0 is no limit.
        self.prefetch.is_none_or(|most| most == 0 || self.unacked.len() < usize::from(most))
    }
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) name: String,
    pub(super) transport: &'static str,
    pub(super) vhost: String,
    pub(super) login: String,
    pub(super) version: Version,
    pub(super) consumers: BTreeMap<String, Consumer>,
    pub(super) outbox: VecDeque<Delivery>,
    pub(super) transactions: BTreeMap<String, Vec<Work>>,
    pub(super) wake: Arc<Notify>,
    /// The connection is to end with this said to the client.
    pub(super) closing: Option<String>,
    /// The connection is to be reset, with nothing said.
    pub(super) reset: CancellationToken,
    pub(super) tags: u64,
}

impl Session {
    /// Puts a message into the outbox; remembers it unless it needs no acknowledgement.
    pub(super) fn deliver(&mut self, subscription: &str, message: &Arc<Message>) {
        let Some(consumer) = self.consumers.get_mut(subscription) else { return };
        self.tags += 1;
        let id = format!("T_{subscription}@@{}@@{}", self.name, self.tags);
        let mut headers = stomp::Headers::new();
        headers.push("redelivered", if message.redelivered { "true" } else { "false" });
        for (name, value) in message.headers.iter() {
            headers.push(name, value);
        }
        self.outbox.push_back(Delivery {
            subscription: subscription.to_owned(),
            destination: message.destination.clone(),
            message_id: id.clone(),
            ack_id: id,
            headers,
            body: message.body.clone(),
        });
        if consumer.mode != AckMode::Auto {
            consumer.unacked.insert(self.tags, Arc::clone(message));
        }
        self.wake.notify_one();
    }

    /// The subscription and tag that an ACK or NACK names; `None` when it is of another session or no such name.
    pub(super) fn find(&self, target: &AckTarget) -> Option<(String, u64)> {
        let id = match target {
            AckTarget::Id(id) => id,
            AckTarget::Message { message_id, .. } => message_id,
        };
        let (rest, tag) = id.rsplit_once("@@")?;
        let (subscription, session) = rest.strip_prefix("T_")?.rsplit_once("@@")?;
        let is_same = match target {
            AckTarget::Id(_) => true,
            AckTarget::Message { subscription: named, .. } => named == subscription,
        };
        (is_same && session == self.name).then_some((subscription.to_owned(), tag.parse().ok()?))
    }

    pub(super) fn status(&self) -> ConnectionStatus {
        ConnectionStatus {
            session: self.name.clone(),
            transport: self.transport,
            vhost: self.vhost.clone(),
            login: self.login.clone(),
            version: self.version.as_str(),
            destinations: self.consumers.values().map(|consumer| consumer.destination.clone()).collect(),
            unacked: self.consumers.values().map(|consumer| consumer.unacked.len()).sum(),
        }
    }
}
