//! Holds what both servers show against what the model says. Every difference is one line for whoever has to find out why.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::model::{Life, Model, Resource};
use super::world::{World, has_ended};
use crate::site::text;

const OURS: &str = "/metadata/labels/app.kubernetes.io~1managed-by";
const AGENT: &str = "waldur-site-agent";
const RESOURCE: &str = "/metadata/labels/waldur~1resource-uuid";
const REQUESTER: &str = "/metadata/annotations/openshift.io~1requester";
const ACCOUNT: &str = "system:serviceaccount:waldur-system:waldur-site-agent";

/// What is not as it has to be.
pub(crate) fn differences(model: &Model, world: &World) -> Vec<String> {
    let mut found = Vec::new();
    orders(model, world, &mut found);
    for (uuid, resource) in &model.resources {
        let mut faults = Vec::new();
        in_waldur(uuid, resource, world, &mut faults);
        on_the_cluster(model, uuid, resource, world, &mut faults);
        found.extend(faults.into_iter().map(|fault| format!("{} ({uuid}): {fault}", resource.name)));
    }
    for uuid in world.resources.keys().filter(|uuid| !model.resources.contains_key(*uuid)) {
        found.push(format!("Waldur has a resource {uuid} that nobody ordered"));
    }
    orphans(model, world, &mut found);
    strangers(model, world, &mut found);
    if world.identities > 1 {
        found.push(format!("Waldur knows {} agents where there is one", world.identities));
    }
    found
}

fn orders(model: &Model, world: &World, found: &mut Vec<String>) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for order in &world.orders {
        let (uuid, state, kind) = (text(order, "/uuid"), text(order, "/state"), text(order, "/type"));
        let resource = text(order, "/marketplace_resource_uuid");
        *counts.entry(resource).or_default() += 1;
        let ends = model.ends.get(uuid).map_or(&["done"][..], Vec::as_slice);
        if !ends.contains(&state) {
            let fate = if has_ended(order) { "ended as" } else { "is still" };
            let message = text(order, "/error_message");
            let ends = ends.join(" or ");
            found
                .push(format!("the {kind} order {uuid} of {resource} {fate} {state}, not {ends}; {message}"));
        }
    }
    for (resource, placed) in &model.placed {
        let there = counts.get(resource.as_str()).copied().unwrap_or_default();
        if there != *placed {
            found.push(format!("{there} orders of {resource}, not {placed}"));
        }
    }
}

fn in_waldur(uuid: &str, resource: &Resource, world: &World, faults: &mut Vec<String>) {
    let Some(row) = world.resources.get(uuid) else {
        faults.push("Waldur has no such resource any more".to_owned());
        return;
    };
    let mut differs = |what: &str, is: &Value, wanted: &Value| {
        if is != wanted {
            faults.push(format!("{what} in Waldur is {is}, not {wanted}"));
        }
    };
    let state = if resource.life == Life::Active { "OK" } else { "Terminated" };
    differs("the state", &row["state"], &state.into());
    differs("the limits", &row["limits"], &resource.limits.json());
    differs("`paused`", &row["paused"], &resource.paused.into());
    differs("`downscaled`", &row["downscaled"], &resource.downscaled.into());
}

fn is_ours(object: &Value) -> bool {
    text(object, OURS) == AGENT
}

fn ours_in<'a>(objects: &'a [Value], namespace: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| text(object, "/metadata/namespace") == namespace && is_ours(object))
}

