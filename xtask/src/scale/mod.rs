//! `cargo xtask scale`: how the agent's work grows with the number of resources.
//!
//! For each size a site of its own: the passes of `bench membership`, and then an agent with events while customers
//! change 1 % of all resources and memberships at once. Everything is measured from outside, on the optimised build.
//! What came out is written as a page with plots; of other sizes than the usual ones below the target directory.

mod burst;
mod figures;
mod page;
mod plot;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use self::figures::{Figures, Measured};
use crate::bench::membership::people::Size;
use crate::bench::membership::run::Run;
use crate::output::Output;
use crate::process::program;
use crate::site::{self, Binaries, Profile};
use crate::workspace::{self, Metadata};

/// Resources of the sizes that are written about.
const USUAL: [u32; 3] = [1_000, 10_000, 50_000];

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Resources, of one size after the other
    #[arg(long, value_delimiter = ',', default_values_t = USUAL, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sizes: Vec<u32>,
    /// Members of each project in Waldur; nobody is in two
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    members: u32,
    /// Milliseconds that each request takes on each side
    #[arg(long, default_value_t = 5)]
    latency_ms: u64,
    #[command(flatten)]
    output: Output,
}

impl Arguments {
    fn sizes(&self) -> Vec<Size> {
        let mut sizes = self.sizes.clone();
        sizes.sort_unstable();
        sizes.dedup();
        let size = |resources| Size { resources, members: self.members as usize, per_project: 1 };
        sizes.into_iter().map(|resources| size(resources as usize)).collect()
    }

    /// Where the page goes: what is committed comes from the usual sizes alone.
    fn folder(&self) -> Result<PathBuf> {
        let same = self.members == 10 && self.latency_ms == 5;
        let is_usual = same && self.sizes().iter().map(|size| size.resources).eq(USUAL.map(|n| n as usize));
        Ok(match is_usual {
            true => workspace::root().join("docs"),
            false => Metadata::read()?.target_directory.join("scale"),
        })
    }
}

/// Measures all sizes, writes the page and prints it.
///
/// # Errors
/// Something could not be started or did not come to its end, or the cluster is not as Waldur says; with `--check`, a
/// target that is not reached.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binaries = Binaries::with_chores(Profile::Release)?;
    let mut measured = Vec::new();
    for size in arguments.sizes() {
        eprintln!("{} resources of {} members", size.resources, size.members);
        measured.push(site::run_until_stopped(measure(&binaries, size, arguments.latency_ms))?);
    }
    let figures = Figures::new(measured, arguments.latency_ms, machine());
    let folder = arguments.folder()?;
    let page = page::page(&figures);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let plots = page::plots(&figures).into_iter().map(|(name, svg)| (name.to_owned(), svg));
    for (name, text) in [("scale.md".to_owned(), page.clone())].into_iter().chain(plots) {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    eprintln!("written: {}", folder.join("scale.md").display());
    let given = arguments.output.give(&figures, &page, figures.targets_reached);
    given.with_context(|| format!("missed: {}", figures.missed().join("; ")))
}

/// The day, the version and the machine.
fn machine() -> String {
    let day = program("date", ["--utc", "+%Y-%m-%d"]).text().unwrap_or_default();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model);
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Measured on {}, version {}, on {count} × {model}.", day.trim(), env!("CARGO_PKG_VERSION"))
}

async fn measure(binaries: &Binaries, size: Size, latency_ms: u64) -> Result<Measured> {
    let mut run = Run::new(binaries, size, true, latency_ms).await?;
    let passes = run.passes().await?;
    let burst = burst::measure(&mut run, size).await.context("the burst of events")?;
    Ok(Measured { size, passes, burst })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn sizes(words: &[&str]) -> Vec<usize> {
        let line = Line::parse_from([&["scale"], words].concat());
        line.arguments.sizes().iter().map(|size| size.resources).collect()
    }

    #[test]
    fn sizes_are_measured_from_the_smallest_to_the_largest() {
        assert_eq!(sizes(&[]), [1_000, 10_000, 50_000]);
        assert_eq!(sizes(&["--sizes", "500,200,500"]), [200, 500]);
    }

    #[test]
    fn only_the_usual_sizes_make_the_committed_page() {
        let folder = |words: &[&str]| Line::parse_from(words).arguments.folder().unwrap();
        assert!(folder(&["scale"]).ends_with("docs"));
        for words in
            [["scale", "--sizes", "200"], ["scale", "--latency-ms", "1"], ["scale", "--members", "3"]]
        {
            assert!(!folder(&words).ends_with("docs"), "{words:?}");
        }
    }
}
