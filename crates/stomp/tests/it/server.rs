//! The server role, one conversation per test.

use stomp::{
    AckMode, AckTarget, Command, Delivery, ErrorReply, Headers, HeartBeat, Request, ServerError, ServerEvent,
    ServerOptions, ServerSession, Version,
};

use crate::support::{secs, server_event, server_sends};

fn asked(connect: &str) -> ServerSession {
    let options = ServerOptions { server: Some("RabbitMQ/3.10.8".into()), ..ServerOptions::default() };
    let mut session = ServerSession::new(options, secs(0));
    session.receive(secs(0), connect.as_bytes());
    session
}

fn accepted(version: &str) -> ServerSession {
    let mut session =
        asked(&format!("STOMP\naccept-version:{version}\nhost:h\nheart-beat:10000,10000\n\n\0"));
    assert!(matches!(server_event(&mut session), ServerEvent::Connect(_)));
    session.accept("session-1", secs(0)).unwrap();
    server_sends(&mut session, secs(0));
    session
}

fn request(session: &mut ServerSession, frame: &str) -> (Request, Option<String>) {
    session.receive(secs(0), frame.as_bytes());
    match server_event(session) {
        ServerEvent::Request { request, receipt } => (request, receipt.map(|id| id.to_string())),
        other => panic!("not a request: {other:?}"),
    }
}

fn delivery(subscription: &str) -> Delivery {
    Delivery {
        subscription: subscription.into(),
        destination: "/queue/q".into(),
        message_id: "m1".into(),
        ack_id: "a1".into(),
        headers: [("redelivered", "false")].into_iter().collect(),
        body: "{}".into(),
    }
}

#[test]
fn both_commands_open_a_session() {
    for command in [Command::Stomp, Command::Connect] {
        let mut session = asked(&format!(
            "{command}\naccept-version:1.0,1.1,1.2,2.0\nhost:v\nlogin:l\npasscode:p:\\x\nheart-beat:5000,0\n\n\0"
        ));
        let ServerEvent::Connect(connect) = server_event(&mut session) else { panic!("no connect") };
        assert_eq!(connect.command, command);
        assert_eq!((connect.host.as_deref(), connect.login.as_deref()), (Some("v"), Some("l")));
        assert_eq!(connect.passcode.as_ref().unwrap().expose(), "p:\\x");
        assert_eq!(connect.version, Version::V1_2);
        assert_eq!(connect.heart_beat, HeartBeat { send_ms: 5000, receive_ms: 0 });
        assert!(!format!("{connect:?}").contains("p:"));

        assert!(session.poll_event().unwrap().is_none());
        session.accept("session-1", secs(0)).unwrap();
        assert_eq!(
            server_sends(&mut session, secs(0)),
            [
                "CONNECTED\nserver:RabbitMQ/3.10.8\nsession:session-1\nheart-beat:10000,10000\nversion:1.2\n\n␀"
            ]
        );
        assert_eq!(session.version(), Some(Version::V1_2));
        assert_eq!(session.accept("again", secs(0)), Err(ServerError::NotAsked));
    }
}

#[test]
fn the_highest_common_version_is_chosen() {
    for (offered, chosen) in [("1.1", Version::V1_1), ("1.2,1.1", Version::V1_2), ("1.0, 1.1", Version::V1_1)]
    {
        assert_eq!(accepted(offered).version(), Some(chosen), "{offered}");
    }
}

