//! From Waldur's limits to the hard values of a project's quotas (design: Quota): `waldur-quota`, and further ones where the
//! operator wants them.
//!
//! A component for which nobody says anything keeps the value that the cluster has: an order that names some
//! components must not lift the limits of the others.

pub mod scopes;

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::{Amount, Notation};
use crate::lifecycle::Hold;
use crate::model::{Limit, Limits, Offering};
use crate::policy::{ComponentPolicy, LimitRangePolicy, Policy, QuotaTarget};

use scopes::Scopes;

/// Values of a quota by key (Kubernetes: `spec.hard`).
pub type Hard = BTreeMap<String, Amount>;

/// Values of several quotas, by the name of the object.
pub type Hards = BTreeMap<String, Hard>;

/// What a quota says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// What it counts.
    pub scopes: Scopes,
    /// How much of it there may be.
    pub hard: Hard,
}

/// The quotas of a project, by the name of the object; mostly `waldur-quota` alone.
pub type DesiredQuotas = BTreeMap<String, DesiredQuota>;

/// What a quota should say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredQuota {
    /// What it counts.
    pub scopes: Scopes,
    /// Keys with a known value.
    pub hard: Hard,
    /// Keys that a component of the offering owns but for which no limit is known: they stay as they are.
    pub keep: BTreeSet<String>,
}

impl DesiredQuota {
    /// The quota to write, given what is there now.
    #[must_use]
    pub fn resolved(&self, observed: Option<&Hard>) -> Quota {
        Quota { scopes: self.scopes.clone(), hard: self.resolve(observed) }
    }

    /// The whole of `spec.hard` to write, given what is there now.
    #[must_use]
    pub fn resolve(&self, observed: Option<&Hard>) -> Hard {
        let mut hard = self.hard.clone();
        for key in &self.keep {
            if let Some(value) = observed.and_then(|observed| observed.get(key)) {
                hard.entry(key.clone()).or_insert(*value);
            }
        }
        hard
    }
}

/// Why limits cannot become a quota. The text is for the customer and for the provider's support.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Below zero.
    #[error("the limit of `{component}` is {amount}; it must not be negative")]
    Negative {
        /// Component type.
        component: String,
        /// As ordered.
        amount: Amount,
    },
    /// No number at all, or one beyond what Kubernetes holds.
    #[error("the limit of `{component}` cannot be used: {reason}")]
    Invalid {
        /// Component type.
        component: String,
        /// What is wrong.
        reason: String,
    },
    /// The product with ratio, factor and unit is beyond what Kubernetes holds.
    #[error("the limit of `{component}` is {amount}, which is more than Kubernetes can hold as `{key}`")]
    TooLarge {
        /// Component type.
        component: String,
        /// As ordered.
        amount: Amount,
        /// Quota key.
        key: String,
    },
    /// A count with a fraction.
    #[error("the limit of `{component}` is {amount}, but `{key}` counts whole objects")]
    NotWhole {
        /// Component type.
        component: String,
        /// As ordered.
        amount: Amount,
        /// Quota key.
        key: String,
    },
    /// The order names a component that the offering lacks.
    #[error("the order names `{component}`, which this offering does not have; it has {known}")]
    UnknownComponent {
        /// Component type as ordered.
        component: String,
        /// Types that the offering has.
        known: String,
    },
}

/// The effective limits: later layers replace earlier ones per component. Unset values say nothing.
#[must_use]
pub fn merged<'a>(layers: impl IntoIterator<Item = &'a Limits>) -> Limits {
    let mut limits = Limits::new();
    for (component, limit) in layers.into_iter().flatten() {
        if *limit != Limit::Unset {
            limits.insert(component.clone(), limit.clone());
        }
    }
    limits
}

/// Refuses components that the offering does not have. `ordered` are the limits of the order itself.
///
/// # Errors
/// [`LimitError::UnknownComponent`] for the first such component.
pub fn check_components(offering: &Offering, ordered: &Limits) -> Result<(), LimitError> {
    let unknown = ordered.iter().find(|(component, limit)| {
        !matches!(limit, Limit::Unset) && !offering.components.contains(component)
    });
    match unknown {
        Some((component, _)) => Err(LimitError::UnknownComponent {
            component: component.clone(),
            known: offering.components.join(", "),
        }),
        None => Ok(()),
    }
}

