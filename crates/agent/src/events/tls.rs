//! TLS towards a broker, verified as Waldur's certificate is.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, Error, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::ca_file;
use crate::certificates::{self, Judge, Shown};
use crate::tls::{self, System};
use crate::waldur::http::Verify;

/// How to speak TLS with a server that is verified so.
///
/// # Errors
/// A CA file that cannot be read, or a system without certificates.
pub(super) fn config(verify: &Verify) -> anyhow::Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(certificates::provider());
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
        Verify::Off => certificates::config(Arc::new(Anybody))?,
    };
    Ok(Arc::new(config))
}

/// Takes any certificate: what `verify_ssl: false` asks for.
#[derive(Debug)]
struct Anybody;

impl Judge for Anybody {
    fn judge(&self, _: &Shown<'_>) -> Result<(), Error> {
        Ok(())
    }
}
