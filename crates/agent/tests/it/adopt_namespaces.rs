//! `adopt` for a resource with several namespaces: those that provably are its own are taken over with the one that
//! Waldur names; all others stay, and it is said why.

use serde_json::{Value, json};
use simulator::waldur::{ResourceState, SeedResource};
use uuid::Uuid;

use crate::lifecycle::kept;
use crate::members::access;
use crate::namespaces::{ALL, DEV, PROD, STAGE, check, over};
use crate::process::{Ended, Process};
use crate::site::{Config, Site, limits};

/// A resource of the Python agent; Waldur names its namespace.
fn left(site: &Site, slug: &str, namespace: &str) -> Uuid {
    let seed = SeedResource {
        name: "Shop".to_owned(),
        slug: Some(slug.to_owned()),
        backend_id: namespace.to_owned(),
        limits: limits().as_object().unwrap().clone(),
        ..SeedResource::default()
    };
    furnish(site, namespace);
    site.sim.waldur.add_resource(site.offering, site.project, &seed, ResourceState::Ok)
}

/// A namespace as the Python agent leaves it.
fn furnish(site: &Site, namespace: &str) {
    site.unlabelled(namespace);
    site.python_quota(namespace);
    site.somebody_binds(namespace, "waldur-mia.member", "root", "mia.member");
}