/// The quotas for these limits, which are held back as the operator wants it. A paused resource gets nothing of what is
/// fixed either.
///
/// # Errors
/// [`LimitError`] for the first limit that cannot be held.
pub fn desired(
    policy: &Policy,
    offering: &Offering,
    hold: Option<Hold>,
    limits: &Limits,
) -> Result<DesiredQuotas, LimitError> {
    let limits = &held_back(policy, hold, with_fallbacks(policy, offering, limits));
    let fixed = |hard: &Hard| match hold {
        Some(Hold::Paused) => hard.keys().map(|key| (key.clone(), Amount::ZERO)).collect(),
        Some(Hold::Downscaled) | None => hard.clone(),
    };
    let without_components = policy.quotas.iter().map(|(name, quota)| {
        let (scopes, hard) = (quota.scopes.clone(), fixed(&quota.hard));
        (name.clone(), DesiredQuota { scopes, hard, keep: BTreeSet::new() })
    });
    let mut quotas: DesiredQuotas = without_components.collect();
    for (component, settings) in &policy.components {
        if !offering.components.contains(component) {
            continue;
        }
        let amount = match limits.get(component) {
            Some(Limit::Amount(amount)) => Some(*amount),
            Some(Limit::Invalid(reason)) => {
                return Err(LimitError::Invalid { component: component.clone(), reason: reason.clone() });
            }
            Some(Limit::Unset) | None => None,
        };
        for target in &settings.targets {
            let quota = quotas.entry(target.quota.clone()).or_default();
            match amount {
                Some(amount) => {
                    let value = target_value(component, settings, target, amount)?;
                    quota.hard.insert(target.key.clone(), value);
                }
                None => {
                    quota.keep.insert(target.key.clone());
                }
            }
        }
    }
    Ok(quotas)
}

/// Limits with those of the configuration for components of which nothing is said.
#[must_use]
pub fn with_fallbacks(policy: &Policy, offering: &Offering, limits: &Limits) -> Limits {
    let sold = policy.components.iter().filter(|(component, _)| offering.components.contains(component));
    let fallbacks = sold.filter_map(|(component, settings)| {
        Some((component.clone(), Limit::Amount(settings.fallback_limit?)))
    });
    merged([&fallbacks.collect(), limits])
}

/// The limits of which quotas are made, one for each component of the offering that owns a key of it: what
/// [`desired`] is the reverse of. `Limit::Invalid` where no limit gives exactly this value.
#[must_use]
pub fn exact_limits_of(policy: &Policy, offering: &Offering, hards: &Hards) -> Limits {
    let mut limits = Limits::new();
    let value_of = |target: &QuotaTarget| hards.get(&target.quota)?.get(&target.key).copied();
    let sold = policy.components.iter().filter(|(component, _)| offering.components.contains(component));
    for (component, settings) in sold {
        let mut values = settings.targets.iter().filter_map(|target| Some((target, value_of(target)?)));
        let Some((target, value)) = values.next() else {
            continue;
        };
        let limit = target
            .static_part
            .times(Amount::whole(-1))
            .and_then(|part| value.plus(part))
            .and_then(|value| value.over(target.ratio))
            .and_then(|value| value.over(target.unit))
            .and_then(|value| value.over(settings.unit_factor))
            .filter(|limit| !limit.is_negative());
        let limit = limit.map_or_else(
            || Limit::Invalid(format!("no limit gives `{}: {}`", target.key, quantity(&target.key, value))),
            Limit::Amount,
        );
        limits.insert(component.clone(), limit);
    }
    limits
}

fn target_value(
    component: &str,
    settings: &ComponentPolicy,
    target: &QuotaTarget,
    amount: Amount,
) -> Result<Amount, LimitError> {
    let (component, key) = (component.to_owned(), target.key.clone());
    if amount.is_negative() {
        return Err(LimitError::Negative { component, amount });
    }
    let value = amount
        .times(settings.unit_factor)
        .and_then(|value| value.times(target.unit))
        .and_then(|value| value.times(target.ratio))
        .and_then(|value| value.plus(target.static_part));
    match value {
        None => Err(LimitError::TooLarge { component, amount, key }),
        Some(value) if counts_objects(&key) && !value.is_whole() => {
            Err(LimitError::NotWhole { component, amount, key })
        }
        Some(value) => Ok(value),
    }
}

