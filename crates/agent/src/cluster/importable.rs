//! Namespaces that belong to a project of Waldur and to no resource. Reads only.

use planner::amount::Amount;
use planner::names;
use planner::quota::Hard;
use serde_json::Value;

use super::connect::Cluster;
use super::kinds::Kind;
use crate::error::ApiError;

/// A namespace that could become a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Importable {
    pub(crate) name: String,
    /// Slug of the project that it says it belongs to.
    pub(crate) project: String,
}

impl Cluster {
    /// Namespaces without our labels whose `waldur/parent` has this prefix; a slug follows it.
    pub(crate) async fn importable(&self, parent_prefix: &str) -> Result<Vec<Importable>, ApiError> {
        let path = Kind::Namespace.list_path();
        let items = self.http.list_some(&path, "", |item| importable(item, parent_prefix).is_some()).await?;
        Ok(items.iter().filter_map(|item| importable(item, parent_prefix)).collect())
    }

    /// What the quota in a namespace says; nothing where there is none.
    pub(crate) async fn hard_of(&self, namespace: &str) -> Result<Hard, ApiError> {
        let path = format!("/api/v1/namespaces/{namespace}/resourcequotas/{}", names::QUOTA);
        let quota = match self.http.get(&path).await {
            Err(error) if error.is_not_found() => return Ok(Hard::new()),
            other => other?,
        };
        let hard = quota.pointer("/spec/hard").and_then(Value::as_object).into_iter().flatten();
        let amounts = hard.filter_map(|(key, value)| {
            let amount: Amount = value.as_str()?.parse().ok()?;
            Some((key.clone(), amount))
        });
        Ok(amounts.collect())
    }

    /// Whether the cluster answers.
    pub(crate) async fn version(&self) -> Result<(), ApiError> {
        self.http.get("/version").await.map(drop)
    }
}

fn importable(namespace: &Value, parent_prefix: &str) -> Option<Importable> {
    let metadata = namespace.get("metadata")?;
    let name = metadata.get("name")?.as_str()?;
    let ours = metadata.get("labels").and_then(|labels| labels.get(names::MANAGED_BY)).is_some();
    let going = metadata.get("deletionTimestamp").is_some();
    if ours || going || names::check_namespace(name).is_err() {
        return None;
    }
    let parent = metadata.get("annotations")?.get(names::PARENT)?.as_str()?;
    let project = parent.strip_prefix(parent_prefix).filter(|project| !project.is_empty())?;
    Some(Importable { name: name.to_owned(), project: project.to_owned() })
}
