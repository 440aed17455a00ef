//! From a file to settings: which document counts, which offerings are ours, and every finding on the way.

use std::path::Path;

use super::build::{self, Context, Document, Form};
use super::environment::Environment;
use super::finding::{Finding, Report};
use super::findings::Findings;
use super::interpolate::interpolate;
use super::keys::{self, GLOBAL, OFFERING};
use super::model::Settings;
use super::yaml::{self, Node, Place, Value};
use super::{check, suggest};

/// Keys by which a flat configuration is known.
const FLAT_SIGNS: [&str; 6] = [
    "waldur_api_url",
    "waldur_offering_uuid",
    "waldur_api_token",
    "backend_type",
    "backend_settings",
    "backend_components",
];

/// How unknown keys are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// As warnings.
    Lenient,
    /// As errors.
    Strict,
}

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Warnings and notes in the order of the file.
    pub warnings: Vec<Finding>,
    /// Offerings of other back ends; each is also a note among the warnings.
    pub skipped: Vec<SkippedOffering>,
}

/// An offering that another agent provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedOffering {
    /// Its name.
    pub name: String,
    /// Its back end.
    pub backend_type: String,
    /// The line it begins in.
    pub line: usize,
}

/// Reads and checks a configuration file. The report has every fault of it, not only the first.
pub fn load(path: &Path, environment: &Environment<'_>, strictness: Strictness) -> Result<Loaded, Report> {
    let name = path.display().to_string();
    match environment.read_file(path) {
        Ok(text) => check_text(&name, &text, environment, strictness),
        Err(error) => {
            let mut findings = Findings::new(&name, false);
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => "name the file with --config-file",
                std::io::ErrorKind::InvalidData => "the file must be UTF-8 text",
                _ => "check the path and the permissions",
            };
            let reason = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file".to_owned(),
                kind => kind.to_string(),
            };
            findings.error(Place::default(), "", format!("cannot be read: {reason}"), hint);
            Err(Report { findings: findings.into_sorted() })
        }
    }
}

/// Checks a configuration given as text; `name` stands for the file in findings.
pub fn check_text(
    name: &str,
    text: &str,
    environment: &Environment<'_>,
    strictness: Strictness,
) -> Result<Loaded, Report> {
    let mut findings = Findings::new(name, strictness == Strictness::Strict);
    let mut skipped = Vec::new();
    let settings = configuration(text, &mut findings)
        .and_then(|root| read(root, &mut skipped, &mut Context { environment, findings: &mut findings }));
    if settings.is_none() && !findings.has_errors() {
        findings.error(
            Place::default(),
            "",
            "the configuration was not understood",
            "this is a bug; please report it",
        );
    }
    match settings {
        Some(settings) if !findings.has_errors() => {
            Ok(Loaded { settings, warnings: findings.into_sorted(), skipped })
        }
        _ => Err(Report { findings: findings.into_sorted() }),
    }
}

/// The first document that is a configuration; the others are named in warnings.
fn configuration(text: &str, findings: &mut Findings) -> Option<Node> {
    let (documents, faults) = match yaml::documents(text) {
        Ok(read) => read,
        Err(fault) => {
            findings.error(fault.place, "", fault.message, fault.hint);
            return None;
        }
    };
    for fault in faults {
        findings.error(fault.place, "", fault.message, fault.hint);
    }
    let documents: Vec<Node> =
        documents.into_iter().filter(|node| !matches!(node.value, Value::Null)).collect();
    let Some(used) = documents.iter().position(is_configuration) else {
        report_no_configuration(&documents, findings);
        return None;
    };
    for (index, document) in documents.iter().enumerate().filter(|(index, _)| *index != used) {
        let message = format!("document {} of the file ({}) is not used", index + 1, described(document));
        let hint =
            format!("the configuration is the document that begins in line {}", documents[used].place.line);
        findings.warning(document.place, "", message, hint);
    }
    documents.into_iter().nth(used)
}

fn is_configuration(document: &Node) -> bool {
    let is_kubernetes_object = document.get("apiVersion").is_some() && document.get("kind").is_some();
    !is_kubernetes_object
        && (document.get("offerings").is_some() || FLAT_SIGNS.iter().any(|key| document.get(key).is_some()))
}

fn described(document: &Node) -> String {
    let text = |key: &str| document.get(key).and_then(Node::text);
    let name = document.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
    match (text("kind"), name) {
        (Some(kind), Some(name)) if document.get("apiVersion").is_some() => format!("{kind} `{name}`"),
        _ if is_configuration(document) => "another configuration".to_owned(),
        _ => match document.entries().first() {
            Some(entry) => format!("a mapping that begins with `{}`", entry.key),
            None => document.noun().to_owned(),
        },
    }
}

