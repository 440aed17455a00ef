//! How requests to Waldur are sent: authentication, deadline, repetition, pages, errors.
//!
//! Nothing here knows an endpoint.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use planner::outcome::Failure;
use reqwest::{Method, Response, header};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::credentials::{Credential, CredentialStatus};
use crate::error::{ApiError, Peer, failure_of_status, retry_after};
use crate::metrics::Metrics;
use crate::retry::retrying;
use crate::{tls, wiped};

/// Page size of lists: the server's cap (contract §2.2).
const PAGE_SIZE: &str = "300";
/// No list is longer than this many pages; a server that says otherwise goes round in circles.
const MAX_PAGES: u32 = 10_000;

/// Pages of one list that are asked for at the same time. A pass reads three lists at once, and the portal is to have
/// its share of the server.
const PAGES_AT_ONCE: usize = 4;

/// How often a list is read that changes while it is read.
const READINGS: usize = 4;

/// Said of a page where JSON was expected.
const HTML_ANSWER: &str = "answered with an HTML page instead of JSON; is a proxy in between?";

/// How certificates of the server are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verify {
    /// By the system's roots.
    System,
    /// By the roots in this PEM file alone.
    CaFile(PathBuf),
    /// By the roots in this text in PEM alone.
    CaData(String),
    /// Not at all.
    Off,
}

/// How to reach one Waldur.
#[derive(Clone, Debug)]
pub struct WaldurOptions {
    /// Root of the server, without `/api/`.
    pub root: Url,
    /// How its certificate is verified.
    pub verify: Verify,
    /// Proxy for all requests; `None` leaves it to the environment (`HTTPS_PROXY`, `NO_PROXY`).
    pub proxy: Option<Url>,
    /// `Token` for a static token, `Bearer` for one from an identity provider (contract §2.1).
    pub scheme: &'static str,
    /// `waldur-site-agent-<mode>/<version>`: the server looks for the first part (contract §8.3).
    pub user_agent: String,
    /// Deadline of one attempt.
    pub timeout: Duration,
    /// Where requests are counted.
    pub metrics: Metrics,
}

/// A connection pool to one Waldur with one credential.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    root: Url,
    scheme: &'static str,
    credential: Arc<Credential>,
    timeout: Duration,
    metrics: Metrics,
}

/// A page of a list.
struct Page<T> {
    items: Vec<T>,
    /// Number of the next one.
    next: Option<u32>,
    /// Length of the whole list.
    total: Option<u64>,
}

/// A request before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'a str, String)>,
    pub(crate) body: Option<Value>,
}

