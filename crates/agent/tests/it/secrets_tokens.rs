//! No secret of a token source is shown: clients' secrets, refresh tokens, passwords, kubeconfigs, keys, what programs
//! print, and the tokens that come of them.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use serde_json::json;
use simulator::faults::{Fault, Rule};
use simulator::oauth::{OAuth, OAuthOptions};
use simulator::okd::kubeconfig;
use simulator::server::{self, ServeOptions, Server};
use simulator::tls::Tls;

use crate::secrets::{Planted, Repeats, echo};
use crate::site::Config;

const CLIENT: &str = "PLANTED-client-secret-71c0";
const REFRESH: &str = "PLANTED-refresh-token-0d3f";
const PASSWORD: &str = "PLANTED-password-44b9";
const PRINTED: &str = "PLANTED-printed-by-a-program-8e12";
const KUBECONFIG: &str = "PLANTED-in-a-kubeconfig-c55a";

/// An OAuth server that knows the planted secrets, for the cluster or for Waldur.
async fn server(planted: &Planted, waldur: bool) -> (OAuth, Server) {
    let (okd, marketplace) = (planted.site.sim.okd.clone(), planted.site.sim.waldur.clone());
    let user = marketplace.user("agent-okd").unwrap();
    let issue = move |lifetime| {
        if waldur { marketplace.access_token(user, lifetime) } else { okd.agent_token(lifetime) }
    };
    let options = OAuthOptions { rotates: true, ..OAuthOptions::default() };
    let oauth = OAuth::new(options, Arc::new(issue));
    oauth.add_client("agent", CLIENT);
    oauth.add_user("agent", PASSWORD);
    oauth.add_refresh_token(REFRESH);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = server::serve(oauth.router(), listener, ServeOptions::default());
    oauth.set_base_url(&served.url);
    (oauth, served)
}

/// Each grant in a configuration, with where its tokens come from.
fn grants(planted: &Planted, url: &str) -> Vec<(Config, &'static str)> {
    let oauth = |keys: &str| {
        let mut config = planted.config();
        config.okd_token = format!("token_config: {{token_type: oauth, oauth_config: {{{keys}}}}}\n");
        config
    };
    let endpoint = format!("token_endpoint: '{url}/oauth/token'");
    let mut oidc = planted.config();
    oidc.waldur_token =
        format!("oidc_token_url: {url}/oauth/token\noidc_client_id: agent\noidc_client_secret: {CLIENT}\n");
    vec![
        (
            oauth(&format!(
                "client_id: agent, client_secret: {CLIENT}, refresh_token: {REFRESH}, {endpoint}"
            )),
            "refresh",
        ),
        (oauth(&format!("client_id: agent, client_secret: {CLIENT}, {endpoint}")), "client"),
        (oauth(&format!("username: agent, password: {PASSWORD}")), "password"),
        (oidc, "oidc"),
    ]
}

#[tokio::test]
async fn in_every_grant() {
    for number in 0..4 {
        let planted = Planted::start().await;
        planted.order(0);
        let (oauth, served) = server(&planted, number == 3).await;
        planted.site.sim.okd.set_oauth(oauth.clone());
        let (config, what) = grants(&planted, &served.url).remove(number);
        let ended = planted.run(config, what).await;
        assert_eq!(ended.code(), Some(0), "{what}: {}", ended.all());
        assert!(oauth.given() > 0, "{what}");
    }
}

