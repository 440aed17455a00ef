//! `waldur_site_agent`: the agent, under the name of the Python agent's command.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent::main()
}
