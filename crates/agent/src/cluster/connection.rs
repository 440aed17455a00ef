//! The client of a cluster, made anew when the certificate changes that it shows.
//!
//! A connection shows the certificate that it began with until it ends, and API servers look at its end with each request:
//! so it takes new connections to show a new one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use secrecy::ExposeSecret as _;

use super::ClusterOptions;
use crate::ca_file;
use crate::client_certificate::{self, ClientCertificate};
use crate::credentials::Credential;
use crate::settings::PemSource;
use crate::waldur::http::Verify;

/// Servers end a watch after 290 seconds, kube's default: a connection over which nothing comes for longer is dead.
const LONGEST_SILENCE: Duration = Duration::from_secs(320);

/// How often files are read again, whatever happens.
const REREAD: Duration = Duration::from_secs(60);

/// How a cluster is reached now.
pub(super) struct Connection {
    options: ClusterOptions,
    credential: Arc<Credential>,
    now: Mutex<Now>,
}

struct Now {
    client: Client,
    shown: Option<Arc<ClientCertificate>>,
    /// When the files are to be read again.
    look_at: Instant,
    /// Why they could not be used, as it was said last.
    problem: Option<String>,
}

impl Connection {
    /// Sets it up; nothing is sent.
    ///
    /// # Errors
    /// A URL, CA file, proxy or client certificate that cannot be used.
    pub(super) fn new(options: &ClusterOptions, credential: Arc<Credential>) -> anyhow::Result<Self> {
        let shown = options.client_certificate.as_ref().map(client_certificate::read).transpose()?;
        let shown = shown.map(Arc::new);
        let client = client(options, shown.as_deref())?;
        let now = Now { client, shown, look_at: Instant::now() + REREAD, problem: None };
        Ok(Self { options: options.clone(), credential, now: Mutex::new(now) })
    }

    /// The client for a request whose token was just asked for.
    pub(super) fn client(&self) -> Client {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = match &self.options.client_certificate {
            Some(files @ (PemSource::File(_), PemSource::File(_))) => {
                if Instant::now() < now.look_at {
                    return now.client.clone();
                }
                now.look_at = Instant::now() + REREAD;
                client_certificate::read(files).map(|read| Some(Arc::new(read)))
            }
            _ => Ok(self.credential.certificate()),
        };
        let changed = wanted.and_then(|wanted| {
            let wanted = wanted.filter(|wanted| now.shown.as_ref().is_none_or(|shown| shown != wanted));
            wanted.map(|wanted| Ok((client(&self.options, Some(&wanted))?, wanted))).transpose()
        });
        match changed {
            Ok(Some((client, shown))) => {
                if now.shown.is_some() {
                    tracing::info!("the client certificate has changed; new connections show the new one");
                }
                (now.client, now.shown, now.problem) = (client, Some(shown), None);
            }
            Ok(None) => now.problem = None,
            Err(error) => {
                let problem = format!("{error:#}");
                if now.problem.as_ref() != Some(&problem) {
                    tracing::warn!(
                        error = problem,
                        "the client certificate cannot be read again; the old one is shown"
                    );
                }
                now.problem = Some(problem);
            }
        }
        now.client.clone()
    }

    /// The server does not take what it is shown: the next request looks at the files first.
    pub(super) fn look_again(&self) {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).look_at = Instant::now();
    }
}

fn client(options: &ClusterOptions, shown: Option<&ClientCertificate>) -> anyhow::Result<Client> {
    let builder = ClientBuilder::try_from(config(options, shown)?);
    Ok(builder.context("cannot set up the client for OKD")?.build())
}

fn config(options: &ClusterOptions, shown: Option<&ClientCertificate>) -> anyhow::Result<Config> {
    let uri = options.api_url.as_str().trim_end_matches('/').parse().context("the API URL cannot be used")?;
    let mut config = Config::new(uri);
    config.default_retry = false;
    config.read_timeout = Some(LONGEST_SILENCE);
    config.connect_timeout = Some(options.timeout.min(Duration::from_secs(10)));
    match &options.verify {
        Verify::System => {}
        Verify::Off => config.accept_invalid_certs = true,
        Verify::CaData(pem) => {
            let name = "`certificate-authority-data` of the kubeconfig";
            config.root_cert = Some(ca_file::parse(pem.as_bytes(), name)?);
        }
        Verify::CaFile(path) => {
            config.root_cert = Some(ca_file::read(path)?);
            // Read again from time to time, so that a renewed CA is taken without a restart.
            config.root_cert_file = Some(path.clone());
        }
    }
    config.tls_server_name.clone_from(&options.server_name);
    if let Some(ClientCertificate { certificate, key, expires: _ }) = shown {
        config.auth_info.client_certificate_data = Some(STANDARD.encode(certificate));
        config.auth_info.client_key_data = Some(STANDARD.encode(key.expose_secret()).into());
    }
    if let Some(proxy) = &options.proxy {
        config.proxy_url = Some(proxy.as_str().parse().context("the proxy URL cannot be used")?);
    }
    Ok(config)
}
