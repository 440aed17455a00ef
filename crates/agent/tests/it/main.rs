//! The agent against simulated servers, over real sockets.
//!
//! [`site`] starts a Waldur and a cluster and an agent configured as an operator would configure it. Nothing is mocked,
//! and nothing waits for a time: tests wait for what should happen, and fail if it does not.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod crash;
mod faults;
mod orders;
mod site;
mod subjects;
