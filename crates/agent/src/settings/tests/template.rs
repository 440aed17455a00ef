//! The project template: what can be said against it before anything is applied.

use serde_json::json;

use super::{check_short, loaded, with_offering};

/// An offering whose template has this one object.
fn with_object(object: &str) -> String {
    with_offering(&format!("project_template: {{manifests: [{{object: {object}}}]}}"))
}

#[test]
fn what_no_project_could_hold_is_an_error() {
    for (object, expected) in [
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: about}}", ""),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: 'a-{{resource_slug}}', namespace: '{{namespace}}'}}",
            "",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '{{limit.cpu}} {{ .Values.y }}'}}",
            "",
        ),
        ("{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: 'app:reader'}}", ""),
        (
            "{apiVersion: v1, kind: Namespace, metadata: {name: about}}",
            "`Namespace` is in no namespace (only objects of projects can be made)",
        ),
        (
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: about}}",
            "`ClusterRoleBinding` is in no namespace (only objects of projects can be made)",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: about, namespace: kube-system}}",
            "is for namespace `kube-system` (objects are made in the projects of this offering; leave the namespace out)",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {}}",
            "has no `metadata.name` (an object is kept under its name)",
        ),
        ("{kind: ConfigMap, metadata: {name: about}}", "has no `apiVersion`"),
        ("text", "is no object (give apiVersion, kind, metadata and the rest as in a manifest)"),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: About_us}}",
            "`About_us` is no name of a Kubernetes object (lower-case letters, digits, `-` and `.`)",
        ),
        (
            "{apiVersion: v1, kind: ResourceQuota, metadata: {name: waldur-quota}}",
            "ResourceQuota `waldur-quota` is kept by the agent itself (choose another name)",
        ),
        (
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: admin}}",
            "RoleBinding `admin` is kept by the agent itself (choose another name)",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: about, ownerReferences: []}}",
            "has `metadata.ownerReferences` (remove it: it belongs to one object, not to a template)",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: about, labels: {waldur/resource-uuid: x}}}",
            "sets the label `waldur/resource-uuid` (the agent does)",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: about}, data: {x: '{{resource_nam}}'}}",
            "`{{resource_nam}}` stands for nothing (did you mean `{{resource_name}}`?)",
        ),
        (
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: about}, data: {x: '{{limit.gpu}}'}}",
            "`{{limit.gpu}}` stands for nothing",
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: about}}",
            "`Pod` cannot be kept (a pod that ends cannot be put back; use a Deployment)",
        ),
    ] {
        let line = format!("15: project_template.manifests[0].object: {expected}");
        let expected = if expected.is_empty() { Vec::new() } else { vec![line.as_str()] };
        check_short(&with_object(object), &expected);
    }
}

#[test]
fn an_object_that_is_there_twice_is_an_error() {
    let object = "{object: {apiVersion: v1, kind: ConfigMap, metadata: {name: about}}}";
    let text = with_offering(&format!("project_template: {{manifests: [{object}, {object}]}}"));
    let expected =
        "15: project_template.manifests[1].object: ConfigMap `about` is there twice (remove one of them)";
    check_short(&text, &[expected]);
}

#[test]
fn an_object_that_another_key_makes_is_an_error() {
    let object = |version: &str, kind: &str, name: &str| {
        format!("{{object: {{apiVersion: {version}, kind: {kind}, metadata: {{name: {name}}}}}}}")
    };
    let quota = object("v1", "ResourceQuota", "batch");
    let policy = object("networking.k8s.io/v1", "NetworkPolicy", "waldur-allow-same-project");
    for (keys, object, expected) in [
        (
            "service_accounts: [{name: ci}]",
            object("v1", "ServiceAccount", "ci"),
            "ServiceAccount `ci` is there twice: service_accounts makes it too",
        ),
        (
            "limit_ranges: [{name: ci, limits: []}]",
            object("v1", "LimitRange", "ci"),
            "LimitRange `ci` is there twice: limit_ranges makes it too",
        ),
        (
            "resource_quotas: [{name: batch, hard: {pods: 1}}]",
            quota,
            "ResourceQuota `batch` is there twice: resource_quotas makes it too",
        ),
        (
            "enable_network_isolation: true",
            policy,
            "NetworkPolicy `waldur-allow-same-project` is there twice: enable_network_isolation makes it too",
        ),
        ("labels: {a: b}", object("example.com/v1", "ServiceAccount", "ci"), ""),
    ] {
        let line = format!("15: project_template.manifests[0].object: {expected} (remove one of them)");
        let expected = if expected.is_empty() { Vec::new() } else { vec![line.as_str()] };
        check_short(
            &with_offering(&format!("project_template: {{{keys}, manifests: [{object}]}}")),
            &expected,
        );
    }
    let twice = "project_template: {service_accounts: [{name: ci}, {name: ci}]}";
    let expected = "15: project_template.service_accounts[1].name: ServiceAccount `ci` is there twice (remove one of them)";
    check_short(&with_offering(twice), &[expected]);
}

#[test]
fn values_have_the_types_of_yaml() {
    let object = "{apiVersion: v1, kind: X, metadata: {name: x}, a: 1, b: '1', c: true, d: 'true', e: 1.5, f: ~, g: 08, h: yes}";
    let settings = loaded(&with_object(object)).settings;
    let body = &settings.offerings[0].project_template.manifests[0].body;
    let expected = json!({
        "apiVersion": "v1", "kind": "X", "metadata": {"name": "x"},
        "a": 1, "b": "1", "c": true, "d": "true", "e": 1.5, "f": null, "g": "08", "h": "yes",
    });
    assert_eq!(*body, expected);
}

#[test]
fn labels_and_annotations_that_are_not_the_operators_to_set_are_errors() {
    for (lines, expected) in [
        ("labels: {team: web, example.com/x: '{{project_slug}}'}", ""),
        ("pod_security: {enforce: restricted, warn: baseline}", ""),
        (
            "labels: {waldur/resource-uuid: x}",
            "labels.waldur/resource-uuid: is kept by the agent or the cluster itself (remove it)",
        ),
        (
            "annotations: {openshift.io/requester: me}",
            "annotations.openshift.io/requester: is kept by the agent or the cluster itself (remove it)",
        ),
        (
            "labels: {team: 'a b'}",
            "labels.team: `a b` is no value of a label (at most 63 letters, digits, `-`, `_` and `.`)",
        ),
        ("labels: {team: '{{team}}'}", "labels.team: `{{team}}` stands for nothing"),
    ] {
        let line = format!("15: project_template.{expected}");
        let expected = if expected.is_empty() { Vec::new() } else { vec![line.as_str()] };
        check_short(&with_offering(&format!("project_template: {{{lines}}}")), &expected);
    }
}
