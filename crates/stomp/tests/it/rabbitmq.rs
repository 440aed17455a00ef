//! A client session against what a real RabbitMQ 3.10.8 was seen to send and to receive.

use stomp::{
    ClientEvent, ClientSession, ConnectOptions, Escaping, HeartBeat, Passcode, Subscription, Version,
};

use crate::corpus::{rabbitmq_connected, rabbitmq_message, rabbitmq_refusal};
use crate::support::{client_event, client_sends, secs};

const VHOST: &str = "b40c2fdf5b46488b8421149b6d7300bc";
const LOGIN: &str = "80b5c3c7bc9f479f9ee8057fdb67a9e5";
const QUEUE: &str =
    "subscription_80b5c3c7bc9f479f9ee8057fdb67a9e5_offering_5c49c601fe4d476db9c1720a99df6242_order";

fn options() -> ConnectOptions {
    ConnectOptions {
        login: Some(LOGIN.into()),
        passcode: Some(Passcode::new("TOKEN")),
        legacy_connect: true,
        versions: vec![Version::V1_2],
        heart_beat: HeartBeat::every_ms(10_000),
        escaping: Escaping::EveryFrame,
        ..ConnectOptions::new(VHOST)
    }
}

#[test]
fn a_session_up_to_the_first_order() {
    let mut session = ClientSession::new(options(), secs(0)).unwrap();
    assert_eq!(
        client_sends(&mut session, secs(0)),
        [format!(
            "CONNECT\naccept-version:1.2\nhost:{VHOST}\nlogin:{LOGIN}\npasscode:TOKEN\nheart-beat:10000,10000\n\n␀"
        )]
    );

    session.receive(secs(1), rabbitmq_connected().as_bytes());
    let ClientEvent::Connected(connected) = client_event(&mut session) else { panic!("not connected") };
    assert_eq!(connected.server.as_deref(), Some("RabbitMQ/3.10.8"));
    assert_eq!(connected.session.as_deref(), Some("session-lDD-DkUeSIgEEzN3m0M5Zw"));
    assert_eq!(connected.version, Version::V1_2);
    assert_eq!(connected.heart_beat, HeartBeat::every_ms(10_000).agree(HeartBeat::every_ms(10_000)));

    session.subscribe(Subscription::new(QUEUE, format!("/amq/queue/{QUEUE}"))).unwrap();
    assert_eq!(
        client_sends(&mut session, secs(1)),
        [format!("SUBSCRIBE\nid:{QUEUE}\ndestination:/amq/queue/{QUEUE}\nack:auto\n\n␀")]
    );

    session.receive(secs(2), rabbitmq_message().as_bytes());
    let ClientEvent::Message(message) = client_event(&mut session) else { panic!("no message") };
    assert_eq!(message.subscription, QUEUE);
    assert_eq!(message.destination, format!("/queue/{QUEUE}"));
    assert_eq!(message.headers.get("redelivered"), Some("false"));
    assert_eq!(
        &message.body[..],
        br#"{"order_uuid": "239be7c060824992801393d801b9bf7a", "order_state": "pending-provider"}"#
    );
    assert!(message.ack.is_none(), "ack:auto is not acknowledged");
    assert!(session.poll_event().unwrap().is_none());
}

#[test]
fn a_refused_login_says_who_and_why() {
    let mut session = ClientSession::new(options(), secs(0)).unwrap();
    session.receive(secs(1), rabbitmq_refusal().as_bytes());
    let ClientEvent::Error(error) = client_event(&mut session) else { panic!("no error") };
    assert!(error.before_connected);
    assert_eq!(
        error.to_string(),
        "connection refused by the server: Bad CONNECT – Access refused for user '80b5c3c7bc9f479f9ee8057fdb67a9e5'"
    );
    assert!(session.is_closed());
    assert_eq!(session.end_of_input(), Ok(()));
}

#[test]
fn a_queue_without_permission_is_an_error_within_the_session() {
    let mut session = ClientSession::new(options(), secs(0)).unwrap();
    let refusal = format!(
        "ERROR\nmessage:access_refused\ncontent-type:text/plain\nversion:1.0,1.1,1.2\ncontent-length:162\n\n\
         ACCESS_REFUSED - access to queue 'subscription_x_offering_y_order' in vhost '{VHOST}' refused for user \
         '{LOGIN}'\0\n"
    );
    session.receive(secs(1), (rabbitmq_connected() + &refusal).as_bytes());
    assert!(matches!(client_event(&mut session), ClientEvent::Connected(_)));
    let ClientEvent::Error(error) = client_event(&mut session) else { panic!("no error") };
    assert!(!error.before_connected);
    assert!(error.detail.ends_with(&format!("refused for user '{LOGIN}'")), "{error}");
}

#[test]
fn a_passcode_with_backslash_and_colon_is_escaped_for_rabbitmq_and_verbatim_by_the_standard() {
    for (escaping, line) in
        [(Escaping::EveryFrame, "passcode:a\\\\b\\cc\n"), (Escaping::Standard, "passcode:a\\b:c\n")]
    {
        let options = ConnectOptions { passcode: Some(Passcode::new("a\\b:c")), escaping, ..options() };
        let mut session = ClientSession::new(options, secs(0)).unwrap();
        let sent = client_sends(&mut session, secs(0)).concat();
        assert!(sent.contains(line), "{escaping:?}: {sent}");
    }
}
