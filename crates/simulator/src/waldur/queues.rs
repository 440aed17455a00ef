//! Queues of the event broker: the unified registration, and the subscriptions of before (Waldur contract §6.2).

use serde_json::Value;
use uuid::Uuid;

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::model::{AgentIdentity, EventConsumer, EventQueue, EventSubscription};
use super::request::{Method, hex, parse_uuid};
use super::table::Row;

impl Call<'_> {
    pub(super) fn register_event_subscription(&mut self) -> Outcome {
        let object_type = self.request.required("observable_object_type")?.to_owned();
        let description = self.request.text("description").unwrap_or_default().to_owned();
        let (now, user) = (self.state.now(), self.actor.user);
        let same = |row: &EventSubscription| row.user == user && row.object_type == object_type;
        let known = self.state.subscriptions.find(same).map(Row::uuid);
        let uuid = match known {
            Some(uuid) => uuid,
            None => {
                let uuid = self.state.draw_uuid();
                let row =
                    EventSubscription { uuid, user, description, object_type, created: now, modified: now };
                self.state.subscriptions.insert(row)
            }
        };
        let row = self.state.subscriptions.get(uuid).ok_or_else(Answer::server_error)?;
        let body = self.view().subscription(row, &self.fields());
        Ok(if known.is_some() { Answer::ok(body) } else { Answer::created(body) })
    }

    /// One queue for each identity; another user's queue is a conflict. An empty list means every type, and so does
    /// none for a new queue, while an old one then keeps its types.
    pub(super) fn register_queue(&mut self, identity: &AgentIdentity) -> Outcome {
        let given = self.request.body.get("object_types").and_then(Value::as_array);
        let mut object_types: Vec<String> =
            given.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        if object_types.is_empty() {
            object_types = OBJECT_TYPES.map(str::to_owned).to_vec();
        }
        let keeps_types = given.is_none();
        if let Some(unknown) = object_types.iter().find(|name| !OBJECT_TYPES.contains(&name.as_str())) {
            return Err(Answer::bad_field("object_types", &format!("\"{unknown}\" is not a valid choice.")));
        }
        let known =
            self.state.consumers.select(&[identity.uuid], &[]).first().map(|row| (row.uuid, row.user));
        let passcode = self.token.to_owned();
        let uuid = match known {
            Some((_, user)) if user != self.actor.user => {
                return Err(Answer::conflict("The queue of this identity belongs to another user."));
            }
            Some((uuid, _)) => {
                self.state.consumers.update(uuid, |row| {
                    if !keeps_types {
                        row.object_types = object_types;
                    }
                    row.passcode = passcode;
                });
                uuid
            }
            None => {
                let uuid = self.state.draw_uuid();
                let rmq_username = hex(self.state.draw_uuid());
                self.state.consumers.insert(EventConsumer {
                    uuid,
                    identity: identity.uuid,
                    offering: identity.offering,
                    user: self.actor.user,
                    rmq_username,
                    object_types,
                    passcode,
                })
            }
        };
        self.state.set_up_queues();
        let row = self.state.consumers.get(uuid).ok_or_else(Answer::server_error)?;
        let body = self.view().consumer(row);
        Ok(if known.is_some() { Answer::ok(body) } else { Answer::created(body) })
    }

    pub(crate) fn event_subscriptions(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let rows: Vec<&EventSubscription> = self.state.subscriptions.select(&[self.actor.user], &[]);
                self.page(&rows, |view, row, fields| view.subscription(row, fields))
            }
            [id] if self.reads() => {
                let row = self.subscription(id)?;
                Ok(Answer::ok(self.view().subscription(row, &self.fields())))
            }
            [id] if self.method() == Method::Delete => {
                let uuid = self.subscription(id)?.uuid;
                self.state.remove_subscription(uuid);
                Ok(Answer::deleted())
            }
            [id, "create_queue"] if self.posts() => {
                let subscription = self.subscription(id)?.uuid;
                self.create_queue(subscription)
            }
            [] | [_] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn subscription(&self, id: &str) -> Result<&EventSubscription, Answer> {
        let row = parse_uuid(id).and_then(|uuid| self.state.subscriptions.get(uuid));
        row.filter(|row| row.user == self.actor.user).ok_or_else(|| Answer::no_object("EventSubscription"))
    }

    fn create_queue(&mut self, subscription: Uuid) -> Outcome {
        let offering = self.request.reference("offering_uuid");
        let offering =
            offering.ok_or_else(|| Answer::bad_field("offering_uuid", "This field is required."))?;
        let object_type = self.request.required("object_type")?.to_owned();
        if !self.state.provides(self.actor, offering) {
            return Err(Answer::forbidden());
        }
        let same = |row: &EventQueue| row.subscription == subscription && row.object_type == object_type;
        let rows = self.state.queues.select(&[offering], &[]);
        let known = rows.into_iter().find(|row| same(row)).map(Row::uuid);
        let uuid = match known {
            Some(uuid) => uuid,
            None => {
                let (uuid, created) = (self.state.draw_uuid(), self.state.now());
                self.state.queues.insert(EventQueue { uuid, subscription, offering, object_type, created })
            }
        };
        self.state.set_up_queues();
        let row = self.state.queues.get(uuid).ok_or_else(Answer::server_error)?;
        let body = self.view().queue(row, &self.fields());
        Ok(if known.is_some() { Answer::ok(body) } else { Answer::created(body) })
    }
}

/// Every type that a queue can be asked for (Waldur contract §6.4).
const OBJECT_TYPES: [&str; 18] = [
    "call",
    "course_account",
    "importable_resources",
    "offering_resources_sync",
    "offering_user",
    "order",
    "proposal",
    "resource",
    "resource_api_key_rotation",
    "resource_end_date_change_request",
    "resource_periodic_limits",
    "service_account",
    "service_provider_account",
    "service_provider_project_group",
    "user_lifecycle",
    "user_profile",
    "user_role",
    "user_ssh_key",
];
