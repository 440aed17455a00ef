//! What a message of Waldur's event broker is about (Waldur contract §6.4, §9.9).
//!
//! A message says where to look and carries no truth: of its body only names of things are used. What is read from it
//! decides which keys are woken, and nothing else.

use serde_json::{Map, Value};
use uuid::Uuid;

/// Longest part of a message that is shown to an operator.
const SHOWN: usize = 120;

/// Types of objects that the agent knows what to do about, in the server's words.
pub const ORDER: &str = "order";
/// See [`ORDER`].
pub const USER_ROLE: &str = "user_role";
/// See [`ORDER`].
pub const RESOURCE: &str = "resource";
/// See [`ORDER`].
pub const OFFERING_USER: &str = "offering_user";
/// See [`ORDER`].
pub const SERVICE_ACCOUNT: &str = "service_account";
/// See [`ORDER`].
pub const COURSE_ACCOUNT: &str = "course_account";
/// See [`ORDER`].
pub const OFFERING_RESOURCES_SYNC: &str = "offering_resources_sync";
/// See [`ORDER`].
pub const IMPORTABLE_RESOURCES: &str = "importable_resources";
/// See [`ORDER`].
pub const RESOURCE_PERIODIC_LIMITS: &str = "resource_periodic_limits";

/// Types that the server has and that ask nothing of this agent.
const NOTHING_TO_DO: [&str; 9] = [
    "call",
    "proposal",
    "resource_api_key_rotation",
    "resource_end_date_change_request",
    "service_provider_account",
    "service_provider_project_group",
    "user_lifecycle",
    "user_profile",
    "user_ssh_key",
];

/// States of an order in which nobody waits for the agent (contract §6.4).
const ORDER_RESTS: [&str; 7] =
    ["done", "erred", "pending-consumer", "canceled", "rejected", "pending-project", "pending-start-date"];

/// A message, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The offering that it names.
    pub offering: Option<Uuid>,
    /// What it is about.
    pub concern: Concern,
}

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// An order; old servers do not name its resource.
    Order {
        /// Waldur's id.
        order: Uuid,
        /// What it is about.
        resource: Option<Uuid>,
        /// It has been approved, perhaps by this agent.
        executing: bool,
    },
    /// One resource, as it stands.
    Resource(Uuid),
    /// Roles in a project have changed.
    Roles {
        /// Waldur's id.
        project: Uuid,
        /// Only this resource of it is to be looked at.
        resource: Option<Uuid>,
        /// Whose role it is.
        user: Option<Uuid>,
    },
    /// Service or course accounts of a project have changed.
    Accounts {
        /// Waldur's id.
        project: Uuid,
    },
    /// A user's account in the offering has changed in these resources, given by their backend ids.
    User(Vec<String>),
    /// A user's account in the offering waits for a username, or has another profile.
    NewUser,
    /// Everything in the offering is to be looked at.
    Offering,
    /// The portal wants to know what is on the cluster and not in Waldur.
    Importable(Uuid),
    /// A limit for a period, which this back end does not have.
    PeriodicLimits {
        /// Waldur's id of the resource.
        resource: Uuid,
        /// Waldur's id of the policy that is to be answered.
        policy: Uuid,
    },
    /// Known, and nothing to do.
    Nothing,
    /// Of a type that this agent does not know.
    Unknown(String),
}

/// A message that can never be worked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; it begins with `{beginning}`")]
pub struct Unworkable {
    /// What is wrong.
    pub problem: String,
    /// Its first characters, without control characters.
    pub beginning: String,
}

/// Reads a message. `object_type` is what its queue is for, where it is for one type only; a message that names its own
/// type is taken at its word.
///
/// # Errors
/// [`Unworkable`] for what is no JSON object, or lacks what its type needs.
pub fn read(body: &[u8], object_type: Option<&str>) -> Result<Notice, Unworkable> {
    let unworkable = |problem: String| Unworkable { problem, beginning: beginning(body) };
    let value: Value =
        serde_json::from_slice(body).map_err(|error| unworkable(format!("it is not JSON ({error})")))?;
    let Value::Object(fields) = value else {
        return Err(unworkable("it is not a JSON object".to_owned()));
    };
    let message = Message(&fields);
    let kind = message.text("object_type").or(object_type).or_else(|| message.guessed_type());
    let Some(kind) = kind else {
        return Err(unworkable("it does not say what type of object it is about".to_owned()));
    };
    let concern = message.concern(kind).map_err(|field| {
        unworkable(format!(
            "a message of type `{}` has to have a UUID as `{field}`",
            crate::names::one_line(kind)
        ))
    })?;
    Ok(Notice { offering: message.id("offering_uuid").ok(), concern })
}

