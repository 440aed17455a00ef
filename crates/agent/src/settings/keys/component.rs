//! Keys of one component. Waldur contract §1.6.

use super::{Bound, Key, Kind};

const COUNT: Kind = Kind::Int(0, i64::MAX);

pub(crate) const COMPONENT: &[Key] = &[
    Key::new("measured_unit", Kind::Text, "Unit shown in Waldur.").required().example("Core"),
    Key::new("accounting_type", Kind::Choice(&["usage", "limit", "one"]), "How Waldur bills it.")
        .required()
        .example("limit"),
    Key::new("label", Kind::Text, "Name shown in Waldur; the component's type if not given.").shown("CPU"),
    Key::new(
        "unit_factor",
        Kind::Decimal(Bound::Positive),
        "Value at the cluster for one unit in Waldur; applied exactly.",
    )
    .default("1"),
    Key::new(
        "unit_factor_reporting",
        Kind::Decimal(Bound::Positive),
        "The same for usage reports; unit_factor if not given.",
    ),
    Key::new("limit", Kind::Decimal(Bound::NotNegative), "The highest amount of usage in Waldur."),
    Key::new(
        "quota",
        Kind::QuotaTargets,
        "The quota keys it limits: a key, or a list of keys and of targets. \
         cpu, memory, storage and pods have the documented ones.",
    )
    .example("[requests.cpu, {key: limits.cpu, ratio: 2}]"),
    Key::new(
        "shrink",
        Kind::Choice(&["accept", "refuse"]),
        "What becomes of an Update order that goes below what is in use: `accept`, it is done and Waldur \
         is told what is over; `refuse`, it is refused with the numbers.",
    )
    .default("accept"),
    Key::new(
        "usage",
        Kind::Section(USAGE),
        "How its usage is measured; not needed for cpu, memory, storage and pods.",
    ),
    Key::new("description", Kind::Text, "Passed on to Waldur.").example("Cores"),
    Key::new("article_code", Kind::Text, "Passed on to Waldur.").example("OKD-CPU"),
    Key::new("min_value", COUNT, "Passed on to Waldur."),
    Key::new("max_value", COUNT, "Passed on to Waldur."),
    Key::new("max_available_limit", COUNT, "Passed on to Waldur."),
    Key::new("default_limit", COUNT, "Passed on to Waldur."),
    Key::new(
        "limit_period",
        Kind::Choice(&["annual", "month", "quarterly", "total"]),
        "Passed on to Waldur.",
    ),
    Key::new("is_boolean", Kind::Bool, "Passed on to Waldur."),
    Key::new("is_prepaid", Kind::Bool, "Passed on to Waldur; true for `accounting_type: one`."),
    Key::new("min_prepaid_duration", COUNT, "Passed on to Waldur."),
    Key::new("max_prepaid_duration", COUNT, "Passed on to Waldur."),
    Key::new("prepaid_duration_step", COUNT, "Passed on to Waldur."),
    Key::new("min_renewal_duration", COUNT, "Passed on to Waldur."),
    Key::new("max_renewal_duration", COUNT, "Passed on to Waldur."),
    Key::new("renewal_duration_step", COUNT, "Passed on to Waldur."),
    Key::new("target_components", Kind::Any, "Ignored: read by other plugins of the Python agent.").ignored(),
];

pub(crate) const QUOTA_TARGET: &[Key] = &[
    Key::new("key", Kind::Text, "A key of a ResourceQuota, such as requests.cpu or requests.nvidia.com/gpu.")
        .required(),
    Key::new(
        "ratio",
        Kind::Decimal(Bound::Positive),
        "What the limit is multiplied with, beside unit_factor.",
    )
    .default("1"),
    Key::new("unit", Kind::Text, "Suffix of the amount; `Gi` for bytes and none for the rest if not given."),
    Key::new("static", Kind::Quantity, "Added to the product."),
    Key::new(
        "resource_quota",
        Kind::Text,
        "Which quota has the key: one of `project_template.resource_quotas`; `waldur-quota` if not given.",
    )
    .example("batch"),
];

pub(crate) const USAGE: &[Key] = &[
    Key::new(
        "measure",
        Kind::Choice(&["quota_used", "requests", "usage", "max_requests_usage", "allocation"]),
        "What counts: quota_used is the quota's use at the moment, the others are hours of the month. quota_used for \
         components accounted by limit and requests for those by usage, if not given.",
    )
    .example("requests"),
    Key::new(
        "resource",
        Kind::Text,
        "What is measured: cpu, memory, storage, pods, or an extended resource such as nvidia.com/gpu; follows from the \
         component's name or its quota key if not given.",
    )
    .example("nvidia.com/gpu"),
    Key::new(
        "model",
        Kind::Text,
        "Model of the device, as nodes are labelled with it; `unknown` for nodes without that label; all if not given.",
    )
    .example("NVIDIA-A100-SXM4-80GB"),
    Key::new("storage_class", Kind::Text, "Storage class that is counted; all if not given.").example("fast"),
    Key::new(
        "unit",
        Kind::Text,
        "Suffix of the unit that is told; follows from measured_unit for hours and from the quota key for quota_used, if \
         not given.",
    )
    .example("Gi"),
];
