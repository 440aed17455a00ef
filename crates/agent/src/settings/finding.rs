//! Findings: what is wrong or questionable in a configuration, where, and what to do about it.
//!
//! A finding never carries the value of a secret key; whoever makes one sees to it.

use std::fmt;

use serde_json::json;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration can be used, but probably does not mean what its writer thinks.
    Warning,
    /// The configuration is right; something in it has no effect in this version.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One remark about a configuration, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Error, warning or note.
    pub severity: Severity,
    /// The file as named by the caller, or `environment` for a variable.
    pub file: String,
    /// Line in the file, from 1; 0 where no line applies (an unreadable file, a variable).
    pub line: usize,
    /// Column in the line, from 1, in characters; 0 where `line` is 0.
    pub column: usize,
    /// Path of the key, such as `offerings[0].backend_settings.api_url`; empty for the file as a whole.
    pub path: String,
    /// What is wrong, as a lowercase fragment.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    /// The finding as JSON: `severity`, `file`, `line`, `column` (null where none), `path`, `message`, `hint`.
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "severity": self.severity.as_str(),
            "file": self.file,
            "line": (self.line > 0).then_some(self.line),
            "column": (self.line > 0).then_some(self.column),
            "path": self.path,
            "message": self.message,
            "hint": self.hint,
        })
    }
}

/// `file:line:column: severity: path: message`, and the hint on a line of its own.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}: ", self.severity.as_str())?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Why a configuration was refused: every finding, at least one of them an error, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// All findings, warnings and notes included.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings are errors.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(&self.findings))
    }
}

impl std::error::Error for Report {}

/// The findings as text, one after the other, each ending with a newline.
pub fn render(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// The findings as a JSON array, for machines.
pub fn render_json(findings: &[Finding]) -> serde_json::Value {
    findings.iter().map(Finding::to_json).collect()
}
