//! Access beside HTTP: what tests and demonstrations put in, force, read and wait for.
//!
//! Nothing here checks permissions or states. What the server itself does in consequence of a change (events,
//! offering users) happens as over HTTP.

mod build;
mod force;
mod load;
mod read;
mod wait;

pub use self::build::CreateOrder;
pub use self::read::Listener;

use super::Waldur;
use super::state::State;

impl Waldur {
    /// Changes the state and wakes everybody who waits for a change.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = self.with(change);
        self.changed();
        result
    }
}
