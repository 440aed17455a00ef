//! Files that are made from the binaries and kept in the repository: what a reader sees is what the code says.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, program};
use crate::workspace::{self, Metadata};

/// Width of help texts, in columns, whatever terminal this runs in.
const COLUMNS: &str = "100";

/// A path from the repository's root, and what is to stand there.
type Generated = (&'static str, String);

/// `cargo xtask generate`: writes the files.
///
/// # Errors
/// A binary cannot be built or fails, or a file cannot be written.
pub(crate) fn write() -> Result<()> {
    for (path, text) in generated(&Binaries::build()?)? {
        write_below(workspace::root(), path, &text)?;
    }
    Ok(())
}

/// Holds the repository's files against what would be written now, and shows the differences.
///
/// # Errors
/// A file differs, is missing or is not in the repository.
pub(crate) fn check() -> Result<()> {
    let binaries = Binaries::build()?;
    let scratch = binaries.metadata.target_directory.join("generated");
    let mut stale = Vec::new();
    for (path, text) in generated(&binaries)? {
        let present = fs::read_to_string(workspace::root().join(path)).unwrap_or_default();
        let known = program("git", ["ls-files", "--error-unmatch", path]).succeeds();
        if present == text && known {
            continue;
        }
        stale.push(path);
        if known {
            write_below(&scratch, path, &text)?;
            show_difference(path, &scratch.join(path));
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    bail!(
        "not in the repository as the binaries print it: {}; write with `cargo xtask generate` and commit",
        stale.join(", ")
    )
}

fn show_difference(path: &str, made: &Path) {
    let words = ["--no-pager", "diff", "--no-index", "--", path].map(OsStr::new);
    // Fails where there is a difference, and here there is one.
    let _ = program("git", words.into_iter().chain([made.as_os_str()])).run();
}

fn write_below(folder: &Path, path: &str, text: &str) -> Result<()> {
    let path = folder.join(path);
    let parent = path.parent().unwrap_or(folder);
    let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
    written.with_context(|| format!("cannot write `{}`", path.display()))
}

fn generated(binaries: &Binaries) -> Result<Vec<Generated>> {
    Ok(vec![
        ("docs/config-schema.json", binaries.print("waldur_site_agent", &["config", "schema"])?),
        ("docs/config-default.yaml", binaries.print("waldur_site_agent", &["config", "default"])?),
        ("docs/cli.md", binaries.cli_reference()?),
    ])
}

/// The product's binaries, built from the present source.
struct Binaries {
    metadata: Metadata,
}

impl Binaries {
    /// Builds them as the tests do. `--test it` is there for that: choosing a test makes cargo choose the features
    /// of dependencies that `cargo test --workspace` has, and without it a dozen of them are built a second time.
    fn build() -> Result<Self> {
        cargo(["build", "--workspace", "--locked", "--bins", "--test", "it"]).run()?;
        Ok(Self { metadata: Metadata::read()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.metadata.target_directory.join("debug").join(name)
    }

    fn print(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let program = program(self.path(name), arguments).without_environment().env("COLUMNS", COLUMNS);
        let line = format!("{name} {}", arguments.join(" "));
        let text = program.text()?;
        if text.trim().is_empty() {
            bail!("`{line}` prints nothing");
        }
        Ok(text)
    }

    /// The help of every binary and of each of its subcommands.
    fn cli_reference(&self) -> Result<String> {
        let mut page = String::from(
            "# Command-line reference\n\n\
             The `--help` of every command. Written by `cargo xtask generate`; changes made here by hand are lost.\n",
        );
        for name in self.metadata.binaries() {
            self.append(&mut page, name, &mut Vec::new())?;
        }
        Ok(page)
    }

    fn append(&self, page: &mut String, binary: &str, command: &mut Vec<String>) -> Result<()> {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = self.print(binary, &arguments)?;
        let title = std::iter::once(binary).chain(command.iter().map(String::as_str));
        let title = title.collect::<Vec<_>>().join(" ");
        let level = "#".repeat(2 + command.len());
        let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        write!(page, "\n{level} `{title}`\n\n```text\n{}\n```\n", help.join("\n"))?;
        for name in subcommands(&help) {
            command.push(name.to_owned());
            self.append(page, binary, command)?;
            command.pop();
        }
        Ok(())
    }
}

/// Names under `Commands:` in the help that clap prints, but for `help` itself.
fn subcommands<'a>(help: &[&'a str]) -> Vec<&'a str> {
    let after = help.iter().skip_while(|line| **line != "Commands:").skip(1);
    let block = after.take_while(|line| line.starts_with("  "));
    // Names are indented by two; what is further in continues a description.
    let lines = block.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcommands_are_read_from_help() {
        let help = "Does things\n\nUsage: x <COMMAND>\n\nCommands:\n  check    Check a file, in words so many\n           \
                    that they wrap\n  default  Print\n  help     Print this message\n\nOptions:\n  -h, --help  Print help";
        assert_eq!(subcommands(&help.lines().collect::<Vec<_>>()), ["check", "default"]);
        assert!(subcommands(&["Options:", "  -h, --help  Print help"]).is_empty());
    }
}
