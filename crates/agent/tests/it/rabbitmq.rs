//! The agent with a real RabbitMQ in the place of the simulated broker.
//!
//! What Waldur would make there is made, what it would tell is told; Waldur and the cluster stay simulated.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use agent::settings::Mode;
use serde_json::json;
use simulator::rabbitmq::RabbitMq;
use simulator::waldur::OrderState;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use crate::listening::{Listening, stomp};
use crate::site::{Config, Site, limits, within};

/// A token for Waldur is the passcode at its broker; each of these characters means something in a STOMP header.
const TOKEN: &str = r"to\ken:with\cescapes\n:and\\more";
/// A broker that knows nothing of Waldur has one virtual host.
const PLAIN_VHOST: &str = "/";

struct Rabbit {
    site: Site,
    broker: Arc<RabbitMq>,
    vhost: String,
    queue: String,
    forward: JoinHandle<()>,
}

impl Rabbit {
    /// With virtual host, user and queue as Waldur makes them for the agent of this site.
    async fn of_waldur(arguments: serde_json::Value) -> Self {
        let (site, broker) = (Site::start().await, node().await);
        let agent = site.sim.waldur.user("agent-okd").unwrap();
        site.sim.waldur.set_token(agent, TOKEN);
        let listener = registered(&site).await;
        broker.add_vhost(&listener.vhost).await.unwrap();
        broker.declare_queue(&listener.vhost, &listener.queue, arguments).await.unwrap();
        broker.add_user(&listener.login, TOKEN).await.unwrap();
        broker.allow_reading(&listener.login, &listener.vhost, &listener.queue).await.unwrap();
        Self::new(site, broker, listener.vhost, listener.queue)
    }

    /// With a queue for everything and a user who may do everything.
    async fn plain(login: &str, passcode: &str) -> Self {
        let (site, broker) = (Site::start().await, node().await);
        broker.add_user(login, passcode).await.unwrap();
        broker.allow(login, PLAIN_VHOST, ".*").await.unwrap();
        broker.declare_queue(PLAIN_VHOST, "waldur.events", json!({})).await.unwrap();
        Self::new(site, broker, PLAIN_VHOST.to_owned(), "waldur.events".to_owned())
    }

    fn new(site: Site, broker: RabbitMq, vhost: String, queue: String) -> Self {
        let broker = Arc::new(broker);
        let forward = tokio::spawn(forward(&site, &broker, &vhost, &queue));
        Self { site, broker, vhost, queue, forward }
    }

    /// The configuration for Waldur's queue, over WebSocket.
    fn by_websocket(&self) -> Config {
        let mut config = self.site.with_members();
        config.waldur_token = format!("waldur_api_token: '{TOKEN}'\n");
        let stomp = stomp(self.broker.ports.ws, false);
        config.services = format!("order_processing_backend: okd\nmembership_sync_backend: okd\n{stomp}");
        config
    }

    /// The configuration for the queue of a plain broker, over TCP.
    fn by_tcp(&self, login: &str, passcode: &str) -> Config {
        let mut config = self.site.with_members();
        config.services = format!(
            "order_processing_backend: okd\nmembership_sync_backend: okd\n\
             event_processing: {{stomp_host: 127.0.0.1, stomp_port: {}, stomp_username: {login}, \
             stomp_password: '{passcode}', stomp_destination: /queue/{}, stomp_ssl: false, stomp_heartbeat: 1000}}\n",
            self.broker.ports.tcp, self.queue,
        );
        config
    }

    async fn until_depth(&self, ready: usize, unacked: usize) {
        self.broker.until_depth(&self.vhost, &self.queue, ready, unacked).await.unwrap();
    }

    /// Until somebody listens: it takes away a message that wakes nothing.
    async fn is_listened_to(&self) {
        let ping =
            json!({"object_type": "nothing-known", "offering_uuid": self.site.offering.simple().to_string()});
        self.broker.publish(&self.vhost, &self.queue, &ping.to_string()).await.unwrap();
        self.until_depth(0, 0).await;
    }

    /// An order that only a message can have told the agent of, to its end and that of its message.
    async fn order_comes_through(&self, name: &str) {
        let (order, _) = self.site.order(name, limits());
        self.site.ends_so(order, OrderState::Done, name).await;
        self.until_depth(0, 0).await;
    }

    async fn end(self, agent: Listening) {
        agent.stop().await;
        self.forward.abort();
    }
}

async fn node() -> RabbitMq {
    agent::install_crypto();
    RabbitMq::start(Path::new(env!("CARGO_TARGET_TMPDIR"))).await.unwrap()
}

