//! The client session of `crates/stomp` on a real socket, for tests.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures::{SinkExt as _, StreamExt as _};
use stomp::{
    AckMode, AckToken, ClientEvent, ClientSession, ConnectOptions, Escaping, Headers, HeartBeat, Message,
    Passcode, ReceiptId, Subscription,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, http::HeaderValue};

/// Longer than anything takes on a busy machine; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// How the frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    Web,
}

enum Transport {
    Stream(Box<dyn Socket>),
    Web(Box<WebSocketStream<Box<dyn Socket>>>),
}

/// A connection with its session.
pub(crate) struct Client {
    pub(crate) session: ClientSession,
    transport: Transport,
    started: Instant,
    /// Messages that came while a receipt was waited for.
    early: VecDeque<Message>,
}

/// Login, passcode and virtual host, for RabbitMQ and what is like it.
pub(crate) fn credentials(vhost: &str, login: &str, passcode: &str) -> ConnectOptions {
    ConnectOptions {
        login: Some(login.to_owned()),
        passcode: Some(Passcode::new(passcode)),
        escaping: Escaping::EveryFrame,
        heart_beat: HeartBeat::NONE,
        ..ConnectOptions::new(vhost)
    }
}

/// The WebSocket handshake of a STOMP client.
pub(crate) async fn web_socket(
    socket: Box<dyn Socket>,
    host: &str,
    path: &str,
    subprotocol: &'static str,
) -> Result<WebSocketStream<Box<dyn Socket>>, tungstenite::Error> {
    let mut request = format!("ws://{host}{path}").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(subprotocol));
    tokio_tungstenite::client_async(request, socket).await.map(|(socket, _)| socket)
}

impl Client {
    /// Connects the socket; the session has not been opened yet.
    pub(crate) async fn open(way: Way, port: u16, options: ConnectOptions) -> Self {
        let socket: Box<dyn Socket> = Box::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        Self::over(way, socket, &format!("127.0.0.1:{port}"), options).await
    }

    pub(crate) async fn over(way: Way, socket: Box<dyn Socket>, host: &str, options: ConnectOptions) -> Self {
        let transport = match way {
            Way::Tcp => Transport::Stream(socket),
            Way::Web => {
                let socket = web_socket(socket, host, "/rmqws-stomp", "v12.stomp").await.unwrap();
                Transport::Web(Box::new(socket))
            }
        };
        let session = ClientSession::new(options, Duration::ZERO).unwrap();
        Self { session, transport, started: Instant::now(), early: VecDeque::new() }
    }

    /// Connects and logs in.
    pub(crate) async fn connected(way: Way, port: u16, options: ConnectOptions) -> Self {
        let mut client = Self::open(way, port, options).await;
        match client.event().await {
            Some(ClientEvent::Connected(_)) => client,
            other => panic!("not connected: {other:?}"),
        }
    }

    /// What happens next; `None` when the connection ends. Heart-beats are sent and watched meanwhile.
    pub(crate) async fn event(&mut self) -> Option<ClientEvent> {
        let next = tokio::time::timeout(PATIENCE, self.next());
        next.await.expect("something happens in time")
    }

    async fn next(&mut self) -> Option<ClientEvent> {
        loop {
            if let Some(event) = self.session.poll_event().unwrap() {
                return Some(event);
            }
            self.flush().await;
            let due = self.session.poll_timeout().map(|due| self.started + due);
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            let received = tokio::select! {
                received = receive(&mut self.transport) => Some(received),
                () = sleep => None,
            };
            match received {
                None => self.session.handle_timeout(self.started.elapsed()),
                Some(Some(bytes)) => self.session.receive(self.started.elapsed(), &bytes),
                Some(None) => return None,
            }
        }
    }

    /// Sends what was asked for. That the peer is gone shows at the next read.
    pub(crate) async fn flush(&mut self) {
        while let Some(chunk) = self.session.poll_transmit(self.started.elapsed()) {
            let _gone = match &mut self.transport {
                Transport::Stream(stream) => stream.write_all(&chunk).await.is_ok(),
                Transport::Web(socket) => {
                    let text = String::from_utf8(chunk.to_vec()).unwrap();
                    socket.send(tungstenite::Message::text(text)).await.is_ok()
                }
            };
        }
    }

