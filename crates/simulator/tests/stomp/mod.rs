//! A STOMP client and what it goes through, for the simulated broker and for a real one.

pub(crate) mod client;
pub(crate) mod conversations;
