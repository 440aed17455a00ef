//! What the settings hold for what the file says.

use super::super::{AccountingType, ExactDecimal, HeldQuota, LimitPeriod, RestoreTo, Severity};
use super::{OFFERING, check, loaded, with, with_backend, with_components, with_offering};

/// The quota targets of a component as `key ratio unit static`.
fn check_quota(component: &str, expected: &[&str]) {
    let offering = loaded(&with_components(component)).settings.offerings.remove(0);
    let shown: Vec<String> = offering.components[1]
        .quota
        .iter()
        .map(|target| {
            let fixed = target.static_part.as_ref().map(|part| format!(" + {part}")).unwrap_or_default();
            format!("{} ×{}{}{fixed}", target.key, target.ratio, target.unit)
        })
        .collect();
    assert_eq!(shown, expected, "{component}");
}

#[test]
fn components_become_the_documented_or_the_configured_keys() {
    let rest = "measured_unit: x, accounting_type: limit";
    for (component, expected) in [
        (format!("memory: {{{rest}}}"), &["requests.memory ×1Gi", "limits.memory ×2Gi"] as &[&str]),
        (format!("storage: {{{rest}}}"), &["requests.storage ×1Gi"]),
        (format!("pods: {{{rest}}}"), &["pods ×1"]),
        (format!("gpu: {{{rest}, quota: requests.nvidia.com/gpu}}"), &["requests.nvidia.com/gpu ×1"]),
        (
            format!("ram: {{{rest}, quota: [requests.memory, limits.memory]}}"),
            &["requests.memory ×1Gi", "limits.memory ×1Gi"],
        ),
        (
            format!(
                "fast: {{{rest}, quota: {{key: ssd.storageclass.storage.k8s.io/requests.storage, unit: Ti, static: 10Gi}}}}"
            ),
            &["ssd.storageclass.storage.k8s.io/requests.storage ×1Ti + 10Gi"],
        ),
        (format!("bytes: {{{rest}, quota: [{{key: requests.memory, unit: ''}}]}}"), &["requests.memory ×1"]),
        (format!("jobs: {{{rest}, quota: []}}"), &[]),
    ] {
        check_quota(&component, expected);
    }
    let cpu = &loaded(OFFERING).settings.offerings[0].components[0];
    assert_eq!((cpu.quota.len(), cpu.quota[1].ratio.to_string()), (2, "2".to_owned()));
}

#[test]
fn factors_are_exact() {
    let text = with_components(
        "memory: {measured_unit: MB, accounting_type: limit, unit_factor: 0.0009765625, unit_factor_reporting: '1024'}",
    );
    let memory = &loaded(&text).settings.offerings[0].components[1];
    assert_eq!(memory.unit_factor.to_string(), "0.0009765625");
    assert_eq!(memory.unit_factor_reporting.to_string(), "1024");
}

#[test]
fn what_waldur_gets_of_a_component_is_kept() {
    let text = with_components(
        "memory: {measured_unit: 5, accounting_type: ONE, label: yes, limit: 10, limit_period: month, min_value: '1', \
         max_value: 5.0, description: ~}",
    );
    check(&text, "");
    let memory = &loaded(&text).settings.offerings[0].components[1];
    assert_eq!(memory.accounting_type, AccountingType::One);
    assert_eq!((memory.label.as_str(), memory.measured_unit.as_str()), ("yes", "5"));
    assert_eq!((memory.portal.min_value, memory.portal.max_value), (Some(1), Some(5)));
    assert_eq!(memory.portal.limit_period, Some(LimitPeriod::Month));
    assert_eq!(memory.portal.is_prepaid, Some(true));
    assert_eq!(memory.portal.description, None);
}

#[test]
fn yaml_1_1_and_loose_types_are_read_as_meant() {
    let text = with("name: OKD", "name: 2024")
        + "    stomp_enabled: On\n    verify_ssl: 'yes'\n    stomp_ws_port: '8443'\n";
    check(&text, "");
    let offering = loaded(&text).settings.offerings.remove(0);
    assert_eq!((offering.name.as_str(), offering.stomp.ws_port), ("2024", 8443));
    assert!(offering.stomp.enabled && offering.stomp.membership_sync);
}

