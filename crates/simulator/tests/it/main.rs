//! The simulators over real sockets.
//!
//! The `okd_*` modules are a conformance suite: each test names a behaviour and pins what a real OpenShift API server was
//! measured to answer. By default they run against the simulator. With `SITE_AGENT_KUBECONFIG` set to a kubeconfig (a
//! cluster with a token and a CA, of a user that may do everything) the same functions run against that cluster; those that
//! need a switch of the simulator (delays, faults, expiry) pass over it. The tests make projects named `conf-*` and delete
//! them.
//!
//! `waldur_conformance` runs against a real Waldur when `SITE_AGENT_WALDUR_URL`, `SITE_AGENT_WALDUR_TOKEN` and
//! `SITE_AGENT_WALDUR_OFFERING` name one; it only reads.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod broker;
mod broker_feed;
mod okd_access;
mod okd_apply;
mod okd_cluster_quotas;
mod okd_delete;
mod okd_projects;
mod okd_quotas;
mod okd_role_bindings;
mod okd_users;
mod okd_watch;
mod serving;
mod sites;
#[path = "../stomp/mod.rs"]
mod stomp_peer;
mod target;
mod waldur_2024;
mod waldur_conformance;
mod waldur_current;
mod waldur_direct;
mod waldur_lists;
mod waldur_orders;
mod waldur_script;
mod waldur_shapes;
mod waldur_support;
