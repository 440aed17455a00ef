//! Simulated Waldur, its event broker and OKD API servers on one clock and seed, with faults.
//!
//! For the demo, the tests and the benchmarks. This crate shares nothing with the agent: a type that is wrong must
//! not be wrong on both sides.

pub mod bound_token;
pub mod broker;
pub mod clock;
pub mod control;
pub mod faults;
pub mod mount;
pub mod oauth;
pub mod okd;
#[cfg(feature = "foreign-clients")]
pub mod rabbitmq;
pub mod server;
pub mod simulation;
pub mod sites;
pub mod tls;
pub mod traffic;
pub mod waldur;
