//! Resource quotas and limit ranges: quantities, status, enforcement.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::okd::OkdOptions;

use crate::target::{APPLY, Answer, JSON_PATCH, MERGE, PROJECTS, STRATEGIC, Target, quota};

const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

#[tokio::test]
async fn quantities_come_back_canonical() {
    let target = Target::new().await;
    let quotas = format!("{}/resourcequotas?dryRun=All", target.agent.project("conf-canon").await);
    for (written, returned) in [
        (json!("1024Mi"), "1Gi"),
        (json!("1000m"), "1"),
        (json!("0.5"), "500m"),
        (json!("1.5Gi"), "1536Mi"),
        (json!("500M"), "500M"),
        (json!("1e3"), "1e3"),
        (json!("0.1Gi"), "107374182400m"),
        (json!("2000m"), "2"),
        (json!("1Ki"), "1Ki"),
        (json!(8), "8"),
        (json!(8.5), "8500m"),
        (json!("08"), "08"),
        (json!("+3"), "+3"),
        (json!("1024Gi"), "1Ti"),
        (json!("0Gi"), "0"),
        (json!("1500"), "1500"),
        (json!("100n"), "1m"),
        (json!("17179869184"), "17179869184"),
        (json!("1500m"), "1500m"),
        (json!("1k"), "1k"),
    ] {
        let made = target.agent.post(&quotas, &quota("q", &json!({"limits.cpu": written}))).await.is(201);
        assert_eq!(made["spec"]["hard"]["limits.cpu"], returned, "{written}");
        assert_eq!(made["status"], json!({}));
    }
    let pattern = "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    let malformed = format!(
        "ResourceQuota in version \"v1\" cannot be handled as a ResourceQuota: quantities must match the regular expression \
         {pattern}"
    );
    for written in ["16GiB", "abc", ""] {
        let answer = target.agent.post(&quotas, &quota("q", &json!({"limits.cpu": written}))).await;
        answer.fails(400, "BadRequest", &malformed);
    }
    target.agent.delete(&format!("{PROJECTS}/conf-canon")).await.is(200);
}

#[tokio::test]
async fn hard_limits_are_checked() {
    let target = Target::new().await;
    let quotas = format!("{}/resourcequotas?dryRun=All", target.agent.project("conf-hard").await);
    let invalid = async |hard: Value, why: &str| {
        let answer = target.agent.post(&quotas, &quota("odd", &hard)).await;
        answer.fails(422, "Invalid", &format!("ResourceQuota \"odd\" is invalid: {why}"));
    };
    let negative = "spec.hard[limits.cpu]: Invalid value: \"-1\": must be greater than or equal to 0";
    invalid(json!({"limits.cpu": "-1"}), negative).await;
    invalid(json!({"pods": "1500m"}), "spec.hard[pods]: Invalid value: \"1500m\": must be an integer").await;
    invalid(
        json!({"storage": "1Gi"}),
        "spec.hard[storage]: Invalid value: \"storage\": must be a standard resource for quota",
    )
    .await;
    let gpu = "[spec.hard[gpu]: Invalid value: \"gpu\": must be a standard resource type or fully qualified, spec.hard[gpu]: \
               Invalid value: \"gpu\": must be a standard resource for quota]";
    invalid(json!({"gpu": "1"}), gpu).await;
    let hard = json!({
        "cpu": "1", "memory": "1Gi", "requests.ephemeral-storage": "1Gi", "requests.nvidia.com/gpu": "2",
        "gold.storageclass.storage.k8s.io/requests.storage": "1Gi", "count/deployments.apps": "2",
    });
    assert_eq!(target.agent.post(&quotas, &quota("odd", &hard)).await.is(201)["spec"]["hard"], hard);
    assert_eq!(target.agent.post(&quotas, &quota("odd", &json!({}))).await.is(201)["spec"], json!({}));
    let mut scoped = quota("odd", &json!({"requests.storage": "1Gi"}));
    scoped["spec"]["scopes"] = json!(["NotTerminating"]);
    let why = "spec.scopes: Invalid value: [\"NotTerminating\"]: unsupported scope applied to resource";
    let answer = target.agent.post(&quotas, &scoped).await;
    answer.fails(422, "Invalid", &format!("ResourceQuota \"odd\" is invalid: {why}"));
    let warned =
        target.agent.post(&quotas, &quota("odd", &json!({"requests.cpu": "8", "limits.cpu": "1500m"}))).await;
    let warning = "299 - \"ResourceQuota requests.cpu (8) should be less than limits.cpu (1500m)\"";
    assert_eq!((warned.code, warned.warnings.as_slice()), (201, [warning.to_owned()].as_slice()));
    target.agent.delete(&format!("{PROJECTS}/conf-hard")).await.is(200);
}

