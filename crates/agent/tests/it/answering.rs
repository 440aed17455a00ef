//! A server that says what a test wants it to, in place of a Prometheus.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use jiff::Timestamp;
use url::Url;

/// What a request asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) query: String,
    /// Times of the first and last value.
    pub(crate) begin: i64,
    pub(crate) end: i64,
    /// When it had arrived.
    pub(crate) at: Instant,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: &'static str,
    pub(crate) kind: &'static str,
    /// The server's clock, as a `Date` header.
    pub(crate) date: Option<Timestamp>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn with(status: &'static str, kind: &'static str, body: &str) -> Self {
        Self { status, kind, date: None, body: body.to_owned() }
    }

    /// One series for each of these, with a value at each minute from `from` on and before `until`.
    pub(crate) fn series(asked: &Asked, series: &[(&str, &str, &str, &str)]) -> Self {
        let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        let series = series.iter().map(|(namespace, from, until, value)| {
            let minutes = (asked.begin..=asked.end).step_by(60);
            let values: Vec<String> = minutes
                .filter(|at| (second(from)..second(until)).contains(at))
                .map(|at| format!("[{at},\"{value}\"]"))
                .collect();
            (namespace, values)
        });
        let series: Vec<String> = series
            .filter(|(_, values)| !values.is_empty())
            .map(|(namespace, values)| {
                format!(r#"{{"metric":{{"namespace":"{namespace}"}},"values":[{}]}}"#, values.join(","))
            })
            .collect();
        let data = format!(r#"{{"resultType":"matrix","result":[{}]}}"#, series.join(","));
        Self::with("200 OK", "application/json", &format!(r#"{{"status":"success","data":{data}}}"#))
    }
}

/// A server that answers; it lives as long as the process.
pub(crate) struct Answering {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Answering {
    /// Starts one.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(request) = read(&stream) else { continue };
                noted.lock().unwrap().push(request.clone());
                let Answer { status, kind, date, body } = answer(&request);
                let length = body.len();
                let date = date.map_or_else(String::new, |at| {
                    format!("Date: {}\r\n", at.strftime("%a, %d %b %Y %H:%M:%S GMT"))
                });
                let head = format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n{date}");
                let answer = format!("HTTP/1.1 {status}\r\n{head}Connection: close\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { url, asked }
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// The request that comes next; `None` if the connection breaks off.
fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let address = Url::parse(&format!("http://prometheus{}", first.split(' ').nth(1)?)).ok()?;
    let value = |name: &str| {
        let found = address.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let second = |name: &str| value(name).parse().unwrap_or_default();
    Some(Asked { query: value("query"), begin: second("start"), end: second("end"), at: Instant::now() })
}