    /// Subscribes. The receipt comes as an event before the first message.
    pub(crate) async fn subscribe(&mut self, destination: &str, ack: AckMode, prefetch: Option<u16>) {
        let receipt = self.session.new_receipt();
        let subscription = Subscription {
            ack,
            prefetch,
            receipt: Some(receipt),
            ..Subscription::new("messages", destination)
        };
        self.session.subscribe(subscription).unwrap();
        self.flush().await;
    }

    /// Waits until the server has done all that was asked before.
    async fn until(&mut self, receipt: &ReceiptId) {
        loop {
            match self.event().await {
                Some(ClientEvent::Receipt(id)) if id == *receipt => return,
                Some(ClientEvent::Receipt(_)) => {}
                Some(ClientEvent::Message(message)) => self.early.push_back(message),
                other => panic!("no receipt but {other:?}"),
            }
        }
    }

    /// The next message; receipts are passed over.
    pub(crate) async fn message(&mut self) -> Message {
        if let Some(message) = self.early.pop_front() {
            return message;
        }
        loop {
            match self.event().await {
                Some(ClientEvent::Message(message)) => return message,
                Some(ClientEvent::Receipt(_)) => {}
                other => panic!("no message but {other:?}"),
            }
        }
    }

    /// The next message's body and whether it was delivered before, and what acknowledges it.
    pub(crate) async fn delivery(&mut self) -> (String, bool, Option<AckToken>) {
        let message = self.message().await;
        let redelivered = message.headers.get("redelivered") == Some("true");
        (String::from_utf8(message.body.to_vec()).unwrap(), redelivered, message.ack)
    }

    /// Acknowledges and waits until that is done.
    pub(crate) async fn ack(&mut self, token: Option<AckToken>) {
        let receipt = self.session.new_receipt();
        self.session.ack(token.expect("a token"), Some(receipt.clone())).unwrap();
        self.until(&receipt).await;
    }

    /// Gives back, without waiting.
    pub(crate) async fn nack(&mut self, token: Option<AckToken>) {
        self.session.nack(token.expect("a token"), None).unwrap();
        self.flush().await;
    }

    /// Publishes and waits until that is done.
    pub(crate) async fn send(&mut self, destination: &str, body: &str) {
        let receipt = self.session.new_receipt();
        let (headers, body) = (Headers::new(), body.to_owned().into());
        self.session.send(destination, headers, body, Some(receipt.clone())).unwrap();
        self.until(&receipt).await;
    }

    /// The ERROR frame that ends the session, in one line, and the end of the connection behind it.
    pub(crate) async fn refusal(&mut self) -> String {
        loop {
            match self.event().await {
                Some(ClientEvent::Error(error)) => {
                    assert!(self.session.is_closed());
                    return error.to_string();
                }
                Some(ClientEvent::Receipt(_)) => {}
                other => panic!("no refusal but {other:?}"),
            }
        }
    }

    /// Ends the session in order. RabbitMQ's web adapter closes without the receipt that it owes.
    pub(crate) async fn disconnect(mut self) {
        self.session.disconnect().unwrap();
        let is_web = matches!(self.transport, Transport::Web(_));
        loop {
            match self.event().await {
                Some(ClientEvent::Disconnected) => return,
                None if is_web => return,
                Some(ClientEvent::Message(_) | ClientEvent::Receipt(_)) => {}
                other => panic!("not disconnected but {other:?}"),
            }
        }
    }
}

/// What arrives next; `None` at the end, whether orderly or not.
async fn receive(transport: &mut Transport) -> Option<Vec<u8>> {
    match transport {
        Transport::Stream(stream) => {
            let mut buffer = vec![0; 16 * 1024];
            let length = stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
            buffer.truncate(length);
            Some(buffer)
        }
        Transport::Web(socket) => match socket.next().await?.ok()? {
            tungstenite::Message::Close(_) => None,
            message => Some(message.into_data().to_vec()),
        },
    }
}