#[tokio::test]
async fn the_status_is_empty_then_old_then_right() {
    // Only the simulator can be held between the steps.
    let options = OkdOptions { settle_delay: Duration::from_millis(150), ..OkdOptions::immediate() };
    let target = Target::simulator(options).await;
    let quotas = format!("{}/resourcequotas", target.agent.project("conf-status").await);
    let path = format!("{quotas}/waldur-quota");
    let made = target.agent.post(&quotas, &quota("waldur-quota", &json!({"pods": "3"}))).await.is(201);
    assert_eq!(made["status"], json!({}));
    assert_eq!(target.agent.get(&path).await.is(200)["status"], json!({}));
    let first = json!({"hard": {"pods": "3"}, "used": {"pods": "0"}});
    target.agent.until(&path, |answer| answer.body["status"] == first).await;
    let changed =
        target.agent.patch(&path, MERGE, &json!({"spec": {"hard": {"limits.cpu": "4"}}})).await.is(200);
    assert_eq!(
        (&changed["spec"]["hard"], &changed["status"]),
        (&json!({"limits.cpu": "4", "pods": "3"}), &first)
    );
    let second = json!({"hard": {"limits.cpu": "4", "pods": "3"}, "used": {"limits.cpu": "0", "pods": "0"}});
    target.agent.until(&path, |answer| answer.body["status"] == second).await;
}

#[tokio::test]
async fn a_put_does_not_create_and_overwrites_without_a_version() {
    let target = Target::new().await;
    let quotas = format!("{}/resourcequotas", target.agent.project("conf-put").await);
    let path = format!("{quotas}/waldur-quota");
    let missing = target.agent.put(&path, &quota("waldur-quota", &json!({"pods": "3"}))).await;
    missing.fails(404, "NotFound", "resourcequotas \"waldur-quota\" not found");
    assert_eq!(missing.body["details"], json!({"name": "waldur-quota", "kind": "resourcequotas"}));
    target
        .agent
        .post(&quotas, &quota("waldur-quota", &json!({"pods": "3", "limits.cpu": "1"})))
        .await
        .is(201);
    let again = target.agent.post(&quotas, &quota("waldur-quota", &json!({"pods": "1"}))).await;
    again.fails(409, "AlreadyExists", "resourcequotas \"waldur-quota\" already exists");
    let put = target.agent.put(&path, &quota("waldur-quota", &json!({"pods": "5"}))).await.is(200);
    assert_eq!(put["spec"]["hard"], json!({"pods": "5"}));
    let mut stale = quota("waldur-quota", &json!({"pods": "6"}));
    stale["metadata"]["resourceVersion"] = "1".into();
    let conflict = target.agent.put(&path, &stale).await;
    let message = format!("Operation cannot be fulfilled on resourcequotas \"waldur-quota\": {MODIFIED}");
    conflict.fails(409, "Conflict", &message);
    let deleted = target.agent.delete(&path).await.is(200);
    assert_eq!(
        (&deleted["kind"], &deleted["spec"]["hard"]),
        (&json!("ResourceQuota"), &json!({"pods": "5"}))
    );
    target.agent.delete(&path).await.fails(404, "NotFound", "resourcequotas \"waldur-quota\" not found");
    target.agent.delete(&format!("{PROJECTS}/conf-put")).await.is(200);
}

