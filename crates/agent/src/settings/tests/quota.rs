//! What components do to the quota, and what the API server would refuse or silently ignore.

use super::{check_short, with_components, with_offering};

#[test]
fn mappings_that_the_api_server_would_refuse_or_ignore_are_errors() {
    let gpu = |quota: &str| {
        with_components(&format!("gpu: {{measured_unit: GPU, accounting_type: limit, quota: {quota}}}"))
    };
    for (quota, expected) in [
        ("requests.nvidia.com/gpu", ""),
        ("[requests.nvidia.com/gpu, count/jobs.batch]", ""),
        ("[{key: requests.nvidia.com/gpu, ratio: 4, static: 2}]", ""),
        ("[]", ""),
        (
            "nvidia.com/gpu",
            "`nvidia.com/gpu` is accepted by the API server, but nothing is counted under it (write \
             `requests.nvidia.com/gpu`)",
        ),
        (
            "gpu",
            "`gpu` is not a resource that a quota can limit; the API server refuses it (write `requests.nvidia.com/gpu`)",
        ),
        (
            "requests.cpu",
            "`requests.cpu` is set by the component `cpu` already (each key of the quota can follow one component only; \
             `cpu` and `requests.cpu` are the same)",
        ),
        (
            "cpu",
            "`cpu` is set by the component `cpu` already (each key of the quota can follow one component only; `cpu` and \
             `requests.cpu` are the same)",
        ),
        (
            "[pods, pods]",
            "`pods` is set twice by this component (each key of the quota can follow one component only; `cpu` and \
             `requests.cpu` are the same)",
        ),
        (
            "[requests.memory, {key: limits.memory, ratio: 0.5}]",
            "`limits.memory` is smaller than `requests.memory` (give limits.memory a ratio of at least 1)",
        ),
        (
            "[requests.memory, {key: limits.memory, unit: M}]",
            "`limits.memory` is smaller than `requests.memory` (give limits.memory a ratio of at least 1)",
        ),
        (
            "[{key: requests.memory, static: 2Gi}, {key: limits.memory, ratio: 2, static: 1Gi}]",
            "`static` of `limits.memory` is smaller than that of `requests.memory` (make it at least as large)",
        ),
        (
            "[{key: pods, ratio: 0.5}]",
            "`pods` counts whole things, and this component would set fractions of them (make unit_factor × ratio (and \
             static) a whole number, and leave unit out)",
        ),
        (
            "[{key: pods, unit: Gi}]",
            "`pods` counts whole things, and `Gi` is a unit of bytes (leave unit out)",
        ),
        ("[{key: requests.memory, unit: GB}]", "`GB` is no suffix of a Kubernetes quantity (write `G`)"),
        ("[{key: pods, ratio: 0}]", "expected a number greater than 0, found `0`"),
        (
            "[{key: pods, static: 1GB}]",
            "expected a Kubernetes quantity such as 500m or 16Gi, found `1GB` (write `1G`)",
        ),
        ("[{ratio: 2}]", "is missing (a key of a ResourceQuota"),
        ("{requests: cpu}", "is missing (a key of a ResourceQuota"),
        ("[[pods]]", "expected a quota key or a target, found a list (for example `requests.cpu`"),
    ] {
        let text = gpu(quota);
        let shown = super::short(&text);
        if expected.is_empty() {
            assert_eq!(shown, "", "{quota}");
        } else {
            let found = shown.lines().find(|line| line.to_lowercase().contains(&expected.to_lowercase()));
            assert!(
                found.is_some_and(|line| line.starts_with("15: offerings[0].backend_components.gpu.quota")),
                "{quota}: {shown}"
            );
        }
    }
    let whole = "pods: {measured_unit: Pods, accounting_type: limit, unit_factor: 0.5}";
    assert!(super::short(&with_components(whole)).contains("`pods` counts whole things"));
}

#[test]
fn components_without_effect_are_warned_about() {
    check_short(
        &with_components(
            "memroy: {measured_unit: GB, accounting_type: limit}\nlicences: {measured_unit: '1', accounting_type: usage}",
        ),
        &[
            "15: warning: backend_components.memroy: this component has no effect on the cluster (did you mean `memory`? \
             Otherwise give `quota: [<key>]`)",
            "16: warning: backend_components.licences: this component has no effect on the cluster (give `quota: <key>`, such \
             as requests.nvidia.com/gpu, or `quota: []` if that is meant)",
        ],
    );
    check_short(
        &with_offering("default_quotas: {cpus: 1}"),
        &[
            "15: warning: default_quotas.cpus: backend_components has no such component, so that this has no effect (did you \
           mean `cpu`?)",
        ],
    );
}

