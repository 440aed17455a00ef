//! A served simulator and callers with tokens.

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use simulator::waldur::{Generation, Seed, Waldur, WaldurOptions};

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
    token: String,
}

impl Caller {
    pub(crate) fn new(url: &str, token: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { http: Client::new(), url: url.to_owned(), token: token.to_owned() }
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
            request = request.header("authorization", format!("Token {}", self.token));
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

    /// The text at a field of the body.
    pub(crate) fn str(&self, field: &str) -> &str {
        self.json[field].as_str().unwrap_or_default()
    }
}
