//! The diagnostics: what they say of a healthy site, and of sites with something wrong.

use serde_json::{Value, json};
use simulator::okd::documented_agent_rules;
use simulator::simulation::SimulationOptions;
use tokio::process::Command;

use crate::process::{Ended, Process};
use crate::site::{Config, NOBODY, Site, limits, options};

impl Site {
    /// The diagnostics of a configuration, away from this process's own environment.
    pub(crate) fn diagnostics(&self, config: &Config) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_diagnostics"));
        command.env_clear().arg("-c").arg(self.config_file(&config.text()));
        command
    }

    /// A text with what differs between runs left out.
    fn same(&self, text: &str) -> String {
        let mut text = text.replace(&self.folder.path().display().to_string(), "FOLDER");
        text = text.replace(&self.offering.simple().to_string(), "OFFERING");
        for (server, name) in [(&self.sim.waldur_server.url, "WALDUR"), (&self.sim.okd_server.url, "OKD")] {
            text = text.replace(server.as_str(), name);
            let port = server.rsplit(':').next().unwrap();
            text = text.replace(&format!(":{port}"), ":PORT");
        }
        // Durations and times of day.
        let words = text.split_inclusive(char::is_whitespace).map(|word| {
            let time = word.trim_end().trim_end_matches([',', ')', ';']).trim_start_matches('(');
            if time.len() >= 20 && time.parse::<jiff::Timestamp>().is_ok() {
                word.replace(time, "TIME")
            } else {
                word.to_owned()
            }
        });
        let text: String = words.collect();
        let lines = text.lines().map(|line| match line.find("connected to 127.0.0.1:PORT in ") {
            Some(_) => line.split(" in ").next().unwrap().to_owned() + " in no time",
            None => line.to_owned(),
        });
        lines.map(|line| line + "\n").collect()
    }

    async fn diagnosed(&self, config: &Config) -> (Option<i32>, String) {
        let ended = Process::run(&mut self.diagnostics(config)).await;
        assert_eq!(ended.stderr, "", "{}", ended.stdout);
        (ended.code(), self.same(&ended.stdout))
    }
}

/// What was done on both sides other than looking.
fn changes(site: &Site) -> Vec<String> {
    let harmless =
        |line: &&String| line.starts_with("GET") || line.starts_with("HEAD") || line.contains("reviews");
    let all = [site.waldur_requests(), site.okd_requests()].concat();
    all.iter().filter(|line| !harmless(line)).cloned().collect()
}

/// All checks of a state: `name: detail`.
fn checks(report: &Value, state: &str) -> Vec<String> {
    let sections =
        report["offerings"].as_array().unwrap().iter().flat_map(|of| of["sections"].as_array().unwrap());
    let checks = sections.flat_map(|section| section["checks"].as_array().unwrap());
    let checks = checks.filter(|check| check["state"] == state);
    checks
        .map(|check| format!("{}: {}", check["name"].as_str().unwrap(), check["detail"].as_str().unwrap()))
        .collect()
}

fn json_of(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.all()))
}

/// The configuration of an agent that does everything, with the units that Waldur has.
fn config(site: &Site) -> Config {
    let mut config = site.config().with_members();
    config.components = config.components.replace("Core", "cores").replace("Pods", "pods");
    config
}

/// A site that was set up with the manifests of `rbac`.
async fn set_up(site: &Site, config: &Config) {
    let mut rbac = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
    rbac.env_clear().args(["rbac", "-c"]).arg(site.config_file(&config.text()));
    let printed = Process::run(&mut rbac).await;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&printed.stdout).unwrap();
    for document in documents {
        site.sim.okd.put(document).unwrap();
    }
}

/// Who may request projects.
fn self_provisioners(site: &Site, subjects: Value) {
    let rbac = "rbac.authorization.k8s.io";
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "self-provisioners"}, "subjects": subjects,
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "self-provisioner"},
    });
    site.sim.okd.put(binding).unwrap();
}

#[tokio::test]
async fn a_healthy_site_is_all_good_and_nothing_is_changed() {
    let site = Site::start().await;
    let config = config(&site);
    set_up(&site, &config).await;
    self_provisioners(&site, json!([]));
    site.made("Shop", limits()).await;
    site.sim.reset_traffic();
    let (code, text) = site.diagnosed(&config).await;
    insta::assert_snapshot!(text);
    assert_eq!(code, Some(0));
    assert_eq!(changes(&site), [] as [String; 0]);
}

