//! What was used, and what Waldur is told of it. Pure: samples, times and what Waldur has are arguments.
//!
//! | question | module |
//! | --- | --- |
//! | what is measured for a component, and in which unit it is told | [`rule`], [`fraction`] |
//! | where months and hours begin and end | [`month`] |
//! | what samples come to | [`series`] |
//! | what is kept of closed hours, and what a month comes to | [`ledger`] |
//! | what is sent | [`report`] |

pub mod fraction;
pub mod month;
pub mod report;
pub mod rule;