fn mark(site: &Site, namespace: &str, change: impl FnOnce(&mut Value)) {
    let mut found = site.namespace(namespace).unwrap();
    (found["apiVersion"], found["kind"]) = (json!("v1"), json!("Namespace"));
    change(&mut found["metadata"]);
    found["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    site.sim.okd.put(found).unwrap();
}

async fn adopt(site: &Site, words: &[&str]) -> Ended {
    let words = [&["adopt"], words].concat();
    Process::run(&mut site.operator(&config(site), &words)).await
}

fn config(site: &Site) -> Config {
    over(site, "dev, stage, prod")
}

/// Without the quotas of the Python agent, which carry no labels and stay until the operator deletes them.
fn without_their_quotas(site: &Site) {
    for name in ALL {
        assert!(site.sim.okd.delete("resourcequotas", name, "waldur-quota"), "{name}");
    }
}

#[tokio::test]
async fn all_of_them_are_shown_before_and_taken_over_together() {
    let site = Site::start().await;
    let resource = left(&site, "shop-1", DEV);
    [STAGE, PROD].iter().for_each(|name| furnish(&site, name));
    let before = ALL.map(|name| site.whole(name));
    let listed = adopt(&site, &[]).await;
    assert_eq!(listed.code(), Some(0), "{}", listed.all());
    for name in ALL {
        let shown =
            format!("  ~ namespace {name}\n      + app.kubernetes.io/managed-by: waldur-site-agent\n");
        assert!(listed.stdout.contains(&shown), "{name}: {}", listed.stdout);
        assert!(
            listed.stdout.contains(&format!("- role binding {name}/waldur-mia.member")),
            "{}",
            listed.stdout
        );
    }
    assert!(!listed.stdout.contains("+ project"), "{}", listed.stdout);
    assert_eq!(ALL.map(|name| site.whole(name)), before, "nothing was changed");

    let ended = adopt(&site, &["shop-1"]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    without_their_quotas(&site);
    assert!(kept(&config(&site)).await);
    check(&site, resource, "adopted");
    assert_eq!(site.hard_together(resource, "pods"), "50");
    for name in ALL {
        let expected = access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]);
        assert_eq!(site.access(name), expected, "{name}");
        assert_eq!(site.role_bindings(name), ["waldur-users-edit", "waldur-users-view"], "{name}");
    }
    site.sim.reset_traffic();
    let again = adopt(&site, &["shop-1"]).await;
    assert!(again.stdout.contains("nothing to change"), "{}", again.all());
    assert_eq!(site.cluster_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn one_that_is_not_provably_the_resources_own_stays_and_is_named() {
    let requester = |metadata: &mut Value, by: &str| {
        metadata["annotations"]["openshift.io/requester"] = json!(by);
    };
    type Case<'a> = (&'a str, &'a dyn Fn(&Site, &mut Value), &'a str);
    let cases: [Case<'_>; 6] = [
        ("somebody else's request", &|_, metadata| requester(metadata, "alice"), "`alice` has requested it"),
        (
            "no request at all",
            &|_, metadata| requester(metadata, ""),
            "neither has this agent requested it nor does an annotation name the resource's project; if it is this resource's, \
             annotate it with `waldur/parent=waldur-proj-web` before",
        ),
        (
            "another project of Waldur",
            &|_, metadata| metadata["annotations"]["waldur/parent"] = json!("waldur-proj-other"),
            "its annotation `waldur/parent` is `waldur-proj-other`",
        ),
        (
            "another organization",
            &|_, metadata| metadata["annotations"]["waldur/organization"] = json!("waldur-org-other"),
            "its annotation `waldur/organization` is `waldur-org-other`",
        ),
        (
            "another manager",
            &|_, metadata| metadata["labels"]["app.kubernetes.io/managed-by"] = json!("argocd"),
            "`argocd` manages it",
        ),
        (
            "another resource that Waldur names it for",
            &|site, _| {
                let seed = SeedResource {
                    name: "Rival".to_owned(),
                    backend_id: STAGE.to_owned(),
                    ..SeedResource::default()
                };
                site.sim.waldur.add_resource(site.offering, site.project, &seed, ResourceState::Ok);
            },
            "Waldur names it for resource",
        ),
    ];
    for (what, change, why) in cases {
        let site = Site::start().await;
        let resource = left(&site, "shop-1", DEV);
        [STAGE, PROD].iter().for_each(|name| furnish(&site, name));
        mark(&site, STAGE, |metadata| change(&site, metadata));
        let before = site.whole(STAGE);
        let ended = adopt(&site, &[&resource.simple().to_string()]).await;
        assert_eq!(ended.code(), Some(0), "{what}: {}", ended.all());
        let said = format!("namespace `{STAGE}` has the name of `stage`, but is not taken over: {why}");
        assert!(ended.stdout.contains(&said), "{what}: {}", ended.all());
        assert_eq!(site.whole(STAGE), before, "{what}");
        // The resource has all that it needs, under another name.
        let suffixed = format!("waldur-alloc-shop-1-{}-stage", &resource.simple().to_string()[..8]);
        let mut expected = [DEV.to_owned(), PROD.to_owned(), suffixed];
        expected.sort();
        assert_eq!(site.managed(), expected, "{what}");
    }
}

#[tokio::test]
async fn one_that_the_operator_has_marked_is_taken_over_whoever_requested_it() {
    let site = Site::start().await;
    let resource = left(&site, "shop-1", DEV);
    [STAGE, PROD].iter().for_each(|name| furnish(&site, name));
    mark(&site, STAGE, |metadata| {
        metadata["annotations"]["openshift.io/requester"] = json!("system:serviceaccount:old:waldur-agent");
        metadata["annotations"]["waldur/parent"] = json!("waldur-proj-web");
    });
    let ended = adopt(&site, &["shop-1"]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    without_their_quotas(&site);
    assert!(kept(&config(&site)).await);
    check(&site, resource, "adopted");
}

#[tokio::test]
async fn orders_and_passes_take_over_none() {
    let site = Site::start().await;
    let (order, resource) = site.order("Shop", limits());
    furnish(&site, STAGE);
    let before = site.whole(STAGE);
    assert!(site.once_with(&config(&site)).await, "{order}");
    assert!(kept(&config(&site)).await);
    assert_eq!(site.whole(STAGE), before);
    assert_eq!(site.managed().len(), 3);
    assert_eq!(site.backend_id(resource), DEV);
}

#[tokio::test]
async fn an_adoption_that_was_cut_short_is_finished_by_the_next() {
    for labelled in [&[DEV] as &[&str], &[STAGE], &[DEV, PROD]] {
        let site = Site::start().await;
        let resource = left(&site, "shop-1", DEV);
        [STAGE, PROD].iter().for_each(|name| furnish(&site, name));
        for name in labelled {
            site.label(name, resource);
            mark(&site, name, |metadata| {
                let by = "system:serviceaccount:waldur-system:waldur-site-agent";
                metadata["annotations"]["openshift.io/requester"] = json!(by);
            });
        }
        let ended = adopt(&site, &["shop-1"]).await;
        assert_eq!(ended.code(), Some(0), "{labelled:?}: {}", ended.all());
        without_their_quotas(&site);
        assert!(kept(&config(&site)).await);
        check(&site, resource, &format!("{labelled:?}"));
    }
}

#[tokio::test]
async fn what_was_given_up_is_taken_back_with_its_quota() {
    let site = Site::start().await;
    let (config, resource) = site.spread().await;
    let given_up = Process::run(&mut site.operator(&config, &["abandon", DEV])).await;
    assert_eq!(given_up.code(), Some(0), "{}", given_up.all());
    let uid = site.cluster_quota(resource).unwrap()["metadata"]["uid"].clone();
    let listed = adopt(&site, &[]).await;
    let makes = listed.stdout.lines().any(|line| line.starts_with("  + "));
    assert!(!makes, "{}", listed.stdout);
    assert!(!listed.stdout.contains("unlimited"), "{}", listed.stdout);
    let ended = adopt(&site, &[DEV]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    check(&site, resource, "taken back");
    assert_eq!(site.cluster_quota(resource).unwrap()["metadata"]["uid"], uid);
    assert_eq!(site.hard_together(resource, "pods"), "50");
}

#[tokio::test]
async fn a_quota_of_that_name_that_limits_something_else_is_not_taken_over() {
    let site = Site::start().await;
    let (config, resource) = site.spread().await;
    let given_up = Process::run(&mut site.operator(&config, &["abandon", DEV])).await;
    assert_eq!(given_up.code(), Some(0), "{}", given_up.all());
    let mut quota = site.cluster_quota(resource).unwrap();
    (quota["apiVersion"], quota["kind"]) = (json!("quota.openshift.io/v1"), json!("ClusterResourceQuota"));
    quota["spec"]["selector"] = json!({"labels": {"matchLabels": {"team": "payments"}}});
    quota["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let before = site.sim.okd.put(quota).unwrap()["spec"].clone();
    let ended = adopt(&site, &[DEV]).await;
    assert_eq!(ended.code(), Some(1), "{}", ended.all());
    assert!(ended.all().contains("does not carry this agent's labels"), "{}", ended.all());
    assert_eq!(site.cluster_quota(resource).unwrap()["spec"], before);
}
