//! Messages of the broker: each is read or refused, in one line.

use planner::event;

/// Types that a queue may be for.
const TYPES: [&str; 8] = [
    event::ORDER,
    event::RESOURCE,
    event::USER_ROLE,
    event::OFFERING_USER,
    event::SERVICE_ACCOUNT,
    event::COURSE_ACCOUNT,
    event::IMPORTABLE_RESOURCES,
    event::RESOURCE_PERIODIC_LIMITS,
];

/// The first byte decides what the queue is for; the rest is the body.
pub(crate) fn run(input: &[u8]) {
    let Some((first, body)) = input.split_first() else { return };
    let kind = TYPES.get(usize::from(*first) % (TYPES.len() + 1)).copied();
    match event::read(body, kind) {
        Ok(notice) => assert_eq!(Ok(notice), event::read(body, kind), "read in two ways"),
        Err(error) => {
            let line = error.to_string();
            assert!(!line.is_empty() && !line.chars().any(char::is_control), "{line:?}");
        }
    }
}
