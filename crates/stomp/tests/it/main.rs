//! The STOMP crate as its users see it: bytes in, events out, time as a number.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod client;
mod corpus;
mod decoding;
mod encoding;
mod heart_beat;
mod properties;
mod rabbitmq;
mod server;
mod simulation;
mod splits;
mod support;
