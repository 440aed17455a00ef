//! The two forms of the file, several documents, other back ends, and the environment.

use super::super::{Mode, SkippedOffering, Strictness, TlsVerify, TokenSource, check_text, render};
use super::{OFFERING, check, check_short, environment, findings, loaded, with, with_offering};

const FLAT: &str = "\
waldur_api_url: https://waldur.example.com/api/
waldur_api_token: waldur-token
waldur_offering_uuid: 123e4567-e89b-12d3-a456-426614174000
backend_type: okd
backend_settings: {api_url: 'https://api.okd.example.com:6443', token: okd-token}
backend_components:
  cpu: {measured_unit: Core, accounting_type: limit}
";

#[test]
fn the_flat_form_is_one_offering_with_all_work_switched_on() {
    check(FLAT, "");
    let settings = loaded(FLAT).settings;
    let offering = &settings.offerings[0];
    assert_eq!(offering.name, "okd");
    assert!(offering.order_processing && offering.membership_sync && offering.reporting);
    assert!(!offering.stomp.enabled);
    assert_eq!(offering.offering_uuid, loaded(OFFERING).settings.offerings[0].offering_uuid);
    assert_eq!(offering.offering_uuid_text, "123e4567-e89b-12d3-a456-426614174000");
    let only_orders = loaded(&format!("{FLAT}order_processing_backend: okd\n")).settings;
    assert!(only_orders.offerings[0].order_processing && !only_orders.offerings[0].reporting);
}

#[test]
fn the_keys_of_the_flat_form_take_effect() {
    let settings = loaded(&format!(
        "{FLAT}agent_mode: event_process\nlog_level: debug\nlog_file: /var/log/a.log\ndry_run: yes\npolling_interval: 90\n\
         default_quotas: {{cpu: 1.5}}\n"
    ))
    .settings;
    assert_eq!(settings.agent_mode, Some(Mode::EventProcess));
    assert!(settings.dry_run && settings.offerings[0].stomp.enabled);
    assert_eq!(settings.periods.report.as_secs(), 90);
    assert_eq!(settings.periods.reconciliation.as_secs(), 3600);
    assert_eq!(settings.offerings[0].default_quotas[0].1.to_string(), "1.5");
}

#[test]
fn the_address_of_waldur_may_end_in_every_usual_way() {
    for (written, root) in [
        ("https://portal.ai/api/", "https://portal.ai/"),
        ("https://portal.ai/api", "https://portal.ai/"),
        ("https://portal.ai/", "https://portal.ai/"),
        ("https://portal.ai", "https://portal.ai/"),
        ("https://my-api/api/", "https://my-api/"),
        ("https://example.com/waldur/api/", "https://example.com/waldur/"),
        ("https://example.com/waldur-api", "https://example.com/waldur-api/"),
        ("http://localhost:8000/api//", "http://localhost:8000/"),
    ] {
        let settings = loaded(&with("https://waldur.example.com/api/", written)).settings;
        assert_eq!(settings.offerings[0].waldur_api_url.as_str(), root, "{written}");
    }
}

#[test]
fn offerings_of_other_back_ends_are_named_and_neither_checked_nor_filled_in() {
    let text = OFFERING
        .replace("offerings:\n", "offerings:\n  - {name: HPC, backend_type: SLURM, default: '${UNSET}'}\n");
    check_short(&text, &["2: note: offerings[0]: `HPC` is skipped; its back end is `slurm`"]);
    let loaded = loaded(&text);
    assert_eq!(
        loaded.skipped,
        [SkippedOffering { name: "HPC".into(), backend_type: "slurm".into(), line: 2 }]
    );
    assert_eq!(loaded.settings.offerings.len(), 1);
}

#[test]
fn a_file_without_any_offering_of_ours_is_refused() {
    check_short(
        "offerings: []",
        &["1: offerings: the list is empty (`config default` prints a complete example)"],
    );
    check_short(
        "offerings: [{name: HPC, backend_type: slurm}]",
        &[
            "1: offerings: no offering has the back end `okd` (`config default` prints a complete example)",
            "1: note: offerings[0]: `HPC` is skipped; its back end is `slurm`",
        ],
    );
    check_short(
        "offerings:",
        &["1: offerings: is missing (The offerings; those of other back ends are skipped.)"],
    );
    check_short(
        "offerings: 5",
        &["1: offerings: expected a list, found a single value (begin each item with `- `)"],
    );
    let slurm = FLAT.replace("backend_type: okd", "backend_type: slurm");
    assert!(
        super::short(&slurm)
            .contains("4: backend_type: the one offering of this file belongs to another back end")
    );
}

#[test]
fn back_ends_are_told_apart_key_by_key() {
    check_short(
        &with("    backend_type: okd\n", "    backend_type: okdd\n"),
        &["6: backend_type: no back end is called `okdd` (did you mean `okd`?)"],
    );
    check_short(
        &with_offering("reporting_backend: slurm"),
        &[
            "15: warning: reporting_backend: `slurm` is another back end; this agent leaves that work to it (write `okd` to \
           have it done here)",
        ],
    );
    check_short(
        &with("    backend_type: okd\n", "    backend_type: slurm\n"),
        &[
            "6: warning: backend_type: `slurm` is another back end, but `okd` is to do work of this offering (write \
           `backend_type: okd`, or take the offering out of this file)",
        ],
    );
    check_short(
        &with("    order_processing_backend: okd\n", ""),
        &[
            "2: warning: offerings[0]: no work is switched on for this offering (set order_processing_backend, \
           membership_sync_backend or reporting_backend to `okd`)",
        ],
    );
}

