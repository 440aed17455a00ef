//! Virtual hosts, users, queues and sessions, and what a request of a client does to them.
//!
//! No I/O: connections ask under the lock and are woken when something is in their outbox. The texts of refusals
//! are those of RabbitMQ 3.10.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use stomp::{AckMode, AckTarget, ConnectRequest, ErrorReply, Headers, Passcode, Request};

use super::access::User;
use super::destination::{Destination, topic_matches};
use super::queue::{Message, Queue, QueueOptions, QueueStatus, Settled};
use super::session::{Consumer, Session};
use crate::clock::Clock;

/// How many acknowledged messages are remembered.
const SETTLED_KEPT: usize = 20_000;

/// What waits for the end of a transaction.
#[derive(Debug)]
pub(super) enum Work {
    Send { destination: String, headers: Headers, body: Bytes },
    Settle { target: AckTarget, is_done: bool },
}

#[derive(Debug, Default)]
pub(super) struct State {
    clock: Clock,
    pub(super) vhosts: BTreeMap<String, BTreeMap<String, Queue>>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) sessions: BTreeMap<u64, Session>,
    /// In the order of their acknowledgements.
    pub(super) settled: Vec<Settled>,
    pub(super) logins: u64,
    pub(super) refused_logins: u64,
    pub(super) silent_clients: u64,
    /// Nothing can be published.
    pub(super) is_down: bool,
    numbers: u64,
}