impl<'a> Call<'a> {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), query: Vec::new(), body: None }
    }

    pub(crate) fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, path: path.into(), query: Vec::new(), body: Some(body) }
    }

    pub(crate) fn put(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::PUT, path: path.into(), query: Vec::new(), body: Some(body) }
    }

    pub(crate) fn patch(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::PATCH, path: path.into(), query: Vec::new(), body: Some(body) }
    }

    pub(crate) fn query(mut self, key: &'a str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    pub(crate) fn fields(mut self, fields: &[&str]) -> Self {
        self.query.extend(fields.iter().map(|field| ("field", (*field).to_owned())));
        self
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl Http {
    /// # Errors
    /// A CA file that cannot be read or a proxy that is none.
    pub(crate) fn new(options: &WaldurOptions, credential: Arc<Credential>) -> anyhow::Result<Self> {
        use anyhow::Context as _;
        let mut builder = reqwest::Client::builder()
            .user_agent(&options.user_agent)
            .timeout(options.timeout)
            .connect_timeout(options.timeout.min(Duration::from_secs(10)))
            .redirect(reqwest::redirect::Policy::none());
        builder = tls::verifying(builder, &options.verify, tls::System::Instead)?;
        if let Some(proxy) = &options.proxy {
            builder =
                builder.proxy(reqwest::Proxy::all(proxy.as_str()).context("the proxy URL cannot be used")?);
        }
        let client = builder.build().context("cannot set up the HTTP client for Waldur")?;
        let (root, scheme, timeout) = (options.root.clone(), options.scheme, options.timeout);
        Ok(Self { client, root, scheme, credential, timeout, metrics: options.metrics.clone() })
    }

    /// What is known of the token.
    pub(crate) fn token_status(&self) -> CredentialStatus {
        self.credential.describe()
    }

    /// Sends and reads a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ApiError> {
        let name = call.name();
        retrying(|| async {
            let response = self.attempt(&call).await?;
            read_json(&name, response).await.map(|(_, value)| value)
        })
        .await
    }

    /// Sends and does not read the answer: servers of 2024 answer state actions with an empty body. A page of HTML is
    /// no answer of Waldur's, whatever its status.
    pub(crate) async fn done(&self, call: Call<'_>) -> Result<(), ApiError> {
        let name = call.name();
        retrying(|| async {
            let response = self.attempt(&call).await?;
            if is_html(&response) {
                Err(ApiError::unavailable(Peer::Waldur, &name, HTML_ANSWER))
            } else {
                Ok(())
            }
        })
        .await
    }

    /// Reads all pages of a list. A list that changes meanwhile is read again: what was on a page that had been read
    /// shifts what comes later, and something would be missing.
    pub(crate) async fn list<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Vec<T>, ApiError> {
        for _ in 0..READINGS {
            if let Some(items) = self.pages(&call).await? {
                return Ok(items);
            }
        }
        Err(ApiError::unavailable(Peer::Waldur, &call.name(), "the list kept changing while it was read"))
    }

    /// All pages; `None` if the list has changed between them. The first page says how many there are; the others are
    /// asked for a few at a time and taken in their order, since a long list would otherwise be mostly waiting, and would
    /// change more while it is read. The number of a page after that is taken from the `Link` header, and nothing else of
    /// it: a server behind a proxy may name the wrong host there.
    async fn pages<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<Option<Vec<T>>, ApiError> {
        let Page { items: mut all, mut next, total } = self.page::<T>(call, 1).await?;
        let expected = usize::try_from(total.unwrap_or_default()).unwrap_or_default();
        let pages = if all.is_empty() { 1 } else { expected.div_ceil(all.len()) };
        let pages = u32::try_from(pages).unwrap_or(MAX_PAGES).min(MAX_PAGES);
        if next.is_some() {
            all.reserve_exact((all.len() * pages as usize).min(expected).saturating_sub(all.len()));
        }
        let ahead = stream::iter(2..=pages).map(|number| self.page::<T>(call, number));
        let mut ahead = pin!(ahead.buffered(PAGES_AT_ONCE));
        let (mut page, mut first_ahead) = (1, 2);
        while let Some(number) = next.filter(|next| *next > page && *next <= MAX_PAGES) {
            let read = if number == first_ahead { ahead.next().await } else { None };
            first_ahead += u32::from(read.is_some());
            let read = match read {
                Some(read) => read,
                None => self.page(call, number).await,
            };
            let more = match read {
                Err(error) if error.is_not_found() => return Ok(None),
                other => other?,
            };
            if more.total != total {
                return Ok(None);
            }
            all.extend(more.items);
            (page, next) = (number, more.next);
        }
        Ok(Some(all))
    }

    async fn page<T: DeserializeOwned>(&self, call: &Call<'_>, number: u32) -> Result<Page<T>, ApiError> {
        let name = call.name();
        let paged = call.clone().query("page_size", PAGE_SIZE).query("page", number.to_string());
        retrying(|| async {
            let response = self.attempt(&paged).await?;
            let total = result_count(response.headers());
            read_json::<Vec<T>>(&name, response).await.map(|(next, items)| Page { items, next, total })
        })
        .await
    }

    /// The token that requests are sent with now.
    pub(crate) async fn token(&self) -> Result<SecretString, ApiError> {
        let token = self.credential.token().await;
        token.map_err(|error| ApiError::unavailable(Peer::Waldur, "the token", &error.to_string()))
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Response, ApiError> {
        let name = call.name();
        let send = async |token| {
            let begun = Instant::now();
            let result = self.exchange(call, &name, token).await;
            self.metrics.requested(Peer::Waldur, &result, begun.elapsed());
            result
        };
        self.credential.authorizing((Peer::Waldur, &name), send).await
    }

    async fn exchange(&self, call: &Call<'_>, name: &str, token: SecretString) -> Result<Response, ApiError> {
        let url = self.root.join(&call.path);
        let url = url.map_err(|error| ApiError::unexpected(Peer::Waldur, name, &error.to_string()))?;
        let value = wiped::authorization(self.scheme, token.expose_secret()).map_err(|_| {
            ApiError::unexpected(Peer::Waldur, name, "the token holds characters that no header may hold")
        })?;
        let mut request = self.client.request(call.method.clone(), url).header(header::AUTHORIZATION, value);
        request = request.header(header::ACCEPT, "application/json");
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unanswered(name, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refused(name, response).await)
    }

    fn unanswered(&self, name: &str, error: &reqwest::Error) -> ApiError {
        let server = self.root.origin().ascii_serialization();
        if error.is_timeout() {
            return ApiError::too_late(Peer::Waldur, name, &server, self.timeout);
        }
        ApiError::unanswered(Peer::Waldur, name, &server, error)
    }
}

/// Turns an answer without success into an error, with the server's own words where it has some.
async fn refused(name: &str, response: Response) -> ApiError {
    let status = response.status().as_u16();
    let html = is_html(&response);
    let asked = retry_after(response.headers());
    let location =
        response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = response.text().await.unwrap_or_default();
    let message = match (&location, html) {
        (Some(location), _) if (300..400).contains(&status) => {
            format!("redirected to {location}; redirects are not followed, correct `waldur_api_url`")
        }
        (_, true) => "an HTML page instead of JSON".to_owned(),
        _ => words(&body),
    };
    let failure = match status {
        // Only Waldur itself can say that there is no such thing or no such right; what a proxy says means nothing.
        404 if !html && detail(&body).is_none() => Failure::Unavailable { retry_after: None },
        403 if detail(&body).is_none() => Failure::Unavailable { retry_after: None },
        _ => failure_of_status(status, asked),
    };
    let mut error = ApiError::answered(Peer::Waldur, name, status, failure, &message);
    error.unknown_path = html && status == 404 || status == 405;
    error
}

fn is_html(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.contains("html"))
}