#[test]
fn what_breaks_the_protocol_is_answered_with_error_and_close() {
    let connect = "STOMP\naccept-version:1.2\nhost:h\n\n\0";
    for (before, frame, text, told) in [
        (
            false,
            "CONNECT\nhost:h\n\n\0",
            "the client speaks STOMP 1.0, supported are 1.1,1.2",
            "ERROR\nmessage:the client speaks STOMP 1.0, supported are 1.1,1.2\ncontent-type:text/plain\n\
             version:1.1,1.2\n\n␀",
        ),
        (
            false,
            "SUBSCRIBE\nid:1\n\n\0",
            "the client sent an unexpected SUBSCRIBE frame",
            "ERROR\nmessage:the client sent an unexpected SUBSCRIBE frame\ncontent-type:text/plain\n\
             version:1.1,1.2\n\n␀",
        ),
        (
            false,
            "GET / HTTP/1.1\r\n",
            "the client sent something that is not STOMP",
            "ERROR\nmessage:the client sent something that is not STOMP\ncontent-type:text/plain\n\
             version:1.1,1.2\ncontent-length:37\n\nnot a STOMP command: `GET / HTTP/1.1`␀",
        ),
        (
            true,
            "SUBSCRIBE\ndestination:q\n\n\0",
            "the client's SUBSCRIBE frame has no `id` header",
            "ERROR\nmessage:the client's SUBSCRIBE frame has no `id` header\ncontent-type:text/plain\n\
             version:1.1,1.2\n\n␀",
        ),
        (
            true,
            "SUBSCRIBE\nid:1\ndestination:q\nack:maybe\n\n\0",
            "the client's SUBSCRIBE frame has an invalid `ack` header",
            "ERROR\nmessage:the client's SUBSCRIBE frame has an invalid `ack` header\ncontent-type:text/plain\n\
             version:1.1,1.2\n\n␀",
        ),
        (
            true,
            "UNSUBSCRIBE\nid:x\n\n\0",
            "there is no subscription `x`",
            "ERROR\nmessage:there is no subscription `x`\ncontent-type:text/plain\nversion:1.1,1.2\n\n␀",
        ),
        (
            true,
            connect,
            "the client sent an unexpected STOMP frame",
            "ERROR\nmessage:the client sent an unexpected STOMP frame\ncontent-type:text/plain\n\
             version:1.1,1.2\n\n␀",
        ),
    ] {
        let mut session = if before { accepted("1.2") } else { asked("") };
        session.receive(secs(0), frame.as_bytes());
        assert_eq!(session.poll_event().unwrap_err().to_string(), text);
        assert!(session.is_closed());
        assert_eq!(server_sends(&mut session, secs(0)), [told]);
        assert!(session.poll_event().unwrap().is_none());
    }
}

#[test]
fn a_login_can_be_refused() {
    let mut session = asked("STOMP\naccept-version:1.2\nhost:h\nlogin:l\npasscode:wrong\n\n\0");
    assert!(matches!(server_event(&mut session), ServerEvent::Connect(_)));
    let reply = ErrorReply {
        message: "Bad CONNECT".into(),
        detail: "Access refused for user 'l'\n".into(),
        receipt: None,
    };
    session.error(reply.clone()).unwrap();
    assert_eq!(
        server_sends(&mut session, secs(0)),
        ["ERROR\nmessage:Bad CONNECT\ncontent-type:text/plain\nversion:1.1,1.2\ncontent-length:28\n\n\
          Access refused for user 'l'\n␀"]
    );
    assert!(session.is_closed());
    assert_eq!(session.error(reply), Err(ServerError::NotConnected));
}

#[test]
fn requests() {
    let mut session = accepted("1.2");
    let subscribe =
        "SUBSCRIBE\nid:s\ndestination:/amq/queue/q\nack:client-individual\nprefetch-count:7\n\n\0";
    let (Request::Subscribe { id, destination, ack, prefetch, .. }, None) = request(&mut session, subscribe)
    else {
        panic!("not a subscription")
    };
    assert_eq!((id.as_str(), destination.as_str()), ("s", "/amq/queue/q"));
    assert_eq!((ack, prefetch), (AckMode::ClientIndividual, Some(7)));

    let id = |id: &str| AckTarget::Id(id.into());
    let t = || "t".to_owned();
    let table = [
        ("ACK\nid:a1\n\n\0", Request::Ack { target: id("a1"), transaction: None }),
        ("NACK\nid:a2\ntransaction:t\n\n\0", Request::Nack { target: id("a2"), transaction: Some(t()) }),
        ("BEGIN\ntransaction:t\n\n\0", Request::Begin { transaction: t() }),
        ("COMMIT\ntransaction:t\n\n\0", Request::Commit { transaction: t() }),
        ("ABORT\ntransaction:t\n\n\0", Request::Abort { transaction: t() }),
        ("UNSUBSCRIBE\nid:s\n\n\0", Request::Unsubscribe { id: "s".into() }),
    ];
    for (frame, expected) in table {
        assert_eq!(request(&mut session, frame), (expected, None));
    }
    let headers: Headers = [("destination", "q"), ("receipt", "r1")].into_iter().collect();
    assert_eq!(
        request(&mut session, "SEND\ndestination:q\nreceipt:r1\n\nhello\0"),
        (
            Request::Send { destination: "q".into(), transaction: None, headers, body: "hello".into() },
            Some("r1".into())
        )
    );
}

