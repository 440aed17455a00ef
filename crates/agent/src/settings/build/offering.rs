//! One offering. Waldur contract §1.3.

use url::Url;

use super::{Context, Document, Form, cluster, component, lifecycle, quota, subjects, template};
use crate::settings::keys::{BACKEND_SETTINGS, PERIODIC_LIMITS};
use crate::settings::model::{Mode, OfferingSettings, StompSettings, TlsVerify, TokenSource};
use crate::settings::scalar;
use crate::settings::view::View;
use crate::settings::yaml::Node;

/// The kinds of work and the keys that switch them on.
const BACKENDS: [&str; 3] = ["order_processing_backend", "membership_sync_backend", "reporting_backend"];

/// Names of this back end.
const OURS: [&str; 2] = ["okd", "openshift"];

/// Whether an offering belongs to this back end: by `backend_type`, or by who does any of its work.
///
/// An offering without `backend_type` is taken as ours, so that its absence is reported.
pub(crate) fn is_ours(node: &Node) -> bool {
    let named =
        |key: &str| node.get(key).and_then(Node::text).filter(|text| !text.is_empty()).map(str::to_lowercase);
    let ours = |name: &str| OURS.contains(&name);
    BACKENDS.iter().any(|key| named(key).is_some_and(|name| ours(&name)))
        || named("backend_type").is_none_or(|name| ours(&name) || misspelt(&name).is_some())
}

/// The back end that a misspelt name means.
fn misspelt(name: &str) -> Option<&'static str> {
    if OURS.contains(&name) { None } else { crate::settings::suggest::nearest(name, OURS) }
}

pub(crate) fn settings(
    path: &str,
    node: &Node,
    document: &Document<'_>,
    mode: Option<Mode>,
    context: &mut Context<'_, '_>,
) -> Option<OfferingSettings> {
    let keys = match document.form {
        Form::Offerings => crate::settings::keys::OFFERING,
        Form::Flat => document.keys,
    };
    let view = View::new(keys, Some(node), path, node.place);
    let backend = view.section("backend_settings", BACKEND_SETTINGS);

    let [order_processing, membership_sync, reporting] = work(&view, document.form, context);
    let backend_type = backend_type(&view, context);
    let url = waldur_root(&view, context);
    let token = token(&view, context);
    let verify_ssl = tls(&view, "verify_ssl");
    let stomp = stomp(&view, document.form, mode, url.as_ref(), &verify_ssl, context);
    let cluster = cluster::settings(&backend, context);
    let roles = cluster::roles(&backend, context);
    let resource_quotas = quota::settings(&view, context);
    let components = component::settings(&view, &resource_quotas, context);
    quota::check_all(&view, &resource_quotas, &components, context);
    let limit_range = template::limit_range(&backend, context);
    let names: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
    let project_template = template::project_template(&view, &names, resource_quotas, context);
    let lifecycle = lifecycle::settings(&backend, &components, context);
    let default_quotas = lifecycle::amounts(&view, "default_quotas", &components, context);
    let offering_uuid_text = view.text("waldur_offering_uuid");
    let naming = cluster::naming(&backend, context);
    let subjects = subjects::subjects(&backend, context);
    let identity_provider = subjects::identity_provider(&backend, context);
    warn_username_management(&view, context);

    Some(OfferingSettings {
        name: view.text("name")?,
        waldur_api_url: url?,
        waldur_api_token: token?,
        offering_uuid: scalar::uuid(offering_uuid_text.as_deref()?)?,
        offering_uuid_text: offering_uuid_text?,
        backend_type: backend_type?,
        order_processing,
        membership_sync,
        reporting,
        username_management_backend: view.text("username_management_backend")?,
        stomp: stomp?,
        verify_ssl,
        resource_import_enabled: view.truth("resource_import_enabled"),
        username_reconciliation_enabled: view.truth("username_reconciliation_enabled"),
        omit_anomalous_usage_components: view.truth("omit_anomalous_usage_components"),
        naming,
        roles,
        subjects: subjects?,
        identity_provider,
        service_accounts: subjects::service_accounts(&backend)?,
        usernames: cluster::usernames(&backend)?,
        uniqueness: cluster::uniqueness(&backend)?,
        cluster: cluster?,
        components,
        limit_range,
        default_quotas,
        lifecycle: lifecycle?,
        adopt: backend.truth("adopt"),
        grant_organization_owners: backend.truth("grant_organization_owners"),
        removal_guard: backend.share("removal_guard")?,
        periodic_limits: backend.section("periodic_limits", PERIODIC_LIMITS).truth("enabled"),
        project_template,
    })
}

fn backend_type(view: &View<'_>, context: &mut Context<'_, '_>) -> Option<String> {
    let name = view.text("backend_type")?.to_lowercase();
    if let Some(meant) = misspelt(&name) {
        let message = format!("no back end is called `{name}`");
        let hint = format!("did you mean `{meant}`?");
        context.findings.error(view.place("backend_type"), &view.path("backend_type"), message, hint);
        return None;
    }
    if !OURS.contains(&name.as_str()) {
        let message = format!("`{name}` is another back end, but `okd` is to do work of this offering");
        let hint = "write `backend_type: okd`, or take the offering out of this file";
        context.findings.warning(view.place("backend_type"), &view.path("backend_type"), message, hint);
    }
    Some(name)
}