/// What the agent says at this moment of whether it is ready.
async fn readiness(address: SocketAddr) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(format!("http://{address}/readyz")).send().await.unwrap().text().await.unwrap()
}

/// What Waldur has the broker make when an agent registers. The agent's own registration later finds it there.
async fn registered(site: &Site) -> simulator::waldur::Listener {
    let broker = site.broker();
    let mut config = site.by_events();
    config.waldur_token = format!("waldur_api_token: '{TOKEN}'\n");
    let agent = Listening::start(&config, Mode::EventProcess);
    within("the agent registers", broker.wait_until(|broker| !broker.connections().is_empty())).await;
    agent.stop().await;
    site.sim.waldur.listeners().into_iter().next().unwrap()
}

/// Publishes what Waldur tells of this offering, as soon as it does; what the broker does not take is lost, as it is
/// when Waldur cannot reach it.
fn forward(
    site: &Site,
    broker: &Arc<RabbitMq>,
    vhost: &str,
    queue: &str,
) -> impl Future<Output = ()> + Send + use<> {
    let (mut events, broker) = (site.sim.waldur.events(), Arc::clone(broker));
    let (offering, vhost, queue) = (site.offering, vhost.to_owned(), queue.to_owned());
    async move {
        loop {
            match events.recv().await {
                Ok(event) if event.offering == offering => {
                    let _lost = broker.publish(&vhost, &queue, &event.body.to_string()).await;
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waldurs_queue_over_websocket_survives_what_befalls_the_broker() {
    let rabbit = Rabbit::of_waldur(json!({})).await;
    let agent = Listening::start(&rabbit.by_websocket(), Mode::EventProcess);
    rabbit.is_listened_to().await;
    rabbit.site.is_quiet().await;
    rabbit.order_comes_through("First").await;

    // In the middle of the work: the message is not acknowledged and comes again.
    let (order, _) = rabbit.site.order("Kicked", limits());
    rabbit.broker.close_connections("kicked").await.unwrap();
    rabbit.site.ends(order, OrderState::Done).await;
    rabbit.is_listened_to().await;
    rabbit.order_comes_through("After the kick").await;

    let (order, _) = rabbit.site.order("Restarted", limits());
    rabbit.broker.stop().await.unwrap();
    // Told to nobody; the pass after the reconnect finds it.
    let (missed, _) = rabbit.site.order("While it was down", limits());
    rabbit.broker.resume().await.unwrap();
    rabbit.site.ends(order, OrderState::Done).await;
    rabbit.site.ends(missed, OrderState::Done).await;
    rabbit.is_listened_to().await;
    rabbit.order_comes_through("After the restart").await;
    rabbit.end(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_drops_messages_and_no_work() {
    let rabbit = Rabbit::of_waldur(json!({"x-max-length": 2})).await;
    let orders: Vec<_> =
        (0..5).map(|number| rabbit.site.order(&format!("Shop {number}"), limits()).0).collect();
    rabbit.until_depth(2, 0).await;
    let agent = Listening::start(&rabbit.by_websocket(), Mode::EventProcess);
    for order in orders {
        rabbit.site.ends(order, OrderState::Done).await;
    }
    rabbit.until_depth(0, 0).await;
    rabbit.end(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_broker_over_tcp_may_refuse_and_fall_silent() {
    let rabbit = Rabbit::plain("agent", "not yet known to the agent").await;
    let passcode = r"pass\word:1";
    // Free now, and nobody here asks for this very one.
    let health = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = rabbit.by_tcp("agent", passcode);
    let config = config.with_global(&format!("monitoring: {{health_listen: '{health}'}}\n"));
    // Without the broker it still does what it finds by itself.
    let (order, _) = rabbit.site.order("At the start", limits());
    let agent = rabbit.site.process(&config, "event_process");
    rabbit.site.ends(order, OrderState::Done).await;
    agent.stdout.says("Access refused for user").await;
    assert!(readiness(health).await.contains("Access refused for user"));
    rabbit.broker.add_user("agent", passcode).await.unwrap();
    rabbit.is_listened_to().await;
    rabbit.order_comes_through("Let in").await;

    agent.stdout.says("messages come").await;
    assert_eq!(readiness(health).await, "ok\n");
    rabbit.broker.freeze().unwrap();
    agent.stdout.says("the broker has been silent").await;
    assert!(readiness(health).await.contains("silent"));
    rabbit.broker.thaw().unwrap();
    agent.stdout.says_times("messages come", 2).await;
    assert_eq!(readiness(health).await, "ok\n");
    rabbit.order_comes_through("After the silence").await;

    agent.signal("TERM");
    let ended = agent.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert!(!ended.all().contains(passcode));
    rabbit.forward.abort();
}
