//! No secret is shown: not by findings, not by `Debug`, not in JSON.

use super::super::{Strictness, check_text, render, render_json};
use super::{environment, findings};

const PLANTED: &str = "planted-secret";

/// A configuration that holds a secret under every key that may hold one.
const EVERYWHERE: &str = "\
global_proxy: http://user:planted-secret@proxy.example.com
sentry_dsn: https://planted-secret@sentry.example.com/1?token=planted-secret
elastic_apm_server_url: https://user:planted-secret@apm.example.com
monitoring: {prometheus_url: 'https://user:planted-secret@prometheus.example.com'}
offerings:
  - name: OKD
    waldur_api_url: https://waldur.example.com/api/
    oidc_token_url: https://sso.example.com/token
    oidc_client_id: agent
    oidc_client_secret: planted-secret
    waldur_offering_uuid: 123e4567e89b12d3a456426614174000
    backend_type: okd
    order_processing_backend: okd
    event_processing: {stomp_host: broker.example.com, stomp_password: planted-secret}
    backend_settings:
      api_url: https://api.okd.example.com:6443
      proxy: http://user:planted-secret@proxy.example.com
      token: planted-secret
      token_config:
        token_type: oauth
        token: planted-secret
        oauth_config:
          client_id: agent
          client_secret: planted-secret
          refresh_token: planted-secret
          token_endpoint: https://oauth.example.com/token
    backend_components:
      cpu: {measured_unit: Core, accounting_type: limit}
  - name: OKD 2
    waldur_api_url: https://waldur.example.com/api/
    waldur_api_token: planted-secret
    waldur_offering_uuid: 123e4567e89b12d3a456426614174001
    backend_type: okd
    order_processing_backend: okd
    backend_settings:
      api_url: https://api.okd.example.com:6443
      token: planted-secret
    backend_components:
      cpu: {measured_unit: Core, accounting_type: limit}
";

#[test]
fn loaded_settings_show_no_secret() {
    let loaded = check_text("config.yaml", EVERYWHERE, &environment(&[]), Strictness::Lenient).unwrap();
    let shown = format!("{loaded:?}{loaded:#?}{}{}", render(&loaded.warnings), render_json(&loaded.warnings));
    assert!(!shown.contains(PLANTED), "{shown}");
    assert!(shown.contains("proxy.example.com"), "the host of a proxy may be shown");
}

/// Breaks the file at one secret after the other, in each of these ways.
#[test]
fn findings_about_secrets_show_no_secret() {
    let places: Vec<usize> = EVERYWHERE.match_indices(PLANTED).map(|(at, _)| at).collect();
    for at in places {
        for broken in [
            "[planted-secret]",
            "{planted-secret: 1}",
            "*planted-secret",
            "!planted-secret",
            "@planted-secret",
            "planted-secret\" \"x",
            "\"planted-secret",
            "'planted-secret",
            "${planted-secret}",
            "planted-secret: x",
            "?planted-secret#",
            "planted secret planted-secret",
        ] {
            let text = format!("{}{broken}{}", &EVERYWHERE[..at], &EVERYWHERE[at + PLANTED.len()..]);
            let findings = findings(&text, &[], Strictness::Strict);
            let shown = format!("{}{}{findings:?}", render(&findings), render_json(&findings));
            assert!(!shown.contains(PLANTED), "{broken}\n{shown}");
        }
    }
}

#[test]
fn text_in_the_wrong_place_is_not_repeated() {
    for text in [
        "planted-secret\n",
        "offerings: planted-secret\n",
        "offerings: [planted-secret]\n",
        "offerings: [{name: x, backend_type: okd, backend_settings: planted-secret}]\n",
        "offerings: [{name: x, backend_type: okd, backend_settings: {token_config: planted-secret}}]\n",
        "waldur_api_url: https://user:planted-secret@waldur.example.com/\n",
        "waldur_api_url: planted-secret\n",
    ] {
        let shown = render(&findings(text, &[], Strictness::Strict));
        assert!(shown.contains("error") && !shown.contains(PLANTED), "{shown}");
    }
}
