//! Kubeconfigs, client certificates, pods without configuration, and the Secret that keeps a refresh token.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use simulator::mount::ServiceAccountMount;
use simulator::oauth::OAuthOptions;
use simulator::okd::kubeconfig;
use simulator::server::{self, ServeOptions, Server};
use simulator::tls::{Pair, Tls};
use simulator::waldur::OrderState;
use tokio::process::Command;

use crate::process::Process;
use crate::site::{Agent, Config, Site, limits};
use crate::tokens::{self, refresh, with_oauth};

/// A file in the site's folder.
fn file(site: &Site, name: &str, content: &str) -> PathBuf {
    let path = site.folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// A configuration that names nothing of the cluster but this.
fn with_cluster(site: &Site, lines: &str) -> Config {
    let mut config = site.config();
    (config.okd_url, config.okd_tls) = (String::new(), String::new());
    config.okd_token = lines.to_owned();
    config
}

/// The command with a configuration whose empty `api_url` is left out.
fn command(site: &Site, config: &Config) -> Command {
    let text = config.text().replace("  api_url: \n", "");
    let path = site.config_file(&text);
    let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
    command.env_clear().args(["-m", "order_process", "--once", "-c"]).arg(path);
    command
}

async fn does_an_order(site: &Site, mut command: Command, what: &str) {
    let (order, _) = site.order("Shop", limits());
    let ended = Process::run(&mut command).await;
    assert_eq!(ended.code(), Some(0), "{what}: {}", ended.all());
    assert_eq!(site.order_state(order), OrderState::Done, "{what}");
}

async fn is_told(mut command: Command, code: i32, says: &str) {
    let ended = Process::run(&mut command).await;
    assert_eq!(ended.code(), Some(code), "{says}: {}", ended.all());
    assert!(ended.all().contains(says), "{says}: {}", ended.all());
}

fn kubeconfig_with(site: &Site, user: &serde_json::Value) -> PathBuf {
    let text = kubeconfig(&site.sim.okd_server.url, &site.sim.ca_pem, "unused");
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = user.clone();
    file(site, "kubeconfig", &config.to_string())
}

#[tokio::test]
async fn a_kubeconfig_is_all_that_is_needed() {
    let site = Site::start().await;
    let path = kubeconfig_with(&site, &json!({"token": site.sim.okd_token}));
    let config = with_cluster(&site, &format!("kubeconfig: {}\n", path.display()));
    does_an_order(&site, command(&site, &config), "the current context").await;
    let named =
        with_cluster(&site, &format!("kubeconfig: {}\nkubeconfig_context: simulator\n", path.display()));
    does_an_order(&site, command(&site, &named), "a named context").await;
    let wrong =
        with_cluster(&site, &format!("kubeconfig: {}\nkubeconfig_context: production\n", path.display()));
    let says = format!(
        "the kubeconfig `{}` has no context `production`; correct `kubeconfig_context`, it has simulator",
        path.display()
    );
    is_told(command(&site, &wrong), 2, &says).await;
}

#[tokio::test]
async fn a_kubeconfig_that_somebody_logs_in_to_again_is_read_again() {
    let site = Site::start().await;
    let path = kubeconfig_with(&site, &json!({"token": site.sim.okd_token}));
    let mut config = site.config();
    config.okd_token = format!("kubeconfig: {}\n", path.display());
    let agent = Agent::start(config.engine());
    let (order, _) = site.order("Shop", limits());
    site.ends(order, OrderState::Done).await;
    let second = site.sim.okd.agent_token(Duration::from_secs(3600));
    kubeconfig_with(&site, &json!({"token": second}));
    site.sim.okd.revoke_token(&site.sim.okd_token);
    let (order, _) = site.order("Blog", limits());
    site.ends(order, OrderState::Done).await;
    agent.stop().await;
}

/// A program that prints this, and counts its runs in a file.
fn program(site: &Site, script: &str) -> PathBuf {
    let path = file(site, "login", &format!("#!/bin/sh\necho run >> \"$0.runs\"\n{script}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_program_of_a_kubeconfig_makes_tokens() {
    let site = Site::start().await;
    let answer = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": site.sim.okd_token, "expirationTimestamp": "2999-01-01T00:00:00Z"},
    });
    // It has to get what client-go gives it.
    let path = program(
        &site,
        &format!(
            "case \"$KUBERNETES_EXEC_INFO\" in *'\"server\":\"{}\"'*) ;; *) exit 3 ;; esac\n\
             [ \"$1 $GREETING\" = 'give hello' ] && echo '{answer}'",
            site.sim.okd_server.url
        ),
    );
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": path, "args": ["give"],
        "env": [{"name": "GREETING", "value": "hello"}], "provideClusterInfo": true, "interactiveMode": "Never",
    });
    let kubeconfig = kubeconfig_with(&site, &json!({"exec": exec}));
    let config = with_cluster(&site, &format!("kubeconfig: {}\n", kubeconfig.display()));
    does_an_order(&site, command(&site, &config), "a program").await;
    let runs = std::fs::read_to_string(path.with_extension("runs")).unwrap();
    assert_eq!(runs.lines().count(), 1, "a token is used until it expires");
    for (script, says) in [
        ("exit 7", "ended with exit status: 7; run it by hand to see what it says"),
        ("echo hello", "printed something else than an ExecCredential in JSON"),
        (
            "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{}}'",
            "printed an ExecCredential with neither `token` nor `clientCertificateData`",
        ),
        (
            "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":\
             {\"clientKeyData\":\"x\"}}'",
            "printed a client certificate without its key, or a key without its certificate",
        ),
        (
            "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":\
             {\"clientCertificateData\":\"x\",\"clientKeyData\":\"x\"}}'",
            "printed an ExecCredential that cannot be used: its `clientCertificateData` holds no certificate in PEM",
        ),
        (
            "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"x/v9\"}'",
            "printed an ExecCredential of another version than `client.authentication.k8s.io/v1`",
        ),
    ] {
        let path = program(&site, script);
        let named =
            format!("the program `{}` of the kubeconfig `{}` {says}", path.display(), kubeconfig.display());
        is_told(command(&site, &config), 1, &named).await;
    }
    std::fs::remove_file(&path).unwrap();
    is_told(command(&site, &config), 1, "cannot be started: No such file or directory").await;
}

/// The site's cluster behind a certificate authority that lets in only its own clients.
async fn mutual(site: &Site) -> (Server, Tls, Pair) {
    let tls = Tls::generate().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ServeOptions { tls: Some(tls.mutual_config().unwrap()), ..ServeOptions::default() };
    let served = server::serve(site.sim.okd.router(), listener, options);
    let pair = tls.client("agent").unwrap();
    site.sim.okd.trust_certificate(pair.der.clone());
    (served, tls, pair)
}

#[tokio::test]
async fn a_client_certificate_says_who_the_agent_is() {
    let site = Site::start().await;
    let (served, tls, pair) = mutual(&site).await;
    let ca = file(&site, "mutual-ca.pem", tls.ca_pem());
    let certificate = file(&site, "client.pem", &pair.certificate);
    let key = file(&site, "client-key.pem", &pair.key_pem);
    let mut config = site.config();
    config.okd_url.clone_from(&served.url);
    config.okd_tls = format!("ca_file: {}\n", ca.display());
    config.okd_token = format!("client_cert: {}\nclient_key: {}\n", certificate.display(), key.display());
    does_an_order(&site, command(&site, &config), "files").await;
    let mut kubeconfig: serde_json::Value =
        serde_json::from_str(&kubeconfig(&served.url, tls.ca_pem(), "unused")).unwrap();
    kubeconfig["users"][0]["user"] = json!({
        "client-certificate-data": STANDARD.encode(&pair.certificate),
        "client-key-data": STANDARD.encode(&pair.key_pem),
    });
    let path = file(&site, "kubeconfig", &kubeconfig.to_string());
    let by_kubeconfig = with_cluster(&site, &format!("kubeconfig: {}\n", path.display()));
    does_an_order(&site, command(&site, &by_kubeconfig), "a kubeconfig").await;
    let mut without = config.clone();
    without.okd_token = "token: x\n".to_owned();
    is_told(command(&site, &without), 1, "`client_cert` and `client_key` of `backend_settings`").await;
    let other = tls.client("other").unwrap();
    std::fs::write(&key, &other.key_pem).unwrap();
    is_told(command(&site, &config), 2, "does not belong to the client certificate file").await;
    std::fs::write(&key, "nonsense").unwrap();
    is_told(command(&site, &config), 2, "holds no private key in PEM").await;
}

/// An agent at a cluster that lets in only who shows a certificate. Where it gets that from, `give` puts one there. When a
/// certificate is good no more the agent has to have taken the new one, without a restart and without a failed order.
async fn takes_new_certificates(give: impl Fn(&Site, &Pair), token: impl Fn(&Site) -> String) {
    let site = Site::start().await;
    let (served, tls, mut pair) = mutual(&site).await;
    let ca = file(&site, "mutual-ca.pem", tls.ca_pem());
    give(&site, &pair);
    let mut config = site.config();
    config.okd_url.clone_from(&served.url);
    config.okd_tls = format!("ca_file: {}\n", ca.display());
    config.okd_token = token(&site);
    let agent = Agent::start(config.engine());
    for life in 0..4 {
        let (order, _) = site.order(&format!("Shop {life}"), limits());
        site.ends_so(order, OrderState::Done, &format!("life {life}")).await;
        let next = tls.client("agent").unwrap();
        site.sim.okd.trust_certificate(next.der.clone());
        give(&site, &next);
        site.sim.okd.distrust_certificate(&pair.der);
        pair = next;
    }
    agent.stop().await;
}

#[tokio::test]
async fn files_with_a_client_certificate_are_read_again() {
    let give = |site: &Site, pair: &Pair| {
        file(site, "client.pem", &pair.certificate);
        file(site, "client-key.pem", &pair.key_pem);
    };
    takes_new_certificates(give, |site| {
        let folder = site.folder.path().display();
        format!("client_cert: {folder}/client.pem\nclient_key: {folder}/client-key.pem\n")
    })
    .await;
}

#[tokio::test]
async fn a_kubeconfig_with_a_new_client_certificate_is_read_again() {
    let give = |site: &Site, pair: &Pair| {
        let user = json!({
            "client-certificate-data": STANDARD.encode(&pair.certificate),
            "client-key-data": STANDARD.encode(&pair.key_pem),
        });
        kubeconfig_with(site, &user);
    };
    let token = |site: &Site| format!("kubeconfig: {}/kubeconfig\n", site.folder.path().display());
    takes_new_certificates(give, token).await;
}

#[tokio::test]
async fn a_program_of_a_kubeconfig_makes_client_certificates() {
    let give = |site: &Site, pair: &Pair| {
        let answer = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "status": {"clientCertificateData": pair.certificate, "clientKeyData": pair.key_pem},
        });
        file(site, "login.answer", &answer.to_string());
    };
    let token = |site: &Site| {
        let path = program(site, "cat \"$0.answer\"");
        let exec = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": path, "interactiveMode": "Never",
        });
        let kubeconfig = kubeconfig_with(site, &json!({"exec": exec}));
        format!("kubeconfig: {}\n", kubeconfig.display())
    };
    takes_new_certificates(give, token).await;
}

