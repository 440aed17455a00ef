//! The simulated servers over real sockets.

#![expect(clippy::unwrap_used, reason = "tests")]

mod waldur_orders;
mod waldur_support;