#[test]
fn acknowledgements_of_1_1_name_message_and_subscription() {
    let mut session = accepted("1.1");
    let target = AckTarget::Message { subscription: "s".into(), message_id: "m1".into() };
    assert_eq!(
        request(&mut session, "ACK\nmessage-id:m1\nsubscription:s\n\n\0").0,
        Request::Ack { target, transaction: None }
    );
    session.receive(secs(0), b"ACK\nid:a1\n\n\0");
    assert!(matches!(session.poll_event(), Err(ServerError::MissingHeader { header: "subscription", .. })));
}

#[test]
fn deliveries_carry_what_the_client_needs_to_acknowledge() {
    for (version, mode, ack) in [
        ("1.2", "client-individual", "ack:a1\n"),
        ("1.2", "client", "ack:a1\n"),
        ("1.2", "auto", ""),
        ("1.1", "client", ""),
    ] {
        let mut session = accepted(version);
        assert_eq!(
            session.message(delivery("s")),
            Err(ServerError::NoSubscription { id: "s".into() }),
            "before SUBSCRIBE"
        );
        request(&mut session, &format!("SUBSCRIBE\nid:s\ndestination:q\nack:{mode}\n\n\0"));
        session.message(delivery("s")).unwrap();
        assert_eq!(
            server_sends(&mut session, secs(0)),
            [format!(
                "MESSAGE\nsubscription:s\ndestination:/queue/q\nmessage-id:m1\n{ack}redelivered:false\n\
                 content-length:2\n\n{{}}␀"
            )]
        );
    }
}

#[test]
fn disconnect_is_confirmed_and_nothing_more_is_heard() {
    let mut session = accepted("1.2");
    let (asked, receipt) = request(&mut session, "DISCONNECT\nreceipt:bye\n\n\0SEND\ndestination:q\n\n\0");
    assert_eq!((asked, receipt.as_deref()), (Request::Disconnect, Some("bye")));
    assert!(session.poll_event().unwrap().is_none());
    session.receipt(&receipt_of("bye")).unwrap();
    assert_eq!(server_sends(&mut session, secs(0)), ["RECEIPT\nreceipt-id:bye\n\n␀"]);
    assert!(session.is_closed());
}

fn receipt_of(id: &str) -> stomp::ReceiptId {
    let mut session = accepted("1.2");
    session.receive(secs(0), format!("DISCONNECT\nreceipt:{id}\n\n\0").as_bytes());
    match server_event(&mut session) {
        ServerEvent::Request { receipt: Some(receipt), .. } => receipt,
        other => panic!("no receipt: {other:?}"),
    }
}

#[test]
fn frames_sent_too_early_wait_for_the_acceptance() {
    let mut session = asked("STOMP\naccept-version:1.2\nhost:h\n\n\0SUBSCRIBE\nid:s\ndestination:q\n\n\0");
    assert!(matches!(server_event(&mut session), ServerEvent::Connect(_)));
    assert!(session.poll_event().unwrap().is_none());
    session.accept("s", secs(0)).unwrap();
    assert!(matches!(
        server_event(&mut session),
        ServerEvent::Request { request: Request::Subscribe { .. }, .. }
    ));
}

#[test]
fn a_slow_acceptance_is_not_the_clients_silence() {
    let mut session = asked("STOMP\naccept-version:1.2\nhost:h\nheart-beat:10000,10000\n\n\0");
    assert!(matches!(server_event(&mut session), ServerEvent::Connect(_)));
    assert_eq!(session.poll_timeout(), None);
    session.accept("s", secs(60)).unwrap();
    server_sends(&mut session, secs(60));
    session.handle_timeout(secs(74));
    assert!(session.poll_event().unwrap().is_none());
    session.handle_timeout(secs(75));
    assert!(
        matches!(server_event(&mut session), ServerEvent::HeartBeatLost { silent_for } if silent_for == secs(15))
    );
    assert!(session.is_closed());
}