#[test]
fn the_first_document_that_is_a_configuration_is_used() {
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: agent}\n";
    check(
        &format!("---\n{account}---\n---\n{FLAT}---\n{FLAT}---\nfurther: 1\n"),
        "\
config.yaml:2:1: warning: document 1 of the file (ServiceAccount `agent`) is not used
  hint: the configuration is the document that begins in line 7
config.yaml:15:1: warning: document 3 of the file (another configuration) is not used
  hint: the configuration is the document that begins in line 7
config.yaml:23:1: warning: document 4 of the file (a mapping that begins with `further`) is not used
  hint: the configuration is the document that begins in line 7",
    );
    check(
        account,
        "\
config.yaml:1:1: error: neither `offerings` nor the keys of a single offering are at the top level
  hint: `config default` prints a complete example",
    );
    check(
        "offering: []\n",
        "\
config.yaml:1:1: error: offering: unknown key
  hint: did you mean `offerings`?
config.yaml:1:1: error: neither `offerings` nor the keys of a single offering are at the top level
  hint: `config default` prints a complete example",
    );
}

#[test]
fn keys_of_an_offering_beside_offerings_are_sent_home() {
    check_short(
        &format!("{OFFERING}waldur_api_url: https://waldur.example.com/\n"),
        &["15: warning: waldur_api_url: unknown key (it belongs into an offering)"],
    );
}

#[test]
fn variables_reach_values_and_missing_ones_are_named_with_their_path() {
    let text = with("waldur-token", "${WALDUR_TOKEN}")
        .replace("accounting_type: limit", "accounting_type: ${KIND:-limit}");
    let variables = [("WALDUR_TOKEN", "secret-of-the-environment")];
    assert_eq!(findings(&text, &variables, Strictness::Strict), []);
    check(
        &text,
        "\
config.yaml:4:23: error: offerings[0].waldur_api_token: the environment variable `WALDUR_TOKEN` is not set
  hint: set it, or give a default: `${WALDUR_TOKEN:-…}`",
    );
    let wrong = render(&findings(
        &with_offering("verify_ssl: true\nstomp_enabled: ${X}"),
        &[("X", "hidden")],
        Strictness::Strict,
    ));
    assert!(wrong.contains("found `${X}`") && !wrong.contains("hidden"), "{wrong}");
}

#[test]
fn periods_come_from_the_environment_and_win_over_polling_interval() {
    let variables = [
        ("WALDUR_SITE_AGENT_ORDER_PROCESS_PERIOD_MINUTES", "0.5"),
        ("WALDUR_SITE_AGENT_REPORT_PERIOD_MINUTES", " 10 "),
        ("WALDUR_SITE_AGENT_RECONCILIATION_PERIOD_MINUTES", ""),
        ("WALDUR_LOG_LEVEL", "error"),
    ];
    let text = format!("polling_interval: 20\n{OFFERING}");
    let settings = check_text("", &text, &environment(&variables), Strictness::Strict).unwrap().settings;
    let periods = settings.periods;
    let seconds = [periods.order_process, periods.report, periods.membership_sync, periods.reconciliation];
    assert_eq!(seconds.map(|period| period.as_secs()), [30, 600, 20, 3600]);
    assert_eq!(settings.log_level, super::super::LogLevel::Error);
    let wrong = [
        ("WALDUR_SITE_AGENT_REPORT_PERIOD_MINUTES", "often"),
        ("WALDUR_SITE_AGENT_ORDER_PROCESS_PERIOD_MINUTES", "-1"),
        ("WALDUR_SITE_AGENT_MEMBERSHIP_SYNC_PERIOD_MINUTES", "NaN"),
        ("WALDUR_LOG_LEVEL", "loud"),
    ];
    let report = render(&findings(OFFERING, &wrong, Strictness::Lenient));
    assert_eq!(report.matches("environment: error: WALDUR_").count(), 4, "{report}");
}

#[test]
fn verification_and_credentials_have_their_variants() {
    let first = |text: &str| loaded(text).settings.offerings.remove(0);
    assert_eq!(first(OFFERING).verify_ssl, TlsVerify::System);
    assert_eq!(first(&with_offering("verify_ssl: off")).verify_ssl, TlsVerify::Off);
    assert_eq!(
        first(&with_offering("verify_ssl: /etc/ca.pem")).verify_ssl,
        TlsVerify::CaFile("/etc/ca.pem".into())
    );
    let oidc = "oidc_token_url: https://sso.example.com/t\n    oidc_client_id: 12\n    oidc_client_secret: s";
    let offering = first(&with("waldur_api_token: waldur-token", oidc));
    assert!(matches!(offering.waldur_api_token, TokenSource::Oidc { client_id, .. } if client_id == "12"));
}
