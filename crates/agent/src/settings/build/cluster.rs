//! The cluster of an offering. Waldur contract §1.5.

use planner::access::RoleTable;
use planner::policy::Naming;
use planner::usernames::{UsernameRule, UsernameSource};

use super::{Context, credentials, offering};
use crate::settings::CredentialUrl;
use crate::settings::check::is_reserved;
use crate::settings::keys::{TOKEN_CONFIG, USERNAMES};
use crate::settings::model::{ClusterSettings, ClusterToken, TlsVerify, UniquenessCheck};
use crate::settings::view::View;

pub(super) fn settings(view: &View<'_>, context: &mut Context<'_, '_>) -> Option<ClusterSettings> {
    context.warn_plain_http(view, "api_url");
    let kubeconfig = credentials::kubeconfig(view, context);
    let given = view.url("api_url").filter(|_| view.is_set("api_url"));
    let pod = credentials::pod(context).filter(|_| given.is_none() && !view.is_set("kubeconfig"));
    let pair = credentials::client_certificate(view, context);
    let token = credentials::token(view, (kubeconfig.as_ref(), pair.as_ref()), pod.is_some(), context);
    let tls = tls(view, context);
    let mut settings = ClusterSettings {
        api_url: view.url("api_url")?,
        token: token?,
        tls,
        server_name: None,
        client_certificate: None,
        proxy: view.credential_url("proxy"),
        agent_namespace: view.text("agent_namespace"),
        prometheus_url: view.credential_url("prometheus_url"),
    };
    let own_tls = view.is_set("ca_file") || view.is_set("verify_cert");
    if let Some(kubeconfig) = kubeconfig {
        settings.api_url = given.clone().unwrap_or(kubeconfig.server);
        if !own_tls {
            settings.tls = kubeconfig.verify;
        }
        settings.proxy = settings.proxy.or(kubeconfig.proxy.map(CredentialUrl::new));
        settings.server_name = kubeconfig.server_name;
        settings.client_certificate = kubeconfig.client_certificate;
    } else if let Some(pod) = pod {
        settings.api_url = pod;
        let directory = match &settings.token {
            ClusterToken::ServiceAccount { directory } => directory.clone(),
            _ => view.section("token_config", TOKEN_CONFIG).file("service_account_path")?,
        };
        if !own_tls {
            settings.tls = TlsVerify::CaFile(directory.join("ca.crt"));
        }
    } else if given.is_none() && !view.is_set("kubeconfig") {
        let message = "is not given; https://localhost:8443 is used";
        let hint = "give the address of the API server, such as https://api.okd.example.com:6443";
        context.findings.warning(view.place, &view.path("api_url"), message, hint);
    }
    settings.client_certificate = pair.or(settings.client_certificate);
    let root = settings.api_url.path().trim_end_matches('/').to_owned() + "/";
    settings.api_url.set_path(&root);
    Some(settings)
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
