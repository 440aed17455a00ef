//! The way to a broker through an HTTP proxy: `CONNECT` (RFC 9110 §9.3.6).
//!
//! The configured proxy serves all hosts but those that `NO_PROXY` names; without one the environment decides, as it
//! does for requests to Waldur.

use anyhow::{Context as _, bail};
use http::Uri;
use http::header::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Url;

use super::transport::Io;

/// Longest head of an answer that a proxy may give.
const MAX_HEAD: usize = 16 * 1024;

/// The proxy for one server.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// The proxy itself is spoken to by TLS.
    pub(super) tls: bool,
    /// `Proxy-Authorization`; marked as sensitive.
    authorization: Option<HeaderValue>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, tls, authorization: _ } = self;
        f.debug_struct("Proxy")
            .field("host", host)
            .field("port", port)
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// The proxy that serves this server, if any.
    ///
    /// # Errors
    /// One that is not spoken to by HTTP.
    pub(super) fn find(
        configured: Option<&Url>,
        tls: bool,
        host: &str,
        port: u16,
    ) -> anyhow::Result<Option<Self>> {
        let matcher = match configured {
            Some(url) => Matcher::builder().all(url.as_str()).no(no_proxy()).build(),
            None => Matcher::from_env(),
        };
        let scheme = if tls { "https" } else { "http" };
        let server: Uri =
            format!("{scheme}://{host}:{port}/").parse().context("the broker's host cannot be used")?;
        let Some(found) = matcher.intercept(&server) else {
            return Ok(None);
        };
        let scheme = found.uri().scheme_str().unwrap_or("http");
        let tls = match scheme {
            "http" => false,
            "https" => true,
            other => bail!(
                "the broker cannot be reached through a proxy of the scheme `{other}`; use http or https"
            ),
        };
        let host = found.uri().host().context("the proxy has no host")?.trim_matches(['[', ']']).to_owned();
        let port = found.uri().port_u16().unwrap_or(if tls { 443 } else { 80 });
        let authorization = found.basic_auth().cloned().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Ok(Some(Self { host, port, tls, authorization }))
    }

    /// Asks the proxy, which is connected, for the way to a server.
    pub(super) async fn connect(&self, mut stream: Box<dyn Io>, server: &str) -> anyhow::Result<Box<dyn Io>> {
        let mut request = format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n").into_bytes();
        if let Some(value) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await.context("the proxy does not take the request")?;
        stream.flush().await.context("the proxy does not take the request")?;
        let status = status(&mut stream).await?;
        match status {
            200..=299 => Ok(stream),
            407 => bail!("the proxy does not accept its credentials (407)"),
            _ => bail!("the proxy refuses the way to {server} ({status})"),
        }
    }
}

fn no_proxy() -> String {
    let variable = |name| std::env::var(name).ok();
    variable("NO_PROXY").or_else(|| variable("no_proxy")).unwrap_or_default()
}

/// The status of the proxy's answer, whose head is read to its end and not a byte further: what follows is the server's.
async fn status(stream: &mut Box<dyn Io>) -> anyhow::Result<u16> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD {
            bail!("what the proxy answers is no HTTP");
        }
        head.push(stream.read_u8().await.context("the proxy closes the connection")?);
    }
    let line =
        String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    let mut words = line.split(' ');
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = words.next().and_then(|status| status.parse().ok());
    match status {
        Some(status) if is_http => Ok(status),
        _ => bail!("what the proxy answers is no HTTP"),
    }
}
