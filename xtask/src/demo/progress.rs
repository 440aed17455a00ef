//! What is shown while orders are under way: lines that are redrawn on a terminal, plain lines elsewhere.
//!
//! Goes to standard error; standard output is for the result.

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use super::story::{Line, STORY};
use crate::site::text;

/// One line for each order.
pub(crate) struct Progress {
    started: Instant,
    bars: Option<[ProgressBar; STORY.len()]>,
}

impl Progress {
    /// Redraws if standard error is a terminal.
    ///
    /// # Errors
    /// None in practice: the templates are fixed.
    pub(crate) fn new() -> Result<Self> {
        let bars = if std::io::stderr().is_terminal() { Some(bars()?) } else { None };
        Ok(Self { started: Instant::now(), bars })
    }

    /// Something happened to an order.
    pub(crate) fn say(&self, index: usize, message: &str) {
        match &self.bars {
            Some(bars) => bars[index].set_message(message.to_owned()),
            None => {
                let seconds = self.started.elapsed().as_secs_f64();
                eprintln!("{seconds:6.2} s  {}  {message}", name(&STORY[index]));
            }
        }
    }

    /// An order has ended.
    pub(crate) fn end(&self, index: usize, as_expected: bool, message: &str) {
        if let Some(bars) = &self.bars {
            let mark = if as_expected { "✓" } else { "✗" };
            bars[index].set_prefix(format!("{mark} {}", name(&STORY[index])));
            if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_msg}") {
                bars[index].set_style(style);
            }
        }
        self.say(index, message);
        if let Some(bars) = &self.bars {
            bars[index].abandon();
        }
    }

    /// Turns the spinners on.
    pub(crate) fn tick(&self) {
        for bar in self.bars.iter().flatten().filter(|bar| !bar.is_finished()) {
            bar.tick();
        }
    }
}

fn bars() -> Result<[ProgressBar; STORY.len()]> {
    let all = MultiProgress::new();
    let style = ProgressStyle::with_template("{spinner:.cyan} {prefix} {wide_msg}").context("a template")?;
    Ok(STORY.each_ref().map(|line| {
        let bar = all.add(ProgressBar::no_length().with_style(style.clone()).with_prefix(name(line)));
        bar.set_message(if line.after.is_some() { "waits for the order before" } else { "" });
        bar
    }))
}

fn name(line: &Line) -> String {
    format!("{:9} {:8} ", line.request.kind(), line.resource)
}

/// What the agent logs while it runs.
#[derive(Debug)]
pub(crate) struct AgentLog {
    reader: BufReader<File>,
}

/// Something the agent did, or a trouble it met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The Waldur resource it is about.
    pub(crate) resource: String,
    /// In the agent's words.
    pub(crate) event: String,
}

impl AgentLog {
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Ok(Self { reader: BufReader::new(file) })
    }

    /// What was logged since the last call, about resources.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn news(&mut self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.reader.read_line(&mut line).context("cannot read the agent's log")?;
            if read == 0 {
                return Ok(entries);
            }
            if !line.ends_with('\n') {
                // Half a line: read it again when the rest is there.
                let back = i64::try_from(read).unwrap_or_default();
                self.reader.seek(SeekFrom::Current(-back)).context("cannot read the agent's log")?;
                return Ok(entries);
            }
            entries.extend(entry(&line));
        }
    }
}

/// Actions, warnings and errors about one resource; the rest is about the agent itself.
fn entry(line: &str) -> Option<Entry> {
    let value: Value = serde_json::from_str(line).ok()?;
    let resource = text(&value, "/resource");
    let told = text(&value, "/logger") == "audit" || matches!(text(&value, "/level"), "warning" | "error");
    let event = [text(&value, "/event"), text(&value, "/error")].join(" ").trim().to_owned();
    (told && !resource.is_empty()).then(|| Entry { resource: resource.to_owned(), event })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_line_of_the_log_is_told_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = File::create(&path).unwrap();
        let mut log = AgentLog::open(&path).unwrap();
        write!(file, r#"{{"logger":"audit","event":"+ project a","#).unwrap();
        assert_eq!(log.news().unwrap(), []);
        writeln!(file, r#""resource":"1f"}}"#).unwrap();
        writeln!(file, r#"{{"logger":"agent","level":"info","event":"starting"}}"#).unwrap();
        let told = Entry { resource: "1f".to_owned(), event: "+ project a".to_owned() };
        assert_eq!(log.news().unwrap(), [told]);
        assert_eq!(log.news().unwrap(), []);
    }
}
