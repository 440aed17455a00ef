//! The settings of the whole file, with the variables of the environment. Waldur contract §1.2, §1.7.

use std::time::Duration;

use super::{Context, Document, offering};
use crate::settings::keys::{ALERT_THRESHOLDS_KIND, Kind, LOG_SHIPPING, MONITORING};
use crate::settings::model::{LogLevel, LogShipping, Mode, Monitoring, OfferingSettings, Periods, Settings};
use crate::settings::scalar;
use crate::settings::view::View;

/// The longest period that is taken: a year.
const MAX_PERIOD_MINUTES: f64 = 525_600.0;

/// The typed settings; none if something required is missing or faulty, which then has been reported.
pub(crate) fn settings(document: &Document<'_>, context: &mut Context<'_, '_>) -> Option<Settings> {
    let view = View::new(document.keys, Some(document.root), "", document.root.place);
    let agent_mode = view.choice("agent_mode", Mode::from_name);
    let offerings: Vec<_> = document
        .offerings
        .iter()
        .map(|(path, node)| offering::settings(path, node, document, agent_mode, context))
        .collect();
    warn_mode(&view, agent_mode, offerings.iter().flatten(), context);
    warn_unsent(&view, context);
    let log_level = log_level(&view, context);
    let periods = periods(&view, context);
    let settings = Settings {
        offerings: offerings.into_iter().collect::<Option<_>>()?,
        agent_mode,
        log_level: log_level?,
        log_file: view.file("log_file"),
        dry_run: view.truth("dry_run"),
        periods: periods?,
        timezone: jiff::tz::TimeZone::get(&view.text("timezone")?).ok()?,
        global_proxy: view.credential_url("global_proxy"),
        sentry_dsn: view.credential_url("sentry_dsn"),
        sentry_environment: context.environment.non_empty("SENTRY_ENVIRONMENT"),
        elastic_apm_server_url: view.credential_url("elastic_apm_server_url"),
        log_shipping: log_shipping(&view)?,
        reporting_periods: view.whole("reporting_periods")?,
        expose_backend_error_details: view.truth("expose_backend_error_details"),
        monitoring: monitoring(&view, context)?,
    };
    Some(settings)
}

/// Without events there is nothing to do for the mode that lives on them.
fn warn_mode<'a>(
    view: &View<'_>,
    mode: Option<Mode>,
    mut offerings: impl Iterator<Item = &'a OfferingSettings>,
    context: &mut Context<'_, '_>,
) {
    let by_events = |offering: &OfferingSettings| offering.stomp.enabled || offering.stomp.broker.is_some();
    if mode == Some(Mode::EventProcess) && !offerings.any(by_events) {
        let message = "no offering gets events, so that this mode has nothing to do";
        let hint = "set stomp_enabled of the offering to true, or choose another mode";
        context.findings.warning(view.place("agent_mode"), "agent_mode", message, hint);
    }
}

/// Places that an operator may take for informed.
fn warn_unsent(view: &View<'_>, context: &mut Context<'_, '_>) {
    let in_the_log = "remove it, and collect the agent's log: each line is one JSON object, with `level`";
    for (key, what) in [("sentry_dsn", "Sentry"), ("elastic_apm_server_url", "Elastic APM")] {
        if view.is_set(key) {
            let message = format!("has no effect: this agent reports no errors to {what}");
            context.findings.warning(view.place(key), key, message, in_the_log);
        }
    }
    let shipping = view.section("log_shipping", LOG_SHIPPING);
    if shipping.truth("enabled") {
        let message = "has no effect: this agent does not send its log to Waldur";
        context.findings.warning(shipping.place("enabled"), &shipping.path("enabled"), message, in_the_log);
    }
}

