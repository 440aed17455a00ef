//! Why a server could not be reached, and what to do: what its certificate says, which key to correct.

use std::error::Error;
use std::io;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

/// The keys of the configuration that say how a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Its address.
    pub(crate) url: &'static str,
    /// The CA.
    pub(crate) ca: &'static str,
    /// The proxy.
    pub(crate) proxy: &'static str,
    /// The client certificate.
    pub(crate) client: Option<&'static str>,
}

/// Keys of Waldur.
pub(crate) const WALDUR: Keys = Keys {
    url: "`waldur_api_url`",
    ca: "`verify_ssl` of the offering",
    proxy: "`global_proxy`",
    client: None,
};

/// Keys of the cluster.
pub(crate) const CLUSTER: Keys = Keys {
    url: "`api_url`",
    ca: "`ca_file` of `backend_settings`",
    proxy: "`proxy` of `backend_settings`",
    client: Some("`client_cert` and `client_key` of `backend_settings`"),
};

/// Keys of Prometheus.
pub(crate) const PROMETHEUS: Keys = Keys {
    url: "`prometheus_url`",
    ca: "`prometheus_verify` of `monitoring`",
    proxy: "the environment",
    client: None,
};

/// Keys of the OAuth server of a cluster.
pub(crate) const OAUTH: Keys = Keys { url: "`token_endpoint`", client: None, ..CLUSTER };

/// Keys of the OpenID provider of Waldur.
pub(crate) const OIDC: Keys = Keys { url: "`oidc_token_url`", ..WALDUR };

/// One line: who did not answer, why, what to do. `server` is without login and query.
pub(crate) fn no_answer(server: &str, error: &(dyn Error + 'static), keys: Keys) -> String {
    if let Some(told) = tls_error(error).and_then(|error| certificate(error, keys)) {
        return format!("no answer from {server}: {told}");
    }
    let reasons = reasons(error);
    let hint = hint(&reasons, keys);
    format!("no answer from {server}: {reasons}{hint}")
}

/// What to do about 407, or a tunnel that is refused for the same reason.
pub(crate) fn proxy_advice(keys: Keys) -> String {
    format!(
        "the proxy asks for credentials, or does not accept those it got: write them into {} \
         as http://user:password@host:port",
        keys.proxy
    )
}

/// The chain of reasons, each once: the innermost is the one that helps. A URL in them is left to the caller to name,
/// since it may hold a password.
fn reasons(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut source = Some(error);
    while let Some(reason) = source {
        let text = reason.to_string();
        if !text.contains("://") && !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        source = reason.source();
    }
    texts.join(": ")
}

/// The error of TLS in a chain of reasons; errors of I/O hide what they hold.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let held = held.and_then(|held| tls_error(held));
    held.or_else(|| error.source().and_then(tls_error))
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
}

/// What was presented, and what to do.
fn certificate(error: &rustls::Error, keys: Keys) -> Option<String> {
    let (ca, url) = (keys.ca, keys.url);
    let why = match error {
        rustls::Error::InvalidCertificate(why) => why,
        rustls::Error::AlertReceived(alert) => return alerted(*alert, keys),
        rustls::Error::NoCertificatesPresented => {
            return Some("the server presents no certificate; correct it there".to_owned());
        }
        _ => return None,
    };
    Some(match why {
        CertificateError::NotValidForNameContext { expected, presented } => {
            let mut names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
            names.truncate(10);
            let names = if names.is_empty() { "no name".to_owned() } else { format!("`{}`", names.join("`, `")) };
            format!(
                "the server's certificate is for other names: it is for {names}, not for `{}`; correct {url}, or have \
                 the server's certificate made for that name as well",
                expected.to_str()
            )
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the server's certificate expired at {}, and it is {}; renew it at the server, or correct this machine's \
             clock",
            date(*not_after),
            date(*time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the server's certificate is not valid before {}, and it is {}; correct this machine's clock, or the \
             certificate",
            date(*not_before),
            date(*time)
        ),
        // A CA that was made anew under its old name shows as a bad signature.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "no trusted CA has signed the server's certificate: name the file with its CA in {ca}"
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not made for servers (its extended key usage lacks serverAuth); have another \
             made for the server"
                .to_owned()
        }
        CertificateError::Revoked => "the server's certificate was revoked; renew it at the server".to_owned(),
        other if other.to_string().contains("CaUsedAsEndEntity") => format!(
            "the server presents a CA's certificate as its own; have one made for the server, and name the file with \
             the CA in {ca}"
        ),
        other => format!("the server's certificate cannot be accepted: {other}; correct it at the server"),
    })
}

/// `api.example.com` of `DnsName("api.example.com")`.
fn plain(name: &str) -> &str {
    name.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")")).unwrap_or(name)
}

/// What a server says of our own certificate.
fn alerted(alert: AlertDescription, keys: Keys) -> Option<String> {
    let client = keys.client?;
    match alert {
        AlertDescription::CertificateRequired => {
            Some(format!("the server wants a client certificate; name its files in {client}"))
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::UnsupportedCertificate => Some(format!(
            "the server does not accept the client certificate, or wants one ({alert:?}); correct the files in {client}"
        )),
        _ => None,
    }
}

/// What can be done about a connection that fails for a reason which does not pass.
fn hint(reasons: &str, keys: Keys) -> String {
    let lower = reasons.to_lowercase();
    if reasons.contains("InvalidContentType") {
        format!("; the server does not speak TLS there: correct {}", keys.url)
    } else if lower.contains("proxy auth") {
        format!("; {}", proxy_advice(keys))
    } else {
        String::new()
    }
}
