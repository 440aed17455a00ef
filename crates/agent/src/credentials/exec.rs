//! Tokens from the program that a kubeconfig names (Kubernetes: client-go credential plugins).
//!
//! What the program prints is a secret, on both of its outputs: nothing of it is shown.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::source::Fetched;
use super::{CredentialError, file};
use crate::client_certificate;

/// How long the program may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a token is taken for valid that does not say.
pub(super) const UNKNOWN: Duration = Duration::from_secs(60);

/// A program to run.
#[derive(Clone)]
pub(crate) struct Exec {
    pub(crate) command: PathBuf,
    pub(crate) arguments: Vec<SecretString>,
    pub(crate) environment: Vec<(String, SecretString)>,
    /// `client.authentication.k8s.io/v1`, or `…/v1beta1`.
    pub(crate) api_version: String,
    /// `spec.cluster` of what the program is told, if it is to be told.
    pub(crate) cluster: Option<serde_json::Value>,
    /// What to do where the program is missing.
    pub(crate) install_hint: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    kind: Option<String>,
    api_version: Option<String>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<SecretString>,
    client_certificate_data: Option<SecretString>,
    client_key_data: Option<SecretString>,
    expiration_timestamp: Option<Timestamp>,
}

impl Exec {
    /// Runs the program. `kubeconfig` names it in messages.
    pub(super) async fn fetch(&self, kubeconfig: &Path) -> Result<Fetched, CredentialError> {
        let wrong = |problem: String| {
            let command = self.command.display();
            CredentialError::new(format!(
                "the program `{command}` of the kubeconfig `{}` {problem}",
                kubeconfig.display()
            ))
        };
        let mut info = json!({
            "apiVersion": self.api_version, "kind": "ExecCredential", "spec": {"interactive": false},
        });
        if let Some(cluster) = &self.cluster {
            info["spec"]["cluster"] = cluster.clone();
        }
        let mut command = tokio::process::Command::new(&self.command);
        command
            .args(self.arguments.iter().map(|argument| argument.expose_secret()))
            .envs(self.environment.iter().map(|(name, value)| (name, value.expose_secret())))
            .env("KUBERNETES_EXEC_INFO", info.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(DEADLINE, command.output()).await;
        let output = output.map_err(|_| wrong(format!("gave no token within {DEADLINE:?}")))?;
        let output = output.map_err(|error| {
            let hint = self.install_hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
            wrong(format!("cannot be started: {error}{hint}"))
        })?;
        let printed = Zeroizing::new(output.stdout);
        if !output.status.success() {
            return Err(wrong(format!("ended with {}; run it by hand to see what it says", output.status)));
        }
        self.read(&printed).map_err(wrong)
    }

    /// What it printed, or what is wrong with that as the end of a sentence.
    pub(super) fn read(&self, printed: &[u8]) -> Result<Fetched, String> {
        let parsed: ExecCredential = serde_json::from_slice(printed)
            .map_err(|_| "printed something else than an ExecCredential in JSON")?;
        if parsed.kind.as_deref() != Some("ExecCredential") {
            return Err("printed something else than an ExecCredential in JSON".to_owned());
        }
        if parsed.api_version.as_deref() != Some(&self.api_version) {
            return Err(format!(
                "printed an ExecCredential of another version than `{}`: correct `apiVersion` of `exec`",
                self.api_version
            ));
        }
        let status = parsed.status.ok_or("printed an ExecCredential without `status`")?;
        let certificate = match (status.client_certificate_data, status.client_key_data) {
            (Some(certificate), Some(key)) => {
                let (named, key_named) = ("its `clientCertificateData`", "its `clientKeyData`");
                let checked = client_certificate::checked((&certificate, named), (key, key_named));
                let told = |error| format!("printed an ExecCredential that cannot be used: {error:#}");
                Some(checked.map_err(told)?)
            }
            (None, None) => None,
            _ => {
                return Err("printed a client certificate without its key, or a key without its certificate"
                    .to_owned());
            }
        };
        let token = match (status.token, &certificate) {
            (Some(token), _) => file::word(token.expose_secret())
                .map_err(|problem| format!("printed a token that {problem}"))?,
            (None, Some(_)) => SecretString::default(),
            (None, None) => {
                return Err(
                    "printed an ExecCredential with neither `token` nor `clientCertificateData`".to_owned()
                );
            }
        };
        let fetched = Fetched::bare(token).with(certificate);
        let expires = status.expiration_timestamp.into_iter().chain(fetched.expires).min();
        Ok(Fetched { expires, ..fetched })
    }
}
