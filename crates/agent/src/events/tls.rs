//! TLS towards a broker, verified as Waldur's certificate is.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::ca_file;
use crate::tls::{self, System};
use crate::waldur::http::Verify;

/// How to speak TLS with a server that is verified so.
///
/// # Errors
/// A CA file that cannot be read, or a system without certificates.
pub(super) fn config(verify: &Verify) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().context("cannot set up TLS")?;
    let config = match verify {
        Verify::System => builder
            .with_platform_verifier()
            .context("cannot use the certificates of the system")?
            .with_no_client_auth(),
        Verify::CaFile(path) => {
            let mut config = tls::by_file(path, System::Instead)?;
            config.alpn_protocols.clear();
            config
        }
        Verify::CaData(pem) => {
            let mut roots = RootCertStore::empty();
            for root in ca_file::parse(pem.as_bytes(), "the CA data")? {
                roots.add(CertificateDer::from(root)).context("the CA data cannot be used")?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        Verify::Off => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Takes any certificate: what `verify_ssl: false` asks for.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
