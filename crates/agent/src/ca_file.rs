//! Files of CA certificates, read when the agent starts so that a wrong one is told at once.

use std::path::Path;

use anyhow::{Context as _, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The certificates of a PEM file, in DER; at least one.
///
/// # Errors
/// A file that cannot be read, is damaged, or holds none.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let name = path.display();
    let pem = std::fs::read(path).with_context(|| format!("cannot read the CA file `{name}`"))?;
    let roots = CertificateDer::pem_slice_iter(&pem).map(|root| root.map(|root| root.to_vec()));
    let roots: Vec<_> =
        roots.collect::<Result<_, _>>().with_context(|| format!("the CA file `{name}` holds damaged PEM"))?;
    if roots.is_empty() {
        bail!("the CA file `{name}` holds no PEM certificates");
    }
    Ok(roots)
}
