//! The invariants of ARCHITECTURE.md that can be read off the source, as tests.
//!
//! Each rule is a function from source to faults, run on the repository and on a sample that breaks it. Nothing of
//! the product is compiled here.

#![expect(clippy::expect_used, reason = "tests")]

mod crates;
mod files;
mod planner;
mod secrets;
mod source;
mod writes;

/// Fails with all faults, one a line.
#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
