//! The configuration as its writer sees it: texts in, findings and settings out.

mod arbitrary;
mod credentials;
mod examples;
mod faults;
mod forms;
mod generated;
mod quota;
mod robust;
mod secrets;
mod subjects;
mod values;

use super::{Environment, Finding, Loaded, Severity, Strictness, check_text, render};

/// An environment with these variables, and with a file for every path that begins with `/etc/`.
fn environment<'a>(variables: &'a [(&'a str, &'a str)]) -> Environment<'a> {
    Environment::new(
        |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
        |path| {
            let found = path.starts_with("/etc") || path.starts_with("/var/run");
            if found { Ok("token-from-file\n".to_owned()) } else { Err(std::io::ErrorKind::NotFound.into()) }
        },
    )
}

/// The settings of a text that must load, and its warnings.
fn loaded(text: &str) -> Loaded {
    check_text("config.yaml", text, &environment(&[]), Strictness::Lenient).unwrap()
}

/// All findings of a text, whether it loads or not.
fn findings(text: &str, variables: &[(&str, &str)], strictness: Strictness) -> Vec<Finding> {
    match check_text("config.yaml", text, &environment(variables), strictness) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report.findings,
    }
}

/// Holds the findings of a text against the expected lines.
fn check(text: &str, expected: &str) {
    assert_eq!(render(&findings(text, &[], Strictness::Lenient)).trim(), expected.trim(), "\n{text}");
}

/// The shortest offering that loads without findings.
const OFFERING: &str = "\
offerings:
  - name: OKD
    waldur_api_url: https://waldur.example.com/api/
    waldur_api_token: waldur-token
    waldur_offering_uuid: 123e4567e89b12d3a456426614174000
    backend_type: okd
    order_processing_backend: okd
    backend_settings:
      api_url: https://api.okd.example.com:6443
      token: okd-token
    backend_components:
      cpu:
        measured_unit: Core
        accounting_type: limit
";

/// The shortest offering with `from` replaced by `to`.
fn with(from: &str, to: &str) -> String {
    assert!(OFFERING.contains(from), "{from}");
    OFFERING.replacen(from, to, 1)
}

/// The shortest offering with lines added to `backend_settings`.
fn with_backend(lines: &str) -> String {
    with("      token: okd-token\n", &format!("      token: okd-token\n{}", shifted(lines, 6)))
}

/// The shortest offering with components added.
fn with_components(lines: &str) -> String {
    format!("{OFFERING}{}", shifted(lines, 6))
}

/// The shortest offering with lines added to it.
fn with_offering(lines: &str) -> String {
    format!("{OFFERING}{}", shifted(lines, 4))
}

fn shifted(lines: &str, by: usize) -> String {
    lines.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// The findings in short: `line: path: message (hint)`, one a line.
fn short(text: &str) -> String {
    let one = |finding: &Finding| {
        let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let severity = match finding.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
            Severity::Note => "note: ",
        };
        format!("{}: {severity}{}: {}{hint}", finding.line, finding.path, finding.message)
    };
    findings(text, &[], Strictness::Lenient).iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Holds the findings of a text, in short form and without the path of the offering, against the expected ones.
fn check_short(text: &str, expected: &[&str]) {
    let shown = short(text).replace("offerings[0].", "");
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "\n{text}");
}
