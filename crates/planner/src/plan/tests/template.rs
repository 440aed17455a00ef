//! What a project is furnished with is made, kept, and taken away.

use std::sync::Arc;

use insta::assert_snapshot;
use serde_json::json;

use super::world::*;
use crate::model::{OrderKind, OrderState, ResourceState};
use crate::names;
use crate::template::{Template, TemplateObject, isolation, object};

const LIMITS: &str = "cpu=4 memory=16 storage=100 pods=50";
const NAME: &str = "waldur-alloc-prod-1";

fn config_map(name: &str, text: &str) -> TemplateObject {
    object("v1", "ConfigMap", name, json!({"data": {"text": text}}))
}

fn template(objects: Vec<TemplateObject>) -> Arc<Template> {
    let plural = |mut object: TemplateObject| {
        object.api.plural = format!("{}s", object.api.kind.to_lowercase());
        object
    };
    Arc::new(Template { objects: objects.into_iter().map(plural).collect(), ..Template::default() })
}

/// A project that was made with this template.
fn made(objects: Vec<TemplateObject>) -> World {
    let order = order(OrderKind::Create, OrderState::PendingProvider, LIMITS);
    let mut world = World::new(resource(ResourceState::Creating, "", LIMITS), Some(order));
    world.policy.template = template(objects);
    world
}

fn kept(objects: Vec<TemplateObject>) -> World {
    let mut world = made(objects);
    world.run();
    world.facts.orders.clear();
    world
}

fn lines(world: &mut World) -> String {
    let done = world.run().into_iter().map(|action| action.to_string());
    done.filter(|line| !line.contains("looked at")).collect::<Vec<_>>().join("\n")
}

fn record(world: &World) -> String {
    let annotations = &world.cluster[NAME].namespace.annotations;
    annotations.get(names::TEMPLATE_RECORD).cloned().unwrap_or_default()
}

