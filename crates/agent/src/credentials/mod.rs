//! Tokens for Waldur and for the cluster, from where the operator keeps them, renewed before they expire.
//!
//! A [`Credential`] holds the last token of its source. It is renewed a while before it expires, and once when a
//! server refuses it; requests that run at the same time share one renewal. A renewal that fails keeps the token
//! while that is valid. Tokens leave this module only as [`SecretString`].

mod configured;
mod exec;
mod file;
pub mod jwt;
pub(crate) mod kubeconfig;
mod oauth;
#[cfg(test)]
mod properties;
mod schedule;
mod source;
mod token_answer;
mod token_http;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use planner::outcome::Failure;
use secrecy::{ExposeSecret, SecretString};

pub use self::configured::{cluster, waldur};
pub use self::source::{KubeconfigSource, OAuthSource, TokenSource};

use self::schedule::Renewal;
use self::source::Fetched;
use crate::client_certificate::ClientCertificate;
use crate::error::{ApiError, Peer};

/// Why there is no token: one line that names the file or URL, what was expected and what to do. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CredentialError(String);

impl CredentialError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What is known of a credential, for diagnostics and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialStatus {
    /// Where tokens come from, in words: ``the token file `/etc/token` ``.
    pub source: String,
    /// Whether there is a token now.
    pub present: bool,
    /// When the token expires, as far as that is known.
    pub expires_at: Option<Timestamp>,
    /// When the token came.
    pub renewed_at: Option<Timestamp>,
    /// For whom the token says that it is (`aud` of a JWT).
    pub audience: Vec<String>,
    /// Why the last renewal failed; `None` after one that worked.
    pub last_error: Option<String>,
    /// Tokens taken so far, without those that were the same as before.
    pub renewals: u64,
    /// Renewals that failed so far.
    pub failures: u64,
}

/// What a source gave last.
#[derive(Default)]
struct Held {
    token: Option<SecretString>,
    /// What is shown beside the token, or in its place.
    certificate: Option<Arc<ClientCertificate>>,
    expires: Option<Timestamp>,
    got: Option<Timestamp>,
    renew_at: Timestamp,
    last_error: Option<CredentialError>,
    /// The last error is that a server does not accept the token.
    refused: bool,
    /// After a failure nothing is tried before this.
    next_try: Timestamp,
    failures_in_a_row: u32,
    renewals: u64,
    failures: u64,
}

/// What follows from what is held.
enum Now {
    Use(SecretString),
    /// Renew; this one can be used meanwhile.
    Renew(Option<SecretString>),
    Fail(CredentialError),
}

impl Held {
    /// The token, unless it is known to have expired.
    fn valid(&self, now: Timestamp) -> Option<&SecretString> {
        self.token.as_ref().filter(|_| self.expires.is_none_or(|expires| now < expires))
    }

    fn now(&self, now: Timestamp) -> Now {
        if let Some(token) = self.token.as_ref().filter(|_| now < self.renew_at) {
            return Now::Use(token.clone());
        }
        match (now < self.next_try, self.valid(now), &self.last_error) {
            (true, Some(token), _) => Now::Use(token.clone()),
            (true, None, Some(error)) => Now::Fail(error.clone()),
            (_, token, _) => Now::Renew(token.cloned()),
        }
    }

    /// True if a server was shown just what is held now.
    fn was(&self, token: &SecretString, certificate: Option<&Arc<ClientCertificate>>) -> bool {
        self.is(token) && self.certificate.as_ref() == certificate
    }

    fn is(&self, token: &SecretString) -> bool {
        self.token.as_ref().is_some_and(|held| held.expose_secret() == token.expose_secret())
    }

    /// A server has not refused this token, as it or another had before.
    fn accepted(&mut self, token: &SecretString) {
        if self.refused && self.is(token) {
            self.refused = false;
            self.last_error = None;
            self.failures_in_a_row = 0;
            self.next_try = Timestamp::default();
        }
    }

    fn failed(&mut self, renewal: Renewal, error: CredentialError, now: Timestamp) {
        self.failures += 1;
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let pause = schedule::pause(renewal, self.failures_in_a_row, fastrand::f64());
        self.next_try = schedule::later(now, pause);
        self.refused = false;
        self.last_error = Some(error);
    }
}

struct Shared {
    source: TokenSource,
    held: Mutex<Held>,
    /// Held by whoever renews.
    renewing: tokio::sync::Mutex<()>,
}

/// A token source with what it gave last; clones are the same.
#[derive(Clone)]
pub struct Credential {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Credential").field(&self.shared.source).finish()
    }
}

