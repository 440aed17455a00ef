//! Objects of the project template as they are on the cluster: which paths their kinds have, and what is there. Reads only.
//!
//! Where the role lets the agent list a kind over the whole cluster, a pass reads one list; else each project is read by
//! itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use planner::names;
use planner::observed::Furnished;
use planner::outcome::Failure;
use planner::plan::recorded_kinds;
use planner::policy::Flavour;
use planner::template::{ObjectApi, Template};
use serde_json::Value;
use uuid::Uuid;

use super::connect::Cluster;
use super::kinds::{self, path_segment};
use super::observe::object;
use crate::error::{ApiError, Peer};

/// By kind and name.
type Furnishings = BTreeMap<(String, String), Furnished>;

/// What was seen of the template.
#[derive(Debug, Default)]
pub(crate) struct TemplateStore(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By namespace.
    seen: HashMap<String, Furnishings>,
    /// Kinds that the last pass has listed over the whole cluster.
    listed: HashSet<String>,
    /// Versions of objects as the server has made them of what was wanted, by uid.
    settled: HashMap<String, String>,
}

impl TemplateStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the server has answered to a write of ours.
    pub(super) fn wrote(&self, api: &ObjectApi, namespace: &str, answer: &Value) {
        let mut state = self.state();
        if let (Some(uid), Some(version)) = (text(answer, "uid"), text(answer, "resourceVersion")) {
            state.settled.insert(uid.to_owned(), version.to_owned());
        }
        if let Some((name, seen)) = state.furnished(api, answer) {
            let place = state.seen.entry(namespace.to_owned()).or_default();
            place.insert((api.token(), name), seen);
        }
    }

    /// Takes in that an object is gone.
    pub(super) fn gone(&self, api: &ObjectApi, namespace: &str, name: &str) {
        if let Some(place) = self.state().seen.get_mut(namespace) {
            place.remove(&(api.token(), name.to_owned()));
        }
    }
}

impl State {
    fn furnished(&self, api: &ObjectApi, item: &Value) -> Option<(String, Furnished)> {
        let (name, uid) = (text(item, "name")?.to_owned(), text(item, "uid")?.to_owned());
        let settled = text(item, "resourceVersion")
            .is_some_and(|version| self.settled.get(&uid).is_some_and(|known| known == version));
        let taken = object(item.clone()).map(|object| kinds::taken_fields(&object)).unwrap_or_default();
        let mut body = item.clone();
        if let Some(members) = body.as_object_mut() {
            members.remove("status");
            // What the server notes is not what was wanted, and takes most of the room.
            if let Some(Value::Object(metadata)) = members.get_mut("metadata") {
                metadata.retain(|key, _| ["name", "labels", "annotations"].contains(&key.as_str()));
            }
        }
        Some((name, Furnished { api: api.clone(), uid, body, taken, settled }))
    }
}

/// Labels of an object of the template, besides those that say whose it is.
fn selector() -> String {
    format!("&labelSelector={},{}", names::TEMPLATE, kinds::our_labels())
        .replace('/', "%2F")
        .replace(',', "%2C")
}

fn text<'a>(item: &'a Value, field: &str) -> Option<&'a str> {
    item.get("metadata")?.get(field)?.as_str()
}

/// Path of an API group's version, from `v1` or `group/version`.
fn root(version: &str) -> String {
    if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") }
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
    pub(super) async fn resolved_template(&self, flavour: Flavour) -> Result<Template, ApiError> {
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
        self.say_what_may_not_be_written(&template, flavour).await?;
        Ok(template)
    }

    /// Said before anything is written. In projects that the agent requested itself it may more than elsewhere.
    async fn say_what_may_not_be_written(
        &self,
        template: &Template,
        flavour: Flavour,
    ) -> Result<(), ApiError> {
        let apis: BTreeSet<&ObjectApi> = template.objects.iter().map(|object| &object.api).collect();
        for api in apis {
            let group = api.version.rsplit_once('/').map_or("", |(group, _)| group);
            let mut missing = Vec::new();
            for verb in ["get", "list", "create", "patch", "delete"] {
                if !self.may(verb, (group, &api.plural), "").await? {
                    missing.push(verb);
                }
            }
            if !missing.is_empty() {
                let place = match flavour {
                    Flavour::OpenShift => {
                        "only in projects that the agent requested itself can the template be used"
                    }
                    Flavour::Kubernetes => "the template cannot be used",
                };
                tracing::warn!(
                    "`project_template` has {} objects, but the agent lacks {} on {} ({}); {place}",
                    api.kind,
                    missing.join(", "),
                    api.plural,
                    if group.is_empty() { "core group" } else { group },
                );
            }
        }
        Ok(())
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
            state.seen.values_mut().for_each(|place| place.retain(|(token, _), _| *token != api.token()));
            for item in &items {
                if let (Some(place), Some((name, seen))) =
                    (text(item, "namespace"), state.furnished(api, item))
                {
                    state.seen.entry(place.to_owned()).or_default().insert((api.token(), name), seen);
                }
            }
            state.listed.insert(api.token());
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
            let state = self.furnished.state();
            apis.into_iter().filter(|(token, _)| fresh || !state.listed.contains(token)).collect()
        };
        for (token, api) in unread {
            let path = format!("{}/namespaces/{place}/{}", root(&api.version), api.plural);
            let items = match self.http.list_some(&path, &selector(), |_| true).await {
                // A kind that the cluster does not have any more has no objects.
                Err(error) if error.is_not_found() => Vec::new(),
                items => items?,
            };
            let mut state = self.furnished.state();
            let seen: Vec<_> = items.iter().filter_map(|item| state.furnished(&api, item)).collect();
            let known = state.seen.entry(place.clone()).or_default();
            known.retain(|(kind, _), _| *kind != token);
            known.extend(seen.into_iter().map(|(name, seen)| ((token.clone(), name), seen)));
        }
        let mut seen = self.furnished.state().seen.get(place).cloned().unwrap_or_default();
        let id = resource.simple().to_string();
        seen.retain(|_, seen| seen.body["metadata"]["labels"][names::RESOURCE_UUID] == id.as_str());
        Ok(seen)
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
