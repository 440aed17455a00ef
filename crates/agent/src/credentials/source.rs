//! Where tokens come from.

use std::path::PathBuf;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::schedule::Renewal;
use super::{CredentialError, file, jwt};

/// A token as it came.
pub(super) struct Fetched {
    pub(super) token: SecretString,
    /// What is known of its end: by the server that gave it, else by the token itself.
    pub(super) expires: Option<Timestamp>,
}

impl Fetched {
    /// A token of which nobody says anything but itself.
    pub(super) fn bare(token: SecretString) -> Self {
        let expires = jwt::peek(token.expose_secret()).and_then(|claims| claims.expires);
        Self { token, expires }
    }
}

/// Where a token comes from.
pub enum TokenSource {
    /// Written in the configuration, under this key.
    Static(SecretString),
    /// The content of a file.
    File(PathBuf),
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl TokenSource {
    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Static(_) => "the token in the configuration".to_owned(),
            Self::File(path) => format!("the token file `{}`", path.display()),
        }
    }

    pub(super) const fn renewal(&self) -> Renewal {
        match self {
            Self::Static(_) => Renewal::Never,
            Self::File(_) => Renewal::Reread,
        }
    }

    /// Asks for a token now.
    pub(super) async fn fetch(&self) -> Result<Fetched, CredentialError> {
        match self {
            Self::Static(token) => Ok(Fetched::bare(token.clone())),
            Self::File(path) => Ok(Fetched::bare(file::read(path)?)),
        }
    }
}
