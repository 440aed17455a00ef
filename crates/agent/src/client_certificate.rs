//! Client certificates, read when the agent starts so that a wrong one is told at once.

use std::path::Path;

use anyhow::{Context as _, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use crate::cluster::ClientCertificate;
use crate::settings::PemSource;

/// The certificate and the key that belongs to it.
///
/// # Errors
/// A file that cannot be read, is none, or a key that belongs to another certificate.
pub(crate) fn read((certificate, key): &(PemSource, PemSource)) -> anyhow::Result<ClientCertificate> {
    let (certificate, certificate_name) = text(certificate, "client certificate")?;
    let (key, key_name) = text(key, "client key")?;
    let chain = CertificateDer::pem_slice_iter(certificate.expose_secret().as_bytes());
    let chain: Vec<_> =
        chain.collect::<Result<_, _>>().with_context(|| format!("{certificate_name} holds damaged PEM"))?;
    if chain.is_empty() {
        bail!("{certificate_name} holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)");
    }
    // The reason is left out: it could quote the key.
    let Ok(parsed) = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()) else {
        bail!("{key_name} holds no private key in PEM (`-----BEGIN PRIVATE KEY-----`)");
    };
    let provider = rustls::crypto::ring::default_provider();
    let signer = provider.key_provider.load_private_key(parsed);
    let signer = signer.with_context(|| format!("{key_name} holds a key that cannot be used"))?;
    rustls::sign::CertifiedKey::new(chain, signer).keys_match().with_context(|| {
        format!(
            "{key_name} does not belong to {certificate_name}; name the two files that were made together"
        )
    })?;
    Ok(ClientCertificate { certificate: certificate.expose_secret().to_owned(), key })
}

fn text(source: &PemSource, what: &str) -> anyhow::Result<(SecretString, String)> {
    match source {
        PemSource::Text(text) => Ok((text.clone(), format!("the {what} of the kubeconfig"))),
        PemSource::File(path) => {
            let name = format!("the {what} file `{}`", path.display());
            let text = file(path).with_context(|| format!("cannot read {name}"))?;
            Ok((text, name))
        }
    }
}

fn file(path: &Path) -> std::io::Result<SecretString> {
    let text = Zeroizing::new(std::fs::read_to_string(path)?);
    Ok(SecretString::from(text.as_str()))
}
