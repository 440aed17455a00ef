//! Bytes to and from a broker: TCP, TLS or WebSocket, directly or through a proxy.
//!
//! Knows nothing of STOMP but the name of its WebSocket subprotocol.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::Error as WebSocketError;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use url::Url;

use super::proxy::Proxy;
use super::tls;
use crate::waldur::http::Verify;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the broker may take to take in what is sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// Read at once.
const CHUNK: usize = 16 * 1024;
/// Largest WebSocket message; the limits of STOMP frames are smaller.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// STOMP 1.2 over WebSocket, as RabbitMQ calls it.
const SUBPROTOCOL: &str = "v12.stomp";

/// A stream of bytes in both directions.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Where a broker is and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Transport {
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    /// Path of the WebSocket; `None`: STOMP without WebSocket.
    path: Option<String>,
    proxy: Option<Proxy>,
    /// For a proxy that is spoken to by TLS.
    proxy_tls: Option<Arc<ClientConfig>>,
}

/// What a [`Transport`] is made of.
#[derive(Clone, Debug)]
pub struct TransportOptions<'a> {
    /// Name or address.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
    /// How the broker's certificate is verified; `None`: without TLS.
    pub tls: Option<&'a Verify>,
    /// Path of the WebSocket; `None`: STOMP without WebSocket.
    pub path: Option<&'a str>,
    /// `global_proxy`.
    pub proxy: Option<&'a Url>,
}

impl Transport {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// A CA file or proxy that cannot be used.
    pub fn new(options: &TransportOptions<'_>) -> anyhow::Result<Self> {
        let TransportOptions { host, port, tls, path, proxy } = *options;
        let proxy = Proxy::find(proxy, tls.is_some(), host, port)?;
        let proxy_tls = proxy.as_ref().filter(|proxy| proxy.tls);
        Ok(Self {
            host: host.to_owned(),
            port,
            tls: tls.map(tls::config).transpose()?,
            path: path.map(str::to_owned),
            proxy_tls: proxy_tls.map(|_| tls::config(&Verify::System)).transpose()?,
            proxy,
        })
    }

    /// Where it goes, for people.
    pub(super) fn address(&self) -> String {
        let server = self.server();
        match (&self.path, &self.tls) {
            (Some(path), Some(_)) => format!("wss://{server}{path}"),
            (Some(path), None) => format!("ws://{server}{path}"),
            (None, Some(_)) => format!("stomp+ssl://{server}"),
            (None, None) => format!("stomp://{server}"),
        }
    }

    fn server(&self) -> String {
        // An address of version 6 is written in brackets where a port follows.
        if self.host.contains(':') && !self.host.starts_with('[') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// In words for an operator, with the innermost reason.
    pub(super) async fn connect(&self) -> anyhow::Result<Pipe> {
        let connect = tokio::time::timeout(CONNECT_TIMEOUT, self.open());
        connect.await.map_err(|_| anyhow!("no connection within {CONNECT_TIMEOUT:?}"))?
    }

    async fn open(&self) -> anyhow::Result<Pipe> {
        let stream = match &self.proxy {
            None => tcp(&self.host, self.port).await?,
            Some(proxy) => {
                let name = format!("the proxy {}:{}", proxy.host, proxy.port);
                let stream = tcp(&proxy.host, proxy.port).await.with_context(|| name.clone())?;
                let stream = match &self.proxy_tls {
                    Some(config) => {
                        secured(config, &proxy.host, stream).await.with_context(|| name.clone())?
                    }
                    None => stream,
                };
                proxy.connect(stream, &self.server()).await.context(name)?
            }
        };
        let stream = match &self.tls {
            Some(config) => secured(config, &self.host, stream).await?,
            None => stream,
        };
        match &self.path {
            Some(path) => self.web_socket(path, stream).await,
            None => Ok(Pipe::Stream(stream, BytesMut::new())),
        }
    }

    async fn web_socket(&self, path: &str, stream: Box<dyn Io>) -> anyhow::Result<Pipe> {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        let url = format!("{scheme}://{}{path}", self.server());
        let mut request = url.into_client_request().context("the address cannot be used")?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", http::HeaderValue::from_static(SUBPROTOCOL));
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        let (socket, _) = opened.map_err(|error| match error {
            WebSocketError::Http(answer) => anyhow!(
                "the server answers {} where a WebSocket is expected; are `stomp_ws_host`, `stomp_ws_port` and \
                 `stomp_ws_path` right?",
                answer.status().as_u16()
            ),
            error => anyhow!("no WebSocket: {error}"),
        })?;
        Ok(Pipe::Socket(Box::new(socket)))
    }
}

async fn tcp(host: &str, port: u16) -> anyhow::Result<Box<dyn Io>> {
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    // Acknowledgements are small and should not wait for each other.
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

async fn secured(config: &Arc<ClientConfig>, host: &str, stream: Box<dyn Io>) -> anyhow::Result<Box<dyn Io>> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
    let name = name.context("the host is no name that a certificate could be for")?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
    Ok(Box::new(stream.context("no TLS connection")?))
}

/// A connection.
pub(super) enum Pipe {
    /// TCP or TLS, with room to read into.
    Stream(Box<dyn Io>, BytesMut),
    /// WebSocket.
    Socket(Box<WebSocketStream<Box<dyn Io>>>),
}

impl Pipe {
    /// What has arrived; `None` after the end. Nothing is lost when it is cancelled.
    pub(super) async fn receive(&mut self) -> anyhow::Result<Option<Bytes>> {
        match self {
            Self::Stream(stream, buffer) => {
                buffer.reserve(CHUNK);
                let count = stream.read_buf(buffer).await?;
                Ok((count > 0).then(|| buffer.split().freeze()))
            }
            Self::Socket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(Some(text.into())),
                    Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes)),
                    Some(Ok(Message::Close(_))) | None => return Ok(None),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Err(WebSocketError::ConnectionClosed)) => return Ok(None),
                    Some(Err(error)) => return Err(error.into()),
                }
            },
        }
    }

    /// Sends chunks, each of which is a whole frame.
    pub(super) async fn send(&mut self, chunks: Vec<Bytes>) -> anyhow::Result<()> {
        let sent = tokio::time::timeout(SEND_TIMEOUT, self.write(chunks));
        sent.await.map_err(|_| anyhow!("the broker takes nothing in for {SEND_TIMEOUT:?}"))?
    }

    async fn write(&mut self, chunks: Vec<Bytes>) -> anyhow::Result<()> {
        match self {
            Self::Stream(stream, _) => {
                stream.write_all(&chunks.concat()).await?;
                stream.flush().await?;
            }
            Self::Socket(socket) => {
                for chunk in chunks {
                    let text = chunk.try_into().map(Message::Text).context("a frame that is no text")?;
                    socket.feed(text).await?;
                }
                socket.flush().await?;
            }
        }
        Ok(())
    }
}
