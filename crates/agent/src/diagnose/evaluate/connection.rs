//! Checks of the way to a server.

use jiff::{SignedDuration, Timestamp};

use super::{SOON, span};
use crate::diagnose::facts::{Connection, TlsFacts};
use crate::diagnose::report::Check;
use crate::waldur::http::Verify;

/// Clocks that differ by more than this make trouble with tokens before long.
const SKEW_TO_NAME: i64 = 30;
/// By more than this tokens and certificates are refused.
const SKEW_TO_REFUSE: i64 = 300;

/// Name, TCP and TLS. `address` says which key is to be corrected.
pub(super) fn checks(connection: &Connection, address: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    let via = connection.proxy.as_ref().map_or_else(String::new, |proxy| format!(" (proxy {proxy})"));
    match &connection.addresses {
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
            checks.push(Check::good("DNS", format!("{}{via}", addresses.join(", "))));
        }
        Err(error) => {
            let step = format!("correct {address}, or the name service of this machine");
            checks.push(softened(connection, Check::failed("DNS", format!("{error}{via}"), step)));
        }
    }
    match &connection.connected {
        Some(Ok((address, took))) => {
            checks
                .push(Check::good("TCP", format!("connected to {address} in {}{via}", milliseconds(*took))));
        }
        Some(Err(error)) => {
            let step =
                format!("check that the server runs and that no firewall is in between; correct {address}");
            checks.push(softened(connection, Check::failed("TCP", format!("{error}{via}"), step)));
        }
        None => {}
    }
    checks
}

fn milliseconds(took: std::time::Duration) -> String {
    match took.as_millis() {
        0 => "less than 1 ms".to_owned(),
        some => format!("{some} ms"),
    }
}

/// Where the environment names a proxy, a direct way need not exist.
fn softened(connection: &Connection, check: Check) -> Check {
    if !connection.environment_proxy {
        return check;
    }
    let step = "the environment names a proxy, which requests use; this was tried without it";
    Check::warning(check.name, check.detail, step)
}

/// The certificates. `ca` and `address` say which keys are to be corrected.
pub(super) fn tls(connection: &Connection, now: Timestamp, ca: &str, address: &str) -> Vec<Check> {
    match &connection.tls {
        None => Vec::new(),
        Some(Err(error)) => {
            let step = format!("correct {address}, or what is between");
            vec![softened(connection, Check::failed("TLS", error, step))]
        }
        Some(Ok(tls)) => {
            let mut checks = vec![trust(connection, tls, ca, address)];
            checks.extend(expiry(tls, now));
            checks
        }
    }
}

fn trust(connection: &Connection, tls: &TlsFacts, ca: &str, address: &str) -> Check {
    let chain: Vec<&str> = tls.chain.iter().map(|certificate| certificate.subject.as_str()).collect();
    let issuer = tls.chain.last().map_or("nobody", |certificate| certificate.issuer.as_str());
    let names = tls.chain.first().map(|own| own.names.join(", ")).unwrap_or_default();
    let shown = format!("{}; {}, signed by {issuer}; for {names}", tls.version, chain.join(" ← "));
    match (&tls.verified, &connection.verify) {
        (Ok(()), Verify::Off) => Check::warning(
            "TLS",
            format!("{shown}; not verified, though it could be"),
            format!("remove {ca}: the certificate is good"),
        ),
        (Ok(()), _) => Check::good("TLS", shown),
        (Err(why), Verify::Off) => Check::warning(
            "TLS",
            format!("{shown}; not verified: {why}"),
            format!("name the file with the server's CA in {ca}"),
        ),
        (Err(why), _) => {
            let step = match why.as_str() {
                "it is for other names" => format!("correct {address}: the certificate is for {names}"),
                "it has expired" | "it is not for servers" => {
                    "have the server's certificate renewed".to_owned()
                }
                "it is not valid yet" => {
                    "set the clock of this machine, or have the certificate renewed".to_owned()
                }
                _ => format!("name the file with the server's CA in {ca}"),
            };
            Check::failed("TLS", format!("{shown}; {why}"), step)
        }
    }
}

/// When the first certificate of the chain ends.
fn expiry(tls: &TlsFacts, now: Timestamp) -> Option<Check> {
    let first = tls.chain.iter().min_by_key(|certificate| certificate.expires)?;
    let left = first.expires.duration_since(now);
    let step = "have the server's certificate renewed";
    let whose = format!("{} ({:.0})", first.subject, first.expires);
    Some(if left.is_negative() {
        Check::failed("certificate", format!("expired {} ago: {whose}", span(-left)), step)
    } else if left < SOON {
        Check::warning("certificate", format!("expires in {}: {whose}", span(left)), step)
    } else {
        Check::good("certificate", format!("good until {:.0}", first.expires))
    })
}

/// The server's clock against this machine's.
pub(super) fn clock(skew: Option<SignedDuration>) -> Option<Check> {
    let skew = skew?;
    let seconds = skew.as_secs();
    let way = if seconds > 0 { "ahead of" } else { "behind" };
    let detail = format!("the server's clock is {} {way} this machine's", span(skew));
    let step = "set both clocks by NTP; tokens and certificates are judged by them";
    Some(match seconds.abs() {
        0..=2 => Check::good("clock", "as this machine's"),
        3..=SKEW_TO_NAME => Check::good("clock", detail),
        over if over <= SKEW_TO_REFUSE => Check::warning("clock", detail, step),
        _ => Check::failed("clock", detail, step),
    })
}
