//! A served simulator and callers with tokens.

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use simulator::waldur::{Generation, ResourceState, Seed, SeedResource, Waldur, WaldurOptions};

/// A simulated Waldur on a port of its own.
pub(crate) struct Served {
    pub(crate) waldur: Waldur,
    pub(crate) url: String,
}

/// What came back: status, headers that lists need, body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) count: Option<usize>,
    pub(crate) link: String,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Served {
    /// The demo seed on a server of this generation.
    pub(crate) async fn demo(generation: Generation) -> Self {
        let served = Self::new(WaldurOptions { generation, ..WaldurOptions::default() }).await;
        served.waldur.load(&Seed::demo()).unwrap();
        served
    }

    pub(crate) async fn new(options: WaldurOptions) -> Self {
        let waldur = Waldur::new(options);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = waldur.router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { waldur, url }
    }

    pub(crate) fn caller(&self, token: &str) -> Caller {
        Caller::new(&self.url, token)
    }
}

/// A client with one token; an empty token sends none.
#[derive(Clone)]
pub(crate) struct Caller {
    http: Client,
    url: String,
    scheme: &'static str,
    token: String,
}

impl Caller {
    pub(crate) fn new(url: &str, token: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { http: Client::new(), url: url.to_owned(), scheme: "Token", token: token.to_owned() }
    }

    /// The same server with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The same token in the manner of OIDC.
    pub(crate) fn bearer(&self) -> Self {
        Self { scheme: "Bearer", ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if !self.token.is_empty() {
            request = request.header("authorization", format!("{} {}", self.scheme, self.token));
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Reply::read(request.send().await.unwrap()).await
    }

    /// POST to an action of an order.
    pub(crate) async fn order_action(&self, order: &str, action: &str) -> Reply {
        self.post(&format!("/api/marketplace-orders/{order}/{action}/"), json!({})).await
    }
}

impl Reply {
    async fn read(response: Response) -> Self {
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (kind, link, count) = (header("content-type"), header("link"), header("x-result-count"));
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, kind, count: count.parse().ok(), link, text, json }
    }

    /// Path and query of the next page.
    pub(crate) fn next(&self) -> Option<String> {
        let link = self.link.split(", ").find(|link| link.ends_with(r#"rel="next""#))?;
        let address = link.strip_prefix('<')?.split_once('>')?.0;
        let (_, rest) = address.split_once("://")?;
        Some(rest[rest.find('/')?..].to_owned())
    }

    /// The text at a field of the body.
    pub(crate) fn str(&self, field: &str) -> &str {
        self.json[field].as_str().unwrap_or_default()
    }
}

/// A server under test as an agent sees it: the simulator, or a real Waldur named by the environment.
pub(crate) struct Target {
    pub(crate) agent: Caller,
    /// The offering, in the spelling that was configured.
    pub(crate) offering: String,
    /// The simulator; `None` when the target is a real server, whose customer and switches nobody here may play.
    pub(crate) simulator: Option<Served>,
}

impl Target {
    /// Every server to be tested: the real one alone where it is named, else both generations of the simulator.
    pub(crate) async fn every() -> Vec<Self> {
        let name = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(url) = name("SITE_AGENT_WALDUR_URL") {
            let token = name("SITE_AGENT_WALDUR_TOKEN").expect("SITE_AGENT_WALDUR_TOKEN beside the URL");
            let offering =
                name("SITE_AGENT_WALDUR_OFFERING").expect("SITE_AGENT_WALDUR_OFFERING beside the URL");
            let url = url.trim_end_matches('/');
            let url = url.strip_suffix("/api").unwrap_or(url);
            return vec![Self { agent: Caller::new(url, &token), offering, simulator: None }];
        }
        vec![Self::simulated(Generation::Current).await, Self::simulated(Generation::October2024).await]
    }

    async fn simulated(generation: Generation) -> Self {
        let served = Served::demo(generation).await;
        let offering = served.waldur.offering("okd-projects").unwrap();
        let (project, user) =
            (served.waldur.project("web").unwrap(), served.waldur.user("olivia.owner").unwrap());
        for number in 0..12 {
            let resource = SeedResource { name: format!("site {number}"), ..SeedResource::default() };
            let resource = served.waldur.add_resource(offering, project, &resource, ResourceState::Ok);
            served.waldur.place_update_order(resource, user, json!({ "cpu": number }));
        }
        let agent = served.caller("agent-token");
        Self { agent, offering: offering.hyphenated().to_string(), simulator: Some(served) }
    }

    pub(crate) fn resources(&self) -> String {
        format!("/api/marketplace-provider-resources/?offering_uuid={}", self.offering)
    }
}
