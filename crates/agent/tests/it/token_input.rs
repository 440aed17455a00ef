//! Bad input about tokens and TLS: each is one line that names the file or URL, what was expected and what to do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use simulator::bound_token;
use simulator::faults::{Fault, Rule};
use simulator::oauth::{OAuth, OAuthOptions};
use simulator::server::{self, ServeOptions, Server};
use simulator::tls::{Served, Tls};
use simulator::waldur::OrderState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::process::{Ended, Process};
use crate::site::{Config, NOBODY, Site, limits};
use crate::tokens::{self, refresh, with_oauth, with_oidc};

async fn once(site: &Site, config: &Config) -> Ended {
    Process::run(site.command(config).arg("--once")).await
}

/// What an agent says that could not do its work, while the order waits.
async fn fails(site: &Site, config: &Config, says: &[&str], what: &str) {
    let (order, _) = site.order("Shop", limits());
    let ended = once(site, config).await;
    assert_eq!(ended.code(), Some(1), "{what}: {}", ended.all());
    let errors = ended.errors();
    for words in says {
        let line = errors.lines().find(|line| line.contains(words));
        assert!(line.is_some(), "{what}: nothing says `{words}`:\n{errors}");
    }
    assert!(!ended.all().contains("panicked"), "{what}: {}", ended.all());
    assert_eq!(site.order_state(order), OrderState::PendingProvider, "{what}");
}

fn token_file(site: &Site, content: &[u8]) -> PathBuf {
    let path = site.folder.path().join("token");
    std::fs::write(&path, content).unwrap();
    path
}

#[tokio::test]
async fn token_files_that_hold_no_token() {
    let site = Site::start().await;
    for (content, says) in [
        (&b""[..], "is empty; write the token into it"),
        (b" \n\n", "is empty; write the token into it"),
        (b"one\ntwo\n", "holds more than one line; it must hold the token alone"),
        (b"one two", "holds more than one word; it must hold the token alone"),
        (b"\x00\x01\xff\xfe", "is not text; it must hold one token and nothing else"),
    ] {
        let path = token_file(&site, content);
        let named = format!("the token file `{}`", path.display());
        let (mut waldur, mut okd) = (site.config(), site.config());
        waldur.waldur_token = format!("waldur_api_token_file: {}\n", path.display());
        okd.okd_token = format!("token_file: {}\n", path.display());
        for config in [waldur, okd] {
            fails(&site, &config, &[says, &named], says).await;
        }
    }
    let mut config = site.config();
    let folder = site.folder.path().display().to_string();
    for (path, says) in [
        (format!("{folder}/missing"), "is it mounted, and is the path right?"),
        (folder, "name the file in it"),
    ] {
        config.okd_token = format!("token_file: {path}\n");
        fails(&site, &config, &[says, &format!("cannot read the token file `{path}`")], says).await;
    }
}

#[tokio::test]
async fn a_token_that_ends_with_a_line_is_taken() {
    let site = Site::start().await;
    let path = token_file(&site, format!("  {}\r\n\n", site.sim.okd_token).as_bytes());
    let mut config = site.config();
    config.okd_token = format!("token_file: {}\n", path.display());
    let (order, _) = site.order("Shop", limits());
    assert!(site.once_with(&config).await);
    assert_eq!(site.order_state(order), OrderState::Done);
}

#[tokio::test]
async fn what_a_jwt_says_of_its_end_is_taken_for_what_it_is() {
    let site = Site::start().await;
    let hour_ago = Timestamp::now().as_second() - 3600;
    for (claims, says) in [
        (
            json!({"sub": "nobody"}),
            "holds only the token that is refused: put a new one there, it is read again",
        ),
        (
            json!({"exp": "soon"}),
            "holds only the token that is refused: put a new one there, it is read again",
        ),
        (json!({"exp": hour_ago}), "holds only the token that is refused (it expired at "),
        (json!({"exp": hour_ago as f64 + 0.5}), "holds only the token that is refused (it expired at "),
    ] {
        let path = token_file(&site, bound_token::encoded(&claims, "x").as_bytes());
        let mut config = site.config();
        config.okd_token = format!("token_file: {}\n", path.display());
        let named = format!("the token file `{}`", path.display());
        fails(&site, &config, &[says, &named, "OKD does not accept the token"], &claims.to_string()).await;
    }
    // One that has expired by our clock alone is shown all the same: the server's clock counts.
    let agent = site.sim.okd.agent_token(Duration::from_secs(60));
    site.sim.clock.step(jiff::SignedDuration::from_secs(-3600));
    let late = site.sim.okd.agent_token(Duration::from_secs(1800));
    assert_ne!(agent, late);
    let path = token_file(&site, late.as_bytes());
    let mut config = site.config();
    config.okd_token = format!("token_file: {}\n", path.display());
    let (order, _) = site.order("Shop", limits());
    let ended = once(&site, &config).await;
    assert_eq!(site.order_state(order), OrderState::Done, "{}", ended.all());
    assert!(ended.events("warning").join("\n").contains("the token has expired, by this machine's clock"));
}