fn report_no_configuration(documents: &[Node], findings: &mut Findings) {
    let Some(first) = documents.first() else {
        return findings.error(
            Place::default(),
            "",
            "the file is empty",
            "`config default` prints a complete example",
        );
    };
    if !matches!(first.value, Value::Map(_)) {
        let message = format!("expected a mapping, found {}", first.noun());
        return findings.error(first.place, "", message, "`config default` prints a complete example");
    }
    let wanted = || FLAT_SIGNS.iter().copied().chain(["offerings"]);
    for entry in first.entries() {
        if let Some(name) = suggest::nearest(&entry.key, wanted()) {
            findings.error(entry.place, &entry.key, "unknown key", format!("did you mean `{name}`?"));
        }
    }
    let message = "neither `offerings` nor the keys of a single offering are at the top level";
    findings.error(first.place, "", message, "`config default` prints a complete example");
}

fn read(
    mut root: Node,
    skipped: &mut Vec<SkippedOffering>,
    context: &mut Context<'_, '_>,
) -> Option<Settings> {
    let form = if root.get("offerings").is_some() { Form::Offerings } else { Form::Flat };
    let keys = match form {
        Form::Offerings => GLOBAL.to_vec(),
        Form::Flat => keys::flat(),
    };
    let mut offerings = match form {
        Form::Flat => {
            interpolate(&mut root, "", context.environment, context.findings);
            vec![(String::new(), root.clone())]
        }
        Form::Offerings => {
            let list = take_offerings(&mut root);
            interpolate(&mut root, "", context.environment, context.findings);
            select(list, skipped, context)
        }
    };
    check::section(&keys, &root, "", context.findings);
    if form == Form::Offerings {
        for (path, node) in &mut offerings {
            check::section(OFFERING, node, path, context.findings);
        }
        report_none(&root, &offerings, skipped, context);
        report_same(&offerings, context);
    } else if !build::is_ours(&root) {
        let message = "the one offering of this file belongs to another back end";
        let place = root.get("backend_type").map_or(root.place, |node| node.place);
        context.findings.error(place, "backend_type", message, "write `backend_type: okd`");
    }
    let offerings = offerings.iter().map(|(path, node)| (path.clone(), node)).collect();
    build::settings(&Document { form, root: &root, keys: &keys, offerings }, context)
}

/// Takes the items out of `offerings`, so that those of other back ends are neither filled in nor checked.
fn take_offerings(root: &mut Node) -> Vec<Node> {
    let Value::Map(entries) = &mut root.value else { return Vec::new() };
    let list = entries.iter_mut().find(|entry| entry.key == "offerings").map(|entry| &mut entry.node.value);
    match list {
        Some(Value::List(items)) => std::mem::take(items),
        _ => Vec::new(),
    }
}

/// Our offerings with their paths, variables filled in.
fn select(
    list: Vec<Node>,
    skipped: &mut Vec<SkippedOffering>,
    context: &mut Context<'_, '_>,
) -> Vec<(String, Node)> {
    let mut ours = Vec::new();
    for (index, mut node) in list.into_iter().enumerate() {
        let path = format!("offerings[{index}]");
        let mut filled = node.clone();
        interpolate(&mut filled, &path, context.environment, &mut Findings::new("", false));
        if matches!(node.value, Value::Map(_)) && !build::is_ours(&filled) {
            skipped.push(skip(&filled, &path, context));
            continue;
        }
        interpolate(&mut node, &path, context.environment, context.findings);
        ours.push((path, node));
    }
    ours
}

fn skip(node: &Node, path: &str, context: &mut Context<'_, '_>) -> SkippedOffering {
    let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default().to_owned();
    let offering = SkippedOffering {
        name: text("name"),
        backend_type: text("backend_type").to_lowercase(),
        line: node.place.line,
    };
    let message = format!("`{}` is skipped; its back end is `{}`", offering.name, offering.backend_type);
    context.findings.note(node.place, path, message, "");
    offering
}

fn report_none(
    root: &Node,
    offerings: &[(String, Node)],
    skipped: &[SkippedOffering],
    context: &mut Context<'_, '_>,
) {
    let Some(list) = root.get("offerings") else { return };
    if !offerings.is_empty() || !matches!(list.value, Value::List(_)) {
        return;
    }
    let message = if skipped.is_empty() { "the list is empty" } else { "no offering has the back end `okd`" };
    context.findings.error(list.place, "offerings", message, "`config default` prints a complete example");
}

/// Two entries for one offering would work against each other.
fn report_same(offerings: &[(String, Node)], context: &mut Context<'_, '_>) {
    let uuid = |node: &Node| super::scalar::uuid(node.get("waldur_offering_uuid")?.text()?);
    for (index, (path, node)) in offerings.iter().enumerate() {
        let Some(own) = uuid(node) else { continue };
        if let Some((first, _)) = offerings[..index].iter().find(|(_, other)| uuid(other) == Some(own)) {
            let place = node.get("waldur_offering_uuid").map_or(node.place, |node| node.place);
            let message = format!("`{first}` has the same offering");
            let hint = "each offering may stand in the file once";
            context.findings.error(place, &format!("{path}.waldur_offering_uuid"), message, hint);
        }
    }
}
