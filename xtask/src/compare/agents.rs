//! Who is compared: where it is installed, how large that is, how it is configured and started.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::install;
use crate::process::program;
use crate::site::{self, Binaries, Mode, Place, Server};

/// What the Python agent's configuration holds besides, so that it does its best. Without the first, all members are
/// bound to a ClusterRole `root`, which no cluster has; with the second, projects are named as its documentation says.
pub(super) const BEST_SETTINGS: [&str; 2] = ["default_account: edit", "allocation_prefix: waldur-alloc-"];

/// Everything that the configuration file switches on, whatever a process is started for: who keeps members gives them access
/// when a project is made.
const MODES: [Mode; 3] = [Mode::OrderProcess, Mode::MembershipSync, Mode::Report];

/// Minutes between two passes of the Python agent: never, since each of its passes is the first of a process.
const NEVER: &str = "1440";

/// What every virtual environment holds, and no agent needs to run.
const FURNITURE: [&str; 5] =
    ["pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth"];

/// What is known of an agent before it runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Facts {
    pub(super) name: String,
    /// Which interpreter it needs; empty for none.
    pub(super) runtime: String,
    /// Bytes that it takes on disk, without an interpreter.
    pub(super) installed_bytes: u64,
}

#[derive(Debug)]
enum Kind {
    Ours,
    Python { program: PathBuf, is_pre_release: bool },
}

/// An installed agent.
#[derive(Debug)]
pub(super) struct Agent {
    kind: Kind,
    facts: Facts,
}

impl Agent {
    /// The one that was just built.
    ///
    /// # Errors
    /// It is not there, or does not start.
    pub(super) fn ours(binaries: &Binaries) -> Result<Self> {
        let path = binaries.path(site::AGENT);
        let version = program(&path, ["--version"]).text()?;
        let size = fs::metadata(&path).with_context(|| format!("cannot look at `{}`", path.display()))?.len();
        let version = version.trim().trim_start_matches(site::AGENT).trim().to_owned();
        let facts =
            Facts { name: format!("This agent {version}"), runtime: String::new(), installed_bytes: size };
        Ok(Self { kind: Kind::Ours, facts })
    }

    /// The published release, installed if need be.
    ///
    /// # Errors
    /// It cannot be installed.
    pub(super) fn python() -> Result<Self> {
        Self::in_python(&install::python_agent()?, false)
    }

    /// The newest pre-release, installed if need be.
    ///
    /// # Errors
    /// There is none that is newer than the published one, or it cannot be installed.
    pub(super) fn python_pre_release() -> Result<Self> {
        Self::in_python(&install::python_agent_pre_release()?, true)
    }

    /// The agent of a virtual environment.
    fn in_python(python: &Path, is_pre_release: bool) -> Result<Self> {
        const VERSION: &str =
            "from importlib.metadata import version; print(version('waldur-site-agent-okd'))";
        let version = program(python, ["-c", VERSION]).text()?;
        let site_packages =
            program(python, ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).text()?;
        let runtime = program(python, ["--version"]).text()?.trim().to_owned();
        let installed_bytes = packages_size(Path::new(site_packages.trim()))?;
        let facts = Facts { name: format!("Python agent {}", version.trim()), runtime, installed_bytes };
        let program = python.with_file_name(site::AGENT);
        Ok(Self { kind: Kind::Python { program, is_pre_release }, facts })
    }

    pub(super) fn facts(&self) -> Facts {
        self.facts.clone()
    }

    pub(super) const fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Ours)
    }

    pub(super) const fn is_pre_release(&self) -> bool {
        matches!(self.kind, Kind::Python { is_pre_release: true, .. })
    }

    /// Starts it on a site; `period` is between two passes of this agent.
    ///
    /// # Errors
    /// It cannot be configured or started.
    pub(super) fn start(
        &self,
        binaries: &Binaries,
        folder: &Path,
        place: &Place,
        mode: Mode,
        period: std::time::Duration,
    ) -> Result<Server> {
        match &self.kind {
            Kind::Ours => {
                let configuration = site::write_configuration_for(folder, place, &MODES, &[])?;
                site::start_agent(binaries, folder, &configuration, mode, period)
            }
            Kind::Python { program, .. } => {
                let configuration = site::write_configuration_for(folder, place, &MODES, &BEST_SETTINGS)?;
                let arguments =
                    ["-m".as_ref(), mode.name().as_ref(), "-c".as_ref(), configuration.as_os_str()];
                let variables = [(mode.period_variable(), NEVER.to_owned())];
                let variables: Vec<(&str, String)> =
                    variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                Server::start(program, arguments, &variables, &folder.join("agent.log"))
            }
        }
    }
}

/// Bytes of the files of a `site-packages` folder, without [`FURNITURE`].
fn packages_size(folder: &Path) -> Result<u64> {
    let is_furniture =
        |name: &str| FURNITURE.iter().any(|piece| name == *piece || name.starts_with(&format!("{piece}-")));
    let mut bytes = 0;
    for entry in entries(folder)? {
        if !entry.file_name().to_str().is_some_and(is_furniture) {
            bytes += size(&entry.path())?;
        }
    }
    Ok(bytes)
}

/// Bytes of a file, or of all files below a folder. Links count nothing.
fn size(path: &Path) -> Result<u64> {
    let found = fs::symlink_metadata(path).with_context(|| format!("cannot look at `{}`", path.display()))?;
    if found.is_file() {
        return Ok(found.len());
    }
    if !found.is_dir() {
        return Ok(0);
    }
    entries(path)?.iter().map(|entry| size(&entry.path())).sum()
}

fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    let failed = || format!("cannot list `{}`", folder.display());
    fs::read_dir(folder).with_context(failed)?.map(|entry| entry.with_context(failed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_environment_holds_counts_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("pip/main.py", 1000),
            ("pip-23.2.1.dist-info/RECORD", 1000),
            ("setuptools/command/x.py", 1000),
            ("pipelines/__init__.py", 1),
            ("httpx/__init__.py", 20),
            ("httpx/__pycache__/a.pyc", 300),
            ("six.py", 4000),
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![b'x'; bytes]).unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        assert_eq!(packages_size(folder.path()).unwrap(), 4321);
    }
}
