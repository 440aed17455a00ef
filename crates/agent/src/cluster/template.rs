//! Objects of the project template as they are on the cluster: which paths their kinds have, and what is there. Reads only.
//!
//! Where the role lets the agent list a kind over the whole cluster, a pass reads one list; else each project is read by
//! itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use planner::names;
use planner::observed::Furnished;
use planner::outcome::Failure;
use planner::plan::recorded_kinds;
use planner::template::{ObjectApi, Template};
use serde_json::Value;
use uuid::Uuid;

use super::connect::Cluster;
use super::kinds::{self, path_segment};
use super::observe::{encoded, object};
use super::sights::Sights;
use crate::error::{ApiError, Peer};

/// By kind and name.
type Furnishings = BTreeMap<(String, String), Furnished>;

/// What was seen of the template.
#[derive(Debug, Default)]
pub(crate) struct TemplateStore {
    state: Mutex<State>,
    /// How far the watches of its kinds have come.
    pub(super) sights: Sights<String>,
}

#[derive(Debug, Default)]
struct State {
    /// By namespace, then by kind and name.
    seen: HashMap<String, BTreeMap<(String, String), Seen>>,
    /// Kinds that the last pass has listed over the whole cluster.
    listed: HashSet<String>,
    /// Versions of objects as the server has made them of what was wanted, by uid.
    settled: HashMap<String, String>,
}

/// An object with the version in which it was seen; an older sight never replaces a newer one.
#[derive(Debug)]
struct Seen {
    version: u64,
    furnished: Furnished,
}

/// Objects of a kind that a list or a watch names: namespace and name.
type Named = HashSet<(String, String)>;

impl TemplateStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the server has answered to a write of ours.
    pub(super) fn wrote(&self, api: &ObjectApi, answer: &Value) {
        let mut state = self.state();
        if let (Some(uid), Some(version)) = (text(answer, "uid"), text(answer, "resourceVersion")) {
            state.settled.insert(uid.to_owned(), version.to_owned());
        }
        state.take(api, answer);
    }

    /// Takes in that an object is gone.
    pub(super) fn gone(&self, api: &ObjectApi, namespace: &str, name: &str) {
        self.state().forget(&api.token(), namespace, name);
    }

    /// Takes in an object that exists; returns the resource whose view has changed.
    pub(super) fn saw(&self, api: &ObjectApi, object: &Value) -> Option<Uuid> {
        self.state().take(api, object)
    }

    /// Takes in that an object is gone, or is not ours any more; returns the resource whose view has changed.
    pub(super) fn lost(&self, api: &ObjectApi, object: &Value) -> Option<Uuid> {
        self.state().forget(&api.token(), text(object, "namespace")?, text(object, "name")?)
    }

    /// A kind's watch has named all objects: the others are gone. Returns the resources whose view has changed.
    pub(super) fn watch_listed(&self, api: &ObjectApi, named: &Named) -> BTreeSet<Uuid> {
        self.state().forget_unnamed(&api.token(), None, named)
    }
}

impl State {
    fn take(&mut self, api: &ObjectApi, item: &Value) -> Option<Uuid> {
        let (place, name) = (text(item, "namespace")?.to_owned(), text(item, "name")?.to_owned());
        let (id, version) = ((api.token(), name), version(item));
        let known = self.seen.get(&place).and_then(|objects| objects.get(&id));
        if known.is_some_and(|known| known.version > version) {
            return None;
        }
        let mut furnished = self.furnished(api, item)?;
        let is_same = known.is_some_and(|Seen { furnished: known, .. }| {
            (&known.uid, &known.body, &known.taken) == (&furnished.uid, &furnished.body, &furnished.taken)
        });
        // A controller that writes a status makes a new version of what is as it was.
        if is_same && known.is_some_and(|known| known.furnished.settled) {
            furnished.settled = true;
            let version = text(item, "resourceVersion").unwrap_or_default().to_owned();
            self.settled.insert(furnished.uid.clone(), version);
        }
        let resource = resource_of(&furnished);
        self.seen.entry(place).or_default().insert(id, Seen { version, furnished });
        resource.filter(|_| !is_same)
    }

    fn forget(&mut self, token: &str, namespace: &str, name: &str) -> Option<Uuid> {
        let objects = self.seen.get_mut(namespace)?;
        let Seen { furnished, .. } = objects.remove(&(token.to_owned(), name.to_owned()))?;
        if objects.is_empty() {
            self.seen.remove(namespace);
        }
        self.settled.remove(&furnished.uid);
        resource_of(&furnished)
    }

