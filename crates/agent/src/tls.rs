//! How servers are verified where reqwest connects: by the system's roots, by those of a file, or not at all.
//!
//! A file of roots is looked at for each connection, so that a renewed CA is taken without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use anyhow::Context as _;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use crate::ca_file;
use crate::certificates::{self, Judge, Shown};
use crate::waldur::http::Verify;

/// What becomes of the system's roots where others are configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// They are not trusted.
    Instead,
    /// They are trusted besides.
    AsWell,
}

/// A client that verifies servers like this.
///
/// # Errors
/// Roots that cannot be read.
pub(crate) fn verifying(
    builder: reqwest::ClientBuilder,
    verify: &Verify,
    system: System,
) -> anyhow::Result<reqwest::ClientBuilder> {
    Ok(match verify {
        Verify::System => builder,
        Verify::Off => builder.tls_danger_accept_invalid_certs(true),
        Verify::CaFile(path) => builder.tls_backend_preconfigured(by_file(path, system)?),
        Verify::CaData(pem) => {
            let roots = ca_file::parse(pem.as_bytes(), "`certificate-authority-data` of the kubeconfig")?;
            let roots = roots.iter().map(|root| reqwest::Certificate::from_der(root));
            let roots = roots.collect::<Result<Vec<_>, _>>().context("the CA cannot be used")?;
            match system {
                System::Instead => builder.tls_certs_only(roots),
                System::AsWell => builder.tls_certs_merge(roots),
            }
        }
    })
}

/// The TLS of a client that trusts the roots of this file.
///
/// # Errors
/// A file that cannot be used now.
pub(crate) fn by_file(path: &Path, system: System) -> anyhow::Result<ClientConfig> {
    let mut config = certificates::config(Arc::new(FileVerifier::new(path.to_owned(), system)?))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// What a file of roots held when it was last readable.
#[derive(Debug)]
struct Roots {
    pem: Vec<u8>,
    verifier: Arc<WebPkiServerVerifier>,
}

/// Verifies by a file that may change, and by the system if it is to.
#[derive(Debug)]
struct FileVerifier {
    path: PathBuf,
    provider: Arc<CryptoProvider>,
    roots: RwLock<Roots>,
    system: System,
    /// The system's roots, read when they are needed first; `None` where there are none.
    system_verifier: OnceLock<Option<rustls_platform_verifier::Verifier>>,
}

impl FileVerifier {
    fn new(path: PathBuf, system: System) -> anyhow::Result<Self> {
        let provider = certificates::provider();
        let pem = std::fs::read(&path);
        let pem = pem.with_context(|| format!("cannot read the CA file `{}`", path.display()))?;
        let roots = RwLock::new(roots(pem, &path, &provider)?);
        Ok(Self { path, provider, roots, system, system_verifier: OnceLock::new() })
    }

    /// By what the file holds now; by what it held before if it cannot be used now.
    fn current(&self) -> Arc<WebPkiServerVerifier> {
        let held = self.roots.read().unwrap_or_else(PoisonError::into_inner);
        let changed = std::fs::read(&self.path).ok().filter(|pem| *pem != held.pem);
        let verifier = Arc::clone(&held.verifier);
        drop(held);
        let Some(pem) = changed else { return verifier };
        match roots(pem, &self.path, &self.provider) {
            Ok(roots) => {
                tracing::info!(file = %self.path.display(), "the CA file has changed and was read again");
                let verifier = Arc::clone(&roots.verifier);
                *self.roots.write().unwrap_or_else(PoisonError::into_inner) = roots;
                verifier
            }
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the CA file has changed; what it held before is trusted"
                );
                verifier
            }
        }
    }

    fn system_verifier(&self) -> Option<&rustls_platform_verifier::Verifier> {
        let made = self
            .system_verifier
            .get_or_init(|| rustls_platform_verifier::Verifier::new(Arc::clone(&self.provider)).ok());
        made.as_ref().filter(|_| self.system == System::AsWell)
    }
}

fn roots(pem: Vec<u8>, path: &Path, provider: &Arc<CryptoProvider>) -> anyhow::Result<Roots> {
    let name = format!("the CA file `{}`", path.display());
    let mut store = RootCertStore::empty();
    for root in ca_file::parse(&pem, &name)? {
        store.add(CertificateDer::from(root)).with_context(|| format!("{name} cannot be used"))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
    let verifier = verifier.build().with_context(|| format!("{name} cannot be used"))?;
    Ok(Roots { pem, verifier })
}

impl Judge for FileVerifier {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error> {
        let by_file = shown.verified_by(&*self.current());
        match by_file {
            Err(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) if self.system == System::AsWell => match self.system_verifier() {
                Some(system) => shown.verified_by(system),
                None => by_file,
            },
            decided => decided,
        }
    }
}
