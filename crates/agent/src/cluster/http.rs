//! How requests to the cluster are sent: authentication, deadline, repetition, errors.
//!
//! Connection, TLS and proxy are kube's. Its own repetition is off (it repeats every verb up to 15 times), and
//! answers are read here, since a proxy or an aggregated API that is down does not answer with a Status object.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, header};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use planner::outcome::Failure;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::connect::ClusterOptions;
use super::connection::Connection;
use super::missing_rule;
use crate::credentials::{Credential, CredentialStatus};
use crate::error::{ApiError, Peer, failure_of_status, retry_after};
use crate::metrics::Metrics;
use crate::retry::retrying;
use crate::wiped;

/// Name under which the agent's fields are managed (Kubernetes: server-side apply).
pub(crate) const FIELD_MANAGER: &str = "waldur-site-agent";

/// Content type of a server-side apply; the API server takes JSON in it.
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json";

/// The cluster's API as a sender of JSON.
#[derive(Clone)]
pub(crate) struct Http {
    connection: Arc<Connection>,
    credential: Arc<Credential>,
    timeout: Duration,
    /// Scheme, host and port, for messages.
    server: String,
    clock: Arc<ServerClock>,
    pub(super) metrics: Metrics,
}

/// What the API server last said about the time (RFC 9110: `Date`), and when it did.
#[derive(Debug, Default)]
struct ServerClock(Mutex<Option<(Instant, Timestamp)>>);

impl ServerClock {
    fn heard(&self, headers: &header::HeaderMap) {
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let time = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
        if let Some(time) = time {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), time));
        }
    }

    fn now(&self) -> Option<Timestamp> {
        let (at, time) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        time.checked_add(SignedDuration::try_from(at.elapsed()).ok()?).ok()
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

struct Call<'a> {
    method: http::Method,
    path: &'a str,
    content_type: &'static str,
    body: Option<&'a Value>,
}

impl Http {
    /// What requests are authorized with.
    pub(crate) fn credential(&self) -> Arc<Credential> {
        Arc::clone(&self.credential)
    }

    pub(super) fn new(
        connection: Arc<Connection>,
        credential: Arc<Credential>,
        options: &ClusterOptions,
    ) -> Self {
        let server = options.api_url.origin().ascii_serialization();
        let (timeout, metrics) = (options.timeout, options.metrics.clone());
        Self { connection, credential, timeout, server, clock: Arc::default(), metrics }
    }

    /// The API server's clock, by what it last said and the time that has gone by since: a jump of this machine's
    /// clock does not move it. `None` where it says nothing.
    pub(crate) fn server_time(&self) -> Option<Timestamp> {
        self.clock.now()
    }

    /// How long the server may take for an answer.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What is known of the token.
    pub(crate) fn token_status(&self) -> CredentialStatus {
        self.credential.describe()
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send(Call { method: http::Method::GET, path, content_type: JSON, body: None }).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.send(Call { method: http::Method::POST, path, content_type: JSON, body: Some(body) }).await
    }

    /// Server-side apply, taking over the fields in `body` from whoever changed them.
    pub(crate) async fn apply(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
        self.send(Call { method: http::Method::PATCH, path: &path, content_type: APPLY, body: Some(body) })
            .await
    }

    /// Changes what `body` names and leaves the rest (Kubernetes: merge patch); null removes a key.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let path = format!("{path}?fieldManager={FIELD_MANAGER}");
        self.send(Call { method: http::Method::PATCH, path: &path, content_type: MERGE, body: Some(body) })
            .await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<Value, ApiError> {
        self.send(Call { method: http::Method::DELETE, path, content_type: JSON, body: Some(options) }).await
    }