#[test]
fn a_project_is_kept_apart_before_anybody_is_let_in() {
    let mut world = made(isolation());
    world.facts.team =
        Some(crate::access::Team { members: vec![person(1, &["Member"])], ..Default::default() });
    assert_snapshot!(lines(&mut world), @r"
    approve order 0000000000000000000000000000002a
    + project waldur-alloc-prod-1 (Production)
    ~ namespace waldur-alloc-prod-1: labels, 4 annotations
    + quota waldur-alloc-prod-1/waldur-quota: limits.cpu=8, limits.memory=32Gi, pods=50, requests.cpu=4, requests.memory=16Gi, requests.storage=100Gi
    + limit range waldur-alloc-prod-1/waldur-limits
    + NetworkPolicy waldur-alloc-prod-1/waldur-deny-from-other-projects
    + NetworkPolicy waldur-alloc-prod-1/waldur-allow-same-project
    + NetworkPolicy waldur-alloc-prod-1/waldur-allow-from-ingress
    + NetworkPolicy waldur-alloc-prod-1/waldur-allow-from-host-network
    + NetworkPolicy waldur-alloc-prod-1/waldur-allow-from-monitoring
    + NetworkPolicy waldur-alloc-prod-1/waldur-allow-from-kube-apiserver-operator
    ~ namespace waldur-alloc-prod-1: labels, 5 annotations
    + role binding waldur-alloc-prod-1/waldur-users-view: view for user1
    tell Waldur that resource 7f6e5d4c3b2a19080706050403020100 is waldur-alloc-prod-1
    tell Waldur the metadata of resource 7f6e5d4c3b2a19080706050403020100
    tell Waldur the state of 1 grants of resource 7f6e5d4c3b2a19080706050403020100
    order 0000000000000000000000000000002a is done
    ");
}

#[test]
fn what_the_tenant_changes_or_deletes_is_put_back() {
    let id = ("v1/configmaps".to_owned(), "about".to_owned());
    let mut world = kept(vec![config_map("about", "{{customer_name}}")]);
    assert_eq!(world.cluster[NAME].furnished[&id].body["data"]["text"], "Acme Ltd");
    assert_eq!(lines(&mut world), "");
    world.cluster.get_mut(NAME).unwrap().furnished.get_mut(&id).unwrap().body["data"]["text"] = json!("mine");
    assert_eq!(lines(&mut world), format!("~ ConfigMap {NAME}/about"));
    world.cluster.get_mut(NAME).unwrap().furnished.clear();
    assert_eq!(lines(&mut world), format!("+ ConfigMap {NAME}/about"));
    let taken = &mut world.cluster.get_mut(NAME).unwrap().furnished.get_mut(&id).unwrap().taken;
    taken.extend(["/data/other".to_owned(), "/spec/x".to_owned()]);
    assert_eq!(lines(&mut world), "", "keys that others add are theirs");
    world
        .cluster
        .get_mut(NAME)
        .unwrap()
        .furnished
        .get_mut(&id)
        .unwrap()
        .taken
        .insert("/data/text".to_owned());
    assert_eq!(lines(&mut world), format!("~ ConfigMap {NAME}/about"));
}

#[test]
fn what_is_made_once_is_the_tenants_afterwards() {
    let once = TemplateObject { once: true, ..config_map("motd", "hello") };
    let id = ("v1/configmaps".to_owned(), "motd".to_owned());
    let mut world = kept(vec![once]);
    assert_eq!(record(&world), "v1/configmaps once:v1/configmaps/motd");
    world.cluster.get_mut(NAME).unwrap().furnished.get_mut(&id).unwrap().body["data"]["text"] = json!("mine");
    assert_eq!(lines(&mut world), "");
    world.cluster.get_mut(NAME).unwrap().furnished.clear();
    assert_eq!(lines(&mut world), "");
}

#[test]
fn what_leaves_the_template_is_taken_away_and_so_is_the_last_trace() {
    let mut world = kept(vec![config_map("one", "1"), config_map("two", "2")]);
    world.policy.template = template(vec![config_map("two", "2")]);
    assert_eq!(lines(&mut world), format!("- ConfigMap {NAME}/one"));
    world.policy.template = template(vec![]);
    let expected = format!("- ConfigMap {NAME}/two\n~ namespace {NAME}: labels, 4 annotations");
    assert_eq!(lines(&mut world), expected);
    assert_eq!(record(&world), "");
}

#[test]
fn a_key_that_leaves_a_manifest_is_a_change() {
    let mut more = config_map("about", "1");
    more.body["data"]["more"] = json!("2");
    let mut world = kept(vec![more]);
    world.policy.template = template(vec![config_map("about", "1")]);
    assert_eq!(lines(&mut world), format!("~ ConfigMap {NAME}/about"));
}

#[test]
fn a_template_that_cannot_be_filled_in_is_said_before_anything_is_made() {
    let mut world = made(vec![config_map("about", "{{limit.gpu}}")]);
    let text = lines(&mut world);
    assert!(text.starts_with("reject order"), "{text}");
    assert!(text.contains("needs `{{limit.gpu}}`"), "{text}");
    assert!(world.cluster.is_empty());
    let mut world = kept(vec![]);
    let before = world.cluster.clone();
    world.policy.template = template(vec![config_map("{{resource_name}}", "")]);
    lines(&mut world);
    assert_eq!(world.cluster, before);
    let findings = world.plan().findings;
    let why = "has a name that Kubernetes refuses; nothing of the template was changed";
    assert!(findings[0].message.contains(why), "{findings:?}");
    assert_eq!(world.resource().state, ResourceState::Erred);
    assert!(world.resource().error_message.contains(why));
    // The rest is kept all the same, and the resource is fine again when the template is.
    world.facts.resource.as_mut().unwrap().paused = true;
    assert!(lines(&mut world).starts_with("~ quota"));
    world.policy.template = template(vec![]);
    lines(&mut world);
    assert_eq!(world.resource().state, ResourceState::Ok);
}

#[test]
fn limits_of_the_configuration_stand_in_for_what_nobody_has_bought() {
    let mut world = made(vec![config_map("about", "{{limit.cpu}}")]);
    world.facts.orders[0].limits.clear();
    world.facts.resource.as_mut().unwrap().limits.clear();
    world.policy.components.get_mut("cpu").unwrap().fallback_limit = Some(amount("6"));
    let half = crate::lifecycle::HeldAmount::Share(amount("0.5"));
    world.policy.lifecycle.paused.insert("cpu".to_owned(), half);
    world.run();
    world.facts.orders.clear();
    let id = ("v1/configmaps".to_owned(), "about".to_owned());
    assert_eq!(world.cluster[NAME].furnished[&id].body["data"]["text"], "6");
    assert_eq!(world.cluster[NAME].hard()["requests.cpu"], amount("6"));
    // A share is of what holds otherwise.
    world.facts.resource.as_mut().unwrap().paused = true;
    world.run();
    assert_eq!(world.cluster[NAME].hard()["requests.cpu"], amount("3"));
}

#[test]
fn labels_and_annotations_of_the_template_are_kept_on_the_namespace() {
    let mut world = kept(vec![]);
    world.policy.template = Arc::new(Template {
        labels: [("team".to_owned(), "{{project_slug}}".to_owned())].into(),
        annotations: [("example.com/owner".to_owned(), "{{customer_name}}".to_owned())].into(),
        ..Template::default()
    });
    lines(&mut world);
    let namespace = &world.cluster[NAME].namespace;
    assert_eq!(
        (namespace.labels["team"].as_str(), namespace.annotations["example.com/owner"].as_str()),
        ("web-1", "Acme Ltd")
    );
    assert_eq!(lines(&mut world), "");
    world.cluster.get_mut(NAME).unwrap().namespace.labels.insert("team".to_owned(), "other".to_owned());
    assert!(lines(&mut world).contains("~ namespace"));
    assert_eq!(world.cluster[NAME].namespace.labels["team"], "web-1");
}
