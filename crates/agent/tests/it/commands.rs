//! The smaller commands of the Python agent, as subcommands and under its names.

use std::path::PathBuf;

use serde_json::{Value, json};
use simulator::waldur::SeedUser;
use tokio::process::Command;

use crate::process::{Ended, Process};
use crate::site::{Config, NOBODY, Site, limits, options};

const NAME: &str = "waldur-alloc-shop-1";

impl Site {
    /// The program under another name.
    fn link(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        if !path.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_waldur_site_agent"), &path).unwrap();
        }
        path
    }

    /// Runs a command under its own name.
    async fn run(&self, name: &str, config: &Config, more: &[&str]) -> Ended {
        let mut command = Command::new(self.link(name));
        command.env_clear().arg("-c").arg(self.config_file(&config.text())).args(more);
        Process::run(&mut command).await
    }

    fn component(&self, kind: &str) -> Value {
        let offering = self.sim.waldur.provider_offering(self.offering).unwrap();
        let mut components = offering["components"].as_array().unwrap().iter();
        components.find(|component| component["type"] == kind).cloned().unwrap_or(Value::Null)
    }
}

#[tokio::test]
async fn components_are_made_and_changed_and_what_the_file_does_not_say_stays() {
    let site = Site::start().await;
    let mut config = site.config();
    config.components = "\
cpu: {label: CPU cores, measured_unit: cores, accounting_type: limit, limit: 12.5, limit_period: month, max_value: 64}
memory: {label: Memory, measured_unit: GB, accounting_type: limit}
gpu: {label: GPU, measured_unit: GPU, accounting_type: usage, quota: requests.nvidia.com/gpu}
"
    .to_owned();
    let before = site.component("storage");
    let ended = site.run("waldur_site_load_components", &config, &["--dry-run"]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert!(ended.stdout.contains("would: component `gpu` made"), "{}", ended.stdout);
    assert_eq!(site.component("gpu"), Value::Null);
    let ended = site.run("waldur_site_load_components", &config, &[]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    let cpu = site.component("cpu");
    assert_eq!((&cpu["name"], &cpu["limit_amount"]), (&json!("CPU cores"), &json!(12.5)), "{cpu:#}");
    assert_eq!((&cpu["limit_period"], &cpu["max_value"]), (&json!("month"), &json!(64)), "{cpu:#}");
    let gpu = site.component("gpu");
    assert_eq!((&gpu["billing_type"], &gpu["measured_unit"]), (&json!("usage"), &json!("GPU")), "{gpu:#}");
    assert_eq!(site.component("storage"), before);
    // A file that says less takes nothing away, and what is as it should be is not written.
    site.sim.reset_traffic();
    config.components =
        config.components.replace("limit: 12.5, limit_period: month, max_value: 64", "min_value: 0");
    let ended = site.run("waldur_site_load_components", &config, &[]).await;
    assert!(ended.stdout.contains("component `cpu` changed: min_value: nothing → 0"), "{}", ended.stdout);
    assert!(ended.stdout.contains("component `gpu` is as configured"), "{}", ended.stdout);
    assert_eq!(site.component("cpu")["max_value"], 64);
    let writes = site.waldur_requests().into_iter().filter(|line| line.starts_with("POST"));
    assert_eq!(writes.count(), 1);
}

#[tokio::test]
async fn limits_go_from_waldur_to_the_cluster_and_access_stays() {
    let site = Site::start().await;
    let config = site.config().with_members();
    let (order, resource) = site.order("Shop", limits());
    assert!(site.once_with(&config).await);
    assert!(!site.order_state(order).is_open());
    site.sim.waldur.set_limits(resource, json!({"cpu": 7, "memory": 16, "storage": 100, "pods": 50}));
    let max = site.sim.waldur.user("max.manager").unwrap();
    site.sim.waldur.remove_member(site.project, max, "PROJECT.MANAGER");
    let bindings = site.sim.okd.list("rolebindings", Some(NAME));
    let ended = site.run("waldur_sync_resource_limits", &config, &["--dry-run"]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.hard(NAME)["requests.cpu"], "4");
    let ended = site.run("waldur_sync_resource_limits", &config, &[]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.hard(NAME)["requests.cpu"], "7");
    assert_eq!(site.resource(resource)["limits"]["cpu"], 7);
    assert_eq!(site.sim.okd.list("rolebindings", Some(NAME)), bindings);
}

#[tokio::test]
async fn limits_go_to_waldur_only_when_asked_and_never_those_of_a_paused_resource() {
    let site = Site::start().await;
    let shop = site.made("Shop", limits()).await;
    let blog = site.made("Blog", limits()).await;
    let odd = site.made("Odd", limits()).await;
    let hard = |namespace: &str, key: &str, value: &str| {
        let mut quota = site.sim.okd.get("resourcequotas", namespace, "waldur-quota").unwrap();
        (quota["apiVersion"], quota["kind"]) = (json!("v1"), json!("ResourceQuota"));
        quota["spec"]["hard"][key] = json!(value);
        site.sim.okd.put(quota).unwrap();
    };
    hard(NAME, "requests.cpu", "6");
    hard("waldur-alloc-blog-1", "requests.cpu", "0");
    hard("waldur-alloc-odd-1", "requests.memory", "1Ti");
    site.sim.waldur.set_flags(blog, true, false, false);
    let ended =
        site.run("waldur_sync_resource_limits", &site.config(), &["--from-cluster", "--dry-run"]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.resource(shop)["limits"], limits());
    let ended = site.run("waldur_sync_resource_limits", &site.config(), &["--from-cluster"]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(site.resource(shop)["limits"], json!({"cpu": 6, "memory": 16, "storage": 100, "pods": 50}));
    assert_eq!(site.resource(odd)["limits"]["memory"], 1024);
    assert_eq!(site.resource(blog)["limits"], limits());
    assert!(ended.stdout.contains("left as it is: it is paused"), "{}", ended.stdout);
}

#[tokio::test]
async fn offering_users_who_wait_get_their_usernames() {
    let site = Site::start().await;
    site.sim.waldur.set_plugin_option(site.offering, "username_generation_policy", json!("service_provider"));
    let user = site.sim.waldur.add_user(&SeedUser::new("new.user", "new-token"));
    site.sim.waldur.add_offering_user(site.offering, user, "");
    let ended = site.run("waldur_sync_offering_users", &site.config(), &[]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert!(ended.stdout.contains("1 usernames given, nobody waits"), "{}", ended.stdout);
}

#[tokio::test]
async fn health_is_a_fresh_heartbeat_and_a_waldur_that_answers() {
    let site = Site::start().await;
    // An agent leaves a heartbeat, as any that runs on this machine does.
    assert!(site.once().await);
    let config = site.config();
    let alive = |more: &'static [&'static str]| {
        let mut command = Command::new(site.link("waldur_site_healthz"));
        command.env_clear().args(more);
        command
    };
    let ended = Process::run(&mut alive(&["--liveness-only", "--max-age", "3600"])).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert!(ended.stdout.starts_with("the last heartbeat was "), "{}", ended.stdout);
    let ended = site.run("waldur_site_healthz", &config, &["--max-age", "3600"]).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert!(ended.stdout.contains("Waldur answers as agent-okd"), "{}", ended.stdout);
    let mut nobody = config.clone();
    nobody.waldur_url = format!("http://{NOBODY}");
    let ended = site.run("waldur_site_healthz", &nobody, &["--max-age", "3600"]).await;
    assert_eq!(ended.code(), Some(1), "{}", ended.all());
    assert!(ended.stderr.contains("Connection refused"), "{}", ended.stderr);
    let ended = Process::run(alive(&["--config-file", "/nowhere.yaml", "--max-age", "3600"]).arg("-V")).await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
}

#[tokio::test]
async fn commands_that_have_nothing_to_do_say_so_in_one_sentence() {
    let site = Site::start().await;
    for (name, subcommand, arguments) in [
        ("waldur_site_create_homedirs", "create_homedirs", &["-c", "some.yaml"][..]),
        ("waldur_site_test_order", "test_order", &["--list-templates"][..]),
    ] {
        let by_name = Process::run(Command::new(site.link(name)).env_clear().args(arguments)).await;
        let agent = env!("CARGO_BIN_EXE_waldur_site_agent");
        let by_subcommand =
            Process::run(Command::new(agent).env_clear().arg(subcommand).args(arguments)).await;
        for ended in [by_name, by_subcommand] {
            assert_eq!(ended.code(), Some(0), "{}", ended.all());
            assert!(
                ended.stdout.starts_with("Nothing to do: ") && ended.stderr.is_empty(),
                "{}",
                ended.all()
            );
            assert_eq!(ended.stdout.trim().lines().count(), 1);
        }
    }
}

#[tokio::test]
async fn every_name_has_its_help_and_a_command_line_that_cannot_be_used_is_exit_2() {
    let site = Site::with(options()).await;
    let names = [
        "waldur_site_diagnostics",
        "waldur_site_load_components",
        "waldur_sync_resource_limits",
        "waldur_sync_offering_users",
        "waldur_site_healthz",
        "waldur_site_load_historical_usage",
    ];
    for name in names {
        let ended = Process::run(Command::new(site.link(name)).env_clear().arg("--help")).await;
        assert_eq!(ended.code(), Some(0), "{}", ended.all());
        assert!(ended.stdout.contains(&format!("Usage: {name} [OPTIONS]")), "{}", ended.stdout);
        let ended = Process::run(Command::new(site.link(name)).env_clear().arg("--no-such-flag")).await;
        assert_eq!(ended.code(), Some(2), "{}", ended.all());
        if name != "waldur_site_healthz" {
            let mut command = Command::new(site.link(name));
            command.env_clear().args(["-c", "/nowhere.yaml"]);
            if name == "waldur_site_load_historical_usage" {
                let offering = site.offering.to_string();
                command.args(["-o", &offering, "-t", "token", "-s", "2026-07-01", "-e", "2026-07-31"]);
            }
            let ended = Process::run(&mut command).await;
            assert_eq!(ended.code(), Some(2), "{}", ended.all());
            assert!(ended.all().contains("/nowhere.yaml"), "{}", ended.all());
        }
    }
}
