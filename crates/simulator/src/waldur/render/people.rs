//! Users, teams, offering users and roles (Waldur contract §4.4, §9.5).

use serde_json::{Value, json};
use uuid::Uuid;

use super::{View, optional_time, time};
use crate::waldur::fields::{Fields, render};
use crate::waldur::model::{Grant, Offering, OfferingUser, Scope, User};
use crate::waldur::request::hex;
use crate::waldur::wire::OfferingUserState;

impl View<'_> {
    /// The caller itself, with its token and roles.
    pub(crate) fn me(&self, user: &User, token: &str, fields: &Fields) -> Value {
        render(fields, |out| {
            out.extend(self.user(user, &Fields::all()).as_object().unwrap_or(&serde_json::Map::new()));
            out.put("token", token);
            out.put("token_lifetime", user.token_lifetime);
            out.with("permissions", || {
                Value::Array(self.state.grants_of(user.uuid).map(|grant| self.permission(grant)).collect())
            });
            if user.is_staff || !self.is_2024() {
                out.put("is_staff", user.is_staff);
                out.put("is_support", false);
                out.put("is_active", user.is_active);
            }
        })
    }

    /// A user as others see it.
    pub(crate) fn user(&self, user: &User, fields: &Fields) -> Value {
        render(fields, |out| {
            out.put("url", self.url("users", user.uuid));
            out.put("uuid", hex(user.uuid));
            out.put("username", user.username.clone());
            out.put("slug", user.username.replace(['.', '@', '_'], "-"));
            out.put("full_name", user.full_name());
            out.put("first_name", user.first_name.clone());
            out.put("last_name", user.last_name.clone());
            out.put("email", user.email.clone());
            out.put("date_joined", time(user.created));
            out.put("agreement_date", time(user.created));
            out.put("registration_method", "default");
            out.blanks(&["native_name", "job_title", "phone_number", "organization", "preferred_language"]);
            out.blanks(&["identity_provider_management_url", "identity_source"]);
            out.nulls(&["civil_number", "requested_email", "image"]);
            out.put("affiliations", json!([]));
            out.put("identity_provider_fields", json!([]));
            out.put("identity_provider_name", "Local DB");
            out.put("identity_provider_label", "Local DB");
        })
    }

    /// A role as a row of its own.
    pub(crate) fn permission(&self, grant: &Grant) -> Value {
        let (name, customer) = match grant.scope {
            Scope::Customer(uuid) => (self.state.customers.get(uuid).map(|row| &row.name), Some(uuid)),
            Scope::Project(uuid) => {
                let project = self.state.projects.get(uuid);
                (project.map(|row| &row.name), project.map(|row| row.customer))
            }
            Scope::Offering(uuid) => {
                let offering = self.state.offerings.get(uuid);
                (offering.map(|row| &row.name), offering.map(|row| row.customer))
            }
        };
        let creator = grant.created_by.and_then(|uuid| self.state.users.get(uuid));
        let user = self.state.users.get(grant.user);
        let mut fields = json!({
            "user_uuid": hex(grant.user),
            "user_name": user.map(User::full_name),
            "user_slug": user.map(|user| user.username.clone()),
            "created": time(grant.created),
            "expiration_time": optional_time(grant.expires),
            "created_by_full_name": creator.map(User::full_name),
            "created_by_username": creator.map(|creator| creator.username.clone()),
            "role_name": grant.role,
            "role_description": grant.role,
            "role_uuid": hex(Uuid::new_v5(&Uuid::NAMESPACE_OID, grant.role.as_bytes())),
            "scope_type": grant.scope.kind(),
            "scope_uuid": hex(grant.scope.uuid()),
            "scope_name": name,
        });
        if !self.is_2024() {
            let customer = customer.and_then(|uuid| self.state.customers.get(uuid));
            fields["customer_uuid"] = json!(customer.map(|row| hex(row.uuid)));
            fields["customer_name"] = json!(customer.map(|row| row.name.clone()));
            fields["project_uuid"] = match grant.scope {
                Scope::Project(uuid) => json!(hex(uuid)),
                _ => Value::Null,
            };
            fields["resource_uuid"] = Value::Null;
        }
        fields
    }

    /// The users with a role on the project, once each, with the first of their roles.
    pub(crate) fn team(&self, project: Uuid, offering: Uuid, fields: &Fields) -> Value {
        let mut seen = Vec::new();
        let mut team = Vec::new();
        for grant in self.state.grants_on(Scope::Project(project)) {
            if seen.contains(&grant.user) {
                continue;
            }
            seen.push(grant.user);
            if let Some(user) = self.state.users.get(grant.user) {
                team.push(self.team_member(user, grant, offering, fields));
            }
        }
        Value::Array(team)
    }

    fn team_member(&self, user: &User, grant: &Grant, offering: Uuid, fields: &Fields) -> Value {
        let offering_user = self.state.offering_user(offering, user.uuid);
        render(fields, |out| {
            out.put("url", self.url("users", user.uuid));
            out.put("uuid", hex(user.uuid));
            out.put("username", user.username.clone());
            out.put("full_name", user.full_name());
            out.put("email", user.email.clone());
            out.put("role", if self.is_2024() { short_role(&grant.role) } else { json!(grant.role) });
            out.put("expiration_time", optional_time(grant.expires));
            out.put("offering_user_username", offering_user.map(|row| row.username.clone()));
            if !self.is_2024() {
                out.put("offering_user_state", offering_user.map(|row| row.state.as_str()));
            }
        })
    }

    /// One row of a service provider's `project_permissions`.
    pub(crate) fn project_permission(&self, grant: &Grant, fields: &Fields) -> Value {
        render(fields, |out| {
            let creator = grant.created_by.and_then(|uuid| self.state.users.get(uuid));
            out.put("created", time(grant.created));
            out.put("expiration_time", optional_time(grant.expires));
            out.put("created_by", creator.map(|user| self.url("users", user.uuid)));
            out.put("created_by_full_name", creator.map(User::full_name));
            out.put("created_by_username", creator.map(|user| user.username.clone()));
            if self.is_2024() {
                out.put("role", short_role(&grant.role));
            } else {
                out.put("role_name", grant.role.clone());
            }
            if let Some(project) = self.state.projects.get(grant.scope.uuid()) {
                out.put("project", self.url("projects", project.uuid));
                out.put("project_uuid", hex(project.uuid));
                out.put("project_name", project.name.clone());
                out.put("project_created", time(project.created));
                out.put("project_end_date", project.end_date.clone());
                out.put("customer_uuid", hex(project.customer));
                let customer = self.state.customers.get(project.customer);
                out.put("customer_name", customer.map(|row| row.name.clone()));
            }
            if let Some(user) = self.state.users.get(grant.user) {
                out.put("user", self.url("users", user.uuid));
                out.put("user_uuid", hex(user.uuid));
                out.put("user_username", user.username.clone());
                out.put("user_full_name", user.full_name());
                out.put("user_email", user.email.clone());
                out.blanks(&["user_native_name"]);
            }
        })
    }

    /// One row of a service provider's `users`.
    pub(crate) fn provider_user(&self, user: &User, projects: usize, fields: &Fields) -> Value {
        render(fields, |out| {
            out.put("uuid", hex(user.uuid));
            out.put("username", user.username.clone());
            out.put("full_name", user.full_name());
            out.put("first_name", user.first_name.clone());
            out.put("last_name", user.last_name.clone());
            out.put("email", user.email.clone());
            out.blanks(&["organization", "phone_number"]);
            out.put("projects_count", projects);
            out.put("registration_method", "default");
            out.put("affiliations", json!([]));
        })
    }

    /// One row of `list_users` of a project or customer.
    pub(crate) fn role_details(&self, grant: &Grant, fields: &Fields) -> Value {
        render(fields, |out| {
            out.put("uuid", hex(grant.uuid));
            out.put("created", time(grant.created));
            out.put("expiration_time", optional_time(grant.expires));
            out.put("role_name", grant.role.clone());
            out.put("role_uuid", hex(Uuid::new_v5(&Uuid::NAMESPACE_OID, grant.role.as_bytes())));
            let user = self.state.users.get(grant.user);
            out.put("user_uuid", hex(grant.user));
            out.put("user_username", user.map(|user| user.username.clone()));
            out.put("user_full_name", user.map(User::full_name));
            out.put("user_email", user.map(|user| user.email.clone()));
        })
    }

    pub(crate) fn offering_user(&self, row: &OfferingUser, fields: &Fields) -> Value {
        render(fields, |out| {
            out.with("url", || self.url("marketplace-offering-users", row.uuid));
            out.with("uuid", || hex(row.uuid));
            out.with("user", || self.url("users", row.user));
            out.with("user_uuid", || hex(row.user));
            let user = self.state.users.get(row.user);
            out.with("user_username", || user.map(|user| user.username.clone()));
            out.with("user_full_name", || user.map(User::full_name));
            out.with("offering", || self.url("marketplace-provider-offerings", row.offering));
            out.with("offering_uuid", || hex(row.offering));
            let offering = self.state.offerings.get(row.offering);
            out.with("offering_name", || offering.map(|offering| offering.name.clone()));
            let provider = offering.and_then(|offering| self.state.provider_of(offering));
            out.put("customer_uuid", provider.map(|provider| hex(provider.uuid)));
            out.put("customer_name", provider.map(|provider| provider.name.clone()));
            out.with("username", || row.username.clone());
            out.put("is_restricted", row.is_restricted);
            out.with("created", || time(row.created));
            out.with("modified", || time(row.modified));
            out.put("propagation_date", optional_time(row.propagated));
            if !self.is_2024() {
                out.put("state", row.state.as_str());
                out.put("runtime_state", runtime_state(row.state));
                out.with("user_first_name", || user.map(|user| user.first_name.clone()));
                out.with("user_last_name", || user.map(|user| user.last_name.clone()));
                out.with("user_email", || user.map(|user| user.email.clone()));
                out.put("service_provider_comment", row.comment.clone());
                out.put("service_provider_comment_url", row.comment_url.clone());
                out.put("has_consent", false);
                out.put("requires_reconsent", false);
                out.put("has_compliance_checklist", false);
                out.nulls(&["consent_data"]);
            }
        })
    }

    pub(crate) fn user_attribute_config(&self, offering: &Offering) -> Value {
        let exposed = &offering.exposed_fields;
        let mut fields = json!({
            "uuid": hex(Uuid::new_v5(&offering.uuid, b"user-attribute-config")),
            "created": time(offering.created),
            "modified": time(offering.created),
            "offering_uuid": hex(offering.uuid),
            "offering_name": offering.name,
            "is_default": true,
            "exposed_fields": exposed,
        });
        for name in exposed {
            fields[format!("expose_{name}")] = json!(true);
        }
        fields
    }
}

/// The role names of before `PROJECT.MEMBER`; others have none.
fn short_role(role: &str) -> Value {
    match role {
        "PROJECT.ADMIN" => json!("admin"),
        "PROJECT.MANAGER" => json!("manager"),
        "PROJECT.MEMBER" => json!("member"),
        _ => Value::Null,
    }
}

fn runtime_state(state: OfferingUserState) -> &'static str {
    match state {
        OfferingUserState::PendingAccountLinking | OfferingUserState::PendingAdditionalValidation => {
            state.as_str()
        }
        _ => "Active",
    }
}
