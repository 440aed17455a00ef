//! The agent against simulated servers, over real sockets.
//!
//! [`site`] starts a Waldur and a cluster and an agent configured as an operator would configure it. Nothing is mocked,
//! and nothing waits for a time: tests wait for what should happen, and fail if it does not.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod adopt;
mod adopt_namespaces;
mod answering;
mod cluster;
mod commands;
mod crash;
mod diagnose;
mod diagnose_events;
mod dying;
mod events;
mod events_faults;
mod events_ways;
mod faults;
mod input;
mod isolation;
mod kubeconfig;
mod lifecycle;
mod lifecycle_crash;
mod lifecycle_hanging;
mod lifecycle_input;
mod lifecycle_terminate;
mod lifecycle_workloads;
mod listening;
mod logs;
mod measuring;
mod members;
mod membership;
mod membership_doubt;
mod membership_faults;
mod membership_guard;
mod membership_reads;
mod membership_reports;
mod membership_usernames;
mod metrics;
mod namespaces;
mod namespaces_crash;
mod orders;
mod ownership;
mod plan;
mod process;
mod protected;
mod python_site;
mod quotas;
mod quotas_scoped;
#[cfg(feature = "foreign-clients")]
mod rabbitmq;
mod rbac;
mod runs;
mod scrape;
mod secrets;
mod secrets_tokens;
mod server_2024;
mod site;
mod subjects;
mod template;
mod template_marks;
mod tls;
mod token_input;
mod tokens;
mod traffic;
mod usage;
mod usage_clocks;
mod usage_gone;
mod usage_last;
mod usage_prometheus;
mod usage_refused;
mod watches;