    /// Forgets what is kept of a kind, in one namespace or in all, and was not named.
    fn forget_unnamed(&mut self, token: &str, within: Option<&str>, named: &Named) -> BTreeSet<Uuid> {
        let of_kind = self.seen.iter().filter(|(place, _)| within.is_none_or(|within| within == *place));
        let of_kind = of_kind.flat_map(|(place, objects)| objects.keys().map(move |id| (place, id)));
        let gone: Vec<(String, String)> = of_kind
            .filter(|(_, (known, _))| known == token)
            .map(|(place, (_, name))| (place.clone(), name.clone()))
            .filter(|place| !named.contains(place))
            .collect();
        gone.iter().filter_map(|(place, name)| self.forget(token, place, name)).collect()
    }

    fn furnished(&self, api: &ObjectApi, item: &Value) -> Option<Furnished> {
        let uid = text(item, "uid")?.to_owned();
        let settled = text(item, "resourceVersion")
            .is_some_and(|version| self.settled.get(&uid).is_some_and(|known| known == version));
        let taken = object(item.clone()).map(|object| kinds::taken_fields(&object)).unwrap_or_default();
        let mut body = item.clone();
        if let Some(members) = body.as_object_mut() {
            // Lists leave kind and version out.
            members.retain(|key, _| !["apiVersion", "kind", "status"].contains(&key.as_str()));
            // What the server notes is not what was wanted, and takes most of the room.
            if let Some(Value::Object(metadata)) = members.get_mut("metadata") {
                metadata.retain(|key, _| ["name", "labels", "annotations"].contains(&key.as_str()));
            }
        }
        Some(Furnished { api: api.clone(), uid, body, taken, settled })
    }
}

fn version(item: &Value) -> u64 {
    text(item, "resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn resource_of(furnished: &Furnished) -> Option<Uuid> {
    let label =
        furnished.body.pointer("/metadata/labels").and_then(|labels| labels.get(names::RESOURCE_UUID))?;
    Uuid::parse_str(label.as_str()?).ok()
}

/// Namespaces and names of objects.
fn named(items: &[Value]) -> Named {
    let place = |item: &Value| Some((text(item, "namespace")?.to_owned(), text(item, "name")?.to_owned()));
    items.iter().filter_map(place).collect()
}

/// Labels of objects of templates.
pub(super) fn labels() -> String {
    format!("{},{}", names::TEMPLATE, kinds::our_labels())
}

fn selector() -> String {
    format!("&labelSelector={}", encoded(&labels()))
}

fn text<'a>(item: &'a Value, field: &str) -> Option<&'a str> {
    item.get("metadata")?.get(field)?.as_str()
}

/// Path of an API group's version, from `v1` or `group/version`.
fn root(version: &str) -> String {
    if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") }
}

/// A kind as kube's watches want it.
pub(super) fn api_resource(api: &ObjectApi) -> ApiResource {
    let version = api.version.rsplit_once('/').map_or(api.version.as_str(), |(_, version)| version);
    let kind = GroupVersionKind::gvk(api.group(), version, &api.kind);
    ApiResource::from_gvk_with_plural(&kind, &api.plural)
}

/// Path of an object of the template.
pub(super) fn object_path(api: &ObjectApi, namespace: &str, name: &str) -> String {
    format!("{}/namespaces/{namespace}/{}/{}", root(&api.version), api.plural, path_segment(name))
}

/// A kind from its note on a namespace; objects name their kind themselves.
fn api_of(token: &str) -> Option<ObjectApi> {
    let (version, plural) = token.rsplit_once('/')?;
    Some(ObjectApi { version: version.to_owned(), kind: plural.to_owned(), plural: plural.to_owned() })
}

impl Cluster {
    /// The template with the paths of its kinds, as the cluster serves them.
    pub(crate) async fn resolved_template(&self) -> Result<Template, ApiError> {
        let mut template = self.template.clone();
        let mut known: BTreeMap<String, Value> = BTreeMap::new();
        for object in &mut template.objects {
            let version = object.api.version.clone();
            let path = root(&version);
            if !known.contains_key(&version) {
                let list = match self.http.get(&path).await {
                    Err(error) if error.is_not_found() => Value::Null,
                    list => list?,
                };
                known.insert(version.clone(), list);
            }
            object.api.plural = plural(&known[&version], &object.api).map_err(|why| ApiError {
                failure: Failure::Invalid,
                ..ApiError::unexpected(Peer::Cluster, &format!("GET {path}"), &why)
            })?;
        }
        Ok(template)
    }

