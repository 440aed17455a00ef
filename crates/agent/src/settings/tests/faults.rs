//! Malformed and contradictory configurations: each gives its error in its place.

use super::super::{Severity, Strictness, render};
use super::{OFFERING, check, check_short, findings, with, with_backend, with_components, with_offering};

#[test]
fn the_shortest_offering_has_no_findings() {
    check(OFFERING, "");
}

#[test]
fn all_faults_are_reported_at_once_with_place_path_and_hint() {
    check(
        "\
log_level: LOUD
reporting_periods: 13
ofering: 1
offerings:
  - name: OKD
    waldur_api_url: waldur.example.com
    waldur_offering_uuid: 123
    verify_ssl: [true]
    stomp_enabled: maybe
    backend_type: okd
    reporting_backend: okd
    backend_settings:
      api_url: https://api.okd.example.com:6443
      token_config:
        token_type: serviceaccount
    backend_components:
      cpu:
        accounting_type: limits
        unit_factor: -1
",
        "\
config.yaml:1:12: error: log_level: expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL, found `LOUD`
config.yaml:2:20: error: reporting_periods: expected a whole number from 1 to 12, found `13`
config.yaml:3:1: warning: ofering: unknown key
  hint: did you mean `offerings`?
config.yaml:5:5: error: offerings[0].waldur_api_token: no credential for Waldur is given
  hint: give waldur_api_token, waldur_api_token_file, or oidc_token_url, oidc_client_id and oidc_client_secret
config.yaml:6:21: error: offerings[0].waldur_api_url: expected a URL that begins with http:// or https://
  hint: check the address for blanks and missing parts
config.yaml:7:27: error: offerings[0].waldur_offering_uuid: expected a UUID, found `123`
  hint: 32 hexadecimal digits, with or without dashes, as in the address of the offering in Waldur
config.yaml:8:17: error: offerings[0].verify_ssl: expected true, false or the path of a CA file, found a list
config.yaml:9:20: error: offerings[0].stomp_enabled: expected true or false, found `maybe`
config.yaml:15:21: error: offerings[0].backend_settings.token_config.token_type: expected one of static, \
service_account, file, oauth, found `serviceaccount`
  hint: did you mean `service_account`?
config.yaml:18:9: error: offerings[0].backend_components.cpu.measured_unit: is missing
  hint: for example `measured_unit: Core`
config.yaml:18:26: error: offerings[0].backend_components.cpu.accounting_type: expected one of usage, limit, one, \
found `limits`
  hint: did you mean `limit`?
config.yaml:19:22: error: offerings[0].backend_components.cpu.unit_factor: expected a number greater than 0, found `-1`",
    );
}

#[test]
fn broken_text_is_one_error_at_its_place() {
    for (text, expected) in [
        ("", "config.yaml: error: the file is empty"),
        ("# nothing\n", "config.yaml: error: the file is empty"),
        ("just text\n", "config.yaml:1:1: error: expected a mapping, found a single value"),
        ("- a\n", "config.yaml:1:1: error: expected a mapping, found a list"),
        ("a: b: c\n", "config.yaml:1:5: error: not valid YAML"),
        ("offerings:\n\t- name: x\n", "config.yaml:2:2: error: not valid YAML: tabs"),
        ("offerings: [\n", "config.yaml:1:12: error: not valid YAML: unclosed bracket"),
        (
            "offerings: *nowhere\n",
            "config.yaml:1:12: error: not valid YAML: while parsing node, found unknown anchor",
        ),
        ("offerings: @x\n", "config.yaml:1:12: error: not valid YAML: unexpected character"),
    ] {
        let shown = render(&findings(text, &[], Strictness::Lenient));
        assert!(shown.starts_with(expected), "{text:?}: {shown}");
        assert!(shown.contains("hint: "), "{text:?}: {shown}");
    }
}

#[test]
fn repeated_keys_and_tags_do_not_hide_other_faults() {
    check_short(
        &with(
            "    backend_type: okd\n",
            "    backend_type: okd\n    name: other\n    verify_ssl: !env VERIFY\n    dry: 1\n",
        ),
        &[
            "7: : the key `name` appears twice; the first time in line 2 (keep one of them)",
            "8: : a tag (`!…`) has no meaning here (remove it, or quote the value if it begins with `!`)",
            "9: warning: dry: unknown key (`config default` shows all keys)",
        ],
    );
}

#[test]
fn aliases_and_merge_keys_work_as_in_the_python_agent() {
    let text = "\
unit: &limit {measured_unit: Core, accounting_type: limit}
offerings:
  - name: OKD
    waldur_api_url: https://waldur.example.com/api/
    waldur_api_token: waldur-token
    waldur_offering_uuid: 123e4567e89b12d3a456426614174000
    backend_type: okd
    order_processing_backend: okd
    backend_settings: {api_url: 'https://api.okd.example.com', token: okd-token}
    backend_components:
      cpu: *limit
      memory:
        <<: *limit
        measured_unit: GB
";
    check_short(text, &["1: warning: unit: unknown key (`config default` shows all keys)"]);
    let offering = &super::loaded(text).settings.offerings[0];
    let units: Vec<&str> =
        offering.components.iter().map(|component| component.measured_unit.as_str()).collect();
    assert_eq!(units, ["Core", "GB"]);
}

