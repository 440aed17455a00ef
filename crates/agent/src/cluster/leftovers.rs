//! Role bindings that the Python agent has made in projects that are kept here now (Waldur contract §7.1). Reads only.

use std::collections::HashSet;
use std::fmt;

use planner::names;
use serde_json::Value;

use super::connect::Cluster;
use super::kinds::Kind;
use crate::error::ApiError;

/// How the Python agent names the binding of a user.
const PREFIX: &str = "waldur-";

/// A binding without our labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Leftover {
    namespace: String,
    name: String,
    /// Kind and name of the role, which need not exist: by default the Python agent names a ClusterRole `root`.
    role: String,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.namespace, names::one_line(&self.name), self.role)
    }
}

impl Cluster {
    /// The Python agent's bindings in these namespaces. Lists all role bindings of the cluster.
    pub(crate) async fn leftovers(&self, namespaces: &HashSet<&str>) -> Result<Vec<Leftover>, ApiError> {
        let within = |item: &Value| {
            item.pointer("/metadata/namespace")
                .and_then(Value::as_str)
                .is_some_and(|name| namespaces.contains(name))
        };
        let path = Kind::RoleBinding.list_path();
        let items = self.http.list_some(&path, "", |item| within(item) && leftover(item).is_some()).await?;
        let mut found: Vec<Leftover> = items.iter().filter_map(leftover).collect();
        found.sort();
        Ok(found)
    }
}

/// One user, after whom the binding is named, and no label of this agent.
fn leftover(binding: &Value) -> Option<Leftover> {
    let text = |pointer: &str| binding.pointer(pointer).and_then(Value::as_str);
    let labels = binding.pointer("/metadata/labels");
    if labels.and_then(|labels| labels.get(names::MANAGED_BY)).is_some() {
        return None;
    }
    let name = text("/metadata/name")?;
    let subjects = binding.get("subjects")?.as_array()?;
    let is_theirs = subjects.len() == 1
        && text("/subjects/0/kind") == Some("User")
        && text("/subjects/0/name") == name.strip_prefix(PREFIX);
    is_theirs.then(|| Leftover {
        namespace: text("/metadata/namespace").unwrap_or_default().to_owned(),
        name: name.to_owned(),
        role: format!(
            "{} `{}`",
            text("/roleRef/kind").unwrap_or_default(),
            text("/roleRef/name").unwrap_or_default()
        ),
    })
}
