//! Clients that nobody here wrote, against the simulators.
//!
//! `cargo xtask test` installs them; without them these tests fail.

#![expect(clippy::unwrap_used, reason = "tests")]

mod waldur_api_client;
