//! What a client of Waldur's queues goes through, the same on the simulated broker and on a real RabbitMQ.
//!
//! Each function has a queue of its own and leaves the broker as it found it.

use std::time::Duration;

use stomp::{AckMode, ClientEvent, ConnectOptions, HeartBeat, Subscription, Version};

use super::client::{Client, Way, credentials};

/// What an administrator of a broker does, in the virtual host [`VHOST`].
pub(crate) trait Administered {
    fn port(&self, way: Way) -> u16;
    async fn declare(&self, queue: &str, max_length: Option<usize>);
    async fn publish(&self, queue: &str, body: &str);
    /// Until so many messages wait and so many are out without acknowledgement.
    async fn until_depth(&self, queue: &str, ready: usize, unacked: usize);
    async fn close_connections(&self);
    async fn restart(&self);
    async fn freeze(&self);
    async fn thaw(&self);
}

pub(crate) const VHOST: &str = "6a0f3c2d1b4e5f60718293a4b5c6d7e8";
pub(crate) const LOGIN: &str = "site-agent";
/// Each of these characters means something in a STOMP header.
pub(crate) const PASSCODE: &str = r"to\ken:with\cescapes\n:and\\more";

fn agent() -> ConnectOptions {
    credentials(VHOST, LOGIN, PASSCODE)
}

fn named(way: Way, name: &str) -> (String, String) {
    let queue = format!("{name}-{way:?}").to_lowercase();
    let destination = format!("/amq/queue/{queue}");
    (queue, destination)
}

/// All of them, one after the other.
pub(crate) async fn all(broker: &impl Administered) {
    for way in [Way::Tcp, Way::Web] {
        logs_in_with_any_passcode(broker, way).await;
        wrong_passcodes_and_virtual_hosts_are_refused(broker, way).await;
        queues_that_are_not_there_are_refused(broker, way).await;
        what_is_not_acknowledged_comes_again(broker, way).await;
        what_is_given_back_comes_again(broker, way).await;
        no_more_than_the_prefetch_count_is_out(broker, way).await;
        one_acknowledgement_covers_all_before_it(broker, way).await;
        a_plain_queue_is_made_when_named(broker, way).await;
        a_full_queue_drops_its_oldest_message(broker, way).await;
        heart_beats_keep_an_idle_connection(broker, way).await;
        a_silent_client_loses_its_messages(broker, way).await;
        a_connection_closed_by_the_broker_is_noticed(broker, way).await;
        queues_outlast_a_restart(broker, way).await;
        a_stopped_broker_is_noticed(broker, way).await;
    }
}

async fn logs_in_with_any_passcode(broker: &impl Administered, way: Way) {
    for version in Version::ALL {
        let options = ConnectOptions { versions: vec![version], ..agent() };
        let mut client = Client::open(way, broker.port(way), options).await;
        let Some(ClientEvent::Connected(connected)) = client.event().await else { panic!("not let in") };
        assert_eq!(connected.version, version);
        assert_eq!(connected.server.as_deref().map(|server| &server[..9]), Some("RabbitMQ/"));
        client.disconnect().await;
    }
}

async fn wrong_passcodes_and_virtual_hosts_are_refused(broker: &impl Administered, way: Way) {
    let mut client = Client::open(way, broker.port(way), credentials(VHOST, LOGIN, "wrong")).await;
    let refusal = client.refusal().await;
    assert!(refusal.contains("Bad CONNECT") && refusal.contains("Access refused for user"), "{refusal}");

    let mut client = Client::open(way, broker.port(way), credentials("elsewhere", LOGIN, PASSCODE)).await;
    let refusal = client.refusal().await;
    assert!(refusal.contains("Virtual host 'elsewhere' access denied"), "{refusal}");
}

async fn queues_that_are_not_there_are_refused(broker: &impl Administered, way: Way) {
    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.subscribe("/amq/queue/nowhere", AckMode::ClientIndividual, None).await;
    match way {
        Way::Tcp => {
            let refusal = client.refusal().await;
            let says_why = refusal.contains("not_found") && refusal.contains("no queue 'nowhere' in vhost");
            assert!(says_why, "{refusal}");
        }
        // What the queues refuse, the web adapter only answers by closing.
        Way::Web => assert!(client.event().await.is_none()),
    }
}