fn log_level(view: &View<'_>, context: &mut Context<'_, '_>) -> Option<LogLevel> {
    let Some(name) = context.environment.non_empty("WALDUR_LOG_LEVEL") else {
        return view.choice("log_level", LogLevel::from_name);
    };
    let level = LogLevel::from_name(&name);
    if level.is_none() {
        context.findings.variable(
            "WALDUR_LOG_LEVEL",
            format!("expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL, found `{name}`"),
            "correct it, or unset it to use log_level of the file",
        );
    }
    level
}

/// `polling_interval` stands in for the three polling modes; variables win over it.
fn periods(view: &View<'_>, context: &mut Context<'_, '_>) -> Option<Periods> {
    let polling = view.whole("polling_interval").map(Duration::from_secs);
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let order_process = period("ORDER_PROCESS", polling.unwrap_or(minutes(5)), context);
    let report = period("REPORT", polling.unwrap_or(minutes(30)), context);
    let membership_sync = period("MEMBERSHIP_SYNC", polling.unwrap_or(minutes(5)), context);
    let reconciliation = period("RECONCILIATION", minutes(60), context);
    Some(Periods {
        order_process: order_process?,
        report: report?,
        membership_sync: membership_sync?,
        reconciliation: reconciliation?,
    })
}

fn period(name: &str, default: Duration, context: &mut Context<'_, '_>) -> Option<Duration> {
    let name = format!("WALDUR_SITE_AGENT_{name}_PERIOD_MINUTES");
    let Some(text) = context.environment.non_empty(&name) else { return Some(default) };
    let minutes: Option<f64> = text.parse().ok();
    let minutes = minutes.filter(|minutes| *minutes > 0.0 && *minutes <= MAX_PERIOD_MINUTES);
    if minutes.is_none() {
        let message = format!("expected a number of minutes greater than 0, found `{text}`");
        context.findings.variable(&name, message, "for example 5 or 0.5");
    }
    minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0))
}

fn log_shipping(view: &View<'_>) -> Option<LogShipping> {
    let view = view.section("log_shipping", LOG_SHIPPING);
    Some(LogShipping {
        enabled: view.truth("enabled"),
        interval: Duration::from_secs(view.whole("ship_interval_seconds")?),
        buffer_size_mb: view.whole("buffer_size_mb")?,
        log_level: view.choice("log_level", LogLevel::from_name)?,
    })
}

fn monitoring(view: &View<'_>, context: &mut Context<'_, '_>) -> Option<Monitoring> {
    debug_assert!(
        matches!(ALERT_THRESHOLDS_KIND, Kind::Map(Kind::Int(0, 100))),
        "thresholds are percentages"
    );
    let view = view.section("monitoring", MONITORING);
    let thresholds = view.entries("alert_thresholds").into_iter();
    let percent = |text: &str| scalar::whole(text).and_then(|number| u8::try_from(number).ok());
    Some(Monitoring {
        enable_metrics: view.truth("enable_metrics"),
        metrics_port: view.whole("metrics_port")?,
        prometheus_url: view.credential_url("prometheus_url"),
        health_listen: health_listen(&view, context),
        prometheus_token_file: view.file("prometheus_token_file"),
        prometheus_tls: offering::tls(&view, "prometheus_verify"),
        prometheus_tenancy: view.truth("prometheus_tenancy"),
        prometheus_query_interval: view.duration("prometheus_query_interval")?,
        minimum_coverage: view.share("minimum_coverage")?,
        alert_thresholds: thresholds
            .filter_map(|(name, _, node)| Some((name, percent(node.text()?)?)))
            .collect(),
    })
}

fn health_listen(view: &View<'_>, context: &mut Context<'_, '_>) -> Option<std::net::SocketAddr> {
    let text = view.text("health_listen")?;
    let address = text.parse().ok();
    if address.is_none() {
        let message = format!("expected an address and a port, found `{text}`");
        let hint = "for example 0.0.0.0:8081, or 127.0.0.1:8081 for this machine alone";
        context.findings.error(view.place("health_listen"), &view.path("health_listen"), message, hint);
    }
    address
}
