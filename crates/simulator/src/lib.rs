//! Simulated Waldur and OKD API servers.
