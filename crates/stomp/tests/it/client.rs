//! The client role, one conversation per test: what it sends, what it reports, what it refuses.

use std::time::Duration;

use stomp::{
    AckMode, AckToken, ClientError, ClientEvent, ClientSession, ConnectOptions, DecodeError, Headers,
    HeartBeat, Subscription, Version,
};

use crate::support::{client_event, client_sends, secs};

fn connected(version: &str) -> ClientSession {
    let mut session = ClientSession::new(ConnectOptions::new("host"), secs(0)).unwrap();
    client_sends(&mut session, secs(0));
    session
        .receive(secs(0), format!("CONNECTED\nversion:{version}\nheart-beat:10000,10000\n\n\0").as_bytes());
    assert!(matches!(client_event(&mut session), ClientEvent::Connected(_)));
    session
}

fn subscribed(version: &str, ack: AckMode) -> ClientSession {
    let mut session = connected(version);
    session.subscribe(Subscription { ack, ..Subscription::new("s", "/queue/q") }).unwrap();
    client_sends(&mut session, secs(0));
    session
}

fn token(session: &mut ClientSession, id: u32) -> Option<AckToken> {
    let frame =
        format!("MESSAGE\nsubscription:s\ndestination:/queue/q\nmessage-id:m{id}\nack:a{id}\n\nbody\0");
    session.receive(secs(0), frame.as_bytes());
    let ClientEvent::Message(message) = client_event(session) else { panic!("no message") };
    message.ack
}

/// What a session makes of an answer to its STOMP frame.
fn answered(answer: &str) -> Result<Option<ClientEvent>, ClientError> {
    let mut session = ClientSession::new(ConnectOptions::new("host"), secs(0)).unwrap();
    session.receive(secs(0), answer.as_bytes());
    let event = session.poll_event();
    if event.is_err() {
        assert!(
            session.is_closed() && session.poll_event().unwrap().is_none(),
            "an error is final, and told once"
        );
    }
    event
}

#[test]
fn opens_with_stomp_and_offers_both_versions() {
    let mut session = ClientSession::new(ConnectOptions::new("host"), secs(0)).unwrap();
    assert_eq!(
        client_sends(&mut session, secs(0)),
        ["STOMP\naccept-version:1.1,1.2\nhost:host\nheart-beat:10000,10000\n\n␀"]
    );
}

#[test]
fn the_example_of_the_crate_documentation() {
    let at = secs;
    let mut session = ClientSession::new(ConnectOptions::new("a-virtual-host"), at(0)).unwrap();
    let connect = session.poll_transmit(at(0)).expect("the STOMP frame");
    assert!(connect.starts_with(b"STOMP\n"));

    session.receive(at(1), b"CONNECTED\nversion:1.2\n\n\0");
    assert!(matches!(session.poll_event().unwrap(), Some(ClientEvent::Connected(_))));

    let orders =
        Subscription { ack: AckMode::ClientIndividual, ..Subscription::new("orders", "/amq/queue/orders") };
    session.subscribe(orders).unwrap();
    session.poll_transmit(at(1)).expect("the SUBSCRIBE frame");

    session.receive(at(2), b"MESSAGE\nsubscription:orders\nmessage-id:7\nack:a7\ndestination:/q\n\n{}\0");
    if let Some(ClientEvent::Message(message)) = session.poll_event().unwrap() {
        session.ack(message.ack.expect("asked for by the subscription"), None).unwrap();
    }
    let ack = session.poll_transmit(at(2)).expect("the ACK frame");
    assert_eq!(&ack[..], b"ACK\nid:a7\n\n\0");
}

