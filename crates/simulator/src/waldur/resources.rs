//! `marketplace-provider-resources` and `marketplace-resources` (Waldur contract §8, waldur-2024-server.md §4).

use serde_json::{Value, json};

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::event::Event;
use super::filter::{self, Span, among};
use super::lists::{Basis, Rows};
use super::model::Resource;
use super::state::State;
use super::wire::{OrderState, ResourceState};

impl Call<'_> {
    pub(crate) fn provider_resources(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => self.list_provided(),
            [id] if self.reads() => self.show_resource(self.provider_resource(id)?),
            [id] if self.method() == super::request::Method::Patch => self.patch_resource(id),
            [id, "team"] if self.reads() => {
                let resource = self.provider_resource(id)?;
                Ok(Answer::ok(self.view().team(resource.project, resource.offering, &self.fields())))
            }
            [id, "plan_periods"] if self.reads() => {
                Ok(Answer::ok(self.view().plan_periods(self.provider_resource(id)?)))
            }
            [id, "details"] if self.reads() => self.allocation_details(id),
            [id, action] if self.posts() => {
                let resource = self.provider_resource(id)?.clone();
                self.provider_action(&resource, action)
            }
            [] | [_] | [_, _] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    pub(crate) fn consumer_resources(&mut self, path: &[&str]) -> Outcome {
        match path {
            [] if self.reads() => self.list_consumed(),
            [id] if self.reads() => self.show_resource(self.consumer_resource(id)?),
            [id, "team"] if self.reads() => {
                let resource = self.consumer_resource(id)?;
                Ok(Answer::ok(self.view().team(resource.project, resource.offering, &self.fields())))
            }
            [id, "plan_periods"] if self.reads() => {
                Ok(Answer::ok(self.view().plan_periods(self.consumer_resource(id)?)))
            }
            [_, action] if self.posts() && !CONSUMER_ACTIONS.contains(action) => Err(Answer::no_route()),
            [id, action] if self.posts() => {
                let resource = self.consumer_resource(id)?.clone();
                self.consumer_action(&resource, action)
            }
            [] | [_] | [_, _] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    /// Those that a provider sees, by its offerings.
    fn list_provided(&self) -> Outcome {
        let provided = self.state.provided_offerings(self.actor);
        let State { resources, projects, .. } = &*self.state;
        let basis = Basis { changes: resources.changes() + projects.changes(), seen: provided.clone() };
        let find = || {
            let found = self.find_resources(|resource| provided.contains(&resource.offering))?;
            Ok(Rows { uuids: found.iter().map(|row| row.uuid).collect(), until: None })
        };
        let rows = self.rows(basis, find)?;
        self.page_of(&rows, resources, |view, resource, fields| view.listed_resource(resource, fields))
    }

    /// Those that a customer sees.
    fn list_consumed(&self) -> Outcome {
        let rows = self.find_resources(|resource| self.state.consumes(self.actor, resource))?;
        self.page(&rows, |view, resource, fields| view.listed_resource(resource, fields))
    }

    fn find_resources(&self, visible: impl Fn(&Resource) -> bool) -> Result<Vec<&Resource>, Answer> {
        let query = &self.request.query;
        let offerings = query.uuids("offering_uuid")?;
        let states =
            filter::states(query, "state", |text| ResourceState::parse(text).map(|state| state as u8))?;
        let projects = query.uuids("project_uuid")?;
        let customers = query.uuids("customer_uuid")?;
        let plans = query.uuids("plan_uuid")?;
        let (modified, created) = (Span::of(query, "modified")?, Span::of(query, "created")?);
        let text_filter = |name: &str, value: &str| query.get(name).is_none_or(|wanted| wanted == value);
        let flag_filter = |name: &str, value: bool| query.flag(name).is_none_or(|wanted| wanted == value);
        let words = query.get("query").or(query.get("name")).map(str::to_lowercase);
        let candidates: Vec<&Resource> = match projects.as_slice() {
            [project] => {
                self.state.resources_in(*project).filter(|row| among(&offerings, row.offering)).collect()
            }
            _ => self.state.resources.select(&offerings, &states),
        };
        let resources = candidates
            .into_iter()
            .filter(|row| among(&projects, row.project))
            .filter(|row| states.is_empty() || states.contains(&(row.state as u8)))
            .filter(|row| plans.is_empty() || row.plan.is_some_and(|plan| plans.contains(&plan)))
            .filter(|row| text_filter("backend_id", &row.backend_id) && text_filter("slug", &row.slug))
            .filter(|row| text_filter("name_exact", &row.name))
            .filter(|row| words.as_ref().is_none_or(|words| row.name.to_lowercase().contains(words)))
            .filter(|row| flag_filter("paused", row.paused) && flag_filter("downscaled", row.downscaled))
            .filter(|row| flag_filter("restrict_member_access", row.restrict_member_access))
            .filter(|row| modified.holds(row.modified) && created.holds(row.created))
            .filter(|row| {
                customers.is_empty()
                    || self
                        .state
                        .projects
                        .get(row.project)
                        .is_some_and(|row| customers.contains(&row.customer))
            })
            .filter(|row| visible(row));
        Ok(resources.collect())
    }

    fn show_resource(&self, resource: &Resource) -> Outcome {
        Ok(Answer::ok(self.view().resource(resource, &self.fields())))
    }

    /// Takes name, description and end date; everything else is ignored without a word (measurement 186).
    fn patch_resource(&mut self, id: &str) -> Outcome {
        let uuid = self.provider_resource(id)?.uuid;
        let body = self.request.object();
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let (name, description) = (text("name"), text("description"));
        let end_date = body.get("end_date").map(|value| value.as_str().map(str::to_owned));
        self.state.change_resource(uuid, |resource| {
            resource.name = name.unwrap_or_else(|| resource.name.clone());
            resource.description = description.unwrap_or_else(|| resource.description.clone());
            if let Some(end_date) = end_date {
                resource.end_date = end_date;
            }
        });
        let resource = self.state.resources.get(uuid).ok_or_else(Answer::server_error)?;
        Ok(Answer::ok(json!({
            "name": resource.name, "description": resource.description, "end_date": resource.end_date,
        })))
    }

    fn allocation_details(&self, id: &str) -> Outcome {
        let resource = self.provider_resource(id)?;
        let Some(allocation) = resource.allocation else { return Ok(Answer::deleted()) };
        Ok(Answer::ok(json!({
            "url": self.view().url("slurm-allocations", allocation.uuid),
            "uuid": super::request::hex(allocation.uuid),
            "name": resource.name,
            "resource_type": "SLURM.Allocation",
            "state": allocation.state.as_str(),
            "backend_id": "",
            "marketplace_resource_uuid": super::request::hex(resource.uuid),
            "marketplace_resource_state": resource.state.as_str(),
        })))
    }

    fn provider_action(&mut self, resource: &Resource, action: &str) -> Outcome {
        let is_2024 = self.state.is_2024();
        match action {
            "set_backend_id" => self.set_backend_id(resource),
            "set_backend_metadata" => {
                self.store(resource, "backend_metadata", "The backend metadata is updated", |row, value| {
                    row.backend_metadata = value;
                })
            }
            "submit_report" => self.submit_report(resource),
            "set_end_date_by_provider" => self.set_end_date_by_provider(resource),
            "set_as_erred" => self.set_as_erred(resource),
            "terminate" => self.terminate_by_provider(resource),
            "set_limits" if !is_2024 => self.set_limits(resource),
            "set_endpoints" if !is_2024 => {
                self.store(resource, "endpoints", "The endpoints are updated", |row, value| {
                    row.endpoints = value
                })
            }
            "set_effective_id" if !is_2024 => self.set_effective_id(resource),
            "refresh_last_sync" if !is_2024 => {
                let now = self.state.now();
                self.state.change_resource(resource.uuid, |row| row.last_sync = now);
                Ok(Answer::empty())
            }
            "set_as_ok" | "set_state_ok" if !is_2024 => self.set_as_ok(resource, action),
            "set_membership_sync_statuses" if !is_2024 => self.set_membership_sync_statuses(resource),
            "sync_user_roles" if !is_2024 => self.sync_user_roles(resource),
            "set_paused" | "set_downscaled" | "set_restrict_member_access" if !is_2024 => {
                self.set_flag(resource, action)
            }
            "restore" if !is_2024 => self.restore(resource),
            "set_slug" if !is_2024 => self.set_slug(resource),
            _ => Err(Answer::no_route()),
        }
    }

    fn consumer_action(&mut self, resource: &Resource, action: &str) -> Outcome {
        match action {
            "update_limits" => self.update_limits(resource),
            "switch_plan" => self.switch_plan(resource),
            "terminate" => {
                let state = self.state_of_change(resource)?;
                self.terminate(resource, state)
            }
            "set_slug" => self.set_slug(resource),
            _ if self.state.is_2024() => Err(Answer::no_route()),
            "restore" => self.restore(resource),
            _ => self.set_flag(resource, action),
        }
    }

    /// A missing key is a server error in 2024 (measurement 080).
    fn set_backend_id(&mut self, resource: &Resource) -> Outcome {
        let new = match self.request.text("backend_id") {
            Some(text) => text.to_owned(),
            None if self.state.is_2024() => return Err(Answer::server_error()),
            None => return Err(Answer::bad_field("backend_id", "This field is required.")),
        };
        if new == resource.backend_id {
            return Ok(Answer::status("Resource backend_id is not changed."));
        }
        self.state.change_resource(resource.uuid, |row| row.backend_id = new);
        Ok(Answer::status("Resource backend_id has been changed."))
    }

    /// Stores one field of the body as it is.
    fn store(
        &mut self,
        resource: &Resource,
        field: &str,
        answer: &str,
        put: impl FnOnce(&mut Resource, Value),
    ) -> Outcome {
        let value = self.request.body.get(field).cloned();
        let value = value.ok_or_else(|| Answer::bad_field(field, "This field is required."))?;
        self.state.change_resource(resource.uuid, |row| put(row, value));
        Ok(Answer::status(answer))
    }

    fn submit_report(&mut self, resource: &Resource) -> Outcome {
        let sections = self.request.body.get("report").and_then(Value::as_array);
        let complete = |section: &Value| section.get("header").is_some() && section.get("body").is_some();
        if sections.is_none_or(|sections| sections.is_empty() || !sections.iter().all(complete)) {
            return Err(Answer::bad_field(
                "report",
                "Report should be a list of sections with header and body.",
            ));
        }
        self.store(resource, "report", "Report is submitted", |row, value| row.report = value)
    }

    /// Only for a resource that was not used in the last 90 days (measurement 197).
    fn set_end_date_by_provider(&mut self, resource: &Resource) -> Outcome {
        let end_date = self.request.required("end_date")?.to_owned();
        let now = self.state.now();
        let usages = self.state.usages.select(&[resource.uuid], &[]);
        let lately = |at: jiff::Timestamp| now.duration_since(at) < jiff::SignedDuration::from_hours(90 * 24);
        if usages.iter().any(|usage| lately(usage.date)) {
            return Err(Answer::bad_field(
                "end_date",
                "Service provider can not set end date of the resource which has been used for the last 90 days.",
            ));
        }
        self.state.change_resource(resource.uuid, |row| {
            row.end_date = Some(end_date);
            row.end_date_updated_at = Some(now);
        });
        Ok(Answer::empty())
    }

    /// Staff only and without a message in 2024 (measurement 092).
    fn set_as_erred(&mut self, resource: &Resource) -> Outcome {
        let is_2024 = self.state.is_2024();
        if is_2024 {
            self.staff_only()?;
        }
        let text = |name: &str| self.request.text(name).unwrap_or_default().to_owned();
        let (message, traceback) = (text("error_message"), text("error_traceback"));
        self.state.change_resource(resource.uuid, |row| {
            row.state = ResourceState::Erred;
            if !is_2024 {
                row.error_message = message;
                row.error_traceback = traceback;
            }
        });
        Ok(Answer::empty())
    }

    fn set_as_ok(&mut self, resource: &Resource, action: &str) -> Outcome {
        self.state.change_resource(resource.uuid, |row| {
            row.state = ResourceState::Ok;
            row.error_message.clear();
            row.error_traceback.clear();
        });
        Ok(if action == "set_as_ok" { Answer::empty() } else { Answer::status("Resource state is OK.") })
    }

    fn set_limits(&mut self, resource: &Resource) -> Outcome {
        let limits = self.request.body.get("limits").cloned().unwrap_or(Value::Null);
        let Some(map) = limits.as_object() else {
            return Err(Answer::bad_field("limits", "This field is required."));
        };
        let offering = self.state.offerings.get(resource.offering).ok_or_else(Answer::server_error)?;
        let unknown: Vec<&String> = map.keys().filter(|kind| offering.component(kind).is_none()).collect();
        if let Some(kind) = unknown.first() {
            return Err(Answer::bad_field("limits", &format!("Invalid types: {kind}")));
        }
        self.state.change_resource(resource.uuid, |row| row.limits = limits);
        Ok(Answer::status("Limits are successfully set."))
    }

    fn set_effective_id(&mut self, resource: &Resource) -> Outcome {
        let id = self.request.required("effective_id")?.to_owned();
        self.state.change_resource(resource.uuid, |row| row.effective_id = id);
        Ok(Answer::status("Resource effective_id has been changed."))
    }

    fn set_slug(&mut self, resource: &Resource) -> Outcome {
        self.staff_only()?;
        let slug = self.request.required("slug")?.to_owned();
        self.state.change_resource(resource.uuid, |row| row.slug = slug);
        Ok(Answer::ok(json!("Resource slug has been changed.")))
    }

    /// `set_paused`, `set_downscaled`, `set_restrict_member_access`: staff only.
    fn set_flag(&mut self, resource: &Resource, action: &str) -> Outcome {
        self.staff_only()?;
        let name = action.trim_start_matches("set_");
        let Some(value) = self.request.body.get(name).and_then(Value::as_bool) else {
            return Err(Answer::bad_field(name, "This field is required."));
        };
        self.state.change_resource(resource.uuid, |row| match name {
            "paused" => row.paused = value,
            "downscaled" => row.downscaled = value,
            _ => row.restrict_member_access = value,
        });
        Ok(Answer::ok(json!({ "status": format!("Resource {name} has been changed.") })))
    }

    fn terminate_by_provider(&mut self, resource: &Resource) -> Outcome {
        if !self.state.decides_orders(self.actor, resource.offering) {
            return Err(Answer::forbidden());
        }
        self.terminate(resource, OrderState::PendingProvider)
    }

    /// Replaces what is known about the resource's grants; 409 where the offering has not opted in.
    fn set_membership_sync_statuses(&mut self, resource: &Resource) -> Outcome {
        let options = self.state.offerings.get(resource.offering).map(|offering| &offering.plugin_options);
        if options.and_then(|options| options.get("enable_membership_sync_status"))
            != Some(&Value::Bool(true))
        {
            return Err(Answer::conflict("Membership sync status is not enabled for this offering."));
        }
        let statuses = self.request.body.get("statuses").and_then(Value::as_array).cloned();
        let statuses = statuses.ok_or_else(|| Answer::bad_field("statuses", "This field is required."))?;
        let known = |status: &Value| {
            let username = status.get("username").and_then(Value::as_str);
            let user = status.get("user_uuid").and_then(Value::as_str).and_then(super::request::parse_uuid);
            self.state.offering_users.select(&[resource.offering], &[]).iter().any(|row| {
                username.is_some_and(|username| row.username == username) || user == Some(row.user)
            })
        };
        let (stored, skipped): (Vec<Value>, Vec<Value>) = statuses.into_iter().partition(known);
        let count = stored.len();
        self.state.change_resource(resource.uuid, |row| row.membership_sync_statuses = stored);
        Ok(Answer::ok(json!({ "stored": count, "skipped": skipped })))
    }

    /// Asks the agent to look at the resource's team, once in 30 seconds.
    fn sync_user_roles(&mut self, resource: &Resource) -> Outcome {
        let now = self.state.now();
        let recently = |at: jiff::Timestamp| now.duration_since(at) < jiff::SignedDuration::from_secs(30);
        if resource.last_role_sync.is_some_and(recently) {
            return Err(Answer::throttled());
        }
        self.state.change_resource(resource.uuid, |row| row.last_role_sync = Some(now));
        self.state.tell(Event::role_sync(
            self.state,
            resource.offering,
            resource.project,
            Some(resource.uuid),
        ));
        Ok(Answer::accepted())
    }
}

const CONSUMER_ACTIONS: &[&str] = &[
    "update_limits",
    "switch_plan",
    "terminate",
    "restore",
    "set_slug",
    "set_paused",
    "set_downscaled",
    "set_restrict_member_access",
];
