//! The only door to the world outside the file: environment variables and other files.

use std::fmt;
use std::io;
use std::path::Path;

type Variable<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;
type ReadFile<'a> = Box<dyn Fn(&Path) -> io::Result<String> + 'a>;

/// Where variables and files come from; the real ones, or a test's.
pub struct Environment<'a> {
    variable: Variable<'a>,
    read_file: ReadFile<'a>,
}

impl<'a> Environment<'a> {
    /// An environment made of two lookups: a variable by name, and the text of a file.
    pub fn new(
        variable: impl Fn(&str) -> Option<String> + 'a,
        read_file: impl Fn(&Path) -> io::Result<String> + 'a,
    ) -> Self {
        Self { variable: Box::new(variable), read_file: Box::new(read_file) }
    }

    /// The environment of this process. A variable that is not Unicode counts as not set.
    pub fn process() -> Self {
        Self::new(|name| std::env::var(name).ok(), |path| std::fs::read_to_string(path))
    }

    /// The value of a variable.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name)
    }

    /// The value of a variable that is set to something.
    pub(crate) fn non_empty(&self, name: &str) -> Option<String> {
        self.variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The text of a file.
    pub(crate) fn read_file(&self, path: &Path) -> io::Result<String> {
        (self.read_file)(path)
    }
}

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}
