//! Kubeconfig files: which server, CA, and user a context means (Kubernetes: client-go `Config`).
//!
//! The file is full of secrets: of its text nothing is repeated but names of contexts, clusters and users.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, Cluster, ExecConfig, Kubeconfig};
use secrecy::SecretString;
use serde_json::json;
use url::Url;

use super::exec::Exec;
use crate::settings::{PemSource, TlsVerify};

/// What of a kubeconfig one context means.
pub(crate) struct Resolved {
    /// Root of the API server.
    pub(crate) server: Url,
    /// Who is shown.
    pub(crate) user: User,
    /// How the server is verified.
    pub(crate) verify: TlsVerify,
    /// The name that the server's certificate must be for.
    pub(crate) server_name: Option<String>,
    /// Certificate and key.
    pub(crate) client_certificate: Option<(PemSource, PemSource)>,
    /// Proxy.
    pub(crate) proxy: Option<Url>,
}

/// Who is shown to the API server.
pub(crate) enum User {
    Token(SecretString),
    TokenFile(PathBuf),
    Exec(Box<Exec>),
    /// The client certificate alone.
    Certificate,
}

/// What `context` of this file means; its current context if none is named.
///
/// # Errors
/// One line that names the file, what was expected and what to do.
pub(crate) fn resolve(text: &str, path: &Path, context: Option<&str>) -> Result<Resolved, String> {
    let wrong = |problem: &str| format!("the kubeconfig `{}` {problem}", path.display());
    let config: Kubeconfig = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |place| format!(" (line {})", place.line()));
        wrong(&format!("is not one{place}; it must be what `oc config view --raw` prints"))
    })?;
    let names = config.contexts.iter().map(|context| context.name.as_str()).collect::<Vec<_>>().join(", ");
    let has = if names.is_empty() { "none".to_owned() } else { names };
    let name =
        context.or(config.current_context.as_deref().filter(|name| !name.is_empty())).ok_or_else(|| {
            wrong(&format!("names no current context; give `kubeconfig_context`, it has {has}"))
        })?;
    let found = config.contexts.iter().find(|context| context.name == name);
    let found = found.and_then(|context| context.context.as_ref());
    let context = found.ok_or_else(|| {
        wrong(&format!("has no context `{name}`; correct `kubeconfig_context`, it has {has}"))
    })?;
    let cluster = config.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let cluster = cluster.and_then(|cluster| cluster.cluster.as_ref()).ok_or_else(|| {
        wrong(&format!("has no cluster `{}`, which its context `{name}` names", context.cluster))
    })?;
    let user = context.user.as_deref().unwrap_or_default();
    let info = config.auth_infos.iter().find(|info| info.name == user);
    let info = info.and_then(|info| info.auth_info.as_ref()).ok_or_else(|| {
        wrong(&format!("has no user `{user}`, which its context `{name}` names; log in anew"))
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    of(cluster, info, folder).map_err(|problem| wrong(&problem))
}

fn of(cluster: &Cluster, info: &AuthInfo, folder: &Path) -> Result<Resolved, String> {
    let server = cluster.server.as_deref().unwrap_or_default();
    let server = Url::parse(server).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    let mut server = server.ok_or("names no URL as `server` of the cluster")?;
    let root = server.path().trim_end_matches('/').to_owned() + "/";
    server.set_path(&root);
    let verify = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        _ if cluster.insecure_skip_tls_verify == Some(true) => TlsVerify::Off,
        (Some(data), _) => TlsVerify::CaData(decoded(data, "certificate-authority-data")?),
        (None, Some(file)) => TlsVerify::CaFile(folder.join(file)),
        (None, None) => TlsVerify::System,
    };
    let proxy = cluster.proxy_url.as_deref().filter(|text| !text.is_empty());
    let proxy =
        proxy.map(|text| Url::parse(text).map_err(|_| "has a `proxy-url` that is no URL")).transpose()?;
    let client_certificate = client_certificate(info, folder)?;
    Ok(Resolved {
        server,
        user: user(info, cluster, folder, client_certificate.is_some())?,
        verify,
        server_name: cluster.tls_server_name.clone(),
        client_certificate,
        proxy,
    })
}

fn decoded(data: &str, key: &str) -> Result<String, String> {
    let bytes = STANDARD.decode(data.trim()).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| format!("holds something else than PEM in base64 as `{key}`"))
}

fn client_certificate(info: &AuthInfo, folder: &Path) -> Result<Option<(PemSource, PemSource)>, String> {
    use secrecy::ExposeSecret as _;
    let text = |data: &str, key: &str| decoded(data, key).map(|text| PemSource::Text(text.into()));
    let certificate = match (&info.client_certificate_data, &info.client_certificate) {
        (Some(data), _) => Some(text(data, "client-certificate-data")?),
        (None, file) => file.as_ref().map(|file| PemSource::File(folder.join(file))),
    };
    let key = match (&info.client_key_data, &info.client_key) {
        (Some(data), _) => Some(text(data.expose_secret(), "client-key-data")?),
        (None, file) => file.as_ref().map(|file| PemSource::File(folder.join(file))),
    };
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err("has a client certificate without its key, or a key without its certificate".to_owned()),
    }
}

