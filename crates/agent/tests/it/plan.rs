//! `plan` and `apply`: what would be done, and just that.

use serde_json::{Value, json};
use simulator::waldur::OrderState;

use crate::members::access;
use crate::process::{Ended, Process};
use crate::site::{Config, Site, limits};

async fn operator(site: &Site, config: &Config, words: &[&str]) -> Ended {
    Process::run(&mut site.operator(config, words)).await
}

/// A site on which everything is as it should be.
async fn kept() -> (Site, uuid::Uuid, Config) {
    let site = Site::start().await;
    let resource = site.planted("shop");
    assert!(site.pass().await);
    let config = site.with_members();
    (site, resource, config)
}

#[tokio::test]
async fn nothing_to_do_is_exit_code_0() {
    let (site, _, config) = kept().await;
    let ended = operator(&site, &config, &["plan"]).await;
    assert_eq!(
        (ended.code(), ended.stdout.as_str()),
        (Some(0), "1 resource, nothing to change"),
        "{}",
        ended.all()
    );
}

#[tokio::test]
async fn what_would_change_is_shown_with_old_and_new_values_and_left_alone() {
    let (site, resource, config) = kept().await;
    site.edit("shop", "ResourceQuota", "waldur-quota", |quota| {
        quota["spec"]["hard"]["requests.cpu"] = json!("99");
    });
    site.sim.waldur.set_limits(resource, json!({"cpu": 8, "memory": 16, "storage": 100, "pods": 50}));
    let (order, _) = site.order("Blog", limits());
    let before = site.whole("shop");
    site.sim.reset_traffic();
    let ended = operator(&site, &config, &["plan"]).await;
    assert_eq!(ended.code(), Some(2), "{}", ended.all());
    let text = ended.stdout.replace(&resource.simple().to_string(), "SHOP");
    let text = text.replace(&order.simple().to_string(), "ORDER");
    let blog = text.split("resource ").find(|part| !part.starts_with("SHOP") && part.len() > 32).unwrap()
        [..32]
        .to_owned();
    insta::assert_snapshot!(text.replace(&blog, "BLOG"), @r#"
    Blog (no namespace yet, resource BLOG, offering okd)
      ~ Waldur order ORDER
          + state: approved
      + project waldur-alloc-blog-1
          + display name: Blog
      ~ namespace waldur-alloc-blog-1
          + app.kubernetes.io/managed-by: waldur-site-agent
          + openshift.io/description: Blog
          + openshift.io/display-name: Blog
          + waldur/organization: waldur-org-acme
          + waldur/parent: waldur-proj-web
          + waldur/resource-uuid: BLOG
      + quota waldur-alloc-blog-1/waldur-quota
          + limits.cpu: 8
          + limits.memory: 32Gi
          + pods: 50
          + requests.cpu: 4
          + requests.memory: 16Gi
          + requests.storage: 100Gi
      + limit range waldur-alloc-blog-1/waldur-limits
          + default.cpu: 500m
          + default.memory: 512Mi
          + defaultRequest.cpu: 250m
          + defaultRequest.memory: 256Mi
      + role binding waldur-alloc-blog-1/waldur-users-edit
          + max.manager: edit
      + role binding waldur-alloc-blog-1/waldur-users-view
          + mia.member: view
      ~ Waldur resource: backend id
          + backend id: waldur-alloc-blog-1
      ~ Waldur resource: metadata
          + description: Blog
          + name: waldur-alloc-blog-1
          + organization: waldur-org-acme
          + quotas: {"cpu":4,"memory":16,"pods":50,"storage":100}
          + users: ["max.manager","mia.member"]
      ~ Waldur order ORDER
          + state: done

    shop (shop, resource SHOP, offering okd)
      ~ quota shop/waldur-quota
          ~ limits.cpu: 8 → 16
          ~ requests.cpu: 99 → 8
      ~ Waldur resource: metadata
          ~ quotas: {"cpu":4,"memory":16,"pods":50,"storage":100} → {"cpu":8,"memory":16,"pods":50,"storage":100}
      ~ Waldur resource: time of the last look
      ! warning: quota shop/waldur-quota was changed by `cluster-admin`; it is put back to what Waldur says

    2 resources, 2 to change by 13 actions
    "#);
    assert_eq!(site.whole("shop"), before);
    assert_eq!(site.order_state(order), OrderState::PendingProvider);
    assert_eq!(site.waldur_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn apply_does_what_plan_shows_and_then_nothing_is_left() {
    let (site, resource, config) = kept().await;
    site.sim.waldur.set_limits(resource, json!({"cpu": 8, "memory": 16, "storage": 100, "pods": 50}));
    let (order, _) = site.order("Blog", limits());
    let ended = operator(&site, &config, &["apply"]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.hard("shop")["requests.cpu"], "8");
    assert_eq!(site.order_state(order), OrderState::Done);
    let ended = operator(&site, &config, &["plan"]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
}

#[tokio::test]
async fn only_the_named_resource_is_planned_and_applied() {
    let (site, _, config) = kept().await;
    let blog = site.planted("blog");
    site.planted("wiki");
    for name in ["blog", &blog.to_string(), &blog.simple().to_string()] {
        let ended = operator(&site, &config, &["plan", "--resource", name]).await;
        assert_eq!(ended.code(), Some(2), "{}", ended.all());
        assert!(!ended.stdout.contains("wiki"), "{}", ended.stdout);
    }
    let ended = operator(&site, &config, &["apply", "--resource", "blog"]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!((site.hard("blog")["pods"].clone(), site.hard("wiki")), (json!("50"), Value::Null));
    let ended = operator(&site, &config, &["plan", "--resource", "nowhere"]).await;
    assert_eq!(ended.code(), Some(1), "{}", ended.all());
}

#[tokio::test]
async fn a_kept_plan_is_applied_as_it_was_or_not_at_all() {
    let (site, resource, config) = kept().await;
    let quota = |cpu: i64| json!({"cpu": cpu, "memory": 16, "storage": 100, "pods": 50});
    site.sim.waldur.set_limits(resource, quota(8));
    site.planted("blog");
    let plan = site.folder.path().join("plan.json");
    let ended = operator(&site, &config, &["plan", "--json", "--resource", "shop"]).await;
    assert_eq!(ended.code(), Some(2), "{}", ended.all());
    std::fs::write(&plan, &ended.stdout).unwrap();
    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let fields = &json["resources"][0]["changes"][0]["fields"];
    assert_eq!(fields[1], json!({"name": "requests.cpu", "before": "4", "after": "8"}), "{json:#}");
    let path = plan.to_str().unwrap();
    // Somebody buys more in between.
    site.sim.waldur.set_limits(resource, quota(16));
    let ended = operator(&site, &config, &["apply", "--plan", path]).await;
    assert_eq!(ended.code(), Some(1), "{}", ended.all());
    assert!(ended.stderr.contains("the world has moved"), "{}", ended.all());
    assert_eq!(site.hard("shop")["requests.cpu"], "4");
    site.sim.waldur.set_limits(resource, quota(8));
    let ended = operator(&site, &config, &["apply", "--plan", path]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.hard("shop")["requests.cpu"], "8");
    assert_eq!(site.hard("blog"), Value::Null, "what the plan does not name stays");
    // It is done, and cannot be done again.
    let ended = operator(&site, &config, &["apply", "--plan", path]).await;
    assert_eq!(ended.code(), Some(1), "{}", ended.all());
    for broken in ["", "{}", "[1]", "{\"form\": 1, \"resources\": [{}]}"] {
        std::fs::write(&plan, broken).unwrap();
        let ended = operator(&site, &config, &["apply", "--plan", path]).await;
        assert_eq!(ended.code(), Some(1), "{broken}");
        assert!(ended.stderr.contains("the plan `"), "{broken}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn what_cannot_be_found_out_is_exit_code_1_and_nothing_is_applied() {
    let (site, resource, mut config) = kept().await;
    site.sim.waldur.set_limits(resource, json!({"cpu": 8}));
    config.okd_token = "token: wrong\n".to_owned();
    for verb in ["plan", "apply"] {
        let ended = operator(&site, &config, &[verb]).await;
        assert_eq!(ended.code(), Some(1), "{}", ended.all());
        assert!(ended.stderr.contains("cannot plan"), "{}", ended.stderr);
    }
    assert_eq!(site.hard("shop")["requests.cpu"], "4");
    config.components = "cpu: {accounting_type: nonsense}\n".to_owned();
    let ended = operator(&site, &config, &["plan"]).await;
    assert_eq!(ended.code(), Some(1), "{}", ended.all());
}

#[tokio::test]
async fn each_change_is_a_line_that_says_who_asked_for_it() {
    let (site, resource, config) = kept().await;
    site.sim.waldur.set_limits(resource, json!({"cpu": 8, "memory": 16, "storage": 100, "pods": 50}));
    let (order, _) = site.order("Blog", limits());
    let ended = operator(&site, &config, &["apply"]).await;
    let lines: Vec<Value> = ended.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let about = |object: &str| {
        let line = lines.iter().find(|line| line["logger"] == "audit" && line["object"] == object);
        line.cloned().unwrap_or_else(|| panic!("{object}: {}", ended.stderr))
    };
    let quota = about("quota shop/waldur-quota");
    assert_eq!(quota["asked_by"], "apply");
    assert_eq!(quota["before"], "limits.cpu=8, requests.cpu=4");
    assert_eq!(quota["after"], "limits.cpu=16, requests.cpu=8");
    assert_eq!(quota["outcome"], "done");
    assert_eq!(quota["resource"], resource.simple().to_string());
    let made = about("project waldur-alloc-blog-1");
    assert_eq!(made["asked_by"], format!("order {}", order.simple()));
    assert_eq!(site.access("shop"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
}
