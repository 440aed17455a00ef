//! Tokens and passwords appear nowhere: not in what is printed, logged or written to a server, whatever goes wrong.

use serde_json::{Value, json};
use simulator::faults::{Fault, Rule};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use crate::process::{Ended, Process};
use crate::site::{Config, NOBODY, Site, limits};

const WALDUR: &str = "PLANTED-token-of-waldur-5f1d";
const PROXY: &str = "PLANTED-password-of-proxy-9c2e";
const OTHER: &str = "PLANTED-in-the-wrong-place-3ab7";

/// What gives a secret away, whole or in part: those above, those of simulated clusters and OAuth servers, keys, and what
/// begins with `agent:P` in a `Basic` header or with `PLANTED` in base64.
const NEEDLES: [&str; 6] = ["PLANTED", "sha256~", "eyJhbGciOi", "PRIVATE KEY", "YWdlbnQ6U", "UExBTlRFR"];

/// Everything that a curious operator could switch on, past what the program holds back by default.
const LOUD: &str = "trace,hyper=trace,hyper::proto=trace,hyper::proto::h1::role=trace,hyper_util=trace,\
                    hyper_util::client::legacy=trace,h2=trace,h2::codec=trace,reqwest=trace,\
                    reqwest::connect=trace,rustls=trace,rustls::client=trace,rustls::client::hs=trace,kube=trace,\
                    kube_client=trace,kube_client::client=trace,kube_client::client::builder=trace,tower=trace,\
                    tower::buffer=trace,agent=trace";

pub(crate) struct Planted {
    pub(crate) site: Site,
}

impl Planted {
    pub(crate) async fn start() -> Self {
        let site = Site::start().await;
        site.sim.waldur.set_token(site.sim.waldur.user("agent-okd").unwrap(), WALDUR);
        Self { site }
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = self.site.config();
        config.waldur_token = format!("waldur_api_token: {WALDUR}\n");
        config
    }

    fn log_file(&self) -> std::path::PathBuf {
        self.site.folder.path().join("agent.log")
    }

    /// Runs once as loudly as possible and looks for secrets in everything that came of it.
    pub(crate) async fn run(&self, config: Config, what: &str) -> Ended {
        let config = config.with_global(&format!("log_file: {}\n", self.log_file().display()));
        let mut command = self.site.command(&config);
        command.arg("--once").env("RUST_LOG", LOUD).env("RUST_BACKTRACE", "full");
        let ended = Process::run(&mut command).await;
        self.search(&ended, what);
        ended
    }

    fn search(&self, ended: &Ended, what: &str) {
        let logged = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        let places = [
            ("stdout", ended.stdout.clone()),
            ("stderr", ended.stderr.clone()),
            ("the log file", logged),
            ("Waldur", self.in_waldur()),
            ("the cluster", self.in_cluster()),
        ];
        for (place, text) in &places {
            for secret in NEEDLES {
                let at = text.lines().find(|line| line.contains(secret));
                assert!(at.is_none(), "{what}: {secret} in {place}: {}", at.unwrap_or_default());
            }
        }
        assert!(!ended.all().contains("panicked"), "{what}: {}", ended.all());
    }

    /// Everything that Waldur shows of orders, resources and agents, and every URL that it was asked for.
    fn in_waldur(&self) -> String {
        let waldur = &self.site.sim.waldur;
        let mut all: Vec<Value> = waldur.identities();
        for resource in RESOURCES.map(Uuid::from_u128) {
            all.extend(waldur.resource(resource));
            all.extend(waldur.orders_of(resource).into_iter().filter_map(|order| waldur.order(order)));
        }
        let traffic = self.site.sim.waldur_server.traffic.requests();
        let urls = traffic
            .iter()
            .map(|request| format!("{}?{} {}", request.path, request.query, request.user_agent));
        json!([all, urls.collect::<Vec<_>>()]).to_string()
    }

    fn in_cluster(&self) -> String {
        let okd = &self.site.sim.okd;
        let kinds = ["namespaces", "resourcequotas", "limitranges", "rolebindings"];
        let objects: Vec<Value> = kinds.iter().flat_map(|kind| okd.list(kind, None)).collect();
        Value::Array(objects).to_string()
    }

