//! One of the two APIs as somebody else than the agent sees it: the customer's Waldur, the administrator's cluster.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// Deadline of one request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Deadline of one that waits for something to happen.
const FOR_EVER: Duration = Duration::from_secs(86_400);

/// Rows on a page of Waldur's lists.
const PAGE: usize = 300;

/// By which faults tell these clients from the agent.
pub(crate) const USER_AGENT: &str = "xtask";

/// An API with somebody's token.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: Client,
    root: String,
    authorization: String,
}

impl Api {
    /// Waldur, or a server without authentication if the token is empty.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub(crate) fn waldur(root: &str, token: &str) -> Result<Self> {
        Self::new(builder(), root, format!("Token {token}"))
    }

    /// A cluster whose certificate is signed by the one in a PEM file.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn cluster(root: &str, token: &str, ca_file: &Path) -> Result<Self> {
        let name = ca_file.display();
        let pem = fs::read(ca_file).with_context(|| format!("cannot read `{name}`"))?;
        let roots = reqwest::Certificate::from_pem_bundle(&pem);
        let roots = roots.with_context(|| format!("`{name}` holds no certificate"))?;
        Self::new(builder().tls_certs_only(roots), root, format!("Bearer {token}"))
    }

    fn new(builder: ClientBuilder, root: &str, authorization: String) -> Result<Self> {
        let http = builder.build().context("cannot set up an HTTP client")?;
        Ok(Self { http, root: root.to_owned(), authorization })
    }

    /// # Errors
    /// No answer, or one without success or with a body that is no JSON.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.send(Method::GET, path, None).await?;
        read(status, &body).with_context(|| format!("GET {}{path}", self.root))
    }

    /// `None` if there is no such object.
    ///
    /// # Errors
    /// As [`Api::get`], except for 404.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Value>> {
        let (status, body) = self.send(Method::GET, path, None).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        read(status, &body).map(Some).with_context(|| format!("GET {}{path}", self.root))
    }

    /// All rows of one of Waldur's lists; its path ends with `?` or `&`. A page behind the last one is not found, which
    /// is how a list of whole pages ends.
    ///
    /// # Errors
    /// As [`Api::get`], or it is no list.
    pub(crate) async fn rows(&self, list: &str) -> Result<Vec<Value>> {
        let mut rows = Vec::new();
        for page in 1.. {
            let path = format!("{list}page_size={PAGE}&page={page}");
            let found = if page == 1 { Some(self.get(&path).await?) } else { self.find(&path).await? };
            let Some(found) = found else { break };
            let Value::Array(found) = found else { bail!("{list} is no list") };
            let is_last = found.len() < PAGE;
            rows.extend(found);
            if is_last {
                break;
            }
        }
        Ok(rows)
    }

    /// Null if the answer is empty, as Waldur's often are.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.send(Method::POST, path, Some(body)).await?;
        read(status, &answer).with_context(|| format!("POST {}{path}", self.root))
    }

    /// Merges into an object (RFC 7396), as an administrator's `kubectl patch --type=merge` does.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        let request = self.request(Method::PATCH, path).body(patch.to_string());
        let (status, answer) = answer(request.header("content-type", "application/merge-patch+json")).await?;
        read(status, &answer).with_context(|| format!("PATCH {}{path}", self.root))
    }

    /// The status and the answer to a request that may well be refused; null if the answer is empty.
    ///
    /// # Errors
    /// No answer, or one that is no JSON.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let (status, answer) = self.send(Method::POST, path, Some(body)).await?;
        let value = if answer.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&answer) };
        Ok((status, value.with_context(|| format!("POST {}{path}: the answer is no JSON", self.root))?))
    }

    /// An answer that may take until something happens; there is no deadline but the caller's.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn wait(&self, path: &str) -> Result<Value> {
        let request = self.request(Method::GET, path).timeout(FOR_EVER);
        let (status, body) = answer(request).await?;
        read(status, &body).with_context(|| format!("GET {}{path}", self.root))
    }

    /// # Errors
    /// As [`Api::get`].
    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        let (status, answer) = self.send(Method::DELETE, path, None).await?;
        read(status, &answer).with_context(|| format!("DELETE {}{path}", self.root))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Vec<u8>)> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.root));
        request.header("authorization", &self.authorization).header("accept", "application/json")
    }
}

async fn answer(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>)> {
    let response = request.send().await.context("no answer")?;
    let status = response.status();
    let body = response.bytes().await.context("the answer broke off")?;
    Ok((status, body.to_vec()))
}

/// Never through a proxy: all servers are on this machine.
fn builder() -> ClientBuilder {
    // An error says that it was done before.
    let _done = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().user_agent(USER_AGENT).timeout(TIMEOUT)
}

fn read(status: StatusCode, body: &[u8]) -> Result<Value> {
    if !status.is_success() {
        bail!("{status}: {}", String::from_utf8_lossy(body));
    }
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).context("the answer is no JSON")
}

/// A text in a JSON document, empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