#[test]
fn answers_to_connect_that_are_refused() {
    for (answer, text) in [
        ("CONNECTED\n\n\0", "the server speaks STOMP 1.0, which was not offered"),
        ("CONNECTED\nversion:1.3\n\n\0", "the server speaks STOMP 1.3, which was not offered"),
        ("CONNECTED\nversion:1.2\nheart-beat:x\n\n\0", "the server's CONNECTED frame is malformed"),
        ("RECEIPT\nreceipt-id:1\n\n\0", "the server sent an unexpected RECEIPT frame"),
        ("SEND\n\n\0", "the server sent an unexpected SEND frame"),
        ("HTTP/1.1 200 OK\r\n", "the server sent something that is not STOMP"),
    ] {
        assert_eq!(answered(answer).unwrap_err().to_string(), text);
    }
    let mut only_new = ClientSession::new(
        ConnectOptions { versions: vec![Version::V1_2], ..ConnectOptions::new("h") },
        secs(0),
    )
    .unwrap();
    only_new.receive(secs(0), b"CONNECTED\nversion:1.1\n\n\0");
    assert_eq!(only_new.poll_event().unwrap_err(), ClientError::Version { offered: "1.1".into() });
}

#[test]
fn the_version_of_the_answer_decides_the_escapes() {
    let receipt = "RECEIPT\nreceipt-id:a\\rb\n\n\0";
    let mut new = connected("1.2");
    new.receive(secs(0), receipt.as_bytes());
    assert!(matches!(client_event(&mut new), ClientEvent::Receipt(id) if id.as_str() == "a\rb"));

    let mut old = ClientSession::new(ConnectOptions::new("host"), secs(0)).unwrap();
    old.receive(secs(0), format!("CONNECTED\nversion:1.1\n\n\0{receipt}").as_bytes());
    assert!(matches!(client_event(&mut old), ClientEvent::Connected(_)));
    assert!(matches!(old.poll_event(), Err(ClientError::Decode(DecodeError::Header { .. }))));
}

#[test]
fn subscribe_and_unsubscribe() {
    let mut session = connected("1.2");
    let receipt = session.new_receipt();
    session
        .subscribe(Subscription {
            ack: AckMode::ClientIndividual,
            prefetch: Some(20),
            receipt: Some(receipt),
            headers: [("x-queue-name", "q:1")].into_iter().collect(),
            ..Subscription::new("s", "/queue/q")
        })
        .unwrap();
    session.subscribe(Subscription { ack: AckMode::Client, ..Subscription::new("t", "/queue/q") }).unwrap();
    session.unsubscribe("s", None).unwrap();
    assert_eq!(
        client_sends(&mut session, secs(0)),
        [
            "SUBSCRIBE\nid:s\ndestination:/queue/q\nack:client-individual\nprefetch-count:20\nx-queue-name:q\\c1\n\
             receipt:receipt-1\n\n␀",
            "SUBSCRIBE\nid:t\ndestination:/queue/q\nack:client\n\n␀",
            "UNSUBSCRIBE\nid:s\n\n␀"
        ]
    );
    assert_eq!(
        session.subscribe(Subscription::new("t", "/queue/q")),
        Err(ClientError::DuplicateSubscription { id: "t".into() })
    );
    assert_eq!(session.unsubscribe("s", None), Err(ClientError::NoSubscription { id: "s".into() }));
    assert!(client_sends(&mut session, secs(0)).is_empty());
}

#[test]
fn acknowledgements_by_version() {
    for (version, ack, nack) in [
        ("1.2", "ACK\nid:a1\n\n␀", "NACK\nid:a2\nreceipt:receipt-1\n\n␀"),
        (
            "1.1",
            "ACK\nmessage-id:m1\nsubscription:s\n\n␀",
            "NACK\nmessage-id:m2\nsubscription:s\nreceipt:receipt-1\n\n␀",
        ),
    ] {
        for mode in [AckMode::Client, AckMode::ClientIndividual] {
            let mut session = subscribed(version, mode);
            let first = token(&mut session, 1).unwrap();
            let second = token(&mut session, 2).unwrap();
            let receipt = session.new_receipt();
            session.ack(first, None).unwrap();
            session.nack(second, Some(receipt)).unwrap();
            assert_eq!(client_sends(&mut session, secs(0)), [ack, nack]);
        }
        assert!(token(&mut subscribed(version, AckMode::Auto), 1).is_none());
    }
}

