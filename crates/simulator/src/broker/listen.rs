//! Accepts connections on the broker's ports, from one start to the next stop.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use anyhow::Context as _;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::transport::Transport;
use super::{BrokerPorts, Shared, connection};
use crate::server::Stream;

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    const fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }
}

/// The tasks of one run.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) ports: BrokerPorts,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// Opens the ports; 0 is any. Those with TLS only where there is a certificate.
    pub(super) async fn start(shared: &Arc<Shared>, wanted: BrokerPorts) -> anyhow::Result<Self> {
        let mut running = Self { ports: wanted, stop: shared.stop.child_token(), tasks: JoinSet::new() };
        running.ports.tcp = running.open(shared, Kind::Tcp, wanted.tcp).await?;
        running.ports.ws = running.open(shared, Kind::Ws, wanted.ws).await?;
        if shared.options.tls.is_some() {
            running.ports.tls = running.open(shared, Kind::Tls, wanted.tls).await?;
            running.ports.wss = running.open(shared, Kind::Wss, wanted.wss).await?;
        }
        Ok(running)
    }

    async fn open(&mut self, shared: &Arc<Shared>, kind: Kind, port: u16) -> anyhow::Result<u16> {
        let port = reserve(shared, port).with_context(|| unusable(port))?;
        let listener =
            bound(port).and_then(|socket| socket.listen(BACKLOG)).with_context(|| unusable(port))?;
        self.tasks.spawn(accept(listener, kind, Arc::clone(shared), self.stop.clone()));
        Ok(port)
    }

    /// Ends all connections and refuses new ones.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Connections that may wait for being accepted.
const BACKLOG: u32 = 1024;

fn unusable(port: u16) -> String {
    format!("port {port} cannot be used by the broker")
}

/// Takes a port for as long as the broker lives: this one, or any for 0.
fn reserve(shared: &Shared, port: u16) -> io::Result<u16> {
    let mut reserved = shared.reserved.lock().unwrap_or_else(PoisonError::into_inner);
    if reserved.iter().any(|(known, _)| *known == port) {
        return Ok(port);
    }
    let socket = bound(port)?;
    let port = socket.local_addr()?.port();
    reserved.push((port, socket));
    Ok(port)
}

/// A socket that shares its port with others of this process that are bound like it.
fn bound(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    Ok(socket)
}

async fn accept(listener: TcpListener, kind: Kind, shared: Arc<Shared>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        // A failed accept concerns a connection that is already gone.
        let Ok((tcp, _)) = accepted else { continue };
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        connections.spawn(async move {
            let greeted = tokio::select! {
                () = stop.cancelled() => return,
                greeted = greet(tcp, kind, &shared) => greeted,
            };
            match greeted {
                Ok(transport) => connection::serve(transport, kind.name(), shared, stop).await,
                Err(error) => tracing::debug!(%error, transport = kind.name(), "handshake failed"),
            }
        });
    }
    while connections.join_next().await.is_some() {}
}

/// TLS and WebSocket handshakes.
async fn greet(tcp: TcpStream, kind: Kind, shared: &Shared) -> anyhow::Result<Transport> {
    // Frames are small; waiting to fill a packet would add up to 40 ms to each.
    let _best_effort = tcp.set_nodelay(true);
    shared.frozen.subscribe().wait_for(|frozen| !frozen).await?;
    let tls: Option<&Arc<ServerConfig>> = shared.options.tls.as_ref().filter(|_| kind.is_encrypted());
    let stream = match tls {
        None => Stream::Plain(tcp),
        Some(tls) => Stream::Tls(Box::new(TlsAcceptor::from(Arc::clone(tls)).accept(tcp).await?)),
    };
    Ok(match kind {
        Kind::Tcp | Kind::Tls => Transport::Stream(stream),
        Kind::Ws | Kind::Wss => Transport::web_socket(stream, &shared.options.path).await?,
    })
}
