//! The settings of the agent as a whole. Waldur contract §1.2, §1.7, and the flat form of the OKD documentation.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{OfferingSettings, TlsVerify};
use crate::settings::{CredentialUrl, ExactDecimal};

/// A complete, checked configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The offerings of this back end, in the order of the file; at least one.
    pub offerings: Vec<OfferingSettings>,
    /// The mode to run when the command line names none.
    pub agent_mode: Option<Mode>,
    /// The lowest level that is logged.
    pub log_level: LogLevel,
    /// A file that gets the log as well, as JSON lines.
    pub log_file: Option<PathBuf>,
    /// Plan and print, but write nothing.
    pub dry_run: bool,
    /// How often each kind of work is done.
    pub periods: Periods,
    /// The zone whose months are the billing months.
    pub timezone: jiff::tz::TimeZone,
    /// Proxy for requests to Waldur.
    pub global_proxy: Option<CredentialUrl>,
    /// Where errors are reported to Sentry.
    pub sentry_dsn: Option<CredentialUrl>,
    /// `SENTRY_ENVIRONMENT`.
    pub sentry_environment: Option<String>,
    /// Where errors are reported to Elastic APM.
    pub elastic_apm_server_url: Option<CredentialUrl>,
    /// Sending of the agent's log to Waldur.
    pub log_shipping: LogShipping,
    /// How many billing months are reported each cycle, the current one included: 1 to 12.
    pub reporting_periods: u8,
    /// Whether Waldur gets the text of a cluster error, or only a general sentence.
    pub expose_backend_error_details: bool,
    /// Metrics and alerts as the OKD documentation shows them.
    pub monitoring: Monitoring,
}

/// One of the four kinds of work of the agent, or all of them. Waldur contract §1.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Orders, by polling.
    OrderProcess,
    /// Usage reports.
    Report,
    /// Members, status and limits, by polling.
    MembershipSync,
    /// Orders and members, by events.
    EventProcess,
    /// All of them.
    All,
}

impl Mode {
    /// The name on the command line and in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OrderProcess => "order_process",
            Self::Report => "report",
            Self::MembershipSync => "membership_sync",
            Self::EventProcess => "event_process",
            Self::All => "all",
        }
    }

    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::OrderProcess, Self::Report, Self::MembershipSync, Self::EventProcess, Self::All]
            .into_iter()
            .find(|mode| mode.as_str() == name)
    }
}

/// The log levels of Python's `logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// `DEBUG`
    Debug,
    /// `INFO`
    Info,
    /// `WARNING`
    Warning,
    /// `ERROR`
    Error,
    /// `CRITICAL`
    Critical,
}

impl LogLevel {
    /// The level of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "DEBUG" => Some(Self::Debug),
            "INFO" => Some(Self::Info),
            "WARNING" => Some(Self::Warning),
            "ERROR" => Some(Self::Error),
            "CRITICAL" => Some(Self::Critical),
            _ => None,
        }
    }
}

/// How often each kind of work is done. Waldur contract §1.7; `polling_interval` where no variable is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// `WALDUR_SITE_AGENT_ORDER_PROCESS_PERIOD_MINUTES`
    pub order_process: Duration,
    /// `WALDUR_SITE_AGENT_REPORT_PERIOD_MINUTES`
    pub report: Duration,
    /// `WALDUR_SITE_AGENT_MEMBERSHIP_SYNC_PERIOD_MINUTES`
    pub membership_sync: Duration,
    /// `WALDUR_SITE_AGENT_RECONCILIATION_PERIOD_MINUTES`
    pub reconciliation: Duration,
}

/// Sending of the agent's log to Waldur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogShipping {
    /// Whether it is done.
    pub enabled: bool,
    /// Time between two deliveries, at least ten seconds.
    pub interval: Duration,
    /// Size of the buffer in MiB; the oldest records are dropped when it is full.
    pub buffer_size_mb: u32,
    /// The lowest level that is sent.
    pub log_level: LogLevel,
}

/// `monitoring` of the flat form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitoring {
    /// Whether metrics and health are told at `metrics_port`.
    pub enable_metrics: bool,
    /// See `enable_metrics`.
    pub metrics_port: u16,
    /// The Prometheus to ask for usage.
    pub prometheus_url: Option<CredentialUrl>,
    /// A file with the token for it; that of the cluster if none is given.
    pub prometheus_token_file: Option<PathBuf>,
    /// Verification of its certificate.
    pub prometheus_tls: TlsVerify,
    /// Whether each query is about one namespace and names it beside the query (OpenShift: tenancy port).
    pub prometheus_tenancy: bool,
    /// Least time between two queries.
    pub prometheus_query_interval: Duration,
    /// Share of minutes with data below which hours are held back.
    pub minimum_coverage: ExactDecimal,
    /// Where health is told by HTTP.
    pub health_listen: Option<SocketAddr>,
    /// Thresholds in percent of the quota, by name (`cpu_usage_percent`, …).
    pub alert_thresholds: Vec<(String, u8)>,
}

impl Monitoring {
    /// Where health and metrics are told by HTTP.
    #[must_use]
    pub fn listens(&self) -> Vec<SocketAddr> {
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.metrics_port));
        let is_told = self.health_listen.is_some_and(|address| address.port() == self.metrics_port);
        let metrics = (self.enable_metrics && !is_told).then_some(everywhere);
        self.health_listen.into_iter().chain(metrics).collect()
    }
}
