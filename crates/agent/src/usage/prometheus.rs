//! Asks a Prometheus, or a Thanos Querier, for values over time (Prometheus: `GET /api/v1/query_range`). Reads only.
//!
//! An answer that is not whole is no answer: what is missing in it would pass for nothing used.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use planner::outcome::Failure;
use planner::usage::series::{STEP, Sample};
use planner::usage::sums;
use reqwest::header;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::credentials::Credential;
use crate::error::{ApiError, Peer, failure_of_status, retry_after};
use crate::metrics::Metrics;
use crate::retry::retrying;
use crate::tls;
use crate::waldur::http::Verify;
use crate::wiped;

/// How requests are called in messages.
const NAME: &str = "GET /api/v1/query_range";
/// By so much clocks may differ; how long windows are left to settle is more.
const LITTLE: SignedDuration = SignedDuration::from_mins(1);

/// How to reach a Prometheus.
#[derive(Debug)]
pub struct PrometheusOptions {
    /// Root of its API; may hold a login.
    pub root: Url,
    /// How its certificate is verified.
    pub verify: Verify,
    /// The bearer token; sent by https, and on this machine.
    pub credential: Arc<Credential>,
    /// Ask about one namespace at a time, and name it beside the query (OpenShift: tenancy port).
    pub tenancy: bool,
    /// Least time between two queries.
    pub interval: Duration,
    /// Deadline of one attempt.
    pub timeout: Duration,
    /// Where requests are counted.
    pub metrics: Metrics,
}

/// A Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    client: reqwest::Client,
    url: Url,
    credential: Option<Arc<Credential>>,
    tenancy: bool,
    interval: Duration,
    timeout: Duration,
    metrics: Metrics,
    last: Mutex<Option<Instant>>,
    asked: AtomicU64,
    /// Seconds that its clock was behind this machine's, as of the last answer.
    behind: AtomicI64,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range<'a> {
    pub(crate) query: &'a str,
    /// The namespaces that the query is about.
    pub(crate) namespaces: &'a [&'a str],
    /// Time of the first value.
    pub(crate) begin: Timestamp,
    /// Values before this time.
    pub(crate) end: Timestamp,
}

/// One series of an answer.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) labels: BTreeMap<String, String>,
    /// By minute since the begin.
    pub(crate) samples: Vec<(usize, Sample)>,
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Vec<AnsweredSeries>,
}

#[derive(Deserialize)]
struct AnsweredSeries {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

impl Prometheus {
    /// Sets up the connection; nothing is sent yet.
    ///
    /// # Errors
    /// A CA file or URL that cannot be used.
    pub fn new(options: PrometheusOptions) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("waldur-site-agent-report/", env!("CARGO_PKG_VERSION")))
            .timeout(options.timeout)
            .connect_timeout(options.timeout.min(Duration::from_secs(10)))
            .redirect(reqwest::redirect::Policy::none());
        let builder = tls::verifying(builder, &options.verify, tls::System::Instead)?;
        let mut url = options.root.clone();
        let path = format!("{}/api/v1/query_range", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let bearer = is_safe(&url) && url.username().is_empty();
        Ok(Self {
            client: builder.build().context("cannot set up the HTTP client for Prometheus")?,
            url,
            credential: bearer.then_some(options.credential),
            tenancy: options.tenancy,
            interval: options.interval,
            timeout: options.timeout,
            metrics: options.metrics,
            last: Mutex::default(),
            asked: AtomicU64::new(0),
            behind: AtomicI64::new(0),
        })
    }

    /// Each query has to be about one namespace, and what is no namespace's is not shown (OpenShift: tenancy port).
    #[must_use]
    pub const fn is_for_tenants(&self) -> bool {
        self.tenancy
    }

    /// How many queries were sent.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Up to when windows are closed for it as well as for this machine, whose clock says `now`: samples carry the time of
    /// its own clock, and of what is ahead of that it has none yet.
    pub(crate) fn closed_by(&self, now: Timestamp) -> Timestamp {
        let behind = SignedDuration::from_secs(self.behind.load(Ordering::Relaxed));
        sums::closed_by(now.checked_sub(behind).unwrap_or(Timestamp::MIN))
    }