struct Message<'a>(&'a Map<String, Value>);

impl Message<'_> {
    fn text(&self, field: &'static str) -> Option<&str> {
        self.0.get(field)?.as_str().filter(|text| !text.is_empty())
    }

    /// A UUID, or the name of the field that has none.
    fn id(&self, field: &'static str) -> Result<Uuid, &'static str> {
        self.text(field).and_then(|text| Uuid::try_parse(text).ok()).ok_or(field)
    }

    /// The types that a plain broker's messages can be told apart by, where they do not say it.
    fn guessed_type(&self) -> Option<&'static str> {
        let has = |field| self.0.contains_key(field);
        if has("order_uuid") {
            Some(ORDER)
        } else if has("offering_user_uuid") {
            Some(OFFERING_USER)
        } else if has("role_name") {
            Some(USER_ROLE)
        } else if has("backend_resource_request_uuid") {
            Some(IMPORTABLE_RESOURCES)
        } else if has("account_uuid") {
            Some(SERVICE_ACCOUNT)
        } else if has("policy_uuid") {
            Some(RESOURCE_PERIODIC_LIMITS)
        } else if has("resource_uuid") {
            Some(RESOURCE)
        } else {
            None
        }
    }

    fn concern(&self, kind: &str) -> Result<Concern, &'static str> {
        Ok(match kind {
            ORDER => self.order()?,
            RESOURCE => Concern::Resource(self.id("resource_uuid")?),
            USER_ROLE => Concern::Roles {
                project: self.id("project_uuid")?,
                resource: self.id("resource_uuid").ok(),
                user: self.id("user_uuid").ok(),
            },
            SERVICE_ACCOUNT | COURSE_ACCOUNT => Concern::Accounts { project: self.id("project_uuid")? },
            OFFERING_USER => self.offering_user(),
            OFFERING_RESOURCES_SYNC => Concern::Offering,
            IMPORTABLE_RESOURCES => Concern::Importable(self.id("backend_resource_request_uuid")?),
            RESOURCE_PERIODIC_LIMITS => Concern::PeriodicLimits {
                resource: self.id("resource_uuid")?,
                policy: self.id("policy_uuid")?,
            },
            _ if NOTHING_TO_DO.contains(&kind) => Concern::Nothing,
            _ => Concern::Unknown(crate::names::clipped(&crate::names::one_line(kind), SHOWN)),
        })
    }

    fn order(&self) -> Result<Concern, &'static str> {
        let order = self.id("order_uuid")?;
        // Servers that do not tell the state mean one that waits.
        let state = self.text("order_state").unwrap_or_default();
        if ORDER_RESTS.contains(&state) {
            return Ok(Concern::Nothing);
        }
        Ok(Concern::Order { order, resource: self.id("resource_uuid").ok(), executing: state == "executing" })
    }

    fn offering_user(&self) -> Concern {
        let ids = self.0.get("resource_backend_ids").and_then(Value::as_array);
        let ids: Vec<String> =
            ids.into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect();
        match self.text("action") {
            Some("create" | "attribute_update") => Concern::NewUser,
            // Which resources the user is in is not always told.
            _ if ids.is_empty() => Concern::Offering,
            _ => Concern::User(ids),
        }
    }
}

