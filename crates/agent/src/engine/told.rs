//! What messages have told of an offering: what was read before is not good enough any more. A plain value, no I/O.

use std::collections::HashMap;
use std::time::Instant;

use uuid::Uuid;

/// What events have told since; facts that were read before it are not good enough.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// When a key was woken by an event.
    pub(super) woken: HashMap<Uuid, Instant>,
    /// When roles in a project changed.
    pub(super) roles: HashMap<Uuid, Instant>,
    /// When accounts in the offering changed.
    pub(super) accounts: Option<Instant>,
    /// Since when all messages have come, where they come now.
    pub(super) hears: Option<Instant>,
}

impl Told {
    /// True if accounts have changed since.
    pub(super) fn accounts_changed_since(&self, read: Instant) -> bool {
        self.accounts.is_some_and(|changed| changed >= read)
    }

    /// True if messages would have told of any change of accounts since, and have told of none.
    pub(super) fn accounts_unchanged_since(&self, read: Instant) -> bool {
        self.hears.is_some_and(|since| since <= read) && !self.accounts_changed_since(read)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn accounts_are_known_as_long_as_messages_come_and_tell_of_no_change() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut told = Told::default();
        assert!(!told.accounts_unchanged_since(at(9)), "nobody listens");
        told.hears = Some(at(5));
        assert!(!told.accounts_unchanged_since(at(4)), "nobody has listened then");
        assert!(told.accounts_unchanged_since(at(5)));
        told.accounts = Some(at(7));
        assert!(!told.accounts_unchanged_since(at(7)));
        assert!(told.accounts_unchanged_since(at(8)));
        told.hears = None;
        assert!(!told.accounts_unchanged_since(at(8)));
    }
}
