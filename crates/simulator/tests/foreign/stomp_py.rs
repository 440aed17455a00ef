//! `stomp.py` as a client of the simulated broker, over TCP and WebSocket.

use std::process::Stdio;
use std::time::Duration;

use simulator::broker::{Access, Broker, BrokerOptions, QueueOptions};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::waldur_api_client::python;

const VHOST: &str = "vhost";

async fn session(way: &str, port: fn(&Broker) -> u16) {
    let broker = Broker::start(BrokerOptions::default()).await.unwrap();
    broker.add_vhost(VHOST);
    broker.add_user("foreign", ["secret"]);
    broker.declare_queue(VHOST, "events", QueueOptions::WALDUR);
    broker.allow("foreign", VHOST, Access::Read(["events".to_owned()].into()));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign/python/stomp_py_session.py");
    let mut client = Command::new(python());
    client.arg(script).args([way, &port(&broker).to_string()]).kill_on_drop(true);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = client.spawn().unwrap();
    let mut answers = client.stdin.take().unwrap();
    let mut errors = client.stderr.take().unwrap();
    let mut requests = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut last = String::new();
    while let Some(request) = requests.next_line().await.unwrap() {
        let words: Vec<&str> = request.split(' ').collect();
        match words[..] {
            ["publish", ..] => {
                let body = request["publish ".len()..].to_owned();
                assert_eq!(broker.publish(VHOST, "/amq/queue/events", body), 1);
            }
            ["kick"] => assert!(broker.close_connections("kicked") > 0),
            ["freeze"] => broker.freeze(),
            ["thaw"] => broker.thaw(),
            ["settled", ready, unacked] => {
                let wanted = (ready.parse().unwrap(), unacked.parse().unwrap());
                let reached = broker.wait_until(|broker| {
                    broker.queue(VHOST, "events").map(|status| (status.ready, status.unacked)) == Some(wanted)
                });
                let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
                assert!(reached.is_ok(), "{wanted:?} expected, {:?}", broker.queue(VHOST, "events"));
                answers.write_all(b"yes\n").await.unwrap();
            }
            _ => last = request,
        }
    }
    let mut said = String::new();
    errors.read_to_string(&mut said).await.unwrap();
    assert!(client.wait().await.unwrap().success() && last == "done", "{last}\n{said}");
    assert_eq!(broker.counts().refused_logins, 1);
    let status = broker.queue(VHOST, "events").unwrap();
    assert_eq!((status.published, status.acknowledged, status.redelivered), (3, 3, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stomp_py_works_over_tcp() {
    session("tcp", |broker| broker.ports().tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stomp_py_works_over_websocket() {
    session("web", |broker| broker.ports().ws).await;
}
