//! Simulated Waldur and OKD API servers on one clock.

pub mod clock;
pub mod faults;
pub mod okd;
pub mod server;
pub mod tls;
pub mod traffic;