    /// A resource with an open order; its UUID is known to the search.
    pub(crate) fn order(&self, number: usize) -> Uuid {
        let seed = simulator::waldur::SeedResource {
            name: format!("shop {number}"),
            uuid: Some(Uuid::from_u128(RESOURCES[number])),
            ..Default::default()
        };
        let waldur = &self.site.sim.waldur;
        let state = simulator::waldur::ResourceState::Ok;
        let resource = waldur.add_resource(self.site.offering, self.site.project, &seed, state);
        waldur.set_limits(resource, limits());
        self.site.restore(resource)
    }
}

const RESOURCES: [u128; 4] = [0x1001, 0x1002, 0x1003, 0x1004];

/// What a server that repeats requests says of one.
#[derive(Clone, Copy)]
pub(crate) enum Repeats {
    /// Its head, as the debug pages of proxies do.
    Head,
    /// The token alone, so late that the message is cut within it.
    TokenAtTheCut,
}

impl Repeats {
    fn words(self, head: &str) -> String {
        match self {
            Self::Head => head.to_owned(),
            Self::TokenAtTheCut => {
                let token =
                    head.split_whitespace().find(|word| NEEDLES.iter().any(|part| word.contains(part)));
                format!("{}{}", "-".repeat(790), token.unwrap_or_default())
            }
        }
    }
}

/// A server that answers each request with what it holds.
pub(crate) async fn echo(status: &'static str, repeats: Repeats) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 16384];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let body =
                    json!({"detail": repeats.words(&String::from_utf8_lossy(&head[..length]))}).to_string();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n{body}",
                    body.len()
                );
                // A client that has hung up wants no answer.
                let _hung_up = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn in_success() {
    let planted = Planted::start().await;
    planted.order(0);
    let ended = planted.run(planted.config(), "success").await;
    assert_eq!(ended.code(), Some(0), "{}", ended.all());
    assert_eq!(planted.site.managed().len(), 1);
    // The run was loud, so that the search means something.
    assert!(ended.stdout.contains("\"level\":\"debug\""), "{}", ended.stdout);
}