    /// Takes in what its clock says (RFC 9110 §6.6.1). A proxy that leaves that out leaves nothing to compare.
    fn note_clock(&self, headers: &header::HeaderMap) {
        let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let Some(date) = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok()) else {
            return;
        };
        let behind = Timestamp::now().duration_since(date);
        let behind = if behind > LITTLE { behind.as_secs() } else { 0 };
        if self.behind.swap(behind, Ordering::Relaxed) == 0 && behind > 0 {
            tracing::warn!(
                seconds = behind,
                "the clock of Prometheus is behind this machine's; hours are counted when they are over there"
            );
        }
    }

    /// Values at each minute from `begin` on.
    pub(crate) async fn range(&self, range: Range<'_>) -> Result<Vec<Series>, ApiError> {
        retrying(|| async {
            match &self.credential {
                None => self.counted(range, None).await.map_err(|error| error.without("")),
                Some(credential) => {
                    let send = |token| self.counted(range, Some(token));
                    credential.authorizing((Peer::Prometheus, NAME), send).await
                }
            }
        })
        .await
    }

    /// One query at a time, and not too soon after the last one: others ask there too.
    async fn wait_turn(&self) {
        let mut last = self.last.lock().await;
        if let Some(last) = *last {
            tokio::time::sleep_until((last + self.interval).into()).await;
        }
        *last = Some(Instant::now());
    }

    async fn counted(&self, range: Range<'_>, token: Option<SecretString>) -> Result<Vec<Series>, ApiError> {
        self.wait_turn().await;
        self.asked.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let result = self.exchange(range, token).await;
        self.metrics.requested(Peer::Prometheus, &result, begun.elapsed());
        result
    }

    async fn exchange(&self, range: Range<'_>, token: Option<SecretString>) -> Result<Vec<Series>, ApiError> {
        let last = range.end.as_second() - STEP;
        let mut parameters = vec![
            ("query", range.query.to_owned()),
            ("start", range.begin.as_second().to_string()),
            ("end", last.to_string()),
            ("step", STEP.to_string()),
        ];
        if self.tenancy {
            parameters
                .extend(range.namespaces.iter().map(|namespace| ("namespace", (*namespace).to_owned())));
        }
        let mut request = self.client.get(self.url.clone()).query(&parameters);
        request = request.header(header::ACCEPT, "application/json");
        if let Some(token) = token.filter(|token| !token.expose_secret().is_empty()) {
            let value = wiped::authorization("Bearer", token.expose_secret());
            let value = value.map_err(|_| unusable("the token holds characters that no header may hold"))?;
            request = request.header(header::AUTHORIZATION, value);
        }
        let response = request.send().await.map_err(|error| self.unanswered(&error))?;
        let status = response.status();
        self.note_clock(response.headers());
        let asked = retry_after(response.headers());
        let bytes = response.bytes().await;
        let bytes = bytes.map_err(|error| incomplete(&format!("the answer broke off: {error}")))?;
        if !status.is_success() {
            return Err(refused(status.as_u16(), asked, &bytes));
        }
        read(&bytes, range)
    }

    fn unanswered(&self, error: &reqwest::Error) -> ApiError {
        let server = self.url.origin().ascii_serialization();
        if error.is_timeout() {
            return ApiError::too_late(Peer::Prometheus, NAME, &server, self.timeout);
        }
        ApiError::unanswered(Peer::Prometheus, NAME, &server, error)
    }
}

/// Whether a token may travel there.
fn is_safe(url: &Url) -> bool {
    url.scheme() == "https"
        || url
            .host_str()
            .is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]")
}

fn refused(status: u16, asked: Option<Duration>, body: &[u8]) -> ApiError {
    let words = serde_json::from_slice::<Answer>(body).ok().and_then(|answer| answer.error);
    let words = words.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let failure = match status {
        // A path that is not there is a wrong address, and says nothing about what was used.
        404 | 410 => Failure::Invalid,
        _ => failure_of_status(status, asked),
    };
    ApiError::answered(Peer::Prometheus, NAME, status, failure, &words)
}

