//! The agent with programs that nobody here wrote: a real Prometheus with blocks made by promtool.
//!
//! `cargo xtask test` installs them; without them these tests fail.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[expect(dead_code, reason = "a fixture of the other tests, of which these use a part")]
#[path = "../it/answering.rs"]
mod answering;
#[path = "../it/measuring.rs"]
mod measuring;
mod metrics;
#[expect(dead_code, reason = "a fixture of the other tests, of which these use a part")]
#[path = "../it/process.rs"]
mod process;
mod prometheus;
#[expect(dead_code, reason = "a fixture of the other tests, of which these use a part")]
#[path = "../it/scrape.rs"]
mod scrape;
#[expect(dead_code, reason = "the fixture of the other tests, of which these use a part")]
#[path = "../it/site.rs"]
mod site;
mod usage;
mod usage_compaction;
mod usage_days;
mod usage_faults;
mod usage_gone;
mod usage_historical;
mod usage_tenancy;