/// True for keys whose values the API server requires to be integers: everything but cpu, memory and storage.
#[must_use]
pub fn counts_objects(key: &str) -> bool {
    let measured = ["cpu", "memory", "ephemeral-storage", "requests.storage"];
    let measured_prefixed = ["requests.cpu", "limits.cpu", "requests.memory", "limits.memory"];
    let suffixed = ["requests.ephemeral-storage", "limits.ephemeral-storage"];
    !(measured.contains(&key)
        || measured_prefixed.contains(&key)
        || suffixed.contains(&key)
        || key.ends_with("/requests.storage")
        || key.contains("hugepages-"))
}

/// How a value of this key is written: bytes by powers of 1024, everything else by powers of 1000.
#[must_use]
pub fn notation(key: &str) -> Notation {
    let bytes = ["memory", "storage"].iter().any(|word| key.ends_with(word)) || key.contains("hugepages-");
    if bytes { Notation::Binary } else { Notation::Decimal }
}

/// A value of this key as the API server would write it.
#[must_use]
pub fn quantity(key: &str, value: Amount) -> String {
    value.quantity(notation(key))
}

/// Limits that hold now: those of a paused or downscaled resource are fixed by policy.
fn held_back(policy: &Policy, hold: Option<Hold>, limits: Limits) -> Limits {
    let whole = |component: &str| {
        let targets = policy.components.get(component).map_or(&[][..], |settings| &settings.targets);
        targets.iter().any(|target| counts_objects(&target.key))
    };
    match hold {
        Some(hold) => policy.lifecycle.held(hold, limits, whole),
        None => limits,
    }
}

/// The limit range that fits under what was bought: a default larger than the whole quota would keep every pod
/// without limits from starting. What the API server would fill in is filled in here, so that what it shows is what was
/// written (Kubernetes: defaults of LimitRangeItem).
#[must_use]
pub fn limit_range(policy: &LimitRangePolicy, bought: &Hard) -> LimitRangePolicy {
    let LimitRangePolicy { max, min, .. } = policy;
    let mut default = with_missing(&policy.default, max);
    let mut default_request = with_missing(&with_missing(&policy.default_request, &default), min);
    for (prefix, defaults) in [("limits", &mut default), ("requests", &mut default_request)] {
        for (resource, value) in defaults.iter_mut() {
            let ceiling = bought.get(&format!("{prefix}.{resource}")).filter(|hard| **hard > Amount::ZERO);
            let floor = min.get(resource).copied().unwrap_or(Amount::ZERO);
            *value = ceiling.map_or(*value, |ceiling| (*value).min(*ceiling)).max(floor);
        }
    }
    for (resource, request) in &mut default_request {
        if let Some(limit) = default.get(resource) {
            *request = (*request).min(*limit);
        }
    }
    LimitRangePolicy { default, default_request, max: max.clone(), min: min.clone() }
}

/// Amounts with those of `others` for what has none.
fn with_missing(
    amounts: &BTreeMap<String, Amount>,
    others: &BTreeMap<String, Amount>,
) -> BTreeMap<String, Amount> {
    others.iter().chain(amounts).map(|(resource, amount)| (resource.clone(), *amount)).collect()
}

/// Largest limit that is looked for.
const LARGEST: i64 = 1 << 40;

/// The limits that quotas come to: for each component of the offering the largest whole number that its first quota
/// key has room for. A component whose key is not there has none.
#[must_use]
pub fn whole_limits_of(policy: &Policy, offering: &Offering, hards: &Hards) -> BTreeMap<String, i64> {
    let limits = offering.components.iter().filter_map(|component| {
        let rule = policy.components.get(component)?;
        let target = rule.targets.first()?;
        let room = *hards.get(&target.quota)?.get(&target.key)?;
        let fits = |units: i64| {
            let amount =
                Amount::whole(units).times(rule.unit_factor)?.times(target.ratio)?.times(target.unit)?;
            Some(amount.plus(target.static_part)? <= room)
        };
        let (mut low, mut high) = (0, LARGEST);
        while low < high {
            let middle = low + (high - low + 1) / 2;
            // What is beyond an amount does not fit either.
            if fits(middle) == Some(true) { low = middle } else { high = middle - 1 }
        }
        Some((component.clone(), low))
    });
    limits.collect()
}
