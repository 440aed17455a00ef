//! Where tokens come from.

use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::kubeconfig::{self, User};
use super::oauth::{self, OAuth};
use super::schedule::Renewal;
use super::{CredentialError, exec, file, jwt};
use crate::client_certificate::{self, ClientCertificate};
use crate::settings::PemSource;

/// A token as it came.
pub(super) struct Fetched {
    pub(super) token: SecretString,
    /// What is shown beside it, or in its place: then the token is empty.
    pub(super) certificate: Option<ClientCertificate>,
    /// What is known of its end: by the server that gave it, else by the token itself.
    pub(super) expires: Option<Timestamp>,
}

impl Fetched {
    /// A token of which nobody says anything but itself.
    pub(super) fn bare(token: SecretString) -> Self {
        let expires = jwt::peek(token.expose_secret()).and_then(|claims| claims.expires);
        Self { token, certificate: None, expires }
    }

    /// The same with a certificate, which may end before.
    pub(super) fn with(self, certificate: Option<ClientCertificate>) -> Self {
        let ends = certificate.as_ref().and_then(|certificate| certificate.expires);
        let expires = self.expires.into_iter().chain(ends).min();
        Self { certificate, expires, ..self }
    }
}

/// Where a token comes from.
pub enum TokenSource {
    /// Written in the configuration.
    Static(SecretString),
    /// The content of a file.
    File(PathBuf),
    /// An OAuth server.
    OAuth(Box<OAuthSource>),
    /// A user of a kubeconfig.
    Kubeconfig(KubeconfigSource),
    /// None: the client certificate in these files stands for it, and the token is empty.
    ClientCertificate(PemSource, PemSource),
}

/// A client of an OAuth server.
pub struct OAuthSource(pub(super) OAuth);

/// A user of a kubeconfig, which is read again for each token.
pub struct KubeconfigSource {
    pub(super) path: PathBuf,
    pub(super) context: Option<String>,
    /// Whether a program makes its tokens; it is not run more often than need be.
    pub(super) runs: bool,
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
            Self::OAuth(source) => source.0.name(),
            Self::Kubeconfig(KubeconfigSource { path, .. }) => format!("the kubeconfig `{}`", path.display()),
            Self::ClientCertificate(PemSource::File(path), _) => {
                format!("the client certificate `{}`", path.display())
            }
            Self::ClientCertificate(..) => "the client certificate".to_owned(),
        }
    }

    pub(super) const fn renewal(&self) -> Renewal {
        match self {
            Self::Static(_) => Renewal::Never,
            Self::File(_)
            | Self::ClientCertificate(..)
            | Self::Kubeconfig(KubeconfigSource { runs: false, .. }) => Renewal::Reread,
            Self::OAuth(_) => Renewal::Fetch { unknown: oauth::UNKNOWN },
            Self::Kubeconfig(_) => Renewal::Fetch { unknown: exec::UNKNOWN },
        }
    }

    /// Asks for a token now.
    ///
    /// In a box, since an OAuth server's refresh token may be in a Secret, which takes another credential to read.
    pub(super) fn fetch(&self) -> BoxFuture<'_, Result<Fetched, CredentialError>> {
        Box::pin(self.fetch_now())
    }

    async fn fetch_now(&self) -> Result<Fetched, CredentialError> {
        match self {
            Self::Static(token) => Ok(Fetched::bare(token.clone())),
            Self::File(path) => Ok(Fetched::bare(file::read(path)?)),
            Self::OAuth(source) => source.0.fetch().await,
            Self::Kubeconfig(source) => of_kubeconfig(&source.path, source.context.as_deref()).await,
            Self::ClientCertificate(certificate, key) => {
                let read = client_certificate::read(&(certificate.clone(), key.clone()));
                let read = read.map_err(|error| CredentialError::new(format!("{error:#}")))?;
                Ok(Fetched::bare(SecretString::default()).with(Some(read)))
            }
        }
    }
}

async fn of_kubeconfig(path: &Path, context: Option<&str>) -> Result<Fetched, CredentialError> {
    let text = std::fs::read_to_string(path).map(secrecy::zeroize::Zeroizing::new).map_err(|error| {
        CredentialError::new(format!("cannot read the kubeconfig `{}`: {error}", path.display()))
    })?;
    let resolved = kubeconfig::resolve(&text, path, context).map_err(CredentialError::new)?;
    let certificate = resolved.client_certificate.as_ref().map(client_certificate::read).transpose();
    let certificate =
        certificate.map_err(|error| CredentialError::new(format!("{error:#}, in `{}`", path.display())))?;
    match resolved.user {
        User::Token(token) => {
            let token = file::word(token.expose_secret()).map_err(|problem| {
                CredentialError::new(format!("the token in the kubeconfig `{}` {problem}", path.display()))
            })?;
            Ok(Fetched::bare(token).with(certificate))
        }
        User::TokenFile(file) => Ok(Fetched::bare(file::read(&file)?).with(certificate)),
        User::Exec(exec) => {
            let fetched = exec.fetch(path).await?;
            Ok(if fetched.certificate.is_some() { fetched } else { fetched.with(certificate) })
        }
        User::Certificate => Ok(Fetched::bare(SecretString::default()).with(certificate)),
    }
}
