//! What the 2024 server has beside the marketplace: the hidden SLURM allocation, and cost policies that set flags.

use serde_json::{Value, json};

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::model::{CostPolicy, User};
use super::render::time;
use super::request::{Method, hex, parse_uuid};
use super::wire::AllocationState;

impl Call<'_> {
    /// `marketplace-slurm-remote/{resource}/set_state/` and `set_limits/` (measurements 088, 089).
    pub(crate) fn slurm_remote(&mut self, path: &[&str]) -> Outcome {
        if !self.state.is_2024() {
            return Err(Answer::no_route());
        }
        let [id, action] = path else { return Err(Answer::no_route()) };
        if !self.posts() {
            return self.no_method();
        }
        let resource = self.provider_resource(id)?.uuid;
        match *action {
            "set_limits" => {
                let limits = self.request.body.clone();
                self.state.change_resource(resource, |row| row.limits = limits);
                Ok(Answer::status("Limits are successfully set."))
            }
            "set_state" => {
                let name = self.request.required("state")?;
                let state = match name.to_ascii_lowercase().as_str() {
                    "ok" => AllocationState::Ok,
                    "erred" => AllocationState::Erred,
                    _ => {
                        return Err(Answer::bad_field(
                            "state",
                            &format!("\"{name}\" is not a valid choice."),
                        ));
                    }
                };
                self.state.change_resource(resource, |row| row.set_allocation_state(state));
                Ok(Answer::ok(json!({ "detail": format!("Allocation state has been changed to {name}") })))
            }
            _ => Err(Answer::no_route()),
        }
    }

    /// `marketplace-project-estimated-cost-policies` (measurements 301-308).
    pub(crate) fn cost_policies(&mut self, path: &[&str]) -> Outcome {
        match path {
            ["actions"] if self.reads() => Ok(Answer::ok(json!(ACTIONS))),
            [] if self.reads() => {
                let rows: Vec<&CostPolicy> =
                    self.state.policies.iter().filter(|row| self.sees_policy(row)).collect();
                self.page(&rows, |view, row, _| view.cost_policy(row))
            }
            [] if self.posts() => self.create_policy(),
            [id] => {
                let policy = parse_uuid(id).and_then(|uuid| self.state.policies.get(uuid));
                let policy = policy.filter(|row| self.sees_policy(row));
                let uuid = policy.ok_or_else(|| Answer::no_object("ProjectEstimatedCostPolicy"))?.uuid;
                match self.method() {
                    Method::Get | Method::Head => {}
                    // What has fired stays set, also when the limit is raised or the policy goes.
                    Method::Patch => {
                        if let Some(limit) = self.request.body.get("limit_cost").and_then(Value::as_i64) {
                            self.state.policies.update(uuid, |row| row.limit_cost = limit);
                        }
                    }
                    Method::Delete => {
                        self.state.policies.remove(uuid);
                        return Ok(Answer::deleted());
                    }
                    Method::Post | Method::Put => return self.no_method(),
                }
                let row = self.state.policies.get(uuid).ok_or_else(Answer::server_error)?;
                Ok(Answer::ok(self.view().cost_policy(row)))
            }
            [] => self.no_method(),
            _ => Err(Answer::no_route()),
        }
    }

    fn sees_policy(&self, policy: &CostPolicy) -> bool {
        self.state.standing(self.actor, policy.project).is_some()
    }

    fn create_policy(&mut self) -> Outcome {
        let project = self.request.reference("scope");
        let project = project.ok_or_else(|| Answer::bad_field("scope", "This field is required."))?;
        if self.state.standing(self.actor, project) != Some(super::access::Standing::Reviewer) {
            return Err(Answer::forbidden());
        }
        let actions = self.request.required("actions")?.to_owned();
        if let Some(unknown) = actions.split(',').find(|action| !ACTIONS.contains(action)) {
            return Err(Answer::bad_field("actions", &format!("{unknown} is not a valid choice.")));
        }
        let limit_cost = self.request.body.get("limit_cost").and_then(Value::as_i64);
        let limit_cost =
            limit_cost.ok_or_else(|| Answer::bad_field("limit_cost", "This field is required."))?;
        let now = self.state.now();
        let uuid = self.state.draw_uuid();
        // Nothing costs anything here, so only a limit below zero is exceeded.
        let fired = (limit_cost < 0).then_some(now);
        let created_by = self.actor.user;
        self.state.policies.insert(CostPolicy {
            uuid,
            project,
            actions: actions.clone(),
            limit_cost,
            fired,
            created_by,
            created: now,
        });
        if fired.is_some() {
            self.state.fire_policy(project, &actions);
        }
        let row = self.state.policies.get(uuid).ok_or_else(Answer::server_error)?;
        Ok(Answer::created(self.view().cost_policy(row)))
    }
}

const ACTIONS: [&str; 8] = [
    "notify_project_team",
    "request_downscaling",
    "notify_organization_owners",
    "restrict_members",
    "block_modification_of_existing_resources",
    "block_creation_of_new_resources",
    "terminate_resources",
    "request_pausing",
];

impl super::state::State {
    /// Sets the flags of all resources of the project.
    fn fire_policy(&mut self, project: uuid::Uuid, actions: &str) {
        let resources: Vec<uuid::Uuid> = self.resources_in(project).map(|resource| resource.uuid).collect();
        let asks = |action: &str| actions.split(',').any(|name| name == action);
        for resource in resources {
            self.change_resource(resource, |row| {
                row.paused |= asks("request_pausing");
                row.downscaled |= asks("request_downscaling");
                row.restrict_member_access |= asks("restrict_members");
            });
        }
    }
}

impl super::render::View<'_> {
    fn cost_policy(&self, row: &CostPolicy) -> Value {
        let creator = self.state.users.get(row.created_by);
        json!({
            "uuid": hex(row.uuid),
            "url": self.url("marketplace-project-estimated-cost-policies", row.uuid),
            "scope": self.url("projects", row.project),
            "scope_name": self.state.project_name(row.project),
            "scope_uuid": hex(row.project),
            "actions": row.actions,
            "created": time(row.created),
            "created_by_full_name": creator.map(User::full_name),
            "created_by_username": creator.map(|user| user.username.clone()),
            "has_fired": row.fired.is_some(),
            "fired_datetime": row.fired.map(time),
            "limit_cost": row.limit_cost,
            "period": 2,
            "period_name": "1 month",
            "project_credit": null,
            "billing_price_estimate": { "total": 0.0, "current": 0.0, "tax": 0.0, "tax_current": 0.0 },
        })
    }
}
