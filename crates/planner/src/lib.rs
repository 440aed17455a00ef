//! Decides what should be on the cluster for a Waldur resource, and what has to be done about the difference.
//!
//! The pipeline of the whole product is
//!
//! ```text
//! trigger or timer → queue of keys → observe (I/O) → plan (pure) → apply (I/O) → outcome (pure) → queue
//! ```
//!
//! and everything in it that is marked pure stands here:
//!
//! | step | module |
//! | --- | --- |
//! | what the words mean | [`model`], [`amount`], [`names`], [`policy`] |
//! | what Waldur asks for | [`desired`], [`quota`], [`access`], [`subjects`], [`usernames`], [`template`], [`lifecycle`] |
//! | what the shell saw on the cluster | [`observed`], [`workloads`] |
//! | what to do | [`plan`], [`action`], [`finding`] |
//! | what a person is told | [`change`], [`render`], [`repair`] |
//! | what a failure means | [`outcome`] |
//! | what comes next | [`queue`] |
//! | what was used, and what Waldur is told of it | [`usage`] |
//! | where a message says to look | [`event`] |
//!
//! This crate knows no HTTP, no Kubernetes client, no clock, no randomness and no environment: `now` is an
//! argument. A decision that cannot be made without I/O stands in the wrong place.

mod roles;

pub mod access;
pub mod action;
pub mod amount;
pub mod change;
pub mod desired;
pub mod event;
pub mod finding;
pub mod lifecycle;
pub mod model;
pub mod names;
pub mod observed;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod queue;
pub mod quota;
pub mod render;
pub mod repair;
pub mod subjects;
pub mod template;
pub mod usage;
pub mod usernames;
pub mod workloads;
