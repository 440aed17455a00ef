//! Namespaces that belong to a project of Waldur and to no resource. Reads only.

use planner::names;
use planner::quota::Hards;
use serde_json::Value;

use super::connect::Cluster;
use super::kinds::{self, Kind};
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

    /// What the quotas in a namespace say, whoever made them.
    pub(crate) async fn hards_of(&self, namespace: &str) -> Result<Hards, ApiError> {
        let items = self.http.list_some(&Kind::Quota.in_namespace(namespace), "", |_| true).await?;
        let hard = |quota: &Value| {
            let name = quota.pointer("/metadata/name").and_then(Value::as_str)?;
            Some((name.to_owned(), kinds::amounts(quota.pointer("/spec/hard"))))
        };
        Ok(items.iter().filter_map(hard).collect())
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
