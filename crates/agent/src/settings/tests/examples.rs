//! The files under `examples/`.

use super::super::{ClusterToken, Environment, Mode, Strictness, check_text};
use super::{check, environment, loaded};

const FLAT: &str = include_str!("../../../../../examples/okd-config.yaml");
const TOKENS: &str = include_str!("../../../../../examples/okd-config-with-token-refresh.yaml");

#[test]
fn the_flat_example_loads_and_says_what_has_no_effect_yet() {
    check(
        FLAT,
        "config.yaml:92:3: note: monitoring.alert_thresholds: is checked, but has no effect in this version",
    );
    let settings = loaded(FLAT).settings;
    assert_eq!(settings.agent_mode, Some(Mode::EventProcess));
    assert_eq!(settings.periods.order_process.as_secs(), 300);
    assert_eq!(settings.log_file.as_deref(), Some("/var/log/waldur-site-agent.log".as_ref()));
    let offering = &settings.offerings[0];
    assert_eq!(offering.waldur_api_url.as_str(), "https://waldur.example.com/");
    assert_eq!(offering.component("pods").map(|pods| pods.label.as_str()), Some("pods"));
    assert_eq!(offering.project_template.limit_ranges[0].limits.len(), 2);
    assert!(offering.stomp.enabled && offering.stomp.broker.is_some());
    assert_eq!(settings.monitoring.listens(), ["0.0.0.0:8080".parse().unwrap()]);
}

#[test]
fn the_token_example_uses_its_first_document_and_names_the_others() {
    check(
        TOKENS,
        "config.yaml:24:1: warning: document 2 of the file (another configuration) is not used\n  \
           hint: the configuration is the document that begins in line 5\n\
         config.yaml:43:1: warning: document 3 of the file (another configuration) is not used\n  \
           hint: the configuration is the document that begins in line 5\n\
         config.yaml:62:1: warning: document 4 of the file (another configuration) is not used\n  \
           hint: the configuration is the document that begins in line 5",
    );
}

#[test]
fn each_document_of_the_token_example_loads_by_itself() {
    let kinds: Vec<&str> = TOKENS
        .split("---\n")
        .skip(1)
        .map(|document| match loaded(document).settings.offerings.remove(0).cluster.token {
            ClusterToken::Static(_) => "static",
            ClusterToken::ServiceAccount { .. } => "service_account",
            ClusterToken::File { .. } => "file",
            ClusterToken::OAuth(_) => "oauth",
            ClusterToken::Kubeconfig { .. } | ClusterToken::ClientCertificate(..) => "no key of token_config",
        })
        .collect();
    assert_eq!(kinds, ["static", "service_account", "file", "oauth"]);
}

#[test]
fn the_examples_have_no_unknown_keys() {
    for text in [FLAT, TOKENS] {
        check_text("config.yaml", text, &environment(&[]), Strictness::Strict).unwrap();
    }
}

#[test]
fn the_examples_are_found_where_the_documentation_says() {
    for name in ["okd-config.yaml", "okd-config-with-token-refresh.yaml"] {
        let path = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
        super::super::load(path.as_ref(), &Environment::process(), Strictness::Strict).unwrap();
    }
}