#[test]
fn amounts_of_whole_things_are_whole() {
    let pods = "pods: {measured_unit: Pods, accounting_type: limit}";
    let text = with_components(pods) + "    default_quotas: {cpu: 1.5, pods: 1.5}\n";
    check_short(
        &text,
        &[
            "16: default_quotas.pods: `pods` counts whole things, and `1.5` would set a fraction of them (write a whole number)",
        ],
    );
}

#[test]
fn further_quotas_are_held_against_what_the_api_server_takes_and_counts() {
    let with = |quota: &str, component: &str| {
        let gpu = format!("gpu: {{measured_unit: GPU, accounting_type: limit, quota: {component}}}");
        let template = format!("    project_template: {{resource_quotas: [{quota}]}}\n");
        format!("{}{template}", with_components(&gpu))
    };
    let batch = "[{key: requests.nvidia.com/gpu, resource_quota: batch}]";
    let of_template = "project_template.resource_quotas[0]";
    let of_component = "backend_components.gpu.quota[0].key";
    for (quota, component, line, path, expected) in [
        ("{name: batch, scopes: [terminating]}", batch, 0, "", ""),
        ("{name: batch, scopes: [Terminating], hard: {pods: 2}}", batch, 0, "", ""),
        (
            "{name: batch, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}}",
            batch,
            0,
            "",
            "",
        ),
        ("{name: waldur-quota, hard: {count/secrets: 20}}", "[]", 0, "", ""),
        (
            "{name: batch, scopes: [BestEffort, NotBestEffort]}",
            batch,
            16,
            "",
            "no pod is both `BestEffort` and `NotBestEffort`",
        ),
        (
            "{name: batch, scopes: [Terminatin]}",
            batch,
            16,
            ".scopes[0]",
            "expected one of BestEffort, CrossNamespacePodAffinity, NotBestEffort, NotTerminating, PriorityClass, \
             Terminating, found `Terminatin` (did you mean `Terminating`?)",
        ),
        (
            "{name: batch, scopes: [Terminating], hard: {requests.storage: 1Gi}}",
            batch,
            16,
            ".hard.requests.storage",
            "`requests.storage` is not counted by a quota with scopes, which are about pods",
        ),
        (
            "{name: batch, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In}]}}",
            batch,
            16,
            "",
            "`In` of scope `PriorityClass` needs `values`",
        ),
        (
            "{name: waldur-quota, scopes: [Terminating]}",
            "[]",
            16,
            "",
            "`waldur-quota` counts everything in a project and has no scopes (give a quota of another name)",
        ),
        (
            "{name: waldur-quota, hard: {cpu: 2}}",
            "[]",
            13,
            "backend_components.cpu.quota",
            "`requests.cpu` has a fixed amount in `hard` of quota `waldur-quota` (each key of the quota can follow one \
             component only; `cpu` and `requests.cpu` are the same)",
        ),
        (
            "{name: batche, hard: {pods: 1}}",
            batch,
            15,
            of_component,
            "there is no quota `batch` (did you mean `batche`?)",
        ),
        (
            "{name: batch, scopes: [Terminating], hard: {pods: 1}}",
            "[{key: count/jobs.batch, resource_quota: batch}]",
            15,
            of_component,
            "`count/jobs.batch` is not counted by a quota with scopes, which are about pods (the scopes of quota `batch` \
             are Terminating)",
        ),
        (
            "{name: batch}",
            "[]",
            16,
            "",
            "quota `batch` limits nothing (give it `hard`, or name it as `resource_quota` of a component's quota target)",
        ),
        (
            "{name: Batch, hard: {pods: 1}}",
            "[]",
            16,
            ".name",
            "`Batch` is no name of a Kubernetes object (lower-case letters, digits, `-` and `.`)",
        ),
    ] {
        let full = if path.starts_with("backend") { path.to_owned() } else { format!("{of_template}{path}") };
        let expected_line = format!("{line}: {full}: {expected}");
        let expected = if expected.is_empty() { Vec::new() } else { vec![expected_line.as_str()] };
        check_short(&with(quota, component), &expected);
    }
}

#[test]
fn hours_of_some_pods_only_are_not_measured() {
    let component = "batch: {measured_unit: h, accounting_type: usage, quota: [{key: requests.cpu, resource_quota: batch}]}";
    let text = format!(
        "{}    project_template: {{resource_quotas: [{{name: batch, scopes: [Terminating]}}]}}\n",
        with_components(component)
    );
    let expected = "15: warning: backend_components.batch.usage: usage of `batch` is not reported: its quota counts some pods \
                    only, which Prometheus cannot tell apart (give `usage: {measure: quota_used}` or `allocation`)";
    check_short(&text, &[expected]);
}