#[tokio::test]
async fn under_the_documented_role_it_works_with_less() {
    let site = Site::with(SimulationOptions { agent_rules: documented_agent_rules(), ..options() }).await;
    site.somebody_elses("waldur-legacy");
    let everybody = json!([{"kind": "Group", "name": "system:authenticated:oauth"}]);
    self_provisioners(&site, everybody);
    let (code, text) = site.diagnosed(&config(&site)).await;
    insta::assert_snapshot!(text);
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_site_with_many_faults_names_each_with_what_to_do() {
    let mut options = options();
    // The user of the agent may see the offering, and not approve its orders.
    options.seed.members.retain(|member| member.user != "agent-okd" || member.customer.is_none());
    let rules = documented_agent_rules();
    let rules =
        rules.as_array().unwrap().iter().filter(|rule| rule["resources"] != json!(["resourcequotas"]));
    options.agent_rules = rules.cloned().collect();
    let site = Site::with(options).await;
    let mut config =
        config(&site).with_backend("default_role: project-lead\n").with_global("no_such_key: 1\n");
    config.components =
        "gpu: {measured_unit: GPU, accounting_type: limit, quota: requests.nvidia.com/gpu}\n".to_owned();
    config.okd_tls = "verify_cert: false\n".to_owned();
    let (_, resource) = site.order("Shop", limits());
    site.sim.waldur.set_backend_id(resource, "kube-system");
    let mut command = site.diagnostics(&config);
    let ended = Process::run(&mut command).await;
    assert!(ended.stderr.contains("no_such_key"), "{}", ended.stderr);
    insta::assert_snapshot!(site.same(&ended.stdout));
    assert_eq!(ended.code(), Some(1));
}

#[tokio::test]
async fn servers_that_are_not_there_or_refuse_the_token() {
    let site = Site::start().await;
    let mut nobody = config(&site);
    nobody.waldur_url = format!("http://{NOBODY}");
    nobody.okd_url = "https://no-such-host.invalid:6443".to_owned();
    let (code, text) = site.diagnosed(&nobody).await;
    insta::assert_snapshot!("servers_that_are_not_there", text);
    assert_eq!(code, Some(1));
    let mut refused = config(&site);
    refused.waldur_token = "waldur_api_token: of-yesterday\n".to_owned();
    refused.okd_token = "token: of-yesterday\n".to_owned();
    let (code, text) = site.diagnosed(&refused).await;
    insta::assert_snapshot!("tokens_that_are_refused", text);
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for() {
    let site = Site::start().await;
    let other = simulator::tls::Tls::generate().unwrap();
    let path = site.folder.path().join("other.pem");
    std::fs::write(&path, other.ca_pem()).unwrap();
    let mut config = config(&site);
    config.okd_tls = format!("ca_file: {}\n", path.display());
    let (code, text) = site.diagnosed(&config).await;
    assert_eq!(code, Some(1));
    let tls = text.lines().skip_while(|line| !line.contains("✗ TLS")).take(2).collect::<Vec<_>>().join("\n");
    assert!(tls.contains("no trusted CA has signed it"), "{text}");
    assert!(tls.contains("→ name the file with the server's CA in `ca_file`"), "{text}");
    // The certificate is for `localhost`.
    config.okd_tls = site.config().okd_tls;
    config.okd_url = config.okd_url.replace("localhost", "127.0.0.2");
    let (_, text) = site.diagnosed(&config).await;
    assert!(text.contains("it is for other names") || text.contains("✗ TCP"), "{text}");
}

#[tokio::test]
async fn json_says_the_same_and_the_exit_code_too() {
    let site = Site::start().await;
    let good = config(&site);
    let mut bad = good.clone();
    bad.okd_token = "token: of-yesterday\n".to_owned();
    for (config, ok, code) in [(good, true, 0), (bad, false, 1)] {
        let ended = Process::run(site.diagnostics(&config).arg("--json")).await;
        let report = json_of(&ended);
        assert_eq!(ended.code(), Some(code));
        assert_eq!((&report["ok"], report["failed"] == 0), (&json!(ok), ok), "{report:#}");
        assert_eq!(checks(&report, "failed").is_empty(), ok, "{report:#}");
        let all = report["offerings"][0]["sections"].as_array().unwrap();
        let all = all.iter().flat_map(|section| section["checks"].as_array().unwrap());
        for check in all.filter(|check| check["state"] == "failed") {
            assert!(check["next_step"].as_str().is_some_and(|step| !step.is_empty()), "{check:#}");
        }
    }
    let path = site.folder.path().join("broken.yaml");
    std::fs::write(&path, "offerings: 7\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
    let ended = Process::run(command.env_clear().args(["diagnose", "-c"]).arg(&path)).await;
    assert_eq!(ended.code(), Some(2), "{}", ended.all());
    assert!(ended.stderr.contains("offerings"), "{}", ended.all());
}

#[tokio::test]
async fn what_a_customer_wrote_does_nothing_to_the_terminal() {
    let site = Site::start().await;
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "waldur-old"},
    });
    site.sim.okd.put(namespace).unwrap();
    let (_, resource) = site.order("Shop", limits());
    assert!(site.once().await);
    site.sim.waldur.set_backend_id(resource, "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}");
    let (_, text) = site.diagnosed(&config(&site)).await;
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(text.contains("x [2J ]0;owned") && !text.contains('\u{202e}'), "{text}");
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_named() {
    let site = Site::start().await;
    site.sim.clock.step(jiff::SignedDuration::from_secs(630));
    let ended = Process::run(site.diagnostics(&config(&site)).arg("--json")).await;
    let failed = checks(&json_of(&ended), "failed");
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(
        failed.iter().all(|check| check.starts_with("clock: the server's clock is 10 min ahead of")),
        "{failed:?}"
    );
    assert_eq!(ended.code(), Some(1));
}

/// Names of everything on the cluster that a write test could leave behind.
fn inventory(site: &Site) -> Vec<String> {
    let kinds =
        ["namespaces", "resourcequotas", "limitranges", "rolebindings", "groups", "users", "identities"];
    let named = |kind: &'static str| {
        let all = site.sim.okd.list(kind, None).into_iter();
        all.map(move |object| {
            format!("{kind} {} {}", object["metadata"]["namespace"], object["metadata"]["name"])
        })
    };
    kinds.into_iter().flat_map(named).collect()
}

