//! The Waldur site agent for OKD and OpenShift: the shell around the planner.
//!
//! ```text
//! trigger or timer → queue of keys → observe (I/O) → plan (pure) → apply (I/O) → outcome (pure) → queue
//! ```
//!
//! [`engine`] runs that line; [`waldur`] and [`cluster`] are its two ends; [`setup`] puts them together from
//! [`settings`]. What is decided is decided in the `planner` crate.

mod ca_file;
pub mod cli;
pub mod cluster;
pub mod credentials;
pub mod engine;
pub mod error;
mod heartbeat;
mod retry;
pub mod settings;
pub mod setup;
pub mod telemetry;
pub mod usage;
pub mod waldur;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> std::process::ExitCode {
    install_crypto();
    cli::run()
}

/// Makes ring the TLS cryptography of this process; without it no HTTP client can be set up.
pub fn install_crypto() {
    // Fails only if it is installed already, and then nothing is missing.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
