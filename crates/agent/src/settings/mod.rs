//! The configuration: reading the file, finding every fault in it, and the typed result.
//!
//! text → tree with places (`yaml`) → variables filled in (`interpolate`) → faults against the table of keys (`keys`,
//! `check`) → typed values and the faults that only show between keys (`build`). The table of keys also makes the JSON
//! schema and the default file, so that a key is written down once.
//!
//! Nothing here talks to Waldur or to a cluster, and variables and files come only through [`Environment`].

mod build;
mod check;
mod credential_url;
mod decimal;
mod default_file;
mod environment;
mod finding;
mod findings;
mod interpolate;
mod keys;
mod load;
mod model;
mod quantity;
mod quota_key;
mod scalar;
mod schema;
mod suggest;
mod view;
mod yaml;

pub use credential_url::CredentialUrl;
pub use decimal::ExactDecimal;
pub use default_file::default_file;
pub use environment::Environment;
pub use finding::{Finding, Report, Severity, render, render_json};
pub use load::{Loaded, SkippedOffering, Strictness, check_text, load};
pub use model::*;
pub use quantity::Quantity;
pub use quota_key::QuotaKey;
pub use schema::schema;

#[cfg(test)]
mod tests;
