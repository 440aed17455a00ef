//! Create, replace, patch, apply and delete: the rules that hold for every resource.
//!
//! Each function is one transaction on the store. What follows later from a write is in `controllers`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Kind, LEASES, NAMESPACES, ROLE_BINDINGS, ROLES};
use super::managed::{self, Author};
use super::rbac::{self, User};
use super::status::{ApiError, Cause, Result};
use super::store::{Key, Store, Stored};
use super::{cluster_quota, patch, quota, validate};

/// What to do with members that a resource does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    Ignore,
    Warn,
    Refuse,
}

/// Who writes, how and when.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) user: &'a User,
    /// Field manager of updates.
    pub(crate) manager: &'a str,
    pub(crate) dry_run: bool,
    pub(crate) unknown: Unknown,
    /// RFC 3339, whole seconds.
    pub(crate) now: &'a str,
    /// Texts for `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

impl Writer<'_> {
    fn author<'a>(&'a self, subresource: &'a str) -> Author<'a> {
        Author { manager: self.manager, subresource, time: self.now }
    }
}

/// Names that can never be deleted.
const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Takes a body as an object of `kind`: checks its type and removes `kind` and `apiVersion`.
///
/// # Errors
/// 400 for another type or a body that is no object.
pub(crate) fn take_type(kind: &Kind, object: &mut Value) -> Result<()> {
    let Some(members) = object.as_object_mut() else {
        return Err(ApiError::bad_request("the object provided is unrecognized"));
    };
    let mut take = |member| match members.remove(member) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let (found_kind, found_version) = (take("kind"), take("apiVersion"));
    let expected = kind.api_version();
    if !found_version.is_empty() && found_version != expected {
        let message = format!(
            "the API version in the data ({found_version}) does not match the expected API version ({expected})"
        );
        return Err(ApiError::bad_request(message));
    }
    if !found_kind.is_empty() && found_kind != kind.kind {
        let (version, wanted) = (kind.version, kind.kind);
        let internal = kind.group.split('.').next().unwrap_or_default();
        let message = format!(
            "{found_kind} in version \"{version}\" cannot be handled as a {wanted}: converting ({version}.{found_kind}) to \
             ({internal}.{wanted}): unknown conversion"
        );
        return Err(ApiError::bad_request(message));
    }
    Ok(())
}

/// Removes members that the resource does not have, with a warning or an error as the writer wants.
pub(crate) fn drop_unknown(kind: &Kind, object: &mut Value, writer: &mut Writer<'_>) -> Result<()> {
    let unknown = validate::drop_unknown(kind, object);
    match writer.unknown {
        Unknown::Ignore => {}
        Unknown::Warn => {
            writer.warnings.extend(unknown.iter().map(|name| format!("unknown field \"{name}\"")))
        }
        Unknown::Refuse => {
            if !unknown.is_empty() {
                let faults: Vec<String> =
                    unknown.iter().map(|name| format!("unknown field \"{name}\"")).collect();
                let why = format!("strict decoding error: {}", faults.join(", "));
                return Err(validate::undecodable(kind, &why));
            }
        }
    }
    Ok(())
}

fn check_namespace_open(store: &Store, kind: &Kind, namespace: &str, name: &str) -> Result<()> {
    if !kind.namespaced {
        return Ok(());
    }
    match store.get(NAMESPACES, "", namespace) {
        None => Err(ApiError::not_found(NAMESPACES, namespace)),
        Some(stored) if stored.deleting => Err(ApiError::namespace_terminating(kind, name, namespace)),
        Some(_) => Ok(()),
    }
}

fn check_escalation(store: &Store, kind: &Kind, object: &Value, user: &User) -> Result<()> {
    if kind == ROLE_BINDINGS || kind == CLUSTER_ROLE_BINDINGS {
        rbac::check_binding(store, user, kind, object)
    } else if kind == ROLES || kind == CLUSTER_ROLES {
        rbac::check_role(store, user, kind, object)
    } else {
        Ok(())
    }
}