async fn what_is_not_acknowledged_comes_again(broker: &impl Administered, way: Way) {
    let (queue, destination) = named(way, "acknowledged");
    broker.declare(&queue, None).await;
    for body in ["1", "2", "3"] {
        broker.publish(&queue, body).await;
    }
    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.subscribe(&destination, AckMode::ClientIndividual, Some(10)).await;
    let (first, redelivered, token) = client.delivery().await;
    assert_eq!((first.as_str(), redelivered), ("1", false));
    assert_eq!(client.delivery().await.0, "2");
    client.ack(token).await;
    broker.until_depth(&queue, 0, 2).await;
    drop(client);
    broker.until_depth(&queue, 2, 0).await;

    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.subscribe(&destination, AckMode::ClientIndividual, Some(10)).await;
    for body in ["2", "3"] {
        let (again, redelivered, token) = client.delivery().await;
        assert_eq!((again.as_str(), redelivered), (body, true));
        client.ack(token).await;
    }
    broker.until_depth(&queue, 0, 0).await;
    client.disconnect().await;
}

async fn what_is_given_back_comes_again(broker: &impl Administered, way: Way) {
    let (queue, destination) = named(way, "given-back");
    broker.declare(&queue, None).await;
    broker.publish(&queue, "1").await;
    broker.publish(&queue, "2").await;
    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.subscribe(&destination, AckMode::ClientIndividual, Some(1)).await;
    let (first, _, token) = client.delivery().await;
    client.nack(token).await;
    let (again, redelivered, token) = client.delivery().await;
    assert_eq!((first.as_str(), again.as_str(), redelivered), ("1", "1", true), "at its old place");
    client.ack(token).await;
    let (second, redelivered, token) = client.delivery().await;
    assert_eq!((second.as_str(), redelivered), ("2", false));
    client.ack(token).await;
    client.disconnect().await;
}

async fn no_more_than_the_prefetch_count_is_out(broker: &impl Administered, way: Way) {
    let (queue, destination) = named(way, "prefetch");
    broker.declare(&queue, None).await;
    for body in 0..10 {
        broker.publish(&queue, &body.to_string()).await;
    }
    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.subscribe(&destination, AckMode::ClientIndividual, Some(3)).await;
    let mut tokens = Vec::new();
    for body in 0..3 {
        let (text, _, token) = client.delivery().await;
        assert_eq!(text, body.to_string());
        tokens.push(token);
    }
    broker.until_depth(&queue, 7, 3).await;
    for token in tokens {
        client.ack(token).await;
    }
    for body in 3..10 {
        let (text, _, token) = client.delivery().await;
        assert_eq!(text, body.to_string());
        client.session.ack(token.unwrap(), None).unwrap();
    }
    client.disconnect().await;
    broker.until_depth(&queue, 0, 0).await;
}

async fn one_acknowledgement_covers_all_before_it(broker: &impl Administered, way: Way) {
    let (queue, destination) = named(way, "cumulative");
    broker.declare(&queue, None).await;
    for body in ["1", "2", "3"] {
        broker.publish(&queue, body).await;
    }
    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.subscribe(&destination, AckMode::Client, None).await;
    client.delivery().await;
    let (_, _, token) = client.delivery().await;
    client.delivery().await;
    client.ack(token).await;
    broker.until_depth(&queue, 0, 1).await;
    client.disconnect().await;
    broker.until_depth(&queue, 1, 0).await;
}

async fn a_plain_queue_is_made_when_named(broker: &impl Administered, way: Way) {
    let destination = format!("/queue/{}", named(way, "plain").0);
    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.send(&destination, "before anybody reads").await;
    client.subscribe(&destination, AckMode::ClientIndividual, None).await;
    let (text, _, token) = client.delivery().await;
    assert_eq!(text, "before anybody reads");
    client.ack(token).await;
    client.disconnect().await;
}

async fn a_full_queue_drops_its_oldest_message(broker: &impl Administered, way: Way) {
    let (queue, destination) = named(way, "full");
    broker.declare(&queue, Some(2)).await;
    for body in ["1", "2", "3", "4"] {
        broker.publish(&queue, body).await;
    }
    broker.until_depth(&queue, 2, 0).await;
    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.subscribe(&destination, AckMode::ClientIndividual, None).await;
    for body in ["3", "4"] {
        let (text, _, token) = client.delivery().await;
        assert_eq!(text, body);
        client.ack(token).await;
    }
    client.disconnect().await;
}

