//! The simulated broker through real sockets.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use simulator::broker::{Access, Broker, BrokerOptions, DEFAULT_VHOST, Overflow, QueueOptions};
use simulator::tls::Tls;
use stomp::{AckMode, ClientEvent, ConnectOptions, Version};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::stomp_peer::client::{Client, Socket, Way, credentials, web_socket};
use crate::stomp_peer::conversations::{self, Administered, LOGIN, PASSCODE, VHOST};

impl Administered for Broker {
    fn port(&self, way: Way) -> u16 {
        match way {
            Way::Tcp => self.ports().tcp,
            Way::Web => self.ports().ws,
        }
    }

    async fn declare(&self, queue: &str, max_length: Option<usize>) {
        self.declare_queue(VHOST, queue, QueueOptions { max_length, ..QueueOptions::default() });
    }

    async fn publish(&self, queue: &str, body: &str) {
        assert_eq!(Self::publish(self, VHOST, &format!("/amq/queue/{queue}"), body.to_owned()), 1);
    }

    async fn until_depth(&self, queue: &str, ready: usize, unacked: usize) {
        let reached = self.wait_until(|broker| {
            broker
                .queue(VHOST, queue)
                .is_some_and(|status| (status.ready, status.unacked) == (ready, unacked))
        });
        let reached = tokio::time::timeout(std::time::Duration::from_secs(30), reached).await;
        assert!(reached.is_ok(), "{queue} is not {ready}, {unacked} but {:?}", self.queue(VHOST, queue));
    }

    async fn close_connections(&self) {
        assert!(Self::close_connections(self, "kicked") > 0);
    }

    async fn restart(&self) {
        Self::restart(self).await.unwrap();
    }

    async fn freeze(&self) {
        Self::freeze(self);
    }

    async fn thaw(&self) {
        Self::thaw(self);
    }
}

async fn broker() -> Broker {
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.add_vhost(VHOST);
    broker.add_user(LOGIN, [PASSCODE]);
    broker.allow(LOGIN, VHOST, Access::Full);
    broker
}

async fn client(broker: &Broker) -> Client {
    Client::connected(Way::Tcp, broker.ports().tcp, credentials(VHOST, LOGIN, PASSCODE)).await
}

#[tokio::test]
async fn it_behaves_as_rabbitmq_does() {
    conversations::all(&broker().await).await;
}

