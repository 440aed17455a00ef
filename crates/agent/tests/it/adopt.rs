//! `adopt` and `abandon`: projects of the Python agent become this agent's, and nothing else does.

use serde_json::json;
use simulator::waldur::{Generation, OrderState, ResourceState};

use crate::members::access;
use crate::process::Process;
use crate::python_site::fixed_limits;
use crate::site::{Site, limits, options};

#[tokio::test]
async fn without_names_projects_and_their_damage_are_listed_and_nothing_is_changed() {
    let site = Site::start().await;
    let resource = site.left_by_python("shop-1", limits());
    site.planted("blog-1");
    assert!(site.pass().await);
    let before = site.whole("shop-1");
    let ended = Process::run(&mut site.operator(&site.with_members(), &["adopt"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    let text = ended.stdout.replace(&resource.simple().to_string(), "RESOURCE");
    let text = text.replace(&site.folder.path().display().to_string(), "FOLDER");
    insta::assert_snapshot!(text, @r#"
    The shop-1 (shop-1, resource RESOURCE, offering okd)
      ~ namespace shop-1
          + app.kubernetes.io/managed-by: waldur-site-agent
          ~ openshift.io/description: "" → The shop-1
          ~ openshift.io/display-name: "" → The shop-1
          + waldur/organization: waldur-org-acme
          + waldur/parent: waldur-proj-web
          + waldur/resource-uuid: RESOURCE
      ~ quota shop-1/waldur-quota
          ~ limits.cpu: 20 → 8
          ~ limits.memory: 64Gi → 32Gi
          ~ requests.cpu: 10 → 4
          ~ requests.memory: 32Gi → 16Gi
      + limit range shop-1/waldur-limits
          + default.cpu: 500m
          + default.memory: 512Mi
          + defaultRequest.cpu: 250m
          + defaultRequest.memory: 256Mi
      + role binding shop-1/waldur-users-edit
          + max.manager: edit
      + role binding shop-1/waldur-users-view
          + mia.member: view
      - role binding shop-1/waldur-max.manager
          - max.manager: root
      - role binding shop-1/waldur-mia.member
          - mia.member: root
      ~ Waldur resource: metadata
          + description: The shop-1
          + name: shop-1
          + organization: waldur-org-acme
          + quotas: {"cpu":4,"memory":16,"pods":50,"storage":100}
          + users: ["max.manager","mia.member"]
      ~ Waldur resource: state
          ~ state: Erred → OK
      ~ Waldur resource: time of the last look
      ! warning: the quota has the fixed numbers of the Python agent (10 cores, 32 Gi, 50 pods), not what was bought
      ! warning: 2 users are bound to ClusterRole `root`, which gives them nothing: max.manager, mia.member; they get the role that Waldur says
      ! info: the project lacks the annotations openshift.io/description, openshift.io/display-name, waldur/organization, waldur/parent

    1 resource, 1 to change by 10 actions
    nothing was changed; take over with `waldur_site_agent adopt -c FOLDER/config.yaml NAMESPACE…`, or all with `--yes`
    "#);
    assert_eq!(site.whole("shop-1"), before);
}

#[tokio::test]
async fn a_project_that_is_named_is_taken_over_with_its_quota_and_its_bindings() {
    let site = Site::start().await;
    let resource = site.left_by_python("shop-1", limits());
    let other = site.left_by_python("blog-1", limits());
    site.somebody_binds("shop-1", "waldur-team", "edit", "fred");
    site.somebody_binds("shop-1", "waldur-tools", "edit", "tools");
    site.edit("shop-1", "RoleBinding", "waldur-tools", |binding| {
        binding["metadata"]["labels"] = json!({"app": "tools"});
    });
    let before = site.whole("blog-1");
    let config = site.with_members();
    let ended = Process::run(&mut site.operator(&config, &["adopt", "shop-1"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.managed(), ["shop-1"]);
    assert_eq!(site.hard("shop-1")["requests.cpu"], "4");
    assert_eq!(site.hard("shop-1")["limits.memory"], "32Gi");
    assert_eq!(site.access("shop-1"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    let bindings = site.role_bindings("shop-1");
    assert_eq!(bindings, ["waldur-team", "waldur-tools", "waldur-users-edit", "waldur-users-view"]);
    let namespace = site.namespace("shop-1").unwrap();
    assert_eq!(namespace["metadata"]["annotations"]["openshift.io/display-name"], "The shop-1");
    assert_eq!(site.resource(resource)["backend_metadata"]["name"], "shop-1");
    assert_eq!(site.whole("blog-1"), before, "{other}");
    // Access is given before it is taken.
    let writes = site.cluster_writes();
    let place = |part: &str| writes.iter().position(|write| write.contains(part)).unwrap();
    assert!(place("waldur-users-view") < place("waldur-mia.member"), "{writes:#?}");
    // What is adopted is kept like any other, and there is nothing left to adopt.
    site.sim.reset_traffic();
    assert!(site.pass().await);
    assert_eq!(site.cluster_writes(), Vec::<String>::new());
    let again = Process::run(&mut site.operator(&config, &["adopt", "shop-1"])).await;
    assert_eq!(again.code(), Some(0), "{}", again.all());
    assert!(again.stdout.contains("nothing to change"), "{}", again.stdout);
}

#[tokio::test]
async fn a_project_is_terminated_after_it_was_adopted_and_not_before() {
    let site = Site::start().await;
    let resource = site.left_by_python("shop-1", limits());
    let config = site.with_members();
    let order = site.terminate(resource);
    assert!(site.once().await);
    assert_eq!(site.order_state(order), OrderState::Erred);
    assert!(site.namespace("shop-1").is_some(), "what carries no labels is nobody's to delete");
    let ended = Process::run(&mut site.operator(&config, &["adopt", "shop-1"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    let order = site.terminate(resource);
    let agent = site.agent();
    site.ends(order, OrderState::Done).await;
    agent.stop().await;
    assert_eq!(site.namespace("shop-1"), None);
}

#[tokio::test]
async fn all_are_taken_over_at_once_with_yes() {
    let site = Site::start().await;
    site.left_by_python("shop-1", limits());
    site.left_by_python("blog-1", limits());
    site.somebody_elses("payments");
    let ended = Process::run(&mut site.operator(&site.with_members(), &["adopt", "--yes"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.managed(), ["blog-1", "shop-1"]);
}

#[tokio::test]
async fn what_may_not_be_adopted_stays_and_says_why() {
    let site = Site::start().await;
    let owner = site.planted("owned");
    let thief = site.left_by_python("thief", limits());
    site.sim.waldur.set_backend_id(thief, "owned");
    let reserved = site.left_by_python("kube-system", limits());
    let absent = site.left_by_python("absent", limits());
    site.sim.okd.delete("namespaces", "", "absent");
    let twins = [site.left_by_python("twin", limits()), site.left_by_python("twin", limits())];
    let before = ["owned", "kube-system", "twin"].map(|name| site.whole(name));
    for (resource, why) in [
        (thief, format!("Waldur names `owned` for resource {} as well", owner.simple())),
        (reserved, "`kube-system` is reserved for the cluster".to_owned()),
        (absent, "is not on the cluster any more".to_owned()),
        (twins[0], "correct the backend id of one of them".to_owned()),
    ] {
        let id = resource.simple().to_string();
        let ended = Process::run(&mut site.operator(&site.with_members(), &["adopt", &id])).await;
        assert_eq!(ended.code(), Some(1), "{}", ended.all());
        assert!(ended.stdout.contains(&why), "{why}: {}", ended.all());
    }
    assert_eq!(["owned", "kube-system", "twin"].map(|name| site.whole(name)), before);
    let ended = Process::run(&mut site.operator(&site.with_members(), &["adopt", "nowhere"])).await;
    assert_eq!(ended.code(), Some(1), "{}", ended.all());
    assert!(ended.stderr.contains("`nowhere` is no resource in use"), "{}", ended.stderr);
}

#[tokio::test]
async fn another_resources_namespace_is_not_adopted() {
    let site = Site::start().await;
    let shop = site.planted("shop");
    site.sim.waldur.set_backend_id(shop, "elsewhere");
    let thief = site.left_by_python("thief", limits());
    site.sim.waldur.set_backend_id(thief, "shop");
    let before = site.whole("shop");
    let ended = Process::run(&mut site.operator(&site.with_members(), &["adopt", "shop"])).await;
    assert_eq!(ended.code(), Some(1), "{}", ended.all());
    assert!(ended.stdout.contains("belongs to another resource"), "{}", ended.all());
    assert_eq!(site.whole("shop"), before);
}

#[tokio::test]
async fn numbers_that_the_python_agent_has_written_into_waldur_are_told_from_what_was_ordered() {
    let site = Site::start().await;
    let resource = site.made("Shop", limits()).await;
    let name = site.backend_id(resource);
    site.sim.okd.delete("namespaces", "", &name);
    site.unlabelled(&name);
    site.python_quota(&name);
    site.sim.waldur.set_limits(resource, fixed_limits());
    let ended = Process::run(&mut site.operator(&site.with_members(), &["adopt"])).await;
    let said =
        "but the last order asked for cpu 4, memory 16, pods 50, storage 100; correct the limits in Waldur";
    assert!(ended.stdout.contains(said), "{}", ended.all());
}

#[tokio::test]
async fn a_project_without_quota_gets_one() {
    let site = Site::start().await;
    site.left_by_python("shop-1", limits());
    site.sim.okd.delete("resourcequotas", "shop-1", "waldur-quota");
    let ended = Process::run(&mut site.operator(&site.with_members(), &["adopt", "shop-1"])).await;
    assert!(ended.stdout.contains("the project has no quota"), "{}", ended.all());
    assert_eq!(site.hard("shop-1")["requests.cpu"], "4");
}

#[tokio::test]
async fn many_who_would_lose_access_keep_it_until_the_operator_insists() {
    let site = Site::start().await;
    site.left_by_python("shop-1", limits());
    for number in 0..6 {
        let user = format!("leaver{number}");
        site.somebody_binds("shop-1", &format!("waldur-{user}"), "edit", &user);
    }
    let config = site.with_members();
    let ended = Process::run(&mut site.operator(&config, &["adopt", "shop-1"])).await;
    assert!(
        ended.stdout.contains("6 users have access by the Python agent and none by Waldur"),
        "{}",
        ended.all()
    );
    let left = site.role_bindings("shop-1").into_iter().filter(|name| name.contains("leaver")).count();
    assert_eq!(left, 6);
    assert!(!site.role_bindings("shop-1").contains(&"waldur-mia.member".to_owned()));
    let ended = Process::run(&mut site.operator(&config, &["adopt", "shop-1", "--force"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.role_bindings("shop-1"), ["waldur-users-edit", "waldur-users-view"]);
}

#[tokio::test]
async fn bindings_of_the_python_agent_stay_where_the_cluster_refuses_ours() {
    let rules = simulator::okd::documented_agent_rules();
    let site = Site::with(simulator::simulation::SimulationOptions { agent_rules: rules, ..options() }).await;
    site.left_by_python("shop-1", limits());
    let ended = Process::run(&mut site.operator(&site.with_members(), &["adopt", "shop-1"])).await;
    assert!(ended.stderr.contains("allow it the verb `bind`"), "{}", ended.all());
    assert_eq!(site.role_bindings("shop-1"), ["waldur-max.manager", "waldur-mia.member"]);
}

#[tokio::test]
async fn an_adoption_that_was_cut_short_is_finished_by_the_next() {
    let site = Site::start().await;
    let resource = site.left_by_python("shop-1", limits());
    site.label("shop-1", resource);
    let ended = Process::run(&mut site.operator(&site.with_members(), &["adopt", "shop-1"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.hard("shop-1")["requests.cpu"], "4");
    assert_eq!(site.role_bindings("shop-1"), ["waldur-users-edit", "waldur-users-view"]);
}

#[tokio::test]
async fn a_project_that_is_given_up_keeps_everything_but_the_labels_and_can_be_taken_back() {
    let site = Site::start().await;
    let resource = site.planted("shop-1");
    assert!(site.pass().await);
    let config = site.with_members();
    let quota = site.hard("shop-1");
    let ended = Process::run(&mut site.operator(&config, &["abandon", "shop-1"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.managed(), Vec::<String>::new());
    assert_eq!(site.hard("shop-1"), quota);
    assert_eq!(site.role_bindings("shop-1"), ["waldur-users-edit", "waldur-users-view"]);
    assert_eq!(site.access("shop-1"), access(&[]), "no binding carries the labels");
    let before = site.whole("shop-1");
    // It is nobody's now.
    site.pass().await;
    assert_eq!(site.whole("shop-1"), before);
    assert_eq!(site.resource_state(resource), ResourceState::Erred);
    let order = site.terminate(resource);
    site.once().await;
    assert_eq!(site.whole("shop-1"), before, "{order}");
    let ended = Process::run(&mut site.operator(&config, &["adopt", "shop-1"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.managed(), ["shop-1"]);
    assert_eq!(site.access("shop-1"), access(&[("edit", &["max.manager"]), ("view", &["mia.member"])]));
    assert_eq!(site.resource_state(resource), ResourceState::Ok);
}

#[tokio::test]
async fn a_server_of_2024_serves_as_well() {
    let options =
        simulator::simulation::SimulationOptions { generation: Generation::October2024, ..options() };
    let site = Site::with(options).await;
    site.left_by_python("shop-1", limits());
    let ended = Process::run(&mut site.operator(&site.with_members(), &["adopt", "shop-1"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.managed(), ["shop-1"]);
    assert_eq!(site.hard("shop-1")["requests.cpu"], "4");
}
