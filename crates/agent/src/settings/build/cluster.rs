//! The cluster of an offering. Waldur contract §1.5.

use planner::access::RoleTable;
use planner::policy::Naming;
use planner::usernames::{UsernameRule, UsernameSource};

use super::{Context, offering};
use crate::settings::check::is_reserved;
use crate::settings::keys::{OAUTH, TOKEN_CONFIG, USERNAMES};
use crate::settings::model::{ClusterSettings, ClusterToken, TlsVerify, UniquenessCheck};
use crate::settings::view::View;

pub(super) fn settings(view: &View<'_>, context: &mut Context<'_, '_>) -> Option<ClusterSettings> {
    context.warn_plain_http(view, "api_url");
    if !view.is_set("api_url") {
        let message = "is not given; https://localhost:8443 is used";
        let hint = "give the address of the API server, such as https://api.okd.example.com:6443";
        context.findings.warning(view.place, &view.path("api_url"), message, hint);
    }
    let token = token(view, context);
    let tls = tls(view, context);
    let mut api_url = view.url("api_url")?;
    let root = api_url.path().trim_end_matches('/').to_owned() + "/";
    api_url.set_path(&root);
    Some(ClusterSettings {
        api_url,
        token: token?,
        tls,
        proxy: view.credential_url("proxy"),
        agent_namespace: view.text("agent_namespace"),
        prometheus_url: view.credential_url("prometheus_url"),
    })
}

fn tls(view: &View<'_>, context: &mut Context<'_, '_>) -> TlsVerify {
    let verify = offering::tls(view, "verify_cert");
    let Some(file) = view.file("ca_file") else { return verify };
    if view.is_set("verify_cert") && verify != TlsVerify::System {
        let message = "`ca_file` is given, and verify_cert says something else";
        context.findings.error(view.place("ca_file"), &view.path("ca_file"), message, "keep one of them");
    }
    TlsVerify::CaFile(file)
}

fn token(view: &View<'_>, context: &mut Context<'_, '_>) -> Option<ClusterToken> {
    let both =
        context.exclude(view, "token", "token_file") | context.exclude(view, "token_file", "token_config");
    if view.is_set("token_config") {
        return token_config(view, context).filter(|_| !both);
    }
    if let Some(path) = view.file("token_file") {
        context.probe_secret_file(view, "token_file", &path);
        return (!both).then_some(ClusterToken::File { path });
    }
    let token = view.secret("token");
    if token.is_none() {
        let message = "no token for the cluster is given";
        let hint = "give token, token_file or token_config; in the cluster itself `token_config: {token_type: service_account}`";
        context.findings.error(view.place, &view.path("token"), message, hint);
    }
    token.map(ClusterToken::Static)
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
    for (name, key) in TYPES {
        if key != own && view.is_set(key) {
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
            let oauth = view.section("oauth_config", OAUTH);
            Some(ClusterToken::OAuth {
                client_id: oauth.text("client_id")?,
                client_secret: oauth.secret("client_secret")?,
                refresh_token: oauth.secret("refresh_token")?,
                token_endpoint: oauth.url("token_endpoint")?,
            })
        }
    }
}

/// Prefixes of namespaces are put in lower case, as the names are.
pub(super) fn naming(view: &View<'_>, context: &mut Context<'_, '_>) -> Naming {
    let naming = Naming {
        namespace_prefix: view.text_or_empty("namespace_prefix").to_ascii_lowercase(),
        allocation_prefix: view.text_or_empty("allocation_prefix").to_ascii_lowercase(),
        customer_prefix: view.text_or_empty("customer_prefix"),
        project_prefix: view.text_or_empty("project_prefix"),
    };
    let (place, path) = (view.place("allocation_prefix"), view.path("allocation_prefix"));
    let whole = format!("{}{}", naming.namespace_prefix, naming.allocation_prefix);
    if whole.is_empty() {
        let message = "namespaces get the bare slug as their name, as both prefixes are empty";
        context.findings.warning(
            place,
            &path,
            message,
            "give namespace_prefix, so that they can be told from others",
        );
    } else if is_reserved(&whole)
        && !is_reserved(&naming.namespace_prefix)
        && !naming.namespace_prefix.is_empty()
    {
        let message = format!(
            "together with namespace_prefix, names begin with `{whole}`, which OpenShift keeps for itself"
        );
        context.findings.error(place, &path, message, "choose another prefix");
    }
    naming
}

pub(super) fn roles(view: &View<'_>, context: &mut Context<'_, '_>) -> RoleTable {
    let mut configured: Vec<(String, Option<String>)> = Vec::new();
    let entries = if view.is_set("role_map") { view.entries("role_map") } else { Vec::new() };
    for (name, path, node) in entries {
        let role = node.text().filter(|role| !role.is_empty()).map(str::to_owned);
        if role.as_deref() == Some("cluster-admin") {
            let message = "cluster-admin lets members change the quota of their own project";
            context.findings.warning(node.place, &path, message, "use admin");
        }
        let name = name.to_lowercase();
        if configured.iter().any(|(other, _)| *other == name) {
            context.findings.error(
                node.place,
                &path,
                "this role is named twice",
                "upper and lower case mean the same",
            );
        }
        configured.push((name, role));
    }
    let default_role = if view.is_empty_text("default_role") { None } else { view.text("default_role") };
    RoleTable { configured, default_role }
}

pub(super) fn usernames(view: &View<'_>) -> Option<UsernameRule> {
    let view = view.section("usernames", USERNAMES);
    let source = view.choice("attribute", |word| match word {
        "username" => Some(UsernameSource::Username),
        "email" => Some(UsernameSource::Email),
        "full_name" => Some(UsernameSource::FullName),
        _ => None,
    })?;
    Some(UsernameRule { source, lowercase: view.truth("lowercase") })
}

pub(super) fn uniqueness(view: &View<'_>) -> Option<UniquenessCheck> {
    Some(UniquenessCheck {
        enabled: view.truth("check_backend_id_uniqueness"),
        all_offerings: view.truth("check_all_offerings"),
        max_retries: view.whole("backend_id_max_retries")?,
    })
}
