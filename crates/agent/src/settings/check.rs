//! Holds a tree against the table of keys: unknown and missing keys, and values of the wrong type or size.
//!
//! Faults between keys are found later, in `build`. A value of a key that may hold a secret is never shown.

use planner::names::MAX_ENVIRONMENT;

use super::ExactDecimal;
use super::findings::Findings;
use super::keys::{
    Absent, BACKEND_SETTINGS, Bound, COMPONENT, EVENT_PROCESSING, GLOBAL, Key, Kind, LIFECYCLE, OFFERING,
    Stage, TOKEN_CONFIG, find,
};
use super::scalar;
use super::suggest::nearest;
use super::yaml::{Entry, Node, Scalar, Value};

/// The path of a key below a path.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Checks a mapping against its keys. Anything but a mapping is one fault; null is an empty mapping.
pub(crate) fn section(keys: &[Key], node: &Node, path: &str, findings: &mut Findings) {
    match &node.value {
        Value::Map(_) | Value::Null => {}
        Value::Faulty => return,
        Value::Scalar(_) | Value::List(_) => {
            let message = format!("expected a mapping, found {}", node.noun());
            findings.error(node.place, path, message, format!("known keys: {}", names(keys)));
            return;
        }
    }
    for entry in node.entries() {
        let path = join(path, &entry.key);
        match find(keys, &entry.key) {
            Some(key) => known_key(key, entry, &path, findings),
            None => unknown_key(keys, entry, &path, findings),
        }
    }
    for key in keys.iter().filter(|key| key.absent == Absent::Required) {
        if node.get(key.name).is_none_or(is_unset) {
            let place = node.entry(key.name).map_or(node.place, |entry| entry.place);
            findings.error(place, &join(path, key.name), "is missing", missing_hint(key));
        }
    }
}

/// Whether a value is null or an empty text, which means the same as leaving the key out.
pub(crate) fn is_unset(node: &Node) -> bool {
    matches!(node.value, Value::Null) || node.text() == Some("")
}

fn missing_hint(key: &Key) -> String {
    match (key.kind, key.example) {
        (Kind::Choice(words), _) => format!("one of {}", words.join(", ")),
        (_, Some(example)) => format!("for example `{}: {example}`", key.name),
        (_, None) => key.doc.to_owned(),
    }
}

fn names(keys: &[Key]) -> String {
    keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

fn known_key(key: &Key, entry: &Entry, path: &str, findings: &mut Findings) {
    if matches!(entry.node.value, Value::Null) {
        return;
    }
    value(key.kind, &entry.node, path, findings);
    match key.stage {
        Stage::Now => {}
        Stage::Ignored => findings.warning(entry.place, path, "is ignored", key.doc),
        Stage::Later if says_default(key, &entry.node) => {}
        Stage::Later => findings.note(entry.place, path, "is checked, but has no effect in this version", ""),
    }
}

fn says_default(key: &Key, node: &Node) -> bool {
    match (key.kind, key.absent, node.text()) {
        (Kind::Bool, Absent::Default(default), Some(text)) => scalar::truth(text) == scalar::truth(default),
        (_, Absent::Default(default), Some(text)) => text == default,
        _ => false,
    }
}

fn unknown_key(keys: &[Key], entry: &Entry, path: &str, findings: &mut Findings) {
    let hint = match nearest(&entry.key, keys.iter().map(|key| key.name)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => match home_of(&entry.key) {
            Some(home) => format!("it belongs into {home}"),
            None if keys.len() <= 8 => format!("known keys: {}", names(keys)),
            None => "`config default` shows all keys".to_owned(),
        },
    };
    findings.unknown_key(entry.place, path, "unknown key", hint);
}

/// The section that has a key of this name, for keys that stand in the wrong place.
fn home_of(name: &str) -> Option<&'static str> {
    let sections: [(&[Key], &str); 7] = [
        (OFFERING, "an offering"),
        (GLOBAL, "the top level of the file"),
        (BACKEND_SETTINGS, "`backend_settings`"),
        (TOKEN_CONFIG, "`backend_settings.token_config`"),
        (LIFECYCLE, "`backend_settings.lifecycle`"),
        (EVENT_PROCESSING, "`event_processing`"),
        (COMPONENT, "a component of `backend_components`"),
    ];
    sections.into_iter().find(|(keys, _)| find(keys, name).is_some()).map(|(_, home)| home)
}

