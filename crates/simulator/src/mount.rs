//! A volume with a service account's token, kept as kubelet keeps it: the files are links into `..data`, which is a link
//! to a folder that is never written to again. A new token comes in a new folder, and `..data` changes in one step.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A mounted service account: `token`, `ca.crt`, `namespace`.
pub struct ServiceAccountMount {
    folder: PathBuf,
    ca_pem: String,
    namespace: String,
    rotations: u64,
}

impl ServiceAccountMount {
    /// Mounts at `folder`, which is made.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn new(folder: &Path, ca_pem: &str, namespace: &str, token: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut mount = Self {
            folder: folder.to_owned(),
            ca_pem: ca_pem.to_owned(),
            namespace: namespace.to_owned(),
            rotations: 0,
        };
        mount.rotate(token)?;
        for file in ["token", "ca.crt", "namespace"] {
            symlink(Path::new("..data").join(file), folder.join(file))?;
        }
        Ok(mount)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts another token in place of the last.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn rotate(&mut self, token: &str) -> io::Result<()> {
        self.rotations += 1;
        let name = format!("..2026_01_01_00_00_00.{}", self.rotations);
        let fresh = self.folder.join(&name);
        fs::create_dir(&fresh)?;
        fs::write(fresh.join("token"), token)?;
        fs::write(fresh.join("ca.crt"), &self.ca_pem)?;
        fs::write(fresh.join("namespace"), &self.namespace)?;
        let (next, data) = (self.folder.join("..data_tmp"), self.folder.join("..data"));
        let before = fs::read_link(&data).ok();
        symlink(&name, &next)?;
        fs::rename(&next, &data)?;
        match before {
            Some(before) => fs::remove_dir_all(self.folder.join(before)),
            None => Ok(()),
        }
    }
}
