//! Files of CA certificates, read when the agent starts so that a wrong one is told at once.

use std::path::Path;

use anyhow::{Context as _, bail};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The certificates of a PEM file, in DER; at least one.
///
/// # Errors
/// A file that cannot be read, is damaged, or holds none.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let name = path.display();
    let pem = std::fs::read(path).with_context(|| format!("cannot read the CA file `{name}`"))?;
    parse(&pem, &format!("the CA file `{name}`"))
}

/// The certificates of a text in PEM, in DER; at least one. `name` is what messages begin with.
///
/// # Errors
/// A text that is damaged or holds none.
pub(crate) fn parse(pem: &[u8], name: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let roots = CertificateDer::pem_slice_iter(pem).map(|root| root.map(|root| root.to_vec()));
    let roots: Vec<_> =
        roots.collect::<Result<_, _>>().with_context(|| format!("{name} holds damaged PEM"))?;
    if roots.is_empty() {
        bail!("{name} holds no PEM certificates; it must hold `-----BEGIN CERTIFICATE-----` blocks");
    }
    let mut store = RootCertStore::empty();
    for (at, root) in roots.iter().enumerate() {
        let added = store.add(CertificateDer::from(root.as_slice()));
        added.with_context(|| {
            format!(
                "{name} holds something else than a certificate in its block {}; write the CA's there",
                at + 1
            )
        })?;
    }
    Ok(roots)
}
