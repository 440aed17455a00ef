//! Fills environment variables into values: `${NAME}`, `${NAME:-default}`; `$${` stands for `${`.
//!
//! Works on the values of the tree, never on the text of the file, so that a variable cannot change the structure.

use super::environment::Environment;
use super::findings::Findings;
use super::yaml::{Node, Value};

/// Fills in the variables of every value below `node`; `path` is its own path.
pub(crate) fn interpolate(
    node: &mut Node,
    path: &str,
    environment: &Environment<'_>,
    findings: &mut Findings,
) {
    match &mut node.value {
        Value::Map(entries) => {
            for entry in entries {
                let path = super::check::join(path, &entry.key);
                interpolate(&mut entry.node, &path, environment, findings);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                interpolate(item, &format!("{path}[{index}]"), environment, findings);
            }
        }
        Value::Scalar(scalar) if scalar.text.contains("${") && scalar.written.is_none() => {
            match fill(&scalar.text, environment) {
                Ok(filled) => {
                    scalar.written = Some(std::mem::replace(&mut scalar.text, filled));
                    scalar.quoted = true;
                }
                Err(faults) => {
                    for (message, hint) in faults {
                        findings.error(node.place, path, message, hint);
                    }
                    node.value = Value::Faulty;
                }
            }
        }
        Value::Scalar(_) | Value::Null | Value::Faulty => {}
    }
}

/// The text with every variable filled in, or a message and a hint for each that could not be.
fn fill(text: &str, environment: &Environment<'_>) -> Result<String, Vec<(String, String)>> {
    let mut filled = String::new();
    let mut faults = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = &reference[2..];
            continue;
        }
        filled.push_str(before);
        let Some((inside, after)) = reference[2..].split_once('}') else {
            faults.push(("`${` without `}`".to_owned(), "write `$${` for a literal `${`".to_owned()));
            return Err(faults);
        };
        match value_of(inside, environment) {
            Ok(value) => filled.push_str(&value),
            Err(fault) => faults.push(fault),
        }
        rest = after;
    }
    filled.push_str(rest);
    if faults.is_empty() { Ok(filled) } else { Err(faults) }
}

fn value_of(inside: &str, environment: &Environment<'_>) -> Result<String, (String, String)> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let first_is_right = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !first_is_right || !name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_') {
        let message = "`${…}` does not hold the name of a variable".to_owned();
        return Err((
            message,
            "write `${NAME}` or `${NAME:-default}`, and `$${` for a literal `${`".to_owned(),
        ));
    }
    let value = environment.variable(name);
    match (value, default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err((
            format!("the environment variable `{name}` is not set"),
            format!("set it, or give a default: `${{{name}:-…}}`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let variable = |name: &str| match name {
            "A" => Some("alpha".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let environment = Environment::new(variable, |_| Err(std::io::ErrorKind::NotFound.into()));
        let shown = match fill(text, &environment) {
            Ok(filled) => filled,
            Err(faults) => faults.iter().map(|(message, _)| message.as_str()).collect::<Vec<_>>().join("; "),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn variables_are_filled_in_and_dollars_kept() {
        for (text, expected) in [
            ("${A}", "alpha"),
            ("x-${A}-${A}", "x-alpha-alpha"),
            ("${B:-beta}", "beta"),
            ("${EMPTY:-beta}", "beta"),
            ("${EMPTY}", ""),
            ("${B:-}", ""),
            ("${A:-beta}", "alpha"),
            ("$${A}", "${A}"),
            ("$A", "$A"),
            ("pa$$word", "pa$$word"),
            ("${B} ${C}", "the environment variable `B` is not set; the environment variable `C` is not set"),
            ("${A", "`${` without `}`"),
            ("${A B}", "`${…}` does not hold the name of a variable"),
            ("${}", "`${…}` does not hold the name of a variable"),
            ("${1A}", "`${…}` does not hold the name of a variable"),
        ] {
            check(text, expected);
        }
    }
}
