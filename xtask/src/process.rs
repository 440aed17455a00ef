//! Running other programs: always from the repository's root, with the command line at hand when one fails.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// What `cargo run` sets for this process and must not reach another cargo: build scripts such as ring's run
/// again when one of these changes, and everything above them would be built anew each time.
const OF_THIS_RUN: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];

/// A program with its arguments.
pub(crate) struct Program(Command);

/// Another run of the cargo that runs this.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Program {
    let name = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    program(name, arguments)
}

/// A program to be found on the PATH, or by its path.
pub(crate) fn program<A: AsRef<OsStr>>(
    name: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
) -> Program {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(workspace::root());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| OF_THIS_RUN.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(name);
        }
    }
    Program(command)
}

impl Program {
    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Takes away the whole environment, so that what is printed depends on the arguments alone.
    pub(crate) fn without_environment(mut self) -> Self {
        self.0.env_clear();
        self
    }

    /// Shows the command line, then runs it with its output going where ours goes.
    ///
    /// # Errors
    /// It cannot be started, or does not exit with 0.
    pub(crate) fn run(mut self) -> Result<()> {
        eprintln!("$ {self}");
        let status =
            self.0.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{self}`"))?;
        if !status.success() {
            bail!("`{self}` failed ({status})");
        }
        Ok(())
    }

    /// Runs it and gives its standard output.
    ///
    /// # Errors
    /// It cannot be started, does not exit with 0, or prints what is not UTF-8.
    pub(crate) fn text(mut self) -> Result<String> {
        let output =
            self.0.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{self}`"))?;
        if !output.status.success() {
            bail!(
                "`{self}` failed ({}): {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{self}` printed what is not UTF-8"))
    }

    /// The same, with its other output going where ours goes, for what takes a while.
    ///
    /// # Errors
    /// As [`Program::text`].
    pub(crate) fn said(mut self) -> Result<String> {
        eprintln!("$ {self}");
        let output = self.0.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start `{self}`"))?;
        if !output.status.success() {
            bail!("`{self}` failed ({})", output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{self}` printed what is not UTF-8"))
    }

    /// True if it can be started and exits with 0; its output is dropped.
    pub(crate) fn succeeds(mut self) -> bool {
        let quiet = self.0.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }
}

impl fmt::Display for Program {
    /// The command line with the variables set for it, as one would type it from the root of the repository.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.0.get_envs() {
            if let Some(value) = value {
                write!(f, "{}={} ", name.display(), quoted(value))?;
            }
        }
        let program = std::path::Path::new(self.0.get_program());
        let cargo = program.file_name().filter(|name| *name == "cargo");
        write!(f, "{}", quoted(cargo.unwrap_or(program.as_os_str())))?;
        self.0.get_args().try_for_each(|argument| write!(f, " {}", quoted(argument)))
    }
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let line = program("echo", ["a b", "", "it's", "--x=1"]).env("FLAGS", "-D warnings").to_string();
        assert_eq!(line, r"FLAGS='-D warnings' echo 'a b' '' 'it'\''s' --x=1");
    }

    #[test]
    fn a_failure_carries_the_command_line_and_what_it_said() {
        let error = program("sh", ["-c", "echo no such thing >&2; exit 3"]).text().unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("no such thing"), "{error}");
        assert!(!program("sh", ["-c", "exit 3"]).succeeds());
    }
}
