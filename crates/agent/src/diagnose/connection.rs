//! The way to a server, step by step: name, TCP, proxy, TLS, and what its clock says. Reads only; sends no token.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::facts::{CertificateFacts, Connection, TlsFacts};
use crate::ca_file;
use crate::certificates::{self, Judge, Shown};
use crate::waldur::http::Verify;

/// Deadline of each step.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer's headers are read up to here.
const MAX_HEADERS: usize = 64 * 1024;

/// Variables by which HTTP clients are told of a proxy.
const PROXY_VARIABLES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// A stream over which TLS or HTTP can be spoken.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that has been made, to go on with.
pub(crate) type Open = Box<dyn Stream>;

/// The way to a server as it is configured.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) url: Url,
    pub(crate) verify: Verify,
    pub(crate) proxy: Option<Url>,
    /// The proxy connects also where there is no TLS: what is spoken is not HTTP.
    pub(crate) tunnels: bool,
    /// What its certificate is for, where that is not the host's name.
    pub(crate) server_name: Option<String>,
}

/// Goes to a server, and asks it for the time.
pub(crate) async fn look(way: &Way) -> Connection {
    let (mut found, stream) = open(way).await;
    if let Some(stream) = stream {
        let asked = tokio::time::timeout(PATIENCE, clock(&way.url, stream)).await;
        found.skew = asked.ok().flatten();
    }
    found
}

/// Goes to a server; the stream is `None` if a step fails.
pub(crate) async fn open(way: &Way) -> (Connection, Option<Open>) {
    let Way { url, verify, proxy, tunnels, server_name } = way;
    let proxy = proxy.as_ref();
    let first = proxy.unwrap_or(url);
    let environment_proxy =
        proxy.is_none() && PROXY_VARIABLES.iter().any(|name| std::env::var_os(name).is_some());
    let mut found = Connection {
        server: url.origin().ascii_serialization(),
        proxy: proxy.map(|proxy| proxy.origin().ascii_serialization()),
        environment_proxy,
        addresses: resolve(first).await,
        connected: None,
        tls: None,
        verify: verify.clone(),
        skew: None,
    };
    if found.server == "null" {
        // The origin of a web socket or of a broker is opaque to the URL standard.
        found.server = format!("{}://{}", url.scheme(), authority(url));
    }
    let Ok(addresses) = &found.addresses else {
        return (found, None);
    };
    let mut stream = match connect(addresses).await {
        Ok((stream, address, took)) => {
            found.connected = Some(Ok((address, took)));
            stream
        }
        Err(error) => {
            found.connected = Some(Err(error));
            return (found, None);
        }
    };
    let is_tls = matches!(url.scheme(), "https" | "wss" | "ssl");
    if let Some(proxy) = proxy.filter(|_| is_tls || *tunnels)
        && let Err(error) = through(&mut stream, proxy, url).await
    {
        found.tls = Some(Err(error));
        return (found, None);
    }
    if !is_tls {
        return (found, Some(Box::new(stream)));
    }
    match tls(stream, server_name.as_deref().unwrap_or_else(|| host(url)), verify).await {
        Ok((facts, stream)) => {
            found.tls = Some(Ok(facts));
            (found, Some(stream))
        }
        Err(error) => {
            found.tls = Some(Err(error));
            (found, None)
        }
    }
}

/// The host, without the brackets of an IPv6 address.
fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Host and port.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    port(url).map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn port(url: &Url) -> Option<u16> {
    url.port_or_known_default()
}

async fn resolve(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let host = host(url);
    let port = port(url).ok_or_else(|| format!("no port is known for `{}`", url.scheme()))?;
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
    let found = found.map_err(|_| format!("no answer about `{host}` within {PATIENCE:?}"))?;
    let found: Vec<SocketAddr> = found.map_err(|error| format!("`{host}`: {error}"))?.collect();
    if found.is_empty() { Err(format!("`{host}` has no address")) } else { Ok(found) }
}

async fn connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr, Duration), String> {
    let mut failures = Vec::new();
    for address in addresses {
        let begun = Instant::now();
        match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, *address, begun.elapsed())),
            Ok(Err(error)) => failures.push(format!("{address}: {error}")),
            Err(_) => failures.push(format!("{address}: no answer within {PATIENCE:?}")),
        }
    }
    Err(failures.join("; "))
}

/// Has an HTTP proxy connect to the server (RFC 9110 §9.3.6).
async fn through(stream: &mut TcpStream, proxy: &Url, url: &Url) -> Result<(), String> {
    use base64::Engine as _;
    let target = authority(url);
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if !proxy.username().is_empty() {
        let login =
            format!("{}:{}", decoded(proxy.username()), decoded(proxy.password().unwrap_or_default()));
        let login = base64::engine::general_purpose::STANDARD.encode(login);
        request.push_str(&format!("Proxy-Authorization: Basic {login}\r\n"));
    }
    request.push_str("\r\n");
    let asked = tokio::time::timeout(PATIENCE, async {
        stream.write_all(request.as_bytes()).await?;
        headers(stream).await
    });
    let answer = asked.await.map_err(|_| format!("the proxy did not answer within {PATIENCE:?}"))?;
    let answer = answer.map_err(|error| format!("the proxy broke off: {error}"))?;
    match status(&answer) {
        Some(200..=299) => Ok(()),
        Some(407) => {
            Err("the proxy asks for a user and password: write them into the proxy's URL".to_owned())
        }
        Some(code) => Err(format!("the proxy does not connect to {target}: it answers {code}")),
        None => Err("what answers at the proxy's address is no HTTP proxy".to_owned()),
    }
}

