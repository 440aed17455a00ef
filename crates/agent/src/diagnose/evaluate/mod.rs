//! From facts to checks: what is as it should be, what is not, and what to do about it. Pure: no I/O and no clock.

mod cluster;
mod connection;
mod projects;
mod waldur;

use jiff::{SignedDuration, Timestamp};

use super::facts::{BrokerFacts, Configured, Facts, Login};
use super::report::{Check, Diagnosis, Section};
use crate::credentials::CredentialStatus;
use crate::error::{ApiError, Peer};

/// Certificates and tokens that end within this are named.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// All checks about an offering.
pub(crate) fn diagnosis(facts: &Facts) -> Diagnosis {
    let mut sections = vec![
        Section { title: "Configuration".to_owned(), checks: configuration(&facts.configured) },
        Section {
            title: format!("Waldur at {}", facts.waldur.connection.server),
            checks: waldur::checks(facts),
        },
        Section {
            title: format!("OKD at {}", facts.cluster.connection.server),
            checks: cluster::checks(facts),
        },
        Section { title: "Permissions".to_owned(), checks: cluster::permissions(&facts.cluster) },
        Section { title: "Projects".to_owned(), checks: projects::checks(facts) },
    ];
    if let Some(broker) = &facts.broker {
        sections.push(Section {
            title: format!("Events from {}", broker.url),
            checks: events(broker, facts.now),
        });
    }
    sections.retain(|section| !section.checks.is_empty());
    Diagnosis { offering: facts.configured.name.clone(), uuid: facts.configured.uuid.clone(), sections }
}

fn configuration(configured: &Configured) -> Vec<Check> {
    let components: Vec<&str> = configured.components.iter().map(|(name, ..)| name.as_str()).collect();
    let mut checks = vec![Check::good("file", format!("can be used; components: {}", components.join(", ")))];
    checks.extend(
        configured
            .warnings
            .iter()
            .map(|warning| Check::warning("file", warning, "see `waldur_site_agent config check FILE`")),
    );
    if configured.work.is_empty() {
        let step =
            "name `okd` as `order_processing_backend` or `membership_sync_backend`, or `stomp_enabled: true`";
        checks.push(Check::warning("work", "nothing is switched on for this offering", step));
    } else {
        checks.push(Check::good("work", configured.work.join("; ")));
    }
    checks
}

/// The token that a server is sent.
fn token(status: &CredentialStatus, now: Timestamp) -> Check {
    if let Some(problem) = &status.last_error {
        let step = "put a valid token where the configuration says that it is";
        return Check::failed("token", problem, step);
    }
    let source = &status.source;
    let Some(expires) = status.expires_at else {
        return Check::good("token", format!("{source}; it does not tell when it expires"));
    };
    let left = expires.duration_since(now);
    if left.is_negative() {
        let step = "put a new token there, or use a token that renews itself (`token_config`)";
        return Check::failed("token", format!("{source}; expired {} ago", span(-left)), step);
    }
    let seconds = left.as_secs();
    Check::good("token", format!("{source}; expires in {} ({seconds} s), at {expires:.0}", span(left)))
}

fn events(broker: &BrokerFacts, now: Timestamp) -> Vec<Check> {
    let address = "the address of the broker (`stomp_ws_host`, `stomp_ws_port`)";
    let mut checks = connection::checks(&broker.connection, address);
    checks.extend(connection::tls(&broker.connection, now, "`verify_ssl`", address));
    checks.push(match &broker.login {
        Login::Accepted(server) => Check::good("login", format!("accepted by {server}")),
        Login::NotTried(why) => Check::not_tried("login", *why),
        Login::Failed(why) => Check::failed(
            "login",
            why,
            "check path, virtual host and token: the passcode is the token that the queue was registered with; a \
             restart of the agent registers it anew",
        ),
    });
    checks
}

/// What an answer that did not come means, and what to do.
fn failed(name: &str, error: &ApiError) -> Check {
    let step = match (&error.failure, error.peer) {
        (planner::outcome::Failure::Unauthorized, Peer::Waldur) => {
            "give it a valid token: `waldur_api_token` of the offering"
        }
        (planner::outcome::Failure::Unauthorized, _) => {
            "give it a valid token: `token` or `token_config` of `backend_settings`"
        }
        (planner::outcome::Failure::Forbidden, Peer::Waldur) => {
            "give the user of this token a role in the provider's organization"
        }
        (planner::outcome::Failure::Forbidden, _) => "apply what `waldur_site_agent rbac -c FILE` prints",
        (planner::outcome::Failure::NotFound, _) => {
            "check the configured address: something else answers there"
        }
        (_, Peer::Waldur) => "check `waldur_api_url`, and that Waldur is up",
        (_, Peer::Cluster) => "check `api_url`, and that the cluster is up",
        (_, Peer::Prometheus) => "check `prometheus_url`, and that Prometheus is up",
    };
    Check::failed(name, error.to_string(), step)
}

/// A length of time, for people: the two largest units.
fn span(time: SignedDuration) -> String {
    let seconds = time.as_secs().abs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (1..10, _, _) => format!("{days} d {hours} h"),
        _ => format!("{days} d"),
    }
}

/// `1 order`, `2 orders`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The first few of many.
fn few(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
