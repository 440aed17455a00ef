//! The commands of the Python agent as names of this program: a link of such a name runs that command.

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::Cli;

/// Reads the command line of a program of this name: that of the command which the name is an alias of, if it is one.
pub(super) fn parse(program: &str) -> Cli {
    let mut whole = Cli::command();
    let command = whole.find_subcommand(program).filter(|command| command.get_name() != program);
    let Some(command) = command.map(clap::Command::get_name).map(str::to_owned) else {
        return <Cli as clap::Parser>::parse();
    };
    // Help and errors are to show the name that was typed.
    whole = whole.mut_subcommand(&command, |command| {
        command.override_usage(format!("{program} [OPTIONS]")).version(env!("CARGO_PKG_VERSION"))
    });
    let rest = std::env::args_os().skip(1);
    let arguments = [OsString::from("waldur_site_agent"), OsString::from(command)].into_iter().chain(rest);
    let matches = whole.get_matches_from(arguments);
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}
