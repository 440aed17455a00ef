//! The marketplace that is walked through: who is there when it opens.

use serde_json::{Value, json};

/// People who come and go.
pub(crate) const PEOPLE: [&str; 6] =
    ["anna.ash", "ben.birch", "cleo.cedar", "dan.dogwood", "eva.elm", "finn.fir"];

/// Two organizations with two projects each, one offering, its agent, and people of whom two are in a project.
pub(crate) fn seed() -> Value {
    let user = |username: &str, token: Option<&str>| {
        json!({
            "username": username, "full_name": username, "email": format!("{username}@example.org"),
            "token": token, "is_staff": username == "admin",
        })
    };
    let mut users = vec![
        user("agent-okd", Some("agent-token")),
        user("admin", Some("staff-token")),
        user("olivia.owner", Some("owner-token")),
    ];
    users.extend(PEOPLE.map(|name| user(name, None)));
    let customers = ["cloud-provider", "acme", "umbrella"];
    let projects = [("web", "acme"), ("data", "acme"), ("lab", "umbrella"), ("shop", "umbrella")];
    let mut members = vec![
        json!({"user": "agent-okd", "role": "OFFERING.MANAGER", "offering": "okd-projects"}),
        json!({"user": "agent-okd", "role": "CUSTOMER.OWNER", "customer": "cloud-provider"}),
    ];
    let owned = ["acme", "umbrella"];
    members.extend(
        owned.map(|slug| json!({"user": "olivia.owner", "role": "CUSTOMER.OWNER", "customer": slug})),
    );
    members.extend([
        json!({"user": PEOPLE[0], "role": "PROJECT.MANAGER", "project": "web"}),
        json!({"user": PEOPLE[1], "role": "PROJECT.MEMBER", "project": "lab"}),
    ]);
    let component = |kind: &str, unit: &str| json!({"type": kind, "name": kind, "measured_unit": unit, "billing_type": "limit"});
    let components = [("cpu", "cores"), ("memory", "GB"), ("storage", "GB"), ("pods", "pods")];
    json!({
        "users": users,
        "customers": customers.map(|slug| {
            json!({"name": slug, "slug": slug, "provider": slug == "cloud-provider"})
        }),
        "projects": projects.map(|(slug, customer)| json!({"name": slug, "slug": slug, "customer": customer})),
        "offerings": [{
            "name": "OKD projects", "slug": "okd-projects", "customer": "cloud-provider",
            "components": components.map(|(kind, unit)| component(kind, unit)),
            "plugin_options": {
                "username_generation_policy": "waldur_username",
                "service_provider_can_create_offering_user": true,
                "supports_pausing": true, "supports_downscaling": true, "can_restore_resource": true,
            },
        }],
        "members": members,
    })
}
