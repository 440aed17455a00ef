//! Keys of the whole file. Waldur contract §1.2; `agent_mode` and its neighbours come from the OKD documentation.

use super::{Key, Kind, OFFERING};

const HTTP: &[&str] = &["http", "https"];
const LOG_LEVELS: &[&str] = &["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

/// Names of alert thresholds are free, values are percentages.
pub(crate) const ALERT_THRESHOLDS_KIND: Kind = Kind::Map(&Kind::Int(0, 100));

pub(crate) const GLOBAL: &[Key] = &[
    Key::new(
        "agent_mode",
        Kind::Choice(&["order_process", "report", "membership_sync", "event_process", "all"]),
        "The mode to run when the command line names none.",
    )
    .example("order_process"),
    Key::new(
        "log_level",
        Kind::Choice(LOG_LEVELS),
        "The lowest level that is logged; the variable WALDUR_LOG_LEVEL wins.",
    )
    .default("INFO"),
    Key::new("log_file", Kind::Path, "A file that gets the log as well, as JSON lines.")
        .example("/var/log/waldur-site-agent.log"),
    Key::new("dry_run", Kind::Bool, "Work out and print what would be done, and write nothing.")
        .default("false"),
    Key::new(
        "polling_interval",
        Kind::Int(1, 31_536_000),
        "Seconds between two cycles of orders, members or reports, where no \
         WALDUR_SITE_AGENT_…_PERIOD_MINUTES is set.",
    )
    .example("300"),
    Key::new("timezone", Kind::TimeZone, "The zone whose months are the billing months of usage reports.")
        .default("UTC"),
    Key::new(
        "reporting_periods",
        Kind::Int(1, 12),
        "How many billing months are reported each cycle, the current one included.",
    )
    .default("2"),
    Key::new(
        "expose_backend_error_details",
        Kind::Bool,
        "Whether Waldur gets the text of a cluster error, or only a general sentence.",
    )
    .default("true"),
    Key::new(
        "global_proxy",
        Kind::CredentialUrl(&["http", "https", "socks5", "socks5h"]),
        "Proxy for requests to Waldur and for the event broker; NO_PROXY names hosts that the broker may be at \
         without it.",
    )
    .example("http://proxy.example.com:3128"),
    Key::new("sentry_dsn", Kind::CredentialUrl(HTTP), "Where errors are reported to Sentry.")
        .example("https://key@sentry.example.com/1"),
    Key::new(
        "elastic_apm_server_url",
        Kind::CredentialUrl(HTTP),
        "Where errors are reported to Elastic APM.",
    )
    .example("https://apm.example.com"),
    Key::new("log_shipping", Kind::Section(LOG_SHIPPING), "Sending of the agent's log to Waldur."),
    Key::new("monitoring", Kind::Section(MONITORING), "Health, and where usage is measured; metrics and alerts."),
    Key::new(
        "offerings",
        Kind::List(&Kind::Section(OFFERING)),
        "The offerings; those of other back ends are skipped.",
    )
    .required(),
];

pub(crate) const LOG_SHIPPING: &[Key] = &[
    Key::new("enabled", Kind::Bool, "Whether it is done.").default("false"),
    Key::new("ship_interval_seconds", Kind::Int(10, 86_400), "Seconds between two deliveries.").default("60"),
    Key::new(
        "buffer_size_mb",
        Kind::Int(1, 1024),
        "Size of the buffer in MiB; the oldest records are dropped when it is full.",
    )
    .default("1"),
    Key::new("log_level", Kind::Choice(LOG_LEVELS), "The lowest level that is sent.").default("WARNING"),
];

pub(crate) const MONITORING: &[Key] = &[
    Key::new("enable_metrics", Kind::Bool, "Whether what `health_listen` offers is offered at `metrics_port` as well.")
        .default("false"),
    Key::new("metrics_port", Kind::Int(1, 65_535), "That port, at all addresses of this machine.").default("8080"),
    Key::new(
        "prometheus_url",
        Kind::CredentialUrl(HTTP),
        "The Prometheus or Thanos Querier to ask for usage; the agent samples quotas itself if not given.",
    )
    .example("https://prometheus.example.com"),
    Key::new(
        "prometheus_token_file",
        Kind::Path,
        "File with the token for it; that of the cluster is used if not given. Sent by https only, or on this machine.",
    )
    .example("/etc/waldur-site-agent/prometheus-token"),
    Key::new(
        "prometheus_verify",
        Kind::BoolOrPath,
        "Verification of its certificate: true, false, or a file of CA certificates.",
    )
    .default("true"),
    Key::new(
        "prometheus_tenancy",
        Kind::Bool,
        "Whether it is OpenShift's port for tenants: each query is about one namespace and names it, and GPU models are not shown.",
    )
    .default("false"),
    Key::new("prometheus_query_interval", Kind::Duration, "Least time between two queries.").default("1"),
    Key::new(
        "minimum_coverage",
        Kind::Share,
        "Share of a month's minutes of which data must be there, or its hours are held back.",
    )
    .default("0.9"),
    Key::new("alert_thresholds", ALERT_THRESHOLDS_KIND, "Thresholds in percent of the quota, by name.")
        .example("{cpu_usage_percent: 80, memory_usage_percent: 90, storage_usage_percent: 85}")
        .later(),
    Key::new(
        "health_listen",
        Kind::Text,
        "Address and port that tell by HTTP: /healthz whether the agent is alive, /readyz whether Waldur, the cluster and \
         the event broker answer, /metrics figures for Prometheus.",
    )
    .example("0.0.0.0:8081"),
];
