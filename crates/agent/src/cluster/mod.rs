//! The OKD or Kubernetes API, as far as the agent uses it (design: Least privilege, Writes).
//!
//! [`connect`] finds out whom it talks to, [`store`] keeps what was seen of our objects, [`watch`] keeps it
//! fresh, [`observe`] answers what is there, [`apply`] writes. Only [`apply`] writes.

pub(crate) mod apply;
mod authorize;
pub(crate) mod connect;
pub(crate) mod http;
pub(crate) mod kinds;
pub(crate) mod leftovers;
pub(crate) mod observe;
pub(crate) mod store;
pub(crate) mod subjects;
pub(crate) mod watch;
pub(crate) mod workloads;

pub use connect::{Cluster, ClusterOptions};
pub use subjects::Needs;
