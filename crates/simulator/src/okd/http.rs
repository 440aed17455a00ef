//! From an HTTP request to an answer: who asks, whether they may, and which transaction it is.
//!
//! With `request` and `answer` the only module that knows HTTP. Nothing is decided here about the content of objects.

mod writes;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Shared;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use serde_json::{Value, json};

use super::answer::{Answer, error_response};
use super::kinds::{self, Kind, NAMESPACES, PROJECT, PROJECT_REQUESTS, PROJECTS, USER};
use super::list::{self, Selection};
use super::rbac::{self, Access, User};
use super::request::{Form, Query, Target, accepted};
use super::status::{ApiError, Result};
use super::store::{Key, Stored};
use super::{Flavour, Okd, discovery, names, projects_view, reviews, watch};
use crate::server::PeerCertificate;

/// The largest body taken, as kube-apiserver's.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Answers any request.
pub(crate) async fn handle(Shared(okd): Shared<Okd>, request: Request<Body>) -> Response<Body> {
    let mut response = match answer(&okd, request).await {
        Ok(answer) => answer.into_response(),
        Err(error) => error_response(&error),
    };
    // As every answer of a real server has; by the cluster's clock.
    let date = okd.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = date.parse() {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

async fn answer(okd: &Okd, request: Request<Body>) -> Result<Answer> {
    let (parts, body) = request.into_parts();
    // Served to everybody, who has no token yet.
    if parts.uri.path() == "/.well-known/oauth-authorization-server" {
        let oauth = okd.lock().oauth.clone();
        return oauth.map(|oauth| Answer::value(200, &oauth.document())).ok_or_else(ApiError::no_page);
    }
    let query = Query::parse(&parts.uri);
    let target = Target::parse(&parts.method, &parts.uri, &query);
    let user = authenticate(okd, &parts.headers, parts.extensions.get())?;
    authorise(okd, &user, &target, &query)?;
    if okd.lock().aggregated_down && is_aggregated(&target.path) {
        return Err(ApiError::aggregated_down());
    }
    if !target.is_resource {
        return document(okd.options().flavour, &target.path);
    }
    let body = axum::body::to_bytes(body, BODY_LIMIT)
        .await
        .map_err(|_| ApiError::bad_request("Request entity too large: limit is 3145728"))?;
    let call = Call { okd, method: parts.method, target, query, user, headers: parts.headers, body };
    call.answer()
}

/// Served by openshift-apiserver behind the aggregation layer; the list of groups is not.
fn is_aggregated(path: &str) -> bool {
    path.strip_prefix("/apis/project.openshift.io").is_some_and(|rest| rest.starts_with("/v1"))
}

fn authenticate(okd: &Okd, headers: &HeaderMap, peer: Option<&PeerCertificate>) -> Result<User> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(credentials) = text("authorization") else {
        // Who shows nothing is anonymous; who shows something that is not good is refused (Kubernetes: the x509
        // authenticator, which comes before the anonymous one and looks with each request).
        let Some(peer) = peer else { return Ok(User::anonymous()) };
        return okd.lock().certificates.get(&peer.0).cloned().ok_or_else(ApiError::unauthorized);
    };
    let token = credentials.strip_prefix("Bearer ").unwrap_or_default().trim();
    let state = okd.lock();
    let user = state.user_of(token, okd.now()).cloned().ok_or_else(ApiError::unauthorized)?;
    let Some(name) = text("impersonate-user") else { return Ok(user) };
    let access = Access { verb: "impersonate", resource: "users", name, ..Access::default() };
    if !rbac::allowed(&state.store, &user, &access) {
        return Err(rbac::denied(&user, &access));
    }
    let mut groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|value| value.to_str().ok().map(str::to_owned))
        .collect();
    groups.push("system:authenticated".to_owned());
    Ok(User { name: name.to_owned(), groups, uid: String::new() })
}

