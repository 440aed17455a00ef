//! The API server under test: the simulator, or a cluster named by the environment.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use simulator::okd::{Okd, OkdOptions, documented_agent_rules, extended_agent_rules};
use simulator::server::{Server, serve};
use tokio::net::TcpListener;

pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// An answer: status, `Warning` headers and body (a string if it is not JSON).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) warnings: Vec<String>,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Answer {
    /// Status, reason and message of an error, checked in one go.
    #[track_caller]
    pub(crate) fn fails(&self, code: u16, reason: &str, message: &str) {
        let body = &self.body;
        assert_eq!(
            (self.code, body["reason"].as_str(), body["message"].as_str()),
            (code, Some(reason), Some(message))
        );
        assert_eq!(
            (&body["kind"], &body["status"], &body["code"]),
            (&json!("Status"), &json!("Failure"), &json!(code))
        );
    }

    #[track_caller]
    pub(crate) fn is(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.body);
        self.body
    }
}

/// One user's view of the API.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    url: String,
    token: String,
}

impl Api {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let header = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
        let warnings = response.headers().get_all("warning").iter().map(header).collect();
        let content_type = response.headers().get("content-type").map(header).unwrap_or_default();
        let code = response.status().as_u16();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { code, warnings, content_type, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, content_type: &str, body: &Value) -> Answer {
        let request =
            self.request(Method::PATCH, path).header("content-type", content_type).body(body.to_string());
        self.send(request).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn delete_with(&self, path: &str, options: &Value) -> Answer {
        self.send(self.request(Method::DELETE, path).json(options)).await
    }

    /// A POST of text that need not be JSON.
    pub(crate) async fn post_text(&self, path: &str, content_type: &str, body: &str) -> Answer {
        let request =
            self.request(Method::POST, path).header("content-type", content_type).body(body.to_owned());
        self.send(request).await
    }

    /// Requests the project and gives its path under `/api/v1`.
    pub(crate) async fn project(&self, name: &str) -> String {
        let body = json!({
            "apiVersion": "project.openshift.io/v1", "kind": "ProjectRequest", "metadata": {"name": name},
        });
        self.post(REQUESTS, &body).await.is(201);
        format!("/api/v1/namespaces/{name}")
    }

    /// Asks until `done`; a real cluster settles in its own time, the simulator at once.
    pub(crate) async fn until(&self, path: &str, done: impl Fn(&Answer) -> bool) -> Answer {
        let attempts = async {
            loop {
                let answer = self.get(path).await;
                if done(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), attempts).await.expect("the cluster did not settle")
    }
}

pub(crate) const REQUESTS: &str = "/apis/project.openshift.io/v1/projectrequests";
pub(crate) const PROJECTS: &str = "/apis/project.openshift.io/v1/projects";

pub(crate) fn bindings(namespace: &str) -> String {
    format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings")
}

pub(crate) fn binding(name: &str, role: &str, user: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    })
}

pub(crate) fn quota(name: &str, hard: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}})
}

/// The simulator and its switches.
pub(crate) struct Simulated {
    pub(crate) okd: Okd,
    pub(crate) server: Server,
}

/// What the tests run against.
pub(crate) struct Target {
    /// Present unless the target is a real cluster.
    pub(crate) simulated: Option<Simulated>,
    pub(crate) admin: Api,
    /// The agent under the documented ClusterRole.
    pub(crate) agent: Api,
    /// The agent with `bind`, `watch` and limit ranges too.
    pub(crate) extended: Api,
}

impl Target {
    /// The default: nothing of the simulator is late.
    pub(crate) async fn new() -> Self {
        match std::env::var("SITE_AGENT_KUBECONFIG") {
            Ok(path) if !path.is_empty() => Self::cluster(&path).await,
            _ => Self::simulator(OkdOptions::immediate()).await,
        }
    }

    /// A simulator with other delays; for tests that are about them.
    pub(crate) async fn simulator(options: OkdOptions) -> Self {
        let okd = Okd::new(options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = serve(okd.router(), listener, Okd::serve_options());
        let agent = okd.add_agent(documented_agent_rules());
        let extended = okd.add_service_account("waldur-system", "waldur-site-agent-bind");
        okd.put_cluster_role("waldur-site-agent-bind", extended_agent_rules());
        let subject =
            json!({"kind": "ServiceAccount", "name": "waldur-site-agent-bind", "namespace": "waldur-system"});
        okd.bind_cluster_role("waldur-site-agent-bind", "waldur-site-agent-bind", &subject);
        let client = client(None);
        let api = |token: String| Api { client: client.clone(), url: server.url.clone(), token };
        let (admin, agent, extended) = (api(okd.admin_token()), api(agent), api(extended));
        Self { simulated: Some(Simulated { okd, server }), admin, agent, extended }
    }

    async fn cluster(path: &str) -> Self {
        let (url, ca, token) = read_kubeconfig(path);
        let admin = Api { client: client(Some(&ca)), url, token };
        let mut agents = Vec::new();
        for (name, rules) in [
            ("waldur-site-agent", documented_agent_rules()),
            ("waldur-site-agent-bind", extended_agent_rules()),
        ] {
            let token = service_account(&admin, name, rules).await;
            agents.push(Api { token, ..admin.clone() });
        }
        let [agent, extended] = <[Api; 2]>::try_from(agents).ok().unwrap();
        Self { simulated: None, admin, agent, extended }
    }

    /// The view of somebody without credentials, or with other ones.
    pub(crate) fn with_token(&self, token: &str) -> Api {
        Api { token: token.to_owned(), ..self.admin.clone() }
    }

    /// Acts as a user in the administrator's name.
    pub(crate) async fn as_user(&self, user: &str, path: &str) -> Answer {
        self.admin.send(self.admin.request(Method::GET, path).header("impersonate-user", user)).await
    }
}

fn client(ca: Option<&[u8]>) -> Client {
    // Another test may have been first; the provider is the same.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .no_proxy()
        .tls_certs_only(ca.map(|pem| reqwest::Certificate::from_pem(pem).unwrap()));
    builder.build().unwrap()
}

fn read_kubeconfig(path: &str) -> (String, Vec<u8>, String) {
    use base64::Engine as _;
    let output = std::process::Command::new("kubectl")
        .args(["--kubeconfig", path, "config", "view", "--raw", "--minify", "--flatten", "-o", "json"])
        .output()
        .expect("kubectl reads the kubeconfig");
    let config: Value = serde_json::from_slice(&output.stdout).expect("a kubeconfig");
    let cluster = &config["clusters"][0]["cluster"];
    let ca = cluster["certificate-authority-data"].as_str().unwrap_or_default();
    let ca = base64::engine::general_purpose::STANDARD.decode(ca).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().trim_end_matches('/').to_owned();
    (text(&cluster["server"]), ca, text(&config["users"][0]["user"]["token"]))
}

async fn service_account(admin: &Api, name: &str, rules: Value) -> String {
    let namespace = "waldur-system";
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    // Whatever an earlier run left is as good.
    admin.post("/api/v1/namespaces", &json!({"metadata": {"name": namespace}})).await;
    let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    admin.post(&accounts, &json!({"metadata": {"name": name}})).await;
    admin
        .put(&format!("{rbac}/clusterroles/{name}"), &json!({"metadata": {"name": name}, "rules": rules}))
        .await;
    let binding = json!({
        "metadata": {"name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
    });
    admin.put(&format!("{rbac}/clusterrolebindings/{name}"), &binding).await;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
    let token = admin.post(&format!("{accounts}/{name}/token"), &request).await.is(201);
    token["status"]["token"].as_str().unwrap().to_owned()
}
