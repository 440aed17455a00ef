//! The simulated servers over real sockets.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod waldur_2024;
mod waldur_conformance;
mod waldur_current;
mod waldur_direct;
mod waldur_orders;
mod waldur_script;
mod waldur_shapes;
mod waldur_support;