fn authorise(okd: &Okd, user: &User, target: &Target, query: &Query) -> Result<()> {
    let state = okd.lock();
    if !target.is_resource {
        return if rbac::path_allowed(&state.store, user, target.verb, &target.path) {
            Ok(())
        } else {
            Err(ApiError::forbidden_path(&user.name, target.verb, &target.path))
        };
    }
    let resource = target.resource_path();
    // A list of one name is authorised for that name.
    let selected = query.get("fieldSelector").and_then(|text| text.strip_prefix("metadata.name="));
    let name = if target.name.is_empty() { selected.unwrap_or_default() } else { &target.name };
    let access = Access {
        verb: target.verb,
        group: &target.group,
        resource: &resource,
        name,
        namespace: &target.namespace,
    };
    if rbac::allowed(&state.store, user, &access) {
        return Ok(());
    }
    Err(rbac::denied(user, &Access { name: &target.name, ..access }))
}

/// Discovery, health and version.
fn document(flavour: Flavour, path: &str) -> Result<Answer> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let value = match parts.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => return Ok(Answer::text("ok")),
        ["version"] => Some(discovery::version()),
        ["api"] => Some(discovery::versions()),
        ["api", version] => discovery::resources(flavour, "", version),
        ["openapi", "v3"] => Some(discovery::openapi_paths(flavour)),
        ["openapi", "v3", "api", version] => discovery::openapi(flavour, "", version),
        ["openapi", "v3", "apis", group, version] => discovery::openapi(flavour, group, version),
        ["apis"] => Some(discovery::group_list(flavour)),
        ["apis", group] => discovery::group(flavour, group),
        ["apis", group, version] => discovery::resources(flavour, group, version),
        _ => None,
    };
    value.map(|value| Answer::value(200, &value)).ok_or_else(ApiError::no_page)
}

struct Call<'a> {
    okd: &'a Okd,
    method: Method,
    target: Target,
    query: Query,
    user: User,
    headers: HeaderMap,
    body: Bytes,
}

