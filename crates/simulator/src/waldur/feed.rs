//! From changes to the queues of the event broker (Waldur contract §6.2 to §6.4).
//!
//! Makes virtual hosts, users and queues there when they are registered here, and publishes each change at once, so
//! that no message is told twice or lost between registration and delivery.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::Waldur;
use super::direct::Listener;
use super::event::Event;
use super::request::hex;
use super::state::State;
use crate::broker::{Access, Broker, QueueOptions};

/// The broker, and further destinations that get every message.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    broker: Broker,
    copies: Vec<(String, String)>,
}

impl Feed {
    pub(super) fn publish(&self, state: &State, event: &Event) {
        let consumers = state.consumers.iter().filter(|row| row.offering == event.offering);
        for row in consumers.filter(|row| row.object_types.iter().any(|name| name == event.object_type)) {
            self.send(&hex(row.user), &format!("/amq/queue/{}", row.queue_name()), &event.body);
        }
        let queues = state.queues.select(&[event.offering], &[]);
        for row in queues.into_iter().filter(|row| row.object_type == event.object_type) {
            if let Some(subscription) = state.subscriptions.get(row.subscription) {
                let body = legacy_body(event);
                self.send(&hex(subscription.user), &format!("/amq/queue/{}", row.name()), &body);
            }
        }
        for (vhost, destination) in &self.copies {
            self.send(vhost, destination, &event.body);
        }
    }

    fn send(&self, vhost: &str, destination: &str, body: &Value) {
        self.broker.publish(vhost, destination, body.to_string());
    }

    fn set_up(&self, listener: &Listener) {
        let Listener { vhost, login, passcodes, queue, .. } = listener;
        self.broker.add_vhost(vhost);
        self.broker.declare_queue(vhost, queue, QueueOptions::WALDUR);
        self.broker.add_user(login, passcodes.iter().map(String::as_str));
        self.broker.allow(login, vhost, Access::Read(BTreeSet::from([queue.clone()])));
    }
}

/// Fields that the per-type queues of before do not have (Waldur contract §6.4, "Extra in unified").
fn legacy_body(event: &Event) -> Value {
    const ENVELOPE: [&str; 2] = ["object_type", "schema_version"];
    let extra: &[&str] = match event.object_type {
        "order" => &[
            "order_type",
            "resource_uuid",
            "resource_backend_id",
            "resource_name",
            "project_uuid",
            "project_name",
            "attributes",
            "limits",
            "plan_uuid",
        ],
        "user_role" => &["user_email", "user_full_name"],
        "resource" => &["resource_name", "resource_state", "project_uuid", "project_name"],
        _ => &[],
    };
    let mut body = event.body.clone();
    if let Some(fields) = body.as_object_mut() {
        let keeps_offering = event.object_type == "offering_resources_sync";
        fields.retain(|name, _| {
            let name = name.as_str();
            !ENVELOPE.contains(&name) && !extra.contains(&name) && (keeps_offering || name != "offering_uuid")
        });
    }
    body
}

impl State {
    /// Every queue that the broker has to hold.
    pub(super) fn listeners(&self) -> Vec<Listener> {
        let unified = self.consumers.iter().map(|row| Listener {
            vhost: hex(row.user),
            login: row.rmq_username.clone(),
            passcodes: vec![row.passcode.clone()],
            queue: row.queue_name(),
            offering: row.offering,
            object_types: row.object_types.clone(),
            legacy: false,
        });
        let legacy = self.queues.iter().filter_map(|row| {
            let user = self.subscriptions.get(row.subscription)?.user;
            let tokens = self.tokens.iter().filter(|(_, token)| token.user == user);
            Some(Listener {
                vhost: hex(user),
                login: hex(row.subscription),
                passcodes: tokens.map(|(key, _)| key.clone()).collect(),
                queue: row.name(),
                offering: row.offering,
                object_types: vec![row.object_type.clone()],
                legacy: true,
            })
        });
        unified.chain(legacy).collect()
    }

    /// Makes what is registered here there as well; what is there already gets its passcode anew.
    pub(super) fn set_up_queues(&self) {
        if let Some(feed) = &self.feed {
            for listener in self.listeners() {
                feed.set_up(&listener);
            }
        }
    }

    /// Removes a subscription with its queues and its user on the broker.
    pub(super) fn remove_subscription(&mut self, subscription: Uuid) {
        let Some(row) = self.subscriptions.remove(subscription) else { return };
        let queues: Vec<(Uuid, String)> = self
            .queues
            .iter()
            .filter(|queue| queue.subscription == subscription)
            .map(|queue| (queue.uuid, queue.name()))
            .collect();
        for (uuid, name) in queues {
            self.queues.remove(uuid);
            if let Some(feed) = &self.feed {
                feed.broker.remove_queue(&hex(row.user), &name);
            }
        }
        if let Some(feed) = &self.feed {
            feed.broker.remove_user(&hex(subscription));
        }
    }
}

impl Waldur {
    /// From now on this broker holds the registered queues and gets every message.
    pub fn attach_broker(&self, broker: &Broker) {
        self.with(|state| {
            state.feed = Some(Feed { broker: broker.clone(), copies: Vec::new() });
            state.set_up_queues();
        });
    }

    /// From now on this destination of the attached broker gets every message of every offering too, in the
    /// unified form.
    pub fn copy_messages_to(&self, vhost: &str, destination: &str) {
        self.with(|state| {
            if let Some(feed) = &mut state.feed {
                feed.copies.push((vhost.to_owned(), destination.to_owned()));
            }
        });
    }
}