#[tokio::test]
async fn the_write_test_makes_verifies_and_removes_a_project_and_tells_waldur_nothing() {
    let site = Site::start().await;
    let config = config(&site);
    set_up(&site, &config).await;
    let before = inventory(&site);
    site.sim.reset_traffic();
    let ended = Process::run(site.diagnostics(&config).args(["--write-test", "--json"])).await;
    let report = json_of(&ended);
    assert_eq!(ended.code(), Some(0), "{report:#}");
    let done = checks(&report, "good").join("\n");
    let name = "waldur-alloc-write-test-";
    for part in [
        format!("project: + project {name}"),
        format!("quota: + quota {name}"),
        "limit range: + limit range".to_owned(),
        "access: + role binding".to_owned(),
        "verified: everything is as it was set".to_owned(),
        "quota: the cluster counts what it limits".to_owned(),
        "removed: `waldur-alloc-write-test-".to_owned(),
    ] {
        assert!(done.contains(&part), "{part}: {done}");
    }
    assert_eq!(inventory(&site), before);
    let waldur = site.waldur_requests();
    assert!(waldur.iter().all(|line| line.starts_with("GET") || line.starts_with("HEAD")), "{waldur:#?}");
    let requests = site.sim.okd_server.traffic.requests();
    let writes = requests.iter().filter(|request| !["GET", "HEAD"].contains(&request.method.as_str()));
    let writes: Vec<_> = writes.filter(|request| !request.path.contains("reviews")).collect();
    assert!(writes.len() > 5);
    let elsewhere = writes
        .iter()
        .filter(|request| !request.path.contains(name) && !request.path.ends_with("/projectrequests"));
    assert_eq!(elsewhere.count(), 0, "{writes:#?}");
}

#[tokio::test]
async fn a_write_test_that_fails_half_way_removes_what_it_has_made() {
    let rules = documented_agent_rules();
    let rules =
        rules.as_array().unwrap().iter().filter(|rule| rule["resources"] != json!(["resourcequotas"]));
    let mut rules: Vec<Value> = rules.cloned().collect();
    rules.push(json!({"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["get", "list"]}));
    let site = Site::with(SimulationOptions { agent_rules: json!(rules), ..options() }).await;
    let before = inventory(&site);
    let ended = Process::run(site.diagnostics(&config(&site)).args(["--write-test", "--json"])).await;
    let report = json_of(&ended);
    assert_eq!(ended.code(), Some(1), "{report:#}");
    let failed = checks(&report, "failed").join("\n");
    assert!(failed.contains("quota: OKD forbids it: "), "{failed}");
    assert!(checks(&report, "good").iter().any(|check| check.starts_with("removed: ")), "{report:#}");
    assert_eq!(inventory(&site), before);
}
