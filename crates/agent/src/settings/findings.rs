//! Collects findings while a file is read, so that one fault never hides another.

use super::finding::{Finding, Severity};
use super::yaml::Place;

/// The findings of one file so far.
pub(crate) struct Findings {
    file: String,
    strict: bool,
    list: Vec<Finding>,
}

impl Findings {
    /// `strict` makes unknown keys errors.
    pub(crate) fn new(file: &str, strict: bool) -> Self {
        Self { file: file.to_owned(), strict, list: Vec::new() }
    }

    /// Something that makes the configuration unusable.
    pub(crate) fn error(
        &mut self,
        place: Place,
        path: &str,
        message: impl Into<String>,
        hint: impl IntoHint,
    ) {
        self.add(Severity::Error, place, path, message.into(), hint.into_hint());
    }

    /// Something that is probably not meant.
    pub(crate) fn warning(
        &mut self,
        place: Place,
        path: &str,
        message: impl Into<String>,
        hint: impl IntoHint,
    ) {
        self.add(Severity::Warning, place, path, message.into(), hint.into_hint());
    }

    /// Something that is right and has no effect.
    pub(crate) fn note(&mut self, place: Place, path: &str, message: impl Into<String>, hint: impl IntoHint) {
        self.add(Severity::Note, place, path, message.into(), hint.into_hint());
    }

    /// A key that has no meaning: a warning, or an error where the caller wants it strict.
    pub(crate) fn unknown_key(
        &mut self,
        place: Place,
        path: &str,
        message: impl Into<String>,
        hint: impl IntoHint,
    ) {
        let severity = if self.strict { Severity::Error } else { Severity::Warning };
        self.add(severity, place, path, message.into(), hint.into_hint());
    }

    /// A fault of an environment variable.
    pub(crate) fn variable(&mut self, name: &str, message: impl Into<String>, hint: impl IntoHint) {
        self.list.push(Finding {
            severity: Severity::Error,
            file: "environment".to_owned(),
            line: 0,
            column: 0,
            path: name.to_owned(),
            message: message.into(),
            hint: hint.into_hint(),
        });
    }

    fn add(&mut self, severity: Severity, place: Place, path: &str, message: String, hint: Option<String>) {
        let Place { line, column } = place;
        let finding =
            Finding { severity, file: self.file.clone(), line, column, path: path.to_owned(), message, hint };
        // An anchor that is used twice is checked twice.
        if !self.list.contains(&finding) {
            self.list.push(finding);
        }
    }

    /// Whether there is an error among them.
    pub(crate) fn has_errors(&self) -> bool {
        self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// All of them in the order of the file; those without a line come last.
    pub(crate) fn into_sorted(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|finding| (finding.line == 0, finding.line, finding.column));
        self.list
    }
}

/// What may be given as a hint: text, or nothing.
pub(crate) trait IntoHint {
    fn into_hint(self) -> Option<String>;
}

impl IntoHint for &str {
    fn into_hint(self) -> Option<String> {
        (!self.is_empty()).then(|| self.to_owned())
    }
}

impl IntoHint for String {
    fn into_hint(self) -> Option<String> {
        (!self.is_empty()).then_some(self)
    }
}

impl IntoHint for Option<String> {
    fn into_hint(self) -> Option<String> {
        self
    }
}
