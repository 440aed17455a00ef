//! How the bytes of a session travel: over a stream, or as WebSocket messages.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::server::Stream;

/// What RabbitMQ's web adapter speaks.
const SUBPROTOCOLS: [&str; 2] = ["v12.stomp", "v11.stomp"];

/// How long the end of a connection may take.
const FAREWELL: Duration = Duration::from_millis(200);

pub(super) enum Transport {
    Stream(Stream),
    WebSocket(Box<WebSocketStream<Stream>>),
}

impl Transport {
    /// Does the WebSocket handshake. Another path is not found; a client that offers only subprotocols that are
    /// not STOMP's is refused, one that offers none is let in.
    pub(super) async fn web_socket(stream: Stream, path: &str) -> Result<Self, Error> {
        #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
        let answer = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            if request.uri().path() != path {
                return Err(refusal(StatusCode::NOT_FOUND));
            }
            let offered = request.headers().get_all("sec-websocket-protocol").iter();
            let offered: Vec<&str> = offered
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(str::trim)
                .collect();
            match SUBPROTOCOLS.into_iter().find(|known| offered.contains(known)) {
                Some(known) => {
                    response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(known));
                }
                None if offered.is_empty() => {}
                None => return Err(refusal(StatusCode::BAD_REQUEST)),
            }
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, answer).await?;
        Ok(Self::WebSocket(Box::new(socket)))
    }

    /// Adds what arrives next; `false` at the end. Loses nothing when cancelled.
    pub(super) async fn receive(&mut self, into: &mut BytesMut) -> io::Result<bool> {
        match self {
            Self::Stream(stream) => Ok(stream.read_buf(into).await? > 0),
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => into.extend_from_slice(text.as_bytes()),
                    Some(Ok(Message::Binary(bytes))) => into.extend_from_slice(&bytes),
                    // tungstenite answers these by itself.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(_))) | None => return Ok(false),
                    Some(Err(error)) => return Err(io::Error::other(error)),
                }
                return Ok(true);
            },
        }
    }

    /// Sends one frame or heart-beat; as text where it is text, like RabbitMQ.
    pub(super) async fn send(&mut self, chunk: Bytes) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                stream.write_all(&chunk).await?;
                stream.flush().await
            }
            Self::WebSocket(socket) => {
                let message = match std::str::from_utf8(&chunk) {
                    Ok(text) => Message::text(text),
                    Err(_) => Message::binary(chunk),
                };
                socket.send(message).await.map_err(io::Error::other)
            }
        }
    }

    /// Closes in order.
    pub(super) async fn close(mut self) {
        let farewell = async {
            match &mut self {
                Self::Stream(stream) => stream.shutdown().await,
                Self::WebSocket(socket) => socket.close().await.map_err(io::Error::other),
            }
        };
        // A peer that is gone or does not read needs none.
        let _best_effort = tokio::time::timeout(FAREWELL, farewell).await;
    }

    /// Closes as a crash or a firewall does.
    pub(super) fn reset(self) {
        match self {
            Self::Stream(stream) => stream.reset_on_close(),
            Self::WebSocket(socket) => socket.get_ref().reset_on_close(),
        }
    }
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let mut refusal = ErrorResponse::new(None);
    *refusal.status_mut() = status;
    refusal
}
