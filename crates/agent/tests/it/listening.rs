//! A site whose agent listens to the event broker.

use std::time::Duration;

use agent::engine::EngineOptions;
use agent::settings::Mode;
use simulator::broker::Broker;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::process::Process;
use crate::site::{Config, Site, within};

/// Servers that nobody asks for so long are left alone.
const A_WHILE: Duration = Duration::from_millis(300);

/// An agent that runs for ever; all that wakes it within a test is events and the cluster.
pub(crate) struct Listening {
    stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Listening {
    pub(crate) fn start(config: &Config, mode: Mode) -> Self {
        let engine = config.engine_for(mode, EngineOptions::default());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { engine.run(&stopped).await });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        within("the agent stops", self.task).await.unwrap();
    }
}

/// The lines that make the agent listen at a port of the broker.
pub(crate) fn stomp(port: u16, tls: bool) -> String {
    format!(
        "stomp_enabled: true\nwebsocket_use_tls: {tls}\nstomp_ws_host: localhost\nstomp_ws_port: {port}\n"
    )
}

impl Site {
    /// The program in this mode, as a process of its own.
    pub(crate) fn process(&self, config: &Config, mode: &str) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
        Process::start(command.env_clear().args(["-m", mode, "-c"]).arg(self.config_file(&config.text())))
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.sim.broker
    }

    /// An agent that processes orders and keeps members by events, over a plain WebSocket.
    pub(crate) fn by_events(&self) -> Config {
        self.by_events_at(self.broker().ports().ws, false)
    }

    pub(crate) fn by_events_at(&self, port: u16, tls: bool) -> Config {
        let mut config = self.with_members();
        config.services =
            format!("order_processing_backend: okd\nmembership_sync_backend: okd\n{}", stomp(port, tls));
        config
    }

    /// Starts it and waits until the first pass is over and nothing is left to do.
    pub(crate) async fn listening(&self, config: &Config) -> Listening {
        let agent = Listening::start(config, Mode::EventProcess);
        self.settles().await;
        agent
    }

    /// Waits until the agent listens, and the servers have not been asked anything for a moment.
    pub(crate) async fn settles(&self) {
        self.subscribed(1).await;
        self.is_quiet().await;
    }

    /// Waits until so many connections have a subscription.
    pub(crate) async fn subscribed(&self, connections: usize) {
        let all = |broker: &Broker| {
            let listening = broker.connections();
            listening.iter().filter(|connection| !connection.destinations.is_empty()).count() == connections
        };
        within("the agent listens", self.broker().wait_until(all)).await;
    }

    /// Waits until nobody has asked a server for anything for a while.
    pub(crate) async fn is_quiet(&self) {
        let asked = async || {
            let (waldur, okd) = (&self.sim.waldur_server.traffic, &self.sim.okd_server.traffic);
            let before = (waldur.total(), okd.total());
            tokio::select! {
                () = waldur.wait_for(|traffic| traffic.total() > before.0) => {}
                () = okd.wait_for(|traffic| traffic.total() > before.1) => {}
            }
        };
        let quiet = async { while tokio::time::timeout(A_WHILE, asked()).await.is_ok() {} };
        within("the servers are left alone", quiet).await;
    }

    /// Waits until every message has been acknowledged.
    pub(crate) async fn all_acknowledged(&self) {
        let none = |broker: &Broker| {
            let total = broker.total();
            total.ready == 0 && total.unacked == 0
        };
        within("all messages are acknowledged", self.broker().wait_until(none)).await;
    }

    /// Waits for something on the cluster or in Waldur.
    pub(crate) async fn comes(&self, what: &str, holds: impl Fn() -> bool) {
        let comes = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within(what, comes).await;
    }

    /// Publishes a message to the agent's queue at Waldur's broker.
    pub(crate) fn publish(&self, body: impl Into<Vec<u8>>) {
        let listener = self.sim.waldur.listeners().remove(0);
        let destination = format!("/amq/queue/{}", listener.queue);
        assert_eq!(self.broker().publish(&listener.vhost, &destination, body.into()), 1);
    }
}