#[test]
fn a_token_is_void_after_a_reconnect_or_an_unsubscribe() {
    let mut old = subscribed("1.2", AckMode::ClientIndividual);
    let from_old = token(&mut old, 1).unwrap();
    let mut new = subscribed("1.2", AckMode::ClientIndividual);
    assert_eq!(new.ack(from_old, None), Err(ClientError::ForeignToken));

    let ended = token(&mut new, 1).unwrap();
    new.unsubscribe("s", None).unwrap();
    client_sends(&mut new, secs(0));
    assert_eq!(new.ack(ended, None), Err(ClientError::NoSubscription { id: "s".into() }));
    assert!(token(&mut new, 2).is_none(), "what was on its way cannot be acknowledged");
    assert!(client_sends(&mut new, secs(0)).is_empty());
}

#[test]
fn messages_without_what_the_standard_requires() {
    for (frame, header) in [
        ("MESSAGE\nmessage-id:1\ndestination:q\nack:1\n\n\0", "subscription"),
        ("MESSAGE\nsubscription:s\ndestination:q\nack:1\n\n\0", "message-id"),
        ("MESSAGE\nsubscription:s\nmessage-id:1\nack:1\n\n\0", "destination"),
        ("MESSAGE\nsubscription:s\nmessage-id:1\ndestination:q\n\n\0", "ack"),
    ] {
        let mut session = subscribed("1.2", AckMode::ClientIndividual);
        session.receive(secs(0), frame.as_bytes());
        let error = session.poll_event().unwrap_err();
        assert_eq!(error.to_string(), format!("the server's MESSAGE frame has no `{header}` header"));
    }
}

#[test]
fn send_carries_headers_body_and_receipt() {
    let mut session = connected("1.2");
    let receipt = session.new_receipt();
    let headers: Headers = [("content-type", "text/plain")].into_iter().collect();
    session.send("/queue/q", headers, "hello".into(), Some(receipt.clone())).unwrap();
    assert_eq!(
        client_sends(&mut session, secs(0)),
        [
            "SEND\ndestination:/queue/q\ncontent-type:text/plain\nreceipt:receipt-1\ncontent-length:5\n\nhello␀"
        ]
    );
    session.receive(secs(0), b"RECEIPT\nreceipt-id:receipt-1\n\n\0");
    assert!(matches!(client_event(&mut session), ClientEvent::Receipt(id) if id == receipt));
}

#[test]
fn disconnect_waits_for_its_receipt_and_lets_messages_through() {
    let mut session = subscribed("1.2", AckMode::ClientIndividual);
    session.disconnect().unwrap();
    assert_eq!(client_sends(&mut session, secs(0)), ["DISCONNECT\nreceipt:receipt-1\n\n␀"]);
    let late = token(&mut session, 1).unwrap();
    assert_eq!(session.ack(late, None), Err(ClientError::NotConnected));
    session.receive(secs(0), b"RECEIPT\nreceipt-id:receipt-1\n\n\0garbage");
    assert!(matches!(client_event(&mut session), ClientEvent::Disconnected));
    assert!(session.is_closed() && session.poll_event().unwrap().is_none());
    assert_eq!(session.end_of_input(), Ok(()));
}

#[test]
fn an_error_frame_is_told_with_its_receipt_and_ends_the_session() {
    let mut session = connected("1.2");
    session.receive(secs(0), b"ERROR\nmessage:denied\nreceipt-id:receipt-9\n\n line one\nline two \0");
    let ClientEvent::Error(error) = client_event(&mut session) else { panic!("no error") };
    assert_eq!(error.receipt.as_ref().unwrap().as_str(), "receipt-9");
    assert_eq!(error.to_string(), "error from the server: denied – line one line two");
    assert_eq!(session.disconnect(), Err(ClientError::NotConnected));
}

#[test]
fn an_error_frame_without_words_is_told_too() {
    let Ok(Some(ClientEvent::Error(error))) = answered("ERROR\n\n\0") else { panic!("no error") };
    assert_eq!(error.to_string(), "connection refused by the server");
}

