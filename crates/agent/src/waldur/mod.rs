//! Waldur's REST API, as far as the agent uses it (Waldur contract §2, §8).
//!
//! [`http`] sends, [`dto`] gives the wire shapes, [`calls`] has one function per endpoint, [`inspect`] what only
//! tools ask; [`people`] and [`places`] read who and what there is. Only [`calls`] writes.

pub(crate) mod calls;
pub(crate) mod dto;
pub(crate) mod http;
pub(crate) mod inspect;
pub(crate) mod people;
pub(crate) mod places;

pub use calls::Waldur;
pub use http::WaldurOptions;
