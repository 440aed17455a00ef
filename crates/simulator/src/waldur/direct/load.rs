//! Putting a seed in: offerings and resources, and what names them.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::waldur::Waldur;
use crate::waldur::consumer::NewResource;
use crate::waldur::model::{Allocation, Component, Offering, Plan, Scope};
use crate::waldur::seed::{Seed, SeedError, SeedMember, SeedOffering, SeedPlan, SeedResource};
use crate::waldur::wire::{AllocationState, OfferingState, ResourceState};

/// Rows of a seed by name, the first of each: a search for each reference would take minutes for a large seed.
#[derive(Default)]
struct Names<'a> {
    users: HashMap<&'a str, Uuid>,
    projects: HashMap<&'a str, Uuid>,
}

impl Waldur {
    /// Adds everything the seed holds; what was added before an error stays.
    pub fn load(&self, seed: &Seed) -> Result<(), SeedError> {
        let mut names = Names::default();
        for user in &seed.users {
            let uuid = self.add_user(user);
            names.users.entry(&user.username).or_insert(uuid);
        }
        for customer in &seed.customers {
            self.add_customer(customer);
        }
        for project in &seed.projects {
            let customer = named("customer", &project.customer, self.customer(&project.customer))?;
            let uuid = self.add_project(customer, project);
            names.projects.entry(&project.slug).or_insert(uuid);
        }
        for offering in &seed.offerings {
            let customer = named("customer", &offering.customer, self.customer(&offering.customer))?;
            self.add_offering(customer, offering);
        }
        for member in &seed.members {
            let known = names.users.get(member.user.as_str()).copied();
            let user = named("user", &member.user, known.or_else(|| self.user(&member.user)))?;
            self.add_role(self.scope(member, &names)?, user, &member.role, member.expires);
        }
        for resource in &seed.resources {
            self.load_resource(resource, &names)?;
        }
        Ok(())
    }

    fn project_named(&self, slug: &str, names: &Names<'_>) -> Result<Uuid, SeedError> {
        let known = names.projects.get(slug).copied();
        named("project", slug, known.or_else(|| self.project(slug)))
    }

    fn scope(&self, member: &SeedMember, names: &Names<'_>) -> Result<Scope, SeedError> {
        match (&member.customer, &member.project, &member.offering) {
            (Some(slug), None, None) => Ok(Scope::Customer(named("customer", slug, self.customer(slug))?)),
            (None, Some(slug), None) => Ok(Scope::Project(self.project_named(slug, names)?)),
            (None, None, Some(slug)) => Ok(Scope::Offering(named("offering", slug, self.offering(slug))?)),
            _ => Err(SeedError::Scope { user: member.user.clone(), role: member.role.clone() }),
        }
    }

    fn load_resource(&self, seed: &SeedResource, names: &Names<'_>) -> Result<(), SeedError> {
        let offering = named("offering", &seed.offering, self.offering(&seed.offering))?;
        let project = self.project_named(&seed.project, names)?;
        let state = seed.state.as_deref().unwrap_or("OK");
        let state = ResourceState::parse(state).ok_or_else(|| SeedError::State(state.to_owned()))?;
        self.add_resource(offering, project, seed, state);
        Ok(())
    }

    /// Adds a resource of this state, ignoring the slugs in `seed`.
    pub fn add_resource(
        &self,
        offering: Uuid,
        project: Uuid,
        seed: &SeedResource,
        to: ResourceState,
    ) -> Uuid {
        let uuid = self.with(|state| {
            let plan = state.offerings.get(offering).and_then(|row| Some(row.plans.first()?.uuid));
            let uuid = state.make_resource(NewResource {
                uuid: seed.uuid,
                offering,
                project,
                plan,
                name: seed.name.clone(),
                limits: Value::Object(seed.limits.clone()),
                attributes: json!({ "name": seed.name }),
            });
            let allocation = state.is_2024().then(|| state.draw_uuid());
            state.change_resource(uuid, |row| {
                row.allocation = allocation.map(|uuid| Allocation { uuid, state: AllocationState::Ok });
                row.slug = seed.slug.clone().unwrap_or_else(|| row.slug.clone());
                row.backend_id.clone_from(&seed.backend_id);
                row.state = to;
                row.paused = seed.paused;
                row.downscaled = seed.downscaled;
                row.restrict_member_access = seed.restrict_member_access;
            });
            uuid
        });
        self.changed();
        uuid
    }

    /// Adds an offering, ignoring the customer's slug in `seed`.
    pub fn add_offering(&self, customer: Uuid, seed: &SeedOffering) -> Uuid {
        self.with(|state| {
            let components = seed.components.iter().map(|component| Component {
                uuid: state.draw_uuid(),
                kind: component.kind.clone(),
                name: component.name.clone(),
                measured_unit: component.measured_unit.clone(),
                billing_type: component.billing_type.clone(),
                more: component.more.clone(),
            });
            let components: Vec<Component> = components.collect();
            let zeros =
                |value: Value| components.iter().map(|row| (row.kind.clone(), value.clone())).collect();
            let default = [SeedPlan { name: "Default".to_owned(), ..SeedPlan::default() }];
            let plans = if seed.plans.is_empty() { &default[..] } else { &seed.plans };
            let plans = plans.iter().map(|plan| {
                let mut quotas: Map<String, Value> = zeros(json!(0));
                quotas.extend(plan.quotas.clone());
                let mut prices: Map<String, Value> = zeros(json!(0.0));
                prices.extend(plan.prices.clone());
                let uuid = plan.uuid.unwrap_or_else(|| state.draw_uuid());
                Plan { uuid, name: plan.name.clone(), unit: "month".to_owned(), quotas, prices }
            });
            let plans: Vec<Plan> = plans.collect();
            let exposed_fields = if seed.exposed_fields.is_empty() {
                ["username", "full_name", "email"].map(str::to_owned).to_vec()
            } else {
                seed.exposed_fields.clone()
            };
            let offering = Offering {
                uuid: seed.uuid.unwrap_or_else(|| state.draw_uuid()),
                customer,
                category: Uuid::new_v5(&Uuid::NAMESPACE_OID, b"category"),
                name: seed.name.clone(),
                slug: seed.slug.clone(),
                kind: "Marketplace.Slurm".to_owned(),
                state: OfferingState::Active,
                backend_id: seed.backend_id.clone(),
                components,
                plans,
                plugin_options: seed.plugin_options.clone(),
                secret_options: seed.secret_options.clone(),
                exposed_fields,
                created: state.now(),
            };
            state.offerings.insert(offering)
        })
    }
}

fn named(kind: &'static str, name: &str, found: Option<Uuid>) -> Result<Uuid, SeedError> {
    found.ok_or_else(|| SeedError::Unknown { kind, name: name.to_owned() })
}
