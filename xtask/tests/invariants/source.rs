//! The repository's files, and Rust source as a row of tokens: enough to find calls, paths and fields.

use std::path::Path;
use std::process::Command;

/// The folder that holds `Cargo.lock`.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}

/// Paths, from the root, of the files that git has or would take; what is ignored is not among them.
pub(crate) fn files() -> Vec<String> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(arguments).current_dir(root()).output();
    let output = output.expect("git starts");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let there = |path: &&str| !path.is_empty() && root().join(path).is_file();
    let files: Vec<String> = listed.split('\0').filter(there).map(str::to_owned).collect();
    assert!(files.iter().any(|path| path == "Cargo.toml"), "not the repository: {files:?}");
    files
}

/// The text of a file; `None` for one that is not text.
pub(crate) fn text(path: &str) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(path)).expect("a listed file can be read")).ok()
}

/// All Rust files below a folder; at least one.
pub(crate) fn rust(folder: &str) -> Vec<Source> {
    let is_rust = |path: &String| path.starts_with(folder) && path.ends_with(".rs");
    let sources: Vec<Source> = files()
        .into_iter()
        .filter(is_rust)
        .map(|path| {
            let text = text(&path).expect("Rust source is UTF-8");
            Source { path, text }
        })
        .collect();
    assert!(!sources.is_empty(), "no source below {folder}");
    sources
}

/// One Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// A sample for the test of a rule.
    pub(crate) fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The tokens outside comments: words, single signs, and each literal of text as `""`.
    pub(crate) fn tokens(&self) -> Vec<Token<'_>> {
        let mut tokens = Vec::new();
        let mut rest = self.text.as_str();
        let mut line = 1;
        while let Some(first) = rest.chars().next() {
            let (length, token) = next(rest, first);
            if let Some(text) = token {
                tokens.push(Token { line, text });
            }
            line += rest[..length].matches('\n').count();
            rest = &rest[length..];
        }
        tokens
    }

    /// A fault with its place.
    pub(crate) fn fault(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// A token with its line, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// Length of what stands first in `rest`, and the token that it is, if it is one.
fn next(rest: &str, first: char) -> (usize, Option<&str>) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (comment(rest), None);
    }
    if let Some(length) = literal(rest) {
        return (length, Some("\"\""));
    }
    if is_word(first) {
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        return (length, Some(&rest[..length]));
    }
    let length = first.len_utf8();
    (length, (!first.is_whitespace()).then(|| &rest[..length]))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Length of a block comment; they nest.
fn comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Length of a literal of text or of a character, if one stands here; a lifetime is none.
fn literal(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if prefix < 2 && raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = prefix + 1 + hashes + 1;
            return Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()));
        }
    }
    if prefix < 2 && body.starts_with('"') {
        return Some(prefix + quoted(body, '"'));
    }
    let mut signs = body.strip_prefix('\'')?.chars();
    let is_character = signs.next()? == '\\' || signs.next() == Some('\'');
    (prefix < 2 && is_character).then(|| prefix + quoted(body, '\''))
}

/// Length from one quote to the next that no backslash precedes.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    body.len()
}

/// Places where these tokens follow one another.
pub(crate) fn find(tokens: &[Token<'_>], pattern: &[&str]) -> Vec<usize> {
    let matches = |window: &[Token<'_>]| window.iter().map(|token| token.text).eq(pattern.iter().copied());
    let places = tokens.windows(pattern.len()).enumerate();
    places.filter(|(_, window)| matches(window)).map(|(place, _)| place).collect()
}

#[test]
fn words_and_signs_are_found_and_text_is_not() {
    let text = "let a = \"std::fs \\\" x\"; // std::env\n/* a /* b */ c */ b'\\'' r#\"q\"#  'l: br\"z\" break 'x' bcr";
    let sample = Source::sample("x.rs", text);
    let tokens: Vec<&str> = sample.tokens().iter().map(|token| token.text).collect();
    assert_eq!(
        tokens,
        ["let", "a", "=", "\"\"", ";", "\"\"", "\"\"", "'", "l", ":", "\"\"", "break", "\"\"", "bcr"]
    );
    assert_eq!(sample.tokens()[5].line, 2);
}
