//! The bare client: it sends what the agent sends for Create orders and decides nothing.
//!
//! The same requests in the same order for each order, as many orders at a time as the agent has workers, with the
//! same HTTP and TLS libraries and as many threads. What it needs from an answer it reads, the rest it drops. Like
//! the agent it looks for orders, and again after a pause if there are none, so that both have talked to both
//! servers before it counts. It runs until it is stopped.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method, header};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::site::{Place, text};

/// Orders worked at the same time, as by the agent.
const WORKERS: usize = 32;
/// Fields that the agent asks for.
const ORDER_FIELDS: &str = "field=uuid&field=type&field=state&field=created&field=limits&field=plan_uuid\
    &field=marketplace_resource_uuid&field=project_slug&field=customer_slug&field=error_message";
/// See [`ORDER_FIELDS`].
const RESOURCE_FIELDS: &str = "field=uuid&field=name&field=description&field=slug&field=state&field=backend_id\
    &field=limits&field=project_slug&field=customer_slug&field=offering_plugin_options&field=backend_metadata\
    &field=paused&field=downscaled";
/// Content type of a server-side apply.
const APPLY: &str = "application/apply-patch+yaml";
/// What is put behind the path of one.
const APPLIED_BY: &str = "?fieldManager=waldur-site-agent&force=true";

/// Where to send requests.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// File with the site, as the simulators print it
    #[arg(long)]
    place: PathBuf,
    /// Milliseconds between two looks for orders
    #[arg(long)]
    period_ms: u64,
}

/// Works all orders that a look finds, then waits to be stopped.
///
/// # Errors
/// A request failed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let path = arguments.place.display();
    let place = fs::read_to_string(&arguments.place).with_context(|| format!("cannot read `{path}`"))?;
    let place: Place = serde_json::from_str(&place).with_context(|| format!("`{path}` names no site"))?;
    let floor = Arc::new(Floor::new(place)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("cannot start")?.block_on(async {
        floor.okd(Method::GET, "/apis/project.openshift.io/v1", "application/json", &json!({})).await?;
        let mut orders = floor.look().await?;
        while orders.is_empty() {
            tokio::time::sleep(Duration::from_millis(arguments.period_ms)).await;
            orders = floor.look().await?;
        }
        floor.work(orders).await?;
        std::future::pending::<Result<()>>().await
    })
}

struct Floor {
    waldur: Client,
    okd: Client,
    place: Place,
}

impl Floor {
    fn new(place: Place) -> Result<Self> {
        // An error says that it was done before.
        let _done = rustls::crypto::ring::default_provider().install_default();
        let pem = fs::read(&place.ca_file).context("cannot read the CA file")?;
        let roots =
            reqwest::Certificate::from_pem_bundle(&pem).context("the CA file holds no certificate")?;
        let client = || {
            let agent = "waldur-site-agent-order_process/0.1.0";
            Client::builder().no_proxy().user_agent(agent).timeout(Duration::from_secs(30))
        };
        let waldur = client().build().context("cannot set up the client for Waldur")?;
        let okd = client().tls_certs_only(roots).build().context("cannot set up the client for OKD")?;
        Ok(Self { waldur, okd, place })
    }

    /// Open orders.
    async fn look(&self) -> Result<Vec<Value>> {
        let offering = self.place.offering_uuid.replace('-', "");
        let orders = format!(
            "/api/marketplace-orders/?offering_uuid={offering}&state=pending-provider&state=executing\
             &{ORDER_FIELDS}&page_size=300"
        );
        let mut open = Vec::new();
        for page in 1.. {
            let listed = self.waldur(Method::GET, &format!("{orders}&page={page}"), None).await?;
            let Value::Array(listed) = listed else { bail!("no list of orders") };
            let is_last = listed.len() < 300;
            open.extend(listed);
            if is_last {
                break;
            }
        }
        Ok(open)
    }