#[tokio::test]
async fn in_refusals_of_the_oauth_server_and_of_its_tokens() {
    let runs = [Fault::Status(400), Fault::Status(500), Fault::Html(200), Fault::TruncatedBody].into_iter();
    let runs = runs.map(|fault| async move {
        let planted = Planted::start().await;
        planted.order(0);
        let (oauth, served) = server(&planted, false).await;
        planted.site.sim.okd.set_oauth(oauth);
        served.faults.add(Rule::all(fault.clone()));
        for (config, what) in grants(&planted, &served.url) {
            planted.run(config, &format!("{what} with {fault:?}")).await;
        }
        served.faults.clear();
        planted.site.sim.okd_server.faults.add(Rule::path("/apis/**", Fault::Status(401)));
        for (config, what) in grants(&planted, &served.url) {
            planted.run(config, &format!("{what}, refused by the cluster")).await;
        }
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn in_answers_of_oauth_servers_that_repeat_the_request() {
    for status in ["400 Bad Request", "401 Unauthorized", "200 OK", "302 Found"] {
        let planted = Planted::start().await;
        planted.order(0);
        let echo = echo(status, Repeats::Head).await;
        let (oauth, _served) = server(&planted, false).await;
        oauth.set_base_url(&echo);
        planted.site.sim.okd.set_oauth(oauth);
        for (config, what) in grants(&planted, &echo) {
            planted.run(config, &format!("{what} echoed with {status}")).await;
        }
    }
}

/// A kubeconfig with this user, in a configuration.
fn with_user(planted: &Planted, user: &serde_json::Value) -> Config {
    let site = &planted.site;
    let text = kubeconfig(&site.sim.okd_server.url, &site.sim.ca_pem, "unused");
    let mut content: serde_json::Value = serde_json::from_str(&text).unwrap();
    content["users"][0]["user"] = user.clone();
    with_kubeconfig(planted, &content.to_string())
}

fn with_kubeconfig(planted: &Planted, content: &str) -> Config {
    let path = planted.site.folder.path().join("kubeconfig");
    std::fs::write(&path, content).unwrap();
    let mut config = planted.config();
    config.okd_token = format!("kubeconfig: {}\n", path.display());
    config
}

#[tokio::test]
async fn in_kubeconfigs() {
    let planted = Planted::start().await;
    planted.order(0);
    let tls = Tls::generate().unwrap();
    let pair = tls.client("agent").unwrap();
    let folder = planted.site.folder.path();
    std::fs::write(folder.join("key.pem"), &pair.key_pem).unwrap();
    for user in [
        json!({"token": KUBECONFIG}),
        json!({"token": format!("{KUBECONFIG} {KUBECONFIG}")}),
        json!({"username": "agent", "password": KUBECONFIG}),
        json!({"token": {KUBECONFIG: KUBECONFIG}}),
        json!({"auth-provider": {"name": "oidc", "config": {"client-secret": KUBECONFIG}}}),
        json!({"client-key-data": KUBECONFIG, "client-certificate-data": KUBECONFIG}),
        // A key where the certificate should be.
        json!({"client-certificate": "key.pem", "client-key": "key.pem"}),
    ] {
        let ended = planted.run(with_user(&planted, &user), &user.to_string()).await;
        assert_ne!(ended.code(), Some(0), "{user}");
    }
    for content in [
        format!("users: [{{name: user, user: {{token: \"{KUBECONFIG}}}}}]"),
        format!("users: {KUBECONFIG}"),
        format!("{KUBECONFIG}: [{KUBECONFIG}"),
        format!(
            "contexts: [{{name: a, context: {{cluster: b}}}}]\ncurrent-context: a\nclusters:\n  - {{name: b, cluster: {{server: 'https://u:{KUBECONFIG}@x y'}}}}"
        ),
    ] {
        let ended = planted.run(with_kubeconfig(&planted, &content), &content).await;
        assert_eq!(ended.code(), Some(2), "{content}");
    }
}

#[tokio::test]
async fn in_what_programs_print() {
    let planted = Planted::start().await;
    planted.order(0);
    let path = planted.site.folder.path().join("login");
    let user = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": path, "args": [KUBECONFIG],
        "env": [{"name": "SECRET", "value": KUBECONFIG}],
    }});
    let credential = |token: &str| {
        let kind = "\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\"";
        format!("echo '{{{kind},\"status\":{{\"token\":\"{token}\"}}}}'")
    };
    let tls = Tls::generate().unwrap();
    let (one, other) = (tls.client("agent").unwrap(), tls.client("agent").unwrap());
    let certificate = |certificate: &str, key: &str| {
        let status = json!({"clientCertificateData": certificate, "clientKeyData": key});
        let answer = json!({
            "kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": status,
        });
        format!("echo '{answer}'")
    };
    for script in [
        certificate(PRINTED, PRINTED),
        certificate(&one.certificate, PRINTED),
        certificate(&one.certificate, &other.key_pem),
        certificate(&one.key_pem, &one.key_pem),
        certificate(&one.certificate, &one.key_pem),
        format!("echo {PRINTED}; echo {PRINTED} >&2"),
        format!("echo {PRINTED}; echo {PRINTED} >&2; exit 5"),
        credential(PRINTED),
        credential(&format!("{PRINTED} {PRINTED}")),
        credential(&planted.site.sim.okd_token),
        format!("echo '{{\"kind\":\"{PRINTED}\"'"),
    ] {
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        planted.run(with_user(&planted, &user), &script).await;
    }
}
