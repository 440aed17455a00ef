//! Plans of several resources as a person reads them, and as JSON, which is also how a plan is kept until it is
//! applied.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::change::{Change, Field, Sign, change};
use crate::desired::Desired;
use crate::finding::{Finding, Severity};
use crate::names;
use crate::observed::Observed;
use crate::plan::Plan;

/// The version of the form of a kept plan.
const FORM: u64 = 1;

/// What would be done for one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Name of the offering in the configuration.
    pub offering: String,
    /// Waldur's id of the resource: 32 hexadecimal digits.
    pub resource: String,
    /// What its customer calls it.
    pub name: String,
    /// The namespace that Waldur names; empty if there is none.
    pub namespace: String,
    /// What would be changed.
    pub changes: Vec<Change>,
    /// What the operator should know.
    pub findings: Vec<Finding>,
    /// The same for the same actions on the same objects.
    pub fingerprint: String,
}

/// Names of a resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct Title<'a> {
    /// Name of the offering in the configuration.
    pub offering: &'a str,
    /// Waldur's id of the resource.
    pub resource: &'a str,
    /// What its customer calls it.
    pub name: &'a str,
    /// The namespace that Waldur names.
    pub namespace: &'a str,
}

impl Planned {
    /// A plan with what it changes.
    #[must_use]
    pub fn new(title: Title<'_>, plan: &Plan, desired: &Desired, observed: &Observed) -> Self {
        Self {
            offering: title.offering.to_owned(),
            resource: title.resource.to_owned(),
            name: names::one_line(title.name),
            namespace: title.namespace.to_owned(),
            changes: plan.actions.iter().map(|action| change(action, desired, observed)).collect(),
            findings: plan.findings.clone(),
            fingerprint: fingerprint(plan),
        }
    }

    /// True if a person has to act: something stands against what Waldur wants.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    fn to_json(&self) -> Value {
        let field = |field: &Field| json!({"name": field.name, "before": field.before, "after": field.after});
        let change = |change: &Change| {
            let fields: Vec<Value> = change.fields.iter().map(field).collect();
            json!({"sign": change.sign.symbol().to_string(), "object": change.object, "fields": fields})
        };
        let finding = |finding: &Finding| json!({"severity": severity(finding), "message": finding.message});
        json!({
            "offering": self.offering,
            "resource": self.resource,
            "name": self.name,
            "namespace": self.namespace,
            "changes": self.changes.iter().map(change).collect::<Vec<_>>(),
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "fingerprint": self.fingerprint,
        })
    }
}

const fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// A number for the plan's actions with everything that they depend on, such as uids and versions.
#[must_use]
pub fn fingerprint(plan: &Plan) -> String {
    let hash = Sha256::digest(format!("{:?}", plan.actions).as_bytes());
    hash.iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Plans as JSON: `form`, `changes` (how many), `resources`.
#[must_use]
pub fn json(plans: &[Planned]) -> Value {
    let resources: Vec<Value> = plans.iter().map(Planned::to_json).collect();
    json!({"form": FORM, "changes": count(plans), "resources": resources})
}

/// Fingerprints of a kept plan, by resource.
///
/// # Errors
/// What is wrong with the text.
pub fn kept(text: &str) -> Result<Vec<(String, String)>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    if value["form"] != FORM {
        return Err("is no plan of this version of the agent".to_owned());
    }
    let resources = value["resources"].as_array().ok_or("has no `resources`")?;
    let one = |resource: &Value| {
        let text = |key: &str| resource[key].as_str().map(str::to_owned);
        text("resource").zip(text("fingerprint"))
    };
    resources.iter().map(one).collect::<Option<_>>().ok_or_else(|| "lacks fingerprints".to_owned())
}

fn count(plans: &[Planned]) -> usize {
    plans.iter().map(|planned| planned.changes.len()).sum()
}

/// Plans for a person. Resources at which nothing is to do and nothing to say are only counted.
#[must_use]
pub fn text(plans: &[Planned]) -> String {
    let mut text = String::new();
    for planned in plans.iter().filter(|planned| !planned.changes.is_empty() || !planned.findings.is_empty())
    {
        one(&mut text, planned);
    }
    let changing = plans.iter().filter(|planned| !planned.changes.is_empty()).count();
    let _ = match (plans.len(), changing) {
        (0, _) => writeln!(text, "no resources"),
        (all, 0) => writeln!(text, "{}, nothing to change", resources(all)),
        (all, _) => {
            let changes = count(plans);
            writeln!(text, "{}, {changing} to change by {changes} actions", resources(all))
        }
    };
    text
}

fn resources(count: usize) -> String {
    if count == 1 { "1 resource".to_owned() } else { format!("{count} resources") }
}

fn one(text: &mut String, planned: &Planned) {
    let Planned { offering, resource, name, namespace, .. } = planned;
    let place = if namespace.is_empty() { "no namespace yet" } else { namespace };
    let _ = writeln!(text, "{name} ({place}, resource {resource}, offering {offering})");
    for change in &planned.changes {
        let _ = writeln!(text, "  {} {}", change.sign.symbol(), change.object);
        for field in &change.fields {
            let _ = writeln!(text, "      {}", field_line(field));
        }
    }
    for finding in &planned.findings {
        let _ = writeln!(text, "  ! {}: {}", severity(finding), finding.message);
    }
    text.push('\n');
}

fn field_line(Field { name, before, after }: &Field) -> String {
    let quoted = |text: &String| if text.is_empty() { "\"\"".to_owned() } else { text.clone() };
    let (sign, value) = match (before.as_ref().map(quoted), after.as_ref().map(quoted)) {
        (None, Some(after)) => (Sign::Added, after),
        (Some(before), None) => (Sign::Removed, before),
        (Some(before), Some(after)) => (Sign::Changed, format!("{before} → {after}")),
        (None, None) => (Sign::Changed, String::new()),
    };
    format!("{} {name}: {value}", sign.symbol())
}
