//! A Secret in the agent's own namespace that keeps the last refresh token of an OAuth server.
//!
//! The cluster is the one that the agent runs in, reached with the service account of its pod: a token for it is
//! there before any other. Only a Secret with our label is read or written.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::connect::{ClusterOptions, http};
use super::http::Http;
use crate::credentials::{Credential, TokenSource};
use crate::error::{ApiError, Peer};

/// The entry of the Secret.
const ENTRY: &str = "refresh_token";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Where the Secret is.
pub struct RefreshTokenSecret {
    name: String,
    http: Http,
    /// The mounted service account: it tells the namespace.
    directory: PathBuf,
    namespace: OnceCell<String>,
}

impl RefreshTokenSecret {
    /// The Secret of this name. `options` say how the cluster is reached that the agent runs in, `directory` is where
    /// its pod's service account is mounted.
    ///
    /// # Errors
    /// A CA file that cannot be used.
    pub(crate) fn new(name: &str, options: &ClusterOptions, directory: PathBuf) -> anyhow::Result<Self> {
        let credential = Credential::new(TokenSource::File(directory.join("token")));
        let http = http(options, credential.into())?;
        Ok(Self { name: name.to_owned(), http, directory, namespace: OnceCell::new() })
    }

    /// The Secret's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    async fn path(&self) -> Result<String, ApiError> {
        let namespace = self.namespace.get_or_try_init(async || {
            let file = self.directory.join("namespace");
            let text = std::fs::read_to_string(&file).map_err(|error| {
                let message = format!("cannot read the agent's namespace in `{}`: {error}", file.display());
                ApiError::unavailable(Peer::Cluster, "Secret", &message)
            })?;
            Ok::<_, ApiError>(text.trim().to_owned())
        });
        let segment = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        Ok(format!("/api/v1/namespaces/{}/secrets/{}", segment(namespace.await?), segment(&self.name)))
    }

    /// The token that was stored last; `None` if none was.
    pub(crate) async fn read(&self) -> Result<Option<SecretString>, ApiError> {
        Ok(self.ours().await?.and_then(|secret| {
            let encoded = secret.pointer(&format!("/data/{ENTRY}"))?.as_str()?;
            let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
            let text = std::str::from_utf8(&bytes).ok()?.trim();
            (!text.is_empty()).then(|| SecretString::from(text))
        }))
    }

    /// The Secret, if it is there. One without our label is somebody else's.
    async fn ours(&self) -> Result<Option<Value>, ApiError> {
        let path = self.path().await?;
        let secret = match self.http.get(&path).await {
            Ok(secret) => secret,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let labels = secret.pointer("/metadata/labels").and_then(|labels| labels.get(MANAGED_BY));
        if labels.and_then(Value::as_str) == Some(super::http::FIELD_MANAGER) {
            return Ok(Some(secret));
        }
        let message = format!(
            "the Secret is not the agent's; name another in `refresh_token_secret`, or label it {MANAGED_BY}={}",
            super::http::FIELD_MANAGER
        );
        Err(ApiError::unexpected(Peer::Cluster, &format!("GET {path}"), &message))
    }

    /// Stores a token in place of the one before.
    pub(crate) async fn write(&self, token: &SecretString) -> Result<(), ApiError> {
        let (path, known) = (self.path().await?, self.ours().await?);
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "labels": {MANAGED_BY: super::http::FIELD_MANAGER}},
            "type": "Opaque",
            "data": {ENTRY: STANDARD.encode(token.expose_secret())},
        });
        if let Some(uid) = known.as_ref().and_then(|known| known.pointer("/metadata/uid")) {
            secret["metadata"]["uid"] = uid.clone();
        }
        let http = &self.http;
        http.apply(&path, &secret).await.map(drop)
    }
}
