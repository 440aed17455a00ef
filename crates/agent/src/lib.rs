//! The Waldur site agent for OKD and OpenShift: the shell around the planner.

pub mod settings;