impl Call<'_> {
    fn answer(&self) -> Result<Answer> {
        let Target { group, version, resource, name, .. } = &self.target;
        if !discovery::has_group(self.okd.options().flavour, group) {
            return Err(ApiError::no_page());
        }
        if let Some(why) = names::path_segment_fault(name) {
            return Err(ApiError::bad_request(format!("Name parameter invalid: \"{name}\": {why}")));
        }
        if self.target.verb == "create"
            && let Some(answer) = self.review()?
        {
            return Ok(answer);
        }
        let Some(kind) = kinds::find(group, version, resource) else {
            let aggregated = group == PROJECT && version == PROJECTS.version;
            return Err(if aggregated { ApiError::no_resource() } else { ApiError::no_page() });
        };
        if kind == PROJECT_REQUESTS {
            return self.project_request();
        }
        match self.target.verb {
            "get" => self.get(kind),
            "list" => self.list(kind),
            "watch" => self.watch(kind),
            "create" => self.create(kind),
            "update" => self.update(kind),
            "patch" => self.patch(kind),
            "delete" => self.delete(kind),
            "deletecollection" => self.delete_collection(kind),
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    fn review(&self) -> Result<Option<Answer>> {
        let Target { group, resource, .. } = &self.target;
        if !matches!(group.as_str(), "authorization.k8s.io" | "authentication.k8s.io") {
            return Ok(None);
        }
        let body = self.json_body("review")?;
        let state = self.okd.lock();
        let answer = reviews::answer(&state, &self.user, group, resource, body, self.okd.now());
        Ok(answer.map(|body| Answer::value(201, &body)))
    }

    fn json_body(&self, kind: &str) -> Result<Value> {
        let content_type = self.content_type();
        if content_type == "application/vnd.kubernetes.protobuf" {
            return super::protobuf::decode(&self.body).ok_or_else(ApiError::unknown_format);
        }
        if !matches!(content_type, "" | "application/json" | "application/json-patch+json")
            && !content_type.ends_with("+json")
            && !content_type.ends_with("+yaml")
        {
            return Err(ApiError::unknown_format());
        }
        serde_json::from_slice(&self.body).map_err(|_| {
            let shown = String::from_utf8_lossy(&self.body).into_owned();
            let found = shown.trim_start().trim_start_matches('{').chars().next().unwrap_or(' ');
            ApiError::bad_request(format!(
                "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: \
                 invalid character '{found}' looking for beginning of object key string ({shown})"
            ))
        })
    }

    fn content_type(&self) -> &str {
        let value =
            self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }

    fn form(&self) -> Result<Form> {
        accepted(&self.headers)
    }

    fn key(&self, kind: &Kind) -> Key {
        Key::new(if kind.namespaced { &self.target.namespace } else { "" }, &self.target.name)
    }

    fn written(&self, kind: &Kind, code: u16, stored: &Arc<Stored>, warnings: Vec<String>) -> Result<Answer> {
        let body = list::one(kind, stored, self.form()?, self.okd.now());
        Ok(Answer::json(code, body).with(warnings))
    }

    fn get(&self, kind: &'static Kind) -> Result<Answer> {
        if self.target.subresource == "scale" {
            return self.scale(kind);
        }
        self.check_subresource(kind)?;
        if kind.group == USER && kind.plural == "users" && self.target.name == "~" {
            let body = json!({
                "kind": "User", "apiVersion": kind.api_version(), "metadata": {"name": self.user.name},
                "identities": null, "groups": self.user.groups,
            });
            return Ok(Answer::value(200, &body));
        }
        let state = self.okd.lock();
        let stored_as = if kind == PROJECTS { NAMESPACES } else { kind };
        let stored = state.store.table(stored_as).get(&self.key(kind)).cloned();
        drop(state);
        let stored = stored.ok_or_else(|| ApiError::not_found(stored_as, &self.target.name))?;
        self.written(kind, 200, &stored, Vec::new())
    }

    fn check_subresource(&self, kind: &Kind) -> Result<()> {
        match self.target.subresource.as_str() {
            "" => Ok(()),
            "status" if kind.status => Ok(()),
            "finalize" if kind == NAMESPACES => Ok(()),
            "scale" if has_scale(kind) => Ok(()),
            _ => Err(ApiError::no_resource()),
        }
    }

    fn list(&self, kind: &'static Kind) -> Result<Answer> {
        let (form, now) = (self.form()?, self.okd.now());
        let selection = Selection::parse(kind, &self.target.namespace, &self.query)?;
        if kind == PROJECTS {
            // Neither paged nor selected by field: both are taken and ignored.
            let items = projects_view::visible(&self.okd.lock(), self.okd, &self.user);
            let items: Vec<_> =
                items.into_iter().filter(|stored| selection.labels.matches(&stored.labels)).collect();
            return Ok(Answer::json(200, list::render(kind, &items, &json!({}), form, now)));
        }
        let page = list::select(&self.okd.lock().store, kind, &selection, &self.query)?;
        Ok(Answer::json(200, list::answer(kind, &page, form, now)))
    }

    fn watch(&self, kind: &'static Kind) -> Result<Answer> {
        let mut selection = Selection::parse(kind, &self.target.namespace, &self.query)?;
        let form = self.form()?;
        if !self.target.name.is_empty() {
            let field = format!("metadata.name={}", self.target.name);
            selection.fields = super::selector::FieldSelector::parse(&field, &[])?;
        }
        let body = if kind == PROJECTS {
            Body::from_stream(watch::start_projects(self.okd, &self.user, selection, &self.query, form)?)
        } else {
            Body::from_stream(watch::start(self.okd, kind, selection, &self.query, form)?)
        };
        Ok(Answer::json(200, body))
    }
}

fn has_scale(kind: &Kind) -> bool {
    kind.group == "apps"
}
