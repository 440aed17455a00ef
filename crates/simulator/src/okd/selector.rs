//! Label and field selectors of list and watch requests.
//!
//! Syntax: Kubernetes "Labels and Selectors"; field selectors only on what every resource has, and `status.phase`.

use std::collections::BTreeMap;

use super::status::{ApiError, Result};

/// Labels of one object.
pub(crate) type Labels = BTreeMap<Box<str>, Box<str>>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// A parsed label selector; empty selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<(String, Test)>);

impl LabelSelector {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut requirements = Vec::new();
        for part in split(text) {
            requirements.push(requirement(part.trim())?);
        }
        Ok(Self(requirements))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, test)| {
            let value = labels.get(key.as_str()).map(AsRef::as_ref);
            match test {
                Test::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
                Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
            }
        })
    }

    /// Pairs that every selected object must carry, for the index.
    pub(crate) fn equalities(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(key, test)| match test {
            Test::In(values) if values.len() == 1 => Some((key.as_str(), values[0].as_str())),
            _ => None,
        })
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(&text[start..]);
    }
    parts
}

fn requirement(text: &str) -> Result<(String, Test)> {
    if let Some(key) = text.strip_prefix('!') {
        return Ok((key_of(key)?, Test::Absent));
    }
    if let Some((key, values)) = text.split_once('(') {
        let values: Vec<String> =
            values.trim_end().trim_end_matches(')').split(',').map(|value| value.trim().to_owned()).collect();
        let (key, negated) = match key.trim().rsplit_once(' ') {
            Some((key, "in")) => (key, false),
            Some((key, "notin")) => (key, true),
            _ => return Err(unparsable(text)),
        };
        return Ok((key_of(key)?, if negated { Test::NotIn(values) } else { Test::In(values) }));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok((key_of(key)?, Test::NotIn(vec![value.trim().to_owned()])));
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.trim_start_matches('=').trim();
        return Ok((key_of(key)?, Test::In(vec![value.to_owned()])));
    }
    Ok((key_of(text)?, Test::Exists))
}

fn key_of(text: &str) -> Result<String> {
    let key = text.trim();
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    match key.chars().find(|&c| !sound(c)) {
        None if !key.is_empty() => Ok(key.to_owned()),
        found => {
            let found = found.map(String::from).unwrap_or_default();
            let message = format!("unable to parse requirement: found '{found}', expected: identifier");
            Err(ApiError::bad_request(message))
        }
    }
}

fn unparsable(text: &str) -> Box<ApiError> {
    ApiError::bad_request(format!(
        "unable to parse requirement: found '{text}', expected: in, notin, =, ==, !="
    ))
}

/// A parsed field selector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    /// `known` are the fields of the resource besides name and namespace.
    pub(crate) fn parse(text: &str, known: &[&str]) -> Result<Self> {
        let mut terms = Vec::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (field, equal, value) = match part.split_once("!=") {
                Some((field, value)) => (field, false, value),
                None => {
                    let (field, value) = part
                        .split_once('=')
                        .ok_or_else(|| ApiError::bad_request(format!("invalid field selector: '{text}'")))?;
                    (field, true, value.trim_start_matches('='))
                }
            };
            let field = field.trim();
            if !["metadata.name", "metadata.namespace"].contains(&field) && !known.contains(&field) {
                let message = format!(
                    "\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                );
                return Err(ApiError::bad_request(message));
            }
            terms.push((field.to_owned(), equal, value.trim().to_owned()));
        }
        Ok(Self(terms))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object is selected; `other` reads a field that is not its name or namespace.
    pub(crate) fn matches(&self, namespace: &str, name: &str, other: impl Fn(&str) -> String) -> bool {
        self.0.iter().all(|(field, equal, wanted)| {
            let actual = match field.as_str() {
                "metadata.name" => name.to_owned(),
                "metadata.namespace" => namespace.to_owned(),
                field => other(field),
            };
            (actual == *wanted) == *equal
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selector: &str, labels: &[(&str, &str)], selected: bool) {
        let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let Ok(parsed) = LabelSelector::parse(selector) else { panic!("unparsable: {selector}") };
        assert_eq!(parsed.matches(&labels), selected, "{selector} on {labels:?}");
    }

    #[test]
    fn label_selectors_select_as_documented() {
        check("a=b", &[("a", "b")], true);
        check("a==b,c", &[("a", "b")], false);
        check("a in (x, b),!c", &[("a", "b")], true);
        check("a notin (x,b)", &[("a", "b")], false);
        check("a!=b", &[], true);
        check("waldur/x", &[("waldur/x", "")], true);
        check("", &[], true);
    }

    #[test]
    fn a_broken_selector_is_refused() {
        assert!(LabelSelector::parse("!!").is_err());
        assert!(FieldSelector::parse("foo=x", &[]).is_err());
    }
}