fn decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// The head of an answer.
async fn headers(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEADERS {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if !head.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn status(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?.parse().ok()
}

/// How far a server's clock is ahead, by the `Date` of its answer (RFC 9110 §6.6.1).
async fn clock(url: &Url, mut stream: Open) -> Option<SignedDuration> {
    let request = format!(
        "HEAD {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: waldur-site-agent-diagnostics/{}\r\nConnection: close\r\n\r\n",
        url.path(),
        authority(url),
        env!("CARGO_PKG_VERSION")
    );
    let before = Timestamp::now();
    stream.write_all(request.as_bytes()).await.ok()?;
    let head = headers(&mut stream).await.ok()?;
    let middle = before.checked_add(before.duration_until(Timestamp::now()) / 2).ok()?;
    let date = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| value.trim().to_owned())
    })?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(&date).ok()?;
    // The server tells whole seconds, cut off: on average it is half a second later.
    Some(SignedDuration::from_secs(middle.duration_until(date).as_secs()))
}

/// Shakes hands with whatever certificate is presented, and judges it afterwards.
async fn tls(stream: TcpStream, host: &str, verify: &Verify) -> Result<(TlsFacts, Open), String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no name for TLS"))?;
    let recorder = Arc::new(Recorder::default());
    let judge = Arc::clone(&recorder) as Arc<dyn Judge>;
    let config = certificates::config(judge).map_err(|error| format!("{error:#}"))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let shaken = tokio::time::timeout(PATIENCE, connector.connect(name.clone(), stream)).await;
    let shaken = shaken.map_err(|_| format!("the server did not shake hands within {PATIENCE:?}"))?;
    let stream = shaken.map_err(|error| handshake(&error))?;
    let version = stream.get_ref().1.protocol_version().and_then(|version| version.as_str());
    let version = version.unwrap_or("TLS").replace("TLSv1_", "TLSv1.");
    let chain = recorder.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let verified = vouched(&chain, &name, verify);
    let chain = chain.iter().filter_map(certificate).collect();
    Ok((TlsFacts { version, chain, verified }, Box::new(stream)))
}

fn handshake(error: &std::io::Error) -> String {
    let text = error.to_string();
    if text.contains("InvalidContentType") {
        "the server does not speak TLS there".to_owned()
    } else if text.contains("CertificateRequired") || text.contains("HandshakeFailure") {
        format!("the server broke off ({text}); it may ask for a client certificate")
    } else {
        text
    }
}

/// Whether the configured roots vouch for what was presented. Where nothing is verified, the system's are asked.
fn vouched(chain: &[CertificateDer<'static>], name: &ServerName<'_>, verify: &Verify) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    match verify {
        Verify::CaFile(path) => {
            let file = ca_file::read(path).map_err(|error| format!("{error:#}"))?;
            roots.add_parsable_certificates(file.into_iter().map(CertificateDer::from));
        }
        Verify::CaData(pem) => {
            let given = ca_file::parse(pem.as_bytes(), "the CA in the kubeconfig");
            let given = given.map_err(|error| format!("{error:#}"))?;
            roots.add_parsable_certificates(given.into_iter().map(CertificateDer::from));
        }
        Verify::System | Verify::Off => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("this machine has no CA certificates".to_owned());
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), certificates::provider());
    let verifier = verifier.build().map_err(|error| error.to_string())?;
    let (own, others) =
        chain.split_first().ok_or_else(|| "the server presented no certificate".to_owned())?;
    match verifier.verify_server_cert(own, others, name, &[], UnixTime::now()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(problem)) => Err(problem_text(&problem)),
        Err(error) => Err(error.to_string()),
    }
}

fn problem_text(problem: &CertificateError) -> String {
    match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no trusted CA has signed it".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for other names".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for servers".to_owned()
        }
        other => format!("{other}"),
    }
}

fn certificate(der: &CertificateDer<'_>) -> Option<CertificateFacts> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.into_iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => ip(bytes),
        _ => None,
    });
    Some(CertificateFacts {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        names: names.collect(),
        expires: Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?,
    })
}

fn ip(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(|four| std::net::IpAddr::from(four).to_string());
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|sixteen| std::net::IpAddr::from(sixteen).to_string()))
        .ok()
}

/// Takes any certificate and keeps it; nothing secret is sent over such a connection unless it was judged good.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<CertificateDer<'static>>>);

impl Judge for Recorder {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), rustls::Error> {
        let chain = std::iter::once(shown.own).chain(shown.others);
        let chain = chain.map(|certificate| certificate.clone().into_owned());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = chain.collect();
        Ok(())
    }
}
