//! Who the agent is to the cluster: token, kubeconfig, client certificate. Waldur contract §1.5.

use std::path::PathBuf;

use url::Url;

use super::Context;
use crate::credentials::kubeconfig::{self, Resolved, User};
use crate::settings::keys::{OAUTH, TOKEN_CONFIG};
use crate::settings::model::{ClusterToken, OAuthGrant, OAuthSettings, PemSource, RefreshTokenStore};
use crate::settings::view::View;

/// The client that OpenShift has for programs that answer challenges.
const CHALLENGING_CLIENT: &str = "openshift-challenging-client";

/// Root of the API server of the cluster that this process runs in, if it runs in a pod (Kubernetes: variables of a
/// pod).
pub(super) fn pod(context: &Context<'_, '_>) -> Option<Url> {
    let host = context.environment.non_empty("KUBERNETES_SERVICE_HOST")?;
    let port = context.environment.non_empty("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Url::parse(&format!("https://{host}:{port}/")).ok()
}

/// What the kubeconfig says, if one is named.
pub(super) fn kubeconfig(view: &View<'_>, context: &mut Context<'_, '_>) -> Option<Resolved> {
    let Some(path) = view.file("kubeconfig").filter(|_| view.is_set("kubeconfig")) else {
        if view.is_set("kubeconfig_context") {
            let message = "is ignored, as no kubeconfig is given";
            let place = view.place("kubeconfig_context");
            context.findings.warning(place, &view.path("kubeconfig_context"), message, "give kubeconfig");
        }
        return None;
    };
    let wanted = view.text("kubeconfig_context");
    let resolved = match context.environment.read_file(&path) {
        Ok(text) => kubeconfig::resolve(&text, &path, wanted.as_deref()),
        Err(error) => Err(format!("the kubeconfig `{}` cannot be read: {error}", path.display())),
    };
    match resolved {
        Ok(resolved) => Some(resolved),
        Err(problem) => {
            context.findings.error(view.place("kubeconfig"), &view.path("kubeconfig"), problem, "");
            None
        }
    }
}

/// Certificate and key of two files.
pub(super) fn client_certificate(
    view: &View<'_>,
    context: &mut Context<'_, '_>,
) -> Option<(PemSource, PemSource)> {
    match (view.file("client_cert"), view.file("client_key")) {
        (Some(certificate), Some(key)) => Some((PemSource::File(certificate), PemSource::File(key))),
        (None, None) => None,
        (certificate, _) => {
            let (there, missing) = if certificate.is_some() {
                ("client_cert", "client_key")
            } else {
                ("client_key", "client_cert")
            };
            let message = format!("is missing; `{there}` is given, and the two belong together");
            context.findings.error(view.place(there), &view.path(missing), message, "");
            None
        }
    }
}

/// The token. `in_pod` says that nothing names another cluster than the one that the agent runs in.
pub(super) fn token(
    view: &View<'_>,
    (kubeconfig, pair): (Option<&Resolved>, Option<&(PemSource, PemSource)>),
    in_pod: bool,
    context: &mut Context<'_, '_>,
) -> Option<ClusterToken> {
    let both =
        context.exclude(view, "token", "token_file") | context.exclude(view, "token_file", "token_config");
    if view.is_set("token_config") {
        return token_config(view, context).filter(|_| !both);
    }
    if let Some(path) = view.file("token_file") {
        context.probe_secret_file(view, "token_file", &path);
        return (!both).then_some(ClusterToken::File { path });
    }
    if let Some(token) = view.secret("token") {
        return Some(ClusterToken::Static(token));
    }
    if view.is_set("kubeconfig") {
        let path = view.file("kubeconfig")?;
        return Some(ClusterToken::Kubeconfig {
            path,
            context: view.text("kubeconfig_context"),
            runs: matches!(kubeconfig?.user, User::Exec(_)),
        });
    }
    if view.is_set("client_cert") {
        let (certificate, key) = pair?;
        return Some(ClusterToken::ClientCertificate(certificate.clone(), key.clone()));
    }
    if in_pod {
        let view = view.section("token_config", TOKEN_CONFIG);
        let directory = view.file("service_account_path")?;
        context.probe_secret_file(&view, "service_account_path", &directory.join("token"));
        return Some(ClusterToken::ServiceAccount { directory });
    }
    let message = "no token for the cluster is given";
    let hint = "give token, token_file, token_config, kubeconfig or client_cert; in the cluster itself \
                `token_config: {token_type: service_account}`";
    context.findings.error(view.place, &view.path("token"), message, hint);
    None
}

/// Keys of `token_config` that belong to each type.
const TYPES: [(&str, &str); 4] = [
    ("static", "token"),
    ("service_account", "service_account_path"),
    ("file", "token_file_path"),
    ("oauth", "oauth_config"),
];

fn token_config(backend: &View<'_>, context: &mut Context<'_, '_>) -> Option<ClusterToken> {
    let view = backend.section("token_config", TOKEN_CONFIG);
    let kind = view.choice("token_type", |word| Some(word.to_owned()))?;
    let own = TYPES.into_iter().find(|(name, _)| *name == kind).map(|(_, key)| key)?;
    let stores = own == "oauth_config" && view.section("oauth_config", OAUTH).is_set("refresh_token_secret");
    for (name, key) in TYPES {
        if key != own && view.is_set(key) && !(stores && key == "service_account_path") {
            let message = format!("is ignored, as token_type is `{kind}`");
            let hint = format!("remove it, or write `token_type: {name}`");
            context.findings.warning(view.place(key), &view.path(key), message, hint);
        }
    }
    if own != "token" && backend.is_set("token") {
        let message = "is ignored, as token_config is given";
        context.findings.warning(backend.place("token"), &backend.path("token"), message, "keep one of them");
    }
    if own != "service_account_path" && !view.is_set(own) && !(own == "token" && backend.is_set("token")) {
        let message = format!("is missing; token_type `{kind}` needs it");
        context.findings.error(view.place, &view.path(own), message, "");
        return None;
    }
    match own {
        "token" => view.secret("token").or_else(|| backend.secret("token")).map(ClusterToken::Static),
        "service_account_path" => {
            let directory = view.file("service_account_path")?;
            context.probe_secret_file(&view, "service_account_path", &directory.join("token"));
            Some(ClusterToken::ServiceAccount { directory })
        }
        "token_file_path" => {
            let path = view.file("token_file_path")?;
            context.probe_secret_file(&view, "token_file_path", &path);
            Some(ClusterToken::File { path })
        }
        _ => {
            let directory = view.file("service_account_path")?;
            oauth(&view.section("oauth_config", OAUTH), directory, context)
                .map(Box::new)
                .map(ClusterToken::OAuth)
        }
    }
}

/// Keys that only one grant uses.
const GRANTS: [(&str, &[&str]); 3] = [
    ("refresh_token", &["refresh_token"]),
    ("client_credentials", &["client_secret"]),
    ("password", &["username", "password"]),
];

fn oauth(view: &View<'_>, directory: PathBuf, context: &mut Context<'_, '_>) -> Option<OAuthSettings> {
    let guessed = if view.is_set("username") {
        "password"
    } else if view.is_set("client_secret") && !view.is_set("refresh_token") {
        "client_credentials"
    } else {
        "refresh_token"
    };
    let grant = view.choice("grant_type", |word| Some(word.to_owned())).unwrap_or_else(|| guessed.to_owned());
    let mut whole = true;
    let (_, needed) = GRANTS.into_iter().find(|(name, _)| *name == grant)?;
    let client: &[&str] = if grant == "password" { &[] } else { &["client_id"] };
    for key in needed.iter().chain(client).filter(|key| !view.is_set(key)) {
        let message = format!("is missing; grant_type `{grant}` needs it");
        context.findings.error(view.place, &view.path(key), message, "");
        whole = false;
    }
    let others = GRANTS.into_iter().filter(|(name, _)| *name != grant).flat_map(|(_, keys)| keys);
    // A client of any grant may have a secret.
    let ignored = others.filter(|key| **key != "client_secret" && view.is_set(key)).copied();
    let endpoint = ["token_endpoint"].into_iter().filter(|key| grant == "password" && view.is_set(key));
    for key in ignored.chain(endpoint) {
        let message = format!("is ignored, as grant_type is `{grant}`");
        context.findings.warning(view.place(key), &view.path(key), message, "remove it");
    }
    context.warn_plain_http(view, "token_endpoint");
    let grant = match grant.as_str() {
        "refresh_token" => OAuthGrant::RefreshToken {
            token: view.secret("refresh_token")?,
            store: store(view, directory, context),
        },
        "client_credentials" => OAuthGrant::ClientCredentials,
        _ => OAuthGrant::Password { username: view.text("username")?, password: view.secret("password")? },
    };
    whole.then_some(OAuthSettings {
        client_id: view.text("client_id").unwrap_or_else(|| CHALLENGING_CLIENT.to_owned()),
        client_secret: view.secret("client_secret"),
        token_endpoint: view.url("token_endpoint").filter(|_| !matches!(grant, OAuthGrant::Password { .. })),
        scope: view.text("scope"),
        grant,
    })
}

fn store(view: &View<'_>, directory: PathBuf, context: &mut Context<'_, '_>) -> Option<RefreshTokenStore> {
    let key = "refresh_token_secret";
    let name = view.text(key)?;
    let Some(api_url) = pod(context) else {
        let message = "is ignored, as the agent does not run in a pod (KUBERNETES_SERVICE_HOST is not set)";
        let hint = "the last refresh token is then lost when the agent ends";
        context.findings.warning(view.place(key), &view.path(key), message, hint);
        return None;
    };
    Some(RefreshTokenStore { name, api_url, directory })
}
