//! Any bytes that a broker may deliver are read or refused, in one line, and name nothing that the message does not.

use planner::event;
use proptest::prelude::*;
use serde_json::Value;

/// The types of messages that are known, and one that is not.
const TYPES: [&str; 9] = [
    "order",
    "resource",
    "user_role",
    "offering_user",
    "importable_resources",
    "service_account",
    "course_account",
    "resource_periodic_limits",
    "weather",
];

const FIELDS: [&str; 14] = [
    "object_type",
    "offering_uuid",
    "order_uuid",
    "order_state",
    "resource_uuid",
    "project_uuid",
    "user_uuid",
    "role_name",
    "offering_user_uuid",
    "backend_resource_request_uuid",
    "account_uuid",
    "policy_uuid",
    "action",
    "backend_id",
];

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(&TYPES[..]).prop_map(Value::from),
        any::<u128>().prop_map(|id| Value::from(uuid::Uuid::from_u128(id).to_string())),
        any::<u128>().prop_map(|id| Value::from(uuid::Uuid::from_u128(id).simple().to_string())),
        prop::collection::vec(any::<bool>().prop_map(Value::from), 0..3).prop_map(Value::from),
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let fields = prop::collection::vec((prop::sample::select(&FIELDS[..]), value()), 0..12);
    let object = fields.prop_map(|fields| {
        Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    });
    prop_oneof![
        4 => object.prop_map(|object| object.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #[test]
    fn any_message_is_read_or_refused(
        body in message(),
        queue in prop::option::of(prop::sample::select(&TYPES[..])),
        cut in any::<prop::sample::Index>(),
    ) {
        for body in [&body[..], &body[..cut.index(body.len() + 1)]] {
            match event::read(body, queue) {
                Ok(notice) => {
                    let text = String::from_utf8_lossy(body).replace('-', "").to_lowercase();
                    if let Some(offering) = notice.offering {
                        prop_assert!(text.contains(&offering.simple().to_string()));
                    }
                }
                Err(problem) => {
                    let shown = problem.to_string();
                    prop_assert!(!shown.contains(char::is_control), "{shown:?}");
                    prop_assert!(shown.chars().count() < 1000, "{shown}");
                }
            }
        }
    }
}
