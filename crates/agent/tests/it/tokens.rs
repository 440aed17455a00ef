//! Tokens that expire and are renewed: mounted ones, those of OAuth servers and OpenID providers, those of kubeconfigs.

use std::sync::Arc;
use std::time::Duration;

use agent::credentials::{self, Credential};
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use simulator::faults::{Fault, Rule};
use simulator::mount::ServiceAccountMount;
use simulator::oauth::{OAuth, OAuthOptions};
use simulator::server::{self, ServeOptions, Server};
use simulator::waldur::OrderState;

use crate::members::Log;
use crate::process::Process;
use crate::site::{Agent, Config, Site, limits, within};

/// How many lives of tokens an agent is led through.
const LIVES: u32 = 50;
const HOUR: Duration = Duration::from_secs(3600);

/// An OAuth server of the site's cluster, with a client, a user and a refresh token.
pub(crate) async fn oauth(site: &Site, options: OAuthOptions) -> (OAuth, Server) {
    let okd = site.sim.okd.clone();
    serve(OAuth::new(options, Arc::new(move |lifetime| okd.agent_token(lifetime)))).await
}

/// An OpenID provider whose tokens are those of the agent's user in Waldur.
pub(crate) async fn oidc(site: &Site, options: OAuthOptions) -> (OAuth, Server) {
    let (waldur, user) = (site.sim.waldur.clone(), site.sim.waldur.user("agent-okd").unwrap());
    serve(OAuth::new(options, Arc::new(move |lifetime| waldur.access_token(user, lifetime)))).await
}

pub(crate) async fn serve(oauth: OAuth) -> (OAuth, Server) {
    oauth.add_client("agent", "client-secret");
    oauth.add_user("robot", "p:ss wörd");
    oauth.add_refresh_token("first-refresh");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server::serve(oauth.router(), listener, ServeOptions::default());
    oauth.set_base_url(&server.url);
    (oauth, server)
}

/// The configuration with these keys of `oauth_config`.
pub(crate) fn with_oauth(site: &Site, keys: &str) -> Config {
    let mut config = site.config();
    config.okd_token = format!("token_config: {{token_type: oauth, oauth_config: {{{keys}}}}}\n");
    config
}

pub(crate) fn refresh(server: &Server) -> String {
    format!(
        "client_id: agent, client_secret: client-secret, refresh_token: first-refresh, token_endpoint: '{}/oauth/token'",
        server.url
    )
}

pub(crate) fn with_oidc(mut config: Config, server: &Server) -> Config {
    config.waldur_token = format!(
        "oidc_token_url: {}/oauth/token\noidc_client_id: agent\noidc_client_secret: client-secret\n",
        server.url
    );
    config
}

fn mounted(site: &Site, lifetime: Duration) -> ServiceAccountMount {
    let token = site.sim.okd.agent_token(lifetime);
    let folder = site.folder.path().join("serviceaccount");
    ServiceAccountMount::new(&folder, &site.sim.ca_pem, "waldur-system", &token).unwrap()
}

fn with_mount(site: &Site, mount: &ServiceAccountMount) -> Config {
    let mut config = site.config();
    config.okd_token = format!(
        "token_config: {{token_type: service_account, service_account_path: {}}}\n",
        mount.folder().display()
    );
    config
}

/// The credential of a configuration for its cluster.
pub(crate) fn credential(config: &Config) -> Arc<Credential> {
    agent::install_crypto();
    let metrics = agent::metrics::Metrics::new("test").unwrap();
    credentials::cluster(&config.settings().offerings[0], &metrics).unwrap()
}

/// Ends a running agent, which must not have had anything to complain about.
async fn ends_in_peace(process: Process) {
    process.signal("TERM");
    let ended = process.end().await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(ended.errors(), "", "a renewal is nobody's error");
}

