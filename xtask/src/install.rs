//! What the tests need and a clean machine lacks: a cargo tool, Debian packages, Python packages.
//!
//! Registries are asked by package name through their ordinary clients. What is there already is left alone and
//! costs a look. All but the Debian packages goes below `target/`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::process::{Program, cargo, program};
use crate::workspace::Metadata;

/// From crates.io.
const CARGO_DENY: &str = "0.20.2";

/// Arguments of cargo-deny. An exception that nothing needs any more is a fault as well.
const DENY: [&str; 10] = [
    "--all-features",
    "--locked",
    "check",
    "--deny",
    "unmatched-skip",
    "--deny",
    "unnecessary-skip",
    "bans",
    "licenses",
    "sources",
];

/// From Debian: the package, and a command that succeeds where it, or its like, is installed.
const DEBIAN: [(&str, &[&str]); 6] = [
    // Compiles libFuzzer.
    ("g++", &["c++", "--version"]),
    ("kubernetes-client", &["kubectl", "version", "--client"]),
    ("prometheus", &["promtool", "--version"]),
    ("python3-venv", &["python3", "-c", "import ensurepip, venv"]),
    ("rabbitmq-server", &["test", "-x", "/usr/lib/rabbitmq/bin/rabbitmq-server"]),
    ("valgrind", &["valgrind", "--version"]),
];

/// From PyPI: clients that the tests hold against the simulators. What these need in turn is fixed by
/// [`PYTHON_CONSTRAINTS`], so that a release of some other package cannot change a test.
const PYTHON: [&str; 4] = [
    "stomp.py==8.2.0",
    "waldur-api-client==8.1.2",
    "waldur-site-agent==1.0.7",
    "waldur-site-agent-okd==1.0.7",
];

/// From PyPI: the agent that this one is compared with. What else tests need is no part of it.
const PYTHON_AGENT: [&str; 2] = ["waldur-site-agent==1.0.7", "waldur-site-agent-okd==1.0.7"];

/// Naming a pre-release lets pip choose one, of these packages alone.
const PYTHON_AGENT_NEXT: [&str; 2] = ["waldur-site-agent>=1.0.8.dev0", "waldur-site-agent-okd>=1.0.8.dev0"];

const PYTHON_CONSTRAINTS: (&str, &str) =
    ("xtask/python-constraints.txt", include_str!("../python-constraints.txt"));

/// Installs whatever is missing.
///
/// # Errors
/// Something is missing and cannot be installed.
pub(crate) fn everything() -> Result<()> {
    cargo_deny()?;
    foreign_clients()?;
    Ok(())
}

/// The check of dependencies, ready to run; installs cargo-deny first if need be.
pub(crate) fn cargo_deny() -> Result<Program> {
    let root = Metadata::read()?.target_directory.join("tools");
    let places = [root.join("bin/cargo-deny"), PathBuf::from("cargo-deny")];
    let is_right = |place: &PathBuf| {
        let version = program(place, ["--version"]).text();
        version.is_ok_and(|version| version.trim_end() == format!("cargo-deny {CARGO_DENY}"))
    };
    if let Some(place) = places.iter().find(|place| is_right(place)) {
        return Ok(program(place, DENY));
    }
    // Unoptimised, since it runs for a second and would compile for minutes; without debug information.
    let install =
        ["install", "cargo-deny", "--version", CARGO_DENY, "--locked", "--profile", "dev", "--root"];
    cargo(install.map(Into::into).into_iter().chain([root.into_os_string()]))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_INCREMENTAL", "0")
        .run()?;
    Ok(program(&places[0], DENY))
}

/// The Python that has the clients; installs it and the Debian packages first if need be.
pub(crate) fn foreign_clients() -> Result<PathBuf> {
    debian()?;
    python()
}

/// Valgrind alone, for who wants nothing else of it.
///
/// # Errors
/// It is missing and cannot be installed.
pub(crate) fn valgrind() -> Result<()> {
    packages(&DEBIAN.into_iter().filter(|(package, _)| *package == "valgrind").collect::<Vec<_>>())
}

fn debian() -> Result<()> {
    packages(&DEBIAN)
}

fn packages(packages: &[(&str, &[&str])]) -> Result<()> {
    let missing = |(_, probe): &(&str, &[&str])| !program(probe[0], &probe[1..]).succeeds();
    let wanted: Vec<&str> = packages.iter().copied().filter(missing).map(|(package, _)| package).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let names = wanted.join(" ");
    if !program("apt-get", ["--version"]).succeeds() {
        bail!("no apt-get here; install by hand what gives the commands of the Debian packages {names}");
    }
    // An update takes long and is needed only where the lists are missing or old.
    let install = || apt_get(["install", "--yes", "--no-install-recommends"].iter().chain(&wanted)).run();
    if install().is_err() {
        apt_get(["update"]).run()?;
        install()?;
    }
    match packages.iter().copied().find(missing) {
        Some((package, probe)) => bail!("{package} is installed, but `{}` still fails", probe.join(" ")),
        None => Ok(()),
    }
}

fn apt_get<'a, A: AsRef<str> + ?Sized + 'a>(arguments: impl IntoIterator<Item = &'a A>) -> Program {
    let is_root = program("id", ["-u"]).text().is_ok_and(|id| id.trim_end() == "0");
    // At run level 1 a package starts no service; the tests start what they need themselves.
    let words = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "--quiet"].into_iter();
    let words = words.chain(arguments.into_iter().map(AsRef::as_ref));
    if is_root { program("env", words.skip(1)) } else { program("sudo", words) }
}

fn python() -> Result<PathBuf> {
    virtual_environment("foreign-venv", &PYTHON)
}

/// The Python of an environment with the published Python agent and its OKD plugin, and nothing else.
///
/// # Errors
/// They cannot be installed.
pub(crate) fn python_agent() -> Result<PathBuf> {
    virtual_environment("python-agent", &PYTHON_AGENT)
}

/// The same with the newest release after the published one, pre-releases included. Once installed it stays until the
/// folder is removed.
///
/// # Errors
/// There is none, or it cannot be installed.
pub(crate) fn python_agent_pre_release() -> Result<PathBuf> {
    virtual_environment("python-agent-pre-release", &PYTHON_AGENT_NEXT)
}

/// The Python of an environment below the target directory that holds these packages and what they need.
fn virtual_environment(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let venv = Metadata::read()?.target_directory.join(name);
    let python = venv.join("bin/python");
    let stamp = venv.join("installed.txt");
    let (constraints, versions) = PYTHON_CONSTRAINTS;
    let wanted = format!("{}\n{versions}", packages.join("\n"));
    let there = fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
    if there && program(&python, ["--version"]).succeeds() {
        return Ok(python);
    }
    program("python3", ["-m".as_ref(), "venv".as_ref(), "--clear".as_ref(), venv.as_os_str()]).run()?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", constraints];
    program(&python, pip.iter().chain(packages)).run()?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write `{}`", stamp.display()))?;
    Ok(python)
}
