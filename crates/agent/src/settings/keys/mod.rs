//! The table of keys: every key of the configuration once, with its type, default and documentation.
//!
//! It drives the check of the file, the suggestions for misspelt keys, the JSON schema and the default file.

mod cluster;
mod component;
mod global;
mod offering;

pub(crate) use cluster::{
    BACKEND_SETTINGS, LIFECYCLE, LIMIT_RANGE, OAUTH, PERIODIC_LIMITS, SUBJECTS, TOKEN_CONFIG, USERNAMES,
};
pub(crate) use component::{COMPONENT, QUOTA_TARGET, USAGE};
pub(crate) use global::{ALERT_THRESHOLDS_KIND, GLOBAL, LOG_SHIPPING, MONITORING};
pub(crate) use offering::{
    EVENT_PROCESSING, LIMIT_RANGE_ITEM, LIMIT_RANGE_TEMPLATE, MANIFEST, OFFERING, POD_SECURITY,
    PROJECT_TEMPLATE, RESOURCE_QUOTA, SCOPE_EXPRESSION, SCOPE_SELECTOR, SERVICE_ACCOUNT,
};

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// `true`, `false` and the further spellings of YAML 1.1.
    Bool,
    /// A whole number within these bounds.
    Int(i64, i64),
    /// A decimal number; see [`Bound`].
    Decimal(Bound),
    /// A share as `0.5` or `50%`.
    Share,
    /// A decimal number of 0 or more, or a share as `50%`.
    AmountOrShare,
    /// Any single value, taken as text.
    Text,
    /// Text that is never shown.
    Secret,
    /// A URL of one of these schemes, without credentials or query.
    Url(&'static [&'static str]),
    /// A URL that may hold credentials and is never shown.
    CredentialUrl(&'static [&'static str]),
    /// A path of a file or directory.
    Path,
    /// A truth value, or the path of a file of CA certificates.
    BoolOrPath,
    /// A UUID with or without dashes.
    Uuid,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// A time as `90`, `30m`, `12h`, `7d`; plain numbers are seconds.
    Duration,
    /// A Kubernetes quantity.
    Quantity,
    /// A name of an IANA time zone.
    TimeZone,
    /// Beginning of namespace names.
    Prefix,
    /// A ClusterRole; null for no access.
    ClusterRole,
    /// A mapping with these keys.
    Section(&'static [Key]),
    /// A list of these.
    List(&'static Kind),
    /// A mapping from free names to these.
    Map(&'static Kind),
    /// One quota key, or a list of keys and targets.
    QuotaTargets,
    /// Anything.
    Any,
}

/// The bound of a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Greater than 0.
    Positive,
    /// 0 or greater.
    NotNegative,
}

/// What an absent key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// A fault.
    Required,
    /// Nothing; the documentation says what then holds.
    Unset,
    /// This value, in YAML.
    Default(&'static str),
}

/// Whether a key does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It does.
    Now,
    /// It is checked and has no effect in this version.
    Later,
    /// It is accepted for the sake of files of the Python agent and never has an effect.
    Ignored,
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) absent: Absent,
    pub(crate) stage: Stage,
    pub(crate) doc: &'static str,
    /// A value for the default file, in YAML; may have several lines.
    pub(crate) example: Option<&'static str>,
    pub(crate) in_default_file: InDefaultFile,
}

/// How a key stands in the default file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InDefaultFile {
    /// With its default; in a comment if it has none.
    Default,
    /// With the example as its value.
    Example,
    /// In a comment, with all that is below it.
    Comment,
}

impl Key {
    /// An optional key that takes effect.
    pub(crate) const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            absent: Absent::Unset,
            stage: Stage::Now,
            doc,
            example: None,
            in_default_file: InDefaultFile::Default,
        }
    }

    /// The same, required.
    pub(crate) const fn required(mut self) -> Self {
        self.absent = Absent::Required;
        self
    }

    /// The same, with a default.
    pub(crate) const fn default(mut self, value: &'static str) -> Self {
        self.absent = Absent::Default(value);
        self
    }

    /// The same, with a value for the default file.
    pub(crate) const fn example(mut self, value: &'static str) -> Self {
        self.example = Some(value);
        self
    }

    /// The same, with a value that the default file gives it.
    pub(crate) const fn shown(mut self, value: &'static str) -> Self {
        self.example = Some(value);
        self.in_default_file = InDefaultFile::Example;
        self
    }

    /// The same, in a comment of the default file.
    pub(crate) const fn commented(mut self) -> Self {
        self.in_default_file = InDefaultFile::Comment;
        self
    }

    /// The same, checked but without effect so far.
    pub(crate) const fn later(mut self) -> Self {
        self.stage = Stage::Later;
        self
    }

    /// The same, accepted and ignored.
    pub(crate) const fn ignored(mut self) -> Self {
        self.stage = Stage::Ignored;
        self
    }
}

/// The key of this name in a table.
pub(crate) fn find<'a>(keys: &'a [Key], name: &str) -> Option<&'a Key> {
    keys.iter().find(|key| key.name == name)
}

/// The keys of the flat form: those of the whole file and those of its one offering.
pub(crate) fn flat() -> Vec<Key> {
    let name = Key { absent: Absent::Default("okd"), ..OFFERING[0] };
    let global = GLOBAL.iter().filter(|key| key.name != "offerings").copied();
    global.chain([name]).chain(OFFERING[1..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_stands_once_in_its_table_and_is_documented() {
        let flat = flat();
        let tables: [&[Key]; 18] = [
            &flat,
            GLOBAL,
            OFFERING,
            BACKEND_SETTINGS,
            TOKEN_CONFIG,
            COMPONENT,
            QUOTA_TARGET,
            USAGE,
            LIFECYCLE,
            LIMIT_RANGE,
            EVENT_PROCESSING,
            PROJECT_TEMPLATE,
            MANIFEST,
            POD_SECURITY,
            RESOURCE_QUOTA,
            SCOPE_SELECTOR,
            SCOPE_EXPRESSION,
            MONITORING,
        ];
        for table in tables {
            for (index, key) in table.iter().enumerate() {
                assert!(table[..index].iter().all(|other| other.name != key.name), "{} twice", key.name);
                assert!(key.doc.ends_with('.') && !key.doc.contains('\n'), "{}: {}", key.name, key.doc);
            }
        }
        assert_eq!(OFFERING[0].name, "name");
    }
}
