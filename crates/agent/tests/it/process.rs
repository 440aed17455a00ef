//! The program as a process: its output, its signals, its exit code.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::site::{Config, Site, within};

/// A run of the program that has begun.
pub(crate) struct Process {
    child: Child,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Lines of an output as they come.
#[derive(Clone)]
pub(crate) struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    changed: watch::Receiver<usize>,
    reader: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Output {
    fn read(from: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (changes, changed) = watch::channel(0);
        let kept = Arc::clone(&lines);
        let reader = tokio::spawn(async move {
            let mut from = BufReader::new(from).lines();
            while let Ok(Some(line)) = from.next_line().await {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                changes.send_modify(|count| *count += 1);
            }
        });
        Self { lines, changed, reader: Arc::new(Mutex::new(Some(reader))) }
    }

    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits for a line that holds this.
    pub(crate) async fn says(&self, words: &str) {
        self.says_times(words, 1).await;
    }

    /// Waits until this was said so often.
    pub(crate) async fn says_times(&self, words: &str, times: usize) {
        let mut changed = self.changed.clone();
        let said = async {
            while self.text().matches(words).count() < times {
                assert!(changed.changed().await.is_ok(), "never said: {words}\n{}", self.text());
            }
        };
        within(&format!("the agent says: {words}"), said).await;
    }
}

impl Site {
    /// The command that runs the agent with a configuration, away from this process's own environment.
    pub(crate) fn command(&self, config: &Config) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waldur_site_agent"));
        command.env_clear().args(["-m", "order_process", "-c"]).arg(self.config_file(&config.text()));
        command
    }

    pub(crate) fn config_file(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("config.yaml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let stdout = Output::read(child.stdout.take().unwrap());
        let stderr = Output::read(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Runs to the end.
    pub(crate) async fn run(command: &mut Command) -> Ended {
        Self::start(command).end().await
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) async fn end(mut self) -> Ended {
        let status = within("the agent exits", self.child.wait()).await.unwrap();
        for output in [&self.stdout, &self.stderr] {
            let reader = output.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
            within("the output ends", reader.unwrap()).await.unwrap();
        }
        Ended { status, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(crate) fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// The log, which is JSON to the last line.
    pub(crate) fn log(&self) -> Vec<Value> {
        let parsed = self.stdout.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"))
        });
        parsed.collect()
    }

    /// The events of a level.
    pub(crate) fn events(&self, level: &str) -> Vec<String> {
        let log = self.log();
        let events = log.iter().filter(|line| line["level"] == level);
        events.map(|line| line["event"].as_str().unwrap().to_owned()).collect()
    }

    /// What the log holds about an error: the event and its cause.
    pub(crate) fn errors(&self) -> String {
        let log = self.log();
        let errors = log.iter().filter(|line| line["level"] == "error");
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        errors.map(|line| format!("{}: {}\n", text(line, "event"), text(line, "error"))).collect()
    }
}
