//! The agent against simulated servers, over real sockets.
//!
//! [`site`] starts a Waldur and a cluster and an agent configured as an operator would configure it. Nothing is mocked,
//! and nothing waits for a time: tests wait for what should happen, and fail if it does not.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod adopt;
mod cluster;
mod crash;
mod faults;
mod input;
mod lifecycle;
mod lifecycle_crash;
mod lifecycle_terminate;
mod lifecycle_workloads;
mod logs;
mod members;
mod membership;
mod membership_doubt;
mod membership_faults;
mod membership_guard;
mod membership_reports;
mod membership_usernames;
mod orders;
mod ownership;
mod plan;
mod process;
mod python_site;
mod quotas;
mod runs;
mod secrets;
mod server_2024;
mod site;
mod subjects;
mod tls;
mod traffic;
mod usage;