impl Credential {
    /// A credential from this source; nothing is read yet.
    #[must_use]
    pub fn new(source: TokenSource) -> Self {
        let (held, renewing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { shared: Arc::new(Shared { source, held, renewing }) }
    }

    /// The token to send now. One that is about to expire is renewed; while it is valid nobody waits for that.
    ///
    /// # Errors
    /// [`CredentialError`] if there is none and none can be had.
    pub async fn token(&self) -> Result<SecretString, CredentialError> {
        let spare = match self.shared.held().now(Timestamp::now()) {
            Now::Use(token) => return Ok(token),
            Now::Fail(error) => return Err(error),
            Now::Renew(spare) => spare,
        };
        match (spare, self.shared.source.renewal()) {
            (Some(spare), Renewal::Fetch { .. }) => {
                let shared = Arc::clone(&self.shared);
                // If somebody else renews already there is nothing to do.
                tokio::spawn(async move {
                    let Ok(_turn) = shared.renewing.try_lock() else { return };
                    if shared.is_due() {
                        shared.renew().await;
                    }
                });
                Ok(spare)
            }
            _ => self.renewed().await,
        }
    }

    /// The client certificate that came with the token, or in its place.
    #[must_use]
    pub fn certificate(&self) -> Option<Arc<ClientCertificate>> {
        self.shared.held().certificate.clone()
    }

    /// What is known of it now. Asks nobody.
    #[must_use]
    pub fn describe(&self) -> CredentialStatus {
        let held = self.shared.held();
        let claims = held.token.as_ref().and_then(|token| jwt::peek(token.expose_secret()));
        CredentialStatus {
            source: self.shared.source.name(),
            present: held.token.is_some(),
            expires_at: held.expires,
            renewed_at: held.got,
            audience: claims.unwrap_or_default().audience,
            last_error: held.last_error.as_ref().map(ToString::to_string),
            renewals: held.renewals,
            failures: held.failures,
        }
    }

    /// Sends a request with a token. If that is refused it is renewed, once for all requests that it was refused to,
    /// and the request is sent once more. A right that is missing (403) is no reason for another token.
    pub(crate) async fn authorizing<T, Fut>(
        &self,
        (peer, request): (Peer, &str),
        send: impl Fn(SecretString) -> Fut,
    ) -> Result<T, ApiError>
    where
        Fut: Future<Output = Result<T, ApiError>>,
    {
        let send = async |token: SecretString| {
            let sent = send(token.clone()).await;
            // A server or proxy may repeat the request in its answer.
            sent.map_err(|error| error.without(token.expose_secret()))
        };
        let token = self.token().await;
        let token = token.map_err(|error| ApiError::unavailable(peer, request, &error.to_string()))?;
        let shown = self.certificate();
        let refused = match send(token.clone()).await {
            Err(error) if error.failure == Failure::Unauthorized => error,
            other => {
                if other.is_ok() {
                    self.shared.held().accepted(&token);
                }
                return other;
            }
        };
        let token = match self.another(&token, shown.as_ref()).await {
            Ok(token) => token,
            Err(why) => return Err(refused.with_hint(&why.to_string())),
        };
        let again = send(token.clone()).await;
        match again {
            Err(error) if error.failure == Failure::Unauthorized => {
                Err(error.with_hint(&self.refused_again(&token).to_string()))
            }
            other => other,
        }
    }

    /// Another token after a server has refused this one, which it was shown with this certificate. Where there is another
    /// certificate, the token may be the same.
    ///
    /// # Errors
    /// Why there is no other.
    pub async fn another(
        &self,
        refused: &SecretString,
        shown: Option<&Arc<ClientCertificate>>,
    ) -> Result<SecretString, CredentialError> {
        let shared = Arc::clone(&self.shared);
        let (refused, shown) = (refused.clone(), shown.cloned());
        // A renewal that was begun is ended, whatever becomes of the request: it may have used up a refresh token.
        let renewal = tokio::spawn(async move {
            let _turn = shared.renewing.lock().await;
            if let Some(decided) = shared.before_renewal(&refused, shown.as_ref()) {
                return decided;
            }
            shared.renew().await;
            shared.after_renewal(&refused, shown.as_ref())
        });
        renewal.await.unwrap_or_else(|_| Err(CredentialError::new("the renewal of the token broke off")))
    }

    /// Notes that a token was refused that had just been renewed, so that its source is left in peace for a while.
    fn refused_again(&self, token: &SecretString) -> CredentialError {
        let mut held = self.shared.held();
        let source = self.shared.source.name();
        let audience = jwt::peek(token.expose_secret()).unwrap_or_default().audience.join("`, `");
        let whose = if audience.is_empty() { String::new() } else { format!(" It is for `{audience}`.") };
        let error = CredentialError::new(format!(
            "the token that was renewed from {source} was refused as well; check that it is one for this server.{whose}"
        ));
        if held.is(token) {
            held.failed(self.shared.source.renewal(), error.clone(), Timestamp::now());
            held.refused = true;
        }
        error
    }

    /// Renews unless somebody else has done so meanwhile.
    async fn renewed(&self) -> Result<SecretString, CredentialError> {
        let shared = Arc::clone(&self.shared);
        let renewal = tokio::spawn(async move {
            let _turn = shared.renewing.lock().await;
            let now = shared.held().now(Timestamp::now());
            match now {
                Now::Use(token) => return Ok(token),
                Now::Fail(error) => return Err(error),
                Now::Renew(_) => {}
            }
            shared.renew().await;
            let held = shared.held();
            match (&held.last_error, held.valid(Timestamp::now()), &held.token) {
                // What a server said last counts, not our clock.
                (None, _, Some(token)) | (Some(_), Some(token), _) => Ok(token.clone()),
                (Some(error), None, _) => Err(error.clone()),
                (None, _, None) => Err(CredentialError::new("there is no token")),
            }
        });
        renewal.await.unwrap_or_else(|_| Err(CredentialError::new("the renewal of the token broke off")))
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be done about a refused token without a renewal: somebody else has renewed it, or it is too soon.
    fn before_renewal(
        &self,
        refused: &SecretString,
        shown: Option<&Arc<ClientCertificate>>,
    ) -> Option<Result<SecretString, CredentialError>> {
        let held = self.held();
        match (&held.token, &held.last_error) {
            (Some(token), _) if !held.was(refused, shown) => Some(Ok(token.clone())),
            (_, Some(error)) if Timestamp::now() < held.next_try => Some(Err(error.clone())),
            _ => None,
        }
    }

    /// The token that a renewal gave in place of a refused one.
    fn after_renewal(
        &self,
        refused: &SecretString,
        shown: Option<&Arc<ClientCertificate>>,
    ) -> Result<SecretString, CredentialError> {
        let mut held = self.held();
        match (&held.token, &held.last_error) {
            (Some(token), _) if !held.was(refused, shown) => Ok(token.clone()),
            (_, Some(error)) => Err(error.clone()),
            _ => {
                let error = self.no_other(held.expires);
                held.last_error = Some(error.clone());
                held.refused = true;
                Err(error)
            }
        }
    }

    fn is_due(&self) -> bool {
        matches!(self.held().now(Timestamp::now()), Now::Renew(_))
    }

    /// Asks the source, and notes what came of it. The caller has the turn.
    async fn renew(&self) {
        let fetched = self.source.fetch().await;
        let now = Timestamp::now();
        match fetched {
            Ok(fetched) => self.take(fetched, now),
            Err(error) => {
                let mut held = self.held();
                let known = held.last_error.as_ref() == Some(&error);
                held.failed(self.source.renewal(), error.clone(), now);
                let valid = held.valid(now).is_some();
                let expires = held.expires.filter(|_| valid).map(|expires| expires.to_string());
                drop(held);
                if known {
                    tracing::debug!(%error, valid, "the token could still not be renewed");
                } else {
                    tracing::warn!(%error, valid, expires, "the token could not be renewed; trying again");
                }
            }
        }
    }

    fn take(&self, fetched: Fetched, now: Timestamp) {
        let mut held = self.held();
        let certificate = fetched.certificate.map(Arc::new);
        let same = held.was(&fetched.token, certificate.as_ref());
        let failed_before = std::mem::take(&mut held.failures_in_a_row) > 0;
        held.renew_at = schedule::renew_at(self.source.renewal(), now, fetched.expires);
        held.next_try = Timestamp::default();
        held.last_error = None;
        held.refused = false;
        if !same {
            held.renewals += 1;
            held.got = Some(now);
        }
        held.expires = fetched.expires;
        held.certificate = certificate;
        let first = held.token.replace(fetched.token).is_none();
        let expires = held.expires.map(|expires| expires.to_string());
        drop(held);
        let source = self.source.name();
        if fetched.expires.is_some_and(|expires| expires <= now) && !same {
            tracing::warn!(
                source,
                expires,
                "the token has expired, by this machine's clock; put a new one there"
            );
        } else if failed_before {
            tracing::info!(source, expires, "the token is renewed again");
        } else if first {
            tracing::debug!(source, expires, "there is a token");
        } else if !same {
            tracing::debug!(source, expires, "the token was renewed");
        }
    }

    /// Said where a source has only the token that was refused.
    fn no_other(&self, expires: Option<Timestamp>) -> CredentialError {
        let source = self.source.name();
        let expired = expires.filter(|expires| *expires <= Timestamp::now());
        let why = expired.map_or_else(String::new, |expires| format!(" (it expired at {expires:.0})"));
        CredentialError::new(match self.source.renewal() {
            Renewal::Never => {
                format!("{source} is refused{why}, and there is no other: write a new one there")
            }
            Renewal::Reread => {
                format!(
                    "{source} holds only the token that is refused{why}: put a new one there, it is read again"
                )
            }
            Renewal::Fetch { .. } => {
                format!("{source} gave only the token that is refused{why}: check who it is given to")
            }
        })
    }
}