/// Checks one value that is not null.
fn value(kind: Kind, node: &Node, path: &str, findings: &mut Findings) {
    match kind {
        Kind::Section(keys) => section(keys, node, path, findings),
        Kind::List(item) => match &node.value {
            Value::List(items) => {
                for (index, node) in items.iter().enumerate() {
                    item_value(*item, node, &format!("{path}[{index}]"), findings);
                }
            }
            Value::Null | Value::Faulty => {}
            Value::Scalar(_) | Value::Map(_) => {
                wrong(node, path, "a list", "begin each item with `- `", findings)
            }
        },
        Kind::Map(item) => match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    map_value(*item, &entry.node, &join(path, &entry.key), findings);
                }
            }
            Value::Null | Value::Faulty => {}
            Value::Scalar(_) | Value::List(_) => {
                wrong(node, path, "a mapping", "write `name: value` lines", findings)
            }
        },
        Kind::QuotaTargets => quota_targets(node, path, findings),
        Kind::Any => {}
        _ => match &node.value {
            Value::Scalar(text) => single(kind, text, node, path, findings),
            Value::Null | Value::Faulty => {}
            Value::List(_) | Value::Map(_) => wrong(node, path, expected(kind), "", findings),
        },
    }
}

fn item_value(kind: Kind, node: &Node, path: &str, findings: &mut Findings) {
    if matches!(node.value, Value::Null) {
        wrong(node, path, "an entry", "remove the empty item", findings);
    } else {
        value(kind, node, path, findings);
    }
}

/// Null means a value of its own only for roles; a component without keys lacks its required ones.
fn map_value(kind: Kind, node: &Node, path: &str, findings: &mut Findings) {
    match (kind, &node.value) {
        (Kind::Section(keys), Value::Null) => section(keys, node, path, findings),
        (Kind::ClusterRole, Value::Null) => {}
        (_, Value::Null) => wrong(node, path, expected(kind), "", findings),
        _ => value(kind, node, path, findings),
    }
}

fn quota_targets(node: &Node, path: &str, findings: &mut Findings) {
    match &node.value {
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                quota_target(item, &format!("{path}[{index}]"), findings);
            }
        }
        Value::Map(_) | Value::Scalar(_) | Value::Null | Value::Faulty => quota_target(node, path, findings),
    }
}

fn quota_target(node: &Node, path: &str, findings: &mut Findings) {
    let keys = super::keys::QUOTA_TARGET;
    match &node.value {
        Value::Map(_) => section(keys, node, path, findings),
        Value::Scalar(_) | Value::Faulty => {}
        Value::List(_) | Value::Null => {
            wrong(
                node,
                path,
                "a quota key or a target",
                "for example `requests.cpu`, or `{key: limits.cpu, ratio: 2}`",
                findings,
            );
        }
    }
}

fn wrong(node: &Node, path: &str, expected: &str, hint: &str, findings: &mut Findings) {
    findings.error(node.place, path, format!("expected {expected}, found {}", node.noun()), hint);
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Int(..) => "a whole number",
        Kind::Decimal(_) => "a number",
        Kind::Share => "a share such as 0.5 or 50%",
        Kind::AmountOrShare => "a number, or a share such as 50%",
        Kind::Url(_) | Kind::CredentialUrl(_) => "a URL",
        Kind::Path => "a path",
        Kind::BoolOrPath => "true, false or the path of a CA file",
        Kind::Uuid => "a UUID",
        Kind::Duration => "a time such as 90, 30m, 12h or 7d",
        Kind::Quantity => "a Kubernetes quantity such as 500m or 16Gi",
        Kind::TimeZone => "a time zone such as Europe/Tallinn",
        Kind::Text | Kind::Secret | Kind::Choice(_) | Kind::Prefix | Kind::Ending | Kind::ClusterRole => {
            "text"
        }
        Kind::Section(_) | Kind::Map(_) => "a mapping",
        Kind::List(_) | Kind::QuotaTargets => "a list",
        Kind::Any => "a value",
    }
}

