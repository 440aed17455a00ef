//! What both servers hold, read as staff of Waldur and as administrator of the cluster.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::model::Stranger;
use crate::site::{Api, Site, text};

/// Everything that is judged.
#[derive(Debug)]
pub(crate) struct World {
    /// By UUID.
    pub(crate) resources: BTreeMap<String, Value>,
    pub(crate) orders: Vec<Value>,
    /// Agents that Waldur knows.
    pub(crate) identities: usize,
    pub(crate) namespaces: Vec<Value>,
    pub(crate) quotas: Vec<Value>,
    pub(crate) limit_ranges: Vec<Value>,
    pub(crate) bindings: Vec<Value>,
    pub(crate) deployments: Vec<Value>,
    /// What is found where a stranger was put, in the order of the model's.
    pub(crate) strangers: Vec<Option<Value>>,
}

impl World {
    /// Looks at both servers.
    ///
    /// # Errors
    /// One does not answer.
    pub(crate) async fn read(site: &Site, strangers: &[Stranger]) -> Result<Self> {
        let (staff, cluster) = (&site.staff, &site.cluster);
        let (resources, orders, identities, namespaces, quotas, limit_ranges, bindings, deployments) = tokio::try_join!(
            staff.rows("/api/marketplace-resources/?"),
            staff.rows("/api/marketplace-orders/?"),
            staff.rows("/api/marketplace-site-agent-identities/?"),
            items(cluster, "/api/v1/namespaces"),
            items(cluster, "/api/v1/resourcequotas"),
            items(cluster, "/api/v1/limitranges"),
            items(cluster, "/apis/rbac.authorization.k8s.io/v1/rolebindings"),
            items(cluster, "/apis/apps/v1/deployments"),
        )?;
        let mut found = Vec::new();
        for stranger in strangers {
            found.push(cluster.find(&stranger.path).await?);
        }
        let resources = resources.into_iter().map(|row| (text(&row, "/uuid").to_owned(), row)).collect();
        Ok(Self {
            resources,
            orders,
            identities: identities.len(),
            namespaces,
            quotas,
            limit_ranges,
            bindings,
            deployments,
            strangers: found,
        })
    }
}

/// True if nothing more will become of an order.
pub(crate) fn has_ended(order: &Value) -> bool {
    ["done", "erred", "rejected", "canceled"].contains(&text(order, "/state"))
}

async fn items(api: &Api, path: &str) -> Result<Vec<Value>> {
    let mut list = api.get(path).await?;
    let items = list.get_mut("items").map(Value::take);
    match items {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(anyhow::anyhow!("no items")).with_context(|| format!("{path} is no list")),
    }
}