#[tokio::test]
async fn fifty_lives_of_a_mounted_token_as_kubelet_renews_it() {
    let site = Site::start().await;
    let lifetime = Duration::from_millis(500);
    let mut mount = mounted(&site, lifetime);
    let config = with_mount(&site, &mount).with_global("polling_interval: 1\n");
    let okd = site.sim.okd.clone();
    let process = Process::start(&mut site.command(&config));
    // Kubelet renews a token when it has lived for most of its time.
    let kubelet = tokio::spawn(async move {
        let mut tick = tokio::time::interval(lifetime / 2);
        for _ in 0..LIVES * 2 {
            tick.tick().await;
            mount.rotate(&okd.agent_token(lifetime)).unwrap();
        }
        // The last one lives until the test ends.
        mount.rotate(&okd.agent_token(HOUR)).unwrap();
        mount
    });
    let mut orders = 0;
    while !kubelet.is_finished() {
        let (order, _) = site.order(&format!("Shop {orders}"), limits());
        site.ends_so(order, OrderState::Done, &format!("order {orders}")).await;
        orders += 1;
    }
    assert!(orders > 10, "only {orders} orders in {LIVES} lives");
    let _mount = kubelet.await.unwrap();
    ends_in_peace(process).await;
}

#[tokio::test]
async fn fifty_lives_of_tokens_that_the_servers_end_before_the_agents_clock_does() {
    let site = Site::start().await;
    let rotating = OAuthOptions { rotates: true, ..OAuthOptions::default() };
    let (oauth, oauth_server) = oauth(&site, rotating).await;
    let (oidc, oidc_server) = oidc(&site, OAuthOptions::default()).await;
    let config = with_oidc(with_oauth(&site, &refresh(&oauth_server)), &oidc_server);
    let agent = Agent::start(config.engine());
    for life in 0..LIVES {
        let (order, _) = site.order(&format!("Shop {life}"), limits());
        site.ends_so(order, OrderState::Done, &format!("life {life}")).await;
        site.sim.clock.step(SignedDuration::from_secs(3601));
    }
    // However many requests were refused at the same time, each life was ended by one renewal.
    for given in [oauth.given(), oidc.given()] {
        assert!(
            (u64::from(LIVES)..=u64::from(LIVES) + 1).contains(&given),
            "{given} tokens for {LIVES} lives"
        );
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_mounted_token_that_was_renewed_early_is_taken_at_the_first_refusal() {
    let site = Site::start().await;
    let mut mount = mounted(&site, HOUR);
    let agent = Agent::start(with_mount(&site, &mount).engine());
    for life in 0..LIVES {
        let (order, _) = site.order(&format!("Shop {life}"), limits());
        site.ends_so(order, OrderState::Done, &format!("life {life}")).await;
        mount.rotate(&site.sim.okd.agent_token(2 * HOUR)).unwrap();
        site.sim.clock.step(SignedDuration::from_secs(3601));
    }
    agent.stop().await;
}

#[tokio::test]
async fn tokens_are_renewed_before_they_expire() {
    let site = Site::start().await;
    let lifetime = Duration::from_secs(2);
    let (oauth, server) = oauth(&site, OAuthOptions { lifetime, ..OAuthOptions::default() }).await;
    let process = Process::start(
        &mut site.command(&with_oauth(&site, &refresh(&server)).with_global("polling_interval: 1\n")),
    );
    let mut orders = 0;
    while oauth.given() < 6 {
        let (order, _) = site.order(&format!("Shop {orders}"), limits());
        site.ends(order, OrderState::Done).await;
        orders += 1;
    }
    ends_in_peace(process).await;
}

#[tokio::test]
async fn every_grant_gives_tokens() {
    let site = Site::start().await;
    let (oauth, server) = oauth(&site, OAuthOptions::default()).await;
    site.sim.okd.set_oauth(oauth.clone());
    for (given, keys) in [
        refresh(&server),
        "client_id: agent, client_secret: client-secret, refresh_token: first-refresh".to_owned(),
        "client_id: agent, client_secret: client-secret, scope: all".to_owned(),
        "username: robot, password: 'p:ss wörd'".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let config = with_oauth(&site, keys);
        let (order, _) = site.order("Shop", limits());
        assert!(site.once_with(&config).await, "{keys}");
        assert_eq!(site.order_state(order), OrderState::Done, "{keys}");
        assert_eq!(oauth.given(), given as u64 + 1, "{keys}");
    }
}

#[tokio::test]
async fn a_client_that_has_to_show_its_secret_in_a_header_does() {
    let site = Site::start().await;
    let options = OAuthOptions { basic_only: true, tells_lifetime: false, ..OAuthOptions::default() };
    let (oauth, server) = oauth(&site, options).await;
    let credential = credential(&with_oauth(&site, &refresh(&server)));
    credential.token().await.unwrap();
    let status = credential.describe();
    assert_eq!((oauth.given(), status.renewals, status.last_error), (1, 1, None));
    assert_eq!(status.source, format!("OAuth (refresh token) at {}", server.url));
    assert_eq!(status.audience, ["https://kubernetes.default.svc"]);
    // What the server does not tell the token does.
    let left = status.expires_at.unwrap().duration_since(jiff::Timestamp::now());
    assert!(left > SignedDuration::from_mins(58) && left <= SignedDuration::from_mins(60), "{left:?}");
}

#[tokio::test]
async fn requests_that_are_refused_at_the_same_time_renew_once() {
    let site = Site::start().await;
    let (oauth, server) = oauth(&site, OAuthOptions::default()).await;
    let credential = credential(&with_oauth(&site, &refresh(&server)));
    let old = credential.token().await.unwrap();
    let refused = (0..50).map(|_| credential.another(&old, None));
    let tokens = futures::future::join_all(refused).await;
    let new = tokens[0].as_ref().unwrap().expose_secret().to_owned();
    assert_ne!(new, old.expose_secret());
    assert!(tokens.iter().all(|token| token.as_ref().unwrap().expose_secret() == new));
    assert_eq!(oauth.given(), 2);
}

#[tokio::test]
async fn a_right_that_is_missing_is_no_reason_for_another_token() {
    let site = Site::start().await;
    let (oauth, server) = oauth(&site, OAuthOptions::default()).await;
    let requests = "/apis/project.openshift.io/v1/projectrequests";
    site.sim.okd_server.faults.add(Rule::path(requests, Fault::Status(403)));
    let (order, _) = site.order("Shop", limits());
    site.once_with(&with_oauth(&site, &refresh(&server))).await;
    assert_eq!(site.order_state(order), OrderState::Erred);
    let tried = site.okd_requests().iter().filter(|line| line.contains("projectrequests")).count();
    assert_eq!((oauth.given(), tried), (1, 1));
}

#[tokio::test]
async fn a_renewal_that_fails_keeps_the_token_while_it_is_valid() {
    let site = Site::start().await;
    let lifetime = Duration::from_secs(4);
    let (oauth, server) = oauth(&site, OAuthOptions { lifetime, ..OAuthOptions::default() }).await;
    let credential = credential(&with_oauth(&site, &refresh(&server)));
    let first = credential.token().await.unwrap();
    server.faults.add(Rule::all(Fault::Status(500)));
    // Renewals begin when three quarters of its life are over.
    let failed = async {
        while credential.describe().failures == 0 {
            assert_eq!(credential.token().await.unwrap().expose_secret(), first.expose_secret());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("a renewal fails", failed).await;
    let status = credential.describe();
    assert_eq!(
        status.last_error.unwrap(),
        format!("{}/oauth/token answered 500; it will be asked again", server.url)
    );
    let gone = async {
        while credential.token().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the token expires", gone).await;
    assert!(credential.token().await.unwrap_err().to_string().contains("answered 500"));
    server.faults.clear();
    let back = async {
        while credential.token().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("it is renewed again", back).await;
    assert_eq!((oauth.given(), credential.describe().last_error), (2, None));
    // Pauses grow: a server in trouble is not asked at each request.
    assert!(server.traffic.total() < 12, "{} requests", server.traffic.total());
}

#[tokio::test]
async fn a_slow_server_holds_up_nobody_who_has_a_token() {
    let site = Site::start().await;
    let lifetime = Duration::from_secs(4);
    let (_oauth, server) = oauth(&site, OAuthOptions { lifetime, ..OAuthOptions::default() }).await;
    let credential = credential(&with_oauth(&site, &refresh(&server)));
    credential.token().await.unwrap();
    let log = Log::start();
    server.faults.add(Rule::all(Fault::Stall));
    let asked = async {
        while server.traffic.total() < 2 {
            let before = std::time::Instant::now();
            credential.token().await.unwrap();
            assert!(before.elapsed() < Duration::from_secs(2));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the server is asked", asked).await;
    log.says("the token could not be renewed").await;
    let error = credential.describe().last_error.unwrap();
    assert!(error.contains("/oauth/token within 30s; it will be asked again"), "{error}");
}