fn mount(site: &Site) -> ServiceAccountMount {
    let folder = site.folder.path().join("serviceaccount");
    let token = site.sim.okd.agent_token(Duration::from_secs(3600));
    ServiceAccountMount::new(&folder, &site.sim.ca_pem, "waldur-system", &token).unwrap()
}

/// The same as in a pod of the site's cluster.
fn in_pod(site: &Site, mut command: Command) -> Command {
    let port = site.sim.okd_server.addr.port().to_string();
    command.env("KUBERNETES_SERVICE_HOST", "localhost").env("KUBERNETES_SERVICE_PORT", port);
    command
}

#[tokio::test]
async fn in_a_pod_the_cluster_needs_no_configuration() {
    let site = Site::start().await;
    let mount = mount(&site);
    // Nothing but where the account is mounted, which a test cannot have at the usual place.
    let lines = format!(
        "token_config: {{token_type: service_account, service_account_path: {}}}\n",
        mount.folder().display()
    );
    let command = command(&site, &with_cluster(&site, &lines));
    does_an_order(&site, in_pod(&site, command), "in a pod").await;
}

#[tokio::test]
async fn the_last_refresh_token_is_kept_in_a_secret() {
    let site = Site::start().await;
    let mount = mount(&site);
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch"]}]);
    site.sim.okd.put_cluster_role("refresh-token", rules);
    let account =
        json!({"kind": "ServiceAccount", "name": "waldur-site-agent", "namespace": "waldur-system"});
    site.sim.okd.bind_cluster_role("refresh-token", "refresh-token", &account);
    let options = OAuthOptions { rotates: true, ..OAuthOptions::default() };
    let (oauth, server) = tokens::oauth(&site, options).await;
    let mut config = with_oauth(&site, &format!("{}, refresh_token_secret: tokens", refresh(&server)));
    config.okd_token = config.okd_token.replace(
        "token_type: oauth,",
        &format!("token_type: oauth, service_account_path: {},", mount.folder().display()),
    );
    // Each run uses up the refresh token that it begins with.
    for run in 0..3 {
        does_an_order(&site, in_pod(&site, command(&site, &config)), &format!("run {run}")).await;
        let secret = site.sim.okd.get("secrets", "waldur-system", "tokens").unwrap();
        assert_eq!(secret["metadata"]["labels"]["app.kubernetes.io/managed-by"], "waldur-site-agent");
        assert_ne!(secret["data"]["refresh_token"], STANDARD.encode("first-refresh"));
    }
    assert_eq!(oauth.given(), 3);
    // A new one in the configuration is taken when the stored one is good no more.
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "data": {"refresh_token": STANDARD.encode("stale")},
        "metadata": {
            "name": "tokens", "namespace": "waldur-system",
            "labels": {"app.kubernetes.io/managed-by": "waldur-site-agent"},
        },
    });
    site.sim.okd.put(secret.clone()).unwrap();
    oauth.add_refresh_token("first-refresh");
    does_an_order(&site, in_pod(&site, command(&site, &config)), "a new one").await;
    // Somebody else's is left alone.
    let mut foreign = secret;
    foreign["metadata"]["labels"] = json!({});
    site.sim.okd.put(foreign).unwrap();
    oauth.add_refresh_token("first-refresh");
    let (order, _) = site.order("Shop", limits());
    let ended = Process::run(&mut in_pod(&site, command(&site, &config))).await;
    assert_eq!(site.order_state(order), OrderState::Done, "{}", ended.all());
    assert!(ended.all().contains("the Secret is not the agent's; name another"), "{}", ended.all());
    let kept = site.sim.okd.get("secrets", "waldur-system", "tokens").unwrap();
    assert_eq!(kept["data"]["refresh_token"], STANDARD.encode("stale"));
}
