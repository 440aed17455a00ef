//! The OKD or Kubernetes API, as far as the agent uses it (design: Least privilege, Writes).
//!
//! [`rights`] is what has to be allowed, [`connect`] finds out whom it talks to, [`store`] keeps what was seen of our objects, [`watch`] keeps it
//! fresh, [`observe`] answers what is there, [`apply`] writes. Only [`apply`] writes.

pub(crate) mod apply;
mod authorize;
pub(crate) mod connect;
mod connection;
pub(crate) mod http;
pub(crate) mod importable;
pub(crate) mod kinds;
pub(crate) mod known_kinds;
pub(crate) mod leftovers;
mod missing_rule;
pub(crate) mod observe;
mod quotas;
mod refresh_token;
pub(crate) mod rights;
mod sights;
pub(crate) mod store;
pub(crate) mod subjects;
mod template;
pub(crate) mod watch;
pub(crate) mod workloads;

pub use connect::{Cluster, ClusterOptions};
pub use refresh_token::RefreshTokenSecret;
pub use subjects::Needs;