/// Which of the three kinds of work are switched on. A file in the flat form that names none means all.
fn work(view: &View<'_>, form: Form, context: &mut Context<'_, '_>) -> [bool; 3] {
    if form == Form::Flat && BACKENDS.iter().all(|key| !view.is_set(key) && !view.is_empty_text(key)) {
        return [true; 3];
    }
    let enabled = BACKENDS.map(|key| {
        let Some(name) = view.text(key).map(|name| name.to_lowercase()) else { return false };
        let ours = OURS.contains(&name.as_str());
        if let Some(meant) = misspelt(&name) {
            let hint = format!("did you mean `{meant}`?");
            context.findings.error(
                view.place(key),
                &view.path(key),
                format!("no back end is called `{name}`"),
                hint,
            );
        } else if !ours {
            let message = format!("`{name}` is another back end; this agent leaves that work to it");
            context.findings.warning(
                view.place(key),
                &view.path(key),
                message,
                "write `okd` to have it done here",
            );
        }
        ours
    });
    if enabled == [false; 3] {
        let message = "no work is switched on for this offering";
        let hint = "set order_processing_backend, membership_sync_backend or reporting_backend to `okd`";
        context.findings.warning(view.place, &view.path, message, hint);
    }
    enabled
}

/// The root of the server: the address without `api` as its last path segment, ending with `/`.
fn waldur_root(view: &View<'_>, context: &mut Context<'_, '_>) -> Option<Url> {
    context.warn_plain_http(view, "waldur_api_url");
    let mut url = view.url("waldur_api_url")?;
    let path = url.path().trim_end_matches('/');
    let root = path.strip_suffix("/api").unwrap_or(path).trim_end_matches('/');
    let root = format!("{root}/");
    url.set_path(&root);
    Some(url)
}

fn token(view: &View<'_>, context: &mut Context<'_, '_>) -> Option<TokenSource> {
    let oidc = ["oidc_token_url", "oidc_client_id", "oidc_client_secret"];
    let given: Vec<&str> = oidc.into_iter().filter(|key| view.is_set(key)).collect();
    let both = context.exclude(view, "waldur_api_token", "waldur_api_token_file");
    let has_token = view.is_set("waldur_api_token") || view.is_set("waldur_api_token_file");
    if has_token {
        if let Some(key) = given.first() {
            let message = "is ignored, as a token is given";
            let hint = "remove the token to use OpenID, or the oidc_ keys";
            context.findings.warning(view.place(key), &view.path(key), message, hint);
        }
        if let Some(file) = view.file("waldur_api_token_file") {
            context.probe_secret_file(view, "waldur_api_token_file", &file);
            return (!both).then_some(TokenSource::File(file));
        }
        return view.secret("waldur_api_token").map(TokenSource::Static);
    }
    if given.is_empty() {
        let message = "no credential for Waldur is given";
        let hint = "give waldur_api_token, waldur_api_token_file, or oidc_token_url, oidc_client_id and oidc_client_secret";
        context.findings.error(view.place, &view.path("waldur_api_token"), message, hint);
        return None;
    }
    for key in oidc.iter().filter(|key| !given.contains(key)) {
        let message = "is missing; OpenID needs all three oidc_ keys";
        context.findings.error(view.place(given[0]), &view.path(key), message, "");
    }
    Some(TokenSource::Oidc {
        token_url: view.url("oidc_token_url")?,
        client_id: view.text("oidc_client_id")?,
        client_secret: view.secret("oidc_client_secret")?,
    })
}

/// Verification by a key that is a truth value or a path.
pub(super) fn tls(view: &View<'_>, key: &str) -> TlsVerify {
    let text = view.text(key).unwrap_or_default();
    match scalar::truth(&text) {
        Some(true) => TlsVerify::System,
        Some(false) => TlsVerify::Off,
        None => TlsVerify::CaFile(text.into()),
    }
}

fn stomp(
    view: &View<'_>,
    form: Form,
    mode: Option<Mode>,
    url: Option<&Url>,
    verify_ssl: &TlsVerify,
    context: &mut Context<'_, '_>,
) -> Option<StompSettings> {
    let by_mode = form == Form::Flat && mode == Some(Mode::EventProcess) && !view.is_set("stomp_enabled");
    let enabled = by_mode || view.truth("stomp_enabled");
    let membership = view.optional_truth("stomp_membership_sync_enabled");
    let key = "stomp_membership_sync_enabled";
    if !enabled && membership == Some(true) {
        let message = "is true while stomp_enabled is false, so that members would not be kept at all";
        context.findings.error(
            view.place(key),
            &view.path(key),
            message,
            "set stomp_enabled to true, or remove this key",
        );
    }
    let websocket_use_tls = view.truth("websocket_use_tls");
    // The port follows verify_ssl, not websocket_use_tls, in the Python agent (Waldur contract §1.3).
    let default_port = if *verify_ssl == TlsVerify::Off { 80 } else { 443 };
    if enabled && !view.is_set("stomp_ws_port") && websocket_use_tls != (default_port == 443) {
        let message =
            format!("is not given and is then {default_port}, which does not go with websocket_use_tls");
        context.findings.warning(view.place, &view.path("stomp_ws_port"), message, "give stomp_ws_port");
    }
    let path = view.text("stomp_ws_path")?;
    Some(StompSettings {
        enabled,
        membership_sync: membership.unwrap_or(enabled) && enabled,
        websocket_use_tls,
        ws_host: view.text("stomp_ws_host").or_else(|| url?.host_str().map(str::to_owned))?,
        ws_port: view.whole("stomp_ws_port").unwrap_or(default_port),
        ws_path: if path.starts_with('/') { path } else { format!("/{path}") },
        broker: template::broker(view),
    })
}

fn warn_username_management(view: &View<'_>, context: &mut Context<'_, '_>) {
    let key = "username_management_backend";
    if view.text(key).is_some_and(|name| name != "base") {
        let message = "usernames are made by Waldur or by another agent, not by this one";
        context.findings.warning(
            view.place(key),
            &view.path(key),
            message,
            "write `base`, or remove the key",
        );
    }
}
