//! Requests that change something: one transaction each.

use http::{Method, header};
use serde_json::{Value, json};

use super::Call;
use crate::okd::answer::Answer;
use crate::okd::kinds::{
    Kind, NAMESPACES, PROJECT, PROJECT_REQUESTS, PROJECTS, SERVICE_ACCOUNTS, USER_IDENTITY_MAPPINGS,
};
use crate::okd::list::{self, Selection};
use crate::okd::objects::{self, DeleteOptions, Deleted, Patch, Unknown, Writer};
use crate::okd::rbac::{self, Access, User};
use crate::okd::status::{self, ApiError, Result};
use crate::okd::store::Stored;
use crate::okd::{AUDIENCE, State, projects, reviews, users};

impl Call<'_> {
    pub(super) fn create(&self, kind: &'static Kind) -> Result<Answer> {
        if kind == SERVICE_ACCOUNTS && self.target.subresource == "token" {
            return self.create_token();
        }
        if !self.target.name.is_empty() || (kind.namespaced && self.target.namespace.is_empty()) {
            return Err(ApiError::method_not_allowed());
        }
        let mut body = self.json_body(kind.kind)?;
        let (stored, warnings) = self.write(|state, writer| {
            if kind == PROJECTS {
                return projects::create(&mut state.store, body, writer);
            }
            if kind == USER_IDENTITY_MAPPINGS {
                return users::map(&mut state.store, body, writer);
            }
            objects::take_type(kind, &mut body)?;
            objects::create(&mut state.store, kind, &self.target.namespace, body, writer)
        })?;
        let stored_as = if kind == PROJECTS { NAMESPACES } else { kind };
        if stored_as == NAMESPACES && !self.query.dry_run() {
            self.okd.note_birth(&stored.key.name);
        }
        let answer = self.written(kind, 201, &stored, warnings);
        self.settle(stored_as, &stored);
        answer
    }

    pub(super) fn project_request(&self) -> Result<Answer> {
        match self.target.verb {
            "list" if self.target.name.is_empty() => {
                let access = Access {
                    verb: "create",
                    group: PROJECT,
                    resource: PROJECT_REQUESTS.plural,
                    ..Access::default()
                };
                if !rbac::allowed(&self.okd.lock().store, &self.user, &access) {
                    return Err(ApiError::no_project_requests());
                }
                Ok(Answer::value(200, &success()))
            }
            "create" => {
                let body = self.json_body(PROJECT_REQUESTS.kind)?;
                let bind = self.okd.options().bind_requester;
                let (stored, warnings) =
                    self.write(|state, writer| projects::request(&mut state.store, body, bind, writer))?;
                self.okd.note_birth(&stored.key.name);
                let answer = self.written(PROJECTS, 201, &stored, warnings);
                self.okd.changed(NAMESPACES, "", &stored.key.name);
                answer
            }
            _ => Err(ApiError::no_resource()),
        }
    }

    fn create_token(&self) -> Result<Answer> {
        let mut body = self.json_body("TokenRequest")?;
        let seconds = reviews::token_seconds(&body)?;
        let (namespace, name) = (&self.target.namespace, &self.target.name);
        let account = self.okd.lock().store.get(SERVICE_ACCOUNTS, namespace, name).cloned();
        let account = account.ok_or_else(|| ApiError::not_found(SERVICE_ACCOUNTS, name))?;
        let expires = self
            .okd
            .now()
            .saturating_add(jiff::SignedDuration::from_secs(seconds))
            .unwrap_or(jiff::Timestamp::MAX);
        let user = User::service_account(namespace, name, &account.uid);
        let audience = body["spec"]["audiences"][0].as_str().unwrap_or(AUDIENCE).to_owned();
        let token = self.okd.issue_bound(&user, &audience, expires);
        body["kind"] = "TokenRequest".into();
        body["apiVersion"] = "authentication.k8s.io/v1".into();
        body["status"] = json!({
            "token": token, "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
        Ok(Answer::value(201, &body))
    }

    pub(super) fn update(&self, kind: &'static Kind) -> Result<Answer> {
        if self.target.subresource == "scale" {
            return self.scale(kind);
        }
        self.check_subresource(kind)?;
        let mut body = self.json_body(kind.kind)?;
        let ((stored, created), warnings) = self.write(|state, writer| {
            if kind == PROJECTS {
                return projects::update(&mut state.store, &self.target.name, body, writer)
                    .map(|stored| (stored, false));
            }
            objects::take_type(kind, &mut body)?;
            objects::update(&mut state.store, kind, &self.key(kind), &self.target.subresource, body, writer)
        })?;
        let answer = self.written(kind, if created { 201 } else { 200 }, &stored, warnings);
        self.settle(if kind == PROJECTS { NAMESPACES } else { kind }, &stored);
        answer
    }

    fn read_patch(&self) -> Result<Patch> {
        let apply = match self.content_type() {
            "application/merge-patch+json" => return self.json_body("patch").map(Patch::Merge),
            "application/strategic-merge-patch+json" => return self.json_body("patch").map(Patch::Strategic),
            "application/json-patch+json" => return self.json_body("patch").map(Patch::Json),
            "application/apply-patch+yaml" | "application/apply-patch+json" => self.json_body("patch")?,
            _ => return Err(ApiError::unsupported_patch()),
        };
        if self.query.get("fieldManager").is_none() {
            let cause = status::Cause::required("fieldManager", "is required for apply patch");
            return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
        }
        Ok(Patch::Apply { config: apply, force: self.query.get("force") == Some("true") })
    }

    pub(super) fn patch(&self, kind: &'static Kind) -> Result<Answer> {
        if self.target.subresource == "scale" {
            return self.scale(kind);
        }
        self.check_subresource(kind)?;
        let patch = self.read_patch()?;
        let ((stored, created), warnings) = self.write(|state, writer| {
            if kind == PROJECTS {
                return projects::patch(&mut state.store, &self.target.name, patch, writer)
                    .map(|stored| (stored, false));
            }
            objects::patch(&mut state.store, kind, &self.key(kind), &self.target.subresource, patch, writer)
        })?;
        let stored_as = if kind == PROJECTS { NAMESPACES } else { kind };
        if created && stored_as == NAMESPACES && !self.query.dry_run() {
            self.okd.note_birth(&stored.key.name);
        }
        let answer = self.written(kind, if created { 201 } else { 200 }, &stored, warnings);
        self.settle(stored_as, &stored);
        answer
    }

    /// The `scale` subresource, as a view on `spec.replicas`.
    pub(super) fn scale(&self, kind: &'static Kind) -> Result<Answer> {
        self.check_subresource(kind)?;
        let key = self.key(kind);
        let show = |stored: &Stored| {
            let object = stored.value();
            json!({
                "kind": "Scale", "apiVersion": "autoscaling/v1",
                "metadata": {
                    "name": &*stored.key.name, "namespace": &*stored.key.namespace, "uid": &*stored.uid,
                    "resourceVersion": stored.version.to_string(),
                },
                "spec": {"replicas": object["spec"]["replicas"]},
                "status": {"replicas": object["status"]["replicas"].as_u64().unwrap_or(0)},
            })
        };
        let live = self.okd.lock().store.table(kind).get(&key).cloned();
        let live = live.ok_or_else(|| ApiError::not_found(kind, &self.target.name))?;
        let mut scale = show(&live);
        match self.method {
            Method::PUT => scale = self.json_body("Scale")?,
            Method::PATCH => objects::patched(&mut scale, &self.read_patch()?)?,
            _ => return Ok(Answer::value(200, &scale)),
        }
        let change = Patch::Merge(json!({"spec": {"replicas": scale["spec"]["replicas"]}}));
        let ((stored, _), warnings) =
            self.write(|state, writer| objects::patch(&mut state.store, kind, &key, "", change, writer))?;
        Ok(Answer::value(200, &show(&stored)).with(warnings))
    }

    fn delete_options(&self) -> Result<DeleteOptions> {
        let body = if self.body.is_empty() { json!({}) } else { self.json_body("DeleteOptions")? };
        let text =
            |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let dry_run = body["dryRun"].as_array().is_some_and(|list| list.contains(&json!("All")));
        Ok(DeleteOptions {
            uid: text("/preconditions/uid"),
            version: text("/preconditions/resourceVersion"),
            dry_run: dry_run || self.query.dry_run(),
        })
    }

    pub(super) fn delete(&self, kind: &'static Kind) -> Result<Answer> {
        self.check_subresource(kind)?;
        let options = self.delete_options()?;
        let stored_as = if kind == PROJECTS { NAMESPACES } else { kind };
        let (deleted, _) = self.write(|state, writer| {
            objects::delete(&mut state.store, stored_as, &self.key(kind), &options, writer.now)
        })?;
        let answer = if kind == PROJECTS {
            Ok(Answer::value(200, &success()))
        } else if kind.returns_deleted || !deleted.gone {
            self.written(kind, 200, &deleted.last, Vec::new())
        } else {
            Ok(Answer::value(200, &deletion(kind, &deleted)))
        };
        if !options.dry_run {
            self.settle(stored_as, &deleted.last);
        }
        answer
    }

    pub(super) fn delete_collection(&self, kind: &'static Kind) -> Result<Answer> {
        let options = self.delete_options()?;
        if kind == PROJECTS || kind == NAMESPACES || (kind.namespaced && self.target.namespace.is_empty()) {
            return Err(ApiError::method_not_allowed());
        }
        let selection = Selection::parse(kind, &self.target.namespace, &self.query)?;
        let (page, _) = self.write(|state, writer| {
            let page = list::select(&state.store, kind, &selection, &self.query)?;
            for stored in &page.items {
                objects::delete(&mut state.store, kind, &stored.key, &options, writer.now)?;
            }
            Ok(page)
        })?;
        if let Some(first) = page.items.first()
            && !options.dry_run
        {
            self.settle(kind, first);
        }
        Ok(Answer::json(200, list::answer(kind, &page, self.form()?, self.okd.now())))
    }

    /// Runs one transaction under the lock, then what follows from it.
    fn write<T>(
        &self,
        write: impl FnOnce(&mut State, &mut Writer<'_>) -> Result<T>,
    ) -> Result<(T, Vec<String>)> {
        let (now, manager) = (self.okd.now_text(), self.manager());
        let unknown = match self.query.get("fieldValidation") {
            Some("Strict") => Unknown::Refuse,
            Some("Ignore") => Unknown::Ignore,
            _ => Unknown::Warn,
        };
        let mut writer = Writer {
            user: &self.user,
            manager: &manager,
            dry_run: self.query.dry_run(),
            unknown,
            now: &now,
            warnings: Vec::new(),
        };
        let result = write(&mut self.okd.lock(), &mut writer)?;
        Ok((result, writer.warnings))
    }

    fn settle(&self, kind: &Kind, stored: &Stored) {
        if !self.query.dry_run() {
            self.okd.changed(kind, &stored.key.namespace, &stored.key.name);
        }
    }

    fn manager(&self) -> String {
        let agent =
            self.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("unknown");
        self.query.get("fieldManager").unwrap_or_else(|| agent.split('/').next().unwrap_or(agent)).to_owned()
    }
}

fn success() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
}

fn deletion(kind: &Kind, deleted: &Deleted) -> Value {
    let mut body = success();
    body["details"] =
        json!({"name": &*deleted.last.key.name, "kind": kind.plural, "uid": &*deleted.last.uid});
    if !kind.group.is_empty() {
        body["details"]["group"] = kind.group.into();
    }
    body
}