/// Checks a single value; an empty text counts as not given where that has a meaning.
fn single(kind: Kind, given: &Scalar, node: &Node, path: &str, findings: &mut Findings) {
    let text = given.text.as_str();
    let shown = given.written.as_deref().unwrap_or(text);
    if text.is_empty() && empty_is_unset(kind) {
        return;
    }
    let fault = match kind {
        Kind::Bool => fault_if(scalar::truth(text).is_none(), ""),
        Kind::Int(min, max) => whole_fault(text, min, max),
        Kind::Decimal(bound) => decimal_fault(text, bound),
        Kind::AmountOrShare => {
            let fits = match text.strip_suffix('%') {
                Some(_) => scalar::share(text).is_some(),
                None => scalar::decimal(text).is_some_and(|amount| amount >= ExactDecimal::ZERO),
            };
            fault_if(!fits, "0 or greater, or 0% to 100%")
        }
        Kind::Share => fault_if(scalar::share(text).is_none(), "between 0 and 1, or 0% and 100%"),
        Kind::Duration => fault_if(scalar::duration(text).is_none(), "plain numbers are seconds"),
        Kind::Quantity => quantity_fault(text),
        Kind::TimeZone => fault_if(
            jiff::tz::TimeZone::get(text).is_err(),
            "a name of the IANA database; the machine or image must have that database (tzdata)",
        ),
        Kind::Choice(words) => choice_fault(text, words),
        Kind::Uuid => fault_if(
            scalar::uuid(text).is_none(),
            "32 hexadecimal digits, with or without dashes, as in the address of the offering in Waldur",
        ),
        Kind::Url(schemes) => return url(text, schemes, false, node, path, findings),
        Kind::CredentialUrl(schemes) => return url(text, schemes, true, node, path, findings),
        Kind::Prefix => prefix_fault(text),
        Kind::Ending => ending_fault(text),
        Kind::ClusterRole => cluster_role_fault(text),
        Kind::Secret => {
            if text.trim().chars().any(char::is_control) {
                let message = "holds a line break or another control character, which cannot be sent";
                findings.error(node.place, path, message, "write the secret on one line, in quotes");
            }
            None
        }
        Kind::BoolOrPath | Kind::Path | Kind::Text | Kind::Any => None,
        Kind::Section(_) | Kind::List(_) | Kind::Map(_) | Kind::QuotaTargets => None,
    };
    if let Some(Fault { expected: said, hint }) = fault {
        let what = said.unwrap_or_else(|| expected(kind).to_owned());
        findings.error(node.place, path, format!("expected {what}, found `{}`", shortened(shown)), hint);
    }
}

/// What was expected, where that is more than the name of the type, and a hint.
struct Fault {
    expected: Option<String>,
    hint: String,
}

fn fault_if(wrong: bool, hint: &str) -> Option<Fault> {
    wrong.then(|| Fault { expected: None, hint: hint.to_owned() })
}

fn expected_instead(expected: impl Into<String>, hint: impl Into<String>) -> Option<Fault> {
    Some(Fault { expected: Some(expected.into()), hint: hint.into() })
}

fn empty_is_unset(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Text
            | Kind::Secret
            | Kind::Url(_)
            | Kind::CredentialUrl(_)
            | Kind::Path
            | Kind::Uuid
            | Kind::Choice(_)
            | Kind::Prefix
            | Kind::ClusterRole
            | Kind::TimeZone
            | Kind::BoolOrPath
    )
}

fn whole_fault(text: &str, min: i64, max: i64) -> Option<Fault> {
    match scalar::whole(text) {
        Some(number) if (min..=max).contains(&number) => None,
        Some(_) if max == i64::MAX => expected_instead(format!("a whole number of at least {min}"), ""),
        Some(_) => expected_instead(format!("a whole number from {min} to {max}"), ""),
        None => fault_if(true, ambiguity_hint(text)),
    }
}