    /// Lists the template's kinds for a pass.
    pub(super) async fn refresh_template(&self) -> Result<(), ApiError> {
        let Some(template) =
            self.read_state(|state| state.surroundings.as_ref().map(|known| known.template.clone()))
        else {
            return Ok(());
        };
        let apis: BTreeSet<&ObjectApi> = template.objects.iter().map(|object| &object.api).collect();
        for api in apis {
            if self.furnished.sights.becomes_live(&api.token(), self.http.timeout()).await {
                continue;
            }
            let path = format!("{}/{}", root(&api.version), api.plural);
            let items = match self.http.list_some(&path, &selector(), |_| true).await {
                Ok(items) => items,
                Err(error) if error.failure == Failure::Forbidden => {
                    self.furnished.state().listed.remove(&api.token());
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut state = self.furnished.state();
            state.forget_unnamed(&api.token(), None, &named(&items));
            for item in &items {
                state.take(api, item);
            }
            state.listed.insert(api.token());
            self.furnished.sights.listed(&api.token());
        }
        Ok(())
    }

    /// What of the template is in a namespace of this resource. `fresh` reads it now.
    pub(crate) async fn furnished_in(
        &self,
        namespace: &planner::observed::Namespace,
        resource: Uuid,
        fresh: bool,
    ) -> Result<Furnishings, ApiError> {
        let template =
            self.read_state(|state| state.surroundings.as_ref().map(|known| known.template.clone()));
        let mut apis: BTreeMap<String, ObjectApi> = template
            .iter()
            .flat_map(|template| &template.objects)
            .map(|object| (object.api.token(), object.api.clone()))
            .collect();
        for token in recorded_kinds(namespace) {
            if let Some(api) = api_of(&token) {
                apis.entry(token).or_insert(api);
            }
        }
        let place = &namespace.name;
        let unread: Vec<(String, ObjectApi)> = {
            let (state, sights) = (self.furnished.state(), &self.furnished.sights);
            let is_known = |token: &String| state.listed.contains(token) && !fresh || sights.is_live(token);
            apis.into_iter().filter(|(token, _)| !is_known(token)).collect()
        };
        for (token, api) in unread {
            let path = format!("{}/namespaces/{place}/{}", root(&api.version), api.plural);
            let items = match self.http.list_some(&path, &selector(), |_| true).await {
                // A kind that the cluster does not have any more has no objects.
                Err(error) if error.is_not_found() => Vec::new(),
                items => items?,
            };
            let mut state = self.furnished.state();
            state.forget_unnamed(&token, Some(place), &named(&items));
            for item in &items {
                state.take(&api, item);
            }
        }
        let state = self.furnished.state();
        let seen = state.seen.get(place).into_iter().flatten();
        let seen = seen.map(|(id, seen)| (id.clone(), seen.furnished.clone()));
        Ok(seen.filter(|(_, furnished)| resource_of(furnished) == Some(resource)).collect())
    }
}

/// Name of a kind in paths (Kubernetes: APIResourceList).
fn plural(list: &Value, api: &ObjectApi) -> Result<String, String> {
    let ObjectApi { version, kind, .. } = api;
    let all = list["resources"].as_array().into_iter().flatten();
    let mut ours = all.filter(|found| found["kind"] == kind.as_str());
    let found = ours.find(|found| found["name"].as_str().is_some_and(|name| !name.contains('/')));
    let Some(found) = found else {
        return Err(format!(
            "`project_template` has a `{kind}` of `{version}`, which the cluster does not serve; correct apiVersion and kind, \
             or install what it needs"
        ));
    };
    if found["namespaced"] != true {
        return Err(format!(
            "`project_template` has a `{kind}`, which is in no namespace; only objects of projects can be made"
        ));
    }
    Ok(found["name"].as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kind_is_one_that_the_cluster_serves_in_namespaces() {
        let list = json!({"resources": [
            {"name": "widgets/status", "kind": "Widget", "namespaced": true},
            {"name": "widgets", "kind": "Widget", "namespaced": true},
            {"name": "planets", "kind": "Planet", "namespaced": false},
        ]});
        for (kind, expected) in [
            ("Widget", Ok("widgets")),
            ("Planet", Err("is in no namespace")),
            ("Moon", Err("does not serve")),
        ] {
            let version = "example.com/v1".to_owned();
            let found = plural(&list, &ObjectApi { version, kind: kind.to_owned(), plural: String::new() });
            match expected {
                Ok(name) => assert_eq!(found.as_deref(), Ok(name)),
                Err(part) => assert!(found.as_ref().is_err_and(|why| why.contains(part)), "{found:?}"),
            }
        }
    }
}
