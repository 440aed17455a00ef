//! What a server starts with, as JSON: users, customers, projects, roles, offerings and resources.
//!
//! Rows name each other by `username` and `slug`, so that a person can write the file. Every UUID is optional; the
//! ones left away are drawn from the server's seed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Everything a server starts with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seed {
    /// People and agents.
    pub users: Vec<SeedUser>,
    /// Organisations, service providers among them.
    pub customers: Vec<SeedCustomer>,
    /// Projects of the customers.
    pub projects: Vec<SeedProject>,
    /// What the providers sell.
    pub offerings: Vec<SeedOffering>,
    /// Roles of users on customers, projects and offerings.
    pub members: Vec<SeedMember>,
    /// Resources that exist already.
    pub resources: Vec<SeedResource>,
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedUser {
    /// Login name.
    pub username: String,
    /// First name, a space, the rest.
    pub full_name: String,
    /// E-mail address.
    pub email: String,
    /// API token.
    pub token: Option<String>,
    /// Password for `POST /api-auth/password/`.
    pub password: Option<String>,
    /// Seconds the token lives after its last use; for ever without it.
    pub token_lifetime: Option<i64>,
    /// May do everything.
    pub is_staff: bool,
    /// Drawn when absent.
    pub uuid: Option<Uuid>,
}

impl SeedUser {
    /// A user with this name and token.
    #[must_use]
    pub fn new(username: &str, token: &str) -> Self {
        Self {
            username: username.to_owned(),
            full_name: title(username),
            email: format!("{username}@example.org"),
            token: Some(token.to_owned()),
            ..Self::default()
        }
    }

    /// The same user as staff.
    #[must_use]
    pub fn staff(self) -> Self {
        Self { is_staff: true, ..self }
    }
}

fn title(username: &str) -> String {
    let words = username.split(['.', '-', '_']).filter(|word| !word.is_empty());
    let capital =
        |word: &str| word.chars().next().map(|c| c.to_uppercase().to_string() + &word[c.len_utf8()..]);
    words.filter_map(capital).collect::<Vec<_>>().join(" ")
}

/// A customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedCustomer {
    /// Shown name.
    pub name: String,
    /// By which other rows name it.
    pub slug: String,
    /// Is a service provider.
    pub provider: bool,
    /// Drawn when absent.
    pub uuid: Option<Uuid>,
}

/// A project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedProject {
    /// Shown name.
    pub name: String,
    /// By which other rows name it.
    pub slug: String,
    /// Slug of its customer.
    pub customer: String,
    /// Free text.
    pub description: String,
    /// `YYYY-MM-DD`.
    pub end_date: Option<String>,
    /// Drawn when absent.
    pub uuid: Option<Uuid>,
}

/// One component of an offering.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SeedComponent {
    /// `cpu`, `memory`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Shown name.
    pub name: String,
    /// Shown unit.
    pub measured_unit: String,
    /// `limit`, `usage`, `fixed`, `one` or `few`.
    pub billing_type: String,
    /// Any other field of a component, e.g. `unit_factor`.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl SeedComponent {
    /// A component without further settings.
    #[must_use]
    pub fn new(kind: &str, name: &str, measured_unit: &str, billing_type: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            measured_unit: measured_unit.to_owned(),
            billing_type: billing_type.to_owned(),
            more: Map::new(),
        }
    }
}

/// A plan of an offering.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedPlan {
    /// Shown name.
    pub name: String,
    /// Amount of each component that the plan includes.
    pub quotas: Map<String, Value>,
    /// Price of one unit of each component.
    pub prices: Map<String, Value>,
    /// Drawn when absent.
    pub uuid: Option<Uuid>,
}

/// An offering.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedOffering {
    /// Shown name.
    pub name: String,
    /// By which other rows name it.
    pub slug: String,
    /// Slug of the provider's customer.
    pub customer: String,
    /// Id on the backend.
    pub backend_id: String,
    /// What is sold.
    pub components: Vec<SeedComponent>,
    /// At least one; a plan without quotas and prices when empty.
    pub plans: Vec<SeedPlan>,
    /// `plugin_options` of the offering.
    pub plugin_options: Map<String, Value>,
    /// `secret_options` of the offering; the 2024 server looks here for `service_provider_can_create_offering_user`.
    pub secret_options: Map<String, Value>,
    /// User attributes shown to the provider; `username`, `full_name` and `email` when empty.
    pub exposed_fields: Vec<String>,
    /// Drawn when absent.
    pub uuid: Option<Uuid>,
}

/// A role. Exactly one of `customer`, `project` and `offering` is set, to a slug.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedMember {
    /// `username` of who holds the role.
    pub user: String,
    /// Full name, e.g. `PROJECT.MANAGER`.
    pub role: String,
    /// Slug of a customer.
    pub customer: Option<String>,
    /// Slug of a project.
    pub project: Option<String>,
    /// Slug of an offering.
    pub offering: Option<String>,
    /// When the role ends.
    pub expires: Option<jiff::Timestamp>,
}

