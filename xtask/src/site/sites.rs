//! Many sites in one simulator process: each is fresh, and none knows of another.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Api, Binaries, Place, Server, start_simulators};

/// The process, and where it takes orders for sites.
#[derive(Debug)]
pub(crate) struct Simulators {
    server: Server,
    control: Api,
    folder: PathBuf,
}

/// A site of its own, with everybody's view of it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) place: Place,
    /// For the files of an agent.
    pub(crate) folder: PathBuf,
    pub(crate) control: Api,
    pub(crate) staff: Api,
    pub(crate) customer: Api,
    pub(crate) cluster: Api,
    /// What the process knows it by.
    number: Value,
}

impl Simulators {
    /// Starts the process.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn start(binaries: &Binaries, folder: &Path) -> Result<Self> {
        let (server, place) = start_simulators(binaries, folder, &[]).await?;
        let control = Api::waldur(&place.control_url, "")?;
        Ok(Self { server, control, folder: folder.to_owned() })
    }

    /// Opens a site; `name` is that of its folder, `wanted` what it is like (`seed`, `termination_ms`, `settle_ms`).
    ///
    /// # Errors
    /// The process does not answer.
    pub(crate) async fn open(&self, name: &str, mut wanted: Value) -> Result<Site> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        wanted["folder"] = json!(folder);
        let description = self.control.post("/sites", &wanted).await.context("cannot open a site")?;
        let number = description["site"].clone();
        let place: Place = serde_json::from_value(description).context("a site is not what was expected")?;
        Ok(Site {
            folder,
            control: Api::waldur(&place.control_url, "")?,
            staff: Api::waldur(&place.waldur_url, &place.waldur_staff_token)?,
            customer: Api::waldur(&place.waldur_url, &place.waldur_customer_token)?,
            cluster: Api::cluster(&place.okd_url, &place.okd_admin_token, &place.ca_file)?,
            place,
            number,
        })
    }

    /// Closes a site.
    ///
    /// # Errors
    /// The process does not answer.
    pub(crate) async fn close(&self, site: &Site) -> Result<()> {
        let path = format!("/sites/{}", site.number);
        self.control.delete(&path).await.map(drop).context("cannot close a site")
    }

    /// # Errors
    /// The process has ended.
    pub(crate) fn still_run(&mut self) -> Result<()> {
        self.server.still_runs()
    }
}
