//! What was used, and what Waldur is told of it. Pure: samples, times and what Waldur has are arguments.
//!
//! | question | module |
//! | --- | --- |
//! | what is measured for a component, and in which unit it is told | [`rule`], [`fraction`] |
//! | where months and hours begin and end | [`month`] |
//! | what Prometheus is asked | [`query`] |
//! | what samples come to | [`series`] |
//! | since when a namespace that is gone was not there | [`gone`] |
//! | what is kept of closed hours | [`ledger`] |
//! | what is kept of days that are settled | [`compact`] |
//! | what a month comes to | [`sums`] |
//! | what is sent | [`report`] |

pub mod compact;
pub mod fraction;
pub mod gone;
pub mod ledger;
pub mod month;
mod object;
pub mod query;
pub mod report;
pub mod rule;
pub mod series;
pub mod sums;
