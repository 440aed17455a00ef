//! The broker of events: whether it is there and takes the login. Subscribes to nothing, so no message is taken.

use std::time::{Duration, Instant};

use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, Request, header};
use secrecy::{ExposeSecret, SecretString};
use stomp::{ClientEvent, ClientSession, ConnectOptions, Escaping, HeartBeat, Passcode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use url::Url;

use super::connection::{self, Open, Way};
use super::facts::{BrokerFacts, Login};
use crate::events;
use crate::settings::{BrokerSettings, OfferingSettings, Settings};
use crate::waldur::Waldur;
use crate::waldur::http::Verify;

/// Deadline of the login.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who logs in.
struct Account {
    host: String,
    login: String,
    passcode: SecretString,
}

/// Bytes of STOMP, over whatever carries them.
enum Carrier {
    Plain(Open),
    WebSocket(Box<WebSocketStream<Open>>),
}

/// Goes to the broker that the offering's events come from; `None` if it has none. With `may_register` the agent's queue
/// is registered if that is what gives the login.
pub(crate) async fn look(
    settings: &Settings,
    offering: &OfferingSettings,
    waldur: &Waldur,
    may_register: bool,
) -> Option<BrokerFacts> {
    let verify = Verify::from(&offering.verify_ssl);
    let broker = offering.stomp.broker.as_ref();
    let url = match broker {
        Some(broker) => plain_url(broker)?,
        None if offering.stomp.enabled || offering.stomp.membership_sync => web_socket_url(offering)?,
        None => return None,
    };
    let configured = settings.global_proxy.as_ref().map(|proxy| proxy.expose());
    let proxy = configured.filter(|proxy| events::goes_by(proxy, &url)).cloned();
    let way = Way { url: url.clone(), verify, proxy, tunnels: true, server_name: None };
    let (connection, stream) = connection::open(&way).await;
    let login = match stream {
        None => Login::NotTried("the broker is not reached"),
        Some(_) if is_refused(&connection) => {
            Login::NotTried("nothing secret is sent to a server that is not verified")
        }
        Some(stream) => match account(offering, waldur, may_register).await {
            Ok(account) => log_in(&url, broker.is_none(), stream, account).await,
            Err(why) => why,
        },
    };
    Some(BrokerFacts { url: url.to_string(), connection, login })
}

fn is_refused(connection: &super::facts::Connection) -> bool {
    let unverified =
        connection.tls.as_ref().and_then(|tls| tls.as_ref().ok()).is_some_and(|tls| tls.verified.is_err());
    unverified && connection.verify != crate::waldur::http::Verify::Off
}

fn plain_url(broker: &BrokerSettings) -> Option<Url> {
    let scheme = if broker.ssl { "ssl" } else { "tcp" };
    Url::parse(&format!("{scheme}://{}:{}", broker.host, broker.port)).ok()
}

fn web_socket_url(offering: &OfferingSettings) -> Option<Url> {
    let stomp = &offering.stomp;
    let scheme = if stomp.websocket_use_tls { "wss" } else { "ws" };
    Url::parse(&format!("{scheme}://{}:{}{}", stomp.ws_host, stomp.ws_port, stomp.ws_path)).ok()
}

/// Whom to log in as. Waldur gives logins when queues are registered, which changes something: unless that is allowed,
/// only one that is there already is used.
async fn account(offering: &OfferingSettings, waldur: &Waldur, may_register: bool) -> Result<Account, Login> {
    if let Some(broker) = &offering.stomp.broker {
        let login = broker.username.clone().unwrap_or_default();
        let passcode = broker.password.as_ref().map(|secret| secret.expose_secret()).unwrap_or_default();
        return Ok(Account { host: "/".to_owned(), login, passcode: SecretString::from(passcode) });
    }
    let failed = |error: crate::error::ApiError| Login::Failed(error.to_string());
    // Taken first: the queue's password becomes the token that is sent when it is registered.
    let passcode = waldur.passcode().await.map_err(failed)?;
    let known = match waldur.broker_login().await.map_err(failed)? {
        Some(known) => Some(known),
        None if may_register => {
            let identity = waldur.known_identity(&offering.offering_uuid_text).await.map_err(failed)?;
            let identity =
                identity.ok_or(Login::NotTried("no agent has registered with Waldur yet; start it once"))?;
            let queue = waldur.queue_login(identity).await.map_err(failed)?;
            queue.map(|queue| (queue.vhost, queue.rmq_username))
        }
        None => None,
    };
    let (host, login) = known.ok_or(Login::NotTried(if may_register {
        "Waldur gives no login: it has neither a queue nor a subscription for this agent"
    } else {
        "Waldur gives the login when a queue is registered, which only --write-test does"
    }))?;
    Ok(Account { host, login, passcode })
}

async fn log_in(url: &Url, web_socket: bool, stream: Open, account: Account) -> Login {
    let tried = async {
        let carrier = if web_socket { upgraded(url, stream).await? } else { Carrier::Plain(stream) };
        session(carrier, account).await
    };
    match tokio::time::timeout(PATIENCE, tried).await {
        Ok(Ok(server)) => Login::Accepted(server),
        Ok(Err(why)) => Login::Failed(why),
        Err(_) => Login::Failed(format!("no answer within {PATIENCE:?}")),
    }
}

/// A web socket with STOMP in it (RFC 6455; the protocol names are those of web-STOMP).
async fn upgraded(url: &Url, stream: Open) -> Result<Carrier, String> {
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let request = Request::get(url.as_str())
        .header(header::HOST, host)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, generate_key())
        .header(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("v12.stomp, v11.stomp"))
        .body(())
        .map_err(|error| error.to_string())?;
    let upgraded = tokio_tungstenite::client_async(request, stream).await;
    let (socket, _) = upgraded.map_err(|error| format!("the web socket was not opened: {error}"))?;
    Ok(Carrier::WebSocket(Box::new(socket)))
}

