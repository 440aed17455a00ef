//! OpenShift's projects: a view of namespaces, and the request that makes one.
//!
//! Behaviour of openshift-apiserver as measured, its oddities included: what it drops, ignores and forbids.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::kinds::{NAMESPACES, PROJECT, PROJECT_REQUESTS, PROJECTS, RBAC, ROLE_BINDINGS};
use super::managed::{self, Author};
use super::objects::{self, Patch, Unknown, Writer};
use super::status::{ApiError, Cause, Result};
use super::store::{Key, Store, Stored};
use super::{names, validate};

pub(crate) const DISPLAY_NAME: &str = "openshift.io/display-name";
pub(crate) const DESCRIPTION: &str = "openshift.io/description";
pub(crate) const REQUESTER: &str = "openshift.io/requester";

/// Finalizer that openshift-controller-manager takes off soon after.
pub(crate) const ORIGIN: &str = "openshift.io/origin";

const RESERVED: [&str; 3] = ["openshift", "kubernetes", "kube"];

/// POST projectrequests: makes the namespace and the requester's `admin` binding.
///
/// `dryRun` is ignored, as on the real server. Without `bind` nobody becomes admin, as under some project templates.
pub(crate) fn request(
    store: &mut Store,
    mut body: Value,
    bind: bool,
    writer: &mut Writer<'_>,
) -> Result<Arc<Stored>> {
    objects::take_type(PROJECT_REQUESTS, &mut body)?;
    objects::drop_unknown(PROJECT_REQUESTS, &mut body, writer)?;
    let display_name = text_member(&body, "displayName")?;
    let description = text_member(&body, "description")?;
    let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if name.is_empty() && body["metadata"]["generateName"].is_string() {
        return Err(ApiError::internal("metadata.name was not generated"));
    }
    check_name(&name)?;
    if store.get(NAMESPACES, "", &name).is_some() {
        return Err(ApiError::already_exists(PROJECT, "project", &name));
    }
    let annotations =
        json!({DESCRIPTION: description, DISPLAY_NAME: display_name, REQUESTER: writer.user.name});
    let project = json!({"metadata": {"name": name, "annotations": annotations}});
    check_annotations(&project)?;
    let dry_run = std::mem::replace(&mut writer.dry_run, false);
    let stored = insert_namespace(store, project, "openshift-apiserver", writer);
    if bind && stored.is_ok() {
        bind_requester(store, &name, writer);
    }
    writer.dry_run = dry_run;
    stored
}

/// POST projects: a namespace with what the body says; nobody becomes its admin.
pub(crate) fn create(store: &mut Store, mut body: Value, writer: &mut Writer<'_>) -> Result<Arc<Stored>> {
    objects::take_type(PROJECTS, &mut body)?;
    objects::drop_unknown(PROJECTS, &mut body, writer)?;
    check_annotations(&body)?;
    insert_namespace(store, body, "openshift-apiserver", writer)
}

fn insert_namespace(
    store: &mut Store,
    mut project: Value,
    manager: &str,
    writer: &mut Writer<'_>,
) -> Result<Arc<Stored>> {
    project["spec"] = json!({"finalizers": [ORIGIN, "kubernetes"]});
    let mut inner = Writer { manager, unknown: Unknown::Ignore, warnings: Vec::new(), ..*writer };
    objects::create(store, NAMESPACES, "", project, &mut inner)
}

fn bind_requester(store: &mut Store, namespace: &str, writer: &Writer<'_>) {
    let mut binding = json!({
        "metadata": {"name": "admin", "namespace": namespace, "uid": store.new_uid(), "creationTimestamp": writer.now},
        "subjects": [{"kind": "User", "apiGroup": RBAC, "name": writer.user.name}],
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "admin"},
    });
    let author = Author { manager: "openshift-apiserver", subresource: "", time: writer.now };
    managed::record_update(ROLE_BINDINGS, None, &mut binding, &author);
    store.put(ROLE_BINDINGS, binding);
}

fn text_member(body: &Value, member: &str) -> Result<String> {
    match &body[member] {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        other => {
            let found = match other {
                Value::Number(_) => "number",
                Value::Bool(_) => "bool",
                Value::Array(_) => "array",
                _ => "object",
            };
            let why = format!(
                "json: cannot unmarshal {found} into Go struct field ProjectRequest.{member} of type string"
            );
            Err(validate::undecodable(PROJECT_REQUESTS, &why))
        }
    }
}