fn ambiguity_hint(text: &str) -> &'static str {
    if scalar::octal_looking(text) {
        "versions of YAML read this as different numbers; write it without leading zero or `:`"
    } else {
        ""
    }
}

fn decimal_fault(text: &str, bound: Bound) -> Option<Fault> {
    match (scalar::decimal(text), bound) {
        (Some(number), Bound::Positive) if !number.is_positive() => {
            expected_instead("a number greater than 0", "")
        }
        (Some(number), Bound::NotNegative) if number < ExactDecimal::ZERO => {
            expected_instead("a number of at least 0", "")
        }
        (Some(_), _) => None,
        (None, _) => fault_if(true, ambiguity_hint(text)),
    }
}

fn quantity_fault(text: &str) -> Option<Fault> {
    let right = text.trim_end_matches('B').replace(' ', "");
    let hint = match super::Quantity::parse(&right) {
        Some(_) if right != text => format!("write `{right}`"),
        _ => "digits and one of m, k, M, G, T, Ki, Mi, Gi, Ti".to_owned(),
    };
    super::Quantity::parse(text).is_none().then_some(Fault { expected: None, hint })
}

fn choice_fault(text: &str, words: &[&str]) -> Option<Fault> {
    if words.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return None;
    }
    let hint = nearest(text, words.iter().copied()).map(|word| format!("did you mean `{word}`?"));
    expected_instead(format!("one of {}", words.join(", ")), hint.unwrap_or_default())
}

fn prefix_fault(text: &str) -> Option<Fault> {
    let lower = text.to_ascii_lowercase();
    let allowed = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    if !lower.chars().all(allowed) || lower.starts_with('-') || lower.len() > 40 {
        return expected_instead(
            "the beginning of a namespace name",
            "at most 40 letters, digits and `-`, not beginning with `-`",
        );
    }
    is_reserved(&lower).then(|| Fault {
        expected: Some("a prefix outside of openshift-, kube- and kubernetes-".to_owned()),
        hint: "OpenShift keeps such namespaces for itself; the agent makes none".to_owned(),
    })
}

/// Kubernetes: names of namespaces are DNS labels.
fn ending_fault(text: &str) -> Option<Fault> {
    let allowed = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    let edge = |one: Option<char>| one.is_some_and(|one| allowed(one) && one != '-');
    let fits = text.chars().all(allowed)
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.len() <= MAX_ENVIRONMENT;
    let hint = "at most 20 lower-case letters, digits and `-`, with a letter or digit at both ends";
    if fits { None } else { expected_instead("the end of a namespace name", hint) }
}

/// Whether names with this beginning belong to OpenShift or Kubernetes.
pub(crate) fn is_reserved(prefix: &str) -> bool {
    ["openshift-", "kube-", "kubernetes-"].iter().any(|taken| prefix.starts_with(taken))
}

/// Kubernetes: names of RBAC objects are path segments.
fn cluster_role_fault(text: &str) -> Option<Fault> {
    let wrong = text.contains(['/', '%', ' ']) || text == "." || text == "..";
    wrong.then(|| Fault {
        expected: Some("the name of a ClusterRole".to_owned()),
        hint: "for example admin, edit or view".to_owned(),
    })
}

/// URLs are never shown, as they may hold credentials.
fn url(text: &str, schemes: &[&str], credentials: bool, node: &Node, path: &str, findings: &mut Findings) {
    let begins = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ");
    let Ok(url) = url::Url::parse(text) else {
        let message = format!("expected a URL that begins with {begins}");
        return findings.error(node.place, path, message, "check the address for blanks and missing parts");
    };
    if !schemes.contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return findings.error(node.place, path, format!("expected a URL that begins with {begins}"), "");
    }
    let has_login = !url.username().is_empty() || url.password().is_some();
    if !credentials && has_login {
        findings.error(
            node.place,
            path,
            "a login stands in the URL",
            "remove it; tokens have keys of their own",
        );
    }
    if !credentials && (url.query().is_some() || url.fragment().is_some()) {
        findings.error(node.place, path, "the URL has a `?` or `#` part", "end it with the path");
    }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
