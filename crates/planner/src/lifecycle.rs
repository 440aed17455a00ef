//! Pause, downscale, restore and terminate: what the operator has decided, and the marks on a namespace that say how
//! far the agent is with it.
//!
//! Marks are annotations, since the agent keeps no state of its own: a restarted or reinstalled agent reads them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::amount::Amount;
use crate::model::{Limit, Limits, Resource};
use crate::observed::{Namespace, Observed};

/// How the resource is held, for `restore: defaults`: one of [`PAUSED`], [`DOWNSCALED`], [`RESTORED`].
pub const HELD: &str = "waldur/held";
/// Value of [`HELD`].
pub const PAUSED: &str = "paused";
/// Value of [`HELD`].
pub const DOWNSCALED: &str = "downscaled";
/// Value of [`HELD`]: no longer held, and on the fixed quota since.
pub const RESTORED: &str = "restored";
/// How far the workloads of a project are that is, or was, paused: [`STOPPING`], [`STOPPED`] or [`STARTING`].
pub const WORKLOADS: &str = "waldur/workloads";
/// Value of [`WORKLOADS`]: some may be stopped.
pub const STOPPING: &str = "stopping";
/// Value of [`WORKLOADS`]: all are stopped that can be.
pub const STOPPED: &str = "stopped";
/// Value of [`WORKLOADS`]: some may be stopped and others not any more.
pub const STARTING: &str = "starting";
/// When a project was terminated that is kept or not deleted yet (RFC 3339).
pub const TERMINATED: &str = "waldur/terminated";
/// When it is to be deleted (RFC 3339); without it, it is kept.
pub const DELETE_AFTER: &str = "waldur/delete-after";
/// The order for which it was, whose deadline it then is.
pub const TERMINATED_BY: &str = "waldur/terminated-by";
/// Something is left to do until a terminated project is locked. Without it, it is.
pub const LOCKING: &str = "waldur/locking";
/// On a workload: what it had before it was stopped.
pub const BEFORE_STOP: &str = "waldur/before-stop";

/// All marks of a namespace. One that is not wanted is removed, whoever put it there.
pub const MARKS: [&str; 6] = [HELD, WORKLOADS, TERMINATED, TERMINATED_BY, DELETE_AFTER, LOCKING];

/// What a component is held at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldAmount {
    /// This much, in Waldur's unit.
    Fixed(Amount),
    /// This part (of one) of what was bought.
    Share(Amount),
}

impl HeldAmount {
    /// The amount, in Waldur's unit; `None` where what was bought is not known. Parts of a thing are rounded down.
    #[must_use]
    pub fn of(self, bought: Option<&Limit>, whole: bool) -> Option<Limit> {
        let share = match self {
            Self::Fixed(amount) => return Some(Limit::Amount(amount)),
            Self::Share(share) => share,
        };
        let Some(Limit::Amount(bought)) = bought else {
            return bought.filter(|limit| **limit != Limit::Unset).cloned();
        };
        let amount = bought.times(share)?;
        Some(Limit::Amount(if whole { amount.rounded_down() } else { amount }))
    }
}

/// What terminating a resource does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Termination {
    /// Delete, and wait until the project is gone.
    #[default]
    Wait,
    /// Delete, and do not wait.
    Async,
    /// Lock, and delete after this time.
    Grace(SignedDuration),
    /// Lock, and never delete.
    Keep,
}

/// What becomes of an Update order that goes below what is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shrink {
    /// It is done; what is over the limit is told.
    #[default]
    Accept,
    /// It is refused.
    Refuse,
}

/// The operator's decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecyclePolicy {
    /// What a paused resource is held at, for each component that has quota targets.
    pub paused: BTreeMap<String, HeldAmount>,
    /// The same for a downscaled resource.
    pub downscaled: BTreeMap<String, HeldAmount>,
    /// Fixed limits that a resource goes back to, in Waldur's unit; without them it goes back to those in Waldur.
    pub restored: Option<BTreeMap<String, Amount>>,
    /// Pausing stops workloads too.
    pub stop_workloads: bool,
    /// See [`Termination`].
    pub termination: Termination,
}

/// How Waldur wants a resource held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Paused; also where it is downscaled as well.
    Paused,
    /// Downscaled.
    Downscaled,
}