#[tokio::test]
async fn in_refusals_and_broken_answers() {
    let faults = [
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(400),
        Fault::Status(500),
        Fault::Html(502),
        Fault::TruncatedBody,
        Fault::ResetBefore,
    ];
    let runs = faults.into_iter().map(|fault| async move {
        let planted = Planted::start().await;
        planted.order(0);
        let sim = &planted.site.sim;
        for (faults, path) in [
            (&sim.waldur_server.faults, "/api/marketplace-orders/**"),
            (&sim.waldur_server.faults, "/api/marketplace-site-agent-identities/**"),
            (&sim.okd_server.faults, "/apis/**"),
        ] {
            let rule = faults.add(Rule::path(path, fault.clone()));
            planted.run(planted.config(), &format!("{fault:?} at {path}")).await;
            faults.remove(rule);
        }
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn in_what_an_erred_order_tells_waldur() {
    let planted = Planted::start().await;
    let order = planted.order(0);
    let rule = Rule::path("/apis/project.openshift.io/v1/projectrequests", Fault::Status(403));
    planted.site.sim.okd_server.faults.add(rule);
    planted.run(planted.config(), "an erred order").await;
    assert!(!planted.site.order_text(order, "error_traceback").is_empty());
    assert!(planted.in_waldur().contains("while carrying out"), "the search sees what Waldur was told");
}

#[tokio::test]
async fn in_failures_to_connect() {
    let planted = Planted::start().await;
    let (mut waldur, mut okd, mut tls, mut waldur_proxy, mut okd_proxy) =
        (planted.config(), planted.config(), planted.config(), planted.config(), planted.config());
    waldur.waldur_url = format!("http://{}", NOBODY);
    okd.okd_url = format!("https://{}", NOBODY);
    tls.okd_tls = "verify_cert: true\n".to_owned();
    waldur_proxy = waldur_proxy.with_global(&format!("global_proxy: http://agent:{PROXY}@{}\n", NOBODY));
    okd_proxy = okd_proxy.with_backend(&format!("proxy: http://agent:{PROXY}@{}\n", NOBODY));
    for (config, what) in [
        (waldur, "no Waldur"),
        (okd, "no cluster"),
        (tls, "no trusted CA"),
        (waldur_proxy, "no proxy for Waldur"),
        (okd_proxy, "no proxy for the cluster"),
    ] {
        let ended = planted.run(config, what).await;
        assert_eq!(ended.code(), Some(1), "{what}: {}", ended.all());
    }
}

#[tokio::test]
async fn in_answers_that_repeat_the_request() {
    let answers = [
        ("400 Bad Request", Repeats::Head),
        ("400 Bad Request", Repeats::TokenAtTheCut),
        ("403 Forbidden", Repeats::Head),
        ("502 Bad Gateway", Repeats::Head),
        ("407 Proxy Authentication Required", Repeats::Head),
    ];
    let runs = answers.into_iter().map(|(status, repeats)| async move {
        let planted = Planted::start().await;
        planted.order(0);
        let echo = echo(status, repeats).await;
        let mut waldur = planted.config();
        waldur.waldur_url.clone_from(&echo);
        planted.run(waldur, &format!("Waldur echoes with {status}")).await;
        let mut okd = planted.config();
        okd.okd_url.clone_from(&echo);
        planted.run(okd, &format!("the cluster echoes with {status}")).await;
        let proxy = echo.replace("http://", &format!("http://agent:{PROXY}@"));
        let waldur = planted.config().with_global(&format!("global_proxy: {proxy}\n"));
        planted.run(waldur, &format!("Waldur's proxy echoes with {status}")).await;
        let okd = planted.config().with_backend(&format!("proxy: {proxy}\n"));
        planted.run(okd, &format!("the cluster's proxy echoes with {status}")).await;
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn in_faults_of_the_configuration() {
    let planted = Planted::start().await;
    let file = planted.site.folder.path().join("token");
    for (content, what) in [
        (format!("{OTHER} {OTHER}"), "two words"),
        (format!("{OTHER}\u{7}"), "a control character"),
        (format!("{OTHER}\u{e9}\u{4e2d}"), "letters that no header holds"),
    ] {
        std::fs::write(&file, content).unwrap();
        let mut config = planted.config();
        config.waldur_token = format!("waldur_api_token_file: {}\n", file.display());
        let ended = planted.run(config, &format!("a token file with {what}")).await;
        assert_ne!(ended.code(), Some(0), "{what}");
        let mut config = planted.config();
        config.okd_token = format!("token_file: {}\n", file.display());
        let ended = planted.run(config, &format!("a token file for the cluster with {what}")).await;
        assert_ne!(ended.code(), Some(0), "{what}");
    }
    for token in [
        format!("waldur_api_token: [{OTHER}]\n"),
        format!("waldur_api_token: {{token: {OTHER}}}\n"),
        format!("waldur_api_token: \"{OTHER}\n"),
        format!("waldur_api_token: {OTHER}: x\n"),
        format!("waldur_api_tokn: {OTHER}\n"),
        format!("waldur_api_token: ${{{OTHER}}}\n"),
        format!("waldur_api_token: ''\nwaldur_api_token: {OTHER}\n"),
        format!("waldur_api_token: |\n  {OTHER}\n  {OTHER}\n"),
        format!("oidc_client_secret: {OTHER}\noidc_token_url: nonsense\n"),
    ] {
        let mut config = planted.config();
        // What the writer named as a variable is a name, not a secret.
        let is_name = token.contains("${");
        config.waldur_token = token.clone();
        let path = planted.site.config_file(&config.text());
        for arguments in [&["config", "check"][..], &["config", "check", "--json"], &["--once", "-c"]] {
            let mut command = planted.site.command(&config);
            command = tokio::process::Command::new(command.as_std().get_program());
            let ended = Process::run(command.env_clear().args(arguments).arg(&path)).await;
            if !is_name {
                planted.search(&ended, &format!("{token} {arguments:?}"));
            }
            assert_eq!(ended.code(), Some(2), "{token} {arguments:?} {}", ended.all());
        }
    }
}
