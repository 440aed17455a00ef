//! What pause, downscale, restore and terminate do, from settings to the planner's policy.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use planner::amount::Amount;
use planner::lifecycle::{HeldAmount, LifecyclePolicy, Termination};

use super::amount;
use crate::settings::{HeldQuota, Lifecycle, OfferingSettings, RestoreTo};

/// What the documentation of the OKD plugin restores (Waldur contract §7.1), in its components' units.
const RESTORED: [(&str, i64); 4] = [("cpu", 10), ("memory", 32), ("storage", 100), ("pods", 50)];

pub(super) fn policy(offering: &OfferingSettings) -> anyhow::Result<LifecyclePolicy> {
    let lifecycle = &offering.lifecycle;
    let fixed = RESTORED.into_iter().map(|(name, amount)| (name.to_owned(), Amount::whole(amount)));
    Ok(LifecyclePolicy {
        paused: held(offering, &lifecycle.pause_quotas, 0)?,
        downscaled: held(offering, &lifecycle.downscale_quotas, 1)?,
        restored: (lifecycle.restore == RestoreTo::Defaults).then(|| fixed.collect()),
        stop_workloads: lifecycle.stop_workloads,
        termination: termination(lifecycle),
    })
}

/// Each component that has an effect on the cluster; those that are not named are held at `otherwise`.
fn held(
    offering: &OfferingSettings,
    named: &[(String, HeldQuota)],
    otherwise: i64,
) -> anyhow::Result<BTreeMap<String, HeldAmount>> {
    let components = offering.components.iter().filter(|component| !component.quota.is_empty());
    components
        .map(|component| {
            let held = match named.iter().find(|(name, _)| *name == component.name) {
                Some((_, HeldQuota::Amount(value))) => HeldAmount::Fixed(amount(*value)?),
                Some((_, HeldQuota::Share(share))) => HeldAmount::Share(amount(*share)?),
                None => HeldAmount::Fixed(Amount::whole(otherwise)),
            };
            Ok((component.name.clone(), held))
        })
        .collect()
}

/// A project that is locked first makes nobody wait.
fn termination(lifecycle: &Lifecycle) -> Termination {
    if lifecycle.soft_delete {
        return Termination::Keep;
    }
    if !lifecycle.terminate_grace.is_zero() {
        return Termination::Grace(
            SignedDuration::try_from(lifecycle.terminate_grace).unwrap_or(SignedDuration::MAX),
        );
    }
    if lifecycle.terminate_async { Termination::Async } else { Termination::Wait }
}