#[tokio::test]
async fn patches_add_keys_and_remove_only_what_is_null() {
    let target = Target::new().await;
    let quotas = format!("{}/resourcequotas", target.agent.project("conf-merge").await);
    let path = format!("{quotas}/q");
    target.agent.post(&quotas, &quota("q", &json!({"pods": "3"}))).await.is(201);
    let hard = async |content_type: &str, change: &Value| -> Value {
        target.agent.patch(&path, content_type, change).await.is(200)["spec"]["hard"].clone()
    };
    let change = |cpu: Value| json!({"spec": {"hard": {"limits.cpu": cpu}}});
    assert_eq!(hard(MERGE, &change(json!("4"))).await, json!({"limits.cpu": "4", "pods": "3"}));
    assert_eq!(hard(STRATEGIC, &change(json!("5"))).await, json!({"limits.cpu": "5", "pods": "3"}));
    let steps = json!([{"op": "replace", "path": "/spec/hard/limits.cpu", "value": "6"}]);
    assert_eq!(hard(JSON_PATCH, &steps).await, json!({"limits.cpu": "6", "pods": "3"}));
    assert_eq!(hard(MERGE, &change(Value::Null)).await, json!({"pods": "3"}));
    let test = json!([{"op": "test", "path": "/spec/hard/pods", "value": "7"}]);
    let failed = target.agent.patch(&path, JSON_PATCH, &test).await;
    failed.fails(422, "Invalid", "the server rejected our request due to an error in our request");
    let media = target.agent.patch(&path, "application/json", &json!({"spec": {}})).await;
    media.fails(415, "UnsupportedMediaType", "415: Unsupported Media Type");
    let none = target.agent.patch(&format!("{quotas}/none"), MERGE, &change(json!("4"))).await;
    none.fails(404, "NotFound", "resourcequotas \"none\" not found");
    let manager = target.agent.patch(&path, APPLY, &quota("q", &json!({"pods": "1"}))).await;
    let why =
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
    manager.fails(422, "Invalid", why);
    target.agent.delete(&format!("{PROJECTS}/conf-merge")).await.is(200);
}

#[tokio::test]
async fn a_quota_in_a_missing_namespace_is_not_found_and_its_list_is_empty() {
    let target = Target::new().await;
    let quotas = "/api/v1/namespaces/conf-no-such/resourcequotas";
    let made = target.agent.post(quotas, &quota("q", &json!({"pods": "1"}))).await;
    made.fails(404, "NotFound", "namespaces \"conf-no-such\" not found");
    assert_eq!(target.agent.get(quotas).await.is(200)["items"], json!([]));
    let status = target.agent.get(&format!("{quotas}/q/status")).await;
    assert_eq!(status.code, 403);
}

fn pod(name: &str, resources: &Value) -> Value {
    let container = json!({"name": "c", "image": "x", "resources": resources});
    json!({"metadata": {"name": name}, "spec": {"containers": [container]}})
}

fn sized(cpu: &str, memory: &str) -> Value {
    json!({"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": cpu, "memory": memory}})
}

#[tokio::test]
async fn a_quota_counts_and_limits_pods_and_claims() {
    let target = Target::new().await;
    let namespace = target.agent.project("conf-used").await;
    let (quotas, pods) = (format!("{namespace}/resourcequotas"), format!("{namespace}/pods"));
    let hard = json!({
        "limits.cpu": "2", "limits.memory": "4Gi", "persistentvolumeclaims": "2", "pods": "2", "requests.cpu": "1500m",
        "requests.nvidia.com/gpu": "0", "requests.storage": "10Gi",
    });
    target.agent.post(&quotas, &quota("waldur-quota", &hard)).await.is(201);
    let path = format!("{quotas}/waldur-quota");
    target.agent.until(&path, |answer| answer.body["status"]["hard"] == hard).await;
    let claim = json!({
        "metadata": {"name": "a"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}},
    });
    target.admin.post(&format!("{namespace}/persistentvolumeclaims"), &claim).await.is(201);
    target.admin.post(&pods, &pod("a", &sized("750m", "1.5Gi"))).await.is(201);
    target.admin.post(&pods, &pod("b", &sized("300m", "512Mi"))).await.is(201);
    let third = target.admin.post(&pods, &pod("c", &sized("300m", "512Mi"))).await;
    let over = "exceeded quota: waldur-quota, requested: pods=1, used: pods=2, limited: pods=2";
    third.fails(403, "Forbidden", &format!("pods \"c\" is forbidden: {over}"));
    let bare = target.admin.post(&pods, &pod("d", &json!({}))).await;
    let specify = "failed quota: waldur-quota: must specify limits.cpu for: c; limits.memory for: c; requests.cpu for: c";
    bare.fails(403, "Forbidden", &format!("pods \"d\" is forbidden: {specify}"));
    let used = json!({
        "limits.cpu": "1050m", "limits.memory": "2Gi", "persistentvolumeclaims": "1", "pods": "2", "requests.cpu": "1050m",
        "requests.nvidia.com/gpu": "0", "requests.storage": "3Gi",
    });
    target.agent.until(&path, |answer| answer.body["status"]["used"] == used).await;
    let lowered = target
        .agent
        .patch(&path, MERGE, &json!({"spec": {"hard": {"limits.cpu": "1", "pods": "0"}}}))
        .await
        .is(200);
    assert_eq!(lowered["spec"]["hard"]["pods"], "0");
    let kept = |answer: &Answer| {
        answer.body["status"]["hard"]["pods"] == "0" && answer.body["status"]["used"]["pods"] == "2"
    };
    target.agent.until(&path, kept).await;
    target.agent.delete(&format!("{PROJECTS}/conf-used")).await.is(200);
}

