//! The commands of the Python agent as names of this program: a link of such a name runs that command.

use std::ffi::OsString;

use clap::{Args, Command};

use super::{UNUSABLE, diagnose};

/// Runs the command that the program's name stands for; `None` if it is the agent itself.
pub(super) fn run(program: &str) -> Option<u8> {
    match program {
        "waldur_site_diagnostics" => Some(with(
            "waldur_site_diagnostics",
            "Looks at everything that the agent depends on, and says what to do about what is wrong",
            diagnose::EXIT_CODES,
            diagnose::run,
        )),
        _ => None,
    }
}

/// Reads the arguments of a command that stands alone, and runs it.
fn with<A: Args>(program: &'static str, about: &'static str, after: &'static str, run: impl FnOnce(&A) -> u8) -> u8 {
    let command = Command::new(program).about(about).version(env!("CARGO_PKG_VERSION")).after_help(after);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let matches = A::augment_args(command).get_matches_from(arguments);
    match A::from_arg_matches(&matches) {
        Ok(arguments) => run(&arguments),
        Err(error) => {
            // Prints to standard error; nothing is left to do if that fails.
            let _ = error.print();
            UNUSABLE
        }
    }
}
