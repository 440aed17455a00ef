//! The real agent as a process that is killed, or that ends by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result};
use tokio::process::Child;

use super::server::{log_file, set_apart, tail};
use super::{AGENT, Binaries, Place};

/// The agent's configuration: what chores change of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Configuration<'a> {
    /// Value of `lifecycle`, as a YAML flow mapping; empty for the defaults.
    pub(crate) lifecycle: &'a str,
    /// Orders and members come by events.
    pub(crate) events: bool,
    /// Tokens are read from these files, for Waldur and for the cluster, and not written here.
    pub(crate) token_files: Option<[&'a Path; 2]>,
}

impl Configuration<'_> {
    /// Writes the file into a folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, folder: &Path, place: &Place) -> Result<PathBuf> {
        let path = folder.join("waldur-site-agent-config.yaml");
        fs::write(&path, self.text(place)).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }

    fn text(&self, place: &Place) -> String {
        let Place { waldur_url, offering_uuid, okd_url, .. } = place;
        let ca_file = place.ca_file.display();
        let [waldur_token, okd_token] = match self.token_files {
            Some([waldur, okd]) => [
                format!("waldur_api_token_file: \"{}\"", waldur.display()),
                format!("token_file: \"{}\"", okd.display()),
            ],
            None => [
                format!("waldur_api_token: {}", place.waldur_agent_token),
                format!("token: \"{}\"", place.okd_token),
            ],
        };
        let mut keys = String::new();
        if self.events {
            let port = place.stomp_ws_port;
            keys = format!(
                "    stomp_enabled: true\n    websocket_use_tls: false\n    stomp_ws_host: localhost\n    \
                 stomp_ws_port: {port}\n"
            );
        }
        let lifecycle = match self.lifecycle {
            "" => String::new(),
            lifecycle => format!("      lifecycle: {lifecycle}\n"),
        };
        // The CA file spares the system's certificates, which take longer to read than all the rest of a start.
        format!(
            r#"offerings:
  - name: OKD projects
    waldur_api_url: {waldur_url}/api/
    {waldur_token}
    verify_ssl: "{ca_file}"
    waldur_offering_uuid: {offering_uuid}
    backend_type: okd
    order_processing_backend: okd
    membership_sync_backend: okd
{keys}    backend_settings:
      api_url: {okd_url}
      {okd_token}
      verify_cert: "{ca_file}"
{lifecycle}    backend_components:
      cpu: {{measured_unit: cores, accounting_type: limit, label: CPU}}
      memory: {{measured_unit: GB, accounting_type: limit, label: Memory}}
      storage: {{measured_unit: GB, accounting_type: limit, label: Storage}}
      pods: {{measured_unit: pods, accounting_type: limit, label: Pods}}
"#
        )
    }
}

/// A running agent; it is killed when dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    /// Starts it in the mode `all` with these further arguments and variables.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(
        binaries: &Binaries,
        configuration: &Path,
        log: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = Command::new(binaries.path(AGENT));
        command.args(["-m", "all", "-c"]).arg(configuration).args(arguments);
        command.envs(variables.iter().copied());
        set_apart(&mut command);
        let file = log_file(log)?;
        command.stdout(file.try_clone().context("cannot share a log file")?).stderr(file);
        let mut command = tokio::process::Command::from(command);
        let child = command.kill_on_drop(true).spawn().context("cannot start the agent")?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        self.child.wait().await.context("cannot wait for the agent")
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(crate) fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot look after the agent")
    }

    /// True if it has logged more than that it starts.
    pub(crate) fn has_begun(&self) -> bool {
        fs::read_to_string(&self.log).is_ok_and(|text| text.lines().count() > 1)
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be killed.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill the agent")
    }

    /// Asks it to stop, with SIGTERM.
    ///
    /// # Errors
    /// It has ended, or cannot be asked.
    pub(crate) async fn ask_to_stop(&mut self) -> Result<()> {
        let id = self.child.id().context("the agent has ended")?;
        let mut kill = tokio::process::Command::new("kill");
        let status = kill.args(["-TERM", &id.to_string()]).status().await;
        anyhow::ensure!(status.context("cannot run `kill`")?.success(), "the agent cannot be asked to stop");
        Ok(())
    }

    /// The end of its log, to be put behind a message.
    pub(crate) fn tail(&self) -> String {
        tail(&self.log)
    }
}