fn incomplete(message: &str) -> ApiError {
    ApiError::unavailable(Peer::Prometheus, NAME, message)
}

fn unusable(message: &str) -> ApiError {
    ApiError::unexpected(Peer::Prometheus, NAME, message)
}

/// Reads a whole answer; one that is not whole, or says something twice, is none.
fn read(body: &[u8], range: Range<'_>) -> Result<Vec<Series>, ApiError> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| incomplete(&format!("the answer cannot be read: {error}")))?;
    if answer.status != "success" {
        return Err(incomplete(&answer.error.unwrap_or(answer.status)));
    }
    if let Some(warnings) = answer.warnings.filter(|warnings| !warnings.is_empty()) {
        return Err(incomplete(&format!("the answer is a part only: {}", warnings.join("; "))));
    }
    let data = answer.data.filter(|data| data.kind == "matrix");
    let data = data.ok_or_else(|| incomplete("the answer is no matrix"))?;
    let mut named = HashSet::new();
    let mut all = Vec::with_capacity(data.result.len());
    for series in data.result {
        if !named.insert(series.metric.clone()) {
            return Err(incomplete(&format!("the answer has two series of {:?}", series.metric)));
        }
        let samples = series
            .values
            .iter()
            .filter_map(|(time, value)| Some((place(*time, range)?, Sample::parse(value))));
        all.push(Series { samples: samples.collect(), labels: series.metric });
    }
    Ok(all)
}

/// The minute of a time; `None` for one that was not asked for.
fn place(time: f64, range: Range<'_>) -> Option<usize> {
    // A time is no amount: whole seconds up to the year 285 million are exact.
    let second = if time.fract() == 0.0 && time.abs() < 9e15 { time as i64 } else { return None };
    let since = second - range.begin.as_second();
    (since % STEP == 0 && second < range.end.as_second()).then(|| usize::try_from(since / STEP).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range<'a>() -> Range<'a> {
        let begin: Timestamp = "2026-07-01T10:00:00Z".parse().unwrap();
        let end = "2026-07-01T11:00:00Z".parse().unwrap();
        Range { query: "q", namespaces: &[], begin, end }
    }

    fn matrix(result: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":{result}}}}}"#)
    }

    #[test]
    fn values_are_placed_by_their_minute() {
        let begin = range().begin.as_second();
        let body = matrix(&format!(
            r#"[{{"metric":{{"namespace":"a"}},"values":[[{begin},"0.5"],[{}.000,"NaN"],[{}.5,"1"],[{},"1"],[{},"1"]]}}]"#,
            begin + 60,
            begin + 90,
            begin + 3600,
            begin - 60,
        ));
        let read = read(body.as_bytes(), range()).unwrap();
        assert_eq!(read[0].samples, [(0, Sample::parse("0.5")), (1, Sample::Bad)]);
    }

    #[test]
    fn what_is_not_whole_is_no_answer() {
        let twice =
            matrix(r#"[{"metric":{"namespace":"a"},"values":[]},{"metric":{"namespace":"a"},"values":[]}]"#);
        let part =
            r#"{"status":"success","warnings":["store down"],"data":{"resultType":"matrix","result":[]}}"#;
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        for body in ["", "<html>", "{}", "[]", part, vector, r#"{"status":"error","error":"no"}"#, &twice] {
            let error = read(body.as_bytes(), range()).unwrap_err();
            assert!(error.is_transient(), "{body}: {error}");
        }
        assert!(read(matrix("[]").as_bytes(), range()).unwrap().is_empty());
    }

    #[test]
    fn a_token_travels_safely_or_not_at_all() {
        let safe = |url: &str| is_safe(&Url::parse(url).unwrap());
        assert!(
            safe("https://prometheus.example.com")
                && safe("http://127.0.0.1:9090")
                && safe("http://localhost")
        );
        assert!(
            !safe("http://prometheus.example.com")
                && !safe("http://127.example.com.evil.example".replace("127.", "x").as_str())
        );
    }
}
