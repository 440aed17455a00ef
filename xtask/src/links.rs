//! Documents hold together: relative links lead to files and headings that exist, and each `cargo xtask …` that a
//! code block shows would be understood.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};
use clap::CommandFactory;

use crate::process::program;
use crate::{Cli, workspace};

/// Checks all Markdown files that git knows or would take.
///
/// # Errors
/// A link or command that leads nowhere; all are printed.
pub(crate) fn check() -> Result<()> {
    let listed = program("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"]).text()?;
    let mut documents = HashMap::new();
    for path in listed.lines().map(PathBuf::from) {
        // A file that was deleted and is still in git's index.
        if let Ok(text) = fs::read_to_string(workspace::root().join(&path)) {
            documents.insert(path, Document::parse(&text));
        }
    }
    let mut faults: Vec<String> = Vec::new();
    for (path, document) in &documents {
        let links = document.links.iter().filter_map(|link| broken(path, link, &documents));
        let commands = document.commands.iter().filter_map(|command| misunderstood(command));
        faults.extend(links.chain(commands).map(|fault| format!("{}: {fault}", path.display())));
    }
    faults.sort();
    faults.iter().for_each(|fault| eprintln!("{fault}"));
    if !faults.is_empty() {
        bail!("{} links or commands lead nowhere", faults.len());
    }
    eprintln!("{} documents", documents.len());
    Ok(())
}

/// What is checked of a Markdown file.
#[derive(Debug, Default)]
struct Document {
    /// Targets of relative links, with their `#fragment`.
    links: Vec<String>,
    /// Names under which headings can be linked to.
    anchors: Vec<String>,
    /// Lines of code blocks that start with `cargo xtask`.
    commands: Vec<String>,
}

impl Document {
    fn parse(text: &str) -> Self {
        let mut document = Self::default();
        let mut fence: Option<&str> = None;
        for line in text.lines() {
            let start = line.trim_start();
            let marker = ["```", "~~~"].into_iter().find(|marker| start.starts_with(marker));
            match (fence, marker) {
                (None, Some(_)) => fence = marker,
                (Some(open), Some(found)) if open == found => fence = None,
                (Some(_), _) => {
                    let command = start.strip_prefix("$ ").unwrap_or(start);
                    if command.starts_with("cargo xtask") {
                        document.commands.push(command.to_owned());
                    }
                }
                (None, None) => document.prose(line),
            }
        }
        document
    }

    fn prose(&mut self, line: &str) {
        if line.starts_with('#') {
            self.heading(line.trim_start_matches('#').trim());
        }
        let line = without_code(line);
        let inline = line.match_indices("](").map(|(at, _)| &line[at + 2..]);
        let inline = inline.filter_map(|rest| rest.split([')', ' ']).next());
        let definition = line.starts_with('[').then(|| line.split_once("]: ")).flatten();
        let definition = definition.and_then(|(_, target)| target.split_whitespace().next());
        let relative = |target: &&str| !target.contains("://") && !target.starts_with("mailto:");
        self.links.extend(inline.chain(definition).filter(relative).map(str::to_owned));
    }

    /// GitHub's rule: lower case, spaces to dashes, other signs dropped, a number where a name comes again.
    fn heading(&mut self, heading: &str) {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let name: String =
            kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|n| format!("{name}-{n}"));
        let free = std::iter::once(name.clone()).chain(again).find(|name| !self.anchors.contains(name));
        self.anchors.extend(free);
    }
}

/// The line without what stands between backticks.
fn without_code(line: &str) -> String {
    if line.matches('`').count() % 2 == 1 {
        return line.to_owned();
    }
    line.split('`').step_by(2).collect()
}

fn broken(document: &Path, link: &str, documents: &HashMap<PathBuf, Document>) -> Option<String> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = document.parent().unwrap_or(Path::new(""));
    let target = if path.is_empty() { document.to_owned() } else { plain(&folder.join(path)) };
    if !workspace::root().join(&target).exists() {
        return Some(format!("`{link}`: there is no `{}`", target.display()));
    }
    let named = documents.get(&target).is_none_or(|target| target.anchors.iter().any(|name| name == anchor));
    (!anchor.is_empty() && !named).then(|| format!("`{link}`: no such heading"))
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

fn misunderstood(line: &str) -> Option<String> {
    let command = line.split(" #").next().unwrap_or(line);
    // Two words give one, as the name of the program.
    let words = std::iter::once("cargo xtask").chain(command.split_whitespace().skip(2));
    let error = Cli::command().try_get_matches_from(words).err()?;
    let asked = matches!(error.kind(), clap::error::ErrorKind::DisplayHelp);
    let first = error.to_string();
    let first = first.lines().next().unwrap_or_default();
    (!asked).then(|| format!("`{line}`: {first}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_anchors_and_commands_are_found() {
        let text = "# The plan, in `short`\n## A-b_c\n## A-b_c\n[one](a.md) and [two](../b.md#x \"t\") `[no](c.md)`\n\
                    [far](https://example.org)\n[def]: d.md\n```console\n$ cargo xtask test --list\n[no](e.md)\n```\n";
        let document = Document::parse(text);
        assert_eq!(document.links, ["a.md", "../b.md#x", "d.md"]);
        assert_eq!(document.anchors, ["the-plan-in-short", "a-b_c", "a-b_c-1"]);
        assert_eq!(document.commands, ["cargo xtask test --list"]);
    }

    #[test]
    fn a_link_to_nothing_is_a_fault() {
        // Files that are there, whatever is in them.
        let here = Document::parse("# Here\n");
        let documents = HashMap::from([(PathBuf::from("xtask/Cargo.toml"), here)]);
        let broken = |link| broken(Path::new("xtask/Cargo.toml"), link, &documents);
        for good in ["#here", "../Cargo.toml", "./../xtask/", "Cargo.toml#here", "../Cargo.toml#unknown-kind"]
        {
            assert_eq!(broken(good), None, "{good}");
        }
        for bad in ["#there", "missing.md", "../xtask/Cargo.toml#there", "/Cargo.toml"] {
            assert!(broken(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_command_that_xtask_would_refuse_is_a_fault() {
        for good in ["cargo xtask test", "cargo xtask test --only fmt clippy   # quick", "cargo xtask --help"]
        {
            assert_eq!(misunderstood(good), None);
        }
        for bad in ["cargo xtask tset", "cargo xtask test --only speed", "cargo xtask"] {
            assert!(misunderstood(bad).is_some(), "{bad}");
        }
    }
}