fn user(info: &AuthInfo, cluster: &Cluster, folder: &Path, certificate: bool) -> Result<User, String> {
    use secrecy::ExposeSecret as _;
    if let Some(file) = info.token_file.as_deref().filter(|file| !file.is_empty()) {
        return Ok(User::TokenFile(folder.join(file)));
    }
    if let Some(token) = info.token.as_ref().filter(|token| !token.expose_secret().is_empty()) {
        return Ok(User::Token(token.clone()));
    }
    if let Some(exec) = &info.exec {
        return Ok(User::Exec(Box::new(program(exec, cluster, folder)?)));
    }
    if certificate {
        return Ok(User::Certificate);
    }
    let unsupported = if info.auth_provider.is_some() {
        "names an `auth-provider`, which Kubernetes has given up; use `exec` or `token_config`"
    } else if info.username.is_some() {
        "names a user with a password, which API servers do not take; give them in `token_config.oauth_config`"
    } else {
        "names a user without token, program or certificate; log in anew"
    };
    Err(unsupported.to_owned())
}

fn program(exec: &ExecConfig, cluster: &Cluster, folder: &Path) -> Result<Exec, String> {
    let command = exec.command.as_deref().filter(|command| !command.is_empty());
    let command = command.ok_or("names no `command` of `exec`")?;
    // What has a slash in it is relative to the file; a bare name is looked up in PATH (client-go does the same).
    let command = if command.contains('/') { folder.join(command) } else { PathBuf::from(command) };
    let pairs = exec.env.iter().flatten();
    let environment =
        pairs.filter_map(|pair| Some((pair.get("name")?.clone(), pair.get("value")?.as_str().into())));
    let told = json!({
        "server": cluster.server,
        "certificate-authority-data": cluster.certificate_authority_data,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify.unwrap_or_default(),
        "tls-server-name": cluster.tls_server_name,
        "proxy-url": cluster.proxy_url,
    });
    Ok(Exec {
        command,
        arguments: exec.args.iter().flatten().map(|argument| argument.as_str().into()).collect(),
        environment: environment.collect(),
        api_version: exec.api_version.clone().unwrap_or_else(|| "client.authentication.k8s.io/v1".to_owned()),
        cluster: exec.provide_cluster_info.then_some(told),
        install_hint: exec.install_hint.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(user: &str, cluster: &str, context: Option<&str>) -> Result<Resolved, String> {
        let text = format!(
            "contexts: [{{name: a, context: {{cluster: c, user: u}}}}, {{name: b, context: {{cluster: d, user: u}}}}]\n\
             current-context: a\nclusters: [{{name: c, cluster: {cluster}}}]\nusers: [{{name: u, user: {user}}}]\n"
        );
        resolve(&text, Path::new("/etc/k/config"), context)
    }

    const SERVER: &str = "{server: 'https://api:6443'}";

    #[test]
    fn users_of_every_kind() {
        let user = |text: &str| resolved(text, SERVER, None).map(|resolved| resolved.user);
        assert!(matches!(user("{token: t}"), Ok(User::Token(_))));
        assert!(
            matches!(user("{tokenFile: t, token: x}"), Ok(User::TokenFile(path)) if path == Path::new("/etc/k/t"))
        );
        let certificate = "{client-certificate: a.pem, client-key: /b.pem}";
        assert!(matches!(user(certificate), Ok(User::Certificate)));
        let exec =
            "{exec: {command: bin/x, args: [a], env: [{name: N, value: v}], provideClusterInfo: true}}";
        let Ok(User::Exec(exec)) = user(exec) else { panic!("no program") };
        assert_eq!(exec.command, Path::new("/etc/k/bin/x"));
        assert_eq!(exec.cluster.unwrap()["server"], "https://api:6443");
    }

    #[test]
    fn every_fault_is_one_line() {
        let problem = |user: &str, cluster: &str, context: Option<&str>| {
            let error = resolved(user, cluster, context).err().unwrap_or_default();
            error.strip_prefix("the kubeconfig `/etc/k/config` ").unwrap_or(&error).to_owned()
        };
        for (user, cluster, context, expected) in [
            (
                "{token: t}",
                SERVER,
                Some("z"),
                "has no context `z`; correct `kubeconfig_context`, it has a, b",
            ),
            ("{token: t}", SERVER, Some("b"), "has no cluster `d`, which its context `b` names"),
            ("{token: t}", "{server: nonsense}", None, "names no URL as `server` of the cluster"),
            ("{}", SERVER, None, "names a user without token, program or certificate; log in anew"),
            (
                "{client-certificate: a}",
                SERVER,
                None,
                "has a client certificate without its key, or a key without its certificate",
            ),
            (
                "{client-certificate-data: '!', client-key: b}",
                SERVER,
                None,
                "holds something else than PEM in base64 as `client-certificate-data`",
            ),
            ("{exec: {command: ''}}", SERVER, None, "names no `command` of `exec`"),
        ] {
            assert_eq!(problem(user, cluster, context), expected);
        }
        let resolve = |text: &str| resolve(text, Path::new("k"), None).err().unwrap_or_default();
        let garbage = resolve("users: [{name: u, user: {token: {planted: secret}}}]");
        assert!(
            garbage.starts_with("the kubeconfig `k` is not one") && !garbage.contains("planted"),
            "{garbage}"
        );
        assert!(resolve("{}").contains("names no current context; give `kubeconfig_context`, it has none"));
    }
}
