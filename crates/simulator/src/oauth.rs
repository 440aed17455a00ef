//! An OAuth server beside a simulated server: the token endpoint with refresh tokens and client credentials (RFC 6749),
//! OpenShift's authorization endpoint with challenges, and the document that names them (RFC 8414).
//!
//! What its tokens are good for is the business of who makes them: [`Issue`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use serde_json::{Value, json};

/// Makes an access token that is good for this long.
pub type Issue = Arc<dyn Fn(Duration) -> String + Send + Sync>;

/// What an OAuth server is like.
#[derive(Clone, Debug)]
pub struct OAuthOptions {
    /// How long access tokens are good for, told in whole seconds.
    pub lifetime: Duration,
    /// Whether `expires_in` is told.
    pub tells_lifetime: bool,
    /// Whether a refresh token is good once, and another comes with each access token.
    pub rotates: bool,
    /// Whether a client's secret has to come in a header.
    pub basic_only: bool,
}

impl Default for OAuthOptions {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(3600), tells_lifetime: true, rotates: false, basic_only: false }
    }
}

#[derive(Default)]
struct Known {
    clients: HashMap<String, String>,
    users: HashMap<String, String>,
    refresh: HashSet<String>,
    given: u64,
}

struct Inner {
    options: OAuthOptions,
    issue: Issue,
    known: Mutex<Known>,
    base_url: Mutex<String>,
}

/// A running OAuth server's mind; clones are the same server.
#[derive(Clone)]
pub struct OAuth {
    inner: Arc<Inner>,
}

impl OAuth {
    /// A server that knows nobody yet.
    #[must_use]
    pub fn new(options: OAuthOptions, issue: Issue) -> Self {
        let (known, base_url) = (Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { options, issue, known, base_url }) }
    }

    /// `/oauth/token`, `/oauth/authorize` and the document that names them.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/oauth/token", post(token))
            .route("/oauth/authorize", get(authorize))
            .route(
                "/.well-known/oauth-authorization-server",
                get(async |State(oauth): State<OAuth>| axum::Json(oauth.document())),
            )
            .with_state(self.clone())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is served, once that is known.
    pub fn set_base_url(&self, url: &str) {
        *self.inner.base_url.lock().unwrap_or_else(PoisonError::into_inner) = url.to_owned();
    }

    /// Makes a client known.
    pub fn add_client(&self, id: &str, secret: &str) {
        self.known().clients.insert(id.to_owned(), secret.to_owned());
    }

    /// Makes a user known.
    pub fn add_user(&self, name: &str, password: &str) {
        self.known().users.insert(name.to_owned(), password.to_owned());
    }

    /// Makes a refresh token good.
    pub fn add_refresh_token(&self, token: &str) {
        self.known().refresh.insert(token.to_owned());
    }

    /// How many access tokens it has given.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.known().given
    }

    /// The document of `/.well-known/oauth-authorization-server`.
    #[must_use]
    pub fn document(&self) -> Value {
        let base = self.inner.base_url.lock().unwrap_or_else(PoisonError::into_inner);
        json!({
            "issuer": *base,
            "authorization_endpoint": format!("{base}/oauth/authorize"),
            "token_endpoint": format!("{base}/oauth/token"),
            "response_types_supported": ["code", "token"],
        })
    }

    fn give(&self, refresh: Option<String>) -> Value {
        let access = (self.inner.issue)(self.inner.options.lifetime);
        self.known().given += 1;
        let mut answer = json!({"access_token": access, "token_type": "Bearer"});
        if self.inner.options.tells_lifetime {
            answer["expires_in"] = self.inner.options.lifetime.as_secs().into();
        }
        if let Some(refresh) = refresh {
            answer["refresh_token"] = refresh.into();
        }
        answer
    }

    fn client_is_known(&self, headers: &HeaderMap, form: &HashMap<String, String>) -> bool {
        let pair = match basic(headers) {
            Some(pair) => pair,
            None if self.inner.options.basic_only => return false,
            None => {
                let of = |key: &str| form.get(key).cloned().unwrap_or_default();
                (of("client_id"), of("client_secret"))
            }
        };
        self.known().clients.get(&pair.0) == Some(&pair.1)
    }

    /// A refresh token in place of one that was used; `Err` if that is not good.
    fn refreshed(&self, used: &str) -> Result<Option<String>, ()> {
        let rotates = self.inner.options.rotates;
        let mut known = self.known();
        if !known.refresh.contains(used) {
            return Err(());
        }
        if !rotates {
            return Ok(None);
        }
        known.refresh.remove(used);
        let next = format!("refresh-{}-{used}", known.given + 1).chars().take(60).collect::<String>();
        known.refresh.insert(next.clone());
        Ok(Some(next))
    }
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let text = String::from_utf8(STANDARD.decode(value.strip_prefix("Basic ")?).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn refused(status: StatusCode, code: &str, words: &str) -> Response<Body> {
    json_answer(status, &json!({"error": code, "error_description": words}))
}

async fn token(State(oauth): State<OAuth>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    if !oauth.client_is_known(&headers, &form) {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client", "Invalid client or client credentials");
    }
    match form.get("grant_type").map(String::as_str) {
        Some("client_credentials") => json_answer(StatusCode::OK, &oauth.give(None)),
        Some("refresh_token") => {
            let used = form.get("refresh_token").map(String::as_str).unwrap_or_default();
            match oauth.refreshed(used) {
                Ok(next) => json_answer(StatusCode::OK, &oauth.give(next)),
                // Some servers repeat what they were shown.
                Err(()) => {
                    refused(StatusCode::BAD_REQUEST, "invalid_grant", &format!("{used} is not active"))
                }
            }
        }
        _ => refused(StatusCode::BAD_REQUEST, "unsupported_grant_type", ""),
    }
}

/// OpenShift: a client that may be challenged gets the token of a user with a password in the fragment of a redirect.
async fn authorize(State(oauth): State<OAuth>, headers: HeaderMap, uri: Uri) -> Response<Body> {
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let mut response = Response::new(Body::empty());
    let user = basic(&headers);
    let known = user.is_some_and(|(name, password)| oauth.known().users.get(&name) == Some(&password));
    if !known || !headers.contains_key("x-csrf-token") {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let challenge = HeaderValue::from_static("Basic realm=\"openshift\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return response;
    }
    let of = |key: &str| query.get(key).map(String::as_str);
    let fragment =
        if of("client_id") == Some("openshift-challenging-client") && of("response_type") == Some("token") {
            let given = oauth.give(None);
            let mut fragment = url::form_urlencoded::Serializer::new(String::new());
            fragment.append_pair("access_token", given["access_token"].as_str().unwrap_or_default());
            if let Some(seconds) = given["expires_in"].as_u64() {
                fragment.append_pair("expires_in", &seconds.to_string());
            }
            fragment.append_pair("scope", "user:full").append_pair("token_type", "Bearer").finish()
        } else {
            "error=unauthorized_client".to_owned()
        };
    let base = oauth.inner.base_url.lock().unwrap_or_else(PoisonError::into_inner).clone();
    *response.status_mut() = StatusCode::FOUND;
    if let Ok(location) = HeaderValue::try_from(format!("{base}/oauth/token/implicit#{fragment}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
