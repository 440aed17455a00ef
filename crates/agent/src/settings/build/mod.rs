//! Typed settings from a checked tree, and the faults that only show between keys.
//!
//! Each function reads all of its section before it gives up, so that no fault hides another.

mod cluster;
mod component;
mod credentials;
mod global;
mod lifecycle;
mod manifest;
mod offering;
mod quota;
mod subjects;
mod template;
mod usage;

pub(crate) use global::settings;
pub(crate) use offering::is_ours;

use super::environment::Environment;
use super::findings::Findings;
use super::keys::Key;
use super::view::View;
use super::yaml::Node;

/// How the file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `offerings[]`, as the Python agent has it.
    Offerings,
    /// One offering at the top level, as the OKD documentation has it.
    Flat,
}

/// The offerings of the file that are ours, with their paths.
pub(crate) struct Document<'a> {
    pub(crate) form: Form,
    pub(crate) root: &'a Node,
    /// The table for the top level.
    pub(crate) keys: &'a [Key],
    pub(crate) offerings: Vec<(String, &'a Node)>,
}

/// What every step needs: where values come from, and where findings go.
pub(crate) struct Context<'a, 'e> {
    pub(crate) environment: &'a Environment<'e>,
    pub(crate) findings: &'a mut Findings,
}

impl Context<'_, '_> {
    /// Warns where a file that holds a secret cannot be used now. It may still come, so this is no error.
    pub(crate) fn probe_secret_file(&mut self, view: &View<'_>, key: &str, file: &std::path::Path) {
        let message = match self.environment.read_file(file) {
            Ok(text) if text.trim().is_empty() => "the file is empty".to_owned(),
            Ok(_) => return,
            Err(error) => format!("the file cannot be read now: {}", error.kind()),
        };
        let hint = format!("`{}` is read again whenever it is needed", file.display());
        self.findings.warning(view.place(key), &view.path(key), message, hint);
    }

    /// Refuses two keys that say the same thing. Returns whether both are given.
    pub(crate) fn exclude(&mut self, view: &View<'_>, one: &str, other: &str) -> bool {
        let both = view.is_set(one) && view.is_set(other);
        if both {
            let message = format!("`{one}` and `{other}` are both given");
            self.findings.error(view.place(other), &view.path(other), message, "keep one of them");
        }
        both
    }

    /// Warns where a secret would travel unencrypted to another machine.
    pub(crate) fn warn_plain_http(&mut self, view: &View<'_>, key: &str) {
        let Some(url) = view.url(key).filter(|url| url.scheme() == "http") else { return };
        let local = url.host_str().is_some_and(|host| {
            host == "localhost" || host.starts_with("127.") || host == "[::1]" || host.ends_with(".localhost")
        });
        if !local && view.is_set(key) {
            let message = "tokens are sent unencrypted to an http:// address";
            self.findings.warning(view.place(key), &view.path(key), message, "use https://");
        }
    }
}
