//! A URL that may carry a login, such as a proxy's or a Sentry DSN.

use std::fmt;

use url::Url;

/// A URL whose login and query are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialUrl(Url);

impl CredentialUrl {
    /// Wraps a URL.
    pub fn new(url: Url) -> Self {
        Self(url)
    }

    /// The URL with everything in it.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

/// Scheme, host and port only.
impl fmt::Debug for CredentialUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for CredentialUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