impl State {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, ..Self::default() }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn declare(&mut self, vhost: &str, queue: &str, options: QueueOptions) {
        let queues = self.vhosts.entry(vhost.to_owned()).or_default();
        queues.entry(queue.to_owned()).or_insert_with(|| Queue::new(options)).options = options;
    }

    /// The queue's numbers; `None` when there is no such queue.
    pub(super) fn status(&mut self, vhost: &str, name: &str) -> Option<QueueStatus> {
        let now = self.now();
        let queue = self.vhosts.get_mut(vhost)?.get_mut(name)?;
        queue.expire(now);
        let consumers = self.sessions.values().filter(|session| session.vhost == vhost);
        let consumers = consumers.flat_map(|session| session.consumers.values());
        let unacked =
            consumers.filter(|consumer| consumer.queue == name).map(|consumer| consumer.unacked.len());
        Some(QueueStatus {
            ready: queue.ready(),
            unacked: unacked.sum(),
            consumers: queue.consumers.len(),
            ..queue.counts
        })
    }

    /// Lets a client in, or says why not.
    pub(super) fn log_in(
        &mut self,
        request: &ConnectRequest,
        default_vhost: &str,
    ) -> Result<LoggedIn, ErrorReply> {
        let login = request.login.clone().unwrap_or_default();
        let vhost = request.host.clone().unwrap_or_else(|| default_vhost.to_owned());
        let passcode = request.passcode.as_ref().map_or("", Passcode::expose);
        let user = self.users.get(&login).filter(|user| user.knows(passcode));
        let refusal = match user {
            None => Some(format!("Access refused for user '{login}'\n")),
            Some(user) if !self.vhosts.contains_key(&vhost) || !user.access.contains_key(&vhost) => {
                Some(format!("Virtual host '{vhost}' access denied\n"))
            }
            Some(_) => None,
        };
        if let Some(detail) = refusal {
            self.refused_logins += 1;
            return Err(refused("Bad CONNECT", detail));
        }
        self.logins += 1;
        Ok(LoggedIn { vhost, login })
    }

    pub(super) fn open(&mut self, session: Session) -> u64 {
        let number = self.number();
        self.sessions.insert(number, session);
        number
    }

    /// Forgets a session; what it did not acknowledge goes back to the queues.
    pub(super) fn close(&mut self, session: u64) {
        let Some(mut gone) = self.sessions.remove(&session) else { return };
        for (subscription, consumer) in std::mem::take(&mut gone.consumers) {
            self.leave(&gone.vhost, (session, subscription), consumer);
        }
    }

    /// Ends a subscription of a session that may be gone already.
    fn leave(&mut self, vhost: &str, key: (u64, String), consumer: Consumer) {
        let Some(queues) = self.vhosts.get_mut(vhost) else { return };
        let Some(queue) = queues.get_mut(&consumer.queue) else { return };
        queue.consumers.retain(|other| *other != key);
        if queue.owner == Some(key.0) {
            queues.remove(&consumer.queue);
            return;
        }
        for message in consumer.unacked.values() {
            queue.give_back(message);
        }
        self.dispatch(vhost, &consumer.queue);
    }

    /// Does what a client asks. An error goes to the client and ends its session.
    pub(super) fn handle(&mut self, session: u64, request: Request) -> Result<(), ErrorReply> {
        match request {
            Request::Subscribe { id, destination, ack, prefetch, .. } => {
                self.subscribe(session, id, &destination, ack, prefetch)
            }
            Request::Unsubscribe { id } => {
                self.unsubscribe(session, &id);
                Ok(())
            }
            Request::Send { destination, transaction, headers, body } => {
                self.later_or_now(session, transaction, Work::Send { destination, headers, body })
            }
            Request::Ack { target, transaction } => {
                self.later_or_now(session, transaction, Work::Settle { target, is_done: true })
            }
            Request::Nack { target, transaction } => {
                self.later_or_now(session, transaction, Work::Settle { target, is_done: false })
            }
            Request::Begin { transaction } => {
                self.of(session)?.transactions.insert(transaction, Vec::new());
                Ok(())
            }
            Request::Commit { transaction } => {
                let work = self.end_transaction(session, &transaction)?;
                work.into_iter().try_for_each(|work| self.work(session, work))
            }
            Request::Abort { transaction } => self.end_transaction(session, &transaction).map(drop),
            Request::Disconnect => Ok(()),
        }
    }

    fn of(&mut self, session: u64) -> Result<&mut Session, ErrorReply> {
        let known = self.sessions.get_mut(&session);
        known.ok_or_else(|| refused("Not connected", "The session has ended.\n".to_owned()))
    }

    fn later_or_now(
        &mut self,
        session: u64,
        transaction: Option<String>,
        work: Work,
    ) -> Result<(), ErrorReply> {
        let Some(name) = transaction else { return self.work(session, work) };
        let transaction = self.of(session)?.transactions.get_mut(&name);
        transaction.ok_or_else(|| bad_transaction(&name))?.push(work);
        Ok(())
    }

    fn end_transaction(&mut self, session: u64, name: &str) -> Result<Vec<Work>, ErrorReply> {
        self.of(session)?.transactions.remove(name).ok_or_else(|| bad_transaction(name))
    }

    fn work(&mut self, session: u64, work: Work) -> Result<(), ErrorReply> {
        match work {
            Work::Send { destination, headers, body } => {
                let (vhost, login) = self.place_of(session)?;
                let target = parse(&destination)?;
                let (Destination::Declared(name) | Destination::Queue(name) | Destination::Topic(name)) =
                    &target;
                if !self.users.get(&login).is_some_and(|user| user.may_change(&vhost)) {
                    return Err(access_refused("queue", name, &vhost, &login));
                }
                // A raw header of the sender's must not pass for one of ours.
                let own =
                    ["destination", "content-length", "transaction", "redelivered", "message-id", "ack"];
                let headers = headers.iter().filter(|(name, _)| !own.contains(name)).collect();
                self.publish(&vhost, &target, headers, body);
                Ok(())
            }
            Work::Settle { target, is_done } => self.settle(session, &target, is_done),
        }
    }

    fn place_of(&mut self, session: u64) -> Result<(String, String), ErrorReply> {
        self.of(session).map(|session| (session.vhost.clone(), session.login.clone()))
    }

    /// How many queues took it: none where nobody has declared the queue or listens to the topic.
    pub(super) fn publish(
        &mut self,
        vhost: &str,
        target: &Destination,
        headers: Headers,
        body: Bytes,
    ) -> usize {
        let (place, published, since) = (self.number(), self.now(), Instant::now());
        let Some(queues) = self.vhosts.get_mut(vhost) else { return 0 };
        if let Destination::Queue(name) = target {
            queues.entry(name.clone()).or_default();
        }
        let is_meant = |name: &str, queue: &Queue| match target {
            Destination::Declared(wanted) | Destination::Queue(wanted) => name == wanted,
            Destination::Topic(key) => {
                queue.topic.as_ref().is_some_and(|pattern| topic_matches(pattern, key))
            }
        };
        let meant = queues.iter_mut().filter(|(name, queue)| is_meant(name, queue));
        let mut taken_by = Vec::new();
        for (name, queue) in meant {
            let (headers, body, destination) = (headers.clone(), body.clone(), target.to_string());
            queue.publish(Message {
                place,
                destination,
                headers,
                body,
                published,
                since,
                redelivered: false,
            });
            taken_by.push(name.clone());
        }
        for name in &taken_by {
            self.dispatch(vhost, name);
        }
        taken_by.len()
    }

    fn subscribe(
        &mut self,
        session: u64,
        id: String,
        destination: &str,
        mode: AckMode,
        prefetch: Option<u16>,
    ) -> Result<(), ErrorReply> {
        let (vhost, login) = self.place_of(session)?;
        let target = parse(destination)?;
        let user = self.users.get(&login).cloned().unwrap_or_default();
        let queues = self.vhosts.entry(vhost.clone()).or_default();
        let name = match &target {
            Destination::Declared(name) => {
                if !user.may_read(&vhost, name) {
                    return Err(access_refused("queue", name, &vhost, &login));
                }
                if !queues.contains_key(name) {
                    let detail = format!("NOT_FOUND - no queue '{name}' in vhost '{vhost}'");
                    return Err(refused("not_found", detail));
                }
                name.clone()
            }
            Destination::Queue(name) => {
                if !user.may_change(&vhost) {
                    return Err(access_refused("queue", name, &vhost, &login));
                }
                queues.entry(name.clone()).or_default();
                name.clone()
            }
            Destination::Topic(pattern) => {
                if !user.may_change(&vhost) {
                    return Err(access_refused("exchange", "amq.topic", &vhost, &login));
                }
                let name = format!("stomp-subscription-{session}-{id}");
                queues.insert(name.clone(), Queue::of_topic(pattern, session));
                name
            }
        };
        if let Some(queue) = queues.get_mut(&name) {
            queue.consumers.push_back((session, id.clone()));
        }
        let destination = target.to_string();
        let consumer =
            Consumer { queue: name.clone(), destination, mode, prefetch, unacked: BTreeMap::new() };
        self.of(session)?.consumers.insert(id, consumer);
        self.dispatch(&vhost, &name);
        Ok(())
    }

    fn unsubscribe(&mut self, session: u64, id: &str) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        known.outbox.retain(|delivery| delivery.subscription != id);
        let vhost = known.vhost.clone();
        if let Some(consumer) = known.consumers.remove(id) {
            self.leave(&vhost, (session, id.to_owned()), consumer);
        }
    }

    /// An ACK or NACK: with `ack:client` it covers all earlier messages of the subscription.
    fn settle(&mut self, session: u64, target: &AckTarget, is_done: bool) -> Result<(), ErrorReply> {
        let command = if is_done { "ACK" } else { "NACK" };
        let known = self.of(session)?;
        let vhost = known.vhost.clone();
        let Some((subscription, tag)) = known.find(target) else {
            let detail = format!("\"{command}\" must include a valid \"id\" header\n");
            return Err(refused("Invalid header", detail));
        };
        let Some(consumer) = known.consumers.get_mut(&subscription) else {
            let detail = format!("Message of subscription \"{subscription}\" has no subscription\n");
            return Err(refused("Subscription not found", detail));
        };
        if !consumer.unacked.contains_key(&tag) {
            let detail = format!("PRECONDITION_FAILED - unknown delivery tag {tag}");
            return Err(refused("precondition_failed", detail));
        }
        let settled = match consumer.mode {
            AckMode::Client => {
                let later = consumer.unacked.split_off(&(tag + 1));
                std::mem::replace(&mut consumer.unacked, later)
            }
            AckMode::Auto | AckMode::ClientIndividual => {
                consumer.unacked.remove_entry(&tag).into_iter().collect()
            }
        };
        let name = consumer.queue.clone();
        self.settle_all(&vhost, &name, settled.into_values().collect(), is_done);
        self.dispatch(&vhost, &name);
        Ok(())
    }

    fn settle_all(&mut self, vhost: &str, name: &str, messages: Vec<Arc<Message>>, is_done: bool) {
        let queue = self.vhosts.get_mut(vhost).and_then(|queues| queues.get_mut(name));
        let Some(queue) = queue else { return };
        for message in messages {
            if is_done {
                queue.counts.acknowledged += 1;
                if self.settled.len() < SETTLED_KEPT {
                    let (took, redelivered) = (message.since.elapsed(), message.redelivered);
                    self.settled.push(Settled { took, redelivered, body: message.body.clone() });
                }
            } else {
                queue.give_back(&message);
            }
        }
    }

    /// Hands out what waits, to one subscription after the other, as far as their limits go.
    fn dispatch(&mut self, vhost: &str, name: &str) {
        let now = self.now();
        let queue = self.vhosts.get_mut(vhost).and_then(|queues| queues.get_mut(name));
        let Some(queue) = queue else { return };
        while queue.ready() > 0 {
            let has_room = |(session, subscription): &(u64, String)| {
                let session = self.sessions.get(session);
                let session = session.filter(|session| session.closing.is_none());
                let consumer = session.and_then(|session| session.consumers.get(subscription));
                consumer.is_some_and(Consumer::has_room)
            };
            let Some(next) = queue.consumers.iter().position(has_room) else { return };
            let Some(message) = queue.take(now) else { return };
            let Some(key) = queue.consumers.remove(next) else { return };
            if let Some(session) = self.sessions.get_mut(&key.0) {
                let takes = session.consumers.get(&key.1).is_some_and(|it| it.mode == AckMode::Auto);
                queue.counts.acknowledged += u64::from(takes);
                session.deliver(&key.1, &message);
            }
            queue.consumers.push_back(key);
        }
    }
}

/// Who is in, and where.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) vhost: String,
    pub(super) login: String,
}

fn parse(destination: &str) -> Result<Destination, ErrorReply> {
    Destination::parse(destination).ok_or_else(|| {
        let detail = format!(
            "'{destination}' is not a valid destination.\nValid destination types are: /topic, /queue, /amq/queue.\n"
        );
        refused("Unknown destination", detail)
    })
}

fn refused(message: &str, detail: String) -> ErrorReply {
    ErrorReply { message: message.to_owned(), detail, receipt: None }
}

fn access_refused(kind: &str, name: &str, vhost: &str, login: &str) -> ErrorReply {
    let detail =
        format!("ACCESS_REFUSED - access to {kind} '{name}' in vhost '{vhost}' refused for user '{login}'");
    refused("access_refused", detail)
}

fn bad_transaction(name: &str) -> ErrorReply {
    refused("Bad transaction", format!("Invalid transaction identifier: \"{name}\"\n"))
}
