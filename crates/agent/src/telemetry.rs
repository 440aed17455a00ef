//! Logs: JSON lines with the keys of the Python agent, readable text on a terminal (Waldur contract §1.8).
//!
//! What other crates log is held back to what an operator can use: their traces may show requests whole.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FmtSpan, Writer};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::settings::LogLevel;

/// Crates whose finer logs show requests, and so perhaps tokens, or repeat what is logged here.
const HELD_BACK: [&str; 12] = [
    "h2=warn",
    "hyper=warn",
    "hyper_util=warn",
    "kube=warn",
    "kube_client=warn",
    "kube_client::client::builder=off",
    "kube_runtime=warn",
    "reqwest=warn",
    "rustls=warn",
    "rustls_platform_verifier=warn",
    "tokio_util=warn",
    "tower=warn",
];

/// Where lines go besides the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Standard output, as the Python agent does.
    Output,
    /// Standard error: the output is a command's answer.
    Error,
}

/// Sets up logging for this process. The level is taken from `RUST_LOG`, else `WALDUR_LOG_LEVEL`, else the
/// configuration.
///
/// # Errors
/// A log file that cannot be opened, or logging that is set up already.
pub fn init(configured: LogLevel, file: Option<&Path>, console: Console) -> anyhow::Result<()> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let from_variable = variable("WALDUR_LOG_LEVEL").and_then(|name| LogLevel::from_name(name.trim()));
    let level = level_name(from_variable.unwrap_or(configured));
    let filter = variable("RUST_LOG").unwrap_or_else(|| level.to_owned());
    let filter = || {
        let held_back = HELD_BACK.iter().filter_map(|directive| directive.parse().ok());
        held_back.fold(EnvFilter::builder().parse_lossy(&filter), EnvFilter::add_directive)
    };
    let (terminal, writer) = match console {
        Console::Output => (io::stdout().is_terminal(), BoxMakeWriter::new(io::stdout)),
        Console::Error => (io::stderr().is_terminal(), BoxMakeWriter::new(io::stderr)),
    };
    let console = tracing_subscriber::fmt::layer().with_span_events(FmtSpan::NONE).with_writer(writer);
    let console = if terminal {
        console.with_target(false).compact().boxed()
    } else {
        console.event_format(JsonLines).with_ansi(false).boxed()
    };
    let file = match file {
        Some(path) => Some(LogFile::open(path)?),
        None => None,
    };
    let file = file.map(|file| {
        let layer = tracing_subscriber::fmt::layer().event_format(JsonLines).with_ansi(false);
        layer.with_writer(file).with_filter(filter())
    });
    tracing_subscriber::registry()
        .with(console.with_filter(filter()))
        .with(file)
        .try_init()
        .context("cannot set up logging")
}

const fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warn",
        LogLevel::Error | LogLevel::Critical => "error",
    }
}

/// A file that lines are appended to.
#[derive(Clone)]
struct LogFile(Arc<Mutex<std::fs::File>>);

impl LogFile {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot open the log file `{}`", path.display()))?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }
}

impl Write for LogFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

impl MakeWriter<'_> for LogFile {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// One JSON object a line: `event`, `level`, `logger`, `timestamp`, then what the event and its spans say.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        line.fields.insert("level".to_owned(), level_word(*metadata.level()).into());
        line.fields.insert("logger".to_owned(), metadata.target().into());
        line.fields.insert("timestamp".to_owned(), Timestamp::now().to_string().into());
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<tracing_subscriber::fmt::FormattedFields<N>>() else {
                continue;
            };
            for (key, value) in span_fields(&fields.fields) {
                line.fields.entry(key).or_insert(value);
            }
        }
        writeln!(writer, "{}", Value::Object(line.fields))
    }
}

/// Spans of this program hold simple `key=value` pairs; values with spaces are quoted.
fn span_fields(text: &str) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    let mut rest = text.trim_start();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"').and_then(|inner| inner.split_once('"')) {
            Some((value, after)) => (value, after),
            // A value ends where the next `key=` begins.
            None => {
                let next = after.find('=').and_then(|at| after[..at].rfind(' '));
                after.split_at(next.unwrap_or(after.len()))
            }
        };
        fields.push((key.trim().to_owned(), value.trim().into()));
        rest = after.trim_start();
    }
    fields
}

const fn level_word(level: Level) -> &'static str {
    match level {
        Level::TRACE | Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warning",
        Level::ERROR => "error",
    }
}

#[derive(Default)]
struct Line {
    fields: Map<String, Value>,
}

impl Line {
    fn put(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "event" } else { field.name() };
        self.fields.insert(name.to_owned(), value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_fields_are_read_back() {
        let fields = span_fields("offering=OKD projects resource=7f6e \u{7}x=\"a b\"");
        let text: Vec<_> =
            fields.iter().map(|(key, value)| format!("{key}:{}", value.as_str().unwrap())).collect();
        assert_eq!(text, ["offering:OKD projects", "resource:7f6e", "\u{7}x:a b"]);
    }
}
