//! Client certificates: read, and checked for what would otherwise only show when a server refuses them.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use crate::settings::PemSource;

/// A client certificate with its key, in PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate and what comes between it and its CA.
    pub(crate) certificate: String,
    /// The key.
    pub(crate) key: SecretString,
    /// When it is no longer good.
    pub(crate) expires: Option<Timestamp>,
}

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate && self.key.expose_secret() == other.key.expose_secret()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate")
    }
}

/// The certificate and the key that belongs to it.
///
/// # Errors
/// A file that cannot be read, is none, or a key that belongs to another certificate.
pub(crate) fn read((certificate, key): &(PemSource, PemSource)) -> anyhow::Result<ClientCertificate> {
    let (certificate, certificate_name) = text(certificate, "client certificate")?;
    let (key, key_name) = text(key, "client key")?;
    checked((&certificate, &certificate_name), (key, &key_name))
}

/// The same of texts, with what messages call them.
///
/// # Errors
/// As [`read`].
pub(crate) fn checked(
    (certificate, certificate_name): (&SecretString, &str),
    (key, key_name): (SecretString, &str),
) -> anyhow::Result<ClientCertificate> {
    let chain = CertificateDer::pem_slice_iter(certificate.expose_secret().as_bytes());
    let chain: Vec<_> =
        chain.collect::<Result<_, _>>().with_context(|| format!("{certificate_name} holds damaged PEM"))?;
    let Some(own) = chain.first() else {
        bail!("{certificate_name} holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)");
    };
    let expires = end(own);
    // The reason is left out: it could quote the key.
    let Ok(parsed) = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()) else {
        bail!("{key_name} holds no private key in PEM (`-----BEGIN PRIVATE KEY-----`)");
    };
    let provider = crate::certificates::provider();
    let signer = provider.key_provider.load_private_key(parsed);
    let signer = signer.with_context(|| format!("{key_name} holds a key that cannot be used"))?;
    rustls::sign::CertifiedKey::new(chain, signer).keys_match().with_context(|| {
        format!("{key_name} does not belong to {certificate_name}; name the two that were made together")
    })?;
    Ok(ClientCertificate { certificate: certificate.expose_secret().to_owned(), key, expires })
}

fn end(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
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
