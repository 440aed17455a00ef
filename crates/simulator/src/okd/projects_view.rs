//! Which projects a user sees in a list: those whose namespace the user may get, as of the last refresh of a cache.

use std::sync::Arc;

use super::kinds::NAMESPACES;
use super::rbac::{self, Access, User};
use super::store::{Store, Stored};
use super::{Okd, State};

/// Whether the project is listed for the user.
pub(crate) fn may_see(store: &Store, user: &User, namespace: &str) -> bool {
    let access =
        Access { verb: "get", resource: "namespaces", name: namespace, namespace, ..Access::default() };
    rbac::allowed(store, user, &access)
}

/// The listed projects in order of name; those made since the last refresh are missing.
pub(crate) fn visible(state: &State, okd: &Okd, user: &User) -> Vec<Arc<Stored>> {
    let staleness = i64::try_from(okd.options().project_list_staleness.as_millis()).unwrap_or(i64::MAX);
    let now = okd.now().as_millisecond();
    let refreshed = if staleness == 0 { i64::MAX } else { now - now.rem_euclid(staleness) };
    let fresh: Vec<&str> =
        state.fresh.iter().filter(|(_, born)| *born >= refreshed).map(|(name, _)| name.as_str()).collect();
    let everywhere = {
        let access = Access { verb: "get", resource: "namespaces", ..Access::default() };
        rbac::allowed(&state.store, user, &access)
    };
    state
        .store
        .table(NAMESPACES)
        .range(None, None)
        .filter(|stored| !fresh.contains(&&*stored.key.name))
        .filter(|stored| everywhere || may_see(&state.store, user, &stored.key.name))
        .cloned()
        .collect()
}
