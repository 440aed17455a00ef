//! Simulated Waldur and OKD API servers on one clock.

pub mod clock;
pub mod waldur;