#[tokio::test]
async fn a_limit_range_gives_containers_what_the_quota_asks_for() {
    let target = Target::new().await;
    let namespace = target.agent.project("conf-ranges").await;
    let ranges = format!("{namespace}/limitranges");
    let limits = json!([{
        "type": "Container", "default": {"cpu": "1000m", "memory": "512Mi"}, "defaultRequest": {"cpu": "100m"},
        "max": {"cpu": "4"},
    }]);
    let range = json!({"metadata": {"name": "waldur-limits"}, "spec": {"limits": limits}});
    let denied = target.agent.post(&ranges, &range).await;
    let user = "system:serviceaccount:waldur-system:waldur-site-agent";
    let why = "cannot create resource \"limitranges\" in API group \"\" in the namespace \"conf-ranges\"";
    denied.fails(403, "Forbidden", &format!("limitranges is forbidden: User \"{user}\" {why}"));
    let made = target.extended.post(&ranges, &range).await.is(201);
    let stored = &made["spec"]["limits"][0];
    assert_eq!(stored["default"]["cpu"], "1");
    assert_eq!(stored["defaultRequest"], json!({"cpu": "100m", "memory": "512Mi"}));
    let quotas = format!("{namespace}/resourcequotas");
    target.agent.post(&quotas, &quota("q", &json!({"limits.cpu": "2", "requests.cpu": "2"}))).await.is(201);
    target.agent.until(&format!("{quotas}/q"), |answer| answer.body["status"]["hard"].is_object()).await;
    let pod_made = target.admin.post(&format!("{namespace}/pods"), &pod("bare", &json!({}))).await.is(201);
    let resources = &pod_made["spec"]["containers"][0]["resources"];
    assert_eq!(resources["limits"], json!({"cpu": "1", "memory": "512Mi"}));
    assert_eq!(resources["requests"], json!({"cpu": "100m", "memory": "512Mi"}));
    let big = target.admin.post(&format!("{namespace}/pods"), &pod("big", &sized("8", "1Gi"))).await;
    let over = "maximum cpu usage per Container is 4, but limit is 8";
    big.fails(403, "Forbidden", &format!("pods \"big\" is forbidden: {over}"));
    target.agent.delete(&format!("{PROJECTS}/conf-ranges")).await.is(200);
}

