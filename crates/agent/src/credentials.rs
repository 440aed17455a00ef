//! Tokens for Waldur and for the cluster, from where the operator keeps them.
//!
//! A token is read when it is needed, kept for a short while, and read again when a server refuses it. Tokens
//! leave this module only as [`SecretString`].

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use planner::outcome::Failure;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{ApiError, Peer};

/// A token read from a file is read again after this time: mounted secrets and service account tokens change
/// under the same name.
const KEPT: Duration = Duration::from_secs(60);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("cannot read the token file `{}`: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no token.
    #[error("the token file `{}` {problem}", path.display())]
    NoToken {
        /// Which file.
        path: PathBuf,
        /// What is in it instead.
        problem: &'static str,
    },
}

/// Where a token comes from.
#[derive(Debug)]
pub enum TokenSource {
    /// Written in the configuration.
    Static(SecretString),
    /// The content of a file.
    File(PathBuf),
}

/// A token source with what it gave last.
#[derive(Debug)]
pub struct Credential {
    source: TokenSource,
    last: Mutex<Option<(Instant, SecretString)>>,
}

impl Credential {
    /// A credential from this source; nothing is read yet.
    #[must_use]
    pub const fn new(source: TokenSource) -> Self {
        Self { source, last: Mutex::new(None) }
    }

    /// The token to send now.
    ///
    /// # Errors
    /// [`CredentialError`] if there is none.
    pub fn token(&self) -> Result<SecretString, CredentialError> {
        let path = match &self.source {
            TokenSource::Static(token) => return Ok(token.clone()),
            TokenSource::File(path) => path,
        };
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, token)) = last.as_ref().filter(|(read, _)| read.elapsed() < KEPT) {
            return Ok(token.clone());
        }
        let token = read_token(path)?;
        *last = Some((Instant::now(), token.clone()));
        Ok(token)
    }

    /// Sends a request with a token; one that is refused is read anew, once, and if it is another by then the
    /// request is sent again.
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
        let token = self.token().map_err(|error| ApiError::unavailable(peer, request, &error.to_string()))?;
        match send(token.clone()).await {
            Err(error) if error.failure == Failure::Unauthorized => match self.after_refusal(&token) {
                Some(token) => send(token).await,
                None => Err(error),
            },
            other => other,
        }
    }

    /// Another token after a server has refused this one; `None` if the source has no other.
    fn after_refusal(&self, refused: &SecretString) -> Option<SecretString> {
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        self.token().ok().filter(|token| token.expose_secret() != refused.expose_secret())
    }
}

fn read_token(path: &Path) -> Result<SecretString, CredentialError> {
    let unreadable = |source| CredentialError::Unreadable { path: path.to_owned(), source };
    let no_token = |problem| CredentialError::NoToken { path: path.to_owned(), problem };
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| no_token("is not text"))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(no_token("is empty"));
    }
    if token.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(no_token("holds more than one word; it must hold the token alone"));
    }
    Ok(SecretString::from(token))
}
