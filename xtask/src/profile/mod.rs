//! `cargo xtask profile`: how many instructions of the agent an order costs, and a resource at which nothing has
//! changed.
//!
//! The agent runs under valgrind's callgrind, on one thread, with `--once`: through open Create orders, and through
//! resources that are as they should be. Each is counted at two sizes, and the difference divided by the number of orders or
//! resources between them: what is done once a start falls out. The build is that of the tests, so that counting costs
//! CI no other build; unoptimised code computes several times as much as what is shipped, but in the same proportions
//! from change to change, which is what is guarded.

mod callgrind;
mod page;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::callgrind::Counts;
use self::page::Profile;
use crate::bench::membership::people::{People, Size};
use crate::bench::orders::place_orders;
use crate::process::program;
use crate::site::{self, AGENT, Api, Binaries, Mode, Profile as Build, Server};
use crate::{install, workspace};

/// Where the counts are kept, below the repository's root.
const KEPT: &str = "docs/profile.txt";
/// Sizes of both runs.
const ORDERS: [usize; 2] = [40, 80];
/// See [`ORDERS`].
const RESOURCES: [usize; 2] = [60, 180];
/// Members of each project.
const MEMBERS: usize = 10;
/// A run that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(240);

/// What to do with the counts.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Compare with what is kept in docs/profile.txt, and fail if something has grown; write nothing
    #[arg(long)]
    check: bool,
}

/// Counts, and writes or compares.
///
/// # Errors
/// Something cannot be run; with `--check`, a count that has grown.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.check {
        return check();
    }
    install::valgrind()?;
    let profile = measure()?;
    let path = workspace::root().join(KEPT);
    let text = page::text(&profile);
    fs::write(&path, &text).with_context(|| format!("cannot write `{}`", path.display()))?;
    eprint!("{text}");
    Ok(())
}

/// Counts, and compares with what is kept.
///
/// # Errors
/// Something cannot be run, or a count has grown.
pub(crate) fn check() -> Result<()> {
    install::valgrind()?;
    let path = workspace::root().join(KEPT);
    let kept = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    page::compare(&kept, &measure()?)
}

fn measure() -> Result<Profile> {
    let binaries = Binaries::build(Build::OfTests, &[])?;
    let counted = |what: Work, sizes: [usize; 2]| -> Result<_> {
        let mut counts = Vec::new();
        for size in sizes {
            let begun = Instant::now();
            let count = site::run_until_stopped(count(&binaries, what, size))?;
            eprintln!(
                "{what:?} {size}: {} instructions, {:.1} s",
                count.total,
                begun.elapsed().as_secs_f64()
            );
            counts.push(count);
        }
        let number = sizes[1] - sizes[0];
        Ok(page::each(&counts[0], &counts[1], number as u64))
    };
    Ok(Profile {
        compiler: program("rustc", ["--version"]).text()?.trim().to_owned(),
        order: counted(Work::Orders, ORDERS)?,
        unchanged: counted(Work::Unchanged, RESOURCES)?,
    })
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Create orders that wait for the agent.
    Orders,
    /// Resources at which nothing is to be done.
    Unchanged,
}

/// Runs the agent under callgrind at a site of this size.
async fn count(binaries: &Binaries, work: Work, size: usize) -> Result<Counts> {
    let folder = binaries.new_folder()?;
    let folder = folder.path();
    let mode = match work {
        Work::Orders => Mode::OrderProcess,
        Work::Unchanged => Mode::MembershipSync,
    };
    let seed = folder.join("seed.json");
    let people = People::new(Size { resources: size, members: MEMBERS, per_project: 1 });
    let json = serde_json::to_string(&people.seed(true)).context("cannot describe the site")?;
    fs::write(&seed, json).context("cannot describe the site")?;
    let seed = seed.to_str().context("the target directory's name is not UTF-8")?;
    let options = match work {
        Work::Orders => &[][..],
        Work::Unchanged => &["--seed-file", seed],
    };
    let (_simulators, place) = site::start_simulators(binaries, folder, options).await?;
    let configuration = site::write_configuration(folder, &place, mode)?;
    let agent = Agent { binaries, folder, configuration, mode };
    match work {
        Work::Orders => {
            let customer = Api::waldur(&place.waldur_url, &place.waldur_customer_token)?;
            place_orders(&customer, &place, size as u32).await?;
        }
        // Makes everything that the counted run is to find done.
        Work::Unchanged => agent.once(None).await?,
    }
    let control = Api::waldur(&place.control_url, "")?;
    control.delete("/traffic").await?;
    let out = folder.join("callgrind.out");
    agent.once(Some(&out)).await?;
    let written = control.get("/traffic").await?["okd"]["by_path"]
        .as_object()
        .map_or(0, |by_path| by_path.keys().filter(|shape| shape.starts_with("PATCH ")).count());
    ensure!((written == 0) == (work == Work::Unchanged), "the counted run did other work than it was to do");
    let text = fs::read_to_string(&out).context("callgrind has written nothing")?;
    callgrind::read(&text)
}

/// How the agent is run.
struct Agent<'a> {
    binaries: &'a Binaries,
    folder: &'a Path,
    configuration: PathBuf,
    mode: Mode,
}

impl Agent<'_> {
    /// Runs it to its end, under callgrind if that has a file to write.
    async fn once(&self, out: Option<&Path>) -> Result<()> {
        let agent = self.binaries.path(AGENT);
        let mut words: Vec<OsString> = Vec::new();
        if let Some(out) = out {
            let mut file = OsString::from("--callgrind-out-file=");
            file.push(out);
            words.extend(["valgrind".into(), "--tool=callgrind".into(), file]);
        }
        words.push(agent.into_os_string());
        words.extend(["--once", "-m", self.mode.name(), "-c"].map(OsString::from));
        words.push(self.configuration.clone().into_os_string());
        // One thread takes turns in the same way each time, more or less.
        let variables = [("TOKIO_WORKER_THREADS", "1".to_owned())];
        let log = self.folder.join("agent.log");
        let running = Server::start(Path::new(&words[0]), &words[1..], &variables, &log)?;
        running.ends_within(PATIENCE).await
    }
}
