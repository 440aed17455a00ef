//! A simulated OKD API server.
