//! Where things are: the repository, its target directory, its binaries.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The folder that holds `Cargo.lock`.
pub(crate) fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// What `cargo metadata --no-deps` says, as far as chores use it.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Metadata {
    /// Asks cargo; touches no network.
    pub(crate) fn read() -> Result<Self> {
        let arguments = ["metadata", "--no-deps", "--offline", "--format-version=1"];
        let text = process::cargo(arguments).text()?;
        serde_json::from_str(&text).context("`cargo metadata` printed unexpected JSON")
    }

    /// Names of the product's binaries, in order.
    pub(crate) fn binaries(&self) -> Vec<&str> {
        let product = self.packages.iter().filter(|package| package.name != env!("CARGO_PKG_NAME"));
        let targets = product.flat_map(|package| &package.targets);
        let mut names: Vec<&str> = targets
            .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
            .map(|target| target.name.as_str())
            .collect();
        names.sort_unstable();
        names
    }
}
