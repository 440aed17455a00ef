//! What is measured for a component, and in which unit it is told.

use super::fraction::{Fraction, Hundredths};
use crate::amount::Amount;
use crate::quota::Hards;

/// What of a resource is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// `status.used` of the quota, as it is now.
    QuotaUsed,
    /// What running pods and claims request, over time.
    Requests,
    /// What containers really use, over time.
    Usage,
    /// The greater of the two at each moment, over time.
    MaxRequestsUsage,
    /// What the quota allows, over time.
    Allocation,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::QuotaUsed, Self::Requests, Self::Usage, Self::MaxRequestsUsage, Self::Allocation];

    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QuotaUsed => "quota_used",
            Self::Requests => "requests",
            Self::Usage => "usage",
            Self::MaxRequestsUsage => "max_requests_usage",
            Self::Allocation => "allocation",
        }
    }

    /// The measure of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.as_str() == word)
    }

    /// Whether it adds up over the month: it then never goes down within one.
    #[must_use]
    pub const fn is_hours(self) -> bool {
        !matches!(self, Self::QuotaUsed)
    }
}

/// What is requested or used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Thing {
    /// Cores.
    Cpu,
    /// Bytes of memory.
    Memory,
    /// Bytes of persistent volume claims, of one storage class or of all.
    Storage {
        /// Name of the storage class.
        class: Option<String>,
    },
    /// Devices, such as `nvidia.com/gpu`.
    Device {
        /// Name of the extended resource.
        name: String,
        /// The model that nodes are labelled with; empty for devices on nodes without such a label.
        model: Option<String>,
    },
    /// Running pods.
    Pods,
}

impl Thing {
    /// Whether it is counted in bytes, the others being counted in cores and things.
    #[must_use]
    pub const fn is_bytes(&self) -> bool {
        matches!(self, Self::Memory | Self::Storage { .. })
    }
}

/// How one component is measured and told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The component's type in Waldur.
    pub component: String,
    /// See [`Measure`].
    pub measure: Measure,
    /// What is measured; not needed for what is read from the quota.
    pub thing: Option<Thing>,
    /// Name of the quota that has the component's key.
    pub quota: String,
    /// The key of the quota that stands for the component; `None` if it sets none.
    pub quota_key: Option<String>,
    /// What the quota key holds for one unit of the component, beside the unit: the target's ratio.
    pub ratio: Amount,
    /// One unit on the cluster, such as 2³⁰ for `Gi`.
    pub unit: Amount,
    /// `unit_factor_reporting`: units on the cluster for one in Waldur.
    pub factor: Amount,
}

/// Integers of the ledger for one unit on the cluster: millionths of cores and devices, whole bytes.
const MICRO: i128 = 1_000_000;

impl Rule {
    /// The component's amount of what quotas say.
    #[must_use]
    pub fn of(&self, quotas: &Hards) -> Option<Amount> {
        quotas.get(&self.quota)?.get(self.quota_key.as_ref()?).copied()
    }

    /// What the quota shows as used now, in Waldur's unit; `None` if it does not say.
    #[must_use]
    pub fn gauge(&self, used: &Hards) -> Option<Hundredths> {
        let used = self.of(used)?;
        Fraction::of(used)?.per(Fraction::of(self.ratio)?)?.per(self.divisor()?)?.hundredths()
    }

    /// What integers of the ledger, summed over seconds, are in hours of Waldur's unit.
    #[must_use]
    pub fn hours(&self, total: i128) -> Option<Hundredths> {
        let scale = if self.is_bytes() { 1 } else { MICRO };
        Fraction::new(total, scale)?.times(Fraction::new(1, 3600)?)?.per(self.divisor()?)?.hundredths()
    }

    /// An amount as an integer of the ledger, rounded half up.
    #[must_use]
    pub fn integer(&self, amount: Amount) -> i128 {
        let step = if self.is_bytes() { Amount::ONE.nano() } else { Amount::ONE.nano() / MICRO };
        (amount.nano() + step / 2).div_euclid(step)
    }

    /// What a quota key allows as an integer of the ledger, without the ratio by which it is larger than what was
    /// bought.
    #[must_use]
    pub fn integer_allowed(&self, hard: Amount) -> Option<i128> {
        let bought = Fraction::of(hard)?.per(Fraction::of(self.ratio)?)?;
        let scale = if self.is_bytes() { 1 } else { MICRO };
        bought.times(Fraction::new(scale, 1)?)?.rounded()
    }

    fn is_bytes(&self) -> bool {
        match &self.thing {
            Some(thing) => thing.is_bytes(),
            None => {
                self.quota_key.as_deref().is_some_and(|key| key.contains("memory") || key.contains("storage"))
            }
        }
    }

    fn divisor(&self) -> Option<Fraction> {
        Fraction::of(self.unit)?.times(Fraction::of(self.factor)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(measure: Measure, key: &str, unit: &str, factor: &str) -> Rule {
        Rule {
            component: "c".to_owned(),
            quota: "q".to_owned(),
            measure,
            thing: key.contains("memory").then_some(Thing::Memory),
            quota_key: Some(key.to_owned()),
            ratio: Amount::ONE,
            unit: unit.parse().unwrap(),
            factor: factor.parse().unwrap(),
        }
    }

    fn shown(key: &str, used: &str) -> Hards {
        let hard = [(key.to_owned(), used.parse().unwrap())];
        [("q".to_owned(), hard.into()), ("other".to_owned(), [(key.to_owned(), Amount::whole(9))].into())]
            .into()
    }

    #[test]
    fn gauges_are_exact_in_every_suffix() {
        for (key, unit, factor, used, expected) in [
            ("requests.cpu", "1", "1", "1500m", "1.50"),
            ("requests.memory", "1Gi", "1", "1Ti", "1024.00"),
            ("requests.memory", "1Gi", "1", "524288Ki", "0.50"),
            ("requests.memory", "1Gi", "1", "10G", "9.31"),
            ("requests.memory", "1Gi", "1024", "2Ti", "2.00"),
            ("pods", "1", "1", "0", "0.00"),
            ("requests.cpu", "1", "0.001", "3", "3000.00"),
        ] {
            let used = shown(key, used);
            let value = rule(Measure::QuotaUsed, key, unit, factor).gauge(&used);
            assert_eq!(value.map(|value| value.to_string()).as_deref(), Some(expected), "{key} {used:?}");
        }
    }

    #[test]
    fn a_key_that_the_quota_does_not_show_is_unknown_and_not_zero() {
        let used = shown("pods", "0");
        assert_eq!(rule(Measure::QuotaUsed, "requests.cpu", "1", "1").gauge(&used), None);
    }

    #[test]
    fn hours_are_rounded_once() {
        let cores = rule(Measure::Requests, "requests.cpu", "1", "1");
        let quarter = cores.integer("250m".parse().unwrap());
        assert_eq!(cores.hours(quarter * 3600).unwrap().to_string(), "0.25");
        assert_eq!(cores.hours(quarter * 60).unwrap().to_string(), "0.00");
        assert_eq!(cores.hours(quarter * 60 * 3).unwrap().to_string(), "0.01");
        let memory = rule(Measure::Requests, "requests.memory", "1Gi", "1");
        let bytes = memory.integer("2Gi".parse().unwrap());
        assert_eq!(memory.hours(bytes * 1800).unwrap().to_string(), "1.00");
    }
}
