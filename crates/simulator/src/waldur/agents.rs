//! Agent identities, services and processors (Waldur contract §6.2); current generation only.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::model::{AgentIdentity, AgentProcessor, AgentService};
use super::request::{Method, hex, parse_uuid};

/// What the agent tells about itself, beside name and offering.
const SENT: [&str; 5] =
    ["version", "dependencies", "config_file_path", "config_file_content", "last_restarted"];

impl Call<'_> {
    pub(crate) fn identities(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let asked = self.offerings_asked()?;
                let name = self.request.query.get("name");
                let rows: Vec<&AgentIdentity> = self
                    .state
                    .identities
                    .iter()
                    .filter(|row| asked.contains(&row.offering) && name.is_none_or(|name| name == row.name))
                    .collect();
                self.page(&rows, |view, row, fields| view.identity(row, fields))
            }
            [] if self.posts() => self.create_identity(),
            [id] if self.reads() => {
                let identity = self.identity(id)?;
                Ok(Answer::ok(self.view().identity(identity, &self.fields())))
            }
            [id] if matches!(self.method(), Method::Put | Method::Patch) => self.update_identity(id),
            [id] if self.method() == Method::Delete => {
                let uuid = self.identity(id)?.uuid;
                self.state.identities.remove(uuid);
                Ok(Answer::deleted())
            }
            [id, action] if self.posts() => {
                let identity = self.identity(id)?.clone();
                match *action {
                    "register_service" => self.register_service(&identity),
                    "register_event_subscription" => self.register_event_subscription(),
                    "register_queue" => self.register_queue(&identity),
                    _ => Err(Answer::no_route()),
                }
            }
            [] | [_] | [_, _] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn identity(&self, id: &str) -> Result<&AgentIdentity, Answer> {
        let identity = parse_uuid(id).and_then(|uuid| self.state.identities.get(uuid));
        identity
            .filter(|row| self.state.provides(self.actor, row.offering))
            .ok_or_else(|| Answer::no_object("AgentIdentity"))
    }

    fn sent(&self) -> Map<String, Value> {
        let mut body = self.request.object();
        body.retain(|name, _| SENT.contains(&name.as_str()));
        body
    }

    fn name_and_offering(&self) -> Result<(String, Uuid), Answer> {
        let name = self.request.required("name")?.to_owned();
        if name.chars().count() > 150 {
            return Err(Answer::bad_field("name", "Ensure this field has no more than 150 characters."));
        }
        let offering = self.request.reference("offering");
        let offering = offering.ok_or_else(|| Answer::bad_field("offering", "This field is required."))?;
        if self.state.offerings.get(offering).is_none() {
            return Err(Answer::bad_field("offering", "Object does not exist."));
        }
        if !self.state.provides(self.actor, offering) {
            return Err(Answer::forbidden());
        }
        Ok((name, offering))
    }

    fn create_identity(&mut self) -> Outcome {
        let (name, offering) = self.name_and_offering()?;
        if self.state.identities.iter().any(|row| row.offering == offering && row.name == name) {
            let message = "The fields offering, name must make a unique set.";
            return Err(Answer::bad_field("non_field_errors", message));
        }
        let now = self.state.now();
        let uuid = self.state.draw_uuid();
        let row = AgentIdentity {
            uuid,
            offering,
            created_by: self.actor.user,
            name,
            sent: self.sent(),
            created: now,
            modified: now,
        };
        self.state.identities.insert(row);
        self.show_identity(uuid, true)
    }

    fn update_identity(&mut self, id: &str) -> Outcome {
        let uuid = self.identity(id)?.uuid;
        let (name, offering) = self.name_and_offering()?;
        let (sent, now) = (self.sent(), self.state.now());
        self.state.identities.update(uuid, |row| {
            row.name = name;
            row.offering = offering;
            row.sent = sent;
            row.modified = now;
        });
        self.show_identity(uuid, false)
    }

    fn show_identity(&self, uuid: Uuid, created: bool) -> Outcome {
        let row = self.state.identities.get(uuid).ok_or_else(Answer::server_error)?;
        let body = self.view().identity(row, &self.fields());
        Ok(if created { Answer::created(body) } else { Answer::ok(body) })
    }

    /// By (identity, name): 201 the first time, 200 afterwards.
    fn register_service(&mut self, identity: &AgentIdentity) -> Outcome {
        let name = self.request.required("name")?.to_owned();
        let mode = self.request.required("mode")?.to_owned();
        let now = self.state.now();
        let known = self
            .state
            .services
            .select(&[identity.uuid], &[])
            .iter()
            .find(|row| row.name == name)
            .map(|r| r.uuid);
        let uuid = match known {
            Some(uuid) => {
                self.state.services.update(uuid, |row| {
                    row.mode = mode;
                    row.modified = now;
                });
                uuid
            }
            None => {
                let uuid = self.state.draw_uuid();
                let statistics = json!({});
                let identity = identity.uuid;
                let row =
                    AgentService { uuid, identity, name, mode, statistics, created: now, modified: now };
                self.state.services.insert(row)
            }
        };
        let row = self.state.services.get(uuid).ok_or_else(Answer::server_error)?;
        let body = self.view().agent_service(row, &self.fields());
        Ok(if known.is_some() { Answer::ok(body) } else { Answer::created(body) })
    }

    pub(crate) fn agent_services(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let rows: Vec<&AgentService> = self
                    .state
                    .services
                    .iter()
                    .filter(|row| self.identity(&hex(row.identity)).is_ok())
                    .collect();
                self.page(&rows, |view, row, fields| view.agent_service(row, fields))
            }
            [id] if self.reads() => {
                let row = self.agent_service(id)?;
                Ok(Answer::ok(self.view().agent_service(row, &self.fields())))
            }
            [id, "register_processor"] if self.posts() => {
                let service = self.agent_service(id)?.uuid;
                self.register_processor(service)
            }
            [id, "set_statistics"] if self.posts() => {
                let service = self.agent_service(id)?.uuid;
                let statistics = self.request.body.get("statistics").cloned().unwrap_or_default();
                self.state.services.update(service, |row| row.statistics = statistics);
                let row = self.state.services.get(service).ok_or_else(Answer::server_error)?;
                Ok(Answer::ok(self.view().agent_service(row, &self.fields())))
            }
            [] | [_] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn agent_service(&self, id: &str) -> Result<&AgentService, Answer> {
        let service = parse_uuid(id).and_then(|uuid| self.state.services.get(uuid));
        service
            .filter(|row| self.identity(&hex(row.identity)).is_ok())
            .ok_or_else(|| Answer::no_object("AgentService"))
    }

    /// By (service, name); every call counts as a run.
    fn register_processor(&mut self, service: Uuid) -> Outcome {
        let name = self.request.required("name")?.to_owned();
        let backend_type = self.request.required("backend_type")?.to_owned();
        let backend_version = self.request.text("backend_version").unwrap_or_default().to_owned();
        let now = self.state.now();
        let rows = self.state.processors.select(&[service], &[]);
        let known = rows.iter().find(|row| row.name == name).map(|row| row.uuid);
        let uuid = match known {
            Some(uuid) => {
                self.state.processors.update(uuid, |row| {
                    row.backend_type = backend_type;
                    row.backend_version = backend_version;
                    row.last_run = now;
                    row.modified = now;
                });
                uuid
            }
            None => {
                let uuid = self.state.draw_uuid();
                self.state.processors.insert(AgentProcessor {
                    uuid,
                    service,
                    name,
                    backend_type,
                    backend_version,
                    last_run: now,
                    created: now,
                    modified: now,
                })
            }
        };
        let row = self.state.processors.get(uuid).ok_or_else(Answer::server_error)?;
        let body = self.view().processor(row, &self.fields());
        Ok(if known.is_some() { Answer::ok(body) } else { Answer::created(body) })
    }

    pub(crate) fn agent_processors(&self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => {
                let rows: Vec<&AgentProcessor> = self
                    .state
                    .processors
                    .iter()
                    .filter(|row| self.agent_service(&hex(row.service)).is_ok())
                    .collect();
                self.page(&rows, |view, row, fields| view.processor(row, fields))
            }
            [] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    /// Log records of agents, at most 100 in one request.
    pub(crate) fn agent_log_records(&mut self) -> Outcome {
        if !self.posts() {
            return self.no_method();
        }
        let records = self.request.body.as_array().cloned();
        let records =
            records.ok_or_else(|| Answer::bad_field("non_field_errors", "Expected a list of items."))?;
        self.state.agent_logs.extend(records);
        Ok(Answer::created_empty())
    }
}