/// Creates an object from a body without `kind` and `apiVersion`.
pub(crate) fn create(
    store: &mut Store,
    kind: &Kind,
    namespace: &str,
    mut object: Value,
    writer: &mut Writer<'_>,
) -> Result<Arc<Stored>> {
    drop_unknown(kind, &mut object, writer)?;
    place(kind, namespace, &mut object)?;
    if !text(&object, "/metadata/resourceVersion").is_empty() {
        return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    let prefix = text(&object, "/metadata/generateName").to_owned();
    if text(&object, "/metadata/name").is_empty() && !prefix.is_empty() {
        object["metadata"]["name"] = format!("{prefix}{}", store.suffix()).into();
    }
    insert(store, kind, object, writer, |object, writer| {
        managed::record_update(kind, None, object, &writer.author(""));
    })
}

fn place(kind: &Kind, namespace: &str, object: &mut Value) -> Result<()> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let given = text(object, "/metadata/namespace");
    if kind.namespaced {
        if !given.is_empty() && given != namespace {
            let message =
                "the namespace of the provided object does not match the namespace sent on the request";
            return Err(ApiError::bad_request(message));
        }
        object["metadata"]["namespace"] = namespace.into();
    } else if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    Ok(())
}

/// The common end of create, upsert and apply of a new object; `own` notes who owns its fields.
fn insert(
    store: &mut Store,
    kind: &Kind,
    mut object: Value,
    writer: &mut Writer<'_>,
    own: impl FnOnce(&mut Value, &Writer<'_>),
) -> Result<Arc<Stored>> {
    let namespace = text(&object, "/metadata/namespace").to_owned();
    let name = text(&object, "/metadata/name").to_owned();
    check_namespace_open(store, kind, &namespace, &name)?;
    if kind.status
        && let Some(members) = object.as_object_mut()
    {
        members.remove("status");
    }
    validate::normalise(kind, &mut object)?;
    check_escalation(store, kind, &object, writer.user)?;
    validate::validate(kind, &object, None)?;
    let key = Key::new(&namespace, &name);
    if let Some(live) = store.table(kind).get(&key) {
        return Err(if kind == NAMESPACES && live.deleting {
            ApiError::being_deleted(kind, &name)
        } else {
            ApiError::already_exists(kind.group, kind.plural, &name)
        });
    }
    quota::apply_limit_ranges(store, &namespace, kind, &mut object)?;
    if quota::concerns(kind) {
        quota::admit(store, &namespace, kind, &object)?;
        cluster_quota::admit(store, &namespace, kind, &object)?;
    }
    writer.warnings.extend(validate::warnings(kind, &object));
    own(&mut object, writer);
    let uid = store.new_uid();
    let metadata = &mut object["metadata"];
    metadata["uid"] = uid.into();
    metadata["creationTimestamp"] = writer.now.into();
    if kind.generation {
        metadata["generation"] = json!(1);
    }
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("deletionTimestamp");
    }
    Ok(if writer.dry_run { Arc::new(Stored::unsaved(kind, &object)) } else { store.put(kind, object) })
}

/// Replaces an object (PUT); creates it where the resource allows that.
pub(crate) fn update(
    store: &mut Store,
    kind: &Kind,
    key: &Key,
    subresource: &str,
    mut object: Value,
    writer: &mut Writer<'_>,
) -> Result<(Arc<Stored>, bool)> {
    drop_unknown(kind, &mut object, writer)?;
    place(kind, &key.namespace, &mut object)?;
    let given = text(&object, "/metadata/name");
    if given.is_empty() {
        object["metadata"]["name"] = (*key.name).into();
    } else if given != &*key.name {
        let message =
            format!("the name of the object ({given}) does not match the name on the URL ({})", key.name);
        return Err(ApiError::bad_request(message));
    }
    let Some(live) = store.table(kind).get(key).cloned() else {
        if !kind.upsert || !subresource.is_empty() {
            return Err(ApiError::not_found(kind, &key.name));
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
            metadata.remove("uid");
        }
        return create(store, kind, &key.namespace, object, writer).map(|stored| (stored, true));
    };
    if kind == LEASES && text(&object, "/metadata/resourceVersion").is_empty() {
        let cause = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
        return Err(ApiError::invalid(kind.group, kind.kind, &key.name, &[cause]));
    }
    let old = live.value();
    replace(store, kind, &live, &old, object, subresource, writer, Owner::Update)
        .map(|stored| (stored, false))
}

