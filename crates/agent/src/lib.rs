//! The Waldur site agent for OKD and OpenShift: the shell around the planner.
//!
//! ```text
//! trigger or timer → queue of keys → observe (I/O) → plan (pure) → apply (I/O) → outcome (pure) → queue
//! ```
//!
//! [`engine`] runs that line; [`waldur`] and [`cluster`] are its two ends. What is decided is decided in the
//! `planner` crate.

pub mod cluster;
pub mod credentials;
pub mod engine;
pub mod error;
mod heartbeat;
mod retry;
pub mod waldur;
