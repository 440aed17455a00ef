//! A marketplace as its customers see it, and what has to be true of Waldur and the cluster.
//!
//! [`model`] is what was bought, by whom, and how it was left; [`customer`] does what people do; [`world`] reads both
//! servers; [`judge`] holds one against the other. Shares nothing with the agent: what it expects is written down here a
//! second time, after the documentation.

mod customer;
mod judge;
mod model;
mod world;

pub(crate) use customer::{Customer, Placed, plant};
pub(crate) use judge::differences;
pub(crate) use model::{Life, Limits, Model, Role};
pub(crate) use world::World;