/// A resource in state OK unless another is named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedResource {
    /// Shown name.
    pub name: String,
    /// Made from the name when absent.
    pub slug: Option<String>,
    /// Slug of the offering.
    pub offering: String,
    /// Slug of the project.
    pub project: String,
    /// Namespace; empty for none.
    pub backend_id: String,
    /// Amount of each component.
    pub limits: Map<String, Value>,
    /// Wire spelling of the state, e.g. `Erred`.
    pub state: Option<String>,
    /// Flag of the resource.
    pub paused: bool,
    /// Flag of the resource.
    pub downscaled: bool,
    /// Flag of the resource.
    pub restrict_member_access: bool,
    /// Drawn when absent.
    pub uuid: Option<Uuid>,
}

/// A seed that names something it does not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// A reference leads nowhere.
    #[error("the seed names the {kind} `{name}`, which it does not hold")]
    Unknown {
        /// What was looked for: `customer`, `user`, …
        kind: &'static str,
        /// The slug or user name.
        name: String,
    },
    /// A role without exactly one scope.
    #[error("the role {role} of `{user}` needs exactly one of customer, project and offering")]
    Scope {
        /// The user named.
        user: String,
        /// The role named.
        role: String,
    },
    /// A state that resources do not have.
    #[error("`{0}` is no state of a resource")]
    State(String),
}

impl Seed {
    /// One provider with an "OKD projects" offering and its agent, one customer with a project and its people.
    ///
    /// Tokens: `agent-token`, `staff-token`, `owner-token`, `manager-token`, `member-token`. The agent manages the
    /// offering and owns the provider, which serves both generations.
    #[must_use]
    pub fn demo() -> Self {
        Self {
            users: vec![
                SeedUser::new("agent-okd", "agent-token"),
                SeedUser::new("admin", "staff-token").staff(),
                SeedUser::new("olivia.owner", "owner-token"),
                SeedUser::new("max.manager", "manager-token"),
                SeedUser::new("mia.member", "member-token"),
            ],
            customers: vec![
                SeedCustomer { provider: true, ..demo_customer("Cloud Provider", "cloud-provider") },
                demo_customer("ACME", "acme"),
            ],
            projects: vec![SeedProject {
                name: "Web".to_owned(),
                slug: "web".to_owned(),
                customer: "acme".to_owned(),
                description: "Public web sites".to_owned(),
                ..SeedProject::default()
            }],
            offerings: vec![SeedOffering::okd("OKD projects", "okd-projects", "cloud-provider")],
            members: vec![
                SeedMember { offering: slug("okd-projects"), ..demo_member("agent-okd", "OFFERING.MANAGER") },
                SeedMember { customer: slug("cloud-provider"), ..demo_member("agent-okd", "CUSTOMER.OWNER") },
                SeedMember { customer: slug("acme"), ..demo_member("olivia.owner", "CUSTOMER.OWNER") },
                SeedMember { project: slug("web"), ..demo_member("max.manager", "PROJECT.MANAGER") },
                SeedMember { project: slug("web"), ..demo_member("mia.member", "PROJECT.MEMBER") },
            ],
            resources: Vec::new(),
        }
    }
}

fn slug(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn demo_customer(name: &str, slug: &str) -> SeedCustomer {
    SeedCustomer { name: name.to_owned(), slug: slug.to_owned(), ..SeedCustomer::default() }
}

fn demo_member(user: &str, role: &str) -> SeedMember {
    SeedMember { user: user.to_owned(), role: role.to_owned(), ..SeedMember::default() }
}

impl SeedOffering {
    /// An offering of OKD projects with limits for cpu, memory, storage and pods; user names are Waldur's own.
    #[must_use]
    pub fn okd(name: &str, slug: &str, customer: &str) -> Self {
        let options = |value: Value| value.as_object().cloned().unwrap_or_default();
        Self {
            name: name.to_owned(),
            slug: slug.to_owned(),
            customer: customer.to_owned(),
            components: vec![
                SeedComponent::new("cpu", "CPU", "cores", "limit"),
                SeedComponent::new("memory", "Memory", "GB", "limit"),
                SeedComponent::new("storage", "Storage", "GB", "limit"),
                SeedComponent::new("pods", "Pods", "pods", "limit"),
            ],
            plans: vec![SeedPlan { name: "Default".to_owned(), ..SeedPlan::default() }],
            plugin_options: options(json!({
                "username_generation_policy": "waldur_username",
                "service_provider_can_create_offering_user": true,
                "account_name_generation_policy": null,
                "supports_pausing": true,
                "supports_downscaling": true,
                "can_restore_resource": true,
                "enable_membership_sync_status": false,
            })),
            secret_options: options(json!({ "service_provider_can_create_offering_user": true })),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waldur::{Waldur, WaldurOptions};

    #[test]
    fn the_demo_survives_a_file() {
        let text = serde_json::to_string_pretty(&Seed::demo()).unwrap();
        assert_eq!(serde_json::from_str::<Seed>(&text).unwrap(), Seed::demo());
    }

    #[test]
    fn a_dangling_reference_is_named() {
        let mut seed = Seed::demo();
        seed.projects[0].customer = "nobody".to_owned();
        let error = Waldur::new(WaldurOptions::default()).load(&seed).unwrap_err();
        assert_eq!(error.to_string(), "the seed names the customer `nobody`, which it does not hold");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<Seed>(r#"{"user": []}"#).is_err());
    }
}
