//! The objects of the ledger of usage, in the agent's own namespace.

use serde_json::Value;

use crate::cluster::connect::Cluster;
use crate::cluster::http::FIELD_MANAGER;
use crate::cluster::kinds;
use crate::error::ApiError;

/// Writes an object of the ledger of usage, in the agent's own namespace: a new one where `seen` is `None`, else the
/// one of which `seen` gives uid and version. A conflict means that another agent has written in between, and that the
/// object is to be read again.
pub(crate) async fn write_ledger(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    seen: Option<(&str, &str)>,
    mut body: Value,
) -> Result<(), ApiError> {
    let objects = kinds::ledger_path(namespace);
    match seen {
        None => {
            let path = format!("{objects}?fieldManager={}", FIELD_MANAGER);
            cluster.http.post(&path, &body).await.map(drop)
        }
        Some((uid, version)) => {
            kinds::set_uid(&mut body, Some(uid));
            body["metadata"]["resourceVersion"] = version.into();
            cluster.http.apply(&format!("{objects}/{name}"), &body).await.map(drop)
        }
    }
}

/// Deletes an object of the ledger of usage: the one of this uid, in the version in which it was read.
pub(crate) async fn delete_ledger(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    (uid, version): (&str, &str),
) -> Result<(), ApiError> {
    let mut options = kinds::delete_options(uid);
    options["preconditions"]["resourceVersion"] = version.into();
    let path = format!("{}/{name}", kinds::ledger_path(namespace));
    cluster.http.delete(&path, &options).await.map(drop)
}