#[test]
fn aliases_cannot_fill_the_memory() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let previous = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", previous.trim_end_matches(", ")));
    }
    let shown = render(&findings(&text, &[], Strictness::Lenient));
    assert!(shown.contains("more than 100000 values in the file"), "{shown}");
}

#[test]
fn unknown_keys_are_warnings_and_errors_under_strict() {
    let text = with("    backend_type: okd\n", "    backend_typ: okd\n    backend_type: okd\n    token: x\n");
    check_short(
        &text,
        &[
            "6: warning: backend_typ: unknown key (did you mean `backend_type`?)",
            "8: warning: token: unknown key (it belongs into `backend_settings`)",
        ],
    );
    let strict = findings(&text, &[], Strictness::Strict);
    assert!(strict.iter().all(|finding| finding.severity == Severity::Error) && strict.len() == 2);
}

#[test]
fn credentials_must_be_given_once() {
    let token = "    waldur_api_token: waldur-token\n";
    for (lines, expected) in [
        (
            "    waldur_api_token: ''\n",
            "2: waldur_api_token: no credential for Waldur is given (give waldur_api_token, waldur_api_token_file, or \
             oidc_token_url, oidc_client_id and oidc_client_secret)",
        ),
        (
            "    waldur_api_token: a\n    waldur_api_token_file: /etc/b\n",
            "5: waldur_api_token_file: `waldur_api_token` and `waldur_api_token_file` are both given (keep one of them)",
        ),
        (
            "    oidc_token_url: https://sso.example.com/token\n    oidc_client_id: agent\n",
            "4: oidc_client_secret: is missing; OpenID needs all three oidc_ keys",
        ),
        (
            "    waldur_api_token: a\n    oidc_client_id: agent\n",
            "5: warning: oidc_client_id: is ignored, as a token is given (remove the token to use OpenID, or the oidc_ keys)",
        ),
        (
            "    waldur_api_token_file: /missing\n",
            "4: warning: waldur_api_token_file: the file cannot be read now: entity not found (`/missing` is read again \
             whenever it is needed)",
        ),
        ("    waldur_api_token_file: /etc/token\n", ""),
    ] {
        let expected: Vec<&str> = Some(expected).filter(|text| !text.is_empty()).into_iter().collect();
        check_short(&with(token, lines), &expected);
    }
}

#[test]
fn the_cluster_token_must_be_given_once() {
    let token = "      token: okd-token\n";
    for (lines, expected) in [
        (
            "",
            "9: backend_settings.token: no token for the cluster is given (give token, token_file, token_config, \
             kubeconfig or client_cert; in the cluster itself `token_config: {token_type: service_account}`)",
        ),
        (
            "      token: a\n      token_file: /etc/b\n",
            "11: backend_settings.token_file: `token` and `token_file` are both given (keep one of them)",
        ),
        (
            "      token: a\n      token_config: {token_type: file, token_file_path: /etc/b}\n",
            "10: warning: backend_settings.token: is ignored, as token_config is given (keep one of them)",
        ),
        (
            "      token_config: {token_type: file}\n",
            "10: backend_settings.token_config.token_file_path: is missing; token_type `file` needs it",
        ),
        (
            "      token_config: {token_type: static, token: a, token_file_path: /etc/b}\n",
            "10: warning: backend_settings.token_config.token_file_path: is ignored, as token_type is `static` (remove it, or \
             write `token_type: file`)",
        ),
        (
            "      token_config: {token_type: oauth, oauth_config: {refresh_token: c}}\n",
            "10: backend_settings.token_config.oauth_config.client_id: is missing; grant_type `refresh_token` needs it",
        ),
        (
            "      token_config: {token_type: oauth, oauth_config: {username: a}}\n",
            "10: backend_settings.token_config.oauth_config.password: is missing; grant_type `password` needs it",
        ),
        (
            "      token_config: {token_type: oauth, oauth_config: {username: a, password: b, refresh_token: c}}\n",
            "10: warning: backend_settings.token_config.oauth_config.refresh_token: is ignored, as grant_type is \
             `password` (remove it)",
        ),
        (
            "      token_config: {token_type: oauth, oauth_config: {client_id: a, refresh_token: c, \
             refresh_token_secret: d}}\n",
            "10: warning: backend_settings.token_config.oauth_config.refresh_token_secret: is ignored, as the agent does \
             not run in a pod (KUBERNETES_SERVICE_HOST is not set) (the last refresh token is then lost when the agent ends)",
        ),
        ("      token_config: {token_type: oauth, oauth_config: {client_id: a, client_secret: b}}\n", ""),
        (
            "      kubeconfig: /missing\n",
            "10: backend_settings.kubeconfig: the kubeconfig `/missing` cannot be read: entity not found",
        ),
        (
            "      kubeconfig: /etc/token\n",
            "10: backend_settings.kubeconfig: the kubeconfig `/etc/token` is not one (line 1); it must be what `oc config \
             view --raw` prints",
        ),
        (
            "      client_cert: /etc/a\n",
            "10: backend_settings.client_key: is missing; `client_cert` is given, and the two belong together",
        ),
        ("      client_cert: /etc/a\n      client_key: /etc/b\n", ""),
        ("      token_config: {token_type: SERVICE_ACCOUNT}\n", ""),
    ] {
        let expected: Vec<&str> = Some(expected).filter(|text| !text.is_empty()).into_iter().collect();
        check_short(&with(token, lines), &expected);
    }
}

