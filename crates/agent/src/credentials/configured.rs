//! From settings to credentials: one for Waldur and one for the cluster of an offering. Nothing is asked for yet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use url::Url;

use super::oauth::{Endpoint, Grant, OAuth};
use super::source::{KubeconfigSource, OAuthSource};
use super::token_http::EndpointOptions;
use super::{Credential, TokenSource};
use crate::cluster::{ClusterOptions, Needs, RefreshTokenSecret};
use crate::metrics::Metrics;
use crate::settings::{
    self, ClusterToken, OAuthGrant, OAuthSettings, OfferingSettings, RefreshTokenStore, Settings, TlsVerify,
};
use crate::unreachable;
use crate::waldur::http::Verify;

/// How long a request about the stored refresh token may take.
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// The credential of an offering for Waldur, and the scheme that it is sent with: `Token`, or `Bearer` for a token of
/// an OpenID provider (contract §2.1).
///
/// # Errors
/// A CA file or a proxy that cannot be used.
pub fn waldur(
    settings: &Settings,
    offering: &OfferingSettings,
) -> anyhow::Result<(Arc<Credential>, &'static str)> {
    let (source, scheme) = match &offering.waldur_api_token {
        settings::TokenSource::Static(token) => (TokenSource::Static(token.clone()), "Token"),
        settings::TokenSource::File(path) => (TokenSource::File(path.clone()), "Token"),
        settings::TokenSource::Oidc { token_url, client_id, client_secret } => {
            let options = EndpointOptions {
                verify: Verify::from(&offering.verify_ssl),
                proxy: settings.global_proxy.as_ref().map(|proxy| proxy.expose().clone()),
                keys: unreachable::OIDC,
            };
            let client = (client_id.clone(), Some(client_secret.clone()));
            let oauth = OAuth::new(Grant::Client, Endpoint::At(token_url.clone()), client, None, &options)?;
            (TokenSource::OAuth(Box::new(OAuthSource(oauth))), "Bearer")
        }
    };
    Ok((Arc::new(Credential::new(source)), scheme))
}

/// The credential of an offering for its cluster.
///
/// # Errors
/// A CA file or a proxy that cannot be used.
pub fn cluster(offering: &OfferingSettings, metrics: &Metrics) -> anyhow::Result<Arc<Credential>> {
    let cluster = &offering.cluster;
    let source = match &cluster.token {
        ClusterToken::Static(token) => TokenSource::Static(token.expose_secret().into()),
        ClusterToken::ServiceAccount { directory } => TokenSource::File(directory.join("token")),
        ClusterToken::File { path } => TokenSource::File(path.clone()),
        ClusterToken::Kubeconfig { path, context, runs } => TokenSource::Kubeconfig(KubeconfigSource {
            path: path.clone(),
            context: context.clone(),
            runs: *runs,
        }),
        ClusterToken::ClientCertificate(certificate, key) => {
            TokenSource::ClientCertificate(certificate.clone(), key.clone())
        }
        ClusterToken::OAuth(oauth) => {
            let options = EndpointOptions {
                verify: Verify::from(&cluster.tls),
                proxy: cluster.proxy.as_ref().map(|proxy| proxy.expose().clone()),
                keys: unreachable::OAUTH,
            };
            TokenSource::OAuth(Box::new(OAuthSource(client(oauth, &cluster.api_url, &options, metrics)?)))
        }
    };
    Ok(Arc::new(Credential::new(source)))
}

fn client(
    settings: &OAuthSettings,
    api_url: &Url,
    options: &EndpointOptions,
    metrics: &Metrics,
) -> anyhow::Result<OAuth> {
    let grant = match &settings.grant {
        OAuthGrant::RefreshToken { token, store } => Grant::Refresh {
            configured: token.clone(),
            store: store.as_ref().map(|store| secret(store, metrics)).transpose()?.map(Box::new),
        },
        OAuthGrant::ClientCredentials => Grant::Client,
        OAuthGrant::Password { username, password } => {
            Grant::Challenge { user: username.clone(), password: password.clone() }
        }
    };
    let endpoint = settings.token_endpoint.clone();
    let endpoint = endpoint.map_or_else(|| Endpoint::Discover(api_url.clone()), Endpoint::At);
    let client = (settings.client_id.clone(), settings.client_secret.clone());
    OAuth::new(grant, endpoint, client, settings.scope.clone(), options)
}

fn secret(store: &RefreshTokenStore, metrics: &Metrics) -> anyhow::Result<RefreshTokenSecret> {
    let options = ClusterOptions {
        api_url: store.api_url.clone(),
        verify: Verify::CaFile(store.directory.join("ca.crt")),
        server_name: None,
        client_certificate: None,
        proxy: None,
        timeout: STORE_DEADLINE,
        metrics: metrics.clone(),
        needs: Needs::default(),
        template: Default::default(),
        roles: Vec::new(),
    };
    let secret = RefreshTokenSecret::new(&store.name, &options, store.directory.clone());
    secret.with_context(|| format!("the Secret `{}` for the refresh token cannot be used", store.name))
}

impl From<&TlsVerify> for Verify {
    fn from(tls: &TlsVerify) -> Self {
        match tls {
            TlsVerify::System => Self::System,
            TlsVerify::CaFile(path) => Self::CaFile(path.clone()),
            TlsVerify::CaData(pem) => Self::CaData(pem.clone()),
            TlsVerify::Off => Self::Off,
        }
    }
}