#[tokio::test]
async fn oauth_servers_that_give_no_token() {
    let site = Site::start().await;
    let (_oauth, server) = tokens::oauth(&site, OAuthOptions::default()).await;
    let url = format!("{}/oauth/token", server.url);
    let good = refresh(&server);
    for (fault, says) in [
        (
            Fault::Html(200),
            "answered 200 with an HTML page instead of JSON with an `access_token`; correct the URL",
        ),
        (
            Fault::Html(403),
            "answered 403 with an HTML page instead of JSON with an `access_token`; correct the URL",
        ),
        (Fault::Status(500), "answered 500; it will be asked again"),
        (Fault::ResetBefore, "no answer from"),
    ] {
        server.faults.clear();
        server.faults.add(Rule::all(fault.clone()));
        fails(&site, &with_oauth(&site, &good), &[says, &url], &format!("{fault:?}")).await;
        let oidc = with_oidc(site.config(), &server);
        fails(&site, &oidc, &[says, &url], &format!("{fault:?} for Waldur")).await;
    }
    server.faults.clear();
    for (keys, says) in [
        (
            good.replace("first-refresh", "spent"),
            "answered 400 `invalid_grant` (… is not active); what was shown has expired",
        ),
        (good.replace("secret: client", "secret: wrong"), "answered 401 `invalid_client`"),
        (
            good.replace("/oauth/token", "/nowhere"),
            "answered 404, there is no such endpoint; correct the URL",
        ),
        (
            good.replace(&server.url, &format!("http://{NOBODY}")),
            "no answer from http://127.0.0.1:1/oauth/token",
        ),
        ("username: robot, password: wrong".to_owned(), "names no API"),
    ] {
        if says == "names no API" {
            let says = "/.well-known/oauth-authorization-server answered 404, there is no such endpoint";
            fails(&site, &with_oauth(&site, &keys), &[says], &keys).await;
        } else {
            fails(&site, &with_oauth(&site, &keys), &[says], &keys).await;
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let site = Site::start().await;
    let (oauth, server) = tokens::oauth(&site, OAuthOptions::default()).await;
    site.sim.okd.set_oauth(oauth);
    let config = with_oauth(&site, "username: robot, password: wrong");
    let says =
        format!("{}/oauth/authorize answered 401: it does not accept the user and password", server.url);
    fails(&site, &config, &[&says], "a wrong password").await;
}

#[tokio::test]
async fn a_token_for_somebody_else_is_asked_for_twice_and_told() {
    let site = Site::start().await;
    let okd = site.sim.okd.clone();
    let issue = move |lifetime| okd.bound_token("waldur-system", "waldur-site-agent", "vault", lifetime);
    let (oauth, server) = tokens::serve(OAuth::new(OAuthOptions::default(), Arc::new(issue))).await;
    let config = with_oauth(&site, &refresh(&server));
    let says = format!(
        "the token that was renewed from OAuth (refresh token) at {} was refused as well; check that it is one for this \
         server. It is for `vault`.",
        server.url
    );
    fails(&site, &config, &[&says], "another audience").await;
    // The agent asks for many things at the beginning, and each of them is refused.
    assert!(oauth.given() <= 3, "{} tokens", oauth.given());
}

/// The site's Waldur, or its cluster, with a certificate like this; and the CA's file.
async fn served(site: &Site, tls: &Tls, waldur: bool) -> (Server, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ServeOptions { tls: Some(tls.server_config()), ..ServeOptions::default() };
    let router = if waldur { site.sim.waldur.router() } else { site.sim.okd.router() };
    let path = site.folder.path().join("other-ca.pem");
    std::fs::write(&path, tls.ca_pem()).unwrap();
    (server::serve(router, listener, options), path.display().to_string())
}

#[tokio::test]
async fn certificates_that_cannot_be_accepted() {
    let site = Site::start().await;
    for (kind, says) in [
        (Served::Expired, "the server's certificate expired at 2020-01-01T00:00:00Z, and it is 20"),
        (Served::NotYet, "the server's certificate is not valid before 4000-01-01T00:00:00Z, and it is 20"),
        (Served::WrongHost, "it is for `other.example`, not for `localhost`; correct `"),
        (Served::WrongPurpose, "the server's certificate is not made for servers"),
        (
            Served::SelfSigned,
            "no trusted CA has signed the server's certificate: name the file with its CA in `",
        ),
    ] {
        let tls = Tls::serving(kind).unwrap();
        for waldur in [true, false] {
            let (server, ca) = served(&site, &tls, waldur).await;
            let mut config = site.config();
            if waldur {
                config.waldur_url.clone_from(&server.url);
                config.global = format!("verify_ssl: {ca}\n");
            } else {
                config.okd_url.clone_from(&server.url);
                config.okd_tls = format!("ca_file: {ca}\n");
            }
            let at = format!("no answer from {}", server.url);
            fails(&site, &config, &[says, &at], &format!("{kind:?} waldur={waldur}")).await;
        }
    }
}

#[tokio::test]
async fn ca_files_with_garbage() {
    let site = Site::start().await;
    let path = site.folder.path().join("garbage.pem");
    let name = path.display().to_string();
    for (content, says) in [
        ("", "holds no PEM certificates; it must hold `-----BEGIN CERTIFICATE-----` blocks"),
        ("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "holds damaged PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "holds something else than a certificate in its block 1; write the CA's there",
        ),
    ] {
        std::fs::write(&path, content).unwrap();
        let (mut waldur, mut okd) = (site.config(), site.config());
        waldur.global = format!("verify_ssl: {name}\n");
        okd.okd_tls = format!("ca_file: {name}\n");
        for config in [waldur, okd] {
            let ended = once(&site, &config).await;
            assert_eq!(ended.code(), Some(2), "{}", ended.all());
            assert!(ended.all().contains(&format!("the CA file `{name}` {says}")), "{says}: {}", ended.all());
        }
    }
}

/// A proxy that lets nobody through.
async fn locked_proxy() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 16384];
                let _read = stream.read(&mut head).await;
                let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"p\"\r\n\
                              content-length: 0\r\nconnection: close\r\n\r\n";
                // A client that has hung up wants no answer.
                let _hung_up = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_proxy_that_asks_for_credentials() {
    let site = Site::start().await;
    let proxy = locked_proxy().await;
    let says = |key: &str| {
        format!(
            "the proxy asks for credentials, or does not accept those it got: write them into {key} as http://user:password@host:port"
        )
    };
    let waldur = site.config().with_global(&format!("global_proxy: {proxy}\n"));
    fails(&site, &waldur, &[&says("`global_proxy`")], "Waldur").await;
    let mut tunnelled = waldur;
    tunnelled.waldur_url = tunnelled.waldur_url.replace("http:", "https:");
    fails(&site, &tunnelled, &[&says("`global_proxy`")], "Waldur through a tunnel").await;
    let okd = site.config().with_backend(&format!("proxy: {proxy}\n"));
    fails(&site, &okd, &[&says("`proxy` of `backend_settings`")], "the cluster").await;
}

#[tokio::test]
async fn a_missing_right_is_told_with_the_rule_that_grants_it() {
    let site = Site::start().await;
    let mut config = site.config();
    config.okd_token = format!("token: {}\n", site.sim.okd.add_user("nobody", &[]));
    let (order, _) = site.order("Shop", limits());
    let ended = once(&site, &config).await;
    assert!(
        ended.all().contains("add this rule to the agent's ClusterRole: {apiGroups: ["),
        "{} {}",
        site.order_text(order, "error_message"),
        ended.all()
    );
}
