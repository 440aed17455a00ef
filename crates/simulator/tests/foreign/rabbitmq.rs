//! The STOMP crate's client session with a real RabbitMQ, over TCP and WebSocket.
//!
//! The same conversations as with the simulated broker, which keeps that one honest too.

use std::path::Path;

use serde_json::json;
use simulator::rabbitmq::RabbitMq;

use crate::stomp_peer::client::Way;
use crate::stomp_peer::conversations::{self, Administered, LOGIN, PASSCODE, VHOST};

impl Administered for RabbitMq {
    fn port(&self, way: Way) -> u16 {
        match way {
            Way::Tcp => self.ports.tcp,
            Way::Web => self.ports.ws,
        }
    }

    async fn declare(&self, queue: &str, max_length: Option<usize>) {
        let arguments = max_length.map_or_else(|| json!({}), |most| json!({ "x-max-length": most }));
        self.declare_queue(VHOST, queue, arguments).await.unwrap();
    }

    async fn publish(&self, queue: &str, body: &str) {
        Self::publish(self, VHOST, queue, body).await.unwrap();
    }

    async fn until_depth(&self, queue: &str, ready: usize, unacked: usize) {
        Self::until_depth(self, VHOST, queue, ready, unacked).await.unwrap();
    }

    async fn close_connections(&self) {
        Self::close_connections(self, "kicked").await.unwrap();
    }

    async fn restart(&self) {
        Self::restart(self).await.unwrap();
    }

    async fn freeze(&self) {
        Self::freeze(self).unwrap();
    }

    async fn thaw(&self) {
        Self::thaw(self).unwrap();
    }
}

#[tokio::test]
async fn the_client_session_gets_along_with_rabbitmq() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let broker = RabbitMq::start(Path::new(env!("CARGO_TARGET_TMPDIR"))).await.unwrap();
    broker.add_vhost(VHOST).await.unwrap();
    broker.add_user(LOGIN, PASSCODE).await.unwrap();
    broker.allow(LOGIN, VHOST, ".*").await.unwrap();
    conversations::all(&broker).await;
}
