//! What is generated from the table of keys, and its copies under `docs/`.

use std::path::PathBuf;

use super::super::keys::{self, Absent, Key, Kind, Stage};
use super::super::{Strictness, check, default_file, schema, view, yaml};
use super::{check as check_findings, environment, loaded};
use crate::settings::findings::Findings;

/// Compares with the committed copy; `UPDATE_GENERATED=1` writes it instead.
fn check_copy(name: &str, generated: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "docs/{name} is out of date; run the tests with UPDATE_GENERATED=1");
}

#[test]
fn the_committed_schema_is_current() {
    check_copy("config-schema.json", &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
}

#[test]
fn the_committed_default_file_is_current() {
    check_copy("config-default.yaml", &default_file());
}

#[test]
fn the_default_file_loads_without_findings() {
    check_findings(&default_file(), "");
    let loaded =
        super::super::check_text("", &default_file(), &environment(&[]), Strictness::Strict).unwrap();
    assert_eq!(loaded.settings.offerings[0].components.len(), 4);
}

#[test]
fn the_default_file_says_the_defaults() {
    let short = loaded(super::OFFERING).settings;
    let long = loaded(&default_file()).settings;
    let (short, long) = (&short.offerings[0], &long.offerings[0]);
    assert_eq!(short.naming, long.naming);
    assert_eq!(short.limit_range, long.limit_range);
    assert_eq!(short.lifecycle, long.lifecycle);
    assert_eq!(short.uniqueness, long.uniqueness);
    for role in ["Owner", "PROJECT.MANAGER", "member", "PROJECT.ADMIN"] {
        assert_eq!(short.roles.cluster_role(Some(role)), long.roles.cluster_role(Some(role)));
    }
    assert_eq!(short.component("cpu").unwrap().quota, long.component("cpu").unwrap().quota);
}

/// Every section of the table.
fn sections() -> Vec<(String, Vec<Key>)> {
    fn collect(path: &str, keys: &[Key], into: &mut Vec<(String, Vec<Key>)>) {
        into.push((path.to_owned(), keys.to_vec()));
        for key in keys {
            let path = check::join(path, key.name);
            match key.kind {
                Kind::Section(keys) => collect(&path, keys, into),
                Kind::List(Kind::Section(keys)) | Kind::Map(Kind::Section(keys)) => {
                    collect(&path, keys, into)
                }
                _ => {}
            }
        }
    }
    let mut all = Vec::new();
    collect("", keys::GLOBAL, &mut all);
    all
}

#[test]
fn defaults_and_examples_are_right_for_their_keys() {
    for (path, keys) in sections() {
        for key in keys {
            let default = if let Absent::Default(text) = key.absent { Some(text) } else { None };
            for text in default.into_iter().chain(key.example) {
                let document = format!("{}: {text}", key.name);
                let (documents, _) = yaml::documents(&document).unwrap_or_else(|_| panic!("{document}"));
                let mut findings = Findings::new("table", true);
                let optional = [Key { absent: Absent::Unset, stage: Stage::Now, ..key }];
                check::section(&optional, &documents[0], &path, &mut findings);
                assert_eq!(findings.into_sorted(), [], "{path} {document}");
                let view = view::View::new(&optional, Some(&documents[0]), &path, documents[0].place);
                assert!(view.is_set(key.name) || text == "''", "{path} {document}");
            }
        }
    }
}

#[test]
fn the_default_file_and_the_schema_have_every_key() {
    let file = default_file();
    let schema = schema().to_string();
    for (path, keys) in sections() {
        for key in keys {
            assert!(
                schema.contains(&format!("\"{}\":", key.name)),
                "{path}.{} is not in the schema",
                key.name
            );
            let inside_example = ["service_accounts", "limit_ranges", "resource_quotas", "manifests"]
                .iter()
                .any(|list| path.contains(list));
            if key.stage != Stage::Ignored && !inside_example {
                let line =
                    |line: &str| line.trim_start_matches([' ', '#']).starts_with(&format!("{}:", key.name));
                assert!(file.lines().any(line), "{path}.{} is not in the default file", key.name);
            }
        }
    }
}