#[test]
fn what_is_not_reported_anywhere_is_said() {
    let keys = "sentry_dsn: https://k@sentry.example.com/1\nelastic_apm_server_url: https://apm.example.com\n\
                log_shipping: {enabled: true}\n";
    let warnings = loaded(&format!("{keys}{}", with_offering(""))).warnings;
    let said: Vec<String> =
        warnings.iter().map(|warning| format!("{}: {}", warning.path, warning.message)).collect();
    assert_eq!(
        said,
        [
            "sentry_dsn: has no effect: this agent reports no errors to Sentry",
            "elastic_apm_server_url: has no effect: this agent reports no errors to Elastic APM",
            "log_shipping.enabled: has no effect: this agent does not send its log to Waldur",
        ]
    );
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
    check(&format!("log_shipping: {{enabled: false}}\n{}", with_offering("")), "");
}

#[test]
fn null_and_empty_text_mean_not_given() {
    let nulls = "stomp_ws_host: null\nstomp_ws_port: ~\nstomp_membership_sync_enabled:\nreporting_backend: ''\nverify_ssl: null";
    let text = format!(
        "sentry_dsn: ''\nglobal_proxy: \"\"\ntimezone:\nelastic_apm_server_url: null\n{}",
        with_offering(nulls)
    );
    check(&text, "");
    let settings = loaded(&text).settings;
    assert!(settings.sentry_dsn.is_none() && settings.global_proxy.is_none());
    let offering = &settings.offerings[0];
    assert_eq!((offering.stomp.ws_host.as_str(), offering.stomp.ws_port), ("waldur.example.com", 443));
    assert!(!offering.reporting);
}

#[test]
fn roles_names_and_lifecycle_have_their_defaults_and_can_be_changed() {
    let offering = loaded(&with_backend(
        "namespace_prefix: ''\nallocation_prefix: Team-\ndefault_role: ''\nrole_map: {PROJECT.MANAGER: admin, Member: ~}\n\
         lifecycle: {restore: defaults, terminate: ASYNC, pause_quotas: {cpu: 0.5, memory: 50%}}",
    ))
    .settings
    .offerings
    .remove(0);
    assert_eq!(offering.naming.namespace_prefix, "");
    assert_eq!(offering.naming.allocation_prefix, "team-");
    assert_eq!(offering.naming.customer_prefix, "org-");
    assert_eq!(offering.roles.cluster_role(Some("PROJECT.MANAGER")), Some("admin"));
    assert_eq!(offering.roles.cluster_role(Some("member")), None);
    assert_eq!(offering.roles.cluster_role(Some("PROJECT.CUSTOM")), None);
    assert_eq!(offering.roles.cluster_role(Some("Owner")), Some("admin"));
    assert_eq!(offering.lifecycle.restore, RestoreTo::Defaults);
    assert!(offering.lifecycle.terminate_async);
    let half = ExactDecimal::parse("0.5").unwrap();
    assert_eq!(
        offering.lifecycle.pause_quotas,
        [("cpu".to_owned(), HeldQuota::Amount(half)), ("memory".to_owned(), HeldQuota::Share(half))]
    );
    assert_eq!(offering.lifecycle.downscale_quotas.len(), 4);
    assert_eq!(offering.removal_guard.to_string(), "0.5");
}

#[test]
fn the_limit_range_is_on_by_default_and_can_be_switched_off() {
    let range = |text: &str| loaded(text).settings.offerings.remove(0).limit_range;
    let default = range(OFFERING);
    assert!(default.enabled && default.max.is_empty());
    assert_eq!(default.default_request[0].1.as_str(), "250m");
    assert!(!range(&with_backend("limit_range: {enabled: no}")).enabled);
    let changed = range(&with_backend("limit_range: {default: {cpu: '1', nvidia.com/gpu: 1}}"));
    assert_eq!((changed.default.len(), changed.default[0].1.as_str()), (2, "1"));
}
