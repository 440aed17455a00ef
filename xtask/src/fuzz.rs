//! `cargo xtask fuzz`: libFuzzer makes up input for the places where input comes from elsewhere.
//!
//! Only the crates of this repository are compiled with the counters that it needs, so that everything they depend on is
//! used as the other tests have compiled it; and by the toolchain that compiles everything else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process::{cargo, program};
use crate::workspace::{Metadata, root};

/// The targets; each has its seeds in `fuzz/corpus`.
const TARGETS: [&str; 5] = ["settings", "amounts", "jwt", "messages", "frames"];
/// What is a seed as well, for this target.
const MORE_SEEDS: [(&str, &str); 1] = [("settings", "examples")];
/// What has further words of this target.
const MORE_WORDS: [(&str, &str); 1] = [("settings", "docs")];
/// An input that takes longer is a find: seconds.
const TOO_LONG: u32 = 10;

/// How long, and with what.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// One target alone: settings, amounts, jwt, messages or frames
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// Time for each target
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
}

/// What is said while cargo builds, as far as it is used here.
#[derive(Deserialize)]
struct Built {
    reason: String,
    #[serde(default)]
    package_id: String,
    /// Of a build script: where what it has made can be found.
    #[serde(default)]
    linked_paths: Vec<String>,
    #[serde(default)]
    target: Named,
    executable: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

/// Runs the targets, each for some time, from seeds and from what earlier runs have found worth keeping.
///
/// # Errors
/// An input breaks something; the message names the file that holds it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let program = build()?;
    let targets = TARGETS.iter().filter(|name| arguments.target.as_deref().is_none_or(|one| one == **name));
    targets.into_iter().try_for_each(|target| one(&program, target, arguments.seconds, None))
}

/// Runs all targets for a moment, with the same choices each time.
///
/// # Errors
/// As [`run`].
pub(crate) fn briefly(seconds: u32) -> Result<()> {
    let program = build()?;
    TARGETS.iter().try_for_each(|target| one(&program, target, seconds, Some(1)))
}

fn one(fuzzer: &Path, target: &str, seconds: u32, seed: Option<u32>) -> Result<()> {
    let folder = Metadata::read()?.target_directory.join("fuzz").join(target);
    let (kept, finds) = (folder.join("corpus"), folder.join("finds"));
    for folder in [&kept, &finds] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    let mut words = vec![
        format!("-max_total_time={seconds}"),
        format!("-timeout={TOO_LONG}"),
        format!("-artifact_prefix={}/", finds.display()),
        "-print_final_stats=1".to_owned(),
        "-verbosity=0".to_owned(),
        "-print_funcs=0".to_owned(),
        kept.display().to_string(),
        format!("fuzz/corpus/{target}"),
    ];
    words.extend(dictionary(target, &folder)?.map(|path| format!("-dict={}", path.display())));
    words.extend(seed.map(|seed| format!("-seed={seed}")));
    words.extend(MORE_SEEDS.iter().filter(|(of, _)| *of == target).map(|(_, seeds)| (*seeds).to_owned()));
    let ran = program(fuzzer, &words).env("FUZZ_TARGET", target).run();
    ran.with_context(|| {
        format!(
            "an input breaks the target `{target}`: it is in `{}`; `FUZZ_TARGET={target} {} FILE` runs it again. Mend what \
             it breaks, and add it to `fuzz/corpus/{target}`",
            finds.display(),
            fuzzer.display(),
        )
    })
}

/// Writes the words that the target knows: texts are compared by the library, which is not instrumented, so that
/// libFuzzer cannot find out by itself what would have matched. `None` if there are none: it refuses an empty file.
fn dictionary(target: &str, folder: &Path) -> Result<Option<PathBuf>> {
    let seeds = format!("fuzz/corpus/{target}");
    let more =
        MORE_SEEDS.iter().chain(&MORE_WORDS).filter(|(of, _)| *of == target).map(|(_, folder)| *folder);
    let mut lines = BTreeSet::new();
    for folder in [seeds.as_str()].into_iter().chain(more) {
        let files = fs::read_dir(root().join(folder)).with_context(|| format!("cannot read `{folder}`"))?;
        for file in files {
            let text = fs::read(file?.path())?;
            lines.extend(words(&String::from_utf8_lossy(&text)).map(|word| format!("\"{word}\"\n")));
        }
    }
    let (path, is_empty) = (folder.join("dictionary"), lines.is_empty());
    fs::write(&path, lines.into_iter().collect::<String>())
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok((!is_empty).then_some(path))
}

/// Names, as far as they are neither very short nor very long.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
    parts.filter(|word| (3..=40).contains(&word.len()) && word.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// The program with all targets.
fn build() -> Result<PathBuf> {
    let archive = runtime()?;
    // The whole workspace with one test picked: see `test.rs`.
    let arguments =
        ["test", "--workspace", "--locked", "--features", "fuzz/libfuzzer", "--test", "libfuzzer"];
    let built = cargo(arguments.iter().chain(&["--no-run", "--message-format=json-render-diagnostics"]))
        .env("RUSTC_WORKSPACE_WRAPPER", root().join("fuzz/rustc"))
        .env("LIBFUZZER", archive)
        .said()?;
    let program =
        messages(&built).find_map(|built| built.executable.filter(|_| built.target.name == "libfuzzer"));
    program.context("cargo has built no program `libfuzzer`")
}

/// The archive with libFuzzer itself.
fn runtime() -> Result<PathBuf> {
    let folder = Metadata::read()?.target_directory.join("libfuzzer");
    let arguments = ["build", "--locked", "--manifest-path", "fuzz/runtime/Cargo.toml"];
    let built = cargo(arguments.iter().chain(&["--message-format=json-render-diagnostics"]))
        .env("CARGO_TARGET_DIR", folder)
        .said()?;
    let of_libfuzzer =
        |built: &Built| built.reason == "build-script-executed" && built.package_id.contains("libfuzzer-sys");
    let places = messages(&built).find(of_libfuzzer).map(|built| built.linked_paths).unwrap_or_default();
    let archives = places.iter().map(|place| place.rsplit('=').next().unwrap_or(place));
    let archive =
        archives.map(|place| Path::new(place).join("libfuzzer.a")).find(|archive| archive.is_file());
    let Some(archive) = archive else { bail!("libfuzzer-sys has made no archive: {places:?}") };
    Ok(archive)
}

fn messages(text: &str) -> impl Iterator<Item = Built> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_its_seeds_and_its_code() {
        for target in TARGETS {
            assert!(root().join("fuzz/corpus").join(target).is_dir(), "{target}");
            assert!(root().join("fuzz/src").join(target).with_extension("rs").is_file(), "{target}");
        }
    }

    #[test]
    fn the_words_of_a_seed() {
        let found: Vec<&str> = words("{\"order_uuid\": 12, heart-beat:1\\n, ab}").collect();
        assert_eq!(found, ["order_uuid", "heart-beat"]);
    }

    #[test]
    fn what_cargo_says_is_understood() {
        let said = concat!(
            r#"{"reason":"compiler-artifact","package_id":"a","target":{"name":"a"},"executable":null}"#,
            "\nnot JSON\n",
            r#"{"reason":"build-script-executed","package_id":"registry+x#libfuzzer-sys@0.4","linked_paths":["native=/o"]}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let paths: Vec<_> = messages(said).map(|built| built.linked_paths).collect();
        assert_eq!(paths, [vec![], vec!["native=/o".to_owned()], vec![]]);
    }
}
