//! Clients that nobody here wrote, against the simulators.
//!
//! `cargo xtask test` installs them; without them these tests fail.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod kubectl;
mod python_agent;
mod rabbitmq;
#[path = "../stomp/mod.rs"]
mod stomp_peer;
mod stomp_py;
mod waldur_api_client;
