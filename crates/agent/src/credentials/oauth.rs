//! Tokens from an OAuth server: by a refresh token, by client credentials, or by a user's password through
//! OpenShift's challenge flow.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::source::Fetched;
use super::token_answer::Answer;
use super::token_http::{EndpointOptions, TokenError, TokenHttp};
use super::{CredentialError, jwt, schedule};
use crate::cluster::RefreshTokenSecret;

/// How long a token is taken for valid that does not say (contract §2.1).
pub(super) const UNKNOWN: Duration = Duration::from_secs(300);

/// Where an OAuth server tells its endpoints, below the root of the API server (RFC 8414; OpenShift serves it there).
const WELL_KNOWN: &str = ".well-known/oauth-authorization-server";

/// What is shown to get a token.
pub(crate) enum Grant {
    /// A refresh token; a server may give another with each token.
    Refresh {
        configured: SecretString,
        /// Where the last one is kept beyond the end of this process.
        store: Option<Box<RefreshTokenSecret>>,
    },
    /// The client itself.
    Client,
    /// A user's name and password, to OpenShift's authorization endpoint.
    Challenge { user: String, password: SecretString },
}

/// Where the endpoint is.
pub(crate) enum Endpoint {
    /// As configured.
    At(Url),
    /// To be asked of the API server with this root.
    Discover(Url),
}

/// An OAuth client.
pub(crate) struct OAuth {
    pub(crate) grant: Grant,
    pub(crate) endpoint: Endpoint,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<SecretString>,
    pub(crate) scope: Option<String>,
    http: TokenHttp,
    /// The refresh token that came last.
    rotated: Mutex<Option<SecretString>>,
}

impl OAuth {
    /// # Errors
    /// A CA file or a proxy that cannot be used.
    pub(crate) fn new(
        grant: Grant,
        endpoint: Endpoint,
        (client_id, client_secret): (String, Option<SecretString>),
        scope: Option<String>,
        options: &EndpointOptions,
    ) -> anyhow::Result<Self> {
        let http = TokenHttp::new(options)?;
        Ok(Self { grant, endpoint, client_id, client_secret, scope, http, rotated: Mutex::default() })
    }

    pub(super) fn name(&self) -> String {
        let how = match &self.grant {
            Grant::Refresh { .. } => "refresh token",
            Grant::Client => "client credentials",
            Grant::Challenge { .. } => "user and password",
        };
        let at = match &self.endpoint {
            Endpoint::At(url) | Endpoint::Discover(url) => url.origin().ascii_serialization(),
        };
        format!("OAuth ({how}) at {at}")
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, CredentialError> {
        let answer = match &self.grant {
            Grant::Refresh { configured, store } => self.refresh(configured, store.as_deref()).await?,
            Grant::Client => {
                let answer = self.token(&[("grant_type", "client_credentials")]).await;
                answer.map_err(|error| error.without(&self.secrets(None)))?
            }
            Grant::Challenge { user, password } => {
                let answer = self.challenge(user, password).await;
                answer.map_err(|error| error.without(&self.secrets(Some(password))))?
            }
        };
        let by_server = answer.lifetime.map(|lifetime| schedule::later(Timestamp::now(), lifetime));
        let by_token = jwt::peek(answer.access.expose_secret()).and_then(|claims| claims.expires);
        let expires = by_server.into_iter().chain(by_token).min();
        Ok(Fetched { token: answer.access, certificate: None, expires })
    }

    /// Tries the refresh token that came last, the one that another process has stored, and the one of the
    /// configuration, until one is accepted.
    async fn refresh(
        &self,
        configured: &SecretString,
        store: Option<&RefreshTokenSecret>,
    ) -> Result<Answer, CredentialError> {
        let in_memory = self.rotated.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut refused: Vec<SecretString> = Vec::new();
        let mut why = None;
        for place in [Place::Memory, Place::Store, Place::Configuration] {
            let token = match (place, store) {
                (Place::Memory, _) => in_memory.clone(),
                (Place::Store, Some(store)) => stored(store).await,
                (Place::Store, None) => None,
                (Place::Configuration, _) => Some(configured.clone()),
            };
            let Some(token) = token else { continue };
            if refused.iter().any(|other| other.expose_secret() == token.expose_secret()) {
                continue;
            }
            let fields = [("grant_type", "refresh_token"), ("refresh_token", token.expose_secret())];
            match self.token(&fields).await {
                Ok(answer) => {
                    self.keep(&token, &answer, store).await;
                    return Ok(answer);
                }
                Err(error) => {
                    let spent = error.code == "invalid_grant";
                    why = Some(error.without(&self.secrets(Some(&token))));
                    refused.push(token);
                    if !spent {
                        break;
                    }
                }
            }
        }
        Err(why.unwrap_or_else(|| CredentialError::new("there is no refresh token")))
    }

    /// Remembers the refresh token that goes on: the new one, or the one that was accepted.
    async fn keep(&self, used: &SecretString, answer: &Answer, store: Option<&RefreshTokenSecret>) {
        let next = answer.refresh.as_ref().unwrap_or(used).clone();
        *self.rotated.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        let (Some(rotated), Some(store)) = (&answer.refresh, store) else { return };
        if let Err(error) = store.write(rotated).await {
            tracing::warn!(
                error = %error.without(rotated.expose_secret()),
                secret = store.name(),
                "the new refresh token could not be stored: after a restart the agent needs the one in the configuration"
            );
        }
    }

    async fn token(&self, fields: &[(&str, &str)]) -> Result<Answer, TokenError> {
        let endpoint = self.endpoint("token_endpoint").await?;
        let mut fields = fields.to_vec();
        fields.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        self.http.token(&endpoint, (&self.client_id, self.client_secret.as_ref()), &fields).await
    }

    async fn challenge(&self, user: &str, password: &SecretString) -> Result<Answer, TokenError> {
        let mut url = self.endpoint("authorization_endpoint").await?;
        url.query_pairs_mut()
            .append_pair("client_id", &self.client_id)
            .append_pair("response_type", "token")
            .extend_pairs(self.scope.as_deref().map(|scope| ("scope", scope)));
        self.http.challenge(&url, (user, password)).await
    }

    /// Where to ask; discovered anew each time, which is once per token.
    async fn endpoint(&self, kind: &str) -> Result<Url, TokenError> {
        let root = match &self.endpoint {
            Endpoint::At(url) => return Ok(url.clone()),
            Endpoint::Discover(root) => root,
        };
        let wrong = |why: &str| TokenError {
            code: String::new(),
            text: format!("{root}{WELL_KNOWN} {why}; give `token_endpoint`"),
        };
        let url = root.join(WELL_KNOWN).map_err(|_| wrong("is no URL"))?;
        let document = self.http.document(&url).await?;
        let endpoint = document.get(kind).and_then(serde_json::Value::as_str);
        let endpoint = endpoint.and_then(|text| Url::parse(text).ok());
        endpoint
            .filter(|url| url.scheme() == "https" || url.scheme() == "http")
            .ok_or_else(|| wrong(&format!("names no `{kind}`")))
    }

    fn secrets<'a>(&'a self, more: Option<&'a SecretString>) -> Vec<&'a SecretString> {
        self.client_secret.iter().chain(more).collect()
    }
}

#[derive(Clone, Copy)]
enum Place {
    Memory,
    Store,
    Configuration,
}

async fn stored(store: &RefreshTokenSecret) -> Option<SecretString> {
    match store.read().await {
        Ok(token) => token,
        Err(error) => {
            tracing::warn!(%error, secret = store.name(), "the stored refresh token could not be read");
            None
        }
    }
}
