//! Who may depend on whom, and on what. Invariant: dependencies point one way.

use std::process::Command;

use serde::Deserialize;

use crate::none;
use crate::source::{files, root, text};

/// A crate of the workspace with what it may depend on.
struct Rule {
    name: &'static str,
    /// Crates of the workspace.
    inward: &'static [&'static str],
    /// Crates of the workspace, for its tests.
    inward_for_tests: &'static [&'static str],
    /// All other crates, where it may not have any it likes.
    outward: Option<&'static [&'static str]>,
}

const RULES: [Rule; 6] = [
    Rule {
        name: "planner",
        inward: &[],
        inward_for_tests: &[],
        outward: Some(&["jiff", "serde", "serde_json", "sha2", "thiserror", "uuid"]),
    },
    Rule {
        name: "stomp",
        inward: &[],
        inward_for_tests: &[],
        outward: Some(&["bytes", "memchr", "thiserror"]),
    },
    Rule { name: "agent", inward: &["planner", "stomp"], inward_for_tests: &["simulator"], outward: None },
    // STOMP frames are all that it shares with what it judges: a wrong type must not be right twice.
    Rule { name: "simulator", inward: &["stomp"], inward_for_tests: &[], outward: None },
    Rule { name: "fuzz", inward: &["agent", "planner", "stomp"], inward_for_tests: &[], outward: Some(&[]) },
    // What chores need of the product they get by running it.
    Rule { name: "xtask", inward: &[], inward_for_tests: &[], outward: None },
];

/// Types of the cluster that the agent uses, and the simulator must have its own of.
const NOT_IN_SIMULATOR: [&str; 3] = ["k8s-openapi", "kube", "schemars"];

/// TLS other than rustls with ring.
const NOWHERE: [&str; 6] =
    ["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys", "unsafe-libyaml"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build` or nothing.
    kind: Option<String>,
    /// Set for a crate of this repository.
    path: Option<String>,
}

fn packages() -> Vec<Package> {
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version=1"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output();
    let output = output.expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("JSON as documented");
    metadata.packages
}

fn faults(package: &Package) -> Vec<String> {
    let Some(rule) = RULES.iter().find(|rule| rule.name == package.name) else {
        return vec![format!("{}: a crate without a rule; add one", package.name)];
    };
    let allowed = |dependency: &Dependency| {
        let name = dependency.name.as_str();
        let for_tests = dependency.kind.as_deref() == Some("dev");
        match &dependency.path {
            Some(_) => rule.inward.contains(&name) || for_tests && rule.inward_for_tests.contains(&name),
            None if rule.name == "simulator" => !NOT_IN_SIMULATOR.contains(&name),
            None => for_tests || rule.outward.is_none_or(|outward| outward.contains(&name)),
        }
    };
    let refused = package.dependencies.iter().filter(|dependency| !allowed(dependency));
    let refused = refused.map(|dependency| format!("{} may not depend on {}", rule.name, dependency.name));
    let named = |name: &&&str| package.dependencies.iter().any(|dependency| dependency.name == **name);
    let unused = rule.outward.unwrap_or_default().iter().filter(|name| !named(name));
    refused.chain(unused.map(|name| format!("{} does not need {name} any more", rule.name))).collect()
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    let mut all: Vec<String> = packages.iter().flat_map(faults).collect();
    let known = |rule: &&Rule| packages.iter().any(|package| package.name == rule.name);
    let gone = RULES.iter().filter(|rule| !known(rule));
    all.extend(gone.map(|rule| format!("{}: a rule without a crate", rule.name)));
    none(&all);
}

#[test]
fn a_dependency_the_wrong_way_is_found() {
    let dependency = |name: &str, kind: Option<&str>, inward: bool| Dependency {
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        path: inward.then(String::new),
    };
    for (package, dependency, allowed) in [
        ("agent", dependency("simulator", None, true), false),
        ("agent", dependency("simulator", Some("dev"), true), true),
        ("agent", dependency("tokio", None, false), true),
        ("simulator", dependency("agent", Some("dev"), true), false),
        ("simulator", dependency("k8s-openapi", Some("dev"), false), false),
        ("unheard-of", dependency("serde", None, false), false),
    ] {
        let what = format!("{package} on {}", dependency.name);
        let package = Package { name: package.to_owned(), dependencies: vec![dependency] };
        assert_eq!(faults(&package).is_empty(), allowed, "{what}");
    }
    let planner = Package {
        name: "planner".to_owned(),
        dependencies: ["jiff", "serde", "serde_json", "sha2", "thiserror", "tokio"]
            .map(|name| dependency(name, None, false))
            .into(),
    };
    assert_eq!(faults(&planner), ["planner may not depend on tokio", "planner does not need uuid any more"]);
}

#[test]
fn one_implementation_of_tls() {
    let lock = text("Cargo.lock").expect("Cargo.lock is text");
    let names: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(names.contains(&"rustls") && names.contains(&"ring"), "Cargo.lock is not understood");
    let found = NOWHERE.iter().filter(|name| names.contains(name));
    none(&found.map(|name| format!("Cargo.lock holds {name}")).collect::<Vec<_>>());
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let manifests = files().into_iter().filter(|path| path.ends_with("/Cargo.toml"));
    let manifests = manifests.filter(|path| path.starts_with("crates/") || path.starts_with("xtask/"));
    let without = manifests.filter(|path| {
        !text(path).is_some_and(|manifest| manifest.contains("\n[lints]\nworkspace = true\n"))
    });
    none(&without.map(|path| format!("{path}: no `[lints] workspace = true`")).collect::<Vec<_>>());
}