    async fn work(self: &Arc<Self>, orders: Vec<Value>) -> Result<()> {
        let offering = self.place.offering_uuid.replace('-', "");
        self.waldur(Method::GET, &format!("/api/marketplace-provider-offerings/{offering}/"), None).await?;
        let workers = Arc::new(Semaphore::new(WORKERS));
        let mut tasks = JoinSet::new();
        for order in orders {
            let permit = Arc::clone(&workers).acquire_owned().await.context("no worker")?;
            let floor = Arc::clone(self);
            tasks.spawn(async move {
                let _permit = permit;
                floor.create(&order).await
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a worker broke down")??;
        }
        Ok(())
    }

    /// What the agent sends for one Create order.
    async fn create(&self, order: &Value) -> Result<()> {
        let uuid = text(order, "/uuid");
        let resource = text(order, "/marketplace_resource_uuid");
        let of_order = |action: &str| format!("/api/marketplace-orders/{uuid}/{action}");
        let of_resource = |action: &str| format!("/api/marketplace-provider-resources/{resource}/{action}");

        let known = self.waldur(Method::GET, &of_resource(&format!("?{RESOURCE_FIELDS}")), None).await?;
        self.waldur(Method::POST, &of_order("approve_by_provider/"), Some(json!({}))).await?;
        self.waldur(Method::GET, &of_order(&format!("?{ORDER_FIELDS}")), None).await?;
        let namespace = self.make_project(order, &known, resource).await?;
        let named = json!({"backend_id": namespace});
        self.waldur(Method::POST, &of_resource("set_backend_id/"), Some(named)).await?;
        let metadata = json!({"backend_metadata": {
            "name": namespace,
            "description": known["name"],
            "organization": format!("waldur-org-{}", text(order, "/customer_slug")),
            "quotas": order["limits"],
        }});
        self.waldur(Method::POST, &of_resource("set_backend_metadata/"), Some(metadata)).await?;
        self.waldur(Method::POST, &of_order("set_state_done/"), Some(json!({}))).await?;
        Ok(())
    }

    async fn make_project(&self, order: &Value, known: &Value, resource: &str) -> Result<String> {
        let name = format!("waldur-alloc-{}", text(known, "/slug"));
        let request = json!({
            "apiVersion": "project.openshift.io/v1", "kind": "ProjectRequest", "metadata": {"name": name},
            "displayName": known["name"],
            "description": format!("waldur-site-agent is creating this project for resource {resource}"),
        });
        let requests = "/apis/project.openshift.io/v1/projectrequests";
        let made = self.okd(Method::POST, requests, "application/json", &request).await?;
        let labels = json!({
            "app.kubernetes.io/managed-by": "waldur-site-agent", "waldur/resource-uuid": resource,
        });
        let annotations = json!({
            "openshift.io/display-name": known["name"], "openshift.io/description": known["name"],
            "waldur/organization": format!("waldur-org-{}", text(order, "/customer_slug")),
            "waldur/parent": format!("waldur-proj-{}", text(order, "/project_slug")),
        });
        let body = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": name, "labels": labels, "annotations": annotations, "uid": made["metadata"]["uid"],
            },
        });
        let path = format!("/api/v1/namespaces/{name}");
        self.okd(Method::PATCH, &format!("{path}{APPLIED_BY}"), APPLY, &body).await?;
        let body = json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "waldur-quota", "namespace": name, "labels": labels},
            "spec": {"hard": hard(&order["limits"])},
        });
        let quota = format!("{path}/resourcequotas/waldur-quota{APPLIED_BY}");
        self.okd(Method::PATCH, &quota, APPLY, &body).await?;
        let body = json!({
            "apiVersion": "v1", "kind": "LimitRange",
            "metadata": {"name": "waldur-limits", "namespace": name, "labels": labels},
            "spec": {"limits": [{
                "type": "Container",
                "default": {"cpu": "500m", "memory": "512Mi"},
                "defaultRequest": {"cpu": "250m", "memory": "256Mi"},
            }]},
        });
        let limit_range = format!("{path}/limitranges/waldur-limits{APPLIED_BY}");
        self.okd(Method::PATCH, &limit_range, APPLY, &body).await?;
        Ok(name)
    }

    async fn waldur(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let url = format!("{}{path}", self.place.waldur_url);
        let token = format!("Token {}", self.place.waldur_agent_token);
        let request = self.waldur.request(method, url).header(header::AUTHORIZATION, token);
        let request = request.header(header::ACCEPT, "application/json");
        let request = if let Some(body) = &body { request.json(body) } else { request };
        let answer = request.send().await?.error_for_status()?.bytes().await?;
        // State actions answer nothing.
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    async fn okd(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: &Value,
    ) -> Result<Value> {
        let url = format!("{}{path}", self.place.okd_url);
        let request = self.okd.request(method, url).bearer_auth(&self.place.okd_token);
        let request = request.header(header::CONTENT_TYPE, content_type);
        let request = request.header(header::ACCEPT, "application/json").body(body.to_string());
        let answer = request.send().await?.error_for_status()?.bytes().await?;
        serde_json::from_slice(&answer).context("OKD answered no JSON")
    }
}

/// The quota of these limits.
fn hard(limits: &Value) -> Value {
    let amount = |component: &str| limits[component].as_i64().unwrap_or_default();
    let (cpu, memory) = (amount("cpu"), amount("memory"));
    json!({
        "requests.cpu": cpu.to_string(), "limits.cpu": (2 * cpu).to_string(),
        "requests.memory": format!("{memory}Gi"), "limits.memory": format!("{}Gi", 2 * memory),
        "requests.storage": format!("{}Gi", amount("storage")), "pods": amount("pods").to_string(),
    })
}