/// How ownership of fields is noted by a replacement.
enum Owner {
    Update,
    /// The object carries its `managedFields` already.
    Applied,
}

/// The common end of update, patch and apply of an existing object.
#[expect(
    clippy::too_many_arguments,
    reason = "one private function through which every change of an object goes"
)]
fn replace(
    store: &mut Store,
    kind: &Kind,
    live: &Arc<Stored>,
    old: &Value,
    mut new: Value,
    subresource: &str,
    writer: &mut Writer<'_>,
    owner: Owner,
) -> Result<Arc<Stored>> {
    preconditions(kind, live, text(&new, "/metadata/uid"), text(&new, "/metadata/resourceVersion"))?;
    new = match subresource {
        "" => new,
        part => {
            let mut whole = old.clone();
            let member = if part == "finalize" { "spec" } else { part };
            whole[member] = new[member].take();
            whole
        }
    };
    if subresource.is_empty() && kind.status {
        match old.get("status") {
            Some(status) => new["status"] = status.clone(),
            None => drop(new.as_object_mut().and_then(|members| members.remove("status"))),
        }
        // A namespace's finalizers change through `finalize` only.
        if kind == NAMESPACES {
            new["spec"] = old["spec"].clone();
        }
    }
    let metadata = &mut new["metadata"];
    for field in [
        "uid",
        "creationTimestamp",
        "resourceVersion",
        "deletionTimestamp",
        "generation",
        "name",
        "namespace",
    ] {
        match old["metadata"].get(field) {
            Some(value) => metadata[field] = value.clone(),
            None => drop(metadata.as_object_mut().and_then(|metadata| metadata.remove(field))),
        }
    }
    validate::normalise(kind, &mut new)?;
    if matches!(owner, Owner::Update) {
        managed::record_update(kind, Some(old), &mut new, &writer.author(subresource));
    }
    if new == *old {
        return Ok(Arc::clone(live));
    }
    check_escalation(store, kind, &new, writer.user)?;
    validate::validate(kind, &new, Some(old))?;
    writer.warnings.extend(validate::warnings(kind, &new));
    if kind.generation && new["spec"] != old["spec"] {
        new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_u64().unwrap_or(1) + 1);
    }
    if writer.dry_run {
        return Ok(Arc::new(Stored::unsaved(kind, &new)));
    }
    let stored = store.put(kind, new);
    if kind != NAMESPACES && stored.deleting && stored.value()["metadata"].get("finalizers").is_none() {
        store.remove(kind, &stored.key);
    }
    Ok(stored)
}

fn preconditions(kind: &Kind, live: &Stored, uid: &str, version: &str) -> Result<()> {
    let name = &live.key.name;
    if !uid.is_empty() && uid != &*live.uid {
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", live.uid);
        return Err(ApiError::conflict(kind, name, &why));
    }
    if !version.is_empty() && version != live.version.to_string() {
        return Err(ApiError::modified(kind, name));
    }
    Ok(())
}

/// A patch and how it is written.
#[derive(Debug)]
pub(crate) enum Patch {
    Merge(Value),
    Strategic(Value),
    Json(Value),
    Apply { config: Value, force: bool },
}

/// Patches an object; apply creates it if there is none.
pub(crate) fn patch(
    store: &mut Store,
    kind: &Kind,
    key: &Key,
    subresource: &str,
    patch: Patch,
    writer: &mut Writer<'_>,
) -> Result<(Arc<Stored>, bool)> {
    let live = store.table(kind).get(key).cloned();
    let patch = match patch {
        Patch::Apply { config, force } => return apply(store, kind, key, subresource, config, force, writer),
        patch => patch,
    };
    let Some(live) = live else { return Err(ApiError::not_found(kind, &key.name)) };
    let old = live.value();
    let mut new = old.clone();
    patched(&mut new, &patch)?;
    if text(&new, "/metadata/name") != &*key.name {
        return Err(ApiError::bad_request("the name of the object cannot be changed by a patch"));
    }
    take_type(kind, &mut new)?;
    drop_unknown(kind, &mut new, writer)?;
    replace(store, kind, &live, &old, new, subresource, writer, Owner::Update).map(|stored| (stored, false))
}