/// The first characters of a message, on one line.
fn beginning(body: &[u8]) -> String {
    let head = &body[..body.len().min(4 * SHOWN)];
    crate::names::clipped(&crate::names::one_line(&String::from_utf8_lossy(head)), SHOWN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);

    fn hex(uuid: Uuid) -> String {
        uuid.simple().to_string()
    }

    #[track_caller]
    fn check(body: Value, expected: Concern) {
        let notice = read(body.to_string().as_bytes(), None).unwrap();
        assert_eq!(notice.concern, expected, "{body}");
    }

    #[test]
    fn each_type_says_where_to_look() {
        let (one, two) = (hex(ONE), hex(TWO));
        check(
            json!({"object_type": "order", "order_uuid": one, "order_state": "pending-provider", "resource_uuid": two}),
            Concern::Order { order: ONE, resource: Some(TWO), executing: false },
        );
        check(
            json!({"object_type": "order", "order_uuid": one, "order_state": "executing"}),
            Concern::Order { order: ONE, resource: None, executing: true },
        );
        // Servers that do not tell the state send a message only for an order that waits.
        check(
            json!({"object_type": "order", "order_uuid": ONE.to_string()}),
            Concern::Order { order: ONE, resource: None, executing: false },
        );
        check(json!({"object_type": "resource", "resource_uuid": one}), Concern::Resource(ONE));
        check(
            json!({"object_type": "user_role", "project_uuid": one, "user_uuid": two, "role_name": "x", "granted": true}),
            Concern::Roles { project: ONE, resource: None, user: Some(TWO) },
        );
        check(
            json!({"object_type": "user_role", "project_uuid": one, "resource_uuid": two}),
            Concern::Roles { project: ONE, resource: Some(TWO), user: None },
        );
        for kind in ["service_account", "course_account"] {
            check(json!({"object_type": kind, "project_uuid": one}), Concern::Accounts { project: ONE });
        }
        check(
            json!({"object_type": "offering_user", "action": "username_set", "resource_backend_ids": ["a", "b"]}),
            Concern::User(vec!["a".to_owned(), "b".to_owned()]),
        );
        check(json!({"object_type": "offering_user", "action": "username_set"}), Concern::Offering);
        check(json!({"object_type": "offering_user", "action": "delete"}), Concern::Offering);
        check(json!({"object_type": "offering_user", "action": "create"}), Concern::NewUser);
        check(json!({"object_type": "offering_resources_sync"}), Concern::Offering);
        check(
            json!({"object_type": "importable_resources", "backend_resource_request_uuid": one}),
            Concern::Importable(ONE),
        );
        check(
            json!({"object_type": "resource_periodic_limits", "resource_uuid": one, "policy_uuid": two}),
            Concern::PeriodicLimits { resource: ONE, policy: TWO },
        );
        check(json!({"object_type": "user_ssh_key"}), Concern::Nothing);
        check(json!({"object_type": "novelty"}), Concern::Unknown("novelty".to_owned()));
    }

    #[test]
    fn orders_that_rest_wake_nobody() {
        for state in ORDER_RESTS {
            check(
                json!({"object_type": "order", "order_uuid": hex(ONE), "order_state": state}),
                Concern::Nothing,
            );
        }
    }

    #[test]
    fn a_message_of_before_has_the_type_of_its_queue_or_of_its_fields() {
        let body = json!({"resource_uuid": hex(ONE), "project_uuid": hex(TWO)}).to_string();
        let concern = |kind| read(body.as_bytes(), kind).unwrap().concern;
        assert_eq!(concern(Some("resource")), Concern::Resource(ONE));
        assert_eq!(
            concern(Some("user_role")),
            Concern::Roles { project: TWO, resource: Some(ONE), user: None }
        );
        assert_eq!(concern(None), Concern::Resource(ONE));
    }

    #[test]
    fn what_can_never_be_worked_says_so_with_its_beginning() {
        let text = |body: &[u8]| read(body, None).unwrap_err().to_string();
        let not_json = text(b"hello\n\x07there");
        assert!(not_json.starts_with("it is not JSON (") && not_json.contains("`hello"), "{not_json}");
        assert!(!not_json.contains(char::is_control), "{not_json}");
        assert_eq!(text(b"[1]"), "it is not a JSON object; it begins with `[1]`");
        assert_eq!(
            text(br#"{"object_type":"order","order_uuid":7}"#),
            "a message of type `order` has to have a UUID as `order_uuid`; it begins with \
             `{\"object_type\":\"order\",\"order_uuid\":7}`"
        );
        assert!(text(b"{}").starts_with("it does not say what type"));
        assert!(text(&[0xff; 10_000]).len() < 700);
    }
}