/// What Waldur's own answers about missing things and rights consist of (contract §2.4).
fn detail(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    Some(body.get("detail")?.as_str()?.to_owned())
}

/// The text of an error body: `detail`, or fields with their messages, or a bare list (contract §2.4).
fn words(body: &str) -> String {
    fn flatten(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| flatten(item, into)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    let mut inner = Vec::new();
                    flatten(value, &mut inner);
                    let inner = inner.join(", ");
                    let plain = key == "detail" || key == "non_field_errors";
                    into.push(if plain { inner } else { format!("{key}: {inner}") });
                }
            }
            Value::Null => {}
            other => into.push(other.to_string()),
        }
    }
    match serde_json::from_str::<Value>(body) {
        Ok(value) => {
            let mut parts = Vec::new();
            flatten(&value, &mut parts);
            parts.join("; ")
        }
        Err(_) => body.to_owned(),
    }
}

/// The body as JSON, and the number of the next page.
async fn read_json<T: DeserializeOwned>(
    name: &str,
    response: Response,
) -> Result<(Option<u32>, T), ApiError> {
    let next = next_page(response.headers());
    let html = is_html(&response);
    let bytes = response.bytes().await;
    let bytes = bytes.map_err(|error| {
        ApiError::unavailable(Peer::Waldur, name, &format!("the answer broke off: {error}"))
    })?;
    // Keeping the path of what is read takes longer than reading it, and is needed only to say what is wrong.
    if let Ok(value) = serde_json::from_slice(&bytes) {
        return Ok((next, value));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
    serde_path_to_error::deserialize(&mut deserializer).map(|value| (next, value)).map_err(|error| {
        let inner = error.inner();
        if html || inner.is_eof() || inner.is_syntax() {
            let message = if html { HTML_ANSWER } else { "answered with broken JSON" };
            return ApiError::unavailable(Peer::Waldur, name, message);
        }
        let path = error.path().to_string();
        ApiError::unexpected(Peer::Waldur, name, &format!("unexpected answer at `{path}`: {}", error.inner()))
    })
}

/// How long the whole list is (contract §2.2).
fn result_count(headers: &header::HeaderMap) -> Option<u64> {
    headers.get("x-result-count")?.to_str().ok()?.trim().parse().ok()
}

/// The `page` of `Link: <…>; rel="next"`.
fn next_page(headers: &header::HeaderMap) -> Option<u32> {
    let link = headers.get(header::LINK)?.to_str().ok()?;
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let url = next.split_once('<')?.1.split_once('>')?.0;
    let query = url.split_once('?')?.1;
    let (_, page) = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "page")?;
    page.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_number_of_a_next_link_is_used() {
        let mut headers = header::HeaderMap::new();
        let link = r#"<http://other.example/?page=1>; rel="first", <http://other.example/api/x/?page=3&state=OK>; rel="next""#;
        headers.insert(header::LINK, link.parse().unwrap());
        assert_eq!(next_page(&headers), Some(3));
        headers.insert(header::LINK, r#"<http://w/?page=1>; rel="first""#.parse().unwrap());
        assert_eq!(next_page(&headers), None);
    }

    #[test]
    fn every_form_of_an_error_body_becomes_words() {
        for (body, expected) in [
            (r#"{"detail":"Invalid token."}"#, "Invalid token."),
            (r#"{"limits":["Invalid types: gpu"]}"#, "limits: Invalid types: gpu"),
            (
                r#"["Pending order for resource already exists."]"#,
                "Pending order for resource already exists.",
            ),
            (r#"{"non_field_errors":["no"],"a":{"b":["c"]}}"#, "a: b: c; no"),
            ("plain", "plain"),
        ] {
            assert_eq!(words(body), expected);
        }
    }
}
