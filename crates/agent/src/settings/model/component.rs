//! The components of an offering and the quota keys they become. Waldur contract §1.6.

use planner::lifecycle::Shrink;
use planner::usage::rule::{Measure, Thing};

use crate::settings::{ExactDecimal, Quantity, QuotaKey};

/// One component: what it is in Waldur, and what it limits on the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentSettings {
    /// The component's type, its key in Waldur's `limits`.
    pub name: String,
    /// Unit shown in Waldur.
    pub measured_unit: String,
    /// How Waldur bills it.
    pub accounting_type: AccountingType,
    /// Name shown in Waldur; the type if the file gives none.
    pub label: String,
    /// Value at the cluster for one unit in Waldur.
    pub unit_factor: ExactDecimal,
    /// The same for usage reports; `unit_factor` if the file gives none.
    pub unit_factor_reporting: ExactDecimal,
    /// `limit_amount` in Waldur.
    pub limit: Option<ExactDecimal>,
    /// What becomes of an Update order that goes below what is in use.
    pub shrink: Shrink,
    /// What is only passed on to Waldur.
    pub portal: PortalComponent,
    /// The quota keys it limits; empty for a component without effect on the cluster.
    pub quota: Vec<QuotaTarget>,
    /// How its usage is measured; `None` for a component whose usage is not reported.
    pub usage: Option<UsageSettings>,
}

/// How the usage of a component is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSettings {
    /// What counts.
    pub measure: Measure,
    /// What is measured; `None` where the quota alone says it.
    pub thing: Option<Thing>,
    /// Suffix of the unit that is told: `Gi`, `G`; empty for cores and things.
    pub unit: String,
}

/// `billing_type` in Waldur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountingType {
    /// By usage.
    Usage,
    /// By limit.
    Limit,
    /// Once; always prepaid.
    One,
}

impl AccountingType {
    /// The name in the file and in Waldur.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Limit => "limit",
            Self::One => "one",
        }
    }
}

/// `limit_period` in Waldur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitPeriod {
    /// A year.
    Annual,
    /// A month.
    Month,
    /// A quarter.
    Quarterly,
    /// The whole life of the resource.
    Total,
}

impl LimitPeriod {
    /// The name in the file and in Waldur.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Annual => "annual",
            Self::Month => "month",
            Self::Quarterly => "quarterly",
            Self::Total => "total",
        }
    }
}

/// Component properties that are only passed on to Waldur, under the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortalComponent {
    /// `description`
    pub description: Option<String>,
    /// `article_code`
    pub article_code: Option<String>,
    /// `min_value`
    pub min_value: Option<i64>,
    /// `max_value`
    pub max_value: Option<i64>,
    /// `max_available_limit`
    pub max_available_limit: Option<i64>,
    /// `default_limit`
    pub default_limit: Option<i64>,
    /// `limit_period`
    pub limit_period: Option<LimitPeriod>,
    /// `is_boolean`
    pub is_boolean: Option<bool>,
    /// `is_prepaid`; always true for `accounting_type: one`.
    pub is_prepaid: Option<bool>,
    /// `min_prepaid_duration`
    pub min_prepaid_duration: Option<i64>,
    /// `max_prepaid_duration`
    pub max_prepaid_duration: Option<i64>,
    /// `prepaid_duration_step`
    pub prepaid_duration_step: Option<i64>,
    /// `min_renewal_duration`
    pub min_renewal_duration: Option<i64>,
    /// `max_renewal_duration`
    pub max_renewal_duration: Option<i64>,
    /// `renewal_duration_step`
    pub renewal_duration_step: Option<i64>,
}

/// One key of a resource quota that a component sets: `static + limit × unit_factor × ratio`, in `unit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaTarget {
    /// Name of the quota.
    pub quota: String,
    /// The key of `spec.hard`.
    pub key: QuotaKey,
    /// What the limit is multiplied with, beside the component's `unit_factor`; greater than 0.
    pub ratio: ExactDecimal,
    /// Suffix of the quantity: `Gi`, `M`, `m`, …; empty for plain numbers.
    pub unit: String,
    /// Added to the product.
    pub static_part: Option<Quantity>,
}