#[test]
fn a_server_that_does_not_answer() {
    let mut session = ClientSession::new(ConnectOptions::new("host"), secs(5)).unwrap();
    assert_eq!(session.poll_timeout(), Some(secs(35)));
    session.handle_timeout(secs(34));
    session.receive(secs(34), b"CONN");
    assert!(session.poll_event().unwrap().is_none());
    session.handle_timeout(secs(35));
    assert_eq!(session.poll_timeout(), None, "no busy loop before the event is taken");
    assert_eq!(session.poll_event().unwrap_err(), ClientError::NoAnswer { waited: secs(30) });
}

#[test]
fn a_connection_that_ends_early() {
    for (bytes, text) in [
        ("", "the server closed the connection"),
        ("MESSAGE\nsubscription:s\n", "the server closed the connection inside a frame"),
    ] {
        let mut session = connected("1.2");
        session.receive(secs(1), bytes.as_bytes());
        assert!(session.poll_event().unwrap().is_none());
        assert_eq!(session.end_of_input().unwrap_err().to_string(), text);
        assert_eq!(session.end_of_input(), Ok(()), "told once");
    }
}

#[test]
fn heart_beats_go_out_and_their_absence_is_noticed() {
    let mut session = connected("1.2");
    assert_eq!(session.poll_timeout(), Some(Duration::from_millis(7_500)));
    session.handle_timeout(secs(7));
    assert!(client_sends(&mut session, secs(7)).is_empty());
    session.handle_timeout(secs(8));
    assert_eq!(session.poll_timeout(), Some(secs(15)), "one line end waits, no second one is due");
    session.handle_timeout(secs(9));
    assert_eq!(client_sends(&mut session, secs(9)), ["\n"]);

    session.receive(secs(14), b"\n");
    session.handle_timeout(secs(20));
    assert!(session.poll_event().unwrap().is_none());
    session.handle_timeout(secs(30));
    let ClientEvent::HeartBeatLost { silent_for } = client_event(&mut session) else { panic!("not lost") };
    assert_eq!(silent_for, secs(16));
    assert!(session.is_closed() && session.poll_timeout().is_none());
}

#[test]
fn what_arrived_in_time_is_told_before_the_loss() {
    let mut session = subscribed("1.2", AckMode::Auto);
    session.receive(secs(1), b"MESSAGE\nsubscription:s\nmessage-id:1\ndestination:q\n\n\0");
    session.handle_timeout(secs(60));
    assert!(matches!(client_event(&mut session), ClientEvent::Message(_)));
    assert!(matches!(client_event(&mut session), ClientEvent::HeartBeatLost { .. }));
}

#[test]
fn without_heart_beats_silence_is_no_loss() {
    let options = ConnectOptions { heart_beat: HeartBeat::NONE, ..ConnectOptions::new("host") };
    let mut session = ClientSession::new(options, secs(0)).unwrap();
    session.receive(secs(0), b"CONNECTED\nversion:1.2\nheart-beat:10000,10000\n\n\0");
    assert!(matches!(client_event(&mut session), ClientEvent::Connected(_)));
    assert_eq!(session.poll_timeout(), None);
    session.handle_timeout(secs(1_000_000));
    assert!(session.poll_event().unwrap().is_none());
}

#[test]
fn nothing_can_be_asked_before_connected() {
    let mut session = ClientSession::new(ConnectOptions::new("host"), secs(0)).unwrap();
    assert_eq!(session.subscribe(Subscription::new("s", "q")), Err(ClientError::NotConnected));
    assert_eq!(session.disconnect(), Err(ClientError::NotConnected));
}

#[test]
fn a_request_that_cannot_be_written_leaves_the_session_as_it_was() {
    let mut session = connected("1.2");
    assert!(matches!(session.subscribe(Subscription::new("s", "q\0")), Err(ClientError::Encode(_))));
    assert!(client_sends(&mut session, secs(0)).is_empty());
    session.subscribe(Subscription::new("s", "q")).unwrap();
}
