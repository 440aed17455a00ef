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
