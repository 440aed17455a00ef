//! Typed values of a checked section, with the defaults of the table.
//!
//! Faults have been reported by `check` before; here a faulty value reads as if it were not given.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::keys::{Absent, Key, find};
use super::yaml::{Node, Place};
use super::{CredentialUrl, ExactDecimal, Quantity, check, scalar, yaml};

/// One section of the file seen through its keys.
pub(crate) struct View<'a> {
    pub(crate) path: String,
    pub(crate) place: Place,
    node: Option<&'a Node>,
    keys: &'a [Key],
}

impl<'a> View<'a> {
    /// A section at `path`; absent sections have all defaults.
    pub(crate) fn new(keys: &'a [Key], node: Option<&'a Node>, path: &str, place: Place) -> Self {
        Self { path: path.to_owned(), place, node, keys }
    }

    /// The path of a key.
    pub(crate) fn path(&self, key: &str) -> String {
        check::join(&self.path, key)
    }

    /// Where the value of a key stands; where the section does if it is not given.
    pub(crate) fn place(&self, key: &str) -> Place {
        self.given(key).map_or(self.place, |node| node.place)
    }

    /// The value of a key, if it is given and says something.
    pub(crate) fn given(&self, key: &str) -> Option<&'a Node> {
        debug_assert!(find(self.keys, key).is_some(), "the table of keys lacks {key}");
        self.node?.get(key).filter(|node| !check::is_unset(node))
    }

    /// Whether a key is given and says something.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.given(key).is_some()
    }

    /// Whether a key is given with an empty text.
    pub(crate) fn is_empty_text(&self, key: &str) -> bool {
        self.node.and_then(|node| node.get(key)).and_then(Node::text) == Some("")
    }

    fn default(&self, key: &str) -> Option<&'static str> {
        match find(self.keys, key)?.absent {
            Absent::Default(text) => Some(text.trim_matches('\'')),
            Absent::Required | Absent::Unset => None,
        }
    }

    /// A value by `read`, else the default by the same.
    fn read<T>(&self, key: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let given = self.given(key).and_then(Node::text).and_then(&read);
        given.or_else(|| self.default(key).and_then(read))
    }

    /// Text, as written.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.read(key, |text| Some(text.to_owned()))
    }

    /// Text, empty where it is neither given nor has a default.
    pub(crate) fn text_or_empty(&self, key: &str) -> String {
        if self.is_empty_text(key) { String::new() } else { self.text(key).unwrap_or_default() }
    }

    /// A truth value; false where nothing else is said.
    pub(crate) fn truth(&self, key: &str) -> bool {
        self.optional_truth(key).unwrap_or(false)
    }

    /// A truth value that may be left open.
    pub(crate) fn optional_truth(&self, key: &str) -> Option<bool> {
        self.read(key, scalar::truth)
    }

    /// A whole number of a type that holds all that the table allows.
    pub(crate) fn whole<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        self.read(key, |text| scalar::whole(text)?.try_into().ok())
    }

    /// A decimal number.
    pub(crate) fn decimal(&self, key: &str) -> Option<ExactDecimal> {
        self.read(key, scalar::decimal)
    }

    /// A share from 0 to 1.
    pub(crate) fn share(&self, key: &str) -> Option<ExactDecimal> {
        self.read(key, scalar::share)
    }

    /// A time.
    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        self.read(key, scalar::duration)
    }

    /// A quantity.
    pub(crate) fn quantity(&self, key: &str) -> Option<Quantity> {
        self.read(key, Quantity::parse)
    }

    /// A URL without credentials.
    pub(crate) fn url(&self, key: &str) -> Option<Url> {
        self.read(key, |text| Url::parse(text).ok())
    }

    /// A URL that may hold credentials.
    pub(crate) fn credential_url(&self, key: &str) -> Option<CredentialUrl> {
        self.url(key).map(CredentialUrl::new)
    }

    /// A path.
    pub(crate) fn file(&self, key: &str) -> Option<PathBuf> {
        self.read(key, |text| Some(PathBuf::from(text)))
    }

    /// A secret.
    pub(crate) fn secret(&self, key: &str) -> Option<SecretString> {
        self.read(key, |text| Some(SecretString::from(text.trim())))
    }

    /// One of a set of words.
    pub(crate) fn choice<T>(&self, key: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.read(key, |text| read(&text.to_ascii_lowercase()))
    }

    /// The section under a key.
    pub(crate) fn section(&self, key: &str, keys: &'a [Key]) -> View<'a> {
        View::new(keys, self.given(key), &self.path(key), self.place(key))
    }

    /// The sections of a list under a key.
    pub(crate) fn sections(&self, key: &str, keys: &'a [Key]) -> Vec<View<'a>> {
        let path = self.path(key);
        let items = self.given(key).map(Node::items).unwrap_or_default().iter().enumerate();
        items
            .map(|(index, node)| View::new(keys, Some(node), &format!("{path}[{index}]"), node.place))
            .collect()
    }

    /// The texts of a list, each with its place and path.
    pub(crate) fn texts(&self, key: &str) -> Vec<(String, Place, String)> {
        let path = self.path(key);
        let items = self.given(key).map(Node::items).unwrap_or_default().iter().enumerate();
        let text = |(index, node): (usize, &Node)| {
            Some((node.text()?.to_owned(), node.place, format!("{path}[{index}]")))
        };
        items.filter_map(text).collect()
    }

    /// The entries of a mapping with free names: name, path, value. The default's where it is not given.
    pub(crate) fn entries(&self, key: &str) -> Vec<(String, String, Node)> {
        let default = || {
            let documents = self.default(key).and_then(|text| yaml::documents(text).ok());
            documents.and_then(|(documents, _)| documents.into_iter().next())
        };
        let Some(node) = self.given(key).cloned().or_else(default) else { return Vec::new() };
        let path = self.path(key);
        let entries = node.entries().iter();
        entries.map(|entry| (entry.key.clone(), check::join(&path, &entry.key), entry.node.clone())).collect()
    }

    /// Decimal numbers by free names.
    pub(crate) fn decimals(&self, key: &str) -> Vec<(String, ExactDecimal)> {
        let entries = self.entries(key).into_iter();
        entries.filter_map(|(name, _, node)| Some((name, scalar::decimal(node.text()?)?))).collect()
    }

    /// Quantities by free names.
    pub(crate) fn quantities(&self, key: &str) -> Vec<(String, Quantity)> {
        let entries = self.entries(key).into_iter();
        entries.filter_map(|(name, _, node)| Some((name, Quantity::parse(node.text()?)?))).collect()
    }
}
