//! The default file: every key with its documentation and its default, made from the table of keys.

use super::keys::{Absent, Bound, COMPONENT, GLOBAL, InDefaultFile, Key, Kind, Stage};
use super::schema::documented;

/// Where comments are wrapped.
const WIDTH: usize = 110;

const HEADER: &str = "\
# Configuration of the Waldur site agent for OKD: every key, with its default or an example.
#
# Lines that begin with `#` and a key, without a blank between, are switched off; remove the `#` to use them.
# Values may hold environment variables: ${NAME}, ${NAME:-default}; $${ stands for ${.
# A file with a single offering may also have the keys of that offering at the top level, without `offerings`.
";

/// Components after the first, which shows all keys.
const FURTHER_COMPONENTS: &str = "\
memory:
  measured_unit: GB
  accounting_type: limit
  label: Memory
storage:
  measured_unit: GB
  accounting_type: limit
  label: Storage
pods:
  measured_unit: Pods
  accounting_type: limit
# What is not among these four needs a quota key.
#gpu:
#  measured_unit: GPU
#  accounting_type: limit
#  label: GPU
#  quota: requests.nvidia.com/gpu
";

/// A complete, documented configuration in YAML. It loads without findings.
pub fn default_file() -> String {
    let mut text = format!("{HEADER}\n");
    for line in section(GLOBAL) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// The lines of a section without indentation. Keys that never have an effect are left out.
fn section(keys: &[Key]) -> Vec<String> {
    let mut lines = Vec::new();
    for key in keys.iter().filter(|key| key.stage != Stage::Ignored) {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(comment(key));
        lines.extend(entry(key));
    }
    lines
}

fn comment(key: &Key) -> Vec<String> {
    let mut text = documented(key);
    match key.kind {
        Kind::Choice(words) => text.push_str(&format!(" One of {}.", words.join(", "))),
        Kind::Int(min, max) if max < i64::MAX => text.push_str(&format!(" From {min} to {max}.")),
        Kind::Decimal(Bound::Positive) => text.push_str(" Greater than 0."),
        _ => {}
    }
    match key.absent {
        Absent::Required => text.push_str(" Required."),
        Absent::Default(value) if key.in_default_file == InDefaultFile::Example => {
            text.push_str(&format!(" Default: {value}"))
        }
        Absent::Default(_) | Absent::Unset => {}
    }
    wrapped(&text)
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = "#".to_owned();
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, "#".to_owned()));
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// The lines of a key and what is below it, switched off where nothing of it should have an effect.
fn entry(key: &Key) -> Vec<String> {
    let below = match key.kind {
        Kind::Section(keys) => section(keys),
        Kind::Map(Kind::Section(_)) => components(),
        Kind::List(Kind::Section(keys)) if key.name == "offerings" => {
            [vec!["-".to_owned()], indented(section(keys))].concat()
        }
        _ => return vec![single(key)],
    };
    let lines = [vec![format!("{}:", key.name)], indented(below)].concat();
    let says_something = |line: &String| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    };
    let commented = key.stage == Stage::Later || key.in_default_file == InDefaultFile::Comment;
    let off = commented || !lines[1..].iter().any(says_something);
    if off { lines.into_iter().map(switched_off).collect() } else { lines }
}

fn indented(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| if line.is_empty() { line } else { format!("  {line}") }).collect()
}

/// Comments stay what they are, so that removing one `#` gives the key with its documentation.
fn switched_off(line: String) -> String {
    if line.is_empty() { line } else { format!("#{line}") }
}

fn single(key: &Key) -> String {
    let value = match (key.absent, key.example) {
        (Absent::Default(value), _) if key.in_default_file != InDefaultFile::Example => value.to_owned(),
        (_, Some(example)) => example.to_owned(),
        (_, None) => sample(key.kind),
    };
    let on = match key.in_default_file {
        InDefaultFile::Example => true,
        InDefaultFile::Default => key.absent != Absent::Unset,
        InDefaultFile::Comment => false,
    };
    let mark = if on && key.stage == Stage::Now { "" } else { "#" };
    format!("{mark}{}: {value}", key.name).trim_end().to_owned()
}

/// A value for keys that have neither a default nor an example.
fn sample(kind: Kind) -> String {
    match kind {
        Kind::Bool => "false".to_owned(),
        Kind::Int(min, _) => min.max(1).to_string(),
        Kind::Decimal(_) => "1".to_owned(),
        Kind::Choice(words) => words.first().copied().unwrap_or_default().to_owned(),
        Kind::Map(Kind::Quantity) => "{cpu: 1, memory: 1Gi}".to_owned(),
        _ => String::new(),
    }
}

/// One component with all keys, and the others in short.
fn components() -> Vec<String> {
    let first = [vec!["cpu:".to_owned()], indented(section(COMPONENT))].concat();
    let further = FURTHER_COMPONENTS.lines().map(str::to_owned);
    first.into_iter().chain([String::new()]).chain(further).collect()
}
