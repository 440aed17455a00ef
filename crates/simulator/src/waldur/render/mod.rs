//! Rows as the JSON that each generation of the server shows.
//!
//! Reads the state, changes nothing. Field names and their generations follow the 2024 measurements, the OpenAPI file
//! of 8.0.5 and Waldur contract §9.

mod account;
mod agent;
mod offering;
mod order;
mod people;
mod resource;
mod usage;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::request::hex;
use super::state::State;

/// What a renderer needs beside the row: the state, the root of links and who is looking.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) state: &'a State,
    pub(crate) base: &'a str,
    pub(crate) is_staff: bool,
}

impl View<'_> {
    /// The address of an object, with a slash at the end.
    pub(crate) fn url(&self, collection: &str, uuid: Uuid) -> String {
        format!("{}/api/{collection}/{}/", self.base, hex(uuid))
    }

    fn is_2024(&self) -> bool {
        self.state.is_2024()
    }
}

/// Microseconds and `Z`, as Waldur writes times.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

fn optional_time(at: Option<Timestamp>) -> Value {
    at.map(time).into()
}

fn optional_hex(uuid: Option<Uuid>) -> Value {
    uuid.map(hex).into()
}