/// One second is the shortest interval to which RabbitMQ agrees.
async fn heart_beats_keep_an_idle_connection(broker: &impl Administered, way: Way) {
    let (queue, destination) = named(way, "idle");
    broker.declare(&queue, None).await;
    let options = ConnectOptions { heart_beat: HeartBeat::every_ms(1000), ..agent() };
    let mut client = Client::open(way, broker.port(way), options).await;
    let Some(ClientEvent::Connected(connected)) = client.event().await else { panic!("not let in") };
    let interval = Some(Duration::from_millis(1000));
    assert_eq!((connected.heart_beat.send, connected.heart_beat.receive), (interval, interval));
    client.subscribe(&destination, AckMode::ClientIndividual, None).await;
    assert!(matches!(client.event().await, Some(ClientEvent::Receipt(_))));
    // Neither side says anything but heart-beats for longer than either would bear silence.
    let idle = tokio::time::timeout(Duration::from_millis(3500), client.event()).await;
    assert!(idle.is_err(), "{idle:?}");
    broker.publish(&queue, "still here").await;
    let (text, _, token) = client.delivery().await;
    assert_eq!(text, "still here");
    client.ack(token).await;
    client.disconnect().await;
}

async fn a_silent_client_loses_its_messages(broker: &impl Administered, way: Way) {
    let (queue, destination) = named(way, "silent");
    broker.declare(&queue, None).await;
    broker.publish(&queue, "1").await;
    let options = ConnectOptions { heart_beat: HeartBeat { send_ms: 1000, receive_ms: 0 }, ..agent() };
    let mut client = Client::connected(way, broker.port(way), options).await;
    client.subscribe(&destination, AckMode::ClientIndividual, None).await;
    client.delivery().await;
    broker.until_depth(&queue, 0, 1).await;
    // The client is no longer driven, so that it sends no heart-beats, and its socket stays open.
    broker.until_depth(&queue, 1, 0).await;
    drop(client);
}

async fn a_connection_closed_by_the_broker_is_noticed(broker: &impl Administered, way: Way) {
    let (queue, destination) = named(way, "closed");
    broker.declare(&queue, None).await;
    broker.publish(&queue, "1").await;
    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.subscribe(&destination, AckMode::ClientIndividual, None).await;
    client.delivery().await;
    broker.until_depth(&queue, 0, 1).await;
    broker.close_connections().await;
    match way {
        Way::Tcp => {
            let refusal = client.refusal().await;
            let says_why =
                refusal.contains("AMQP channel died") && refusal.contains("server_initiated_close");
            assert!(says_why, "{refusal}");
        }
        // The web adapter sends no frame any more.
        Way::Web => assert!(client.event().await.is_none()),
    }

    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.subscribe(&destination, AckMode::ClientIndividual, None).await;
    let (text, redelivered, token) = client.delivery().await;
    assert_eq!((text.as_str(), redelivered), ("1", true));
    client.ack(token).await;
    client.disconnect().await;
}

async fn queues_outlast_a_restart(broker: &impl Administered, way: Way) {
    let (queue, destination) = named(way, "restart");
    broker.declare(&queue, None).await;
    broker.publish(&queue, "1").await;
    broker.publish(&queue, "2").await;
    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.subscribe(&destination, AckMode::ClientIndividual, None).await;
    let (_, _, token) = client.delivery().await;
    client.ack(token).await;
    client.delivery().await;
    broker.restart().await;
    loop {
        match client.event().await {
            None | Some(ClientEvent::Error(_)) => break,
            Some(ClientEvent::Receipt(_)) => {}
            other => panic!("{other:?} from a broker that went down"),
        }
    }
    let mut client = Client::connected(way, broker.port(way), agent()).await;
    client.subscribe(&destination, AckMode::ClientIndividual, None).await;
    let (text, _, token) = client.delivery().await;
    assert_eq!(text, "2");
    client.ack(token).await;
    client.disconnect().await;
    broker.until_depth(&queue, 0, 0).await;
}

async fn a_stopped_broker_is_noticed(broker: &impl Administered, way: Way) {
    let (queue, destination) = named(way, "stopped");
    broker.declare(&queue, None).await;
    let options = ConnectOptions { heart_beat: HeartBeat::every_ms(1000), ..agent() };
    let mut client = Client::connected(way, broker.port(way), options).await;
    client.subscribe(&destination, AckMode::ClientIndividual, None).await;
    assert!(matches!(client.event().await, Some(ClientEvent::Receipt(_))));
    broker.freeze().await;
    let event = client.event().await;
    broker.thaw().await;
    let Some(ClientEvent::HeartBeatLost { silent_for }) = event else { panic!("{event:?}") };
    assert!(silent_for < Duration::from_millis(2000), "within two intervals, not {silent_for:?}");
    assert!(client.session.subscribe(Subscription::new("late", destination)).is_err());
}
