//! How servers are verified where reqwest connects: by the system's roots, by those of a file, or not at all.
//!
//! A file of roots is looked at for each connection, so that a renewed CA is taken without a restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use anyhow::Context as _;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::ca_file;
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
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = FileVerifier::new(path.to_owned(), system, Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
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
    fn new(path: PathBuf, system: System, provider: Arc<CryptoProvider>) -> anyhow::Result<Self> {
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

impl ServerCertVerifier for FileVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_file = self.current();
        let by_file = by_file.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match by_file {
            Err(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) if self.system == System::AsWell => match self.system_verifier() {
                Some(system) => {
                    system.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                }
                None => by_file,
            },
            decided => decided,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