#[tokio::test]
async fn parallel_patches_of_one_quota_all_succeed() {
    let target = Target::new().await;
    let quotas = format!("{}/resourcequotas", target.agent.project("conf-par").await);
    target.agent.post(&quotas, &quota("q", &json!({"pods": "1"}))).await.is(201);
    let path = format!("{quotas}/q");
    let tasks: Vec<_> = (0..8)
        .map(|n: u32| {
            let (api, path) = (target.agent.clone(), path.clone());
            tokio::spawn(async move {
                let change = json!({"spec": {"hard": {format!("count/x{n}.example.com"): "1"}}});
                api.patch(&path, MERGE, &change).await.code
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    let hard = target.agent.get(&path).await.is(200)["spec"]["hard"].as_object().unwrap().len();
    assert_eq!(hard, 9);
    target.agent.delete(&format!("{PROJECTS}/conf-par")).await.is(200);
}

#[tokio::test]
async fn scopes_are_checked_and_cannot_be_changed() {
    let target = Target::new().await;
    let quotas = format!("{}/resourcequotas", target.agent.project("conf-scopes").await);
    let scoped = |spec: Value| {
        let mut body = quota("scoped", &json!({"pods": "3"}));
        for (key, value) in spec.as_object().unwrap() {
            body["spec"][key] = value.clone();
        }
        body
    };
    let priority = |operator: &str, values: Value| {
        let expression = json!({"scopeName": "PriorityClass", "operator": operator, "values": values});
        json!({"scopeSelector": {"matchExpressions": [expression]}})
    };
    for (spec, why) in [
        (
            json!({"scopes": ["BestEffort", "NotBestEffort"]}),
            "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes",
        ),
        (
            priority("In", json!([])),
            "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' \
             or 'NotIn' for scope selector",
        ),
    ] {
        let answer = target.agent.post(&quotas, &scoped(spec)).await;
        answer.fails(422, "Invalid", &format!("ResourceQuota \"scoped\" is invalid: {why}"));
    }
    let path = format!("{quotas}/scoped");
    target.agent.post(&quotas, &scoped(json!({"scopes": ["Terminating"]}))).await.is(201);
    let changed = target.agent.patch(&path, MERGE, &json!({"spec": {"scopes": ["NotTerminating"]}})).await;
    let why = "spec.scopes: Invalid value: [\"NotTerminating\"]: field is immutable";
    changed.fails(422, "Invalid", &format!("ResourceQuota \"scoped\" is invalid: {why}"));
    let more =
        target.agent.patch(&path, MERGE, &json!({"spec": priority("In", json!(["high"]))})).await.is(200);
    assert_eq!(more["spec"]["scopeSelector"]["matchExpressions"][0]["values"], json!(["high"]));
    target.agent.delete(&format!("{PROJECTS}/conf-scopes")).await.is(200);
}

#[tokio::test]
async fn a_quota_counts_and_limits_what_is_in_its_scopes() {
    let target = Target::new().await;
    let project = target.agent.project("conf-scoped").await;
    let (quotas, pods) = (format!("{project}/resourcequotas"), format!("{project}/pods"));
    let small = json!({"requests": {"cpu": "100m"}});
    let with = |name: &str, resources: &Value, key: &str, value: Value| {
        let mut pod = pod(name, resources);
        pod["spec"][key] = value;
        pod
    };
    let in_classes = json!([{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]);
    for (name, spec) in [
        ("ending", json!({"scopes": ["Terminating"]})),
        ("lasting", json!({"scopes": ["NotTerminating"]})),
        ("best", json!({"scopes": ["BestEffort"]})),
        ("asking", json!({"scopes": ["NotBestEffort"]})),
        ("high", json!({"scopeSelector": {"matchExpressions": in_classes}})),
    ] {
        let mut body = quota(name, &json!({"pods": "2"}));
        body["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        target.agent.post(&quotas, &body).await.is(201);
        let status = json!({"hard": {"pods": "2"}, "used": {"pods": "0"}});
        target.agent.until(&format!("{quotas}/{name}"), |answer| answer.body["status"] == status).await;
    }
    target.admin.post(&pods, &with("a", &small, "activeDeadlineSeconds", json!(60))).await.is(201);
    target.admin.post(&pods, &pod("b", &json!({}))).await.is(201);
    target.admin.post(&pods, &with("c", &small, "activeDeadlineSeconds", json!(60))).await.is(201);
    for (name, used) in [("ending", "2"), ("lasting", "1"), ("best", "1"), ("asking", "2"), ("high", "0")] {
        let used = json!({"pods": used});
        target.agent.until(&format!("{quotas}/{name}"), |answer| answer.body["status"]["used"] == used).await;
    }
    let refused = target.admin.post(&pods, &with("d", &json!({}), "activeDeadlineSeconds", json!(60))).await;
    let why = "exceeded quota: ending, requested: pods=1, used: pods=2, limited: pods=2";
    refused.fails(403, "Forbidden", &format!("pods \"d\" is forbidden: {why}"));
    target.admin.post(&pods, &pod("e", &json!({}))).await.is(201);
    target.agent.delete(&format!("{PROJECTS}/conf-scoped")).await.is(200);
}

#[tokio::test]
async fn a_limit_range_is_filled_in_from_its_largest_and_smallest_amounts() {
    let target = Target::new().await;
    let ranges = format!("{}/limitranges?dryRun=All", target.agent.project("conf-defaults").await);
    let range = |item: Value| json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"}, "spec": {"limits": [item]}});
    let given = json!({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m", "memory": "1Mi"}});
    let made = target.admin.post(&ranges, &range(given)).await.is(201);
    let item = &made["spec"]["limits"][0];
    assert_eq!(item["default"], json!({"cpu": "2"}));
    assert_eq!(item["defaultRequest"], json!({"cpu": "2", "memory": "1Mi"}));
    let wrong = json!({"type": "Container", "min": {"cpu": "1"}, "default": {"cpu": "500m"}});
    let why = "[spec.limits[0].defaultRequest[cpu]: Invalid value: \"500m\": min value 1 is greater than default request value \
               500m, spec.limits[0].default[cpu]: Invalid value: \"500m\": min value 1 is greater than default value 500m]";
    let answer = target.admin.post(&ranges, &range(wrong)).await;
    answer.fails(422, "Invalid", &format!("LimitRange \"r\" is invalid: {why}"));
    target.agent.delete(&format!("{PROJECTS}/conf-defaults")).await.is(200);
}