#[test]
fn contradictions_between_keys_are_errors() {
    check_short(
        &with_offering("stomp_membership_sync_enabled: true"),
        &[
            "15: stomp_membership_sync_enabled: is true while stomp_enabled is false, so that members would not be kept at all \
           (set stomp_enabled to true, or remove this key)",
        ],
    );
    check_short(
        &with_backend("verify_cert: false\nca_file: /etc/ca.pem"),
        &[
            "12: backend_settings.ca_file: `ca_file` is given, and verify_cert says something else (keep one of them)",
        ],
    );
    check_short(
        &with_backend("limit_range: {default: {cpu: 100m}, max: {memory: 128Mi}}"),
        &[
            "11: backend_settings.limit_range.default.cpu: `default_request` 250m of cpu is greater than `default` 100m (the \
             API server refuses it: min ≤ default_request ≤ default ≤ max)",
            "11: backend_settings.limit_range.max.memory: `default_request` 256Mi of memory is greater than `max` 128Mi (the API \
             server refuses it: min ≤ default_request ≤ default ≤ max)",
        ],
    );
    check_short(
        &with_backend("lifecycle: {soft_delete: true, terminate_grace: 7d}"),
        &[
            "11: backend_settings.lifecycle.terminate_grace: soft_delete never deletes, so that there is no time before \
             deletion (keep one of them)",
        ],
    );
    let twice = OFFERING.trim_start_matches("offerings:\n");
    check_short(
        &format!("{OFFERING}{twice}"),
        &[
            "18: offerings[1].waldur_offering_uuid: `offerings[0]` has the same offering (each offering may stand in the file \
           once)",
        ],
    );
    check_short(
        &with_components("memory: {measured_unit: GB, accounting_type: limit, min_value: 5, max_value: 1}"),
        &[
            "15: backend_components.memory.max_value: `min_value` 5 is greater than `max_value` 1 (exchange or correct them)",
        ],
    );
}

#[test]
fn settings_that_do_not_do_what_they_say_are_warned_about() {
    check_short(
        &with_backend(
            "default_account: edit\nhomedir_quota: {size: 1}\nrole_map: {Owner: cluster-admin, owner: admin, Member: null}",
        ),
        &[
            "11: warning: backend_settings.default_account: is ignored (Read by the Python agent as the ClusterRole of every \
             member; ignored, as roles come from role_map and default_role.)",
            "12: warning: backend_settings.homedir_quota: is ignored (Ignored: projects have no home directories.)",
            "13: warning: backend_settings.role_map.Owner: cluster-admin lets members change the quota of their own project \
             (use admin)",
            "13: backend_settings.role_map.owner: this role is named twice (upper and lower case mean the same)",
        ],
    );
    check_short(
        &with_backend("namespace_prefix: openshift-\nallocation_prefix: a_b"),
        &[
            "11: backend_settings.namespace_prefix: expected a prefix outside of openshift-, kube- and kubernetes-, found \
             `openshift-` (OpenShift keeps such namespaces for itself; the agent makes none)",
            "12: backend_settings.allocation_prefix: expected the beginning of a namespace name, found `a_b` (at most 40 \
             letters, digits and `-`, not beginning with `-`)",
        ],
    );
    check_short(
        &with("https://api.okd.example.com:6443", "http://api.okd.example.com:6443"),
        &[
            "9: warning: backend_settings.api_url: tokens are sent unencrypted to an http:// address (use https://)",
        ],
    );
    check_short(
        &with_offering("verify_ssl: false\nstomp_enabled: true"),
        &[
            "2: warning: stomp_ws_port: is not given and is then 80, which does not go with websocket_use_tls (give \
           stomp_ws_port)",
        ],
    );
}

#[test]
fn prefixes_and_modes_that_lead_nowhere_are_reported() {
    check_short(
        &with_backend("namespace_prefix: ''\nallocation_prefix: ''"),
        &[
            "9: warning: backend_settings.allocation_prefix: namespaces get the bare slug as their name, as both prefixes are \
           empty (give namespace_prefix, so that they can be told from others)",
        ],
    );
    check_short(
        &with_backend("namespace_prefix: open\nallocation_prefix: shift-"),
        &[
            "12: backend_settings.allocation_prefix: together with namespace_prefix, names begin with `openshift-`, which \
           OpenShift keeps for itself (choose another prefix)",
        ],
    );
    check_short(
        &format!("agent_mode: event_process\n{OFFERING}"),
        &[
            "1: warning: agent_mode: no offering gets events, so that this mode has nothing to do (set stomp_enabled of the \
           offering to true, or choose another mode)",
        ],
    );
}
