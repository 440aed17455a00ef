//! Importable resources: requests of the portal and what the agent offers (Waldur contract §3.9).

use uuid::Uuid;

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::filter::{self, among};
use super::model::{BackendResource, BackendResourceRequest};
use super::request::{Method, parse_uuid};
use super::wire::ImportRequestState;

impl Call<'_> {
    pub(crate) fn backend_resources(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let query = &self.request.query;
                let offerings = self.offerings_asked()?;
                let projects = query.uuids("project_uuid")?;
                let rows: Vec<&BackendResource> = self
                    .state
                    .backend_resources
                    .iter()
                    .filter(|row| offerings.contains(&row.offering) && among(&projects, row.project))
                    .filter(|row| query.get("backend_id").is_none_or(|id| id == row.backend_id))
                    .filter(|row| query.get("name").is_none_or(|name| name == row.name))
                    .collect();
                self.page(&rows, |view, row, fields| view.backend_resource(row, fields))
            }
            [] if self.posts() => self.offer_backend_resource(),
            [id] if self.reads() => {
                let row = self.backend_resource(id)?;
                Ok(Answer::ok(self.view().backend_resource(row, &self.fields())))
            }
            [id] if self.method() == Method::Delete => {
                let uuid = self.backend_resource(id)?.uuid;
                self.state.backend_resources.remove(uuid);
                Ok(Answer::deleted())
            }
            [] | [_] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn backend_resource(&self, id: &str) -> Result<&BackendResource, Answer> {
        let row = parse_uuid(id).and_then(|uuid| self.state.backend_resources.get(uuid));
        row.filter(|row| self.state.provides(self.actor, row.offering))
            .ok_or_else(|| Answer::no_object("BackendResource"))
    }

    fn offer_backend_resource(&mut self) -> Outcome {
        let request = self.request;
        let reference = |name: &str| {
            request.reference(name).ok_or_else(|| Answer::bad_field(name, "This field is required."))
        };
        let (offering, project) = (reference("offering")?, reference("project")?);
        if !self.state.provides(self.actor, offering) {
            return Err(Answer::forbidden());
        }
        if self.state.projects.get(project).is_none() {
            return Err(Answer::bad_field("project", "Object does not exist."));
        }
        let (name, backend_id) =
            (request.required("name")?.to_owned(), request.required("backend_id")?.to_owned());
        let taken = |row: &&BackendResource| row.offering == offering && row.backend_id == backend_id;
        if self.state.backend_resources.iter().any(|row| taken(&row)) {
            let message = "The fields offering, backend_id must make a unique set.";
            return Err(Answer::bad_field("non_field_errors", message));
        }
        let now = self.state.now();
        let uuid = self.state.draw_uuid();
        self.state.backend_resources.insert(BackendResource {
            uuid,
            offering,
            project,
            name,
            backend_id,
            backend_metadata: request.body.get("backend_metadata").cloned().unwrap_or_default(),
            created: now,
            modified: now,
        });
        let row = self.state.backend_resources.get(uuid).ok_or_else(Answer::server_error)?;
        Ok(Answer::created(self.view().backend_resource(row, &self.fields())))
    }

    pub(crate) fn backend_resource_requests(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let offerings = self.offerings_asked()?;
                let number = |text: &str| ImportRequestState::parse(text).map(|state| state as u8);
                let states = filter::states(&self.request.query, "state", number)?;
                let rows: Vec<&BackendResourceRequest> = self
                    .state
                    .backend_resource_requests
                    .select(&[], &states)
                    .into_iter()
                    .filter(|row| offerings.contains(&row.offering))
                    .collect();
                self.page(&rows, |view, row, fields| view.backend_resource_request(row, fields))
            }
            [id] if self.reads() => {
                let row = self.backend_resource_request(id)?;
                Ok(Answer::ok(self.view().backend_resource_request(row, &self.fields())))
            }
            [id, action] if self.posts() => {
                let row = self.backend_resource_request(id)?.clone();
                self.advance_request(&row, action)
            }
            [] | [_] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn backend_resource_request(&self, id: &str) -> Result<&BackendResourceRequest, Answer> {
        let row = parse_uuid(id).and_then(|uuid| self.state.backend_resource_requests.get(uuid));
        row.filter(|row| self.state.provides(self.actor, row.offering))
            .ok_or_else(|| Answer::no_object("BackendResourceRequest"))
    }

    fn advance_request(&mut self, row: &BackendResourceRequest, action: &str) -> Outcome {
        use ImportRequestState as S;
        let (sources, target): (&[S], S) = match action {
            "start_processing" => (&[S::Sent], S::Processing),
            "set_done" => (&[S::Processing], S::Done),
            "set_erred" => (&[S::Sent, S::Processing], S::Erred),
            _ => return Err(Answer::no_route()),
        };
        if !sources.contains(&row.state) {
            return Err(Answer::wrong_state(sources));
        }
        let text = |name: &str| self.request.text(name).unwrap_or_default().to_owned();
        let (message, traceback, now) = (text("error_message"), text("error_traceback"), self.state.now());
        self.set_request_state(row.uuid, target, now, (message, traceback));
        Ok(Answer::status("Backend resource request state has been changed."))
    }

    fn set_request_state(
        &mut self,
        uuid: Uuid,
        to: ImportRequestState,
        now: jiff::Timestamp,
        (message, traceback): (String, String),
    ) {
        self.state.backend_resource_requests.update(uuid, |row| {
            row.state = to;
            row.modified = now;
            match to {
                ImportRequestState::Processing => row.started = Some(now),
                ImportRequestState::Sent => {}
                ImportRequestState::Done | ImportRequestState::Erred => row.finished = Some(now),
            }
            row.error_message = message;
            row.error_traceback = traceback;
        });
    }
}