fn on_the_cluster(model: &Model, uuid: &str, resource: &Resource, world: &World, faults: &mut Vec<String>) {
    let mine: Vec<&Value> = world.namespaces.iter().filter(|object| text(object, RESOURCE) == uuid).collect();
    let names: Vec<&str> = mine.iter().map(|namespace| text(namespace, "/metadata/name")).collect();
    let namespace = match (resource.life, &mine[..]) {
        (Life::Gone, []) => return,
        (Life::Gone, _) => return faults.push(format!("is terminated, and there is still {names:?}")),
        (_, [one]) => *one,
        (_, []) => return faults.push("has no namespace".to_owned()),
        (_, _) => return faults.push(format!("has several namespaces: {names:?}")),
    };
    let name = text(namespace, "/metadata/name");
    let mut says = |wrong: bool, fault: String| {
        if wrong {
            faults.push(format!("{name}: {fault}"));
        }
    };
    says(!is_ours(namespace), "lacks the label that it is the agent's".to_owned());
    says(!namespace["metadata"]["deletionTimestamp"].is_null(), "is being deleted".to_owned());
    if let Some(row) = world.resources.get(uuid) {
        let backend_id = text(row, "/backend_id");
        says(backend_id != name, format!("Waldur has the backend id `{backend_id}`"));
    }
    let shown = text(namespace, "/metadata/annotations/openshift.io~1display-name");
    let locked = resource.life == Life::Locked;
    // What is locked is kept as it was left, by whomever.
    says(shown != resource.name && !locked, format!("has the display name `{shown}`"));
    let terminated = namespace.pointer("/metadata/annotations/waldur~1terminated").is_some();
    says(terminated != locked, format!("is marked as terminated: {terminated}"));
    let due = namespace.pointer("/metadata/annotations/waldur~1delete-after").is_some();
    says(due != locked, format!("is marked for deletion: {due}"));

    let quotas: Vec<&Value> = ours_in(&world.quotas, name).collect();
    let wanted = resource.held_at().hard();
    match &quotas[..] {
        [quota] => {
            let hard = amounts(&quota["spec"]["hard"]);
            let same = hard.as_ref().is_some_and(|hard| {
                hard.len() == wanted.len()
                    && wanted.iter().all(|(key, amount)| hard.get(*key) == Some(amount))
            });
            says(!same, format!("its quota is {}, bought and held at {resource:?}", quota["spec"]["hard"]));
        }
        _ => says(true, format!("has {} quotas of the agent", quotas.len())),
    }
    let ranges = ours_in(&world.limit_ranges, name).count();
    says(ranges != 1, format!("has {ranges} limit ranges of the agent"));
    let access = access(world, name);
    let team = model.access(resource);
    says(access != team, format!("access is {access:?}, not {team:?}"));
    let stops = model.stops_workloads && (locked || resource.paused);
    let mark = text(namespace, "/metadata/annotations/waldur~1workloads");
    let right = if stops { "stopped" } else { "" };
    says(mark != right, format!("the mark of workloads is `{mark}`, not `{right}`"));
    if let Some(replicas) = resource.replicas {
        let wanted = if stops { 0 } else { replicas };
        let app = world.deployments.iter().find(|object| {
            text(object, "/metadata/namespace") == name && text(object, "/metadata/name") == "app"
        });
        let has = app.and_then(|app| app["spec"]["replicas"].as_i64());
        says(has != Some(wanted), format!("its Deployment `app` has {has:?} replicas, not {wanted}"));
    }
}

/// Who has which ClusterRole by the agent's bindings.
fn access(world: &World, namespace: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut access: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for binding in ours_in(&world.bindings, namespace) {
        let users = binding["subjects"].as_array().into_iter().flatten();
        let users = users.map(|subject| text(subject, "/name").to_owned());
        access.entry(text(binding, "/roleRef/name").to_owned()).or_default().extend(users);
    }
    access
}

/// Namespaces that the agent made and that belong to nothing.
fn orphans(model: &Model, world: &World, found: &mut Vec<String>) {
    for namespace in &world.namespaces {
        let (name, of) = (text(namespace, "/metadata/name"), text(namespace, RESOURCE));
        if is_ours(namespace) {
            if !model.resources.contains_key(of) {
                found.push(format!("the namespace {name} is labelled for `{of}`, which nobody ordered"));
            }
        } else if text(namespace, REQUESTER) == ACCOUNT {
            found.push(format!("the project {name} was requested by the agent, and has no labels"));
        }
    }
}

fn strangers(model: &Model, world: &World, found: &mut Vec<String>) {
    for (stranger, now) in model.strangers.iter().zip(&world.strangers) {
        let goes = stranger.goes_with.as_ref().and_then(|uuid| model.resources.get(uuid));
        let gone = goes.is_some_and(|resource| resource.life == Life::Gone);
        match now {
            None if gone => {}
            None => found.push(format!("{} is gone, and was not the agent's", stranger.path)),
            Some(now) => {
                if !holds(now, &stranger.object) {
                    found.push(format!("{} was changed, and was not the agent's: {now}", stranger.path));
                }
            }
        }
    }
}

/// True if everything of `then` is in `now`, and no label or annotation more.
fn holds(now: &Value, then: &Value) -> bool {
    let exact = |pointer: &str| now.pointer(pointer) == then.pointer(pointer);
    let whole = ["labels", "annotations", "deletionTimestamp"];
    whole.iter().all(|field| exact(&format!("/metadata/{field}"))) && contains(now, then)
}

fn contains(now: &Value, then: &Value) -> bool {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            then.iter().all(|(key, value)| now.get(key).is_some_and(|now| contains(now, value)))
        }
        (Value::Array(now), Value::Array(then)) => {
            now.len() == then.len() && now.iter().zip(then).all(|(now, then)| contains(now, then))
        }
        (now, then) => now == then,
    }
}

/// Quantities in thousandths; `None` if one is no quantity that a quota of this agent may have.
fn amounts(hard: &Value) -> Option<BTreeMap<String, i128>> {
    let pairs = hard.as_object()?.iter();
    pairs.map(|(key, value)| Some((key.clone(), quantity(value.as_str()?)?))).collect()
}

