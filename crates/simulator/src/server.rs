//! Serves a router over HTTP/1.1, with or without TLS, through the fault rules and the traffic record.
//!
//! Used by all simulated servers. Knows nothing of what they simulate; what differs per server is in [`ServeOptions`].

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::clock::Clock;
use crate::faults::{Fault, Faults, Gate, Held, Shaper, Verdict, plain_shaper};
use crate::traffic::{self, Traffic};

/// How long open requests may still take after [`Server::shutdown`]; then they are cut.
const GRACE: Duration = Duration::from_millis(200);

const HTML: &str = "<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>";

/// How a router is served.
#[derive(Clone)]
pub struct ServeOptions {
    /// TLS, or plain HTTP if `None`.
    pub tls: Option<Arc<ServerConfig>>,
    /// Rules that every request passes.
    pub faults: Faults,
    /// Where every request is counted.
    pub traffic: Traffic,
    /// The body of injected error statuses.
    pub shaper: Shaper,
    /// Turns a path into the shape that requests are counted by.
    pub shape: fn(&str) -> String,
    /// What the `Date` of answers is read from.
    pub clock: Clock,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            tls: None,
            faults: Faults::default(),
            traffic: Traffic::counting(),
            shaper: plain_shaper,
            shape: traffic::generic_shape,
            clock: Clock::new(),
        }
    }
}

/// A running server; it stops when dropped.
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    /// `http://127.0.0.1:port` or `https://localhost:port`.
    pub url: String,
    /// Rules that every request passes.
    pub faults: Faults,
    /// Counts and record of the requests.
    pub traffic: Traffic,
    stop: CancellationToken,
    accept: JoinHandle<()>,
}

impl Server {
    /// Stops accepting, lets open requests end for a moment, closes everything.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        // The task ends by itself after the grace period; a panic in it has nothing left to harm.
        let _ended = (&mut self.accept).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.accept.abort();
    }
}

/// Serves `router` on `listener` until the returned [`Server`] is dropped or shut down.
///
/// Must be called within a tokio runtime.
#[must_use]
pub fn serve(router: Router, listener: TcpListener, options: ServeOptions) -> Server {
    let addr = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let host =
        if options.tls.is_some() && addr.ip().is_loopback() { "localhost".to_owned() } else { host(addr) };
    let stop = CancellationToken::new();
    let site = Arc::new(Site { router, options: options.clone() });
    let accept = tokio::spawn(accept(listener, Arc::clone(&site), stop.clone()));
    let url = format!("{scheme}://{host}:{}", addr.port());
    Server { addr, url, faults: options.faults, traffic: options.traffic, stop, accept }
}

