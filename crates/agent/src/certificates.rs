//! TLS of which only the judgement over the server's certificate is somebody's own: signatures, versions and ciphers are
//! checked for everybody alike.

use std::fmt::Debug;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// What a server shows of itself.
pub(crate) struct Shown<'a> {
    /// Its own certificate.
    pub(crate) own: &'a CertificateDer<'a>,
    /// Those between its own and a root.
    pub(crate) others: &'a [CertificateDer<'a>],
    /// As the client calls it.
    pub(crate) name: &'a ServerName<'a>,
    pub(crate) ocsp: &'a [u8],
    pub(crate) now: UnixTime,
}

impl Shown<'_> {
    /// What another verifier says to it.
    pub(crate) fn verified_by(&self, verifier: &dyn ServerCertVerifier) -> Result<(), Error> {
        verifier.verify_server_cert(self.own, self.others, self.name, self.ocsp, self.now).map(drop)
    }
}

/// Says whose certificate is taken.
pub(crate) trait Judge: Debug + Send + Sync {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error>;
}

/// The one implementation of TLS.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS with servers whose certificate this judge takes.
///
/// # Errors
/// TLS that cannot be set up.
pub(crate) fn config(judge: Arc<dyn Judge>) -> anyhow::Result<ClientConfig> {
    let provider = provider();
    let verifier = Judged { judge, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().context("TLS cannot be set up")?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(builder.with_no_client_auth())
}

#[derive(Debug)]
struct Judged {
    judge: Arc<dyn Judge>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Judged {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge.judge(&Shown { own, others, name, ocsp, now })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