/// A whole quantity as Kubernetes writes it, in thousandths.
fn quantity(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor: i128 = match suffix {
        "" => 1000,
        "m" => 1,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        "Pi" => 1000 << 50,
        _ => return None,
    };
    number.parse::<i128>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::model::{Limits, Role, Stranger};
    use super::*;

    const SHOP: &str = "5c0ff";

    fn model() -> Model {
        let mut model = Model::default();
        let shop = Resource {
            name: "Shop".to_owned(),
            project: "web".to_owned(),
            limits: Limits([4, 16, 100, 50]),
            paused: false,
            downscaled: false,
            life: Life::Active,
            replicas: None,
        };
        model.resources.insert(SHOP.to_owned(), shop);
        let team = BTreeMap::from([("max".to_owned(), BTreeSet::from([Role::Manager]))]);
        model.teams.insert("web".to_owned(), team);
        model.note_order(SHOP);
        model.strangers.push(Stranger {
            path: "/api/v1/namespaces/theirs".to_owned(),
            object: json!({"metadata": {"name": "theirs", "labels": {"team": "payments"}}}),
            goes_with: None,
        });
        model
    }

    fn ours(kind: &str, namespace: &str) -> Value {
        let labels = json!({"app.kubernetes.io/managed-by": AGENT, "waldur/resource-uuid": SHOP});
        json!({"metadata": {"name": kind, "namespace": namespace, "labels": labels}})
    }

    fn world() -> World {
        let mut namespace = ours("shop", "");
        namespace["metadata"]["annotations"] = json!({"openshift.io/display-name": "Shop"});
        let mut quota = ours("waldur-quota", "shop");
        quota["spec"]["hard"] = json!({
            "requests.cpu": "4", "limits.cpu": "8", "requests.memory": "16Gi", "limits.memory": "32Gi",
            "requests.storage": "100Gi", "pods": "50",
        });
        let mut binding = ours("waldur-users-edit", "shop");
        binding["roleRef"] = json!({"name": "edit"});
        binding["subjects"] = json!([{"name": "max"}]);
        let row = json!({
            "uuid": SHOP, "state": "OK", "backend_id": "shop", "paused": false, "downscaled": false,
            "limits": {"cpu": 4, "memory": 16, "storage": 100, "pods": 50},
        });
        World {
            resources: BTreeMap::from([(SHOP.to_owned(), row)]),
            orders: vec![
                json!({"uuid": "o1", "state": "done", "type": "Create", "marketplace_resource_uuid": SHOP}),
            ],
            identities: 1,
            namespaces: vec![namespace],
            quotas: vec![quota],
            limit_ranges: vec![ours("waldur-limits", "shop")],
            bindings: vec![binding],
            deployments: Vec::new(),
            strangers: vec![Some(
                json!({"metadata": {"name": "theirs", "uid": "1", "labels": {"team": "payments"}}}),
            )],
        }
    }

    #[test]
    fn a_world_as_bought_has_no_differences() {
        assert_eq!(differences(&model(), &world()), Vec::<String>::new());
    }

    /// Makes something wrong.
    type Spoil = fn(&mut World);

    #[test]
    fn each_thing_that_is_wrong_is_told_in_a_line() {
        let cases: [(&str, Spoil); 12] = [
            ("is still executing", |world| world.orders[0]["state"] = json!("executing")),
            ("0 orders", |world| world.orders.clear()),
            ("the limits in Waldur", |world| {
                world.resources.values_mut().for_each(|row| row["limits"]["cpu"] = json!(10));
            }),
            ("several namespaces", |world| world.namespaces.push(ours("shop-2", ""))),
            ("has no namespace", |world| world.namespaces.clear()),
            ("the backend id", |world| {
                world.resources.values_mut().for_each(|row| row["backend_id"] = json!("other"));
            }),
            ("its quota is", |world| world.quotas[0]["spec"]["hard"]["pods"] = json!("51")),
            ("0 limit ranges", |world| world.limit_ranges.clear()),
            ("access is", |world| world.bindings[0]["subjects"] = json!([{"name": "eve"}])),
            ("was requested by the agent", |world| {
                let annotations = json!({"openshift.io/requester": ACCOUNT});
                world.namespaces.push(json!({"metadata": {"name": "lost", "annotations": annotations}}));
            }),
            ("was not the agent's", |world| world.strangers = vec![None]),
            ("knows 2 agents", |world| world.identities = 2),
        ];
        for (told, wrong) in cases {
            let mut world = world();
            wrong(&mut world);
            let found = differences(&model(), &world);
            assert!(found.len() == 1 && found[0].contains(told), "{told}: {found:?}");
        }
    }

    #[test]
    fn a_stranger_may_not_gain_a_label_either() {
        let mut world = world();
        world.strangers[0].as_mut().unwrap()["metadata"]["labels"]["new"] = json!("x");
        assert_eq!(differences(&model(), &world).len(), 1);
    }

    #[test]
    fn a_terminated_resource_leaves_nothing() {
        let mut model = model();
        model.resources.values_mut().for_each(|resource| resource.life = Life::Gone);
        let found = differences(&model, &world());
        assert!(found.iter().any(|line| line.contains("there is still [\"shop\"]")), "{found:?}");
    }

    #[test]
    fn quantities_are_compared_by_value() {
        for (text, thousandths) in
            [("0", 0), ("8", 8000), ("500m", 500), ("1Gi", 1000 << 30), ("1024Mi", 1000 << 30)]
        {
            assert_eq!(quantity(text), Some(thousandths), "{text}");
        }
        assert_eq!(quantity("1.5Gi"), None);
    }
}