fn check_name(name: &str) -> Result<()> {
    let field = "metadata.name";
    let cause = if name.is_empty() {
        Some(Cause::required(field, "name or generateName is required"))
    } else if let Some(why) = names::label_faults(name) {
        Some(Cause::invalid(field, &json!(name), why))
    } else if name.len() < 2 {
        Some(Cause::invalid(field, &json!(name), "must be at least 2 characters long"))
    } else {
        None
    };
    if let Some(cause) = cause {
        return Err(ApiError::invalid(PROJECT, "ProjectRequest", name, &[cause]));
    }
    for reserved in RESERVED {
        let why = if name == reserved {
            format!("cannot request a project with the name \"{reserved}\"")
        } else if name.strip_prefix(reserved).is_some_and(|rest| rest.starts_with('-')) {
            format!("cannot request a project starting with \"{reserved}-\"")
        } else {
            continue;
        };
        return Err(ApiError::forbidden(PROJECT, "project", name, &why));
    }
    Ok(())
}

fn check_annotations(project: &Value) -> Result<()> {
    let metadata = &project["metadata"];
    let mut causes = Vec::new();
    if let Some(shown) = metadata["annotations"][DISPLAY_NAME].as_str()
        && shown.contains(['\n', '\t'])
    {
        let field = format!("metadata.annotations[{DISPLAY_NAME}]");
        causes.push(Cause::invalid(field, &json!(shown), "may not contain a new line or tab"));
    }
    causes.extend(names::metadata_faults(metadata));
    let name = metadata["name"].as_str().unwrap_or_default();
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid(PROJECT, "Project", name, &causes)) }
}

/// PUT projects.
pub(crate) fn update(
    store: &mut Store,
    name: &str,
    mut body: Value,
    writer: &mut Writer<'_>,
) -> Result<Arc<Stored>> {
    objects::take_type(PROJECTS, &mut body)?;
    let live = live(store, name)?;
    let version = body["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && version != live.version.to_string() {
        return Err(ApiError::modified(NAMESPACES, name));
    }
    write(store, &live, body, writer)
}

/// PATCH projects, by any type of patch.
pub(crate) fn patch(
    store: &mut Store,
    name: &str,
    patch: Patch,
    writer: &mut Writer<'_>,
) -> Result<Arc<Stored>> {
    let live = live(store, name)?;
    let mut new = live.value();
    let patch = match patch {
        // openshift-apiserver keeps no owners of a project's fields that would outlive the write to the namespace.
        Patch::Apply { mut config, force } => {
            objects::take_type(PROJECTS, &mut config)?;
            Patch::Apply { config, force }
        }
        patch => patch,
    };
    objects::patched(&mut new, &patch)?;
    objects::take_type(PROJECTS, &mut new)?;
    write(store, &live, new, writer)
}

fn live(store: &Store, name: &str) -> Result<Arc<Stored>> {
    store.get(NAMESPACES, "", name).cloned().ok_or_else(|| ApiError::not_found(NAMESPACES, name))
}

/// Only the display name and the description can be changed through a project.
fn write(
    store: &mut Store,
    live: &Arc<Stored>,
    mut new: Value,
    writer: &mut Writer<'_>,
) -> Result<Arc<Stored>> {
    let old = live.value();
    let name = &live.key.name;
    let mut causes = Vec::new();
    for map in ["annotations", "labels"] {
        let before = old["metadata"][map].as_object().cloned().unwrap_or_default();
        let after = new["metadata"][map].as_object().cloned().unwrap_or_default();
        for key in changed(&before, &after) {
            if map == "annotations" && [DISPLAY_NAME, DESCRIPTION].contains(&key.as_str()) {
                continue;
            }
            let shown = after.get(&key).cloned().unwrap_or_else(|| json!(""));
            let field = format!("metadata.{map}[{key}]");
            causes.push(Cause::invalid(field, &shown, "field is immutable, try updating the namespace"));
        }
    }
    if !causes.is_empty() {
        return Err(ApiError::invalid(PROJECT, "Project", name, &causes));
    }
    for annotation in [DISPLAY_NAME, DESCRIPTION] {
        if new["metadata"]["annotations"][annotation].is_null() {
            new["metadata"]["annotations"][annotation] = "".into();
        }
    }
    check_annotations(&new)?;
    let mut whole = old;
    whole["metadata"]["annotations"] = new["metadata"]["annotations"].take();
    let key = Key::new("", name);
    objects::update(store, NAMESPACES, &key, "", whole, writer).map(|(stored, _)| stored)
}

fn changed(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let mut keys: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| before.get(key) != after.get(key));
    keys
}