/// Logs in and out again.
async fn session(mut carrier: Carrier, account: Account) -> Result<String, String> {
    let begun = Instant::now();
    let mut options = ConnectOptions::new(account.host);
    options.login = Some(account.login);
    options.passcode = Some(Passcode::new(account.passcode.expose_secret()));
    options.escaping = Escaping::EveryFrame;
    options.heart_beat = HeartBeat::every_ms(0);
    let mut session = ClientSession::new(options, begun.elapsed()).map_err(|error| error.to_string())?;
    let mut server = None;
    loop {
        while let Some(bytes) = session.poll_transmit(begun.elapsed()) {
            carrier.send(&bytes).await?;
        }
        match session.poll_event().map_err(|error| error.to_string())? {
            Some(ClientEvent::Connected(connected)) => {
                server = Some(connected.server.unwrap_or_else(|| "the broker".to_owned()));
                session.disconnect().map_err(|error| error.to_string())?;
                continue;
            }
            Some(ClientEvent::Error(error)) => return Err(error.to_string()),
            Some(ClientEvent::Disconnected) => break,
            Some(_) => continue,
            None => {}
        }
        match carrier.receive().await? {
            Some(bytes) => session.receive(begun.elapsed(), &bytes),
            None => break,
        }
    }
    server.ok_or_else(|| "the broker closed the connection without a word".to_owned())
}

impl Carrier {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = match self {
            Self::Plain(stream) => stream.write_all(bytes).await.map_err(|error| error.to_string()),
            Self::WebSocket(socket) => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                socket.send(Message::text(text)).await.map_err(|error| error.to_string())
            }
        };
        sent.map_err(|error| format!("the broker broke off: {error}"))
    }

    async fn receive(&mut self) -> Result<Option<Vec<u8>>, String> {
        let broken = |error: String| format!("the broker broke off: {error}");
        match self {
            Self::Plain(stream) => {
                let mut bytes = vec![0; 4096];
                let count = stream.read(&mut bytes).await.map_err(|error| broken(error.to_string()))?;
                bytes.truncate(count);
                Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
            }
            Self::WebSocket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(Some(text.as_bytes().to_vec())),
                    Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes.to_vec())),
                    Some(Ok(Message::Close(_))) | None => return Ok(None),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(broken(error.to_string())),
                }
            },
        }
    }
}