impl Hold {
    /// By the flags of the resource.
    #[must_use]
    pub const fn of(resource: &Resource) -> Option<Self> {
        match (resource.paused, resource.downscaled) {
            (true, _) => Some(Self::Paused),
            (false, true) => Some(Self::Downscaled),
            (false, false) => None,
        }
    }

    /// Value of [`HELD`].
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Paused => PAUSED,
            Self::Downscaled => DOWNSCALED,
        }
    }
}

impl LifecyclePolicy {
    /// Limits with those of a held resource in place. `whole` says which components count things.
    #[must_use]
    pub fn held(&self, hold: Hold, mut limits: Limits, whole: impl Fn(&str) -> bool) -> Limits {
        let held = match hold {
            Hold::Paused => &self.paused,
            Hold::Downscaled => &self.downscaled,
        };
        for (component, amount) in held {
            if let Some(limit) = amount.of(limits.get(component), whole(component)) {
                limits.insert(component.clone(), limit);
            }
        }
        limits
    }
}

/// The value of a mark; empty counts as none.
#[must_use]
pub fn mark<'a>(namespace: &'a Namespace, key: &str) -> Option<&'a str> {
    namespace.annotations.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

/// The time in a mark; `None` if there is none, an error with its text if it is no time.
///
/// # Errors
/// The text that is no time.
pub fn time_mark(namespace: &Namespace, key: &str) -> Result<Option<Timestamp>, String> {
    mark(namespace, key).map(|text| text.parse().map_err(|_| text.to_owned())).transpose()
}

/// Whether something is left to do until the project of a terminated resource is locked, by its marks and by whether it still
/// gives anybody access. The latter counts whatever the marks say.
pub fn is_open(is_marked: impl Fn(&str) -> bool, gives_access: impl FnOnce() -> bool) -> bool {
    is_marked(LOCKING) || is_marked(TERMINATED) && gives_access()
}

/// A deadline this far from now, by the later of both clocks: nothing is deleted early since one of them is behind.
#[must_use]
pub fn deadline(now: Timestamp, observed: &Observed, grace: SignedDuration) -> Timestamp {
    let from = observed.server_time.map_or(now, |server| now.max(server));
    let whole = Timestamp::from_second(from.as_second()).unwrap_or(from);
    whole.saturating_add(grace).unwrap_or(Timestamp::MAX)
}

/// Whether a deadline has passed by both clocks: one that jumps deletes nothing.
#[must_use]
pub fn has_passed(deadline: Timestamp, now: Timestamp, observed: &Observed) -> bool {
    deadline <= now && observed.server_time.is_none_or(|server| deadline <= server)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn a_share_is_of_what_was_bought() {
        let bought = |text: &str| Limit::Amount(amount(text));
        let half = HeldAmount::Share(amount("0.5"));
        assert_eq!(half.of(Some(&bought("5")), false), Some(bought("2.5")));
        assert_eq!(half.of(Some(&bought("5")), true), Some(bought("2")));
        assert_eq!(half.of(Some(&bought("1")), true), Some(bought("0")));
        assert_eq!(half.of(None, true), None);
        assert_eq!(half.of(Some(&Limit::Unset), true), None);
        // What is wrong with a limit is said, not hidden.
        let invalid = Limit::Invalid("`x` is not a number".to_owned());
        assert_eq!(half.of(Some(&invalid), true), Some(invalid));
        assert_eq!(HeldAmount::Fixed(amount("1")).of(None, true), Some(bought("1")));
    }

    #[test]
    fn a_deadline_passes_by_both_clocks_and_is_set_by_the_later() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let server = |second| Observed { server_time: Some(at(second)), ..Observed::default() };
        let grace = SignedDuration::from_secs(10);
        assert_eq!(deadline(at(100), &server(90), grace), at(110));
        assert_eq!(deadline(at(100), &server(190), grace), at(200));
        for (now, server_time, passed) in
            [(110, 110, true), (109, 200, false), (200, 109, false), (200, 111, true)]
        {
            assert_eq!(has_passed(at(110), at(now), &server(server_time)), passed, "{now} {server_time}");
        }
        assert!(has_passed(at(110), at(110), &Observed::default()));
    }
}
