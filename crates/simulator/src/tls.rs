//! A private certificate authority for simulated servers, made anew for each run.
//!
//! The certificates are good for `localhost`, `127.0.0.1` and `::1` only, unless they are to be wrong. Nothing is read
//! from or written to disk.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What a server's certificate is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Served {
    /// As it should be.
    #[default]
    Good,
    /// Expired at the beginning of 2020.
    Expired,
    /// Valid from 4000 on.
    NotYet,
    /// For `other.example` alone.
    WrongHost,
    /// For clients alone.
    WrongPurpose,
    /// Signed by itself and by no CA.
    SelfSigned,
}

/// A certificate authority and one server certificate signed by it.
#[derive(Clone)]
pub struct Tls {
    ca: Arc<CertifiedIssuer<'static, KeyPair>>,
    ca_pem: String,
    server: Arc<ServerConfig>,
}

const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The same in DER, as [`crate::server::PeerCertificate`] has it.
    pub der: Vec<u8>,
    /// The key.
    pub key_pem: String,
}

impl Tls {
    /// Makes the keys and certificates.
    ///
    /// # Errors
    /// If the certificates cannot be made or are refused by rustls.
    pub fn generate() -> anyhow::Result<Self> {
        Self::serving(Served::Good)
    }

    /// The same with a server certificate that is like this.
    ///
    /// # Errors
    /// As [`Tls::generate`].
    pub fn serving(served: Served) -> anyhow::Result<Self> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name.push(DnType::CommonName, "simulator CA");
        let ca = Arc::new(CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?);
        let server = Arc::new(server(&ca, served, false)?);
        Ok(Self { ca_pem: ca.pem(), ca, server })
    }

    /// The authority's certificate in PEM, to be given to clients.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What [`crate::server::ServeOptions`] takes.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// The same for a server that lets in only clients with a certificate of this authority.
    ///
    /// # Errors
    /// As [`Tls::generate`].
    pub fn mutual_config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        Ok(Arc::new(server(&self.ca, Served::Good, true)?))
    }

    /// A client's certificate.
    ///
    /// # Errors
    /// As [`Tls::generate`].
    pub fn client(&self, name: &str) -> anyhow::Result<Pair> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters.signed_by(&key, &*self.ca)?;
        Ok(Pair {
            certificate: certificate.pem(),
            der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
        })
    }
}

fn server(
    ca: &CertifiedIssuer<'static, KeyPair>,
    served: Served,
    mutual: bool,
) -> anyhow::Result<ServerConfig> {
    let key = KeyPair::generate()?;
    let names: &[&str] = if served == Served::WrongHost { &["other.example"] } else { &NAMES };
    let mut parameters =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    match served {
        Served::Expired => parameters.not_after = date_time_ymd(2020, 1, 1),
        Served::NotYet => parameters.not_before = date_time_ymd(4000, 1, 1),
        Served::WrongPurpose => parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        Served::Good | Served::WrongHost | Served::SelfSigned => {}
    }
    let certificate = match served {
        Served::SelfSigned => parameters.self_signed(&key)?,
        _ => parameters.signed_by(&key, ca)?,
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;

    // The provider is named so that no process-wide default is needed or changed.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = if mutual {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(ca.der().to_vec()))?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build()?)
    } else {
        builder.with_no_client_auth()
    };
    let mut server = builder.with_single_cert(vec![certificate.der().clone()], key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}
