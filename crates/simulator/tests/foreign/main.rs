//! The simulators against clients that nobody here wrote.
//!
//! Needs the feature `foreign-clients` and the clients installed: `kubectl` (Debian: `kubernetes-client`).
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod kubectl;