#[tokio::test]
async fn tls_and_websocket_over_tls_work_with_the_private_authority() {
    let tls = Tls::generate().unwrap();
    let options = BrokerOptions { tls: Some(tls.server_config()), ..BrokerOptions::default() };
    let broker = Broker::start(options).await.unwrap();
    broker.add_user("plain", ["secret"]);
    broker.allow("plain", DEFAULT_VHOST, Access::Full);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(tls.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    for (way, port) in [(Way::Tcp, broker.ports().tls), (Way::Web, broker.ports().wss)] {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let socket = TlsConnector::from(Arc::clone(&config)).connect(name, tcp).await.unwrap();
        let options = credentials(DEFAULT_VHOST, "plain", "secret");
        let mut client = Client::over(way, Box::new(socket), "localhost", options).await;
        assert!(matches!(client.event().await, Some(ClientEvent::Connected(_))));
        client.disconnect().await;
    }
}

#[tokio::test]
async fn the_websocket_is_at_its_path_and_speaks_stomp_alone() {
    let broker = broker().await;
    let port = broker.ports().ws;
    for (path, subprotocol, status) in [
        ("/rmqws-stomp", "v12.stomp", None),
        ("/rmqws-stomp", "v11.stomp", None),
        ("/elsewhere", "v12.stomp", Some(404)),
        ("/rmqws-stomp", "chat", Some(400)),
    ] {
        let socket: Box<dyn Socket> = Box::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let refused = match web_socket(socket, &format!("127.0.0.1:{port}"), path, subprotocol).await {
            Ok(_) => None,
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Some(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(refused, status, "{path} with {subprotocol}");
    }
}

#[tokio::test]
async fn who_may_only_read_a_queue_can_do_nothing_else() {
    let broker = broker().await;
    broker.add_user("reader", ["token"]);
    broker.allow("reader", VHOST, Access::Read(BTreeSet::from(["mine".to_owned()])));
    broker.declare_queue(VHOST, "mine", QueueOptions::default());
    broker.declare_queue(VHOST, "other", QueueOptions::default());
    let reader = || Client::connected(Way::Tcp, broker.ports().tcp, credentials(VHOST, "reader", "token"));
    for destination in ["/amq/queue/other", "/queue/mine", "/topic/any"] {
        let mut client = reader().await;
        client.subscribe(destination, AckMode::Auto, None).await;
        let refusal = client.refusal().await;
        assert!(refusal.contains("ACCESS_REFUSED"), "{destination}: {refusal}");
    }
    let mut client = reader().await;
    client.subscribe("/amq/queue/mine", AckMode::Auto, None).await;
    Broker::publish(&broker, VHOST, "/amq/queue/mine", "hello");
    assert_eq!(client.delivery().await.0, "hello");
    let receipt = client.session.new_receipt();
    client.session.send("/amq/queue/mine", stomp::Headers::new(), "x".into(), Some(receipt)).unwrap();
    assert!(client.refusal().await.contains("ACCESS_REFUSED"));
}

#[tokio::test]
async fn plain_queues_are_made_when_named_and_topics_copy() {
    let broker = broker().await;
    let mut sender = client(&broker).await;
    sender.send("/queue/made", "kept").await;
    sender.send("/topic/orders.created", "lost: nobody listens").await;
    let (mut one, mut two, mut reader) =
        (client(&broker).await, client(&broker).await, client(&broker).await);
    one.subscribe("/topic/orders.*", AckMode::Auto, None).await;
    two.subscribe("/topic/#", AckMode::ClientIndividual, None).await;
    reader.subscribe("/queue/made", AckMode::Auto, None).await;
    assert_eq!(reader.delivery().await.0, "kept");
    broker.wait_until(|broker| broker.total().consumers == 3).await;
    sender.send("/topic/orders.done", "heard").await;
    for client in [&mut one, &mut two] {
        let message = client.message().await;
        assert_eq!((&message.body[..], message.destination.as_str()), (&b"heard"[..], "/topic/orders.done"));
    }
    one.disconnect().await;
    two.disconnect().await;
    assert_eq!(broker.queues().len(), 1, "the queues of topics go with their subscribers");
}

#[tokio::test]
async fn a_full_queue_may_refuse_the_newest_message() {
    let broker = broker().await;
    let options = QueueOptions { max_length: Some(1), overflow: Overflow::RejectPublish, ttl: None };
    broker.declare_queue(VHOST, "q", options);
    for body in ["1", "2"] {
        Broker::publish(&broker, VHOST, "/amq/queue/q", body);
    }
    let status = broker.queue(VHOST, "q").unwrap();
    assert_eq!((status.ready, status.published, status.dropped), (1, 1, 1));
    let mut client = client(&broker).await;
    client.subscribe("/amq/queue/q", AckMode::Auto, None).await;
    assert_eq!(client.delivery().await.0, "1");
}

#[tokio::test]
async fn messages_that_waited_for_too_long_are_gone() {
    let options = BrokerOptions::default();
    let clock = options.clock.clone();
    let broker = Broker::start(options).await.unwrap();
    broker.declare_queue(DEFAULT_VHOST, "q", QueueOptions::WALDUR);
    Broker::publish(&broker, DEFAULT_VHOST, "/amq/queue/q", "old");
    clock.step(jiff::SignedDuration::from_mins(59));
    Broker::publish(&broker, DEFAULT_VHOST, "/amq/queue/q", "young");
    clock.step(jiff::SignedDuration::from_mins(2));
    let status = broker.queue(DEFAULT_VHOST, "q").unwrap();
    assert_eq!((status.ready, status.expired), (1, 1));
}

#[tokio::test]
async fn an_acknowledgement_for_another_connection_is_refused() {
    let broker = broker().await;
    broker.declare_queue(VHOST, "q", QueueOptions::default());
    Broker::publish(&broker, VHOST, "/amq/queue/q", "1");
    let mut first = client(&broker).await;
    first.subscribe("/amq/queue/q", AckMode::ClientIndividual, None).await;
    let stale = first.message().await.message_id;
    drop(first);
    broker.wait_until(|broker| broker.connections().is_empty()).await;
    // By hand, since the session of the client would not send it.
    let mut tcp = TcpStream::connect(("127.0.0.1", broker.ports().tcp)).await.unwrap();
    let frames = format!(
        "STOMP\naccept-version:1.2\nhost:{VHOST}\nlogin:{LOGIN}\npasscode:{}\n\n\0\
         SUBSCRIBE\nid:messages\ndestination:/amq/queue/q\nack:client-individual\n\n\0\
         ACK\nid:{}\n\n\0",
        PASSCODE.replace('\\', r"\\").replace(':', r"\c"),
        stale.replace(':', r"\c"),
    );
    tokio::io::AsyncWriteExt::write_all(&mut tcp, frames.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut tcp, &mut answer).await.unwrap();
    assert!(answer.contains("ERROR\nmessage:Invalid header"), "{answer}");
    assert_eq!(broker.queue(VHOST, "q").unwrap().ready, 1);
}

#[tokio::test]
async fn a_transaction_is_done_at_its_end_or_not_at_all() {
    let broker = broker().await;
    let mut tcp = TcpStream::connect(("127.0.0.1", broker.ports().tcp)).await.unwrap();
    let send = |name: &str, body: &str| format!("SEND\ndestination:/queue/q\ntransaction:{name}\n\n{body}\0");
    let frames = format!(
        "STOMP\naccept-version:1.1\nhost:{VHOST}\nlogin:{LOGIN}\npasscode:{}\n\n\0\
         BEGIN\ntransaction:a\n\n\0{}BEGIN\ntransaction:b\n\n\0{}\
         ABORT\ntransaction:a\n\n\0COMMIT\ntransaction:b\nreceipt:done\n\n\0COMMIT\ntransaction:b\n\n\0",
        PASSCODE.replace('\\', r"\\").replace(':', r"\c"),
        send("a", "dropped"),
        send("b", "kept"),
    );
    tokio::io::AsyncWriteExt::write_all(&mut tcp, frames.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut tcp, &mut answer).await.unwrap();
    assert!(answer.contains("RECEIPT\nreceipt-id:done"), "{answer}");
    assert!(answer.contains("ERROR\nmessage:Bad transaction"), "{answer}");
    assert_eq!(broker.queue(VHOST, "q").unwrap().published, 1);
}

#[tokio::test]
async fn two_readers_of_a_queue_take_turns() {
    let broker = broker().await;
    broker.declare_queue(VHOST, "q", QueueOptions::default());
    let options = ConnectOptions { versions: vec![Version::V1_1], ..credentials(VHOST, LOGIN, PASSCODE) };
    let mut one = Client::connected(Way::Tcp, broker.ports().tcp, options).await;
    let mut two = client(&broker).await;
    for client in [&mut one, &mut two] {
        client.subscribe("/amq/queue/q", AckMode::ClientIndividual, Some(8)).await;
    }
    broker.wait_until(|broker| broker.total().consumers == 2).await;
    for body in 0..6 {
        Broker::publish(&broker, VHOST, "/amq/queue/q", body.to_string());
    }
    let mut bodies = BTreeSet::new();
    for client in [&mut one, &mut two] {
        for _ in 0..3 {
            let (body, _, token) = client.delivery().await;
            bodies.insert(body);
            client.ack(token).await;
        }
    }
    assert_eq!(bodies.len(), 6);
    let total = broker.total();
    assert_eq!((total.acknowledged, total.redelivered, total.unacked), (6, 0, 0));
    assert_eq!(broker.take_settled().len(), 6);
}
