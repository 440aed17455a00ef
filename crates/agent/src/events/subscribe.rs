//! Where an offering's messages are, and who may read them (Waldur contract §6.2, §6.3).
//!
//! Waldur's own broker: identity, then one queue for all types; servers that do not know that have a subscription, a
//! login and a queue for each type. A broker that the configuration names is taken as it is.

use secrecy::{ExposeSecret as _, SecretString};

use super::session::{Login, Queue};
use super::{EventOptions, Way};
use crate::engine::Offering;
use crate::error::ApiError;

/// RabbitMQ's first virtual host, and what other brokers take for their only one.
const DEFAULT_VHOST: &str = "/";
/// Names an existing queue; anything else would be a request to make one, which the agent may not.
const EXISTING: &str = "/amq/queue/";

/// One connection: a login and its queues.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) login: Login,
    pub(super) queues: Vec<Queue>,
}

/// How messages come.
pub(super) enum Found {
    /// Over these connections.
    Connections(Vec<Connection>),
    /// Not at all: a server of 2024.
    NoEvents,
}

/// Registers what is needed and says where to connect.
pub(super) async fn find(offering: &Offering, options: &EventOptions) -> Result<Found, ApiError> {
    match &options.way {
        Way::Broker { username, password, destination } => {
            let login = Login {
                vhost: DEFAULT_VHOST.to_owned(),
                user: username.clone(),
                passcode: password.clone(),
                heart_beat_ms: options.heart_beat_ms,
            };
            let queues = vec![Queue { destination: destination.clone(), object_type: None }];
            Ok(Found::Connections(vec![Connection { login, queues }]))
        }
        Way::Waldur => of_waldur(offering, options).await,
    }
}

async fn of_waldur(offering: &Offering, options: &EventOptions) -> Result<Found, ApiError> {
    let identity = offering.register("event_process", super::PROCESSOR).await?;
    if offering.waldur.is_legacy() {
        return Ok(Found::NoEvents);
    }
    let Some(identity) = identity else {
        offering.forget_registration().await;
        return Err(ApiError::unavailable(
            crate::error::Peer::Waldur,
            "the agent's registration",
            "it was refused, and without it there is no queue; passes go on",
        ));
    };
    // The broker's password is the token that the queue was registered with: taken first, so that one which is renewed
    // in between is refused and registered anew, and never the other way round.
    let passcode = offering.waldur.passcode().await?;
    let login = |vhost: String, user: String| Login {
        vhost,
        user: Some(user),
        passcode: Some(passcode.clone()),
        heart_beat_ms: options.heart_beat_ms,
    };
    if let Some(queue) = offering.waldur.register_queue(identity, &options.object_types).await? {
        let destination = format!("{EXISTING}{}", queue.queue_name);
        let queues = vec![Queue { destination, object_type: None }];
        return Ok(Found::Connections(vec![Connection {
            login: login(queue.vhost, queue.rmq_username),
            queues,
        }]));
    }
    let uuid = offering.options.uuid;
    let mut connections = Vec::new();
    for object_type in &options.object_types {
        let subscription = offering.waldur.register_subscription(identity, uuid, object_type).await?;
        let name =
            format!("subscription_{}_offering_{}_{object_type}", subscription.uuid.simple(), uuid.simple());
        let queue = Queue { destination: format!("{EXISTING}{name}"), object_type: Some(object_type) };
        let login =
            login(subscription.user_uuid.simple().to_string(), subscription.uuid.simple().to_string());
        connections.push(Connection { login, queues: vec![queue] });
    }
    Ok(Found::Connections(connections))
}

/// Whether the token is still the one that the broker knows.
pub(super) async fn is_current(offering: &Offering, options: &EventOptions, connection: &Connection) -> bool {
    let Some(passcode) = connection.login.passcode.as_ref().filter(|_| matches!(options.way, Way::Waldur))
    else {
        return true;
    };
    let same = |token: &SecretString| token.expose_secret() == passcode.expose_secret();
    offering.waldur.passcode().await.is_ok_and(|token| same(&token))
}
