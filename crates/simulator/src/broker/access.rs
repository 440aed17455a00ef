//! Users of the broker: passcodes, and what each may do in which virtual host. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What a user may do in a virtual host (RabbitMQ's permissions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Make, write and read everything.
    Full,
    /// Read these queues, which must exist, and nothing else; what Waldur gives its agents.
    Read(BTreeSet<String>),
}

/// One who may log in.
#[derive(Clone, Debug, Default)]
pub(super) struct User {
    pub(super) passcodes: Vec<String>,
    pub(super) access: BTreeMap<String, Access>,
}

impl User {
    pub(super) fn knows(&self, passcode: &str) -> bool {
        self.passcodes.iter().any(|known| known == passcode)
    }

    pub(super) fn may_read(&self, vhost: &str, queue: &str) -> bool {
        match self.access.get(vhost) {
            Some(Access::Full) => true,
            Some(Access::Read(queues)) => queues.contains(queue),
            None => false,
        }
    }

    pub(super) fn may_change(&self, vhost: &str) -> bool {
        self.access.get(vhost) == Some(&Access::Full)
    }

    /// Adds a right to those that the user has in the virtual host.
    pub(super) fn allow(&mut self, vhost: &str, access: Access) {
        let merged = match (self.access.remove(vhost), access) {
            (Some(Access::Full), _) | (_, Access::Full) => Access::Full,
            (Some(Access::Read(had)), Access::Read(more)) => {
                Access::Read(had.into_iter().chain(more).collect())
            }
            (None, access) => access,
        };
        self.access.insert(vhost.to_owned(), merged);
    }
}