fn host(addr: SocketAddr) -> String {
    match addr {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

struct Site {
    router: Router,
    options: ServeOptions,
}

async fn accept(listener: TcpListener, site: Arc<Site>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        // A failed accept concerns a connection that is already gone.
        let Ok((tcp, _)) = accepted else { continue };
        connections.spawn(connection(tcp, Arc::clone(&site), stop.clone()));
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _in_time = tokio::time::timeout(GRACE, ended).await;
}

async fn connection(tcp: TcpStream, site: Arc<Site>, stop: CancellationToken) {
    // Answers are small; waiting to fill a packet would add up to 40 ms to each.
    let _best_effort = tcp.set_nodelay(true);
    let stream = match &site.options.tls {
        None => Stream::Plain(tcp),
        Some(config) => match TlsAcceptor::from(Arc::clone(config)).accept(tcp).await {
            Ok(tls) => Stream::Tls(Box::new(tls)),
            Err(error) => {
                tracing::debug!(%error, "TLS handshake failed");
                return;
            }
        },
    };
    let peer = stream.peer_certificate();
    let service = hyper::service::service_fn(|mut request| {
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        answer(Arc::clone(&site), request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new());
    let mut served = http.serve_connection(TokioIo::new(stream), service);
    let result = tokio::select! {
        result = Pin::new(&mut served) => result,
        () = stop.cancelled() => {
            Pin::new(&mut served).graceful_shutdown();
            Pin::new(&mut served).await
        }
    };
    // Only an answer withheld: a body cut short must arrive as far as it goes, which a reset would undo.
    let withheld =
        |error: hyper::Error| std::error::Error::source(&error).is_some_and(|source| source.is::<Reset>());
    if result.is_err_and(withheld) {
        served.into_parts().io.into_inner().reset_on_close();
    }
}

/// The request must end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("connection reset by an injected fault")]
struct Reset;

async fn answer(site: Arc<Site>, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
    let options = &site.options;
    let arrived = Instant::now();
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let mut seen = traffic::Request {
        sequence: 0,
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        status: None,
        user_agent: text(header::USER_AGENT).unwrap_or_default().to_owned(),
        body_bytes: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()).unwrap_or_default(),
    };
    let shape = (options.shape)(&seen.path);
    let Verdict { delay, fault } =
        options.faults.decide(request.method(), request.uri().path(), &seen.user_agent);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let outcome = struck(&site, request, fault).await;
    if let Outcome::Answer(response) = &outcome {
        seen.status = Some(response.status().as_u16());
    }
    options.traffic.add(seen, shape, arrived);
    match outcome {
        Outcome::Answer(mut response) => {
            if let Some(date) = date(&options.clock) {
                response.headers_mut().insert(header::DATE, date);
            }
            Ok(*response)
        }
        Outcome::Reset => Err(Reset),
        Outcome::Stall => std::future::pending().await,
    }
}

/// The time as HTTP writes it (RFC 9110 §5.6.7).
fn date(clock: &Clock) -> Option<HeaderValue> {
    let text = clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).ok()
}

enum Outcome {
    Answer(Box<Response<Body>>),
    Reset,
    Stall,
}

async fn struck(site: &Site, request: Request<Incoming>, fault: Option<(Fault, Arc<Gate>)>) -> Outcome {
    let Some((fault, gate)) = fault else {
        return Outcome::Answer(Box::new(route(site, request).await));
    };
    let response = match fault {
        Fault::Latency { .. } => route(site, request).await,
        Fault::ResetBefore => return Outcome::Reset,
        Fault::Stall => return Outcome::Stall,
        Fault::ResetAfter => {
            drop(route(site, request).await);
            return Outcome::Reset;
        }
        Fault::StallAfter => {
            drop(route(site, request).await);
            return Outcome::Stall;
        }
        Fault::Hold => {
            gate.wait(held(&request)).await;
            route(site, request).await
        }
        Fault::HoldAfter => {
            let held = held(&request);
            let response = route(site, request).await;
            gate.wait(held).await;
            response
        }
        Fault::Status(status) => shaped(site, status, None),
        Fault::TooManyRequests { retry_after } => shaped(site, 429, Some(retry_after)),
        Fault::Html(status) => page(status, "text/html", Bytes::from_static(HTML.as_bytes())),
        Fault::TruncatedBody => truncate(route(site, request).await).await,
    };
    Outcome::Answer(Box::new(response))
}

fn held(request: &Request<Incoming>) -> Held {
    Held { method: request.method().clone(), path: request.uri().path().to_owned() }
}

async fn route(site: &Site, request: Request<Incoming>) -> Response<Body> {
    let infallible: Result<Response<Body>, Infallible> =
        site.router.clone().oneshot(request.map(Body::new)).await;
    match infallible {
        Ok(response) => response,
    }
}

fn shaped(site: &Site, status: u16, retry_after: Option<u64>) -> Response<Body> {
    let (content_type, body) = (site.options.shaper)(status, retry_after);
    let mut response = page(status, content_type, body);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn page(status: u16, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Promises the whole length, sends the first half, then breaks off.
async fn truncate(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if body.size_hint().exact().is_none() {
        // A stream, as that of a watch, has no half; it breaks off at once.
        let cut = futures::stream::once(async { Err::<Bytes, _>(io::Error::other(Reset)) });
        return Response::from_parts(parts, Body::from_stream(cut));
    }
    let whole = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let half = whole.slice(..whole.len() / 2);
    let cut = async {
        // The first half leaves when nothing more is at hand; without this pause it would be dropped unsent.
        tokio::task::yield_now().await;
        Err(io::Error::other(Reset))
    };
    let broken = futures::StreamExt::chain(futures::stream::iter([Ok(half)]), futures::stream::once(cut));
    Response::from_parts(parts, Body::from_stream(broken))
}

/// An accepted connection, with or without TLS.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The certificate that a client showed, in DER; an extension of each of its requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerCertificate(pub Vec<u8>);

impl Stream {
    fn peer_certificate(&self) -> Option<PeerCertificate> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => {
                let shown = tls.get_ref().1.peer_certificates()?.first()?;
                Some(PeerCertificate(shown.to_vec()))
            }
        }
    }

    /// Closing sends RST, as a crashed peer or a dropped firewall entry does, in place of an orderly FIN.
    pub(crate) fn reset_on_close(&self) {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        };
        // If the option cannot be set the peer sees an early end of file, which it must survive as well.
        let _best_effort = tcp.set_zero_linger();
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