/// Changes a value by any patch but apply.
pub(crate) fn patched(value: &mut Value, patch: &Patch) -> Result<()> {
    match patch {
        Patch::Merge(change) => patch::merge(value, change),
        Patch::Strategic(change) => patch::strategic(value, change),
        Patch::Json(steps) => patch::json(value, steps)?,
        Patch::Apply { config, .. } => patch::merge(value, config),
    }
    Ok(())
}

fn apply(
    store: &mut Store,
    kind: &Kind,
    key: &Key,
    subresource: &str,
    mut config: Value,
    force: bool,
    writer: &mut Writer<'_>,
) -> Result<(Arc<Stored>, bool)> {
    take_type(kind, &mut config)?;
    drop_unknown(kind, &mut config, writer)?;
    place(kind, &key.namespace, &mut config)?;
    config["metadata"]["name"] = (*key.name).into();
    if config["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let author = writer.author(subresource);
    let live = store.table(kind).get(key).cloned();
    let Some(live) = live else {
        let uid = text(&config, "/metadata/uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(ApiError::conflict(kind, &key.name, &why));
        }
        if !text(&config, "/metadata/resourceVersion").is_empty() {
            return Err(ApiError::modified(kind, &key.name));
        }
        let object = managed::apply(kind, None, &config, &author, force)?;
        return insert(store, kind, object, writer, |_, _| {}).map(|stored| (stored, true));
    };
    let (uid, version) =
        (text(&config, "/metadata/uid").to_owned(), text(&config, "/metadata/resourceVersion").to_owned());
    preconditions(kind, &live, &uid, &version)?;
    if let Some(metadata) = config["metadata"].as_object_mut() {
        metadata.remove("uid");
        metadata.remove("resourceVersion");
        metadata.remove("creationTimestamp");
    }
    let old = live.value();
    let new = managed::apply(kind, Some(&old), &config, &author, force)?;
    replace(store, kind, &live, &old, new, subresource, writer, Owner::Applied).map(|stored| (stored, false))
}

/// What a delete asks besides its target.
#[derive(Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) uid: String,
    pub(crate) version: String,
    pub(crate) dry_run: bool,
}

/// What a delete did.
#[derive(Debug)]
pub(crate) struct Deleted {
    pub(crate) last: Arc<Stored>,
    /// False while finalizers, or the content of a namespace, hold it.
    pub(crate) gone: bool,
}

/// Deletes an object, or marks it for deletion.
pub(crate) fn delete(
    store: &mut Store,
    kind: &Kind,
    key: &Key,
    options: &DeleteOptions,
    now: &str,
) -> Result<Deleted> {
    if kind == NAMESPACES && PROTECTED.contains(&&*key.name) {
        return Err(ApiError::forbidden("", "namespaces", &key.name, "this namespace may not be deleted"));
    }
    let Some(live) = store.table(kind).get(key).cloned() else {
        return Err(ApiError::not_found(kind, &key.name));
    };
    if !options.uid.is_empty() && options.uid != *live.uid {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            options.uid, live.uid
        );
        return Err(ApiError::conflict(kind, &key.name, &why));
    }
    if !options.version.is_empty() && options.version != live.version.to_string() {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {}, ResourceVersion in object meta: {}",
            options.version, live.version
        );
        return Err(ApiError::conflict(kind, &key.name, &why));
    }
    let mut object = live.value();
    let held = kind == NAMESPACES || object["metadata"].get("finalizers").is_some();
    if options.dry_run {
        return Ok(Deleted { last: live, gone: !held });
    }
    if !held {
        let last = store.remove(kind, key).unwrap_or(live);
        return Ok(Deleted { last, gone: true });
    }
    if live.deleting {
        return Ok(Deleted { last: live, gone: false });
    }
    object["metadata"]["deletionTimestamp"] = now.into();
    if kind == NAMESPACES {
        object["status"]["phase"] = "Terminating".into();
    } else {
        object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    }
    Ok(Deleted { last: store.put(kind, object), gone: false })
}