    /// The items of a list that are worth keeping, page by page: the rest is dropped at once.
    pub(crate) async fn list_some(
        &self,
        path: &str,
        query: &str,
        keep: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>, ApiError> {
        let mut items = Vec::new();
        self.list_pages(path, query, |page| items.extend(page.into_iter().filter(&keep))).await?;
        Ok(items)
    }

    /// Hands over the items of a list page by page, so that they are never all in memory.
    pub(crate) async fn list_pages(
        &self,
        path: &str,
        query: &str,
        take: impl FnMut(Vec<Value>),
    ) -> Result<(), ApiError> {
        self.list_pages_of(500, path, query, take).await
    }

    /// The same with pages of so many items.
    pub(crate) async fn list_pages_of(
        &self,
        limit: usize,
        path: &str,
        query: &str,
        mut take: impl FnMut(Vec<Value>),
    ) -> Result<(), ApiError> {
        let mut token = String::new();
        loop {
            let page = format!("{path}?limit={limit}{query}{token}");
            let mut answer = self.get(&page).await?;
            match answer.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => take(items),
                // An empty list says `items: []`, or null; something else is no list.
                Some(Value::Null) => {}
                _ => {
                    return Err(ApiError::unavailable(
                        Peer::Cluster,
                        &format!("GET {path}"),
                        "the answer is no list",
                    ));
                }
            }
            match answer.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(next) if !next.is_empty() => {
                    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
                    token = format!("&continue={next}");
                }
                _ => return Ok(()),
            }
        }
    }

    async fn send(&self, call: Call<'_>) -> Result<Value, ApiError> {
        retrying(|| self.attempt(&call)).await
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Value, ApiError> {
        let name = format!("{} {}", call.method, call.path.split('?').next().unwrap_or_default());
        let send = async |token| {
            let begun = Instant::now();
            let result = self.exchange(call, &name, token).await;
            self.metrics.requested(Peer::Cluster, &result, begun.elapsed());
            if matches!(&result, Err(error) if error.failure == Failure::Unauthorized || error.status.is_none())
            {
                self.connection.look_again();
            }
            result
        };
        self.credential.authorizing((Peer::Cluster, &name), send).await
    }

    async fn exchange(&self, call: &Call<'_>, name: &str, token: SecretString) -> Result<Value, ApiError> {
        let request = request(call, &token);
        let request =
            request.map_err(|error| ApiError::unexpected(Peer::Cluster, name, &error.to_string()))?;
        let answer = async {
            let response = self.connection.client().send(request).await?;
            let (parts, body) = response.into_parts();
            let bytes = body.collect_bytes().await?;
            Ok::<_, kube::Error>((parts, bytes))
        };
        let answer = tokio::time::timeout(self.timeout, answer).await;
        let answer =
            answer.map_err(|_| ApiError::too_late(Peer::Cluster, name, &self.server, self.timeout))?;
        let (parts, bytes) =
            answer.map_err(|error| ApiError::unanswered(Peer::Cluster, name, &self.server, &error))?;
        if parts.status.is_success() {
            self.clock.heard(&parts.headers);
            return serde_json::from_slice(&bytes).map_err(|_| not_json(name, &parts.headers));
        }
        let asked = retry_after(&parts.headers);
        Err(refused(name, parts.status.as_u16(), asked, &bytes))
    }
}

fn request(call: &Call<'_>, token: &SecretString) -> Result<Request<Body>, http::Error> {
    let body = call.body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let mut request = Request::builder().method(call.method.clone()).uri(call.path);
    // Without a token it is the client certificate that says who asks.
    if !token.expose_secret().is_empty() {
        let authorization = wiped::authorization("Bearer", token.expose_secret())?;
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request
        .header(header::CONTENT_TYPE, call.content_type)
        .header(header::ACCEPT, JSON)
        .body(Body::from(body))
}

fn not_json(name: &str, headers: &header::HeaderMap) -> ApiError {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let what = if kind.contains("html") {
        "an HTML page instead of JSON; is a proxy in between?"
    } else {
        "broken JSON"
    };
    ApiError::unavailable(Peer::Cluster, name, &format!("answered with {what}"))
}

/// Turns an answer without success into an error. `reason` of the Status tells apart what shares a code.
fn refused(name: &str, code: u16, asked: Option<Duration>, body: &[u8]) -> ApiError {
    let status: Option<Value> = serde_json::from_slice(body).ok();
    let status = status.filter(|status| status.get("kind").and_then(Value::as_str) == Some("Status"));
    let reason =
        status.as_ref().and_then(|status| status.get("reason")).and_then(Value::as_str).unwrap_or_default();
    let failure = match (code, reason) {
        (409, "AlreadyExists") => Failure::AlreadyExists,
        (403, _) if is_terminating(status.as_ref()) => Failure::Unavailable { retry_after: None },
        // Without a Status it is a proxy that speaks, not the API: nothing is known about the object.
        (404, _) if status.is_none() && !body.starts_with(b"404 page not found") => {
            Failure::Unavailable { retry_after: None }
        }
        _ => failure_of_status(code, asked),
    };
    let words =
        status.as_ref().and_then(|status| status.get("message")).and_then(Value::as_str).map(str::to_owned);
    let words = words.map(|words| match missing_rule::of(&words).filter(|_| code == 403) {
        Some(rule) => format!("{words}; {rule}"),
        None => words,
    });
    let words = words.unwrap_or_else(|| match String::from_utf8_lossy(body) {
        text if text.trim_start().starts_with('<') => {
            "an HTML page instead of a Status; is a proxy in between?".to_owned()
        }
        text => text.into_owned(),
    });
    let mut error = ApiError::answered(Peer::Cluster, name, code, failure, &words);
    error.unknown_path = code == 404 && status.is_none();
    error
}

/// True for the refusal to put anything into a namespace that is being deleted.
fn is_terminating(status: Option<&Value>) -> bool {
    let causes = status.and_then(|status| status.pointer("/details/causes")).and_then(Value::as_array);
    let mut causes = causes.into_iter().flatten();
    causes.any(|cause| cause.get("reason").and_then(Value::as_str) == Some("NamespaceTerminating"))
}
