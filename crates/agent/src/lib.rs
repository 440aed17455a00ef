//! The Waldur site agent for OKD and OpenShift: the shell around the planner.
//!
//! ```text
//! trigger or timer → queue of keys → observe (I/O) → plan (pure) → apply (I/O) → outcome (pure) → queue
//! ```
//!
//! [`engine`] runs that line; [`waldur`] and [`cluster`] are its two ends; [`setup`] puts them together from
//! [`settings`]. What is decided is decided in the `planner` crate.

mod ca_file;
mod certificates;
pub mod cli;
mod client_certificate;
pub mod cluster;
mod commands;
pub mod credentials;
pub mod diagnose;
pub mod engine;
pub mod error;
pub mod events;
pub mod health;
mod heartbeat;
pub mod metrics;
pub mod rbac;
mod retry;
pub mod settings;
pub mod setup;
pub mod telemetry;
mod template;
mod tls;
mod unreachable;
pub mod usage;
pub mod waldur;
mod wiped;

/// Runs the command line of this process, under the name that it was started by, be it a link.
#[must_use]
pub fn main() -> std::process::ExitCode {
    let name = std::env::args_os().next().map(std::path::PathBuf::from).unwrap_or_default();
    main_as(&name.file_name().unwrap_or_default().to_string_lossy())
}

/// Runs the command line of this process as the program of this name.
#[must_use]
pub fn main_as(program: &str) -> std::process::ExitCode {
    install_crypto();
    cli::run(program)
}

/// Makes ring the TLS cryptography of this process; without it no HTTP client can be set up.
pub fn install_crypto() {
    // Fails only if it is installed already, and then nothing is missing.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
